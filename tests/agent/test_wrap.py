"""Around any agent: what is the agent's passes through, and what is shown to it is saved nowhere."""

import itertools
import operator
from typing import Annotated, Any, TypedDict

import psycopg
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware, SummarizationMiddleware, TodoListMiddleware
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt
from people import (
    ALEX,
    NOTHING,
    echo,
    edits,
    five_stores,
    machine,
    notes_what_users_say,
    observation,
    prompt,
    said,
    thread,
)

from langgraph_learning import LearningContext, learned_context
from langgraph_learning.errors import Misconfigured
from langgraph_learning.testing import HashEmbeddings, ScriptedModel

SECRET = "Xylophone quartz 4711"


def knowing(store: BaseStore, answers: Any = None, **options: Any) -> Any:
    """A machine that knows something already, and learns no more."""
    learning = machine([edits(observation(SECRET))], store=store)
    learning.wrap(echo()).invoke(said(SECRET), context=ALEX)
    return machine(answers or (lambda _: NOTHING), store=store, **options)


def call(name: str, **args: Any) -> AIMessage:
    """A model's wish to call a tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call_{name}"}])


def knows(model: ScriptedModel) -> bool:
    """Whether the last call of a model was shown what was learnt."""
    return SECRET in prompt(model.shown[-1])


@pytest.fixture
def memory() -> InMemoryStore:
    """Give a store for tests in which the database makes no difference."""
    return InMemoryStore(index={"dims": 256, "embed": HashEmbeddings(256), "fields": ["text"]})


def agents(talk: ScriptedModel) -> dict[str, Any]:
    """One agent of each kind, all answering with the same model."""

    class Own(TypedDict):
        messages: Annotated[list[AnyMessage], add_messages]
        count: int

    async def async_function(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await talk.ainvoke(state["messages"])]}

    def own_graph(state: Own) -> dict[str, Any]:
        return {"messages": [talk.invoke(state["messages"])], "count": state.get("count", 0) + 1}

    placeholder = ChatPromptTemplate.from_messages([("system", "Be brief."), MessagesPlaceholder("messages")])
    return {
        "create_agent": create_agent(talk, [], system_prompt="Be brief."),
        "graph": StateGraph(Own).add_node("talk", own_graph).add_edge(START, "talk").compile(),
        "model": talk,
        "chain": placeholder | talk,
        "function": lambda state: talk.invoke(state["messages"]),
        "async function": async_function,
    }


@pytest.mark.parametrize("kind", ["create_agent", "graph", "model", "chain", "function"])
@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_any_agent_knows_what_was_learnt(store: BaseStore, kind: str, way: str):
    """A compiled graph, a model, a chain, a function: each is shown it without a line of its own."""
    talk = echo()
    agent = knowing(store).wrap(agents(talk)[kind], checkpointer=InMemorySaver())
    if way == "invoke":
        answer = agent.invoke(said("xylophone?"), thread("a"), context=ALEX)
    else:
        *_, answer = agent.stream(said("xylophone?"), thread("a"), context=ALEX, stream_mode="values")

    assert knows(talk)
    assert "You said: xylophone?" == answer["messages"][-1].text
    assert 2 == len(answer["messages"])


@pytest.mark.parametrize("kind", ["create_agent", "model", "chain", "async function"])
@pytest.mark.parametrize("way", ["invoke", "stream"])
async def test_any_agent_knows_what_was_learnt_in_async_too(memory: InMemoryStore, kind: str, way: str):
    """The same lines serve both worlds."""
    talk = echo()
    agent = knowing(memory).wrap(agents(talk)[kind], checkpointer=InMemorySaver())
    if way == "invoke":
        answer = await agent.ainvoke(said("xylophone?"), thread("a"), context=ALEX)
    else:
        answer = [
            part async for part in agent.astream(said("xylophone?"), thread("a"), context=ALEX, stream_mode="values")
        ][-1]

    assert knows(talk)
    assert 2 == len(answer["messages"])


def test_the_prompt_gets_no_message_more(memory: InMemoryStore):
    """What was learnt goes with the question: no second system message, and the history before it stays cached."""
    talk = echo()
    knowing(memory).wrap(create_agent(talk, [], system_prompt="Be brief.")).invoke(said("xylophone?"), context=ALEX)
    system, question = talk.shown[-1]

    assert "Be brief." == system.text
    assert question.text.startswith("xylophone?")
    assert SECRET in question.text


def every_row(url: str) -> str:
    """All that a checkpointer has saved, as one text."""
    with psycopg.connect(url) as connection:
        rows = [
            row
            for table in ("checkpoints", "checkpoint_blobs", "checkpoint_writes")
            for row in connection.execute(f"SELECT * FROM {table}")
        ]
    return "".join(
        bytes(part).decode("utf-8", "replace") if isinstance(part, bytes) else str(part) for row in rows for part in row
    )


@tool
def send(text: str) -> str:
    """Send a text."""
    return f"sent {text}"


PAUSING = HumanInTheLoopMiddleware(interrupt_on={"send": True})
APPROVE = Command(resume={"decisions": [{"type": "approve"}]})


@pytest.mark.parametrize("form", ["wrap", "middleware"])
def test_what_was_injected_is_in_no_checkpoint_even_after_a_pause(
    store: BaseStore, database_url: str, checkpointer: PostgresSaver, form: str
):
    """In no namespace of any table: not before, not after a person approved a tool call. The model knew it each time."""
    talk = ScriptedModel([call("send", text="hi"), "Done."])
    learning = knowing(store)
    if form == "wrap":
        agent = learning.wrap(create_agent(talk, [send], middleware=[PAUSING]), checkpointer=checkpointer)
    else:
        agent = create_agent(
            talk,
            [send],
            middleware=[PAUSING, learning.middleware()],
            store=store,
            checkpointer=checkpointer,
            context_schema=LearningContext,
        )
    paused = agent.invoke(said("xylophone? send hi"), thread("a"), context=ALEX)
    assert "__interrupt__" in paused
    result = agent.invoke(APPROVE, thread("a"), context=ALEX)

    assert ["human", "ai", "tool", "ai"] == [message.type for message in result["messages"]]
    assert [True, True] == [SECRET in prompt(shown) for shown in talk.shown]
    assert "xylophone? send hi" in every_row(database_url)
    assert SECRET not in every_row(database_url)
    assert "langgraph-learning" not in [message.id for message in result["messages"]]


def test_a_pause_in_a_hand_built_graph_resumes_where_it_was(memory: InMemoryStore):
    """A node of one's own may interrupt; what was learnt is recalled again for the model after it."""
    talk = echo()

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [HumanMessage(f"xylophone? {interrupt('Sure?')}")]}

    inner = (
        StateGraph(MessagesState)
        .add_node("ask", ask)
        .add_node("talk", lambda s: {"messages": [talk.invoke(s["messages"])]})
    )
    inner.add_edge(START, "ask").add_edge("ask", "talk")
    agent = knowing(memory).wrap(inner.compile(), checkpointer=InMemorySaver())
    agent.invoke(said("xylophone"), thread("a"), context=ALEX)
    agent.invoke(Command(resume="yes"), thread("a"), context=ALEX)

    assert knows(talk)


