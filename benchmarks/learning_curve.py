"""Whether interaction 1000 is better than interaction 1: a support desk with learning on, off, and without each part.

    pip install -e '.[embedded]'              # and [benchmarks] for --plot
    python -m benchmarks.learning_curve [--seeds 3] [--arms all off …] [--plot curve.png]

The world is in `world.py`: three teams of four users, each ticket's right answer hidden, thumbs that are sometimes
turned the wrong way, people who tell a wrong fix, and rules that change after half of the tickets. The agent and the
extraction model follow a script (`support_agent.py`): they know what they read. All arms meet the same tickets.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from statistics import mean, stdev
from typing import Any, NamedTuple

from langchain_core.messages import BaseMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from benchmarks.database import database
from benchmarks.product import advice_in, fix_in
from benchmarks.support_agent import answer, edits
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
from langgraph_learning.errors import Conflict
from langgraph_learning.learning import Learning
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.testing import HashEmbeddings, ScriptedModel

INDEX: Any = {"dims": 256, "embed": HashEmbeddings(256), "fields": ["text"]}
BLOCKS = 10
OFTEN = 20
"""After how many tickets somebody goes through what waits for approval."""

LEGEND = """
success    tickets whose right fix was given, by block of tickets: mean over the seeds
harm       tickets given a fix that was never right for whoever asked, because of something learnt: without it the agent
           would have passed the ticket on, or been right
outdated   the same, but the fix had been right until the rules changed
forgotten  tickets not solved, though the team had been given the right answer before and it is still right
           (the last three: share of all tickets, mean ± standard deviation over the seeds)
"""


@dataclass(frozen=True)
class Arm:
    """One way to learn."""

    learning: bool = True
    shuffled: bool = False
    """The agent is shown what was meant for another ticket."""
    scope: Scope = Scope.TEAM
    sharing: Sharing = Sharing.AT_ONCE
    mode: Mode = Mode.BACKGROUND
    correcting: bool = True
    """The extraction model says what a new learning replaces."""
    voting: bool = True
    """Thumbs up and down are passed on."""
    episodes: bool = False
    """The turns are kept word for word, too."""
    noise: float = 1.0
    """How many times as often as usual people are wrong."""


ARMS = {
    "learning": Arm(),
    "off": Arm(learning=False),
    "shuffled": Arm(shuffled=True),
    "not shared between users": Arm(scope=Scope.USER),
    "teams not kept apart": Arm(scope=Scope.GLOBAL),
    "nothing superseded": Arm(correcting=False),
    "without votes": Arm(voting=False),
    "with episodes": Arm(episodes=True),
    "shared after two voices": Arm(sharing=Sharing.after(2)),
    "half as many wrong words": Arm(noise=0.5),
    "twice as many wrong words": Arm(noise=2),
    "approved by a person": Arm(mode=Mode.PROPOSE),
}


class Served(NamedTuple):
    """What became of one ticket."""

    success: bool
    harm: bool
    outdated: bool
    forgotten: bool


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
        return served

    def review(self, after: Ticket) -> None:
        """Let a person of each team go through what waits for approval after a ticket."""
        for team, (person, *_) in TEAMS.items() if self._arm.mode is Mode.PROPOSE else ():
            context = LearningContext(user_id=person, team_ids=(team,))
            for waiting in self.machine.review.list(context):
                self._review(after, context, waiting)

    def _review(self, after: Ticket, context: LearningContext, waiting: Learning) -> None:
        right = all(self._world.approves(after, context.team_ids[0], advice) for advice in advice_in(waiting.text))
        if right == bool(waiting.retires):
            self.machine.review.reject(context, waiting.key)
            return
        try:
            self.machine.review.approve(context, waiting.key)
        except Conflict:  # what it would replace has been replaced already: whoever knows better says so again
            self.machine.review.reject(context, waiting.key)

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


Runs = dict[str, list[list[Served]]]
"""For each arm, what became of the tickets in each world."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all arms in all worlds, and print the table."""
    options = _options(arguments)
    runs: Runs = {name: [] for name in options.arms}
    for seed in range(options.seeds):
        for name in options.arms:
            world = World(seed, options.tickets, ARMS[name].noise)
            runs[name].append(
                list(_bar(run(ARMS[name], world, options.store), options.tickets, f"{name}, world {seed}"))
            )
    print(table(runs))
    print(LEGEND)
    if options.plot:
        plot(runs, options.plot)


