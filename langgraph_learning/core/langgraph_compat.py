"""LangGraph's private names that the package needs, each with the reason why no public name will do.

An upgrade of LangGraph that moves one of them breaks this module and no other; its test names what broke.
"""

import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import partial
from typing import Any

from langchain_core.callbacks import BaseCallbackManager
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.channels.base import BaseChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.config import get_config

try:
    # The default limit of steps has a type of its own, which tells it from one that somebody set.
    from langgraph._internal._config import DEFAULT_RECURSION_LIMIT, ensure_config

    # A node sees the channels of its own input schema only, and what it returns goes to those of the state: no public
    # function reads or writes another one, or tells which Sends are pending, how many steps are left, and which saver a
    # run has.
    from langgraph._internal._constants import (
        CONFIG_KEY_CHECKPOINTER,
        CONFIG_KEY_READ,
        CONFIG_KEY_SCRATCHPAD,
        CONFIG_KEY_SEND,
        CONFIG_KEY_TASK_ID,
        TASKS,
    )

    # langchain_core's RunnableLambda also serves sync and async code, but it adds a child run to every trace, and a
    # graph that it closes over is found twice by `get_subgraphs` and in Studio's drawing.
    from langgraph._internal._runnable import RunnableCallable

    # A compiled graph's nodes are wrapped one by one, so that everything given at compile time comes along.
    from langgraph.pregel._read import PregelNode as PregelNode
except ImportError as error:
    missing = re.search(r"name '(\w+)' from '([\w.]+)'", str(error))
    name = f"{missing[2]}.{missing[1]}" if missing else error.name
    raise ImportError(
        f"This version of LangGraph has no {name} any more, which langgraph-learning needs. Install "
        "langgraph>=1.2.11,<2."
    ) from error

NAMESPACE_SEPARATOR = "|"
PRIVATE_ATTRIBUTES = ("_serde_allowlist", "_output_mapper", "_state_mapper")
"""Attributes of a compiled graph that `Pregel.copy` and `Pregel.__init__` do not know."""


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


def hide_channels(config: RunnableConfig, hidden: Set[str]) -> RunnableConfig:
    """Return a config in which whoever lists the channels of the graph does not find these. They can still be read.

    A `ToolNode` of some versions lists them to make the state that it gives to tools.
    """
    configurable = config["configurable"]
    read = configurable.get(CONFIG_KEY_READ)
    if not isinstance(read, partial):
        return config
    arguments = [_ListedChannels(part, hidden) if _is_channels(part) else part for part in read.args]
    return {
        **config,
        "configurable": {**configurable, CONFIG_KEY_READ: partial(read.func, *arguments, **read.keywords)},
    }


class _ListedChannels(dict[str, Any]):
    def __init__(self, channels: Mapping[str, Any], hidden: Set[str]) -> None:
        super().__init__(channels)
        self._hidden = hidden

    def __iter__(self) -> Iterator[str]:
        return (name for name in super().__iter__() if name not in self._hidden)


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


def read_available(config: RunnableConfig, channels: Sequence[str]) -> dict[str, Any]:
    """Return the values of those of these channels of the running graph that have one."""
    values: dict[str, Any] = config["configurable"][CONFIG_KEY_READ](list(channels))
    return values


def write_channel(config: RunnableConfig, channel: str, value: Any) -> None:
    """Write to a channel of the running graph, when the node that runs is done."""
    config["configurable"][CONFIG_KEY_SEND]([(channel, value)])


def has_pending_sends(config: RunnableConfig) -> bool:
    """Return True if Sends run beside the running node."""
    return TASKS in read_available(config, [TASKS])


def steps_left(config: RunnableConfig) -> int:
    """Return how many steps the run may take after the running one."""
    scratchpad = config["configurable"][CONFIG_KEY_SCRATCHPAD]
    return int(scratchpad.stop - scratchpad.step)


def shorten_steps(managed: type[Any], steps: int) -> type[Any]:
    """Return a managed value, such as RemainingSteps, that counts some steps less."""

    class Shortened(managed):  # type: ignore[misc]
        @staticmethod
        def get(scratchpad: Any) -> Any:
            return managed.get(replace(scratchpad, stop=scratchpad.stop - steps))

    return Shortened


def find_saver(config: RunnableConfig, checkpointer: Any) -> BaseCheckpointSaver[Any] | None:
    """Return the checkpointer of a run: the one that a parent graph lends, or the graph's own."""
    saver = (config.get("configurable") or {}).get(CONFIG_KEY_CHECKPOINTER) or checkpointer
    return saver if isinstance(saver, BaseCheckpointSaver) else None


def is_inside_task(config: RunnableConfig) -> bool:
    """Return True if a graph runs inside another graph's node."""
    return CONFIG_KEY_TASK_ID in (config.get("configurable") or {})


def is_outermost(config: RunnableConfig) -> bool:
    """Return True if the running node belongs to a graph without a parent."""
    return NAMESPACE_SEPARATOR not in config["configurable"].get("checkpoint_ns", "")


def default_recursion_limit() -> int:
    """Return how many steps a run may take where nobody set a limit."""
    return DEFAULT_RECURSION_LIMIT


def merge_run_config(*configs: RunnableConfig | None) -> RunnableConfig:
    """Return the config of a run: of the graph, of the context that it runs in, and of the call."""
    return ensure_config(*configs)


def without_tag(config: RunnableConfig, tag: str) -> RunnableConfig:
    """Return a config whose tag is not handed on to the runs inside."""
    tags = config.get("tags") or []
    if tag not in tags:
        return config
    changed: RunnableConfig = {**config, "tags": [other for other in tags if other != tag]}
    callbacks = config.get("callbacks")
    if isinstance(callbacks, BaseCallbackManager):
        callbacks = callbacks.copy()
        callbacks.remove_tags([tag])
        changed["callbacks"] = callbacks
    return changed


def trigger_of(node: str) -> str:
    """Return the channel that starts a node of a compiled graph."""
    return f"branch:to:{node}"


def private_attributes(graph: Any) -> dict[str, Any]:
    """Return the attributes of a compiled graph that a copy of it lacks."""
    return {name: vars(graph)[name] for name in PRIVATE_ATTRIBUTES if name in vars(graph)}


def drop_node_defaults(builder: Any) -> None:
    """Make a builder's defaults for nodes, such as a cache, not hold for nodes that are added to it from now on."""
    if hasattr(builder, "_node_defaults"):
        builder._node_defaults = type(builder._node_defaults)()


def is_server_process() -> bool:
    """Return True in a process of a LangGraph server, where its client needs no address."""
    return "langgraph_api.server" in sys.modules
