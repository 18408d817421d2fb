"""Records and profiles as users of pydantic write them."""

import datetime as dt
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from openai_server import broken_rules
from people import ALEX, SAM, echo, edit, edits, machine, observation, said, thread
from pydantic import BaseModel, ConfigDict, Field, computed_field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from langgraph_learning import LearningMachine, LearningStore, Mode, Scope, UserMemory, UserProfile
from langgraph_learning.core.records import field_text, read_record, record_data
from langgraph_learning.extract.schema import answer_schema, parse_record


class Level(StrEnum):
    HIGH = "high"
    LOW = "low"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = []


class Part(BaseModel):
    """A part with its count."""

    name: str
    count: int = Field(1, ge=1)


class Everything(BaseModel):
    """All that a field may be declared with."""

    model_config = ConfigDict(extra="forbid")

    score: int = Field(ge=0, le=10, multiple_of=2, examples=[2], deprecated=True)
    names: list[str] = Field(min_length=1, max_length=3)
    tags: set[str] = set()
    labels: dict[str, str] = {}
    counts: dict[str, Part] | None = None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] | None = None
    level: Level = Level.LOW
    price: Decimal | None = None
    day: dt.date | None = None
    parts: list[Part] = []
    note: str = Field("none", json_schema_extra={"x-ui": "area"}, pattern="[a-z]+", max_length=20)
    seen: str = Field(
        "no", frozen=True, alias="seenBy", title="Seen", json_schema_extra=lambda schema: schema.update(z=1)
    )


class Gotcha(BaseModel):
    """Something that surprises."""

    model_config = ConfigDict(alias_generator=to_camel)

    area_name: str
    why_so: str = "unknown"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def loud(self) -> str:
        return self.area_name.upper()


class Exact(BaseModel):
    """A strict record."""

    model_config = ConfigDict(strict=True, extra="forbid")

    day: dt.date
    count: int = 1

    @computed_field  # type: ignore[prop-decorator]
    @property
    def year(self) -> int:
        return self.day.year


SENT = {
    "score": "4", "names": "Ann", "tags": ["a", "b", "a"], "labels": [{"name": "x", "value": "y"}],
    "counts": [{"name": "bolt", "value": {"name": "bolt", "count": None}}], "pet": {"kind": "dog", "tricks": "[\"sit\"]"},
    "level": "High", "price": "1.50", "day": "2025-01-01", "parts": '[{"name": "nut", "count": 2}]', "note": None,
    "seenBy": "null",
}  # fmt: skip


def test_every_declaration_can_be_asked_of_a_strict_provider():
    """What a provider does not know is left out, and checked when the answer is there."""
    records: Any = {"everything": Everything, "gotcha": Gotcha, "exact": Exact}

    assert [] == list(broken_rules(answer_schema(records)))


def test_what_a_model_sends_is_read_as_it_is_meant():
    """JSON in strings, pairs for a dict, nulls for defaults, numbers as strings, one value for a list."""
    record: Any = parse_record(SENT, Everything)

    assert (4, ["Ann"], {"a", "b"}, {"x": "y"}) == (record.__dict__["score"], record.names, record.tags, record.labels)
    assert ({"bolt": Part(name="bolt")}, Dog(kind="dog", tricks=["sit"])) == (record.counts, record.pet)
    assert (Level.HIGH, Decimal("1.50"), dt.date(2025, 1, 1)) == (record.level, record.price, record.day)
    assert ([Part(name="nut", count=2)], "none", "no") == (record.parts, record.note, record.seen)


@pytest.mark.parametrize(
    "record",
    [
        parse_record(SENT, Everything),
        parse_record({"areaName": "build", "whySo": None}, Gotcha),
        Exact(day=dt.date(2025, 1, 1)),
    ],
    ids=lambda record: type(record).__name__,
)
def test_what_is_stored_is_what_was_validated(record: BaseModel):
    """It is read back as the same record."""
    assert record == read_record(type(record), record_data(record))


def test_what_earlier_versions_stored_is_read():
    """With computed fields beside the others."""
    assert Exact(day=dt.date(2025, 1, 1)) == read_record(Exact, {"day": "2025-01-01", "count": 1, "year": 2025})


def test_a_limit_is_checked_and_its_reason_sent_back():
    """Though no provider was asked to keep it."""
    answers = [edits(edit("part", name="nut", count=0)), edits(edit("part", name="nut", count=3))]
    learning = machine(answers, [LearningStore(name="parts", record=Part)], store=InMemoryStore())
    learn(learning, "3 nuts")

    assert ["nut · 3"] == [learnt.text for learnt in learning.learnings(ALEX)]


def test_nested_values_read_as_text():
    """No value is shown as Python writes it."""
    record: Any = parse_record({**SENT, "tags": ["a"]}, Everything)

    assert (
        "4 · Ann · a · x: y · bolt: name: bolt, count: 1 · kind: dog, tricks: sit · high · 1.50 · 2025-01-01 · "
        "name: nut, count: 2 · none · no"
    ) == field_text(record)


