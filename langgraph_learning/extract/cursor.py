"""The cursor of a thread: fingerprints of the messages that were learnt from, and failed attempts on others."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from typing import Any, NamedTuple

from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.store.base import Item

from langgraph_learning.core.flow import Flow
from langgraph_learning.core.keys import CURSOR, fingerprint, user_hash
from langgraph_learning.core.limits import MAX_FINGERPRINTS
from langgraph_learning.core.repository import get_items
from langgraph_learning.core.scopes import Caller, ItemRef, Scope
from langgraph_learning.core.speakers import arrival_key, find_latest, names_another
from langgraph_learning.core.store_protocol import Expected, ItemWrite, version_of
from langgraph_learning.core.transcript import Speaker, fingerprint_text, fingerprints, is_readable, last_turn
from langgraph_learning.stores.base import Turn

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

    left: tuple[Fingerprints, ...] = ()
    """Messages that are left for the next turn."""

    read: tuple[Fingerprints, ...] = ()
    """Messages that were learnt from."""
    failed: Mapping[str, Attempts] = field(default_factory=dict)
    """Attempts on messages that could not be learnt from, by fingerprint."""
    set_aside: tuple[Fingerprints, ...] = ()
    """Messages that are given up."""
    complete: str = ""
    """Fingerprint of the whole conversation, if nothing of it is left to be read."""
    copied: tuple[Fingerprints, ...] = ()
    """Those that are done which a thread that is a copy has from its originals."""


@dataclass(frozen=True)
class Cursor:
    """Fingerprints of the messages of one thread that a user's turns learnt from, as they were read from the store.

    Each user of a thread has messages of their own: those of their turns.
    """

    ref: ItemRef | None = None
    """Namespace and key of the cursor; None without a thread, where nothing is remembered."""
    fingerprints: tuple[str, ...] = ()
    version: int = 0
    attempts: Mapping[str, Attempts] = field(default_factory=dict)
    """By fingerprint: messages that could not be learnt from yet."""
    set_aside: tuple[str, ...] = ()
    """Fingerprints of messages that are not learnt from, because too many attempts failed."""
    left: tuple[str, ...] = ()
    """Fingerprints of messages that were left for the next turn."""
    complete: str = ""
    """Fingerprint of the conversation up to the last message before which nothing was left to be read."""
    reader: str = ""
    """Pseudonym of the user."""
    others: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The same for the other users of the thread, as it is stored."""
    of_anybody: tuple[str, ...] = ()
    """Fingerprints that an earlier version of this package noted without a user."""
    originals: tuple["Cursor", ...] = ()
    """The cursors of the threads of which this one is a copy."""

    def is_of_caller(self, message: Fingerprints) -> bool:
        """Return True if this message, with the text that it has now, was in a turn of the user."""
        return not self._marks_of_caller.isdisjoint((*message.marks, message.id))

    @cached_property
    def _marks_of_caller(self) -> set[str]:
        return {*self.fingerprints, *self.attempts, *self.set_aside, *self.left, *self.of_originals}

    def is_of_another(self, message: Fingerprints) -> bool:
        """Return True if this message was in a turn of another user of the thread."""
        return not self._marks_of_others.isdisjoint(message.marks)

    @cached_property
    def _marks_of_others(self) -> set[str]:
        parts = ("marks", "attempts", "set_aside", "left")
        return {mark for other in self.others.values() for part in parts for mark in other.get(part) or ()}

    def has_read(self, message: Fingerprints) -> bool:
        """Return True if this message was learnt from, with the text that it has now."""
        # Cursors of earlier versions hold the id alone.
        return not self._marks.isdisjoint((*message.marks, message.id))

    @cached_property
    def _marks(self) -> set[str]:
        return {*self.fingerprints, *self.of_anybody, *self.of_originals}

    @property
    def of_originals(self) -> tuple[str, ...]:
        """Fingerprints of what the user's turns learnt from in the threads of which this one is a copy."""
        return tuple(mark for original in self.originals for mark in original.fingerprints)

    def earlier_revisions(self, message: Fingerprints) -> tuple[str, ...]:
        """Return the fingerprints of the texts with which this message was learnt from before it was edited."""
        prefix = f"{message.id}:"
        marks = (*self.of_anybody, *self.fingerprints) if message.id else ()
        return tuple(mark.removeprefix(prefix) for mark in marks if mark.startswith(prefix))

    def readmit(self, messages: Iterable[Fingerprints]) -> "Cursor":
        """Return the cursor without the marks of messages that were set aside, so that they are read again."""
        again = list(messages)
        keys, marks = {message.key for message in again}, {mark for message in again for mark in message.marks}
        return replace(
            self,
            fingerprints=tuple(mark for mark in self.fingerprints if mark not in marks),
            set_aside=tuple(key for key in self.set_aside if key not in keys),
            complete="",
        )

    def advance(self, progress: Progress) -> tuple[list[ItemWrite], list[Expected]]:
        """Return the writes that note the progress of a turn, and the conditions that they depend on.

        Both are empty where there is nothing to add or no thread to remember it for. What a copy learns from before its
        originals do is noted for them as well, and so learnt from once.
        """
        read, failed, set_aside = progress.read, progress.failed, progress.set_aside
        if self.ref is None or not (read or failed or set_aside):
            return [], []
        added = [mark for message in (*read, *set_aside) for mark in message.marks]
        done = {message.key for message in (*read, *set_aside)}
        attempts = {key: count for key, count in {**self.attempts, **failed}.items() if key not in done}
        given_up = (*self.set_aside, *(message.key for message in set_aside))
        value: dict[str, object] = {"marks": [*self.fingerprints, *added][-MAX_FINGERPRINTS:]}
        if attempts:
            counts = {key: [count.failed, count.unreachable] for key, count in attempts.items()}
            value["attempts"] = dict(list(counts.items())[-MAX_FINGERPRINTS:])
        if given_up:
            value["set_aside"] = list(given_up[-MAX_FINGERPRINTS:])
        if complete := progress.complete or self.complete:
            value["complete"] = complete
        if progress.left:
            value["left"] = [message.key for message in progress.left][-MAX_FINGERPRINTS:]
        stored: dict[str, object] = {"readers": {**self.others, self.reader: value}}
        if self.of_anybody:
            stored["marks"] = list(self.of_anybody)
        writes: list[ItemWrite] = [(*self.ref, stored)]
        expected = [Expected(*self.ref, self.version)]
        for original in self.originals:
            copied = tuple(message for message in progress.copied if not original.has_read(message))
            of_original = original.advance(Progress(read=copied))
            writes, expected = [*writes, *of_original[0]], [*expected, *of_original[1]]
        return writes, expected


