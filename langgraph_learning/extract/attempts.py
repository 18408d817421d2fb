"""Attempts to read a message: what failed before is asked about apart, and set aside after too many attempts."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from langgraph_learning.core.records import Edit
from langgraph_learning.core.transcript import Line, split_chunks
from langgraph_learning.extract.cursor import MAX_ATTEMPTS, Attempts, Unread


@dataclass
class Reading:
    """The outcome of asking the model about a turn, chunk by chunk."""

    edits: list[Edit] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    read: list[Line] = field(default_factory=list)
    """The messages that were learnt from or set aside."""
    set_aside: list[Line] = field(default_factory=list)
    attempts: dict[int, Attempts] = field(default_factory=dict)
    """Attempts on the messages that were not read, by the identity of each message."""
    failure: Exception | None = None


def split_by_attempts(lines: Sequence[Line], unread: Unread, budget: int) -> list[list[Line]]:
    """Split a transcript into chunks, so that a message that cannot be read holds up no others.

    What was never read in vain stays together. What was once is asked about turn by turn, and after that message by
    message. What only the model's absence held up is asked about by itself after some turns, and in the end message by
    message as well: one of them may be why the model does not answer.
    """
    groups: list[list[Line]] = []
    previous: object = None
    for line in lines:
        attempts = unread.attempts_on(line.message)
        if attempts.failed > 1 or attempts.unreachable >= 2 * MAX_ATTEMPTS:
            group: object = id(line.message)
        elif attempts.failed == 1:
            starts_turn = line.channel == "user" or not isinstance(previous, tuple)
            group = ("turn", line.number) if starts_turn else previous
        else:
            group = "absent" if attempts.unreachable >= MAX_ATTEMPTS else "new"
        if group != previous:
            groups.append([])
        groups[-1].append(line)
        previous = group
    return [chunk for group in groups for chunk in split_chunks(group, budget)]


def is_suspect(chunk: Sequence[Line], unread: Unread) -> bool:
    """Return True if a chunk was read in vain before, and is asked about by itself."""
    attempts = unread.attempts_on(chunk[0].message)
    return attempts.failed > 0 or attempts.unreachable >= MAX_ATTEMPTS


def count_attempt(reading: Reading, chunk: Sequence[Line], unread: Unread, error: Exception, reached: bool) -> None:
    """Count a failed attempt on the messages of a chunk, and set aside those with too many."""
    described = f"{type(error).__name__}: {error}"
    set_aside = []
    for line in chunk:
        before = unread.attempts_on(line.message)
        counted = Attempts(before.failed + reached, before.unreachable + (not reached))
        if counted.failed >= MAX_ATTEMPTS:
            set_aside.append(line)
        else:
            reading.attempts[id(line.message)] = counted
    reading.set_aside += set_aside
    reading.read += set_aside
    if set_aside:
        names = ", ".join(line.id or f"number {line.number}" for line in set_aside)
        reading.errors.append(f"set aside after {MAX_ATTEMPTS} attempts, not learnt from: message {names}: {described}")
    if len(set_aside) < len(chunk):
        reading.errors.append(f"extract failed, the next turn tries again: {described}")
