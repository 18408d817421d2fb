"""Simulated world of a support desk: tickets with hidden right answers, reactions of users, and rules that change.

It does not depend on what is measured in it. The same seed makes the same world, in which users react to the same
answer in the same way.
"""

from collections.abc import Mapping
from random import Random
from typing import NamedTuple

from benchmarks.product import FIXES, MANUAL, PROBLEMS, Advice, Problem, advice_in

TEAMS = {
    "north": ("ana", "ben", "cleo", "dan"),
    "south": ("eva", "finn", "gia", "hugo"),
    "west": ("ida", "jon", "kim", "leo"),
}
DIFFERENT = 0.25
"""Share of the problems whose right fix in one team is wrong in the others."""
CHANGED = 0.25
"""Share of the problems whose right fix changes with the rules."""
VOTING = 0.5
"""Share of the recommended fixes that get a thumb up or down."""
FLIPPED = 0.1
"""Share of these thumbs that are wrong."""
TELLING = 0.6
"""Share of the unsolved tickets for which a user later tells the agent the fix."""
MISTAKEN = 0.05
"""Share of these that name a wrong fix, and of review decisions that are wrong."""
INSISTING = 0.01
"""Share of the solved tickets after which a user insists on another, wrong fix."""


class Ticket(NamedTuple):
    """A question of a user. It does not contain the right fix."""

    number: int
    team: str
    user: str
    text: str
    problem: Problem


class Reaction(NamedTuple):
    """A user's reaction to an answer."""

    verdict: bool | None
    """True for a thumb up, False for a thumb down, None for none."""
    remark: str | None
    """A message that tells the fix, if any."""


Rules = Mapping[tuple[str, Problem], str]
"""The right fix by team and problem."""


class World:
    """Tickets, their right fixes, and reactions to answers."""

    def __init__(self, seed: int, tickets: int = 1_000, noise: float = 1.0) -> None:
        """tickets: number of tickets; after half of them the rules change.

        noise: by what factor people are wrong more often than usual.
        """
        chance = Random(f"world {seed}")
        self.seed, self._noise = seed, noise
        self.change = tickets // 2
        self._before = _draw_rules(chance)
        self._after = _change_rules(self._before, chance)
        often = [chance.randint(1, 3) for _ in PROBLEMS]
        self.tickets = tuple(_ticket(number, chance, often) for number in range(tickets))

    def right(self, ticket: Ticket) -> str:
        """Return the fix that solves a ticket."""
        return self._rules(ticket)[ticket.team, ticket.problem]

    def outdated(self, ticket: Ticket, fix: str) -> bool:
        """Return True if a fix solved a ticket before the rules changed, and no longer does."""
        return fix != self.right(ticket) and fix == self._before[ticket.team, ticket.problem]

    def reaction(self, ticket: Ticket, fix: str | None) -> Reaction:
        """Return how the user reacts to this fix, or to an answer without one."""
        chance = Random(f"reaction {self.seed} {ticket.number}")
        votes, flips, tells, errs = (chance.random() for _ in range(4))
        solved = fix == self.right(ticket)
        verdict = solved != (flips < FLIPPED * self._noise) if fix and votes < VOTING else None
        if tells >= (INSISTING * self._noise if solved else TELLING):
            return Reaction(verdict, None)
        told = _another(self.right(ticket), chance) if solved or errs < MISTAKEN * self._noise else self.right(ticket)
        return Reaction(verdict, f"This is how it was solved. For {ticket.problem.describe(chance)}, {told}.")

    def approves(self, after: Ticket, team: str, advice: Advice) -> bool:
        """Return True if a reviewer of a team approves of an advice after this ticket."""
        chance = Random(f"approval {self.seed} {after.number} {team} {advice.said}")
        return (self._rules(after)[team, advice.problem] == advice.fix) != (chance.random() < MISTAKEN * self._noise)

    def _rules(self, ticket: Ticket) -> Rules:
        """Return the right fixes at the time of a ticket."""
        return self._before if ticket.number < self.change else self._after


def _draw_rules(chance: Random) -> Rules:
    """Return the right fixes at first: mostly the same in all teams, and those of the manual for the hosted edition."""
    rules = {}
    for problem in PROBLEMS:
        usual = chance.choice(FIXES)
        rules |= {(team, problem): usual for team in TEAMS}
        if chance.random() < DIFFERENT:
            rules[chance.choice(list(TEAMS)), problem] = _another(usual, chance)
    return rules | _manual()


def _change_rules(rules: Rules, chance: Random) -> Rules:
    """Return the right fixes after the change; those of the manual stay right."""
    new = {problem: chance.choice(FIXES) for problem in PROBLEMS if chance.random() < CHANGED}
    return {at: new.get(at[1], fix) for at, fix in rules.items()} | _manual()


def _manual() -> Rules:
    return {(team, advice.problem): advice.fix for advice in advice_in(MANUAL) for team in TEAMS}


def _ticket(number: int, chance: Random, often: list[int]) -> Ticket:
    team = chance.choice(list(TEAMS))
    (problem,) = chance.choices(PROBLEMS, often)
    text = f"A customer reports {problem.describe(chance)}. What do I tell them?"
    return Ticket(number, team, chance.choice(TEAMS[team]), text, problem)


def _another(fix: str, chance: Random) -> str:
    return chance.choice([other for other in FIXES if other != fix])
