"""Benchmark of the cost of learning per turn: model calls, time to first word, time of the turn, and prompt caching.

    pip install -e '.[dev]'
    pip install 'agno[postgres,pgvector]'     # the peer to compare with; without it, only ours is measured
    python -m benchmarks.turn

All agents have the same conversation, with models that answer at once, so that all of the time is the agent's own;
`--latency` adds a time to every model call. The turns of the agents alternate, and each turn is compared with the same
turn of the same agent without learning.
"""

import argparse
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import pairwise
from random import Random
from statistics import mean, median, quantiles

from benchmarks.contender import Answered, Contender, Speaker
from benchmarks.conversation import TURNS
from benchmarks.database import database
from benchmarks.ours import FORMS, STORES, Ours, storage

Results = dict[str, dict[Speaker, list[Answered]]]

COLUMNS = """
model calls   calls of any model per turn, the agent's own included: mean
first word    milliseconds from the call to the first word of the answer: median
added         the same, minus the same turn of the same agent without learning: median and 95th percentile
whole turn    milliseconds to the end of the run, learning included, minus the same without learning: median
prompt kept   share of a prompt that the next prompt of the thread begins with, byte by byte: mean.
              A long text that never changes raises it, even if the conversation behind it changes
read anew     bytes of a prompt behind that common prefix: mean. They are in no provider's cache
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all contenders, and print the tables."""
    options = _options(arguments)
    agno = find_spec("agno") is not None and find_spec("greenlet") is not None
    if not agno and not options.alone:
        print(
            "Agno is not installed, so only ours is measured. To compare: pip install 'agno[postgres,pgvector]'",
            file=sys.stderr,
        )
    with ExitStack() as stack:
        contenders = _ours(options.store or ["memory", "hybrid"], options.latency / 1_000, stack)
        if agno and not options.alone:
            contenders += _agno(options.agno_knowledge, options.latency / 1_000, stack)
        results = _measure(contenders, options.users, options.turns)
    print(_table(contenders, results))
    print(_ratios(contenders, results))
    print(COLUMNS)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turn", description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=8, help="number of users of one team, who talk one after another")
    parser.add_argument("--turns", type=int, default=len(TURNS), choices=range(1, len(TURNS) + 1), metavar="N")
    parser.add_argument("--store", action="append", choices=STORES, help="the store of ours; may be repeated")
    parser.add_argument("--latency", type=float, default=0.0, metavar="MS", help="time of every model call")
    parser.add_argument(
        "--agno-knowledge", choices=("agentic", "always"), default="agentic", help="mode of Agno's learned knowledge"
    )
    parser.add_argument("--alone", action="store_true", help="measure ours only")
    return parser.parse_args(arguments)


def _ours(stores: Sequence[str], latency: float, stack: ExitStack) -> list[Contender]:
    made: list[Contender] = []
    for name in stores:
        for form in (None, *FORMS):
            url = None if name == "memory" else stack.enter_context(database())
            made.append(Ours(name, form, *stack.enter_context(storage(name, url)), latency))
    return made


def _agno(knowledge: str, latency: float, stack: ExitStack) -> list[Contender]:
    os.environ["AGNO_TELEMETRY"] = "false"
    from agno.utils.log import set_log_level_to_warning

    from benchmarks.agno_agent import Agno

    set_log_level_to_warning()

    alone = Agno(stack.enter_context(database()), learning=False, latency=latency)
    return [alone, Agno(stack.enter_context(database()), learning=True, knowledge=knowledge, latency=latency)]


def _measure(contenders: Sequence[Contender], users: int, turns: int) -> Results:
    results: Results = {contender.name: {} for contender in contenders}
    speakers = [Speaker(f"user{number}", f"thread{number}") for number in range(users)]
    # The first turn of each agent opens connections and creates tables, so it is not measured.
    for contender in contenders:
        contender.answer(Speaker("warm", "warm"), TURNS[0])
    gc.freeze()
    order = Random(users * turns)
    for number, (speaker, place) in enumerate((s, place) for s in speakers for place in range(turns)):
        _progress(number, users * turns)
        # Random order, and garbage collection before each turn: no agent pays for the one before it.
        for contender in order.sample(contenders, len(contenders)):
            gc.collect()
            answered = contender.answer(speaker, TURNS[place])
            results[contender.name].setdefault(speaker, []).append(answered)
    gc.unfreeze()
    _progress(users * turns, users * turns)
    return results


def _progress(done: int, all_: int) -> None:
    filled = 40 * done // all_
    end = "\n" if done == all_ else "\r"
    print(f"[{'#' * filled}{'.' * (40 - filled)}] turn {done} of {all_}", end=end, file=sys.stderr, flush=True)


def _row(contender: Contender, results: Results) -> dict[str, float]:
    own = _flat(results[contender.name])
    row = {
        "calls": mean(answered.calls for answered in own),
        "first": median(answered.first for answered in own) * 1_000,
        **_compare_prompts(results[contender.name]),
    }
    if contender.without:
        pairs = list(zip(own, _flat(results[contender.without]), strict=True))
        added = [(with_.first - without.first) * 1_000 for with_, without in pairs]
        row |= {"added": median(added), "added95": _p95(added)}
        row["whole"] = median((with_.whole - without.whole) * 1_000 for with_, without in pairs)
    return row


def _flat(answers: dict[Speaker, list[Answered]]) -> list[Answered]:
    return [answered for thread in answers.values() for answered in thread]


def _p95(values: Sequence[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1] if len(values) > 1 else values[0]


def _compare_prompts(answers: dict[Speaker, list[Answered]]) -> dict[str, float]:
    """Return the mean share of a prompt that the next one begins with, and the mean number of bytes after it."""
    pairs = [(before.prompt, after.prompt) for thread in answers.values() for before, after in pairwise(thread)]
    if not pairs:
        return {"kept": 1.0, "anew": 0.0}
    same = [_common_prefix_length(before, after) for before, after in pairs]
    return {
        "kept": mean(kept / len(before) for kept, (before, _) in zip(same, pairs, strict=True)),
        "anew": mean(len(after) - kept for kept, (_, after) in zip(same, pairs, strict=True)),
    }


def _common_prefix_length(one: bytes, other: bytes) -> int:
    """Return the length of the common prefix of two prompts, in bytes."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _table(contenders: Sequence[Contender], results: Results) -> str:
    lines = [
        "| agent | model calls | first word | added p50 | added p95 | whole turn added | prompt kept | read anew |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for contender in contenders:
        row = _row(contender, results)
        added = [f"{row[name]:.1f}" if name in row else "" for name in ("added", "added95", "whole")]
        cells = [
            contender.name,
            f"{row['calls']:.2f}",
            f"{row['first']:.1f}",
            *added,
            f"{row['kept']:.0%}",
            f"{row['anew']:,.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ratios(contenders: Sequence[Contender], results: Results) -> str:
    """Return the cost of the last contender divided by that of ours: ratios hold on any machine, times do not."""
    *ours, last = (contender for contender in contenders if contender.without)
    if isinstance(last, Ours):
        return ""
    peer = _row(last, results)
    lines = ["", f"{last.name}, divided by ours:"]
    for contender in ours:
        row = _row(contender, results)
        calls, added, whole = (peer[name] / row[name] for name in ("calls", "added", "whole"))
        lines.append(
            f"- {contender.name}: {calls:.1f} times the model calls, {added:.1f} times the time before the first word, "
            f"{whole:.1f} times the time of the whole turn"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
