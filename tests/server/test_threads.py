"""Threads on the server: forks, deletion, and assistants with settings of their own."""

from typing import Any

import httpx
import pytest

AGENT = "learning_agent"


def said(text: str) -> Any:
    return {"messages": [{"role": "user", "content": text}]}


def say(client: Any, text: str, thread: str, **options: Any) -> str:
    """Say something in a thread, and return the answer."""
    state = client.runs.wait(thread, AGENT, input=said(text), **options)
    assert "learning_errors" not in state
    return str(state["messages"][-1]["content"])


def new_thread(client: Any) -> str:
    return str(client.threads.create()["thread_id"])


def of_thread(server, thread: str) -> list[Any]:
    return server.items("learnings", "default", "thread", thread)


@pytest.mark.parametrize("way", ["delete", "prune"])
def test_a_deleted_thread_takes_its_session_along(server, way: str):
    """Only the time is left of the thread itself; what was taught in it stays, and so does another thread's session."""
    alex = server.person("alex")
    thread, other = new_thread(alex), new_thread(alex)
    for each in (thread, other):
        say(alex, f"I play chess since {way}.", each)
    before = [item.namespace[-1] for item in of_thread(server, thread)]
    if way == "delete":
        alex.threads.delete(thread)
    else:
        alex.threads.prune([thread])

    assert {"session_context", "cursor", "shown"} <= set(before)
    (left,) = of_thread(server, thread)
    assert {"version", "session_only", "at"} == set(left.value)
    assert "session_context" in [item.namespace[-1] for item in of_thread(server, other)]
    private = server.items("learnings", "default", "user", "alex", "user_memory")
    assert 1 == sum(item.value["text"] == f"I play chess since {way}" for item in private)


def test_nobody_deletes_the_session_of_another_users_thread(server):
    """The server refuses it, and the session is still there; what the other tried leaves a time of their own."""
    alex, sam = server.person("alex"), server.person("sam")
    thread = new_thread(alex)
    say(alex, "I play the flute.", thread)
    before = of_thread(server, thread)
    with pytest.raises(httpx.HTTPStatusError):
        sam.threads.delete(thread)

    after = [item for item in of_thread(server, thread) if "session_only" not in item.value]
    assert before == after != []


def test_a_fork_of_a_thread_learns_its_own_turns_once(server):
    """A run from an earlier checkpoint knows the session as it was there, and reads no message twice."""
    alex = server.person("alex")
    thread = new_thread(alex)
    say(alex, "I keep bees.", thread)
    checkpoint = alex.threads.get_state(thread)["checkpoint"]
    say(alex, "I keep goats.", thread)
    say(alex, "I keep geese.", thread, checkpoint={"checkpoint_id": checkpoint["checkpoint_id"]})
    state = alex.threads.get_state(thread)["values"]["messages"]
    kept = [item.value["text"] for item in server.items("learnings", "default", "user", "alex", "user_memory")]
    spoken = [item.value["text"] for item in server.items("learnings", "default", "user", "alex", "episodes")]

    assert ["I keep bees.", "I keep geese."] == [message["content"] for message in state if message["type"] == "human"]
    for animal in ("bees", "goats", "geese"):
        assert 1 == kept.count(f"I keep {animal}")
        assert 1 == sum(f"I keep {animal}." in text and text.startswith("alex") for text in spoken)


AUTHENTICATED = {"identity": "alex", "tenant_id": "default", "team_ids": ["acme"], "reviews": True}
FORGED: dict[str, dict[str, Any]] = {
    "authenticated": {"config": {"configurable": {"langgraph_auth_user": AUTHENTICATED}}},
    "id": {"config": {"configurable": {"langgraph_auth_user_id": "alex"}}},
    "configurable": {"config": {"configurable": {"user_id": "alex", "team_ids": ["acme"]}}},
    "user": {"context": {"user_id": "alex"}},
    "team": {"context": {"team_ids": ["acme"]}},
    "tenant": {"context": {"tenant_id": "elsewhere"}},
    "owner": {"context": {"owners": {"project": "apollo"}}},
}
"""Settings that claim to be Alex, or to belong to something of Alex."""


@pytest.mark.long
@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("way", ["assistant", "run", "stateless"])
def test_no_settings_show_a_caller_anything_of_others(server, way: str, name: str):
    """A run sees and learns as the user who is authenticated, or not at all, whatever it or its assistant sets."""
    alex, kim = server.person("alex"), server.person("kim")
    secret = f"I collect {way} {name} stamps"
    say(alex, f"{secret}.", new_thread(alex))
    settings, assistant = FORGED[name], AGENT
    if way == "assistant":
        assistant = server.studio().assistants.create(AGENT, **settings)["assistant_id"]
        settings = {}
    thread = None if way == "stateless" else new_thread(kim)
    try:
        state = kim.runs.wait(thread, assistant, input=said("Which stamps do I collect, launch permit?"), **settings)
        answer = state["messages"][-1]["content"]
    except Exception as error:  # noqa: BLE001 - a refusal shows nothing, either
        answer = str(error)

    assert secret not in answer
    assert ("shown nothing about that" in answer) is (name in ("authenticated", "id"))
    learnt = server.items("learnings", "default", "user", "alex", "episodes")
    assert [] == [item for item in learnt if "launch permit?" in item.value["text"]]


@pytest.mark.parametrize("settings", [{}, *FORGED.values()], ids=["none", *FORGED])
def test_users_make_and_change_no_assistants(server, settings: dict[str, Any]):
    """Only the operator does."""
    kim = server.person("kim")
    made = server.studio().assistants.create(AGENT, name="shared")["assistant_id"]

    for attempt in (
        lambda: kim.assistants.create(AGENT, **settings),
        lambda: kim.assistants.update(made, name="mine", **settings),
        lambda: kim.assistants.set_latest(made, 1),
        lambda: kim.assistants.delete(made),
    ):
        with pytest.raises(httpx.HTTPStatusError) as refusal:
            attempt()
        assert 403 == refusal.value.response.status_code
