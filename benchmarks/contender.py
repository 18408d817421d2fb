"""Interface of the agents that `benchmarks.turn` compares, with the clock and the measurements of one turn."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from benchmarks.conversation import Turn

TEAM = "platform"


class Speaker(NamedTuple):
    """A user and their thread."""

    user: str
    thread: str


class Answered(NamedTuple):
    """The measurements of one turn."""

    first: float
    """Seconds until the first word of the answer."""
    whole: float
    """Seconds until the run was over, learning included."""
    calls: int
    """Number of model calls."""
    prompt: bytes
    """The messages of the first call of the agent's own model."""


class Contender(Protocol):
    """An agent to be measured."""

    name: str
    without: str | None
    """The name of the same agent without learning; None for an agent without learning."""

    def answer(self, speaker: Speaker, turn: Turn) -> Answered:
        """Let the agent answer one turn as a stream, to the end of the run."""
        ...


@dataclass
class Clock:
    """The times of one stream, in seconds."""

    started: float
    first: float | None = None
    whole: float = 0.0

    def word(self, text: Any) -> None:
        """Record that a piece of the answer has arrived."""
        if text and self.first is None:
            self.first = time.perf_counter() - self.started


@contextmanager
def clock() -> Iterator[Clock]:
    """Measure the time of the block, and of the first word in it."""
    running = Clock(time.perf_counter())
    yield running
    running.whole = time.perf_counter() - running.started
    if running.first is None:
        raise RuntimeError("The agent gave no answer, so there is nothing to measure.")


def serialize_messages(messages: Iterable[tuple[str, Any, Any]]) -> bytes:
    """Return messages as bytes, for every contender in the same form: role, content and tool calls."""
    return "".join(json.dumps(message, ensure_ascii=False, default=str) + "\n" for message in messages).encode()


def fill_in_name(text: str, speaker: Speaker) -> str:
    """Return a text of the conversation with the name of this user filled in."""
    return text.replace("{name}", speaker.user.title())
