"""Feedback from outside the conversation, such as a button or a ticket: on an answer, or the outcome of a decision.

It becomes votes on the learnings in the answer's context, and learnings from comments, corrections and outcomes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from langchain_core.messages import HumanMessage
from langgraph.store.base import PutOp
from pydantic import BaseModel, ValidationError

from langgraph_learning.core.flow import Flow, as_flow
from langgraph_learning.core.keys import hash_key
from langgraph_learning.core.learning import Learning, Source, Status
from langgraph_learning.core.records import Edit, explain_error, find_excess, kind_of, record_text, resolve_links
from langgraph_learning.core.repository import find_all
from langgraph_learning.core.scopes import Caller, ItemRef
from langgraph_learning.core.transcript import Line
from langgraph_learning.errors import InvalidFields, Misconfigured, NotFound
from langgraph_learning.extract.processing import process_edits
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
"""For each outcome, True if it is a vote that the last answer helped, False if it is a vote that it harmed."""


@dataclass(frozen=True)
class UserFeedback:
    """One user's feedback from outside the conversation."""

    stores: Sequence[LearningStore]
    caller: Caller
    at: datetime
    judgement: str
    """The judgement itself: "up", "down", "correction" or an outcome."""
    worked: bool
    """True for a positive judgement."""
    answer: str | None
    """Id of the answer's message."""
    comment: str | None
    correction: str | None = None
    """The right answer, in the user's words."""

    @property
    def comment_text(self) -> str:
        """The comment without surrounding white space; an empty text for none."""
        return (self.comment or "").strip()

    @property
    def full_text(self) -> str:
        """Comment and correction; the judgement if there is neither."""
        return ". ".join(part for part in (self.comment_text, self.correction) if part) or self.judgement


def record_feedback(
    stores: Sequence[LearningStore], caller: Caller, message: str, verdict: str, comment: str | None
) -> Flow[tuple[Learning, ...]]:
    """Record a user's judgement of an answer as votes and learnings; return the learnings that changed.

    verdict: "up", "down", or the text of a correction.
    Raises `InvalidFields` for an empty value, `NotFound` for an answer that is not on record.
    """
    _require_texts(thread_id=caller.thread, message_id=message, verdict=verdict)
    if not caller.learn:
        return ()
    word = verdict.strip().casefold()
    correction = None if word in (UP, DOWN) else verdict.strip()
    judgement = CORRECTION if correction else word
    feedback = UserFeedback(stores, caller, datetime.now(UTC), judgement, word == UP, message, comment, correction)
    learnings = yield from _learn_from_answer(feedback)
    return (yield from _write_feedback(feedback, learnings))


def record_outcome(
    stores: Sequence[LearningStore],
    caller: Caller,
    result: str,
    message: str | None,
    decision: str | None,
    comment: str | None,
) -> Flow[tuple[Learning, ...]]:
    """Record how the caller's thread ended, the outcome of a decision, or both; return the learnings that changed.

    message: id of the answer that is credited; by default the thread's last answer with query-dependent learnings.
    decision: key of the decision.
    Raises `InvalidFields` for an empty or unknown value, `NotFound` for an answer or a decision that is not on record.
    """
    if result not in WORKED:
        raise InvalidFields(f"outcome: {result!r} is not one of {', '.join(WORKED)}.")
    if caller.thread is None and (decision is None or message is not None):
        raise InvalidFields("thread_id: give the thread of the answer, or name a decision and no message.")
    if message is not None:
        _require_texts(message_id=message)
    if not caller.learn:
        return ()
    if message is None and caller.thread:
        message = yield from find_last_answer(caller)
    feedback = UserFeedback(stores, caller, datetime.now(UTC), result, WORKED[result], message, comment)
    if decision is None:
        learnings = yield from _learn_from_answer(feedback)
    else:
        learnings = yield from _learn_from_decision(feedback, decision)
    return (yield from _write_feedback(feedback, learnings))


def _write_feedback(feedback: UserFeedback, learnings: Sequence[Learning]) -> Flow[tuple[Learning, ...]]:
    """Write votes and learnings in one batch; return the learnings that changed: none for repeated feedback."""
    in_context: list[ItemRef] = []
    unvoted: list[ItemRef] = []
    votes: list[PutOp] = []
    if feedback.answer:
        helped, why = feedback.worked, feedback.judgement
        vote = Vote.of(feedback.caller, feedback.answer, helped=helped, why=why, at=feedback.at)
        in_context = yield from read_answer_context(feedback.stores, feedback.caller, feedback.answer)
        unvoted = yield from select_unvoted(vote, in_context)
        votes = [PutOp(*vote.on(ref), index=False) for ref in unvoted]
    written = yield from write_learnings(feedback.stores, feedback.caller, learnings, *votes, at=feedback.at)
    counted = yield from update_totals(in_context, feedback.caller.user)
    return (*written, *(learning for learning in counted if learning.ref in unvoted))


