"""Benchmark of a server whose agent learns: how long users wait, one after the other and many at once.

    pip install -e '.[embedded,worker]' 'langgraph-cli[inmem]'
    python -m benchmarks.server

A real `langgraph dev` serves an agent that takes 0.2 s to answer and 3 s to extract, in each way of learning and
without learning. The first table is of users who write one after the other. For the second, with one run at once and
with ten, all users write at the same moment and, when what they said is being learnt from, once more; the last column
tells of how many of them something was learnt soon after. A worker with ten jobs at once runs beside the server.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from benchmarks.database import database
from benchmarks.figures import draw_bar
from benchmarks.served_agent import QUIET, machine_that
from langgraph_learning.postgres import HybridPostgresStore

PROJECT = Path(__file__).parents[1]
WAYS = ("without", "deferred", "queue", "server")
"""Where it is learnt; each is the name of an agent of `served_agent.py`."""


class Waits(NamedTuple):
    """The seconds that each user waited for the first word: of the first answer, and of the second."""

    first: list[float]
    second: list[float]


class Measurement(NamedTuple):
    """One way of learning on one server."""

    waits: Waits
    learnt: int
    """Of how many users something was learnt soon after the second answers."""


@contextmanager
def running_server(jobs: int, url: str) -> Iterator[str]:
    """Start a server with a number of runs at once, and a worker; give its address, and stop both."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="learning-", dir="/var/tmp")))
        shutil.copy(PROJECT / "benchmarks" / "served_agent.py", folder)
        graphs = {name: f"./served_agent.py:{name}" for name in (*WAYS, "learner")}
        config = {"dependencies": ["."], "graphs": graphs, "store": {"path": "./served_agent.py:store"}}
        (folder / "langgraph.json").write_text(json.dumps(config))
        address = stack.enter_context(_serve(folder, jobs, {"DATABASE_URL": url}))
        stack.enter_context(_start([sys.executable, "-m", "benchmarks.server", "--work", url], folder, {}))
        yield address


@contextmanager
def _serve(folder: Path, jobs: int, settings: dict[str, str]) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload"]
    command += ["--port", str(port), "--n-jobs-per-worker", str(jobs)]
    address = f"http://127.0.0.1:{port}"
    with _start(command, folder, settings) as process:
        while not _answers(address):
            if process.poll() is not None:
                raise SystemExit((folder / "log").read_text())
            time.sleep(0.2)
        yield address


@contextmanager
def _start(command: Sequence[str], folder: Path, settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "LANGSMITH_TRACING": "false", **settings}
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/ok", trust_env=False).is_success
    except httpx.TransportError:
        return False


async def measure_alone(address: str, turns: int) -> dict[str, list[tuple[float, float]]]:
    """Return the seconds of turns, one after the other and by turns: to the first word, and to the end of the run."""
    client = get_client(url=address, api_key=None)
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    for turn in range(turns + 1):
        draw_bar(turn, turns, "one after the other")
        for way in WAYS:
            word = await _first_word(client, way, f"{way}-{turn}", await _new_thread(client))
            started = time.perf_counter()
            await client.runs.wait(await _new_thread(client), way, **_message(f"{way}-wait-{turn}"))
            if turn:  # the first one opens connections
                times[way].append((word, time.perf_counter() - started))
    return times


async def measure_together(address: str, way: str, users: int) -> Waits:
    """Let all users write at once, and once more while the server or a worker learns from what they wrote first."""
    client = get_client(url=address, api_key=None)
    await _first_word(client, way, "warm-up", await _new_thread(client))
    threads = [await _new_thread(client) for _ in range(users)]
    waits = []
    for _ in Waits._fields:
        written = (_first_word(client, way, f"user-{number}", thread) for number, thread in enumerate(threads))
        waits.append(await asyncio.gather(*written))
        await asyncio.sleep(2 * QUIET)
    return Waits(*waits)


async def _new_thread(client: LangGraphClient) -> str:
    return str((await client.threads.create())["thread_id"])


def _message(user: str) -> dict[str, Any]:
    return {
        "input": {"messages": [{"role": "user", "content": "I like tea"}]},
        "context": {"user_id": user},
        "multitask_strategy": "enqueue",
    }


