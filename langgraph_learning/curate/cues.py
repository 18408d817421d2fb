"""Cues for learnings that have none: a model names the situations in which somebody should be reminded of each."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage

from langgraph_learning.core.flow import Flow, batch
from langgraph_learning.core.learning import CURATOR, Status
from langgraph_learning.core.repository import StoredLearning, all_stored_in
from langgraph_learning.core.text import escape_line, truncate
from langgraph_learning.core.transcript import count_tokens
from langgraph_learning.curate.run import list_namespaces
from langgraph_learning.errors import Conflict, UnreadableAnswer
from langgraph_learning.extract.answers import parse_number
from langgraph_learning.extract.schema import object_schema
from langgraph_learning.extract.structured_output import StructuredModel
from langgraph_learning.extract.validation import parse_cues
from langgraph_learning.stores.base import LearningStore

PROMPT = Path(__file__).with_suffix(".md").read_text(encoding="utf-8").strip()
LEARNINGS_PER_CALL = 20
MAX_CHARS = 1_000
"""Characters of a learning that the model is shown at most."""
TOKENS_PER_ANSWER = 45
"""Tokens of the cues of one learning, about."""


def find_without_cues(stores: Sequence[LearningStore], tenant: str) -> Flow[list[StoredLearning]]:
    """Return the active learnings of a tenant that are found by the question and have no cues."""
    namespaces = yield from list_namespaces([store for store in stores if store.cued], tenant)
    stored = yield from all_stored_in(namespaces, {"status": Status.ACTIVE.value})
    return [each for each in stored if not each.learning.cues]


class Cost(NamedTuple):
    """Expected cost of naming cues."""

    calls: int
    input_tokens: int
    output_tokens: int


def estimate_cost(found: Sequence[StoredLearning]) -> Cost:
    """Return what naming cues for these learnings will cost."""
    calls = -(-len(found) // LEARNINGS_PER_CALL)
    read = calls * count_tokens(PROMPT) + sum(count_tokens(each.learning.text[:MAX_CHARS]) + 3 for each in found)
    return Cost(calls, read, len(found) * TOKENS_PER_ANSWER)


def give_cues(model: BaseChatModel, found: Sequence[StoredLearning], progress: Callable[[int, int], None]) -> Flow[int]:
    """Ask a model for the cues of learnings and write them; return how many learnings have some now.

    A learning that changed meanwhile, or about which the answer cannot be read, is left for the next run.
    """
    asked = StructuredModel(model, _build_schema(), list_field="learnings", tag_field="number")
    given = 0
    for start in range(0, len(found), LEARNINGS_PER_CALL):
        some = found[start : start + LEARNINGS_PER_CALL]
        rows = (f"[{n}] {escape_line(truncate(each.learning.text, MAX_CHARS))}" for n, each in enumerate(some, start=1))
        statements = "\n".join(rows)
        prompt = [SystemMessage(PROMPT), HumanMessage(f"<statements>\n{statements}\n</statements>")]
        with suppress(UnreadableAnswer):
            answer = yield from asked.ask(prompt)
            by_number = {parse_number(entry.get("number")): parse_cues(entry.get("cues")) for entry in answer.entries}
            given += yield from _write(some, [by_number.get(number, ()) for number in range(1, len(some) + 1)])
        progress(start + len(some), len(found))
    return given


def _write(found: Sequence[StoredLearning], cues: Sequence[tuple[str, ...]]) -> Flow[int]:
    written = 0
    for stored, names in zip(found, cues, strict=True):
        if names:
            put = stored.learning.model_copy(update={"cues": names}).put()
            with suppress(Conflict):
                yield from batch(put, expected=[stored.condition], by=CURATOR)
                written += 1
    return written


def _build_schema() -> dict[str, Any]:
    number = {"type": "integer", "description": "Number of the statement."}
    cues = {"type": "array", "items": {"type": "string"}}
    learnings = {"type": "array", "items": object_schema({"number": number, "cues": cues})}
    title = {"title": "remind", "description": "Name the situations in which to be reminded of each statement."}
    return {**title, **object_schema({"learnings": learnings})}
