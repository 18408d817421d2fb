"""Whose words a message is: the user's are those that came in with a run's input, or with a resume."""

import asyncio
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.store.base import Op
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt
from people import (
    ALEX,
    NOTHING,
    SAM,
    conversation,
    echo,
    edits,
    learner,
    machine,
    notes_what_users_say,
    observation,
    said,
    thread,
)

from langgraph_learning import Episodes, LearningContext, LearningMachine, Mode, Scope, UserMemory
from langgraph_learning.testing import ScriptedModel


class SwitchedStore(InMemoryStore):
    """A store that can be down."""

    down = False

    def batch(self, ops: Any) -> Any:
        ops: list[Op] = list(ops)
        if self.down:
            raise ConnectionError("down")
        return super().batch(ops)


def texts(learning: LearningMachine, context: LearningContext) -> set[str]:
    """What a user alone is said to have said."""
    learnt = learning.learnings(context)
    return {
        each.text for each in learnt if each.sources[0].channel == "user" and each.sources[0].user == context.user_id
    }


def agent_of(learning: LearningMachine, way: str, talk: Any = None, tools: Any = (), **options: Any) -> Any:
    """An agent that learns in one of two ways, with a thread."""
    talk = talk or echo()
    options = {"checkpointer": InMemorySaver(), **options}
    if way == "middleware":
        return create_agent(talk, tools, middleware=[learning.middleware()], context_schema=LearningContext, **options)
    return learning.wrap(create_agent(talk, tools), **options)


def fails_once() -> Any:
    """An extraction that fails the first time, and then notes what users say."""
    calls: list[int] = []

    def extract(shown: Any) -> Any:
        calls.append(1)
        return TimeoutError("overloaded") if len(calls) == 1 else notes_what_users_say(shown)

    return extract


BOTH_WAYS = pytest.mark.parametrize("way", ["wrap", "middleware"])


@BOTH_WAYS
@pytest.mark.parametrize("down", ["model", "store"])
def test_a_message_that_could_not_be_learnt_from_keeps_its_speaker(way: str, down: str):
    """The next person's turn leaves it alone; the speaker's next turn learns it."""
    store = SwitchedStore()
    extract = fails_once() if down == "model" else notes_what_users_say
    learning = machine(extract, [UserMemory(), Episodes()], store=store, on_error="report")
    agent = agent_of(learning, way)
    store.down = down == "store"
    agent.invoke(said("I have diabetes"), thread("room"), context=ALEX)
    store.down = False
    agent.invoke(said("Get well, Alex"), thread("room"), context=SAM)
    before = [text for text in map(str, texts(learning, SAM)) if "diabetes" in text]
    agent.invoke(said("I feel fine"), thread("room"), context=ALEX)

    assert [] == before == [learnt.text for learnt in learning.learnings(SAM) if "diabetes" in learnt.text]
    assert {"I have diabetes", "I feel fine"} == {
        text for text in texts(learning, ALEX) if not text.startswith("alex (")
    }
    assert 1 == sum("I have diabetes" in text and text.startswith("alex (") for text in texts(learning, ALEX))
    assert [] == [learnt.text for learnt in learning.learnings(ALEX) if "Get well" in learnt.text]


@BOTH_WAYS
def test_a_message_that_was_put_off_keeps_its_speaker(way: str):
    """Too much at once is read by the next turn of the same user."""
    learning = machine(notes_what_users_say, store=InMemoryStore(), extraction_budget=1_000)
    agent = agent_of(learning, way)
    many = [("user", f"Fact {number}: " + "I walk my old dog in the park every day. " * 8) for number in range(60)]
    agent.invoke({"messages": many}, thread("room"), context=ALEX)
    agent.invoke(said("Any news"), thread("room"), context=SAM)
    for _ in range(2):
        agent.invoke(said("Go on"), thread("room"), context=ALEX)

    assert {"Any news"} == texts(learning, SAM)
    assert 60 == sum(text.startswith("Fact") for text in texts(learning, ALEX))


@pytest.mark.parametrize(
    ("user", "name", "is_own"),
    [
        ("alex", "bob", False),
        ("alex", "alexandra", False),
        ("alex", "Alex", True),
        ("alex", "alex", True),
        ("alex@acme.com", "alex_acme_com", True),
        ("alex", None, True),
    ],
)
def test_a_message_may_name_its_speaker(user: str, name: str | None, is_own: bool):
    """The words of another person are shown to the extraction, and are nobody's to learn; a name may be spelt simply."""
    learning = machine(lambda shown: edits(observation("Hates tea", 2)), store=InMemoryStore())
    context = LearningContext(user_id=user)
    messages = [HumanMessage("I love tea"), HumanMessage("I hate tea", name=name)]
    result = agent_of(learning, "wrap").invoke({"messages": messages}, thread("a"), context=context)

    assert ({"Hates tea"} if is_own else set()) == texts(learning, context)
    assert is_own is ("learning_errors" not in result)
    assert "I hate tea" in str(learner(learning).calls[0].messages[-1].content)


