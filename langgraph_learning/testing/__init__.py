"""Stand-ins for the chat model and the embedding model, and a contract for stores, for tests without key or network.

The stand-ins record what they receive and return scripted answers.
"""

import hashlib
import json
import math
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal, NamedTuple, TypeAlias

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from pydantic import BaseModel, PrivateAttr, SkipValidation

Answer: TypeAlias = "str | AIMessage | Mapping[str, Any] | Exception | Callable[[list[BaseMessage]], Answer]"
"""One scripted answer.

A string or a message is returned, a mapping answers a call that asked for a schema or for one tool's arguments, an
exception is raised, and a function receives the messages and returns any of these.
"""
Script: TypeAlias = Sequence[Answer] | Callable[[list[BaseMessage]], Answer]
"""The answers in order, or one function that returns all of them."""


def __getattr__(name: str) -> Any:
    """Import `StoreContract` on first use, because it needs pytest and the stand-ins do not."""
    if name == "StoreContract":
        from langgraph_learning.testing.store_contract import StoreContract

        return StoreContract
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class EndOfScript(AssertionError):
    """The model was called more often than its script has answers."""


class ModelCall(NamedTuple):
    """Input of one call of a model."""

    messages: list[BaseMessage]
    tools: list[dict[str, Any]]
    """The bound tools, in OpenAI's form."""
    tool_choice: str | None
    """The tool that must be called, `any` if any of them must be, or None."""
    schema: dict[str, Any] | None
    """The JSON schema that the answer must follow, if one was given."""

    @property
    def tool_names(self) -> list[str]:
        """The names of the bound tools."""
        return [tool["function"]["name"] for tool in self.tools]


class ScriptedModel(BaseChatModel):
    """A chat model that answers from a script and records its calls.

    ```python
    model = ScriptedModel(["Hello!", {"name": "Ada"}, TimeoutError("too slow"), lambda messages: messages[-1].text])
    ```

    Tools, structured output, streaming and async calls work as with any other chat model. Several threads and agents
    may use one model at the same time: each call takes the next answer.
    """

    answers: SkipValidation[Any]
    """The script: a sequence of answers, or a function."""
    _calls: list[ModelCall] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def __init__(self, answers: Script, **settings: Any) -> None:
        super().__init__(answers=answers, **settings)  # type: ignore[call-arg]  # pydantic makes it from the field

    @property
    def calls(self) -> list[ModelCall]:
        """All calls so far, oldest first."""
        with self._lock:
            return list(self._calls)

    @property
    def shown(self) -> list[list[BaseMessage]]:
        """The messages of all calls so far, oldest first."""
        return [call.messages for call in self.calls]

    def answer(self, call: ModelCall, number: int) -> Answer:
        """Return the answer to a call. Override it to use more than the messages.

        number: how many calls came before.
        """
        if callable(self.answers):
            return self.answers(call.messages)  # type: ignore[no-any-return]  # the script is typed in __init__
        if number < len(self.answers):
            return self.answers[number]  # type: ignore[no-any-return]  # the script is typed in __init__
        raise EndOfScript(
            f"The script has {len(self.answers)} answers and this is call {number + 1}. "
            f"Its last message was: {call.messages[-1].text if call.messages else '(none)'!r}"
        )

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return this model with tools that it can call."""
        declarations = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        return self.bind(tools=declarations, tool_choice=_parse_tool_choice(tool_choice, declarations), **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: Literal["json_schema", "function_calling"] = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Return this model with answers that follow a schema: mappings, or instances of a pydantic class."""
        if method == "json_schema":
            model, parser = self._as_json(schema, strict, kwargs)
        elif method == "function_calling":
            model, parser = self._as_call(schema, strict, kwargs)
        else:
            raise ValueError(f"ScriptedModel knows json_schema and function_calling, not {method!r}")
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        unparsed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks([unparsed], exception_key="parsing_error")

    def _as_json(
        self, schema: dict[str, Any] | type, strict: bool | None, kwargs: dict[str, Any]
    ) -> tuple[Runnable[Any, Any], Runnable[Any, Any]]:
        json_schema = convert_to_json_schema(schema, strict=strict)
        response_schema = {"name": json_schema.get("title", "answer"), "schema": json_schema, "strict": strict}
        model = self.bind(response_format={"type": "json_schema", "json_schema": response_schema}, **kwargs)
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            return model, PydanticOutputParser[BaseModel](pydantic_object=schema)
        return model, JsonOutputParser()

    def _as_call(
        self, schema: dict[str, Any] | type, strict: bool | None, kwargs: dict[str, Any]
    ) -> tuple[Runnable[Any, Any], Runnable[Any, Any]]:
        name = convert_to_openai_tool(schema)["function"]["name"]
        model = self.bind_tools([schema], tool_choice=name, strict=strict, **kwargs)
        if isinstance(schema, type) and issubclass(schema, BaseModel):
            return model, PydanticToolsParser(tools=[schema], first_tool_only=True)
        return model, JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next_message(messages, kwargs))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for message in _split_into_chunks(self._next_message(messages, kwargs)):
            chunk = ChatGenerationChunk(message=message)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _next_message(self, messages: list[BaseMessage], kwargs: Mapping[str, Any]) -> AIMessage:
        response_format = kwargs.get("response_format") or {}
        schema = response_format.get("json_schema", {}).get("schema")
        tools = kwargs.get("tools") or []
        call = ModelCall(list(messages), tools, _parse_tool_choice(kwargs.get("tool_choice"), tools), schema)
        with self._lock:
            number = len(self._calls)
            self._calls.append(call)
        # Outside the lock, because an answer may be a slow function.
        answer = self.answer(call, number)
        while callable(answer):
            answer = answer(call.messages)
        return _make_message(answer, call, number)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {}  # they must be JSON, and the script may hold functions