def run(arm: Arm, world: World, place: str = "postgres") -> Iterator[Served]:
    """Serve all tickets of a world, with a store of their own."""
    with STORES[place]() as store:
        desk = Desk(arm, world, store)
        for ticket in world.tickets:
            yield desk.serve(ticket)
            if ticket.number % OFTEN == OFTEN - 1:
                desk.review(ticket)


@contextmanager
def _postgres() -> Iterator[BaseStore]:
    with database() as url, HybridPostgresStore.from_conn_string(url, index=INDEX, search_mode="hybrid") as store:
        store.setup()
        yield store


@contextmanager
def _memory() -> Iterator[BaseStore]:
    yield InMemoryStore(index=INDEX)


STORES = {"postgres": _postgres, "memory": _memory}


def table(runs: Runs) -> str:
    """Return the figures of all arms as Markdown."""
    size = _block(runs)
    ends = " | ".join(f"to {size * (number + 1)}" for number in range(BLOCKS))
    rows = [f"| {ends} | harm | outdated | forgotten |", "|--:" * (BLOCKS + 3) + "|"]
    for served in runs.values():
        success = " | ".join(f"{100 * share:.0f}" for share in curve(served, size))
        whole = " | ".join(_spread([_share(world, what) for world in served]) for what in Served._fields[1:])
        rows.append(f"| {success} | {whole} |")
    return "\n".join(f"| {name} {row}" for name, row in zip(["% of tickets", "---", *runs], rows, strict=True))


def curve(worlds: Sequence[Sequence[Served]], size: int) -> list[float]:
    """Return the share of tickets solved in each block, as a mean over the worlds."""
    starts = range(0, size * BLOCKS, size)
    return [mean(_share(world[start : start + size], "success") for world in worlds) for start in starts]


def plot(runs: Runs, file: str) -> None:
    """Draw the success of all arms, block by block."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    size = _block(runs)
    _, axis = pyplot.subplots(figsize=(9, 4.5))
    for name, worlds in runs.items():
        shares = [100 * share for share in curve(worlds, size)]
        axis.plot([size * (n + 1) for n in range(BLOCKS)], shares, "o-", label=name)
    axis.axvline(size * BLOCKS / 2, color="grey", linestyle=":")
    axis.set(xlabel="tickets; the rules change at the dotted line", ylabel="% solved", ylim=(0, 100))
    axis.legend(bbox_to_anchor=(1.01, 1), loc="upper left", frameon=False)
    pyplot.tight_layout()
    pyplot.savefig(file)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning_curve", description=__doc__.splitlines()[0])
    parser.add_argument("--tickets", type=int, default=1_000, help="how many there are, at least one a block")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM", help=", ".join(ARMS))
    parser.add_argument("--seeds", type=int, default=3, help="how many worlds")
    parser.add_argument("--store", choices=STORES, default="postgres", help="where the agent learns; memory is quicker")
    parser.add_argument("--plot", metavar="FILE", help="needs matplotlib")
    return parser.parse_args(arguments)


def _thread(ticket: Ticket) -> str:
    return f"ticket {ticket.number}"


def _bar(served: Iterable[Served], tickets: int, what: str) -> Iterator[Served]:
    for number, one in enumerate(served, start=1):
        filled, end = 40 * number // tickets, "\n" if number == tickets else ""
        print(f"\r[{'#' * filled:.<40}] {number} of {tickets}: {what}", end=end, file=sys.stderr, flush=True)
        yield one


def _block(runs: Runs) -> int:
    return len(next(iter(runs.values()))[0]) // BLOCKS


def _share(served: Sequence[Served], what: str) -> float:
    return mean(getattr(one, what) for one in served)


def _spread(shares: Sequence[float]) -> str:
    deviation = stdev(shares) if len(shares) > 1 else 0.0
    return f"{100 * mean(shares):.1f} ± {100 * deviation:.1f}"


if __name__ == "__main__":
    main()
