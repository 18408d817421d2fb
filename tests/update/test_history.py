"""Every change can be undone with the store's change log: an edit, a turn, an approval, a promotion, an undo."""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from people import ALEX, EVE, NOTHING, SAM, edits, learner, machine, notes_what_users_say, observation, said, thread

from langgraph_learning import LearningContext, LearningMachine, Mode, Scope, SessionContext, Sharing, UserMemory
from langgraph_learning.core.keys import SHOWN
from langgraph_learning.core.scopes import Caller
from langgraph_learning.errors import Conflict, Misconfigured, NotAllowed, NotFound
from langgraph_learning.postgres import HybridPostgresStore

THREADS = (f"undo {number}" for number in itertools.count())


@pytest.fixture
def store(postgres_store: HybridPostgresStore) -> HybridPostgresStore:
    """Only this store has a change log, which undo needs."""
    return postgres_store


def hears(learning: LearningMachine, text: str, user: LearningContext = ALEX, where: str | None = None) -> str:
    """Let a user say something, by default in a new thread; return the thread's id."""
    name = where or next(THREADS)
    agent = learning.wrap(lambda state: {"messages": [AIMessage("Good to know")]}, checkpointer=InMemorySaver())
    agent.invoke(said(text), thread(name), context=user)
    return name


def texts(learning: LearningMachine, user: LearningContext = ALEX) -> list[str]:
    return sorted(learnt.text for learnt in learning.learnings(user))


def corrected(store: HybridPostgresStore) -> LearningMachine:
    """A machine that learnt about tea, and then replaced it by coffee."""
    answers = iter([edits(observation("Likes tea")), edits(observation("Likes coffee", replaces="k1"))])
    learning = machine(lambda shown: next(answers), store=store)
    hears(learning, "I like tea")
    hears(learning, "I like coffee, not tea")
    return learning


@pytest.mark.parametrize("key", ["", "a\0b", "\ud800", pytest.param("x" * 5_000, id="long")])
def test_nothing_has_a_history_under_a_key_that_cannot_be_stored(store: HybridPostgresStore, key: str):
    """A client may ask for anything."""
    learning = machine([NOTHING], store=store)

    for look in (learning.history, learning.undo, learning.forget):
        with pytest.raises(NotFound):
            look(ALEX, key)


def test_an_edit_is_undone_with_what_it_replaced(store: HybridPostgresStore):
    """The replaced learning is active again; the undo is logged, and can be undone."""
    learning = corrected(store)
    (coffee,) = learning.learnings(ALEX)
    learning.undo(ALEX, coffee.key)
    undone = texts(learning)
    learning.undo(ALEX, coffee.key)

    assert (["Likes tea"], ["Likes coffee"]) == (undone, texts(learning))
    assert ["active", "rejected", "active"] == [
        change.after["status"] for change in learning.history(ALEX, coffee.key) if change.after
    ]
    assert {"alex"} == {change.by for change in learning.history(ALEX, coffee.key)}


async def test_undo_in_the_async_world(store: HybridPostgresStore):
    """The same, awaited."""
    learning = machine(notes_what_users_say, store=store)
    agent = learning.wrap(lambda state: {"messages": [AIMessage("Good")]}, checkpointer=InMemorySaver())
    await agent.ainvoke(said("I like tea"), thread("a"), context=ALEX)
    (tea,) = await learning.alearnings(ALEX)
    await learning.aundo(ALEX, tea.key)
    assert [] == await learning.alearnings(ALEX)

    await learning.aundo_turn(ALEX, "a")
    assert ["I like tea"] == [learnt.text for learnt in await learning.alearnings(ALEX)]
    assert 3 == len(await learning.ahistory(ALEX, tea.key))
    await store.aclose()


def test_what_changed_since_is_not_undone(store: HybridPostgresStore):
    """Neither an older change nor one whose linked learning has changed can be undone; nothing is written."""
    learning = corrected(store)
    (coffee,) = learning.learnings(ALEX)
    (first, *_) = learning.history(ALEX, coffee.supersedes[0])[::-1]

    with pytest.raises(Conflict, match="changed since"):
        learning.undo(ALEX, coffee.supersedes[0], change=first.id)
    learning.forget(ALEX, coffee.key)
    with pytest.raises(NotFound):
        learning.undo(ALEX, "nothing")
    assert [] == texts(learning)


