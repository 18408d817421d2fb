"""Listing and deletion of what is stored about a user: single learnings, a thread, or all of a store on opt-out."""

from collections.abc import Sequence
from datetime import datetime

from langgraph.store.base import PutOp

from langgraph_learning.core.flow import Flow, batch, gather, get_item, search_all
from langgraph_learning.core.keys import CURSOR, user_hash
from langgraph_learning.core.learning import Learning, Source, Status
from langgraph_learning.core.repository import all_in, get_many
from langgraph_learning.core.scopes import Caller, Namespace, Scope
from langgraph_learning.errors import NotFound
from langgraph_learning.stores.base import LearningStore, find_dependents, find_words, readable_namespaces
from langgraph_learning.update.opt_out import opt_out_namespace, stores_by_name
from langgraph_learning.update.promotion import withdraw_support, write_candidate
from langgraph_learning.update.votes import find_context_refs, votes_namespace


def list_visible(stores: Sequence[LearningStore], caller: Caller, now: datetime) -> Flow[list[Learning]]:
    """Return the active learnings that the caller may read, by kind, newest first."""
    learnings = drop_foreign_session((yield from _read_all(readable_namespaces(stores, caller))), caller)
    superseded = {key for learning in learnings if learning.status is Status.ACTIVE for key in learning.supersedes}
    return [learning for learning in learnings if learning.is_active(now) and learning.key not in superseded]


def forget(stores: Sequence[LearningStore], caller: Caller, keys: Sequence[str]) -> Flow[int]:
    """Delete learnings by key; without keys, everything private to the user. Return the number of deleted learnings.

    What they superseded, what repeats their words, and the user's messages behind them are deleted as well. Raises
    `NotFound` for a key of nothing that the caller may read.
    """
    learnings = yield from _read_all(readable_namespaces(stores, caller))
    by_key = {learning.key: learning for learning in learnings}
    if missing := [key for key in keys if key not in by_key]:
        raise NotFound(f"Nothing that {caller.user} can see has the key {missing[0]!r}.")
    if keys:
        deleted = [by_key[key] for key in dict.fromkeys(keys)]
    else:
        deleted = [learning for learning in learnings if belongs_to_user(learning, caller)]
    for learning in deleted:  # the list grows while it is read, so that all earlier versions are found
        deleted += [by_key[key] for key in learning.supersedes if key in by_key and by_key[key] not in deleted]
    deleted += [learning for learning in find_dependents(stores, deleted, learnings) if learning not in deleted]
    deleted += [learning for learning in _find_messages(stores, caller, deleted, learnings) if learning not in deleted]
    return (yield from _erase(stores, caller, deleted))


