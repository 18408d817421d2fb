"""Times: the user's day, and the time that a message carries."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.store.memory import InMemoryStore
from people import ALEX, NOTHING, echo, learner, machine, prompt, said, thread
from pydantic import ValidationError

from langgraph_learning import Episodes, LearningContext, UserMemory
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.transcript import message_time
from langgraph_learning.stores.rendering import render_bullet

WHEN = datetime(2023, 5, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        WHEN,
        "2023-05-01T10:00:00Z",
        "2023-05-01T12:00:00+02:00",
        "2023-05-01 10:00:00",
        WHEN.timestamp(),
        int(WHEN.timestamp() * 1_000),
        str(int(WHEN.timestamp())),
        WHEN.astimezone(timezone(timedelta(hours=-9))),
    ],
)
@pytest.mark.parametrize("name", ["timestamp", "created_at", "sent_at"])
@pytest.mark.parametrize("kind", [HumanMessage, AIMessage])
@pytest.mark.parametrize("place", ["additional_kwargs", "response_metadata"])
def test_a_message_knows_its_time(place, kind, name, value):
    """In any of the forms that clients and providers use."""
    assert WHEN == message_time(kind("hi", **{place: {name: value}}))


@pytest.mark.parametrize(
    "value", [None, "", "yesterday", True, {}, [], "9" * 400, float("inf"), float("nan"), -1e30, "0001-01-01"]
)
def test_what_is_no_time_is_none(value):
    """Clients may write anything there."""
    assert message_time(HumanMessage("hi", additional_kwargs={"timestamp": value})) is None


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "UTC", "America/Los_Angeles"])
def test_a_day_without_a_time_is_that_day(zone):
    """Wherever the user is."""
    time = message_time(HumanMessage("hi", additional_kwargs={"date": "2023-05-01"}))

    assert time is not None
    assert "2023-05-01" == f"{Caller(user='alex', timezone=zone).local(time):%Y-%m-%d}"


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "/etc/localtime", "Europe\0"])
def test_a_time_zone_that_does_not_exist_is_refused_at_once(name):
    """The error says what to give."""
    with pytest.raises(ValidationError, match="Europe/Rome"):
        LearningContext(user_id="alex", timezone=name)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "America/Los_Angeles", "UTC"])
def test_today_is_the_day_of_the_user(zone):
    """In the extraction's prompt, and in what is noted of the conversation."""
    store, context = InMemoryStore(), ALEX.model_copy(update={"timezone": zone})
    learning = machine([NOTHING], [UserMemory(), Episodes()], store=store)
    days = {today(zone)}
    create_agent(echo(), [], middleware=[learning.middleware()], store=store).invoke(
        said("I move tomorrow"), thread("t"), context=context
    )
    days.add(today(zone))
    (shown,) = learner(learning).shown

    assert any(f", {day} (time zone {zone})." in prompt(shown) for day in days)
    noted = {found.text for found in learning.learnings(context)}
    assert any(f"alex ({day}): I move tomorrow" in noted for day in days)


def today(zone: str) -> str:
    """Return the day of a clock in this zone."""
    return f"{datetime.now(ZoneInfo(zone)):%Y-%m-%d}"


@pytest.mark.parametrize(("zone", "day"), [("UTC", "2023-05-01"), ("America/Los_Angeles", "2023-04-30")])
def test_what_was_said_on_another_day_is_dated_by_it(zone, day):
    """A conversation that is imported was not held today."""
    store, context = InMemoryStore(), ALEX.model_copy(update={"timezone": zone})
    learning = machine([NOTHING], [UserMemory(), Episodes()], store=store)
    messages: list[AnyMessage] = [
        HumanMessage("I moved yesterday", response_metadata={"created_at": "2023-05-01T03:00Z"})
    ]
    create_agent(echo(), [], middleware=[learning.middleware()], store=store).invoke(
        {"messages": messages}, thread("t"), context=context
    )
    texts = [found.text for found in learning.learnings(context)]

    assert f"alex ({day}): I moved yesterday" in texts
    assert f"user alex ({day}): I moved yesterday" in prompt(learner(learning).shown[0])


def test_what_is_known_is_dated_by_the_clock_of_the_user():
    """What was learnt in their evening is not of tomorrow."""
    evening = datetime(2026, 3, 2, 4, tzinfo=UTC)
    caller = Caller(user="alex", timezone="America/Los_Angeles")
    fields: dict[str, Any] = {"key": "k", "kind": "observation", "text": "Likes tea.", "data": {}}
    learning = Learning(namespace=("learnings", "default", "user", "alex", "user_memory"), learned_at=evening, **fields)

    assert "- Likes tea. (2026-03-01)" == render_bullet(learning, caller)
    assert "- Likes tea. (2026-03-02)" == render_bullet(learning, Caller(user="alex"))
