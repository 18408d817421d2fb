"""`machine.replay`: the turns that a proposal rests on, answered again with and without the proposal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, convert_to_messages
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.pregel.protocol import PregelProtocol
from langgraph_sdk.errors import NotFoundError, PermissionDeniedError
from pydantic import BaseModel, ConfigDict

from langgraph_learning.core.flow import Flow, invoke
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import Caller
from langgraph_learning.errors import Misconfigured
from langgraph_learning.recall.trial import Trial, run_trial
from langgraph_learning.review import decisions
from langgraph_learning.stores.base import LearningStore

Threads = PregelProtocol[Any, Any, Any, Any]
"""A graph with the threads to read, local or remote."""


class Replay(BaseModel):
    """One turn that a proposal rests on, answered again."""

    model_config = ConfigDict(frozen=True)

    thread: str | None
    message: str
    """Id of the message that the proposal rests on."""
    question: str | None = None
    """The user's question of the turn that the message is about."""
    before: str | None = None
    """The answer without the proposal."""
    after: str | None = None
    """The answer as if the proposal were approved."""
    failed: str | None = None
    """The reason why the turn could not be replayed."""


class MessageRef(NamedTuple):
    """A message in a thread."""

    thread: str | None
    message: str


class ConversationReader(Runnable[MessageRef, list[BaseMessage]]):
    """Reads the newest state of a thread that contains a message; empty if there is none, or none may be read."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    def invoke(self, input: MessageRef, config: RunnableConfig | None = None, **_: Any) -> list[BaseMessage]:
        """Read the messages of the conversation."""
        try:
            for state in self._threads.get_state_history(_thread_config(input.thread)):
                if messages := _messages_with(input.message, state.values):
                    return messages
        except (NotFoundError, PermissionDeniedError):
            return []
        return []

    async def ainvoke(self, input: MessageRef, config: RunnableConfig | None = None, **_: Any) -> list[BaseMessage]:
        """Do as `invoke` in async code."""
        try:
            async for state in self._threads.aget_state_history(_thread_config(input.thread)):
                if messages := _messages_with(input.message, state.values):
                    return messages
        except (NotFoundError, PermissionDeniedError):
            return []
        return []


@dataclass(frozen=True)
class ReplaySetup:
    """The graph that answers the replayed turns, and its context."""

    graph: Any
    context: Any


class TrialAgent(Runnable[tuple[Trial, Sequence[BaseMessage]], dict[str, Any]]):
    """Answers messages in a trial, in a new thread that is deleted afterwards."""

    def __init__(self, setup: ReplaySetup) -> None:
        self._graph = setup.graph
        self._context = setup.context
        saver = getattr(setup.graph, "checkpointer", None)
        self._saver = saver if isinstance(saver, BaseCheckpointSaver) else None

    def invoke(self, input: tuple[Trial, Sequence[BaseMessage]], config: Any = None, **_: Any) -> dict[str, Any]:
        """Answer the messages; return the state of the graph."""
        (trial, messages), thread = input, uuid4().hex
        try:
            with run_trial(trial):
                return self._graph.invoke({"messages": messages}, _thread_config(thread), context=self._context)  # type: ignore[no-any-return]
        finally:
            if self._saver:
                self._saver.delete_thread(thread)

    async def ainvoke(self, input: tuple[Trial, Sequence[BaseMessage]], config: Any = None, **_: Any) -> dict[str, Any]:
        """Do as `invoke` in async code."""
        (trial, messages), thread = input, uuid4().hex
        try:
            with run_trial(trial):
                return await self._graph.ainvoke({"messages": messages}, _thread_config(thread), context=self._context)  # type: ignore[no-any-return]
        finally:
            if self._saver:
                await self._saver.adelete_thread(thread)


def replay_turns(
    stores: Sequence[LearningStore], caller: Caller, key: str, setup: ReplaySetup, threads: Threads | Any
) -> Flow[tuple[Replay, ...]]:
    """Answer each turn that a proposal rests on, with and without the proposal.

    Raises `NotFound` for an unknown proposal, `Misconfigured` if the graph has no checkpointer and so no threads.
    """
    if threads is setup.graph and not isinstance(getattr(threads, "checkpointer", None), BaseCheckpointSaver):
        raise Misconfigured(
            "There are no threads to replay: compile the graph with its checkpointer, or give threads=."
        )
    proposal = yield from decisions.read_proposal(stores, caller, key)
    replays: dict[tuple[str | None, str], Replay] = {}
    for ref in _message_refs(proposal):
        messages: list[BaseMessage] = []
        if ref.thread:
            messages = yield from invoke(ConversationReader(threads), ref)
        turn = turn_of(messages, ref.message)
        question_id = turn[-1].id if turn else None
        turn_key = ref.thread, question_id or ref.message
        if turn_key not in replays:
            replays[turn_key] = yield from _replay_turn(ref, turn, proposal, TrialAgent(setup))
    return tuple(replays.values())


def turn_of(messages: Sequence[BaseMessage], message: str) -> list[BaseMessage]:
    """Return the conversation up to the question of the turn that a message is about; empty if there is none.

    A user's message is about the answer before it, if there is one; an agent's or a tool's message about its own turn.
    """
    index = next((n for n, candidate in enumerate(messages) if candidate.id == message), None)
    if index is None:
        return []
    answers = [n for n, earlier in enumerate(messages[:index]) if isinstance(earlier, AIMessage)]
    end = answers[-1] if answers and isinstance(messages[index], HumanMessage) else index
    questions = [n for n, earlier in enumerate(messages[: end + 1]) if isinstance(earlier, HumanMessage)]
    return list(messages[: questions[-1] + 1]) if questions else []


def _replay_turn(ref: MessageRef, turn: Sequence[BaseMessage], proposal: Learning, agent: TrialAgent) -> Flow[Replay]:
    replay = Replay(thread=ref.thread, message=ref.message)
    if not turn:
        return replay.model_copy(update={"failed": "its conversation is gone, or cannot be read"})
    answers = []
    for trial in (Trial(None), Trial(proposal)):
        state = yield from invoke(agent, (trial, turn))
        if "__interrupt__" in state:
            return replay.model_copy(update={"failed": "the agent paused for a person"})
        answers.append(state["messages"][-1].text)
    before, after = answers
    return replay.model_copy(update={"question": turn[-1].text, "before": before, "after": after})


def _message_refs(proposal: Learning) -> list[MessageRef]:
    refs = [MessageRef(source.thread, message) for source in proposal.sources for message in source.messages]
    return list(dict.fromkeys(refs))


def _messages_with(message: str, values: Any) -> list[BaseMessage]:
    """Return the messages of a thread's state if they contain this one; else an empty list."""
    messages = convert_to_messages(values.get("messages") or []) if isinstance(values, dict) else []
    return list(messages) if any(candidate.id == message for candidate in messages) else []


def _thread_config(thread: str | None) -> RunnableConfig:
    return {"configurable": {"thread_id": thread}}
