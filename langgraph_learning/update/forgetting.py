"""All that is known to a caller, to look through and to remove."""

from collections.abc import Sequence
from datetime import datetime

from langgraph.store.base import PutOp

from langgraph_learning.core.flow import Flow, batch, every, together
from langgraph_learning.core.learning import Learning, Source, Status, messages_in
from langgraph_learning.core.scopes import Caller, Namespace, Scope
from langgraph_learning.errors import NotFound
from langgraph_learning.stores.base import LearningStore, places, repeating
from langgraph_learning.update.votes import kept_of, where
from langgraph_learning.update.write_policy import learnings_in, opting, withdraw


def visible(stores: Sequence[LearningStore], caller: Caller, now: datetime) -> Flow[list[Learning]]:
    """Return all that a caller could be shown, by kind, newest first."""
    found = yield from _all(places(stores, caller))
    older = {key for learning in found if learning.status is Status.ACTIVE for key in learning.supersedes}
    return [one for one in found if one.counts(now) and one.key not in older]


def forget(stores: Sequence[LearningStore], caller: Caller, keys: Sequence[str]) -> Flow[int]:
    """Remove learnings by key, with what they superseded, what repeats them, and the user's words that they rest on.

    Without keys, remove all that is the user's alone.
    """
    found = yield from _all(places(stores, caller))
    by_key = {learning.key: learning for learning in found}
    if missing := [key for key in keys if key not in by_key]:
        raise NotFound(f"Nothing that {caller.user} can see has the key {missing[0]!r}.")
    gone = [by_key[key] for key in keys] if keys else [one for one in found if _alone(one, caller)]
    for learning in gone:
        gone += [by_key[key] for key in learning.supersedes if key in by_key and by_key[key] not in gone]
    gone += [one for one in repeating(stores, gone, found) if one not in gone]
    gone += [one for one in _words_of(stores, caller, gone, found) if one not in gone]
    return (yield from _erased(stores, caller, gone))


def opt_out(stores: Sequence[LearningStore], caller: Caller, names: Sequence[str]) -> Flow[int]:
    """Learn nothing more of a user in these learning stores, all without names, and remove what is theirs alone."""
    out = _named(stores, names)
    notes = [PutOp(opting(caller), store.name, {"version": 1}, index=False) for store in out]
    # First, so that nothing comes anew while what is there is looked for.
    yield from batch(*notes, by=caller.user)
    found = yield from _all(places(out, caller))
    return (yield from _erased(stores, caller, [one for one in found if _alone(one, caller)]))


def opt_in(stores: Sequence[LearningStore], caller: Caller, names: Sequence[str]) -> Flow[None]:
    """Learn of a user again in these learning stores, all without names."""
    yield from batch(*(PutOp(opting(caller), one.name, None) for one in _named(stores, names)), by=caller.user)


def forget_thread(stores: Sequence[LearningStore], caller: Caller) -> Flow[int]:
    """Remove a thread's session, what its answers were shown, and what this user taught in that thread alone."""
    found = yield from _all(places(stores, caller))
    left = {learning.place: _without(caller, learning.sources) for learning in found}
    gone = [one for one in found if one.scope == Scope.THREAD or (one.sources and not left[one.place])]
    gone += [one for one in repeating(stores, gone, found) if one not in gone]
    changed = [one for one in found if one not in gone and one.sources != left[one.place]]
    ops = [PutOp(one.namespace, one.key, None) for one in gone]
    ops += [one.model_copy(update={"sources": left[one.place]}).put() for one in changed]
    withdrawn = yield from withdraw(stores, caller, gone)
    votes = yield from _votes_on(gone)
    shown = [PutOp(*place, None) for place in (yield from kept_of(caller))]
    yield from batch(*ops, *votes, *shown, *(one.put() for one in withdrawn), by=caller.user, erase=True)
    return len(gone)


def _alone(learning: Learning, caller: Caller) -> bool:
    """Whether something is a user's alone: private to them, or proposed on their words and decided by nobody yet."""
    waits = learning.status is Status.PROPOSED and not learning.decisions
    theirs = bool(learning.sources) and all(source.user == caller.user for source in learning.sources)
    return learning.scope.private or (waits and theirs)


def _without(caller: Caller, sources: Sequence[Source]) -> tuple[Source, ...]:
    """Return sources without those in the caller's thread and by the caller."""
    return tuple(one for one in sources if (one.thread, one.user) != (caller.thread, caller.user))


def _erased(stores: Sequence[LearningStore], caller: Caller, gone: Sequence[Learning]) -> Flow[int]:
    """Remove learnings with their votes, and the user's support for what waits for more voices."""
    withdrawn = yield from withdraw(stores, caller, gone)
    votes = yield from _votes_on(gone)
    ops = [*(PutOp(one.namespace, one.key, None) for one in gone), *votes, *(one.put() for one in withdrawn)]
    yield from batch(*ops, by=caller.user, erase=True)
    return len(gone)


def _words_of(
    stores: Sequence[LearningStore], caller: Caller, gone: Sequence[Learning], found: Sequence[Learning]
) -> list[Learning]:
    """Return the user's words on which learnings rest, where a learning store keeps words as they were said."""
    raw = {store.name for store in stores if store.raw}
    said = messages_in(source for one in gone for source in one.sources if source.user == caller.user)
    words = (one for one in found if one.kept_by in raw)
    return [one for one in words if said & messages_in(one.sources)]


def _votes_on(gone: Sequence[Learning]) -> Flow[list[PutOp]]:
    """Return what removes the votes on learnings."""
    found = yield from together(every(where(one.place)) for one in gone)
    return [PutOp(item.namespace, item.key, None) for items in found for item in items]


def _named(stores: Sequence[LearningStore], names: Sequence[str]) -> list[LearningStore]:
    known = {store.name: store for store in stores}
    if unknown := [name for name in names if name not in known]:
        raise NotFound(f"The machine has no learning store {unknown[0]!r}, only {', '.join(known)}.")
    return [known[name] for name in names] or list(stores)


def _all(folders: Sequence[Namespace]) -> Flow[list[Learning]]:
    found = yield from learnings_in(folders)
    return sorted(found, key=lambda learning: (learning.kind, learning.learned_at), reverse=True)
