"""After an opt-out nothing is learnt from a user: by no extraction, no tool and no note."""

from typing import Any

import psycopg
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from people import (
    ALEX,
    NOTHING,
    SAM,
    Shouts,
    echo,
    edit,
    edits,
    learner,
    machine,
    notes_what_users_say,
    observation,
    said,
    thread,
)

from langgraph_learning import LearnedKnowledge, LearningContext, LearningMachine, Mode, Scope, UserMemory, UserProfile
from langgraph_learning.errors import NotFound
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.testing import ScriptedModel


def hears(learning: LearningMachine, text: str, user: LearningContext = ALEX, name: str = "a") -> Any:
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    return agent.invoke(said(text), thread(name), context=user)


def texts(learning: LearningMachine, user: LearningContext = ALEX) -> list[str]:
    return sorted(one.text for one in learning.learnings(user))


def test_after_opting_out_nothing_is_learnt_and_no_model_is_asked(store: BaseStore):
    """Private learnings are deleted; after opting in again, new messages are learnt from."""
    learning = machine(notes_what_users_say, store=store)
    hears(learning, "I like tea")
    gone = learning.opt_out(ALEX)
    hears(learning, "I like coffee")
    asked = len(learner(learning).calls)
    known = texts(learning)
    learning.opt_in(ALEX)
    hears(learning, "I like water", name="b")

    assert (1, 1, [], ["I like water"]) == (gone, asked, known, texts(learning))


async def test_in_the_async_world_too(astore: BaseStore):
    """The same, awaited."""
    learning = machine(notes_what_users_say, store=astore)
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    await agent.ainvoke(said("I like tea"), thread("a"), context=ALEX)
    gone = await learning.aopt_out(ALEX, "user_memory")
    await agent.ainvoke(said("I like coffee"), thread("a"), context=ALEX)
    known = await learning.alearnings(ALEX)
    await learning.aopt_in(ALEX, "user_memory")
    await agent.ainvoke(said("I like water"), thread("b"), context=ALEX)

    assert (1, []) == (gone, known)
    assert ["I like water"] == [one.text for one in await learning.alearnings(ALEX)]


def test_it_is_one_users_wish_in_one_learning_store(store: BaseStore):
    """Other stores still learn from this user, and this store from other users."""
    both = [UserMemory(), Shouts()]
    learning = machine(notes_what_users_say, both, store=store)
    learning.opt_out(ALEX, "user_memory")
    hears(learning, "I like TEA")
    hears(learning, "I like milk", SAM)

    assert (["TEA"], ["I like milk"]) == (texts(learning), texts(learning, SAM))


def test_what_was_shared_stays(store: BaseStore):
    """A shared learning stays with the team; this user no longer adds to it or replaces it."""
    answers = iter([observation("Deploys are frozen"), observation("Deploys are free", replaces="k1")])
    learning = machine(lambda shown: edits(next(answers)), [UserMemory(scope=Scope.TEAM), Shouts()], store=store)
    hears(learning, "Deploys are frozen")
    learning.opt_out(ALEX, "user_memory")
    hears(learning, "Deploys are free", name="b")

    assert ["Deploys are frozen"] == texts(learning, SAM)


@pytest.mark.parametrize("leave", [LearningMachine.opt_out, LearningMachine.forget])
def test_what_waits_on_ones_own_words_alone_goes_too(store: BaseStore, leave: Any):
    """A reviewer sees no quote of a user who opted out."""
    ours = edit("insight", category="insight", title="Tea", insight="Tea helps", when_to_apply=None)
    learning = machine(lambda shown: edits(ours), [LearnedKnowledge(scope=Scope.TEAM, mode=Mode.PROPOSE)], store=store)
    hears(learning, "Tea helps me")
    waited = len(learning.review.list(SAM))
    leave(learning, ALEX)

    assert (1, ()) == (waited, learning.review.list(SAM))


def test_to_forget_is_never_too_much(store: BaseStore):
    """A user who opted out may still have something shared forgotten."""
    answers = iter(
        [edits(observation("Deploys are frozen")), edits({"edit": "forget", "replaces": "k1", "message": 1})]
    )
    learning = machine(lambda shown: next(answers), [UserMemory(scope=Scope.TEAM), LearnedKnowledge()], store=store)
    hears(learning, "Deploys are frozen")
    learning.opt_out(ALEX, "user_memory")
    hears(learning, "Forget that deploys are frozen", name="b")

    assert [] == texts(learning, SAM)


def test_nothing_is_noted_either(store: BaseStore):
    """A note needs no model, but it is learning as well."""
    learning = LearningMachine(None, [Shouts()], store=store, on_error="raise")
    learning.opt_out(ALEX)
    hears(learning, "I like TEA")

    assert [] == texts(learning)


def test_a_tool_says_that_nothing_is_saved(store: BaseStore):
    """The tool tells the agent, so that it does not promise to remember."""
    learning = machine([], [UserMemory(mode=Mode.AGENTIC)], store=store)
    learning.opt_out(ALEX)
    call = {"name": "save_observation", "id": "1", "args": {"observation": "Likes tea", "replaces": None}}
    model = ScriptedModel([AIMessage("", tool_calls=[call]), lambda shown: shown[-1].content])
    agent = create_agent(model, [], middleware=[learning.middleware()], store=store)
    answer = agent.invoke(said("I like tea"), thread("a"), context=ALEX)["messages"][-1].text

    assert answer.startswith("Nothing is saved here of this user")
    assert [] == texts(learning)


def test_who_opts_out_between_reading_and_writing_is_heeded(postgres_store: HybridPostgresStore):
    """The extraction called its model before the opt-out; its result is not written."""
    learning = machine([], store=postgres_store)

    def answers(shown: Any) -> Any:
        learning.opt_out(ALEX)
        return edits(observation("Likes tea"))

    slow = machine(answers, store=postgres_store)
    hears(slow, "I like tea")

    assert [] == texts(slow)


def test_a_name_that_no_store_has_is_an_error(store: BaseStore):
    """Nothing changes: the known names beside an unknown one are not opted out of either."""
    learning = machine(notes_what_users_say, store=store)
    with pytest.raises(NotFound, match="only user_memory"):
        learning.opt_out(ALEX, "user_memory", "user_memories")
    with pytest.raises(NotFound):
        learning.opt_in(ALEX, "user_memories")
    hears(learning, "I like tea")

    assert ["I like tea"] == texts(learning)


def test_opting_out_one_after_the_other_adds_up(store: BaseStore):
    """And opting in to one leaves the other as it was."""
    learning = machine([NOTHING] * 3, [UserMemory(), UserProfile(), Shouts()], store=store)
    for name in ("user_memory", "shouts", "user_profile"):
        learning.opt_out(ALEX, name)
    learning.opt_in(ALEX, "shouts")
    hears(learning, "I like TEA")

    assert (["TEA"], 0) == (texts(learning), len(learner(learning).calls))


def test_what_was_learnt_until_then_is_nowhere_in_the_database(postgres_store: HybridPostgresStore, database_url: str):
    """No item, text, vector or log entry holds it."""
    learning = machine(notes_what_users_say, store=postgres_store)
    hears(learning, "My secret is Xylophone")
    learning.opt_out(ALEX)

    with psycopg.connect(database_url) as connection:
        tables = ("learning_items", "learning_texts", "learning_changes")
        rows = str([connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables]).casefold()
    assert "xylophon" not in rows
