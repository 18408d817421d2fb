"""All nine kinds of learning in one machine, over thirty turns of three people."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from people import ALEX, EVE, SAM, conversation, echo, edit, edits, learner, prompt, said, thread

from langgraph_learning import (
    BehavioralFeedback,
    DecisionLog,
    EntityMemory,
    Episodes,
    LearnedKnowledge,
    LearningContext,
    LearningMachine,
    Mode,
    Scope,
    SelfImprovement,
    SessionContext,
    UserMemory,
    UserProfile,
)
from langgraph_learning.testing import ScriptedModel


def profile(field: str, value: str, replaces: str | None = None) -> dict[str, Any]:
    """An edit of one field of the profile."""
    return edit("profile_field", field=field, value=value, replaces=replaces)


def feedback(behaviour: str, worked: bool, instead: str | None = None) -> dict[str, Any]:
    """An edit that says how an answer was."""
    return edit("feedback", behaviour=behaviour, worked=worked, instead=instead, situation=None)


def observation(text: str) -> dict[str, Any]:
    """An edit that learns something about the user."""
    return edit("observation", observation=text)


TAUGHT: dict[str, list[dict[str, Any]]] = {
    "I am Alex, CTO at Acme.": [profile("name", "Alex"), profile("role", "CTO"), profile("company", "Acme")],
    "Keep it brief, I read on my phone.": [observation("Reads on a phone and wants it brief")],
    "We move from AWS to GCP in three phases.": [
        edit("entity", entity="GCP migration", type="project", aliases=[]),
        edit("fact", entity="GCP migration", fact="moves from AWS to GCP in three phases", as_of=None),
    ],
    "We chose Postgres over MySQL because of pgvector.": [
        edit(
            "decision",
            decision="Chose Postgres over MySQL",
            reasoning="because of pgvector",
            alternatives=["MySQL"],
            context=None,
            confidence="high",
        )
    ],
    "Comparing egress costs first saved us a third of the budget.": [
        edit(
            "insight",
            category="best_practice",
            title="Egress first",
            insight="Comparing egress costs first saved a third of the budget",
            when_to_apply=None,
        )
    ],
    "That answer was too long.": [feedback("Rambling", False)],
    "Far too long again, three sentences please.": [feedback("Long answers about plans", False, "three sentences")],
    "Still too long! Answer in three sentences.": [
        feedback("Too long an answer", False, "three sentences"),
        edit(
            "instruction",
            section="length",
            text="Answer in three sentences.",
            reasoning="I should stop writing long answers",
            evidence=["known: Long answers about plans", "known: Avoid: Rambling"],
        ),
    ],
    "The move to Postgres halved our query times.": [
        edit("outcome", decision="known: Chose Postgres", outcome="halved the query times", worked=True)
    ],
    "My role changed: I am CIO at Acme.": [profile("role", "CIO", replaces="known: role: CTO")],
    "I am Sam from finance.": [profile("name", "Sam"), profile("role", "finance")],
    "Phase one of the GCP migration is done.": [
        edit("fact", entity="GCP migration", fact="phase one is done", as_of=None)
    ],
    "I prefer tables to prose.": [observation("Prefers tables to prose")],
    "Thanks, comparing by price was just right.": [feedback("Comparing by price", True)],
    "Dana leads the GCP migration.": [
        edit("entity", entity="Dana", type="person", aliases=[]),
        edit("relationship", entity="Dana", relation="leads", target="GCP migration"),
    ],
    "The board meets on 3 December.": [edit("event", entity="The board", event="meets", when="3 December")],
    "Forget that I prefer tables.": [edit("forget", replaces="known: Prefers tables")],
    "I am Eve of Rival.": [profile("name", "Eve")],
    "We decided to stay on Oracle because of the licence.": [
        edit(
            "decision",
            decision="Stay on Oracle",
            reasoning="because of the licence",
            alternatives=[],
            context=None,
            confidence="medium",
        )
    ],
}
"""Edits by sentence. From all other messages only the session is learnt."""

TALK: list[tuple[LearningContext, str]] = [
    *[(ALEX, text) for text in list(TAUGHT)[:10]],
    (SAM, "I am Sam from finance."),
    (SAM, "What did we decide about Postgres, and how did it turn out?"),
    (SAM, "What about the GCP migration?"),
    *[(SAM, text) for text in list(TAUGHT)[11:17]],
    (SAM, "See you."),
    (EVE, "I am Eve of Rival."),
    (EVE, "What did we decide about Postgres, and how did it turn out?"),
    (EVE, "What about the GCP migration?"),
    (EVE, "We decided to stay on Oracle because of the licence."),
    *[(EVE, f"Thing number {number} is on my mind.") for number in range(5)],
    (EVE, "See you."),
]


def learns(shown: Sequence[BaseMessage]) -> dict[str, Any]:
    """An extraction that knows what there is to learn from a sentence, and finds what is known by its words."""
    found = [edit("session", message=number, summary=f"Said last: {text}") for number, _, text in conversation(shown)]
    told = [(number, one) for number, _, text in conversation(shown) for one in TAUGHT.get(text, [])]
    return edits(*(_resolved(one, number, shown) for number, one in told), *found[-1:])


def _resolved(one: dict[str, Any], number: int, shown: Sequence[BaseMessage]) -> dict[str, Any]:
    def key(value: Any) -> Any:
        if isinstance(value, list):
            return [key(part) for part in value]
        if not isinstance(value, str) or not value.startswith("known: "):
            return value
        rows = re.findall(r"^(k\d+): (.*)$", shown[1].text, re.MULTILINE)
        return next(found for found, row in rows if value.removeprefix("known: ") in row)

    return {name: key(value) for name, value in one.items()} | {"message": number}


def nine(store: BaseStore) -> LearningMachine:
    """A machine with all nine, the work in a team's scope."""
    team = Scope.TEAM
    stores = [
        UserProfile(),
        UserMemory(),
        SessionContext(),
        EntityMemory(scope=team),
        LearnedKnowledge(scope=team, mode=Mode.PROPOSE),
        DecisionLog(scope=team),
        BehavioralFeedback(),
        SelfImprovement(scope=team),
        Episodes(),
    ]
    return LearningMachine(ScriptedModel(learns), stores, store=store, on_error="raise")


