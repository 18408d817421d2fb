"""The loop inside a compiled agent's own graph: one state, one thread, the agent's own reducers and channels."""

import copy
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence, Set
from typing import Annotated, Any, NotRequired, get_type_hints

from langgraph.channels import EphemeralValue, Topic
from langgraph.constants import START, TAG_HIDDEN
from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer, RetryPolicy
from typing_extensions import TypedDict  # pydantic, for the schemas that Studio shows, asks for this one

from langgraph_learning.agent.agent_node import TRAILING_STEPS, AgentNode
from langgraph_learning.agent.learning_graph import (
    CompiledGraph,
    ExtractWhenOver,
    LearningGraph,
    LoopNames,
    LoopNode,
)
from langgraph_learning.agent.node_cache import key_by_context, separate_callers
from langgraph_learning.agent.nodes import Nodes
from langgraph_learning.agent.run_context import CONTEXT_KEYS
from langgraph_learning.agent.state import UNSAVED_CHANNELS, LastNonEmpty
from langgraph_learning.agent.steps import Loop
from langgraph_learning.core.langgraph_compat import (
    PregelNode,
    drop_node_defaults,
    private_attributes,
    shorten_steps,
    trigger_of,
)
from langgraph_learning.errors import LearningError, Misconfigured
from langgraph_learning.recall.context_view import ContextView
from langgraph_learning.recall.model_calls import calls_graph, calls_model

logger = logging.getLogger(__name__)
PREFIX = "learning_"
"""Prefix of the loop's nodes in a graph that has a node or a state key of the same name."""
STREAMED_CHANNELS = ("learning_session", "learning_errors", "learning_proposed")


def graft(
    loop: Loop,
    inner: CompiledGraph,
    *,
    store: BaseStore | None,
    checkpointer: Checkpointer,
    name: str | None,
    inject: bool,
) -> CompiledGraph:
    """Return a copy of a compiled agent with the loop's nodes in it. The agent itself is not changed."""
    names, context_schema = _choose_names(inner), inner.context_schema or (None if loop.context_from else CONTEXT_KEYS)
    builder = _copy_builder(inner.builder)
    _add_loop(builder, Nodes(loop), names)
    loop_channels = {*builder.channels, *map(trigger_of, names)} - {*inner.channels}
    builder.output_schema, builder.context_schema = _output_schema(builder), context_schema
    graph = LearningGraph(
        **{
            **_attributes(inner),
            "loop_names": names,
            "builder": builder,
            "schema_to_mapper": dict(inner.schema_to_mapper),
            "nodes": _wrap_nodes(loop, inner, names, loop_channels, inject),
            "channels": {**builder.channels, **inner.channels, **_shorten_managed(inner)},
            "output_channels": _with_channels(inner.output_channels, ["learning_errors"]),
            "stream_channels": _with_channels(inner.stream_channels_asis, STREAMED_CHANNELS),
            "context_schema": context_schema,
            "retry_policy": (),
            "cache_policy": None,
            "store": store or inner.store or loop.store,
            "checkpointer": inner.checkpointer if checkpointer is None else checkpointer,
            "name": name or inner.name,
            "auto_validate": False,
            **_tolerant_mappers(inner),
        }
    )
    _attach_loop(graph, inner, names)
    return graph.validate()


def _add_loop(builder: StateGraph[Any, Any, Any, Any], nodes: Nodes, names: LoopNames) -> None:
    """Add the loop's nodes and their channels to a builder."""
    builder.add_node(names.recall, nodes.recall, retry_policy=RetryPolicy(retry_on=is_transient))
    builder.add_node(names.build_context, nodes.build_context)
    builder.add_node(names.extract, nodes.extract, defer=True)
    builder.add_node(names.update, nodes.update, defer=True)


def _output_schema(builder: StateGraph[Any, Any, Any, Any]) -> type[Any]:
    """Return the schema of the agent's answer with the errors of learning from it, known to the builder."""
    schema = add_error_channel(builder.output_schema)
    own = builder.schemas[builder.output_schema]
    builder.schemas[schema] = {**own, "learning_errors": builder.channels["learning_errors"]}
    return schema


