"""Times: the user's day, and the time that a message carries."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from people import ALEX, NOTHING, SAM, conversation, echo, edit, edits, learner, machine, prompt, repeat, said, thread
from pydantic import ValidationError

from langgraph_learning import EntityMemory, Episodes, LearnedKnowledge, LearningContext, Scope, UserMemory
from langgraph_learning.background.schedule import Schedule
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.transcript import message_time
from langgraph_learning.errors import Misconfigured
from langgraph_learning.stores.rendering import render_bullet
from langgraph_learning.testing import ScriptedModel

WHEN = datetime(2023, 5, 1, 10, tzinfo=UTC)
FRIDAY = datetime(2027, 3, 5, 23, tzinfo=UTC)
ON_FRIDAY = ALEX.model_copy(update={"now": FRIDAY})


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
    assert f"user alex ({date.fromisoformat(day):%A}, {day}): I moved yesterday" in prompt(learner(learning).shown[0])


def test_what_is_known_is_dated_by_the_clock_of_the_user():
    """What was learnt in their evening is not of tomorrow."""
    evening = datetime(2026, 3, 2, 4, tzinfo=UTC)
    caller = Caller(user="alex", timezone="America/Los_Angeles")
    fields: dict[str, Any] = {"key": "k", "kind": "observation", "text": "Likes tea.", "data": {}}
    learning = Learning(namespace=("learnings", "default", "user", "alex", "user_memory"), learned_at=evening, **fields)

    assert "- Likes tea. (2026-03-01)" == render_bullet(learning, caller)
    assert "- Likes tea. (2026-03-02)" == render_bullet(learning, Caller(user="alex"))


def say(learning, text, context, name="t", checkpointer=None, model=None):
    """Let a user say something to an agent that learns."""
    agent = learning.wrap(model or echo(), checkpointer=checkpointer)
    return agent.invoke(said(text), thread(name), context=context)


@pytest.mark.parametrize("now", [datetime(2027, 3, 5, 9), "2027-03-05T09:00:00", "0001-01-01T00:00:00Z", "tomorrow"])
def test_a_time_that_nobody_can_place_is_refused_at_once(now: object):
    """In the class and in a dict; a moment needs a time zone."""
    with pytest.raises(ValidationError, match=r"time zone|no time|valid"):
        LearningContext(user_id="alex", now=now)
    with pytest.raises(Misconfigured, match="now: "):
        LearningContext.read({"user_id": "alex", "now": now})


def test_the_error_says_which_time_to_give():
    """A naive time may be any moment of a day."""
    with pytest.raises(ValidationError, match=r"has no time zone.*datetime\.now\(UTC\)"):
        LearningContext(user_id="alex", now=datetime(2027, 3, 5, 9))


def test_a_method_called_now_is_no_time():
    """An agent's context may have one."""

    class Session:
        user_id = "alex"

        def now(self) -> str:
            return "now"

    assert LearningContext(user_id="alex") == LearningContext.read(Session())


@pytest.mark.parametrize(("zone", "today"), [("UTC", "Friday, 2027-03-05"), ("Asia/Tokyo", "Saturday, 2027-03-06")])
@pytest.mark.parametrize("as_json", [False, True])
def test_today_is_the_day_on_which_the_user_speaks(zone: str, today: str, as_json: bool):
    """With its weekday, in the prompt and in what is noted word for word."""
    learning = machine([NOTHING], [UserMemory(), Episodes()], store=InMemoryStore())
    context = ON_FRIDAY.model_copy(update={"timezone": zone})
    say(learning, "I move tomorrow", context.model_dump(mode="json") if as_json else context)

    assert f"Today is {today} (time zone {zone})." in prompt(learner(learning).shown[0])
    assert f"alex ({today[-10:]}): I move tomorrow" in {found.text for found in learning.learnings(context)}


def test_the_time_may_come_from_the_configurable():
    """As all that a context says."""

    def read(_: object, config: Any) -> LearningContext:
        return LearningContext(**{key: config["configurable"][key] for key in ("user_id", "now")})

    learning = machine([NOTHING], store=InMemoryStore(), context_from=read)
    config = {"configurable": {"thread_id": "t", "user_id": "alex", "now": FRIDAY.isoformat()}}
    learning.wrap(echo()).invoke(said("I move tomorrow"), config)

    assert "Today is Friday, 2027-03-05" in prompt(learner(learning).shown[0])


