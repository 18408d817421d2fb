"""`HybridPostgresStore`: LangGraph's `BaseStore` on Postgres with atomic, versioned writes and hybrid search."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Self, TypeVar

from langgraph.store.base import BaseStore, Op, Result, SearchOp, TTLConfig
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from langgraph_learning.core.store_protocol import Change, Expected
from langgraph_learning.postgres.batch import ChangeValue, run_batch, update_item
from langgraph_learning.postgres.coalescing import CallCoalescer
from langgraph_learning.postgres.config import (
    IndexSettings,
    SearchMode,
    check_pool_settings,
    check_source,
    parse_index_settings,
    parse_language,
    parse_ttl_settings,
)
from langgraph_learning.postgres.connections import Connections
from langgraph_learning.postgres.executor import Plan, aexecute_plan, execute_plan, run_statement
from langgraph_learning.postgres.maintenance import (
    DEFAULT_SWEEP_MINUTES,
    TtlSweeper,
    delete_expired,
    prune_history,
    read_change_log,
)
from langgraph_learning.postgres.migrate import Progress, read_stored_dims, reembed_items, set_up_tables
from langgraph_learning.postgres.statements import Caches, PlanContext, Statements

T = TypeVar("T")


class HybridPostgresStore(BaseStore):
    """A store with atomic batches and complete searches.

    ```python
    with HybridPostgresStore.from_conn_string(url, index={"dims": 384, "embed": embed, "fields": ["text"]}) as store:
        store.setup()
        store.put(("learnings", "acme"), "k1", {"text": "Egress is what the bill is made of."})
        store.search(("learnings", "acme"), query="cloud costs")
    ```

    The same object serves threads and event loops. Pools are opened on first use: one for all threads, one per event
    loop.
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
        """Create a store from a URL or from a pool of the caller's own, which the store never closes.

        `pool` holds settings for `psycopg_pool`; `language` is the language of most
        texts; texts in others are recognised.
        """
        super().__init__()
        check_source(source)
        check_pool_settings(pool or {})
        self.ttl_config = parse_ttl_settings(ttl)
        self._index = parse_index_settings(index, search_mode)
        self.index_config = dict(index) if index else None
        self._hybrid = search_mode == "hybrid"
        self._statements = Statements(self._index, self._hybrid)
        self._language = parse_language(language)
        self._log_changes = log_changes
        self._caches = Caches()
        self._connections = Connections(source, pool or {})
        self._sweeper = TtlSweeper(self.sweep_ttl)
        self._coalescer = CallCoalescer(self._run_batch)

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
        """Create a store from a connection string, for use in `with` and in `async with`."""
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
        """Stop the sweeper and close the pool for threads."""
        self._sweeper.stop()
        self._connections.close()

    async def aclose(self) -> None:
        """Stop the sweeper and close the pools for this event loop and for threads."""
        await asyncio.to_thread(self._sweeper.stop)
        await self._connections.aclose()

    async def aclose_loop(self) -> None:
        """Close the pool for this event loop alone: for a loop that ends while others go on."""
        await self._connections.close_loop()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Run operations in one transaction: reads see the state before the writes, and the last put of a key wins."""
        return self._execute(run_batch(self._context, ops))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Run a batch from async code. Calls of one operation in the same tick of the event loop share a batch."""
        ops = list(ops)
        if len(ops) == 1 and not self._embeds_query(ops[0]):
            return [await self._coalescer.call(ops[0])]
        return await self._run_batch(ops)

    def transact(
        self, ops: Iterable[Op], *, expected: Sequence[Expected] = (), by: str | None = None, erase: bool = False
    ) -> list[Result]:
        """Run a batch if every expected version is the stored one. Raises `Conflict` otherwise, with nothing written.

        `by` is written to the change log. With `erase` the values of deleted items are removed from the log.
        """
        return self._execute(run_batch(self._context, ops, expected, by, erase))

    async def atransact(
        self, ops: Iterable[Op], *, expected: Sequence[Expected] = (), by: str | None = None, erase: bool = False
    ) -> list[Result]:
        """Run `transact` from async code."""
        return await self._aexecute(run_batch(self._context, ops, expected, by, erase))

    def update(
        self,
        namespace: tuple[str, ...],
        key: str,
        change: ChangeValue,
        *,
        by: str | None = None,
        attempts: int = 100,
    ) -> dict[str, Any] | None:
        """Read a value, change it and write it back, again if another writer was faster; return the value written.

        `change` is called with None if there is no item, and deletes the item by returning None. Raises `Conflict` if
        all attempts failed.
        """
        return self._execute(update_item(self._context, namespace, key, change, self._default_ttl, by, attempts))

    async def aupdate(
        self,
        namespace: tuple[str, ...],
        key: str,
        change: ChangeValue,
        *,
        by: str | None = None,
        attempts: int = 100,
    ) -> dict[str, Any] | None:
        """Run `update` from async code."""
        return await self._aexecute(update_item(self._context, namespace, key, change, self._default_ttl, by, attempts))

    def history(self, namespace: tuple[str, ...], key: str | None = None, *, limit: int = 100) -> list[Change]:
        """Return the changes of one item, or of all items of exactly this namespace, newest first."""
        return self._execute(read_change_log(self._context, namespace, key, limit))

    async def ahistory(self, namespace: tuple[str, ...], key: str | None = None, *, limit: int = 100) -> list[Change]:
        """Run `history` from async code."""
        return await self._aexecute(read_change_log(self._context, namespace, key, limit))

    def prune_history(self, prefix: tuple[str, ...] = (), *, before: datetime | None = None) -> int:
        """Delete log entries of all namespaces under a prefix, all or those before a time; return their number."""
        return self._execute(prune_history(self._context, prefix, before))

    async def aprune_history(self, prefix: tuple[str, ...] = (), *, before: datetime | None = None) -> int:
        """Run `prune_history` from async code."""
        return await self._aexecute(prune_history(self._context, prefix, before))

    @property
    def conninfo(self) -> str:
        """Connection string of the database."""
        return self._connections.conninfo

    def run_sql(self, query: bytes, parameters: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]]:
        """Run an SQL statement of your own in the store's database, and return its rows."""
        return self._execute(run_statement(query, parameters))

    async def arun_sql(self, query: bytes, parameters: Mapping[str, Any] | None = None) -> list[Mapping[str, Any]]:
        """Run `run_sql` from async code."""
        return await self._aexecute(run_statement(query, parameters))

    def setup(self, *, progress: Progress | None = None) -> None:
        """Create or migrate the tables. Several processes may call it at once; if nothing is missing, it only reads.

        A migration that was interrupted is continued by the next call. `progress=progress_bar` draws a bar.
        """
        self._execute(set_up_tables(self._context, progress))

    async def asetup(self, *, progress: Progress | None = None) -> None:
        """Run `setup` from async code."""
        await self._aexecute(set_up_tables(self._context, progress))

    def stored_dims(self) -> int | None:
        """Return the number of dimensions of the stored vectors, None if there are no vectors."""
        return self._execute(read_stored_dims(self._context))

    async def astored_dims(self) -> int | None:
        """Run `stored_dims` from async code."""
        return await self._aexecute(read_stored_dims(self._context))

    def reembed(self, *, resume: bool = False, progress: Progress | None = None) -> int:
        """Index every item again after a change of the model, the fields or the language; return the number of items.

        `resume` continues an interrupted call. `progress=progress_bar` draws a bar.
        """
        return self._execute(reembed_items(self._context, resume, progress))

    async def areembed(self, *, resume: bool = False, progress: Progress | None = None) -> int:
        """Run `reembed` from async code."""
        return await self._aexecute(reembed_items(self._context, resume, progress))

    def sweep_ttl(self) -> int:
        """Delete expired items; return their number."""
        return self._execute(delete_expired(self._context))

    async def asweep_ttl(self) -> int:
        """Run `sweep_ttl` from async code."""
        return await self._aexecute(delete_expired(self._context))

    def start_ttl_sweeper(self, interval_minutes: float | None = None) -> None:
        """Start a thread that deletes expired items at an interval until the store is closed."""
        configured = (self.ttl_config or {}).get("sweep_interval_minutes") or DEFAULT_SWEEP_MINUTES
        minutes = configured if interval_minutes is None else interval_minutes
        self._sweeper.start(minutes)

    def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:
        """Stop the sweeper; return True if it ended within `timeout` seconds."""
        return self._sweeper.stop(timeout)

    @property
    def _context(self) -> PlanContext:
        return PlanContext(
            statements=self._statements,
            index=self._index,
            hybrid=self._hybrid,
            language=self._language,
            log_changes=self._log_changes,
            # `ttl_config` is public, as in LangGraph's stores, and may be changed at any time.
            include_expired=(self.ttl_config or {}).get("omit_expired") is False,
            caches=self._caches,
        )

    @property
    def _default_ttl(self) -> float | None:
        return (self.ttl_config or {}).get("default_ttl")

    async def _run_batch(self, ops: Sequence[Op]) -> list[Result]:
        return await self._aexecute(run_batch(self._context, ops))

    def _embeds_query(self, op: Op) -> bool:
        # Such searches are not coalesced: they wait for a model, several connections answer them faster than one, and
        # in a hybrid search the scores of one batch depend on each other.
        return isinstance(op, SearchOp) and bool(op.query) and self._index is not None

    def _execute(self, plan: Plan[T]) -> T:
        if self._connections.async_only:
            return self._connections.run_on_loop(self._aexecute(plan))
        return execute_plan(plan, self._connections, self._index.embeddings if self._index else None)

    async def _aexecute(self, plan: Plan[T]) -> T:
        if self._connections.sync_only:
            return await asyncio.to_thread(self._execute, plan)
        return await aexecute_plan(plan, self._connections, self._index.embeddings if self._index else None)