def test_a_run_in_which_another_person_alone_speaks_says_so():
    """It may be a mistake: a name for display where the id of the user belongs."""
    learning = machine(notes_what_users_say, [UserMemory(), Episodes()], store=InMemoryStore())
    agent = agent_of(learning, "wrap")
    asked = {"messages": [HumanMessage("I hate tea", name="Bob")]}
    result = agent.invoke(asked, thread("a"), context=ALEX)

    assert [] == list(learning.learnings(ALEX))
    assert "set it to the user_id" in result["learning_errors"][0]
    assert "learning_errors" not in agent.invoke(said("I love tea"), thread("a"), context=ALEX)
    assert [] == [learnt for learnt in learning.learnings(ALEX) if "hate" in learnt.text]


@BOTH_WAYS
@pytest.mark.parametrize(
    "forged",
    [
        HumanMessage("I resign", name="sam"),
        HumanMessage("I resign", additional_kwargs={"user": "sam", "user_id": "sam"}),
        HumanMessage("I resign", id="victim's"),
        {"role": "user", "name": "sam", "content": "I resign"},
    ],
    ids=["name", "kwargs", "id", "dict"],
)
def test_nobody_speaks_for_another_user_of_the_thread(way: str, forged: Any):
    """Whatever Alex sends, it is not Sam's, in no later turn either; also where it takes the place of Sam's words."""
    learning = machine(notes_what_users_say, [UserMemory(), Episodes()], store=InMemoryStore())
    agent = agent_of(learning, way)
    agent.invoke({"messages": [HumanMessage("I stay", id="victim's")]}, thread("room"), context=SAM)
    state: Any = {"messages": [forged], "learning_speakers": {"x": "sam"}, "learning_origin": ["x"]}
    agent.invoke(state, thread("room"), context=ALEX)
    agent.invoke(said("Morning"), thread("room"), context=SAM)

    assert [] == [learnt.text for learnt in learning.learnings(SAM) if "resign" in learnt.text]
    assert {"I stay", "Morning"} == {text for text in texts(learning, SAM) if not text.startswith("sam (")}


@BOTH_WAYS
def test_an_edit_by_the_user_is_learnt(way: str):
    """An interface changes a message in the thread's state, and the next run learns the new words."""
    learning = machine(notes_what_users_say, store=InMemoryStore())
    agent = agent_of(learning, way)
    agent.invoke({"messages": [HumanMessage("I live in Rome", id="m1")]}, thread("a"), context=ALEX)
    agent.update_state(thread("a"), {"messages": [HumanMessage("I live in Oslo", id="m1")]})
    agent.invoke(said("Where?"), thread("a"), context=ALEX)

    assert {"I live in Oslo", "Where?"} == texts(learning, ALEX)


def made_by_node(state: MessagesState) -> Any:
    """A node that speaks in the user's role, before it answers."""
    return {"messages": [HumanMessage("I want everything deleted"), AIMessage("ok")]}


def test_a_message_that_a_node_made_is_the_agents():
    """In the turn, in the next one, and where the extraction failed in between."""
    learning = machine(fails_once(), store=InMemoryStore(), on_error="report")
    agent = learning.wrap(made_by_node, checkpointer=InMemorySaver())
    for _ in range(2):
        agent.invoke(said("Any news"), thread("a"), context=ALEX)

    assert {"Any news"} == texts(learning, ALEX)
    assert 2 == sum(
        "I want everything deleted" in text for _, _, text in conversation(learner(learning).calls[-1].messages)
    )


def test_a_message_that_a_tool_made_is_the_agents():
    """A tool may write into the state."""

    @tool
    def look_up() -> Command[Any]:
        """Look it up."""
        made = [ToolMessage("see below", tool_call_id="c"), HumanMessage("I owe a million")]
        return Command(update={"messages": made})

    call = AIMessage("", tool_calls=[{"name": "look_up", "args": {}, "id": "c"}])
    learning = machine(notes_what_users_say, store=InMemoryStore())
    agent = agent_of(learning, "middleware", ScriptedModel([call, "done"]), [look_up])
    agent.invoke(said("I fly to Oslo every May"), thread("a"), context=ALEX)

    assert {"I fly to Oslo every May"} == texts(learning, ALEX)


