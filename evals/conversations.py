"""What the evaluation is made of: the conversations and questions in `data/*.toml`, as frozen records."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from pydantic import BaseModel, ConfigDict, Field, model_validator

DATA = Path(__file__).with_name("data")


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Known(_Row):
    """A learning that exists before the conversation; further keys are the fields of its kind."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str
    label: str = ""
    """By this name `replaces` and `forgets` speak of it."""
    forgotten: bool = False
    """It was known once, and the user asked to forget it."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields of its kind."""
        return self.model_extra or {}


class Wanted(_Row):
    """An edit, by what can be seen of it. `|` separates alternatives."""

    kind: str = ""
    words: tuple[str, ...] = ()
    """What its text must contain, all of them."""
    field: str = ""
    """Which field of a profile."""
    replaces: str = ""
    """Label of the known learning whose place it takes."""
    forgets: str = ""
    """Label of the known learning that is to be gone; then nothing else is asked."""


class Conversation(_Row):
    """One conversation and what should be learnt from it; without `expect`, nothing."""

    name: str
    said: tuple[str, ...]
    """Messages, oldest first: "user: …", "agent: …" or "tool NAME: …"."""
    known: tuple[Known, ...] = ()
    expect: tuple[Wanted, ...] = ()
    """Edits that must come."""
    fine: tuple[Wanted, ...] = ()
    """Edits that may come: they count neither way."""
    forbidden: tuple[str, ...] = ()
    """Words that nothing learnt may contain."""
    held_out: bool = False
    """Kept aside while the words for the model are worked on."""

    @model_validator(mode="after")
    def _labels_exist(self) -> "Conversation":
        labels = {known.label for known in self.known}
        for wanted in self.expect:
            if missing := {wanted.replaces, wanted.forgets} - labels - {""}:
                raise ValueError(f"{self.name}: nothing known is called {missing.pop()!r}")
        if not self.said or not self.said[-1].startswith("agent: "):
            raise ValueError(f"{self.name}: a conversation ends with the agent's answer")
        return self

    @property
    def text(self) -> str:
        """All that was said."""
        return "\n".join(self.said)

    def messages(self) -> list[AnyMessage]:
        """Return what was said as messages; each tool result follows the call that asked for it."""
        return [message for number, line in enumerate(self.said) for message in _messages(line, number)]


class Question(_Row):
    """Something asked of an agent that knows something."""

    name: str
    known: tuple[Known, ...]
    asked: str
    uses: tuple[str, ...] = Field(default=())
    """What an answer contains that uses what is known."""


def conversations() -> list[Conversation]:
    """Return every conversation, file by file."""
    return [Conversation.model_validate(row) for row in _rows("conversation")]


def questions() -> list[Question]:
    """Return every question."""
    return [Question.model_validate(row) for row in _rows("question")]


def _rows(name: str) -> list[Any]:
    files = sorted(DATA.glob("*.toml"))
    return [row for file in files for row in tomllib.loads(file.read_text(encoding="utf-8")).get(name, ())]


def _messages(line: str, number: int) -> list[AnyMessage]:
    speaker, _, text = line.partition(": ")
    if speaker == "user":
        return [HumanMessage(text, id=f"m{number}")]
    if speaker == "agent":
        return [AIMessage(text, id=f"m{number}")]
    tool = speaker.removeprefix("tool ")
    if tool == speaker:
        raise ValueError(f"Nobody is called {speaker!r}: a line starts with user, agent or tool NAME.")
    call = {"name": tool, "args": {}, "id": f"call-{number}"}
    return [
        AIMessage("", tool_calls=[call], id=f"m{number}-call"),
        ToolMessage(text, tool_call_id=call["id"], id=f"m{number}"),
    ]
