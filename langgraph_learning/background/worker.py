"""Worker: learns from the jobs of a queue, in a process of its own or in a thread or event loop of the application."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.store.base import BaseStore
from psycopg import AsyncConnection
from psycopg.rows import dict_row

from langgraph_learning.background.conversations import CheckpointReader
from langgraph_learning.background.learner import Learner
from langgraph_learning.background.queue import TASK, JobArgs, JobStatus, Queue, require_procrastinate
from langgraph_learning.background.runner import Decision, Runner, describe_error
from langgraph_learning.background.schedule import Schedule
from langgraph_learning.core.flow import Flow, T, adrive, require_database
from langgraph_learning.core.telemetry import measure
from langgraph_learning.core.text import count_noun

HEARTBEAT = 5.0
"""Seconds between two signs of life of a worker."""
DEAD_AFTER = 20.0
"""Seconds without a sign of life after which the jobs of a worker are run by others."""
POLLING = 1.0
"""Seconds between two looks for jobs that have become due."""
RESTART_AFTER = 2.0
"""Seconds after which a worker that lost its database begins again."""

log = logging.getLogger("langgraph_learning.worker")


class SetAside(Exception):
    """A job is set aside; its reason is noted in the job."""


@dataclass
class WorkerState:
    """What a worker did, and whether it works."""

    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    working: bool = False
    running: int = 0
    done: int = 0
    learnt: int = 0
    """Number of learnings."""
    postponed: int = 0
    set_aside: int = 0
    problem: str = ""
    """Why it does not work."""


class Worker:
    """Runs the jobs of a machine.

    `with worker:` runs it in a thread, `async with worker:` in the event loop, `worker.run()` until the process is told
    to stop. When it stops, the jobs that run are finished first.
    """

    def __init__(
        self,
        learner: Learner,
        schedule: Schedule,
        store: BaseStore,
        *,
        concurrency: int,
        checkpointer: BaseCheckpointSaver[Any] | str | None,
        grace: float,
        chores: "tuple[Chore, ...]",
    ) -> None:
        require_procrastinate()
        self.state = WorkerState()
        self.queue = Queue(schedule.queue)
        self._conninfo = require_database(store).conninfo
        self._store = store
        self._runner = Runner(learner, schedule)
        self._concurrency = concurrency
        self._checkpointer = checkpointer
        self._grace = grace
        self._chores = chores
        self._main: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start in a thread."""
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._in_own_loop(self._serve(started.set))),
            name="langgraph-learning-worker",
            daemon=True,
        )
        self._thread.start()
        started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, when the jobs that run are done."""
        self.stop()
        assert self._thread is not None
        self._thread.join()

    async def __aenter__(self) -> Self:
        """Start in this event loop."""
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.create_task(self._work_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop, when the jobs that run are done."""
        assert self._main is not None
        self._main.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._main

    def run(self) -> None:
        """Work until the process is told to stop, by Ctrl+C or SIGTERM."""
        import signal

        async def main() -> None:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self.stop)
            await self._in_own_loop(self._serve(lambda: None))

        asyncio.run(main())

    def drain(self) -> None:
        """Run all jobs that are due or wait for quiet, and return."""
        asyncio.run(self._in_own_loop(self.adrain()))

    async def adrain(self) -> None:
        """Do as `drain` in async code."""
        async with self._open_app() as app:
            while await self._drive(self.queue.hurry()) or await self._count_due():
                done = self.state.done
                await self._run_app(app, wait=False)
                if self.state.done == done:
                    return  # the rest waits for the end of an outage, or for the next day

    def stop(self) -> None:
        """Stop, when the jobs that run are done; this may be called from another thread."""
        if self._loop and self._main and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._main.cancel)

    async def _in_own_loop(self, work: Awaitable[None]) -> None:
        """Do something in an event loop that ends with it."""
        try:
            await work
        finally:
            await require_database(self._store).aclose_loop()

    async def _serve(self, started: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._main = asyncio.create_task(self._work_on())
        started()
        with contextlib.suppress(asyncio.CancelledError):
            await self._main

    async def _work_on(self) -> None:
        """Work until cancelled; a lost database is waited for."""
        while True:
            try:
                async with self._open_app() as app:
                    self.state.working, self.state.problem = True, ""
                    log.info("working on the queue %s, up to %d jobs at once", self.queue.name, self._concurrency)
                    await self._run_app(app, wait=True)
            except asyncio.CancelledError:
                log.info("stopped: %s done, %d set aside", count_noun(self.state.done, "job"), self.state.set_aside)
                raise
            except Exception as error:  # noqa: BLE001 - reported; a worker outlives its database
                self.state.problem = describe_error(error)
            finally:
                self.state.working = False
            log.warning("begins again in %.0f s: %s", RESTART_AFTER, self.state.problem or "the worker ended")
            await asyncio.sleep(RESTART_AFTER)

    @contextlib.asynccontextmanager
    async def _open_app(self) -> AsyncIterator[Any]:
        """Open procrastinate's app, with the tables of the queue, and the checkpointer."""
        from procrastinate import App, PsycopgConnector

        await self._drive(self.queue.set_up(self._store))
        _hide_arguments()
        connector = PsycopgConnector(conninfo=self._conninfo, min_size=1, max_size=self._concurrency + 4, timeout=10.0)
        app = App(connector=connector)
        app.task(name=TASK, queue=self.queue.name, pass_context=True)(self._learn)
        for chore in self._chores:
            task = app.task(name=chore.name, queue=self.queue.name)(chore.as_task(self._store))
            app.periodic(cron=chore.cron)(task)
        async with _open_checkpointer(self._checkpointer, self._conninfo) as saver:
            self._runner.reader = CheckpointReader(saver) if saver else None
            async with app.open_async():
                yield app

    async def _run_app(self, app: Any, *, wait: bool) -> None:
        recovering = asyncio.create_task(self._recover())
        try:
            await app.run_worker_async(
                queues=[self.queue.name],
                concurrency=self._concurrency,
                wait=wait,
                fetch_job_polling_interval=POLLING,
                shutdown_graceful_timeout=self._grace,
                delete_jobs="successful",
                install_signal_handlers=False,
                update_heartbeat_interval=HEARTBEAT,
                stalled_worker_timeout=DEAD_AFTER,
                listen_notify=wait,
            )
        finally:
            recovering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await recovering

    async def _recover(self) -> None:
        """Let the jobs of dead workers wait again, now and then."""
        while True:
            recovered = await self._drive(self.queue.recover(DEAD_AFTER))
            if recovered:
                log.warning("%d jobs of a worker that died wait again", recovered)
            await asyncio.sleep(DEAD_AFTER / 2)

    async def _learn(self, running: Any, /, **arguments: Any) -> None:
        """Run one job."""
        job, args = int(running.job.id), JobArgs.model_validate(arguments)
        self.state.running += 1
        try:
            with measure("job", tenant=args.context.tenant_id, runs=len(args.entries)) as measurement:
                decision = await self._drive(self._runner.run(args))
                measurement.note(learnings=len(decision.result.learnings), waits=decision.wait or 0.0)
            await self._conclude(job, args, decision)
        finally:
            self.state.running -= 1

    async def _conclude(self, job: int, args: JobArgs, decision: Decision) -> None:
        """Carry out what was decided about a job, and say it in the log."""
        who = f"job {job} ({args.context.tenant_id}/{args.context.user_id}, thread {args.thread})"
        self.state.learnt += len(decision.result.learnings)
        if decision.set_aside:
            self.state.set_aside += 1
            await self._drive(self.queue.explain(job, **decision.changes))
            log.error("%s is set aside: %s", who, decision.reason)
            raise SetAside(decision.reason)
        if decision.wait is not None:
            self.state.postponed += 1
            await self._drive(self.queue.put_back(job, delay=decision.wait, running=True, **decision.changes))
            log.warning("%s waits for %.0f s: %s", who, decision.wait, decision.reason)
            return
        self.state.done += 1
        metrics = decision.result.metrics
        log.info("%s: %d learnt, %d tokens", who, len(decision.result.learnings), metrics.tokens)
        for kept in decision.result.kept_private:
            log.info("%s: something stays private to the user: %s", who, kept.why)

    async def _count_due(self) -> int:
        return (await self._drive(self.queue.count()))[JobStatus.WAITING]

    async def _drive(self, flow: Flow[T]) -> T:
        return await adrive(flow, self._store)


@dataclass(frozen=True)
class Chore:
    """A periodic task."""

    name: str
    cron: str
    make: Callable[[], Flow[Any]]

    def as_task(self, store: BaseStore) -> Any:
        """Return the chore as a function for procrastinate."""

        async def run(timestamp: int) -> None:
            log.info("%s begins, due at %s", self.name, datetime.fromtimestamp(timestamp, UTC))
            await adrive(self.make(), store)

        return run


@contextlib.asynccontextmanager
async def _open_checkpointer(
    given: BaseCheckpointSaver[Any] | str | None, conninfo: str
) -> AsyncIterator[BaseCheckpointSaver[Any] | None]:
    """Give the checkpointer to read threads from: the one given or, by default, that of the store's database."""
    if isinstance(given, BaseCheckpointSaver):
        yield given
        return
    async with await AsyncConnection.connect(given or conninfo, autocommit=True, row_factory=dict_row) as connection:
        found = await (await connection.execute("SELECT to_regclass('checkpoints') AS found")).fetchone()
    if not found or found["found"] is None:
        yield None
        return
    async with AsyncPostgresSaver.from_conn_string(given or conninfo) as saver:
        yield saver


def _hide_arguments() -> None:
    """Keep procrastinate from writing the arguments of our jobs, which hold messages, into the log."""
    for name in ("worker", "worker.worker", "jobs", "manager"):
        logger = logging.getLogger(f"procrastinate.{name}")
        if _is_not_ours not in logger.filters:
            logger.addFilter(_is_not_ours)


def _is_not_ours(record: logging.LogRecord) -> bool:
    return TASK not in record.getMessage()
