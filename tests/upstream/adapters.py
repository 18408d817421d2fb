"""Our store with the interfaces of LangGraph's two Postgres stores, so that LangGraph's own tests can run on it.

It has what their fixtures use beyond `BaseStore`: constructors, `_cursor` and a table named `store`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from psycopg.rows import dict_row

from langgraph_learning.postgres import HybridPostgresStore

VIEW = """
    CREATE OR REPLACE VIEW store AS
    SELECT array_to_string(namespace, '.') AS prefix, key, value, created_at, updated_at, expires_at, ttl_minutes
      FROM learning_items
"""
# A thousand tasks at once wait their turn for a connection, on a slow machine longer than the usual half minute.
POOL = {"min_size": 1, "max_size": 4, "timeout": 600}


class _Adapted(HybridPostgresStore):
    MIGRATIONS: list[str] = []  # noqa: RUF012  # their fixtures patch it on the object

    @property
    def index_config(self) -> Any:
        return self._given_index

    @index_config.setter
    def index_config(self, given: Any) -> None:
        self._given_index = given


def _settings(pool_config: dict[str, Any] | None, index: Any, ttl: Any) -> dict[str, Any]:
    return {"pool": {**POOL, **(pool_config or {})}, "index": index, "ttl": ttl}


class PostgresStore(_Adapted):
    """Our store with the interface of LangGraph's sync store."""

    @classmethod
    @contextmanager
    def from_conn_string(  # type: ignore[override]
        cls, conn_string: str, *, pipeline: bool = False, pool_config: Any = None, index: Any = None, ttl: Any = None
    ) -> Iterator["PostgresStore"]:
        with cls(conn_string, **_settings(pool_config, index, ttl)) as store:
            yield store

    @contextmanager
    def _cursor(self, **_: Any) -> Iterator[Any]:
        with self._connections.lend() as connection, connection.cursor(row_factory=dict_row) as cursor:
            yield cursor

    def setup(self) -> None:
        super().setup()
        with self._cursor() as cursor:
            cursor.execute(VIEW)

    def start_ttl_sweeper(self, *_: Any) -> "Future[None]":  # type: ignore[override]
        super().start_ttl_sweeper()
        future: Future[None] = Future()
        future.add_done_callback(lambda f: self.stop_ttl_sweeper() if f.cancelled() else None)
        return future


class AsyncPostgresStore(_Adapted):
    """Our store with the interface of LangGraph's async store."""

    @classmethod
    @asynccontextmanager
    async def from_conn_string(  # type: ignore[override]
        cls, conn_string: str, *, pipeline: bool = False, pool_config: Any = None, index: Any = None, ttl: Any = None
    ) -> AsyncIterator["AsyncPostgresStore"]:
        async with cls(conn_string, **_settings(pool_config, index, ttl)) as store:
            yield store

    @asynccontextmanager
    async def _cursor(self, **_: Any) -> AsyncIterator[Any]:
        async with self._connections.alend() as connection, connection.cursor(row_factory=dict_row) as cursor:
            yield cursor

    async def setup(self) -> None:  # type: ignore[override]
        await self.asetup()
        async with self._cursor() as cursor:
            await cursor.execute(VIEW)

    async def sweep_ttl(self) -> int:  # type: ignore[override]
        return await self.asweep_ttl()

    async def start_ttl_sweeper(self, *_: Any) -> "asyncio.Task[None]":  # type: ignore[override]
        self._sweeper._sweep = lambda: HybridPostgresStore.sweep_ttl(self)
        HybridPostgresStore.start_ttl_sweeper(self)
        return asyncio.create_task(asyncio.sleep(0))

    async def stop_ttl_sweeper(self, timeout: float | None = None) -> bool:  # type: ignore[override]
        return await asyncio.to_thread(HybridPostgresStore.stop_ttl_sweeper, self, timeout)
