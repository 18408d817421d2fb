"""How a model is asked for a list of edits: by whichever way it and its server support."""

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
    """Asks a chat model for an answer of a given schema, by whichever way the model and its server support."""

    model: BaseChatModel
    schema: dict[str, Any]
    method: ExtractionMethod = "auto"
    listed: str = "edits"
    """The name under which the answer lists what it holds."""
    ways: list[Runnable[Any, Any]] = field(init=False)

    def __post_init__(self) -> None:
        """Raise `Misconfigured` if the model supports no way of asking."""
        self.ways = [way for name in _METHODS[self.method] if (way := self._way(name))]
        if not self.ways:
            raise Misconfigured(
                f"{type(self.model).__name__} takes neither a JSON schema nor tools, so it cannot extract."
            )

    def ask(self, messages: Sequence[BaseMessage]) -> Flow[tuple[list[dict[str, Any]], BaseMessage]]:
        """Return what the model's answer lists, and the answer itself. Raises `UnreadableAnswer`."""
        way, *others = self.ways
        try:
            answer = yield from invoke(way, list(messages), (TAG_NOSTREAM,))
        except Exception as error:
            if getattr(error, "status_code", None) != 400 or not others:
                raise
            # A server without JSON schemas answers 400. That is a fact about the server, so it is asked only once.
            self.ways = others
            return (yield from self.ask(messages))
        parsed = answer["parsed"]
        if not isinstance(parsed, dict) or not isinstance(parsed.get(self.listed), list):
            raise UnreadableAnswer(f"The model's answer is not a list of {self.listed}: {answer['raw'].text[:200]!r}")
        return [one for one in parsed[self.listed] if isinstance(one, dict)], answer["raw"]

    def _way(self, name: str) -> Runnable[Any, Any] | None:
        for options in ({"strict": True}, {}):
            try:
                return self.model.with_structured_output(self.schema, method=name, include_raw=True, **options)
            except (TypeError, ValueError, NotImplementedError):
                continue  # the model does not know this option, or this way
        return None
