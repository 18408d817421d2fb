"""Rendering of learnings as lines of text, with their provenance, and loading of prompt files."""

import inspect
from pathlib import Path

from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.text import escape_line


def render_bullet(learning: Learning, caller: Caller) -> str:
    """Return a learning as one line: what, since when, and who said it if not the user themself."""
    return f"- {escape_line(learning.text)}{render_provenance(learning, caller)}"


def render_provenance(learning: Learning, caller: Caller) -> str:
    """Return who said it and when, as a short note."""
    first = learning.sources[0] if learning.sources else None
    who = {"tool": ", from a tool", "agent": ", the agent's own conclusion", "import": ", from a document"}.get(
        first.channel if first else "", ""
    )
    if first and first.channel in ("user", "person") and first.user != caller.user:
        who = f", said by {escape_line(first.user)}"
    return f" ({learning.learned_at:%Y-%m-%d}{who})"


def load_prompt(store: type) -> str:
    """Load a learning store's prompt from the Markdown file beside its module, or else from its docstring."""
    beside = Path(inspect.getfile(store)).with_suffix(".md")
    if beside.exists():
        return beside.read_text(encoding="utf-8").strip()
    return inspect.cleandoc(store.__doc__ or "")
