"""Failures of the extraction model: what they cost, and what they do not."""

import asyncio
import time
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from openai_server import OpenAIServer
from people import (
    ALEX,
    NOTHING,
    conversation,
    echo,
    edit,
    edits,
    machine,
    notes_what_users_say,
    observation,
    said,
    thread,
)

from langgraph_learning import Episodes, LearningMachine, UserMemory
from langgraph_learning.errors import Misconfigured
from langgraph_learning.testing import ModelCall, ScriptedModel

CURSOR_OF_THREAD_A = ("learnings", "default", "thread", "a", "cursor")


class Refused(Exception):
    """What a provider raises for a request that it does not take."""

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code


def refuses(word: str, error: Exception | str, calls: list[Any]) -> Any:
    """An extraction that notes what users say, unless a word is in it."""

    def extract(shown: Any) -> Any:
        calls.append([text for _, _, text in conversation(shown)])
        return error if any(word in text for text in calls[-1]) else notes_what_users_say(shown)

    return extract


def talk(learning: LearningMachine, *texts: str, name: str = "a") -> list[list[str]]:
    """Say all of it in one thread, and return the errors of each turn."""
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    return [agent.invoke(said(text), thread(name), context=ALEX).get("learning_errors", []) for text in texts]


def cursor_of_thread_a(store: BaseStore) -> dict[str, Any]:
    item = store.get(CURSOR_OF_THREAD_A, "read")
    assert item is not None
    return item.value


def texts_of(learning: LearningMachine) -> set[str]:
    return {learnt.text for learnt in learning.learnings(ALEX)}


@pytest.mark.parametrize(
    "error",
    [
        Refused(400, "content_filter"),
        Refused(400, "maximum context length exceeded"),
        Refused(422, "input too long"),
        RuntimeError("Your prompt was blocked: safety"),
        "I would rather not say.",
    ],
    ids=str,
)
def test_a_message_that_is_refused_costs_the_others_nothing(store: BaseStore, error: Any):
    """It is read by itself, then set aside, and never sent again."""
    calls: list[Any] = []
    learning = machine(refuses("BAD", error, calls), store=store, on_error="report")
    errors = talk(learning, "BAD thing", "I like tea", "I own a mug", "I have a cat", "I ski")

    assert {"I like tea", "I own a mug", "I have a cat", "I ski"} == texts_of(learning)
    assert "set aside after 3 attempts" in str(errors[2])
    assert [[], []] == errors[3:]
    assert 3 == len({number for number, call in enumerate(calls) if "BAD thing" in call}) // (
        1 + isinstance(error, str)
    )


def test_what_is_set_aside_is_told_from_what_was_learnt_from(store: BaseStore):
    """The cursor says which it is, and the verbatim store has the message all the same."""
    calls: list[Any] = []
    stores = [UserMemory(), Episodes()]
    learning = machine(refuses("BAD", Refused(400, "content_filter"), calls), stores, store=store, on_error="report")
    talk(learning, "BAD thing", "I like tea", "I own a mug")
    (cursor,) = cursor_of_thread_a(store)["readers"].values()

    assert "I like tea" in texts_of(learning)
    assert 2 == len(cursor["set_aside"]), "the message, and the agent's answer that repeats it"
    assert "attempts" not in cursor
    assert any("BAD thing" in text for text in texts_of(learning))


@pytest.mark.parametrize(
    "error",
    [ConnectionError("connection refused"), TimeoutError("slow"), Refused(503, "overloaded"), Refused(429, "rate limit"),
     Refused(401, "invalid api key"), RuntimeError("down"), Refused(500, "oops")],
    ids=str,
)  # fmt: skip
def test_while_the_model_is_away_nothing_is_set_aside(store: BaseStore, error: Exception):
    """However long it takes, everything is learnt when it is back."""
    away = [True]
    learning = machine(lambda shown: error if away[0] else notes_what_users_say(shown), store=store, on_error="report")
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    for turn in range(6):
        result = agent.invoke(said(f"Fact {turn}"), thread("a"), context=ALEX)
        assert "the next turn tries again" in str(result["learning_errors"])
    away[0] = False
    for _ in range(2):
        agent.invoke(said("ok"), thread("a"), context=ALEX)

    assert {f"Fact {turn}" for turn in range(6)} <= texts_of(learning)


