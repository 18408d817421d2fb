"""The ways to learn: in the run, in a queue, or beside the runs of a LangGraph server."""

from typing import Literal

from langgraph_learning.background.dispatch import Dispatch, InQueue, InRun
from langgraph_learning.background.learner import Learner
from langgraph_learning.background.queue import Queue, require_procrastinate
from langgraph_learning.background.schedule import Schedule
from langgraph_learning.background.server_runs import OnServer
from langgraph_learning.errors import Misconfigured

LearnWhere = Literal["deferred", "queue", "server"]


def make_dispatch(where: LearnWhere, learner: Learner, schedule: Schedule) -> Dispatch:
    """Return a way to learn. Raises `Misconfigured` for an unknown one, `MissingExtra` if its package is missing."""
    if where == "deferred":
        return InRun(learner, schedule)
    if where == "server":
        return OnServer(learner, schedule)
    if where == "queue":
        require_procrastinate()
        return InQueue(learner, schedule, Queue(schedule.queue))
    raise Misconfigured(f'learn= is "deferred", "queue" or "server", not {where!r}.')
