"""All that is known to a caller, to look through and to remove."""

from collections.abc import Sequence
from datetime import datetime

from langgraph.store.base import PutOp

from langgraph_learning.core.flow import Flow, batch, gather, search_all
from langgraph_learning.core.learning import Learning, Source, Status, messages_of
from langgraph_learning.core.repository import all_in
from langgraph_learning.core.scopes import Caller, Namespace, Scope
from langgraph_learning.errors import NotFound
from langgraph_learning.stores.base import LearningStore, find_dependents, readable_namespaces
from langgraph_learning.update.opt_out import opt_out_namespace, stores_by_name
from langgraph_learning.update.promotion import withdraw_support
from langgraph_learning.update.votes import find_context_refs, votes_namespace


def list_visible(stores: Sequence[LearningStore], caller: Caller, now: datetime) -> Flow[list[Learning]]:
    """Return all that a caller could be shown, by kind, newest first."""
    found = yield from all_learnings(readable_namespaces(stores, caller))
    older = {key for learning in found if learning.status is Status.ACTIVE for key in learning.supersedes}
    return [one for one in found if one.is_active(now) and one.key not in older]


def forget(stores: Sequence[LearningStore], caller: Caller, keys: Sequence[str]) -> Flow[int]:
    """Remove learnings by key, with what they superseded, what repeats them, and the user's words that they rest on.

    Without keys, remove all that is the user's alone.
    """
    found = yield from all_learnings(readable_namespaces(stores, caller))
    by_key = {learning.key: learning for learning in found}
    if missing := [key for key in keys if key not in by_key]:
        raise NotFound(f"Nothing that {caller.user} can see has the key {missing[0]!r}.")
    gone = [by_key[key] for key in keys] if keys else [one for one in found if belongs_to_user(one, caller)]
    for learning in gone:
        gone += [by_key[key] for key in learning.supersedes if key in by_key and by_key[key] not in gone]
    gone += [one for one in find_dependents(stores, gone, found) if one not in gone]
    gone += [one for one in _verbatim_evidence(stores, caller, gone, found) if one not in gone]
    return (yield from erase(stores, caller, gone))


def forget_thread(stores: Sequence[LearningStore], caller: Caller) -> Flow[int]:
    """Remove a thread's session, what its answers were shown, and what this user taught in that thread alone."""
    found = yield from all_learnings(readable_namespaces(stores, caller))
    left = {learning.ref: _other_sources(caller, learning.sources) for learning in found}
    gone = [one for one in found if one.scope == Scope.THREAD or (one.sources and not left[one.ref])]
    gone += [one for one in find_dependents(stores, gone, found) if one not in gone]
    changed = [one for one in found if one not in gone and one.sources != left[one.ref]]
    ops = [PutOp(one.namespace, one.key, None) for one in gone]
    ops += [one.model_copy(update={"sources": left[one.ref]}).put() for one in changed]
    withdrawn = yield from withdraw_support(stores, caller, gone)
    votes = yield from _vote_deletions(gone)
    shown = [PutOp(*place, None) for place in (yield from find_context_refs(caller))]
    yield from batch(*ops, *votes, *shown, *(one.put() for one in withdrawn), by=caller.user, erase=True)
    return len(gone)


def belongs_to_user(learning: Learning, caller: Caller) -> bool:
    """Whether something is a user's alone: private to them, or proposed on their words and decided by nobody yet."""
    waits = learning.status is Status.PROPOSED and not learning.decisions
    theirs = bool(learning.sources) and all(source.user == caller.user for source in learning.sources)
    return learning.scope.private or (waits and theirs)


def _other_sources(caller: Caller, sources: Sequence[Source]) -> tuple[Source, ...]:
    """Return sources without those in the caller's thread and by the caller."""
    return tuple(one for one in sources if (one.thread, one.user) != (caller.thread, caller.user))


def erase(stores: Sequence[LearningStore], caller: Caller, gone: Sequence[Learning]) -> Flow[int]:
    """Remove learnings with their votes, and the user's support for what waits for more voices."""
    withdrawn = yield from withdraw_support(stores, caller, gone)
    votes = yield from _vote_deletions(gone)
    ops = [*(PutOp(one.namespace, one.key, None) for one in gone), *votes, *(one.put() for one in withdrawn)]
    yield from batch(*ops, by=caller.user, erase=True)
    return len(gone)


def _verbatim_evidence(
    stores: Sequence[LearningStore], caller: Caller, gone: Sequence[Learning], found: Sequence[Learning]
) -> list[Learning]:
    """Return the user's words on which learnings rest, where a learning store keeps words as they were said."""
    raw = {store.name for store in stores if store.verbatim}
    said = messages_of(source for one in gone for source in one.sources if source.user == caller.user)
    words = (one for one in found if one.store_name in raw)
    return [one for one in words if said & messages_of(one.sources)]


def _vote_deletions(gone: Sequence[Learning]) -> Flow[list[PutOp]]:
    """Return what removes the votes on learnings."""
    found = yield from gather(search_all(votes_namespace(one.ref)) for one in gone)
    return [PutOp(item.namespace, item.key, None) for items in found for item in items]


def all_learnings(folders: Sequence[Namespace]) -> Flow[list[Learning]]:
    """Read all learnings of these namespaces, by kind, newest first."""
    found = yield from all_in(folders)
    return sorted(found, key=lambda learning: (learning.kind, learning.learned_at), reverse=True)


def opt_out(stores: Sequence[LearningStore], caller: Caller, names: Sequence[str]) -> Flow[int]:
    """Learn nothing more of a user in these learning stores, all without names, and remove what is theirs alone."""
    out = stores_by_name(stores, names)
    notes = [PutOp(opt_out_namespace(caller), store.name, {"version": 1}, index=False) for store in out]
    # First, so that nothing comes anew while what is there is looked for.
    yield from batch(*notes, by=caller.user)
    found = yield from all_learnings(readable_namespaces(out, caller))
    return (yield from erase(stores, caller, [one for one in found if belongs_to_user(one, caller)]))