def test_a_message_that_hangs_the_model_is_found_out_by_the_others(store: BaseStore):
    """A time limit alone says nothing; that the model answers for the rest does."""
    calls: list[Any] = []
    learning = machine(refuses("HANG", TimeoutError("slow"), calls), store=store, on_error="report")
    errors = talk(learning, "HANG", *(f"Fact {turn}" for turn in range(8)))

    assert {f"Fact {turn}" for turn in range(8)} == texts_of(learning)
    assert any("set aside" in str(turn) for turn in errors)


@pytest.mark.parametrize("error", [TimeoutError("slow"), ConnectionError("reset")], ids=str)
def test_a_message_that_hangs_the_model_is_found_out_where_nothing_else_is_left_to_read(store: BaseStore, error: Any):
    """The model answers when it is asked about something harmless."""
    calls: list[Any] = []
    learning = machine(refuses("HANG", error, calls), store=store, on_error="report")
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    agent.invoke(said("HANG"), thread("a"), context=ALEX)
    messages = agent.get_state(thread("a")).values["messages"]
    reported = [learning.learn(messages, ALEX, thread_id="a").errors for _ in range(8)]

    assert 1 == sum("set aside" in str(errors) for errors in reported)
    assert () == reported[-1]
    assert "HANG" not in str(calls[-1])


def test_chunks_that_were_read_before_a_failure_count(store: BaseStore):
    """They were paid for, and the next turn does not read them again."""
    calls: list[Any] = []
    learning = machine(
        refuses("BAD", ConnectionError("down"), calls), store=store, on_error="report", extraction_budget=1_000
    )
    messages = [HumanMessage(f"{name} " + "word " * 700) for name in ("one", "two", "BAD")]
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    agent.invoke({"messages": messages}, thread("a"), context=ALEX)
    agent.invoke(said("more"), thread("a"), context=ALEX)

    assert {"one", "two"} == {text.split()[0] for text in texts_of(learning)}
    assert 1 == sum("one" in str(call)[:8] for call in calls)


class Ways(ScriptedModel):
    """A model that answers each way of asking differently."""

    def answer(self, call: ModelCall, number: int) -> Any:
        way = "schema" if call.schema else "tools"
        return self.answers[way](call.messages)


def learns(shown: Any) -> Any:
    return edits(observation("Likes tea."))


def ways_of(model: ScriptedModel) -> list[str]:
    return ["schema" if call.schema else "tools" for call in model.calls]


@pytest.mark.parametrize(
    "answer",
    [Refused(400, "response_format is not supported"), Refused(422, "unknown field json_schema"), Refused(500, "oops"),
     Refused(501, ""), Refused(404, "no such route"), NotImplementedError("no"), "Sure! The user likes tea."],
    ids=str,
)  # fmt: skip
def test_a_way_that_does_not_work_leads_to_the_other(answer: Any):
    """Whatever the server says instead, and also if it ignores the schema."""
    model = Ways({"schema": lambda _: answer, "tools": learns})  # type: ignore[arg-type]
    learning = LearningMachine(model, [UserMemory()], store=InMemoryStore(), on_error="raise")

    assert [[]] == talk(learning, "I like tea")
    assert {"Likes tea."} == texts_of(learning)
    assert ["schema", "tools"] == ways_of(model)


@pytest.mark.parametrize(
    "error",
    [Refused(400, "context_length_exceeded"), Refused(400, "content filter"), Refused(401, "bad key"), Refused(429, "slow down"),
     TimeoutError(), ConnectionError()],
    ids=str,
)  # fmt: skip
def test_one_request_changes_nothing_for_the_next(error: Exception):
    """An error about the messages or the account is no reason to ask in another way, now or later."""
    model = Ways({"schema": lambda shown: error if "bad" in str(shown[1].content) else learns(shown), "tools": learns})  # type: ignore[arg-type]
    learning = LearningMachine(model, [UserMemory()], store=InMemoryStore())
    talk(learning, "bad", name="a")
    talk(learning, "I like tea", name="b")

    assert ["schema", "schema"] == ways_of(model)


