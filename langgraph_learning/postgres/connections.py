"""Connection pools: one for threads and one per event loop, each opened on first use."""

import asyncio
import atexit
import os
import select
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple, TypeVar
from weakref import WeakSet

from psycopg import AsyncConnection, Connection, OperationalError, ProgrammingError, connect, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from langgraph_learning.errors import Misconfigured

T = TypeVar("T")
AnyPool = ConnectionPool[Any] | AsyncConnectionPool[Any]
# With a minimum, the first call would start a second connection beside the pool's own. An event loop that ends then
# may wait for it forever on Python 3.11, where a task that is connecting can lose its cancellation.
POOL_DEFAULTS = {"min_size": 0, "max_size": 10}
CONNECTION_DEFAULTS = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""Seconds (the last one milliseconds) after which a server that does not answer any more is given up; libpq waits for
hours. What the URL or `pool={"kwargs": …}` says about them counts instead."""
_SELECT_BACKEND_PID = sql.SQL("SELECT pg_backend_pid() AS pid")


_open_pools: WeakSet[ConnectionPool[Any]] = WeakSet()
"""The pools for threads that stores have opened. A forked process has none of their threads."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_pools.clear)


@atexit.register
def _close_open_pools() -> None:
    """Close what was left open at the end of the process: later, on Python 3.13, a pool waits for threads in vain."""
    for pool in list(_open_pools):
        pool.close()


class LoopPool(NamedTuple):
    """The pool of one event loop."""

    pool: AsyncConnectionPool[Any]
    connections: WeakSet[AsyncConnection[Any]]
    """All connections that the pool has opened and that still exist."""

    def drop(self) -> None:
        """Close the connections of a pool whose event loop is closed, where nothing can be awaited any more."""
        for connection in list(self.connections):
            connection.pgconn.finish()


class Connections:
    """The pools of one store. A pool that the caller passed in is used, and never closed."""

    def __init__(self, source: str | AnyPool, settings: Mapping[str, Any]) -> None:
        self._source = source
        self._settings: dict[str, Any] = {**POOL_DEFAULTS, **settings}
        if isinstance(source, str):
            own = {**_default_parameters(source), **(self._settings.get("kwargs") or {})}
            self._settings["kwargs"] = own
        self._lock = threading.Lock()
        self._loop = _get_running_loop() if self.async_only else None
        self._pool: ConnectionPool[Any] | None = source if isinstance(source, ConnectionPool) else None
        # A pool holds its event loop, so weak keys would never go: pools of closed loops are dropped by `_drop_closed`.
        self._async_pools: dict[asyncio.AbstractEventLoop, LoopPool] = {}

    @property
    def sync_only(self) -> bool:
        """True if the caller passed a pool for threads."""
        return isinstance(self._source, ConnectionPool)

    @property
    def async_only(self) -> bool:
        """True if the caller passed a pool for an event loop."""
        return isinstance(self._source, AsyncConnectionPool)

    @property
    def conninfo(self) -> str:
        """Connection string of the database."""
        return self._source if isinstance(self._source, str) else str(self._source.conninfo)

    @contextmanager
    def lend(self) -> Iterator[Connection[Any]]:
        """Lend a connection of the pool for threads, in autocommit mode."""
        try:
            with self._open_pool().connection() as connection:
                autocommit, connection.autocommit = connection.autocommit, True
                try:
                    yield connection
                finally:
                    if connection.info.transaction_status == TransactionStatus.IDLE:
                        connection.autocommit = autocommit
        except PoolTimeout as error:
            raise self._explain(error) from error

    @asynccontextmanager
    async def alend(self) -> AsyncIterator[AsyncConnection[Any]]:
        """Lend a connection of the pool for this event loop, in autocommit mode."""
        pool = await self._open_async_pool()
        try:
            async with pool.connection() as connection:
                autocommit = connection.autocommit
                if not autocommit:
                    await connection.set_autocommit(True)
                try:
                    yield connection
                finally:
                    if not autocommit and connection.info.transaction_status == TransactionStatus.IDLE:
                        await connection.set_autocommit(False)
        except PoolTimeout as error:
            raise await asyncio.to_thread(self._explain, error) from error

    def run_on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine from a thread on the event loop of the caller's own pool, and return its result."""
        if self._loop is None or self._loop is _get_running_loop():
            work.close()
            raise Misconfigured(
                "This store was made from an AsyncConnectionPool: use its async methods here, or make it from a URL."
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Close the pool for threads, unless it is the caller's, and what closed event loops left behind."""
        self._drop_closed()
        with self._lock:
            if self._pool and not self.sync_only:
                self._pool.close()
                self._pool = None

    async def aclose(self) -> None:
        """Close the pool for this event loop and the one for threads, unless they are the caller's."""
        await self.close_loop()
        await asyncio.to_thread(self.close)

    async def close_loop(self) -> None:
        """Close the pool for this event loop alone, unless it is the caller's."""
        own = self._async_pools.pop(asyncio.get_running_loop(), None)
        if own:
            await own.pool.close()

    def _explain(self, error: PoolTimeout) -> PoolTimeout:
        """Return the error with its reason: a pool only says that it waited. A pool of the caller stays as it is."""
        if not isinstance(self._source, str):
            return error
        try:
            connect(self._source, **{**self._settings["kwargs"], "connect_timeout": 2}).close()
        except OperationalError as refused:
            return PoolTimeout(f"{error}: the database cannot be reached: {refused}")
        return PoolTimeout(f"{error}: all of them were in use. Give the store more: pool={{'max_size': …}}.")

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
                _open_pools.add(self._pool)
            return self._pool

    async def _open_async_pool(self) -> AsyncConnectionPool[Any]:
        if isinstance(self._source, AsyncConnectionPool):
            self._loop = _get_running_loop()
            return self._source
        loop = asyncio.get_running_loop()
        if loop not in self._async_pools:
            self._drop_closed()
            connections: WeakSet[AsyncConnection[Any]] = WeakSet()

            async def configure(connection: AsyncConnection[Any]) -> None:
                connections.add(connection)
                await _aconfigure_connection(connection)

            pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
                str(self._source),
                open=False,
                check=_acheck_connection,
                configure=configure,
                **self._settings,
            )
            with self._lock:
                self._async_pools[loop] = LoopPool(pool, connections)
            await pool.open()
        return self._async_pools[loop].pool

    def _drop_closed(self) -> None:
        """Drop the pools of closed event loops with their connections: one loop per request would use up all."""
        with self._lock:
            closed = [loop for loop in self._async_pools if loop.is_closed()]
            dropped = [self._async_pools.pop(loop) for loop in closed]
        for own in dropped:
            own.drop()


def _default_parameters(url: str) -> dict[str, Any]:
    """Return the defaults of connections that a URL says nothing about. Raises `Misconfigured` if it is none."""
    try:
        in_url = conninfo_to_dict(url)
    except ProgrammingError:  # its message has the URL, and so the password
        raise Misconfigured(
            "The URL of the database cannot be read: write it as postgresql://user:password@host:5432/name."
        ) from None
    return {name: value for name, value in CONNECTION_DEFAULTS.items() if name not in in_url}


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
