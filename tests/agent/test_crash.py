"""A process that dies in the middle: neither the answer nor what it taught is lost."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

PROGRAM = """
import sys, time
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph_learning.postgres import HybridPostgresStore
from people import ALEX, machine, notes_what_users_say, thread
from langgraph_learning.testing import ScriptedModel

def slowly(answer):
    def answered(shown):
        time.sleep(0.15)
        return answer(shown)
    return answered

with HybridPostgresStore.from_conn_string(sys.argv[1]) as store, PostgresSaver.from_conn_string(sys.argv[1]) as saver:
    learning = machine(slowly(notes_what_users_say), store=store)
    talk = ScriptedModel(slowly(lambda shown: "Understood: " + shown[-1].text.splitlines()[0]))
    agent = learning.wrap(talk, checkpointer=saver)
    print("ready", flush=True)
    if sys.argv[2] == "ask":
        for part in agent.stream({"messages": [("user", "Deploys are frozen")]}, thread("a"), context=ALEX, stream_mode="values"):
            if len(part["messages"]) == 2:
                print("answer", flush=True)
    else:
        # Not `next`: it is empty, too, where a step has ended whose checkpoint was not saved before the kill.
        if agent.get_state(thread("a")).tasks:
            agent.invoke(None, thread("a"), context=ALEX)
        messages = agent.get_state(thread("a")).values.get("messages", [])
        if not messages:
            print("nothing was asked", flush=True)
            agent.invoke({"messages": [("user", "Deploys are frozen")]}, thread("a"), context=ALEX)
        agent.invoke({"messages": [("user", "Anything else?")]}, thread("a"), context=ALEX)
        state = agent.get_state(thread("a")).values["messages"]
        print("messages:", *(message.text for message in state), sep="|")
        print("learnt:", *sorted(learnt.text for learnt in learning.learnings(ALEX)), sep="|")
"""


def start(url: str, what: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(("tests", "."))}
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, url, what], stdout=subprocess.PIPE, text=True, env=env, cwd=root
    )


@pytest.mark.parametrize("attempt", range(3))
def test_a_kill_at_a_random_moment_loses_nothing(database_url: str, attempt: int):
    """Killed between the question and the update, the next turn has the answer and learns what was not learnt."""
    seed = random.randrange(1_000_000)
    moment = random.Random(seed).uniform(0.0, 0.5)
    print(f"seed {seed}: killed {moment:.3f} s after the question")
    with start(database_url, "ask") as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(moment)
        process.send_signal(signal.SIGKILL)
        answered = "answer" in process.stdout.read()
    with start(database_url, "go on") as process:
        out = process.communicate(timeout=60)[0]

    assert "|Deploys are frozen|Understood: Deploys are frozen|Anything else?|" in out
    assert "learnt:|Anything else?|Deploys are frozen\n" in out
    assert not (answered and "nothing was asked" in out)


def test_a_database_that_ends_a_connection_costs_no_learning(database_url: str):
    """The batch is all or nothing: what the failed one held, the next turn writes."""
    from langgraph.checkpoint.memory import InMemorySaver
    from people import ALEX, echo, machine, notes_what_users_say, said, thread

    from langgraph_learning.postgres import HybridPostgresStore

    with HybridPostgresStore.from_conn_string(database_url, pool={"min_size": 1, "max_size": 2}) as store:
        ended = []

        def extract_and_cut(shown: object) -> object:
            if not ended:
                ended.append(True)
                with psycopg.connect(database_url, autocommit=True) as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
            return notes_what_users_say(shown)  # type: ignore[arg-type]

        learning = machine(extract_and_cut, store=store, on_error="report")
        agent = learning.wrap(echo(), checkpointer=InMemorySaver())
        agent.invoke(said("one"), thread("a"), context=ALEX)
        agent.invoke(said("two"), thread("a"), context=ALEX)

        assert {"one", "two"} == {learnt.text for learnt in learning.learnings(ALEX)}
