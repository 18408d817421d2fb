"""What the tests of the loop share: who speaks, who listens, and what an extraction answers."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langgraph_learning import (
    BehavioralFeedback,
    DecisionLog,
    EntityMemory,
    LearnedKnowledge,
    LearningContext,
    LearningMachine,
    LearningStore,
    Record,
    SessionContext,
    UserMemory,
    UserProfile,
)
from langgraph_learning.core.transcript import Line
from langgraph_learning.extract.prompt import PROMPT
from langgraph_learning.stores.base import Note, Turn
from langgraph_learning.testing import HashEmbeddings, ScriptedModel

INDEX: Any = {"dims": 256, "embed": HashEmbeddings(256), "fields": ["text"]}
POOL = {"min_size": 1, "max_size": 8}

ALEX = LearningContext(user_id="alex", team_ids=("acme",))
SAM = LearningContext(user_id="sam", team_ids=("acme",))
EVE = LearningContext(user_id="eve", team_ids=("rival",))

NOTHING: dict[str, Any] = {"edits": []}


def edits(*edits: dict[str, Any]) -> dict[str, Any]:
    """An extraction's answer."""
    return {"edits": list(edits)}


def edit(kind: str, message: int = 1, replaces: str | None = None, **fields: Any) -> dict[str, Any]:
    """One edit of an extraction's answer."""
    return {"edit": kind, **fields, "replaces": replaces, "message": message}


def observation(text: str, message: int = 1, replaces: str | None = None) -> dict[str, Any]:
    """An edit that learns something about the user."""
    return edit("observation", message, replaces, observation=text)


def conversation(shown: Sequence[BaseMessage]) -> list[tuple[int, str, str]]:
    """What an extraction was shown of the conversation: number, speaker and text of each message."""
    block = shown[1].text.split("<conversation>\n")[1].split("\n</conversation>")[0]
    found = re.findall(r"^\[(\d+)\] (user .*?|tool|agent): (.*?)(?=\n\[\d+\] |\Z)", block, re.DOTALL | re.MULTILINE)
    return [(int(number), speaker, text) for number, speaker, text in found]


def notes_what_users_say(shown: Sequence[BaseMessage]) -> dict[str, Any]:
    """An extraction that learns everything a user says, word for word."""
    said = [(number, text) for number, speaker, text in conversation(shown) if speaker.startswith("user")]
    return edits(*(observation(text, number) for number, text in said))


def five_stores(**scope: Any) -> list[LearningStore]:
    """The stores of the first phase."""
    return [
        UserProfile(),
        UserMemory(**scope),
        SessionContext(planning=True),
        EntityMemory(**scope),
        LearnedKnowledge(**scope),
    ]


class Shout(Record):
    """What somebody said in capital letters."""

    words: str


class Shouts(LearningStore):
    """Notes them, without any model."""

    name = "shouts"
    observed_records = (Shout,)

    def observe(self, turn: Turn, new: Sequence[Line]) -> Any:
        """Note each such word."""
        said = [(line, line.message.text) for line in new if line.channel == "user"]
        return [
            Note(Shout(words=word), line)
            for line, text in said
            for word in text.split()
            if word.isupper() and len(word) > 1
        ]


def all_stores(**scope: Any) -> list[LearningStore]:
    """Every kind of learning that a model is asked for."""
    return [*five_stores(**scope), DecisionLog(**scope), BehavioralFeedback(**scope)]


def machine(answers: Any, stores: Sequence[LearningStore] | None = None, **options: Any) -> LearningMachine:
    """A machine whose extraction answers from a script and whose failures fail the test."""
    return LearningMachine(ScriptedModel(answers), stores or [UserMemory()], **{"on_error": "raise", **options})


def learner(machine: LearningMachine) -> ScriptedModel:
    """The model that extracts."""
    model = machine._loop._extraction.questioner.model
    assert isinstance(model, ScriptedModel)
    return model


def echo() -> ScriptedModel:
    """A model for an agent: it repeats the last thing it was shown."""
    return ScriptedModel(lambda messages: f"You said: {messages[-1].text.splitlines()[0]}")


class Extractions:
    """The answers of an extraction that learns nothing and notes what it is shown."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []

    def __call__(self, shown: Sequence[BaseMessage]) -> dict[str, Any]:
        self.seen.append([text for _, _, text in conversation(shown)])
        return NOTHING


def said(text: str) -> dict[str, Any]:
    """An agent's input."""
    return {"messages": [("user", text)]}


def thread(name: str) -> dict[str, Any]:
    """A run's config."""
    return {"configurable": {"thread_id": name}}


def prompt(messages: Sequence[BaseMessage]) -> str:
    """All that a model was shown, as one text."""
    return "\n".join(message.text for message in messages)


def is_extraction(messages: Sequence[BaseMessage]) -> bool:
    """Whether a model is asked to extract, not to answer."""
    return messages[0].text.startswith(PROMPT.template[:30])


def repeat(messages: Sequence[BaseMessage]) -> str:
    """Answer with all that was shown, without the tags by which it would be found in the answer and removed."""
    return re.sub(r"</?learned_\d+>\n?", "", prompt(messages))


Agent = Callable[..., Any]
