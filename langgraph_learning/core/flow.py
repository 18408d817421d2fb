"""Logic written once for both worlds: a flow yields what it needs and is handed the answer.

A flow is a generator. It does no I/O itself, so the same lines serve `invoke` and `ainvoke`; two short drivers do.
"""

import inspect
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from types import GeneratorType
from typing import Any, TypeVar

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.store.base import BaseStore, GetOp, Item, Op, PutOp, Result, SearchOp
from langgraph.store.memory import InMemoryStore

from langgraph_learning.core.store_protocol import Change, Expected, TransactionalStore
from langgraph_learning.core.text import strip_unstorable
from langgraph_learning.errors import Misconfigured

T = TypeVar("T")
R = TypeVar("R")
PAGE_SIZE = 500
"""How many items are asked for at once where all are wanted."""


@dataclass(frozen=True)
class Batch:
    """Asks the store to carry out operations together."""

    ops: tuple[Op, ...]
    expected: tuple[Expected, ...] = ()
    """What must still be as it was read, where the store can tell."""
    by: str | None = None
    erase: bool = False
    """Whether the store's change log is to lose what deleted items said."""


@dataclass(frozen=True)
class Invoke:
    """Asks for the answer of a runnable: a model, a retriever."""

    runnable: Runnable[Any, Any]
    input: Any
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Await:
    """Asks for the result of somebody's async function."""

    awaitable: Awaitable[Any]


@dataclass(frozen=True)
class ReadChanges:
    """Asks the store's change log for what happened to an item, or to all items of a namespace, newest first."""

    namespace: tuple[str, ...]
    key: str | None
    limit: int


Effect = Batch | Invoke | Await | ReadChanges
Flow = Generator[Effect, Any, T]


def batch(
    *ops: Op, expected: Sequence[Expected] = (), by: str | None = None, erase: bool = False
) -> Flow[list[Result]]:
    """Carry out operations in one batch."""
    results: list[Result] = (yield Batch(ops, tuple(expected), by, erase)) if ops else []
    return results


def get_item(namespace: tuple[str, ...], key: str) -> Flow[Item | None]:
    """Read one item."""
    (item,) = yield from batch(GetOp(namespace, key))
    return item if isinstance(item, Item) else None


def search(*ops: SearchOp) -> Flow[list[Item]]:
    """Carry out searches in one batch, and return what they found, in their order."""
    results = yield from batch(*ops)
    return [item for items in results if isinstance(items, list) for item in items if isinstance(item, Item)]


def search_all(namespace: tuple[str, ...], filter: dict[str, Any] | None = None) -> Flow[list[Item]]:
    """Read all items below a namespace that a filter lets through, page by page."""
    found: list[Item] = []
    while True:
        items = yield from search(SearchOp(namespace, filter, limit=PAGE_SIZE, offset=len(found)))
        found += items
        if len(items) < PAGE_SIZE:
            return found


def read_changes(namespace: tuple[str, ...], key: str | None, *, limit: int) -> Flow[list[Change]]:
    """Read the store's change log. Raises `Misconfigured` for a store without one."""
    found: list[Change] = yield ReadChanges(namespace, key, limit)
    return found


def invoke(runnable: Runnable[Any, Any], input: Any, tags: tuple[str, ...] = ()) -> Flow[Any]:
    """Ask a model or a retriever."""
    return (yield Invoke(runnable, input, tags))


def as_flow(result: T | Awaitable[T] | Flow[T]) -> Flow[T]:
    """Return what a method gave as a flow, whether the method is plain, async or a flow itself."""
    if isinstance(result, GeneratorType):
        flowed: T = yield from result
        return flowed
    if inspect.isawaitable(result):
        awaited: T = yield Await(result)
        return awaited
    return result  # type: ignore[return-value]  # what is neither of the two is the value itself


def gather(flows: Iterable[Flow[T]]) -> Flow[list[T]]:
    """Run flows side by side: the batches that they ask for at the same step become one batch."""
    waiting: dict[int, tuple[Flow[T], Effect]] = {}
    done: dict[int, T] = {}

    def advance(place: int, flow: Flow[T], answer: Any) -> None:
        try:
            waiting[place] = (flow, flow.send(answer))
        except StopIteration as stop:
            done[place] = stop.value

    for place, flow in enumerate(flows):
        advance(place, flow, None)
    while waiting:
        step, waiting = waiting, {}
        ops = [op for _, request in step.values() if isinstance(request, Batch) for op in request.ops]
        results = iter((yield from batch(*ops)))
        for place, (flow, request) in step.items():
            answer = [next(results) for _ in request.ops] if isinstance(request, Batch) else (yield request)
            advance(place, flow, answer)
    return [done[place] for place in sorted(done)]


def drive(flow: Flow[T], store: BaseStore, config: RunnableConfig | None = None) -> T:
    """Run a flow in the sync world."""
    return run_flow(flow, lambda request: _perform(request, store, config))


async def adrive(flow: Flow[T], store: BaseStore, config: RunnableConfig | None = None) -> T:
    """Run a flow in the async world."""
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
        return [result for some in _at_once(store, ops) for result in store.batch(some)]
    if isinstance(request, Invoke):
        return request.runnable.invoke(request.input, _tagged(config, request.tags))
    if isinstance(request, ReadChanges):
        return _log(store).history(request.namespace, request.key, limit=request.limit)
    if inspect.iscoroutine(request.awaitable):
        request.awaitable.close()
    raise Misconfigured("A method of a learning store is async: run the graph with ainvoke or astream.")


async def _aperform(request: Effect, store: BaseStore, config: RunnableConfig | None) -> Any:
    if isinstance(request, Batch):
        ops = strip_unstorable(request.ops)
        if (request.expected or request.by) and isinstance(store, TransactionalStore):
            return await store.atransact(ops, expected=request.expected, by=request.by, erase=request.erase)
        return [result for some in _at_once(store, ops) for result in await store.abatch(some)]
    if isinstance(request, Invoke):
        return await request.runnable.ainvoke(request.input, _tagged(config, request.tags))
    if isinstance(request, ReadChanges):
        return await _log(store).ahistory(request.namespace, request.key, limit=request.limit)
    return await request.awaitable


def _log(store: BaseStore) -> TransactionalStore:
    if isinstance(store, TransactionalStore):
        return store
    raise Misconfigured(
        f"{type(store).__name__} keeps no log of changes: use HybridPostgresStore for history and undo."
    )


def _at_once(store: BaseStore, ops: tuple[Op, ...]) -> list[tuple[Op, ...]]:
    """Return the batches that these operations go to the store in: one, wherever that works."""
    # InMemoryStore embeds equal texts once, and then fails for it found fewer vectors than items.
    alone = isinstance(store, InMemoryStore) and any(isinstance(op, PutOp) for op in ops)
    return [(op,) for op in ops] if alone else [ops]


def _tagged(config: RunnableConfig | None, tags: tuple[str, ...]) -> RunnableConfig:
    config = config or {}
    return {**config, "tags": [*(config.get("tags") or []), *tags]}


class Facade:
    """Base of an object whose methods run flows on a store, from sync and from async code."""

    def __init__(self, get_store: Callable[[], BaseStore]) -> None:
        """Take a function that returns the store, or raises an error that says how to provide one."""
        self._get_store = get_store

    def _run(self, flow: Flow[T]) -> T:
        return drive(flow, self._get_store())

    async def _arun(self, flow: Flow[T]) -> T:
        return await adrive(flow, self._get_store())
