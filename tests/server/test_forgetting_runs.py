"""What is forgotten on a server that learns in runs of its own is in none of these runs any more."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langgraph_sdk.errors import NotFoundError
from openai_server import OpenAIServer
from people import conversation, edit, edits, is_extraction, observation, prompt

AGENT = "learning_agent"
ALEX = {"user_id": "alex", "team_ids": ["acme"]}
FORGET = "Forget that I have epilepsy."


def answer(messages: Sequence[BaseMessage]) -> Any:
    """Answer, extract, and forget when asked to."""
    if not is_extraction(messages):
        return "Good."
    said = [(number, text) for number, speaker, text in conversation(messages) if speaker.startswith("user")]
    known = [line.split(":")[0] for line in prompt(messages).splitlines() if "· I have epilepsy" in line]
    if any(FORGET in text for _, text in said) and known:
        return edits(*(edit("forget", replaces=key, message=said[0][0]) for key in known))
    return edits(*(observation(text, number) for number, text in said))


@pytest.fixture
def server(make_server, loops):
    """Give a running server without authentication that learns at once."""
    with OpenAIServer(answer) as openai:
        settings = {"LEARN": "server", "LEARN_QUIET": "0", "OPENAI_BASE_URL": openai.url, "OPENAI_API_KEY": "none"}
        made = make_server(authenticated=False, **settings, **loops)
        if loops:
            # A client of OpenAI uses connections in one event loop that it opened in another.
            served = made.folder / "graphs" / "learning_agent.py"
            once = 'init_chat_model(name, default_headers={"Connection": "close"})'
            served.write_text(served.read_text().replace("init_chat_model(name)", once))
        made.start()
        yield made
        made.stop()


def say(client: Any, text: str) -> None:
    """Say something in a thread of its own."""
    thread = client.threads.create()["thread_id"]
    client.runs.wait(thread, AGENT, input={"messages": [{"role": "user", "content": text}]}, context=ALEX)


def known(server) -> str:
    """All learnings of Alex, without marks."""
    items = server.items("learnings", "default", "user", "alex")
    return json.dumps([item.value.get("text") for item in items], ensure_ascii=False)


def runs_that_learn(client: Any) -> str:
    """All that the server holds of the runs that learn, and of their threads."""
    held: list[Any] = []
    for thread in client.threads.search(metadata={"graph_id": "learner"}, limit=100):
        with suppress(NotFoundError):  # it is deleted just now
            held += [thread, client.runs.list(thread["thread_id"]), client.threads.get_history(thread["thread_id"])]
    return json.dumps(held, default=str)


def wait_until(check) -> None:
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.2)


@pytest.mark.timeout(300)
def test_runs_that_learn_forget_too(server):
    """Whether they wait or are done."""
    client = server.anybody()
    say(client, "I have epilepsy.")
    wait_until(lambda: "epilepsy" in known(server))
    say(client, FORGET)
    wait_until(lambda: "epilepsy" not in known(server) and "epilepsy" not in runs_that_learn(client))
    say(client, "I like tea.")
    wait_until(lambda: "tea" in known(server))

    assert "epilepsy" not in known(server)
    assert "epilepsy" not in runs_that_learn(client)
