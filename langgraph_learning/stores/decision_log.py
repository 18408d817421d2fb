"""DecisionLog: decisions with reasons and alternatives, and their outcomes."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic.json_schema import SkipJsonSchema

from langgraph_learning.core.keys import SHORT_KEY
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.records import Record, kind_of
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.text import escape_line, normalize
from langgraph_learning.stores.base import LearningStore, Request
from langgraph_learning.stores.rendering import render_provenance

_WORKED_PREFIX = {True: "worked: ", False: "did not work: ", None: ""}


class Decision(Record):
    """Something that was decided, with its reasons, so that it need not be argued again."""

    decision: str
    reasoning: str
    alternatives: list[str]
    context: str | None
    confidence: Literal["low", "medium", "high"]

    def identity(self) -> str:
        """Return the decision alone: with other reasons, it replaces the earlier one."""
        return normalize(self.decision)

    def as_text(self) -> str:
        """Return the decision with its reasons, alternatives and confidence."""
        instead = f"Instead of: {'; '.join(self.alternatives)}. " if self.alternatives else ""
        why = f"Because: {self.reasoning.rstrip('. ')}. " if self.reasoning else ""
        topic = topic_of(self.model_dump()).rstrip(". ")
        return f"{topic}. {why}{instead}Confidence: {self.confidence}"


class Outcome(Record):
    """How a known decision turned out. `decision` is its key."""

    links = ("decision",)

    decision: str
    outcome: str
    worked: bool | None
    decided: SkipJsonSchema[str] = ""
    """What was decided, by which the same question finds both."""

    def knowing(self, linked: Sequence[Learning]) -> Self:
        """Copy the text of the linked decision. Raises `ValueError` if the linked learning is not a decision."""
        if wrong := next((learning for learning in linked if learning.kind != kind_of(Decision)), None):
            raise ValueError(f"decision: {wrong.key} is known as {wrong.kind}, and only a decision has an outcome")
        return self.model_copy(update={"decided": topic_of(linked[0].data)}) if linked else self

    def as_text(self) -> str:
        """Return the decision and its outcome."""
        return f"{self.decided} → {_WORKED_PREFIX[self.worked]}{self.outcome}" if self.decided else self.outcome


class DecisionLog(LearningStore):
    """Decisions with their reasons and alternatives, and outcomes that are recorded later.

    An outcome is a learning of its own, so a decision keeps its key when outcomes are added. When a decision is
    superseded, its outcomes stay and are shown as outcomes of an earlier decision.
    """

    name = "decision_log"
    title = "What was decided, why, and how it turned out"
    records = (Decision, Outcome)
    limit = 12

    def build_context(self, found: Sequence[Learning], request: Request) -> str:
        """Render each decision with its outcomes, oldest outcome first; then outcomes of decisions not found."""
        decisions = [learning for learning in found if learning.kind == kind_of(Decision)]
        outcomes = [learning for learning in found if learning.kind != kind_of(Decision)]
        outcomes.sort(key=lambda outcome: outcome.learned_at)
        by_decision: dict[str, list[Learning]] = {decision.key: [] for decision in decisions}
        rest: list[Learning] = []
        for outcome in outcomes:
            by_decision.get(outcome.data["decision"], rest).append(outcome)
        blocks = [_render_decision(decision, by_decision[decision.key], request.caller) for decision in decisions]
        return "\n".join([*blocks, *(_render_earlier_outcome(outcome, request.caller) for outcome in rest)])


def topic_of(decision: Mapping[str, Any]) -> str:
    """Return a decision's text with its context, from the fields of its record."""
    return f"{decision['decision']} ({decision['context']})" if decision.get("context") else str(decision["decision"])


def _render_decision(decision: Learning, outcomes: Sequence[Learning], caller: Caller) -> str:
    data = decision.data
    rows = [f"- {escape_line(topic_of(data))} [{decision.key[:SHORT_KEY]}]{render_provenance(decision, caller)}"]
    if data["reasoning"]:
        rows.append(f"  - why: {escape_line(data['reasoning'])}")
    if data["alternatives"]:
        rows.append(f"  - instead of: {escape_line('; '.join(data['alternatives']))}")
    rows.append(f"  - confidence: {data['confidence']}")
    rows += [f"  - outcome: {_render_outcome(outcome, caller)}" for outcome in outcomes]
    return "\n".join(rows)


def _render_earlier_outcome(outcome: Learning, caller: Caller) -> str:
    decision = f"{escape_line(str(outcome.data['decided']))} [{outcome.data['decision'][:SHORT_KEY]}]"
    return f"- outcome of {decision}, decided earlier: {_render_outcome(outcome, caller)}"


def _render_outcome(outcome: Learning, caller: Caller) -> str:
    text = escape_line(outcome.data["outcome"])
    return f"{_WORKED_PREFIX[outcome.data['worked']]}{text}{render_provenance(outcome, caller)}"
