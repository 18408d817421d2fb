"""The graph of an agent with the loop in it: steps, threads and drawing as they were, and when `extract` runs."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple

from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.graph import Graph as Drawing
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.constants import END, START
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command

from langgraph_learning.agent.agent_node import TRAILING_STEPS
from langgraph_learning.core.langgraph_compat import (
    PRIVATE_ATTRIBUTES,
    default_recursion_limit,
    find_saver,
    has_pending_sends,
    is_inside_task,
    merge_run_config,
    read_available,
    trigger_of,
    write_channel,
)
from langgraph_learning.errors import Misconfigured

CompiledGraph = CompiledStateGraph[Any, Any, Any, Any]
UNSTREAMED_CHANNELS = frozenset({"learning_session", "learning_proposed"})
"""Channels of the state that make no step of their own in a stream of values."""
LEADING_STEPS = 2
"""The steps that `recall` and `build_context` take before the agent's first one."""


class LoopNames(NamedTuple):
    """The names of the loop's nodes in one graph."""

    recall: str = "recall"
    build_context: str = "build_context"
    extract: str = "extract"
    update: str = "update"


class LearningGraph(CompiledGraph):
    """An agent's graph with the loop in it."""

    def __init__(self, *, loop_names: LoopNames, **attributes: Any) -> None:
        private = {name: attributes.pop(name) for name in PRIVATE_ATTRIBUTES if name in attributes}
        super().__init__(**attributes)
        self.loop_names = loop_names
        self.__dict__.update(private)

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Stream the graph's steps for one input."""
        kwargs = self._choose_output(kwargs)
        if _continues(input) and (saver := self._saver(config)):
            self._check_layout(saver.get_tuple(_merge_config(self, config)))
        yield from super().stream(input, self._raise_limit(input, config), **kwargs)
        if self._may_stop_early(config, kwargs):
            latest = _without_checkpoint(config)
            if self.get_state(latest).next == (self.loop_names.extract,):
                yield from super().stream(None, self._raise_limit(None, latest), **kwargs)

    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:
        """Stream the graph's steps for one input, asynchronously."""
        kwargs = self._choose_output(kwargs)
        if _continues(input) and (saver := self._saver(config)):
            self._check_layout(await saver.aget_tuple(_merge_config(self, config)))
        async with aclosing(super().astream(input, self._raise_limit(input, config), **kwargs)) as parts:  # type: ignore[type-var]
            async for part in parts:
                yield part
        if self._may_stop_early(config, kwargs):
            latest = _without_checkpoint(config)
            if (await self.aget_state(latest)).next == (self.loop_names.extract,):
                limited = self._raise_limit(None, latest)
                async with aclosing(super().astream(None, limited, **kwargs)) as parts:  # type: ignore[type-var]
                    async for part in parts:
                        yield part

    def update_state(
        self, config: RunnableConfig, values: Any, as_node: str | None = None, task_id: str | None = None
    ) -> RunnableConfig:
        """Update the state, by default as the agent's last node would."""
        if as_node is None and values is not None and (saver := self._saver(config)):
            as_node = self._last_agent_node(saver.get_tuple(_merge_config(self, config)))
        return super().update_state(config, values, as_node, task_id)

    async def aupdate_state(
        self, config: RunnableConfig, values: Any, as_node: str | None = None, task_id: str | None = None
    ) -> RunnableConfig:
        """Update the state asynchronously, by default as the agent's last node would."""
        if as_node is None and values is not None and (saver := self._saver(config)):
            as_node = self._last_agent_node(await saver.aget_tuple(_merge_config(self, config)))
        return await super().aupdate_state(config, values, as_node, task_id)

    def get_graph(self, config: RunnableConfig | None = None, *, xray: int | bool = False) -> Drawing:
        """Return a drawing of the graph."""
        return self._draw_ending(super().get_graph(config, xray=xray))

    async def aget_graph(self, config: RunnableConfig | None = None, *, xray: int | bool = False) -> Drawing:
        """Return a drawing of the graph."""
        return self._draw_ending(await super().aget_graph(config, xray=xray))

    def _draw_ending(self, drawing: Drawing) -> Drawing:
        """Lead every way out of the agent to `extract`, and from there to the end."""
        nodes, names = drawing.nodes, self.loop_names
        if END not in nodes:
            drawing.add_node(None, END)
        ways_out = {edge.source for edge in drawing.edges if edge.target == END}
        edges = [edge.copy(target=names.extract) if edge.target == END else edge for edge in drawing.edges]
        drawing.edges[:] = edges
        if not ways_out:
            drawing.add_edge(nodes[names.build_context], nodes[names.extract], conditional=True)
        drawing.add_edge(nodes[names.extract], nodes[names.update])
        drawing.add_edge(nodes[names.update], nodes[END])
        drawing.nodes[END] = drawing.nodes.pop(END)  # the last one
        return drawing

    def _choose_output(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a stream in which values are emitted for the agent's steps."""
        if kwargs.get("output_keys") is not None:
            return dict(kwargs)
        keys = [channel for channel in self.stream_channels_asis if channel not in UNSTREAMED_CHANNELS]
        return {**kwargs, "output_keys": keys}

    def _saver(self, config: RunnableConfig | None) -> BaseCheckpointSaver[Any] | None:
        return find_saver(_merge_config(self, config), self.checkpointer)

    def _raise_limit(self, input: Any, config: RunnableConfig | None) -> RunnableConfig:
        """Return a config that leaves the agent as many steps as it had without the loop."""
        added = TRAILING_STEPS if _continues(input) else LEADING_STEPS + TRAILING_STEPS
        limit = _merge_config(self, config).get("recursion_limit")
        if limit is None or limit is default_recursion_limit():
            limit = default_recursion_limit()
        # The default keeps its type: a graph inside has its own limit only as long as nobody set one.
        return {**(config or {}), "recursion_limit": type(limit)(limit + added)}

    def _check_layout(self, saved: CheckpointTuple | None) -> None:
        """Raise `Misconfigured` for a thread that was paused when the agent still ran in a node of its own."""
        if saved is None:
            return
        versions, seen = saved.checkpoint["channel_versions"], saved.checkpoint["versions_seen"]
        version = versions.get(trigger_of("agent"))
        is_pending = version is not None and version != seen.get("agent", {}).get(trigger_of("agent"))
        was_armed = trigger_of(self.loop_names.extract) in saved.checkpoint["channel_values"]
        if is_pending and not was_armed and "build_context" in seen:
            raise Misconfigured(
                "This thread was paused by an earlier version of langgraph_learning, which ran the agent as a graph "
                "inside a node. It cannot be resumed here: resume it with that version, or send the last message again."
            )

    def _last_agent_node(self, saved: CheckpointTuple | None) -> str | None:
        """Return the node of the agent that ran last; None if there is none, or if several did."""
        seen = saved.checkpoint["versions_seen"] if saved else {}
        own = set(self.nodes) - {START, *self.loop_names}
        runs = [(version, node) for node in own for version in seen.get(node, {}).values()]
        last = {node for version, node in runs if version == max(runs)[0]}
        return last.pop() if len(last) == 1 else None

    def _may_stop_early(self, config: RunnableConfig | None, kwargs: Mapping[str, Any]) -> bool:
        """Return True if the run may have stopped after the agent's last node, where the bare agent is done."""
        pauses = kwargs.get("interrupt_after") or self.interrupt_after_nodes
        return bool(pauses) and not is_inside_task(_merge_config(self, config)) and self._saver(config) is not None


class LoopNode(Runnable[Any, Any]):
    """One of the loop's nodes in a grafted graph. Channels that last for one step only outlast it."""

    def __init__(self, bound: Runnable[Any, Any], *, kept: Sequence[str], started: Sequence[str] = ()) -> None:
        self.bound = bound
        self.name = bound.get_name()
        self._kept = kept
        self._started = started

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the node, unless it has to wait."""
        config = config or {}
        return self.bound.invoke(input, config, **kwargs) if self._begin(config) else None

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the node asynchronously, unless it has to wait."""
        config = config or {}
        return await self.bound.ainvoke(input, config, **kwargs) if self._begin(config) else None

    def _begin(self, config: RunnableConfig) -> bool:
        """Write again what would be lost after this step, and start what follows; return False to wait."""
        for channel, value in read_available(config, self._kept).items():
            write_channel(config, channel, value)
        for channel in self._started:
            write_channel(config, channel, None)
        return True


class ExtractWhenOver(LoopNode):
    """The node `extract` of a grafted graph. It may be started beside nodes of the agent, and waits for them.

    LangGraph starts all deferred nodes in the first step in which no edge leads anywhere, also where Sends are pending
    or the agent has deferred nodes of its own.
    """

    def __init__(
        self,
        bound: Runnable[Any, Any],
        *,
        kept: Sequence[str],
        started: Sequence[str],
        own: str,
        agent_triggers: Sequence[str],
    ) -> None:
        super().__init__(bound, kept=kept, started=started)
        self._own, self._agent_triggers = own, agent_triggers

    def _begin(self, config: RunnableConfig) -> bool:
        if has_pending_sends(config) or read_available(config, self._agent_triggers):
            write_channel(config, self._own, None)  # once more, after the next step
            return False
        return super()._begin(config)


def _continues(input: Any) -> bool:
    """Return True if an input goes on with a turn that was paused or failed."""
    return input is None or isinstance(input, Command)


def _merge_config(graph: CompiledGraph, config: RunnableConfig | None) -> RunnableConfig:
    return merge_run_config(graph.config, config)


def _without_checkpoint(config: RunnableConfig | None) -> RunnableConfig:
    """Return a config that names the latest checkpoint of the thread, and no run."""
    config = {**(config or {})}
    config.pop("run_id", None)
    configurable = {key: value for key, value in (config.get("configurable") or {}).items() if key != "checkpoint_id"}
    return {**config, "configurable": configurable}
