"""What worked and what did not: how the agent should go about its work, by what it was told and by what failed."""

import json
from collections.abc import Sequence

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langgraph.store.base import SearchOp

from langgraph_learning.core.flow import Flow, search
from langgraph_learning.core.learning import Status
from langgraph_learning.core.policy import CUT
from langgraph_learning.core.records import Record, record_text
from langgraph_learning.core.text import normalize
from langgraph_learning.core.transcript import Line, last_question, message_text
from langgraph_learning.stores.base import LearningStore, Note, Turn

LONGEST_CALL = 200
"""How many characters are kept of what a tool was asked, and of how it failed."""
_NOTED = (Status.ACTIVE, Status.PROPOSED, Status.REJECTED)


class Feedback(Record):
    """Something that the agent did, whether it worked, and what would have been right."""

    behaviour: str
    """What the agent did, so that it can be done again or avoided."""
    worked: bool
    """Whether it helped."""
    instead: str | None
    """What to do instead, if that was said."""
    situation: str | None
    """When it holds, if not always."""

    def identity(self) -> str | None:
        """Return what was done and when: said again with another verdict, the later one counts."""
        return f"{normalize(self.behaviour)} / {normalize(self.situation or '')}" if self.behaviour else None

    def as_text(self) -> str:
        """Return it as advice: what to do, what to avoid."""
        done = f"{'Do' if self.worked else 'Avoid'}: {self.behaviour}" if self.behaviour else ""
        parts = [done.rstrip(". "), f"Do instead: {self.instead.rstrip('. ')}" if self.instead else ""]
        when = f" (when: {self.situation})" if self.situation else ""
        return ". ".join(part for part in parts if part) + when

    def verdict(self) -> bool:
        """Return whether the answer before was good: whatever it had in its context shares the praise or the blame."""
        return self.worked


class BehavioralFeedback(LearningStore):
    """What to do and what to avoid: from corrections, thanks and repeated questions, and from what failed."""

    name = "behavioral_feedback"
    title = "What to do and what to avoid"
    records = (Feedback,)

    def observe(self, turn: Turn, new: Sequence[Line]) -> Flow[list[Note]]:
        """Note tool calls that failed: which tool, what it was asked, and how it failed."""
        failed = [(line, line.message) for line in new if isinstance(line.message, ToolMessage)]
        notes = [Note(_failure(call, turn.messages), line) for line, call in failed if call.status == "error"]
        return (yield from self._unknown(turn, notes))

    def failed(self, turn: Turn, error: Exception) -> Flow[list[Note]]:
        """Note an error of the agent: what it was asked, and how it failed."""
        asked = next((message for message in reversed(turn.messages) if message.type == "human"), None)
        if asked is None:
            return []
        failure = _cut(f"{type(error).__name__}: {error}")
        behaviour = f"The way of answering {_cut(last_question([asked]))!r} that ended in {failure}"
        record = Feedback(behaviour=behaviour, worked=False, instead=None, situation=None)
        # It rests on the question, but it is no word of the user's.
        return (yield from self._unknown(turn, [Note(record, Line(1, asked, message_text(asked), "agent"))]))

    def _unknown(self, turn: Turn, notes: Sequence[Note]) -> Flow[list[Note]]:
        """Return each note once, without those that are known: the same failure again is nothing new."""
        once = {record_text(note.record): note for note in notes}
        places = list(turn.caller.readable_namespaces(self.scope, self.name))
        items = yield from search(*(SearchOp(place, {"text": text}) for text in once for place in places))
        known = {item.value["text"] for item in items if item.value.get("status") in _NOTED}
        return [note for text, note in once.items() if text not in known]


def _failure(result: ToolMessage, messages: Sequence[AnyMessage]) -> Feedback:
    calls = [call for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    asked = next((call["args"] for call in calls if call["id"] == result.tool_call_id), {})
    told = json.dumps(asked, ensure_ascii=False, sort_keys=True, default=str)
    behaviour = f"Calling {result.name} with {_cut(told)}, which failed: {_cut(message_text(result))}"
    return Feedback(behaviour=behaviour, worked=False, instead=None, situation=None)


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_CALL else line[:LONGEST_CALL] + CUT
