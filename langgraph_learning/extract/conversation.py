"""The lines of a conversation that an extraction reads, and those before them that it is shown again."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from langgraph_learning.core.quotation import is_off_record, says_nothing
from langgraph_learning.core.transcript import (
    Line,
    Speaker,
    is_readable,
    last_turn,
    message_text,
    transcript_lines,
    truncate_to_tokens,
)
from langgraph_learning.extract.cursor import Unread
from langgraph_learning.stores.base import Turn

MESSAGES_BEFORE = 6
"""How many messages that were read already are shown again, so that an answer to them can be understood."""
TOKENS_BEFORE = 150
"""Tokens of each of them at most."""
_QUESTION_MARKS = ("?", "\uff1f", "\u061f", "\u037e", ":")
"""Marks by which an agent's answer asks something or lists a choice."""


def unread_lines(turn: Turn, unread: Unread, hidden: Collection[str]) -> list[Line]:
    """Return the messages that were not learnt from yet as lines, without what is off the record.

    hidden: names of tools whose calls and results are left out.
    """
    lines = transcript_lines(unread.messages, turn.caller.user, hidden, partial(_earlier_day, turn), unread.speaker_of)
    private = _find_off_record(turn.messages)
    return [
        replace(line, revision=unread.revision_of(line.message)) for line in lines if id(line.message) not in private
    ]


def messages_before(turn: Turn, lines: Sequence[Line]) -> list[AnyMessage]:
    """Return all messages of the conversation before these lines."""
    return list(takewhile(lambda message: message is not lines[0].message, turn.messages))


def lines_before(turn: Turn, unread: Unread, earlier: Sequence[AnyMessage], hidden: Collection[str]) -> list[Line]:
    """Return the last of the earlier messages as lines, cut short; none of a turn of another user.

    Nor one that the model refused: it would be why the model refuses what follows, too.
    """
    shown = [
        message
        for message in earlier
        if is_readable(message)
        and unread.speakers.get(id(message)) is not Speaker.ABSENT
        and message_text(message)
        and not unread.failed_on(message)
    ]
    lines = transcript_lines(
        shown,
        turn.caller.user,
        hidden,
        speaker_of=lambda message: unread.speakers.get(id(message), Speaker.USER),
    )
    return [replace(line, text=truncate_to_tokens(line.text, TOKENS_BEFORE)) for line in lines[-MESSAGES_BEFORE:]]


def says_nothing_new(turn: Turn, lines: Sequence[Line]) -> bool:
    """Return True if no model need be asked: the user only thanks or agrees, and to no question or offer.

    In doubt a model is asked.
    """
    said = [line for line in lines if line.channel == "user"]
    closes = bool(said) and all(says_nothing(message_text(line.message)) and not line.revision for line in said)
    if not closes or any(isinstance(line.message, ToolMessage) or line.other for line in lines):
        return False
    before = messages_before(turn, said)
    answers = [message_text(message) for message in before if isinstance(message, AIMessage)]
    return not answers or not any(mark in answers[-1] for mark in _QUESTION_MARKS)


def _find_off_record(messages: Sequence[AnyMessage]) -> set[int]:
    """Return the identities of the messages of turns in which the user says that something is off the record."""
    found: set[int] = set()
    rest = list(messages)
    while rest:
        turn = last_turn(rest)
        if any(isinstance(message, HumanMessage) and is_off_record(message_text(message)) for message in turn):
            found |= {id(message) for message in turn}
        rest = rest[: -len(turn)]
    return found


def _earlier_day(turn: Turn, message: AnyMessage) -> str:
    """Return the day of a message in the user's time zone, if it is known and not today."""
    day = turn.day_of(message)
    return f"{day:%Y-%m-%d}" if day and day != turn.today else ""