def test_a_resume_without_the_user_is_refused(memory: InMemoryStore):
    """The run's context is not saved with the thread, so it is asked for again rather than guessed."""
    from langgraph_learning.errors import MissingOwner

    agent = knowing(memory).wrap(
        create_agent(ScriptedModel([call("send", text="hi")]), [send], middleware=[PAUSING]),
        checkpointer=InMemorySaver(),
    )
    agent.invoke(said("send hi"), thread("a"), context=ALEX)

    with pytest.raises(MissingOwner):
        agent.invoke(APPROVE, thread("a"))


class Files(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    files: Annotated[dict[str, str], operator.or_]
    log: Annotated[list[str], operator.add]


def test_state_with_reducers_is_neither_lost_nor_doubled(memory: InMemoryStore):
    """Lists that add up and files that merge are the same as without us."""

    def work(state: Files) -> dict[str, Any]:
        turn = len(state["messages"])
        return {"messages": [AIMessage("ok")], "files": {f"{turn}.txt": "x"}, "log": [f"turn {turn}"]}

    inner = StateGraph(Files).add_node("work", work).add_edge(START, "work")
    alone = inner.compile(checkpointer=InMemorySaver())
    ours = knowing(memory).wrap(inner.compile(), checkpointer=InMemorySaver())
    for _ in range(3):
        expected = alone.invoke({**said("go"), "log": ["asked"]}, thread("a"))
        result = ours.invoke({**said("go"), "log": ["asked"]}, thread("a"), context=ALEX)

    assert (expected["files"], expected["log"]) == (result["files"], result["log"])
    assert [m.text for m in expected["messages"]] == [m.text for m in result["messages"]]


def test_private_state_like_todos_outlives_the_turn(memory: InMemoryStore):
    """What an agent's own middleware keeps for itself is there on the next turn."""
    todos = [{"content": "pack", "status": "pending"}]
    talk = ScriptedModel([call("write_todos", todos=todos), "Noted.", "Still noted."])
    agent = knowing(memory).wrap(
        create_agent(talk, [], middleware=[TodoListMiddleware()]), checkpointer=InMemorySaver()
    )
    agent.invoke(said("plan"), thread("a"), context=ALEX)
    agent.invoke(said("and now?"), thread("a"), context=ALEX)

    assert todos == agent.get_state(thread("a")).values["todos"]


def test_removed_messages_stay_removed(memory: InMemoryStore):
    """An agent that trims its history finds it trimmed."""

    def forgetful(state: MessagesState) -> dict[str, Any]:
        return {"messages": [*(RemoveMessage(m.id) for m in state["messages"][:-1]), AIMessage("ok")]}

    inner = StateGraph(MessagesState).add_node("talk", forgetful).add_edge(START, "talk").compile()
    agent = knowing(memory).wrap(inner, checkpointer=InMemorySaver())
    for text in ("one", "two", "three"):
        result = agent.invoke(said(text), thread("a"), context=ALEX)

    assert ["three", "ok"] == [message.text for message in result["messages"]]


def summaries(wrapped: bool, memory: InMemoryStore) -> tuple[int, list[str]]:
    """How often a long conversation was summarised, and what is left of it."""
    summariser, talk = ScriptedModel(lambda _: "A summary."), ScriptedModel(lambda _: "word " * 40)
    middleware = SummarizationMiddleware(summariser, trigger=("messages", 8), keep=("messages", 4))
    agent = create_agent(talk, [], middleware=[middleware])
    learning = knowing(memory, notes_what_users_say)
    graph = (
        learning.wrap(agent, checkpointer=InMemorySaver()) if wrapped else agent.copy({"checkpointer": InMemorySaver()})
    )
    for turn in range(10):
        result = graph.invoke(said(f"Turn {turn}"), thread("a"), **({"context": ALEX} if wrapped else {}))
    if wrapped:
        learnt = {learning.text for learning in learning.learnings(ALEX)}
        assert {SECRET, *(f"Turn {turn}" for turn in range(10))} == learnt
    return len(summariser.calls), [message.text for message in result["messages"]]


def test_summaries_are_as_many_as_without_us(memory: InMemoryStore):
    """Ten turns are summarised as often, to the same messages; every turn was learnt from, no summary was."""
    assert summaries(False, memory) == summaries(True, memory)


def test_tokens_stream_through(memory: InMemoryStore):
    """With `subgraphs=True` the caller sees the agent's tokens, and none of the extraction's."""
    talk = ScriptedModel(["one two three"])
    agent = knowing(memory, [edits(observation("EXTRACTED"))]).wrap(
        create_agent(talk, []), checkpointer=InMemorySaver()
    )
    parts = list(agent.stream(said("count"), thread("a"), context=ALEX, stream_mode="messages", subgraphs=True))
    texts = [chunk.text for _, (chunk, _) in parts if chunk.type == "AIMessageChunk" and chunk.text]

    assert ["one", " two", " three"] == texts


def test_threads_of_the_unwrapped_agent_go_on(memory: InMemoryStore):
    """A conversation that began without us continues with us."""
    saver = InMemorySaver()
    agent = create_agent(echo(), [])
    agent.copy({"checkpointer": saver}).invoke(said("before"), thread("a"))
    result = knowing(memory).wrap(agent, checkpointer=saver).invoke(said("after"), thread("a"), context=ALEX)

    assert ["before", "You said: before", "after", "You said: after"] == [
        message.text for message in result["messages"]
    ]


def test_an_agent_keeps_its_own_context(memory: InMemoryStore):
    """`context_from` makes ours of theirs, and their nodes are handed theirs."""
    from dataclasses import dataclass

    from langgraph.runtime import Runtime

    @dataclass
    class Customer:
        email: str

    talk, met = echo(), []

    def node(state: MessagesState, runtime: Runtime[Customer]) -> dict[str, Any]:
        met.append(runtime.context)
        return {"messages": [talk.invoke(state["messages"])]}

    inner = StateGraph(MessagesState, Customer).add_node("talk", node).add_edge(START, "talk").compile()
    learning = knowing(
        memory, context_from=lambda customer: LearningContext(user_id=customer.email, team_ids=("acme",))
    )
    learning.wrap(inner).invoke(said("xylophone?"), context=Customer("alex"))

    assert [Customer("alex")] == met
    assert knows(talk)


def test_a_node_may_place_what_was_learnt_itself(memory: InMemoryStore):
    """With `inject=False`, `learned_context()` gives the text, once."""
    talk = echo()

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [talk.invoke([SystemMessage(f"Rules.\n{learned_context()}"), *state["messages"]])]}

    inner = StateGraph(MessagesState).add_node("talk", node).add_edge(START, "talk").compile()
    knowing(memory).wrap(inner, inject=False).invoke(said("xylophone?"), context=ALEX)

    assert 1 == prompt(talk.shown[-1]).count(SECRET)


