"""Extraction through a real client and a real wire: what is sent is what providers take."""

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from openai_server import OpenAIServer
from people import ALEX, all_stores, edit, edits, observation, said, thread

from langgraph_learning import EntityMemory, LearnedKnowledge, LearningMachine, Mode, UserMemory, UserProfile
from langgraph_learning.errors import Misconfigured

LEARNT = edits(
    edit("profile_field", field="name", value="Alex"),
    edit("profile_field", field="role", value="CTO"),
    observation("Wants short answers"),
    edit("session", summary="Planning", goal="A timeline", plan=[{"text": "Phase 1", "status": "open"}], progress=None),
    edit("entity", entity="Acme", type="company", aliases=["Acme Inc"]),
    edit("fact", entity="Acme", fact="Moves from AWS to GCP", as_of=None),
    edit("event", entity="Acme", event="Pricing changes", when="next quarter"),
    edit("relationship", entity="Alex", relation="works for", target="Acme"),
    edit("insight", category="pattern", title="Phases", insight="Three phases work", when_to_apply=None),
    edit("decision", decision="Move to GCP", reasoning="Cost", alternatives=["AWS"], context=None, confidence="high"),
    edit("feedback", behaviour="Asked for the phases", worked=True, instead=None, situation=None),
)


def client(server: OpenAIServer) -> ChatOpenAI:
    return ChatOpenAI(base_url=server.url, api_key="none", model="any", max_retries=0)  # type: ignore[arg-type]


def learn_one(server: OpenAIServer, method: Any, way: str = "invoke") -> LearningMachine:
    store = InMemoryStore()
    machine = LearningMachine(client(server), all_stores(), store=store, extraction=method, on_error="raise")
    talk = create_agent(client(server), [])
    agent = machine.wrap(talk, checkpointer=InMemorySaver())
    agent.invoke(said("I am Alex, CTO at Acme"), thread("a"), context=ALEX)
    return machine


@pytest.mark.parametrize("method", ["auto", "json_schema", "tools"])
def test_every_kind_of_edit_goes_over_the_wire(method: Any):
    """The schema is one that a strict server accepts, whichever way it is sent."""
    with OpenAIServer(["Hello Alex.", LEARNT]) as server:
        machine = learn_one(server, method)
    sent = server.bodies[-1]

    assert 10 == len(machine.learnings(ALEX)) == len({learnt.text for learnt in machine.learnings(ALEX)})
    assert ("response_format" in sent) is (method != "tools")
    assert ("tools" in sent) is (method == "tools")
    assert (
        sent["tools"][0]["function"]["strict"]
        if method == "tools"
        else sent["response_format"]["json_schema"]["strict"]
    )


def test_auto_falls_back_to_tools_and_remembers():
    """A server without JSON schemas answers 400, once."""
    with OpenAIServer(["Hi.", LEARNT, "Hi.", LEARNT], json_schema=False) as server:
        store = InMemoryStore()
        machine = LearningMachine(client(server), all_stores(), store=store, on_error="raise")
        agent = machine.wrap(create_agent(client(server), []), checkpointer=InMemorySaver())
        for name in "ab":
            agent.invoke(said("I am Alex"), thread(name), context=ALEX)

    extractions = [body for body in server.bodies if {"tools", "response_format"} & set(body)]
    assert [True, False, False] == ["response_format" in body for body in extractions]
    assert "Alex works for Acme" in {learnt.text for learnt in machine.learnings(ALEX)}


async def test_async_goes_over_the_wire_too():
    """The async client sends the same."""
    with OpenAIServer(["Hello.", LEARNT]) as server:
        machine = LearningMachine(client(server), all_stores(), store=InMemoryStore(), on_error="raise")
        await machine.wrap(create_agent(client(server), []), checkpointer=InMemorySaver()).ainvoke(
            said("I am Alex"), thread("a"), context=ALEX
        )

    assert 10 == len(await machine.alearnings(ALEX))


def test_one_bad_edit_loses_no_other():
    """The server sends a field of the wrong type: it is sent back, the rest is kept."""
    bad = edit("fact", entity="Acme", fact="x", as_of=None) | {"message": "first"}
    with OpenAIServer(["Hello.", edits(observation("Wants short answers"), bad), edits()]) as server:
        machine = learn_one(server, "json_schema")

    assert ["Wants short answers"] == [learnt.text for learnt in machine.learnings(ALEX)]
    assert "there is no message 'first'" in str(server.bodies[-1])


def saving(*observations: str) -> AIMessage:
    """An agent's answer that saves all of it at once."""
    calls = [
        {"name": "save_observation", "args": {"observation": text, "replaces": None}, "id": f"call_{number}"}
        for number, text in enumerate(observations)
    ]
    return AIMessage("", tool_calls=calls)


OWNS = ("Owns a tractor", "Owns a kiosk", "Owns a boat")


@pytest.mark.parametrize("way", ["middleware", "wrap"])
def test_parallel_saves_go_over_the_wire(way: str):
    """Three calls in one answer are three learnings, and the model is told of each under its call's id."""
    store = InMemoryStore()
    with OpenAIServer([saving(*OWNS), "Fine."]) as server:
        machine = LearningMachine(client(server), [UserMemory(mode=Mode.AGENTIC)], store=store, on_error="raise")
        agent: Any = (
            create_agent(client(server), middleware=[machine.middleware()], store=store)
            if way == "middleware"
            else machine.wrap(lambda tools: create_agent(client(server), tools=tools))
        )
        agent.invoke(said("I own a tractor, a kiosk and a boat"), thread("a"), context=ALEX)

    assert set(OWNS) == {learnt.text for learnt in machine.learnings(ALEX)}
    assert 2 == len(server.bodies)
    told = {message["tool_call_id"]: message["content"] for message in server.bodies[1]["messages"][-3:]}
    assert [True] * 3 == [told[f"call_{number}"].startswith("Saved with the key") for number in range(3)]


async def test_parallel_saves_go_over_the_wire_in_async_too():
    """The async client, streamed."""
    with OpenAIServer([saving(*OWNS), "Fine."]) as server:
        machine = LearningMachine(
            client(server), [UserMemory(mode=Mode.AGENTIC)], store=InMemoryStore(), on_error="raise"
        )
        agent = create_agent(client(server), middleware=[machine.middleware()], store=machine.store)
        stream = agent.astream(
            said("I own a tractor, a kiosk and a boat"), thread("a"), context=ALEX, stream_mode="messages"
        )
        heard = [part async for part, _ in stream]

    assert set(OWNS) == {learnt.text for learnt in await machine.alearnings(ALEX)}
    assert "Fine." == "".join(part.text for part in heard if part.type == "AIMessageChunk")


def test_the_tools_are_ones_that_a_strict_server_takes():
    """All fields required, nothing that only some providers know."""
    every = [UserProfile(tools=True), UserMemory(tools=True), EntityMemory(tools=True), LearnedKnowledge(tools=True)]
    with OpenAIServer(["Hello."]) as server:
        tools = LearningMachine(client(server), every).tools()
        client(server).bind_tools(tools, strict=True).invoke("Hello")

    assert 9 == len(server.bodies[0]["tools"])
    assert all(tool["function"]["strict"] for tool in server.bodies[0]["tools"])


def test_a_model_that_cannot_be_asked_is_refused_when_the_machine_is_built():
    """Not at the end of the first conversation."""
    from langchain_core.language_models import FakeListChatModel

    with pytest.raises(Misconfigured, match="neither"):
        LearningMachine(FakeListChatModel(responses=["x"]), [UserMemory()])
