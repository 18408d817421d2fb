"""A support desk whose agent learns, in one way or another, and what becomes of the tickets there."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore

from benchmarks.product import advice_in, fix_in
from benchmarks.support_agent import answer, edits, opinions
from benchmarks.world import TEAMS, Ticket, World
from langgraph_learning import (
    Episodes,
    LearnedKnowledge,
    LearningContext,
    LearningMachine,
    Mode,
    Scope,
    Sharing,
    learned_context,
)
from langgraph_learning.core.learning import Learning
from langgraph_learning.errors import Conflict
from langgraph_learning.testing import ScriptedModel

REVIEWED = 20
"""After how many tickets somebody goes through what waits for approval."""
CURATED = 100
"""After how many tickets what was learnt is tidied up."""


@dataclass(frozen=True)
class Arm:
    """One way to learn: by default with every mechanism but the turns themselves, as a careful team would have it."""

    learning: bool = True
    shuffled: bool = False
    """The agent is shown what was meant for another ticket."""
    scope: Scope = Scope.TEAM
    mode: Mode = Mode.PROPOSE
    """PROPOSE: one of each team approves what is learnt. BACKGROUND: it counts at once."""
    sharing: Sharing = Sharing.AT_ONCE
    correcting: bool = True
    """The extraction model says what a new learning replaces."""
    voting: bool = True
    """Thumbs up and down are passed on."""
    curating: bool = True
    """What was learnt is tidied up, by a model that compares."""
    episodes: bool = False
    """The turns are kept word for word, too."""
    noise: float = 1.0
    """How many times as often as usual people are wrong."""

    @property
    def reviewing(self) -> bool:
        """Whether something waits for a person, and a person is there."""
        return self.mode is Mode.PROPOSE or self.sharing != Sharing.AT_ONCE


ARMS = {
    "learning": Arm(),
    "off": Arm(learning=False),
    "shuffled": Arm(shuffled=True),
    "without review": Arm(mode=Mode.BACKGROUND),
    "without sharing": Arm(mode=Mode.BACKGROUND, scope=Scope.USER),
    "without superseding": Arm(correcting=False),
    "without superseding or curation": Arm(correcting=False, curating=False),
    "without curation": Arm(curating=False),
    "without votes": Arm(voting=False),
    "teams not kept apart": Arm(scope=Scope.GLOBAL),
    "with episodes": Arm(episodes=True),
    "shared after two voices": Arm(mode=Mode.BACKGROUND, sharing=Sharing.after(2)),
    "half as many wrong words": Arm(noise=0.5),
    "twice as many wrong words": Arm(noise=2),
}


class Served(NamedTuple):
    """What became of one ticket."""

    success: bool
    harm: bool
    outdated: bool
    forgotten: bool
    decided: int = 0
    """How often a person decided about a proposal after it."""


class Desk:
    """A support desk in one world, with an agent that learns in one way."""

    def __init__(self, arm: Arm, world: World, store: BaseStore) -> None:
        self._arm, self._world = arm, world
        self._solved: set[tuple[str, ...]] = set()
        self._contexts = [""]
        self._chance = Random(f"shuffled {world.seed}")
        model = ScriptedModel(lambda messages: {"edits": edits(messages[-1].text, arm.correcting)})
        knowledge = LearnedKnowledge(scope=arm.scope, sharing=arm.sharing, mode=arm.mode)
        stores = [knowledge, *([Episodes()] if arm.episodes else [])]
        self.machine = LearningMachine(model, stores, store=store, on_error="raise")
        self._graph = self.machine.wrap(self._agent, checkpointer=InMemorySaver(), inject=False)

    def serve(self, ticket: Ticket) -> Served:
        """Answer a ticket, hear what is said about the answer, and tell what became of it."""
        answered = self._say(ticket, ticket.text)
        fix = fix_in(answered.text)
        served = self._judged(ticket, fix)
        reaction = self._world.reaction(ticket, fix)
        if reaction.verdict is not None:
            self._vote(ticket, str(answered.id), reaction.verdict)
        if reaction.remark:
            self._say(ticket, reaction.remark)
        return served._replace(decided=self._kept_in_order(ticket))

    def _say(self, ticket: Ticket, said: str) -> BaseMessage:
        """Say something in a ticket's thread, and return the answer."""
        thread: Any = {"configurable": {"thread_id": _thread(ticket)}}
        asked: Any = {"messages": [("user", said)]}
        answered: BaseMessage = self._graph.invoke(asked, thread, context=self._context(ticket))["messages"][-1]
        return answered

    def _vote(self, ticket: Ticket, answered: str, verdict: bool) -> None:
        if self._arm.learning and self._arm.voting:
            self.machine.feedback(self._context(ticket), _thread(ticket), answered, "up" if verdict else "down")

    def _context(self, ticket: Ticket) -> LearningContext:
        on = self._arm.learning
        return LearningContext(user_id=ticket.user, team_ids=(ticket.team,), learn=on, recall=on)

    def _agent(self, state: Mapping[str, Any]) -> str:
        self._contexts.append(learned_context())
        shown = self._chance.choice(self._contexts[:-1]) if self._arm.shuffled else self._contexts[-1]
        return answer(state["messages"][-1].text, shown)

    def _judged(self, ticket: Ticket, fix: str | None) -> Served:
        right = self._world.right(ticket)
        case = (ticket.team, *ticket.problem, right)
        alone = fix_in(answer(ticket.text, ""))
        misled = fix not in (None, right) and alone in (None, right)
        outdated = misled and self._world.outdated(ticket, str(fix))
        served = Served(fix == right, misled and not outdated, outdated, fix != right and case in self._solved)
        self._solved |= {case} if served.success else set()
        return served

    def _kept_in_order(self, after: Ticket) -> int:
        """Do what is due after a ticket; return how often a person decided."""
        due = after.number + 1
        if self._arm.curating and self._arm.learning and due % CURATED == 0:
            self.machine.curate(ask=ScriptedModel(lambda messages: {"opinions": opinions(messages[-1].text)}))
        return self._reviewed(after) if self._arm.reviewing and due % REVIEWED == 0 else 0

    def _reviewed(self, after: Ticket) -> int:
        """Let a person of each team go through what waits for approval; return how often they decided."""
        decided = 0
        for team, (person, *_) in TEAMS.items():
            context = LearningContext(user_id=person, team_ids=(team,))
            for waiting in self._for_a_person(context):
                self._decide(after, context, waiting)
                decided += 1
        return decided

    def _for_a_person(self, context: LearningContext) -> list[Learning]:
        """Return what waits for a person, and not for more people to say it."""
        return [waiting for waiting in self.machine.review.list(context) if not waiting.supporters]

    def _decide(self, after: Ticket, context: LearningContext, waiting: Learning) -> None:
        right = all(self._world.approves(after, context.team_ids[0], advice) for advice in advice_in(waiting.text))
        if right == bool(waiting.retires):
            self.machine.review.reject(context, waiting.key)
            return
        try:
            self.machine.review.approve(context, waiting.key)
        except Conflict:  # what it would replace has been replaced already: whoever knows better says so again
            self.machine.review.reject(context, waiting.key)


def _thread(ticket: Ticket) -> str:
    return f"ticket {ticket.number}"
