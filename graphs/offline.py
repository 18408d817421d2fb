"""Offline model of the server: it repeats learnings from its context, and extracts whole sentences by patterns."""

import re
from collections.abc import Iterator, Sequence
from html import unescape
from typing import Any

from langchain_core.messages import BaseMessage

from langgraph_learning.testing import Answer, ModelCall, ScriptedModel

NOTICE = "(No model is set up, so I only repeat what I am shown.)"
LEARNT = re.compile(r"^ *- (?!\S+ \(\d{4}-\d\d-\d\d\): )(.*?)(?: \(\d{4}-\d\d-\d\d[^()]*\))?$", re.MULTILINE)
"""One learning in the context, without its date; verbatim messages are not repeated."""
BLOCKS = re.compile(r"\n\n(?=<(?:approved_instructions|learned\w*)>)")
"""The beginning of the learnings that follow the question in its message."""
SECTION = re.compile(r'^<section name="[^"]*">\n(.*)\n</section>$', re.MULTILINE)
"""One section of the agent's instructions."""
CORRECTION = re.compile(r"^(?:No|Wrong), (.*)")
"""A sentence of a user that says what the agent should have done."""
CORRECTED = re.compile(r"^(k\d+): feedback · Do instead: (.*?)(?: \(said (\d+) times\))?$", re.MULTILINE)
"""A known correction, with its key and the number of messages that say it."""
HEARD = re.compile(r"^\[(\d+)\] user [^:]*: (.*)$", re.MULTILINE)
"""One message of a user in the extraction prompt."""


class OfflineModel(ScriptedModel):
    """Answers from the learnings in its context, and extracts the sentences of users word for word."""

    def __init__(self) -> None:
        super().__init__([])

    def answer(self, call: ModelCall, number: int) -> Answer:
        """Extract edits if a schema is given, else answer."""
        return {"edits": list(edits(call.messages))} if call.schema else reply(call.messages)


def reply(messages: Sequence[BaseMessage]) -> str:
    """Return the learnings and instructions in the context that share a content word with the last question."""
    question, *near = BLOCKS.split(messages[-1].text, maxsplit=1)
    instructions = "\n".join(message.text for message in messages if message.type == "system")
    seen = "\n".join([instructions, *near])
    shown = [unescape(line) for line in (*SECTION.findall(seen), *LEARNT.findall(seen))]
    telling = [line for line in dict.fromkeys(shown) if words(question) & words(line)]
    return f"{NOTICE} {' · '.join(telling) or 'I was shown nothing about that.'}"


def edits(messages: Sequence[BaseMessage]) -> Iterator[dict[str, Any]]:
    """Yield an edit per statement: about the user if it starts with "I" or "my", else for the team."""
    asked = messages[-1].text
    known = unescape(asked.partition("<conversation>")[0])
    said: list[tuple[int, str]] = []
    for number, message in HEARD.findall(asked):
        sentences = re.split(r"(?<=[.!?])\s+", unescape(message))
        said += [(int(number), sentence) for sentence in sentences if not sentence.endswith("?")]
    for number, sentence in said:
        if sentence not in known or CORRECTION.match(sentence):
            yield {**_edit(sentence.rstrip(".!")), "replaces": None, "message": number}
        if corrected := CORRECTION.match(sentence.rstrip(".!")):
            yield from ({**edit, "replaces": None, "message": number} for edit in _changes(corrected[1], known))
    if said:
        summary = " ".join(sentence for _, sentence in said)
        empty: dict[str, Any] = {"goal": None, "plan": [], "progress": None}
        yield {"edit": "session", "summary": summary, **empty, "replaces": None, "message": said[-1][0]}


def words(text: str) -> set[str]:
    """Return the content words of a text."""
    return {word.casefold().rstrip("s") for word in re.findall(r"\w{4,}", text)} - COMMON


def _changes(wanted: str, known: str) -> Iterator[dict[str, Any]]:
    """Propose a new instruction if two known corrections say it in similar words."""
    alike = {
        key: int(times or 1)
        for key, text, times in CORRECTED.findall(known)
        if 2 * len(words(text) & words(wanted)) >= len(words(wanted))
    }
    if sum(alike.values()) > 1:
        why = f"I should stop doing otherwise: {sum(alike.values()) + 1} corrections say so."
        yield {"edit": "instruction", "section": "answers", "text": wanted, "reasoning": why, "evidence": [*alike]}


def _edit(sentence: str) -> dict[str, Any]:
    if corrected := CORRECTION.match(sentence):
        return {"edit": "feedback", "behaviour": "", "worked": False, "instead": corrected[1], "situation": None}
    if name := re.match(r"(?:My name is|I'm|I am) ([A-Z]\w+)", sentence):
        return {"edit": "profile_field", "field": "name", "value": name[1]}
    if re.match(r"(?:I|I'm|My)\b", sentence):
        return {"edit": "observation", "observation": sentence}
    if re.search(r"\b(?:always|never|best|works|worked|lesson)\b", sentence, re.IGNORECASE):
        return {"edit": "insight", "category": "insight", "title": "Said", "insight": sentence, "when_to_apply": None}
    return {"edit": "fact", "entity": "The team", "fact": sentence, "as_of": None}


COMMON = {"what", "when", "where", "which", "that", "this", "with", "from", "have", "should", "about", "know", "team"}