def test_the_five_nodes_can_be_added_by_hand(store: BaseStore):
    """`wrap` is sugar: the same nodes in a graph of one's own do the same, and bring their channels along."""
    talk, learning = echo(), machine([edits(observation(SECRET)), NOTHING], store=store)
    nodes = learning.nodes
    builder = StateGraph(MessagesState, LearningContext)
    builder.add_node("recall", nodes.recall)
    builder.add_node("build_context", nodes.build_context)
    builder.add_node("agent", nodes.agent(lambda state: talk.invoke(state["messages"])))
    builder.add_node("extract", nodes.extract, defer=True)
    builder.add_node("update", nodes.update, defer=True)
    order = [START, "recall", "build_context", "agent", "extract", "update"]
    for start, end in itertools.pairwise(order):
        builder.add_edge(start, end)
    graph = builder.compile(store=store, checkpointer=InMemorySaver())
    graph.invoke(said(SECRET), thread("a"), context=ALEX)
    graph.invoke(said("xylophone?"), thread("b"), context=ALEX)

    assert knows(talk)


def test_a_plain_node_beside_ours_can_ask_for_what_was_learnt(store: BaseStore):
    """`learned_context()` works in any node after `build_context`."""
    talk = echo()
    nodes = knowing(store).nodes

    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [talk.invoke([SystemMessage(learned_context()), *state["messages"]])]}

    builder = StateGraph(MessagesState, LearningContext)
    builder.add_sequence([("recall", nodes.recall), ("build_context", nodes.build_context), ("agent", node)])
    builder.add_edge(START, "recall").compile(store=store).invoke(said("xylophone?"), context=ALEX)

    assert knows(talk)


