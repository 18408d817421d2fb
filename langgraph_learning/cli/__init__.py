"""Command line `langgraph-learning`; without its extra, importing it raises an error that says what to install."""

from langgraph_learning.errors import MissingExtra

try:
    from langgraph_learning.cli.commands import app, main
except ImportError as missing:
    raise MissingExtra("cli", "The command line") from missing

__all__ = ["app", "main"]