@dataclass(frozen=True)
class Unread:
    """The messages of a turn that were not learnt from yet."""

    messages: tuple[AnyMessage, ...]
    fingerprints: Mapping[int, Fingerprints]
    """By the identity of each message object: ids may be missing."""
    cursor: Cursor
    speakers: Mapping[int, Speaker] = field(default_factory=dict)
    """Whose words each message is, by the identity of the message object."""
    prefixes: tuple[str, ...] = ()
    """Fingerprints of the conversation up to each message that can be read."""
    copied: frozenset[int] = frozenset()
    """The identities of the messages that a copy of a thread may have from its originals."""

    def speaker_of(self, message: AnyMessage) -> Speaker:
        """Return whose words a message is."""
        return self.speakers[id(message)]

    def failed_on(self, message: AnyMessage) -> bool:
        """Return True if a message was read in vain, or is set aside."""
        key = self.fingerprints[id(message)].key
        return key in self.cursor.attempts or key in self.cursor.set_aside

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
        waiting = {id(message) for message in left}
        done = [message for message in self.messages if id(message) not in waiting]
        return Progress(
            copied=tuple(self.fingerprints[id(message)] for message in done if id(message) in self.copied),
            read=tuple(self.fingerprints[id(message)] for message in self.messages if id(message) not in kept),
            left=tuple(self.fingerprints[id(message)] for message in left),
            failed={self.fingerprints[message].key: count for message, count in (failed or {}).items()},
            set_aside=tuple(self.fingerprints[id(message)] for message in set_aside),
            complete="" if left or failed else next(reversed(self.prefixes), ""),
        )

    def mark_read(self) -> tuple[list[ItemWrite], list[Expected]]:
        """Return what marks all of these messages as read."""
        return self.cursor.advance(self.progress())


def read_cursor(caller: Caller, originals: Sequence[str] = ()) -> Flow[Cursor]:
    """Read the cursor of the caller in their thread, with what they read in the threads of which it is a copy."""
    if not caller.thread:
        return Cursor()
    refs = [_cursor_ref(replace(caller, thread=thread)) for thread in (caller.thread, *originals)]
    found = yield from get_items(refs)
    own, *others = (_make_cursor(ref, found.get(ref), user_hash(caller, CURSOR)) for ref in refs)
    return replace(own, originals=tuple(others))


def _make_cursor(ref: ItemRef, item: Item | None, reader: str) -> Cursor:
    value = item.value if item else {}
    readers = dict(value.get("readers") or {})
    own = readers.pop(reader, {})
    # Cursors of earlier versions name no user.
    attempts = {**(value.get("attempts") or {}), **(own.get("attempts") or {})}
    return Cursor(
        ref,
        tuple(own.get("marks") or ()),
        version_of(item),
        {key: Attempts(*counts) for key, counts in attempts.items()},
        (*(value.get("set_aside") or ()), *(own.get("set_aside") or ())),
        tuple(own.get("left") or ()),
        str(own.get("complete") or ""),
        reader,
        readers,
        tuple(value.get("marks") or ()),
    )


