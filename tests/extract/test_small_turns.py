"""Turns that say nothing new ask no model."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.store.memory import InMemoryStore
from people import ALEX, NOTHING, echo, learner, machine, thread

from langgraph_learning import Episodes, UserMemory


def calls(*messages: Any) -> int:
    """How often the extraction's model is asked about a conversation."""
    learning = machine(lambda shown: NOTHING, [UserMemory()], store=InMemoryStore())
    learning.wrap(echo()).invoke({"messages": list(messages)}, thread("a"), context=ALEX)
    return len(learner(learning).shown)


@pytest.mark.parametrize(
    "text",
    [
        "Thanks!",
        "ok",
        "Perfect, thank you very much.",
        "Danke schön!",
        "Merci beaucoup",
        "ありがとうございます",
        "谢谢",
        "👍",
        "bye",
    ],
)
def test_thanks_and_farewells_ask_no_model(text: str):
    """In several languages."""
    assert 0 == calls(HumanMessage(text))


@pytest.mark.parametrize("text", ["Thanks, and I am vegan", "ok, use tabs", "no", "7", "Perfect for Karin", "Hello"])
def test_whatever_else_is_said_asks_it(text: str):
    """In doubt a model is asked."""
    assert 1 == calls(HumanMessage(text))


def test_assent_to_a_question_asks_it():
    """What is agreed to may be worth noting."""
    offer = [HumanMessage("Plan the trip", id="1"), AIMessage("Shall I book the train?", id="2")]
    learning = machine(lambda shown: NOTHING, [UserMemory()], store=InMemoryStore())
    for messages in (offer[:1], [*offer, HumanMessage("ok", id="3")]):
        learning.wrap(lambda state: {"messages": [AIMessage("Noted.")]}).invoke(
            {"messages": messages}, thread("a"), context=ALEX
        )

    assert 2 == len(learner(learning).shown)


def test_assent_to_a_question_among_what_waited_asks_it():
    """Turns that are learnt from together may answer one another."""
    offer = AIMessage("You are welcome. Shall I book the train?")

    assert 1 == calls(HumanMessage("Thanks!"), offer, HumanMessage("ok"))
    assert 0 == calls(HumanMessage("Thanks!"), AIMessage("You are welcome."), HumanMessage("ok"))


def test_the_message_is_kept_and_read():
    """It counts as read, and a store that keeps messages keeps it."""
    learning = machine([], [UserMemory(), Episodes()], store=InMemoryStore())
    learning.wrap(echo()).invoke({"messages": [HumanMessage("Thanks!")]}, thread("a"), context=ALEX)

    assert 2 == len(learning.learnings(ALEX))
