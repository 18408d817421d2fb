"""What a proposal would change: the turns that it rests on, answered anew with and without it."""

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


class Replay(BaseModel):
    """One turn that a proposal rests on, answered anew."""

    model_config = ConfigDict(frozen=True)

    thread: str | None
    message: str
    """Id of the message that the proposal, or what it links to, rests on."""
    question: str | None = None
    """What the user had asked before the answer that the message is about."""
    before: str | None = None
    """The answer as things are."""
    after: str | None = None
    """The answer if the proposal counted."""
    failed: str | None = None
    """Why it could not be replayed."""


class MessageRef(NamedTuple):
    """A message in a thread."""

    thread: str | None
    message: str


class ConversationReader(Runnable[MessageRef, list[BaseMessage]]):
    """Finds the conversation in which something was said; empty where there is none, or none that may be read."""

    def __init__(self, threads: Threads) -> None:
        self._threads = threads

    def invoke(self, input: MessageRef, config: RunnableConfig | None = None, **_: Any) -> list[BaseMessage]:
        """Find it in the sync world."""
        try:
            states = self._threads.get_state_history(_thread_config(input.thread))
            return next((said for state in states if (said := _messages_if_present(input.message, state.values))), [])
        except (NotFoundError, PermissionDeniedError):
            return []

    async def ainvoke(self, input: MessageRef, config: RunnableConfig | None = None, **_: Any) -> list[BaseMessage]:
        """Find it in the async world."""
        try:
            async for state in self._threads.aget_state_history(_thread_config(input.thread)):
                if said := _messages_if_present(input.message, state.values):
                    return said
        except (NotFoundError, PermissionDeniedError):
            return []
        return []


@dataclass(frozen=True)
class ReplaySetup:
    """What turns are answered with."""

    graph: Any
    context: Any


class TrialAgent(Runnable[tuple[Trial, Sequence[BaseMessage]], dict[str, Any]]):
    """Lets the agent answer in a trial, in a thread of its own that is gone afterwards."""

    def __init__(self, stage: ReplaySetup) -> None:
        self._graph = stage.graph
        self._context = stage.context
        saver = getattr(stage.graph, "checkpointer", None)
        self._saver = saver if isinstance(saver, BaseCheckpointSaver) else None

    def invoke(self, input: tuple[Trial, Sequence[BaseMessage]], config: Any = None, **_: Any) -> dict[str, Any]:
        """Answer in the sync world."""
        (tried, messages), id_ = input, uuid4().hex
        try:
            with run_trial(tried):
                return self._graph.invoke({"messages": messages}, _thread_config(id_), context=self._context)  # type: ignore[no-any-return]
        finally:
            if self._saver:
                self._saver.delete_thread(id_)

    async def ainvoke(self, input: tuple[Trial, Sequence[BaseMessage]], config: Any = None, **_: Any) -> dict[str, Any]:
        """Answer in the async world."""
        (tried, messages), id_ = input, uuid4().hex
        try:
            with run_trial(tried):
                return await self._graph.ainvoke({"messages": messages}, _thread_config(id_), context=self._context)  # type: ignore[no-any-return]
        finally:
            if self._saver:
                await self._saver.adelete_thread(id_)


def replay_turns(
    stores: Sequence[LearningStore], caller: Caller, key: str, stage: ReplaySetup, threads: Threads | Any
) -> Flow[tuple[Replay, ...]]:
    """Answer every turn that a proposal rests on, with and without it. Raises `NotFound`."""
    if threads is stage.graph and not isinstance(getattr(threads, "checkpointer", None), BaseCheckpointSaver):
        raise Misconfigured(
            "There are no threads to replay: compile the graph with its checkpointer, or give threads=."
        )
    proposal = yield from decisions.read_proposal(stores, caller, key)
    found: dict[str, Replay] = {}
    for point in _message_refs(proposal):
        said = (yield from invoke(ConversationReader(threads), point)) if point.thread else []
        turn = turn_of(said, point.message)
        about = turn[-1].id if turn else None
        if (one := f"{point.thread}\0{about or point.message}") not in found:
            found[one] = yield from _answer_turn(point, turn, proposal, TrialAgent(stage))
    return tuple(found.values())


def turn_of(messages: Sequence[BaseMessage], message: str) -> list[BaseMessage]:
    """Return the conversation up to the question whose answer a message is about; empty if there is none.

    What a user says is about the answer before it, if there is one; what an agent or a tool says, about its own turn.
    """
    place = next((n for n, one in enumerate(messages) if one.id == message), None)
    if place is None:
        return []
    answers = [n for n, one in enumerate(messages[:place]) if isinstance(one, AIMessage)]
    end = answers[-1] if answers and isinstance(messages[place], HumanMessage) else place
    questions = [n for n, one in enumerate(messages[: end + 1]) if isinstance(one, HumanMessage)]
    return list(messages[: questions[-1] + 1]) if questions else []


def _answer_turn(point: MessageRef, turn: Sequence[BaseMessage], proposal: Learning, agent: TrialAgent) -> Flow[Replay]:
    replay = Replay(thread=point.thread, message=point.message)
    if not turn:
        return replay.model_copy(update={"failed": "its conversation is gone, or cannot be read"})
    answers = []
    for tried in (None, proposal):
        after = yield from invoke(agent, (Trial(tried), turn))
        if "__interrupt__" in after:
            return replay.model_copy(update={"failed": "the agent paused for a person"})
        answers.append(after["messages"][-1].text)
    before, after = answers
    return replay.model_copy(update={"question": turn[-1].text, "before": before, "after": after})


def _message_refs(proposal: Learning) -> list[MessageRef]:
    return list(dict.fromkeys(MessageRef(one.thread, id_) for one in proposal.sources for id_ in one.messages))


def _messages_if_present(message: str, values: Any) -> list[BaseMessage]:
    """Return the messages of a thread's state, if this one is among them."""
    said: list[BaseMessage] = [*convert_to_messages(values.get("messages") or [])] if isinstance(values, dict) else []
    return said if any(one.id == message for one in said) else []


def _thread_config(id_: str | None) -> RunnableConfig:
    return {"configurable": {"thread_id": id_}}