def test_a_server_that_said_it_has_no_schemas_is_asked_by_tools_first_for_a_while():
    """And by a schema again, if tools fail it."""
    answers = {"schema": lambda _: Refused(400, "json_schema is not supported"), "tools": learns}
    model = Ways(answers)  # type: ignore[arg-type]
    learning = LearningMachine(model, [UserMemory()], store=InMemoryStore(), on_error="raise")
    talk(learning, "I like tea", name="a")
    talk(learning, "I like tea", name="b")
    answers.update(schema=learns, tools=lambda _: "Tea, I think.")
    talk(learning, "I like tea", name="c")

    assert ["schema", "tools", "tools", "tools", "schema"] == ways_of(model)


def test_a_model_that_hangs_costs_at_most_the_limit():
    """The answer is there, and the state says so; in sync and async code."""

    class Hanging(ScriptedModel):
        async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(60)

    model = Hanging(lambda _: time.sleep(2) or NOTHING)
    learning = LearningMachine(model, [UserMemory()], store=InMemoryStore(), extraction_timeout=0.05)
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    waited = agent.invoke(said("Any news"), thread("a"), context=ALEX)
    awaited = asyncio.run(agent.ainvoke(said("Any news"), thread("b"), context=ALEX))

    assert "You said: Any news" == waited["messages"][-1].text == awaited["messages"][-1].text
    for state in (waited, awaited):
        (error,) = state["learning_errors"]
        # The seconds are those that were left of the limit when the model was asked.
        assert error.startswith(
            "extract failed, the next turn tries again: TimeoutError: there was no answer within 0.0"
        )


@pytest.mark.parametrize(
    "limits", [{"extraction_timeout": 0}, {"extraction_max_tokens": 0}, {"extraction_timeout": -1}]
)
def test_a_limit_of_nothing_is_refused(limits: dict[str, Any]):
    """When the machine is built."""
    with pytest.raises(Misconfigured, match=next(iter(limits))):
        LearningMachine(ScriptedModel([]), [UserMemory()], **limits)


def client(server: OpenAIServer, **settings: Any) -> ChatOpenAI:
    return ChatOpenAI(base_url=server.url, api_key="none", model="any", max_retries=0, **settings)


@pytest.mark.parametrize(
    ("own", "option", "sent"), [(None, None, 8_000), (500, None, 500), (500, 900, 900), (None, 900, 900)]
)
def test_every_call_has_a_limit_of_tokens(own: int | None, option: int | None, sent: int):
    """The option's, else the model's own, else ours; the model that was given stays as it is."""
    with OpenAIServer([NOTHING]) as server:
        model = client(server, max_tokens=own)
        learning = LearningMachine(
            model, [UserMemory()], store=InMemoryStore(), on_error="raise", extraction_max_tokens=option
        )
        talk(learning, "Any news")

    assert sent in (server.bodies[0].get("max_completion_tokens"), server.bodies[0].get("max_tokens"))
    assert own == model.max_tokens


@pytest.mark.parametrize("kind", ["wrap", "middleware"])
async def test_nothing_of_an_extraction_is_streamed(kind: str):
    """A loop over `astream_events` shows the user the agent's answer and nothing else; also of a model that streams."""
    store = InMemoryStore()
    with OpenAIServer(["Hello Alex.", edits(observation("Likes tea."))]) as server:
        learning = LearningMachine(client(server, streaming=True), [UserMemory()], store=store, on_error="raise")
        agent: Any = (
            create_agent(client(server), [], middleware=[learning.middleware()], store=store)
            if kind == "middleware"
            else learning.wrap(create_agent(client(server), []))
        )
        events = [e async for e in agent.astream_events(said("I like tea"), thread("a"), context=ALEX, version="v2")]

    heard = "".join(event["data"]["chunk"].text for event in events if event["event"] == "on_chat_model_stream")
    assert "Hello Alex." == heard
    assert 1 == sum(event["event"] == "on_chat_model_end" for event in events)
    assert {"Likes tea."} == {learnt.text for learnt in await learning.alearnings(ALEX)}


