"""Validation of the edits that a model sends: fields, keys, provenance, target namespace and key of each."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4

from langchain_core.messages import AnyMessage
from pydantic import BaseModel

from langgraph_learning.core.keys import hash_key, message_key, note_key
from langgraph_learning.core.learning import Channel, Learning, Source
from langgraph_learning.core.limits import MAX_DATA_CHARS
from langgraph_learning.core.permissions import without_permissions
from langgraph_learning.core.policy import Mode, Sharing
from langgraph_learning.core.quotation import find_claims, is_confidential, split_message
from langgraph_learning.core.records import (
    FORGET,
    Edit,
    expiry_of,
    explanation_text,
    field_text,
    find_excess,
    kind_of,
    links_of,
    raw_links,
    record_text,
    resolve_dates,
    resolve_links,
    statement_text,
)
from langgraph_learning.core.scopes import Caller, Scope
from langgraph_learning.core.similarity.agreement import agrees
from langgraph_learning.core.similarity.support import asks_to_forget
from langgraph_learning.core.text import cut, normalize, tokenize
from langgraph_learning.core.transcript import Line, last_turn, message_text
from langgraph_learning.errors import InvalidEdit
from langgraph_learning.extract.answers import parse_number
from langgraph_learning.extract.attribution import (
    Finding,
    Statement,
    Words,
    agent_channel,
    find_ending_message,
    find_supporting_message,
    foreign_text,
)
from langgraph_learning.extract.schema import parse_record
from langgraph_learning.stores.base import LearningStore, Note, Turn, name_kinds

MAX_CUES = 3
"""How many cues a learning has at most."""
FEWEST_CUE_WORDS = 3
"""Words below which a cue is dropped: one word alone is near to small talk."""
MAX_CUE_CHARS = 120
"""Characters above which a cue is dropped: it is no situation, but a text."""
MAX_QUOTE_CHARS = 1_000
"""How many characters of a message are kept for a reviewer to see."""

_AROUND_AUDIENCE = re.compile(r"^[\s\"'`]*(?:(?:for|the|this|our|my)\s+)*|\s*(?:[(\[].*)?[\s\"'`.]*$", re.DOTALL)
"""What a model may write around the name of an audience: "the team", "team (everybody in the team)"."""
_MARKS: Mapping[str, Channel] = {"quoted": "import", "tool": "tool", "agent": "agent"}
"""Channels of the marks with which a model says that a statement is not the user's own."""


class ToolCallIds(NamedTuple):
    """Ids of the message that calls a tool, and of the call; empty where there is none."""

    message: str
    call: str


class Audience(NamedTuple):
    """The scope that an edit is meant for, and why code made it narrower than the model named it."""

    scope: Scope
    reason: str = ""