def _learn_from_answer(feedback: UserFeedback) -> Flow[list[Learning]]:
    """Return the learnings of a comment or a correction, if the machine has a learning store for feedback.

    A judgement without a text ends the user's earlier feedback on the same answer if that said the opposite.
    """
    store_and_record = _find_store_for(feedback.stores, Feedback)
    if store_and_record is None:
        return []
    store, record = store_and_record
    answer = feedback.answer or ""
    if not (feedback.correction or feedback.comment_text):
        earlier = yield from _read_active(feedback, store, _feedback_key(feedback, kind_of(record), answer))
        opposite = [learning for learning in earlier if learning.data["worked"] is not feedback.worked]
        ended = {"status": Status.SUPERSEDED, "valid_to": feedback.at}
        return [learning.model_copy(update=ended) for learning in opposite]
    fields = {
        "behaviour": feedback.comment_text,
        "worked": feedback.worked,
        "instead": feedback.correction,
        "situation": None,
    }
    return (yield from _learn_record(feedback, store, _make_record(record, fields), answer))


def _learn_from_decision(feedback: UserFeedback, key: str) -> Flow[list[Learning]]:
    """Return the outcome of a decision as learnings.

    Raises `NotFound` for an unknown decision, `Misconfigured` if the machine has no learning store for decisions.
    """
    store_and_record = _find_store_for(feedback.stores, Outcome)
    if store_and_record is None:
        raise Misconfigured("The machine has no learning store for outcomes of decisions, such as DecisionLog().")
    store, record = store_and_record
    decisions = yield from find_all(readable_namespaces([store], feedback.caller), key)
    if not decisions:
        raise NotFound(f"Nothing that {feedback.caller.user} can see has the key {key!r}.")
    outcome = feedback.comment_text or feedback.judgement
    unlinked = _make_record(record, {"decision": key, "outcome": outcome, "worked": feedback.worked})
    try:
        linked = resolve_links(unlinked, {key: decisions[0].learning})
    except ValueError as error:
        raise NotFound(str(error)) from error
    return (yield from _learn_record(feedback, store, linked, f"{key} {record_text(linked)}"))


def _make_record(record: type[BaseModel], fields: Mapping[str, Any]) -> BaseModel:
    try:
        valid = record.model_validate(fields)
    except ValidationError as error:  # a subclass of the record may require more fields
        raise InvalidFields(f"{record.__name__}: {explain_error(error)}") from error
    if excess := find_excess(valid):
        raise InvalidFields(f"{record.__name__}: {excess}.")
    return valid


def _learn_record(
    feedback: UserFeedback, store: LearningStore, record: BaseModel, subject: str
) -> Flow[list[Learning]]:
    """Return the learnings to write for a record; none if the user has given the same feedback on this subject before.

    subject: id of the answer, or key of the decision with the outcome.
    """
    edit = _make_edit(feedback, store, record, subject)
    text = record_text(record)
    earlier = yield from _read_active(feedback, store, edit.key)
    if any(learning.text == text for learning in earlier):
        return []
    request = Request(feedback.caller, text, feedback.at, for_extraction=True)
    known = yield from as_flow(store.recall(request))
    return (yield from process_edits(store, [edit], known))


def _make_edit(feedback: UserFeedback, store: LearningStore, record: BaseModel, subject: str) -> Edit:
    """Return the edit that learns a record from the user's own words, under one key for this user and subject."""
    caller, text = feedback.caller, feedback.full_text
    note = Note(record, Line(1, HumanMessage(text), text, "user"))
    edit = edit_from_note(store, Turn(caller, (), feedback.at), note, 0)
    messages = (feedback.answer,) if feedback.answer else ()
    source = Source(channel="user", user=caller.user, thread=caller.thread, messages=messages)
    return replace(edit, key=_feedback_key(feedback, edit.kind, subject), source=source)


def _feedback_key(feedback: UserFeedback, kind: str, subject: str) -> str:
    """Return the key of a user's feedback on a subject."""
    caller = feedback.caller
    return hash_key(caller.tenant, caller.thread or "", subject, caller.user, kind)


def _read_active(feedback: UserFeedback, store: LearningStore, key: str) -> Flow[list[Learning]]:
    """Return the active learnings with this key that the user may read."""
    stored = yield from find_all(readable_namespaces([store], feedback.caller), key)
    return [learning for learning, _ in stored if learning.is_active(feedback.at)]


def _find_store_for(
    stores: Sequence[LearningStore], record: type[BaseModel]
) -> tuple[LearningStore, type[BaseModel]] | None:
    """Return the first learning store with this record or a subclass of it, and the store's own class of it."""
    for store in stores:
        for own_record in store.kinds.values():
            if issubclass(own_record, record):
                return store, own_record
    return None


def _require_texts(**texts: object) -> None:
    if odd := [(name, text) for name, text in texts.items() if not (isinstance(text, str) and text.strip())]:
        name, value = odd[0]
        raise InvalidFields(f"{name}: it is no text, but {value!r}." if value else f"{name}: it is empty.")
