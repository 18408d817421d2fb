"""Coalescing of async calls: those made in one tick of an event loop go to the database as one batch.

Reads do not wait for writes, whose texts may have to be embedded. If a batch fails, each of its calls is run alone.
LangGraph's `AsyncBatchedBaseStore` does the same, but it is bound to one event loop and refuses sync calls; this store
serves threads and any number of event loops.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

from langgraph.store.base import Op, PutOp, Result
from psycopg.errors import OperationalError

RunBatch = Callable[[Sequence[Op]], Awaitable[list[Result]]]
_MAX_CALLS_PER_BATCH = 1000
"""Keeps transactions short, so that other callers do not wait for long."""


class PendingCall(NamedTuple):
    """An operation and the future that its caller awaits."""

    op: Op
    result: asyncio.Future[Result]


class CallCoalescer:
    """Collects the calls of each event loop's current tick and runs them as batches."""

    def __init__(self, run_batch: RunBatch) -> None:
        self._run_batch = run_batch
        self._pending: WeakKeyDictionary[asyncio.AbstractEventLoop, list[PendingCall]] = WeakKeyDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    async def call(self, op: Op) -> Result:
        """Run an operation in one batch with all others that are called in this tick."""
        loop = asyncio.get_running_loop()
        pending = self._pending.setdefault(loop, [])
        if not pending:
            loop.call_soon(self._start, loop)
        call = PendingCall(op, loop.create_future())
        pending.append(call)
        return await call.result

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        pending = self._pending.pop(loop)
        for writes in (False, True):
            calls = [call for call in pending if isinstance(call.op, PutOp) == writes]
            task = loop.create_task(self._run_in_parts(calls))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run_in_parts(self, calls: list[PendingCall]) -> None:
        # The parts run one after the other, so that the later of two puts of a key wins.
        for start in range(0, len(calls), _MAX_CALLS_PER_BATCH):
            await self._run_together(calls[start : start + _MAX_CALLS_PER_BATCH])

    async def _run_together(self, calls: list[PendingCall]) -> None:
        calls = [call for call in calls if not call.result.done()]
        if not calls:
            return
        work = asyncio.ensure_future(self._run_batch([call.op for call in calls]))
        _cancel_when_abandoned(work, calls)
        await asyncio.wait([work])
        error = None if work.cancelled() else work.exception()
        if error and len(calls) > 1 and _is_certainly_rolled_back(error):
            await asyncio.gather(*(self._run_one_by_one(group) for group in _group_by_key(calls)))
        else:
            _set_results(calls, work)

    async def _run_one_by_one(self, calls: list[PendingCall]) -> None:
        for call in calls:
            await self._run_together([call])


def _cancel_when_abandoned(work: asyncio.Future[list[Result]], calls: Sequence[PendingCall]) -> None:
    """Cancel the work once all of its callers were cancelled."""
    waiting = {call.result for call in calls}

    def discard(result: asyncio.Future[Result]) -> None:
        waiting.discard(result)
        if not waiting:
            work.cancel()

    for call in calls:
        call.result.add_done_callback(discard)


def _set_results(calls: Sequence[PendingCall], work: asyncio.Future[list[Result]]) -> None:
    for position, call in enumerate(calls):
        if call.result.done():
            continue
        if work.cancelled():
            call.result.cancel()
        elif error := work.exception():
            call.result.set_exception(error)
        else:
            call.result.set_result(work.result()[position])


def _group_by_key(calls: Sequence[PendingCall]) -> list[list[PendingCall]]:
    """Group the writes of each key, which must stay in order. Every other call is a group of its own."""
    groups = defaultdict(list)
    for position, call in enumerate(calls):
        group = (call.op.namespace, call.op.key) if isinstance(call.op, PutOp) else position
        groups[group].append(call)
    return list(groups.values())


def _is_certainly_rolled_back(error: BaseException) -> bool:
    """Return True unless the connection broke: then it is unknown whether the database committed."""
    return not (isinstance(error, OperationalError) and error.sqlstate is None)
