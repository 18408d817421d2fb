"""Forgetting takes the words along: in messages, in answers, in requests, and in whatever spelling they come back."""

import json
import unicodedata
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import MessagesState
from langgraph.store.memory import InMemoryStore
from people import ALEX, edit, edits, learner, machine, observation, prompt, said, thread

from langgraph_learning import Episodes, UserMemory

FORGET_K1 = edits(edit("forget", replaces="k1"))


class Talk:
    """A user's conversations with an agent whose answers are scripted, as are the extractions."""

    def __init__(self, extractions: list[Any], answers: list[str]) -> None:
        self.store = InMemoryStore()
        self.machine = machine(extractions, [UserMemory(), Episodes()], store=self.store)
        self.answers = iter(answers)
        self.shown: list[str] = []

    def say(self, *texts: str) -> None:
        """Say each text in a thread of its own."""

        def agent(state: MessagesState) -> dict[str, Any]:
            self.shown.append(prompt(state["messages"]))
            return {"messages": [AIMessage(next(self.answers))]}

        graph = self.machine.wrap(agent, store=self.store)
        for text in texts:
            graph.invoke(said(text), thread(f"t{len(self.shown)}"), context=ALEX)

    @property
    def messages(self) -> str:
        """All messages that are stored, as text."""
        items = self.store.search(("learnings",), limit=1_000)
        return json.dumps(
            [item.value["text"] for item in items if item.namespace[-1] == "episodes"], ensure_ascii=False
        )


def test_the_agents_echo_and_the_request_are_forgotten():
    """No stored message says it, not even that it was to be forgotten."""
    talk = Talk(
        [edits(observation("Has epilepsy")), FORGET_K1, edits()],
        ["Thanks for telling me about your epilepsy.", "Done, your epilepsy is forgotten.", "ok"],
    )
    talk.say("I have epilepsy.", "Forget that I have epilepsy.", "What should I mind with slides?")

    assert "epilepsy" not in talk.messages
    assert "epilepsy" not in talk.shown[-1]
    assert "slides" in talk.messages


def test_a_part_may_stay_and_the_rest_goes():
    """A forget that the model answers with a replacement is both."""
    talk = Talk(
        [edits(observation("Is pregnant, so works no night shifts")), edits(observation("Works no night shifts", 1, "k1")), edits()],
        ["ok", "ok", "ok"],
    )  # fmt: skip
    talk.say("I'm pregnant, so no night shifts.", "Please forget that I'm pregnant.", "What about my shifts?")

    assert ["Works no night shifts"] == [
        found.text for found in talk.machine.learnings(ALEX) if found.kind == "observation"
    ]
    assert "pregnant" not in talk.messages
    assert "pregnant" not in talk.shown[-1]


def test_forgetting_by_key_takes_answers_along():
    """As forgetting in a conversation does."""
    talk = Talk([edits(observation("Has epilepsy")), edits()], ["No flashing slides with epilepsy, then.", "ok"])
    talk.say("I have epilepsy.", "My epilepsy medicine is new.")
    (known,) = [found for found in talk.machine.learnings(ALEX) if found.kind == "observation"]
    talk.machine.forget(ALEX, known.key)

    assert "epilepsy" not in talk.messages
    assert "flashing" not in talk.messages


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("Is diagnosed with diabetes.", "Is diagnosed with diabetes"),
        ("Has HIV.", "has HIV"),
        ("爱喝茶", "爱喝茶。"),
        ("Doesn't drink wine.", "Doesn’t drink wine"),
        ("Wohnt in Zürich", unicodedata.normalize("NFD", "Wohnt in Zürich")),
        ("Uses AWS daily.", "Uses ＡＷＳ daily."),
    ],
)
def test_what_is_forgotten_stays_forgotten(text: str, again: str):
    """In any spelling, until the user says it anew."""
    talk = Talk([edits(observation(text)), FORGET_K1, edits(observation(again)), edits(observation(again))], ["ok"] * 4)
    talk.say(text, "Please forget that", "What is the weather in Paris?")
    assert [] == [found for found in talk.machine.learnings(ALEX) if found.kind == "observation"]

    talk.say(again)
    assert 1 == len([found for found in talk.machine.learnings(ALEX) if found.kind == "observation"])


@pytest.mark.parametrize(
    "request_",
    [
        "Off the record: I am looking for another job",
        "Merk dir das nicht: ich suche eine Stelle",
        "オフレコですが、転職を考えています",
    ],
)
def test_what_is_off_the_record_is_kept_nowhere(request_: str):
    """No model is asked about it, no message is stored, and no later extraction is shown it."""
    talk = Talk([edits()], ["I see.", "ok"])
    talk.say(request_)
    assert [] == learner(talk.machine).shown
    assert "[]" == talk.messages

    talk.say("Which train leaves at nine?")
    assert request_ not in prompt(learner(talk.machine).shown[0])
