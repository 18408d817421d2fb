"""What a benchmark of the stores prints and draws: lines that compare, a bar, a plot."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Figure(NamedTuple):
    """One line of the table."""

    what: str
    ours: str
    theirs: str
    ratio: str = ""


class Times(NamedTuple):
    """How long calls took, in milliseconds."""

    p50: float
    p95: float


def timed(call: Callable[[], Any], times: int) -> Times:
    """Measure one call many times, after two calls to get warm."""
    return times_of([_milliseconds(call) for _ in range(times + 2)][2:])


def by_turns(calls: Sequence[Sequence[Callable[[], Any]]]) -> list[Times]:
    """Measure several ways to do the same many times, each time one after the other: what else goes on meets all."""
    taken = [[_milliseconds(call) for call in turn] for turn in calls]
    return [times_of(way) for way in zip(*taken, strict=True)]


def times_of(taken: Sequence[float]) -> Times:
    """Return the median of milliseconds, and what only a twentieth is above."""
    return Times(statistics.median(taken), float(np.percentile(taken, 95)))


def both(what: str, ours: Times, theirs: Times) -> Figure:
    """Return a line that compares times."""
    return Figure(what, _said(ours), _said(theirs), f"{theirs.p50 / ours.p50:.1f} x")


def alone(what: str, ours: Times) -> Figure:
    """Return a line about what only our store can do."""
    return Figure(what, _said(ours), "none")


def rates(what: str, ours: float, theirs: float, unit: str = "/s") -> Figure:
    """Return a line that compares how much is done in a second."""
    return Figure(what, f"{ours:,.0f}{unit}", f"{theirs:,.0f}{unit}", f"{ours / theirs:.1f} x")


def bar(done: int, total: int, what: str) -> None:
    """Draw a bar on standard error."""
    print(
        f"\r{what:40} [{'#' * (30 * done // total):<30}] {done}/{total}",
        end="\n" if done >= total else "",
        file=sys.stderr,
    )


def show(figures: list[Figure]) -> None:
    """Print the table as Markdown."""
    print("| what (p50 / p95) | HybridPostgresStore | LangGraph's PostgresStore | ratio |\n|---|---|---|---|")
    for figure in figures:
        print("| " + " | ".join(figure) + " |", flush=True)


def plot(figures: list[Figure], file: str) -> None:
    """Draw recall and median time by what is under the namespace that is searched."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    _, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4))
    for axis, kind, title in ((left, "recall@10", "recall@10"), (right, "vector search", "median ms")):
        chosen = [f for f in figures if f.what.startswith(f"{kind}, namespace of ")]
        sizes = [int(f.what.rsplit(" ", 1)[1].replace(",", "")) for f in chosen]
        axis.plot(sizes, [float(f.ours.split()[0]) for f in chosen], "o-", label="HybridPostgresStore")
        axis.plot(sizes, [float(f.theirs.split()[0]) for f in chosen], "s--", label="LangGraph's PostgresStore")
        axis.set(xscale="log", xlabel="items under the namespace", title=title)
        axis.legend()
    pyplot.tight_layout()
    pyplot.savefig(file)


def _milliseconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - start)


def _said(times: Times) -> str:
    return f"{times.p50:.1f} / {times.p95:.1f} ms"
