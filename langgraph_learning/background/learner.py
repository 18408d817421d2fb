"""Learner: learns from a conversation, in a run or outside of one, and writes what the policy allows."""

import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage, MessageLikeRepresentation, convert_to_messages
from langgraph.store.base import PutOp

from langgraph_learning.background.dry_run import dry_run
from langgraph_learning.background.queue import forget_in_jobs
from langgraph_learning.background.usage import Usage, measure, usage_writes
from langgraph_learning.core import telemetry
from langgraph_learning.core.flow import Flow, batch, pause
from langgraph_learning.core.keys import fingerprint
from langgraph_learning.core.learning import Learning, Status
from langgraph_learning.core.scopes import Caller, LearningContext
from langgraph_learning.core.store_protocol import ItemWrite
from langgraph_learning.core.transcript import Speaker, fingerprint_text, fingerprints
from langgraph_learning.errors import Conflict, Misconfigured
from langgraph_learning.extract.cursor import Attempts, Fingerprints, Progress, find_unread, read_cursor
from langgraph_learning.extract.extraction import Extraction
from langgraph_learning.extract.failures import blames_input
from langgraph_learning.extract.metrics import ExtractionMetrics
from langgraph_learning.extract.result import ExtractionResult, KeptPrivate, belongs_to_thread
from langgraph_learning.stores.base import LearningStore, Turn
from langgraph_learning.update.votes import update_totals
from langgraph_learning.update.write_policy import write_learnings

UPDATE_ATTEMPTS = 3
"""How often a turn is learnt from while others change at the same time what it depends on."""
WRITE_ATTEMPTS = 40
"""How often its learnings are written while other runs of the same thread are quicker."""
LONGEST_PAUSE = 0.3
"""Seconds before another attempt at most."""
MAX_EXTRACTIONS = 1_000
"""How many extractions one conversation may take: it ends earlier, because each one reads something or stops."""


@dataclass(frozen=True)
class LearningResult:
    """The outcome of learning from a conversation."""

    learnings: tuple[Learning, ...] = ()
    """The learnings that were written, proposals and retired ones too."""
    errors: tuple[str, ...] = ()
    """What was lost or could not be read yet, and why."""
    failure: Exception | None = None
    """The error of the model, if it left messages unread."""
    left: int = 0
    """How many messages are left to be read."""
    set_aside: int = 0
    """How many messages were given up, after several attempts."""
    metrics: ExtractionMetrics = field(default_factory=ExtractionMetrics)
    kept_private: tuple[KeptPrivate, ...] = ()
    """What was meant for others and stays private to the user, and why."""

    def __add__(self, later: "LearningResult") -> "LearningResult":
        """Return the outcome of two extractions of one conversation."""
        return LearningResult(
            (*self.learnings, *later.learnings),
            (*self.errors, *later.errors),
            later.failure,
            later.left,
            self.set_aside + later.set_aside,
            self.metrics + later.metrics,
            (*self.kept_private, *later.kept_private),
        )


