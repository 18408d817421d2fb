"""Keys, fingerprints and reserved names, by which items and tools are found again."""

from collections.abc import Sequence
from hashlib import blake2s
from typing import Any
from unicodedata import normalize
from uuid import NAMESPACE_URL, uuid4, uuid5

from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import Caller, Namespace

INSTRUCTIONS = "approved_instructions"
"""The block of the context that holds instructions: the only one that does."""
RESERVED = frozenset({"cursor", "shown", "votes", "opted_out", INSTRUCTIONS})
"""Names under which other things than learnings lie or are shown."""
SEARCH_TOOL = "search_learnings"
FORGET_TOOL = "forget_learning"


def save_tool(kind: str) -> str:
    """Return the name of the tool that saves a kind of learning."""
    return f"save_{kind}"


def note_key(thread: str | None, message: str, kind: str, number: int = 0) -> str:
    """Return the key of what is noted of a message without a model: its first note, or one that follows."""
    return message_key(thread, message, "noted", kind, str(number))


def message_key(thread: str | None, message: str, *what: str) -> str:
    """Return the key of a new learning: the same for the same place of the same conversation, whatever its words."""
    return hashed(thread, message, *what) if thread and message else uuid4().hex


def hashed(*parts: str) -> str:
    """Return a key that is the same for the same parts."""
    return uuid5(NAMESPACE_URL, "\0".join(parts)).hex


def candidate_key(learning: Learning, place: Namespace) -> str:
    """Return the key under which a statement waits in a shared place: the same for all who say the same."""
    return hashed(*place, learning.kind, statement(learning))


def statement(learning: Learning) -> str:
    """Return what a learning says, as it is compared: case, spaces, articles and punctuation at a word's end aside."""
    words = normalize("NFKC", " ".join(values_in(learning.data))).casefold().split()
    plain = (word.strip(".,;:!?\"'()") for word in words)
    return " ".join(word for word in plain if word and word not in ("a", "an", "the"))


def mark_of(caller: Caller, key: str) -> str:
    """Return a mark by which a user is counted once for one statement; it names nobody."""
    return blake2s("\0".join((caller.tenant, caller.user, key)).encode(), digest_size=8).hexdigest()


def values_in(data: Any) -> Sequence[str]:
    """Return all values in a record's data as texts, in the order of their names."""
    if isinstance(data, str):
        return [data]
    if hasattr(data, "values"):
        return [text for key in sorted(data) for text in values_in(data[key])]
    if isinstance(data, list | tuple):
        return [text for value in data for text in values_in(value)]
    return [] if data is None else [str(data)]
