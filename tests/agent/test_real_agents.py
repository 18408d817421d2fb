"""Agents as people build them, wrapped and unwrapped: eight turns with all that happens to a thread, message by message."""

import itertools
import operator
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple, TypedDict

import psycopg
import pytest
from deepagents import create_deep_agent
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, RemoveMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, StructuredTool, tool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode, create_react_agent, tools_condition
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Send, interrupt
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm
from people import ALEX, Extractions, edits, machine, observation, said, thread
from pydantic import BaseModel

from langgraph_learning.testing import ScriptedModel

SECRET = "Xylophone quartz 4711"
Agent = CompiledStateGraph[Any, Any, Any, Any]


@tool
def look(what: str) -> str:
    """Look something up."""
    return f"{what} found"


@tool
def confirm(what: str) -> str:
    """Ask a person."""
    return f"{what}: {interrupt('Sure?')}"


@tool
def drop(path: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> Command[Any]:
    """Delete a file of the state."""
    return Command(update={"files": {path: None}, "messages": [ToolMessage("dropped", tool_call_id=tool_call_id)]})


TOOLS = [look, confirm]


class Brain:
    """Answers for the model of an agent: it does what the first word of the question says."""

    def __init__(self) -> None:
        self.has_failed = False
        self.calls = itertools.count(1)

    def __call__(self, messages: list[BaseMessage]) -> Any:
        last, number = messages[-1], next(self.calls)
        if last.type != "human":
            return f"answer {number} after {last.type}"
        word = last.text.split()[0]
        if word == "fail" and not self.has_failed:
            self.has_failed = True
            raise ConnectionError("down")
        calls: dict[str, tuple[str, dict[str, Any]]] = {
            "look": ("look", {"what": str(number)}),
            "confirm": ("confirm", {"what": str(number)}),
            "write": ("write_file", {"file_path": "/a.md", "content": "text"}),
            "drop": ("drop", {"path": "/a.md"}),
            "delegate": ("task", {"description": "a xylophone task", "subagent_type": "helper"}),
            "bob": ("transfer_to_bob", {}),
            "al": ("transfer_to_al", {}),
        }
        if word not in calls:
            return f"answer {number} to {word}"
        name, arguments = calls[word]
        return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"call_{number}"}])


class Shape(NamedTuple):
    """An agent that people build, and what its users say."""

    build: Callable[[ScriptedModel], Agent]
    words: tuple[str, ...] = ("hello", "look", "confirm", "again", "fail", "look", "more", "bye")


def react(version: Any) -> Callable[[ScriptedModel], Agent]:
    return lambda model: create_react_agent(model, TOOLS, version=version)


def react_with_hooks(model: ScriptedModel) -> Agent:
    """Only the last messages reach the model, in a key of their own."""
    return create_react_agent(model, TOOLS, pre_model_hook=lambda state: {"llm_input_messages": state["messages"][-4:]})


def deep(model: ScriptedModel) -> Agent:
    helper = {"name": "helper", "description": "Helps.", "system_prompt": "Help.", "tools": [look]}
    return create_deep_agent(model=model, tools=[look, confirm, drop], subagents=[helper])  # type: ignore[list-item,no-any-return]


def supervisor(model: ScriptedModel) -> Agent:
    bob = create_react_agent(model, TOOLS, name="bob")
    return create_supervisor([bob], model=model, tools=TOOLS).compile()


def swarm(model: ScriptedModel) -> Agent:
    al = create_react_agent(model, [*TOOLS, create_handoff_tool(agent_name="bob")], name="al")
    bob = create_react_agent(model, [*TOOLS, create_handoff_tool(agent_name="al")], name="bob")
    return create_swarm([al, bob], default_active_agent="al").compile()


class Counted(MessagesState):
    steps: Annotated[int, operator.add]
    queries: Annotated[list[str], operator.add]
    thoughts: Annotated[list[AnyMessage], add_messages]


def with_tools(schema: type, model: ScriptedModel, update: Callable[[Any, AnyMessage], Any]) -> Agent:
    """The graph of LangGraph's templates: a model, its tools, and the way back."""
    builder = StateGraph(schema)
    builder.add_node("call_model", lambda state: update(state, model.invoke(read(state, "messages"))))
    builder.add_node("tools", ToolNode(TOOLS)).add_edge(START, "call_model").add_edge("tools", "call_model")
    return builder.add_conditional_edges("call_model", tools_condition).compile()


