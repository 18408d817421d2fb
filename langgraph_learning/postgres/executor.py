"""Execution of plans: the requests that a plan yields (SQL, embeddings, pauses), and a driver each for sync and async.

A plan is a generator. It does no I/O itself, so one plan serves the sync and the async methods of the store.
"""

import asyncio
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar, cast

from langchain_core.embeddings import Embeddings
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langgraph.store.base.embed import EmbeddingsLambda
from psycopg import AsyncConnection, AsyncCursor, Connection, Cursor, errors, sql
from psycopg.rows import dict_row

from langgraph_learning.core.flow import arun_flow, run_flow
from langgraph_learning.errors import NotSetUp
from langgraph_learning.postgres.connections import Connections
from langgraph_learning.postgres.rows import register_vectors
from langgraph_learning.postgres.statements import Rows, Statement

T = TypeVar("T")
_BEGIN, _COMMIT = sql.SQL("BEGIN"), sql.SQL("COMMIT")
_LONG_TEXT = 20_000
"""Characters from which on reading a text takes longer than an event loop should wait."""
_AnyCursor = TypeVar("_AnyCursor", Cursor[Any], AsyncCursor[Any])


class EmbedQueries(NamedTuple):
    """Request to embed search queries. The answer is one vector per text."""

    texts: Sequence[str]


class EmbedDocuments(NamedTuple):
    """Request to embed texts that are stored. The answer is one vector per text."""

    texts: Sequence[str]


class Compute(NamedTuple):
    """Request to call a function. The answer is its result."""

    function: Callable[[], Any]
    chars: int
    """Characters of text that it reads. Long texts are read beside the event loop."""


class RunStatements(NamedTuple):
    """Request to run statements in one transaction and, without a guard, in one round trip.

    The answer is a list with the rows of each statement.
    """

    statements: Sequence[Statement]
    guard: Callable[[Rows], None] | None = None
    """Called with the rows of statement `guarded` before the commit. If it raises, the transaction is rolled back."""
    guarded: int = 0
    optional: bool = False
    """If true, a read-only database skips the statements."""
    repeatable: bool = False
    """True for reads: they are run again if the connection turns out to be dead."""

    @property
    def needs_transaction(self) -> bool:
        """True unless there is only one statement and no guard."""
        return len(self.statements) > 1 or self.guard is not None


class Pause(NamedTuple):
    """Request to sleep. The answer is None."""

    seconds: float


PlanRequest = EmbedQueries | EmbedDocuments | Compute | RunStatements | Pause
Plan = Generator[PlanRequest, Any, T]


def embed_queries(texts: Sequence[str]) -> Plan[list[list[float]]]:
    """Return one vector per search query."""
    return cast(list[list[float]], (yield EmbedQueries(texts))) if texts else []


def embed_documents(texts: Sequence[str]) -> Plan[list[list[float]]]:
    """Return one vector per text that is stored."""
    return cast(list[list[float]], (yield EmbedDocuments(texts))) if texts else []


def compute(function: Callable[[], T], chars: int) -> Plan[T]:
    """Call a function that reads this many characters of text."""
    return cast(T, (yield Compute(function, chars)))


def run_statements(
    *statements: Statement,
    guard: Callable[[Rows], None] | None = None,
    guarded: int = 0,
    optional: bool = False,
    repeatable: bool = False,
) -> Plan[list[Rows]]:
    """Return the rows of each statement. The arguments are those of `RunStatements`."""
    return cast(list[Rows], (yield RunStatements(statements, guard, guarded, optional, repeatable)))


def run_statement(query: bytes, parameters: Mapping[str, Any] | None) -> Plan[Rows]:
    """Return the rows of one statement."""
    (rows,) = yield from run_statements(Statement(query, parameters))
    return rows


def pause(seconds: float) -> Plan[None]:
    """Sleep."""
    yield Pause(seconds)


def execute_plan(plan: Plan[T], connections: Connections, embeddings: Embeddings | None) -> T:
    """Run a plan in this thread. No connection is held while texts are embedded."""
    return run_flow(plan, lambda request: _perform_request(request, connections, embeddings))


async def aexecute_plan(plan: Plan[T], connections: Connections, embeddings: Embeddings | None) -> T:
    """Run a plan in this event loop. No connection is held while texts are embedded."""
    return await arun_flow(plan, lambda request: _aperform_request(request, connections, embeddings))


def _perform_request(request: PlanRequest, connections: Connections, embeddings: Embeddings | None) -> Any:
    match request:
        case RunStatements():
            with _translate_errors(request):
                return _run(request, connections)
        case EmbedQueries(texts):
            return _embed_queries(_require_model(embeddings), texts)
        case EmbedDocuments(texts):
            return _require_model(embeddings).embed_documents(list(texts))
        case Compute(function):
            return function()
        case Pause(seconds):
            return time.sleep(seconds)


async def _aperform_request(request: PlanRequest, connections: Connections, embeddings: Embeddings | None) -> Any:
    match request:
        case RunStatements():
            with _translate_errors(request):
                return await _arun(request, connections)
        case EmbedQueries(texts):
            return await _aembed_queries(_require_model(embeddings), texts)
        case EmbedDocuments(texts):
            return await _require_model(embeddings).aembed_documents(list(texts))
        case Compute(function, chars):
            return await _acompute(function, chars)
        case Pause(seconds):
            return await asyncio.sleep(seconds)


