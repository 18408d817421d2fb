"""The loop as nodes for a graph of your own, and the node in which the agent answers with the context in view."""

import inspect
from collections.abc import Mapping
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel.protocol import PregelProtocol

from langgraph_learning.agent.error_capture import arecord_errors, record_errors
from langgraph_learning.agent.server_graphs import (
    ReviewPause,
    curator_graph,
    feedback_graph,
    learner_graph,
    review_graph,
)
from langgraph_learning.agent.steps import Loop, Node
from langgraph_learning.core.flow import adrive, drive
from langgraph_learning.core.langgraph_compat import make_node
from langgraph_learning.errors import Misconfigured
from langgraph_learning.recall.context_view import clean_errors, show_context
from langgraph_learning.recall.injection import add_context, use_context
from langgraph_learning.recall.model_calls import calls_graph


class Nodes:
    """The nodes that `machine.wrap` puts together, one by one for a graph of your own."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.recall = Node("recall", loop.recall, loop)
        """Finds the learnings that matter to the question."""
        self.build_context = Node("build_context", loop.build_context, loop)
        """Renders them as the context of the agent."""
        self.extract = Node("extract", loop.tolerate_errors(loop.extract), loop)
        """Extracts learnings from the new messages; add it with `defer=True`."""
        self.update = Node("update", loop.tolerate_errors(loop.update), loop)
        """Writes the learnings, all or nothing; add it with `defer=True`."""

    @property
    def review(self) -> ReviewPause:
        """Pauses until a person has decided on the proposals of this turn; add it after `update`."""
        return ReviewPause(review_graph(self._loop))

    @property
    def learner(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """Graph for a server that learns for the runs of an agent whose machine has learn="server"."""
        return learner_graph(self._loop)

    @property
    def feedback(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """Graph for a server that takes feedback on an answer, as `machine.feedback` does."""
        return feedback_graph(self._loop)

    @property
    def curator(self) -> CompiledStateGraph[Any, Any, Any, Any]:
        """Graph for a server that curates the caller's tenant, as `machine.curate` does."""
        return curator_graph(self._loop)

    def agent(self, agent: Any, *, inject: bool = True) -> Runnable[Any, Any]:
        """Return the node in which an agent answers with the context in view.

        agent: a function of the state (plain or async), a chat model, or any Runnable. For a compiled graph use
        `machine.wrap`.
        inject: False if the agent calls `learned_context()` itself.
        """
        runnable = _agent_runnable(agent)
        # A graph inside would save the view that it is given.
        show = show_context if inject and not calls_graph(agent) else lambda state, _: state
        loop = self._loop

        def answer(state: Mapping[str, Any], config: RunnableConfig) -> Any:
            run = loop.run()
            context = drive(loop.context_for_agent(state, run), run.store, config)
            with use_context(context), record_errors(loop, state, run), clean_errors(context):
                output = runnable.invoke(show(state, context), config)
            return add_context(context.strip(output), context, config)

        async def aanswer(state: Mapping[str, Any], config: RunnableConfig) -> Any:
            run = loop.run()
            context = await adrive(loop.context_for_agent(state, run), run.store, config)
            with use_context(context):
                async with arecord_errors(loop, state, run):
                    with clean_errors(context):
                        output = await runnable.ainvoke(show(state, context), config)
            return add_context(context.strip(output), context, config)

        return make_node(answer, aanswer, name="agent")


class MessagesNode(Runnable[Any, Any]):
    """A Runnable that answers messages, as a node whose answer becomes a message of the state."""

    def __init__(self, bound: Runnable[Any, Any]) -> None:
        self.bound = bound
        self.name = bound.get_name()

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:
        """Run it."""
        return _as_update(self.bound.invoke(self._input(input), config))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:
        """Run it asynchronously."""
        return _as_update(await self.bound.ainvoke(self._input(input), config))

    def _input(self, state: Any) -> Any:
        return state["messages"] if isinstance(self.bound, BaseLanguageModel) else state


def _agent_runnable(agent: Any) -> Runnable[Any, Any]:
    if isinstance(agent, PregelProtocol):
        raise Misconfigured("A compiled graph is not a node of the loop: use machine.wrap(graph) instead.")
    if isinstance(agent, Runnable):
        runnable: Runnable[Any, Any] = MessagesNode(agent)
    elif inspect.iscoroutinefunction(agent) or inspect.iscoroutinefunction(type(agent).__call__):
        runnable = MessagesNode(make_node(None, agent, name="agent"))
    elif callable(agent):
        runnable = MessagesNode(make_node(agent, name="agent"))
    else:
        raise Misconfigured(f"{type(agent).__name__} is no agent: give a compiled graph, a Runnable or a function.")
    return runnable


def _as_update(answer: Any) -> Any:
    if isinstance(answer, str):
        answer = AIMessage(answer)
    return {"messages": [answer]} if isinstance(answer, BaseMessage) else answer