def _attach_loop(graph: LearningGraph, inner: CompiledGraph, names: LoopNames) -> None:
    """Attach the loop's nodes to a graph: before the agent's first nodes, and after its last ones."""
    agent_nodes = [name for name in graph.nodes if name != START]
    for name in names:
        graph.attach_node(name, graph.builder.nodes[name])
        graph.nodes[name].tags = [TAG_HIDDEN]  # the steps that are streamed are the agent's
    # The first writer of a start node writes the input, the others name the nodes to begin with.
    start = inner.nodes[START]
    graph.nodes[START] = start.copy({"writers": start.writers[:1]})
    graph.attach_edge(START, names.recall)
    graph.attach_edge(names.recall, names.build_context)
    graph.nodes[names.build_context].writers += start.writers[1:]
    kept = [
        key for key, channel in inner.channels.items() if key in inner.builder.channels and _lasts_one_step(channel)
    ]
    own = trigger_of(names.extract)
    triggers = sorted({trigger for name in agent_nodes for trigger in graph.nodes[name].triggers})
    after = trigger_of(names.update)
    # `extract` waits from the beginning of the turn on: so it runs when the turn is over, whatever led there.
    around: dict[str, Callable[[Any], LoopNode]] = {
        names.recall: lambda bound: LoopNode(bound, kept=kept),
        names.build_context: lambda bound: LoopNode(bound, kept=kept, started=[own]),
        names.extract: lambda bound: ExtractWhenOver(
            bound, kept=kept, started=[after], own=own, agent_triggers=triggers
        ),
        names.update: lambda bound: LoopNode(bound, kept=kept),
    }
    for name, wrap in around.items():
        graph.nodes[name] = graph.nodes[name].copy({"bound": wrap(graph.nodes[name].bound)})
    order = (START, names.recall, names.build_context, *agent_nodes, names.extract, names.update)
    graph.nodes = {name: graph.nodes[name] for name in order}


def _lasts_one_step(channel: Any) -> bool:
    return isinstance(channel, EphemeralValue) or (isinstance(channel, Topic) and not channel.accumulate)


def is_transient(error: Exception) -> bool:
    """Return True if another attempt may help. It does not help for an error of ours."""
    default = RetryPolicy().retry_on
    return callable(default) and bool(default(error)) and not isinstance(error, LearningError)


def add_error_channel(output: type[Any]) -> type[Any]:
    """Return the schema of an agent's answer with the errors of learning from it."""
    hints = get_type_hints(output, include_extras=True)
    return TypedDict("Output", {**hints, "learning_errors": NotRequired[Annotated[list[str], LastNonEmpty]]})  # type: ignore[operator,no-any-return]


def hide_unsaved_channels(graph: CompiledGraph) -> CompiledGraph:
    """Keep what lives for one run only out of the streams of a graph."""
    channels = graph.stream_channels_asis
    if not isinstance(channels, str):
        graph.stream_channels = [channel for channel in channels if channel not in UNSAVED_CHANNELS]
    return graph


def log_who_sees(name: str, nodes: Sequence[str]) -> None:
    """Log which nodes of an agent are shown the learned context."""
    if nodes:
        logger.info("Nodes of %s that are shown the learned context: %s", name, ", ".join(nodes))
    else:
        logger.warning(
            "No node of %s is shown the learned context: none is known to call a model, or it calls a graph that would "
            "save it. Call learned_context() where a model is called.",
            name,
        )


def _choose_names(inner: CompiledGraph) -> LoopNames:
    """Return names for the loop's nodes: paused threads hold them, so the same graph always gets the same."""
    taken = {*inner.nodes, *inner.channels}
    names = LoopNames()
    if taken.isdisjoint(names):
        return names
    prefixed = LoopNames(*(f"{PREFIX}{name}" for name in names))
    if not taken.isdisjoint(prefixed):
        raise Misconfigured(
            f"The agent has nodes or state keys named {sorted(taken & {*names, *prefixed})}, which the loop's nodes "
            "need: rename them, or call the agent from a function and wrap that."
        )
    return prefixed


def _copy_builder(builder: StateGraph[Any, Any, Any, Any]) -> StateGraph[Any, Any, Any, Any]:
    """Return a copy of a builder to add nodes to; defaults for the agent's nodes do not hold for them."""
    copied = copy.copy(builder)
    copied.compiled = False
    copied.nodes, copied.edges, copied.waiting_edges = (
        dict(builder.nodes),
        set(builder.edges),
        set(builder.waiting_edges),
    )
    copied.branches = defaultdict(dict, {name: dict(branches) for name, branches in builder.branches.items()})
    copied.channels, copied.managed = dict(builder.channels), dict(builder.managed)
    copied.schemas = {schema: dict(channels) for schema, channels in builder.schemas.items()}
    drop_node_defaults(copied)
    return copied


def _attributes(graph: CompiledGraph) -> dict[str, Any]:
    return {name: value for name, value in vars(graph).items() if name != "__orig_class__"}


def _with_channels(channels: str | Sequence[str], added: Sequence[str]) -> list[str]:
    own = [channels] if isinstance(channels, str) else list(channels)
    return [*own, *(channel for channel in added if channel not in own)]


