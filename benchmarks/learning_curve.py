"""Benchmark of whether an agent gets better: a support desk with learning, without it, and without each part of it.

    pip install -e '.[embedded,local]'        # and [benchmarks] for --plot
    python -m benchmarks.learning_curve [--seeds 3] [--arms learning off …] [--store memory] [--plot curve.png]

The world is in `world.py`: three teams of four users, tickets whose right answer is hidden, thumbs that are sometimes
wrong, people who name a wrong fix, and rules that change after half of the tickets. The agent, the extraction model and
the judge follow a script (`support_agent.py`): they know only what they read. The configurations of learning, the arms,
are in `desk.py`. All arms get the same tickets.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from statistics import mean, stdev
from typing import Any

from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from benchmarks.database import database
from benchmarks.desk import ARMS, Arm, Desk, Served
from benchmarks.world import World
from langgraph_learning.embeddings import LocalEmbeddings
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.testing import HashEmbeddings

BLOCKS = 10
ON_POSTGRES = ("learning", "off", "shuffled")
"""The arms that use Postgres by default; the others use memory, which is faster."""
DRAWN = (*ON_POSTGRES, "without review", "without sharing", "without superseding or curation")
WRONG = ("harm", "outdated", "forgotten")

LEGEND = """
success    tickets answered with the right fix, by block of tickets: mean over the seeds
harm       tickets answered with a fix that was never right for the user's team, because of a learning: without it the
           agent would have passed the ticket on, or been right
outdated   the same, but the fix was right until the rules changed
forgotten  tickets not solved, although the team had got the right answer before and it is still right
decided    proposals that a person decided on, per 100 tickets
           (the last four: of all tickets, mean ± standard deviation over the seeds)
"""

Runs = dict[str, list[list[Served]]]
"""The results of the tickets in each world, by arm."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the arms in all worlds, and print the tables."""
    options = _options(arguments)
    index = _index(EMBEDDERS[options.embeddings]())
    runs: Runs = {name: [] for name in options.arms}
    for seed in range(options.seeds):
        for name in options.arms:
            world = World(seed, options.tickets, ARMS[name].noise)
            place = options.store or ("postgres" if name in ON_POSTGRES else "memory")
            served = run(ARMS[name], world, STORES[place](index))
            runs[name].append(list(_bar(served, options.tickets, f"{name}, world {seed}, {place}")))
    print(table(runs), LEGEND, wrong(runs, options.arms[0]), sep="\n")
    if options.plot:
        plot(runs, options.plot)


def run(arm: Arm, world: World, stored: AbstractContextManager[BaseStore]) -> Iterator[Served]:
    """Serve all tickets of a world with a new store."""
    with stored as store:
        desk = Desk(arm, world, store)
        yield from map(desk.serve, world.tickets)


@contextmanager
def _postgres(index: Any) -> Iterator[BaseStore]:
    with database() as url, HybridPostgresStore.from_conn_string(url, index=index, search_mode="hybrid") as store:
        store.setup()
        yield store


@contextmanager
def _memory(index: Any) -> Iterator[BaseStore]:
    yield InMemoryStore(index=index)


STORES: dict[str, Callable[[Any], AbstractContextManager[BaseStore]]] = {"postgres": _postgres, "memory": _memory}
EMBEDDERS: dict[str, Callable[[], LocalEmbeddings | HashEmbeddings]] = {
    "local": LocalEmbeddings,
    "words": HashEmbeddings,
}


def _index(embedder: LocalEmbeddings | HashEmbeddings) -> dict[str, Any]:
    """Return an index config that embeds each text once, because all arms read the same sentences."""
    known = cache(embedder.embed_query)
    return {"dims": embedder.dims, "embed": lambda texts: [known(text) for text in texts], "fields": ["text"]}


def table(runs: Runs) -> str:
    """Return the success of all arms by block, and the shares of what went wrong, as Markdown."""
    size = _block(runs)
    rows = [f"| % of tickets | {_ends(size)} | harm | outdated | forgotten | decided |", _rule(BLOCKS + 4)]
    for name, worlds in runs.items():
        whole = (_spread([_share(world, what) for world in worlds]) for what in (*WRONG, "decided"))
        rows.append(_row(name, [*(f"{100 * share:.0f}" for share in curve(worlds, size, "success")), *whole]))
    return "\n".join(rows)


