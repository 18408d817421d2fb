"""Learning on a LangGraph server: beside its runs, in the process that answered, or else in another run.

So no chat is held up, neither by its own extraction nor, where the server has few runs at once, by those of others.
"""

import asyncio
import logging
import os
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from weakref import WeakValueDictionary

from langchain_core.messages import convert_to_messages
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.store.base import BaseStore
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError
from pydantic import ValidationError

from langgraph_learning.background.conversations import ThreadRequest, Values
from langgraph_learning.background.dispatch import Handover, Work, is_due, make_args, segment_skip
from langgraph_learning.background.learner import Learner
from langgraph_learning.background.queue import JobArgs, caller_lock, forget_in_jobs
from langgraph_learning.background.runner import Runner
from langgraph_learning.background.schedule import Schedule
from langgraph_learning.core.flow import Flow, adrive, wait_for
from langgraph_learning.core.keys import user_hash
from langgraph_learning.core.langgraph_compat import is_server_process
from langgraph_learning.core.learning import Status
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.speakers import find_latest
from langgraph_learning.errors import Misconfigured
from langgraph_learning.update.marks import Forgotten, read_forgotten

GRAPH = "learner"
"""Name under which langgraph.json serves `machine.nodes.learner`."""
AT_ONCE = 10
"""How many jobs a process learns from at the same time."""
ISOLATED_LOOPS = "BG_JOB_ISOLATED_LOOPS"
"""Variable by which a server gives each run an event loop of its own."""
AFTER_RUN = 2
"""Seconds until a run is done that has nothing left to do."""
THREADS_PER_PAGE = 100
"""How many threads are searched for at once."""
MAX_STATES = 50
"""How many states of a thread are looked at for a message that its newest one does not have."""

log = logging.getLogger(__name__)


class OnServer:
    """Leaves learning to the server, beside its runs."""

    def __init__(self, learner: Learner, schedule: Schedule) -> None:
        self._learner = learner
        self._schedule = schedule
        self.beside = ServerLearner(Runner(learner, schedule, ServerReader()))

    def before_answer(self, work: Work) -> Flow[None]:
        """Do nothing but keep back what is not to be learnt: the server has the thread."""
        if not work.on_server:
            raise Misconfigured('learn="server" works on a LangGraph server only: use "queue" or "deferred" elsewhere.')
        if not work.turn.learns:
            yield from segment_skip(self._learner, work)

    def after_answer(self, work: Work) -> Flow[Handover]:
        """Let the server learn after some quiet, from what waits already as well."""
        if not work.turn.learns:
            yield from segment_skip(self._learner, work)
            return Handover()
        due = not self._schedule.decides or (yield from is_due(self._learner, self._schedule, work.turn))
        carried = find_latest(work.turn.messages) if work.complete else work.turn.messages
        args = make_args(work, carried, whole=not work.turn.caller.thread)
        delay = self._schedule.quiet if due else self._schedule.unanswered
        scheduled = self.beside.schedule(get_client(), args, work.store, delay)
        return Handover(waiting="the server learns from it", pending=(yield from wait_for(scheduled)))

    def forget(self, caller: Caller, store: BaseStore) -> Flow[None]:
        """Delete the runs that learn from the user, with the messages they carry.

        Only the server itself can: elsewhere, the runs stay.
        """
        if is_server_process():
            yield from wait_for(_delete_runs(get_client(), caller))

    def forget_marked(self, caller: Caller, store: BaseStore) -> Flow[None]:
        """Take messages out of the runs that learn from the user, which only the server itself can, and out of jobs."""
        yield from forget_in_jobs(self._learner.stores, caller)
        if is_server_process():
            forgotten = yield from read_forgotten(self._learner.stores, caller)
            yield from wait_for(_remove_forgotten(get_client(), caller, forgotten))


