"""Record, the fields of one kind of learning; Edit, a validated request to change learnings; and how edits apply."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar, Literal, Self, TypeVar, get_origin
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.json_schema import SkipJsonSchema

from langgraph_learning.core.end_dates import last_day, single_day
from langgraph_learning.core.learning import Learning, Source, Status
from langgraph_learning.core.limits import MAX_DATA_CHARS, MAX_TEXT_CHARS
from langgraph_learning.core.policy import Standing
from langgraph_learning.core.repair import input_name
from langgraph_learning.core.scopes import Namespace
from langgraph_learning.core.text import normalize

SubjectOf = Callable[[Learning], str]

R = TypeVar("R", bound=BaseModel)

FORGET = "forget"


class Record(BaseModel):
    """Fields of one kind of learning. Models read the field docstrings. Any pydantic model can be used instead."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: ClassVar[str]
    links: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that hold the key of a known learning, or a list of such keys."""
    explains: ClassVar[tuple[str, ...]] = ()
    """Names of the fields in which a model says in its own words when or where the statement applies."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kind = cls.__dict__.get("kind", _snake_case(cls.__name__))

    def as_text(self) -> str:
        """Return the text that is embedded, searched and shown."""
        return field_text(self)

    def identity(self) -> str | None:
        """Return the subject, such as a field's name, if a later record about the same subject replaces this one.

        None: two records are the same only if their texts are.
        """
        return None

    def verdict(self) -> bool | None:
        """Return True if the record says that the agent's last answer was good, False if bad, None if neither."""
        return None

    def standing(self) -> Standing:
        """Return whether the record is shown for questions that have less to do with it, too, or for all of them."""
        return Standing.NO

    def removes(self) -> bool:
        """Return True if it only removes what was there; override it for records that can."""
        return False

    def knowing(self, linked: Sequence[Learning]) -> Self:
        """Return this record with copies of what it needs of the linked learnings; override it for records with links.

        Copies go into fields of type `SkipJsonSchema[…]`, which models do not fill in. Raises `ValueError` if a linked
        learning is of the wrong kind.
        """
        return self


@dataclass(frozen=True)
class Edit:
    """A validated edit: store `record`, superseding `replaces` if given; without a record, forget `replaces`."""

    kind: str
    record: BaseModel | None
    replaces: Learning | None
    source: Source
    namespace: Namespace
    """Namespace to write to. Code decides it from the store's scope and the source."""
    key: str
    at: datetime
    quote: str | None = None
    """The message that it rests on, cut if it is very long."""
    covers: str = ""
    """Id of the last message that was read for this edit."""
    until: datetime | None = None
    """Time at which the learning expires, if its store sets one."""
    rests_on: tuple[str, ...] = ()
    """Keys of the learnings that the record links to."""
    support: tuple[Source, ...] = ()
    """Sources of the linked learnings, if its store counts them as evidence."""
    audience: str | None = None
    """Name of the scope for which it is meant, if it waits for others there."""
    corrects: str | None = None
    """Key of a shared learning that it would replace if it were shared itself."""
    kept_private: str = ""
    """Why it stays private to the user although its store is shared; an empty text if it does not."""
    cues: tuple[str, ...] = ()
    """Situations in which somebody should be reminded of it."""

    def learning(self, **changes: Any) -> Learning:
        """Return the record as a new learning, with `changes` to its fields. Raises `TypeError` without a record."""
        if self.record is None:
            raise TypeError("An edit without a record has no learning.")
        learning = Learning(
            namespace=self.namespace,
            key=self.key,
            kind=self.kind,
            text=record_text(self.record),
            data=record_data(self.record),
            cues=self.cues,
            standing=standing_of(self.record),
            sources=(self.source, *self.support),
            quote=self.quote,
            learned_at=self.at,
            valid_to=self.until,
            derived_from=self.rests_on,
            audience=self.audience,
            corrects=self.corrects,
        )
        return learning.model_copy(update=changes)


def kind_of(record: type[BaseModel]) -> str:
    """Return the name of a record's kind."""
    return record.kind if issubclass(record, Record) else _snake_case(record.__name__)


def identity_of(record: BaseModel) -> str | None:
    """Return the subject of a record; None if its class defines none."""
    return record.identity() if isinstance(record, Record) else None


def has_identity(record: type[BaseModel]) -> bool:
    """Return True if records of this class define an identity."""
    return issubclass(record, Record) and record.identity is not Record.identity