def wrong(runs: Runs, name: str) -> str:
    """Return the shares of what went wrong in one arm by block, as Markdown."""
    size = _block(runs)
    shares = {what: curve(runs[name], size, what) for what in WRONG}
    rows = [_row(what, [f"{100 * share:.1f}" for share in blocks]) for what, blocks in shares.items()]
    return "\n".join([f"| {name}, % of tickets | {_ends(size)} |", _rule(BLOCKS), *rows])


def curve(worlds: Sequence[Sequence[Served]], size: int, what: str) -> list[float]:
    """Return the share of tickets with a property in each block, as a mean over the worlds."""
    starts = range(0, size * BLOCKS, size)
    return [mean(_share(world[start : start + size], what) for world in worlds) for start in starts]


def plot(runs: Runs, file: str) -> None:
    """Plot the success of the main arms, and what went wrong in the first one, by block."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    first = next(iter(runs))
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(8, 6), sharex=True, height_ratios=(2, 1))
    _draw(above, {name: (worlds, "success") for name, worlds in runs.items() if name in DRAWN}, _block(runs))
    _draw(below, {f"{first}: {what}": (runs[first], what) for what in WRONG}, _block(runs))
    above.set(ylabel="% of tickets solved", ylim=(0, 100))
    below.set(ylabel="% of tickets", ylim=(0, None), xlabel="tickets; at the dotted line the rules change")
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def _draw(axis: Any, lines: dict[str, tuple[Sequence[Sequence[Served]], str]], size: int) -> None:
    """Plot lines, the first one thick."""
    ends = [size * (number + 1) for number in range(BLOCKS)]
    for nth, (label, (worlds, what)) in enumerate(lines.items()):
        shares = [100 * share for share in curve(worlds, size, what)]
        style = {"linewidth": 1.2, "markersize": 3} if nth else {"linewidth": 3, "markersize": 5}
        axis.plot(ends, shares, "o-", label=label, **style)
    axis.axvline(size * BLOCKS / 2, color="grey", linestyle=":")
    axis.grid(axis="y", color="lightgrey", linewidth=0.5)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(bbox_to_anchor=(1.01, 1), loc="upper left", frameon=False)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning_curve", description=__doc__.splitlines()[0])
    parser.add_argument("--tickets", type=int, default=1_000, help="number of tickets, at least one per block")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM", help=", ".join(ARMS))
    parser.add_argument("--seeds", type=int, default=3, help="number of worlds")
    parser.add_argument(
        "--store", choices=STORES, help=f"the store of all arms; default: Postgres for {ON_POSTGRES}, else memory"
    )
    parser.add_argument("--embeddings", choices=EMBEDDERS, default="local", help="a local model, or hashed words")
    parser.add_argument("--plot", metavar="FILE", help="needs matplotlib")
    return parser.parse_args(arguments)


def _bar(served: Iterable[Served], tickets: int, what: str) -> Iterator[Served]:
    for number, one in enumerate(served, start=1):
        filled, end = 40 * number // tickets, "\n" if number == tickets else ""
        print(f"\r[{'#' * filled:.<40}] {number} of {tickets}: {what}", end=end, file=sys.stderr, flush=True)
        yield one


def _block(runs: Runs) -> int:
    return len(next(iter(runs.values()))[0]) // BLOCKS


def _ends(size: int) -> str:
    return " | ".join(f"to {size * (number + 1)}" for number in range(BLOCKS))


def _rule(columns: int) -> str:
    return "|---" + "|--:" * columns + "|"


def _row(name: str, cells: Iterable[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def _share(served: Sequence[Served], what: str) -> float:
    return mean(getattr(one, what) for one in served)


def _spread(shares: Sequence[float]) -> str:
    deviation = stdev(shares) if len(shares) > 1 else 0.0
    return f"{100 * mean(shares):.1f} ± {100 * deviation:.1f}"


if __name__ == "__main__":
    main()
