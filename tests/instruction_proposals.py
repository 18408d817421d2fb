"""What the tests of the agent's own instructions share: complaints, proposals made of them, and what is shown."""

import itertools
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from people import ALEX, NOTHING, SAM, echo, edit, edits, learner, machine, prompt, said, thread

from langgraph_learning import LearningContext, LearningMachine, LearningStore, Record, Scope, SelfImprovement
from langgraph_learning.core.learning import Learning

TALKS = itertools.count()
GIVEN = {"Tone": "Be kind.", "safety": "Never give out <passwords>."}


class Complaint(Record):
    """Something that an answer did wrong."""

    complaint: str

    def verdict(self) -> bool:
        """Return that the answer was bad."""
        return False


def improving(store: BaseStore, *answers: Any, others: Sequence[LearningStore] = (), **options: Any) -> LearningMachine:
    """A machine for a team's agent that takes complaints and proposes instructions."""
    policy = {name: options.pop(name) for name in ("four_eyes", "context_budget", "shadow") if name in options}
    own = SelfImprovement(**{"sections": GIVEN, "protected": ("safety",), "scope": Scope.TEAM, **options})
    complaints = LearningStore(name="complaints", record=Complaint, scope=Scope.TEAM)
    return machine(list(answers), [complaints, own, *others], store=store, **policy)


def complaint(text: str) -> dict[str, Any]:
    return edits(edit("complaint", complaint=text))


def instruction(section: str, text: str, *evidence: str, replaces: str | None = None) -> dict[str, Any]:
    wanted = {"section": section, "text": text, "reasoning": "I should stop it", "evidence": list(evidence)}
    return edits(edit("instruction", replaces=replaces, **wanted))


def told(learning: LearningMachine, *turns: Any, user: LearningContext = ALEX) -> list[str]:
    """Let somebody talk once for every extraction that answers like this, or like these; return what went wrong."""
    answers = iter([answer for turn in turns for answer in (turn if isinstance(turn, list) else [turn])])
    learner(learning).answers = lambda shown: next(answers)
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    threads = [thread(f"talk {next(TALKS)}") for _ in turns]
    states = [agent.invoke(said(f"Too long {n}"), where, context=user) for n, where in enumerate(threads)]
    return [error for state in states for error in state.get("learning_errors", ())]


def proposed(learning: LearningMachine, section: str, text: str, **more: Any) -> str:
    """Let a change be proposed after two complaints; return its key."""
    told(
        learning,
        complaint(f"Long {text}"),
        complaint(f"Long again: {text}"),
        instruction(section, text, "k1", "k2", **more),
    )
    return next(one.key for one in learning.review.list(SAM) if one.text == f"{section}: {text}")


def approved(learning: LearningMachine, section: str, text: str, **more: Any) -> Learning:
    return learning.review.approve(SAM, proposed(learning, section, text, **more))


def everything_shown(learning: LearningMachine, question: str = "Hi", user: LearningContext = ALEX) -> str:
    """All that an agent is shown with a question."""
    learner(learning).answers = lambda shown: NOTHING
    talk = echo()
    learning.wrap(create_agent(talk, [])).invoke(said(question), thread("look"), context=user)
    return prompt(talk.shown[-1])


def shown(learning: LearningMachine, user: LearningContext = ALEX, question: str = "Hi") -> str:
    """What an agent is shown as its instructions."""
    _, start, rest = everything_shown(learning, question, user).partition("<approved_instructions>\n")
    return start and rest.partition("\n</approved_instructions>")[0].partition("\n")[2]


TONE, SAFETY = (
    '<section name="tone">\nBe kind.\n</section>',
    '<section name="safety">\nNever give out <passwords>.\n</section>',
)
