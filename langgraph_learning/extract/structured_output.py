"""Structured output: ask a chat model for a list, by JSON schema or by tools, within limits of time and tokens."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable, RunnableBinding
from langgraph.constants import TAG_NOSTREAM

from langgraph_learning.core.flow import Flow, invoke
from langgraph_learning.errors import Misconfigured
from langgraph_learning.extract.answers import Answer, read_answer
from langgraph_learning.extract.failures import blames_method, partial_answer, tells_missing_method
from langgraph_learning.extract.metrics import ExtractionMetrics

ExtractionMethod = Literal["auto", "json_schema", "tools"]
_METHODS: Mapping[ExtractionMethod, tuple[str, ...]] = {
    "auto": ("json_schema", "function_calling"),
    "json_schema": ("json_schema",),
    "tools": ("function_calling",),
}
TIMEOUT = 60.0
"""Default for how many seconds a model may take."""
MAX_TOKENS = 8_000
"""Default for how many tokens an answer may have, of a model that has no limit of its own."""
_TOKEN_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "max_new_tokens")
"""Names under which chat models of several providers hold their limit."""
TAG = "langgraph_learning"
"""Tag of the calls in a trace, to hide them by."""
_ASK_AGAIN_AFTER = 600.0
"""Seconds after which a method that a server said it does not have is tried first again."""


@dataclass
class StructuredModel:
    """A chat model that answers with a list of objects of a given schema."""

    model: BaseChatModel
    schema: dict[str, Any]
    method: ExtractionMethod = "auto"
    list_field: str = "edits"
    """Name of the field of the answer that holds the list."""
    tag_field: str = "edit"
    """Name of a field that every object of the list has."""
    timeout: float | None = TIMEOUT
    """Seconds that a call may take; None: as many as the model's own client allows."""
    max_tokens: int | None = None
    """Tokens that an answer may have; None: the model's own limit or, where it has none, `MAX_TOKENS`."""
    runnables: list[Runnable[Any, Any]] = field(init=False)
    """The model with each supported method, in the order in which they are tried."""
    _avoid_first_until: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        """Raise `Misconfigured` if the model supports no method."""
        limited = limit_model(self.model, self.max_tokens)
        bound = [self._bind(limited, method) for method in _METHODS[self.method]]
        self.runnables = [runnable for runnable in bound if runnable]
        if not self.runnables:
            raise Misconfigured(
                f"{type(self.model).__name__} takes neither a JSON schema nor tools, so it cannot extract: give the "
                "machine a chat model of LangChain, without retries or fallbacks around it."
            )

    def ask(
        self, messages: Sequence[BaseMessage], timeout: float | None = None, metrics: ExtractionMetrics | None = None
    ) -> Flow[Answer]:
        """Return the list in the model's answer.

        If the model cannot be asked in one way, or its answer cannot be read, it is asked in the other way. Raises the
        first error if no way works: `UnreadableAnswer`, `TimeoutError`, or the error of the model.

        timeout: seconds for this call, if less than the model may take.
        metrics: counts the calls.
        """
        metrics = metrics or ExtractionMetrics()
        deadline = None if self.timeout is None else time.monotonic() + min(self.timeout, timeout or self.timeout)
        first_error: Exception | None = None
        for runnable in self._in_order():
            try:
                answer = yield from self._ask(runnable, messages, deadline, metrics)
            except Exception as error:
                if first_error is not None:
                    break
                if not blames_method(error):
                    raise
                first_error = error
            else:
                if first_error is not None and tells_missing_method(first_error):
                    self._avoid_first_until = time.monotonic() + _ASK_AGAIN_AFTER
                return answer
        assert first_error is not None
        raise first_error

    def _ask(
        self,
        runnable: Runnable[Any, Any],
        messages: Sequence[BaseMessage],
        deadline: float | None,
        metrics: ExtractionMetrics,
    ) -> Flow[Answer]:
        started = time.monotonic()
        seconds = None if deadline is None else max(0.001, deadline - started)
        try:
            answer = yield from invoke(runnable, list(messages), (TAG_NOSTREAM, TAG), timeout=seconds)
        except Exception as error:
            raw = partial_answer(error)
            if raw is None:
                metrics.count_failure(messages, time.monotonic() - started)
                raise
            metrics.count_answer(messages, raw, time.monotonic() - started)
            return self._read(raw, None)
        metrics.count_answer(messages, answer["raw"], time.monotonic() - started)
        return self._read(answer["raw"], answer["parsed"])

    def _read(self, raw: BaseMessage, parsed: Any) -> Answer:
        if not raw.text and not getattr(raw, "tool_calls", None) and isinstance(parsed, Mapping) and parsed:
            # A provider may hand over what it parsed outside of the message's text and calls.
            raw = raw.model_copy(update={"content": json.dumps(parsed, ensure_ascii=False, default=str)})
        return read_answer(raw, self.list_field, self.tag_field)

    def _in_order(self) -> list[Runnable[Any, Any]]:
        """Return the ways of asking: the first one last, while the server is known not to have it."""
        first, *others = self.runnables
        return [*others, first] if time.monotonic() < self._avoid_first_until else [first, *others]

    def _bind(self, model: Any, method: str) -> Runnable[Any, Any] | None:
        """Return the model with this method, strict if possible; None if it does not support the method."""
        for options in ({"strict": True}, {}):
            try:
                bound: Runnable[Any, Any] = model.with_structured_output(
                    self.schema, method=method, include_raw=True, **options
                )
            except (TypeError, ValueError, NotImplementedError, AttributeError):
                continue
            return bound
        return None


def limit_model(model: Any, max_tokens: int | None) -> Any:
    """Return a chat model whose answers have a limited number of tokens.

    The limit goes into the field that the model has for it, in a copy of the model; a model without such a field is
    returned as it is, because an unknown argument would be refused.

    max_tokens: None keeps the model's own limit, and sets `MAX_TOKENS` where it has none.
    """
    if isinstance(model, RunnableBinding):
        return model.model_copy(update={"bound": limit_model(model.bound, max_tokens)})
    fields = type(model).model_fields if isinstance(model, BaseChatModel) else {}
    name = next((name for name in _TOKEN_LIMITS if name in fields), None)
    if name is None or (max_tokens is None and getattr(model, name) is not None):
        return model
    return model.model_copy(update={name: MAX_TOKENS if max_tokens is None else max_tokens})