BAD_EDITS = [
    {"replaces": ["k1"]}, {"replaces": {}}, {"replaces": [["k1"], {}]}, {"replaces": 7}, {"message": [1]}, {"message": {}},
    {"edit": ["observation"]}, {"edit": None}, {"edit": {}}, {"observation": {}}, {"observation": [[]]}, {"observation": None},
]  # fmt: skip


@pytest.mark.parametrize("odd", BAD_EDITS, ids=str)
def test_one_odd_edit_costs_no_other(store: BaseStore, odd: dict[str, Any]):
    """It is read as it is meant, or sent back and dropped with its reason; the others count."""
    answer = edits(observation("Likes tea."), observation("Owns a mug.") | odd, observation("Has a cat."))
    learning = machine([answer, answer], store=store, on_error="report")
    errors = talk(learning, "I like tea, I own a mug and have a cat")

    assert {"Likes tea.", "Has a cat."} <= texts_of(learning) <= {"Likes tea.", "Has a cat.", "Owns a mug."}
    assert ("Owns a mug." in texts_of(learning)) or any("dropped" in error for error in errors[0])


def test_a_correction_that_fails_costs_no_valid_edit(store: BaseStore):
    """The model may be gone between two calls."""
    learning = machine(
        [edits(observation("Likes tea."), edit("nonsense")), ConnectionError("gone")], store=store, on_error="report"
    )
    errors = talk(learning, "I like tea")

    assert {"Likes tea."} == texts_of(learning)
    assert ["dropped", "invalid"] == [error.split()[0] for error in errors[0]]


def test_an_edited_message_is_learnt_anew(store: BaseStore):
    """What rests on its old text alone no longer counts; what was said elsewhere too stays."""
    learning = machine(
        lambda shown: edits(
            *(
                observation(f"{word} it is.", number)
                for number, speaker, text in conversation(shown)
                if speaker.startswith("user")
                for word in text.split()
            )
        ),
        [UserMemory(), Episodes()],
        store=store,
    )
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())

    def say(text: str, name: str, id: str) -> None:
        agent.invoke({"messages": [HumanMessage(text, id=id)]}, thread(name), context=ALEX)

    say("Rome tea", "a", "m1")
    say("tea", "b", "m1")
    say("Oslo", "a", "m1")

    assert {"Oslo it is.", "tea it is."} == {t for t in texts_of(learning) if "it is" in t}
    spoken = [text.split(": ", 1)[1] for text in texts_of(learning) if text.startswith("alex (")]
    assert ["Oslo", "tea"] == sorted(spoken)

    say("Paris", "a", "m1")
    say("Paris", "a", "m1")
    assert {"Paris it is.", "tea it is."} == {t for t in texts_of(learning) if "it is" in t}


def test_a_cursor_of_an_earlier_version_is_read(postgres_store: BaseStore):
    """It holds the fingerprints of ids alone; what it knows is not learnt from again."""
    learning = machine(notes_what_users_say, store=postgres_store)
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    messages = [HumanMessage("I like tea", id="m1"), AIMessage("Good", id="m2")]
    agent.invoke({"messages": messages}, thread("a"), context=ALEX)
    (cursor,) = cursor_of_thread_a(postgres_store)["readers"].values()
    marks = [mark.split(":")[0] for mark in cursor["marks"] if ":" in mark]
    postgres_store.put(CURSOR_OF_THREAD_A, "read", {"marks": marks}, index=False)
    agent.invoke(said("I own a mug"), thread("a"), context=ALEX)

    shown = learning._loop._extraction.questioner.model.calls[-1].messages  # type: ignore[attr-defined]
    assert ["I own a mug"] == [text for _, who, text in conversation(shown) if who.startswith("user")]