class ServerLearner:
    """Learns beside the runs of a server, in its event loop: so nothing of it holds one of the runs it has at once.

    All that waits is also the input of a run that waits, in case that the process ends. Where each run has an event
    loop of its own, which stands still without a run, that run learns.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._beside_runs = os.environ.get(ISOLATED_LOOPS, "").lower() not in ("true", "1", "yes", "on")
        self._places = asyncio.Semaphore(AT_ONCE)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[None]] = set()

    async def schedule(
        self, client: LangGraphClient, args: JobArgs, store: BaseStore, delay: float, *, again: bool = False
    ) -> int:
        """Learn after a delay, also from what waits for the same thread and caller; return from how many runs.

        again: True for another attempt, which no message hurries.
        """
        thread = _thread_of(args)
        waiting = await _list_waiting(client, thread)
        for run in waiting:
            args = _join(_args_of(run), args)
        waited = (datetime.now(UTC) - args.since).total_seconds()
        delay = max(0.0, delay if again else min(delay, self._runner.schedule.at_latest - waited))
        grace = self._runner.schedule.unanswered if self._beside_runs else 0
        created = await _create_run(client, args, delay + grace)
        for run in waiting:
            await _cancel(client, thread, run["run_id"])
        if self._beside_runs:
            self._begin(self._learn_later(client, thread, created, store, delay))
        return len(args.entries)

    async def learn(self, client: LangGraphClient, args: JobArgs, store: BaseStore) -> None:
        """Learn what the run that runs now has to learn, or begin to."""
        if self._beside_runs:
            await self.schedule(client, args, store, 0, again=True)
        elif not args.entries or await self._learn(client, args, store):
            await self._remove_forgotten(client, args, store, spared=_thread_of(args))
            if args.entries:
                # This run holds what was forgotten, too, and cannot delete itself: another one does when it is done.
                await _create_run(client, args.model_copy(update={"thread": None, "entries": {}}), AFTER_RUN)

    async def _learn_later(
        self, client: LangGraphClient, thread: str, run: str, store: BaseStore, delay: float
    ) -> None:
        """Learn after a delay what a run has to learn that waits, unless another one has taken its place by then."""
        await asyncio.sleep(delay)
        async with self._turns.setdefault(thread, asyncio.Lock()), self._places:
            args = await _read_waiting(client, thread, run)
            if args is None:
                return
            forgot = await self._learn(client, args, store)
        await _cancel(client, thread, run)
        if forgot:
            await self._remove_forgotten(client, args, store)

    async def _learn(self, client: LangGraphClient, args: JobArgs, store: BaseStore) -> bool:
        """Learn, and see to another attempt or leave a run that fails with the reason for which the job is set aside.

        Returns True if something was forgotten.
        """
        decision = await adrive(self._runner.run(args), store)
        if decision.wait is not None:
            later = args.model_copy(update={**decision.changes, "since": datetime.now(UTC)})
            await self.schedule(client, later, store, decision.wait, again=True)
        elif decision.set_aside:
            await _create_run(client, args, 0, set_aside=decision.reason)
        return any(learning.status is Status.REJECTED for learning in decision.result.learnings)

    async def _remove_forgotten(
        self, client: LangGraphClient, args: JobArgs, store: BaseStore, spared: str = ""
    ) -> None:
        stores = self._runner.learner.stores
        forgotten = await adrive(read_forgotten(stores, args.caller), store)
        await _remove_forgotten(client, args.caller, forgotten, spared)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin some work as the user of this run, but with none of its streams and callbacks."""
        context = copy_context()
        context.run(var_child_runnable_config.set, None)
        task = asyncio.create_task(work, context=context)
        self._tasks.add(task)  # an event loop keeps no task alive
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("learning is left to the run that waits", exc_info=error)


async def _create_run(client: LangGraphClient, args: JobArgs, delay: float, **input: str) -> str:
    created = await client.runs.create(
        _thread_of(args),
        GRAPH,
        input={"job": args.model_dump(mode="json"), **input},
        context=args.context.model_dump(mode="json"),
        after_seconds=round(max(0.0, delay)),
        metadata=_metadata_of(args.caller),
        multitask_strategy="enqueue",
        if_not_exists="create",
    )
    return str(created["run_id"])


def _metadata_of(caller: Caller) -> dict[str, str]:
    """Return the metadata by which the runs that learn from a user are found, and those of one thread among them."""
    return {"learns_for": user_hash(caller, GRAPH), **({"learns_from": caller.thread} if caller.thread else {})}


