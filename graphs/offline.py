"""The model where there is none: it says only what it is shown, learns only whole sentences, and knows nothing else."""

import re
from collections.abc import Iterator, Sequence
from html import unescape
from typing import Any

from langchain_core.messages import BaseMessage

from langgraph_learning.testing import Answer, ModelCall, ScriptedModel

NOTICE = "(No model is set up, so I only repeat what I am shown.)"
LEARNT = re.compile(r"^ *- (?!\S+ \(\d{4}-\d\d-\d\d\): )(.*?)(?: \(\d{4}-\d\d-\d\d[^()]*\))?$", re.MULTILINE)
"""One line of what was learnt, without its date; what was said word for word is not repeated."""
BLOCKS = re.compile(r"\n\n(?=<(?:approved_instructions|learned\w*)>)")
"""What was learnt begins here, where it goes with the question."""
SECTION = re.compile(r'^<section name="[^"]*">\n(.*)\n</section>$', re.MULTILINE)
"""One section of the agent's instructions."""
CORRECTION = re.compile(r"^(?:No|Wrong), (.*)")
"""A sentence by which a user says what the agent should have done."""
CORRECTED = re.compile(r"^(k\d+): feedback · Do instead: (.*?)(?: \(said (\d+) times\))?$", re.MULTILINE)
"""A correction that is known, with its key and how often it was said."""
HEARD = re.compile(r"^\[(\d+)\] user [^:]*: (.*)$", re.MULTILINE)
"""One message of a user, as an extraction is shown it."""


class OfflineModel(ScriptedModel):
    """Answers from what was learnt and, asked for edits, takes down what users said as they said it."""

    def __init__(self) -> None:
        super().__init__([])

    def answer(self, call: ModelCall, number: int) -> Answer:
        """Extract when a schema asks for it, else answer."""
        return {"edits": list(edits(call.messages))} if call.schema else reply(call.messages)


def reply(messages: Sequence[BaseMessage]) -> str:
    """Return what was shown that shares a telling word with the last question."""
    question, *near = BLOCKS.split(messages[-1].text, maxsplit=1)
    instructions = "\n".join(message.text for message in messages if message.type == "system")
    seen = "\n".join([instructions, *near])
    shown = [unescape(line) for line in (*SECTION.findall(seen), *LEARNT.findall(seen))]
    telling = [line for line in dict.fromkeys(shown) if words(question) & words(line)]
    return f"{NOTICE} {' · '.join(telling) or 'I was shown nothing about that.'}"


def edits(messages: Sequence[BaseMessage]) -> Iterator[dict[str, Any]]:
    """Take down every statement: what starts with "I" or "my" about the user, anything else for the team."""
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
    """Return the words that tell what a text is about."""
    return {word.casefold().rstrip("s") for word in re.findall(r"\w{4,}", text)} - COMMON


def _changes(wanted: str, known: str) -> Iterator[dict[str, Any]]:
    """Propose as an instruction what two known corrections say in like words."""
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
