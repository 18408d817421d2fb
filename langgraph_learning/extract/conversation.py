"""The lines of a conversation that an extraction reads, and those before them that it is shown again."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from langgraph_learning.core.quotation import is_off_record
from langgraph_learning.core.small_talk import only_agrees, proposes, says_nothing
from langgraph_learning.core.transcript import (
    Line,
    Speaker,
    count_tokens,
    is_readable,
    last_turn,
    message_text,
    transcript_lines,
    truncate_to_tokens,
    utterance,
)
from langgraph_learning.extract.cursor import Unread
from langgraph_learning.stores.base import Turn

MESSAGES_BEFORE = 6
"""How many messages that were read already are shown again, so that an answer to them can be understood."""
TOKENS_BEFORE = 150
"""Tokens of each of them at most, and as many again for what a longer answer asks."""
_QUESTION_MARKS = ("?", "\uff1f", "\u061f", "\u037e")
"""Marks by which an agent's answer asks something."""
_SENTENCE_END = re.compile(r"(?<=\D[.!?\u061f\u037e])\s+|(?<=[\u3002\uff01\uff1f])|\n+")
_LIST_ITEM = re.compile(r"\s*(?:[-*\u2022]|\(?(?:\d{1,2}|[a-zA-Z])[.)])\s")


def unread_lines(turn: Turn, unread: Unread, hidden: Collection[str]) -> list[Line]:
    """Return the messages that were not learnt from yet as lines, without what is off the record.

    hidden: names of tools whose calls and results are left out.
    """
    lines = transcript_lines(unread.messages, turn.caller.user, hidden, partial(_earlier_day, turn), unread.speaker_of)
    private = find_off_record(turn.messages)
    return [
        replace(line, revision=unread.revision_of(line.message)) for line in lines if id(line.message) not in private
    ]


def messages_before(turn: Turn, lines: Sequence[Line]) -> list[AnyMessage]:
    """Return all messages of the conversation before these lines."""
    return list(takewhile(lambda message: message is not lines[0].message, turn.messages))


def other_messages(turn: Turn, lines: Sequence[Line]) -> list[AnyMessage]:
    """Return all messages of the conversation up to the last of these lines that are none of these lines.

    Those between the lines were read earlier: where an older message was edited, the answer to it stands there.
    """
    own = {id(line.message) for line in lines}
    until_last = takewhile(lambda message: message is not lines[-1].message, turn.messages)
    return [message for message in until_last if id(message) not in own]


def recent_messages(messages: Sequence[AnyMessage]) -> Sequence[AnyMessage]:
    """Return the last messages with words of a user or an agent, and the calls and results of tools among them."""
    spoken = [number for number, message in enumerate(messages) if utterance(message)]
    return messages[spoken[-MESSAGES_BEFORE:][0] :] if spoken else ()


def lines_before(turn: Turn, unread: Unread, earlier: Sequence[AnyMessage], hidden: Collection[str]) -> list[Line]:
    """Return the last of the earlier messages as lines, cut short; none of a turn of another user or off the record.

    Nor one that the model refused: it would be why the model refuses what follows, too.
    """
    private = find_off_record(turn.messages)
    shown = [
        message
        for message in earlier
        if is_readable(message)
        and unread.speakers.get(id(message)) is not Speaker.ABSENT
        and message_text(message)
        and not unread.failed_on(message)
        and id(message) not in private
    ]
    lines = transcript_lines(
        shown,
        turn.caller.user,
        hidden,
        speaker_of=lambda message: unread.speakers.get(id(message), Speaker.USER),
    )
    recent = set(map(id, recent_messages(shown)))
    return [replace(line, text=_shorten(line.text)) for line in lines if id(line.message) in recent]


def _shorten(text: str) -> str:
    """Return a text cut short, with the questions and lists in what was cut: the next message may answer them."""
    shortened = truncate_to_tokens(text, TOKENS_BEFORE)
    if shortened == text:
        return text
    asked: list[str] = []
    budget = TOKENS_BEFORE
    for part in reversed(_SENTENCE_END.split(text)):
        asks = any(mark in part for mark in _QUESTION_MARKS) or _LIST_ITEM.match(part)
        if not asks or part.strip() in shortened:
            continue
        budget -= count_tokens(part)
        if budget < 0:
            break
        asked.insert(0, part.strip())
    return f"{shortened} [… with: {' '.join(asked)}]" if asked else shortened


def says_nothing_new(turn: Turn, lines: Sequence[Line]) -> bool:
    """Return True if no model need be asked: the user only greets, thanks or agrees, and to no question or proposal.

    In doubt a model is asked.
    """
    said = [line for line in lines if line.channel == "user"]
    closes = bool(said) and all(says_nothing(message_text(line.message)) and not line.revision for line in said)
    if not closes or any(isinstance(line.message, ToolMessage) or line.other for line in lines):
        return False
    before_first, before_last = messages_before(turn, said), messages_before(turn, said[-1:])
    since_turn_before = before_last[len(before_first) - len(last_turn(before_first)) :]
    answers = [message for message in since_turn_before if isinstance(message, AIMessage)]
    words = [message_text(answer, [call["name"] for call in answer.tool_calls]) for answer in answers]
    if any(mark in text for text in words for mark in (*_QUESTION_MARKS, ":")):
        return False
    agrees = any(only_agrees(message_text(line.message)) for line in said)
    return not (agrees and any(proposes(text) for text in words))


def find_off_record(messages: Sequence[AnyMessage]) -> set[int]:
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
    """Return weekday and day of a message in the user's time zone, if they are known and not today."""
    day = turn.day_of(message)
    return f"{day:%A, %Y-%m-%d}" if day and day != turn.today else ""
