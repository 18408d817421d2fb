"""Whether an edit that a model asked for can be carried out, and in whose name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

from langchain_core.messages import AnyMessage
from pydantic import BaseModel

from langgraph_learning.edits import FORGET, Edit, record_from, text_of
from langgraph_learning.learning import Learning, Source
from langgraph_learning.learning_store import LearningStore, Mode
from langgraph_learning.scopes import Caller, Namespace, Scope
from langgraph_learning.sharing import CUT, Sharing
from langgraph_learning.transcript import Line, borrowed
from langgraph_learning.transcript import text_of as text_of_message

LONGEST_QUOTE = 1_000
"""How many characters of a message are kept for a reviewer to see."""


@dataclass(frozen=True)
class Turn:
    """What an extraction is asked about."""

    caller: Caller
    messages: tuple[AnyMessage, ...]
    now: datetime
    run: str | None = None
    session: tuple[Learning, ...] = ()
    shown: tuple[tuple[Namespace, str], ...] = ()
    """Which learnings the answer had in its context."""


class InvalidEdit(ValueError):
    """An edit that cannot be carried out; the model is told why."""


class Checks:
    """Makes edits of what a model sent, for several learning stores."""

    def __init__(self, stores: Sequence[LearningStore]) -> None:
        self.kinds = {kind: store for store in stores for kind in store.kinds}
        self.records: dict[str, type[BaseModel]] = {k: r for s in stores for k, r in s.kinds.items()}

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
        if kind not in self.kinds:
            raise InvalidEdit(f"edit: {kind!r} is not a kind, or there is no key to forget")
        record = None if raw.get("edit") == FORGET else record_from(raw, self.records[kind])
        if record is not None and not text_of(record).strip():
            raise InvalidEdit("an edit needs a text")
        source = self._source(turn, part, line, record)
        store = self.kinds[kind]
        own_words = source.channel == "user"
        # Where a person approves, anything may be proposed. What is shared by count is the user's own until then.
        trusted = (own_words and store.sharing == Sharing.AT_ONCE) or store.mode is Mode.PROPOSE
        scope = store.scope if trusted or store.scope.private else Scope.USER
        if replaces and not own_words and not trusted and not replaces.scope.private:
            if record is None:
                raise InvalidEdit("only a user's own words can make something shared be forgotten")
            replaces = None
        key = _key(turn, line, kind, number)
        place = turn.caller.namespace(scope, store.name)
        # What was learnt together keeps its order: a microsecond each.
        at = turn.now + timedelta(microseconds=number)
        return Edit(kind, record, replaces, source, place, key, at, _quote(line), covers=part[-1].id)

    def _source(self, turn: Turn, part: Sequence[Line], line: Line, record: BaseModel | None) -> Source:
        from_tool = record is not None and line.channel == "user" and borrowed(text_of(record), part)
        channel = "tool" if from_tool else line.channel
        return Source(
            channel=channel, user=turn.caller.user, thread=turn.caller.thread, run=turn.run, messages=(line.id,)
        )


def _quote(line: Line) -> str | None:
    """Return a message as a reviewer is shown it; what is too long to have been typed is a document of somebody's."""
    text = text_of_message(line.message)
    return text if len(text) <= LONGEST_QUOTE else text[:LONGEST_QUOTE] + CUT


def _key(turn: Turn, line: Line, kind: str, number: int) -> str:
    """Return the key of a new learning: the same for the same place of the same conversation, whatever its words."""
    if turn.caller.thread is None or not line.id:
        return uuid4().hex
    return uuid5(NAMESPACE_URL, "\0".join((turn.caller.thread, line.id, kind, str(number)))).hex
