"""Attribution: whether a statement is the user's own, decided by what there was to read, without a model."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage

from langgraph_learning.core.learning import Channel, Learning
from langgraph_learning.core.quotation import find_claims, split_message
from langgraph_learning.core.similarity.forms import find_required_words, list_words, match_words, statement_words
from langgraph_learning.core.similarity.numbers import read_quantities
from langgraph_learning.core.similarity.support import asks_to_end, carries, denies, mentions
from langgraph_learning.core.text import tokenize
from langgraph_learning.core.transcript import Line, is_readable, last_turn, message_text

OWN_CHANNELS = frozenset({"user", "person"})
"""Channels of learnings that rest on people's own words."""


class Finding(NamedTuple):
    """Whose words a statement is, and why it is not the user's own."""

    channel: Channel
    reason: str = ""


@dataclass(frozen=True)
class Statement:
    """What an edit says: its statement proper, and words that explain it, which the model chooses itself."""

    text: str
    explanation: str = ""
    known: str = ""
    """What it corrects."""


@dataclass(frozen=True)
class Words:
    """The words that an extraction or a tool call could read, by whose they are."""

    own: Mapping[int, str]
    """What the user says themself, by number of the message."""
    foreign: str
    """What tools and documents say."""
    echoes: str
    """What the agent says after it read something foreign."""
    answers: Mapping[int, str]
    """What the agent says, by number of the message."""
    today: date | None = None
    """The user's day, by which relative dates are read."""

    @property
    def own_text(self) -> str:
        """All that the user says themself."""
        return "\n".join(self.own.values())

    @property
    def claims(self) -> str:
        """What the user states: their own words without questions and errands."""
        return find_claims(self.own_text)

    def find_author(self, statement: Statement, line: Line) -> Finding:
        """Return whose words a statement is that rests on a message.

        Where nothing foreign was there to read, the user's message is enough, unless it says the opposite or only the
        agent said it afterwards. Where something was, the user's own words must carry the statement.
        """
        if line.channel != "user":
            return Finding(line.channel, "it rests on what the agent or a tool said")
        if not (self.foreign or self.echoes):
            return self._find_author_between_two(statement, line)
        if self.carry(statement):
            return Finding("user")
        passed_on = split_message(message_text(line.message)).foreign
        if passed_on and mentions(passed_on, statement.text, 0.3):
            return Finding("import", "the user only passes it on")
        return Finding("tool", "there was something else to read, and the user's own words do not carry it")

    def may_end(self, known_text: str, line: Line) -> bool:
        """Return True if the user themself asks to end something known, or says that it has ended."""
        if line.channel != "user":
            return False
        return not (self.foreign or self.echoes) or asks_to_end(self.own_text, known_text)

    def _find_author_between_two(self, statement: Statement, line: Line) -> Finding:
        if denies(self.own.get(line.number, ""), statement.text):
            return Finding("agent", "the user says the opposite")
        words = statement_words(statement.text)
        after = "\n".join(text for number, text in self.answers.items() if number > line.number)
        invented = len(match_words(words, tokenize(after))) * 2 > len(words)
        if invented and not match_words(words, tokenize("\n".join([self.own_text, *self._answers_before(line)]))):
            return Finding("agent", "only the agent says it")
        return Finding("user")

    def _answers_before(self, line: Line) -> list[str]:
        return [text for number, text in self.answers.items() if number < line.number]

    def carry(self, statement: Statement) -> bool:
        """Return True if the user's own words carry a statement, and nobody else's."""
        # Of the agent's answer a word or two may be in a statement: it often repeats the user's in other words.
        if not carries(self.claims, statement.text, self.today, self.foreign, statement.known):
            return False
        words = find_required_words(statement.text)
        echoed = match_words(words - match_words(words, list_words(self.own_text)), list_words(self.echoes))
        size = len(words) + len(read_quantities(statement.text))
        borrowed = _find_borrowed_words(statement.explanation, self.own_text, self.foreign)
        return len(echoed) * 3 <= size and len(borrowed) * 4 <= len(statement_words(statement.explanation))


