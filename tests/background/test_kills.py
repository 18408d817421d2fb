"""Processes killed at random moments: every learning is there exactly once, and every answer is in the checkpoint."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from langgraph.checkpoint.postgres import PostgresSaver
from people import thread

from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.postgres.embedded import EmbeddedPostgres

PROJECT = Path(__file__).parents[2]
TURNS = 200
THREADS = 10
SHOP = """
import re, time, uuid
from people import conversation, edits, echo, machine, observation
from langgraph_learning import Schedule

def reword(shown):
    # Asked again, a model says it in other words.
    time.sleep(0.03)
    said = [(n, text) for n, who, text in conversation(shown) if who.startswith("user")]
    return edits(*(observation(f"{re.search(r'thing-[0-9]+', text)[0]} is liked ({uuid.uuid4().hex[:6]})", n) for n, text in said))

machine = machine(reword, learn="queue", schedule=Schedule(quiet=0.2, at_latest=1, unanswered=3), on_error="report")
"""
APP = """
import pathlib, sys
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph_learning.postgres import HybridPostgresStore
from people import ALEX, echo, said, thread
from shop import machine

url, turns, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with HybridPostgresStore.from_conn_string(url, search_mode="hybrid") as store, PostgresSaver.from_conn_string(url) as saver:
    machine.store = store
    agent = machine.wrap(echo(), store=store, checkpointer=saver)
    print("ready", flush=True)
    # Up to here earlier processes came; the turn in which the last one died is looked at again.
    progress = pathlib.Path("progress")
    for number in range(int(progress.read_text() or 0) if progress.exists() else 0, turns):
        progress.write_text(str(number))
        where = thread(f"t{number % threads}")
        state = agent.get_state(where)
        texts = [message.text for message in state.values.get("messages", ())]
        if f"I like thing-{number} very much" in texts:
            if state.tasks:  # not `next`, which leaves out a step whose writes are saved already
                agent.invoke(None, where, context=ALEX, durability="sync")
            continue
        agent.invoke(said(f"I like thing-{number} very much"), where, context=ALEX, durability="sync")
    print("done", flush=True)
"""


class Fleet:
    """An application and a worker, each in a process that may be killed."""

    def __init__(self, folder, url):
        (folder / "shop.py").write_text(SHOP)
        (folder / "app.py").write_text(APP)
        self._folder, self._url = folder, url
        self._env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(PROJECT / "tests"), str(PROJECT)))}
        self.worker = self.app = None

    def start_app(self):
        self._forget(self.app)
        self.app = self._start("app.py", self._url, str(TURNS), str(THREADS))
        self.app.stdout.readline()  # it is ready, or has ended

    def start_worker(self):
        self._forget(self.worker)
        options = ["--machine", "shop:machine", "--url", self._url, "--embed", "none"]
        self.worker = self._start("-m", "langgraph_learning.cli", "worker", *options)

    def _forget(self, process):
        if process is not None:
            process.wait()
            process.stdout.close()

    def _start(self, *words):
        log = (self._folder / "log").open("a")
        with log:
            return subprocess.Popen(
                [sys.executable, *words], cwd=self._folder, env=self._env, stdout=subprocess.PIPE, stderr=log, text=True
            )

    def stop(self):
        for process in filter(None, (self.app, self.worker)):
            process.kill()
            self._forget(process)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("victim", ["app", "worker", "postgres"])
def test_kills_at_random_moments_lose_and_double_nothing(victim, tmp_path, empty_folder):
    """With a model that words each attempt differently."""
    seed = random.randrange(1_000_000)
    chance = random.Random(seed)
    print(f"seed {seed}")
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedPostgres(empty_folder))
        with HybridPostgresStore.from_conn_string(server.url, search_mode="hybrid") as store:
            store.setup()
        with PostgresSaver.from_conn_string(server.url) as saver:
            saver.setup()
        fleet = Fleet(tmp_path, server.url)
        stack.callback(fleet.stop)
        fleet.start_app()
        fleet.start_worker()
        kills = 0
        while fleet.app.poll() is None or fleet.app.returncode != 0:
            time.sleep(chance.uniform(0.3, 3.0))
            if fleet.app.poll() == 0:
                break
            kills += _kill(victim, fleet, server.url)
            if fleet.app.poll() is not None and fleet.app.returncode != 0:
                fleet.start_app()
            if fleet.worker.poll() is not None:
                fleet.start_worker()
        print(f"{kills} kills")
        counts, answers = _wait_until_learnt(server.url, tmp_path)

    assert kills >= 2
    assert {} == {number: count for number, count in counts.items() if count != 1}
    assert TURNS == len(counts)
    assert [] == [number for number in range(TURNS) if number not in answers]


def _kill(victim, fleet, url):
    if victim == "postgres":
        # One of its processes that dies so takes all connections with it; then it recovers from its log.
        try:
            connection = psycopg.connect(url, autocommit=True)
        except psycopg.OperationalError:
            return 0  # it recovers still
        with connection:
            found = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
            pids = [pid for (pid,) in found]
            for pid in pids[:1]:
                os.kill(pid, signal.SIGKILL)
        time.sleep(1)
        return len(pids[:1])
    process = getattr(fleet, victim)
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return 1
    return 0


def _answers(url):
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def _wait_until_learnt(url, folder):
    """Return how often each thing was learnt, and the numbers of the turns whose answer is in a checkpoint."""
    from people import echo, machine

    deadline = time.monotonic() + 200
    while not _answers(url):
        time.sleep(0.5)
    with (
        HybridPostgresStore.from_conn_string(url, search_mode="hybrid") as store,
        PostgresSaver.from_conn_string(url) as saver,
    ):
        learning = machine([], store=store, learn="queue")
        while learning.jobs.pending() and time.monotonic() < deadline:
            time.sleep(0.5)
        assert 0 == learning.jobs.pending(), (folder / "log").read_text()[-5_000:]
        counts = {}
        items = store.search(("learnings", "default", "user", "alex"), limit=10_000)
        for item in items:
            if item.value["status"] == "active":
                number = int(item.value["text"].split()[0].removeprefix("thing-"))
                counts[number] = counts.get(number, 0) + 1
        agent = learning.wrap(echo(), checkpointer=saver)
        answers = set()
        for name in range(THREADS):
            for message in agent.get_state(thread(f"t{name}")).values["messages"]:
                if message.text.startswith("You said: I like thing-"):
                    answers.add(int(message.text.split("thing-")[1].split()[0]))
    return counts, answers
