"""Support desk of the learning curve: an agent that learns with some mechanisms switched off, and its results."""

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
"""After how many tickets the pending proposals are reviewed."""
CURATED = 100
"""After how many tickets the learnings are curated."""


@dataclass(frozen=True)
class Arm:
    """One configuration of learning. The default is a careful team: every mechanism except episodes is on."""

    learning: bool = True
    shuffled: bool = False
    """The agent gets the context of another ticket."""
    scope: Scope = Scope.TEAM
    mode: Mode = Mode.PROPOSE
    """PROPOSE: a member of each team reviews the learnings. BACKGROUND: learnings are active at once."""
    sharing: Sharing = Sharing.AT_ONCE
    correcting: bool = True
    """The extraction model says which learning a new one replaces."""
    voting: bool = True
    """Thumbs up and down are passed on as feedback."""
    curating: bool = True
    """The learnings are curated, with a model as the judge."""
    episodes: bool = False
    """The turns are also stored verbatim."""
    noise: float = 1.0
    """By what factor people are wrong more often than usual."""

    @property
    def reviewing(self) -> bool:
        """True if learnings wait for a person."""
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
    """The result of one ticket."""

    success: bool
    harm: bool
    outdated: bool
    forgotten: bool
    decided: int = 0
    """Number of review decisions after it."""


class Desk:
    """A support desk in one world, with an agent that learns in one configuration."""

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
        """Answer a ticket, pass on the user's reaction, and return the result."""
        answered = self._say(ticket, ticket.text)
        fix = fix_in(answered.text)
        served = self._judge_answer(ticket, fix)
        reaction = self._world.reaction(ticket, fix)
        if reaction.verdict is not None:
            self._vote(ticket, str(answered.id), reaction.verdict)
        if reaction.remark:
            self._say(ticket, reaction.remark)
        return served._replace(decided=self._curate_and_review(ticket))

    def _say(self, ticket: Ticket, said: str) -> BaseMessage:
        """Send a message in a ticket's thread, and return the answer."""
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

    def _judge_answer(self, ticket: Ticket, fix: str | None) -> Served:
        right = self._world.right(ticket)
        case = (ticket.team, *ticket.problem, right)
        alone = fix_in(answer(ticket.text, ""))
        misled = fix not in (None, right) and alone in (None, right)
        outdated = misled and self._world.outdated(ticket, str(fix))
        served = Served(fix == right, misled and not outdated, outdated, fix != right and case in self._solved)
        self._solved |= {case} if served.success else set()
        return served

    def _curate_and_review(self, after: Ticket) -> int:
        """Curate and review if it is time for that; return the number of review decisions."""
        due = after.number + 1
        if self._arm.curating and self._arm.learning and due % CURATED == 0:
            self.machine.curate(ask=ScriptedModel(lambda messages: {"opinions": opinions(messages[-1].text)}))
        return self._review_proposals(after) if self._arm.reviewing and due % REVIEWED == 0 else 0

    def _review_proposals(self, after: Ticket) -> int:
        """Let a member of each team review the pending proposals; return the number of decisions."""
        decided = 0
        for team, (person, *_) in TEAMS.items():
            context = LearningContext(user_id=person, team_ids=(team,))
            for proposal in self._list_reviewable(context):
                self._decide(after, context, proposal)
                decided += 1
        return decided

    def _list_reviewable(self, context: LearningContext) -> list[Learning]:
        """Return the proposals that wait for a person, not those that wait for more users to say the same."""
        return [proposal for proposal in self.machine.review.list(context) if not proposal.supporters]

    def _decide(self, after: Ticket, context: LearningContext, proposal: Learning) -> None:
        right = all(self._world.approves(after, context.team_ids[0], advice) for advice in advice_in(proposal.text))
        if right == bool(proposal.retires):
            self.machine.review.reject(context, proposal.key)
            return
        try:
            self.machine.review.approve(context, proposal.key)
        except (
            Conflict
        ):  # the learning to replace has been replaced already; if it is wrong again, somebody will say so
            self.machine.review.reject(context, proposal.key)


def _thread(ticket: Ticket) -> str:
    return f"ticket {ticket.number}"