def _embed_queries(embeddings: Embeddings, texts: Sequence[str]) -> Sequence[list[float]]:
    """Return the vectors of query texts, in one call if the model has one for them, else in concurrent calls."""
    embed = _one_call_of(embeddings)
    if len(texts) == 1:
        return [embeddings.embed_query(texts[0])]
    if embed:
        return embed(list(texts))
    with ContextThreadPoolExecutor(len(texts)) as threads:
        return list(threads.map(embeddings.embed_query, texts))


async def _aembed_queries(embeddings: Embeddings, texts: Sequence[str]) -> Sequence[list[float]]:
    """Return the same, from async code."""
    if len(texts) > 1 and isinstance(embeddings, EmbeddingsLambda):
        return await embeddings.aembed_documents(list(texts))
    if len(texts) > 1 and (embed := _one_call_of(embeddings)):
        return await asyncio.to_thread(embed, list(texts))
    return await asyncio.gather(*(embeddings.aembed_query(text) for text in texts))


def _one_call_of(embeddings: Embeddings) -> Callable[[list[str]], list[list[float]]] | None:
    """Return the method that embeds several queries, None if there is none: many models embed documents differently."""
    if isinstance(embeddings, EmbeddingsLambda):
        return embeddings.embed_documents
    return getattr(embeddings, "embed_queries", None)


def _require_model(embeddings: Embeddings | None) -> Embeddings:
    assert embeddings is not None, "a plan embeds only if the index has an embedding model"
    return embeddings


@contextmanager
def _translate_errors(request: RunStatements) -> Iterator[None]:
    """Turn psycopg's errors into ours. A write that is optional is skipped on a read-only replica."""
    try:
        yield
    except (errors.UndefinedTable, errors.UndefinedColumn) as error:
        raise NotSetUp() from error
    except errors.ReadOnlySqlTransaction:
        if not request.optional:
            raise


def _run(request: RunStatements, connections: Connections) -> list[Rows]:
    connection = None
    try:
        with connections.lend() as connection:
            return _send(connection, request)
    except errors.OperationalError:
        if not (request.repeatable and connection and connection.closed):
            raise
    with connections.lend() as connection:
        return _send(connection, request)


async def _arun(request: RunStatements, connections: Connections) -> list[Rows]:
    connection = None
    try:
        async with connections.alend() as connection:
            return await _asend(connection, request)
    except errors.OperationalError:
        if not (request.repeatable and connection and connection.closed):
            raise
    async with connections.alend() as connection:
        return await _asend(connection, request)


def _send(connection: Connection[Any], request: RunStatements) -> list[Rows]:
    cursors = [_prepare_cursor(connection.cursor(row_factory=dict_row)) for _ in request.statements]
    if not request.needs_transaction:
        statement = request.statements[0]
        return [_fetch_rows(cursors[0].execute(statement.query, statement.make_parameters()))]
    try:
        with connection.pipeline():
            connection.execute(_BEGIN)
            for cursor, statement in zip(cursors, request.statements, strict=True):
                cursor.execute(statement.query, statement.make_parameters())
            if request.guard:
                request.guard(cursors[request.guarded].fetchall())
            connection.execute(_COMMIT)
    except BaseException:
        if not connection.closed:
            connection.rollback()
        raise
    return [_fetch_rows(cursor) for cursor in cursors]


async def _asend(connection: AsyncConnection[Any], request: RunStatements) -> list[Rows]:
    cursors = [_prepare_cursor(connection.cursor(row_factory=dict_row)) for _ in request.statements]
    if not request.needs_transaction:
        statement = request.statements[0]
        return [await _afetch_rows(await cursors[0].execute(statement.query, await _amake_parameters(statement)))]
    try:
        async with connection.pipeline():
            await connection.execute(_BEGIN)
            for cursor, statement in zip(cursors, request.statements, strict=True):
                await cursor.execute(statement.query, await _amake_parameters(statement))
            if request.guard:
                request.guard(await cursors[request.guarded].fetchall())
            await connection.execute(_COMMIT)
    except BaseException:
        if not connection.closed:
            await connection.rollback()
        raise
    return [await _afetch_rows(cursor) for cursor in cursors]


async def _amake_parameters(statement: Statement) -> Mapping[str, Any] | None:
    return await _acompute(statement.make_parameters, statement.chars)


async def _acompute(function: Callable[[], T], chars: int) -> T:
    return await asyncio.to_thread(function) if chars > _LONG_TEXT else function()


def _prepare_cursor(cursor: _AnyCursor) -> _AnyCursor:
    # The connection may be of the caller's own pool, which stays as it is: types are registered on the cursor alone.
    register_vectors(cursor.adapters)
    return cursor


def _fetch_rows(cursor: Cursor[Any]) -> Rows:
    return cursor.fetchall() if cursor.description else []


async def _afetch_rows(cursor: AsyncCursor[Any]) -> Rows:
    return await cursor.fetchall() if cursor.description else []
