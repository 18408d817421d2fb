"""Entry point of `python -m langgraph_learning.cli`, the same as `langgraph-learning`."""

from langgraph_learning.cli import main

main()
