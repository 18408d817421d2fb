"""What is said of an answer, or came of a decision, outside the conversation: by a button, a ticket, a job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from langchain_core.messages import HumanMessage
from langgraph.store.base import GetOp, Item, PutOp
from pydantic import BaseModel, ValidationError

from langgraph_learning.core.flow import Flow, as_flow, batch
from langgraph_learning.core.keys import hash_key
from langgraph_learning.core.learning import Learning, Source, Status, read_learnings
from langgraph_learning.core.records import Edit, explain_error, kind_of, record_text, resolve_links
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.transcript import Line
from langgraph_learning.errors import InvalidFields, Misconfigured, NotFound
from langgraph_learning.extract.extraction import process_edits
from langgraph_learning.extract.validation import edit_from_note
from langgraph_learning.stores.base import LearningStore, Note, Request, Turn, readable_namespaces
from langgraph_learning.stores.behavioral_feedback import Feedback
from langgraph_learning.stores.decision_log import Outcome
from langgraph_learning.update.votes import Vote, find_last_answer, read_answer_context, select_unvoted, update_totals
from langgraph_learning.update.write_policy import write_learnings

UP, DOWN = "up", "down"
CORRECTION = "correction"
OutcomeResult = Literal["resolved", "succeeded", "reopened", "failed", "escalated"]
WORKED: Mapping[str, bool] = dict(zip(get_args(OutcomeResult), (True, True, False, False, False), strict=True))
"""What an outcome says of the answer before it."""


@dataclass(frozen=True)
class UserFeedback:
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


def record_feedback(
    stores: Sequence[LearningStore], caller: Caller, message: str, verdict: str, comment: str | None
) -> Flow[tuple[Learning, ...]]:
    """Cast votes on what an answer was shown, and learn what was said of it; return the learnings that changed.

    Raises `InvalidFields` for what is empty, `NotFound` for an answer that is not on record.
    """
    _require_texts(thread_id=caller.thread, message_id=message, verdict=verdict)
    if not caller.learn:
        return ()
    word = verdict.strip().casefold()
    correction = verdict.strip() if word not in (UP, DOWN) else None
    said = CORRECTION if correction else word
    voice = UserFeedback(stores, caller, datetime.now(UTC), said, word == UP, message, comment, correction)
    return (yield from _write_feedback(voice, (yield from _learnings_about_answer(voice))))


def record_outcome(
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
        _require_texts(message_id=message)
    if not caller.learn:
        return ()
    if message is None and caller.thread:
        message = yield from find_last_answer(caller)
    voice = UserFeedback(stores, caller, datetime.now(UTC), result, WORKED[result], message, comment)
    wanted = yield from (
        _learnings_about_answer(voice) if decision is None else _learnings_about_decision(voice, decision)
    )
    return (yield from _write_feedback(voice, wanted))


def _write_feedback(voice: UserFeedback, wanted: Sequence[Learning]) -> Flow[tuple[Learning, ...]]:
    """Write votes and learnings, all or nothing, and return those that changed: none if all was said before."""
    vote = voice.vote(voice.answer) if voice.answer else None
    shown = (yield from read_answer_context(voice.stores, voice.caller, vote.answer)) if vote else []
    new = (yield from select_unvoted(vote, shown)) if vote else []
    votes = [PutOp(*vote.on(place), index=False) for place in new if vote]
    learnt = yield from write_learnings(voice.stores, voice.caller, wanted, *votes, at=voice.at)
    counted = yield from update_totals(shown, voice.caller.user)
    return (*learnt, *(one for one in counted if one.ref in new))


def _learnings_about_answer(voice: UserFeedback) -> Flow[list[Learning]]:
    """Return what a comment or a correction teaches, if the machine has a learning store for it.

    A bare word takes back what the user said of the same answer to the contrary.
    """
    keeper = _store_with_record(voice.stores, Feedback)
    if keeper is None:
        return []
    store, record = keeper
    if not (voice.correction or voice.words):
        said = yield from _active_under(voice, store, _feedback_key(voice, kind_of(record), voice.answer or ""))
        contrary = [one for one in said if one.data["worked"] is not voice.worked]
        return [one.model_copy(update={"status": Status.SUPERSEDED, "valid_to": voice.at}) for one in contrary]
    fields = {"behaviour": voice.words, "worked": voice.worked, "instead": voice.correction, "situation": None}
    return (yield from _learn_record(voice, store, _make_record(record, fields), voice.answer or ""))


def _learnings_about_decision(voice: UserFeedback, key: str) -> Flow[list[Learning]]:
    """Return the outcome of a decision. Raises `NotFound`, and `Misconfigured` if the machine keeps no decisions."""
    keeper = _store_with_record(voice.stores, Outcome)
    if keeper is None:
        raise Misconfigured("The machine has no learning store for outcomes of decisions, such as DecisionLog().")
    store, record = keeper
    decision = next(iter((yield from _all_under(voice, store, key))), None)
    if decision is None:
        raise NotFound(f"Nothing that {voice.caller.user} can see has the key {key!r}.")
    fields = {"decision": key, "outcome": voice.words or voice.said, "worked": voice.worked}
    outcome = _make_record(record, fields)
    try:
        made = resolve_links(outcome, {key: decision})
    except ValueError as error:
        raise NotFound(str(error)) from error
    return (yield from _learn_record(voice, store, made, f"{key} {record_text(made)}"))


def _make_record(record: type[BaseModel], fields: Mapping[str, Any]) -> BaseModel:
    try:
        return record.model_validate(fields)
    except ValidationError as error:  # a record of somebody's own that asks for more
        raise InvalidFields(f"{record.__name__}: {explain_error(error)}") from error


def _learn_record(voice: UserFeedback, store: LearningStore, record: BaseModel, about: str) -> Flow[list[Learning]]:
    """Return what is to be written for a record; nothing if this user has said just that about just this already."""
    edit = _make_edit(voice, store, record, about)
    if [one for one in (yield from _active_under(voice, store, edit.key)) if one.text == record_text(record)]:
        return []
    asked = Request(voice.caller, record_text(record), voice.at, for_extraction=True)
    known = yield from as_flow(store.recall(asked))
    return (yield from process_edits(store, [edit], known))


def _make_edit(voice: UserFeedback, store: LearningStore, record: BaseModel, about: str) -> Edit:
    """Return the edit that learns a record in this user's words, under the one key that their word on this has."""
    note = Note(record, Line(1, HumanMessage(voice.spoken), voice.spoken, "user"))
    edit = edit_from_note(store, Turn(voice.caller, (), voice.at), note, 0)
    return replace(edit, key=_feedback_key(voice, edit.kind, about), source=voice.source())


