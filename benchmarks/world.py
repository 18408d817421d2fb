"""A support desk's world: tickets whose right answers are hidden, people who tell them, and rules that change.

It knows nothing of what is measured in it. The same seed makes the same world, and the same people who react to the
same answer in the same way, whoever gives it.
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
"""Share of the problems for which what is right in one of the teams is wrong in the others."""
CHANGED = 0.25
"""Share of the problems whose right answer is another one after the change of the rules."""
VOTING = 0.5
"""Share of the fixes given that somebody judges with a thumb."""
FLIPPED = 0.1
"""Share of these verdicts that say the opposite of what is true."""
TELLING = 0.6
"""Share of the tickets not solved of which the agent is told afterwards how they were solved."""
MISTAKEN = 0.05
"""Share of these that name a wrong fix, and of what somebody reviews that they judge wrongly."""
INSISTING = 0.01
"""Share of the tickets solved after which somebody insists on another fix, which is wrong."""


class Ticket(NamedTuple):
    """What a user brings to the agent. What is right is not in it."""

    number: int
    team: str
    user: str
    text: str
    problem: Problem


class Reaction(NamedTuple):
    """What comes back after an answer."""

    verdict: bool | None
    """A thumb up or down; None if nobody cares."""
    remark: str | None
    """What a user says about how it was solved."""


Rules = Mapping[tuple[str, Problem], str]
"""The right fix by team and problem."""


class World:
    """Tickets, and what is right."""

    def __init__(self, seed: int, tickets: int = 1_000, noise: float = 1.0) -> None:
        """tickets: how many there are; in the middle of them the rules change.

        noise: how many times as often as usual people are wrong.
        """
        chance = Random(f"world {seed}")
        self.seed, self._noise = seed, noise
        self.change = tickets // 2
        self._before = _drawn(chance)
        self._after = _changed(self._before, chance)
        often = [chance.randint(1, 3) for _ in PROBLEMS]
        self.tickets = tuple(_ticket(number, chance, often) for number in range(tickets))

    def right(self, ticket: Ticket) -> str:
        """Return the fix that solves a ticket."""
        return self._rules(ticket)[ticket.team, ticket.problem]

    def outdated(self, ticket: Ticket, fix: str) -> bool:
        """Whether a fix would have solved a ticket until the rules changed, and does no more."""
        return fix != self.right(ticket) and fix == self._before[ticket.team, ticket.problem]

    def reaction(self, ticket: Ticket, fix: str | None) -> Reaction:
        """Return what the user does who was given this fix, or none."""
        chance = Random(f"reaction {self.seed} {ticket.number}")
        votes, flips, tells, errs = (chance.random() for _ in range(4))
        solved = fix == self.right(ticket)
        verdict = solved != (flips < FLIPPED * self._noise) if fix and votes < VOTING else None
        if tells >= (INSISTING * self._noise if solved else TELLING):
            return Reaction(verdict, None)
        told = _another(self.right(ticket), chance) if solved or errs < MISTAKEN * self._noise else self.right(ticket)
        return Reaction(verdict, f"This is how it was solved. For {ticket.problem.told(chance)}, {told}.")

    def approves(self, after: Ticket, team: str, advice: Advice) -> bool:
        """Whether somebody who goes through a team's advice after this ticket thinks it right."""
        chance = Random(f"approval {self.seed} {after.number} {team} {advice.said}")
        return (self._rules(after)[team, advice.problem] == advice.fix) != (chance.random() < MISTAKEN * self._noise)

    def _rules(self, ticket: Ticket) -> Rules:
        """Return what is right at the time of a ticket."""
        return self._before if ticket.number < self.change else self._after


def _drawn(chance: Random) -> Rules:
    """Return what is right at first: for most problems the same in all teams, and on the hosted edition the manual."""
    rules = {}
    for problem in PROBLEMS:
        usual = chance.choice(FIXES)
        rules |= {(team, problem): usual for team in TEAMS}
        if chance.random() < DIFFERENT:
            rules[chance.choice(list(TEAMS)), problem] = _another(usual, chance)
    return rules | _manual()


def _changed(rules: Rules, chance: Random) -> Rules:
    """Return what is right after the change, in all teams; the manual holds on."""
    new = {problem: chance.choice(FIXES) for problem in PROBLEMS if chance.random() < CHANGED}
    return {at: new.get(at[1], fix) for at, fix in rules.items()} | _manual()


def _manual() -> Rules:
    return {(team, advice.problem): advice.fix for advice in advice_in(MANUAL) for team in TEAMS}


def _ticket(number: int, chance: Random, often: list[int]) -> Ticket:
    team = chance.choice(list(TEAMS))
    (problem,) = chance.choices(PROBLEMS, often)
    text = f"A customer reports {problem.told(chance)}. What do I tell them?"
    return Ticket(number, team, chance.choice(TEAMS[team]), text, problem)


def _another(fix: str, chance: Random) -> str:
    return chance.choice([other for other in FIXES if other != fix])
