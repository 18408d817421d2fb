"""Reading of learnings by key, by namespace and by status, with their versions."""

from collections.abc import Iterable, Sequence
from typing import Any

from langgraph.store.base import GetOp, Item

from langgraph_learning.core.flow import Flow, batch, gather, search_all
from langgraph_learning.core.learning import Learning, read_learnings
from langgraph_learning.core.scopes import ItemRef, Namespace
from langgraph_learning.core.store_protocol import version_of


def all_in(folders: Sequence[Namespace], filter: dict[str, Any] | None = None) -> Flow[list[Learning]]:
    """Return all learnings in exactly these namespaces that a filter lets through."""
    items = yield from gather(search_all(place, filter) for place in folders)
    return [one for place, there in zip(folders, items, strict=True) for one in read_learnings(there, [place])]


def get_many(wanted: Iterable[ItemRef]) -> Flow[tuple[dict[ItemRef, Learning], dict[ItemRef, int]]]:
    """Return what lies at these places, and its version, 0 where nothing lies."""
    at = sorted(set(wanted))
    items = yield from batch(*(GetOp(*place) for place in at))
    found = {place: item if isinstance(item, Item) else None for place, item in zip(at, items, strict=True)}
    learnings = {place: Learning.read(item) for place, item in found.items() if item}
    return {p: one for p, one in learnings.items() if one}, {p: version_of(item) for p, item in found.items()}