class HashEmbeddings(Embeddings):
    """An embedding model that hashes words: texts with common words are near each other, and nothing else is.

    A text has the same vector in every process and on every machine. Vectors have length 1.
    """

    def __init__(self, dims: int = 256) -> None:
        self.dims = dims

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text."""
        return [self.embed_query(text) for text in texts]

    def embed_queries(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text."""
        return self.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of one text."""
        vector = [0.0] * self.dims
        for word in re.findall(r"\w+", text.lower()):
            digest = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
            # The sign makes collisions of two words cancel out on average.
            vector[(digest >> 1) % self.dims] += 1.0 if digest & 1 else -1.0
        length = math.hypot(*vector)
        if not length:
            return [1.0, *vector[1:]]  # a zero vector has no direction, and no distance to others
        return [value / length for value in vector]


def _parse_tool_choice(choice: str | dict[str, Any] | bool | None, tools: Sequence[dict[str, Any]]) -> str | None:
    match choice:
        case {"function": {"name": str(name)}}:
            return name
        case "required" | "any":
            return "any"
        case True:
            return str(tools[0]["function"]["name"]) if len(tools) == 1 else "any"
        case str() if choice not in ("auto", "none"):
            return choice
    return None


def _make_message(answer: Answer, call: ModelCall, number: int) -> AIMessage:
    match answer:
        case Exception():
            raise answer
        case AIMessage():
            return answer.model_copy(deep=True)  # LangChain writes an id into it
        case str():
            return AIMessage(answer)
        case Mapping():
            return _make_structured_message(dict(answer), call, number)
    raise TypeError(f"A script holds strings, messages, mappings, exceptions and functions, not {answer!r}")


def _make_structured_message(answer: dict[str, Any], call: ModelCall, number: int) -> AIMessage:
    if call.schema is not None:
        return AIMessage(json.dumps(answer, ensure_ascii=False))
    name = call.tool_choice
    if name == "any" and len(call.tools) == 1:
        name = call.tool_names[0]
    if name in call.tool_names:
        return AIMessage("", tool_calls=[{"name": str(name), "args": answer, "id": f"call_{number}"}])
    raise TypeError(
        f"A mapping answers a call for a schema or for one tool, and call {number + 1} asked for neither. "
        "Script a string, or an AIMessage with tool_calls."
    )


def _split_into_chunks(message: AIMessage) -> Iterator[AIMessageChunk]:
    """Split a message into chunks as a provider would: words, then halves of each tool call's arguments."""
    pieces = re.findall(r"\s*\S+|\s+$", message.content) if isinstance(message.content, str) else []
    for piece in pieces:
        yield AIMessageChunk(content=piece, id=message.id)
    for index, call in enumerate(message.tool_calls):
        args = json.dumps(call["args"], ensure_ascii=False)
        half = len(args) // 2
        yield _make_call_chunk(
            message, tool_call_chunk(name=call["name"], args=args[:half], id=call["id"], index=index)
        )
        yield _make_call_chunk(message, tool_call_chunk(args=args[half:], index=index))
    yield AIMessageChunk(
        content="" if isinstance(message.content, str) else message.content,
        id=message.id,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        chunk_position="last",
    )


def _make_call_chunk(message: AIMessage, part: ToolCallChunk) -> AIMessageChunk:
    return AIMessageChunk(content="", id=message.id, tool_call_chunks=[part])
