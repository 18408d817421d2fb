"""What is said of an answer, or came of a decision, outside the conversation: by a button, a ticket, a job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args
from uuid import NAMESPACE_URL, uuid5

from langchain_core.messages import HumanMessage
from langgraph.store.base import GetOp, Item, PutOp
from pydantic import BaseModel, ValidationError

from langgraph_learning.core.flow import Flow, batch, flow_of
from langgraph_learning.core.learning import Learning, Source, Status, read_all
from langgraph_learning.core.records import Edit, kind_of, linked, reason, said_by
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.transcript import Line
from langgraph_learning.errors import InvalidFields, Misconfigured, NotFound
from langgraph_learning.extract.extraction import processed
from langgraph_learning.extract.validation import noted
from langgraph_learning.stores.base import Asked, LearningStore, Note, Turn, places
from langgraph_learning.stores.behavioral_feedback import Feedback
from langgraph_learning.stores.decision_log import Outcome
from langgraph_learning.update.votes import Vote, last_answer, rolled_up, shown_in, uncast
from langgraph_learning.update.write_policy import write

UP, DOWN = "up", "down"
CORRECTION = "correction"
Result = Literal["resolved", "succeeded", "reopened", "failed", "escalated"]
WORKED: Mapping[str, bool] = dict(zip(get_args(Result), (True, True, False, False, False), strict=True))
"""What an outcome says of the answer before it."""


@dataclass(frozen=True)
class Voice:
    """One user's word from outside the conversation."""

    stores: Sequence[LearningStore]
    caller: Caller
    at: datetime
    said: str
    """The word itself: "up", "down", "correction" or an outcome."""
    worked: bool
    answer: str | None
    """Id of the answer that it is about."""
    comment: str | None
    correction: str | None = None
    """What would have been right."""

    @property
    def words(self) -> str:
        """What the comment says, if anything."""
        return (self.comment or "").strip()

    @property
    def spoken(self) -> str:
        """All that the user said."""
        return ". ".join(part for part in (self.words, self.correction) if part) or self.said

    def vote(self, answer: str) -> Vote:
        """Return it as a vote on what an answer was shown."""
        return Vote.of(self.caller, answer, helped=self.worked, why=self.said, at=self.at)

    def source(self) -> Source:
        """Return it as what a learning rests on: the user's own words."""
        messages = (self.answer,) if self.answer else ()
        return Source(channel="user", user=self.caller.user, thread=self.caller.thread, messages=messages)


def feedback(
    stores: Sequence[LearningStore], caller: Caller, message: str, verdict: str, comment: str | None
) -> Flow[tuple[Learning, ...]]:
    """Cast votes on what an answer was shown, and learn what was said of it; return the learnings that changed.

    Raises `InvalidFields` for what is empty, `NotFound` for an answer that is not on record.
    """
    _given(thread_id=caller.thread, message_id=message, verdict=verdict)
    if not caller.learn:
        return ()
    word = verdict.strip().casefold()
    correction = verdict.strip() if word not in (UP, DOWN) else None
    said = CORRECTION if correction else word
    voice = Voice(stores, caller, datetime.now(UTC), said, word == UP, message, comment, correction)
    return (yield from _written(voice, (yield from _of_answer(voice))))


def outcome(
    stores: Sequence[LearningStore],
    caller: Caller,
    result: str,
    message: str | None,
    decision: str | None,
    comment: str | None,
) -> Flow[tuple[Learning, ...]]:
    """Tell how the caller's thread ended, or what came of a decision, or both; return the learnings that changed.

    Raises `InvalidFields` for what is empty or unknown, `NotFound` for an answer or a decision that is not on record.
    """
    if result not in WORKED:
        raise InvalidFields(f"outcome: {result!r} is none of {', '.join(WORKED)}.")
    if caller.thread is None and (decision is None or message is not None):
        raise InvalidFields("thread_id: say in which thread the answer was given, or name a decision and no message.")
    if message is not None:
        _given(message_id=message)
    if not caller.learn:
        return ()
    if message is None and caller.thread:
        message = yield from last_answer(caller)
    voice = Voice(stores, caller, datetime.now(UTC), result, WORKED[result], message, comment)
    wanted = yield from (_of_answer(voice) if decision is None else _of_decision(voice, decision))
    return (yield from _written(voice, wanted))


