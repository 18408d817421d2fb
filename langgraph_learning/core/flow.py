"""Flows: generators that yield requests to the store or a model, and the drivers that answer them, sync and async.

A flow does no I/O itself, so the same lines serve `invoke` and `ainvoke`.
"""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextvars import copy_context
from dataclasses import dataclass
from threading import Thread
from types import GeneratorType
from typing import Any, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.constants import TAG_NOSTREAM
from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp, Result, SearchOp
from langgraph.store.memory import InMemoryStore

from langgraph_learning.core.langgraph_compat import remove_streaming_handlers
from langgraph_learning.core.store_protocol import Change, Expected, SqlStore, TransactionalStore
from langgraph_learning.core.text import strip_unstorable
from langgraph_learning.errors import LearningError, Misconfigured

T = TypeVar("T")
R = TypeVar("R")
SHORTEST_WAIT = 0.5
"""Seconds that a request to the store is given in any case."""
PAGE_SIZE = 500
"""Items per search when all items are read."""


@dataclass(frozen=True)
class Batch:
    """A request for operations on the store, as one batch."""

    ops: tuple[Op, ...]
    expected: tuple[Expected, ...] = ()
    """Versions that items must still have, if the store keeps versions."""
    by: str | None = None
    """Actor for the change log."""
    erase: bool = False
    """True: the change log keeps no values of deleted items."""


@dataclass(frozen=True)
class Invoke:
    """A request for the answer of a runnable, such as a model or a retriever."""

    runnable: Runnable[Any, Any]
    input: Any
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Await:
    """A request for the result of an async method of a learning store."""

    awaitable: Awaitable[Any]


@dataclass(frozen=True)
class ReadChanges:
    """A request for the change log of an item, or of all items of a namespace, newest first."""

    namespace: tuple[str, ...]
    key: str | None
    limit: int


@dataclass(frozen=True)
class Query:
    """A request for the rows of an SQL statement, from a store that has a database."""

    statement: bytes
    parameters: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Within:
    """Request for the result of a flow within a number of seconds.

    The answer is a `TimeoutError` if it takes longer. Nothing can stop a call that blocks, so it goes on by itself and
    its result is dropped.
    """

    flow: "Flow[Any]"
    seconds: float


@dataclass(frozen=True)
class Pause:
    """Request to wait a number of seconds. The answer is None."""

    seconds: float


Effect = Batch | Invoke | Await | ReadChanges | Query | Within | Pause
Flow = Generator[Effect, Any, T]


@dataclass
class WaitingTime:
    """The time that the steps of a turn may wait for the store, with its embedding model, in all."""

    limit: float | None
    """Seconds; None: as long as it takes."""
    spent: float = 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds that remain; never quite none, because a store that recovers should be noticed."""
        return None if self.limit is None else max(self.limit - self.spent, SHORTEST_WAIT)


def batch(
    *ops: Op, expected: Sequence[Expected] = (), by: str | None = None, erase: bool = False
) -> Flow[list[Result]]:
    """Perform operations on the store in one batch; no operations cost no round trip."""
    results: list[Result] = (yield Batch(ops, tuple(expected), by, erase)) if ops else []
    return results


def get_item(namespace: tuple[str, ...], key: str) -> Flow[Item | None]:
    """Read one item."""
    (item,) = yield from batch(GetOp(namespace, key))
    return item if isinstance(item, Item) else None


def search(*ops: SearchOp) -> Flow[list[Item]]:
    """Perform searches in one batch; return the items of all of them, in the order of the searches."""
    results = yield from batch(*ops)
    return [item for items in results if isinstance(items, list) for item in items if isinstance(item, Item)]


def search_all(namespace: tuple[str, ...], filter: dict[str, Any] | None = None) -> Flow[list[Item]]:
    """Read all items under a namespace prefix that pass a filter, page by page."""
    found: list[Item] = []
    while True:
        items = yield from search(SearchOp(namespace, filter, limit=PAGE_SIZE, offset=len(found)))
        found += items
        if len(items) < PAGE_SIZE:
            return found


def read_changes(namespace: tuple[str, ...], key: str | None, *, limit: int) -> Flow[list[Change]]:
    """Read the store's change log. Raises `Misconfigured` for a store without one."""
    found: list[Change] = yield ReadChanges(strip_unstorable(namespace), strip_unstorable(key), limit)
    return found


def run_sql(statement: bytes, parameters: Mapping[str, Any] | None = None) -> Flow[list[Mapping[str, Any]]]:
    """Run an SQL statement in the store's database. Raises `Misconfigured` for a store without one."""
    rows: list[Mapping[str, Any]] = yield Query(statement, parameters)
    return rows


def limit_waiting(flow: Flow[T], waiting: WaitingTime) -> Flow[T]:
    """Run a flow within the time that is left to wait, whatever it waits for. Raises `TimeoutError`."""
    seconds = waiting.remaining
    if seconds is None:
        return (yield from flow)
    started = time.monotonic()
    try:
        result: T = yield Within(flow, seconds)
        return result
    finally:
        waiting.spent += time.monotonic() - started


