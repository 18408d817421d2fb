"""Two sessions that learn about the same subject at once: one value counts, and forgetting is about the subject."""

import threading
from typing import Any

import pytest
from langchain.agents import create_agent
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from people import ALEX, NOTHING, conversation, echo, edits, machine, said, thread

from langgraph_learning import UserProfile


class Sessions:
    """Sessions of one user whose extractions all ask before any of them writes."""

    def __init__(self, store: BaseStore, sessions: int) -> None:
        self.everybody_asked = threading.Barrier(sessions)
        self.learning = machine(self.extract, [UserProfile()], store=store)
        self.agent = create_agent(echo(), [], middleware=[self.learning.middleware()], store=store)

    def extract(self, messages: Any) -> Any:
        """Learn "My role is …"; forget when asked to."""
        (words,) = [text for _, speaker, text in conversation(messages) if speaker.startswith("user")]
        if words == "Forget my role":
            return edits({"edit": "forget", "replaces": "k1", "message": 1})
        if not words.startswith("My "):
            return NOTHING
        self.everybody_asked.wait(30)
        _, field, _, value = words.split()
        return edits({"edit": "profile_field", "field": field, "value": value, "replaces": None, "message": 1})

    def say(self, *texts: str) -> None:
        """Let a session say each of the texts, all of them at once."""
        run = [
            threading.Thread(target=self.agent.invoke, args=(said(text), thread(text)), kwargs={"context": ALEX})
            for text in texts
        ]
        for session in run:
            session.start()
        for session in run:
            session.join()

    def known(self) -> list[str]:
        """Return what counts."""
        return sorted(found.text for found in self.learning.learnings(ALEX))


@pytest.fixture(params=["memory", "postgres"])
def any_store(request: pytest.FixtureRequest) -> BaseStore:
    """Give a store without conditions, and one with them."""
    return InMemoryStore() if request.param == "memory" else request.getfixturevalue("postgres_store")


@pytest.mark.parametrize("number", [2, 3, 6])
def test_of_several_values_of_a_field_one_counts(any_store, number):
    """Whoever writes last sees the others."""
    sessions = Sessions(any_store, number)
    sessions.say(*(f"My role is R{number}" for number in range(number)))

    assert 1 == len(sessions.known())


def test_values_of_different_fields_all_count(any_store):
    """They are about different subjects."""
    sessions = Sessions(any_store, 2)
    sessions.say("My role is CTO", "My company is Acme")

    assert ["company: Acme", "role: CTO"] == sessions.known()


def test_a_field_that_two_sessions_filled_in_is_forgotten_at_once(any_store):
    """No other value comes up."""
    sessions = Sessions(any_store, 2)
    sessions.say("My role is CTO", "My role is CEO")
    sessions.say("Forget my role")

    assert [] == sessions.known()


def test_two_values_that_stand_beside_each_other_are_forgotten_together(any_store):
    """As an earlier release may have left them."""
    sessions = Sessions(any_store, 1)
    sessions.say("My role is CTO")
    (role,) = sessions.learning.learnings(ALEX)
    text = {"text": "role: CEO", "data": {"field": "role", "value": "CEO"}}
    any_store.batch([role.model_copy(update={"key": "another", **text}).put()])
    before = sessions.known()
    sessions.say("Forget my role")

    assert ["role: CEO", "role: CTO"] == before
    assert [] == sessions.known()
