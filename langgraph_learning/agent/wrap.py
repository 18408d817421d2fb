"""machine.wrap: a learning graph around any agent, compiled or not."""

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NotRequired, get_type_hints, is_typeddict

from langchain_core.messages import AnyMessage, BaseMessage, RemoveMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.channels import BinaryOperatorAggregate
from langgraph.constants import END, START
from langgraph.errors import ParentCommand
from langgraph.graph import MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode
from langgraph.pregel.protocol import PregelProtocol
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer, Overwrite, RetryPolicy
from pydantic import BaseModel
from typing_extensions import TypedDict  # pydantic, for the schemas that Studio shows, asks for this one

from langgraph_learning.agent.error_capture import arecord_errors, record_errors
from langgraph_learning.agent.nodes import ContextView, Nodes
from langgraph_learning.agent.run_context import CONTEXT_KEYS, has_user_id
from langgraph_learning.agent.state import LastNonEmpty
from langgraph_learning.agent.steps import Loop
from langgraph_learning.core.flow import adrive, drive
from langgraph_learning.core.langgraph_compat import make_node
from langgraph_learning.core.scopes import LearningContext
from langgraph_learning.errors import LearningError, Misconfigured
from langgraph_learning.recall.injection import CHANNEL, add_context, use_context

Graph = CompiledStateGraph[Any, Any, Any, Any]


def wrap(
    loop: Loop, agent: Any, *, store: BaseStore | None, checkpointer: Checkpointer, name: str | None, inject: bool
) -> Graph:
    """Return a compiled graph that recalls before an agent answers and learns afterwards."""
    node: Any
    if isinstance(agent, CompiledStateGraph):
        inner = _check_agent(agent, loop)
        store, checkpointer = store or inner.store, checkpointer or inner.checkpointer
        name, context_schema = name or inner.name, inner.context_schema or (None if loop.context_from else CONTEXT_KEYS)
        shown = _show_context_to_models(inner) if inject else _accept_full_state(inner)
        state_schema, node = _full_schema(inner), _agent_node(loop, shown)
        input_schema, output_schema = inner.builder.input_schema, inner.builder.output_schema
    elif isinstance(agent, PregelProtocol | StateGraph):
        raise Misconfigured(
            f"A {type(agent).__name__} cannot be wrapped: compile it, or call it from a function and wrap that."
        )
    else:
        context_schema = None if loop.context_from else LearningContext
        state_schema, node = _state_of(agent), Nodes(loop).agent(agent, inject=inject)
        input_schema = output_schema = state_schema
    builder = StateGraph(
        state_schema, context_schema, input_schema=input_schema, output_schema=_add_error_channel(output_schema)
    )
    add_loop(builder, Nodes(loop), node)
    return builder.compile(store=store or loop.store, checkpointer=checkpointer, name=name)


def add_loop(builder: StateGraph[Any, Any, Any, Any], nodes: Nodes, agent: Any) -> None:
    """Add the five nodes of the loop to a graph, with nothing hidden: docs/agents.md does the same by hand."""
    builder.add_node("recall", nodes.recall, retry_policy=RetryPolicy(retry_on=_is_transient))
    builder.add_node("build_context", nodes.build_context)
    builder.add_node("agent", agent)
    builder.add_node("extract", nodes.extract, defer=True)
    builder.add_node("update", nodes.update, defer=True)
    for start, end in itertools.pairwise((START, "recall", "build_context", "agent", "extract", "update", END)):
        builder.add_edge(start, end)


def _is_transient(error: Exception) -> bool:
    """Return True if another attempt may help. It does not help for an error of ours."""
    default = RetryPolicy().retry_on
    return callable(default) and bool(default(error)) and not isinstance(error, LearningError)


