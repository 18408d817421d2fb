"""One node of an agent's own graph, with what the loop needs around it."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.errors import GraphBubbleUp, GraphRecursionError, ParentCommand
from langgraph.runtime import get_runtime
from langgraph.types import Command, RetryPolicy

from langgraph_learning.agent.error_capture import record_error
from langgraph_learning.agent.steps import Loop
from langgraph_learning.background.conversations import THREADS_CHANNEL
from langgraph_learning.core.flow import adrive, drive
from langgraph_learning.core.langgraph_compat import (
    hide_channels,
    is_outermost,
    read_channel,
    steps_left,
    write_channel,
)
from langgraph_learning.errors import Misconfigured
from langgraph_learning.recall.context import AgentContext
from langgraph_learning.recall.context_view import clean_errors, clean_output, show_context
from langgraph_learning.recall.injection import CHANNEL, read_context, use_context

TRAILING_STEPS = 2
"""The steps that are left for `extract` and `update` after the agent's last one."""


class AgentNode(Runnable[Any, Any]):
    """A node of the agent: it may see the context, saves none of it, and makes `extract` run when the turn is over."""

    def __init__(
        self,
        bound: Runnable[Any, Any],
        loop: Loop,
        *,
        extract_channel: str,
        loop_channels: Set[str],
        sees_context: bool,
        retry_policies: Sequence[RetryPolicy] = (),
        has_error_handler: bool = False,
        is_cached: bool = False,
    ) -> None:
        self.bound = bound
        self.name = bound.get_name()
        self._loop = loop
        self._extract_channel = extract_channel
        self._loop_channels = loop_channels
        self._sees_context = sees_context
        self._retry_policies = retry_policies
        self._has_error_handler = has_error_handler
        self._is_cached = is_cached
        tools = getattr(bound, "tools_by_name", None)
        if isinstance(tools, Mapping):  # a drawing lists them
            self.tools_by_name = tools

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the node."""
        config = _check_steps(config or {})
        run, state = self._loop.run(), _read_run_state(config)
        context = drive(self._loop.context_for_agent(state, run), run.store, config)
        self._keep_context(context, config)
        with use_context(context):
            try:
                with clean_errors(context):
                    own = hide_channels(config, self._loop_channels)
                    output = self.bound.invoke(self._input(input, context), own, **kwargs)
            except ParentCommand as handoff:
                self._finish(handoff.args[0], context, config)
                raise
            except GraphBubbleUp:  # an interrupt is no failure
                raise
            except Exception as error:
                if not self._will_be_handled(error):
                    drive(record_error(self._loop, state, run, error), run.store, config)
                raise
        return self._finish(output, context, config)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Run the node asynchronously."""
        config = _check_steps(config or {})
        run, state = self._loop.run(), _read_run_state(config)
        context = await adrive(self._loop.context_for_agent(state, run), run.store, config)
        self._keep_context(context, config)
        with use_context(context):
            try:
                with clean_errors(context):
                    own = hide_channels(config, self._loop_channels)
                    output = await self.bound.ainvoke(self._input(input, context), own, **kwargs)
            except ParentCommand as handoff:
                self._finish(handoff.args[0], context, config)
                raise
            except GraphBubbleUp:
                raise
            except Exception as error:
                if not self._will_be_handled(error):
                    await adrive(record_error(self._loop, state, run, error), run.store, config)
                raise
        return self._finish(output, context, config)

    def _input(self, input: Any, context: AgentContext) -> Any:
        return show_context(input, context) if self._sees_context else input

    def _keep_context(self, context: AgentContext, config: RunnableConfig) -> None:
        """Hand a context that was built anew to the nodes that follow: an interrupt loses it."""
        if (
            read_context(config) is None and not self._is_cached
        ):  # what a cached node writes is written again, in another run
            write_channel(config, CHANNEL, context)

    def _finish(self, output: Any, context: AgentContext, config: RunnableConfig) -> Any:
        """Return the output without the injected text, and make sure that the turn is learnt from when it is over."""
        _check_handoff(output, config)
        write_channel(config, self._extract_channel, None)
        return clean_output(output, context)

    def _will_be_handled(self, error: Exception) -> bool:
        """Return True if the node is tried again after this error, or if the agent handles it."""
        if self._has_error_handler:
            return True
        info = get_runtime().execution_info
        attempt = info.node_attempt if info else 1
        policy = next((policy for policy in self._retry_policies if _retries_on(policy, error)), None)
        return policy is not None and attempt < policy.max_attempts


def _check_steps(config: RunnableConfig) -> RunnableConfig:
    """Raise `GraphRecursionError` where the agent would take the steps that were added for the loop."""
    if steps_left(config) < TRAILING_STEPS:
        raise GraphRecursionError(
            "Recursion limit reached without hitting a stop condition. You can increase the limit by setting the "
            "`recursion_limit` config key."
        )
    return config


def _check_handoff(output: Any, config: RunnableConfig) -> None:
    """Raise `Misconfigured` for a handoff to a parent graph where there is none: it would vanish without a word."""
    commands = output if isinstance(output, list | tuple) else [output]
    if is_outermost(config) and any(isinstance(part, Command) and part.graph == Command.PARENT for part in commands):
        raise Misconfigured(
            "The wrapped agent hands over to a graph around it, and there is none: wrap the outermost graph, and give "
            "members of a swarm middleware=[machine.middleware()] instead."
        )


def _retries_on(policy: RetryPolicy, error: Exception) -> bool:
    retry_on = policy.retry_on
    if isinstance(retry_on, Sequence):
        return isinstance(error, tuple(retry_on))
    if isinstance(retry_on, type) and issubclass(retry_on, Exception):
        return isinstance(error, retry_on)
    return bool(retry_on(error))  # type: ignore[call-arg]


def _read_run_state(config: RunnableConfig) -> dict[str, Any]:
    """Return what the loop reads of the state. The node's own input may be a Send's argument, or an object."""
    keys = ("messages", "learning_session", "learning_speakers", "learning_times", THREADS_CHANNEL)
    return {key: value for key in keys if (value := read_channel(config, key)) is not None}
