"""Benchmark of learning beside the answer: what a caller waits for, and how much workers do.

    pip install -e '.[embedded,worker]'
    python -m benchmarks.background

The first table compares `ainvoke` and the first word of a stream of an agent that learns, in the run and in a queue,
with the same agent without learning: the model takes 0.2 s to answer and 1.5 s to extract. The second lets one worker
and then four work off the same number of turns, with a model that takes 50 ms. The last line tells where a quiet user
stands in the queue of a noisy one. Models wait without using the processor; all else is real, on Postgres.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGenerationChunk
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

from benchmarks.database import database
from langgraph_learning import LearningContext, LearningMachine, Schedule, UserMemory
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.testing import ScriptedModel

USERS = 50
"""Users whose turns the workers work off: the more often one says the same, the longer its list of sources gets."""


class Waiting(ScriptedModel):
    """A model that answers after some seconds, as one behind a network does."""

    seconds: float = 0.0

    async def _agenerate(self, *arguments: Any, **settings: Any) -> Any:
        await asyncio.sleep(self.seconds)
        return self._generate(*arguments, **settings)

    async def _astream(self, *arguments: Any, **settings: Any) -> AsyncIterator[ChatGenerationChunk]:
        await asyncio.sleep(self.seconds)
        for chunk in self._stream(*arguments, **settings):
            yield chunk


def extractor(seconds: float) -> Waiting:
    """Return a model that finds one thing in each conversation."""
    edit = {"edit": "observation", "observation": "Likes tea", "replaces": None, "message": 1}
    return Waiting(lambda messages: {"edits": [edit]}, seconds=seconds)


def machine_of(store: HybridPostgresStore, learn: Any, seconds: float) -> LearningMachine:
    """Return a machine that learns in one of the ways."""
    return LearningMachine(
        extractor(seconds), [UserMemory()], store=store, learn=learn, schedule=Schedule(quiet=600, at_latest=600)
    )


def agent_of(machine: LearningMachine | None, store: Any, saver: Any) -> Any:
    """Return an agent that answers after 0.2 s."""
    middleware = [machine.middleware()] if machine else []
    model = Waiting(lambda messages: AIMessage("Fine."), seconds=0.2)
    return create_agent(model, middleware=middleware, context_schema=LearningContext, store=store, checkpointer=saver)


async def measure_calls(turns: int) -> None:
    """Print how long a caller waits, beside the same agent without learning."""
    with database() as url:
        async with HybridPostgresStore.from_conn_string(url, search_mode="hybrid") as store:
            await store.asetup()
            async with AsyncPostgresSaver.from_conn_string(url) as saver:
                await saver.setup()
                ways = {name: agent_of(machine_of(store, name, 1.5), store, saver) for name in ("deferred", "queue")}
                await _compare({"without": agent_of(None, store, saver), **ways}, turns)


async def _compare(agents: dict[str, Any], turns: int) -> None:
    calls: dict[str, list[float]] = {name: [] for name in agents}
    words: dict[str, list[float]] = {name: [] for name in agents}
    for turn in range(turns + 1):
        for name, agent in agents.items():
            answered = await _time(_invoke(agent, f"{name}-{turn}"))
            spoke = await _time(_first_word(agent, f"{name}-s{turn}"))
            if turn:  # the first one opens connections
                calls[name].append(answered)
                words[name].append(spoke)
    print("\nseconds, median   ainvoke   x    first word   x")
    for name in agents:
        call, word = median(calls[name]), median(words[name])
        ratios = call / median(calls["without"]), word / median(words["without"])
        print(f"{name:<16} {call:8.3f} {ratios[0]:5.2f} {word:10.3f} {ratios[1]:6.2f}")


async def _time(call: Awaitable[None]) -> float:
    started = time.perf_counter()
    await call
    return time.perf_counter() - started


def _turn(thread: str, user: str = "alex") -> dict[str, Any]:
    return {
        "input": {"messages": [("user", "I like tea")]},
        "config": {"configurable": {"thread_id": thread}},
        "context": LearningContext(user_id=user),
    }


async def _invoke(agent: Any, thread: str) -> None:
    await agent.ainvoke(**_turn(thread))


async def _first_word(agent: Any, thread: str) -> None:
    stream = agent.astream(**_turn(thread), stream_mode="messages")
    async for _ in stream:
        break
    await stream.aclose()


async def queue_turns(url: str, counts: dict[str, int]) -> None:
    """Leave turns of users in the queue, without a checkpointer."""
    async with HybridPostgresStore.from_conn_string(url, search_mode="hybrid") as store:
        await store.asetup()
        machine = machine_of(store, "queue", 0.05)
        agent = create_agent(
            ScriptedModel(lambda messages: AIMessage("Fine.")),
            middleware=[machine.middleware()],
            context_schema=LearningContext,
            store=store,
        )
        for user, count in counts.items():
            for first in range(0, count, 20):
                numbers = range(first, min(first + 20, count))
                await asyncio.gather(*(agent.ainvoke(**_turn(f"{user}-{number}", user)) for number in numbers))
        await machine.jobs.ahurry()


def measure_workers(turns: int, concurrency: int) -> None:
    """Print how many turns a second one worker and four learn."""
    print(f"\nworkers   turns/s   x   ({turns} turns, a model of 50 ms, {concurrency} jobs at once in each worker)")
    rates: list[float] = []
    for workers in (1, 4):
        with database() as url:
            asyncio.run(queue_turns(url, Counter(f"user-{number % USERS}" for number in range(turns))))
            rates.append(turns / _drain_by_processes(url, workers, concurrency))
        print(f"{workers:>7} {rates[-1]:9.1f} {rates[-1] / rates[0]:5.2f}")


def _drain_by_processes(url: str, workers: int, concurrency: int) -> float:
    """Return the seconds from the first start of a job to the end of the last one, without the start of processes."""
    program = [sys.executable, "-m", "benchmarks.background", "--drain", url, "--concurrency", str(concurrency)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    processes = [
        subprocess.Popen(program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(workers)
    ]
    for process in processes:
        assert process.stdout
        process.stdout.readline()  # ready
    started = time.perf_counter()
    for process in processes:
        assert process.stdin
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    return time.perf_counter() - started


def drain(url: str, concurrency: int) -> None:
    """Work off the queue when told so, in a process of its own."""
    with HybridPostgresStore.from_conn_string(url, search_mode="hybrid") as store:
        machine = machine_of(store, "queue", 0.05)
        import_module("procrastinate")
        machine.jobs.pending()
        print("ready", flush=True)
        sys.stdin.readline()
        machine.worker(concurrency=concurrency).drain()


def measure_fairness(turns: int) -> None:
    """Print the place in the queue at which a quiet user's only turn is learnt, behind many of a noisy user."""
    with database() as url:
        asyncio.run(queue_turns(url, {"noisy": turns}))
        asyncio.run(queue_turns(url, {"quiet": 1}))
        with HybridPostgresStore.from_conn_string(url, search_mode="hybrid") as store:
            jobs = machine_of(store, "queue", 0.05).jobs.show()
    place = [job.user for job in jobs].index("quiet") + 1
    print(f"\nThe quiet user's job is number {place} of {len(jobs)}, though it came last.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.background", description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=10, help="turns of each agent in the table of calls")
    parser.add_argument("--jobs", type=int, default=1_000, help="turns that the workers work off")
    parser.add_argument("--concurrency", type=int, default=1, help="jobs at once in each worker")
    parser.add_argument("--drain", metavar="URL", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.drain:
        return drain(options.drain, options.concurrency)
    asyncio.run(measure_calls(options.turns))
    measure_workers(options.jobs, options.concurrency)
    return measure_fairness(min(options.jobs, 200))


if __name__ == "__main__":
    main()
