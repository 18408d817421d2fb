"""Marks of what was forgotten: it is recognised in whatever spelling it comes back, and none of its words are kept."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from langgraph.store.base import Item, PutOp, SearchOp

from langgraph_learning.core.flow import Flow, gather, get_item, search
from langgraph_learning.core.keys import FORGOTTEN, fingerprint, hash_key, user_hash
from langgraph_learning.core.learning import Learning, MessageRef, messages_of
from langgraph_learning.core.repository import get_items
from langgraph_learning.core.scopes import Caller, ItemRef, Namespace, Scope
from langgraph_learning.core.similarity.fingerprints import fingerprint_statement, is_recognized
from langgraph_learning.core.store_protocol import Expected, ItemWrite, version_of
from langgraph_learning.core.text import text_values
from langgraph_learning.stores.base import LearningStore

MAX_MARKS = 1_000
"""How many marks of one owner are read."""
LATEST = "latest"
"""Key of the item that changes whenever something of an owner is forgotten."""
EVERYTHING = "everything"
"""Key of the item that says when a user had everything forgotten."""

SESSION_ONLY = "session_only"
"""Field of such an item of a thread that was deleted: what was taught there stays."""


class Mark(NamedTuple):
    """The mark of one forgotten learning."""

    namespace: Namespace
    key: str
    fingerprints: frozenset[str]
    messages: frozenset[str]
    """Fingerprints of the messages that held it, or asked to forget it."""
    at: datetime
    """When it was forgotten."""

    def is_of(self, learning: Learning) -> bool:
        """Return True if a learning says just what was forgotten."""
        return is_recognized(learning.text, self.fingerprints, self.namespace[:-1], whole=True)


@dataclass(frozen=True)
class Forgotten:
    """What a caller had forgotten, and what the scopes had that the caller reads."""

    marks: tuple[Mark, ...] = ()
    everything_at: datetime | None = None
    """When the user had everything forgotten, or all of this thread."""
    session_deleted_at: datetime | None = None
    """When this thread was deleted: what was taught there stays, and nothing belongs to it any more."""
    expected: tuple[Expected, ...] = ()
    """Items that change as soon as something else is forgotten: what was learnt until then is not written."""

    def covers(self, time: datetime) -> bool:
        """Return True if the user had everything forgotten since a time: nothing is learnt from a turn of that time."""
        return self.everything_at is not None and time <= self.everything_at

    def covers_session(self, time: datetime) -> bool:
        """Return True if the thread was deleted since a time: nothing of that time is stored for it."""
        return self.session_deleted_at is not None and time <= self.session_deleted_at

    def holds(self, *texts: str) -> bool:
        """Return True if one of these texts says something that was forgotten."""
        return any(is_recognized(text, found, owner) for owner, found in self._by_owner.items() for text in texts)

    def holds_learning(self, learning: Learning) -> bool:
        """Return True if a learning says something that was forgotten, in any of its fields."""
        return self.holds(learning.text, *text_values(learning.data))

    def has_message(self, message: MessageRef) -> bool:
        """Return True if a message held something that was forgotten, or asked to forget it."""
        return _fingerprint_message(message) in self._messages

    def since(self, said_at: datetime) -> "Forgotten":
        """Return what was forgotten after something was said: it does not count as said anew."""
        return replace(self, marks=tuple(mark for mark in self.marks if mark.at > said_at))

    def lift(self, learnings: Iterable[Learning]) -> list[ItemWrite]:
        """Return what deletes the marks of learnings, because the user said them anew."""
        learnt = list(learnings)
        lifted = [mark for mark in self.marks if any(map(mark.is_of, learnt))]
        return [(mark.namespace, mark.key, None) for mark in lifted]

    @cached_property
    def _by_owner(self) -> Mapping[Namespace, frozenset[str]]:
        found: dict[Namespace, frozenset[str]] = {}
        for mark in self.marks:
            owner = mark.namespace[:-1]
            found[owner] = found.get(owner, frozenset()) | mark.fingerprints
        return found

    @cached_property
    def _messages(self) -> frozenset[str]:
        return frozenset().union(*(mark.messages for mark in self.marks))


def mark_forgotten(learning: Learning, at: datetime, stays: Iterable[Learning] = ()) -> PutOp:
    """Return the operation that marks a learning as forgotten at a time.

    stays: learnings that are kept, of which one may be a part of it.
    """
    owner = learning.namespace[:-1]
    texts = [kept.text for kept in stays]
    value = {
        "version": 1,
        "fingerprints": fingerprint_statement(learning.text, owner, texts),
        "messages": sorted(map(_fingerprint_message, messages_of(learning.sources))),
        "at": at.isoformat(),
    }
    return PutOp((*owner, FORGOTTEN), hash_key(*learning.namespace, learning.key), value, index=False)


def note_forgetting(owners: Iterable[Namespace], at: datetime) -> list[PutOp]:
    """Return the operations by which whoever learns for these owners at this time notices that something is forgotten.

    owners: namespaces without the label of a learning store.
    """
    value = {"version": 1, "at": at.isoformat()}
    return [PutOp((*owner, FORGOTTEN), LATEST, value, index=False) for owner in sorted(set(owners))]


def note_all_forgotten(caller: Caller, at: datetime) -> PutOp:
    """Return the operation that notes when the caller had all of their thread forgotten or, without one, everything."""
    namespace, key = everything_refs(caller)[-1]
    return PutOp(namespace, key, {"version": 1, "at": at.isoformat()}, index=False)


def note_session_deleted(caller: Caller, at: datetime) -> Flow[PutOp]:
    """Return the operation that notes when the caller's thread was deleted, unless all of it was forgotten before."""
    namespace, key = everything_refs(caller)[-1]
    item = yield from get_item(namespace, key)
    value = item.value if item and not item.value.get(SESSION_ONLY) else {"version": 1, SESSION_ONLY: True}
    return PutOp(namespace, key, {"at": at.isoformat(), **value}, index=False)


