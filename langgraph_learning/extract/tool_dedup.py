"""What the agent saved with its own tools, so that the extraction does not learn it a second time."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from pydantic import BaseModel, ValidationError

from langgraph_learning.core.keys import FORGET_TOOL, SEARCH_TOOL, save_tool
from langgraph_learning.core.records import Edit, given_to, identity_of, record_from, said_by
from langgraph_learning.core.text import plain, stems, words
from langgraph_learning.core.transcript import text_of
from langgraph_learning.stores.base import LearningStore


class Saved(NamedTuple):
    """One statement that a tool has saved."""

    kind: str
    text: str
    about: str | None
    """What the record says it is about."""


def names(stores: Sequence[LearningStore]) -> frozenset[str]:
    """Return the names of the tools of these stores: neither what they are asked nor what they say is learnt from."""
    with_tools = [store for store in stores if store.tools]
    kinds = [kind for store in with_tools for kind in store.asked]
    return frozenset([*map(save_tool, kinds), *([SEARCH_TOOL, FORGET_TOOL] if with_tools else [])])


def saved(messages: Sequence[AnyMessage], records: Mapping[str, type[BaseModel]]) -> list[Saved]:
    """Return what the tools have saved in these messages; a call that failed saved nothing."""
    kinds = {save_tool(kind): kind for kind in records}
    done = {m.tool_call_id for m in messages if isinstance(m, ToolMessage) and m.status == "success"}
    found = []
    for call in (call for m in messages if isinstance(m, AIMessage) for call in m.tool_calls):
        # A thread may be older than the record's present shape.
        with suppress(ValidationError):
            if call["id"] in done and call["name"] in kinds:
                kind = kinds[call["name"]]
                record = record_from(call["args"], records[kind])
                found.append(Saved(kind, said_by(record), identity_of(record)))
    return found


def repeats(edit: Edit, saved: Sequence[Saved], messages: Sequence[AnyMessage]) -> bool:
    """Whether an edit learns what was saved in these messages, in the same or in other words."""
    if edit.record is None:
        return False
    about = identity_of(edit.record)
    heard = stems(words(text_of(message) for message in messages if isinstance(message, HumanMessage)))
    same_kind = [one for one in saved if one.kind == edit.kind]
    return any(one.about == about if about else _alike(edit.record, one.text, heard) for one in same_kind)


def _alike(record: BaseModel, saved: str, heard: set[str]) -> bool:
    """Whether most telling words that were heard are the same, and no name or number is another."""
    new, old = stems(words([said_by(record)])), stems(words([saved]))
    new = new & heard or new
    mostly = len(new & old) * 2 > len(new) or plain(said_by(record)) == plain(saved)
    return mostly and _names_in(record) <= set(plain(saved).split())


def _names_in(record: BaseModel) -> set[str]:
    """Return the names and numbers in a record: what begins a sentence has a capital anyway."""
    values = [value.split() for value in given_to(record).values() if isinstance(value, str)]
    told = [word for value in values for place, word in enumerate(value) if place or len(value) == 1]
    return {part for word in told if any(c.isupper() or c.isdigit() for c in word) for part in plain(word).split()}
