"""Runs on the server that end in the middle of an extraction: nothing is lost, and nothing is learnt twice."""

from typing import Any

import httpx
import pytest
from openai_server import OpenAIServer
from server_threads import find_learnt, find_said, read_thread, run_of
from slow_reader import SlowReader

AGENT = "learning_agent"


@pytest.fixture(scope="module")
def reader() -> SlowReader:
    """Give the model of the server."""
    return SlowReader()


@pytest.fixture(scope="module")
def server(make_server, reader: SlowReader):
    """Give a running server without authentication, whose model is `reader`."""
    with OpenAIServer(reader) as openai:
        made = make_server(authenticated=False, OPENAI_BASE_URL=openai.url, OPENAI_API_KEY="none")
        made.start()
        yield made
        made.stop()


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["reject", "enqueue", "interrupt", "rollback"])
def test_a_second_message_in_the_middle_of_an_extraction(server, reader: SlowReader, strategy: Any):
    """With every strategy, what is in the thread afterwards is learnt, each message once, and nothing else."""
    client = server.anybody()
    thread = client.threads.create()["thread_id"]
    first, second, third = (f"{strategy} {n}" for n in ("one", "two", "three"))
    reader.pause_at(first)
    run = client.runs.create(thread, AGENT, **run_of(first))["run_id"]
    assert reader.reading.wait(60)
    asked = run_of(second, multitask_strategy=strategy)
    if strategy == "reject":
        with pytest.raises(httpx.HTTPStatusError, match="already running a task"):
            client.runs.create(thread, AGENT, **asked)
        runs = [run]
    else:
        other = client.runs.create(thread, AGENT, **asked)["run_id"]
        runs = [other] if strategy == "rollback" else [run, other]
    reader.resume()
    for each in runs:
        client.runs.join(thread, each)
    client.runs.wait(thread, AGENT, **run_of(third))
    said = read_thread(client, thread)

    expected = {"reject": [first, third], "rollback": [second, third]}.get(strategy, [first, second, third])
    assert expected == said
    assert sorted(said) == find_learnt(server, strategy) == find_said(server, strategy)


@pytest.mark.long
@pytest.mark.parametrize("action", ["interrupt", "rollback"])
def test_a_run_that_is_cancelled_in_the_middle_of_an_extraction(server, reader: SlowReader, action: Any):
    """The next turn learns what the cancelled one could not, unless it was taken back as a whole."""
    client = server.anybody()
    thread = client.threads.create()["thread_id"]
    first, second = f"cancel {action} one", f"cancel {action} two"
    reader.pause_at(first)
    run = client.runs.create(thread, AGENT, **run_of(first))["run_id"]
    assert reader.reading.wait(60)
    client.runs.cancel(thread, run, wait=True, action=action)
    reader.resume()
    client.runs.wait(thread, AGENT, **run_of(second))
    said = read_thread(client, thread)

    assert ([first, second] if action == "interrupt" else [second]) == said
    assert sorted(said) == find_learnt(server, f"cancel {action}") == find_said(server, f"cancel {action}")


@pytest.mark.long
def test_a_server_that_is_killed_in_the_middle_of_an_extraction(server, reader: SlowReader):
    """After the restart everything that the thread still has is learnt, each message once."""
    client = server.anybody()
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, AGENT, **run_of("kill one"))
    server.stop()  # `langgraph dev` saves its threads when it stops, and every few seconds
    server.start()
    client = server.anybody()
    reader.pause_at("kill two")
    client.runs.create(thread, AGENT, **run_of("kill two"))
    assert reader.reading.wait(60)
    server.kill()
    reader.resume()
    server.start()
    client = server.anybody()
    client.runs.wait(thread, AGENT, **run_of("kill three", multitask_strategy="enqueue"))
    said = read_thread(client, thread)

    assert {"kill one", "kill three"} <= set(said)
    assert sorted(said) == find_learnt(server, "kill") == find_said(server, "kill")