async def _find_threads(client: LangGraphClient, caller: Caller) -> list[str]:
    """Return the threads on which runs learn from a user: in the caller's thread, or in all."""
    found: list[str] = []
    while len(found) % THREADS_PER_PAGE == 0:
        page = await client.threads.search(metadata=_metadata_of(caller), limit=THREADS_PER_PAGE, offset=len(found))
        found += [str(thread["thread_id"]) for thread in page]
        if not page:
            break
    return found


async def _delete_runs(client: LangGraphClient, caller: Caller) -> None:
    for thread in await _find_threads(client, caller):
        await _delete_thread(client, thread)


async def _delete_thread(client: LangGraphClient, thread: str) -> None:
    with suppress(NotFoundError):  # somebody else deleted it meanwhile
        await client.threads.delete(thread)


async def _remove_forgotten(client: LangGraphClient, caller: Caller, forgotten: Forgotten, spared: str = "") -> None:
    """Delete the runs that learn from a user; those that wait come back without what was forgotten.

    spared: a thread whose run is still going on.
    """
    for thread in await _find_threads(client, replace(caller, thread=None)):
        if thread == spared:
            continue
        job: JobArgs | None = None
        for run in await _list_waiting(client, thread):
            later = _args_of(run)
            job = _join(job, later) if later else job
        await _delete_thread(client, thread)
        if job is not None:
            await _create_run(client, job.without_forgotten(forgotten), 0)


async def _read_waiting(client: LangGraphClient, thread: str, run: str) -> JobArgs | None:
    """Return what a run has to learn; None if it does not wait any more."""
    try:
        found = await client.runs.get(thread, run)
    except NotFoundError:
        return None
    return _args_of(found) if found["status"] == "pending" else None


async def _list_waiting(client: LangGraphClient, thread: str) -> Sequence[Mapping[str, Any]]:
    try:
        return await client.runs.list(thread, status="pending")
    except NotFoundError:
        return ()  # nobody learnt from this thread yet


def _thread_of(args: JobArgs) -> str:
    """Return the id of the thread on which runs learn from a thread for a caller."""
    return str(uuid5(NAMESPACE_URL, caller_lock(args)))


async def _cancel(client: LangGraphClient, thread: str, run: str) -> None:
    try:
        await client.runs.cancel(thread, run, action="rollback")
    except NotFoundError:
        return  # it began meanwhile, or is done


def _args_of(run: Mapping[str, Any]) -> JobArgs | None:
    try:
        return JobArgs.model_validate(run["kwargs"]["input"]["job"])
    except (KeyError, TypeError, ValidationError):
        return None


def _join(earlier: JobArgs | None, later: JobArgs) -> JobArgs:
    if earlier is None:
        return later
    entries = {**earlier.entries, **later.entries}
    return later.model_copy(update={"entries": entries, "since": min(earlier.since, later.since)})


class ServerReader(Runnable[ThreadRequest, list[Values]]):
    """Reads the newest state of a thread of the server, and older ones for messages that it lost."""

    def invoke(self, input: ThreadRequest, config: RunnableConfig | None = None, **_: Any) -> list[Values]:
        """Refuse: the server runs graphs in async code."""
        raise Misconfigured("The graph that learns runs on a LangGraph server only.")

    async def ainvoke(self, input: ThreadRequest, config: RunnableConfig | None = None, **_: Any) -> list[Values]:
        """Read the states."""
        client, missing = get_client(), set(input.ids)
        found: list[Values] = []
        try:
            newest = await client.threads.get_state(input.thread)
            states: Sequence[Any] = [newest]
            if missing - _ids(newest["values"]):
                states = [newest, *await client.threads.get_history(input.thread, limit=MAX_STATES)]
        except NotFoundError:
            return []
        for state in states:
            values = state["values"]
            if isinstance(values, Mapping) and (not found or _ids(values) & missing):
                found.append({**values, "messages": convert_to_messages(values.get("messages") or [])})
                missing -= _ids(values)
        return found


def _ids(values: Any) -> set[str]:
    messages = values.get("messages") if isinstance(values, Mapping) else None
    return {str(message.get("id")) for message in messages or () if isinstance(message, Mapping)}
