"""The loop as a middleware of `create_agent`."""

import inspect
from typing import Any

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from people import (
    ALEX,
    INDEX,
    NOTHING,
    SAM,
    echo,
    edit,
    edits,
    learner,
    machine,
    notes_what_users_say,
    observation,
    prompt,
    said,
    thread,
)

from langgraph_learning import LearningContext, LearningMachine, Scope, UserMemory, UserProfile
from langgraph_learning.agent.state import LastNonEmpty
from langgraph_learning.errors import Misconfigured
from langgraph_learning.testing import ScriptedModel


def test_a_machine_or_a_method_in_place_of_what_it_returns_is_refused():
    """Otherwise the errors are LangChain's, about methods that are not iterable."""
    learning = machine([])
    for wrong in (
        {"middleware": [learning]},
        {"middleware": learning},
        {"middleware": [learning.middleware]},
        {"middleware": learning.middleware},
        {"tools": learning},
        {"tools": learning.tools},
    ):
        with pytest.raises(Misconfigured, match=r"middleware=\[machine\.middleware\(\)\]"):
            create_agent(ScriptedModel([]), **wrong)


def test_a_machine_in_place_of_a_store_is_refused():
    """LangGraph takes anything for a store, and the agent would answer without memory for ever."""
    learning = machine([])
    agent = create_agent(ScriptedModel(["Hello."]), middleware=[learning.middleware()], store=learning)

    with pytest.raises(Misconfigured, match="not a LearningMachine"):
        agent.invoke(said("Hi"), context=ALEX)


def test_a_method_does_not_become_a_tool():
    """LangChain makes a tool of any function."""
    learning = machine([])
    with pytest.raises(ValueError, match="MethodOfMachine"):
        create_agent(ScriptedModel([]), [learning.tools])

    assert learning.tools() == []
    assert "search" in (inspect.getdoc(learning.tools) or "")
    assert not inspect.signature(learning.middleware).parameters


ROLE = edit("profile_field", field="role", value="CTO")


def agent_of(learning: LearningMachine, talk: ScriptedModel, store: BaseStore, **options: Any) -> Any:
    return create_agent(
        talk,
        [],
        middleware=[learning.middleware()],
        store=store,
        checkpointer=InMemorySaver(),
        context_schema=LearningContext,
        **options,
    )


async def ask(agent: Any, way: str, text: str, config: Any) -> Any:
    """Ask in one of the four ways that a graph has, and return the state afterwards."""
    if way == "invoke":
        return agent.invoke(said(text), config, context=ALEX)
    if way == "ainvoke":
        return await agent.ainvoke(said(text), config, context=ALEX)
    if way == "stream":
        return list(agent.stream(said(text), config, context=ALEX, stream_mode="values"))[-1]
    return [part async for part in agent.astream(said(text), config, context=ALEX, stream_mode="values")][-1]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_all_four_ways_learn_and_know(way: str):
    """Sync and async, at once or in a stream: the same."""
    store, talk = InMemoryStore(), echo()
    learning = machine([edits(observation("Likes tea")), NOTHING], store=store)
    agent = agent_of(learning, talk, store)
    await ask(agent, way, "I like tea", thread("a"))
    await ask(agent, way, "tea?", thread("b"))

    assert ["Likes tea"] == [learnt.text for learnt in learning.learnings(ALEX)]
    assert "Likes tea" in prompt(talk.shown[-1])


def test_what_rarely_changes_follows_the_agents_own_instructions():
    """The system message is byte for byte the same from turn to turn, so that prompt caches hold."""
    store, talk = InMemoryStore(), echo()
    learning = machine(
        [edits(ROLE, observation("Likes tea")), NOTHING, NOTHING], [UserMemory(), UserProfile()], store=store
    )
    agent = agent_of(learning, talk, store, system_prompt="Be brief.")
    for text in ("I am CTO and like tea", "tea?", "and now?"):
        agent.invoke(said(text), thread("a"), context=ALEX)
    systems = [shown[0].text for shown in talk.shown]

    assert systems[0] == "Be brief."
    assert systems[1].startswith("Be brief.\n\n<learned>")
    assert systems[1] == systems[2]
    assert "role: CTO" in systems[2]
    assert "Likes tea" not in systems[2]
    assert "Likes tea" in talk.shown[2][-1].text


def test_the_saved_conversation_is_what_was_said():
    """Nothing of what the model was shown is in the state."""
    store = InMemoryStore()
    agent = agent_of(machine(notes_what_users_say, store=store), echo(), store)
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    result = agent.invoke(said("tea?"), thread("a"), context=ALEX)

    assert ["I like tea", "You said: I like tea", "tea?", "You said: tea?"] == [m.text for m in result["messages"]]
    assert {"messages"} == set(result)


def test_tokens_stream_as_without_us():
    """The agent's tokens, in its own namespace, and none of the extraction's."""
    store = InMemoryStore()
    talk = ScriptedModel(lambda _: "one two three")
    agent = agent_of(machine([edits(observation("EXTRACTED"))], store=store), talk, store)
    parts = agent.stream(said("count"), thread("a"), context=ALEX, stream_mode="messages")

    assert ["one", " two", " three"] == [
        chunk.text for chunk, _ in parts if chunk.type == "AIMessageChunk" and chunk.text
    ]


