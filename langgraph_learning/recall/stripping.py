"""Removal of injected text, found by the mark of its run, from whatever a node returns."""

import copy
import re
from collections import deque
from collections.abc import Callable, Sequence, Set
from dataclasses import fields, is_dataclass
from functools import cached_property
from typing import Any

from langgraph.types import Send
from pydantic import BaseModel

MESSAGE_ID = "langgraph-learning"
"""The reserved id of the system message that carries injected text to a model."""
TAG = "learned"
"""The tag around injected text begins with this word; the mark of the run follows."""
COMPARED = 60
"""How many letters tell whether a text that was cut is a copy of the injected one."""
MAX_DEPTH = 40
"""How deep nested values are searched; deeper ones, and cycles, are left alone."""


def add_marks(text: str, mark: str) -> str:
    """Return a text between an opening and a closing tag that no user can know."""
    return f"<{TAG}_{mark}>\n{text}\n</{TAG}_{mark}>" if text and mark else text


def strip_marked(value: Any, mark: str, texts: Sequence[str]) -> Any:
    """Return a value without what stands between the two tags with this mark. What has none is returned as it is.

    Commands, Sends, Overwrites, messages, dataclasses, pydantic models and containers are searched; a changed one is
    replaced by a copy. Of a copy that was cut, so that one tag is missing, everything up to the cut is removed; a tag
    by itself, as a model may write one, is removed alone.

    texts: all that may stand between the tags.
    """
    return _Stripper(mark, texts).strip(value, 0) if mark else value


class _Stripper:
    def __init__(self, mark: str, texts: Sequence[str]) -> None:
        self._mark = mark
        self._injected = texts

    # Patterns and letters are made when the mark is found: hardly any value has it, and each run has another mark.

    @cached_property
    def _opening(self) -> re.Pattern[str]:
        # The text follows a blank line; in a JSON string that is two times a backslash and an n.
        return re.compile(rf"(?:\n\n|\\n\\n)?{self._tag('')}", re.IGNORECASE)

    @cached_property
    def _closing(self) -> re.Pattern[str]:
        return re.compile(self._tag(r"\\?/"), re.IGNORECASE)

    @cached_property
    def _region(self) -> re.Pattern[str]:
        return re.compile(f"{self._opening.pattern}.*?{self._closing.pattern}", re.DOTALL | re.IGNORECASE)

    @cached_property
    def _texts(self) -> list[str]:
        return [_letters(text) for text in self._injected]

    def _tag(self, slash: str) -> str:
        """Return the pattern of a tag: as it is, in HTML, and in JSON that escapes slashes.

        A change of case leaves the digits of the mark.
        """
        return rf"(?:<|&lt;){slash}{TAG}_{self._mark}(?:>|&gt;)"

    def strip(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._strip_text(value)
        if isinstance(value, bytes):
            text = value.decode("utf-8", "surrogateescape")
            stripped = self._strip_text(text)
            return value if stripped == text else stripped.encode("utf-8", "surrogateescape")
        if value is None or depth > MAX_DEPTH or isinstance(value, type | int | float):
            return value
        if isinstance(value, BaseModel):
            return self._strip_model(value, depth)
        if isinstance(value, Send):
            return self._strip_fields(value, ("arg",), depth)
        if is_dataclass(value):
            return self._strip_fields(value, [field.name for field in fields(value)], depth)
        if isinstance(value, dict):
            return self._strip_dict(value, depth)
        if isinstance(value, list | tuple | deque):
            return self._strip_sequence(value, depth)
        if isinstance(value, set | frozenset):
            return self._strip_set(value, depth)
        return value

    def _strip_text(self, text: str) -> str:
        if self._mark not in text:
            return text
        text = self._region.sub("", text)
        if cut := self._opening.search(text):
            text = text[: cut.start()] if self._is_beginning(text[cut.end() :]) else self._opening.sub("", text)
        if cut := self._closing.search(text):
            start = _letters(text[: cut.start()])[-COMPARED:]
            is_copy = any(injected.endswith(start) for injected in self._texts)
            text = text[cut.end() :] if is_copy else self._closing.sub("", text)
        return text

    def _is_beginning(self, text: str) -> bool:
        """Return True if a text is what begins after the opening tag, as far as it goes."""
        beginning = _letters(text)[:COMPARED]
        return any(injected.startswith(beginning) for injected in self._texts)

    def _strip_model(self, model: BaseModel, depth: int) -> BaseModel:
        changed: dict[str, Any] = {}
        for name, value in {**vars(model), **(model.__pydantic_extra__ or {})}.items():
            stripped = self.strip(value, depth + 1)
            if stripped is not value:
                changed[name] = stripped
        return model.model_copy(update=changed) if changed else model

    def _strip_fields(self, value: Any, names: Sequence[str], depth: int) -> Any:
        result = value
        for name in names:
            field = getattr(value, name, None)
            stripped = self.strip(field, depth + 1)
            if stripped is not field:
                result = copy.copy(value) if result is value else result
                object.__setattr__(result, name, stripped)  # frozen ones too
        return result

    def _strip_dict(self, value: dict[Any, Any], depth: int) -> Any:
        items = [(self.strip(key, depth + 1), self.strip(item, depth + 1)) for key, item in value.items()]
        if all(new[0] is old[0] and new[1] is old[1] for new, old in zip(items, value.items(), strict=True)):
            return value
        result = copy.copy(value)
        result.clear()
        result.update(items)
        return result

    def _strip_set(self, value: Set[Any], depth: int) -> Any:
        items = [(item, self.strip(item, depth + 1)) for item in value]
        if all(old is new for old, new in items):
            return value
        return type(value)(new for _, new in items)  # type: ignore[call-arg]

    def _strip_sequence(self, value: Any, depth: int) -> Any:
        """Strip each part. A text that was split stays open from the part with the mark to the part with its end."""
        parts: list[Any] = []
        is_open = False
        for part in value:
            if is_open and isinstance(part, str):
                *_, rest = self._closing.split(part, maxsplit=1)
                if rest == part:
                    continue
                is_open = False
                if rest:
                    parts.append(self._strip_text(rest))
                continue
            stripped = self.strip(part, depth + 1)
            if isinstance(part, str) and self._mark in part and self._opening.search(part):
                rest = self._opening.split(part)[-1]
                is_open = self._closing.search(rest) is None and self._is_beginning(rest)
                if not stripped:
                    continue
            if stripped is part or not _is_only_injected(stripped):
                parts.append(stripped)
        if len(parts) == len(value) and all(new is old for new, old in zip(parts, value, strict=True)):
            return value
        if isinstance(value, tuple) and hasattr(value, "_fields"):  # a named tuple
            return type(value)(*(self.strip(part, depth + 1) for part in value))
        make: Callable[[list[Any]], Any] = type(value)
        return make(parts)


def _is_only_injected(stripped: Any) -> bool:
    """Return True if nothing is left of a message or content block that was added for the injected text."""
    if isinstance(stripped, dict):
        return stripped.get("type") == "text" and not stripped.get("text")
    return getattr(stripped, "id", None) == MESSAGE_ID and not getattr(stripped, "content", None)


def _letters(text: str) -> str:
    """Return the letters and digits of a text, the same for a copy that was escaped, split or changed in case."""
    return re.sub(r"\\[nrt]|&\w+;|\W", "", text).casefold()
