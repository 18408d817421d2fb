"""Dispatch: where the learning of a run happens, which is the only difference between the ways to learn."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from langchain_core.messages import AnyMessage, HumanMessage, message_to_dict
from langgraph.checkpoint.postgres.base import BasePostgresSaver
from langgraph.store.base import BaseStore

from langgraph_learning.background.learner import Learner
from langgraph_learning.background.queue import Entry, JobArgs, Queue, forget_in_jobs
from langgraph_learning.background.schedule import Schedule
from langgraph_learning.background.spending import find_room
from langgraph_learning.core.flow import Flow
from langgraph_learning.core.keys import fingerprint
from langgraph_learning.core.scopes import Caller, LearningContext
from langgraph_learning.core.speakers import arrival_key, find_latest
from langgraph_learning.extract.conversation import find_off_record, recent_messages
from langgraph_learning.extract.metrics import ExtractionMetrics
from langgraph_learning.extract.result import ExtractionResult
from langgraph_learning.stores.base import Turn


@dataclass(frozen=True)
class Work:
    """What a run leaves to be learnt."""

    turn: Turn
    store: BaseStore
    checkpointer: object
    """The checkpointer that has the thread's messages under its id; None if the run has none or is nested."""
    on_server: bool = False
    """True on a LangGraph server."""
    complete: bool = True
    """False if messages were removed from the thread since the run began: no checkpoint may have them."""

    @property
    def key(self) -> str:
        """A name of the run, the same before and after the answer."""
        return self.turn.run or fingerprint(
            *(message.id or message.text for message in find_latest(self.turn.messages))
        )

    @property
    def segment(self) -> tuple[AnyMessage, ...]:
        """The messages of this run: the user's last ones, and what followed."""
        latest = [id(message) for message in find_latest(self.turn.messages)]
        starts = [number for number, message in enumerate(self.turn.messages) if id(message) in latest]
        return self.turn.messages[starts[0] :] if starts else ()


class Handover(NamedTuple):
    """What the run itself is left with."""

    result: ExtractionResult = ExtractionResult()
    """What it has to write."""
    waiting: str = ""
    """Why it learns later."""
    pending: int = 0
    """How many turns of the thread wait to be learnt from."""


class Dispatch(Protocol):
    """A way to learn."""

    def before_answer(self, work: Work) -> Flow[None]:
        """Record that there is something to learn, before the agent answers."""
        ...

    def after_answer(self, work: Work) -> Flow[Handover]:
        """Learn from the turn, or see to it that it is learnt from."""
        ...

    def forget(self, caller: Caller, store: BaseStore) -> Flow[None]:
        """Leave out what waits to be learnt from a user: from the caller's thread, or from all."""
        ...

    def forget_marked(self, caller: Caller, store: BaseStore) -> Flow[None]:
        """Take out of what waits to be learnt from a user the messages that hold what was forgotten."""
        ...


class InRun:
    """Learns in the run itself, after the answer."""

    def __init__(self, learner: Learner, schedule: Schedule) -> None:
        self._learner = learner
        self._schedule = schedule

    def before_answer(self, work: Work) -> Flow[None]:
        """Do nothing: the thread has the messages."""
        yield from ()

    def after_answer(self, work: Work) -> Flow[Handover]:
        """Learn, if it is time and a day's tokens are not spent."""
        turn, schedule = work.turn, self._schedule
        if not turn.caller.learn:
            # Messages before this run may still wait for their turn.
            skipped = replace(turn, messages=work.segment) if schedule.decides else turn
            return Handover((yield from self._learner.extract(skipped)))
        if schedule.decides and not (yield from is_due(self._learner, schedule, turn)):
            return (yield from self._wait(turn, "more is said before it is learnt from"))
        room = yield from find_room(schedule, self._learner.extraction, turn, self._learner.clock())
        if room.reached:
            return (yield from self._wait(turn, room.reached))
        result = yield from self._learner.extract(turn, ExtractionMetrics(reservation=room.reservation))
        pending = (yield from self._learner.count_unread(turn, result.progress.read)) if result.left else 0
        return Handover(result, pending=pending)

    def forget(self, caller: Caller, store: BaseStore) -> Flow[None]:
        """Do nothing: no work waits outside of a run."""
        yield from ()

    def forget_marked(self, caller: Caller, store: BaseStore) -> Flow[None]:
        """Take messages out of the user's jobs, which other machines may have left in this database."""
        return forget_in_jobs(self._learner.stores, caller)

    def _wait(self, turn: Turn, why: str) -> Flow[Handover]:
        return Handover(waiting=why, pending=(yield from self._learner.count_unread(turn)))