def test_a_turn_is_undone_whole(store: HybridPostgresStore):
    """Everything the turn taught is undone, including the session, and nothing of other turns; it is not learnt again."""
    answers = [
        edits(observation("Has a cat")),
        edits(observation("Likes tea"), observation("Likes jazz"), {"edit": "session", "summary": "Tea", "replaces": None, "message": 1}),
    ]  # fmt: skip
    learning = machine([*answers, NOTHING], [UserMemory(), SessionContext()], store=store)
    hears(learning, "I have a cat")
    where = hears(learning, "I like tea and jazz")
    undone = learning.undo_turn(ALEX, where)

    assert ({"Likes tea", "Likes jazz", "Tea"}, ["Has a cat"]) == ({one.text for one in undone}, texts(learning))
    assert [] == [one.text for one in learning.learnings(ALEX, thread_id=where) if one.scope == Scope.THREAD]
    with pytest.raises(NotFound):
        learning.undo_turn(SAM, where)


def test_undoing_a_turn_again_takes_the_undo_back(store: HybridPostgresStore):
    """As it is with single changes: what a click undid, another one restores."""
    learning = machine(notes_what_users_say, [UserMemory()], store=store)
    where = hears(learning, "I like tea")
    learning.undo_turn(ALEX, where)
    undone = texts(learning)
    learning.undo_turn(ALEX, where)

    assert ([], ["I like tea"]) == (undone, texts(learning))


def test_an_approval_is_undone(store: HybridPostgresStore):
    """The proposal is pending again, and the learning it had replaced is active again."""
    learning = machine(notes_what_users_say, [UserMemory(scope=Scope.TEAM, mode=Mode.PROPOSE)], store=store)
    hears(learning, "Deploys are frozen")
    learning.review.approve(SAM, learning.review.list(SAM)[0].key)
    learner(learning).answers = lambda shown: edits(observation("Deploys are free", replaces="k1"))
    hears(learning, "No deploys are frozen any more")
    (waits,) = learning.review.list(SAM)
    learning.review.approve(SAM, waits.key)
    learning.undo(SAM, waits.key)

    assert ["Deploys are frozen"] == texts(learning)
    assert [waits.model_copy(update={"step": None})] == [
        one.model_copy(update={"step": None}) for one in learning.review.list(SAM)
    ]
    assert "Deploys are free" == learning.review.approve(SAM, waits.key).text


def test_a_promotion_is_undone(store: HybridPostgresStore):
    """The candidate has its supporters again; users' own learnings stay."""
    learning = machine(notes_what_users_say, [UserMemory(scope=Scope.TEAM, sharing=Sharing.after(2))], store=store)
    for user in (ALEX, SAM):
        hears(learning, "Deploys are frozen", user)
    kim = LearningContext(user_id="kim", team_ids=("acme",))
    (shared,) = learning.learnings(kim)
    learning.undo(kim, shared.key)

    assert ([], ["Deploys are frozen"]) == (texts(learning, kim), texts(learning))
    assert 1 == len(learning.review.list(kim)[0].supporters)


def test_with_four_eyes_nobody_brings_their_own_words_back(store: HybridPostgresStore):
    """Undoing a demotion activates a learning, so with four eyes another person has to do it."""
    learning = machine(
        notes_what_users_say, [UserMemory(scope=Scope.TEAM, mode=Mode.PROPOSE)], store=store, four_eyes=True
    )
    hears(learning, "Deploys are frozen")
    (waits,) = learning.review.list(SAM)
    learning.review.approve(SAM, waits.key)
    learning.review.demote(SAM, waits.key)

    with pytest.raises(NotAllowed, match="your own words"):
        learning.undo(ALEX, waits.key)
    learning.undo(SAM, waits.key)
    assert ["Deploys are frozen"] == texts(learning)


