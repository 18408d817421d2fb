"""Workers in processes of their own, and the commands for them."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from langgraph.checkpoint.postgres import PostgresSaver
from people import ALEX, echo, machine, notes_what_users_say, said, thread
from typer.testing import CliRunner

from langgraph_learning.background.health import serve_health
from langgraph_learning.background.schedule import Schedule
from langgraph_learning.background.worker import WorkerState
from langgraph_learning.cli import app

PROJECT = Path(__file__).parents[2]
SHOP = """
from people import machine, notes_what_users_say
from langgraph_learning import Schedule

machine = machine(notes_what_users_say, learn="queue", schedule=Schedule(quiet=0), on_error="report")
"""


@pytest.fixture
def start_worker(tmp_path, database_url):
    """Give a function that starts a worker as a person would, in a process of its own."""
    (tmp_path / "shop.py").write_text(SHOP)
    started = []

    def start(*options):
        command = [sys.executable, "-m", "langgraph_learning.cli", "worker", "--machine", "shop:machine"]
        command += ["--url", database_url, "--embed", "none", *options]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(PROJECT / "tests"), str(PROJECT)))}
        process = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture
def talk(postgres_store, database_url):
    """Give a function that says something to an agent that learns in a queue, and its machine."""
    learning = machine(notes_what_users_say, store=postgres_store, learn="queue", schedule=Schedule(quiet=0))
    with PostgresSaver.from_conn_string(database_url) as saver:
        agent = learning.wrap(echo(), checkpointer=saver)

        def talk(text, name="a"):
            agent.invoke(said(text), thread(name), context=ALEX)
            return learning

        yield talk


def wait_for(check):
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def test_a_worker_stops_when_it_is_told_and_finishes_its_jobs(start_worker, talk):
    """Its log says what it did, without anybody's words."""
    worker = start_worker("--concurrency", "2")
    learning = talk("I like tea")
    wait_for(lambda: learning.learnings(ALEX))
    worker.send_signal(signal.SIGTERM)
    log = worker.communicate(timeout=30)[1]

    assert 0 == worker.returncode
    assert "working on the queue learning" in log
    assert "(default/alex, thread a): 1 learnt" in log
    assert "stopped: 1 job done" in log
    assert "I like tea" not in log


def test_a_worker_logs_each_line_once(start_worker, talk, tmp_path):
    """Also where the application has set up a log of its own."""
    (tmp_path / "shop.py").write_text(f"import logging\nlogging.basicConfig()\n{SHOP}")
    talk("I like tea")
    log = start_worker("--drain").communicate(timeout=60)[1]

    assert 1 == log.count("(default/alex, thread a): 1 learnt")


def test_a_worker_that_drains_ends_by_itself(start_worker, talk):
    """For a cron."""
    learning = talk("I like tea")
    worker = start_worker("--drain")

    assert 0 == worker.wait(60)
    assert ["I like tea"] == [learnt.text for learnt in learning.learnings(ALEX)]


def test_jobs_of_a_worker_that_was_killed_are_run_by_another(postgres_store, talk):
    """It shows no sign of life any more."""
    learning = talk("I like tea")
    postgres_store.run_sql(b"INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour')")
    postgres_store.run_sql(
        b"UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT min(id) FROM procrastinate_workers)"
    )
    with learning.worker():
        wait_for(lambda: learning.learnings(ALEX))

    assert [] == learning.jobs.show()


def test_the_health_endpoint_tells_whether_a_worker_works():
    """200 or 503, with what it did."""
    state = WorkerState(working=True, done=3)
    with serve_health(state, "127.0.0.1", 0) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
            assert (200, 3) == (answer.status, json.load(answer)["done"])
        state.working, state.problem = False, "the database is down"
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health")
        assert (503, "the database is down") == (error.value.code, json.load(error.value)["problem"])
        error.value.close()


def test_jobs_are_shown_retried_and_dropped_on_the_command_line(talk, postgres_store, database_url):
    """With the number that the table shows."""

    def jobs(*words):
        options = ["jobs", "--url", database_url, *words]
        return CliRunner().invoke(app, options, env={"COLUMNS": "200"}, catch_exceptions=False)

    learning = talk("I like tea")
    talk("I like cake", "b")
    first, second = json.loads(jobs("--json").stdout)
    assert ("waiting", "alex", "a") == (first["status"], first["user"], first["thread"])
    assert "default/alex" in jobs().stdout
    assert [second["id"]] == [job["id"] for job in json.loads(jobs("--drop", first["id"], "--json").stdout)]
    (again,) = json.loads(jobs("--retry", second["id"], "--json").stdout)
    learning.worker().drain()

    assert "waiting" == again["status"]
    assert ["I like cake"] == [learnt.text for learnt in learning.learnings(ALEX)]


def test_curation_runs_as_a_periodic_task(talk, postgres_store):
    """For all tenants."""
    from langgraph_learning.background.chores import list_tenants, plan_chores
    from langgraph_learning.core.flow import drive

    learning = talk("I like tea")
    learning.worker().drain()
    learning.learn([("user", "Any news")], ALEX.model_copy(update={"tenant_id": "other.org"}))
    chores = plan_chores(learning.stores, postgres_store, "* * * * *", "* * * * *")

    assert ["default", "other.org"] == drive(list_tenants(), postgres_store)
    assert ["langgraph_learning.curate", "langgraph_learning.expire"] == [chore.name for chore in chores]
    assert drive(chores[0].make(), postgres_store) is None
