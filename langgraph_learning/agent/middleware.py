"""The loop as a middleware, for agents made by `create_agent`."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any, Generic, TypeVar, overload

from langchain.agents.middleware import AgentMiddleware, ExtendedModelResponse, ModelRequest, ModelResponse
from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.messages import SystemMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime
from langgraph.types import Command

from langgraph_learning.agent.error_capture import arecord_errors, record_errors
from langgraph_learning.agent.run_context import RunContext
from langgraph_learning.agent.state import LearningAgentState
from langgraph_learning.agent.steps import Loop
from langgraph_learning.core.flow import Flow, adrive, drive
from langgraph_learning.errors import Misconfigured
from langgraph_learning.recall.context import AgentContext
from langgraph_learning.recall.injection import add_context, inject

T = TypeVar("T")
CALL_IT = (
    "An agent takes what a machine's methods return, neither the machine nor a method: "
    "create_agent(…, middleware=[machine.middleware()]), or tools=machine.tools()."
)


class MethodToCall(Generic[T]):
    """Method whose result an agent takes. Handed over itself, it raises `Misconfigured`, which says what to call.

    Of a machine in place of a middleware, `create_agent` looks at its `tools` first.
    """

    def __init__(self, method: Callable[[Any], T]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, machine: None, owner: type) -> Callable[[Any], T]: ...
    @overload
    def __get__(self, machine: object, owner: type) -> "_MethodOfMachine[T]": ...
    def __get__(self, machine: object | None, owner: type) -> Any:
        return self._method if machine is None else _MethodOfMachine(self._method, machine)


class _MethodOfMachine(Generic[T]):
    """A method of one machine: it can be called, and nothing else."""

    def __init__(self, method: Callable[[Any], T], machine: object) -> None:
        self._call = partial(method, machine)
        self.__doc__ = method.__doc__

    def __call__(self) -> T:
        return self._call()

    def __iter__(self) -> Iterator[Any]:
        raise Misconfigured(CALL_IT)

    @property
    def tools(self) -> Any:
        """Raise `Misconfigured`: this is what LangChain asks of a middleware first."""
        raise Misconfigured(CALL_IT)


class _MachineName(str):
    """Name of a middleware. LangChain compares the names, and says nothing helpful if two are equal."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        if isinstance(other, _MachineName) and other is not self:
            raise Misconfigured(
                "An agent learns with one machine: two would overwrite each other's context, and a message that one "
                "has read the other would never read. Give one machine the learning stores of both."
            )
        return str.__eq__(self, other)


class LearningMiddleware(AgentMiddleware[Any, Any, Any]):
    """Recalls before the agent answers, adds the context to every model call, and learns afterwards."""

    state_schema = LearningAgentState

    def __init__(self, loop: Loop, tools: Sequence[BaseTool]) -> None:
        super().__init__()
        self.tools = tools
        self._loop = loop
        self._name = _MachineName(type(self).__name__)

    @property
    def name(self) -> str:
        """Name of the middleware, and the beginning of the names of its nodes."""
        return self._name

    def before_agent(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any]:
        """Recall, and build the context."""
        run = self._loop.run()
        return drive(self._loop.recall_and_build(state, run), run.store, run.config)

    async def abefore_agent(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any]:
        """Recall, and build the context."""
        run = self._loop.run()
        return await adrive(self._loop.recall_and_build(state, run), run.store, run.config)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> Any:
        """Add the context to the model call. The state does not change: nothing of it is saved."""
        run = self._loop.run()
        context = drive(self._loop.context_for_agent(request.state, run), run.store, run.config)
        with record_errors(self._loop, request.state, run):
            return _add_context_to_response(handler(_inject_context(request, context)), context, run)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> Any:
        """Add the context to the model call. The state does not change: nothing of it is saved."""
        run = self._loop.run()
        context = await adrive(self._loop.context_for_agent(request.state, run), run.store, run.config)
        async with arecord_errors(self._loop, request.state, run):
            return _add_context_to_response(await handler(_inject_context(request, context)), context, run)

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Learn from the turn before a tool hands it over to another agent: `after_agent` does not run then."""
        result = handler(request)
        if _hands_over(result):
            self._learn_now(request.state)
        return result

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Learn from the turn before a tool hands it over to another agent: `after_agent` does not run then."""
        result = await handler(request)
        if _hands_over(result):
            await self._alearn_now(request.state)
        return result

    def after_agent(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any]:
        """Learn from the turn. If that fails the user keeps the answer, and the next turn tries again."""
        return self._learn_now(state)

    async def aafter_agent(self, state: Any, runtime: Runtime[Any]) -> dict[str, Any]:
        """Learn from the turn. If that fails the user keeps the answer, and the next turn tries again."""
        return await self._alearn_now(state)

    def _learn_now(self, state: Any) -> dict[str, Any]:
        run = self._loop.run()
        return drive(self._learn(state, run), run.store, run.config)

    async def _alearn_now(self, state: Any) -> dict[str, Any]:
        run = self._loop.run()
        return await adrive(self._learn(state, run), run.store, run.config)

    def _learn(self, state: Any, run: RunContext) -> Flow[dict[str, Any]]:
        return (yield from self._loop.tolerate_errors(self._loop.extract_and_update)(state, run))


def _hands_over(result: object) -> bool:
    return isinstance(result, Command) and result.graph == Command.PARENT


def _add_context_to_response(response: ModelResponse[Any], context: AgentContext, run: RunContext) -> Any:
    """Return a response without what was injected, and with the context where an interrupt lost it.

    Votes on the answer need the context.
    """
    response = context.strip(response)
    update = add_context({}, context, run.config)
    if not update:
        return response
    return ExtendedModelResponse(response, Command(update={**update, "learning_turn": run.start}))


def _inject_context(request: ModelRequest[Any], context: AgentContext) -> ModelRequest[Any]:
    messages = [*([request.system_message] if request.system_message else []), *request.messages]
    injected = inject(messages, context)
    if injected and isinstance(injected[0], SystemMessage):
        return request.override(system_message=injected[0], messages=injected[1:])
    return request.override(messages=injected)
