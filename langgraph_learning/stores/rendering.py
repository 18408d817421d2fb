"""Rendering of learnings as lines of text with their provenance, and loading of prompt files."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from langgraph_learning.core.learning import Channel, Learning
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.text import escape_line, truncate
from langgraph_learning.core.transcript import CHARS_PER_TOKEN

if TYPE_CHECKING:
    from langgraph_learning.stores.base import LearningStore

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


def shorten_learning(store: "LearningStore", learning: Learning, tokens: int) -> Learning:
    """Return a copy of a learning with texts of about this many tokens, or the learning itself if none is longer.

    Instructions stay whole, because half of one could say the opposite.
    """
    if store.instructs:
        return learning
    limit = tokens * CHARS_PER_TOKEN
    data = {name: truncate(value, limit) if isinstance(value, str) else value for name, value in learning.data.items()}
    text = truncate(learning.text, limit)
    if text == learning.text and data == learning.data:
        return learning
    shortened = learning.model_copy(update={"text": text, "data": data})
    try:
        store.record_of(shortened)
    except (KeyError, ValidationError):  # the record takes no shorter value
        return learning.model_copy(update={"text": text})
    return shortened


def load_prompt(store: type) -> str:
    """Load a learning store's prompt from the Markdown file beside its module, or else from its docstring."""
    beside = Path(inspect.getfile(store)).with_suffix(".md")
    if beside.exists():
        return beside.read_text(encoding="utf-8").strip()
    return inspect.cleandoc(store.__doc__ or "")
