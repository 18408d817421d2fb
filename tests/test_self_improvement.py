"""The agent's own instructions: proposed on evidence, approved by a person, versioned, and written by nothing else."""

from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from people import ALEX, EVE, NOTHING, SAM, echo, edit, edits, learner, machine, prompt, said, thread

from langgraph_learning import (
    LearningContext,
    LearningMachine,
    LearningStore,
    Record,
    Scope,
    SelfImprovement,
)
from langgraph_learning.learning import Learning

GIVEN = {"Tone": "Be kind.", "safety": "Never give out <passwords>."}


class Complaint(Record):
    """Something that an answer did wrong."""

    complaint: str

    def verdict(self) -> bool:
        """Return that the answer was bad."""
        return False


def improving(store: BaseStore, *answers: Any, others: Sequence[LearningStore] = (), **options: Any) -> LearningMachine:
    """A machine for a team's agent that takes complaints and proposes instructions."""
    policy = {name: options.pop(name) for name in ("four_eyes", "context_budget") if name in options}
    own = SelfImprovement(**{"sections": GIVEN, "protected": ("safety",), "scope": Scope.TEAM, **options})
    complaints = LearningStore(name="complaints", record=Complaint, scope=Scope.TEAM)
    return machine(list(answers), [complaints, own, *others], store=store, **policy)


def complaint(text: str) -> dict[str, Any]:
    return edits(edit("complaint", complaint=text))


def instruction(section: str, text: str, *evidence: str, replaces: str | None = None) -> dict[str, Any]:
    wanted = {"section": section, "text": text, "reasoning": "I should stop it", "evidence": list(evidence)}
    return edits(edit("instruction", replaces=replaces, **wanted))


def told(learning: LearningMachine, *answers: Any, user: LearningContext = ALEX) -> list[str]:
    """Let somebody talk once for every extraction that answers like this; return what went wrong."""
    left = iter(answers)
    learner(learning).answers = lambda shown: next(left)
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    errors: list[str] = []
    for number, _ in enumerate(answers):
        state = agent.invoke(said(f"Too long {number}"), thread(f"t{id(left)} {number}"), context=user)
        errors += state["learning_errors"]
    return errors


def proposed(learning: LearningMachine, section: str, text: str, **more: Any) -> str:
    """Let a change be proposed after two complaints; return its key."""
    told(
        learning, complaint(f"Long {text}"), complaint(f"Longer {text}"), instruction(section, text, "k1", "k2", **more)
    )
    return next(one.key for one in learning.review.list(SAM) if one.text == f"{section}: {text}")


def approved(learning: LearningMachine, section: str, text: str, **more: Any) -> Learning:
    return learning.review.approve(SAM, proposed(learning, section, text, **more))


def shown(learning: LearningMachine, user: LearningContext = ALEX, question: str = "Hi") -> str:
    """What an agent is shown as its instructions."""
    learner(learning).answers = lambda shown: NOTHING
    talk = echo()
    learning.wrap(create_agent(talk, [])).invoke(said(question), thread("look"), context=user)
    _, start, rest = prompt(talk.shown[-1]).partition("<approved_instructions>\n")
    return start and rest.partition("\n</approved_instructions>")[0].partition("\n")[2]


TONE, SAFETY = (
    '<section name="tone">\nBe kind.\n</section>',
    '<section name="safety">\nNever give out <passwords>.\n</section>',
)


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
