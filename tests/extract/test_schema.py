"""Edits: what a model may be asked for."""

from typing import Any, Literal

import pytest
from openai_server import ALLOWED
from people import all_stores
from pydantic import BaseModel, Field, RootModel, ValidationError

from langgraph_learning import Record
from langgraph_learning.core.records import field_text, kind_of
from langgraph_learning.errors import Misconfigured
from langgraph_learning.extract.schema import answer_schema, edit_schema, parse_record


class Place(Record):
    """Where something is."""

    city: str
    """The town."""
    floor: int | None = None
    tags: list[str] = Field(default_factory=list)


def walk(schema: Any) -> Any:
    """Every schema inside a schema."""
    if isinstance(schema, dict):
        yield schema
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from walk(part)


def test_every_object_of_the_answer_is_strict():
    """All fields are required and no others allowed: what every strict provider asks for."""
    records = {kind: record for store in all_stores() for kind, record in store.kinds.items()}
    objects = [schema for schema in walk(answer_schema(records)) if schema.get("type") == "object"]

    assert len(objects) >= 9
    assert all(set(o["required"]) == set(o["properties"]) and o["additionalProperties"] is False for o in objects)


def test_the_answer_uses_no_keyword_that_a_provider_refuses():
    """No references, defaults or oneOf are left."""
    records = {kind: record for store in all_stores() for kind, record in store.kinds.items()}
    keywords = {key for schema in walk(answer_schema(records)) if isinstance(schema.get("type"), str) for key in schema}

    assert keywords <= ALLOWED - {"$ref", "$defs", "format", "pattern"}


def test_a_field_with_a_default_may_be_null():
    """Null means: as the record's own default says."""
    fields = edit_schema(Place, "place")["properties"]

    assert {"type": "null"} in fields["floor"]["anyOf"]
    assert {"type": "null"} in fields["tags"]["anyOf"]
    assert Place(city="Rome") == parse_record({"city": "Rome", "floor": None, "tags": None}, Place)


def test_field_docstrings_are_shown_to_the_model():
    """What a field means is written once, where it is declared."""
    assert edit_schema(Place, "place")["properties"]["city"]["description"] == "The town."


def test_an_unknown_field_is_an_error():
    """What the record has no place for is not dropped in silence."""
    with pytest.raises(ValidationError):
        parse_record({"city": "Rome", "mayor": "?"}, Place)


class HasDict(BaseModel):
    labels: dict[str, Any]


class HasAny(BaseModel):
    thing: Any


class HasEdit(BaseModel):
    edit: str


class Tree(BaseModel):
    children: list["Tree"]


class HasBounds(BaseModel):
    pair: tuple[int, str]


@pytest.mark.parametrize(
    ("record", "named"),
    [(HasDict, "labels"), (HasAny, "thing"), (HasEdit, "edit"), (Tree, "children"), (HasBounds, "pair")],
)
def test_a_record_that_providers_refuse_is_named(record: type[BaseModel], named: str):
    """The error comes when the machine is built and names the field."""
    with pytest.raises(Misconfigured, match=f"{record.__name__}.{named}"):
        edit_schema(record, "x")


class Lines(RootModel[list[str]]):
    pass


class Empty(BaseModel):
    pass


@pytest.mark.parametrize("record", [Lines, Empty])
def test_a_record_without_fields_is_refused(record: type[BaseModel]):
    """There is nothing that a model could fill in by name."""
    with pytest.raises(Misconfigured, match=f"{record.__name__} has no fields"):
        edit_schema(record, "x")


def test_any_pydantic_model_is_a_record():
    """A name and a text follow from the model itself."""

    class OnCallRota(BaseModel):
        team: str
        days: list[Literal["mon", "tue"]]

    assert kind_of(OnCallRota) == "on_call_rota"
    assert field_text(OnCallRota(team="ops", days=["mon", "tue"])) == "ops · mon, tue"
