"""Repository: reads items and learnings by key, namespace and status, with their versions."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from langgraph.store.base import GetOp, Item

from langgraph_learning.core.flow import Flow, batch, gather, search_all
from langgraph_learning.core.learning import Learning, Status, read_learnings
from langgraph_learning.core.scopes import ItemRef, Namespace
from langgraph_learning.core.store_protocol import Expected, version_of


class StoredLearning(NamedTuple):
    """A learning as it was read from the store, with its version."""

    learning: Learning
    version: int

    @property
    def condition(self) -> Expected:
        """The condition that the learning still has this version."""
        return Expected(*self.learning.ref, self.version)


def get_items(refs: Iterable[ItemRef]) -> Flow[dict[ItemRef, Item]]:
    """Read items in one batch; refs under which nothing is stored are left out."""
    distinct = list(dict.fromkeys(refs))
    results = yield from batch(*(GetOp(*ref) for ref in distinct))
    return {ref: item for ref, item in zip(distinct, results, strict=True) if isinstance(item, Item)}


def get_many(refs: Iterable[ItemRef]) -> Flow[tuple[dict[ItemRef, Learning], dict[ItemRef, int]]]:
    """Read learnings in one batch; return them and the version of every ref, 0 where nothing is stored."""
    wanted = list(refs)
    items = yield from get_items(wanted)
    learnings = {ref: learning for ref, item in items.items() if (learning := Learning.read(item))}
    return learnings, {ref: version_of(items.get(ref)) for ref in wanted}


def find_all(namespaces: Sequence[Namespace], key: str) -> Flow[list[StoredLearning]]:
    """Read the learnings that have this key in any of these namespaces, in the order of the namespaces."""
    learnings, versions = yield from get_many((namespace, key) for namespace in namespaces)
    return [StoredLearning(learning, versions[ref]) for ref, learning in learnings.items()]


def find(namespaces: Sequence[Namespace], key: str, status: Status) -> Flow[StoredLearning | None]:
    """Read the first learning that has this key and status in one of these namespaces."""
    stored = yield from find_all(namespaces, key)
    return next((candidate for candidate in stored if candidate.learning.status is status), None)


def all_stored_in(namespaces: Sequence[Namespace], filter: dict[str, Any] | None = None) -> Flow[list[StoredLearning]]:
    """Read all learnings that pass a filter in exactly these namespaces, not below them, with their versions."""
    pages = yield from gather(search_all(namespace, filter) for namespace in namespaces)
    stored: list[StoredLearning] = []
    for namespace, items in zip(namespaces, pages, strict=True):
        versions = {item.key: version_of(item) for item in items if item.namespace == namespace}
        learnings = read_learnings(items, [namespace])
        stored += [StoredLearning(learning, versions[learning.key]) for learning in learnings]
    return stored


def all_in(namespaces: Sequence[Namespace], filter: dict[str, Any] | None = None) -> Flow[list[Learning]]:
    """Read all learnings that pass a filter in exactly these namespaces, not below them."""
    stored = yield from all_stored_in(namespaces, filter)
    return [learning for learning, _ in stored]
