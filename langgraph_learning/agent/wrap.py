"""machine.wrap: a learning graph around any agent, compiled or not."""

import inspect
import itertools
from typing import Any, get_type_hints, is_typeddict

from langgraph.constants import END, START
from langgraph.graph import MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel.protocol import PregelProtocol
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer, RetryPolicy
from pydantic import BaseModel

from langgraph_learning.agent.graft import add_error_channel, graft, hide_unsaved_channels, is_transient, log_who_sees
from langgraph_learning.agent.nodes import Nodes
from langgraph_learning.agent.run_context import has_user_id
from langgraph_learning.agent.steps import Loop
from langgraph_learning.core.scopes import LearningContext
from langgraph_learning.errors import Misconfigured
from langgraph_learning.recall.injection import CHANNEL
from langgraph_learning.recall.model_calls import calls_graph

Graph = CompiledStateGraph[Any, Any, Any, Any]


def wrap(
    loop: Loop, agent: Any, *, store: BaseStore | None, checkpointer: Checkpointer, name: str | None, inject: bool
) -> Graph:
    """Return a compiled graph that recalls before an agent answers and learns afterwards."""
    if isinstance(agent, CompiledStateGraph):
        _check_agent(agent, loop)
        return graft(loop, agent, store=store, checkpointer=checkpointer, name=name, inject=inject)
    if isinstance(agent, StateGraph):
        raise Misconfigured("A StateGraph cannot be wrapped: compile it first.")
    if isinstance(agent, PregelProtocol):
        raise Misconfigured(
            f"A {type(agent).__name__} has no nodes that learning could join: call it from a function and wrap that, "
            "machine.wrap(lambda state: {'messages': agent.invoke(…)})."
        )
    node = Nodes(loop).agent(agent, inject=inject)
    if inject:
        log_who_sees(name or "the agent", () if calls_graph(agent) else ("agent",))
    state_schema = _state_of(agent)
    context_schema = None if loop.context_from else LearningContext
    builder = StateGraph(state_schema, context_schema, output_schema=add_error_channel(state_schema))
    add_loop(builder, Nodes(loop), node)
    return hide_unsaved_channels(builder.compile(store=store or loop.store, checkpointer=checkpointer, name=name))


def add_loop(builder: StateGraph[Any, Any, Any, Any], nodes: Nodes, agent: Any) -> None:
    """Add the five nodes of the loop to a graph, with nothing hidden: docs/agents.md does the same by hand."""
    builder.add_node("recall", nodes.recall, retry_policy=RetryPolicy(retry_on=is_transient))
    builder.add_node("build_context", nodes.build_context)
    builder.add_node("agent", agent)
    builder.add_node("extract", nodes.extract, defer=True)
    builder.add_node("update", nodes.update, defer=True)
    for start, end in itertools.pairwise((START, "recall", "build_context", "agent", "extract", "update", END)):
        builder.add_edge(start, end)


def _check_agent(agent: Graph, loop: Loop) -> None:
    """Raise `Misconfigured` for a compiled agent that cannot be wrapped."""
    if CHANNEL in agent.channels:
        raise Misconfigured("This agent learns already: wrap it, or give it machine.middleware(), not both.")
    if type(agent) is not CompiledStateGraph:
        raise Misconfigured(
            f"A {type(agent).__name__} does more than a compiled StateGraph, which learning cannot join: call it from "
            "a function and wrap that."
        )
    if "messages" not in agent.builder.channels:
        raise Misconfigured("The agent's state has no `messages`: learning reads the conversation from there.")
    schema = agent.context_schema
    if schema and not loop.context_from and not has_user_id(schema):
        raise Misconfigured(
            f"The agent has a context of its own, {getattr(schema, '__name__', schema)}, without a user_id: give the "
            "machine context_from=lambda context: LearningContext(user_id=context.…). If it is a config_schema, "
            'context_from=lambda context, config: LearningContext(user_id=config["configurable"]["user_id"]), or '
            "context_from=lambda context: context for runs with context=LearningContext(…)."
        )


def _state_of(agent: Any) -> type[Any]:
    """Return the state that a function is annotated with."""
    if not inspect.isroutine(agent):
        return MessagesState
    first = next(iter(inspect.signature(agent).parameters), "")
    hint = get_type_hints(agent).get(first)
    is_schema = inspect.isclass(hint) and (is_typeddict(hint) or issubclass(hint, BaseModel))
    return hint if is_schema else MessagesState  # type: ignore[return-value]
