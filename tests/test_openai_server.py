"""LangChain's OpenAI client and the server on loopback understand each other, also in what is refused."""

from functools import partial
from typing import Literal

import openai
import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from openai_server import OpenAIServer, broken_rules
from pydantic import BaseModel, ConfigDict


class Note(BaseModel):
    """A note."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["note"]
    text: str
    owner: str | None


class Notes(BaseModel):
    """Some notes."""

    model_config = ConfigDict(extra="forbid")

    notes: list[Note]


NOTES = {"notes": [{"kind": "note", "text": "Buy milk", "owner": None}]}


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"Rain in {city}"


def chat(server: OpenAIServer) -> ChatOpenAI:
    return ChatOpenAI(base_url=server.url, api_key="none", model="scripted", max_retries=0)


def two_calls() -> AIMessage:
    calls = [{"name": "weather", "args": {"city": city}, "id": city} for city in ("Oslo", "Rome")]
    return AIMessage("Let me look.", tool_calls=calls)


def test_it_answers():
    """A message goes there, the scripted one comes back."""
    with OpenAIServer(["Hello!"]) as server:
        assert "Hello!" == chat(server).invoke("Hi").text
    assert "Hi" == server.bodies[0]["messages"][0]["content"] == server.model.shown[0][0].text


async def test_it_answers_async():
    """The async client works too."""
    with OpenAIServer(["Hello!"]) as server:
        assert "Hello!" == (await chat(server).ainvoke("Hi")).text


async def test_it_streams():
    """Words arrive one by one, sync and async."""
    with OpenAIServer(lambda messages: "one two three") as server:
        model = chat(server)
        async_words = [chunk.text async for chunk in model.astream("count")]
        words = [chunk.text for chunk in model.stream("count")]

    assert ["one", " two", " three"] == [word for word in words if word] == [word for word in async_words if word]


@pytest.mark.parametrize("stream", [False, True])
def test_it_calls_several_tools_at_once(stream):
    """Parallel calls come back whole, also in pieces."""
    with OpenAIServer([two_calls()]) as server:
        model = chat(server).bind_tools([weather], tool_choice="any")
        chunks = list(model.stream("Weather?")) if stream else [model.invoke("Weather?")]
    answer = chunks[0]
    for chunk in chunks[1:]:
        answer += chunk

    assert ["Oslo", "Rome"] == [call["args"]["city"] for call in answer.tool_calls]
    assert "required" == server.bodies[0]["tool_choice"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_it_answers_in_the_form_of_a_schema(method):
    """A strict schema passes, by JSON and by a tool call."""
    with OpenAIServer([NOTES]) as server:
        model = chat(server).with_structured_output(Notes.model_json_schema(), method=method, strict=True)

        assert NOTES == model.invoke("What is to be done?")


def test_an_old_server_refuses_json_schema_and_takes_tools():
    """With `json_schema=False` the one way is refused and the other works."""
    with OpenAIServer([NOTES], json_schema=False) as server:
        by_json = chat(server).with_structured_output(Notes.model_json_schema(), method="json_schema")
        by_tool = chat(server).with_structured_output(Notes.model_json_schema(), method="function_calling")
        with pytest.raises(openai.BadRequestError, match="unavailable"):
            by_json.invoke("What is to be done?")

        assert NOTES == by_tool.invoke("What is to be done?")
    assert 2 == len(server.bodies)


def test_a_scripted_failure_is_a_server_error():
    """An exception in the script is what a client sees when the provider breaks."""
    with OpenAIServer([RuntimeError("out of order")]) as server, pytest.raises(openai.InternalServerError):
        chat(server).invoke("Hi")


def obj(properties: dict[str, object], **more: object) -> dict[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (obj({"a": {"type": "string"}}, required=[]), "every key"),
        (obj({"a": {"type": "string"}}, additionalProperties=True), "additionalProperties"),
        (obj({"a": {"type": "string", "default": "x"}}), "'default'"),
        (obj({"a": {"oneOf": [{"type": "string"}]}}), "'oneOf'"),
        (obj({"a": {"type": "object", "additionalProperties": {"type": "string"}}}), "additionalProperties"),
        (obj({"a": {}}), "'type'"),
        (obj({"a": {"type": "array", "items": obj({"b": {"type": "string"}}, required=[])}}), "every key"),
        (obj({"a": {"type": "array"}}), "missing items"),
        ({"anyOf": [obj({})]}, "root"),
    ],
)
def test_what_openai_refuses_is_refused(schema, problem):
    """A strict schema with optional, free or defaulted parts gets status 400 and says where."""
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    with OpenAIServer([{}]) as server, openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        with pytest.raises(openai.BadRequestError, match=problem):
            client.chat.completions.create(model="any", messages=[], response_format=wanted)
    assert [] == server.model.shown


@pytest.mark.parametrize("strict", [True, False])
def test_only_strict_tools_are_checked(strict):
    """A tool with an optional argument is refused when it claims to be strict, and only then."""
    function = {"name": "look", "parameters": obj({"a": {"type": "string"}}, required=[]), "strict": strict}
    with OpenAIServer([{}]) as server, openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        ask = partial(
            client.chat.completions.create,
            model="any",
            messages=[],
            tools=[{"type": "function", "function": function}],
            tool_choice="required",
        )
        if strict:
            with pytest.raises(openai.BadRequestError, match="function look"):
                ask()
        else:
            assert "look" == ask().choices[0].message.tool_calls[0].function.name


def test_a_clean_schema_breaks_no_rule():
    """A literal tag, nullable fields and references are fine."""
    assert [] == list(broken_rules(Notes.model_json_schema()))
