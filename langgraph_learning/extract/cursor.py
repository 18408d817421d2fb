"""The cursor of a thread: fingerprints of the messages that were learnt from, and failed attempts on others."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from langchain_core.messages import AnyMessage

from langgraph_learning.core.flow import Flow
from langgraph_learning.core.keys import CURSOR, fingerprint
from langgraph_learning.core.repository import get_items
from langgraph_learning.core.scopes import Caller, ItemRef, Scope
from langgraph_learning.core.store_protocol import Expected, ItemWrite, version_of
from langgraph_learning.core.transcript import fingerprint_text, fingerprints, is_readable, last_turn
from langgraph_learning.stores.base import Turn

CURSOR_SIZE = 4_000
"""How many fingerprints a cursor holds at most. The oldest are dropped, long after a client would resend them."""
MAX_ATTEMPTS = 3
"""How often a message is read that the model refuses or gives no readable answer to. Then it is set aside."""


class Fingerprints(NamedTuple):
    """Fingerprints of one message."""

    id: str
    """Of its id; empty without one."""
    text: str
    """Of its own text."""
    prefix: str
    """Of its text and all that was said before it; empty for a message that is not read."""

    @property
    def key(self) -> str:
        """The fingerprint by which attempts on the message are counted."""
        return f"{self.id}:{self.text}" if self.id else self.prefix

    @property
    def marks(self) -> tuple[str, ...]:
        """Fingerprints by which a cursor recognises a message that was read.

        The id with the text survives trimming and summarising; the prefix a client that sends the history again without
        ids.
        """
        return (self.key, self.prefix) if self.id else (self.prefix,)


@dataclass(frozen=True)
class Attempts:
    """Number of failed attempts to read one message."""

    failed: int = 0
    """Times that the model refused it, or gave no readable answer, while it could be reached."""
    unreachable: int = 0
    """Times that the model could not be reached; these do not count against the message."""


@dataclass(frozen=True)
class Progress:
    """Change of the cursor by one turn."""

    read: tuple[Fingerprints, ...] = ()
    """Messages that were learnt from."""
    failed: Mapping[str, Attempts] = field(default_factory=dict)
    """Attempts on messages that could not be learnt from, by fingerprint."""
    set_aside: tuple[Fingerprints, ...] = ()
    """Messages that are given up."""


@dataclass(frozen=True)
class Cursor:
    """Fingerprints of the messages of one thread that were learnt from, as they were read from the store."""

    ref: ItemRef | None = None
    """Namespace and key of the cursor; None without a thread, where nothing is remembered."""
    fingerprints: tuple[str, ...] = ()
    version: int = 0
    attempts: Mapping[str, Attempts] = field(default_factory=dict)
    """By fingerprint: messages that could not be learnt from yet."""
    set_aside: tuple[str, ...] = ()
    """Fingerprints of messages that are not learnt from, because too many attempts failed."""

    def has_read(self, message: Fingerprints) -> bool:
        """Return True if this message was learnt from, with the text that it has now."""
        # Cursors of earlier versions hold the id alone.
        return not {*self.fingerprints}.isdisjoint((*message.marks, message.id))

    def earlier_revisions(self, message: Fingerprints) -> tuple[str, ...]:
        """Return the fingerprints of the texts with which this message was learnt from before it was edited."""
        prefix = f"{message.id}:"
        return tuple(mark.removeprefix(prefix) for mark in self.fingerprints if message.id and mark.startswith(prefix))

    def advance(self, progress: Progress) -> tuple[list[ItemWrite], list[Expected]]:
        """Return the write that notes the progress of a turn, and the condition that it depends on.

        Both are empty where there is nothing to add or no thread to remember it for.
        """
        read, failed, set_aside = progress.read, progress.failed, progress.set_aside
        if self.ref is None or not (read or failed or set_aside):
            return [], []
        added = [mark for message in (*read, *set_aside) for mark in message.marks]
        done = {message.key for message in (*read, *set_aside)}
        attempts = {key: count for key, count in {**self.attempts, **failed}.items() if key not in done}
        given_up = (*self.set_aside, *(message.key for message in set_aside))
        value: dict[str, object] = {"marks": [*self.fingerprints, *added][-CURSOR_SIZE:]}
        if attempts:
            counts = {key: [count.failed, count.unreachable] for key, count in attempts.items()}
            value["attempts"] = dict(list(counts.items())[-CURSOR_SIZE:])
        if given_up:
            value["set_aside"] = list(given_up[-CURSOR_SIZE:])
        return [(*self.ref, value)], [Expected(*self.ref, self.version)]


@dataclass(frozen=True)
class Unread:
    """The messages of a turn that were not learnt from yet."""

    messages: tuple[AnyMessage, ...]
    fingerprints: Mapping[int, Fingerprints]
    """By the identity of each message object: ids may be missing."""
    cursor: Cursor

    def attempts_on(self, message: AnyMessage) -> Attempts:
        """Return how often a message was read in vain."""
        return self.cursor.attempts.get(self.fingerprints[id(message)].key, Attempts())

    def earlier_revisions(self, message: AnyMessage) -> tuple[str, ...]:
        """Return the fingerprints of the texts that an edited message had when it was learnt from."""
        return self.cursor.earlier_revisions(self.fingerprints[id(message)])

    def revision_of(self, message: AnyMessage) -> str:
        """Return the fingerprint of an edited message's text; an empty string for a message that was not edited."""
        return self.fingerprints[id(message)].text if self.earlier_revisions(message) else ""

    def progress(
        self,
        left: Collection[AnyMessage] = (),
        failed: Mapping[int, Attempts] | None = None,
        set_aside: Sequence[AnyMessage] = (),
    ) -> Progress:
        """Return that these messages were read, but for those that are left for the next turn or set aside.

        failed: attempts on messages, by the identity of each.
        """
        kept = {id(message) for message in (*left, *set_aside)}
        return Progress(
            tuple(self.fingerprints[id(message)] for message in self.messages if id(message) not in kept),
            {self.fingerprints[message].key: count for message, count in (failed or {}).items()},
            tuple(self.fingerprints[id(message)] for message in set_aside),
        )

    def mark_read(self) -> tuple[list[ItemWrite], list[Expected]]:
        """Return what marks all of these messages as read."""
        return self.cursor.advance(self.progress())