async def _first_word(client: LangGraphClient, way: str, user: str, thread: str) -> float:
    started = time.perf_counter()
    stream = client.runs.stream(thread, way, stream_mode="messages-tuple", **_message(user))
    async for part in stream:
        if part.event == "messages":
            return time.perf_counter() - started
        if part.event == "error":
            raise RuntimeError(part.data)
    raise RuntimeError("The run ended without an answer.")


def print_alone(turns: int) -> None:
    """Measure and print what users wait for who write one after the other."""
    with database() as url, HybridPostgresStore.from_conn_string(url, search_mode="hybrid") as store:
        store.setup()
        with running_server(10, url) as address:
            times = asyncio.run(measure_alone(address, turns))
    print("\n| learning | first word, s | x | whole run, s | x |\n|---|--:|--:|--:|--:|")
    base = [median(column) for column in zip(*times["without"], strict=True)]
    for way, taken in times.items():
        own = [median(column) for column in zip(*taken, strict=True)]
        cells = [f"{seconds:.3f} | {seconds / without:.2f}" for seconds, without in zip(own, base, strict=True)]
        print(f"| {way} | {' | '.join(cells)} |")


def measure_setting(way: str, jobs: int, users: int) -> Measurement:
    """Measure one way of learning on a server and a database of its own."""
    with database() as url, HybridPostgresStore.from_conn_string(url, search_mode="hybrid") as store:
        store.setup()
        with running_server(jobs, url) as address:
            waits = asyncio.run(measure_together(address, way, users))
            learnt = store.list_namespaces(
                prefix=("learnings", "default", "user"), suffix=("user_memory",), limit=1_000
            )
            return Measurement(waits, sum("user-" in "".join(namespace) for namespace in learnt))


def print_table(results: dict[tuple[int, str], list[Measurement]]) -> None:
    """Print the median and the longest wait, beside the same agent without learning."""
    print("\n| runs at once | learning | first answer: p50 | x | max | x | second: p50 | x | max | x | learnt |")
    print("|--:|---|" + "--:|" * 9)
    for (jobs, learn), measured in results.items():
        cells = []
        for name in Waits._fields:
            for sum_up in (median, max):
                own, without = (_middle(found, name, sum_up) for found in (measured, results[jobs, "without"]))
                cells += [f"{own:.2f}", f"{own / without:.2f}"]
        learnt = median(each.learnt for each in measured)
        print(f"| {jobs} | {learn} | {' | '.join(cells)} | {learnt:.0f} |")


def _middle(measured: Sequence[Measurement], name: str, sum_up: Callable[[list[float]], float]) -> float:
    return median(sum_up(getattr(each.waits, name)) for each in measured)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=10, help="turns of each agent in the first table")
    parser.add_argument("--users", type=int, default=30)
    parser.add_argument("--jobs", type=int, nargs="*", default=[1, 10], help="runs at once (--n-jobs-per-worker)")
    parser.add_argument("--ways", nargs="+", choices=WAYS[1:], default=WAYS[1:])
    parser.add_argument("--times", type=int, default=1, help="how often everything is measured; the median counts")
    parser.add_argument("--work", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.work:
        return work(options.work)
    if options.turns:
        print_alone(options.turns)
    settings = [(jobs, way) for jobs in options.jobs for way in ("without", *options.ways)]
    results: dict[tuple[int, str], list[Measurement]] = {setting: [] for setting in settings}
    measurements = settings * options.times
    for number, (jobs, way) in enumerate(measurements):
        draw_bar(number, len(measurements), f"{jobs} at once, {way}")
        results[jobs, way].append(measure_setting(way, jobs, options.users))
    if measurements:
        draw_bar(len(measurements), len(measurements), "done")
        print_table(results)
    return None


def work(url: str) -> None:
    """Work off the queue, in a process of its own, until it is told to stop."""
    with HybridPostgresStore.from_conn_string(url, search_mode="hybrid") as store:
        machine = machine_that("queue")
        machine.store = store
        machine.worker(concurrency=10).run()


if __name__ == "__main__":
    main()
