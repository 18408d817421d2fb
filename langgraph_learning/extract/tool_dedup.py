"""Deduplication of extracted edits against what the agent saved with its own tools in the same messages."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from pydantic import BaseModel, ValidationError

from langgraph_learning.core.keys import FORGET_TOOL, SEARCH_TOOL, save_tool_name
from langgraph_learning.core.records import Edit, identity_of, own_values, record_text
from langgraph_learning.core.text import content_stems, plain_words
from langgraph_learning.core.transcript import message_text
from langgraph_learning.extract.schema import parse_record
from langgraph_learning.stores.base import EditKind, LearningStore, name_kinds


class SavedStatement(NamedTuple):
    """One statement that a tool saved."""

    kind: str
    text: str
    identity: str | None
    """Identity of the record, for records that have one."""


def tool_names(stores: Sequence[LearningStore]) -> frozenset[str]:
    """Return the names of the tools of these stores. Their calls and results are not learnt from."""
    saving = [save_tool_name(name) for name, found in name_kinds(stores).items() if found.store.tools]
    return frozenset([*saving, *([SEARCH_TOOL, FORGET_TOOL] if any(store.tools for store in stores) else [])])


def find_saved(messages: Sequence[AnyMessage], named: Mapping[str, EditKind]) -> list[SavedStatement]:
    """Return the statements that tools saved in these messages; a failed call saved nothing."""
    kinds = {save_tool_name(name): found for name, found in named.items()}
    succeeded = {m.tool_call_id for m in messages if isinstance(m, ToolMessage) and m.status == "success"}
    statements = []
    for call in (call for message in messages if isinstance(message, AIMessage) for call in message.tool_calls):
        if call["id"] not in succeeded or call["name"] not in kinds:
            continue
        _, kind, expected = kinds[call["name"]]
        # The record may have had another shape when this thread was written.
        with suppress(ValidationError):
            record = parse_record(call["args"], expected)
            statements.append(SavedStatement(kind, record_text(record), identity_of(record)))
    return statements


def repeats_saved(edit: Edit, saved: Sequence[SavedStatement], messages: Sequence[AnyMessage]) -> bool:
    """Return True if an edit learns what was saved in these messages, in the same words or in others."""
    if edit.record is None:
        return False
    same_kind = [statement for statement in saved if statement.kind == edit.kind]
    if identity := identity_of(edit.record):
        return any(statement.identity == identity for statement in same_kind)
    user_stems = content_stems(message_text(message) for message in messages if isinstance(message, HumanMessage))
    return any(_says_the_same(edit.record, statement.text, user_stems) for statement in same_kind)


def _says_the_same(record: BaseModel, saved_text: str, user_stems: set[str]) -> bool:
    """Return True if most of the content words that the user said are the same, and no name or number differs."""
    text = record_text(record)
    stems, saved_stems = content_stems([text]), content_stems([saved_text])
    stems = stems & user_stems or stems
    mostly = len(stems & saved_stems) * 2 > len(stems) or plain_words(text) == plain_words(saved_text)
    return mostly and _names_in(record) <= set(plain_words(saved_text).split())


def _names_in(record: BaseModel) -> set[str]:
    """Return the names and numbers in a record. The first word of a value has a capital anyway, so it is left out."""
    values = [value.split() for value in own_values(record).values() if isinstance(value, str)]
    words = [word for value in values for position, word in enumerate(value) if position or len(value) == 1]
    names = [word for word in words if any(char.isupper() or char.isdigit() for char in word)]
    return {part for name in names for part in plain_words(name).split()}
