"""machine.jobs: the jobs of the queue, to count, show, retry and drop."""

from collections.abc import Callable

from langgraph.store.base import BaseStore

from langgraph_learning.background.queue import Job, JobStatus, Queue, thread_lock
from langgraph_learning.core.flow import Facade, Flow, T
from langgraph_learning.core.scopes import Caller, LearningContext


class Jobs(Facade):
    """The jobs of a queue. This is for the operator, not for a user."""

    def __init__(self, queue: str, get_store: Callable[[], BaseStore]) -> None:
        super().__init__(get_store)
        self._queue = Queue(queue)

    def pending(self, context: LearningContext | None = None) -> int:
        """Return how many jobs wait or run, of one user or of all."""
        return self._run(self._pending(context))

    async def apending(self, context: LearningContext | None = None) -> int:
        """Do as `pending` in async code."""
        return await self._arun(self._pending(context))

    def show(self, *, status: JobStatus | None = None, tenant_id: str | None = None) -> list[Job]:
        """Return the jobs that wait, run or were set aside, with the reason of the last failure."""
        return self._run(self._ready(self._queue.list_jobs(status=status, tenant=tenant_id)))

    async def ashow(self, *, status: JobStatus | None = None, tenant_id: str | None = None) -> list[Job]:
        """Do as `show` in async code."""
        return await self._arun(self._ready(self._queue.list_jobs(status=status, tenant=tenant_id)))

    def retry(self, *jobs: int) -> None:
        """Run jobs again, and read their messages again that were set aside. Raises `NotFound`."""
        for job in jobs:
            self._run(self._ready(self._queue.retry(job)))

    async def aretry(self, *jobs: int) -> None:
        """Do as `retry` in async code."""
        for job in jobs:
            await self._arun(self._ready(self._queue.retry(job)))

    def drop(self, *jobs: int) -> None:
        """Delete jobs that wait or were set aside. Raises `NotFound`."""
        for job in jobs:
            self._run(self._ready(self._queue.drop(job)))

    async def adrop(self, *jobs: int) -> None:
        """Do as `drop` in async code."""
        for job in jobs:
            await self._arun(self._ready(self._queue.drop(job)))

    def hurry(self) -> int:
        """Make all jobs that wait due now; return how many."""
        return self._run(self._ready(self._queue.hurry()))

    async def ahurry(self) -> int:
        """Do as `hurry` in async code."""
        return await self._arun(self._ready(self._queue.hurry()))

    def end_session(self, context: LearningContext, thread_id: str) -> None:
        """Learn from a thread now: its session is over, and no quiet has to be waited for."""
        self._run(self._ready(self._queue.hurry(thread_lock(Caller.of(context, thread_id), ""))))

    async def aend_session(self, context: LearningContext, thread_id: str) -> None:
        """Do as `end_session` in async code."""
        await self._arun(self._ready(self._queue.hurry(thread_lock(Caller.of(context, thread_id), ""))))

    def _pending(self, context: LearningContext | None) -> Flow[int]:
        tenant, user = (context.tenant_id, context.user_id) if context else (None, None)
        counts = yield from self._ready(self._queue.count(tenant=tenant, user=user))
        return counts[JobStatus.WAITING] + counts[JobStatus.RUNNING]

    def _ready(self, flow: Flow[T]) -> Flow[T]:
        yield from self._queue.set_up(self._get_store())
        return (yield from flow)
