"""All that is known to a caller, to look through and to remove."""

from collections.abc import Sequence
from datetime import datetime

from langgraph.store.base import PutOp, SearchOp

from langgraph_learning.errors import NotFound
from langgraph_learning.flow import Flow, batch, search
from langgraph_learning.gates import withdraw
from langgraph_learning.learning import Learning, Status, read_all
from langgraph_learning.learning_store import LearningStore
from langgraph_learning.scopes import Caller, Namespace, Scope

PAGE = 500


def visible(stores: Sequence[LearningStore], caller: Caller, now: datetime) -> Flow[list[Learning]]:
    """Return all that a caller could be shown, by kind, newest first."""
    found = yield from _all(_places(stores, caller))
    older = {key for learning in found if learning.status is Status.ACTIVE for key in learning.supersedes}
    return [one for one in found if one.status is Status.ACTIVE and one.valid(now) and one.key not in older]


def forget(stores: Sequence[LearningStore], caller: Caller, keys: Sequence[str]) -> Flow[int]:
    """Remove learnings by key, with what they superseded; without keys, all that is private to the user."""
    found = yield from _all(_places(stores, caller))
    by_key = {learning.key: learning for learning in found}
    if missing := [key for key in keys if key not in by_key]:
        raise NotFound(f"Nothing that {caller.user} can see has the key {missing[0]!r}.")
    gone = [by_key[key] for key in keys] if keys else [learning for learning in found if learning.scope.private]
    for learning in gone:
        gone += [by_key[key] for key in learning.supersedes if key in by_key and by_key[key] not in gone]
    withdrawn = yield from withdraw(stores, caller, gone)
    ops = [*(PutOp(one.namespace, one.key, None) for one in gone), *(one.put() for one in withdrawn)]
    yield from batch(*ops, by=caller.user, erase=True)
    return len(gone)


def forget_thread(stores: Sequence[LearningStore], caller: Caller) -> Flow[int]:
    """Remove a thread's session, and what this user taught in that thread and nowhere else."""
    found = yield from _all(_places(stores, caller))
    gone, ops = [], []
    for learning in found:
        others = tuple(s for s in learning.sources if (s.thread, s.user) != (caller.thread, caller.user))
        if learning.scope == Scope.THREAD or (learning.sources and not others):
            ops.append(PutOp(learning.namespace, learning.key, None))
            gone.append(learning)
        elif others != learning.sources:
            ops.append(learning.model_copy(update={"sources": others}).put())
    withdrawn = yield from withdraw(stores, caller, gone)
    yield from batch(*ops, *(one.put() for one in withdrawn), by=caller.user, erase=True)
    return len(gone)


def _places(stores: Sequence[LearningStore], caller: Caller) -> list[Namespace]:
    return list(dict.fromkeys(place for store in stores for place in caller.readable(store.scope, store.name)))


def _all(places: Sequence[Namespace]) -> Flow[list[Learning]]:
    found: list[Learning] = []
    for place in places:
        offset = 0
        while True:
            items = yield from search(SearchOp(place, limit=PAGE, offset=offset))
            found += read_all(items, [place])
            if len(items) < PAGE:
                break
            offset += PAGE
    return sorted(found, key=lambda learning: (learning.kind, learning.learned_at), reverse=True)