def read_cursor(caller: Caller) -> Flow[Cursor]:
    """Read the cursor of the caller's thread."""
    if not caller.thread:
        return Cursor()
    ref = caller.namespace(Scope.THREAD, CURSOR), "read"
    item = (yield from get_items([ref])).get(ref)
    if item is None:
        return Cursor(ref, version=version_of(item))
    attempts = {key: Attempts(*counts) for key, counts in (item.value.get("attempts") or {}).items()}
    set_aside = tuple(item.value.get("set_aside") or ())
    return Cursor(ref, tuple(item.value["marks"]), version_of(item), attempts, set_aside)


def find_unread(turn: Turn, cursor: Cursor) -> Unread:
    """Return the messages of a turn that the cursor does not know. Without a thread only the last turn is read."""
    messages = turn.messages if turn.caller.thread else tuple(last_turn(turn.messages))
    by_message = {id(message): prints for message, prints in zip(messages, _fingerprints_of(messages), strict=True)}
    unread = [message for message in messages if is_readable(message) and not cursor.has_read(by_message[id(message)])]
    return Unread(tuple(unread), by_message, cursor)


def _fingerprints_of(messages: Sequence[AnyMessage]) -> list[Fingerprints]:
    found = []
    for message, prints in zip(messages, fingerprints(messages), strict=True):
        *of_id, prefix = prints or ("",)
        text = fingerprint_text(message).encode("utf-8", "replace").decode()
        found.append(Fingerprints(of_id[0] if of_id else "", fingerprint(text), prefix))
    return found
