"""Item keys, fingerprints, and the reserved names of namespaces and tools.

Keys and fingerprints are stored: the same input must give the same output in every version of the package.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2s
from typing import Any
from unicodedata import normalize
from uuid import NAMESPACE_URL, uuid4, uuid5

from langgraph_learning.core.scopes import Caller, Namespace
from langgraph_learning.core.text import text_values

CURSOR = "cursor"
"""Label of the namespace with a thread's cursor and its last answers."""
SHOWN = "shown"
"""Label of the namespace that records which learnings each answer had in its context."""
VOTES = "votes"
"""Label of the namespace with the votes on learnings."""
OPTED_OUT = "opted_out"
"""Label of the namespace with a user's opt-outs."""
FORGOTTEN = "forgotten"
"""Label of the namespaces with the marks of what was forgotten."""
INSTRUCTIONS_BLOCK = "approved_instructions"
"""Name of the only block of the context that holds instructions."""
RESERVED_NAMES = frozenset({CURSOR, SHOWN, VOTES, OPTED_OUT, FORGOTTEN, INSTRUCTIONS_BLOCK})
"""Names that no learning store can have."""
SHORT_KEY = 8
"""Characters of a learning's key that an agent is shown at least; its tools take them for the whole key."""
MAX_KEY_BYTES = 500
"""Longest id of a message that is an item key as it is. Real ones have less than 100; a client may send anything."""
SEARCH_TOOL = "search_learnings"
FORGET_TOOL = "forget_learning"


def save_tool_name(kind: str) -> str:
    """Return the name of the tool that saves a kind of learning."""
    return f"save_{kind}"


def hash_key(*parts: str) -> str:
    """Return an item key that is the same for the same parts."""
    return uuid5(NAMESPACE_URL, "\0".join(parts)).hex


def limit_key(id_: str) -> str:
    """Return an id as an item key; a hash of it if it is longer than a database takes in an index."""
    return id_ if len(id_.encode("utf-8", "replace")) <= MAX_KEY_BYTES else hash_key(id_)


def message_key(thread: str | None, message: str, *parts: str) -> str:
    """Return the key of a learning from a message: equal for the same message and parts, whatever the learning says.

    The key is random if the thread or the message has no id.
    """
    return hash_key(thread, message, *parts) if thread and message else uuid4().hex


def note_key(thread: str | None, message: str, kind: str, number: int = 0) -> str:
    """Return the key of a note: a learning that code, not a model, made from a message.

    number: counts the notes of one kind on the same message.
    """
    return message_key(thread, message, "noted", kind, str(number))


def candidate_key(namespace: Namespace, kind: str, data: Mapping[str, Any]) -> str:
    """Return the key of a candidate for sharing: equal for all users who make the same statement.

    Case, white space, articles, and punctuation around words make no difference.
    """
    words = normalize("NFKC", " ".join(text_values(data))).casefold().split()
    bare_words = (word.strip(".,;:!?\"'()") for word in words)
    statement = " ".join(word for word in bare_words if word and word not in ("a", "an", "the"))
    return hash_key(*namespace, kind, statement)


def fingerprint(*parts: str, size: int = 8) -> str:
    """Return a hash of texts as hexadecimal digits, two for each of its `size` bytes."""
    return blake2s("\0".join(parts).encode(), digest_size=size).hexdigest()


def prefix_fingerprints(texts: Iterable[str]) -> Iterator[str]:
    """Yield, for each text, a fingerprint of that text and all texts before it."""
    digest = blake2s(digest_size=8)
    for text in texts:
        digest.update(f"{text}\0".encode("utf-8", "replace"))
        yield digest.hexdigest()


def user_hash(caller: Caller, purpose: str) -> str:
    """Return a pseudonym of a user: equal for the same user and purpose, and without the user's id in it."""
    return fingerprint(caller.tenant, caller.user, purpose)
