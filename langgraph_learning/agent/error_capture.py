"""Errors of the agent: recorded as learnings before they go on to the caller."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from langgraph.errors import GraphBubbleUp

from langgraph_learning.agent.run_context import RunContext
from langgraph_learning.agent.steps import GraphState, Loop
from langgraph_learning.core.flow import Flow, adrive, as_flow, drive, limit_store_waiting
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.policy import Mode
from langgraph_learning.extract.processing import process_edits
from langgraph_learning.extract.validation import edit_from_note
from langgraph_learning.update.write_policy import write_learnings


@contextmanager
def record_errors(loop: Loop, state: GraphState, run: RunContext) -> Iterator[None]:
    """Let the learning stores record an error of the block, and raise it as it was."""
    try:
        yield
    except GraphBubbleUp:  # an interrupt is no failure
        raise
    except Exception as error:
        drive(record_error(loop, state, run, error), run.store, run.config)
        raise


@asynccontextmanager
async def arecord_errors(loop: Loop, state: GraphState, run: RunContext) -> AsyncIterator[None]:
    """Do as `record_errors` in async code."""
    try:
        yield
    except GraphBubbleUp:
        raise
    except Exception as error:
        await adrive(record_error(loop, state, run, error), run.store, run.config)
        raise


def record_error(loop: Loop, state: GraphState, run: RunContext, error: Exception) -> Flow[None]:
    """Let the learning stores record an error. A failure to do so is noted on the error, never raised."""
    try:
        yield from limit_store_waiting(_learn_from_error(loop, state, run, error), run.start.waiting)
    except Exception as failure:  # noqa: BLE001 - the agent's own error is raised in any case, and reports this one
        error.add_note(f"It could not be recorded as a learning, either: {type(failure).__name__}: {failure}")


def _learn_from_error(loop: Loop, state: GraphState, run: RunContext, error: Exception) -> Flow[None]:
    learnings = (yield from _learnings_from_error(loop, state, run, error)) if run.turn(state).learns else []
    yield from write_learnings(loop.stores, run.caller, learnings, at=run.now)


def _learnings_from_error(loop: Loop, state: GraphState, run: RunContext, error: Exception) -> Flow[list[Learning]]:
    turn = run.turn(state)
    learnings: list[Learning] = []
    for store in loop.stores:
        if store.mode is Mode.AGENTIC:
            continue
        notes = yield from as_flow(store.failed(turn, error))
        edits = [edit_from_note(store, turn, note, number) for number, note in enumerate(notes)]
        if edits:
            learnings += yield from process_edits(store, edits, [])
    return learnings
