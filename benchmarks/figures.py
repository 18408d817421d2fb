"""Output of the store benchmark: time measurements, table, progress bar and plot."""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Figure(NamedTuple):
    """One row of the table."""

    what: str
    ours: str
    theirs: str
    ratio: str = ""


class Times(NamedTuple):
    """Median and 95th percentile of call times, in milliseconds."""

    p50: float
    p95: float


def measure(call: Callable[[], Any], times: int) -> Times:
    """Measure one call many times, after two calls to warm up."""
    return summarize([_milliseconds(call) for _ in range(times + 2)][2:])


def measure_in_turns(calls: Sequence[Sequence[Callable[[], Any]]]) -> list[Times]:
    """Measure alternatives in alternation, so that other load on the machine affects all of them alike."""
    taken = [[_milliseconds(call) for call in turn] for turn in calls]
    return [summarize(way) for way in zip(*taken, strict=True)]


def summarize(taken: Sequence[float]) -> Times:
    """Return the median and the 95th percentile of times in milliseconds."""
    return Times(statistics.median(taken), float(np.percentile(taken, 95)))


def compare_times(what: str, ours: Times, theirs: Times) -> Figure:
    """Return a row that compares times."""
    return Figure(what, _format_times(ours), _format_times(theirs), f"{theirs.p50 / ours.p50:.1f} x")


def report_ours(what: str, ours: Times) -> Figure:
    """Return a row about a feature that only our store has."""
    return Figure(what, _format_times(ours), "none")


def compare_rates(what: str, ours: float, theirs: float, unit: str = "/s") -> Figure:
    """Return a row that compares rates."""
    return Figure(what, f"{ours:,.0f}{unit}", f"{theirs:,.0f}{unit}", f"{ours / theirs:.1f} x")


def draw_bar(done: int, total: int, what: str) -> None:
    """Draw a progress bar on standard error."""
    print(
        f"\r{what:40} [{'#' * (30 * done // total):<30}] {done}/{total}",
        end="\n" if done >= total else "",
        file=sys.stderr,
    )


def print_table(figures: list[Figure]) -> None:
    """Print the table as Markdown."""
    print("| what (p50 / p95) | HybridPostgresStore | LangGraph's PostgresStore | ratio |\n|---|---|---|---|")
    for figure in figures:
        print("| " + " | ".join(figure) + " |", flush=True)


def plot(figures: list[Figure], file: str) -> None:
    """Plot recall and median time against the number of items under the searched namespace."""
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


def _format_times(times: Times) -> str:
    return f"{times.p50:.1f} / {times.p95:.1f} ms"
