"""The steps of the loop as nodes of a graph."""

import inspect
from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph._internal._runnable import (
    RunnableCallable,
)  # the only node that serves both worlds and hides no subgraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel.protocol import PregelProtocol

from langgraph_learning.agent.error_capture import arecord_errors, record_errors
from langgraph_learning.agent.server_graphs import ReviewPause, curator_graph, feedback_graph, review_graph
from langgraph_learning.agent.state import LearningState
from langgraph_learning.agent.steps import Loop, StepFunction
from langgraph_learning.core.flow import adrive, drive
from langgraph_learning.errors import Misconfigured
from langgraph_learning.recall.injection import add_context, current_context, inject, strip_injected, use_context


class Node(Runnable[Any, Any]):
    """One step of the loop, for `add_node`. It serves sync and async graphs and adds nothing to the trace."""

    def __init__(self, name: str, step: StepFunction, loop: Loop) -> None:
        self.name = name
        self._step = step
        self._loop = loop

    def __call__(self, state: LearningState) -> dict[str, Any]:
        """Carry out the step; its annotation tells LangGraph which channels the step needs."""
        return self.invoke(state)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:
        """Carry out the step in the sync world."""
        run = self._loop.run()
        return drive(self._step(input, run), run.store, run.config)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:
        """Carry out the step in the async world."""
        run = self._loop.run()
        return await adrive(self._step(input, run), run.store, run.config)


class Nodes:
    """The nodes that `wrap` puts together, one by one for a graph of one's own."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.recall = Node("recall", loop.recall, loop)
        """Finds what was learnt that matters to the question."""
        self.build_context = Node("build_context", loop.build_context, loop)
        """Makes of it what the agent is shown."""
        self.extract = Node("extract", loop.tolerate_errors(loop.extract), loop)
        """Reads what was said since the last time; to be added with `defer=True`."""
        self.update = Node("update", loop.tolerate_errors(loop.update), loop)
        """Writes what was learnt, all of it or nothing; to be added with `defer=True`."""

    @property
    def review(self) -> ReviewPause:
        """Pauses until a person has answered what this turn proposed; to be added after `update`."""
        return ReviewPause(review_graph(self._loop, Node))

    @property
    def feedback(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """Takes feedback on an answer, for a server: `machine.feedback` as a graph of its own."""
        return feedback_graph(self._loop, Node)

    @property
    def curator(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """Tidies up what was learnt, for a server: `machine.curate` as a graph of its own."""
        return curator_graph(self._loop, Node)

    def agent(self, agent: Any, *, inject: bool = True) -> Runnable[Any, Any]:
        """Return the node in which an agent answers, knowing what was learnt.

        agent: a function of the state (plain or async), a chat model, or any Runnable. To put a compiled graph around
        a compiled graph, use `machine.wrap`.
        inject: False if the agent calls `learned_context()` itself.
        """
        answering = _agent_runnable(agent, inject)
        loop = self._loop

        def answer(state: Mapping[str, Any], config: RunnableConfig) -> Any:
            run = loop.run()
            shown = drive(loop.context_for_agent(state, run), run.store, config)
            with use_context(shown), record_errors(loop, state, run):
                return add_context(answering.invoke(state, config), shown, config)

        async def aanswer(state: Mapping[str, Any], config: RunnableConfig) -> Any:
            run = loop.run()
            shown = await adrive(loop.context_for_agent(state, run), run.store, config)
            with use_context(shown):
                async with arecord_errors(loop, state, run):
                    return add_context(await answering.ainvoke(state, config), shown, config)

        return RunnableCallable(answer, aanswer, name="agent", trace=False)


class ContextView(Runnable[Any, Any]):
    """A node that sees what was learnt among its messages, and hands back none of it.

    The view is made of the node's input, never of a channel: so nothing of it can reach a checkpoint.
    """

    def __init__(self, bound: Runnable[Any, Any]) -> None:
        self.bound = bound
        self.name = bound.get_name()

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Call the node in the sync world."""
        given, seen = _messages_with_context(input)
        return strip_injected(self.bound.invoke(_with_messages(input, seen), config, **kwargs), given, seen)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Call the node in the async world."""
        given, seen = _messages_with_context(input)
        return strip_injected(await self.bound.ainvoke(_with_messages(input, seen), config, **kwargs), given, seen)


class MessagesNode(Runnable[Any, Any]):
    """A Runnable that answers messages, as a node: what it says becomes a message."""

    def __init__(self, bound: Runnable[Any, Any]) -> None:
        self.bound = bound
        self.name = bound.get_name()

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:
        """Ask it in the sync world."""
        return _as_update(self.bound.invoke(self._input(input), config))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:
        """Ask it in the async world."""
        return _as_update(await self.bound.ainvoke(self._input(input), config))

    def _input(self, state: Any) -> Any:
        return state["messages"] if isinstance(self.bound, BaseLanguageModel) else state


def _agent_runnable(agent: Any, inject: bool) -> Runnable[Any, Any]:
    if isinstance(agent, PregelProtocol):
        raise Misconfigured("A compiled graph is not a node of the loop: use machine.wrap(graph) instead.")
    if isinstance(agent, Runnable):
        runnable: Runnable[Any, Any] = MessagesNode(agent)
    elif inspect.iscoroutinefunction(agent) or inspect.iscoroutinefunction(type(agent).__call__):
        runnable = MessagesNode(RunnableCallable(None, agent, name="agent", trace=False))
    elif callable(agent):
        runnable = MessagesNode(RunnableCallable(agent, name="agent", trace=False))
    else:
        raise Misconfigured(f"{type(agent).__name__} is no agent: give a compiled graph, a Runnable or a function.")
    return ContextView(runnable) if inject else runnable


def _messages_with_context(input: Any) -> tuple[list[Any], list[Any]]:
    messages = input.get("messages") if isinstance(input, Mapping) else getattr(input, "messages", None)
    shown = current_context()
    if not isinstance(messages, list) or shown is None:
        return [], []
    # All of it goes with the question: the agent may have a system message that we do not see, and none wants two.
    return messages, inject(messages, shown.with_question())


def _with_messages(input: Any, seen: list[Any]) -> Any:
    if not seen:
        return input
    if isinstance(input, Mapping):
        return {**input, "messages": seen}
    copied = input.model_copy() if hasattr(input, "model_copy") else type(input)(**vars(input))
    copied.messages = seen
    return copied


def _as_update(answer: Any) -> Any:
    if isinstance(answer, str):
        answer = AIMessage(answer)
    return {"messages": [answer]} if isinstance(answer, BaseMessage) else answer