def _feedback_key(voice: UserFeedback, kind: str, about: str) -> str:
    """Return the key under which a user's word on something lies."""
    caller = voice.caller
    return hash_key(caller.tenant, caller.thread or "", about, caller.user, kind)


def _active_under(voice: UserFeedback, store: LearningStore, key: str) -> Flow[list[Learning]]:
    """Return what lies under a key and counts."""
    return [one for one in (yield from _all_under(voice, store, key)) if one.is_active(voice.at)]


def _all_under(voice: UserFeedback, store: LearningStore, key: str) -> Flow[list[Learning]]:
    readable = readable_namespaces([store], voice.caller)
    items = yield from batch(*(GetOp(place, key) for place in readable))
    return read_learnings((item for item in items if isinstance(item, Item)), readable)


def _store_with_record(
    stores: Sequence[LearningStore], record: type[BaseModel]
) -> tuple[LearningStore, type[BaseModel]] | None:
    """Return the first learning store that has such a record, and its own form of the record."""
    found = ((store, own) for store in stores for own in store.kinds.values() if issubclass(own, record))
    return next(found, None)


def _require_texts(**texts: str | None) -> None:
    if missing := [name for name, text in texts.items() if not (text and text.strip())]:
        raise InvalidFields(f"{missing[0]}: it is empty.")
