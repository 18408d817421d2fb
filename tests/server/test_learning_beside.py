"""Learning beside the answer, in a queue and in other runs: no message waits for it, none is lost or learnt twice."""

import time
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from openai_server import OpenAIServer
from people import machine
from server_threads import ALEX, find_learnt, find_said, read_thread, run_of
from slow_reader import SlowReader

from langgraph_learning import Episodes, UserMemory
from langgraph_learning.postgres import HybridPostgresStore

AGENT = "learning_agent"
WAYS = ["queue", "server"]


@pytest.fixture(scope="module")
def reader() -> SlowReader:
    """Give the model of the server and of the worker."""
    return SlowReader()


@pytest.fixture(scope="module", params=WAYS)
def server(request, make_server, reader: SlowReader):
    """Give a running server without authentication, beside which a worker runs if it learns in a queue."""
    with ExitStack() as stack:
        openai = stack.enter_context(OpenAIServer(reader))
        settings = {"LEARN": request.param, "LEARN_QUIET": "0"}
        made = make_server(authenticated=False, OPENAI_BASE_URL=openai.url, OPENAI_API_KEY="none", **settings)
        made.start()
        stack.callback(made.stop)
        if request.param == "queue":
            store = stack.enter_context(HybridPostgresStore.from_conn_string(made.database_url))
            learning = machine(reader, [UserMemory(), Episodes()], store=store, learn="queue")
            stack.enter_context(learning.worker())
        yield made


def expect_learnt(server, word: str, said: list[str]) -> None:
    """Wait until something is learnt, and expect each message once, with nothing after it either."""
    expected = sorted(said)
    deadline = time.monotonic() + 60
    while not set(expected) <= set(find_learnt(server, word)):
        assert time.monotonic() < deadline, find_learnt(server, word)
        time.sleep(0.1)
    time.sleep(3)  # in which whatever waits could learn something twice

    assert expected == find_learnt(server, word) == find_said(server, word)


@pytest.mark.parametrize("strategy", ["reject", "enqueue", "interrupt", "rollback"])
def test_a_second_message_is_answered_while_the_first_is_learnt_from(server, reader: SlowReader, strategy: Any):
    """With every strategy: the run of the first message has ended, whatever reads it."""
    client = server.anybody()
    thread = client.threads.create()["thread_id"]
    first, second = f"{strategy} one", f"{strategy} two"
    reader.pause_at(first)
    client.runs.wait(thread, AGENT, **run_of(first))
    assert reader.reading.wait(60)
    time.sleep(0.1)
    client.runs.wait(thread, AGENT, **run_of(second, multitask_strategy=strategy))
    assert [] == find_learnt(server, strategy)
    statuses = [run["status"] for run in client.runs.list(thread)]
    reader.resume()

    assert [first, second] == read_thread(client, thread)
    assert ["success", "success"] == statuses
    expect_learnt(server, strategy, [first, second])


@pytest.mark.parametrize("strategy", ["reject", "enqueue", "interrupt", "rollback"])
def test_a_second_message_in_the_middle_of_an_answer(request, server, reader: SlowReader, strategy: Any):
    """What is in the thread afterwards is learnt, each message once; a queue learns what was rolled back, too."""
    client = server.anybody()
    thread = client.threads.create()["thread_id"]
    first, second, third = (f"answer {strategy} {n}" for n in ("one", "two", "three"))
    reader.pause_at(first, answer=True)
    run = client.runs.create(thread, AGENT, **run_of(first))["run_id"]
    assert reader.reading.wait(60)
    asked = run_of(second, multitask_strategy=strategy)
    runs = [run]
    if strategy == "reject":
        with pytest.raises(httpx.HTTPStatusError, match="already running a task"):
            client.runs.create(thread, AGENT, **asked)
    else:
        other = client.runs.create(thread, AGENT, **asked)["run_id"]
        runs = [other] if strategy == "rollback" else [run, other]
    if strategy in ("interrupt", "rollback"):
        client.runs.join(thread, other)  # answered at once, although the first is not
    reader.resume()
    for each in runs:
        client.runs.join(thread, each)
    client.runs.wait(thread, AGENT, **run_of(third))
    said = read_thread(client, thread)

    expected = {"reject": [first, third], "rollback": [second, third]}.get(strategy, [first, second, third])
    assert expected == said
    # The job is there before the answer, so that nothing is lost by a process that dies: nothing tells it from this.
    in_queue = "server" not in request.node.callspec.id and strategy == "rollback"
    expect_learnt(server, f"answer {strategy}", [first, *said] if in_queue else said)


def test_a_paused_run_is_learnt_from_once(server):
    """What is said before the pause, when the run goes on."""
    client = server.anybody()
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, AGENT, **run_of("pause one", interrupt_before=["agent"]))
    client.runs.wait(thread, AGENT, input=None, context=ALEX)
    client.runs.wait(thread, AGENT, **run_of("pause two"))

    expect_learnt(server, "pause", ["pause one", "pause two"])


def test_branches_of_a_thread_are_learnt_from_once(server):
    """Each message of each branch."""
    client = server.anybody()
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, AGENT, **run_of("branch one"))
    checkpoint = client.threads.get_state(thread)["checkpoint"]["checkpoint_id"]
    client.runs.wait(thread, AGENT, **run_of("branch two"))
    client.runs.wait(thread, AGENT, **run_of("branch three", checkpoint={"checkpoint_id": checkpoint}))

    assert ["branch one", "branch three"] == read_thread(client, thread)
    expect_learnt(server, "branch", ["branch one", "branch two", "branch three"])


def test_a_copied_thread_is_learnt_from_once(server):
    """The copy teaches what is said in it, not again what was said before."""
    client = server.anybody()
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, AGENT, **run_of("copy one"))
    expect_learnt(server, "copy", ["copy one"])
    copied = client.threads.copy(thread)["thread_id"]
    client.runs.wait(copied, AGENT, **run_of("copy two"))
    client.runs.wait(thread, AGENT, **run_of("copy three"))

    expect_learnt(server, "copy", ["copy one", "copy two", "copy three"])


@pytest.mark.long
def test_a_server_that_ends_in_the_middle_of_an_extraction_learns_after_its_next_start(make_server):
    """Another run waits in case that the process ends."""
    reader = SlowReader()
    with OpenAIServer(reader) as openai:
        settings = {"LEARN": "server", "LEARN_QUIET": "0", "OPENAI_BASE_URL": openai.url, "OPENAI_API_KEY": "none"}
        server = make_server(authenticated=False, **settings)
        served = server.folder / "graphs" / "learning_agent.py"
        served.write_text(served.read_text().replace("Schedule(", "Schedule(unanswered=3, "))
        server.start()
        client = server.anybody()
        reader.pause_at("restart one")
        client.runs.wait(client.threads.create()["thread_id"], AGENT, **run_of("restart one"))
        assert reader.reading.wait(60)
        server.stop()
        reader.resume()
        assert [] == find_learnt(server, "restart")
        server.start()

        expect_learnt(server, "restart", ["restart one"])
        server.stop()
