"""Concurrent changes while an extraction calls its model: none is lost, and nothing deleted comes back."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore, PutOp
from people import ALEX, NOTHING, SAM, echo, edits, machine, observation, said, thread

from langgraph_learning import LearningContext, LearningMachine, Scope, UserMemory
from langgraph_learning.core.flow import Batch, Flow, batch
from langgraph_learning.core.learning import Learning, Source, Status, Votes, read_learnings
from langgraph_learning.core.records import Edit
from langgraph_learning.core.scopes import Caller, Namespace
from langgraph_learning.errors import Conflict, NotFound
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.stores.user_memory import Observation
from langgraph_learning.update import forgetting, write_policy
from langgraph_learning.update.votes import Vote, update_totals

NOW = datetime(2026, 11, 21, tzinfo=UTC)
FROZEN, FREE = "Deploys are frozen", "Deploys are free"


def shared(store: BaseStore, *answers: Any) -> LearningMachine:
    """A machine for a team, with these answers of its extraction model."""
    return machine([*answers], [UserMemory(scope=Scope.TEAM)], store=store)


def hears(learning: LearningMachine, text: str, name: str, user: LearningContext = ALEX) -> str:
    """Let a user say something in a new thread; return the answer's id."""
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    return str(agent.invoke(said(text), thread(name), context=user)["messages"][-1].id)


def overtaken(
    store: BaseStore, meanwhile: Callable[[Learning], Any], *answers: dict[str, Any], then: dict[str, Any] = NOTHING
) -> list[Learning]:
    """Change the one learning while a model is called about it; return the learnings afterwards.

    then: the model's answer if it is asked again.
    """
    hears(shared(store, edits(observation(FROZEN))), FROZEN, "first")
    (known,) = shared(store).learnings(ALEX)

    def answer(shown: Any) -> dict[str, Any]:
        meanwhile(known)
        return edits(*answers)

    hears(shared(store, answer, then), "Deploys", "late")
    return shared(store).learnings(ALEX)


AGAIN, ANEW = observation(FROZEN), observation(FREE, replaces="k1")


@pytest.mark.parametrize(
    ("late", "then", "left"),
    [(AGAIN, AGAIN, []), (ANEW, observation(FREE), [FREE])],
    ids=["said again", "replaced"],
)
def test_what_was_forgotten_meanwhile_does_not_come_back(
    store: BaseStore, late: dict[str, Any], then: dict[str, Any], left: list[str]
):
    """It is neither active nor history; new learnings are written. Where the store tells, the model is asked again."""
    found = overtaken(store, lambda known: shared(store).forget(ALEX, known.key), late, then=edits(then))

    assert left == [one.text for one in found]
    assert FROZEN not in str([item.value["text"] for item in store.search(("learnings",)) if "text" in item.value])


def test_what_was_replaced_meanwhile_stays_replaced(store: BaseStore):
    """The late extraction asks its model again, with the current learnings."""
    replaces = shared(store, edits(ANEW))
    overtaken(store, lambda known: hears(replaces, "Deploys", "quick", SAM), AGAIN)

    assert [FREE] == [item.value["text"] for item in store.search(("learnings",), filter={"status": "active"})]


def test_a_vote_that_was_cast_meanwhile_counts(store: BaseStore):
    """The total is not reset to its earlier value."""
    votes = shared(store, NOTHING)
    (found,) = overtaken(
        store, lambda known: votes.feedback(SAM, "quick", hears(votes, "Deploys?", "quick", SAM), "up"), AGAIN
    )

    assert (Votes(helped=1), 2) == (found.votes, len(found.sources))


def test_what_others_said_meanwhile_is_kept(store: BaseStore):
    """Each user who said it is a source."""
    quick = shared(store, edits(AGAIN))
    (found,) = overtaken(store, lambda known: hears(quick, "Deploys", "quick", SAM), AGAIN)

    assert {"first", "quick", "late"} == {source.thread for source in found.sources}


class Growing(UserMemory):
    """A single observation that every edit adds to."""

    def process(self, edits: Sequence[Edit], known: Sequence[Learning]) -> list[Learning]:
        said = [edit.learning() for edit in edits]
        longer = "; ".join(one.text for one in (*known, *said))
        return [known[0].model_copy(update={"text": longer})] if known else said


