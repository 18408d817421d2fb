"""What the agent saved with its own tools, so that the extraction does not learn it a second time."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from pydantic import BaseModel, ValidationError

from langgraph_learning.core.keys import FORGET_TOOL, SEARCH_TOOL, save_tool_name
from langgraph_learning.core.records import Edit, identity_of, own_values, record_text
from langgraph_learning.core.text import content_words, plain_words, stem_words
from langgraph_learning.core.transcript import message_text
from langgraph_learning.extract.schema import parse_record
from langgraph_learning.stores.base import LearningStore


class SavedStatement(NamedTuple):
    """One statement that a tool has saved."""

    kind: str
    text: str
    about: str | None
    """What the record says it is about."""


def tool_names(stores: Sequence[LearningStore]) -> frozenset[str]:
    """Return the names of the tools of these stores: neither what they are asked nor what they say is learnt from."""
    with_tools = [store for store in stores if store.tools]
    kinds = [kind for store in with_tools for kind in store.asked]
    return frozenset([*map(save_tool_name, kinds), *([SEARCH_TOOL, FORGET_TOOL] if with_tools else [])])


def find_saved(messages: Sequence[AnyMessage], records: Mapping[str, type[BaseModel]]) -> list[SavedStatement]:
    """Return what the tools have saved in these messages; a call that failed saved nothing."""
    kinds = {save_tool_name(kind): kind for kind in records}
    done = {m.tool_call_id for m in messages if isinstance(m, ToolMessage) and m.status == "success"}
    found = []
    for call in (call for m in messages if isinstance(m, AIMessage) for call in m.tool_calls):
        # A thread may be older than the record's present shape.
        with suppress(ValidationError):
            if call["id"] in done and call["name"] in kinds:
                kind = kinds[call["name"]]
                record = parse_record(call["args"], records[kind])
                found.append(SavedStatement(kind, record_text(record), identity_of(record)))
    return found


def repeats_saved(edit: Edit, saved: Sequence[SavedStatement], messages: Sequence[AnyMessage]) -> bool:
    """Whether an edit learns what was saved in these messages, in the same or in other words."""
    if edit.record is None:
        return False
    about = identity_of(edit.record)
    heard = stem_words(
        content_words(message_text(message) for message in messages if isinstance(message, HumanMessage))
    )
    same_kind = [one for one in saved if one.kind == edit.kind]
    return any(one.about == about if about else _alike(edit.record, one.text, heard) for one in same_kind)


def _alike(record: BaseModel, saved: str, heard: set[str]) -> bool:
    """Whether most telling words that were heard are the same, and no name or number is another."""
    new, old = stem_words(content_words([record_text(record)])), stem_words(content_words([saved]))
    new = new & heard or new
    mostly = len(new & old) * 2 > len(new) or plain_words(record_text(record)) == plain_words(saved)
    return mostly and _names_in(record) <= set(plain_words(saved).split())


def _names_in(record: BaseModel) -> set[str]:
    """Return the names and numbers in a record: what begins a sentence has a capital anyway."""
    values = [value.split() for value in own_values(record).values() if isinstance(value, str)]
    told = [word for value in values for place, word in enumerate(value) if place or len(value) == 1]
    return {
        part for word in told if any(c.isupper() or c.isdigit() for c in word) for part in plain_words(word).split()
    }
