"""Runs a job: learns from the conversations of its thread, and decides what becomes of it when that fails."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from langgraph.errors import GraphBubbleUp
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from langgraph_learning.background.conversations import Conversation, Reader, read_conversations
from langgraph_learning.background.learner import Learner, LearningResult
from langgraph_learning.background.queue import JobArgs
from langgraph_learning.background.schedule import (
    FIRST_BACKOFF,
    LONGEST_BACKOFF,
    Schedule,
    backoff,
    seconds_to_next_day,
)
from langgraph_learning.background.spending import find_room
from langgraph_learning.core.flow import Flow
from langgraph_learning.extract.failures import blames_input
from langgraph_learning.extract.metrics import ExtractionMetrics
from langgraph_learning.stores.base import Turn

MAX_EXTRACTIONS = 1_000
"""How many extractions one job may take: it ends earlier, because each one reads something or stops."""
_OUTAGES = (OperationalError, PoolTimeout, TimeoutError, ConnectionError)
"""Errors of a store or an embedding model that does not answer. An outage of the model is the failure of a result."""


@dataclass(frozen=True)
class Decision:
    """What becomes of a job: done, unless it waits or is set aside."""

    result: LearningResult = field(default_factory=LearningResult)
    wait: float | None = None
    """Seconds until another attempt; None: there is none."""
    set_aside: bool = False
    changes: dict[str, Any] = field(default_factory=dict)
    """New arguments of the job."""

    @property
    def reason(self) -> str:
        """Why it is not done."""
        return str(self.changes.get("reason", ""))


class Runner:
    """Runs the jobs of one machine."""

    def __init__(self, learner: Learner, schedule: Schedule, reader: Reader | None = None) -> None:
        self.learner = learner
        self.schedule = schedule
        self.reader = reader

    def run(self, args: JobArgs) -> Flow[Decision]:
        """Learn from everything that a job holds; return what becomes of it."""
        if not args.entries:  # the user had it forgotten
            return Decision()
        try:
            conversations = yield from read_conversations(args, self.reader)
            result, ceiling = yield from self._learn_from(args, conversations)
        except GraphBubbleUp:
            raise
        except _OUTAGES as error:
            return self._wait_for_end(args, LearningResult(), describe_error(error))
        except Exception as error:  # noqa: BLE001 - becomes the reason for which the job waits or is set aside
            return self._try_again(args, LearningResult(), describe_error(error))
        given_up = "; ".join(filter(None, (args.given_up, *(result.errors if result.set_aside else ()))))
        args = args.model_copy(update={"given_up": given_up})
        if ceiling:
            return self._postpone(args, result, ceiling, seconds_to_next_day(self.learner.clock()))
        if result.failure is not None and not blames_input(result.failure):
            return self._wait_for_end(args, result, describe_error(result.failure))
        if result.left:
            return self._try_again(args, result, "; ".join(result.errors))
        return Decision(result, set_aside=bool(given_up), changes={"reason": given_up})

    def _learn_from(self, args: JobArgs, conversations: Sequence[Conversation]) -> Flow[tuple[LearningResult, str]]:
        """Learn from conversations until a model fails or a ceiling is reached; return which one."""
        result, newest = LearningResult(), max(args.entries.values(), key=lambda entry: entry.at)
        for conversation in conversations:
            turn = conversation.turn(args.caller, newest)
            if args.replay:
                yield from self.learner.readmit(turn)
            learnt, ceiling = yield from self._learn(turn)
            result += learnt
            if ceiling or learnt.left:
                return result, ceiling
        return result, ""

    def _learn(self, turn: Turn) -> Flow[tuple[LearningResult, str]]:
        """Learn from a conversation until it is read, its model fails, or a ceiling is reached; return which one."""
        result = LearningResult()
        for _ in range(MAX_EXTRACTIONS):
            room = yield from find_room(self.schedule, self.learner.extraction, turn, self.learner.clock())
            if room.reached:
                return result, room.reached
            metrics = ExtractionMetrics(reservation=room.reservation)
            result += yield from self.learner.learn_once(turn, metrics)
            if not result.left or result.failure is not None:
                break
        return result, ""

    def _try_again(self, args: JobArgs, result: LearningResult, reason: str) -> Decision:
        """Let a job wait for its next attempt; set it aside after too many."""
        attempts = args.attempts + 1
        wait = None if attempts >= self.schedule.attempts else backoff(attempts)
        return self._postpone(args, result, reason, wait, attempts=attempts, down_since=None)

    def _wait_for_end(self, args: JobArgs, result: LearningResult, reason: str) -> Decision:
        """Let a job wait for the end of an outage, ever longer; set it aside after `give_up_after`."""
        now = self.learner.clock()
        down_for = now - (args.down_since or now)
        wait = min(max(down_for.total_seconds(), FIRST_BACKOFF), LONGEST_BACKOFF)
        ends = down_for >= self.schedule.give_up_after
        return self._postpone(args, result, reason, None if ends else wait, down_since=args.down_since or now)

    def _postpone(
        self, args: JobArgs, result: LearningResult, reason: str, wait: float | None, **changes: Any
    ) -> Decision:
        """Let a job wait some seconds, or set it aside if it shall not wait."""
        changes |= {"reason": reason, "given_up": args.given_up, "replay": False}
        return Decision(result, wait=wait, set_aside=wait is None, changes=changes)


def describe_error(error: BaseException) -> str:
    """Return an error as one line."""
    return f"{type(error).__name__}: {error}"