def read_words(
    lines: Sequence[Line],
    today: date | None = None,
    before: Sequence[Line] = (),
    earlier: Iterable[AnyMessage] = (),
    known: str = "",
) -> Words:
    """Return the words that could be read, by whose they are.

    before: lines that were read already, and are shown again.
    earlier: all messages of the thread before these lines: an answer may repeat what a tool said long ago.
    known: the texts of known learnings that do not rest on people's own words.
    """
    own, answers = dict[int, str](), dict[int, str]()
    foreign, echoes = [known] if known else [], list[str]()
    tainted = bool(known) or any(map(is_foreign, earlier))
    for number, line in enumerate(before, start=-len(before)):
        tainted = _sort_line(line, number, tainted, own, foreign, echoes, answers)
    for line in lines:
        tainted = _sort_line(line, line.number, tainted, own, foreign, echoes, answers)
    return Words(own, "\n".join(foreign), "\n".join(echoes), answers, today)


def is_foreign(message: AnyMessage) -> bool:
    """Return True if a message holds words that are neither the user's own nor the agent's.

    A summary counts: nobody knows from where its words come.
    """
    if isinstance(message, ToolMessage) or not is_readable(message):
        return message.type != "system"
    return isinstance(message, HumanMessage) and bool(split_message(message_text(message)).foreign)


def foreign_text(learnings: Iterable[Learning]) -> str:
    """Return the texts of the learnings that rest on something else than people's own words."""
    return "\n".join(
        learning.text
        for learning in learnings
        if any(source.channel not in OWN_CHANNELS for source in learning.sources)
    )


def find_supporting_message(
    statement: str, lines: Sequence[Line], known_text: str = "", explanation: str = "", today: date | None = None
) -> Line | None:
    """Return the user's message that supports a statement; None if the user's own words do not carry it.

    known_text: what the statement corrects.
    explanation: words that explain the statement, which the agent chose itself.
    """
    words = read_words(lines, today)
    own = words.carry(Statement(statement, explanation, known_text))
    return _best_line(statement, words, lines) if own else None


def find_ending_message(known_text: str, lines: Sequence[Line]) -> Line | None:
    """Return the user's message that asks to end something known, or speaks of it; None if there is none."""
    words = read_words(lines)
    is_meant = asks_to_end(words.own_text, known_text) or mentions(words.own_text, known_text)
    return _best_line(known_text, words, lines) if is_meant else None


def agent_channel(lines: Sequence[Line]) -> Channel:
    """Return the channel of the agent's words at the end of a transcript: "tool" if this turn called a tool."""
    turn = last_turn([line.message for line in lines])
    return "tool" if any(isinstance(message, ToolMessage) for message in turn) else "agent"


def _best_line(text: str, words: Words, lines: Sequence[Line]) -> Line | None:
    wanted = statement_words(text)
    by_number = {line.number: line for line in lines}

    def count_shared_words(number: int) -> tuple[int, int]:
        return len(match_words(wanted, tokenize(words.own[number]))), number

    numbers = [number for number in words.own if number in by_number]
    return by_number[max(numbers, key=count_shared_words)] if numbers else None


def _find_borrowed_words(text: str, own: str, foreign: str) -> set[str]:
    """Return the words of a text that are in a foreign text and not among one's own."""
    words = statement_words(text)
    return match_words(words - match_words(words, tokenize(own)), tokenize(foreign))


def _sort_line(
    line: Line,
    number: int,
    tainted: bool,
    own: dict[int, str],
    foreign: list[str],
    echoes: list[str],
    answers: dict[int, str],
) -> bool:
    """Add the words of a line to those whose they are; return whether something foreign was read by then."""
    text = message_text(line.message)
    if isinstance(line.message, ToolMessage) or line.other:
        foreign.append(text)
        return True
    if line.channel == "user":
        parts = split_message(text)
        own[number] = parts.own
        foreign += [parts.foreign] if parts.foreign else []
        return tainted or bool(parts.foreign)
    answers[number] = text
    if tainted or line.channel == "tool":
        echoes.append(text)
    return tainted or line.channel == "tool"