@pytest.mark.parametrize("method", ["learn", "preview"])
def test_an_old_conversation_is_read_on_its_day(method: str):
    """Outside of a run as well."""
    learning = machine([NOTHING], store=InMemoryStore())
    getattr(learning, method)([("user", "I move tomorrow")], ON_FRIDAY)

    assert "Today is Friday, 2027-03-05" in prompt(learner(learning).shown[0])


def test_the_own_time_of_a_message_wins():
    """It is dated by that, whatever the run says."""
    learning = machine([NOTHING], store=InMemoryStore())
    message = HumanMessage("I moved yesterday", additional_kwargs={"timestamp": WHEN.isoformat()})
    learning.wrap(echo()).invoke({"messages": [message]}, thread("t"), context=ON_FRIDAY)

    assert "[1] user alex (Monday, 2023-05-01): I moved yesterday" in prompt(learner(learning).shown[0])


@pytest.mark.parametrize("form", ["wrap", "middleware"])
def test_what_waits_is_dated_by_the_day_on_which_it_was_said(form: str):
    """Of two turns that are learnt from together, the first was said the day before, and so was its answer."""
    store, saver = InMemoryStore(), InMemorySaver()
    learning = machine([NOTHING], [UserMemory(), Episodes()], store=store, schedule=Schedule(every=2))
    middleware = [learning.middleware()]
    agent: Any = (
        learning.wrap(echo(), checkpointer=saver)
        if form == "wrap"
        else create_agent(echo(), [], middleware=middleware, store=store, checkpointer=saver)
    )
    for day, text in enumerate(("I move tomorrow", "Today I pack")):
        context = ON_FRIDAY.model_copy(update={"now": FRIDAY + timedelta(days=day)})
        agent.invoke(said(text), thread("t"), context=context)
    (shown,) = learner(learning).shown

    assert "Today is Saturday, 2027-03-06" in prompt(shown)
    assert "user alex (Friday, 2027-03-05): I move tomorrow" in prompt(shown)
    assert ["user alex (Friday, 2027-03-05)", "agent", "user alex", "agent"] == [
        who for _, who, _ in conversation(shown)
    ]
    noted = {found.text[:20] for found in learning.learnings(context)}
    assert {"agent (2027-03-05): ", "agent (2027-03-06): "} <= noted


def test_what_has_ended_by_then_is_not_recalled():
    """What is valid counts on the day of the user, not of the machine."""
    freeze = edit(
        "insight",
        category="priority",
        title="Freeze",
        insight="No deploys",
        when_to_apply="Deploys",
        until="2027-03-31",
    )
    learning = machine([edits(freeze), NOTHING, NOTHING], [LearnedKnowledge(scope=Scope.TEAM)], store=InMemoryStore())
    say(learning, "No deploys until the end of March", ON_FRIDAY)
    model = ScriptedModel(repeat)
    days = (datetime(2027, 3, 31, 12, tzinfo=UTC), datetime(2027, 4, 1, 12, tzinfo=UTC))
    answers = [
        say(learning, "May I do deploys?", SAM.model_copy(update={"now": day}), str(day), model=model) for day in days
    ]

    assert [True, False] == ["No deploys" in answer["messages"][-1].text for answer in answers]


def test_no_run_can_choose_the_date_of_what_it_writes():
    """Of two statements about one thing the later one counts, so nobody may be later than they are."""
    learning = machine([edits(edit("observation", observation="Likes tea"))], store=InMemoryStore())
    before = datetime.now(UTC)
    say(learning, "I like tea", ON_FRIDAY.model_copy(update={"now": datetime(2999, 1, 1, tzinfo=UTC)}))
    (learnt,) = learning.learnings(ALEX)

    assert before <= learnt.learned_at <= datetime.now(UTC)


