"""TransactionalStore, the protocol of a store with conditional batches and a change log; scores of hybrid searches.

Any other `BaseStore` works too: then the last of two concurrent writers of an item wins, as everywhere in LangGraph,
and a search has LangGraph's score alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

from langgraph.store.base import Item, Op, Result, SearchOp

from langgraph_learning.core.scopes import Namespace

ItemWrite = tuple[Namespace, str, dict[str, Any] | None]
"""Namespace, key and value of an item to write; None deletes it."""


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


class Scores(NamedTuple):
    """How well an item matches one query text, on scales that mean the same in any two searches.

    They depend on the item and the query text alone: not on other items, on the other searches of a batch, nor on how
    much the store holds.
    """

    similarity: float | None
    """The embedding model's similarity of the query text and the nearest text of the item: for cosine, from -1 to 1.
    None: the store has no embedding model, or the item no vector."""
    words: float
    """How much of the query text's weight in words the best text of the item has, from 0 to 1: BM25 as a share of the
    most that the query text could get. Rare words weigh most, words of small talk next to nothing."""
    exact: bool
    """True if a name, number or code of the query text stands literally in a text of the item."""
    nearest: str | None = None
    """The path of the item's text that the similarity is of; of several texts at one path, with a number."""


class FurtherQuery(NamedTuple):
    """One more query text of a search, such as the exchange before the last message."""

    text: str
    penalty: float = 0.0
    """Subtracted from the score of whatever this text finds, so that it counts for less than the first one."""


class MultiSearchOp(SearchOp):
    """A search with several query texts: `query`, and those in `further`.

    The score of an item is the best of its scores for each text, after the text's penalty. A store that does not know
    this class takes it for a `SearchOp` with the first text. Of a batch, all texts are embedded in one call.

    ```python
    MultiSearchOp(namespace, query="And for a whole year?", further=(FurtherQuery("What does Plus cost?", 0.1),))
    ```
    """

    _fields = (*SearchOp._fields, "further")  # type: ignore[assignment]  # one more than a SearchOp has
    further: tuple[FurtherQuery, ...] = property(itemgetter(len(SearchOp._fields)))  # type: ignore[assignment]

    def __new__(
        cls,
        namespace_prefix: tuple[str, ...],
        filter: dict[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        query: str | None = None,
        refresh_ttl: bool = True,
        further: tuple[FurtherQuery, ...] = (),
    ) -> Self:
        """Take the arguments of `SearchOp`, and the further query texts in the order in which `scores_of` has them."""
        fields = (namespace_prefix, filter, limit, offset, query, refresh_ttl)
        further = tuple(FurtherQuery(*text) for text in further)
        return tuple.__new__(cls, (*fields, further))

    def __repr__(self) -> str:
        """Return all fields, for equal operations of a batch are told by it."""
        return f"{type(self).__name__}{tuple(self)!r}"


@runtime_checkable
class TransactionalStore(Protocol):
    """A store with conditional batches and a log of all changes."""

    def transact(
        self, ops: Iterable[Op], *, expected: Sequence[Expected] = (), by: str | None = None, erase: bool = False
    ) -> list[Result]:
        """Perform a batch as `BaseStore.batch` does, if every item in `expected` has the expected version.

        `by` is the actor in the change log. With `erase`, the log records that items were deleted, but no values of
        them, nor of an item that the batch deletes and then writes again. Raises `Conflict`, having written nothing,
        if an item has another version.
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


@runtime_checkable
class SqlStore(Protocol):
    """A store that runs SQL in its own database, for tables beside its items."""

    @property
    def conninfo(self) -> str:
        """Connection string of the database."""
        ...

    async def aclose_loop(self) -> None:
        """Close what was opened for this event loop, which ends."""
        ...

    def run_sql(self, query: bytes, parameters: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]]:
        """Run one statement in a transaction of its own, and return its rows."""
        ...

    async def arun_sql(self, query: bytes, parameters: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]]:
        """Perform `run_sql` asynchronously."""
        ...


def version_of(item: Item | None) -> int:
    """Return the version of an item that was read; 0 if there is no item or the store keeps no versions."""
    return getattr(item, "version", 0)


def scores_of(item: Item | None) -> tuple[Scores, ...]:
    """Return the scores of an item that a hybrid search found: one for each query text, in their order.

    Of a `MultiSearchOp`, the first is that of `query`, then follow those of `further`. The result is empty if there was
    no query, or the store or its search mode has no such scores.
    """
    scores: tuple[Scores, ...] = getattr(item, "scores", ())
    return scores