class EditValidator:
    """Turns raw edits into validated ones, for several learning stores."""

    def __init__(self, stores: Sequence[LearningStore], among: Sequence[LearningStore] = ()) -> None:
        """Set up the validator.

        among: all learning stores of the machine, from which the names of the kinds follow.
        """
        named = name_kinds(among or stores)
        self.kinds = {name: found for name, found in named.items() if found.store in stores}
        """The kinds that a model may be asked for, by the names that it knows them by."""
        self._stores = {store.name: store for store in stores}

    @property
    def records(self) -> dict[str, type[BaseModel]]:
        """The records that a model may fill in, by the names of their kinds."""
        return {name: kind.record for name, kind in self.kinds.items()}

    @property
    def audiences(self) -> list[str]:
        """The names of the scopes among which edits choose, the narrowest first."""
        scopes = {scope for kind in self.kinds.values() for scope in kind.store.audiences().values()}
        return [scope.name for scope in sorted(scopes, key=lambda scope: (scope.reach, scope.name))]

    @property
    def cued_kinds(self) -> frozenset[str]:
        """The kinds whose edits may carry cues."""
        return frozenset(name for name, kind in self.kinds.items() if kind.store.cued)

    def store_of(self, edit: Edit) -> LearningStore:
        """Return the store of an edit."""
        return self._stores[edit.namespace[-1]]

    def extracted_edit(
        self,
        turn: Turn,
        chunk: Sequence[Line],
        words: Words,
        keys: Mapping[str, Learning],
        raw: Mapping[str, Any],
        number: int,
    ) -> Edit:
        """Validate an edit of an extraction. Raises `InvalidEdit` or `ValidationError`.

        words: the words that the extraction could read, by whose they are.
        keys: the learnings that the prompt showed, by the keys that it gave them.
        number: position of the edit in the answer.

        A key that the prompt did not show stands for no replacement, but nothing can be forgotten by it.
        """
        raw = {**raw, "edit": self._tag(raw)}
        line = _find_cited_line(chunk, raw)
        known = keys.get(parse_key(raw.get("replaces")))
        # A statement that waits for more users is not replaced: this one is another voice for it, or a new one.
        waits = known is not None and bool(known.supporters)
        replaces = None if waits else known
        if raw["edit"] == FORGET and replaces is None:
            raise InvalidEdit(f"replaces: nothing known has the key {raw.get('replaces')!r}")
        store, kind = self._find_target(raw, replaces)
        record = None if raw.get("edit") == FORGET else self._parse(raw, keys)
        # "Tomorrow" counts from the day on which it was said.
        words = replace(words, today=turn.day_of(line.message) or turn.today)
        if known is not None and waits and record is not None:
            record = _repeat_if_same(store, kind, record, known, words.own.get(line.number, ""), words.today)
        finding = self._find_author(words, line, record, replaces, raw)
        record = resolve_dates(record, words.today or turn.today) if record else None
        request = _find_request(chunk, line) if record is None else None
        source = _make_source(turn, finding.channel, line, request)
        key = edit_key(turn.caller, line.id, kind, number, line.revision)
        audience = _choose_audience(store, turn.caller, raw.get("audience"), replaces, line)
        edit = _route_edit(store, turn, kind, record, replaces, source, key, audience, finding.reason)
        # What was learnt together keeps its order: a microsecond each.
        at = turn.now + timedelta(microseconds=number)
        edit = replace(edit, at=at, quote=_quote_message((request or line).message), covers=chunk[-1].id)
        return self._vet(self._with_cues(edit, raw), raw, keys)

    def tool_edit(
        self,
        turn: Turn,
        lines: Sequence[Line],
        raw: Mapping[str, Any],
        replaces: Learning | None,
        keys: Mapping[str, Learning],
        call: ToolCallIds,
    ) -> Edit:
        """Validate an edit that the agent asked for with a tool. Raises `InvalidEdit` or `ValidationError`.

        The agent does not name its source, so attribution finds it. A statement that is not the user's anywhere in the
        thread is the agent's own, or a tool's if this turn called one.
        """
        store, kind = self._find_target(raw, replaces)
        record = None if raw["edit"] == FORGET else self._parse(raw, keys)
        if record:
            today = turn.today
            statement = _make_statement(record, replaces)
            line = find_supporting_message(statement.text, lines, statement.known, statement.explanation, today)
            record = resolve_dates(record, today)
        else:
            # Who denies what is known asks to forget it just as who repeats it.
            line = find_ending_message(replaces.text if replaces else "", lines)
        request = _find_request(_lines_of_turn(lines)) if record is None else None
        channel = "user" if line else agent_channel(lines)
        source = _make_source(turn, channel, line or call.message, request)
        can_repeat = turn.caller.thread and all(call)
        key = hash_key(str(turn.caller.thread), *call, kind) if can_repeat else uuid4().hex
        supporting = next((message for message in turn.messages if message.id in source.messages), None)
        evidence = request.message if request else supporting
        audience = _choose_audience(store, turn.caller, raw.get("audience"), replaces, line)
        edit = _route_edit(store, turn, kind, record, replaces, source, key, audience)
        edit = self._with_cues(replace(edit, quote=_quote_message(evidence) if evidence else None), raw)
        return self._vet(edit, raw, keys)

    def _tag(self, raw: Mapping[str, Any]) -> str:
        """Return the kind in an edit, in whichever case and form the model wrote it."""
        tag = str(raw.get("edit")).strip()
        plain = re.sub(r"[^a-z0-9]+", "", tag.casefold()).removeprefix("save")
        names = {name.replace("_", ""): name for name in (*self.kinds, FORGET)}
        return tag if tag in self.kinds else names.get(plain, tag)

    def _find_target(self, raw: Mapping[str, Any], replaces: Learning | None) -> tuple[LearningStore, str]:
        """Return the store and the kind of an edit: of a forget those of what is forgotten."""
        if raw.get("edit") == FORGET and replaces is not None and replaces.store_name in self._stores:
            return self._stores[replaces.store_name], replaces.kind
        if (found := self.kinds.get(str(raw.get("edit")))) is None:
            raise InvalidEdit(f"edit: {raw.get('edit')!r} is not a kind, or there is no key to forget")
        return found.store, found.kind

    def _parse(self, raw: Mapping[str, Any], keys: Mapping[str, Learning]) -> BaseModel:
        record = parse_record(raw, self.kinds[raw["edit"]].record)
        if not field_text(record).strip():
            raise InvalidEdit("an edit needs a text")
        if excess := find_excess(record):
            raise InvalidEdit(excess)
        try:
            return resolve_links(record, keys)
        except KeyError as error:
            raise InvalidEdit(f"nothing known has the key {error.args[0]!r}") from error
        except ValueError as error:
            raise InvalidEdit(str(error)) from error

    def _find_author(
        self, words: Words, line: Line, record: BaseModel | None, replaces: Learning | None, raw: Mapping[str, Any]
    ) -> Finding:
        """Return whose words an edit is. The model's own mark can only make it somebody else's."""
        if (channel := _MARKS.get(str(raw.get("whose")))) and line.channel == "user":
            return Finding(channel, "the extraction says that it is somebody else's")
        if record is not None:
            return words.find_author(_make_statement(record, replaces), line)
        if replaces is not None and not words.may_end(replaces.text, line):
            return Finding("tool" if line.channel == "user" else line.channel, "the user did not ask for it")
        return Finding(line.channel)

    def _with_cues(self, edit: Edit, raw: Mapping[str, Any]) -> Edit:
        """Return an edit with its cues, if learnings of its kind are found by the question."""
        cued = edit.record is not None and self.store_of(edit).cued
        return replace(edit, cues=parse_cues(raw.get("cues"))) if cued else edit

    def _vet(self, edit: Edit, raw: Mapping[str, Any], keys: Mapping[str, Learning]) -> Edit:
        """Let the learning store check the edit. Raises `InvalidEdit`."""
        links = raw_links(raw, type(edit.record)) if edit.record else ()
        return self.store_of(edit).vet(edit, [keys[key] for key in links])


