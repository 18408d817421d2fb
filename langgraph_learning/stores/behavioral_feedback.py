"""BehavioralFeedback: what the agent should do and avoid, from users' feedback, failed tool calls and exceptions."""

import json
from collections.abc import Sequence

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langgraph.store.base import SearchOp

from langgraph_learning.core.flow import Flow, search
from langgraph_learning.core.learning import Status
from langgraph_learning.core.records import Record, record_text
from langgraph_learning.core.text import cut, normalize
from langgraph_learning.core.transcript import Line, last_question, message_text
from langgraph_learning.stores.base import LearningStore, Note, Turn

MAX_QUOTED_CHARS = 200
"""Characters kept of a tool call's arguments, and of its error."""
_KNOWN_STATUSES = (Status.ACTIVE, Status.PROPOSED, Status.REJECTED)


class Feedback(Record):
    """Something that the agent did, whether it worked, and what would have been right."""

    explains = ("situation",)

    behaviour: str
    worked: bool
    instead: str | None
    situation: str | None

    def identity(self) -> str | None:
        """Return behaviour and situation: if the verdict changes, the later one counts."""
        return f"{normalize(self.behaviour)} / {normalize(self.situation or '')}" if self.behaviour else None

    def as_text(self) -> str:
        """Return the feedback as advice: what to do, or what to avoid and what to do instead."""
        done = f"{'Do' if self.worked else 'Avoid'}: {self.behaviour}" if self.behaviour else ""
        parts = [done.rstrip(". "), f"Do instead: {self.instead.rstrip('. ')}" if self.instead else ""]
        when = f" (when: {self.situation})" if self.situation else ""
        return ". ".join(part for part in parts if part) + when

    def verdict(self) -> bool:
        """Return `worked` as a vote on the previous answer, and so on all learnings in its context."""
        return self.worked


class BehavioralFeedback(LearningStore):
    """Advice for the agent from corrections, thanks, repeated questions and failures."""

    name = "behavioral_feedback"
    title = "What to do and what to avoid"
    records = (Feedback,)

    def observe(self, turn: Turn, new: Sequence[Line]) -> Flow[list[Note]]:
        """Note failed tool calls: the tool, its arguments and the error."""
        notes = []
        for line in new:
            if isinstance(line.message, ToolMessage) and line.message.status == "error":
                notes.append(Note(_make_failed_call(line.message, turn.messages), line))
        return (yield from self._drop_known(turn, notes))

    def failed(self, turn: Turn, error: Exception) -> Flow[list[Note]]:
        """Note an exception of the agent: the user's question and the error."""
        question = next((message for message in reversed(turn.messages) if message.type == "human"), None)
        if question is None:
            return []
        failure = _quote(f"{type(error).__name__}: {error}")
        behaviour = f"The way of answering {_quote(last_question([question]))!r} that ended in {failure}"
        record = Feedback(behaviour=behaviour, worked=False, instead=None, situation=None)
        # The note rests on the user's message, but the user did not say it.
        note = Note(record, Line(1, question, message_text(question), "agent"))
        return (yield from self._drop_known(turn, [note]))

    def _drop_known(self, turn: Turn, notes: Sequence[Note]) -> Flow[list[Note]]:
        """Return each note once, without those that are stored already: a repeated failure is nothing new."""
        by_text = {record_text(note.record): note for note in notes}
        namespaces = list(turn.caller.readable_namespaces(self.scope, self.name))
        searches = [SearchOp(namespace, {"text": text}) for text in by_text for namespace in namespaces]
        items = yield from search(*searches)
        known = {item.value["text"] for item in items if item.value.get("status") in _KNOWN_STATUSES}
        return [note for text, note in by_text.items() if text not in known]


def _make_failed_call(result: ToolMessage, messages: Sequence[AnyMessage]) -> Feedback:
    calls = [call for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    args = next((call["args"] for call in calls if call["id"] == result.tool_call_id), {})
    args_text = json.dumps(args, ensure_ascii=False, sort_keys=True, default=str)
    behaviour = f"Calling {result.name} with {_quote(args_text)}, which failed: {_quote(message_text(result))}"
    return Feedback(behaviour=behaviour, worked=False, instead=None, situation=None)


def _quote(text: str) -> str:
    return cut(" ".join(text.split()), MAX_QUOTED_CHARS)
