"""Calls that are made in one tick of an event loop go to the database together: a thousand tasks, one round trip.

Who calls notices nothing of the others: reads do not wait for what is written, which a model may have to embed; and
where a batch fails, each of its calls is carried out alone.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

from langgraph.store.base import Op, PutOp, Result
from psycopg.errors import OperationalError

CarryOut = Callable[[Sequence[Op]], Awaitable[list[Result]]]
_AT_ONCE = 1000
"""So many calls in one transaction: large enough to be quick, small enough not to keep others waiting."""


class Call(NamedTuple):
    """One operation, and who waits for its result."""

    op: Op
    answer: asyncio.Future[Result]


class Gathering:
    """What was called in this tick, for each event loop."""

    def __init__(self, carry_out: CarryOut) -> None:
        self._carry_out = carry_out
        self._called: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Call]] = WeakKeyDictionary()
        self._at_work: set[asyncio.Task[None]] = set()

    async def call(self, op: Op) -> Result:
        """Carry out an operation, together with all that are called before the event loop comes round."""
        loop = asyncio.get_running_loop()
        called = self._called.setdefault(loop, [])
        if not called:
            loop.call_soon(self._start, loop)
        called.append(Call(op, loop.create_future()))
        return await called[-1].answer

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        called = self._called.pop(loop)
        for writes in (False, True):
            calls = [call for call in called if isinstance(call.op, PutOp) == writes]
            task = loop.create_task(self._in_turn(calls))
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)

    async def _in_turn(self, calls: list[Call]) -> None:
        # One after the other: of two puts of one key the later one is to win.
        for at in range(0, len(calls), _AT_ONCE):
            await self._together(calls[at : at + _AT_ONCE])

    async def _together(self, calls: list[Call]) -> None:
        calls = [call for call in calls if not call.answer.done()]
        if not calls:
            return
        work = asyncio.ensure_future(self._carry_out([call.op for call in calls]))
        _end_with_its_callers(work, calls)
        await asyncio.wait([work])
        error = None if work.cancelled() else work.exception()
        if error and len(calls) > 1 and _nothing_was_done(error):
            await asyncio.gather(*(self._one_by_one(lane) for lane in _lanes(calls)))
        else:
            _tell(calls, work)

    async def _one_by_one(self, calls: list[Call]) -> None:
        for call in calls:
            await self._together([call])


def _end_with_its_callers(work: asyncio.Future[list[Result]], calls: Sequence[Call]) -> None:
    """Stop working once the last of those who wait was cancelled."""
    waiting = {call.answer for call in calls}

    def gone(answer: asyncio.Future[Result]) -> None:
        waiting.discard(answer)
        if not waiting:
            work.cancel()

    for call in calls:
        call.answer.add_done_callback(gone)


def _tell(calls: Sequence[Call], work: asyncio.Future[list[Result]]) -> None:
    for nth, call in enumerate(calls):
        if call.answer.done():
            continue
        if work.cancelled():
            call.answer.cancel()
        elif error := work.exception():
            call.answer.set_exception(error)
        else:
            call.answer.set_result(work.result()[nth])


def _lanes(calls: Sequence[Call]) -> list[list[Call]]:
    """Return what must stay in order together: the writes of each key; any other call stands for itself."""
    lanes = defaultdict(list)
    for nth, call in enumerate(calls):
        lanes[(call.op.namespace, call.op.key) if isinstance(call.op, PutOp) else nth].append(call)
    return list(lanes.values())


def _nothing_was_done(error: BaseException) -> bool:
    """Whether the database has surely not committed: where a connection broke, nobody knows."""
    return not (isinstance(error, OperationalError) and error.sqlstate is None)
