"""Whether an edit that a model asked for can be carried out, and in whose name."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from langchain_core.messages import AnyMessage
from pydantic import BaseModel

from langgraph_learning.core.keys import hash_key, message_key, note_key
from langgraph_learning.core.learning import Channel, Learning, Source
from langgraph_learning.core.policy import CUT, Mode, Sharing
from langgraph_learning.core.records import (
    FORGET,
    Edit,
    InvalidEdit,
    field_text,
    kind_of,
    links_of,
    raw_links,
    resolve_links,
)
from langgraph_learning.core.scopes import Scope
from langgraph_learning.core.transcript import Line
from langgraph_learning.core.transcript import message_text as text_of_message
from langgraph_learning.extract.attribution import agent_channel, find_user_message, is_borrowed, is_quoted
from langgraph_learning.extract.schema import parse_record
from langgraph_learning.stores.base import LearningStore, Note, Turn

LONGEST_QUOTE = 1_000
"""How many characters of a message are kept for a reviewer to see."""


class EditValidator:
    """Makes edits of what a model sent, for several learning stores."""

    def __init__(self, stores: Sequence[LearningStore]) -> None:
        self.kinds = {kind: store for store in stores for kind in store.asked}
        self.records: dict[str, type[BaseModel]] = {k: r for s in stores for k, r in s.asked.items()}
        self.store_of_kind = {kind: store for store in stores for kind in store.kinds}

    def edit(
        self, turn: Turn, part: Sequence[Line], keys: Mapping[str, Learning], raw: Mapping[str, Any], number: int
    ) -> Edit:
        """Return a raw edit as one that can be carried out. Raises `InvalidEdit` or `ValidationError`."""
        line = next((line for line in part if line.number == raw.get("message")), None)
        if line is None:
            raise InvalidEdit(f"message: there is no message {raw.get('message')!r}")
        replaces = keys.get(raw.get("replaces") or "")
        if raw.get("replaces") and replaces is None:
            raise InvalidEdit(f"replaces: nothing known has the key {raw['replaces']!r}")
        kind = replaces.kind if raw.get("edit") == FORGET and replaces else str(raw.get("edit"))
        if kind not in (self.store_of_kind if replaces and raw.get("edit") == FORGET else self.kinds):
            raise InvalidEdit(f"edit: {kind!r} is not a kind, or there is no key to forget")
        record = None if raw.get("edit") == FORGET else self._record(kind, raw, keys)
        source = self._source(turn, part, line, record)
        key = message_key(turn.caller.thread, line.id, kind, str(number))
        edit = _resolve_edit(self.store_of_kind[kind], turn, kind, record, replaces, source, key)
        # What was learnt together keeps its order: a microsecond each.
        at = turn.now + timedelta(microseconds=number)
        whole = replace(edit, at=at, quote=_quote_message(line.message), covers=part[-1].id)
        return self._vetted(whole, raw, keys)

    def asked(
        self,
        turn: Turn,
        said: Sequence[Line],
        raw: Mapping[str, Any],
        replaces: Learning | None,
        keys: Mapping[str, Learning],
        call: tuple[str, str],
    ) -> Edit:
        """Return what an agent asked for with a tool. Raises `InvalidEdit` or `ValidationError`.

        The agent does not say on whose words it rests: the words do. What is not the user's in all of the thread is the
        agent's own, or a tool's if there was one in this turn. `call` is the asking message's id and the call's.
        """
        kind = replaces.kind if raw["edit"] == FORGET and replaces else str(raw["edit"])
        record = None if raw["edit"] == FORGET else self._record(kind, raw, keys)
        known = replaces.text if replaces else ""
        told = field_text(record, chosen=False) if record else known
        line = find_user_message(told, said, known_text=known if record else "")
        source = _make_source(turn, "user", line.id) if line else _make_source(turn, agent_channel(said), call[0])
        key = hash_key(turn.caller.thread, *call, kind) if turn.caller.thread and all(call) else uuid4().hex
        rests_on = next((one for one in turn.messages if one.id in source.messages), None)
        edit = _resolve_edit(self.store_of_kind[kind], turn, kind, record, replaces, source, key)
        return self._vetted(replace(edit, quote=_quote_message(rests_on) if rests_on else None), raw, keys)

    def _vetted(self, edit: Edit, raw: Mapping[str, Any], keys: Mapping[str, Learning]) -> Edit:
        """Return an edit as its learning store takes it. Raises `InvalidEdit`."""
        links = raw_links(raw, self.records[edit.kind]) if edit.record else ()
        return self.store_of_kind[edit.kind].vet(edit, [keys[key] for key in links])

    def _record(self, kind: str, raw: Mapping[str, Any], keys: Mapping[str, Learning]) -> BaseModel:
        record = parse_record(raw, self.records[kind])
        if not field_text(record).strip():
            raise InvalidEdit("an edit needs a text")
        try:
            return resolve_links(record, keys)
        except KeyError as error:
            raise InvalidEdit(f"nothing known has the key {error.args[0]!r}") from error
        except ValueError as error:
            raise InvalidEdit(str(error)) from error

    def _source(self, turn: Turn, part: Sequence[Line], line: Line, record: BaseModel | None) -> Source:
        """Return whose words an edit is: a user who passes on what a tool or a document says did not say it."""
        channel = line.channel
        if record is not None and channel == "user":
            text = field_text(record)
            channel = "tool" if is_borrowed(text, part) else "import" if is_quoted(text, line.message) else "user"
        return _make_source(turn, channel, line.id)


def edit_from_note(store: LearningStore, turn: Turn, note: Note, number: int) -> Edit:
    """Return what a learning store noted as an edit: whose words it is follows from the message, as always.

    `number` counts the notes on one message, so that what is noted of it has the same key whatever is read with it.
    """
    kind = kind_of(type(note.record))
    source = _make_source(turn, note.line.channel, note.line.id)
    key = note_key(turn.caller.thread, note.line.id, kind, number)
    edit = _resolve_edit(store, turn, kind, note.record, None, source, key)
    at = turn.now + timedelta(microseconds=note.line.number)
    return replace(edit, at=at, quote=_quote_message(note.line.message), covers=note.line.id)


def _resolve_edit(
    store: LearningStore,
    turn: Turn,
    kind: str,
    record: BaseModel | None,
    replaces: Learning | None,
    source: Source,
    key: str,
) -> Edit:
    """Return the edit, where it goes decided by who said it."""
    own_words = source.channel == "user"
    # Where a person approves, anything may be proposed. What is shared by count is the user's own until then.
    trusted = (own_words and store.sharing == Sharing.AT_ONCE) or store.mode is Mode.PROPOSE
    scope = store.scope if trusted or store.scope.private else Scope.USER
    if replaces and not own_words and not trusted and not replaces.scope.private:
        if record is None:
            raise InvalidEdit("only a user's own words can make something shared be forgotten")
        replaces = None
    place = turn.caller.namespace(scope, store.name)
    until = turn.now + store.keep if store.keep else None
    rests_on = links_of(record) if record else ()
    return Edit(kind, record, replaces, source, place, key, turn.now, until=until, rests_on=rests_on)


def _make_source(turn: Turn, channel: Channel, message: str) -> Source:
    return Source(channel=channel, user=turn.caller.user, thread=turn.caller.thread, run=turn.run, messages=(message,))


def _quote_message(message: AnyMessage) -> str:
    """Return a message as a reviewer is shown it; what is too long to have been typed is a document of somebody's."""
    text = text_of_message(message)
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + CUT
