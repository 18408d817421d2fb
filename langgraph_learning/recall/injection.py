"""How the context reaches the model: added to the messages of a model call, and removed from what is saved."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config

from langgraph_learning.core.langgraph_compat import read_channel
from langgraph_learning.errors import Misconfigured
from langgraph_learning.recall.context import AgentContext

CHANNEL = "learning_context"

MESSAGE_ID = "langgraph-learning"
"""The reserved id of the system message that carries what was learnt to a model."""
_current_context: ContextVar[AgentContext | None] = ContextVar("langgraph_learning_shown", default=None)


def current_context() -> AgentContext | None:
    """Return what the agent that is answering is shown, inside `showing`."""
    return _current_context.get()


@contextmanager
def use_context(shown: AgentContext) -> Iterator[None]:
    """Let `learned_context()` return this inside the block."""
    token = _current_context.set(shown)
    try:
        yield
    finally:
        _current_context.reset(token)


def inject(messages: Sequence[AnyMessage], shown: AgentContext) -> list[AnyMessage]:
    """Return the messages as the model is to see them. The given messages are not changed."""
    seen = list(messages)
    place = _last_question(seen)
    system = shown.stable if place is not None else str(shown)
    if shown.relevant and place is not None:
        seen[place] = append_text(seen[place], shown.relevant)
    if not system:
        return seen
    if seen and isinstance(seen[0], SystemMessage):
        return [append_text(seen[0], system), *seen[1:]]
    return [SystemMessage(system, id=MESSAGE_ID), *seen]


def append_text(message: AnyMessage, text: str) -> AnyMessage:
    """Return a copy of a message with a text after its content."""
    if isinstance(message.content, str):
        return message.model_copy(update={"content": f"{message.content}\n\n{text}" if message.content else text})
    block: dict[str, Any] = {"type": "text", "text": text}
    return message.model_copy(update={"content": [*message.content, block]})


def strip_injected(output: Any, given: Sequence[AnyMessage], seen: Sequence[AnyMessage]) -> Any:
    """Return a node's output with the messages as they were before `inject`, wherever the node hands them back."""
    added = {id(message) for message in seen} - {id(message) for message in given}
    originals = {message.id: message for message in given if message.id}
    changed = {message.id for message in seen if id(message) in added}

    def restored(value: Any) -> Any:
        if isinstance(value, list | tuple):
            kept = [restored(part) for part in value if getattr(part, "id", None) != MESSAGE_ID]
            return kept if isinstance(value, list) else type(value)(kept) if type(value) is tuple else value
        if isinstance(value, dict):
            return {key: restored(part) for key, part in value.items()}
        if isinstance(value, HumanMessage | SystemMessage) and value.id in changed and value in seen:
            return originals.get(value.id or "", value)
        return value

    return restored(output)


def _last_question(messages: Sequence[AnyMessage]) -> int | None:
    places = [place for place, message in enumerate(messages) if isinstance(message, HumanMessage)]
    return places[-1] if places else None


def learned_context() -> str:
    """Return what was learnt that matters to this run, to be put into a prompt; empty if there is nothing.

    To be called in the node that calls the model. Raises `Misconfigured` where no context was built in this run:
    outside a graph that learns, or after an interrupt in a node that was not added as `machine.nodes.agent(…)`.
    """
    if (shown := _current_context.get()) is not None:
        return str(shown)
    try:
        found = read_context(get_config())
    except RuntimeError:  # not in a graph at all
        found = None
    if found is None:
        raise Misconfigured(
            "No learned context was built in this run. Put machine.nodes.recall and machine.nodes.build_context before "
            "this node, and add it as machine.nodes.agent(your_node) if the graph can be interrupted."
        )
    return str(found)


def read_context(config: RunnableConfig) -> AgentContext | None:
    """Return the context that was built in this run, or None: in another graph, or after an interrupt."""
    context = read_channel(config, CHANNEL)
    # A client can write anything into the state, but no object of ours.
    return context if isinstance(context, AgentContext) else None


def add_context(update: Any, shown: AgentContext, config: RunnableConfig) -> Any:
    """Return an agent's update with what it was shown, where no channel holds it: credit for the answer needs it."""
    if read_context(config) is not None or not isinstance(update, Mapping):
        return update
    return {**update, CHANNEL: shown}