@pytest.mark.parametrize(("when", "reach"), [("2027-03-06", "team"), ("2027-03-07", "user")])
@pytest.mark.parametrize("own_time", [None, FRIDAY.isoformat()])
def test_a_date_that_the_model_resolved_is_the_users_own_word(when: str, reach: str, own_time: str | None):
    """Beside a tool's answer, "tomorrow" carries the day after the one on which it was said, and no other."""
    context = ALEX if own_time else ON_FRIDAY
    fact = {**edit("event", entity="Orion", event="ships", when=when), "audience": "team", "whose": "user"}
    learning = machine(lambda messages: edits(fact), [EntityMemory(scope=Scope.TEAM)], store=InMemoryStore())
    messages: list[AnyMessage] = [
        HumanMessage("Orion ships tomorrow", additional_kwargs={"timestamp": own_time}),
        AIMessage("", tool_calls=[{"name": "wiki", "args": {}, "id": "c"}]),
        ToolMessage("Orion is a constellation", tool_call_id="c", name="wiki"),
        AIMessage("Noted."),
    ]
    learning.learn(messages, context)

    assert {reach} == {learnt.scope.name for learnt in learning.learnings(context)}


@pytest.mark.parametrize(
    ("until", "shown", "end"),
    [
        ("end of March", "(until 2027-03-31)", "2027-04-01"),
        ("Q2", "(until 2027-06-30)", "2027-07-01"),
        ("end of March 2028", "(until end of March 2028)", "2028-04-01"),
        ("the launch", "(until the launch)", "None"),
    ],
)
@pytest.mark.parametrize("with_tool", [True, False])
def test_an_end_counts_from_the_day_on_which_it_was_said(until: str, shown: str, end: str, with_tool: bool):
    """By the extraction or a tool; what would mean another day later is stored as a date."""
    priority = {"category": "priority", "title": "Egress", "insight": "Egress first", "when_to_apply": "Costs"}
    if with_tool:
        call = {"name": "save_insight", "args": {**priority, "until": until}, "id": "c"}
        model = ScriptedModel([AIMessage("", tool_calls=[call]), AIMessage("Noted.")])
        learning = machine([NOTHING], [LearnedKnowledge(scope=Scope.TEAM, tools=True)], store=InMemoryStore())
        agent = create_agent(model, [], middleware=[learning.middleware()], store=learning.store)
    else:
        answer = edits(edit("insight", **priority, until=until))
        learning = machine([answer], [LearnedKnowledge(scope=Scope.TEAM)], store=InMemoryStore())
        agent = learning.wrap(echo())
    agent.invoke(said(f"Egress first until {until}"), thread("t"), context=ON_FRIDAY)
    (learnt,) = learning.learnings(ALEX)

    assert shown in learnt.text
    assert end == str(learnt.valid_to and learnt.valid_to.date())


def test_a_day_beside_today_is_stored_as_a_date():
    """A month later, "tomorrow" would be another day."""
    event = edit("event", entity="Orion", event="ships", when="tomorrow")
    fact = edit("fact", entity="Orion", fact="is late", as_of="yesterday", until=None)
    learning = machine([edits(event, fact)], [EntityMemory()], store=InMemoryStore())
    say(learning, "Orion ships tomorrow, it is late since yesterday", ON_FRIDAY)

    assert {"Orion: ships [2027-03-06]", "Orion: is late (as of 2027-03-04)"} == {
        found.text for found in learning.learnings(ALEX)
    }


def test_a_fact_that_was_over_when_it_was_said_is_still_recalled():
    """It is history, and its text says so."""
    fact = edit("fact", entity="Kim", fact="led sales", as_of=None, until="2024")
    learning = machine([edits(fact), NOTHING], [EntityMemory()], store=InMemoryStore())
    say(learning, "Kim led sales until 2024", ON_FRIDAY)
    answer = say(learning, "Who led sales before, Kim?", ON_FRIDAY, "u", model=ScriptedModel(repeat))

    assert "led sales (until 2024)" in answer["messages"][-1].text


def test_a_priority_that_is_over_goes_back_to_the_model():
    """Its year is a wrong one, or it stands no more."""
    priority = {"category": "priority", "title": "Egress", "insight": "Egress first", "when_to_apply": "Costs"}
    answers = [edits(edit("insight", **priority, until=until)) for until in ("2020-03-31", "2099-03-31")]
    learning = machine(answers, [LearnedKnowledge(scope=Scope.TEAM)], store=InMemoryStore())
    say(learning, "Egress first until the end of March", ALEX)

    assert "until: 2020-03-31 is over" in str(learner(learning).shown[1])
    assert ["Egress: Egress first (until 2099-03-31). Applies when: Costs"] == [
        found.text for found in learning.learnings(ALEX)
    ]
