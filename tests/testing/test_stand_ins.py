"""The stand-ins behave like a real chat model and a real embedding model."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain.agents import create_agent
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tools import tool
from pydantic import BaseModel

from langgraph_learning.testing import EndOfScript, HashEmbeddings, ScriptedModel


class City(BaseModel):
    """A city."""

    name: str
    people: int


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"Rain in {city}"


CITY_SCHEMA = {**City.model_json_schema(), "additionalProperties": False}


def asks_for_weather(city: str) -> AIMessage:
    return AIMessage("Let me look.", tool_calls=[{"name": "weather", "args": {"city": city}, "id": "1"}])


def test_answers_come_in_order():
    """Each call takes the next line of the script."""
    model = ScriptedModel(["one", AIMessage("two")])

    assert ["one", "two"] == [model.invoke("a").text, model.invoke("b").text]


def test_what_was_shown_is_recorded():
    """Messages and tools of every call can be looked at afterwards."""
    model = ScriptedModel(["fine"])
    model.bind_tools([weather]).invoke("How are you?")

    assert [["How are you?"]] == [[m.text for m in messages] for messages in model.shown]
    assert ["weather"] == model.calls[0].tool_names


def test_an_answer_may_be_a_function_of_the_messages():
    """A function sees what the model was shown."""
    model = ScriptedModel(lambda messages: messages[-1].text.upper())

    assert ["A", "B"] == [model.invoke("a").text, model.invoke("b").text]


def test_an_exception_is_raised():
    """A provider's failure can be scripted."""
    model = ScriptedModel([TimeoutError("too slow"), "there"])

    with pytest.raises(TimeoutError, match="too slow"):
        model.invoke("anyone?")
    assert "there" == model.invoke("anyone?").text


def test_the_end_of_the_script_says_what_was_asked():
    """The error names the call for which no answer is left."""
    model = ScriptedModel(["only"])
    model.invoke("first")

    with pytest.raises(EndOfScript, match=r"has 1 answers and this is call 2.*'second'"):
        model.invoke("second")


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("schema", [City, CITY_SCHEMA])
def test_a_mapping_answers_in_the_form_of_a_schema(method, schema):
    """Classes and schemas work, by JSON and by tool call."""
    oslo = {"name": "Oslo", "people": 700_000}
    model = ScriptedModel([oslo]).with_structured_output(schema, method=method, strict=True)

    assert (City(**oslo) if schema is City else oslo) == model.invoke("Where?")


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_an_answer_that_does_not_fit_is_handed_back_raw(method):
    """With `include_raw`, the result has both the error and the raw message."""
    model = ScriptedModel([{"name": "Oslo"}]).with_structured_output(City, method=method, include_raw=True)
    result = model.invoke("Where?")

    assert result["parsed"] is None
    assert isinstance(result["parsing_error"], ValueError)
    assert "Oslo" in str(result["raw"])


def test_prose_instead_of_json_is_an_error():
    """A model that chats where JSON was asked for fails as a real one does."""
    model = ScriptedModel(["Well, it depends."]).with_structured_output(CITY_SCHEMA)

    with pytest.raises(OutputParserException):
        model.invoke("Where?")


def test_the_schema_is_recorded():
    """The test can check which schema was requested."""
    model = ScriptedModel([{"name": "Oslo", "people": 1}])
    model.with_structured_output(CITY_SCHEMA, strict=True).invoke("Where?")

    assert {"name", "people"} == set(model.calls[0].schema["properties"])


def test_a_mapping_needs_a_call_that_asks_for_one():
    """A mapping given as an answer to a chat message is a mistake in the script."""
    with pytest.raises(TypeError, match="asked for neither"):
        ScriptedModel([{"name": "Oslo"}]).invoke("Where?")


def test_streaming_gives_the_same_message_in_pieces():
    """The chunks add up to the scripted message."""
    chunks = list(ScriptedModel([asks_for_weather("Oslo")]).stream("Weather?"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk

    assert len(chunks) > 3
    assert isinstance(whole, AIMessageChunk)
    assert ("Let me look.", {"city": "Oslo"}) == (whole.text, whole.tool_calls[0]["args"])


async def test_async_calls_take_from_the_same_script():
    """`ainvoke` and `astream` use the same implementation."""
    model = ScriptedModel(["one", "two and three"])

    assert "one" == (await model.ainvoke("a")).text
    assert ["two", " and", " three", ""] == [chunk.text async for chunk in model.astream("b")]


def test_an_agent_runs_on_it():
    """`create_agent` calls the scripted tool and gets the scripted answer."""
    agent = create_agent(ScriptedModel([asks_for_weather("Oslo"), "It rains."]), [weather])
    messages = agent.invoke({"messages": [("user", "Weather?")]})["messages"]

    assert ["Weather?", "Let me look.", "Rain in Oslo", "It rains."] == [message.text for message in messages]


@pytest.mark.parametrize("profile", [None, {"structured_output": True}])
def test_an_agent_answers_in_the_form_of_a_schema(profile):
    """`create_agent(response_format=…)` works by tool call and, if the profile says so, by JSON schema."""
    model = ScriptedModel([{"name": "Oslo", "people": 1}], profile=profile)
    agent = create_agent(model, [], response_format=City)

    assert City(name="Oslo", people=1) == agent.invoke({"messages": [("user", "Where?")]})["structured_response"]


def test_tokens_of_an_agent_stream():
    """LangGraph's message stream shows more than one piece."""
    agent = create_agent(ScriptedModel(["one two three"]), [])
    tokens = [token.text for token, _ in agent.stream({"messages": [("user", "count")]}, stream_mode="messages")]

    assert ["one", " two", " three"] == [token for token in tokens if token]


def test_the_same_scripted_message_may_be_given_twice():
    """Ids that LangChain writes into an answer do not change the script."""
    answer = AIMessage("yes")
    model = ScriptedModel([answer, answer])

    assert model.invoke("a").id != model.invoke("b").id
    assert answer.id is None


def test_threads_share_a_script():
    """Each answer is given once, also to concurrent calls."""
    together = threading.Barrier(8)
    model = ScriptedModel([str(n) for n in range(8)])

    def ask(n: int) -> str:
        together.wait()
        return model.invoke(f"{n}").text

    with ThreadPoolExecutor(8) as pool:
        assert {str(n) for n in range(8)} == set(pool.map(ask, range(8)))
    assert {str(n) for n in range(8)} == {messages[0].text for messages in model.shown}


def test_texts_that_share_words_are_near():
    """Two texts about the migration are nearer than a text about lunch."""
    embed = HashEmbeddings().embed_query
    question, near, far = embed("When is the migration?"), embed("The MIGRATION is planned."), embed("Soup for lunch")

    def nearness(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert nearness(question, near) > 0.4 > nearness(question, far)


@pytest.mark.parametrize("text", ["migration", "", "…", "Grüße 你好"])
def test_every_text_has_a_direction(text):
    """Every vector has length 1 and the requested size, even for a text without words."""
    vector = HashEmbeddings(dims=8).embed_query(text)

    assert (8, 1.0) == (len(vector), pytest.approx(sum(value**2 for value in vector)))
