"""The cursor of a thread: fingerprints of the messages that were already learnt from."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from langchain_core.messages import AnyMessage

from langgraph_learning.core.flow import Flow
from langgraph_learning.core.keys import CURSOR
from langgraph_learning.core.repository import get_items
from langgraph_learning.core.scopes import Caller, ItemRef, Scope
from langgraph_learning.core.store_protocol import Expected, ItemWrite, version_of
from langgraph_learning.core.transcript import fingerprints, is_readable, last_turn
from langgraph_learning.stores.base import Turn

CURSOR_SIZE = 4_000
"""How many fingerprints a cursor holds at most. The oldest are dropped, long after a client would resend them."""


@dataclass(frozen=True)
class Cursor:
    """Fingerprints of the messages of one thread that were learnt from, as they were read from the store."""

    ref: ItemRef | None = None
    """Namespace and key of the cursor; None without a thread, where nothing is remembered."""
    fingerprints: tuple[str, ...] = ()
    version: int = 0

    def has_read(self, message_fingerprints: Collection[str]) -> bool:
        """Return True if the message with these fingerprints was learnt from."""
        return not set(self.fingerprints).isdisjoint(message_fingerprints)

    def advance(self, read: Sequence[Sequence[str]]) -> tuple[list[ItemWrite], list[Expected]]:
        """Return the write that adds messages, given by their fingerprints, and the condition that it depends on.

        Both are empty where there is nothing to add or no thread to remember it for.
        """
        if self.ref is None or not read:
            return [], []
        added = [fingerprint for message in read for fingerprint in message]
        value = {"marks": [*self.fingerprints, *added][-CURSOR_SIZE:]}
        return [(*self.ref, value)], [Expected(*self.ref, self.version)]


@dataclass(frozen=True)
class Unread:
    """The messages of a turn that were not learnt from yet."""

    messages: tuple[AnyMessage, ...]
    fingerprints: Mapping[int, tuple[str, ...]]
    """By the identity of each message object: ids may be missing."""
    cursor: Cursor

    def mark_read(self, left: Collection[AnyMessage] = ()) -> tuple[list[ItemWrite], list[Expected]]:
        """Return what marks these messages as read, but for those that are left for the next turn."""
        return self.cursor.advance(self.fingerprints_without(left))

    def fingerprints_without(self, left: Collection[AnyMessage]) -> tuple[tuple[str, ...], ...]:
        """Return the fingerprints of each of these messages, but for those that are left for the next turn."""
        left_ids = {id(message) for message in left}
        return tuple(self.fingerprints[id(message)] for message in self.messages if id(message) not in left_ids)


def read_cursor(caller: Caller) -> Flow[Cursor]:
    """Read the cursor of the caller's thread."""
    if not caller.thread:
        return Cursor()
    ref = caller.namespace(Scope.THREAD, CURSOR), "read"
    item = (yield from get_items([ref])).get(ref)
    return Cursor(ref, tuple(item.value["marks"]) if item else (), version_of(item))


def find_unread(turn: Turn, cursor: Cursor) -> Unread:
    """Return the messages of a turn that the cursor does not know. Without a thread only the last turn is read."""
    messages = turn.messages if turn.caller.thread else tuple(last_turn(turn.messages))
    by_message = dict(zip(map(id, messages), fingerprints(messages), strict=True))
    unread = [message for message in messages if is_readable(message) and not cursor.has_read(by_message[id(message)])]
    return Unread(tuple(unread), by_message, cursor)
