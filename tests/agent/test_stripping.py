"""Injected text is found by its mark, whatever became of it on the way."""

import json
from collections.abc import Callable
from html import escape
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langgraph.types import Command, Overwrite, Send

from langgraph_learning.recall.context import AgentContext
from langgraph_learning.recall.injection import inject

MARK = "4711471147114711"
SECRET = "Xylophone quartz"
CONTEXT = AgentContext(
    stable=f"<learned>\nRead it.\n- {SECRET} 1\n</learned>",
    relevant=f"<learned_for>\n- {SECRET} 2\n</learned_for>",
    mark=MARK,
)
QUESTION = HumanMessage("Why?", id="1")
BLOCKS = HumanMessage([{"type": "text", "text": "Why?"}, {"type": "image_url", "image_url": {"url": "x"}}])


def inject_into(*messages: Any) -> list[Any]:
    return inject(list(messages), CONTEXT.with_question())


class Pair(NamedTuple):
    left: Any
    right: Any


@pytest.mark.parametrize("messages", [[QUESTION], [SystemMessage("Brief."), QUESTION, AIMessage("x")], [BLOCKS], []])
def test_messages_become_what_they_were(messages: list[Any]):
    """With and without ids, with blocks, and where a system message was added."""
    injected = inject_into(*messages)

    assert SECRET in str(injected)
    assert messages == CONTEXT.strip(injected)


COPIES: list[tuple[Callable[[str], Any], Any]] = [
    (lambda text: text.upper(), "WHY?"),
    (lambda text: f"Rewritten: {text}!", "Rewritten: Why?!"),
    (lambda text: text[:60], "Why?"),
    (lambda text: text[-60:], ""),
    (lambda text: text + text, "Why?Why?"),
    (lambda text: text.split(), ["Why?"]),
    (lambda text: tuple(text.split()), ("Why?",)),
    (lambda text: [text.split(), "after"], [["Why?"], "after"]),
    (lambda text: [*text.split(), "after"], ["Why?", "after"]),
    (lambda text: text.splitlines(), ["Why?", ""]),
    (lambda text: json.dumps({"q": text}), '{"q": "Why?"}'),
    (lambda text: escape(text), "Why?"),
    (lambda text: text.encode(), b"Why?"),
    (lambda text: {text: {text}}, {"Why?": {"Why?"}}),
    (lambda text: Pair(text, 1), Pair("Why?", 1)),
    (lambda text: Overwrite([text]), Overwrite(["Why?"])),
    (lambda text: Send("n", {"a": text}), Send("n", {"a": "Why?"})),
    (
        lambda text: Command(update={"a": text}, goto=[Send("n", text)]),
        Command(update={"a": "Why?"}, goto=[Send("n", "Why?")]),
    ),
    (lambda text: AIMessage("", additional_kwargs={"q": text}), AIMessage("", additional_kwargs={"q": "Why?"})),
]


@pytest.mark.parametrize(("change", "expected"), COPIES)
def test_copies_are_found(change: Callable[[str], Any], expected: Any):
    """In any container, cut, split, escaped or in another case."""
    (question,) = inject_into(QUESTION)

    assert expected == CONTEXT.strip(change(question.text))


def test_what_does_not_hold_it_is_the_same_object():
    value = {"a": [QUESTION, Command(update={"x": 1})], "b": (1, "two", None)}

    assert CONTEXT.strip(value) is value


@given(st.text(), st.integers(0, 200), st.integers(0, 200))
def test_no_part_that_holds_a_mark_keeps_what_was_injected(text: str, start: int, length: int):
    """And all of the text becomes what the user said."""
    (question,) = inject_into(HumanMessage(text))
    part = question.text[start : start + length]

    if f"<learned_{MARK}>" in part or f"</learned_{MARK}>" in part:
        assert SECRET not in CONTEXT.strip(part)
    assert text == CONTEXT.strip(question.text)


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (f"<learned_{MARK}>\nThe phases are done.", "\nThe phases are done."),
        (f"The phases are done.</learned_{MARK}>", "The phases are done."),
        (f"I was shown <learned_{MARK}> beside your question.", "I was shown  beside your question."),
        ("<learned_123>The phases</learned_123>", "<learned_123>The phases</learned_123>"),
    ],
)
def test_an_answer_with_a_tag_in_it_is_still_an_answer(answer: str, kept: str):
    """A model that writes a tag of its own accord loses the tag, and nothing else."""
    assert AIMessage(kept) == CONTEXT.strip(AIMessage(answer))
