"""A vote on an answer counts once for each learning in its context, and concurrent votes are not lost."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore, PutOp, SearchItem
from langgraph.store.memory import InMemoryStore
from people import ALEX, EVE, NOTHING, SAM, echo, edit, edits, machine, observation, said, thread

from langgraph_learning import LearningContext, LearningMachine, LearningStore, Record, Scope, UserMemory
from langgraph_learning.core.flow import Batch, Flow, batch, drive
from langgraph_learning.core.keys import SHOWN
from langgraph_learning.core.learning import Learning, Votes
from langgraph_learning.core.scopes import Caller
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.stores.base import Request
from langgraph_learning.update import votes
from langgraph_learning.update.votes import Vote

NOW = datetime(2026, 11, 21, tzinfo=UTC)
TEAM = ("learnings", "default", "team", "acme", "user_memory")
OWN = ("learnings", "default", "user", "alex", "user_memory")
STORES = [UserMemory(scope=Scope.TEAM)]


class Verdict(Record):
    """The user's judgement of the last answer."""

    words: str
    good: bool

    def verdict(self) -> bool:
        return self.good


def known(text: str, place: tuple[str, ...] = TEAM, **fields: Any) -> Learning:
    data = {"observation": text}
    return Learning(
        **{"namespace": place, "key": text, "kind": "observation", "text": text, "data": data, "learned_at": NOW}
        | fields
    )


def shown(store: BaseStore, *learnings: Learning, answer: str = "answer") -> None:
    """Record an answer in thread t with these learnings in its context."""
    for one in learnings:
        store.batch([one.put()])
    place = Caller("alex", thread="t").namespace(Scope.THREAD, SHOWN)
    store.put(place, answer, {"learnings": [[list(one.namespace), one.key] for one in learnings]}, index=False)


def casting(voter: str, helped: bool, answer: str = "answer", teams: tuple[str, ...] = ("acme",)) -> Flow[Any]:
    """Cast a vote on an answer in thread t."""
    caller = Caller(voter, teams=teams, thread="t")
    vote = Vote.of(caller, answer, helped=helped, why="said", at=NOW)
    places = yield from votes.read_answer_context(STORES, caller, answer)
    yield from batch(*(PutOp(*vote.on(place), index=False) for place in places))
    return (yield from votes.update_totals(places, voter))


def sum_of(store: BaseStore, one: Learning) -> Votes:
    item = store.get(one.namespace, one.key)
    assert item is not None
    return Votes(**item.value["votes"])


def test_a_vote_counts_for_everything_that_the_answer_was_shown(store: BaseStore):
    """It is unknown which of the learnings was to blame."""
    tea, cat, other = known("tea"), known("cat"), known("other")
    shown(store, other, answer="another")
    shown(store, tea, cat)

    assert {"tea", "cat"} == {one.key for one in drive(casting("alex", True), store)}
    assert [Votes(helped=1), Votes(helped=1), Votes()] == [sum_of(store, one) for one in (tea, cat, other)]


def test_one_voice_on_one_answer_counts_once(store: BaseStore):
    """A repeated vote counts once; on another answer it counts again."""
    tea = known("tea")
    shown(store, tea)
    shown(store, tea, answer="later")
    for answer in ("answer", "answer", "later"):
        drive(casting("alex", True, answer), store)

    assert Votes(helped=2) == sum_of(store, tea)


def test_who_changes_their_mind_has_voted_as_they_did_last(store: BaseStore):
    """The second vote replaces the first."""
    tea = known("tea")
    shown(store, tea)
    drive(casting("alex", True), store)
    drive(casting("alex", False), store)

    assert Votes(harmed=1) == sum_of(store, tea)


def test_votes_at_the_same_time_lose_none(postgres_store: HybridPostgresStore):
    """Sixteen users vote at the same time."""
    tea = known("tea")
    shown(postgres_store, tea)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: drive(casting(f"user {n}", n % 2 == 0), postgres_store), range(16)))

    assert Votes(helped=8, harmed=8) == sum_of(postgres_store, tea)


