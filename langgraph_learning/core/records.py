"""What a model may ask for: edits of single learnings, as a JSON schema that every provider takes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal, Self, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.json_schema import SkipJsonSchema

from langgraph_learning.core.learning import Learning, Source
from langgraph_learning.core.scopes import Namespace

FORGET = "forget"


class Record(BaseModel):
    """What one kind of learning holds. Field docstrings are shown to the model; any pydantic model will do instead."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: ClassVar[str]
    links: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that hold the key of something known, or a list of such keys."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kind = cls.__dict__.get("kind", _snake_case(cls.__name__))

    def as_text(self) -> str:
        """Return the sentence that is embedded, searched and shown."""
        return field_text(self)

    def identity(self) -> str | None:
        """Return what this record is about, if a later one about the same replaces it: a field's name, a thing's name.

        None: records are the same only if their texts are.
        """
        return None

    def verdict(self) -> bool | None:
        """Return whether this says that the agent's last answer was good; None if it says nothing of it."""
        return None

    def knowing(self, linked: Sequence[Learning]) -> Self:
        """Return this record with what it keeps of the learnings that it links to. Raises `ValueError` for wrong ones.

        A field of type `SkipJsonSchema[…]` is where to keep it: no model is asked for such a field.
        """
        return self


@dataclass(frozen=True)
class Edit:
    """One checked wish: learn `record`, in the place of `replaces` if given; without a record, forget `replaces`."""

    kind: str
    record: BaseModel | None
    replaces: Learning | None
    source: Source
    namespace: Namespace
    """Where it goes: decided by code from the store's scope and who said it."""
    key: str
    at: datetime
    quote: str | None = None
    """The message that it rests on, as it was said, cut where it is very long."""
    covers: str = ""
    """Id of the last message that was read when this was asked for."""
    until: datetime | None = None
    """When it ends to hold, where its store keeps learnings for a time only."""
    rests_on: tuple[str, ...] = ()
    """Keys of the learnings that the record links to."""
    support: tuple[Source, ...] = ()
    """What else it rests on, where its store counts what the linked learnings rest on."""

    def learning(self, **changes: Any) -> Learning:
        """Return what the edit wants learnt, as a new learning."""
        if self.record is None:
            raise TypeError("An edit that forgets learns nothing.")
        learning = Learning(
            namespace=self.namespace,
            key=self.key,
            kind=self.kind,
            text=record_text(self.record),
            data=self.record.model_dump(mode="json"),
            sources=(self.source, *self.support),
            quote=self.quote,
            learned_at=self.at,
            valid_to=self.until,
            derived_from=self.rests_on,
        )
        return learning.model_copy(update=changes)


def kind_of(record: type[BaseModel]) -> str:
    """Return the name of a kind of record."""
    return record.kind if issubclass(record, Record) else _snake_case(record.__name__)


def identity_of(record: BaseModel) -> str | None:
    """Return what a record is about, for records that say so."""
    return record.identity() if isinstance(record, Record) else None


def has_identity(record: type[BaseModel]) -> bool:
    """Return whether records of this type may say what they are about."""
    return issubclass(record, Record) and record.identity is not Record.identity


def links_of(record: BaseModel) -> tuple[str, ...]:
    """Return the keys of the learnings that a record links to."""
    return raw_links({name: getattr(record, name, None) for name in type(record).model_fields}, type(record))


def raw_links(raw: Mapping[str, Any], record: type[BaseModel]) -> tuple[str, ...]:
    """Return the keys that a model sent for the links of a record."""
    values = [raw.get(name) for name in record.links] if issubclass(record, Record) else []
    return tuple(str(key) for value in values for key in (value if isinstance(value, list) else [value]) if key)


def resolve_links(record: BaseModel, known: Mapping[str, Learning]) -> BaseModel:
    """Return a record that links to what these keys stand for. Raises `KeyError` for a key that stands for nothing."""
    if not isinstance(record, Record):
        return record
    now = {name: getattr(record, name) for name in record.links if getattr(record, name)}
    changed = {name: [known[key].key for key in v] if isinstance(v, list) else known[v].key for name, v in now.items()}
    return record.model_copy(update=changed).knowing([known[key] for key in links_of(record)])


def verdict_of(record: BaseModel | None) -> bool | None:
    """Return whether a record says that the last answer was good; None if it says nothing of it."""
    return record.verdict() if isinstance(record, Record) else None


def record_text(record: BaseModel) -> str:
    """Return what a record says: in its own words if it has a say, else all its values."""
    return record.as_text() if isinstance(record, Record) else field_text(record)


def field_text(record: BaseModel, chosen: bool = True) -> str:
    """Return what a record was given, as one line; with `chosen=False`, without what a field offered as a choice."""
    offered = {name for name, field in type(record).model_fields.items() if get_origin(field.annotation) is Literal}
    given = {name: value for name, value in own_values(record).items() if chosen or name not in offered}
    values = [value for value in given.values() if value not in (None, "", [])]
    return " · ".join(", ".join(map(str, value)) if isinstance(value, list) else str(value) for value in values)


def own_values(record: BaseModel) -> dict[str, Any]:
    """Return the values that a record was given in words: neither keys nor what it keeps of what it links to."""
    links = record.links if isinstance(record, Record) else ()
    return record.model_dump(mode="json", exclude={*link_snapshot_fields(type(record)), *links})


def link_snapshot_fields(record: type[BaseModel]) -> set[str]:
    """Return the names of the fields in which a record keeps something of what it links to."""
    return {
        name
        for name, field in record.model_fields.items()
        if any(isinstance(part, SkipJsonSchema) for part in field.metadata)  # type: ignore[misc]  # a class at run time
    }


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def explain_error(error: ValidationError) -> str:
    """Return what was wrong with a record, in one line a model can act on."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'edit'}: {e['msg']}" for e in error.errors(include_url=False))
