"""Learning in other runs of the server: the chat goes on, and nothing is lost or learnt twice."""

import time

import pytest
from people import machine, notes_what_users_say
from test_server import ASKED, TAUGHT, say

from langgraph_learning.postgres import HybridPostgresStore


@pytest.fixture(scope="module")
def server(make_server, loops):
    """Give a running server that learns in runs of its own."""
    made = make_server(LEARN="server", LEARN_QUIET="1", **loops)
    made.start()
    return made


def wait_until(check):
    deadline = time.monotonic() + 60
    while not (found := check()):
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.2)
    return found


def items_of(client, user):
    found = client.store.search_items(("learnings", "default", "user", user), limit=100)["items"]
    return sorted(item["value"]["text"] for item in found if item["namespace"][-1] == "user_memory")


def test_what_is_said_is_learnt_by_another_run(server):
    """The chat's own run ends with the answer."""
    alex = server.person("alex")
    say(alex, TAUGHT)
    wait_until(lambda: items_of(alex, "alex"))

    assert "three phases" in say(server.person("sam"), ASKED)[0]


def test_messages_that_follow_each_other_are_learnt_once(server):
    """Each run takes the place of the one that waits."""
    kim = server.person("kim")
    thread = None
    for number in range(5):
        _, thread = say(kim, f"I like tea number {number}.", thread)
    wait_until(lambda: len(items_of(kim, "kim")) >= 5)
    time.sleep(2)

    assert [f"I like tea number {number}" for number in range(5)] == items_of(kim, "kim")


def test_a_client_learns_nothing_from_the_thread_of_another(server):
    """The graph that learns runs as the client, who may not read it."""
    alex, sam = server.person("alex"), server.person("sam")
    _, thread = say(alex, "I keep a secret.")
    entry = {"at": "2026-11-28T00:00:00Z", "messages": [], "speakers": {}}
    job = {"context": {"user_id": "alex"}, "thread": thread, "entries": {"e": entry}, "since": "2026-11-28T00:00:00Z"}
    sam.runs.wait(sam.threads.create()["thread_id"], "learner", input={"job": job})
    wait_until(lambda: "I keep a secret" in items_of(alex, "alex"))
    say(sam, "I keep nothing.")
    wait_until(lambda: items_of(sam, "sam"))

    assert ["I keep nothing"] == items_of(sam, "sam")


def test_a_second_message_is_answered_while_the_first_is_learnt(server):
    """The chat's thread is never held up."""
    kim = server.person("kim")
    _, thread = say(kim, "I like cake.")
    _, thread = say(kim, "I like cocoa.", thread)
    statuses = {run["status"] for run in kim.runs.list(thread)}
    wait_until(lambda: {"I like cake", "I like cocoa"} <= set(items_of(kim, "kim")))

    assert {"success"} == statuses


@pytest.mark.long
def test_a_worker_learns_from_the_queue_of_a_server(make_server, loops):
    """The jobs are in the database of the server's store."""
    server = make_server(LEARN="queue", LEARN_QUIET="0", **loops)
    server.start()
    alex = server.person("alex")
    say(alex, "I like tea.")
    with HybridPostgresStore.from_conn_string(server.database_url) as store:
        learning = machine(notes_what_users_say, store=store, learn="queue")
        assert 1 == learning.jobs.pending()
        learning.worker().drain()

    assert ["I like tea."] == items_of(alex, "alex")