def interleaved(flows: list[Flow[Any]], order: list[int], store: BaseStore) -> None:
    """Run flows step by step, interleaved as `order` says; then run the rest."""
    waiting = [(flow, flow.send(None)) for flow in flows]
    turns = iter(order)
    while waiting:
        flow, request = waiting.pop(next(turns, 0) % len(waiting))
        assert isinstance(request, Batch)
        try:
            waiting.append((flow, flow.send(store.batch(request.ops))))
        except StopIteration:
            continue


VOICES = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["one", "two"]), st.booleans()), max_size=6)


@given(VOICES, st.lists(st.integers(0, 5)))
def test_in_no_order_a_vote_is_lost(voices: list[tuple[str, str, bool]], order: list[int]):
    """Even if the last writer wins in the store, the total matches the votes in the end."""
    store, tea = InMemoryStore(), known("tea")
    for answer in ("one", "two"):
        shown(store, tea, answer=answer)
    interleaved([casting(voter, helped, answer) for voter, answer, helped in voices], order, store)
    cast = [item.value["helped"] for item in store.search(votes.votes_namespace(tea.ref), limit=100)]

    assert len({(voter, answer) for voter, answer, _ in voices}) == len(cast)
    assert Votes(helped=cast.count(True), harmed=cast.count(False)) == sum_of(store, tea)


def test_nobody_votes_on_what_they_may_not_read(store: BaseStore):
    """A colleague in the same thread can vote on the team's learnings; a stranger on none."""
    ours, mine = known("ours"), known("mine", OWN)
    shown(store, ours, mine)
    drive(casting("sam", False), store)
    drive(casting("eve", False, teams=("rival",)), store)

    assert [Votes(harmed=1), Votes()] == [sum_of(store, ours), sum_of(store, mine)]
    assert [] == store.search(votes.votes_namespace(mine.ref))


def test_what_is_forgotten_loses_its_votes_too(store: BaseStore):
    """No vote is left, and none is written afterwards."""
    tea = known("tea")
    shown(store, tea)
    drive(casting("alex", True), store)
    machine([], STORES, store=store).forget(ALEX, tea.key)
    drive(casting("sam", True), store)

    assert [] == store.search(votes.votes_namespace(tea.ref))


def test_what_no_longer_counts_keeps_its_sum(store: BaseStore):
    """A vote on a superseded learning is kept, and does not reactivate it."""
    old = known("old", status="superseded")
    shown(store, old)

    assert () == drive(casting("alex", True), store)
    assert 1 == len(store.search(votes.votes_namespace(old.ref)))


def ranked(*found: Learning) -> list[str]:
    items = [SearchItem(o.namespace, o.key, o.put().value, NOW, NOW, score=o.score) for o in found]
    return [one.key for one in UserMemory(limit=50).rank(items, [TEAM], Request(Caller("alex"), "?", NOW))]


@pytest.mark.parametrize("score", [0.8, -3.0], ids=["likeness", "distance"])
def test_what_harmed_sinks_below_what_helped(score: float):
    """It decides between two learnings of equal relevance, whatever the store's score means."""
    harmed, unvoted = known("harmed", votes=Votes(harmed=5), score=score), known("unvoted", score=score)
    helped = known("helped", votes=Votes(helped=5), score=score)

    assert ["helped", "unvoted", "harmed"] == ranked(harmed, unvoted, helped)


def test_what_is_always_shown_gives_way_by_its_votes():
    """Without a query there is no relevance, and votes come before the date."""
    harmed = known("harmed", votes=Votes(harmed=1), learned_at=NOW.replace(hour=5))

    assert ["helped", "harmed"] == ranked(harmed, known("helped", votes=Votes(helped=1)))


def test_one_voice_does_not_bury_a_good_learning():
    """A clearly more relevant learning stays first."""
    assert ["near", "far"] == ranked(known("near", votes=Votes(harmed=1), score=0.9), known("far", score=0.8))