def links_of(record: BaseModel) -> tuple[str, ...]:
    """Return the keys of the learnings that a record links to."""
    names = record.links if isinstance(record, Record) else ()
    return raw_links({name: getattr(record, name, None) for name in names}, type(record))


def raw_links(raw: Mapping[str, Any], record: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys that a model sent in the link fields of a record."""
    keys: list[str] = []
    for name in record.links if issubclass(record, Record) else ():
        value = raw.get(name)
        keys += [str(key) for key in (value if isinstance(value, list) else [value]) if key]
    return tuple(keys)


def resolve_links(record: BaseModel, known: Mapping[str, Learning]) -> BaseModel:
    """Replace the short keys that a model was shown by the keys of the learnings, and copy what the record needs.

    Raises `KeyError` for a key that is not known, and `ValueError` for a learning that the record cannot link to.
    """
    if not isinstance(record, Record):
        return record
    resolved: dict[str, str | list[str]] = {}
    for name in record.links:
        value = getattr(record, name)
        if value:
            resolved[name] = [known[key].key for key in value] if isinstance(value, list) else known[value].key
    return record.model_copy(update=resolved).knowing([known[key] for key in links_of(record)])


def verdict_of(record: BaseModel | None) -> bool | None:
    """Return True if a record says that the last answer was good, False if bad, None if neither."""
    return record.verdict() if isinstance(record, Record) else None


def standing_of(record: BaseModel) -> Standing:
    """Return how a record stands; only a `Record` says so."""
    return record.standing() if isinstance(record, Record) else Standing.NO


def record_data(record: BaseModel) -> dict[str, Any]:
    """Return the validated values of a record by field name, as JSON: what is stored, and what `read_record` reads."""
    return record.model_dump(mode="json", by_alias=False, round_trip=True)


def read_record(kind: type[R], data: Mapping[str, Any]) -> R:
    """Return the record with stored values. Raises pydantic's `ValidationError` if its fields have changed since.

    Values are JSON, so a strict record takes a date as text here; computed fields that were stored are left out.
    """
    names = {name: input_name(name, field) for name, field in kind.model_fields.items()}
    computed = kind.model_computed_fields.keys() - names.keys()
    values = {names.get(name, name): value for name, value in data.items() if name not in computed}
    return kind.model_validate(values, strict=False)


def record_text(record: BaseModel) -> str:
    """Return the text of a record: its own `as_text`, or all field values for other pydantic models."""
    return record.as_text() if isinstance(record, Record) else field_text(record)


def field_text(record: BaseModel) -> str:
    """Return the field values of a record as one line."""
    return " · ".join(text for text in map(value_text, own_values(record).values()) if text)


def statement_text(record: BaseModel) -> str:
    """Return a record's statement proper: its values without choices, without yes and no, and without explanations."""
    left_out = {name for name, field in type(record).model_fields.items() if get_origin(field.annotation) is Literal}
    left_out |= set(record.explains) if isinstance(record, Record) else set()
    given = [
        value for name, value in own_values(record).items() if name not in left_out and not isinstance(value, bool)
    ]
    return " · ".join(text for text in map(value_text, given) if text)


def explanation_text(record: BaseModel) -> str:
    """Return the values of the fields that explain a record's statement."""
    names = record.explains if isinstance(record, Record) else ()
    return " · ".join(filter(None, (value_text(own_values(record).get(name)) for name in names)))


def until_text(until: str | None) -> str:
    """Return the end of a statement's time, in brackets; an empty text for none."""
    return f" (until {until})" if until else ""


def end_of(record: BaseModel, today: date) -> date | None:
    """Return the last day on which a record holds, if its field `until` names a time that can be one day only."""
    return last_day(str(getattr(record, "until", None) or ""), today)


def expiry_of(record: BaseModel, today: date, timezone: str) -> datetime | None:
    """Return when a record ends: after its last day in a time zone. What was over when it was said does not expire."""
    day = end_of(record, today)
    if day is None or day < today:
        return None
    return datetime.combine(day + timedelta(days=1), time.min, ZoneInfo(timezone)).astimezone(UTC)


def resolve_dates(record: R, today: date) -> R:
    """Return a record whose fields of time keep their meaning on a later day: "tomorrow" becomes a date.

    A time with its year stays as it was said, and so does one that could be several days.
    """
    resolved: dict[str, str] = {}
    for name, read in _TIME_FIELDS.items():
        said = getattr(record, name, None)
        day = read(said, today) if isinstance(said, str) and not _YEAR.search(said) else None
        if day:
            resolved[name] = day.isoformat()
    return record.model_copy(update=resolved) if resolved else record


_TIME_FIELDS = {"until": last_day, "as_of": single_day, "when": single_day}
"""Fields of records that hold a time, with what reads them. When something began or happened may be past or to come."""
_YEAR = re.compile(r"(?<!\d)\d{4}(?!\d)")


def value_text(value: Any) -> str:
    """Return a value of a field as text: the parts of a list, or the names and values of an object."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        named = {name: value_text(part) for name, part in value.items()}
        return ", ".join(f"{name}: {text}" for name, text in named.items() if text)
    if isinstance(value, list | tuple):
        nested = any(isinstance(part, Mapping) for part in value)
        return ("; " if nested else ", ").join(text for text in map(value_text, value) if text)
    return str(value)


def own_values(record: BaseModel) -> dict[str, Any]:
    """Return the field values of a record, without links and copies of linked learnings."""
    links = record.links if isinstance(record, Record) else ()
    return record.model_dump(mode="json", by_alias=False, exclude={*link_snapshot_fields(type(record)), *links})


def link_snapshot_fields(record: type[BaseModel]) -> set[str]:
    """Return the names of the fields in which a record copies parts of linked learnings."""
    return {
        name
        for name, field in record.model_fields.items()
        if any(isinstance(part, SkipJsonSchema) for part in field.metadata)  # type: ignore[misc]  # a class at run time
    }


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def find_excess(record: BaseModel) -> str | None:
    """Return why a record that a person or a model made is too long to be stored; None if it is not."""
    if (length := len(record_text(record))) > MAX_TEXT_CHARS:
        return f"too long: {length:,} characters, of at most {MAX_TEXT_CHARS:,}. Keep to what matters"
    if (length := len(json.dumps(record_data(record), ensure_ascii=False))) > MAX_DATA_CHARS:
        return f"too long: {length:,} characters in all fields, of at most {MAX_DATA_CHARS:,}. Keep to what matters"
    return None


def explain_error(error: ValidationError) -> str:
    """Return the problems of a record in one line that a model can act on."""
    problems = error.errors(include_url=False)
    return "; ".join(f"{'.'.join(map(str, problem['loc'])) or 'edit'}: {problem['msg']}" for problem in problems)


def apply_edits(edits: Iterable[Edit], known: Iterable[Learning], subject_of: SubjectOf) -> list[Learning]:
    """Return the learnings to write for some edits; each edit sees the results of the edits before it."""
    current = {learning.ref: learning for learning in known}
    changed = {}
    for edit in edits:
        results = (
            reject_replaced(edit) if edit.record is None else _apply_edit(edit, list(current.values()), subject_of)
        )
        for learning in results:
            current[learning.ref] = changed[learning.ref] = learning
    return list(changed.values())


def reject_replaced(edit: Edit) -> list[Learning]:
    """Return the learning that an edit forgets, as rejected; nothing if the edit names none."""
    if edit.replaces is None:
        return []
    sources = (*edit.replaces.sources, edit.source)
    update = {"status": Status.REJECTED, "valid_to": edit.at, "sources": sources, "quote": edit.quote}
    return [edit.replaces.model_copy(update=update)]


def _apply_edit(edit: Edit, known: Sequence[Learning], subject_of: SubjectOf) -> list[Learning]:
    """Return a known learning that says the same with a new source; else the new learning and those it supersedes."""
    new = edit.learning()
    subject = subject_of(new)
    same_subject = [
        learning
        for learning in known
        if learning.status is Status.ACTIVE
        and learning.namespace == new.namespace
        and learning.key != new.key
        and subject_of(learning) == subject
    ]
    for learning in same_subject:
        if normalize(learning.text) == normalize(new.text):
            return _confirm(learning, edit)
    replaced = {learning.key: learning for learning in same_subject}
    if edit.replaces and edit.replaces.namespace == new.namespace and edit.replaces.key != new.key:
        replaced[edit.replaces.key] = edit.replaces
    retired = {"status": Status.SUPERSEDED, "valid_to": edit.at}
    superseded = [learning.model_copy(update=retired) for learning in replaced.values()]
    return [*superseded, new.model_copy(update={"supersedes": tuple(replaced)})]


def _confirm(learning: Learning, edit: Edit) -> list[Learning]:
    """Add the edit's source to a learning that says the same; nothing changes if it has that source already."""
    if edit.source in learning.sources:
        return []
    update = {
        "sources": (*learning.sources, edit.source),
        "quote": edit.quote,
        "valid_to": edit.until or learning.valid_to,
        "cues": learning.cues or edit.cues,
    }
    return [learning.model_copy(update=update)]
