"""What a model says of statements that are alike: asked in few calls, and believed only where no rule forbids it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage

from langgraph_learning.core.flow import Flow
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.records import object_schema
from langgraph_learning.core.text import inert
from langgraph_learning.errors import UnreadableAnswer
from langgraph_learning.extract.structured_output import Questioner

PROMPT = Path(__file__).with_suffix(".md").read_text(encoding="utf-8").strip()
AT_ONCE = 20
"""How many pairs one call asks about."""
MOST_CALLS = 20
"""How often a model is asked in one run, unless told otherwise."""

Opinion = Literal["same", "contradiction", "different"]
Pair = tuple[Learning, Learning]


@dataclass
class Judge:
    """Asks a model about pairs, up to a number of calls."""

    questioner: Questioner
    most_calls: int
    calls: int = 0
    """How many were made."""
    unread: int = 0
    """How many of the answers could not be read."""

    @classmethod
    def of(cls, model: BaseChatModel, most_calls: int) -> "Judge":
        """Return a judge that asks this model. Raises `Misconfigured` if it cannot be asked."""
        return cls(Questioner(model, _schema(), listed="opinions"), most_calls)

    @property
    def tired(self) -> bool:
        """Whether all calls are made."""
        return self.calls >= self.most_calls

    @property
    def left(self) -> int:
        """How many pairs it can still be asked about."""
        return max(0, self.most_calls - self.calls) * AT_ONCE

    def opinions(self, pairs: Sequence[Pair]) -> Flow[list[tuple[Pair, Opinion]]]:
        """Return what the model says of pairs, at most `AT_ONCE` of them; nothing if its answer cannot be read."""
        self.calls += 1
        shown = "\n".join(
            f"[{nth}] {inert(one.text)}\n    {inert(other.text)}" for nth, (one, other) in enumerate(pairs, start=1)
        )
        prompt = [SystemMessage(PROMPT), HumanMessage(f"<pairs>\n{shown}\n</pairs>")]
        try:
            answer, _ = yield from self.questioner.ask(prompt)
        except UnreadableAnswer:  # told in the report: what it was about stays apart until the next run
            self.unread += 1
            return []
        said = {one.get("pair"): one.get("opinion") for one in answer}
        return [(pair, _read(said.get(nth))) for nth, pair in enumerate(pairs, start=1)]


def _read(opinion: object) -> Opinion:
    """Return an opinion; whatever else was said says nothing."""
    return opinion if opinion in ("same", "contradiction") else "different"


def _schema() -> dict[str, Any]:
    pair = {"type": "integer", "description": "Number of the pair."}
    opinion = {"type": "string", "enum": ["same", "contradiction", "different"]}
    opinions = {"type": "array", "items": object_schema({"pair": pair, "opinion": opinion})}
    title = {"title": "compare", "description": "Say of every pair what the two statements are to each other."}
    return {**title, **object_schema({"opinions": opinions})}
