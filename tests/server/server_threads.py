"""Threads of a server in tests: input of a run, and what was learnt, said and kept."""

from typing import Any

ALEX = {"user_id": "alex", "team_ids": ["acme"]}


def run_of(text: str, **options: Any) -> Any:
    return {"input": {"messages": [{"role": "user", "content": text}]}, "context": ALEX, **options}


def find_learnt(server, word: str) -> list[str]:
    """Return what was learnt with a word in it, once for every time."""
    items = server.items("learnings", "default", "user", "alex", "user_memory")
    return sorted(item.value["text"] for item in items if word in item.value["text"])


def find_said(server, word: str) -> list[str]:
    """Return the messages of the user with a word in them, as the verbatim store has them."""
    items = server.items("learnings", "default", "user", "alex", "episodes")
    texts = [item.value["data"]["said"] for item in items if item.value["data"]["speaker"] == "alex"]
    return sorted(text for text in texts if word in text)


def read_thread(client: Any, thread: str) -> list[str]:
    """Return what the user said, as the thread has it."""
    messages = client.threads.get_state(thread)["values"]["messages"]
    return [message["content"] for message in messages if message["type"] == "human"]
