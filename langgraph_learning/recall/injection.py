"""Injection of the context into the messages of a model call, its removal from what is saved, and `learned_context`."""

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
from langgraph_learning.recall.stripping import MESSAGE_ID

CHANNEL = "learning_context"
"""Channel of the graph's state with the `AgentContext`; it is not checkpointed."""
_current_context: ContextVar[AgentContext | None] = ContextVar("langgraph_learning_shown", default=None)


def current_context() -> AgentContext | None:
    """Return the context of the running agent; None outside `use_context`."""
    return _current_context.get()


@contextmanager
def use_context(context: AgentContext) -> Iterator[None]:
    """Make `learned_context()` return this context inside the block."""
    token = _current_context.set(context)
    try:
        yield
    finally:
        _current_context.reset(token)


def inject(messages: Sequence[AnyMessage], context: AgentContext) -> list[AnyMessage]:
    """Return messages with the context added: stable text to the system message, the rest to the user's last message.

    Without a message of the user, all of it goes into the system message. The given messages are not changed. The part
    that depends on the question stands between marks. The stable part does not: marks differ from run to run, and
    prompt caches hold only what stays the same.
    """
    injected = list(messages)
    question = _last_question_index(injected)
    relevant = context.marked(context.relevant)
    system_text = context.stable
    if question is None:
        system_text = "\n\n".join(part for part in (context.stable, relevant) if part)
    elif relevant:
        injected[question] = append_text(injected[question], relevant)
    if not system_text:
        return injected
    if injected and isinstance(injected[0], SystemMessage):
        return [append_text(injected[0], system_text), *injected[1:]]
    return [SystemMessage(system_text, id=MESSAGE_ID), *injected]


def append_text(message: AnyMessage, text: str) -> AnyMessage:
    """Return a copy of a message with a text appended to its content."""
    if isinstance(message.content, str):
        return message.model_copy(update={"content": f"{message.content}\n\n{text}" if message.content else text})
    block: dict[str, Any] = {"type": "text", "text": text}
    return message.model_copy(update={"content": [*message.content, block]})


def learned_context() -> str:
    """Return the learnings that matter to this run as text for a prompt; an empty text if there are none.

    Call it in the node that calls the model. Raises `Misconfigured` if no context was built in this run: outside a
    graph that learns, or after an interrupt in a node that was not added as `machine.nodes.agent(…)`.
    """
    context = _current_context.get()
    if context is None:
        try:
            context = read_context(get_config())
        except RuntimeError:  # not in a graph
            context = None
    if context is None:
        raise Misconfigured(
            "No learned context was built in this run. Put machine.nodes.recall and machine.nodes.build_context before "
            "this node, and add it as machine.nodes.agent(your_node) if the graph can be interrupted."
        )
    return context.marked(str(context))


def read_context(config: RunnableConfig) -> AgentContext | None:
    """Return the context that was built in this run; None in another graph or after an interrupt."""
    context = read_channel(config, CHANNEL)
    # A client of the server can write JSON into the channel, but no AgentContext.
    return context if isinstance(context, AgentContext) else None


def add_context(update: Any, context: AgentContext, config: RunnableConfig) -> Any:
    """Add the context to an agent's state update if its channel is empty, so that votes on the answer find it."""
    if read_context(config) is not None or not isinstance(update, Mapping):
        return update
    return {**update, CHANNEL: context}


def _last_question_index(messages: Sequence[AnyMessage]) -> int | None:
    indexes = [index for index, message in enumerate(messages) if isinstance(message, HumanMessage)]
    return indexes[-1] if indexes else None