def test_a_learning_store_may_change_a_text_in_its_place(store: BaseStore):
    """An unchanged learning is changed as its learning store decides, whatever the new text."""
    answers = iter([edits(observation(FROZEN)), edits(observation("Except for fixes"))])
    growing = machine(lambda shown: next(answers), [Growing()], store=store)
    for name in ("first", "second"):
        hears(growing, "Deploys", name)

    assert [f"{FROZEN}; Except for fixes"] == [one.text for one in growing.learnings(ALEX)]


STORE = UserMemory(scope=Scope.TEAM)


class Table:
    """A learning of a new team, and the operations of several users on it."""

    def __init__(self, store: HybridPostgresStore) -> None:
        self.store = store
        self.team = uuid4().hex
        place = self.who("first").namespace(Scope.TEAM, STORE.name)
        learnt = self.edit(place, "first", FROZEN, None).learning()
        self.known = learnt.model_copy(update={"known": learnt.digest()})
        store.batch([self.known.put()])

    def who(self, user: str) -> Caller:
        return Caller(user, teams=(self.team,), thread="t")

    def edit(self, place: Namespace, user: str, text: str, replaces: Learning | None) -> Edit:
        source = Source(channel="user", user=user, messages=(user,))
        return Edit("observation", Observation(observation=text), replaces, source, place, uuid4().hex, NOW)

    def does(self, act: str, user: str) -> Flow[Any]:
        """An operation of a user who read the learning in its first state."""
        if act == "forget":
            return forgetting.forget([STORE], self.who(user), [self.known.key], NOW)
        if act == "vote":
            return self._votes(user)
        return self._learns(act, user)

    def _learns(self, act: str, user: str) -> Flow[Any]:
        """Learn a change and a new learning; if the changed learning is in conflict, only the new one."""
        text, replaces = (FROZEN, None) if act == "again" else (f"{FREE}, says {user}", self.known)
        edit = self.edit(self.known.namespace, user, text, replaces)
        try:
            yield from write_policy.write_learnings(
                [STORE], self.who(user), STORE.process([edit], [self.known]), at=NOW
            )
        except Conflict:
            new = STORE.process([replace(edit, replaces=None)], []) if act == "anew" else []
            yield from write_policy.write_learnings([STORE], self.who(user), new, at=NOW)

    def _votes(self, user: str) -> Flow[Any]:
        vote = Vote.of(self.who(user), "answer", helped=True, why="up", at=NOW)
        yield from batch(PutOp(*vote.on(self.known.ref), index=False))
        yield from update_totals([self.known.ref], user)

    def now(self) -> list[Learning]:
        return read_learnings(self.store.search(self.known.namespace, limit=100), [self.known.namespace])


def interleaved(flows: list[Flow[Any]], order: list[int], store: HybridPostgresStore) -> None:
    """Run flows step by step, interleaved as `order` says; then run the rest."""
    waiting = [(flow, flow.send(None)) for flow in flows]
    turns = iter(order)
    while waiting:
        flow, request = waiting.pop(next(turns, 0) % len(waiting))
        assert isinstance(request, Batch)
        with suppress(StopIteration, NotFound):  # done; or it is forgotten already
            try:
                done = store.transact(request.ops, expected=request.expected, by=request.by, erase=request.erase)
            except Conflict as overtaken:
                waiting.append((flow, flow.throw(overtaken)))
            else:
                waiting.append((flow, flow.send(done)))


ACTS = st.lists(st.sampled_from(["again", "anew", "vote", "forget"]), min_size=2, max_size=4)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTS, st.lists(st.integers(0, 3)))
def test_in_no_order_an_edit_is_lost(postgres_store: HybridPostgresStore, acts: list[str], order: list[int]):
    """New learnings are active, replaced or forgotten ones are not, and no source or vote of the others is missing."""
    table = Table(postgres_store)
    interleaved([table.does(act, str(n)) for n, act in enumerate(acts)], order, postgres_store)
    found = {one.text: one for one in table.now()}
    counting = {text for text, one in found.items() if one.status is Status.ACTIVE}

    assert {f"{FREE}, says {n}" for n, act in enumerate(acts) if act == "anew"} == counting - {FROZEN}
    assert ("forget" in acts) == (FROZEN not in found)
    if not {"forget", "anew"} & {*acts}:
        assert {str(n) for n, act in enumerate(acts) if act == "again"} <= {s.user for s in found[FROZEN].sources}
        assert Votes(helped=acts.count("vote")) == found[FROZEN].votes
    assert ("anew" in acts) <= (FROZEN not in counting)
