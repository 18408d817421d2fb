"""Learnings about one subject, such as a field of a profile, that two sessions wrote at once: the newest counts."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from langgraph.store.base import PutOp, SearchOp

from langgraph_learning.core.flow import Flow, batch, search
from langgraph_learning.core.learning import Learning, Status, read_learnings
from langgraph_learning.core.records import has_identity
from langgraph_learning.core.scopes import Caller, ItemRef, Scope
from langgraph_learning.core.store_protocol import Expected, version_of
from langgraph_learning.errors import Conflict
from langgraph_learning.stores.base import LearningStore
from langgraph_learning.update.marks import mark_forgotten

SETTLE_ATTEMPTS = 5
NEWEST = 100
"""How many learnings of a kind are looked at: stores return what changed last first."""
_Subject = tuple[tuple[str, ...], str]


def settle_subjects(
    stores: Sequence[LearningStore],
    caller: Caller,
    written: Iterable[Learning],
    forgotten: Collection[ItemRef],
    at: datetime,
) -> Flow[None]:
    """Let the newest learning of each written subject supersede others that are active beside it.

    Each of two sessions supersedes only what it knew of when it asked its model. Where a subject was forgotten, all
    that was learnt about it until then is rejected. Both sessions do this after they wrote, so that at least the later
    one sees what the other wrote, in a store without conditions as well.

    forgotten: those of the written learnings that leave no words, nor does what is rejected with them.
    """
    by_name = {store.name: store for store in stores}
    subjects: dict[_Subject, Learning] = {}
    for learning in written:
        store = by_name[learning.store_name]
        record = store.kinds.get(learning.kind)
        # A thread's session has one version for each branch of the thread.
        settled = learning.status in (Status.ACTIVE, Status.REJECTED) and learning.scope != Scope.THREAD
        if settled and record is not None and has_identity(record) and not store.instructs:
            subject = learning.namespace, store.subject(learning)
            # With a new value, the one that was forgotten for it makes no difference.
            if subject not in subjects or learning.status is Status.ACTIVE:
                subjects[subject] = learning
    for _ in range(SETTLE_ATTEMPTS if subjects else 0):
        changes, expected = yield from _find_changes(by_name, subjects)
        try:
            erased = [learning for learning in changes if _is_erased(learning, subjects.values(), forgotten)]
            kept = [learning for learning in changes if learning not in erased]
            ops = [op for learning in erased for op in (PutOp(*learning.ref, None), mark_forgotten(learning, at))]
            puts = [learning.put() for learning in kept]
            yield from batch(*ops, *puts, expected=expected, by=caller.user, erase=bool(erased))
        except Conflict:
            continue
        return


def _is_erased(learning: Learning, written: Iterable[Learning], forgotten: Collection[ItemRef]) -> bool:
    """Return True if a learning is rejected in the step in which one that leaves no words was forgotten."""
    steps = {each.step for each in written if each.ref in forgotten}
    return learning.status is Status.REJECTED and learning.step in steps


def _find_changes(
    by_name: dict[str, LearningStore], subjects: dict[_Subject, Learning]
) -> Flow[tuple[list[Learning], list[Expected]]]:
    kinds = {(learning.namespace, learning.kind) for learning in subjects.values()}
    active = {"status": Status.ACTIVE.value}
    items = yield from search(*(SearchOp(place, {**active, "kind": kind}, limit=NEWEST) for place, kind in kinds))
    found = read_learnings(items, [namespace for namespace, _ in kinds])
    changes: dict[tuple[tuple[str, ...], str], Learning] = {}
    for (namespace, subject), written in subjects.items():
        store = by_name[written.store_name]
        same = [each for each in found if each.namespace == namespace and store.subject(each) == subject]
        same = [each for each in same if each.ref not in changes]
        for learning in _settle(written, same):
            changes[learning.ref] = learning
    versions = {(item.namespace, item.key): version_of(item) for item in items}
    return list(changes.values()), [Expected(*ref, versions[ref]) for ref in changes]


def _settle(written: Learning, same: Sequence[Learning]) -> list[Learning]:
    """Return the changes that leave one of some active learnings about one subject, or none if it was forgotten."""
    if written.status is Status.REJECTED:
        end = written.valid_to
        ended = [learning for learning in same if end and learning.learned_at <= end]
        update = {"status": Status.REJECTED, "valid_to": end, "step": written.step}
        return [learning.model_copy(update=update) for learning in ended]
    if len(same) < 2:
        return []
    *older, newest = sorted(same, key=lambda learning: (learning.learned_at, learning.key))
    update = {"status": Status.SUPERSEDED, "valid_to": newest.learned_at, "step": newest.step}
    keys = dict.fromkeys((*newest.supersedes, *(learning.key for learning in older)))
    return [
        *(learning.model_copy(update=update) for learning in older),
        newest.model_copy(update={"supersedes": tuple(keys)}),
    ]