def _shorten_managed(inner: CompiledGraph) -> dict[str, Any]:
    """Return the agent's managed values, of which the remaining steps do not count the loop's own."""
    return {key: shorten_steps(spec, TRAILING_STEPS) for key, spec in inner.channels.items() if isinstance(spec, type)}


def _tolerant_mappers(inner: CompiledGraph) -> dict[str, Any]:
    """Return the functions that make objects of the agent's own schema of a state, deaf to the loop's channels."""

    def tolerant(mapper: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
        if mapper is None:
            return None
        return lambda values: mapper({key: value for key, value in values.items() if not key.startswith(PREFIX)})

    return {
        "_output_mapper": tolerant(getattr(inner, "_output_mapper", None)),
        "_state_mapper": tolerant(getattr(inner, "_state_mapper", None)),
    }


def _wrap_nodes(
    loop: Loop, inner: CompiledGraph, names: LoopNames, loop_channels: Set[str], inject: bool
) -> dict[str, PregelNode]:
    """Return the agent's nodes, each with what the loop needs around it."""
    seeing = _nodes_that_see(inner) if inject else set()
    if inject:
        log_who_sees(inner.name, _paths_that_see(inner))
    nodes: dict[str, PregelNode] = {}
    for name, node in inner.nodes.items():
        if name == START:
            continue
        bound = node.bound
        if isinstance(bound, CompiledStateGraph):
            bound = _wrap_inside(bound, inject)
        cache_policy = node.cache_policy or inner.cache_policy
        retry_policies = tuple(node.retry_policy or inner.retry_policy)
        is_shown = name in seeing
        wrapped = AgentNode(
            bound,
            loop,
            extract_channel=trigger_of(names.extract),
            loop_channels=loop_channels,
            sees_context=is_shown and not isinstance(bound, CompiledStateGraph),
            retry_policies=retry_policies,
            has_error_handler=name in inner.node_error_handler_map,
            is_cached=cache_policy is not None,
        )
        changes: dict[str, Any] = {
            "bound": wrapped,
            "writers": list(node.writers),
            "retry_policy": retry_policies or None,
            "cache_policy": cache_policy,
            "subgraphs": [bound] if isinstance(bound, CompiledStateGraph) and node.subgraphs else node.subgraphs,
        }
        if cache_policy and (is_shown or _may_ask_for_context(node, inject)):
            changes |= separate_callers(node, cache_policy)
        nodes[name] = node.copy(changes)
    return nodes


def _nodes_that_see(graph: CompiledGraph) -> set[str]:
    """Return the names of the nodes that call a model with the conversation."""
    if (graph.config or {}).get("metadata", {}).get("ls_integration") == "langchain_create_agent":
        return {"model"} & set(graph.nodes)
    return {name for name, node in graph.nodes.items() if name != START and _sees(node)}


def _paths_that_see(graph: CompiledGraph) -> list[str]:
    """Return the nodes that see the context, those in graphs inside with the names of their graphs."""
    paths: list[str] = []
    for name in sorted(_nodes_that_see(graph)):
        bound = graph.nodes[name].bound
        inside = _paths_that_see(bound) if isinstance(bound, CompiledStateGraph) else []
        paths += [f"{name}:{path}" for path in inside] or [name]
    return paths


def _sees(node: PregelNode) -> bool:
    if isinstance(node.bound, CompiledStateGraph):
        return bool(_nodes_that_see(node.bound))
    # A function that calls a graph would hand the view on as that graph's input, and there it would be saved.
    return not isinstance(node.bound, ToolNode) and calls_model(node.bound) and not calls_graph(node.bound)


def _may_ask_for_context(node: PregelNode, inject: bool) -> bool:
    """Return True for a node that is not shown the context, but may ask for it, or call something that does."""
    return not inject or isinstance(node.bound, ToolNode) or calls_graph(node.bound)


def _wrap_inside(graph: CompiledGraph, inject: bool) -> CompiledGraph:
    """Return a graph inside the agent whose nodes that call a model see the context."""
    seeing = _nodes_that_see(graph) if inject else set()
    nodes: dict[str, PregelNode] = {}
    for name, node in graph.nodes.items():
        changes: dict[str, Any] = {}
        if isinstance(node.bound, CompiledStateGraph):
            changes = {"bound": _wrap_inside(node.bound, inject), "subgraphs": None}
        elif name in seeing:
            changes = {"bound": ContextView(node.bound)}
        cache_policy = node.cache_policy or graph.cache_policy
        if cache_policy and name != START and (name in seeing or _may_ask_for_context(node, inject)):
            changes["cache_policy"] = key_by_context(cache_policy)
        nodes[name] = node.copy(changes) if changes else node
    copied = graph.copy({"nodes": nodes})
    copied.__dict__.update(private_attributes(graph))
    return copied
