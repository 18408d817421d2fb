"""Recall: what is read from the stores for a question and for the exchange before it."""

from datetime import UTC, datetime

from langgraph.store.base import BaseStore

from langgraph_learning import LearnedKnowledge, Scope
from langgraph_learning.core.flow import drive
from langgraph_learning.core.learning import Learning, Source
from langgraph_learning.core.policy import Standing
from langgraph_learning.core.relevance import Scale
from langgraph_learning.core.scopes import Caller
from langgraph_learning.recall.recall import recall_learnings
from langgraph_learning.stores.base import Request

NOW = datetime(2026, 5, 1, tzinfo=UTC)
CALLER = Caller(user="alex", teams=("acme",))
KNOWLEDGE = LearnedKnowledge(scope=Scope.TEAM)
SCALE = Scale(0.3, 0.9)
PLAN = "The Plus plan costs 39 euros a month"
EXCHANGE = f"What is the Plus plan?\n{PLAN}"
LOOSE_EXCHANGE = "What does a month of the plan cost?\nThe Plus plan costs 39 euros"


def note(key: str, text: str, standing: Standing = Standing.NO) -> Learning:
    """A learning of the team in its own words."""
    return Learning(
        namespace=CALLER.namespace(Scope.TEAM, KNOWLEDGE.name),
        key=key,
        kind="insight",
        text=text,
        data={"category": "insight", "title": key, "insight": text, "when_to_apply": None},
        sources=(Source(channel="user", user="alex"),),
        learned_at=NOW,
        standing=standing,
    )


def shown_after(store: BaseStore, question: str, exchange: str = "") -> set[str]:
    """The keys of what is shown for a question after an exchange."""
    request = Request(CALLER, question, NOW, exchange=exchange, scale=SCALE)
    selection = drive(recall_learnings([KNOWLEDGE], request), store)
    return {learning.key for learnings in selection.shown.values() for learning in learnings}


def test_a_follow_up_finds_what_the_question_before_needed(postgres_store: BaseStore):
    """Among many that have more to do with the follow-up itself."""
    others = [note(f"k{n:02}", f"Room {n} is locked after work") for n in range(60)]
    postgres_store.batch([learning.put() for learning in (note("plan", PLAN), *others)])

    assert "plan" not in shown_after(postgres_store, "Is that one locked?")
    assert "plan" in shown_after(postgres_store, "Is that one locked?", EXCHANGE)


def test_a_question_that_stands_alone_leaves_the_exchange_behind(postgres_store: BaseStore):
    """What was loosely about the question before is shown again only for a message that points back to it."""
    others = [note(f"k{n:02}", f"Room {n} is locked after work") for n in range(60)]
    postgres_store.batch([learning.put() for learning in (note("plan", PLAN), *others)])

    assert "plan" in shown_after(postgres_store, "Is that one locked?", LOOSE_EXCHANGE)
    assert "plan" not in shown_after(postgres_store, "Which bank holds the mortgage?", LOOSE_EXCHANGE)
    assert "plan" in shown_after(postgres_store, "Which bank holds the mortgage?", EXCHANGE)


def test_what_stands_is_found_by_the_question_alone(postgres_store: BaseStore):
    """Else the rule that the first question needed would come back in every turn, however many rules there are."""
    others = [note(f"k{n:02}", f"The guard opens room {n} if it is locked", Standing.LOWER) for n in range(60)]
    postgres_store.batch([learning.put() for learning in (note("plan", PLAN, Standing.LOWER), *others)])

    assert "plan" not in shown_after(postgres_store, "Is that one locked?", EXCHANGE)
    assert "plan" in shown_after(postgres_store, "How many euros a month is the Plus plan?")
