"""Reading of a model's answer: the list in it, whatever the model wrapped around it."""

import json
import re
from ast import literal_eval
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from langgraph_learning.core.transcript import strip_reasoning
from langgraph_learning.errors import UnreadableAnswer

_NOTHING = re.compile(
    r"|null|none|nil|n/a"
    r"|(?:there (?:is|are|was|were) )?(?:nothing|no (?:new )?(?:edits?|learnings?|facts?|information))"
    r"(?: (?:new|here|else|worth|to|of|in|from|this|the|be|note|noting|learn|learning|learnt|extract|record|remember"
    r"|save|store|add|found|needed|necessary|conversation|message|exchange))*"
)
"""Answers in words that mean an empty list."""
_CUT_OFF = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "incomplete"})
_REFUSED = frozenset({"refusal", "content_filter", "safety", "blocked", "prohibited_content", "guardrail_intervened"})
_MAX_DEPTH = 4
"""How deep the list is looked for inside other objects and inside JSON that is a string."""
_SPARE_COMMA = re.compile(r",(\s*[}\]])")
_FENCE = re.compile(r"```[\w-]*")


@dataclass(frozen=True)
class Answer:
    """The list in a model's answer."""

    entries: tuple[dict[str, Any], ...]
    text: str = ""
    """The answer as the model gave it, to show it again with a complaint."""
    problems: tuple[str, ...] = ()
    """Parts of the answer that were lost, and why."""


