"""Detection of the nodes that call a model, by what their code refers to."""

import inspect
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.pregel.protocol import PregelProtocol

from langgraph_learning.recall.injection import learned_context

MAX_DEPTH = 8
MAX_OBJECTS = 20_000
"""How deep, and at how many objects, a node is searched: it may refer to large data."""
_SDKS = re.compile(
    r"(openai|anthropic|litellm|ollama|mistralai|cohere|groq|genai|google\.genai|google\.generativeai|boto3|"
    r"huggingface_hub|transformers|llama_cpp|vertexai|together|dspy|instructor|pydantic_ai)(\.|$)"
)
_MODEL_NAMES = re.compile(
    r"init_chat_model$|Chat(?!Prompt|Message|Generation|Result)[A-Z]\w+$|(Async)?OpenAI$|"
    r"langchain_(?!core|text_splitters|community)\w+$"
)
_MODEL_METHODS = frozenset({"bind_tools", "with_structured_output"})
_CALLS = frozenset({"invoke", "ainvoke", "stream", "astream", "generate", "agenerate"})
_OF_FRAMEWORK = re.compile(r"(langchain|langchain_core|langgraph|langgraph_learning|langsmith)(\.|$)")


def calls_model(node: Any) -> bool:
    """Return True if a node's code refers to a model, a client of a provider, or something unknown that is invoked."""
    return any(_is_model(value) or _invokes_unknown(value) for value in _reach(node))


def calls_graph(node: Any) -> bool:
    """Return True if a node's code refers to a graph: whatever it is given, that graph saves."""
    return any(isinstance(value, PregelProtocol) for value in _reach(node))


def _reach(node: Any) -> Iterator[Any]:
    """Yield the objects that a node's code can reach, nearest first: closures, globals that it names, attributes."""
    queue, seen = deque([(node, 0)]), {id(None)}
    while queue and len(seen) < MAX_OBJECTS:
        value, depth = queue.popleft()
        if id(value) in seen or _is_opaque(value):
            continue
        seen.add(id(value))
        yield value
        if depth < MAX_DEPTH and not _is_leaf(value):
            queue.extend((part, depth + 1) for part in _parts(value))


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, FunctionType):
        yield from _references(value)
    elif isinstance(value, MethodType):
        yield value.__func__
        yield value.__self__
    elif isinstance(value, partial):
        yield value.func
        yield from value.args
        yield from value.keywords.values()
    elif isinstance(value, Mapping):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    else:
        yield from list(getattr(value, "__dict__", {}).values())
        if callable(value) and not isinstance(value, Runnable):
            yield type(value).__call__


def _is_model(value: Any) -> bool:
    if isinstance(value, BaseLanguageModel) or value is learned_context:
        return True
    if _is_leaf(value) and not isinstance(value, type | ModuleType):
        return False
    if isinstance(value, type):
        return _is_model_class(value)
    return bool(_SDKS.match(_module_of(value)))


def _invokes_unknown(value: Any) -> bool:
    """Return True if a function invokes something, but nothing that it refers to can be invoked."""
    if not isinstance(value, FunctionType) or _OF_FRAMEWORK.match(value.__module__ or ""):
        return False
    names = {name for code in _codes(value.__code__) for name in code.co_names}
    if names & _MODEL_METHODS or any(_MODEL_NAMES.match(name) or _SDKS.match(name) for name in names):
        return True
    return bool(names & _CALLS) and not any(_can_be_invoked(part) for part in _references(value))


def _is_leaf(value: Any) -> bool:
    """Return True for what calls no model with the node's messages: data, classes, tools, graphs, parts of ours."""
    if isinstance(value, str | bytes | int | float | type | ModuleType | BaseMessage | BaseTool | ToolNode):
        return True
    if isinstance(value, PregelProtocol | BaseLanguageModel):
        return True
    return not isinstance(value, FunctionType | MethodType) and _module_of(value).startswith("langgraph_learning.")


def _is_opaque(value: Any) -> bool:
    """Return True for an object that cannot be looked at now, such as a proxy of something that is not there yet."""
    try:
        isinstance(value, Runnable)
        getattr(value, "__dict__", None)
        hasattr(value, "invoke")
    except Exception:  # noqa: BLE001 - whatever it raises, it is no part of ours
        return True
    return False


def _is_model_class(cls: type[Any]) -> bool:
    if issubclass(cls, BaseLanguageModel):
        return not inspect.isabstract(cls)
    return bool(_SDKS.match(cls.__module__ or ""))


def _module_of(value: Any) -> str:
    if isinstance(value, ModuleType):
        return value.__name__
    module = value.__module__ if isinstance(value, FunctionType) else type(value).__module__
    return module if isinstance(module, str) else ""


def _references(function: Callable[..., Any]) -> list[Any]:
    """Return what a function refers to: its closure, its defaults and, if it is the user's, the globals it names."""
    if not isinstance(function, FunctionType):
        return []
    found: list[Any] = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # not filled yet
            continue
    if wrapped := getattr(function, "__wrapped__", None):
        found.append(wrapped)
    if _OF_FRAMEWORK.match(function.__module__ or "") and not (function.__module__ or "").endswith("testing"):
        return found
    for code in _codes(function.__code__):
        for name in code.co_names:
            value = function.__globals__.get(name)
            if isinstance(value, ModuleType):
                found += [value, *(vars(value)[attribute] for attribute in code.co_names if attribute in vars(value))]
            elif value is not None:
                found.append(value)
    return found


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _can_be_invoked(value: Any) -> bool:
    return not _is_opaque(value) and any(hasattr(value, name) for name in _CALLS)
