"""An error of the agent, noted as a learning before it goes on to the caller."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from langgraph.errors import GraphBubbleUp

from langgraph_learning.agent.run_context import RunContext
from langgraph_learning.agent.steps import Loop
from langgraph_learning.core.flow import Flow, adrive, as_flow, drive
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.policy import Mode
from langgraph_learning.extract.extraction import process_edits
from langgraph_learning.extract.validation import edit_from_note
from langgraph_learning.update.write_policy import write_learnings

State = Mapping[str, Any]


@contextmanager
def record_errors(loop: Loop, state: State, run: RunContext) -> Iterator[None]:
    """Let every error pass, after the learning stores have noted what it teaches."""
    try:
        yield
    except GraphBubbleUp:  # an interrupt, for one, is no failure
        raise
    except Exception as error:
        drive(_record_error(loop, state, run, error), run.store, run.config)
        raise


@asynccontextmanager
async def arecord_errors(loop: Loop, state: State, run: RunContext) -> AsyncIterator[None]:
    """`failures_noted` for the async world."""
    try:
        yield
    except GraphBubbleUp:
        raise
    except Exception as error:
        await adrive(_record_error(loop, state, run, error), run.store, run.config)
        raise


def _record_error(loop: Loop, state: State, run: RunContext, error: Exception) -> Flow[None]:
    try:
        learnings = (yield from _learnings_from_error(loop, state, run, error)) if run.caller.learn else []
        yield from write_learnings(loop.stores, run.caller, learnings, at=run.now)
    except Exception as trouble:  # noqa: BLE001 - the agent's own error is raised in any case, and tells of this one
        error.add_note(f"It could not be noted as a learning, either: {type(trouble).__name__}: {trouble}")


def _learnings_from_error(loop: Loop, state: State, run: RunContext, error: Exception) -> Flow[list[Learning]]:
    """Return what the learning stores make of an error."""
    turn = run.turn(state)
    learnings: list[Learning] = []
    for store in loop.stores:
        notes = (yield from as_flow(store.failed(turn, error))) if store.mode is not Mode.AGENTIC else ()
        edits = [edit_from_note(store, turn, note, number) for number, note in enumerate(notes)]
        learnings += (yield from process_edits(store, edits, [])) if edits else []
    return learnings
