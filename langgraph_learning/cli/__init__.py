"""Command line `langgraph-learning`, for people who may read the database."""

from langgraph_learning.errors import MissingExtra

try:
    from langgraph_learning.cli.commands import app, main
except ImportError as missing:
    raise MissingExtra("cli", "The command line") from missing

__all__ = ["app", "main"]
