"""The context within its budget: the newest of a profile stays, and one long learning hides no other."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore

from langgraph_learning import LearningStore, UserMemory, UserProfile
from langgraph_learning.core.flow import drive
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.transcript import count_tokens
from langgraph_learning.recall.context import build_agent_context
from langgraph_learning.stores.base import Request

NOW = datetime(2026, 5, 1, tzinfo=UTC)
CALLER = Caller(user="alex")
BUDGET = 2_000


class Dump(LearningStore):
    """Renders learnings by what no one else knows of, so that nobody can shorten them."""

    name = "dump"
    records = UserMemory().records

    def build_context(self, found: Any, request: Request) -> str:
        """Return a line for each, of a length of its own."""
        return "\n".join(f"{learning.key}: " + "x" * int(learning.data["length"]) for learning in found)


def show(store: LearningStore, learnings: list[Learning], budget: int = BUDGET) -> tuple[str, set[str]]:
    """Return the context of some learnings, and the keys of those in it."""
    flow = build_agent_context([store], {store.name: learnings}, Request(CALLER, "", NOW), budget)
    context = drive(flow, InMemoryStore())
    return str(context), {key for _, key in context.learnings}


def learning(store: LearningStore, number: int, text: str, **data: Any) -> Learning:
    """Return a learning, the newer the higher its number."""
    kind = next(iter(store.kinds))
    namespace = CALLER.namespace(store.scope, store.name)
    learned_at = NOW - timedelta(days=100 - number)
    return Learning(
        namespace=namespace,
        key=f"k{number:02}",
        kind=kind,
        text=text,
        data=data or {"observation": text},
        learned_at=learned_at,
    )


@pytest.mark.parametrize("fields", [40, 60, 300])
def test_a_profile_that_is_too_large_loses_its_oldest_fields(fields):
    """The newest field is the one that was just corrected."""
    known = [learning(UserProfile(), number, f"f{number:02}: " + "x" * 250) for number in range(fields)]
    text, keys = show(UserProfile(), known)

    newest = [found.key for found in known[-len(keys) :]]
    assert set(newest) == keys
    assert f"[… {fields - len(keys)} more not shown]" in text


@pytest.mark.parametrize("place", [0, 2, 5])
@pytest.mark.parametrize("length", [9_000, 15_000, 100_000, 5_000_000])
@pytest.mark.parametrize("store", [UserMemory(), UserProfile(), Dump()], ids=lambda store: store.name)
def test_one_long_learning_hides_no_other(store, length, place):
    """It is shortened, with a mark, or left out if it cannot be."""
    texts = [f"Fact {number}." for number in range(5)]
    known = [learning(store, number, text, length=20) for number, text in enumerate(texts)]
    known.insert(place, learning(store, 50, "y" * length, length=length))
    text, keys = show(store, known)

    assert {found.key for found in known if found.key != "k50"} <= keys
    assert count_tokens(text) <= BUDGET + 200  # of the frame around it
    assert "characters cut" in text or "more not shown" in text


def test_a_long_learning_that_is_alone_is_shown_as_far_as_there_is_room():
    """Nothing is hidden for its sake."""
    text, keys = show(UserMemory(), [learning(UserMemory(), 1, "start " + "y " * 10_000 + "end")])

    assert {"k01"} == keys
    assert all(part in text for part in ("start", "end", "characters cut"))
    assert count_tokens(text) > BUDGET / 4


@pytest.mark.parametrize("seed", range(30))
def test_whatever_the_lengths_the_budget_holds_and_something_is_shown(seed):
    """The budget is never exceeded, and never given up."""
    random = Random(seed)
    store = random.choice([UserMemory(), UserProfile(), Dump()])
    budget = random.choice([100, 300, 2_000])
    lengths = [random.choice([5, 50, 500, 5_000, 50_000]) for _ in range(random.randint(1, 12))]
    known = [learning(store, number, "z" * length, length=length) for number, length in enumerate(lengths)]
    text, keys = show(store, known, budget)

    assert count_tokens(text) <= budget + 200
    assert keys or all(length > 50 for length in lengths)