def table(machine: LearningMachine) -> str:
    """Texts that everybody may be shown, by learning store, and those that wait for approval."""
    rows = [f"{'learning store':<20} {'alex':>6} {'sam':>6} {'eve':>6} {'waiting':>8}"]
    seen = [
        Counter(one.store_name for one in machine.learnings(who, thread_id=str(who.user_id)))
        for who in (ALEX, SAM, EVE)
    ]
    waiting = Counter(one.store_name for one in machine.review.list(ALEX))
    for store in machine.stores:
        numbers = " ".join(f"{counts[store.name]:>6}" for counts in seen)
        rows.append(f"{store.name:<20} {numbers} {waiting[store.name]:>8}")
    return "\n".join(rows)


def talked(machine: LearningMachine, store: BaseStore) -> tuple[ScriptedModel, dict[str, str]]:
    """The whole conversation; the model that answered, and what it was shown with a question, by who asked what."""
    answering = echo()
    graph = machine.wrap(answering, store=store, checkpointer=InMemorySaver())
    seen = {}
    for who, text in TALK:
        graph.invoke(said(text), thread(str(who.user_id)), context=who)
        seen[f"{who.user_id}: {text}"] = prompt(answering.shown[-1])
    return answering, seen


def test_nine_kinds_of_learning_cost_one_model_call_a_turn(postgres_store: BaseStore):
    """Thirty turns of three people: the agent's own calls and one each, whatever is learnt."""
    machine = nine(postgres_store)
    answering, seen = talked(machine, postgres_store)
    told = table(machine)
    print(told)  # pytest -rP shows it

    assert 30 == len(TALK) == len(answering.shown) == len(learner(machine).shown)
    assert all(set(row.split()[1:]) != {"0"} for row in told.splitlines()[1:])
    _who_may_know_it_knows_it(seen)
    _a_person_decides_what_is_proposed(machine, postgres_store)


def _who_may_know_it_knows_it(seen: dict[str, str]) -> None:
    """Sam's questions meet what Alex' team decided and how it turned out; Eve's meet nothing of it."""
    decided, migrating = "What did we decide about Postgres, and how did it turn out?", "What about the GCP migration?"

    assert "because of pgvector" in seen[f"sam: {decided}"]
    assert "halved the query times" in seen[f"sam: {decided}"]
    assert "three phases" in seen[f"sam: {migrating}"]
    assert not [word for word in ("pgvector", "halved", "three phases") if word in prompt_of_eve(seen)]


def prompt_of_eve(seen: dict[str, str]) -> str:
    """All that the agent was ever shown with what Eve said."""
    return "\n".join(text for asked, text in seen.items() if asked.startswith("eve: "))


def _a_person_decides_what_is_proposed(machine: LearningMachine, store: BaseStore) -> None:
    """The insight and the instruction waited; approved, they are in the next context."""
    for one in machine.review.list(SAM):
        machine.review.approve(SAM, one.key)
    answering = echo()
    graph = machine.wrap(answering, store=store, checkpointer=InMemorySaver())
    graph.invoke(said("Shall we compare egress costs first?"), thread("later"), context=SAM)

    assert "Answer in three sentences." in prompt(answering.shown[-1])
    assert "saved a third of the budget" in prompt(answering.shown[-1])