def read_forgotten(stores: Sequence[LearningStore], caller: Caller) -> Flow[Forgotten]:
    """Read what was forgotten, by this user and in the shared scopes that the caller reads."""
    namespaces = forgotten_namespaces(stores, caller)
    refs = [*((namespace, LATEST) for namespace in namespaces), *everything_refs(caller)]
    searches = (SearchOp(namespace, limit=MAX_MARKS) for namespace in namespaces)
    reads: list[Flow[Any]] = [search(*searches), get_items(refs)]
    items, found = yield from gather(reads)
    marks = tuple(_read_mark(item) for item in items if "fingerprints" in item.value)
    notes = [found[ref].value for ref in everything_refs(caller) if ref in found]
    expected = tuple(Expected(*ref, version_of(found.get(ref))) for ref in refs)
    return Forgotten(marks, _latest(notes, session_only=False), _latest(notes, session_only=True), expected)


def _latest(notes: Iterable[Mapping[str, Any]], *, session_only: bool) -> datetime | None:
    """Return when everything was forgotten last, or with `session_only` when the thread was deleted."""
    times = (note["at"] for note in notes if bool(note.get(SESSION_ONLY)) == session_only)
    return max(map(datetime.fromisoformat, times), default=None)


def everything_refs(caller: Caller) -> list[ItemRef]:
    """Return the items that say when the user had everything forgotten, and when all of this thread."""
    refs = [(caller.namespace(Scope.USER, FORGOTTEN), EVERYTHING)]
    if caller.thread:
        refs.append((caller.namespace(Scope.THREAD, FORGOTTEN), user_hash(caller, EVERYTHING)))
    return refs


def forgotten_namespaces(stores: Sequence[LearningStore], caller: Caller) -> list[Namespace]:
    """Return the namespaces of the marks that the caller reads, each once."""
    scopes = dict.fromkeys(scope for store in stores for scope in (store.scope, *store.scopes) if scope != Scope.THREAD)
    found = (namespace for scope in (Scope.USER, *scopes) for namespace in caller.readable_namespaces(scope, FORGOTTEN))
    return list(dict.fromkeys(found))


def _read_mark(item: Item) -> Mark:
    fingerprints, messages = (frozenset(item.value[name]) for name in ("fingerprints", "messages"))
    return Mark(item.namespace, item.key, fingerprints, messages, datetime.fromisoformat(item.value["at"]))


def _fingerprint_message(message: MessageRef) -> str:
    thread, id_ = message
    return fingerprint("message", thread or "", id_)