def limit_store_waiting(flow: Flow[T], waiting: WaitingTime) -> Flow[T]:
    """Run a flow whose requests to the store share the time that is left to wait; its models have limits of their own.

    `TimeoutError` is raised inside the flow, which may handle it.
    """

    def perform(request: Effect) -> Flow[Any]:
        limited = isinstance(request, Batch | ReadChanges | Query)
        return limit_waiting(_ask(request), waiting) if limited else _ask(request)

    return relay_requests(flow, perform)


def relay_requests(flow: Flow[T], perform: Callable[[Effect], Flow[Any]]) -> Flow[T]:
    """Run a flow inside another one, which performs each of its requests; an error is raised inside the flow."""
    try:
        request = next(flow)
        while True:
            try:
                answer = yield from perform(request)
            except Exception as error:  # noqa: BLE001 - raised inside the flow, and from there unless it is handled
                request = flow.throw(error)
            else:
                request = flow.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # StopIteration does not carry the generator's type


def _ask(request: Effect) -> Flow[Any]:
    return (yield request)


def pause(seconds: float) -> Flow[None]:
    """Wait a number of seconds."""
    yield Pause(seconds)


def invoke(
    runnable: Runnable[Any, Any], input: Any, tags: tuple[str, ...] = (), timeout: float | None = None
) -> Flow[Any]:
    """Return the answer of a model or a retriever. Raises `TimeoutError` if it takes more than `timeout` seconds."""
    request = Invoke(runnable, input, tags)
    return (yield request if timeout is None else Within(_ask(request), timeout))


def wait_for(awaitable: Awaitable[T]) -> Flow[T]:
    """Return the result of a coroutine; only async code can wait for it."""
    result: T = yield Await(awaitable)
    return result


def as_flow(result: T | Awaitable[T] | Flow[T]) -> Flow[T]:
    """Return the result of a method as a flow, whether the method is plain, async or a flow itself."""
    if isinstance(result, GeneratorType):
        flowed: T = yield from result
        return flowed
    if inspect.isawaitable(result):
        awaited: T = yield Await(result)
        return awaited
    return result  # type: ignore[return-value]  # neither a flow nor awaitable, so it is the value itself


def gather(flows: Iterable[Flow[T]]) -> Flow[list[T]]:
    """Run flows concurrently: the batches that they request at the same step become one batch."""
    waiting: dict[int, tuple[Flow[T], Effect]] = {}
    done: dict[int, T] = {}

    def advance(index: int, flow: Flow[T], answer: Any) -> None:
        try:
            waiting[index] = (flow, flow.send(answer))
        except StopIteration as stop:
            done[index] = stop.value

    for index, flow in enumerate(flows):
        advance(index, flow, None)
    while waiting:
        step, waiting = waiting, {}
        ops = [op for _, request in step.values() if isinstance(request, Batch) for op in request.ops]
        results = iter((yield from batch(*ops)))
        for index, (flow, request) in step.items():
            answer = [next(results) for _ in request.ops] if isinstance(request, Batch) else (yield request)
            advance(index, flow, answer)
    return [done[index] for index in sorted(done)]


def drive(flow: Flow[T], store: BaseStore, config: RunnableConfig | None = None) -> T:
    """Run a flow on a store, with sync calls."""
    return run_flow(flow, lambda request: _perform(request, store, config))


async def adrive(flow: Flow[T], store: BaseStore, config: RunnableConfig | None = None) -> T:
    """Run a flow on a store, with async calls."""
    return await arun_flow(flow, lambda request: _aperform(request, store, config))


def run_flow(flow: Generator[R, Any, T], perform: Callable[[R], Any]) -> T:
    """Run a generator to its end: perform each request that it yields and send it the answer; return its result.

    An exception of `perform` is raised inside the generator, which may handle it and continue.
    """
    try:
        request = next(flow)
        while True:
            try:
                answer = perform(request)
            except Exception as error:  # noqa: BLE001 - raised inside the flow, and from there unless it is handled
                request = flow.throw(error)
            else:
                request = flow.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # StopIteration does not carry the generator's type


async def arun_flow(flow: Generator[R, Any, T], perform: Callable[[R], Awaitable[Any]]) -> T:
    """Run a generator as `run_flow` does, with an async `perform`."""
    try:
        request = next(flow)
        while True:
            try:
                answer = await perform(request)
            except Exception as error:  # noqa: BLE001 - raised inside the flow, and from there unless it is handled
                request = flow.throw(error)
            else:
                request = flow.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]  # StopIteration does not carry the generator's type


def _perform(request: Effect, store: BaseStore, config: RunnableConfig | None) -> Any:
    if isinstance(request, Batch):
        ops = strip_unstorable(request.ops)
        if (request.expected or request.by) and isinstance(store, TransactionalStore):
            return store.transact(ops, expected=request.expected, by=request.by, erase=request.erase)
        return _check_results(store, ops, [result for part in _split_batch(store, ops) for result in store.batch(part)])
    if isinstance(request, Invoke):
        return request.runnable.invoke(request.input, _add_tags(config, request.tags))
    if isinstance(request, Within):
        return _call_within(request.seconds, lambda: drive(request.flow, store, config))
    if isinstance(request, Pause):
        return time.sleep(request.seconds)
    if isinstance(request, ReadChanges):
        return _require_log(store).history(request.namespace, request.key, limit=request.limit)
    if isinstance(request, Query):
        return require_database(store).run_sql(request.statement, request.parameters)
    if inspect.iscoroutine(request.awaitable):
        request.awaitable.close()
    raise Misconfigured("A method of a learning store is async: run the graph with ainvoke or astream.")


