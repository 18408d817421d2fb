"""TransactionalStore, the protocol of a store with conditional batches and a change log.

Any other `BaseStore` works too: then the last of two concurrent writers of an item wins, as everywhere in LangGraph.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, runtime_checkable

from langgraph.store.base import Item, Op, Result

from langgraph_learning.core.scopes import Namespace

ItemWrite = tuple[Namespace, str, dict[str, Any]]
"""Namespace, key and value of an item to write."""


class Expected(NamedTuple):
    """A condition of a batch: an item still has the version that was read."""

    namespace: tuple[str, ...]
    key: str
    version: int
    """Result of `version_of`; 0: the item must not exist."""


class Change(NamedTuple):
    """One entry of the change log."""

    id: int
    at: datetime
    by: str | None
    """Actor, as given by the writer."""
    namespace: tuple[str, ...]
    key: str
    before: dict[str, Any] | None
    """Value before the change; None if the item is new."""
    after: dict[str, Any] | None
    """Value after the change; None if the item was deleted."""
    version: int
    """Version of the item after this change."""


@runtime_checkable
class TransactionalStore(Protocol):
    """A store with conditional batches and a log of all changes."""

    def transact(
        self, ops: Iterable[Op], *, expected: Sequence[Expected] = (), by: str | None = None, erase: bool = False
    ) -> list[Result]:
        """Perform a batch as `BaseStore.batch` does, if every item in `expected` has the expected version.

        `by` is the actor in the change log. With `erase`, the log records that items were deleted, but no values of
        them. Raises `Conflict`, having written nothing, if an item has another version.
        """
        ...

    async def atransact(
        self, ops: Iterable[Op], *, expected: Sequence[Expected] = (), by: str | None = None, erase: bool = False
    ) -> list[Result]:
        """Perform `transact` asynchronously."""
        ...

    def history(self, namespace: tuple[str, ...], key: str | None = None, *, limit: int = 100) -> list[Change]:
        """Return the changes of one item, or of all items of exactly this namespace, newest first."""
        ...

    async def ahistory(self, namespace: tuple[str, ...], key: str | None = None, *, limit: int = 100) -> list[Change]:
        """Return the same as `history`, asynchronously."""
        ...


def version_of(item: Item | None) -> int:
    """Return the version of an item that was read; 0 if there is no item or the store keeps no versions."""
    return getattr(item, "version", 0)
