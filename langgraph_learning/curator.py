"""Curation as a graph, for a server: run at night by a cron, or by hand."""

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph

from langgraph_learning.curation import Orders, curate
from langgraph_learning.errors import NotAllowed
from langgraph_learning.flow import Flow
from langgraph_learning.loop import Loop
from langgraph_learning.run import Run, vouched
from langgraph_learning.scopes import LearningContext


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
        report = yield from curate(loop.stores, Orders(run.caller.tenant, bool(state.get("dry_run"))))
        return {"report": report.model_dump(mode="json"), "told": str(report)}

    context = None if loop.context_from else LearningContext
    builder = StateGraph(CuratorState, context, input_schema=CuratorInput, output_schema=CuratorOutput)
    builder.add_node("tidy", node("tidy", tidy, loop), input_schema=CuratorState)
    builder.add_edge(START, "tidy")
    builder.add_edge("tidy", END)
    return builder.compile(store=loop.store, name="curator")
