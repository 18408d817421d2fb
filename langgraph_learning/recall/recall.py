"""Recall: read from all learning stores what the caller may see and what matters to the request."""

from collections.abc import Sequence
from datetime import datetime

from langgraph_learning.core.flow import Flow, as_flow, gather
from langgraph_learning.core.learning import Learning
from langgraph_learning.recall.trial import current_trial
from langgraph_learning.stores.base import LearningStore, Request

Recalled = dict[str, list[Learning]]
"""The learnings that were recalled, by the name of their learning store."""


def recall_learnings(stores: Sequence[LearningStore], request: Request) -> Flow[Recalled]:
    """Recall from all stores; the reads that they ask for at the same time become one batch."""
    if not request.caller.recall:
        return developer_learnings(stores, request.now)
    found = yield from gather(as_flow(store.recall(request)) for store in stores)
    trial = current_trial()
    recalled: Recalled = {}
    for store, learnings in zip(stores, found, strict=True):
        tried = trial.apply(store, learnings) if trial else learnings
        # A custom store may return anything; only active learnings are shown.
        active = [learning for learning in tried if learning.is_active(request.now)]
        if active:
            recalled[store.name] = active
    return recalled


def developer_learnings(stores: Sequence[LearningStore], now: datetime) -> Recalled:
    """Return what the developer wrote. It was never learnt, so it is shown even where recall is switched off."""
    written = {store.name: store.developer_learnings(now) for store in stores}
    return {name: learnings for name, learnings in written.items() if learnings}