def test_a_failed_extraction_costs_no_answer():
    """It is in the state and in the stream."""
    store = InMemoryStore()
    agent = agent_of(machine([ConnectionError("down")], store=store, on_error="report"), echo(), store)
    parts = list(agent.stream(said("Any news"), thread("a"), context=ALEX, stream_mode=["custom", "values"]))
    events = [
        part["learning"]["learning_failed"]
        for mode, part in parts
        if mode == "custom" and "learning_failed" in part["learning"]
    ]

    assert "You said: Any news" == parts[-1][1]["messages"][-1].text
    assert parts[-1][1]["learning_errors"] == events
    assert "ConnectionError: down" in events[0]


def test_the_stream_tells_what_was_recalled_and_learnt():
    """For a user interface that shows it: where it is stored, how relevant it was, and texts if they are wanted."""
    store = InMemoryStore(index=INDEX)
    learning = machine([edits(observation("Likes tea")), NOTHING], store=store, stream_texts=True)
    agent = agent_of(learning, echo(), store)
    first = list(agent.stream(said("I like tea"), thread("a"), context=ALEX, stream_mode="custom"))
    second = list(agent.stream(said("tea?"), thread("b"), context=ALEX, stream_mode="custom"))

    assert ["Likes tea"] == [learnt["text"] for event in first for learnt in event["learning"].get("learned", ())]
    assert ["Likes tea"] == [learnt["text"] for event in second for learnt in event["learning"].get("recalled", ())]
    assert ["learnings", "default", "user", "alex", "user_memory"] == second[0]["learning"]["recalled"][0]["namespace"]
    assert 1 == second[0]["learning"]["recalled"][0]["rank"]
    assert [1] == [event["learning"]["usage"]["calls"] for event in first if "usage" in event["learning"]]


def test_the_stream_tells_relevance_and_rank_and_what_was_left_out(postgres_store: BaseStore):
    """Where the store has scores; and why something that was found is not shown."""
    others = [observation(f"Has walked up hill number {number}, which is high") for number in range(30)]
    learning = machine([edits(observation("Likes tea"), *others), NOTHING], store=postgres_store)
    agent = agent_of(learning, echo(), postgres_store)
    list(agent.stream(said("I like tea and hills"), thread("a"), context=ALEX, stream_mode="custom"))
    (event, *_) = agent.stream(said("Who likes tea?"), thread("b"), context=ALEX, stream_mode="custom")
    (recalled,) = event["learning"]["recalled"]

    assert (1, True) == (recalled["rank"], 0.45 <= recalled["relevance"] <= 1)
    assert {"below the bar"} == {found["reason"] for found in event["learning"]["left_out"]}


def test_the_stream_has_no_texts_unless_they_are_wanted():
    """Keys say which learnings they are to whoever may read them."""
    store = InMemoryStore()
    learning = machine([edits(observation("Likes tea")), NOTHING], store=store)
    agent = agent_of(learning, echo(), store)
    events = list(agent.stream(said("I like tea"), thread("a"), context=ALEX, stream_mode="custom"))
    events += agent.stream(said("tea?"), thread("b"), context=ALEX, stream_mode="custom")
    (learned,) = [learned for event in events for learned in event["learning"].get("learned", ())]

    assert "Likes tea" not in str(events)
    assert [learned["key"]] == [learnt.key for learnt in learning.learnings(ALEX)]


def test_two_machines_may_serve_one_store():
    """What one agent learnt, another one with its own machine knows."""
    store, talk = InMemoryStore(), echo()
    agent_of(machine([edits(observation("Likes tea"))], store=store), echo(), store).invoke(
        said("x"), thread("a"), context=ALEX
    )
    agent_of(machine([NOTHING], store=store), talk, store).invoke(said("tea?"), thread("b"), context=ALEX)

    assert "Likes tea" in prompt(talk.shown[-1])


def test_a_thread_of_an_earlier_release_shows_no_empty_list():
    """There an empty list of errors was saved after every turn."""
    channel = LastNonEmpty(list[str], "learning_errors")

    assert not channel.from_checkpoint([]).is_available()
    assert ["x"] == channel.from_checkpoint(["x"]).get()
    assert not channel.from_checkpoint(channel.checkpoint()).is_available()


def test_errors_are_gone_from_the_state_after_the_next_turn():
    """The key is there as long as there is something to read under it."""
    store = InMemoryStore()
    agent = agent_of(machine([ConnectionError("down"), NOTHING], store=store, on_error="report"), echo(), store)
    agent.invoke(said("Any news"), thread("a"), context=ALEX)
    saved = agent.get_state(thread("a")).values
    agent.invoke(said("Any news"), thread("a"), context=ALEX)

    assert "ConnectionError" in saved["learning_errors"][0]
    assert "learning_errors" not in agent.get_state(thread("a")).values


async def test_an_answer_that_copies_the_injected_text_is_saved_without_it():
    """The part that goes with the question stands between the marks of the run, as with `wrap`."""
    for way in ("invoke", "ainvoke"):
        talk, saver = ScriptedModel(lambda messages: f"You said: {messages[-1].text}"), InMemorySaver()
        learning = machine([edits(observation("Xylophone quartz 4711"))], [UserMemory(scope=Scope.TEAM)])
        agent = create_agent(
            talk,
            [],
            middleware=[learning.middleware()],
            store=InMemoryStore(),
            checkpointer=saver,
            context_schema=LearningContext,
        )
        agent.invoke(said("Xylophone quartz 4711"), thread("a"), context=ALEX)
        learner(learning).answers = lambda _: NOTHING
        if way == "invoke":
            result = agent.invoke(said("xylophone?"), thread("b"), context=SAM)
        else:
            result = await agent.ainvoke(said("xylophone?"), thread("b"), context=SAM)

        assert "Xylophone quartz 4711" in prompt(talk.shown[-1])
        assert "You said: xylophone?" == result["messages"][-1].text
