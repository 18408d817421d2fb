"""LangGraph's private names: they are there, do what we need, and a LangGraph without one is named in the error."""

import subprocess
import sys
from typing import Any, TypedDict

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph

from langgraph_learning.core import langgraph_compat
from langgraph_learning.core.langgraph_compat import (
    hide_channels,
    is_part_of_tool,
    make_node,
    read_channel,
    read_surrounding_channels,
)


class State(TypedDict, total=False):
    question: str
    answer: str


class Question(TypedDict):
    question: str


def graph_of(node: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("before", lambda state: {"answer": "from before"})
    builder.add_node("node", node, input_schema=Question)
    builder.add_edge(START, "before")
    builder.add_edge("before", "node")
    return builder.compile()


async def test_one_node_serves_sync_and_async_graphs():
    """Each calls its own function."""

    async def aanswer(state: Any) -> Any:
        return {"answer": "awaited"}

    graph = graph_of(make_node(lambda state: {"answer": "called"}, aanswer, name="node"))

    assert "called" == graph.invoke({"question": "?"})["answer"]
    assert "awaited" == (await graph.ainvoke({"question": "?"}))["answer"]


def test_a_node_adds_no_run_to_the_trace():
    """Tracers see the node once, not a second time for the function in it."""
    graph = graph_of(make_node(lambda state: {"answer": "called"}, name="node"))
    names = [event["name"] for event in _events(graph)]

    assert 1 == names.count("node")


def test_the_channels_of_the_graph_around_are_read_where_a_graph_starts():
    """Outside of a graph there are none."""
    seen: list[Any] = []

    def node(state: Any) -> Any:
        seen.append(read_surrounding_channels())
        return {}

    graph_of(make_node(node, name="node")).invoke({"question": "?"})

    assert read_surrounding_channels() is None
    assert ("?", "from before") == (seen[0]["question"], seen[0]["answer"])


@pytest.mark.parametrize(
    ("namespace", "is_part"),
    [("", False), ("recall:1", False), ("tools:1|recall:2", False), ("tools:1|agent:2|recall:3", True),
     ("agent:1|tools:2|team:3|agent:4|recall:5", True), ("team:1|agent:2|recall:3", False)],
)  # fmt: skip
def test_a_graph_inside_a_tools_graph_is_told_by_its_namespace(namespace: str, is_part: bool):
    """The node that started the graph itself is looked into, so only those around it are told by their name."""
    assert is_part is is_part_of_tool({"configurable": {"checkpoint_ns": namespace}})


def test_a_channel_outside_the_nodes_schema_can_be_read():
    """One that the graph does not have reads as None."""
    seen = {}

    def node(state: Any, config: RunnableConfig) -> Any:
        seen.update(state=dict(state), answer=read_channel(config, "answer"), other=read_channel(config, "other"))
        return {}

    graph_of(make_node(node, name="node")).invoke({"question": "?"})

    assert {"state": {"question": "?"}, "answer": "from before", "other": None} == seen


def test_channels_can_be_hidden_from_whoever_lists_them():
    """They can still be read by name."""
    seen = {}

    def node(state: Any, config: RunnableConfig) -> Any:
        hidden = hide_channels(config, {"answer"})
        read = hidden["configurable"]["__pregel_read"]
        seen.update(listed=set(read.args[1]), answer=read_channel(hidden, "answer"), fresh=read(["question"], True))
        return {}

    graph_of(make_node(node, name="node")).invoke({"question": "?"})

    assert "question" in seen["listed"]
    assert "answer" not in seen["listed"]
    assert ("from before", {"question": "?"}) == (seen["answer"], seen["fresh"])


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("langgraph._internal._runnable", "RunnableCallable"),
        ("langgraph._internal._constants", "CONFIG_KEY_READ"),
        ("langgraph._internal._constants", "CONFIG_KEY_SEND"),
        ("langgraph._internal._constants", "CONFIG_KEY_SCRATCHPAD"),
        ("langgraph._internal._config", "DEFAULT_RECURSION_LIMIT"),
        ("langgraph.pregel._read", "PregelNode"),
    ],
)
def test_a_langgraph_that_moved_a_private_name_is_named(module: str, name: str):
    """The import fails with the name that is missing and the versions that have it."""
    # The module runs on its own: LangChain, which the package imports first, needs the same names.
    code = (
        "import importlib, runpy, langgraph.graph, langgraph.prebuilt; "
        f"delattr(importlib.import_module({module!r}), {name!r}); runpy.run_path({langgraph_compat.__file__!r})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert 1 == result.returncode
    assert f"has no {module}.{name} any more" in result.stderr
    assert "langgraph>=1.2.11,<2" in result.stderr


def _events(graph: Any) -> list[Any]:
    import asyncio

    async def collect() -> list[Any]:
        events = graph.astream_events({"question": "?"}, version="v2")
        return [event async for event in events if event["event"] == "on_chain_start"]

    return asyncio.run(collect())
