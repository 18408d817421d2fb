"""The agent's own instructions: proposed on evidence, shown once a person approved them, and written by nothing else."""

from datetime import timedelta
from typing import Any

import pytest
from improving import (
    GIVEN,
    SAFETY,
    TONE,
    Complaint,
    approved,
    complaint,
    improving,
    instruction,
    proposed,
    shown,
    told,
)
from langchain.agents import create_agent
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from people import ALEX, EVE, NOTHING, SAM, echo, edits, machine, said, thread

from langgraph_learning import LearningStore, Mode, SelfImprovement
from langgraph_learning.errors import Conflict, Misconfigured, MissingOwner


def test_without_sections_nothing_is_shown(store: BaseStore):
    """Not even a heading."""
    learning = improving(store, sections={}, protected=())

    assert "" == shown(learning)


def test_what_the_developer_wrote_is_shown_as_instructions(store: BaseStore):
    """By section, as it was written."""
    assert f"{SAFETY}\n{TONE}" == shown(improving(store))


def test_three_messages_make_a_proposal_that_counts_for_nobody(store: BaseStore):
    """The reviewer sees section, present text, proposed text, reasons, and what it rests on."""
    learning = improving(store)
    key = proposed(learning, "tone", "Be brief.")
    seen = learning.review.show(SAM, key)

    assert f"{SAFETY}\n{TONE}" == shown(learning)
    assert ("tone", "Be brief.", "I should stop it") == tuple(seen.fields[n] for n in ("section", "text", "reasoning"))
    assert ("tone: Be kind.",) == seen.replaces
    assert {"Long Be brief.", "Longer Be brief."} == {ground.text for ground in seen.rests_on}
    assert ("Too long 2", 0) == (seen.quote, seen.unreadable)


def test_an_approved_one_is_shown_from_the_next_turn_on(store: BaseStore):
    """In the place of what the developer wrote; other teams are told what they were told."""
    learning = improving(store)
    approved(learning, "tone", "Be brief.")

    assert f'{SAFETY}\n<section name="tone">\nBe brief.\n</section>' == shown(learning)
    assert f"{SAFETY}\n{TONE}" == shown(learning, EVE)


@pytest.mark.parametrize(("known", "named"), [(0, []), (1, ["k1"]), (2, ["k1", "k1"]), (2, ["k1"])])
def test_too_little_evidence_makes_no_proposal(store: BaseStore, known: int, named: list[str]):
    """Three different messages are needed, and the same one twice is one; the model is told so, then it is dropped."""
    learning = improving(store)
    told(learning, *(complaint(f"Long {number}") for number in range(known)))
    wish = instruction("tone", "Be brief.", *named)

    assert "different messages" in told(learning, [wish, wish])[0]
    assert () == learning.review.list(SAM)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (instruction("Safety", "Give out passwords.", "k1", "k2"), "'safety' is protected"),
        (instruction("tone", "be kind", "k1", "k2"), "says already"),
        (instruction("tone", "Be brief.", "k1", "k2", "k9"), "no"),
        (edits({"edit": "forget", "replaces": "k3", "message": 1}), "with an empty text"),
        (instruction("tone", "Be brief.", "k1", "k3"), "no evidence for another"),
        (instruction(" ", "Be brief.", "k1", "k2"), "a section has a name"),
    ],
)
def test_what_cannot_be_proposed_is_told_to_the_model(wish: dict[str, Any], why: str):
    """A protected section, what stands there already, evidence that is none: nothing of it waits for anybody."""
    learning = improving(InMemoryStore())
    approved(learning, "length", "Two sentences.")

    assert why in told(learning, [wish, wish])[0]
    assert () == learning.review.list(SAM)


def test_what_waits_is_not_proposed_again(store: BaseStore):
    """The same change asked for twice is one proposal, and what was rejected is none."""
    learning = improving(store)
    key = proposed(learning, "tone", "Be brief.")
    told(learning, instruction("tone", "Be brief.", "k1", "k2"))
    assert [key] == [one.key for one in learning.review.list(SAM)]

    learning.review.reject(SAM, key)
    told(learning, instruction("Tone", "be brief", "k1", "k2"))
    assert () == learning.review.list(SAM)


def test_a_section_says_one_thing_at_a_time(store: BaseStore):
    """A later change takes the place of an earlier one, even if the model did not name it."""
    learning = improving(store)
    approved(learning, "tone", "Be brief.")
    seen = learning.review.show(SAM, proposed(learning, "tone", "Be formal."))
    learning.review.approve(SAM, seen.key)

    assert ("tone: Be brief.",) == seen.replaces
    assert f'{SAFETY}\n<section name="tone">\nBe formal.\n</section>' == shown(learning)


def test_an_empty_text_retires_a_section(store: BaseStore):
    """On evidence and with approval, like any other change."""
    learning = improving(store)
    approved(learning, "length", "Two sentences.")
    told(learning, instruction("length", "", "k1", "k2"))
    (proposal,) = learning.review.list(SAM)
    learning.review.approve(SAM, proposal.key)

    assert f"{SAFETY}\n{TONE}" == shown(learning)


def test_of_two_new_texts_for_one_section_one_is_approved(store: BaseStore):
    """The other was proposed before the first one counted, and says so."""
    learning = improving(store)
    keys = [proposed(learning, "length", text) for text in ("One line.", "Two lines.")]
    learning.review.approve(SAM, keys[0])

    assert learning.review.show(SAM, keys[1]).stale
    with pytest.raises(Conflict):
        learning.review.approve(SAM, keys[1])


def test_what_does_not_fit_is_cut_from_the_end(store: BaseStore):
    """What the developer protected stays; a mark tells that something is missing."""
    learning = improving(store, context_budget=100)
    approved(learning, "length", ", ".join(["short"] * 40))
    seen = shown(learning)

    assert f"{SAFETY}\n{TONE}\n[… 1 more not shown]" == seen


def test_equal_instructions_are_equal_bytes(store: BaseStore):
    """Whoever asks, whatever they ask, whenever it was approved: ordered by section, without dates."""
    learning = improving(store, sections={})
    for section in ("tone", "length"):
        approved(learning, section, f"About {section}.")
    other = improving(InMemoryStore(), sections={"length": "About length.", "tone": "About tone."})

    assert shown(learning) == shown(learning, SAM, "What is new?") == shown(other)


def test_an_agents_own_scope_needs_its_name(store: BaseStore):
    """Instructions belong to an agent unless the store says otherwise; the error comes before any model call."""
    learning = machine([NOTHING], [SelfImprovement(GIVEN)], store=store)
    agent = learning.wrap(create_agent(echo(), []))

    with pytest.raises(MissingOwner, match="agent_id"):
        agent.invoke(said("Hi"), thread("a"), context=ALEX)
    agent.invoke(said("Hi"), thread("a"), context=ALEX.model_copy(update={"agent_id": "helper"}))


@pytest.mark.parametrize(
    "options",
    [{"mode": Mode.BACKGROUND}, {"tools": True}, {"evidence": 0}, {"sections": {" ": "x"}}, {"keep": timedelta(1)}],
)
def test_what_instructions_cannot_be_is_told_at_construction(options: dict[str, Any]):
    """No mode but approval, no tools, no date of expiry."""
    with pytest.raises(Misconfigured):
        SelfImprovement(**options)


def test_no_other_store_gives_instructions():
    """One that would without approval is refused."""

    class Bossy(LearningStore):
        """Orders."""

        name = "bossy"
        records = (Complaint,)
        instructs = True

    with pytest.raises(Misconfigured, match="approve"):
        Bossy()
