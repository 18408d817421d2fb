"""Numbers and other settings of a wrong kind: refused where they are written, in words that say what they should be."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore
from people import ALEX, machine

from langgraph_learning import Schedule, UserMemory
from langgraph_learning.core.checks import check_above_zero, check_count
from langgraph_learning.errors import LearningError, Misconfigured, MissingOwner


@pytest.mark.parametrize("value", ["3", None, True, 2.5, 0, -1, 11, 10**30])
def test_a_count_is_a_whole_number_between_its_bounds(value: Any):
    """A bool is none, although Python counts with it."""
    with pytest.raises(Misconfigured, match=r"^limit is a whole number from 1 to 10, not "):
        check_count("limit", value, 1, 10)
    check_count("limit", 10, 1, 10)
    check_count("limit", 10**30, 1)


@pytest.mark.parametrize("value", ["3", None, True, 0, -0.5, float("nan"), timedelta(1)])
def test_a_time_is_a_number_above_zero(value: Any):
    """So that no call waits for ever or not at all."""
    with pytest.raises(Misconfigured, match=r"^pause is a number of seconds above zero, not "):
        check_above_zero("pause", value, "seconds")
    check_above_zero("pause", 0.1, "seconds")


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: machine([], store_timeout="x"), "store_timeout"),
        (lambda: machine([], extraction_timeout="x"), "extraction_timeout"),
        (lambda: machine([], extraction_max_tokens="x"), "extraction_max_tokens"),
        (lambda: machine([], scale=5), "scale is two similarities"),
        (lambda: machine([], scale=("a", "b")), "scale is two similarities"),
        (lambda: machine([], context_from=5), "context_from= has to be a function"),
        (lambda: Schedule(every="x"), "every is a whole number"),  # type: ignore[arg-type]
        (lambda: Schedule(attempts=0), "attempts is a whole number"),
        (lambda: Schedule(quiet="x"), "quiet is a number of seconds"),  # type: ignore[arg-type]
        (lambda: Schedule(unanswered=-1), "unanswered is a number of seconds"),
        (lambda: Schedule(user_tokens_per_day="x"), "user_tokens_per_day is a whole number"),  # type: ignore[arg-type]
        (lambda: Schedule(give_up_after=5), "give_up_after= is a timedelta"),  # type: ignore[arg-type]
        (lambda: UserMemory(scope=5), "`scope` is a Scope"),  # type: ignore[arg-type]
        (lambda: UserMemory(name=5), "needs a name of letters"),  # type: ignore[arg-type]
        (lambda: machine([], store=InMemoryStore()).worker(concurrency=0), "concurrency is a whole number"),
        (lambda: machine([], store=InMemoryStore()).worker(grace=-1), "grace is a number of seconds"),
        (lambda: machine([], store=InMemoryStore()).curate(most_calls="x"), "most_calls.*is a whole number"),  # type: ignore[arg-type]
        (lambda: machine([], store=InMemoryStore()).curate(unused_after=5), "unused_after"),  # type: ignore[arg-type]
        (lambda: machine([], store=InMemoryStore()).usage(since="x"), "since= is a date"),  # type: ignore[arg-type]
        (lambda: machine([], store=InMemoryStore()).forget_thread(ALEX, ALEX), "thread_id: an id is a text"),  # type: ignore[arg-type]
    ],
)
def test_a_setting_of_a_wrong_kind_says_what_it_should_be(make: Callable[[], Any], hint: str):
    """Otherwise Python says that it cannot compare, or the database that it cannot read."""
    with pytest.raises(LearningError, match=hint):
        make()


def test_a_thread_id_may_be_a_number():
    """LangGraph takes it, and so do the other ids of a context."""
    learning = machine([], store=InMemoryStore())

    assert learning.forget_thread(ALEX, 5) == 0  # type: ignore[arg-type]
    with pytest.raises(MissingOwner, match="an id is empty"):
        learning.forget_thread(ALEX, "")
