"""Recall: what is read from the stores for a question and for the exchange before it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from langchain.agents import create_agent
from langgraph.store.base import BaseStore
from people import ALEX, SAM, conversation, echo, edit, edits, machine, repeat, said, thread

from langgraph_learning import (
    EntityMemory,
    Episodes,
    LearnedKnowledge,
    LearningMachine,
    Scope,
    UserMemory,
    UserProfile,
)
from langgraph_learning.core.flow import drive
from langgraph_learning.core.learning import Learning, Source
from langgraph_learning.core.policy import Standing
from langgraph_learning.core.relevance import Scale
from langgraph_learning.core.scopes import Caller
from langgraph_learning.recall.recall import recall_learnings
from langgraph_learning.stores.base import Request
from langgraph_learning.testing import ScriptedModel

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


class TestWhatDoYouKnowAboutMe:
    """The agent is shown what is private to the user, whatever it is about, and so can say it openly."""

    def make(self, store: BaseStore) -> LearningMachine:
        """A machine that has learnt from Alex and Sam, who are of one team, and a model that repeats what it sees."""
        answers = {
            "tea": edit("observation", observation="Drinks green tea"),
            "Lisbon": edit("profile_field", field="location", value="Lisbon"),
            "Timo": {**edit("fact", entity="Timo", fact="is diabetic", as_of=None), "audience": "user"},
            "debts": edit("observation", observation="Has debts"),
            "egress": {**edit("fact", entity="The team", fact="cuts egress costs", as_of=None), "audience": "team"},
        }
        stores = [UserProfile(), UserMemory(), EntityMemory(scope=Scope.TEAM), Episodes()]
        learning = machine(
            lambda shown: edits(*(answers[word] for word in answers if word in str(conversation(shown)))),
            stores,
            store=store,
        )
        told = [(ALEX, "I like tea"), (ALEX, "I moved to Lisbon"), (ALEX, "My son Timo is diabetic")]
        told += [(SAM, "I have debts"), (SAM, "We cut egress costs")]
        for number, (context, text) in enumerate(told):
            learning.wrap(echo()).invoke(said(text), thread(str(number)), context=context)
        return learning

    @pytest.mark.parametrize("asked", ["What do you know about me?", "Was weißt du über mich?", "你知道我什么？"])
    @pytest.mark.parametrize("form", ["wrap", "middleware"])
    def test_all_that_is_private_to_the_user_is_shown(self, postgres_store: BaseStore, form: str, asked: str):
        """And nothing that is private to others, nor the team's."""
        learning = self.make(postgres_store)
        agent: Any = (
            learning.wrap(ScriptedModel(repeat))
            if form == "wrap"
            else create_agent(ScriptedModel(repeat), middleware=[learning.middleware()], store=postgres_store)
        )
        shown = agent.invoke(said(asked), thread("z"), context=ALEX)["messages"][-1].text

        assert [] == [text for text in ("green tea", "Lisbon", "diabetic") if text not in shown]
        assert [] == [text for text in ("debts", "egress") if text in shown]
        assert "if the user asks what you know, say so openly" in shown

    async def test_it_is_shown_in_async_code(self, postgres_store: BaseStore):
        """The same."""
        agent = self.make(postgres_store).wrap(ScriptedModel(repeat))
        state = await agent.ainvoke(said("What do you know about me?"), thread("z"), context=ALEX)

        assert "green tea" in state["messages"][-1].text

    def test_small_talk_shows_none_of_it(self, postgres_store: BaseStore):
        """Nobody asked."""
        agent = self.make(postgres_store).wrap(ScriptedModel(repeat))

        assert "green tea" not in agent.invoke(said("Good morning!"), thread("z"), context=ALEX)["messages"][-1].text
