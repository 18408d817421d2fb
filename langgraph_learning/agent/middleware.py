"""The loop for agents made by `create_agent`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ExtendedModelResponse, ModelRequest, ModelResponse
from langchain_core.messages import SystemMessage
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime
from langgraph.types import Command

from langgraph_learning.agent.error_capture import arecord_errors, record_errors
from langgraph_learning.agent.run_context import RunContext
from langgraph_learning.agent.state import LearningAgentState
from langgraph_learning.agent.steps import Loop
from langgraph_learning.core.flow import Flow, adrive, drive
from langgraph_learning.recall.context import AgentContext
from langgraph_learning.recall.injection import add_context, inject


class LearningMiddleware(AgentMiddleware[Any, Any, Any]):
    """Recalls before the agent answers, shows it to the model at every call, and learns afterwards."""

    state_schema = LearningAgentState

    def __init__(self, loop: Loop, tools: Sequence[BaseTool]) -> None:
        super().__init__()
        self.tools = tools
        self._loop = loop

    def before_agent(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any]:
        """Recall, and build what the model is shown."""
        run = self._loop.run()
        return drive(self._loop.prepare(state, run), run.store, run.config)

    async def abefore_agent(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any]:
        """Recall, and build what the model is shown."""
        run = self._loop.run()
        return await adrive(self._loop.prepare(state, run), run.store, run.config)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> Any:
        """Show the model what was learnt. The state does not change: nothing of it is saved."""
        run = self._loop.run()
        shown = drive(self._loop.context_for_agent(request.state, run), run.store, run.config)
        with record_errors(self._loop, request.state, run):
            return _handing_on(handler(_showing(request, shown)), shown, run)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> Any:
        """Show the model what was learnt. The state does not change: nothing of it is saved."""
        run = self._loop.run()
        shown = await adrive(self._loop.context_for_agent(request.state, run), run.store, run.config)
        async with arecord_errors(self._loop, request.state, run):
            return _handing_on(await handler(_showing(request, shown)), shown, run)

    def after_agent(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any]:
        """Learn from what was said. If that fails the user keeps the answer, and the next turn tries again."""
        run = self._loop.run()
        return drive(self._after(state, run), run.store, run.config)

    async def aafter_agent(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any]:
        """Learn from what was said. If that fails the user keeps the answer, and the next turn tries again."""
        run = self._loop.run()
        return await adrive(self._after(state, run), run.store, run.config)

    def _after(self, state: Any, run: RunContext) -> Flow[dict[str, Any]]:
        return (yield from self._loop.tolerate_errors(self._loop.learn)(state, run))


def _handing_on(response: ModelResponse[Any], shown: AgentContext, run: RunContext) -> Any:
    """Return a response with what the model was shown, after an interrupt: credit for the answer follows from it."""
    update = add_context({}, shown, run.config)
    return ExtendedModelResponse(response, Command(update=update)) if update else response


def _showing(request: ModelRequest[Any], shown: AgentContext) -> ModelRequest[Any]:
    given = [*([request.system_message] if request.system_message else []), *request.messages]
    seen = inject(given, shown)
    if seen and isinstance(seen[0], SystemMessage):
        return request.override(system_message=seen[0], messages=seen[1:])
    return request.override(messages=seen)