class InQueue:
    """Leaves learning to the workers of a queue."""

    def __init__(self, learner: Learner, schedule: Schedule, queue: Queue) -> None:
        self._learner = learner
        self._schedule = schedule
        self._queue = queue

    def before_answer(self, work: Work) -> Flow[None]:
        """Add a job that runs even if this run comes to no end."""
        if work.turn.learns:
            yield from self._add(work, find_latest(work.turn.messages), whole=False, delay=self._schedule.unanswered)
        else:
            yield from segment_skip(self._learner, work)

    def after_answer(self, work: Work) -> Flow[Handover]:
        """Let the job run after some quiet."""
        if not work.turn.learns:
            yield from segment_skip(self._learner, work)
            return Handover()
        schedule = self._schedule
        due = not schedule.decides or (yield from is_due(self._learner, schedule, work.turn))
        messages, whole = choose_messages(work)
        delay = schedule.quiet if due else schedule.unanswered
        pending = yield from self._add(work, messages, whole=whole, delay=delay)
        return Handover(waiting="a worker learns from it", pending=pending)

    def forget(self, caller: Caller, store: BaseStore) -> Flow[None]:
        """Delete the user's jobs, which carry messages."""
        yield from self._queue.set_up(store)
        yield from self._queue.forget(caller)

    def forget_marked(self, caller: Caller, store: BaseStore) -> Flow[None]:
        """Take messages out of the user's jobs."""
        return forget_in_jobs(self._learner.stores, caller)

    def _add(self, work: Work, messages: Sequence[AnyMessage], *, whole: bool, delay: float) -> Flow[int]:
        ceiling = max(self._schedule.at_latest, delay if self._schedule.decides else 0)
        yield from self._queue.set_up(work.store)
        args = make_args(work, messages, whole=whole)
        return (yield from self._queue.add(args, work.key, delay=delay, ceiling=ceiling))


def segment_skip(learner: Learner, work: Work) -> Flow[None]:
    """Mark the messages of this run as read: whatever learns from the thread later must not read them."""
    turn = replace(work.turn, messages=work.segment, caller=replace(work.turn.caller, learn=False))
    yield from learner.write(turn, (yield from learner.extract(turn)))


def is_due(learner: Learner, schedule: Schedule, turn: Turn) -> Flow[bool]:
    """Return True if a schedule has a turn learnt from after this answer."""
    if schedule.when:
        return schedule.is_due(turn.messages, 0)
    return schedule.is_due(turn.messages, (yield from learner.count_unread(turn)))


def choose_messages(work: Work) -> tuple[Sequence[AnyMessage], bool]:
    """Return the messages that a job has to carry, and whether these are all messages of the thread.

    What a checkpoint in a database has, the job need not carry, but for what the user said: the job is written first.
    Where a worker can read no checkpoint, it carries the last messages before as well: the user may answer them.
    """
    if work.checkpointer is None:
        return work.turn.messages, True
    if not work.complete:
        return work.turn.messages, False
    if isinstance(work.checkpointer, BasePostgresSaver):
        return find_latest(work.turn.messages), False
    before = work.turn.messages[: len(work.turn.messages) - len(work.segment)]
    return (*recent_messages(before), *work.segment), False


def make_args(work: Work, messages: Sequence[AnyMessage], *, whole: bool) -> JobArgs:
    """Return a job for a run, which carries these messages of it, unless they are off the record."""
    turn = work.turn
    private = find_off_record(turn.messages)
    carried = [message for message in messages if id(message) not in private]
    entries = {work.key: make_entry(turn, carried, whole=whole)}
    return JobArgs(context=context_of(turn.caller), thread=turn.caller.thread, entries=entries, since=datetime.now(UTC))


def make_entry(turn: Turn, messages: Sequence[AnyMessage], *, whole: bool) -> Entry:
    """Return what a job carries of a run."""
    arrivals = turn.arrivals
    return Entry(
        at=turn.now,
        said_at=turn.caller.now,
        run=turn.run,
        messages=[message_to_dict(message) for message in messages],
        whole=whole,
        speakers=dict(arrivals.users),
        latest=sorted(arrivals.latest),
        present=None if arrivals.present is None else sorted(arrivals.present),
        times=dict(arrivals.times),
        seen=[arrival_key(message) for message in turn.messages if isinstance(message, HumanMessage)],
        session=[learning.model_dump(mode="json") for learning in turn.session],
        originals=turn.originals,
    )


def context_of(caller: Caller) -> LearningContext:
    """Return the context of a caller, without the time at which they spoke: each of their runs has another one."""
    return LearningContext(
        user_id=caller.user,
        team_ids=caller.teams,
        agent_id=caller.agent,
        tenant_id=caller.tenant,
        owners=dict(caller.owners),
        timezone=caller.timezone,
    )
