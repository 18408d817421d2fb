"""Conversations and questions of the evaluation, read from `data/*.toml` as frozen records."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

DATA = Path(__file__).with_name("data")


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Known(_Row):
    """A learning that exists before the conversation; its further keys are the fields of its kind."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str
    label: str = ""
    """The name that `replaces` and `forgets` refer to."""
    forgotten: bool = False
    """True if the user asked to forget it before the conversation."""

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields of its kind."""
        return self.model_extra or {}


class Wanted(_Row):
    """An expected or allowed edit. `|` separates alternatives."""

    kind: str = ""
    words: tuple[str, ...] = ()
    """The words that its text must contain, all of them."""
    field: str = ""
    """The field, for a profile."""
    replaces: str = ""
    """Label of the known learning that it replaces."""
    audience: str = ""
    """Name of the scope in which it belongs; a right edit elsewhere is misplaced."""
    forgets: str = ""
    """Label of the known learning to forget; then nothing else is expected of the edit."""


class Conversation(_Row):
    """One conversation, and the edits expected from it; without `expect`, none."""

    name: str
    about: str = ""
    """What it is about: the name of its file."""
    said: tuple[str, ...]
    """Messages, oldest first: "user: …", "agent: …" or "tool NAME: …"."""
    known: tuple[Known, ...] = ()
    expect: tuple[Wanted, ...] = ()
    """Edits that must be made."""
    fine: tuple[Wanted, ...] = ()
    """Edits that may be made: they count neither as right nor as wrong."""
    forbidden: tuple[str, ...] = ()
    """Words that no learning may contain."""
    now: AwareDatetime | None = None
    """When it was held; None: whenever it is read."""
    by_turns: bool = False
    """True if each turn is learnt from by itself, before the next one."""
    held_out: bool = False
    """True if it is not looked at while the prompts are tuned."""

    @model_validator(mode="after")
    def _labels_exist(self) -> "Conversation":
        labels = {known.label for known in self.known}
        for wanted in self.expect:
            if missing := {wanted.replaces, wanted.forgets} - labels - {""}:
                raise ValueError(f"{self.name}: no known learning has the label {missing.pop()!r}")
        if not self.said or not self.said[-1].startswith("agent: "):
            raise ValueError(f"{self.name}: a conversation must end with the agent's answer")
        return self

    @property
    def text(self) -> str:
        """All messages as one text."""
        return "\n".join(self.said)

    def messages(self) -> list[AnyMessage]:
        """Return the messages; each tool result follows its tool call."""
        return [message for number, line in enumerate(self.said) for message in _messages(line, number)]


class Question(_Row):
    """A question to an agent with known learnings."""

    name: str
    known: tuple[Known, ...]
    asked: str
    uses: tuple[str, ...] = Field(default=())
    """Words that an answer contains if it uses what is known."""
    openly: bool = False
    """True if it asks what is known, so that the answer has to say so."""


def conversations() -> list[Conversation]:
    """Return all conversations, file by file."""
    return [Conversation.model_validate({"about": file.stem, **row}) for file, row in _rows("conversation")]


def questions() -> list[Question]:
    """Return all questions."""
    return [Question.model_validate(row) for _, row in _rows("question")]


def _rows(name: str) -> list[tuple[Path, Any]]:
    files = sorted(DATA.glob("*.toml"))
    return [(file, row) for file in files for row in tomllib.loads(file.read_text(encoding="utf-8")).get(name, ())]


def _messages(line: str, number: int) -> list[AnyMessage]:
    speaker, _, text = line.partition(": ")
    if speaker == "user":
        return [HumanMessage(text, id=f"m{number}")]
    if speaker == "agent":
        return [AIMessage(text, id=f"m{number}")]
    tool = speaker.removeprefix("tool ")
    if tool == speaker:
        raise ValueError(f"Unknown speaker {speaker!r}: a line starts with user, agent or tool NAME.")
    call = {"name": tool, "args": {}, "id": f"call-{number}"}
    return [
        AIMessage("", tool_calls=[call], id=f"m{number}-call"),
        ToolMessage(text, tool_call_id=call["id"], id=f"m{number}"),
    ]