class Learner:
    """Learns from conversations for the learning stores of one machine."""

    def __init__(self, stores: Sequence[LearningStore], extraction: Extraction) -> None:
        self.stores = tuple(stores)
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        """Tells the day to which usage counts; tests may set it."""
        self.extraction = extraction
        self._verbatim = {store.name for store in stores if store.verbatim}

    def extract(self, turn: Turn, metrics: ExtractionMetrics | None = None) -> Flow[ExtractionResult]:
        """Return what is to be written; if the user learns nothing in this run, only that the messages were read.

        metrics: counts what it costs, in addition to what was counted before.
        """
        if not turn.caller.learn:
            return (yield from self.extraction.skip(turn))
        metrics = metrics or ExtractionMetrics()
        before = metrics.input_tokens, metrics.output_tokens
        try:
            with telemetry.measure("extract", tenant=turn.caller.tenant) as extraction:
                result = yield from self.extraction.extract(turn, metrics)
                extraction.note(
                    calls=metrics.calls,
                    tokens=metrics.tokens,
                    edits=len(result.learnings),
                    dropped=len(metrics.dropped),
                    failure=type(result.failure).__name__ if result.failure else "",
                )
            telemetry.count_tokens_used(
                turn.caller.tenant, metrics.input_tokens - before[0], metrics.output_tokens - before[1]
            )
            return result
        except Exception as error:
            yield from batch(*self._count(turn, ExtractionResult(failure=error, metrics=metrics), ()))
            raise

    def learn_once(self, turn: Turn, metrics: ExtractionMetrics | None = None) -> Flow[LearningResult]:
        """Learn from the unread messages of a conversation, as many as one extraction reads."""
        extracted = yield from self.extract(turn, metrics)
        result, learnings = yield from self.write(turn, extracted)
        return LearningResult(
            learnings,
            result.errors,
            result.failure,
            result.left,
            len(result.progress.set_aside),
            result.metrics,
            result.kept_private,
        )

    def learn(self, turn: Turn) -> Flow[LearningResult]:
        """Learn from all unread messages of a conversation, in as many extractions as it takes.

        A message that the model refuses is tried again, and set aside in the end. While the model cannot be reached,
        nothing is set aside: then the rest is left.
        """
        done = LearningResult()
        for _ in range(MAX_EXTRACTIONS):
            result = yield from self.learn_once(turn)
            done += result
            if not result.left or (result.failure is not None and not blames_input(result.failure)):
                break
        return done

    def preview(self, turn: Turn) -> Flow[LearningResult]:
        """Return what would be learnt, and write nothing. The model is asked, so it costs as much as learning."""
        return dry_run(self.learn(turn))

    def write(
        self, turn: Turn, result: ExtractionResult, others: Iterable[ItemWrite] = ()
    ) -> Flow[tuple[ExtractionResult, tuple[Learning, ...]]]:
        """Write the result of an extraction, all or nothing; return the result that counts and what was written.

        If others changed meanwhile what it depends on, the messages are read again. Raises `Conflict`, having written
        nothing, if that happens again and again.
        """
        with telemetry.measure("update", tenant=turn.caller.tenant) as update:
            written, learnings = yield from self._write(turn, result, list(others))
            update.note(learnings=len(learnings))
        return written, learnings

    def _write(
        self, turn: Turn, result: ExtractionResult, others: Sequence[ItemWrite]
    ) -> Flow[tuple[ExtractionResult, tuple[Learning, ...]]]:
        extractions = 1
        for attempt in range(WRITE_ATTEMPTS):
            kept = [write for write in others if not (result.session_deleted and belongs_to_thread(write))]
            puts = [PutOp(*write, index=False) for write in (*result.writes, *kept)]
            try:
                learnings = yield from write_learnings(
                    self.stores,
                    turn.caller,
                    result.learnings,
                    *puts,
                    expected=result.expected,
                    at=turn.now,
                    report=partial(self._count, turn, result),
                )
            except Conflict:
                # Random, so that runs of one thread that were in conflict do not try again at the same moment.
                yield from pause(random.uniform(0, min(0.01 * 2**attempt, LONGEST_PAUSE)))
            else:
                yield from update_totals(result.voted, turn.caller.user)
                if any(learning.status is Status.REJECTED for learning in learnings):
                    yield from forget_in_jobs(self.stores, turn.caller)
                return result, learnings
            # Another run of this thread learnt from other messages, or what this one changes has changed meanwhile.
            renewed = yield from self.extraction.renew_cursor(turn.caller, result)
            if renewed is None:
                if extractions == UPDATE_ATTEMPTS:
                    break
                extractions += 1
                renewed = yield from self.extract(turn, result.metrics)
            result = renewed
        yield from batch(*self._count(turn, result, ()))
        raise Conflict("Others changed what this turn depends on at the same time, again and again.")

    def readmit(self, turn: Turn) -> Flow[None]:
        """Let the messages of a conversation that were set aside be read again."""
        cursor = yield from read_cursor(turn.caller, turn.originals)
        prints = find_unread(turn, cursor).fingerprints.values()
        again = [message for message in prints if message.key in cursor.set_aside]
        progress = Progress(failed={message.key: Attempts() for message in again})
        writes, expected = cursor.readmit(again).advance(progress)
        yield from batch(*(PutOp(*write, index=False) for write in writes), expected=expected)

    def count_unread(self, turn: Turn, read: Collection[Fingerprints] = ()) -> Flow[int]:
        """Return how many messages of the user were not learnt from yet, nor are among those that are read now."""
        unread = find_unread(turn, (yield from read_cursor(turn.caller, turn.originals)))
        return sum(
            isinstance(message, HumanMessage)
            and unread.speaker_of(message) is Speaker.USER
            and unread.fingerprints[id(message)] not in read
            for message in unread.messages
        )

    def _count(self, turn: Turn, result: ExtractionResult, learnings: Sequence[Learning]) -> list[PutOp]:
        """Return what counts an extraction; nothing if no model was asked and no room reserved for it."""
        if not (result.metrics.calls or result.metrics.reservation):
            return []
        # A message that is kept word for word was not found by the model.
        found = [learning for learning in learnings if learning.store_name not in self._verbatim]
        usage = measure(result, found) if result.metrics.calls else Usage()
        writes = usage_writes(turn.caller, usage, self.clock(), result.metrics.reservation)
        return [PutOp(*write, index=False) for write in writes]


def identify_messages(messages: Sequence[AnyMessage], thread: str) -> tuple[AnyMessage, ...]:
    """Return messages with ids: one without gets the same id whenever the same conversation is given again.

    Keys of learnings are made of message ids.
    """
    prefixes = fingerprints(messages)
    return tuple(
        message if message.id else message.model_copy(update={"id": fingerprint(thread, str(number), *prints, size=16)})
        for number, (message, prints) in enumerate(zip(messages, prefixes, strict=True))
    )


def name_conversation(messages: Sequence[AnyMessage], user: str | None) -> str:
    """Return a thread id for a conversation that has none: the same for the same user and messages."""
    texts = (f"{message.type}\0{fingerprint_text(message)}" for message in messages)
    return f"conversation-{fingerprint(user or '', *texts, size=16)}"


def make_turn(
    messages: Iterable[MessageLikeRepresentation], context: LearningContext, thread: str | None, now: datetime
) -> Turn:
    """Return a conversation as a turn to learn from. Without a thread it is named by its messages.

    Raises `Misconfigured` for a text alone, which would be read as one message per character.
    """
    if isinstance(messages, str):
        raise Misconfigured('messages= is a list of messages, such as [("user", "I like tea")], not a text.')
    converted: Any = convert_to_messages(list(messages))
    thread = thread or name_conversation(converted, context.user_id)
    return Turn(Caller.of(context, thread), identify_messages(converted, thread), now)
