"""LangGraph's `BaseStore` on Postgres: exact under a namespace, atomic, versioned, searchable by meaning and words."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar

from langgraph.store.base import BaseStore, Op, Result, SearchOp, TTLConfig
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from langgraph_learning.core.store_protocol import Change, Expected
from langgraph_learning.postgres import batch, maintenance, migrate, reembedding, updates
from langgraph_learning.postgres.coalescing import Gathering
from langgraph_learning.postgres.config import IndexSettings, SearchMode, index_of, ttl_of
from langgraph_learning.postgres.connections import Connections
from langgraph_learning.postgres.executor import adrive, drive
from langgraph_learning.postgres.shape import Shape
from langgraph_learning.postgres.sizes import Sizes
from langgraph_learning.postgres.statements import Statements
from langgraph_learning.postgres.steps import Plan
from langgraph_learning.postgres.sweeper import Sweeper

T = TypeVar("T")


class HybridPostgresStore(BaseStore):
    """A store whose batches are atomic and whose searches are complete.

    ```python
    with HybridPostgresStore.from_conn_string(url, index={"dims": 384, "embed": embed, "fields": ["text"]}) as store:
        store.setup()
        store.put(("learnings", "acme"), "k1", {"text": "Egress is what the bill is made of."})
        store.search(("learnings", "acme"), query="cloud costs")
    ```

    The same object serves threads and event loops. A pool is opened where it is first needed: one for all threads, one
    for each event loop.
    """

    supports_ttl = True

    def __init__(
        self,
        source: str | ConnectionPool[Any] | AsyncConnectionPool[Any],
        *,
        index: IndexSettings | Mapping[str, Any] | None = None,
        ttl: TTLConfig | None = None,
        pool: Mapping[str, Any] | None = None,
        search_mode: SearchMode = "vector",
        language: str = "english",
        log_changes: bool = True,
    ) -> None:
        """Make a store of a URL or of a pool of one's own, which stays one's own to close.

        `pool` holds settings for `psycopg_pool`, `language` names a text search configuration of Postgres.
        """
        super().__init__()
        self.index_config = dict(index) if index else None
        self.ttl_config = ttl_of(ttl)
        self._index = index_of(index, search_mode)
        self._hybrid = search_mode == "hybrid"
        self._language = language
        self._log = log_changes
        self._types: dict[str, int] = {}
        self._sizes = Sizes()
        self._statements = Statements(self._index)
        self._connections = Connections(source, pool or {})
        self._sweeper = Sweeper(self.sweep_ttl)
        self._gathering = Gathering(self._abatch)

    @classmethod
    def from_conn_string(
        cls,
        url: str,
        *,
        index: IndexSettings | Mapping[str, Any] | None = None,
        ttl: TTLConfig | None = None,
        pool: Mapping[str, Any] | None = None,
        search_mode: SearchMode = "vector",
        language: str = "english",
        log_changes: bool = True,
    ) -> Self:
        """Make a store of a connection string, for `with` and `async with` alike."""
        return cls(
            url,
            index=index,
            ttl=ttl,
            pool=pool,
            search_mode=search_mode,
            language=language,
            log_changes=log_changes,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def close(self) -> None:
        """Stop the sweeper and close the connections of threads."""
        self._sweeper.stop()
        self._connections.close()

    async def aclose(self) -> None:
        """Stop the sweeper and close the connections of this event loop and of threads."""
        await asyncio.to_thread(self._sweeper.stop)
        await self._connections.aclose()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Carry out operations in one transaction: reads see what was before the writes, the last put of a key wins."""
        return self._drive(batch.batch(self._shape, ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """`batch` for the async world. Single calls of one tick of the event loop go together."""
        ops = list(ops)
        if len(ops) == 1 and not self._asks(ops[0]):
            return [await self._gathering.call(ops[0])]
        return await self._abatch(ops)

    def transact(
        self, ops: Iterable[Op], *, expected: Sequence[Expected] = (), by: str | None = None, erase: bool = False
    ) -> list[Result]:
        """Carry out a batch if every item still has the version that was read; else raise `Conflict`, nothing written.

        `by` is written to the change log. With `erase` the log keeps that deleted items were there, and not what they
        said.
        """
        return self._drive(batch.batch(self._shape, ops, expected, by, erase))

    async def atransact(
        self, ops: Iterable[Op], *, expected: Sequence[Expected] = (), by: str | None = None, erase: bool = False
    ) -> list[Result]:
        """`transact` for the async world."""
        return await self._adrive(batch.batch(self._shape, ops, expected, by, erase))

    def update(
        self,
        namespace: tuple[str, ...],
        key: str,
        change: updates.Change,
        *,
        by: str | None = None,
        attempts: int = 100,
    ) -> dict[str, Any] | None:
        """Read a value, change it and write it back, again if somebody else wrote in between; return what was written.

        `change` is called with None where nothing is, and deletes by returning None.
        """
        return self._drive(updates.update(self._shape, namespace, key, change, self._default_ttl, by, attempts))

    async def aupdate(
        self,
        namespace: tuple[str, ...],
        key: str,
        change: updates.Change,
        *,
        by: str | None = None,
        attempts: int = 100,
    ) -> dict[str, Any] | None:
        """`update` for the async world."""
        return await self._adrive(updates.update(self._shape, namespace, key, change, self._default_ttl, by, attempts))

    def history(self, namespace: tuple[str, ...], key: str | None = None, *, limit: int = 100) -> list[Change]:
        """Return the changes of one item, or of all items of exactly this namespace, newest first."""
        return self._drive(maintenance.history(self._shape, namespace, key, limit))

    async def ahistory(self, namespace: tuple[str, ...], key: str | None = None, *, limit: int = 100) -> list[Change]:
        """`history` for the async world."""
        return await self._adrive(maintenance.history(self._shape, namespace, key, limit))

    def prune_history(self, prefix: tuple[str, ...] = (), *, before: datetime | None = None) -> int:
        """Delete the log of all namespaces under a prefix, or its part from before a time; return how many entries."""
        return self._drive(maintenance.prune_history(self._shape, prefix, before))

    async def aprune_history(self, prefix: tuple[str, ...] = (), *, before: datetime | None = None) -> int:
        """`prune_history` for the async world."""
        return await self._adrive(maintenance.prune_history(self._shape, prefix, before))

    def setup(self) -> None:
        """Make or update the tables. Any number of processes may call it at once; where all is there it only reads."""
        self._drive(migrate.setup(self._shape))

    async def asetup(self) -> None:
        """Do as `setup`, in the async world."""
        await self._adrive(migrate.setup(self._shape))

    def stored_dims(self) -> int | None:
        """Return how long the stored vectors are; None where nothing can be searched by meaning."""
        return self._drive(migrate.stored_dims(self._shape))

    async def astored_dims(self) -> int | None:
        """`stored_dims` for the async world."""
        return await self._adrive(migrate.stored_dims(self._shape))

    def reembed(self, *, resume: bool = False, progress: reembedding.Progress | None = None) -> int:
        """Index every item anew after a change of the model, the fields or the language; return how many that were.

        `resume` goes on where an interrupted call stopped. `progress=reembedding.progress_bar` draws a bar.
        """
        self._types.clear()
        return self._drive(reembedding.reembed(self._shape, resume, progress))

    async def areembed(self, *, resume: bool = False, progress: reembedding.Progress | None = None) -> int:
        """`reembed` for the async world."""
        self._types.clear()
        return await self._adrive(reembedding.reembed(self._shape, resume, progress))

    def sweep_ttl(self) -> int:
        """Delete what has expired; return how many items that were."""
        return self._drive(maintenance.sweep(self._shape))

    async def asweep_ttl(self) -> int:
        """`sweep_ttl` for the async world."""
        return await self._adrive(maintenance.sweep(self._shape))

    def start_ttl_sweeper(self, interval_minutes: float | None = None) -> None:
        """Delete what has expired now and then, in a thread that serves either world, until the store is closed."""
        self._sweeper.start(float(interval_minutes or (self.ttl_config or {}).get("sweep_interval_minutes") or 5))

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Stop sweeping; return whether it stopped in time."""
        return self._sweeper.stop(timeout)

    @property
    def _shape(self) -> Shape:
        return Shape(
            statements=self._statements,
            index=self._index,
            hybrid=self._hybrid,
            language=self._language,
            log=self._log,
            expired_too=(self.ttl_config or {}).get("omit_expired") is False,
            types=self._types,
            sizes=self._sizes,
        )

    @property
    def _default_ttl(self) -> float | None:
        return (self.ttl_config or {}).get("default_ttl")

    async def _abatch(self, ops: Sequence[Op]) -> list[Result]:
        return await self._adrive(batch.batch(self._shape, ops))

    def _asks(self, op: Op) -> bool:
        # Questions stay apart: they wait for a model, many connections answer them sooner than one, and in a hybrid
        # search the scores of one batch depend on each other.
        return isinstance(op, SearchOp) and bool(op.query) and self._index is not None

    def _drive(self, plan: Plan[T]) -> T:
        if self._connections.async_only:
            return self._connections.from_a_thread(self._adrive(plan))
        return drive(plan, self._connections, self._index.embeddings if self._index else None)

    async def _adrive(self, plan: Plan[T]) -> T:
        if self._connections.sync_only:
            return await asyncio.to_thread(self._drive, plan)
        return await adrive(plan, self._connections, self._index.embeddings if self._index else None)
