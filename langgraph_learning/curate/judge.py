"""Language model as a judge of similar statements: many pairs per call, a limited number of calls per run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage

from langgraph_learning.core.flow import Flow
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.text import escape_line
from langgraph_learning.errors import UnreadableAnswer
from langgraph_learning.extract.answers import parse_number
from langgraph_learning.extract.schema import object_schema
from langgraph_learning.extract.structured_output import StructuredModel

PROMPT = Path(__file__).with_suffix(".md").read_text(encoding="utf-8").strip()
PAIRS_PER_CALL = 20
MOST_CALLS = 20
"""The default limit of model calls per run."""

Judgement = Literal["same", "contradiction", "different"]
Pair = tuple[Learning, Learning]


@dataclass
class Judge:
    """Asks a model how two statements relate, with a limit on the number of calls."""

    model: StructuredModel
    most_calls: int
    calls: int = 0
    """Number of calls made so far."""
    unread: int = 0
    """Number of answers that could not be read."""

    @classmethod
    def of(cls, model: BaseChatModel, most_calls: int) -> "Judge":
        """Return a judge that asks this model. Raises `Misconfigured` if the model supports no structured output."""
        return cls(StructuredModel(model, _build_schema(), list_field="opinions", tag_field="pair"), most_calls)

    @property
    def is_exhausted(self) -> bool:
        """True if no calls are left."""
        return self.calls >= self.most_calls

    @property
    def remaining_pairs(self) -> int:
        """Number of pairs that it can still be asked about."""
        return max(0, self.most_calls - self.calls) * PAIRS_PER_CALL

    def compare(self, pairs: Sequence[Pair]) -> Flow[list[tuple[Pair, Judgement]]]:
        """Ask the model about at most `PAIRS_PER_CALL` pairs. Returns nothing if its answer cannot be read."""
        self.calls += 1
        rendered = "\n".join(
            f"[{number}] {escape_line(first.text)}\n    {escape_line(second.text)}"
            for number, (first, second) in enumerate(pairs, start=1)
        )
        prompt = [SystemMessage(PROMPT), HumanMessage(f"<pairs>\n{rendered}\n</pairs>")]
        try:
            answer = yield from self.model.ask(prompt)
        except UnreadableAnswer:  # counted in the report; the next run asks about these pairs again
            self.unread += 1
            return []
        opinions = {parse_number(entry.get("pair")): entry.get("opinion") for entry in answer.entries}
        return [(pair, _parse_judgement(opinions.get(number))) for number, pair in enumerate(pairs, start=1)]


def _parse_judgement(opinion: object) -> Judgement:
    """Return the judgement that an opinion is; a missing or unknown one counts as "different"."""
    word = opinion.strip().casefold() if isinstance(opinion, str) else opinion
    return word if word in ("same", "contradiction") else "different"


def _build_schema() -> dict[str, Any]:
    pair = {"type": "integer", "description": "Number of the pair."}
    opinion = {"type": "string", "enum": ["same", "contradiction", "different"]}
    opinions = {"type": "array", "items": object_schema({"pair": pair, "opinion": opinion})}
    title = {"title": "compare", "description": "Say of every pair what the two statements are to each other."}
    return {**title, **object_schema({"opinions": opinions})}
