"""Keys, fingerprints and reserved names, by which items and tools are found again."""

from collections.abc import Sequence
from hashlib import blake2s
from typing import Any
from unicodedata import normalize
from uuid import NAMESPACE_URL, uuid4, uuid5

from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import Caller, Namespace

CURSOR = "cursor"
"""Label of the namespace with a thread's cursor and its last answers."""
SHOWN = "shown"
"""Label of the namespace that records which learnings each answer had in its context."""
VOTES = "votes"
"""Label of the namespace with the votes on learnings."""
OPTED_OUT = "opted_out"
"""Label of the namespace with a user's opt-outs."""
INSTRUCTIONS_BLOCK = "approved_instructions"
"""Name of the only block of the context that holds instructions."""
RESERVED_NAMES = frozenset({CURSOR, SHOWN, VOTES, OPTED_OUT, INSTRUCTIONS_BLOCK})
"""Names that no learning store can have."""
SEARCH_TOOL = "search_learnings"
FORGET_TOOL = "forget_learning"


def save_tool_name(kind: str) -> str:
    """Return the name of the tool that saves a kind of learning."""
    return f"save_{kind}"


def note_key(thread: str | None, message: str, kind: str, number: int = 0) -> str:
    """Return the key of what is noted of a message without a model: its first note, or one that follows."""
    return message_key(thread, message, "noted", kind, str(number))


def message_key(thread: str | None, message: str, *what: str) -> str:
    """Return the key of a new learning: the same for the same place of the same conversation, whatever its words."""
    return hash_key(thread, message, *what) if thread and message else uuid4().hex


def hash_key(*parts: str) -> str:
    """Return a key that is the same for the same parts."""
    return uuid5(NAMESPACE_URL, "\0".join(parts)).hex


def candidate_key(learning: Learning, place: Namespace) -> str:
    """Return the key under which a statement waits in a shared place: the same for all who say the same."""
    return hash_key(*place, learning.kind, normalize_statement(learning))


def normalize_statement(learning: Learning) -> str:
    """Return what a learning says, as it is compared: case, spaces, articles and punctuation at a word's end aside."""
    words = normalize("NFKC", " ".join(text_values(learning.data))).casefold().split()
    plain = (word.strip(".,;:!?\"'()") for word in words)
    return " ".join(word for word in plain if word and word not in ("a", "an", "the"))


def user_hash(caller: Caller, key: str) -> str:
    """Return a mark by which a user is counted once for one statement; it names nobody."""
    return blake2s("\0".join((caller.tenant, caller.user, key)).encode(), digest_size=8).hexdigest()


def text_values(data: Any) -> Sequence[str]:
    """Return all values in a record's data as texts, in the order of their names."""
    if isinstance(data, str):
        return [data]
    if hasattr(data, "values"):
        return [text for key in sorted(data) for text in text_values(data[key])]
    if isinstance(data, list | tuple):
        return [text for value in data for text in text_values(value)]
    return [] if data is None else [str(data)]