@dataclass
class _Found:
    """Entries and leftovers, while an answer is read."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    leftovers: list[Any] = field(default_factory=list)
    readable: bool = False
    """True if the answer has a list, also an empty one."""
    damaged: bool = False
    """True if the list does not end, or is not valid JSON."""

    def add(self, other: "_Found") -> None:
        known = {repr(entry) for entry in self.entries} if self.entries else set()
        self.entries += [entry for entry in other.entries if repr(entry) not in known]
        self.leftovers += other.leftovers
        self.readable |= other.readable
        self.damaged |= other.damaged


def read_answer(message: BaseMessage, list_field: str, tag_field: str) -> Answer:
    """Return the list in an answer. Raises `UnreadableAnswer` for a refusal, for prose, and for any other object.

    The list may be in the calls of a tool or in the text; in a code fence, after reasoning, or between prose; bare or
    inside another object; with entries that are JSON in a string. An empty answer is an empty list. Of an answer that
    was cut off, the entries before the cut count.

    list_field: the field of the answer that holds the list.
    tag_field: a field that every entry has, with a word or a number.
    """
    reason = _stop_reason(message)
    if refusal := _refusal(message, reason):
        raise UnreadableAnswer(f"The model refused to answer: {refusal[:200]}")
    cut_off = reason in _CUT_OFF
    reader = _Reader(list_field, tag_field)
    found = reader.read_calls(message, cut_off)
    if not found.readable:
        text = strip_reasoning(message.text, closing_only=True)
        if message.text.strip() and not text.strip() and "</" not in message.text:
            raise UnreadableAnswer(f"The model's answer ends in its reasoning: {_excerpt(message)!r}")
        found = reader.read_text(text)
    if (cut_off or found.damaged) and not found.entries:
        raise UnreadableAnswer(f"The model's answer was cut off before its first entry: {_excerpt(message)!r}")
    if not found.readable or (found.leftovers and not found.entries):
        raise UnreadableAnswer(f"The model's answer is not a list of {list_field}: {_excerpt(message)!r}")
    problems = [f"dropped {str(part)[:200]!r}: not an object with the fields of an entry" for part in found.leftovers]
    if cut_off or found.damaged:
        problems.append(f"the model's answer was cut off after {len(found.entries)} {list_field}: the rest is lost")
    return Answer(tuple(found.entries), _excerpt(message, 20_000), tuple(problems))


def parse_number(value: object) -> int | None:
    """Return the whole number that a model means: 1, 1.0, "1", "[1]", "message 1", [1] or {"number": 1}; else None."""
    while isinstance(value, list | dict) and len(value) == 1:
        value = next(iter(value.values() if isinstance(value, dict) else value))
    if isinstance(value, str):
        digits = re.findall(r"\d+(?:\.\d+)?", value)
        value = float(digits[0]) if len(digits) == 1 else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value)


@dataclass(frozen=True)
class _Reader:
    list_field: str
    tag_field: str

    def read_calls(self, message: BaseMessage, cut_off: bool) -> _Found:
        """Read the arguments of all tool calls in an answer, also of those that are not valid JSON."""
        found = _Found()
        if not isinstance(message, AIMessage):
            return found
        for call in message.tool_calls:
            of_call = self.read_value(call["args"])
            if not of_call.readable and call["args"]:
                of_call = _Found(leftovers=[call["args"]])
            if cut_off and call is message.tool_calls[-1]:
                # A client that repairs cut JSON shows half an entry as a whole one.
                of_call.entries = of_call.entries[:-1]
            found.add(of_call)
        for invalid in message.invalid_tool_calls:
            found.add(self.read_text(invalid["args"] or ""))
        return found if found.readable or found.damaged else _Found()

    def read_text(self, text: str, depth: int = 0) -> _Found:
        """Read the list in a text."""
        bare = _FENCE.sub(" ", text).strip()
        if _NOTHING.fullmatch(bare.strip(" .!\"'").casefold()):
            return _Found(readable=True)
        for whole in (text.strip(), bare):
            value = _parse_json(whole)
            if value is not _NO_JSON:
                return self.read_value(value, depth)
        # Prose has brackets, too: only an entry, a list of entries, or an object with the list is meant.
        found = _Found(damaged=bool(re.search(rf'[{{]\s*"{self.list_field}"\s*:', bare)))
        for value in _json_values(bare):
            if self._is_meant(value):
                found.damaged &= self._is_entry(value)
                found.add(self.read_value(value, depth + 1))
        return found

    def read_value(self, value: Any, depth: int = 0) -> _Found:
        """Read the list in parsed JSON."""
        if depth > _MAX_DEPTH:
            return _Found()
        if value is None or value in ([], {}):
            return _Found(readable=True)
        if isinstance(value, str):
            return self.read_text(value, depth + 1)
        if isinstance(value, list):
            return self._read_list(value, depth)
        if isinstance(value, Mapping):
            return self._read_object(value, depth)
        return _Found()

    def _read_list(self, values: Sequence[Any], depth: int) -> _Found:
        found = _Found(readable=True)
        for value in values:
            if isinstance(value, str | list) or (isinstance(value, Mapping) and self.list_field in value):
                part = self.read_value(value, depth + 1)
                found.add(part if part.readable else _Found(leftovers=[value]))
            elif isinstance(value, Mapping) and value:
                found.entries.append(self._flatten(value))
            elif value is not None and value != {}:
                found.leftovers.append(value)
        return found

    def _read_object(self, value: Mapping[Any, Any], depth: int) -> _Found:
        if self.list_field in value:
            listed = value[self.list_field]
            if isinstance(listed, Mapping) and listed and not self._is_entry(listed) and self.list_field not in listed:
                # A list that became an object with a number for each entry.
                parts = list(listed.values())
                return self._read_list(parts, depth + 1) if all(map(self._is_entry, parts)) else _Found()
            return self.read_value(listed or None, depth + 1)  # 0 and false stand for an empty list, too
        if self._is_entry(value):
            return _Found([self._flatten(value)], readable=True)
        for part in value.values():
            if isinstance(part, Mapping | str) and self.list_field in part:
                found = self.read_value(part, depth + 1)
                if found.readable:
                    return found
            if isinstance(part, list) and part and all(map(self._is_entry, part)):
                return self._read_list(part, depth + 1)
        return _Found()

    def _flatten(self, value: Mapping[Any, Any]) -> dict[str, Any]:
        """Return an entry as one object, also if its tag is in an object inside."""
        inside = [name for name, part in value.items() if isinstance(part, Mapping) and self._has_tag(part)]
        flat = {str(name): part for name, part in value.items()}
        if self._has_tag(value) or len(inside) != 1:
            return flat
        return {**{str(name): part for name, part in flat.pop(str(inside[0])).items()}, **flat}

    def _has_tag(self, value: Mapping[Any, Any]) -> bool:
        return isinstance(value.get(self.tag_field), str | int)

    def _is_entry(self, value: Any) -> bool:
        return isinstance(value, Mapping) and self._has_tag(self._flatten(value))

    def _is_meant(self, value: Any) -> bool:
        if isinstance(value, list):
            return any(map(self._is_entry, value))
        return self._is_entry(value) or self.list_field in value


_NO_JSON = object()


def _parse_json(text: str) -> Any:
    """Return the value of a text that is JSON, or nearly: with a comma too many, or written as Python."""
    for parse, form in ((_loads, text), (_loads, _SPARE_COMMA.sub(r"\1", text)), (literal_eval, text)):
        if form[:1] in ("{", "[", '"') or parse is _loads:
            with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                return parse(form)
    return _NO_JSON


def _loads(text: str) -> Any:
    return json.loads(text, strict=False)


def _json_values(text: str) -> Iterator[Any]:
    """Yield the JSON objects and lists that stand in a text, one after another."""
    decoder = json.JSONDecoder(strict=False)
    at = 0
    while match := re.compile(r"[\[{]").search(text, at):
        try:
            value, at = decoder.raw_decode(text, match.start())
        except ValueError:
            at = match.end()
        else:
            yield value


def _stop_reason(message: BaseMessage) -> str:
    """Return the reason for which the model stopped, in lower case, or an empty string."""
    metadata = message.response_metadata
    details = metadata.get("incomplete_details")
    reasons = [
        metadata.get("finish_reason"),
        metadata.get("stop_reason"),
        metadata.get("stopReason"),
        metadata.get("done_reason"),
        details.get("reason") if isinstance(details, Mapping) else None,
    ]
    return next((str(reason).rsplit(".", 1)[-1].casefold() for reason in reasons if reason), "")


def _refusal(message: BaseMessage, reason: str) -> str:
    """Return the words with which the model refused, or an empty string."""
    said = message.additional_kwargs.get("refusal")
    blocks = message.content if isinstance(message.content, list) else []
    for block in blocks:
        if isinstance(block, Mapping) and block.get("type") == "refusal":
            said = said or block.get("refusal") or "refusal"
    return str(said or (reason if reason in _REFUSED else ""))


def _excerpt(message: BaseMessage, limit: int = 200) -> str:
    """Return an answer as text: its words, or its tool calls where it has none."""
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    text = message.text or "\n".join(json.dumps(call["args"], ensure_ascii=False, default=str) for call in calls)
    return text[:limit]
