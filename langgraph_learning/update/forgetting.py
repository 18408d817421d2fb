"""Listing and deletion of what is stored about a user: single learnings, a thread, or all of a store on opt-out."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from langgraph.store.base import PutOp

from langgraph_learning.core.flow import Flow, batch, get_item, search_all
from langgraph_learning.core.keys import CURSOR, FORGOTTEN, user_hash
from langgraph_learning.core.learning import Learning, Source, Status
from langgraph_learning.core.repository import all_in
from langgraph_learning.core.scopes import Caller, Namespace, Scope
from langgraph_learning.errors import NotFound
from langgraph_learning.stores.base import LearningStore, find_dependents, readable_namespaces
from langgraph_learning.update.erasure import belongs_to_user, erase_statements, plan_deletion
from langgraph_learning.update.marks import EVERYTHING, note_all_forgotten, note_session_deleted
from langgraph_learning.update.opt_out import opt_out_namespace, stores_by_name
from langgraph_learning.update.votes import find_context_refs


def list_visible(stores: Sequence[LearningStore], caller: Caller, now: datetime) -> Flow[list[Learning]]:
    """Return the active learnings that the caller may read, by kind, newest first."""
    learnings = drop_foreign_session((yield from _read_all(readable_namespaces(stores, caller))), caller)
    superseded = {key for learning in learnings if learning.status is Status.ACTIVE for key in learning.supersedes}
    return [learning for learning in learnings if learning.is_active(now) and learning.key not in superseded]


def forget(stores: Sequence[LearningStore], caller: Caller, keys: Sequence[str], now: datetime) -> Flow[int]:
    """Delete learnings by key; without keys, everything private to the user. Return the number of deleted learnings.

    What they superseded, what repeats their words, and the user's messages behind them are deleted as well; what is
    forgotten by key is not learnt again. Raises `NotFound` for a key of nothing that the caller may read.

    now: the time of the machine's clock.
    """
    learnings = yield from _read_all(readable_namespaces(stores, caller))
    by_key = {learning.key: learning for learning in learnings}
    if missing := [key for key in keys if key not in by_key]:
        raise NotFound(f"Nothing that {caller.user} can see has the key {missing[0]!r}.")
    if not keys:
        private = [learning for learning in learnings if belongs_to_user(learning, caller)]
        return (yield from _forget_user(stores, caller, private, learnings, now))
    at = caller.present(now)
    erasure = yield from erase_statements(stores, caller, [by_key[key] for key in keys], at)
    yield from batch(*erasure.ops, by=caller.user, erase=True)
    return len(erasure.deleted)


def forget_thread(stores: Sequence[LearningStore], caller: Caller, now: datetime) -> Flow[int]:
    """Delete a thread's session, the records of its answers, and what the user taught in no other thread.

    Return the number of deleted learnings. Learnings that also have other sources lose only those of this thread. In
    a thread in which the user never spoke, nothing is deleted.

    now: the time of the machine's clock.
    """
    learnings = drop_foreign_session((yield from _read_all(readable_namespaces(stores, caller))), caller)
    other_sources = {learning.ref: _sources_elsewhere(caller, learning.sources) for learning in learnings}
    deleted = [
        learning
        for learning in learnings
        if learning.scope == Scope.THREAD or (learning.sources and not other_sources[learning.ref])
    ]
    deleted += [learning for learning in find_dependents(stores, deleted, learnings) if learning not in deleted]
    changed = [
        learning.model_copy(update={"sources": other_sources[learning.ref]})
        for learning in learnings
        if learning not in deleted and learning.sources != other_sources[learning.ref]
    ]
    deletion = yield from plan_deletion(stores, caller, deleted)
    context_refs = yield from find_context_refs(caller)
    yield from batch(
        *deletion,
        *(learning.put() for learning in changed),
        *(PutOp(*ref, None) for ref in context_refs),
        note_all_forgotten(caller, now),
        by=caller.user,
        erase=True,
    )
    return len(deleted)


def forget_session(stores: Sequence[LearningStore], caller: Caller, now: datetime) -> Flow[int]:
    """Delete what belongs to a thread itself: its session, the records of its answers, and the user's cursor in it.

    What is being learnt from it, or waits to be, is still learnt, but nothing of it is stored for the thread.
    Return the number of deleted learnings. In a thread in which the user never spoke, nothing is deleted.

    now: the time of the machine's clock.
    """
    of_thread = [store for store in stores if store.scope == Scope.THREAD]
    session = drop_foreign_session((yield from _read_all(readable_namespaces(of_thread, caller))), caller)
    context_refs = yield from find_context_refs(caller)
    cursor_changes = yield from _plan_cursor_deletion(caller)
    yield from batch(
        *(PutOp(*learning.ref, None) for learning in session),
        *(PutOp(*ref, None) for ref in context_refs),
        *cursor_changes,
        (yield from note_session_deleted(caller, now)),
        by=caller.user,
        erase=True,
    )
    return len(session)


def opt_out(stores: Sequence[LearningStore], caller: Caller, names: Sequence[str]) -> Flow[int]:
    """Stop learning from a user in these learning stores, without names in all; delete the user's private learnings.

    Return the number of deleted learnings.
    """
    chosen = stores_by_name(stores, names)
    namespace = opt_out_namespace(caller)
    opt_outs = [PutOp(namespace, store.name, {"version": 1}, index=False) for store in chosen]
    # The opt-outs are written first, so that nothing is learnt again while the learnings are read and deleted.
    yield from batch(*opt_outs, by=caller.user)
    learnings = yield from _read_all(readable_namespaces(chosen, caller))
    private = [learning for learning in learnings if belongs_to_user(learning, caller)]
    yield from batch(*(yield from plan_deletion(stores, caller, private)), by=caller.user, erase=True)
    return len(private)


def drop_foreign_session(learnings: Sequence[Learning], caller: Caller) -> list[Learning]:
    """Leave out the session of a thread in which the caller never spoke.

    A thread id that a client sends proves nothing. The session itself names those who spoke.
    """
    session = [learning for learning in learnings if learning.scope == Scope.THREAD]
    spoke = any(source.user == caller.user for learning in session for source in learning.sources)
    return [learning for learning in learnings if spoke or learning.scope != Scope.THREAD]


def _read_all(namespaces: Sequence[Namespace]) -> Flow[list[Learning]]:
    """Return all learnings of these namespaces, by kind, newest first."""
    learnings = yield from all_in(namespaces)
    return sorted(learnings, key=lambda learning: (learning.kind, learning.learned_at), reverse=True)


def _forget_user(
    stores: Sequence[LearningStore],
    caller: Caller,
    private: Sequence[Learning],
    learnings: Sequence[Learning],
    now: datetime,
) -> Flow[int]:
    """Delete everything private to a user, what repeats it, and the marks of what they had forgotten."""
    deleted = [*private, *(one for one in find_dependents(stores, private, learnings) if one not in private)]
    deletion = yield from plan_deletion(stores, caller, deleted)
    marks = yield from search_all(caller.namespace(Scope.USER, FORGOTTEN))
    unmarked = [PutOp(mark.namespace, mark.key, None) for mark in marks if mark.key != EVERYTHING]
    noted = note_all_forgotten(replace(caller, thread=None), now)
    yield from batch(*deletion, *unmarked, noted, by=caller.user, erase=True)
    return len(deleted)


def _sources_elsewhere(caller: Caller, sources: Sequence[Source]) -> tuple[Source, ...]:
    """Return the sources without the turns of the caller in the caller's thread."""
    left = (source.outside(caller.user, caller.thread) for source in sources)
    return tuple(source for source in left if source is not None)


def _plan_cursor_deletion(caller: Caller) -> Flow[list[PutOp]]:
    """Return the operation that deletes the user's part of the cursor of their thread."""
    ref = caller.namespace(Scope.THREAD, CURSOR), "read"
    item = yield from get_item(*ref)
    readers = dict(item.value.get("readers") or {}) if item else {}
    if item is None or readers.pop(user_hash(caller, CURSOR), None) is None:
        return []
    rest = {**item.value, "readers": readers} if readers else None
    return [PutOp(*ref, rest, index=False)]
