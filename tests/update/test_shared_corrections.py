"""Corrections of what is shared: they reach the others at once or later, or it is said that they do not."""

import re
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langgraph.store.base import BaseStore
from people import ALEX, SAM, echo, edit, edits, machine, said, thread

from langgraph_learning import LearnedKnowledge, LearningContext, LearningMachine, Mode, Scope, Sharing
from langgraph_learning.testing import ScriptedModel

OLD, NEW = "Deploys are on Friday", "Deploys are on Monday"
DANA = LearningContext(user_id="dana", team_ids=("acme",))
STAYS = "what it corrects is shared, and stays for the others"
WAITS = f"{STAYS} until it is approved or more users say the same"


def insight(text: str, **more: Any) -> dict[str, Any]:
    """An edit that learns how something is done."""
    return {**edit("insight", category="insight", title="Deploys", insight=text, when_to_apply=None), **more}


def corrects(audience: str) -> Any:
    """A model that replaces what the team knows by what it reads."""

    def answer(messages: list[AnyMessage]) -> AIMessage:
        known = re.search(rf"(k\d+): insight · Deploys: {OLD}", str(messages))
        return edits(insight(NEW, replaces=known and known[1], audience=audience))

    return answer


def knowing(store: BaseStore, audience: str = "team", **options: Any) -> LearningMachine:
    """A machine whose team knows when deploys are, and that hears of a new day."""
    seed = machine([edits(insight(OLD, audience="team"))], [LearnedKnowledge(scope=Scope.TEAM)], store=store)
    seed.wrap(echo()).invoke(said(OLD), thread("seed"), context=SAM)
    return machine(corrects(audience), [LearnedKnowledge(scope=Scope.TEAM, **options)], store=store)


def correct(learning: LearningMachine, context: LearningContext = ALEX, agent: Any = None) -> list[str]:
    """What is said about corrections that stay private, when a user corrects the day."""
    wrapped = learning.wrap(agent or echo())
    events = wrapped.stream(said(NEW), thread(str(context.user_id)), context=context, stream_mode="custom")
    return [kept["why"] for event in events for kept in event["learning"].get("kept_private", ())]


def look_up(state: Any) -> dict[str, Any]:
    """An agent whose tool says when deploys are."""
    call = AIMessage("", tool_calls=[{"name": "wiki", "args": {}, "id": "c"}])
    return {"messages": [call, ToolMessage(f"{NEW} from now on", tool_call_id="c"), AIMessage("I see.")]}


def known_to(learning: LearningMachine, context: LearningContext) -> set[str]:
    """What somebody knows."""
    return {learnt.data["insight"] for learnt in learning.learnings(context)}


def test_a_users_own_words_correct_what_the_team_knows(store: BaseStore):
    """At once, where nothing restricts sharing."""
    learning = knowing(store)

    assert [] == correct(learning)
    assert {NEW} == known_to(learning, SAM)


@pytest.mark.parametrize(
    ("options", "why"), [({}, STAYS), ({"sharing": Sharing.after(2)}, STAYS), ({"sharing": Sharing.APPROVED}, STAYS)]
)
def test_a_correction_for_the_user_alone_says_that_the_others_keep_theirs(
    store: BaseStore, options: dict[str, Any], why: str
):
    """Whatever the policy of sharing."""
    learning = knowing(store, "user", **options)

    assert [why] == correct(learning)
    assert {OLD} == known_to(learning, SAM)
    assert {OLD, NEW} == known_to(learning, ALEX)


def test_what_several_users_correct_ends_when_they_are_enough(store: BaseStore):
    """Until then the first one is told that it waits."""
    learning = knowing(store, sharing=Sharing.after(2))

    assert [WAITS] == correct(learning)
    assert {OLD} == known_to(learning, SAM)
    correct(learning, DANA)
    assert {NEW} == known_to(learning, SAM)


@pytest.mark.parametrize("agent", [None, look_up])
def test_an_approved_correction_takes_the_place_of_what_it_corrects(store: BaseStore, agent: Any):
    """A proposal to share it names what it would replace, also where a tool said it."""
    learning = knowing(store, sharing=Sharing.APPROVED)
    if agent:
        learning.wrap(agent).invoke(said("Look it up"), thread("a"), context=ALEX)
    else:
        assert [WAITS] == correct(learning)
    (proposal,) = learning.review.list(SAM)
    assert (f"Deploys: {OLD}",) == learning.review.show(SAM, proposal.key).replaces
    learning.review.approve(SAM, proposal.key)

    assert {NEW} == known_to(learning, SAM)


@pytest.mark.parametrize("how", ["edit", "tool"])
def test_what_is_not_in_own_words_says_that_it_stays_private(store: BaseStore, how: str):
    """The team keeps what it knows."""
    learning = knowing(store)
    if how == "edit":
        events = learning.wrap(look_up).stream(said("Look it up"), thread("a"), context=ALEX, stream_mode="custom")
        assert [kept["why"] for event in events for kept in event["learning"].get("kept_private", ())]
    else:
        (old,) = learning.learnings(SAM)
        fields = {"category": "insight", "title": "Deploys", "insight": NEW, "when_to_apply": None, "until": None}
        call = {"name": "save_insight", "args": {**fields, "replaces": old.key, "audience": "user"}, "id": "c"}
        with_tools = machine([edits()], [LearnedKnowledge(scope=Scope.TEAM, tools=True)], store=store)
        model = ScriptedModel([AIMessage("", tool_calls=[call]), AIMessage("Good.")])
        agent = create_agent(model, [], middleware=[with_tools.middleware()], store=store)
        state = agent.invoke(said(NEW), thread("a"), context=ALEX)
        assert STAYS in next(message.text for message in state["messages"] if isinstance(message, ToolMessage))

    assert {OLD} == known_to(learning, SAM)


def test_learning_beside_the_answer_says_it_too(store: BaseStore):
    """`machine.learn` returns it."""
    result = knowing(store, "user").learn([("user", NEW)], ALEX)

    assert [STAYS] == [kept.why for kept in result.kept_private]


def test_a_person_decides_about_a_correction_where_everything_is_proposed(store: BaseStore):
    """Also where a tool said it."""
    learning = knowing(store, mode=Mode.PROPOSE)
    learning.wrap(look_up).invoke(said("Look it up"), thread("a"), context=ALEX)
    learning.review.approve(SAM, learning.review.list(SAM)[0].key)

    assert {NEW} == known_to(learning, SAM)