def forget_thread(stores: Sequence[LearningStore], caller: Caller) -> Flow[int]:
    """Delete a thread's session, the records of its answers, and what the user taught in no other thread.

    Return the number of deleted learnings. Learnings that also have other sources lose only those of this thread. In
    a thread in which the user never spoke, nothing is deleted.
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
    candidates = yield from withdraw_support(stores, caller, deleted)
    vote_deletions = yield from _plan_vote_deletions(deleted)
    context_refs = yield from find_context_refs(caller)
    quoting = yield from _drop_quotes(stores, deleted)
    yield from batch(
        *(PutOp(*learning.ref, None) for learning in deleted),
        *(learning.put() for learning in changed),
        *quoting,
        *vote_deletions,
        *(PutOp(*ref, None) for ref in context_refs),
        *(write_candidate(candidate) for candidate in candidates),
        by=caller.user,
        erase=True,
    )
    return len(deleted)


def forget_session(stores: Sequence[LearningStore], caller: Caller) -> Flow[int]:
    """Delete what belongs to a thread itself: its session, the records of its answers, and the user's cursor in it.

    Return the number of deleted learnings. In a thread in which the user never spoke, nothing is deleted.
    """
    of_thread = [store for store in stores if store.scope == Scope.THREAD]
    session = drop_foreign_session((yield from _read_all(readable_namespaces(of_thread, caller))), caller)
    context_refs = yield from find_context_refs(caller)
    cursor_changes = yield from _plan_cursor_deletion(caller)
    yield from batch(
        *(PutOp(*learning.ref, None) for learning in session),
        *(PutOp(*ref, None) for ref in context_refs),
        *cursor_changes,
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
    return (yield from _erase(stores, caller, private))


def drop_foreign_session(learnings: Sequence[Learning], caller: Caller) -> list[Learning]:
    """Leave out the session of a thread in which the caller never spoke.

    A thread id that a client sends proves nothing. The session itself names those who spoke.
    """
    session = [learning for learning in learnings if learning.scope == Scope.THREAD]
    spoke = any(source.user == caller.user for learning in session for source in learning.sources)
    return [learning for learning in learnings if spoke or learning.scope != Scope.THREAD]


def belongs_to_user(learning: Learning, caller: Caller) -> bool:
    """Return True if a learning is private to the user, or an undecided proposal that rests on their words alone."""
    undecided = learning.status is Status.PROPOSED and not learning.decisions
    from_user_alone = bool(learning.sources) and all(source.user == caller.user for source in learning.sources)
    return learning.scope.private or (undecided and from_user_alone)


def _read_all(namespaces: Sequence[Namespace]) -> Flow[list[Learning]]:
    """Return all learnings of these namespaces, by kind, newest first."""
    learnings = yield from all_in(namespaces)
    return sorted(learnings, key=lambda learning: (learning.kind, learning.learned_at), reverse=True)


def _erase(stores: Sequence[LearningStore], caller: Caller, deleted: Sequence[Learning]) -> Flow[int]:
    """Delete learnings, the votes on them, and the user's support for candidates; return the number of learnings."""
    candidates = yield from withdraw_support(stores, caller, deleted)
    vote_deletions = yield from _plan_vote_deletions(deleted)
    quoting = yield from _drop_quotes(stores, deleted)
    yield from batch(
        *(PutOp(*learning.ref, None) for learning in deleted),
        *quoting,
        *vote_deletions,
        *(write_candidate(candidate) for candidate in candidates),
        by=caller.user,
        erase=True,
    )
    return len(deleted)


def _drop_quotes(stores: Sequence[LearningStore], deleted: Sequence[Learning]) -> Flow[list[PutOp]]:
    """Return the operations that take from learnings the cues that quote deleted ones, and their earlier values."""
    by_name = {store.name: store for store in stores}
    refs = {
        (learning.namespace, key)
        for learning in deleted
        if learning.store_name in by_name
        for key in by_name[learning.store_name].quoted_in(learning)
    }
    quoting, _ = yield from get_many(sorted(refs - {learning.ref for learning in deleted}))
    rewritten = [learning.model_copy(update={"cues": ()}) for learning in quoting.values()]
    return [op for learning in rewritten for op in (PutOp(*learning.ref, None), learning.put())]


def _sources_elsewhere(caller: Caller, sources: Sequence[Source]) -> tuple[Source, ...]:
    """Return the sources that are not turns of the caller in the caller's thread."""
    return tuple(source for source in sources if (source.thread, source.user) != (caller.thread, caller.user))


def _find_messages(
    stores: Sequence[LearningStore], caller: Caller, deleted: Sequence[Learning], learnings: Sequence[Learning]
) -> list[Learning]:
    """Return the messages that hold what is deleted, among the learnings of stores that keep messages."""
    verbatim = {store.name for store in stores if store.verbatim}
    messages = [learning for learning in learnings if learning.store_name in verbatim]
    return find_words([one for one in deleted if one.store_name not in verbatim], messages, caller.user)


def _plan_cursor_deletion(caller: Caller) -> Flow[list[PutOp]]:
    """Return the operation that deletes the user's part of the cursor of their thread."""
    ref = caller.namespace(Scope.THREAD, CURSOR), "read"
    item = yield from get_item(*ref)
    readers = dict(item.value.get("readers") or {}) if item else {}
    if item is None or readers.pop(user_hash(caller, CURSOR), None) is None:
        return []
    rest = {**item.value, "readers": readers} if readers else None
    return [PutOp(*ref, rest, index=False)]


def _plan_vote_deletions(learnings: Sequence[Learning]) -> Flow[list[PutOp]]:
    """Return the operations that delete all votes on these learnings."""
    votes = yield from gather(search_all(votes_namespace(learning.ref)) for learning in learnings)
    return [PutOp(item.namespace, item.key, None) for items in votes for item in items]
