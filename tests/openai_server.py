"""A small server that speaks OpenAI's chat completions, so that what goes over the wire is tested over a wire."""

import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from langchain_core.messages import AIMessage, convert_to_messages
from langchain_core.runnables import Runnable

from langgraph_learning.testing import Script, ScriptedModel

ALLOWED = {
    "$defs", "$ref", "additionalProperties", "anyOf", "const", "description", "enum", "exclusiveMaximum",
    "exclusiveMinimum", "format", "items", "maxItems", "maximum", "minItems", "minimum", "multipleOf", "pattern",
    "properties", "required", "title", "type",
}  # fmt: skip


class BadRequest(Exception):
    """What OpenAI answers with status 400."""


class OpenAIServer:
    """Answers on loopback from a script, and refuses what OpenAI refuses.

    ```python
    with OpenAIServer([{"edits": []}]) as server:
        model = ChatOpenAI(base_url=server.url, api_key="none", model="any")
    ```

    With `json_schema=False` it is one of the many servers that know only tools and prose.
    """

    def __init__(self, answers: Script, *, json_schema: bool = True) -> None:
        self.model = ScriptedModel(answers)
        """Answers, and has recorded what it was shown, as LangChain's messages."""
        self.json_schema = json_schema
        self.bodies: list[dict[str, Any]] = []
        """The requests as they came in, also the refused ones."""
        server = self

        class Handler(_Handler):
            openai = server

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def url(self) -> str:
        """The base URL for a client."""
        return f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def complete(self, body: dict[str, Any]) -> AIMessage:
        """Return the scripted answer to a request, or refuse it."""
        self.bodies.append(body)
        model: Runnable[Any, Any] = self.model
        if (wanted := body.get("response_format")) and wanted["type"] == "json_schema":
            if not self.json_schema:
                raise BadRequest("This response_format type is unavailable.")
            self._check(wanted["json_schema"], wanted["json_schema"].get("schema"), "response_format")
            model = model.bind(response_format=wanted)
        if tools := body.get("tools"):
            for tool in tools:
                self._check(
                    tool["function"], tool["function"].get("parameters"), f"function {tool['function']['name']}"
                )
            model = model.bind(tools=tools, tool_choice=body.get("tool_choice"))
        return model.invoke(convert_to_messages(body["messages"]))

    def _check(self, declared: dict[str, Any], schema: dict[str, Any] | None, where: str) -> None:
        if declared.get("strict"):
            for problem in broken_rules(schema or {}):
                raise BadRequest(f"Invalid schema for {where}: {problem}")


def broken_rules(schema: dict[str, Any]) -> Iterator[str]:
    """Yield each place where a schema breaks the rules of OpenAI's strict mode."""
    if schema.get("type") != "object" or "anyOf" in schema:
        yield "In context=(), the root must be of type 'object' and not use 'anyOf'."
    yield from _broken(schema, ())


def _broken(schema: Any, at: tuple[str, ...]) -> Iterator[str]:
    if not isinstance(schema, dict):
        yield f"In context={at}, {schema!r} is not a schema."
        return
    yield from (f"In context={at}, {problem}" for problem in _broken_here(schema))
    for group in ("properties", "$defs"):
        for name, part in schema.get(group, {}).items():
            yield from _broken(part, (*at, group, name))
    if "items" in schema:
        yield from _broken(schema["items"], (*at, "items"))
    for number, part in enumerate(schema.get("anyOf", ())):
        yield from _broken(part, (*at, "anyOf", str(number)))


def _broken_here(schema: dict[str, Any]) -> Iterator[str]:
    for word in sorted(set(schema) - ALLOWED):
        yield f"'{word}' is not permitted."
    if not {"type", "$ref", "anyOf", "enum", "const"} & set(schema):
        yield "schema must have a 'type' key."
    if "$ref" in schema and len(schema) > 1:
        yield f"$ref cannot have keywords {set(schema) - {'$ref'}}."
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        yield "'additionalProperties' is required to be supplied and to be false."
    if schema.get("type") == "object" and set(schema.get("required", ())) != set(schema.get("properties", ())):
        yield "'required' is required to be supplied and to be an array including every key in properties."
    if schema.get("type") == "array" and "items" not in schema:
        yield "array schema missing items."


class _Handler(BaseHTTPRequestHandler):
    openai: OpenAIServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            return self._send(404, _error(f"Invalid URL (POST {self.path})"))
        try:
            message = self.openai.complete(body)
        except BadRequest as error:
            return self._send(400, _error(str(error)))
        except Exception as error:  # noqa: BLE001  # whatever the script raises, a client sees a broken provider
            return self._send(500, _error(str(error), kind="server_error"))
        if body.get("stream"):
            return self._stream(message, body)
        choice = {"index": 0, "message": _message(message), "finish_reason": _finish(message)}
        return self._send(200, {**_head("chat.completion", body), "choices": [choice], "usage": USAGE})

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, message: AIMessage, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for delta in _deltas(message):
            self._event({**_head("chat.completion.chunk", body), "choices": [{"index": 0, "delta": delta}]})
        end = {"index": 0, "delta": {}, "finish_reason": _finish(message)}
        self._event({**_head("chat.completion.chunk", body), "choices": [end]})
        if (body.get("stream_options") or {}).get("include_usage"):
            self._event({**_head("chat.completion.chunk", body), "choices": [], "usage": USAGE})
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

    def log_message(self, *_: object) -> None:
        """Be quiet."""


USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


def _head(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": int(time.time()), "model": body["model"]}


def _error(message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _finish(message: AIMessage) -> str:
    return "tool_calls" if message.tool_calls else "stop"


def _calls(message: AIMessage) -> list[dict[str, Any]]:
    return [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["args"])},
        }
        for call in message.tool_calls
    ]


def _message(message: AIMessage) -> dict[str, Any]:
    spoken = {"role": "assistant", "content": message.text or None, "refusal": None}
    return {**spoken, "tool_calls": _calls(message)} if message.tool_calls else spoken


def _deltas(message: AIMessage) -> Iterator[dict[str, Any]]:
    """Cut an answer into what OpenAI streams: words, then each call's head and two halves of its arguments."""
    yield {"role": "assistant", "content": ""}
    for word in re.findall(r"\s*\S+|\s+$", message.text):
        yield {"content": word}
    for index, call in enumerate(_calls(message)):
        arguments = call["function"]["arguments"]
        yield {"tool_calls": [{**call, "index": index, "function": {**call["function"], "arguments": ""}}]}
        for part in (arguments[: len(arguments) // 2], arguments[len(arguments) // 2 :]):
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}
