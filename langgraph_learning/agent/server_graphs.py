"""Graphs that a server runs beside the agent: feedback and curation."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from typing_extensions import TypedDict  # pydantic, for the schemas that Studio shows, asks for this one

from langgraph_learning.agent.run_context import Run, vouched
from langgraph_learning.agent.steps import Loop
from langgraph_learning.core.flow import Flow
from langgraph_learning.core.scopes import LearningContext
from langgraph_learning.curate.run import CurationSettings, curate
from langgraph_learning.errors import LearningError, NotAllowed
from langgraph_learning.review.feedback import feedback


class CuratorInput(TypedDict, total=False):
    """What is asked for."""

    dry_run: bool
    """True: only tell what would be done."""


class CuratorOutput(TypedDict, total=False):
    """What was done, or would be."""

    report: dict[str, Any]
    told: str
    """The report for people."""


class CuratorState(CuratorInput, CuratorOutput, total=False):
    """Both."""


def curator_graph(
    loop: Loop, node: Callable[[str, Callable[[Mapping[str, Any], Run], Flow[dict[str, Any]]], Loop], Any]
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Return the graph that curates the tenant of whoever runs it, if they may."""

    def tidy(state: Mapping[str, Any], run: Run) -> Flow[dict[str, Any]]:
        if not vouched("curates"):
            raise NotAllowed('You may not curate: the authentication handler has to answer "curates": True for that.')
        report = yield from curate(loop.stores, CurationSettings(run.caller.tenant, bool(state.get("dry_run"))))
        return {"report": report.model_dump(mode="json"), "told": str(report)}

    context = None if loop.context_from else LearningContext
    builder = StateGraph(CuratorState, context, input_schema=CuratorInput, output_schema=CuratorOutput)
    builder.add_node("tidy", node("tidy", tidy, loop), input_schema=CuratorState)
    builder.add_edge(START, "tidy")
    builder.add_edge("tidy", END)
    return builder.compile(store=loop.store, name="curator")


class FeedbackInput(TypedDict, total=False):
    """What somebody says of an answer."""

    thread_id: str
    message_id: str
    verdict: str
    """Either "up", "down", or what would have been right."""
    comment: str | None


class FeedbackOutput(TypedDict, total=False):
    """What came of it."""

    changed: list[str]
    """Keys of the learnings that changed."""
    refused: str | None
    """Why nothing was done, if nothing was."""


class FeedbackState(FeedbackInput, FeedbackOutput, total=False):
    """Both."""


def feedback_graph(
    loop: Loop, node: Callable[[str, Callable[[Mapping[str, Any], Run], Flow[dict[str, Any]]], Loop], Any]
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Return the graph by which feedback comes in over a server, in the name of whoever runs it."""

    def give(state: Mapping[str, Any], run: Run) -> Flow[dict[str, Any]]:
        # Whoever runs it may send anything: a number, for one, in the place of a text.
        thread, *said = (str(state.get(name) or "") for name in ("thread_id", "message_id", "verdict", "comment"))
        try:
            changed = yield from feedback(loop.stores, replace(run.caller, thread=thread), *said)
        except LearningError as error:
            return {"changed": [], "refused": str(error)}
        return {"changed": [one.key for one in changed], "refused": None}

    context = None if loop.context_from else LearningContext
    builder = StateGraph(FeedbackState, context, input_schema=FeedbackInput, output_schema=FeedbackOutput)
    builder.add_node("give", node("give", give, loop), input_schema=FeedbackState)
    builder.add_edge(START, "give")
    builder.add_edge("give", END)
    return builder.compile(store=loop.store, name="feedback")
