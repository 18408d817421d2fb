"""Command line `langgraph-learning`; without its extra, it says what to install."""

import sys

from langgraph_learning.errors import MissingExtra

try:
    from langgraph_learning.cli.commands import app, main
except ImportError:

    def main() -> None:
        """Say in one line what to install."""
        sys.exit(str(MissingExtra("cli", "The command line")))


__all__ = ["app", "main"]
