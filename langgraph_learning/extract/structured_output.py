"""Structured output: ask a chat model for a list, by JSON schema or by tools, whichever is supported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.runnables import Runnable
from langgraph.constants import TAG_NOSTREAM

from langgraph_learning.core.flow import Flow, invoke
from langgraph_learning.errors import Misconfigured, UnreadableAnswer

ExtractionMethod = Literal["auto", "json_schema", "tools"]
_METHODS: Mapping[ExtractionMethod, tuple[str, ...]] = {
    "auto": ("json_schema", "function_calling"),
    "json_schema": ("json_schema",),
    "tools": ("function_calling",),
}


@dataclass
class StructuredModel:
    """A chat model that answers with a list of objects of a given schema."""

    model: BaseChatModel
    schema: dict[str, Any]
    method: ExtractionMethod = "auto"
    list_field: str = "edits"
    """Name of the field of the answer that holds the list."""
    runnables: list[Runnable[Any, Any]] = field(init=False)
    """The model with each supported method, in the order in which they are tried."""

    def __post_init__(self) -> None:
        """Raise `Misconfigured` if the model supports no method."""
        bound = [self._bind(method) for method in _METHODS[self.method]]
        self.runnables = [runnable for runnable in bound if runnable]
        if not self.runnables:
            raise Misconfigured(
                f"{type(self.model).__name__} takes neither a JSON schema nor tools, so it cannot extract."
            )

    def ask(self, messages: Sequence[BaseMessage]) -> Flow[tuple[list[dict[str, Any]], BaseMessage]]:
        """Return the list in the model's answer, and the answer itself. Raises `UnreadableAnswer`."""
        runnable, *fallbacks = self.runnables
        try:
            answer = yield from invoke(runnable, list(messages), (TAG_NOSTREAM,))
        except Exception as error:
            if getattr(error, "status_code", None) != 400 or not fallbacks:
                raise
            # A server without JSON schemas answers 400. That is a property of the server, so it is tried only once.
            self.runnables = fallbacks
            return (yield from self.ask(messages))
        parsed = answer["parsed"]
        if not isinstance(parsed, dict) or not isinstance(parsed.get(self.list_field), list):
            raise UnreadableAnswer(
                f"The model's answer is not a list of {self.list_field}: {answer['raw'].text[:200]!r}"
            )
        return [entry for entry in parsed[self.list_field] if isinstance(entry, dict)], answer["raw"]

    def _bind(self, method: str) -> Runnable[Any, Any] | None:
        """Return the model with this method, strict if possible; None if it does not support the method."""
        for options in ({"strict": True}, {}):
            try:
                return self.model.with_structured_output(self.schema, method=method, include_raw=True, **options)
            except (TypeError, ValueError, NotImplementedError):
                continue
        return None
