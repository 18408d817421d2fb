"""Recall: read from all learning stores what the caller may see and what matters to the request."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from langgraph_learning.core.events import describe_learning
from langgraph_learning.core.flow import Flow, as_flow, gather
from langgraph_learning.core.learning import Learning, MessageRef, messages_of
from langgraph_learning.core.repository import get_many
from langgraph_learning.recall.selection import Selection, select_learnings
from langgraph_learning.recall.trial import current_trial
from langgraph_learning.stores.base import LearningStore, Recalled, Request

SUPERSEDED_DEPTH = 3
"""How many generations of superseded learnings are looked up, to leave out the messages that taught them."""


def recall_learnings(stores: Sequence[LearningStore], request: Request) -> Flow[Selection]:
    """Recall from all stores and choose what is shown; reads that stores ask for at the same time become one batch."""
    if not request.caller.recall:
        return Selection(developer_learnings(stores, request.now))
    found = yield from gather(as_flow(store.recall(request)) for store in stores)
    trial = current_trial()
    active: Recalled = {}
    for store, learnings in zip(stores, found, strict=True):
        tried = trial.apply(store, learnings) if trial else learnings
        # A custom store may return anything; only active learnings are shown.
        active[store.name] = [learning for learning in tried if learning.is_active(request.now)]
    messages = [store.name for store in stores if store.verbatim]
    if any(active[name] for name in messages):
        outdated = yield from _find_outdated(learning for learnings in active.values() for learning in learnings)
        for store in stores:
            active[store.name] = store.without_messages(active[store.name], outdated)
    return select_learnings(stores, active)


def _find_outdated(found: Iterable[Learning]) -> Flow[set[MessageRef]]:
    """Return the messages that taught what the found learnings superseded."""
    messages: set[MessageRef] = set()
    current: Iterable[Learning] = found
    for _ in range(SUPERSEDED_DEPTH):
        refs = [(learning.namespace, key) for learning in current for key in learning.supersedes]
        if not refs:
            break
        superseded, _ = yield from get_many(refs)
        current = superseded.values()
        messages |= messages_of(source for learning in current for source in learning.sources)
    return messages


def developer_learnings(stores: Sequence[LearningStore], now: datetime) -> Recalled:
    """Return what the developer wrote. It was never learnt, so it is shown even where recall is switched off."""
    written = {store.name: store.developer_learnings(now) for store in stores}
    return {name: learnings for name, learnings in written.items() if learnings}


def recall_event(selection: Selection, *, texts: bool) -> dict[str, Any]:
    """Return what was recalled as the run's custom stream reports it, and what was found but not shown.

    The list comes first, in its order, and then what stands outside it.
    """
    shown = [learning for learnings in selection.shown.values() for learning in learnings]
    places = {ref: place for place, ref in enumerate(selection.ranking)}
    ranked = sorted(shown, key=lambda learning: places.get(learning.ref, len(places)))
    recalled = [
        {**describe_learning(learning, texts=texts), "rank": rank} for rank, learning in enumerate(ranked, start=1)
    ]
    left_out = [
        {**describe_learning(learning, texts=texts), "reason": reason} for learning, reason in selection.left_out
    ]
    return {"recalled": recalled, "left_out": left_out}
