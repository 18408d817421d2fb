"""Where connections come from, and how statements go over one in a single round trip."""

import asyncio
import select
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor, sql
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from langgraph_learning.errors import Misconfigured
from langgraph_learning.postgres.rows import register_vectors
from langgraph_learning.postgres.steps import Rows, Run

T = TypeVar("T")
AnyPool = ConnectionPool[Any] | AsyncConnectionPool[Any]


class Connections:
    """One pool for threads, and one for each event loop, each opened when it is first needed."""

    def __init__(self, source: str | AnyPool, settings: Mapping[str, Any]) -> None:
        self._source = source
        self._settings: dict[str, Any] = {"min_size": 1, "max_size": 10, **settings}
        self._lock = threading.Lock()
        self._loop = _running_loop() if self.async_only else None
        self._pool: ConnectionPool[Any] | None = source if isinstance(source, ConnectionPool) else None
        self._async_pools: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncConnectionPool[Any]] = WeakKeyDictionary()

    @property
    def sync_only(self) -> bool:
        """Whether the caller's own pool is one for threads."""
        return isinstance(self._source, ConnectionPool)

    @property
    def async_only(self) -> bool:
        """Whether the caller's own pool is one for an event loop."""
        return isinstance(self._source, AsyncConnectionPool)

    @contextmanager
    def lend(self) -> Iterator[Connection[Any]]:
        """Lend a connection of the pool for threads, in autocommit."""
        with self._sync_pool().connection() as connection:
            mine, connection.autocommit = connection.autocommit, True
            try:
                yield connection
            finally:
                if connection.info.transaction_status == TransactionStatus.IDLE:
                    connection.autocommit = mine

    @asynccontextmanager
    async def alend(self) -> AsyncIterator[AsyncConnection[Any]]:
        """Lend a connection of the pool for this event loop, in autocommit."""
        pool = await self._async_pool()
        async with pool.connection() as connection:
            mine = connection.autocommit
            if not mine:
                await connection.set_autocommit(True)
            try:
                yield connection
            finally:
                if not mine and connection.info.transaction_status == TransactionStatus.IDLE:
                    await connection.set_autocommit(False)

    def from_a_thread(self, work: Coroutine[Any, Any, T]) -> T:
        """Let the event loop of the caller's own pool do what a thread asks for."""
        if self._loop is None or self._loop is _running_loop():
            work.close()
            raise Misconfigured(
                "This store was made from an AsyncConnectionPool: use its async methods here, or make it from a URL."
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        """Close the pool for threads, if it is ours."""
        with self._lock:
            if self._pool and not self.sync_only:
                self._pool.close()
                self._pool = None

    async def aclose(self) -> None:
        """Close the pool for this event loop and the one for threads, as far as they are ours."""
        pool = self._async_pools.pop(asyncio.get_running_loop(), None)
        if pool:
            await pool.close()
        await asyncio.to_thread(self.close)

    def _sync_pool(self) -> ConnectionPool[Any]:
        with self._lock:
            if self._pool is None:
                self._pool = ConnectionPool(
                    str(self._source), open=True, check=_check, configure=_configure, **self._settings
                )
            return self._pool

    async def _async_pool(self) -> AsyncConnectionPool[Any]:
        if isinstance(self._source, AsyncConnectionPool):
            self._loop = _running_loop()
            return self._source
        loop = asyncio.get_running_loop()
        if loop not in self._async_pools:
            made: AsyncConnectionPool[Any] = AsyncConnectionPool(
                str(self._source), open=False, check=_acheck, configure=_aconfigure, **self._settings
            )
            self._async_pools[loop] = made
            await made.open()
        return self._async_pools[loop]


def send(connection: Connection[Any], step: Run) -> list[Rows]:
    """Carry out the statements of a step."""
    if step.alone:
        return [_rows(_prepared(connection.cursor(row_factory=dict_row)).execute(*step.statements[0]))]
    cursors = [_prepared(connection.cursor(row_factory=dict_row)) for _ in step.statements]
    try:
        with connection.pipeline():
            connection.execute(_BEGIN)
            for cursor, statement in zip(cursors, step.statements, strict=True):
                cursor.execute(*statement)
            if step.guard:
                step.guard(cursors[step.guarded].fetchall())
            connection.execute(_COMMIT)
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    return [_rows(cursor) for cursor in cursors]


async def asend(connection: AsyncConnection[Any], step: Run) -> list[Rows]:
    """Carry out the statements of a step."""
    if step.alone:
        cursor = _prepared(connection.cursor(row_factory=dict_row))
        return [await _arows(await cursor.execute(*step.statements[0]))]
    cursors = [_prepared(connection.cursor(row_factory=dict_row)) for _ in step.statements]
    try:
        async with connection.pipeline():
            await connection.execute(_BEGIN)
            for cursor, statement in zip(cursors, step.statements, strict=True):
                await cursor.execute(*statement)
            if step.guard:
                step.guard(await cursors[step.guarded].fetchall())
            await connection.execute(_COMMIT)
    except BaseException:
        if not connection.closed:
            await connection.rollback()
        raise
    return [await _arows(cursor) for cursor in cursors]


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_BEGIN, _COMMIT = sql.SQL("BEGIN"), sql.SQL("COMMIT")
_BACKEND = sql.SQL("SELECT pg_backend_pid() AS pid")
_AnyCursor = TypeVar("_AnyCursor", Cursor[Any], AsyncCursor[Any])


def _prepared(cursor: _AnyCursor) -> _AnyCursor:
    register_vectors(cursor.adapters)
    return cursor


def _rows(cursor: Cursor[Any]) -> Rows:
    return cursor.fetchall() if cursor.description else []


async def _arows(cursor: AsyncCursor[Any]) -> Rows:
    return await cursor.fetchall() if cursor.description else []


def _configure(connection: Connection[Any]) -> None:
    connection.autocommit = True
    row = connection.cursor(row_factory=dict_row).execute(_BACKEND).fetchone()
    connection.prepare_threshold = _threshold(connection.info.backend_pid, row)


async def _aconfigure(connection: AsyncConnection[Any]) -> None:
    await connection.set_autocommit(True)
    cursor = await connection.cursor(row_factory=dict_row).execute(_BACKEND)
    connection.prepare_threshold = _threshold(connection.info.backend_pid, await cursor.fetchone())


def _threshold(told: int, row: Any) -> int | None:
    # Behind a pooler (PgBouncer) the next statement may meet another server process, which knows of no prepared ones.
    return 2 if row["pid"] == told else None


def _check(connection: Connection[Any]) -> None:
    if _has_something_to_say(connection.fileno()):
        ConnectionPool.check_connection(connection)


async def _acheck(connection: AsyncConnection[Any]) -> None:
    if _has_something_to_say(connection.fileno()):
        await AsyncConnectionPool.check_connection(connection)


def _has_something_to_say(socket: int) -> bool:
    """Whether a connection at rest was sent anything, mostly its end. Asking the server would cost a round trip."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(socket, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([socket], [], [], 0)[0])