def test_nobody_sees_or_undoes_the_history_of_others(store: HybridPostgresStore):
    """Guessing a key does not help."""
    learning = corrected(store)
    (coffee,) = learning.learnings(ALEX)

    for look in (learning.history, learning.undo):
        with pytest.raises(NotFound):
            look(EVE, coffee.key)


def test_a_store_without_a_log_says_so():
    """The error names the store to use instead."""
    learning = machine(notes_what_users_say, store=InMemoryStore())

    with pytest.raises(Misconfigured, match="HybridPostgresStore"):
        learning.history(ALEX, "any")


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run calls in parallel threads; return what each returned or raised."""

    def outcome(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except (Conflict, NotFound) as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(outcome, calls))


def test_of_many_voices_at_once_each_counts(store: HybridPostgresStore):
    """Eight users say the same at the same moment: no supporter is lost, and it is promoted."""
    learning = machine(notes_what_users_say, [UserMemory(scope=Scope.TEAM, sharing=Sharing.after(8))], store=store)
    users = [LearningContext(user_id=f"user {number}", team_ids=("acme",)) for number in range(8)]
    at_once(*(lambda user=user: hears(learning, "Deploys are frozen", user, user.user_id) for user in users))

    assert ["Deploys are frozen"] == texts(learning, LearningContext(user_id="new", team_ids=("acme",)))


def test_of_two_reviewers_at_once_one_decides(store: HybridPostgresStore):
    """The slower reviewer gets an error."""
    learning = machine(notes_what_users_say, [UserMemory(scope=Scope.TEAM, mode=Mode.PROPOSE)], store=store)
    for number in range(5):
        hears(learning, f"Rule {number}")
    for waits in learning.review.list(SAM):
        done = at_once(
            lambda key=waits.key: learning.review.approve(SAM, key),
            lambda key=waits.key: learning.review.reject(ALEX, key),
        )
        assert 1 == sum(isinstance(outcome, (Conflict, NotFound)) for outcome in done)


def voted(store: HybridPostgresStore, learning: LearningMachine, key: str, helped: bool = False) -> None:
    """Let Sam vote on a learning of Alex' team in the context of some answer."""
    place = next(one.ref for one in learning.learnings(SAM) if one.key == key)
    caller = Caller("sam", teams=("acme",), thread="elsewhere")
    store.put(caller.namespace(Scope.THREAD, SHOWN), "m1", {"learnings": [[list(place[0]), key]]}, index=False)
    learning.feedback(SAM, "elsewhere", "m1", "up" if helped else "down")


def test_an_edit_is_undone_though_votes_came_since(store: HybridPostgresStore):
    """A vote is not an edit: it does not block an undo, is not the last change, and is kept."""
    learning = machine(notes_what_users_say, [UserMemory(scope=Scope.TEAM)], store=store)
    hears(learning, "Deploys are frozen")
    (frozen,) = learning.learnings(ALEX)
    voted(store, learning, frozen.key)
    (undone,) = learning.undo(ALEX, frozen.key)

    assert ("rejected", 1) == (undone.status, undone.votes.harmed)
    assert [] == learning.learnings(ALEX)


def test_a_vote_is_not_taken_for_the_last_thing_learnt(store: HybridPostgresStore):
    """Only what the turn taught is undone, whatever was voted on in the meantime."""
    learning = machine(notes_what_users_say, [UserMemory(scope=Scope.TEAM)], store=store)
    where = hears(learning, "Deploys are frozen")
    (frozen,) = learning.learnings(ALEX)
    hears(learning, "Tests are slow", where=where)
    voted(store, learning, frozen.key)
    learning.undo_turn(ALEX, where)

    assert ["Deploys are frozen"] == texts(learning)


def test_a_turn_whose_learnings_got_votes_is_undone(store: HybridPostgresStore):
    """None of it is active any more, and the votes are kept."""
    learning = machine(notes_what_users_say, [UserMemory(scope=Scope.TEAM)], store=store)
    where = hears(learning, "Deploys are frozen")
    (frozen,) = learning.learnings(ALEX)
    voted(store, learning, frozen.key, helped=True)
    (undone,) = learning.undo_turn(ALEX, where)

    assert ("rejected", 1) == (undone.status, undone.votes.helped)
    assert [] == texts(learning)