def counted(model: ScriptedModel) -> Agent:
    def update(state: Any, answer: AnyMessage) -> dict[str, Any]:
        thought = AIMessage(f"thought of {state['messages'][-1].text}")
        return {"messages": [answer], "steps": 1, "queries": [state["messages"][-1].text], "thoughts": [thought]}

    return with_tools(Counted, model, update)


def retrieval(model: ScriptedModel) -> Agent:
    """Queries are written by a model, searched side by side, and answered from."""

    class State(MessagesState):
        queries: Annotated[list[str], operator.add]
        documents: Annotated[list[str], operator.add]

    def write_query(state: State) -> dict[str, Any]:
        model.invoke(state["messages"])
        return {"queries": [f"query {len(state['queries'])} for {state['messages'][-1].text}"]}

    def search(query: str) -> dict[str, Any]:
        return {"documents": [f"document of {query}"]}

    def respond(state: State) -> dict[str, Any]:
        documents = ", ".join(state["documents"][-2:])
        return {"messages": [AIMessage(f"{model.invoke(state['messages']).text} from {documents}")]}

    builder = StateGraph(State).add_node(write_query).add_node("search", search).add_node(respond)
    builder.add_edge(START, "write_query").add_edge("search", "respond")
    builder.add_conditional_edges(
        "write_query", lambda state: [Send("search", query) for query in state["queries"][-2:]], ["search"]
    )
    return builder.compile()


class Added(TypedDict):
    messages: Annotated[list[AnyMessage], operator.add]


def added(model: ScriptedModel) -> Agent:
    return with_tools(Added, model, lambda state, answer: {"messages": [answer]})


@dataclass
class Data:
    messages: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)
    question: str = ""


class Model(BaseModel):
    messages: Annotated[list[AnyMessage], add_messages] = []
    question: str = ""


def state_object(schema: type) -> Callable[[ScriptedModel], Agent]:
    def update(state: Any, answer: AnyMessage) -> Any:
        return Command(update={"messages": [answer], "question": state.messages[-1].text})

    return lambda model: with_tools(schema, model, update)


async def look_remotely(what: str) -> tuple[str, None]:
    """Look something up."""
    return f"{what} found far away", None


def with_mcp_tools(model: ScriptedModel) -> Agent:
    """Tools as the MCP adapters make them: async only, with an artifact."""
    remote = StructuredTool.from_function(
        coroutine=look_remotely, name="look", description="Look.", response_format="content_and_artifact"
    )
    return create_react_agent(model, [remote, confirm])


DEEP_WORDS = ("write", "look", "confirm", "drop", "fail", "delegate", "write", "bye")
TEAM_WORDS = ("hello", "look", "confirm", "bob", "fail", "look", "al", "bye")
SHAPES = {
    "create_agent": Shape(lambda model: create_agent(model, TOOLS)),
    "react v1": Shape(react("v1")),
    "react v2": Shape(react("v2")),
    "react with hooks": Shape(react_with_hooks),
    "deepagents": Shape(deep, DEEP_WORDS),
    "supervisor": Shape(supervisor, TEAM_WORDS),
    "swarm": Shape(swarm, TEAM_WORDS),
    "counted": Shape(counted),
    "retrieval": Shape(retrieval, ("hello", "again", "so", "more", "fail", "and", "then", "bye")),
    "operator.add": Shape(added),
    "dataclass": Shape(state_object(Data)),
    "pydantic": Shape(state_object(Model)),
    "mcp": Shape(with_mcp_tools),
}


def read(state: Any, key: str) -> Any:
    return state[key] if isinstance(state, dict) else getattr(state, key)


def plain(value: Any) -> Any:
    """A value of a state without ids, which differ from run to run, and without the loop's keys."""
    if isinstance(value, BaseMessage):
        calls = [call["name"] for call in value.tool_calls] if isinstance(value, AIMessage) else []
        return value.type, value.text, value.name, calls
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        times = ("created_at", "modified_at")
        return {key: plain(part) for key, part in value.items() if not key.startswith("learning_") and key not in times}
    return value