def edit_key(caller: Caller, message: str, kind: str, number: int, revision: str = "") -> str:
    """Return the key of what an edit of an extraction learns.

    Clients choose the ids of threads and messages, so only the user keeps the keys of two of them apart.
    number: position of the edit in the answer.
    revision: fingerprint of the message's text, if the message was edited after it was learnt from.
    """
    return message_key(caller.thread, message, caller.user, kind, str(number), *([revision] if revision else []))


def parse_key(value: object) -> str:
    """Return the key that a model means: "k1", "[k1]", ["k1"] or {"key": "k1"}; an empty string if it means none.

    Raises `InvalidEdit` for several keys.
    """
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        named = [key for key in map(parse_key, value) if key]
        if len(named) > 1:
            raise InvalidEdit("replaces: name one key, and make an edit for each other one")
        return named[0] if named else ""
    found = re.findall(r"\bk\d+\b", str(value).casefold()) if isinstance(value, str) else []
    return found[0] if found else ""


def parse_cues(value: object) -> tuple[str, ...]:
    """Return the cues in what a model sent, without those that are no situations: too short, too long or too many."""
    texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    cues: dict[str, str] = {}
    for text in texts:
        cue = " ".join(text.split()) if isinstance(text, str) else ""
        if len(tokenize(cue)) >= FEWEST_CUE_WORDS and len(cue) <= MAX_CUE_CHARS:
            cues.setdefault(normalize(cue), cue)
    return tuple(cues.values())[:MAX_CUES]


