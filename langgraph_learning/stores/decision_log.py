"""What was decided, why, what else there was, and how it turned out."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic.json_schema import SkipJsonSchema

from langgraph_learning.core.learning import Learning
from langgraph_learning.core.records import Record, kind_of
from langgraph_learning.core.text import escape_line, normalize
from langgraph_learning.stores.base import LearningStore, Request
from langgraph_learning.stores.rendering import render_provenance

SHORT = 8
"""How much of a decision's key is shown: enough to tell it from the others."""
_HOW = {True: "worked: ", False: "did not work: ", None: ""}


class Decision(Record):
    """Something that was decided, with its reasons, so that it need not be argued again."""

    decision: str
    """What was decided, in one sentence that names what it is about."""
    reasoning: str
    """Why, as it was said."""
    alternatives: list[str]
    """What else was considered and not taken; else empty."""
    context: str | None
    """For what or under which conditions it was decided, if that was said."""
    confidence: Literal["low", "medium", "high"]
    """How sure those who decided were: low for a trial, high for what is settled."""

    def identity(self) -> str:
        """Return the decision itself: with other reasons it is decided anew."""
        return normalize(self.decision)

    def as_text(self) -> str:
        """Return the decision with all that was said of it."""
        instead = f"Instead of: {'; '.join(self.alternatives)}. " if self.alternatives else ""
        why = f"Because: {self.reasoning.rstrip('. ')}. " if self.reasoning else ""
        return f"{topic(self.model_dump()).rstrip('. ')}. {why}{instead}Confidence: {self.confidence}"


class Outcome(Record):
    """How a decision that is known turned out."""

    links = ("decision",)

    decision: str
    """Key of the known decision."""
    outcome: str
    """What came of it, with the numbers that were said."""
    worked: bool | None
    """Whether it did what it was decided for; null if that is not clear yet."""
    decided: SkipJsonSchema[str] = ""
    """What was decided, by which the same question finds both."""

    def knowing(self, linked: Sequence[Learning]) -> Self:
        """Keep what was decided. Raises `ValueError` if that is no decision."""
        if wrong := next((one for one in linked if one.kind != kind_of(Decision)), None):
            raise ValueError(f"decision: {wrong.key} is known as {wrong.kind}, and only a decision has an outcome")
        return self.model_copy(update={"decided": topic(linked[0].data)}) if linked else self

    def as_text(self) -> str:
        """Return what was decided and what came of it."""
        return f"{self.decided} → {_HOW[self.worked]}{self.outcome}" if self.decided else self.outcome


class DecisionLog(LearningStore):
    """Decisions with their reasons and alternatives, and the outcomes that were recorded later.

    An outcome is a learning of its own, so the decision keeps its key however often something is said of it. When a
    decision is replaced, what came of the old one stays, and is shown as what it is.
    """

    name = "decision_log"
    title = "What was decided, why, and how it turned out"
    records = (Decision, Outcome)
    limit = 12

    def build_context(self, found: Sequence[Learning], asked: Request) -> str:
        """Render every decision with its outcomes, oldest first; then outcomes of what was decided before."""
        decisions = [one for one in found if one.kind == kind_of(Decision)]
        outcomes = sorted((one for one in found if one not in decisions), key=lambda one: one.learned_at)
        keys = {one.key for one in decisions}
        rest = [one for one in outcomes if one.data["decision"] not in keys]
        blocks = [_decision(one, [of for of in outcomes if of.data["decision"] == one.key], asked) for one in decisions]
        return "\n".join([*blocks, *(_earlier(one, asked) for one in rest)])


def topic(decision: Mapping[str, Any]) -> str:
    """Return what the fields of a decision say was decided, and for what."""
    return f"{decision['decision']} ({decision['context']})" if decision.get("context") else str(decision["decision"])


def _decision(decision: Learning, outcomes: Sequence[Learning], asked: Request) -> str:
    data = decision.data
    rows = [f"- {escape_line(topic(data))} [{decision.key[:SHORT]}]{render_provenance(decision, asked.caller)}"]
    rows += [f"  - why: {escape_line(data['reasoning'])}"] if data["reasoning"] else []
    rows += [f"  - instead of: {escape_line('; '.join(data['alternatives']))}"] if data["alternatives"] else []
    rows += [f"  - confidence: {data['confidence']}"]
    return "\n".join([*rows, *(f"  - outcome: {_outcome(one, asked)}" for one in outcomes)])


def _earlier(outcome: Learning, asked: Request) -> str:
    decided = escape_line(str(outcome.data["decided"]))
    return f"- outcome of {decided} [{outcome.data['decision'][:SHORT]}], decided earlier: {_outcome(outcome, asked)}"


def _outcome(outcome: Learning, asked: Request) -> str:
    text = escape_line(outcome.data["outcome"])
    return f"{_HOW[outcome.data['worked']]}{text}{render_provenance(outcome, asked.caller)}"