def _cursor_ref(caller: Caller) -> ItemRef:
    return caller.namespace(Scope.THREAD, CURSOR), "read"


def find_unread(turn: Turn, cursor: Cursor) -> Unread:
    """Return the messages of the user's turns that the cursor does not know. Without a thread that is the last turn."""
    messages = turn.messages if turn.caller.thread else tuple(last_turn(turn.messages))
    by_message = _fingerprints_by_identity(turn.messages)
    speakers = _find_speakers(turn, cursor, by_message)
    prefixes = [prefix for prints in by_message.values() if (prefix := prints.prefix)]
    read_before = {*prefixes[: prefixes.index(cursor.complete) + 1]} if cursor.complete in prefixes else set()
    unread = [
        message
        for message in messages
        if is_readable(message)
        and by_message[id(message)].prefix not in read_before
        and not cursor.has_read(by_message[id(message)])
        and speakers[id(message)] is not Speaker.ABSENT
    ]
    return Unread(tuple(unread), by_message, cursor, speakers, tuple(prefixes), _find_copied(turn))


def _find_copied(turn: Turn) -> frozenset[int]:
    """Return the identities of the messages before this run, if the thread is a copy: its originals may have them."""
    if not turn.originals:
        return frozenset()
    latest = {id(message) for message in find_latest(turn.messages)}
    came_in = turn.arrivals.latest
    before = takewhile(
        lambda message: (
            id(message) not in latest and not (isinstance(message, HumanMessage) and arrival_key(message) in came_in)
        ),
        turn.messages,
    )
    return frozenset(map(id, before))


def find_speakers(turn: Turn, cursor: Cursor) -> dict[int, Speaker]:
    """Return whose words the messages of a thread are, by the identity of each."""
    return _find_speakers(turn, cursor, _fingerprints_by_identity(turn.messages))


def _find_speakers(turn: Turn, cursor: Cursor, fingerprints: Mapping[int, Fingerprints]) -> dict[int, Speaker]:
    """Return whose words the messages are. What follows a message of a user belongs to the turn that it began."""
    latest = {id(message) for message in find_latest(turn.messages)}
    speakers: dict[int, Speaker] = {}
    whose_turn: Speaker | None = None
    for message in turn.messages:
        prints = fingerprints[id(message)]
        author = Speaker.AGENT
        if isinstance(message, HumanMessage) and is_readable(message):
            author = _find_author(message, turn, cursor, prints, is_latest=id(message) in latest)
        if author is not Speaker.AGENT:
            whose_turn = Speaker.ABSENT if author is Speaker.ABSENT else Speaker.USER
        elif whose_turn is Speaker.ABSENT or (whose_turn is None and cursor.is_of_another(prints)):
            author = Speaker.ABSENT
        speakers[id(message)] = author
    return speakers


def _find_author(message: AnyMessage, turn: Turn, cursor: Cursor, prints: Fingerprints, *, is_latest: bool) -> Speaker:
    """Return whose words a message in the user's role is.

    The thread's state knows with whose run it came in. Where it does not, the cursor knows in whose turn it was. Where
    neither does, it is the user's, unless it could be an earlier one of another user of this thread.
    """
    arrivals, user, key = turn.arrivals, turn.caller.user, arrival_key(message)
    if arrivals.present is not None:
        is_latest = key in arrivals.latest
    if key in arrivals.users:
        by = arrivals.users[key]
        if by is None:
            return Speaker.AGENT
        is_own = by == user
    elif arrivals.present is not None and key not in arrivals.present:
        return Speaker.AGENT  # made since the run began
    elif cursor.is_of_caller(prints) or is_latest or (arrivals.users and arrivals.present is None):
        is_own = True
    else:
        is_own = not (cursor.is_of_another(prints) or cursor.others or arrivals.names_others(user))
    if not is_own:
        return Speaker.ABSENT
    return Speaker.OTHER if names_another(message, user) else Speaker.USER


def _fingerprints_by_identity(messages: Sequence[AnyMessage]) -> dict[int, Fingerprints]:
    found = {}
    for message, prints in zip(messages, fingerprints(messages), strict=True):
        *of_id, prefix = prints or ("",)
        text = fingerprint_text(message).encode("utf-8", "replace").decode()
        found[id(message)] = Fingerprints(of_id[0] if of_id else "", fingerprint(text), prefix)
    return found