async def _aperform(request: Effect, store: BaseStore, config: RunnableConfig | None) -> Any:
    if isinstance(request, Batch):
        ops = strip_unstorable(request.ops)
        if (request.expected or request.by) and isinstance(store, TransactionalStore):
            return await store.atransact(ops, expected=request.expected, by=request.by, erase=request.erase)
        return _check_results(
            store, ops, [result for part in _split_batch(store, ops) for result in await store.abatch(part)]
        )
    if isinstance(request, Invoke):
        return await request.runnable.ainvoke(request.input, _add_tags(config, request.tags))
    if isinstance(request, Within):
        return await _await_within(request.seconds, adrive(request.flow, store, config))
    if isinstance(request, Pause):
        return await asyncio.sleep(request.seconds)
    if isinstance(request, ReadChanges):
        return await _require_log(store).ahistory(request.namespace, request.key, limit=request.limit)
    if isinstance(request, Query):
        return await require_database(store).arun_sql(request.statement, request.parameters)
    return await request.awaitable


def _require_log(store: BaseStore) -> TransactionalStore:
    if isinstance(store, TransactionalStore):
        return store
    raise Misconfigured(f"{type(store).__name__} has no change log: use HybridPostgresStore for history and undo.")


def check_store(store: object) -> None:
    """Raise `Misconfigured` for what is neither a store nor None."""
    if store is not None and not isinstance(store, BaseStore):
        raise Misconfigured(
            f"store= is a store, such as HybridPostgresStore(url) or InMemoryStore(); not a {type(store).__name__}."
        )


def require_database(store: BaseStore) -> SqlStore:
    """Return a store as one with a database. Raises `Misconfigured` for any other."""
    if isinstance(store, SqlStore):
        return store
    raise Misconfigured(f"{type(store).__name__} has no database for a queue: use HybridPostgresStore.")


def _split_batch(store: BaseStore, ops: tuple[Op, ...]) -> list[tuple[Op, ...]]:
    """Return the batches to send: one, except for puts to an InMemoryStore."""
    # InMemoryStore embeds equal texts once, and then fails because it has fewer vectors than items.
    separate = isinstance(store, InMemoryStore) and any(isinstance(op, PutOp) for op in ops)
    return [(op,) for op in ops] if separate else [ops]


def _add_tags(config: RunnableConfig | None, tags: tuple[str, ...]) -> RunnableConfig:
    config = config or {}
    config = {**config, "tags": [*(config.get("tags") or []), *tags]}
    return remove_streaming_handlers(config) if TAG_NOSTREAM in tags else config


def _call_within(seconds: float, function: Callable[[], T]) -> T:
    """Return the result of a function. Raises `TimeoutError` if it takes longer; then its thread is left alone."""
    result: Future[T] = Future()
    context = copy_context()

    def run() -> None:
        try:
            result.set_result(context.run(function))
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            result.set_exception(error)

    # A daemon: a call that never ends must not keep the process from ending.
    Thread(target=run, name="langgraph-learning", daemon=True).start()
    if not wait([result], timeout=seconds).done:
        raise TimeoutError(_no_answer(seconds))
    return result.result()


async def _await_within(seconds: float, coroutine: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine. Raises `TimeoutError` if it takes longer; then its task is left alone.

    Its cancellation might wait as well: psycopg asks the server to cancel the query, and waits for the answer.
    """
    task = asyncio.ensure_future(coroutine)
    _unfinished.add(task)
    task.add_done_callback(_finish)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        raise TimeoutError(_no_answer(seconds))
    return task.result()


_unfinished: set["asyncio.Future[Any]"] = set()


def _finish(task: "asyncio.Future[Any]") -> None:
    _unfinished.discard(task)
    if not task.cancelled():
        task.exception()  # nobody may be left to ask for it


def _no_answer(seconds: float) -> str:
    return f"there was no answer within {seconds:.3g} seconds"


def _check_results(store: BaseStore, ops: Sequence[Op], results: list[Result]) -> list[Result]:
    if len(results) != len(ops) and not all(isinstance(op, PutOp) for op in ops):
        raise LearningError(f"{type(store).__name__} returned {len(results)} results for {len(ops)} operations.")
    return results


class Facade:
    """Base of an object whose methods run flows on a store, from sync and from async code."""

    def __init__(self, get_store: Callable[[], BaseStore]) -> None:
        """Take a function that returns the store, or raises an error that says how to provide one."""
        self._get_store = get_store

    def _run(self, flow: Flow[T]) -> T:
        return drive(flow, self._get_store())

    async def _arun(self, flow: Flow[T]) -> T:
        return await adrive(flow, self._get_store())
