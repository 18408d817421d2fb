"""Entry point of `python -m langgraph_learning.cli`, in the module in which Python looks for it."""

from langgraph_learning.cli import main

main()
