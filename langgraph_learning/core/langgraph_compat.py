"""LangGraph's private names that the package needs, each with the reason why no public name will do.

An upgrade of LangGraph that moves one of them breaks this module and no other; its test names what broke.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.channels.base import BaseChannel
from langgraph.config import get_config

_MOVED = (
    "This version of LangGraph has no {name} any more, which langgraph-learning needs. Install langgraph>=1.2.11,<2."
)

try:
    # langchain_core's RunnableLambda also serves sync and async code, but it adds a child run to every trace, and a
    # graph that it closes over is found twice by `get_subgraphs` and in Studio's drawing.
    from langgraph._internal._runnable import RunnableCallable
except ImportError as error:
    raise ImportError(_MOVED.format(name="langgraph._internal._runnable.RunnableCallable")) from error

try:
    # A node sees the channels of its own input schema only. There is no public function that reads another one.
    from langgraph._internal._constants import CONFIG_KEY_READ
except ImportError as error:
    raise ImportError(_MOVED.format(name="langgraph._internal._constants.CONFIG_KEY_READ")) from error


try:
    # A run does not tell its nodes which checkpointer it has.
    from langgraph._internal._constants import CONFIG_KEY_CHECKPOINTER
except ImportError as error:
    raise ImportError(_MOVED.format(name="langgraph._internal._constants.CONFIG_KEY_CHECKPOINTER")) from error


def make_node(
    function: Callable[..., Any] | None, async_function: Callable[..., Awaitable[Any]] | None = None, *, name: str
) -> Runnable[Any, Any]:
    """Return a node that serves sync and async graphs and adds nothing to the trace."""
    return RunnableCallable(function, async_function, name=name, trace=False)


def read_channel(config: RunnableConfig, channel: str) -> Any:
    """Return the value of a channel of the running graph, or None if it is empty or the graph has no such channel."""
    try:
        return config["configurable"][CONFIG_KEY_READ](channel)
    except KeyError:
        return None


def find_checkpointer(config: RunnableConfig) -> object:
    """Return the checkpointer of the run, None if it has none.

    Only for an outermost run: the messages of a nested one are under another name than that of the thread.
    """
    configurable = config["configurable"]
    is_nested = "|" in (configurable.get("checkpoint_ns") or "")
    return None if is_nested else configurable.get(CONFIG_KEY_CHECKPOINTER)


def read_surrounding_channels() -> dict[str, Any] | None:
    """Return the values of all channels of the graph around the one that starts here; None if there is none.

    A graph that starts inside a node finds the config of that node. Its own nodes do not: there it is replaced.
    """
    try:
        read = get_config()["configurable"].get(CONFIG_KEY_READ)
    except RuntimeError:  # nothing runs
        return None
    if read is None:
        return None
    # The reader is a partial function that holds the channels. A LangGraph that made another one would still read.
    names = next((list(part) for part in getattr(read, "args", ()) if _is_channels(part)), ["messages"])
    return dict(read(names))


def is_part_of_tool(config: RunnableConfig) -> bool:
    """Return True if the running graph is a part of another one that a tool of a prebuilt agent started."""
    nodes = [segment.partition(":")[0] for segment in config["configurable"].get("checkpoint_ns", "").split("|")]
    return "tools" in nodes[:-2]  # the last is the running node, the one before it the node that started its graph


def _is_channels(part: object) -> bool:
    return isinstance(part, Mapping) and all(isinstance(channel, BaseChannel) for channel in part.values())


def remove_streaming_handlers(config: RunnableConfig) -> RunnableConfig:
    """Return a config without the callback handlers that stream tokens and events to whoever called the graph.

    The tag "nostream" silences the graph's own streams, but not `astream_events`. The handlers' base class is private,
    so they are told by its name. Tracers and all other handlers stay.
    """
    callbacks = config.get("callbacks")
    if isinstance(callbacks, BaseCallbackManager):
        quiet: Any = callbacks.copy()
        for handler in [*quiet.handlers, *quiet.inheritable_handlers]:
            if _is_streaming(handler):
                quiet.remove_handler(handler)
    else:
        quiet = [handler for handler in callbacks or () if not _is_streaming(handler)]
    return {**config, "callbacks": quiet}


def _is_streaming(handler: object) -> bool:
    return any(base.__name__.endswith("StreamingCallbackHandler") for base in type(handler).__mro__)