def _written(voice: Voice, wanted: Sequence[Learning]) -> Flow[tuple[Learning, ...]]:
    """Write votes and learnings, all or nothing, and return those that changed: none if all was said before."""
    vote = voice.vote(voice.answer) if voice.answer else None
    shown = (yield from shown_in(voice.stores, voice.caller, vote.answer)) if vote else []
    new = (yield from uncast(vote, shown)) if vote else []
    votes = [PutOp(*vote.on(place), index=False) for place in new if vote]
    learnt = yield from write(voice.stores, voice.caller, wanted, *votes, at=voice.at)
    counted = yield from rolled_up(shown, voice.caller.user)
    return (*learnt, *(one for one in counted if one.place in new))


def _of_answer(voice: Voice) -> Flow[list[Learning]]:
    """Return what a comment or a correction teaches, if the machine has a learning store for it.

    A bare word takes back what the user said of the same answer to the contrary.
    """
    keeper = _keeper(voice.stores, Feedback)
    if keeper is None:
        return []
    store, record = keeper
    if not (voice.correction or voice.words):
        said = yield from _said(voice, store, _key(voice, kind_of(record), voice.answer or ""))
        contrary = [one for one in said if one.data["worked"] is not voice.worked]
        return [one.model_copy(update={"status": Status.SUPERSEDED, "valid_to": voice.at}) for one in contrary]
    fields = {"behaviour": voice.words, "worked": voice.worked, "instead": voice.correction, "situation": None}
    return (yield from _learnt(voice, store, _made(record, fields), voice.answer or ""))


def _of_decision(voice: Voice, key: str) -> Flow[list[Learning]]:
    """Return the outcome of a decision. Raises `NotFound`, and `Misconfigured` if the machine keeps no decisions."""
    keeper = _keeper(voice.stores, Outcome)
    if keeper is None:
        raise Misconfigured("The machine has no learning store for outcomes of decisions, such as DecisionLog().")
    store, record = keeper
    decision = next(iter((yield from _known(voice, store, key))), None)
    if decision is None:
        raise NotFound(f"Nothing that {voice.caller.user} can see has the key {key!r}.")
    fields = {"decision": key, "outcome": voice.words or voice.said, "worked": voice.worked}
    outcome = _made(record, fields)
    try:
        made = linked(outcome, {key: decision})
    except ValueError as error:
        raise NotFound(str(error)) from error
    return (yield from _learnt(voice, store, made, f"{key} {said_by(made)}"))


def _made(record: type[BaseModel], fields: Mapping[str, Any]) -> BaseModel:
    try:
        return record.model_validate(fields)
    except ValidationError as error:  # a record of somebody's own that asks for more
        raise InvalidFields(f"{record.__name__}: {reason(error)}") from error


def _learnt(voice: Voice, store: LearningStore, record: BaseModel, about: str) -> Flow[list[Learning]]:
    """Return what is to be written for a record; nothing if this user has said just that about just this already."""
    edit = _edit(voice, store, record, about)
    if [one for one in (yield from _said(voice, store, edit.key)) if one.text == said_by(record)]:
        return []
    asked = Asked(voice.caller, said_by(record), voice.at, learning=True)
    known = yield from flow_of(store.recall(asked))
    return (yield from processed(store, [edit], known))


def _edit(voice: Voice, store: LearningStore, record: BaseModel, about: str) -> Edit:
    """Return the edit that learns a record in this user's words, under the one key that their word on this has."""
    note = Note(record, Line(1, HumanMessage(voice.spoken), voice.spoken, "user"))
    edit = noted(store, Turn(voice.caller, (), voice.at), note, 0)
    return replace(edit, key=_key(voice, edit.kind, about), source=voice.source())


def _key(voice: Voice, kind: str, about: str) -> str:
    """Return the key under which a user's word on something lies."""
    caller = voice.caller
    return uuid5(NAMESPACE_URL, "\0".join((caller.tenant, caller.thread or "", about, caller.user, kind))).hex


def _said(voice: Voice, store: LearningStore, key: str) -> Flow[list[Learning]]:
    """Return what lies under a key and counts."""
    return [one for one in (yield from _known(voice, store, key)) if one.counts(voice.at)]


def _known(voice: Voice, store: LearningStore, key: str) -> Flow[list[Learning]]:
    readable = places([store], voice.caller)
    items = yield from batch(*(GetOp(place, key) for place in readable))
    return read_all((item for item in items if isinstance(item, Item)), readable)


def _keeper(stores: Sequence[LearningStore], record: type[BaseModel]) -> tuple[LearningStore, type[BaseModel]] | None:
    """Return the first learning store that has such a record, and its own form of the record."""
    found = ((store, own) for store in stores for own in store.kinds.values() if issubclass(own, record))
    return next(found, None)


def _given(**texts: str | None) -> None:
    if missing := [name for name, text in texts.items() if not (text and text.strip())]:
        raise InvalidFields(f"{missing[0]}: it is empty.")
