"""Connection pools: one for threads and one per event loop, each opened on first use."""

import asyncio
import select
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection, Connection, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from langgraph_learning.errors import Misconfigured

T = TypeVar("T")
AnyPool = ConnectionPool[Any] | AsyncConnectionPool[Any]
POOL_DEFAULTS = {"min_size": 1, "max_size": 10}
_SELECT_BACKEND_PID = sql.SQL("SELECT pg_backend_pid() AS pid")


class Connections:
    """The pools of one store. A pool that the caller passed in is used, and never closed."""

    def __init__(self, source: str | AnyPool, settings: Mapping[str, Any]) -> None:
        self._source = source
        self._settings: dict[str, Any] = {**POOL_DEFAULTS, **settings}
        self._lock = threading.Lock()
        self._loop = _get_running_loop() if self.async_only else None
        self._pool: ConnectionPool[Any] | None = source if isinstance(source, ConnectionPool) else None
        self._async_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncConnectionPool[Any]] = WeakKeyDictionary()

    @property
    def sync_only(self) -> bool:
        """True if the caller passed a pool for threads."""
        return isinstance(self._source, ConnectionPool)

    @property
    def async_only(self) -> bool:
        """True if the caller passed a pool for an event loop."""
        return isinstance(self._source, AsyncConnectionPool)

    @contextmanager
    def lend(self) -> Iterator[Connection[Any]]:
        """Lend a connection of the pool for threads, in autocommit mode."""
        with self._open_pool().connection() as connection:
            autocommit, connection.autocommit = connection.autocommit, True
            try:
                yield connection
            finally:
                if connection.info.transaction_status == TransactionStatus.IDLE:
                    connection.autocommit = autocommit

    @asynccontextmanager
    async def alend(self) -> AsyncIterator[AsyncConnection[Any]]:
        """Lend a connection of the pool for this event loop, in autocommit mode."""
        pool = await self._open_async_pool()
        async with pool.connection() as connection:
            autocommit = connection.autocommit
            if not autocommit:
                await connection.set_autocommit(True)
            try:
                yield connection
            finally:
                if not autocommit and connection.info.transaction_status == TransactionStatus.IDLE:
                    await connection.set_autocommit(False)

    def run_on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine from a thread on the event loop of the caller's own pool, and return its result."""
        if self._loop is None or self._loop is _get_running_loop():
            work.close()
            raise Misconfigured(
                "This store was made from an AsyncConnectionPool: use its async methods here, or make it from a URL."
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Close the pool for threads, unless it is the caller's."""
        with self._lock:
            if self._pool and not self.sync_only:
                self._pool.close()
                self._pool = None

    async def aclose(self) -> None:
        """Close the pool for this event loop and the one for threads, unless they are the caller's."""
        pool = self._async_pools.pop(asyncio.get_running_loop(), None)
        if pool:
            await pool.close()
        await asyncio.to_thread(self.close)

    def _open_pool(self) -> ConnectionPool[Any]:
        with self._lock:
            if self._pool is None:
                self._pool = ConnectionPool(
                    str(self._source),
                    open=True,
                    check=_check_connection,
                    configure=_configure_connection,
                    **self._settings,
                )
            return self._pool

    async def _open_async_pool(self) -> AsyncConnectionPool[Any]:
        if isinstance(self._source, AsyncConnectionPool):
            self._loop = _get_running_loop()
            return self._source
        loop = asyncio.get_running_loop()
        if loop not in self._async_pools:
            pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
                str(self._source),
                open=False,
                check=_acheck_connection,
                configure=_aconfigure_connection,
                **self._settings,
            )
            self._async_pools[loop] = pool
            await pool.open()
        return self._async_pools[loop]


def _get_running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _configure_connection(connection: Connection[Any]) -> None:
    connection.autocommit = True
    row = connection.cursor(row_factory=dict_row).execute(_SELECT_BACKEND_PID).fetchone()
    connection.prepare_threshold = _choose_prepare_threshold(connection.info.backend_pid, row)


async def _aconfigure_connection(connection: AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)
    cursor = await connection.cursor(row_factory=dict_row).execute(_SELECT_BACKEND_PID)
    connection.prepare_threshold = _choose_prepare_threshold(connection.info.backend_pid, await cursor.fetchone())


def _choose_prepare_threshold(backend_pid: int, row: Any) -> int | None:
    # Behind a pooler (PgBouncer) the next statement may reach another server process, which lacks prepared statements.
    return 2 if row["pid"] == backend_pid else None


def _check_connection(connection: Connection[Any]) -> None:
    if _has_unread_data(connection.fileno()):
        ConnectionPool.check_connection(connection)


async def _acheck_connection(connection: AsyncConnection[Any]) -> None:
    if _has_unread_data(connection.fileno()):
        await AsyncConnectionPool.check_connection(connection)


def _has_unread_data(socket: int) -> bool:
    """Return True if an idle connection has received data, usually its end. A query would cost a round trip."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([socket], [], [], 0)[0])
