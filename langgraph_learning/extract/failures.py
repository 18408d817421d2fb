"""Failures of a model: whether the method, the messages or the world is to blame, judged by what the error says."""

import re
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from langgraph_learning.errors import UnreadableAnswer

_ABOUT_MESSAGES = re.compile(
    r"content.?(?:filter|policy|management)|safety|moderation|blocked|prohibited|flagged|harmful"
    r"|refusal|refused to (?:answer|respond)|context.?(?:length|window|size)|maximum context"
    r"|too (?:long|large|many tokens)|max(?:imum)?.{0,20}tokens|token limit|length limit|finish.?reason",
    re.IGNORECASE,
)
_ABOUT_METHOD = re.compile(
    r"response.?format|json.?schema|json.?mode|structured|schema|grammar|guided|\bstrict\b|\btools?\b|tool.?choice"
    r"|function.?call|not.?support|unsupported|unavailable|not implemented|unrecognized|unknown (?:field|param|arg)"
    r"|unexpected keyword|extra (?:inputs|fields)",
    re.IGNORECASE,
)
_ABOUT_ACCOUNT = re.compile(
    r"api.?key|quota|billing|credit|rate.?limit|overloaded|model.{0,40}(?:not exist|not found)", re.IGNORECASE
)
_BAD_INPUT = frozenset({400, 413, 422})
_BAD_METHOD = frozenset({400, 404, 405, 415, 422, 500, 501})


def blames_input(error: BaseException) -> bool:
    """Return True if an error is about the messages: the model was reached, and refused them.

    Only such a failure counts against the messages: while a provider is down, nothing is given up.
    """
    if isinstance(error, UnreadableAnswer):
        return True
    if isinstance(error, TimeoutError | ConnectionError) or _ABOUT_ACCOUNT.search(str(error)):
        return False
    if tells_missing_method(error):
        return False
    status = _status(error)
    if status is None:
        return bool(_ABOUT_MESSAGES.search(_describe_exception(error)))
    return status in _BAD_INPUT


def blames_method(error: BaseException) -> bool:
    """Return True if asking in another way may help: nothing says that messages, account or network are to blame."""
    if isinstance(error, UnreadableAnswer):
        return not str(error).startswith(("The model refused", "The model's answer was cut off"))
    if isinstance(error, TimeoutError | ConnectionError):
        return False
    text = _describe_exception(error)
    if tells_missing_method(error):
        return True
    if _ABOUT_MESSAGES.search(text) or _ABOUT_ACCOUNT.search(text):
        return False
    status = _status(error)
    return status in _BAD_METHOD if status is not None else isinstance(error, TypeError | NotImplementedError)


def tells_missing_method(error: BaseException) -> bool:
    """Return True if an error says that the model or its server does not have a method of structured output."""
    text = _describe_exception(error)
    if isinstance(error, UnreadableAnswer | TimeoutError | ConnectionError):
        return False
    if _ABOUT_ACCOUNT.search(text) or _ABOUT_MESSAGES.search(text):
        return False
    status = _status(error)
    if status is None and not isinstance(error, ValueError | TypeError | NotImplementedError):
        return False
    return (status is None or status in _BAD_METHOD) and bool(_ABOUT_METHOD.search(text))


def partial_answer(error: BaseException) -> BaseMessage | None:
    """Return the answer that an error carries, as those of OpenAI's client do for an answer that was cut off."""
    completion = getattr(error, "completion", None)
    choices = getattr(completion, "choices", None)
    if not choices:
        return None
    message = choices[0].message
    calls = [
        {"name": call.function.name, "args": call.function.arguments, "id": call.id, "error": None}
        for call in getattr(message, "tool_calls", None) or []
    ]
    return AIMessage(
        getattr(message, "content", None) or "",
        invalid_tool_calls=calls,
        additional_kwargs={"refusal": refusal} if (refusal := getattr(message, "refusal", None)) else {},
        response_metadata={"finish_reason": choices[0].finish_reason},
    )


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of an error, where the clients of several providers hold it."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        response_status: Any = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode")
    else:
        response_status = getattr(response, "status_code", None)
    for status in (getattr(error, "status_code", None), getattr(error, "code", None), response_status):
        if isinstance(status, int) and 100 <= status < 600:
            return int(status)
    return None


def _describe_exception(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
