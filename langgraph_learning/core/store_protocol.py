"""What we ask of a store beyond `BaseStore`, where it has it.

A store without it works too: then two writers of one item are "last one wins", as everywhere in LangGraph.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, runtime_checkable

from langgraph.store.base import Item, Op, Result

from langgraph_learning.core.scopes import Namespace

ItemWrite = tuple[Namespace, str, dict[str, Any]]
"""An item as it is to be written."""


class Expected(NamedTuple):
    """A condition of a batch: this item still has the version that was read."""

    namespace: tuple[str, ...]
    key: str
    version: int
    """As `version_of` told it; 0 says that the item must not exist."""


class Change(NamedTuple):
    """One entry of the change log."""

    id: int
    at: datetime
    by: str | None
    """Who asked for it, as the writer named themself."""
    namespace: tuple[str, ...]
    key: str
    before: dict[str, Any] | None
    """The value until then; None when the item is new."""
    after: dict[str, Any] | None
    """The value from then on; None when the item was deleted."""
    version: int
    """The item's version after this change."""


@runtime_checkable
class TransactionalStore(Protocol):
    """A store whose batches can depend on what was read, and which logs every change."""

    def transact(
        self, ops: Iterable[Op], *, expected: Sequence[Expected] = (), by: str | None = None, erase: bool = False
    ) -> list[Result]:
        """Carry out a batch as `BaseStore.batch` does, if and only if every expectation holds.

        `by` is written to the change log. With `erase` the log keeps that deleted items were there, and not what they
        said. Raises `Conflict`, having written nothing, if an item has another version.
        """
        ...

    async def atransact(
        self, ops: Iterable[Op], *, expected: Sequence[Expected] = (), by: str | None = None, erase: bool = False
    ) -> list[Result]:
        """`transact` for the async world."""
        ...

    def history(self, namespace: tuple[str, ...], key: str | None = None, *, limit: int = 100) -> list[Change]:
        """Return the changes of one item, or of all items of exactly this namespace, newest first."""
        ...

    async def ahistory(self, namespace: tuple[str, ...], key: str | None = None, *, limit: int = 100) -> list[Change]:
        """`history` for the async world."""
        ...


def version_of(item: Item | None) -> int:
    """Return the version of an item that was read: 0 for no item or for a store that keeps no versions."""
    return getattr(item, "version", 0)
