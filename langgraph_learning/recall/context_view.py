"""Nodes that see the context among their messages and return none of it."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import BaseModel

from langgraph_learning.recall.context import AgentContext
from langgraph_learning.recall.injection import current_context, inject

MESSAGE_KEYS = ("messages", "llm_input_messages")
"""Keys of a node's input with the messages for a model; the second is what hooks of `create_react_agent` make."""


class ContextView(Runnable[Any, Any]):
    """A node that sees the context of the run among its messages, and returns none of it.

    The view is made from the node's input, never from a channel, so nothing of it can reach a checkpoint.
    """

    def __init__(self, bound: Runnable[Any, Any]) -> None:
        self.bound = bound
        self.name = bound.get_name()

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the node."""
        context = current_context()
        with clean_errors(context):
            return clean_output(self.bound.invoke(show_context(input, context), config, **kwargs), context)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the node asynchronously."""
        context = current_context()
        with clean_errors(context):
            return clean_output(await self.bound.ainvoke(show_context(input, context), config, **kwargs), context)


def show_context(input: Any, context: AgentContext | None) -> Any:
    """Return a node's input with the context among its messages; as it is where there is neither."""
    if context is None:
        return input
    # All of it goes with the question: the agent may add a system message later, and no provider wants two.
    context, injected = context.with_question(), {}
    for key in MESSAGE_KEYS:
        messages = input.get(key) if isinstance(input, Mapping) else getattr(input, key, None)
        if isinstance(messages, list | tuple):
            injected[key] = type(messages)(inject(messages, context))
    return _replace(input, injected) if injected else input


def clean_output(output: Any, context: AgentContext | None) -> Any:
    """Return a node's output without the injected text."""
    return context.strip(output) if context else output


@contextmanager
def clean_errors(context: AgentContext | None) -> Iterator[None]:
    """Remove the injected text from errors, interrupts and handoffs of the block: they are saved, too."""
    try:
        yield
    except Exception as error:
        error.args = clean_output(error.args, context)
        raise


def _replace(input: Any, messages: Mapping[str, Any]) -> Any:
    if isinstance(input, BaseModel):
        return input.model_copy(update=dict(messages))
    if isinstance(input, Mapping):
        return {**input, **messages}
    changed = copy.copy(input)
    for key, value in messages.items():
        if is_dataclass(input):
            object.__setattr__(changed, key, value)  # frozen ones too
        else:
            setattr(changed, key, value)
    return changed
