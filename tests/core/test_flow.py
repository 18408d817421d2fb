"""Flows: the tests answer their requests themselves, or let a driver do it."""

from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda
from langgraph.store.base import GetOp, PutOp
from langgraph.store.memory import InMemoryStore

from langgraph_learning.core.flow import Batch, Flow, adrive, as_flow, batch, drive, gather, get_item, invoke
from langgraph_learning.errors import LearningError, Misconfigured

READ_A, READ_B = GetOp(("a",), "k"), GetOp(("b",), "k")


def reads(op: GetOp) -> Flow[Any]:
    (item,) = yield from batch(op)
    return item


def test_batches_of_the_same_step_become_one_batch():
    """Two stores that read at the same time cost one round trip."""
    flow = gather([reads(READ_A), reads(READ_B)])

    assert Batch((READ_A, READ_B)) == next(flow)


def test_each_flow_gets_its_own_answers():
    """The results of one store are not handed to another."""
    flow = gather([reads(READ_A), reads(READ_B)])
    next(flow)

    with pytest.raises(StopIteration) as stop:
        flow.send(["a's", "b's"])

    assert ["a's", "b's"] == stop.value.value


def test_a_flow_that_asks_for_nothing_runs_beside_others():
    """A store that knows its answer at once does not hold up or shift the others."""

    def knows() -> Flow[str]:
        return "known"
        yield

    flow = gather([knows(), reads(READ_B)])
    next(flow)

    with pytest.raises(StopIteration) as stop:
        flow.send(["b's"])

    assert ["known", "b's"] == stop.value.value


@pytest.mark.parametrize("driver", [drive, adrive])
async def test_both_drivers_carry_out_the_same_flow(driver: Any):
    """The same lines serve sync and async code."""

    def shouts() -> Flow[str]:
        yield from batch(PutOp(("a",), "k", {"text": "hello"}))
        item = yield from reads(READ_A)
        return (yield from invoke(RunnableLambda(str.upper), item.value["text"]))

    done = driver(shouts(), InMemoryStore())

    assert (done if driver is drive else await done) == "HELLO"


@pytest.mark.parametrize("driver", [drive, adrive])
async def test_a_flow_may_handle_what_went_wrong(driver: Any):
    """An error is raised where the flow asked, so that the flow can decide."""

    def careful() -> Flow[str]:
        try:
            return (yield from invoke(RunnableLambda(lambda _: 1 / 0), None))
        except ZeroDivisionError:
            return "handled"

    done = driver(careful(), InMemoryStore())

    assert (done if driver is drive else await done) == "handled"


def test_an_async_method_in_a_sync_graph_says_what_to_do():
    """Nothing starts an event loop behind the caller's back."""

    async def waits() -> int:
        return 1

    with pytest.raises(Misconfigured, match="ainvoke"):
        drive(as_flow(waits()), InMemoryStore())


async def test_a_method_may_be_plain_async_or_a_flow():
    """The author of a store chooses."""

    async def waits() -> int:
        return 2

    def asks() -> Flow[int]:
        yield from batch(READ_A)
        return 3

    assert [1, 2, 3] == [await adrive(as_flow(x), InMemoryStore()) for x in (1, waits(), asks())]


class Forgetful(InMemoryStore):
    """A store that answers nothing."""

    def batch(self, ops: Any) -> Any:
        """Return too few results."""
        return []

    async def abatch(self, ops: Any) -> Any:
        """Return too few results."""
        return []


async def test_a_store_that_answers_too_little_is_named():
    """Nobody could tell which of the answers are missing."""
    with pytest.raises(LearningError, match="Forgetful returned 0 results for 2"):
        drive(gather([get_item(("a",), "1"), get_item(("a",), "2")]), Forgetful())
    with pytest.raises(LearningError, match="Forgetful returned 0 results for 2"):
        await adrive(gather([get_item(("a",), "1"), get_item(("a",), "2")]), Forgetful())