def test_asking_where_nothing_was_built_says_what_to_do():
    """Outside a learning graph there is no context, and an empty text would hide that."""
    with pytest.raises(Misconfigured, match="build_context"):
        learned_context()


def test_studio_sees_the_loop_around_the_agents_own_nodes(memory: InMemoryStore):
    """The loop is drawn as it is, and a graph inside the agent can be opened."""
    inner = StateGraph(MessagesState).add_node("agent", create_agent(echo(), [])).add_edge(START, "agent").compile()
    agent = knowing(memory).wrap(inner)

    for drawing in (agent.get_graph(), knowing(memory).wrap(lambda state: state).get_graph()):
        assert ["__start__", "recall", "build_context", "agent", "extract", "update", "__end__"] == list(drawing.nodes)
        assert set(itertools.pairwise(drawing.nodes)) == {(edge.source, edge.target) for edge in drawing.edges}
    assert ["agent"] == [name for name, _ in agent.get_subgraphs()]
    assert "agent:model" in agent.get_graph(xray=True).nodes
    assert "description" in agent.get_context_jsonschema()["properties"]["user_id"]


def test_the_agents_input_and_output_stay_the_agents(memory: InMemoryStore):
    """What a caller sends and gets is what it was, and one key more: what went wrong while learning."""
    agent = create_agent(echo(), [], middleware=[TodoListMiddleware()])
    ours = knowing(memory).wrap(agent)

    assert set(agent.get_input_jsonschema()["properties"]) == set(ours.get_input_jsonschema()["properties"])
    assert {"learning_errors"} == set(ours.get_output_jsonschema()["properties"]) - set(
        agent.get_output_jsonschema()["properties"]
    )


