"""What is measured: an agent that answers turn by turn and lets one see what its model was sent."""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from benchmarks.conversation import Turn

TEAM = "platform"


class Speaker(NamedTuple):
    """Who speaks, and in which thread."""

    user: str
    thread: str


class Answered(NamedTuple):
    """One turn as it was measured."""

    first: float
    """Seconds until the first word of the answer."""
    whole: float
    """Seconds until the run was over, with all that it learns."""
    calls: int
    """How often a model was called."""
    prompt: bytes
    """The messages of the first call of the agent's own model."""


class Contender(Protocol):
    """An agent in a measured set-up."""

    name: str
    without: str | None
    """The name of the same agent that does not learn; None for an agent that does not."""

    def answer(self, speaker: Speaker, turn: Turn) -> Answered:
        """Let the agent answer one turn, as a stream, to its end."""
        ...


@dataclass
class Clock:
    """Measures one stream."""

    started: float
    first: float | None = None
    whole: float = 0.0

    def word(self, text: Any) -> None:
        """Take note of a piece of the answer."""
        if text and self.first is None:
            self.first = time.perf_counter() - self.started


@contextmanager
def clock() -> Iterator[Clock]:
    """Measure what happens inside the block."""
    running = Clock(time.perf_counter())
    yield running
    running.whole = time.perf_counter() - running.started
    if running.first is None:
        raise RuntimeError("The agent gave no answer, so there is nothing to measure.")


def serialized(messages: Iterable[tuple[str, Any, Any]]) -> bytes:
    """Return messages as bytes, in the same way for every contender: role, content and tool calls of each."""
    return "".join(json.dumps(message, ensure_ascii=False, default=str) + "\n" for message in messages).encode()


def filled(text: str, speaker: Speaker) -> str:
    """Return a text of the conversation in the words of this user."""
    return text.replace("{name}", speaker.user.title())