def edit_from_note(store: LearningStore, turn: Turn, note: Note, number: int) -> Edit:
    """Return the edit for a note that a learning store made without a model.

    number: counts the notes on one message, so that a note has the same key whatever else is read with it.
    Raises `InvalidEdit` for a record that is too long.
    """
    if (length := len(record_text(note.record))) > MAX_DATA_CHARS:
        raise InvalidEdit(f"too long: {length:,} characters, of at most {MAX_DATA_CHARS:,}")
    kind = kind_of(type(note.record))
    source = _make_source(turn, note.line.channel, note.line.id)
    key = note_key(turn.caller.thread, note.line.id, kind, number)
    edit = _route_edit(store, turn, kind, note.record, None, source, key, Audience(store.scope))
    at = turn.now + timedelta(microseconds=note.line.number)
    return replace(edit, at=at, quote=_quote_message(note.line.message), covers=note.line.id)


def _route_edit(
    store: LearningStore,
    turn: Turn,
    kind: str,
    record: BaseModel | None,
    replaces: Learning | None,
    source: Source,
    key: str,
    audience: Audience,
    reason: str = "",
) -> Edit:
    """Return the edit with its target namespace, which depends on who said it.

    A user's own words go to their audience, all else is private to the user. Where a person approves, anything may be
    proposed; where sharing needs several users, a statement stays private until then.
    reason: why the statement is not the user's own.
    """
    is_own_words = source.channel == "user"
    is_trusted = (is_own_words and store.sharing == Sharing.AT_ONCE) or store.mode is Mode.PROPOSE
    meant = audience.scope
    scope = meant if is_trusted or meant.private else Scope.USER
    corrected = replaces if record and replaces and scope.private and not replaces.scope.private else None
    if replaces and not is_own_words and not is_trusted and not replaces.scope.private:
        if record is None:
            raise InvalidEdit("only a user's own words can make something shared be forgotten")
        replaces = None
    is_held_back = scope != meant and not is_own_words
    why_private = reason if is_held_back else _explain_reach(store, corrected, audience)
    return Edit(
        kind,
        record,
        replaces,
        source,
        turn.caller.namespace(scope, store.name),
        key,
        turn.now,
        until=_find_end(store, turn, record),
        rests_on=links_of(record) if record else (),
        audience=meant.name if scope.private and not store.scope.private else None,
        corrects=corrected.key if corrected else None,
        kept_private=why_private if record else "",
    )


def _explain_reach(store: LearningStore, corrected: Learning | None, audience: Audience) -> str:
    """Return why a statement of the user's own is kept to them; an empty text if they or the model wanted it so."""
    if audience.reason or corrected is None:
        return audience.reason
    waits = store.sharing != Sharing.AT_ONCE and not audience.scope.private
    until = " until it is approved or more users say the same" if waits else ""
    return f"what it corrects is shared, and stays for the others{until}"


def _repeat_if_same(
    store: LearningStore, kind: str, record: BaseModel, waiting: Learning, own: str, today: date | None
) -> BaseModel:
    """Return the record that waits for more users, if an extraction and the user say the same in other words."""
    if waiting.kind != kind or waiting.store_name != store.name:
        return record
    repeated = store.record_of(waiting)
    statement = statement_text(repeated)
    is_same = agrees(statement_text(record), statement, today) and agrees(find_claims(own), statement, today)
    return repeated if is_same else record


def _find_end(store: LearningStore, turn: Turn, record: BaseModel | None) -> datetime | None:
    """Return when a learning expires: after the store's time, and after the last day that the record names."""
    ends = [
        turn.now + store.keep if store.keep else None,
        expiry_of(record, turn.today, turn.caller.timezone) if record else None,
    ]
    return min(filter(None, ends), default=None)