def test_what_cannot_be_wrapped_says_so(memory: InMemoryStore):
    """Each refusal names the way that works."""
    learning = knowing(memory)
    no_messages = StateGraph(TypedDict("S", {"x": int})).add_node("n", lambda s: s).add_edge(START, "n")
    has_context = StateGraph(MessagesState, dict).add_node("n", lambda s: s).add_edge(START, "n").compile()

    for agent, hint in [
        (no_messages.compile(), "messages"),
        (no_messages, "compile it"),
        (has_context, "context_from"),
        (create_agent(echo(), [], middleware=[learning.middleware()]), "not both"),
        ("not an agent", "Runnable or a function"),
    ]:
        with pytest.raises(Misconfigured, match=hint):
            learning.wrap(agent)


def test_a_handoff_to_a_parent_says_so(memory: InMemoryStore):
    """It would vanish without a word."""

    def hand_over(state: MessagesState) -> Command[Any]:
        return Command(goto="elsewhere", graph=Command.PARENT)

    inner = StateGraph(MessagesState).add_node("n", hand_over).add_edge(START, "n").compile()

    with pytest.raises(Misconfigured, match="outermost"):
        knowing(memory).wrap(inner).invoke(said("Any news"), context=ALEX)


def test_nested_agents_see_what_was_learnt_and_save_none_of_it(
    store: BaseStore, database_url: str, checkpointer: PostgresSaver
):
    """A graph inside the agent is an agent too."""
    talk = echo()
    deep = (
        StateGraph(MessagesState)
        .add_node("talk", lambda s: {"messages": [talk.invoke(s["messages"])]})
        .add_edge(START, "talk")
    )
    middle = StateGraph(MessagesState).add_node("deep", deep.compile()).add_edge(START, "deep")
    knowing(store).wrap(middle.compile(), checkpointer=checkpointer).invoke(
        said("xylophone?"), thread("a"), context=ALEX
    )

    assert knows(talk)
    assert SECRET not in every_row(database_url)
    assert "xylophone?" in every_row(database_url)


def test_five_stores_around_an_agent_with_tools(store: BaseStore):
    """A tool loop shows the same context at each of its model calls: recall ran once."""
    talk = ScriptedModel([call("send", text="a"), call("send", text="b"), "Sent."])
    agent = knowing(store, stores=five_stores()).wrap(create_agent(talk, [send]), checkpointer=InMemorySaver())
    agent.invoke(said("xylophone? send a, then b"), thread("a"), context=ALEX)

    assert [True] * 3 == [SECRET in prompt(shown) for shown in talk.shown]
    assert 1 == len({shown[0].text for shown in talk.shown})


def test_a_runnable_that_returns_a_string_answers(memory: InMemoryStore):
    """A chain that ends in a parser is an agent too."""
    result = (
        knowing(memory)
        .wrap(RunnableLambda(lambda state: f"{len(state['messages'])} messages"))
        .invoke(said("Any news"), context=ALEX)
    )

    assert "messages" in result["messages"][-1].text