def test_a_proposal_with_aliases_and_computed_fields_is_approved_with_other_values(store: BaseStore):
    """Fields go by their names there."""
    for kind, values, fields in (
        (Gotcha, {"areaName": "build", "whySo": None}, {"why_so": "no cache"}),
        (Exact, {"day": "2025-01-01", "count": 1}, {"count": 2}),
    ):
        stores = [LearningStore(name="things", record=kind, scope=Scope.TEAM, mode=Mode.PROPOSE)]
        name = kind.__name__.lower()
        learning = machine(lambda _, name=name, values=values: edits(edit(name, **values)), stores, store=store)  # type: ignore[misc]
        learn(learning, "build 2025-01-01", name)
        (proposal,) = learning.review.list(SAM)
        learning.review.approve(SAM, proposal.key, fields=fields)

        assert fields.items() <= next(one for one in learning.learnings(SAM) if one.kind == name).data.items()


class Place(BaseModel):
    city: str
    zip: str | None = None


class Person(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)

    name: str | None = None
    age: int | None = Field(None, ge=0, le=150)
    ok: bool | None = None
    born: dt.date | None = None
    died: dt.date | None = None
    code: str | None = Field(None, frozen=True, alias="codeName")
    home: Place | None = None
    prefs: dict[str, str] = {}
    langs: list[str] = []
    nick: str | None = None
    level: Literal[1, 2] | None = None

    @field_validator("name")
    @classmethod
    def tidy(cls, value: str | None) -> str | None:
        return value.title() if value else value

    @field_validator("nick", mode="before")
    @classmethod
    def assume(cls, value: Any) -> Any:
        return value.removeprefix("@")

    @model_validator(mode="after")
    def order(self) -> "Person":
        if self.died < self.born:  # type: ignore[operator]
            raise ValueError("dies before birth")
        return self


def learn(learning: LearningMachine, text: str, name: str = "a") -> list[str]:
    """Say it, and return what was lost."""
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    errors: list[str] = agent.invoke(said(text), thread(name), context=ALEX).get("learning_errors", [])
    return errors


def field(name: str, value: Any) -> dict[str, Any]:
    return edit("profile_field", field=name, value=value)


@pytest.mark.parametrize(
    ("name", "sent", "stored", "text"),
    [
        ("name", " ann lee ", "Ann Lee", "name: Ann Lee"),
        ("age", "42", 42, "age: 42"),
        ("ok", "yes", True, "ok: True"),
        ("born", "2001-02-03", "2001-02-03", "born: 2001-02-03"),
        ("code", "x7", "x7", "code: x7"),
        ("code", 7, "7", "code: 7"),
        ("home", {"city": "Ulm", "zip": None}, {"city": "Ulm", "zip": None}, "home: city: Ulm"),
        ("home", '{"city": "Ulm"}', {"city": "Ulm", "zip": None}, "home: city: Ulm"),
        *[
            ("prefs", pairs, {"tea": "green"}, "prefs: tea: green")
            for pairs in (
                [{"name": "tea", "value": "green"}],
                [{"key": "tea", "value": "green"}],
                [{"tea": "green"}],
                [["tea", "green"]],
            )
        ],
        ("level", "2", 2, "level: 2"),
        ("langs", "German", ["German"], "langs: German"),
        ("langs", '["German", "Thai"]', ["German", "Thai"], "langs: German, Thai"),
        ("nick", "@al", "al", "nick: al"),
    ],
)
def test_a_profile_keeps_the_value_that_the_schema_makes_of_it(
    store: BaseStore, name: str, sent: Any, stored: Any, text: str
):
    """Types and validators apply; those that compare fields are not asked about one of them."""
    learning = machine([edits(field(name, sent))], [UserProfile(schema=Person)], store=store)

    assert [] == learn(learning, f"It is {sent}")
    assert [(text, stored)] == [(learnt.text, learnt.data["value"]) for learnt in learning.learnings(ALEX)]


@pytest.mark.parametrize(
    ("name", "sent"), [("age", 200), ("age", "old"), ("nick", 7), ("home", {"town": "Ulm"}), ("born", "soon")]
)
def test_a_value_that_a_profile_cannot_take_costs_that_field_alone(store: BaseStore, name: str, sent: Any):
    """It is dropped with its reason; what else was said counts."""
    answer = edits(field(name, sent), field("name", "ann"), observation("Likes tea."))
    learning = machine([answer, edits(field(name, sent))], [UserProfile(schema=Person), UserMemory()], store=store)
    errors = learn(learning, "I am Ann and like tea")

    assert name in errors[0]
    assert {"name: Ann", "Likes tea."} == {learnt.text for learnt in learning.learnings(ALEX)}


def test_the_types_of_a_profile_can_be_asked_of_a_strict_provider():
    """Nested models and dicts as well."""
    assert [] == list(broken_rules(answer_schema(UserProfile(schema=Person).model_kinds)))