def _agent_node(loop: Loop, inner: Graph) -> Runnable[Any, Any]:
    """Return the node that lets a compiled agent answer. Studio finds the graph because it is a closure variable."""
    keys = [key for key in inner.builder.channels if key in inner.channels]

    def answer(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        run = loop.run()
        context = drive(loop.context_for_agent(state, run), run.store, config)
        with use_context(context), _forbid_handoff(), record_errors(loop, state, run):
            after = inner.invoke(_select_state(state, keys), config, output_keys=keys)
        return add_context(_state_update(inner, state, after), context, config)

    async def aanswer(state: Mapping[str, Any], config: RunnableConfig) -> Any:
        run = loop.run()
        context = await adrive(loop.context_for_agent(state, run), run.store, config)
        with use_context(context), _forbid_handoff():
            async with arecord_errors(loop, state, run):
                after = await inner.ainvoke(_select_state(state, keys), config, output_keys=keys)
        return add_context(_state_update(inner, state, after), context, config)

    return make_node(answer, aanswer, name="agent")


@contextmanager
def _forbid_handoff() -> Iterator[None]:
    try:
        yield
    except ParentCommand as error:
        raise Misconfigured(
            "The wrapped agent hands over to a graph around it, which cannot pass through wrap: wrap the outermost "
            "graph, and give members of a swarm middleware=[machine.middleware()] instead."
        ) from error


def _check_agent(agent: Graph, loop: Loop) -> Graph:
    """Return a compiled agent. Raises `Misconfigured` if it cannot be wrapped."""
    if "messages" not in agent.builder.channels:
        raise Misconfigured("The agent's state has no `messages`: learning reads the conversation from there.")
    if CHANNEL in agent.channels:
        raise Misconfigured("This agent learns already: wrap it, or give it machine.middleware(), not both.")
    if agent.checkpointer is True:
        raise Misconfigured("Compile the agent without checkpointer=True: the graph around it keeps its state.")
    schema = agent.context_schema
    if schema and not loop.context_from and not has_user_id(schema):
        raise Misconfigured(
            f"The agent has a context of its own, {getattr(schema, '__name__', schema)}, without a user_id: give the "
            "machine context_from=lambda context: LearningContext(user_id=context.…). If it is a config_schema, "
            'context_from=lambda context, config: LearningContext(user_id=config["configurable"]["user_id"]), or '
            "context_from=lambda context: context for runs with context=LearningContext(…)."
        )
    return agent


def _hints(inner: Graph) -> dict[str, Any]:
    """Return the annotations of every channel of the agent's state, private ones included."""
    hints: dict[str, Any] = {}
    for schema in (*inner.builder.schemas, inner.builder.state_schema):
        hints |= get_type_hints(schema, include_extras=True)
    return {key: hint for key, hint in hints.items() if key in inner.builder.channels}


def _full_schema(inner: Graph) -> type[Any]:
    return TypedDict("State", _hints(inner), total=False)  # type: ignore[operator,no-any-return]  # made at run time


def _add_error_channel(output: type[Any]) -> type[Any]:
    """Return the schema of an agent's answer with the errors of learning from it."""
    hints = get_type_hints(output, include_extras=True)
    return TypedDict("Output", {**hints, "learning_errors": NotRequired[Annotated[list[str], LastNonEmpty]]})  # type: ignore[operator,no-any-return]


def _state_of(agent: Any) -> type[Any]:
    """Return the state that a function is annotated with."""
    if not inspect.isroutine(agent):
        return MessagesState
    first = next(iter(inspect.signature(agent).parameters), "")
    hint = get_type_hints(agent).get(first)
    is_schema = inspect.isclass(hint) and (is_typeddict(hint) or issubclass(hint, BaseModel))
    return hint if is_schema else MessagesState  # type: ignore[return-value]


def _accept_full_state(inner: Graph) -> Graph:
    """Return the agent so that it takes all of its state as input, private keys too, because they outlive the turn."""
    full = StateGraph(_full_schema(inner)).add_node("any", _identity).add_edge(START, "any").compile()
    start = inner.nodes[START]
    # The first writer of a start node writes the input, the others name the nodes to begin with.
    writers = [full.nodes[START].writers[0], *start.writers[1:]]
    return inner.copy(
        {"nodes": {**inner.nodes, START: start.copy({"writers": writers})}, "store": None, "checkpointer": None}
    )


def _show_context_to_models(inner: Graph) -> Graph:
    """Return the agent with the context in view of the nodes that call a model."""
    made_by_create_agent = (inner.config or {}).get("metadata", {}).get("ls_integration") == "langchain_create_agent"
    return _with_views(_accept_full_state(inner), "model" if made_by_create_agent else None)


def _with_views(graph: Graph, only: str | None = None) -> Graph:
    """Return a graph whose nodes, or the one with this name, see the context."""
    nodes = {}
    for name, node in graph.nodes.items():
        if name == START or only not in (None, name):
            nodes[name] = node
        else:
            nodes[name] = node.copy({"bound": _show_context_inside(node.bound, node.subgraphs)})
    return graph.copy({"nodes": nodes})


def _show_context_inside(bound: Any, subgraphs: Sequence[Any]) -> Any:
    if isinstance(bound, CompiledStateGraph):
        return _with_views(bound)
    # A function that calls a graph would hand the view on as that graph's input, and there it would be saved.
    return bound if subgraphs or isinstance(bound, ToolNode) else ContextView(bound)


def _identity(state: Any) -> Any:
    return state


def _select_state(state: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: state[key] for key in keys if key in state}


def _state_update(inner: Graph, before: Mapping[str, Any], after: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the update that makes the outer state equal to the agent's: nothing is doubled, nothing comes back."""
    update: dict[str, Any] = {}
    for key, value in (after or {}).items():
        if key in before and _equal(before[key], value):
            continue
        is_reduced = isinstance(inner.channels[key], BinaryOperatorAggregate)
        if is_reduced and value and all(isinstance(message, BaseMessage) for message in value):
            update[key] = _message_updates(before.get(key) or [], value)
        else:
            update[key] = Overwrite(value) if is_reduced else value
    return update


def _message_updates(before: Sequence[AnyMessage], after: Sequence[AnyMessage]) -> list[Any]:
    """Return the messages that `add_messages` needs to turn one conversation into the other."""
    known = {message.id: message for message in before}
    ids = [message.id for message in after]
    remaining = [message.id for message in before if message.id in ids]
    if ids[: len(remaining)] != remaining:
        return [RemoveMessage(REMOVE_ALL_MESSAGES), *after]
    removed = [RemoveMessage(str(message.id)) for message in before if message.id not in remaining]
    return [*removed, *(message for message in after if known.get(message.id) != message)]


def _equal(value: Any, other: Any) -> bool:
    try:
        return bool(value == other)
    except (TypeError, ValueError):  # arrays, for example, have no single answer
        return False
