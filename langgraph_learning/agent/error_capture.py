"""An error of the agent, noted as a learning before it goes on to the caller."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from langgraph.errors import GraphBubbleUp

from langgraph_learning.agent.run_context import Run
from langgraph_learning.agent.steps import Loop
from langgraph_learning.core.flow import Flow, adrive, drive, flow_of
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.policy import Mode
from langgraph_learning.extract.extraction import processed
from langgraph_learning.extract.validation import noted
from langgraph_learning.update.write_policy import write

State = Mapping[str, Any]


@contextmanager
def failures_noted(loop: Loop, state: State, run: Run) -> Iterator[None]:
    """Let every error pass, after the learning stores have noted what it teaches."""
    try:
        yield
    except GraphBubbleUp:  # an interrupt, for one, is no failure
        raise
    except Exception as error:
        drive(_note(loop, state, run, error), run.store, run.config)
        raise


@asynccontextmanager
async def afailures_noted(loop: Loop, state: State, run: Run) -> AsyncIterator[None]:
    """`failures_noted` for the async world."""
    try:
        yield
    except GraphBubbleUp:
        raise
    except Exception as error:
        await adrive(_note(loop, state, run, error), run.store, run.config)
        raise


def _note(loop: Loop, state: State, run: Run, error: Exception) -> Flow[None]:
    try:
        learnings = (yield from _learnt(loop, state, run, error)) if run.caller.learn else []
        yield from write(loop.stores, run.caller, learnings, at=run.now)
    except Exception as trouble:  # noqa: BLE001 - the agent's own error is raised in any case, and tells of this one
        error.add_note(f"It could not be noted as a learning, either: {type(trouble).__name__}: {trouble}")


def _learnt(loop: Loop, state: State, run: Run, error: Exception) -> Flow[list[Learning]]:
    """Return what the learning stores make of an error."""
    turn = run.turn(state)
    learnings: list[Learning] = []
    for store in loop.stores:
        notes = (yield from flow_of(store.failed(turn, error))) if store.mode is not Mode.AGENTIC else ()
        edits = [noted(store, turn, note, number) for number, note in enumerate(notes)]
        learnings += (yield from processed(store, edits, [])) if edits else []
    return learnings