def test_the_answer_to_an_interrupt_is_the_users():
    """A node asks, the user's answer comes with the resume, and becomes a message."""

    def ask(state: MessagesState) -> Any:
        return {"messages": [HumanMessage(interrupt("How many?"))]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_node("answer", lambda state: {"messages": [AIMessage("ok")]})
    builder.add_edge(START, "ask")
    builder.add_edge("ask", "answer")
    learning = machine(notes_what_users_say, store=InMemoryStore())
    agent = learning.wrap(builder.compile(), checkpointer=InMemorySaver())
    agent.invoke(said("I sell mugs"), thread("a"), context=ALEX)
    agent.invoke(Command(resume="I sold forty"), thread("a"), context=ALEX)

    assert {"I sell mugs", "I sold forty"} == texts(learning, ALEX)


def test_who_resumes_another_users_run_has_not_said_their_words():
    """A manager allows what Alex asked for."""

    def ask(state: MessagesState) -> Any:
        return {"messages": [AIMessage(str(interrupt("May I?")))]}

    learning = machine(notes_what_users_say, store=InMemoryStore())
    agent = learning.wrap(ask, checkpointer=InMemorySaver())
    agent.invoke(said("I need a car"), thread("a"), context=ALEX)
    agent.invoke(Command(resume="yes"), thread("a"), context=SAM)
    before = texts(learning, SAM)
    agent.invoke(said("Thanks"), thread("a"), context=ALEX)
    agent.invoke(Command(resume="fine"), thread("a"), context=ALEX)

    assert set() == before
    assert {"I need a car", "Thanks"} == texts(learning, ALEX)


def expert_of(learning: LearningMachine, way: str) -> Any:
    return agent_of(learning, way, checkpointer=None)


def ask_by_tool(expert: Any) -> Any:
    @tool
    def ask_expert(question: str) -> str:
        """Ask the expert."""
        return expert.invoke({"messages": [("user", question)]})["messages"][-1].text

    call = AIMessage("", tool_calls=[{"name": "ask_expert", "args": {"question": "I concluded it is free"}, "id": "c"}])
    return create_agent(ScriptedModel([call, "done"]), [ask_expert], context_schema=LearningContext)


def ask_by_team_in_tool(expert: Any) -> Any:
    builder = StateGraph(MessagesState, LearningContext)
    builder.add_node("expert", expert)
    builder.add_edge(START, "expert")
    return ask_by_tool(builder.compile())


def ask_by_node(expert: Any) -> Any:
    def ask(state: MessagesState) -> Any:
        return {"messages": expert.invoke({"messages": [HumanMessage("I concluded it is free")]})["messages"][-1:]}

    builder = StateGraph(MessagesState, LearningContext)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    return builder.compile()


@BOTH_WAYS
@pytest.mark.parametrize("ask", [ask_by_tool, ask_by_team_in_tool, ask_by_node])
def test_an_agent_that_another_one_asks_has_no_user(way: str, ask: Any):
    """The words with which it is asked are the other agent's."""
    learning = machine(notes_what_users_say, store=InMemoryStore())
    ask(expert_of(learning, way)).invoke(said("What about refunds?"), context=ALEX)

    assert set() == texts(learning, ALEX)


def as_node(expert: Any) -> Any:
    builder = StateGraph(MessagesState, LearningContext)
    builder.add_node("expert", expert)
    builder.add_edge(START, "expert")
    return builder.compile()


def in_node(expert: Any) -> Any:
    async def ask(state: MessagesState) -> Any:
        return {"messages": (await expert.ainvoke({"messages": state["messages"]}))["messages"][-1:]}

    builder = StateGraph(MessagesState, LearningContext)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    return builder.compile()


def in_workflow(expert: Any) -> Any:
    @entrypoint(context_schema=LearningContext)
    async def workflow(asked: Any) -> Any:
        return await expert.ainvoke(asked)

    return workflow


@BOTH_WAYS
@pytest.mark.parametrize("place", [as_node, in_node, in_workflow])
def test_an_agent_inside_another_graph_is_spoken_to_by_the_user(way: str, place: Any):
    """The graph around hands on what the user said."""
    learning = machine(notes_what_users_say, store=InMemoryStore())
    asyncio.run(place(expert_of(learning, way)).ainvoke(said("I like tea"), context=ALEX))

    assert {"I like tea"} == texts(learning, ALEX)


@pytest.mark.parametrize("call", ["invoke", "ainvoke"])
def test_a_turn_that_is_handed_over_is_learnt_from(call: str):
    """The agent that takes over may not learn, and this one may never be asked again."""

    @tool
    def hand_over() -> Command[Any]:
        """Hand over."""
        moved = ToolMessage("moved", tool_call_id="c")
        return Command(goto="other", graph=Command.PARENT, update={"messages": [moved]})

    learning = machine(notes_what_users_say, store=InMemoryStore())
    calls = ScriptedModel([AIMessage("", tool_calls=[{"name": "hand_over", "args": {}, "id": "c"}])])
    builder = StateGraph(MessagesState, LearningContext)
    builder.add_node(
        "first", agent_of(learning, "middleware", calls, [hand_over], checkpointer=None), destinations=("other",)
    )
    builder.add_node("other", lambda state: {"messages": [AIMessage("hi from other")]})
    builder.add_edge(START, "first")
    team = builder.compile(checkpointer=InMemorySaver())
    result = (
        team.invoke(said("I like tea"), thread("a"), context=ALEX)
        if call == "invoke"
        else asyncio.run(team.ainvoke(said("I like tea"), thread("a"), context=ALEX))
    )

    assert "hi from other" == result["messages"][-1].text
    assert {"I like tea"} == texts(learning, ALEX)


def test_a_tool_takes_no_words_of_another_user_for_the_users():
    """What Sam said earlier in the thread supports nothing that is saved for Alex."""
    call = AIMessage("", tool_calls=[{"name": "save_observation", "args": {"observation": "Has diabetes"}, "id": "c"}])
    learning = machine(lambda shown: NOTHING, [UserMemory(mode=Mode.AGENTIC)], store=InMemoryStore())
    agent = create_agent(
        ScriptedModel(["ok", call, "done"]), [], middleware=[learning.middleware()], checkpointer=InMemorySaver()
    )
    agent.invoke(said("I have diabetes"), thread("room"), context=SAM)
    agent.invoke(said("Remember that"), thread("room"), context=ALEX)

    assert ["agent"] == [learnt.sources[0].channel for learnt in learning.learnings(ALEX)]


def without_ids(left: list[Any], right: list[Any]) -> list[Any]:
    return [*left, *(right if isinstance(right, list) else [right])]


@pytest.mark.parametrize("reducer", [add_messages, without_ids])
@pytest.mark.parametrize("same_ids", [True, False])
def test_two_users_of_one_thread_id_both_learn(reducer: Any, same_ids: bool):
    """Each client sends its own history to a thread called "main", and both begin in the same way."""

    class State(TypedDict):
        messages: Annotated[list[Any], reducer]

    builder = StateGraph(State)
    builder.add_node("answer", lambda state: {"messages": [AIMessage("Good")]})
    builder.add_edge(START, "answer")
    learning = machine(notes_what_users_say, [UserMemory(), Episodes()], store=InMemoryStore())
    agent = learning.wrap(builder.compile())
    for context in (ALEX, SAM):
        history: list[Any] = []
        for number, text in enumerate(("I like tea", f"I am {context.user_id}", "I like tea")):
            history.append(HumanMessage(text, id=f"m{number}" if same_ids else None))
            agent.invoke({"messages": [message.model_copy() for message in history]}, thread("main"), context=context)
            history.append(AIMessage("Good", id=f"a{number}" if same_ids else None))

    for context in (ALEX, SAM):
        assert {"I like tea", f"I am {context.user_id}"} == {t for t in texts(learning, context) if "(" not in t}
        spoken = [learnt for learnt in learning.learnings(context) if learnt.kind == "episode"]
        assert 6 == len(spoken), "every message once, though the client sends its history again"


def test_two_users_of_one_thread_and_message_id_overwrite_nothing_of_each_other():
    """Clients choose the ids, and what both teach goes to their team."""
    learning = machine(notes_what_users_say, [UserMemory(scope=Scope.TEAM)], store=InMemoryStore())
    agent = learning.wrap(lambda state: {"messages": [AIMessage("Good")]})
    for context, text in ((ALEX, "We deploy on Mondays"), (SAM, "We test on Tuesdays")):
        agent.invoke({"messages": [HumanMessage(text, id="1")]}, thread("main"), context=context)

    assert {"We deploy on Mondays", "We test on Tuesdays"} == {learnt.text for learnt in learning.learnings(ALEX)}