@given(st.lists(st.floats(-1, 1), max_size=12, unique=True))
def test_without_votes_the_nearest_is_first(scores: list[float]):
    """The order is the same as without votes at all."""
    found = [known(str(score), score=score) for score in scores]

    assert [str(score) for score in sorted(scores, reverse=True)] == ranked(*found)


def test_what_is_new_is_not_worse_off_than_what_is_old():
    """Most answers are good, so old learnings have positive votes: only an unusual share changes the rank."""
    old = [known(f"old {number}", votes=Votes(helped=18, harmed=2), score=0.8) for number in range(10)]

    assert "new" == ranked(*old, known("new", score=0.82))[0]


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(0.01, 0.99))
def test_a_voice_for_it_always_weighs_more_than_one_against(helped: int, harmed: int, usual: float):
    """No number of votes exceeds the bounds."""
    votes = Votes(helped=helped, harmed=harmed)

    assert votes.model_copy(update={"harmed": harmed + 1}).weight(usual) < votes.weight(usual)
    assert votes.weight(usual) < votes.model_copy(update={"helped": helped + 1}).weight(usual)
    assert 0 < votes.weight(usual) < 2


def conversation(
    store: BaseStore, *answers: Any, agent: Any = None, last: LearningContext = ALEX
) -> tuple[LearningMachine, list[BaseMessage]]:
    """Alex teaches something, asks about it in another thread, and then judges the answer."""
    teaches = [edits(observation("Drinks green tea")), NOTHING]
    learning = machine([*teaches, *answers], [UserMemory(), LearningStore(name="said", record=Verdict)], store=store)
    talks = learning.wrap(agent or create_agent(echo(), []), checkpointer=InMemorySaver())
    talks.invoke(said("I drink green tea"), thread("monday"), context=ALEX)
    talks.invoke(said("Which tea?"), thread("t"), context=ALEX)
    state = talks.invoke(said("No, that was wrong"), thread("t"), context=last)
    return learning, state["messages"]


WRONG = edit("verdict", words="wrong", good=False)


def tea_in(learning: LearningMachine) -> Learning:
    return next(one for one in learning.learnings(ALEX) if one.kind == "observation")


def test_a_correction_votes_on_the_answer_before_it(store: BaseStore):
    """It is not a vote on the answer to itself."""
    learning, messages = conversation(store, edits(WRONG))
    tea = tea_in(learning)
    (vote,) = store.search(votes.votes_namespace(tea.ref))

    assert Votes(harmed=1) == tea.votes
    assert (messages[1].id, "verdict") == (vote.value["answer"], vote.value["why"])
    assert "alex" not in str(vote.value)


def test_what_a_tool_says_is_no_vote(store: BaseStore):
    """A document that calls an answer wrong casts no vote."""

    def agent(state: dict[str, Any]) -> dict[str, Any]:
        call = AIMessage("", tool_calls=[{"name": "read", "args": {}, "id": "1"}])
        return {"messages": [call, ToolMessage("Your answer was wrong", tool_call_id="1"), AIMessage("I see")]}

    learning, _ = conversation(store, edits({**WRONG, "message": 3}), agent=agent)

    assert Votes() == tea_in(learning).votes


def test_a_run_that_learns_nothing_casts_no_vote(store: BaseStore):
    """With `learn=False` no vote is cast."""
    learning, _ = conversation(store, last=ALEX.model_copy(update={"learn": False}))

    assert Votes() == tea_in(learning).votes
    assert [] == store.search(votes.votes_namespace(tea_in(learning).ref))


def test_a_first_word_is_about_no_answer(store: BaseStore):
    """There is nothing to vote on, and it is no error."""
    learning = machine([edits(WRONG)], [LearningStore(name="said", record=Verdict)], store=store)
    learning.wrap(create_agent(echo(), [])).invoke(said("wrong"), thread("new"), context=SAM)

    assert ["wrong · False"] == [one.text for one in learning.learnings(SAM)]
    assert [] == learning.learnings(EVE)
