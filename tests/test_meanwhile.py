"""What happens to a learning while an extraction asks its model: nothing of it is lost, and nothing gone comes back."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from people import ALEX, NOTHING, SAM, echo, edits, machine, observation, said, thread

from langgraph_learning import LearningContext, LearningMachine, Scope, UserMemory
from langgraph_learning.learning import Learning, Votes

FROZEN, FREE = "Deploys are frozen", "Deploys are free"


def shared(store: BaseStore, *answers: Any) -> LearningMachine:
    """A machine for a team, whose extractions answer so."""
    return machine([*answers], [UserMemory(scope=Scope.TEAM)], store=store)


def hears(learning: LearningMachine, text: str, name: str, user: LearningContext = ALEX) -> str:
    """Let somebody say something in a new thread; return the answer's id."""
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    return str(agent.invoke(said(text), thread(name), context=user)["messages"][-1].id)


def overtaken(store: BaseStore, meanwhile: Callable[[Learning], Any], *answers: dict[str, Any]) -> list[Learning]:
    """Let something happen to the one learning while a model is asked about it; return what is known then."""
    hears(shared(store, edits(observation(FROZEN))), FROZEN, "first")
    (known,) = shared(store).learnings(ALEX)

    def answer(shown: Any) -> dict[str, Any]:
        meanwhile(known)
        return edits(*answers)

    hears(shared(store, answer), "Deploys", "late")
    return shared(store).learnings(ALEX)


AGAIN, ANEW = observation(FROZEN), observation(FREE, replaces="k1")


@pytest.mark.parametrize(("late", "left"), [(AGAIN, []), (ANEW, [FREE])], ids=["said again", "replaced"])
def test_what_was_forgotten_meanwhile_does_not_come_back(store: BaseStore, late: dict[str, Any], left: list[str]):
    """Neither as something that counts nor as history; what is new is learnt."""
    found = overtaken(store, lambda known: shared(store).forget(ALEX, known.key), late)

    assert left == [one.text for one in found]
    assert FROZEN not in str([item.value["text"] for item in store.search(("learnings",)) if "text" in item.value])


def test_what_was_replaced_meanwhile_stays_replaced(store: BaseStore):
    """Though the late one heard it once more."""
    replaces = shared(store, edits(ANEW))
    overtaken(store, lambda known: hears(replaces, "Deploys", "quick", SAM), AGAIN)

    assert [FREE] == [item.value["text"] for item in store.search(("learnings",), filter={"status": "active"})]


def test_a_vote_that_was_cast_meanwhile_counts(store: BaseStore):
    """The sum is not set back to what it was before."""
    votes = shared(store, NOTHING)
    (found,) = overtaken(
        store, lambda known: votes.feedback(SAM, "quick", hears(votes, "Deploys?", "quick", SAM), "up"), AGAIN
    )

    assert (Votes(helped=1), 2) == (found.votes, len(found.sources))


def test_what_others_said_meanwhile_is_kept(store: BaseStore):
    """Each who said it is a source."""
    quick = shared(store, edits(AGAIN))
    (found,) = overtaken(store, lambda known: hears(quick, "Deploys", "quick", SAM), AGAIN)

    assert {"first", "quick", "late"} == {source.thread for source in found.sources}
