"""Rendering of learnings as lines of text with their provenance, and loading of prompt files."""

import inspect
from pathlib import Path

from langgraph_learning.core.learning import Channel, Learning
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.text import escape_line

_ORIGINS: dict[Channel, str] = {
    "tool": "from a tool",
    "agent": "the agent's own conclusion",
    "import": "from a document",
}


def render_bullet(learning: Learning, caller: Caller) -> str:
    """Render a learning as one line with its provenance."""
    return f"- {escape_line(learning.text)}{render_provenance(learning, caller)}"


def render_provenance(learning: Learning, caller: Caller) -> str:
    """Render the date of a learning and its first source; the source is left out if it is the caller's own words."""
    date = f"{caller.local(learning.learned_at):%Y-%m-%d}"
    if not learning.sources:
        return f" ({date})"
    source = learning.sources[0]
    if source.channel in _ORIGINS:
        return f" ({date}, {_ORIGINS[source.channel]})"
    return f" ({date})" if source.user == caller.user else f" ({date}, said by {escape_line(source.user)})"


def load_prompt(store: type) -> str:
    """Load a learning store's prompt from the Markdown file beside its module, or else from its docstring."""
    beside = Path(inspect.getfile(store)).with_suffix(".md")
    if beside.exists():
        return beside.read_text(encoding="utf-8").strip()
    return inspect.cleandoc(store.__doc__ or "")