def _choose_audience(
    store: LearningStore, caller: Caller, named: object, replaces: Learning | None, line: Line | None
) -> Audience:
    """Return whom an edit is meant for: the user alone, for what a message says in confidence.

    An edit that names nobody is meant for the scope of what it replaces, for the store's only scope, or for the
    narrowest of several.
    """
    audiences = store.audiences(caller)
    if not audiences:
        return Audience(store.scope)
    if line and is_confidential(message_text(line.message)):
        return Audience(Scope.USER, "it was said in confidence")
    if named:
        scope = read_audience(named, audiences.values(), caller)
        return Audience(scope) if scope else Audience(Scope.USER, f"there is no audience {cut(str(named), 40)!r} here")
    if replaces is not None and replaces.scope in audiences.values():
        return Audience(replaces.scope)
    if len(store.scopes) == 1:
        return Audience(store.scope)
    return Audience(Scope.USER, "the edit names no audience")


def read_audience(named: object, scopes: Collection[Scope], caller: Caller) -> Scope | None:
    """Return the scope that a model names, in whatever form: "Team", ["team"] or "team:acme"; of several the narrowest.

    None if a name is no scope, or names another owner than the one for whom the caller learns.
    """
    if isinstance(named, Mapping):
        named = list(named.values())
    if isinstance(named, list):
        found = [read_audience(name, scopes, caller) for name in named]
        known = [scope for scope in found if scope is not None]
        return min(known, key=lambda scope: scope.reach) if known and len(known) == len(found) else None
    name, _, owner = _AROUND_AUDIENCE.sub("", str(named).casefold()).partition(":")
    for scope in scopes:
        owners = ("", *map(str.casefold, caller.owners_of(scope)[:1]))
        if name.strip() == scope.name.casefold() and owner.strip() in owners:
            return scope
    return None


def _make_statement(record: BaseModel, replaces: Learning | None) -> Statement:
    rests_on_people = replaces is not None and not foreign_text([replaces])
    known = replaces.text if replaces and rests_on_people else ""
    return Statement(statement_text(record), explanation_text(record), known)


def _make_source(turn: Turn, channel: Channel, said: Line | str, request: Line | None = None) -> Source:
    """Return the source of an edit that rests on a message, given by its line or id, and on a request to forget."""
    said_id = said if isinstance(said, str) else said.id
    messages = tuple(dict.fromkeys((said_id, request.id if request else said_id)))
    return Source(channel=channel, user=turn.caller.user, thread=turn.caller.thread, run=turn.run, messages=messages)


def _lines_of_turn(lines: Sequence[Line]) -> list[Line]:
    """Return the lines of the user's last message and of what followed."""
    messages = {id(message) for message in last_turn([line.message for line in lines])}
    return [line for line in lines if id(line.message) in messages]


def _find_cited_line(chunk: Sequence[Line], raw: Mapping[str, Any]) -> Line:
    """Return the message on which an edit says that it rests. Raises `InvalidEdit`."""
    number = parse_number(raw.get("message"))
    line = next((line for line in chunk if line.number == number), None)
    if line is None:
        raise InvalidEdit(f"message: there is no message {raw.get('message')!r}")
    if line.other:
        raise InvalidEdit(f"message: {line.other} said it, not the user: leave it out")
    return line


def _find_request(lines: Sequence[Line], cited: Line | None = None) -> Line | None:
    """Return the message in which the user asks to forget something: the cited one, or the last; None if none does."""
    own = [line for line in lines if line.channel == "user" and not line.other]
    candidates = [*([cited] if cited in own else []), *reversed(own)]
    return next((line for line in candidates if asks_to_forget(without_permissions(_own_words(line)))), None)


def _own_words(line: Line) -> str:
    return split_message(message_text(line.message)).own


def _quote_message(message: AnyMessage) -> str:
    """Return a message as a reviewer sees it. A text too long to have been typed is a document, and marked as cut."""
    return cut(message_text(message), MAX_QUOTE_CHARS)