class Talk:
    """Turns with one agent, and all that came back."""

    def __init__(self, agent: Agent, **options: Any) -> None:
        self.agent, self.options = agent, options
        self.states: list[Any] = []
        self.streamed: list[Any] = []
        self.modes = ["values", "updates", "messages", "tasks", "debug"]

    async def have(self, words: tuple[str, ...], *, removes: bool) -> None:
        """Eight turns: with a pause, a removed message, an error that is tried again, and a fork."""
        for number, word in enumerate(words):
            if number == 3 and removes:
                oldest = read(self._state().values, "messages")[0]
                self.agent.update_state(thread("a"), {"messages": [RemoveMessage(oldest.id)]})
            if number == 6:
                await self._turn(f"{word} xylophone?", self._fork())
            else:
                await self._turn(f"{word} xylophone?", thread("a"))

    async def _turn(self, text: str, config: Any) -> None:
        await self._run({"messages": [HumanMessage(text)]}, config)
        for _ in range(3):
            state = self._state()
            self.states.append((plain(state.values), state.next))
            if not state.next:
                return
            # A pause is answered, a failed node is tried again.
            pauses = [pause for task in state.tasks for pause in task.interrupts]
            await self._run(Command(resume="yes") if pauses else None, thread("a"))
        raise AssertionError(f"the turn {text!r} never ends")

    async def _run(self, given: Any, config: Any) -> None:
        try:
            if isinstance(self.agent.checkpointer, InMemorySaver):
                parts = self.agent.astream(given, config, stream_mode=self.modes, **self.options)
                self.streamed += [part async for part in parts]
            else:
                self.streamed += self.agent.stream(given, config, stream_mode=self.modes, **self.options)
        except ConnectionError as error:
            self.states.append(str(error))

    def _state(self) -> Any:
        return self.agent.get_state(thread("a"))

    def _fork(self) -> Any:
        """The thread as it was before the last turn began."""
        count = len([message for message in self.messages() if message.type == "human"])
        return next(
            state.config
            for state in self.agent.get_state_history(thread("a"))
            if not state.next and len([m for m in read(state.values, "messages") if m.type == "human"]) < count
        )

    def messages(self) -> list[AnyMessage]:
        return list(read(self._state().values, "messages"))


def saved_in(saver: BaseCheckpointSaver[Any]) -> str:
    """All that a checkpointer holds, in all of its tables."""
    if isinstance(saver, InMemorySaver):
        return repr((saver.storage, saver.writes, saver.blobs))
    assert isinstance(saver, PostgresSaver)
    with psycopg.connect(saver.conn.info.dsn) as connection:  # type: ignore[union-attr]  # the fixture has one
        tables = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
        return repr([connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables])  # type: ignore[call-overload]


def knowing(extractions: Extractions) -> Any:
    """A machine that knows something about xylophones."""
    store = InMemoryStore()
    machine([edits(observation(SECRET))], store=store).wrap(ScriptedModel(["ok"])).invoke(said(SECRET), context=ALEX)
    return machine(extractions, store=store)


@pytest.fixture(autouse=True)
def without_deprecations() -> Iterator[None]:
    """`create_react_agent` is deprecated, and used by many."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "memory") for name in SHAPES), *((name, "postgres") for name in ("react v2", "deepagents", "swarm"))],
)
async def test_a_wrapped_agent_does_what_it_did(name: str, kind: str, request: pytest.FixtureRequest):
    """Each turn is learnt from once, and what is injected reaches the model alone."""
    shape, brains = SHAPES[name], (Brain(), Brain())
    removes = name != "operator.add"
    models = [ScriptedModel(brain) for brain in brains]
    bare = Talk(shape.build(models[0]).copy({"checkpointer": InMemorySaver()}))
    await bare.have(shape.words, removes=removes)

    saver = InMemorySaver() if kind == "memory" else request.getfixturevalue("checkpointer")
    extractions = Extractions()
    wrapped = Talk(knowing(extractions).wrap(shape.build(models[1]), checkpointer=saver), context=ALEX)
    await wrapped.have(shape.words, removes=removes)

    assert bare.states == wrapped.states
    assert SECRET not in saved_in(saver)
    assert "learned_" not in saved_in(saver)
    assert SECRET not in str(wrapped.streamed)
    assert any(SECRET in str(shown) for shown in models[1].shown)
    learnt = [text for seen in extractions.seen for text in seen]
    asked = [f"{word} xylophone?" for word in shape.words]
    assert asked == [text for text in learnt if text in asked]
    answers = [text for text in learnt if text.startswith("answer")]
    assert len(answers) == len(set(answers))
    assert {message.text for message in wrapped.messages() if message.text.startswith("answer")} <= set(answers)


def test_the_state_of_a_deep_agent_is_its_own():
    """A file that was deleted stays deleted, whatever is learnt."""
    agent = knowing(Extractions()).wrap(deep(ScriptedModel(Brain())), checkpointer=InMemorySaver())
    files = []
    for word in ("write", "drop", "hello"):
        files.append(list(agent.invoke(said(f"{word} xylophone?"), thread("a"), context=ALEX).get("files", ())))

    assert [["/a.md"], [], []] == files
