"""Metrics of an extraction: calls, tokens and time of the model, and the edits that were dropped, with the reason."""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage

from langgraph_learning.core.transcript import count_tokens


class DroppedEdit(NamedTuple):
    """An edit that was not valid, also after the model was asked to correct it."""

    store: str
    """Name of the learning store it was meant for; empty if it names no kind of any."""
    reason: str


@dataclass
class ExtractionMetrics:
    """Counts what one extraction costs, while it runs: also if it fails in the end."""

    calls: int = 0
    failed_calls: int = 0
    """Calls without an answer; they count with the tokens that were sent."""
    estimated_calls: int = 0
    """Calls whose tokens are estimated from their text, because the model did not say."""
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    """Time that the model took."""
    dropped: list[DroppedEdit] = field(default_factory=list)
    reservation: str = ""
    """Key under which room for this cost is reserved, until it is counted there."""

    @property
    def tokens(self) -> int:
        """Tokens that were sent and received."""
        return self.input_tokens + self.output_tokens

    @property
    def totals(self) -> dict[str, float]:
        """Calls, tokens and seconds."""
        return {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "seconds": round(self.seconds, 3),
        }

    def __add__(self, other: "ExtractionMetrics") -> "ExtractionMetrics":
        """Return the metrics of both."""
        counts = [each.name for each in fields(self) if each.name != "reservation"]
        return ExtractionMetrics(**{name: getattr(self, name) + getattr(other, name) for name in counts})

    def count_answer(self, sent: Iterable[BaseMessage], answer: BaseMessage, seconds: float) -> None:
        """Count a call with its answer."""
        self.calls += 1
        self.seconds += seconds
        usage: Any = getattr(answer, "usage_metadata", None)
        if usage:
            self.input_tokens += usage.get("input_tokens") or 0
            self.output_tokens += usage.get("output_tokens") or 0
        else:
            self.estimated_calls += 1
            self.input_tokens += estimate_tokens(sent)
            tool_calls = getattr(answer, "tool_calls", None)
            self.output_tokens += count_tokens(f"{answer.text}{tool_calls or ''}")

    def count_failure(self, sent: Iterable[BaseMessage], seconds: float) -> None:
        """Count a call that failed."""
        self.calls += 1
        self.failed_calls += 1
        self.estimated_calls += 1
        self.seconds += seconds
        self.input_tokens += estimate_tokens(sent)


def estimate_tokens(messages: Iterable[BaseMessage]) -> int:
    """Return the approximate number of tokens of messages."""
    return sum(count_tokens(message.text) for message in messages)
