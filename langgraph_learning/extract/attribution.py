"""Attribution: whether a statement is the user's own, by comparing its words with the conversation, without a model."""

from collections.abc import Sequence

from langchain_core.messages import AnyMessage, ToolMessage

from langgraph_learning.core.learning import Channel
from langgraph_learning.core.text import (
    content_stems,
    contradicts,
    plain_words,
    strip_quotations,
)
from langgraph_learning.core.transcript import Line, last_turn, message_text


def is_quoted(statement: str, message: AnyMessage) -> bool:
    """Return True if a statement takes content words from the parts of a user's message that only quote something."""
    text = message_text(message)
    return _is_taken_from(statement, content_stems([text]), content_stems([strip_quotations(text)]))


def is_borrowed(statement: str, lines: Sequence[Line]) -> bool:
    """Return True if a statement takes content words from tool output that no user said.

    A tool's text may ask the model to name a user's message as its source; its words reveal where they come from.
    """
    tool_stems = content_stems(_tool_texts(lines))
    user_stems = content_stems(line.text for line in lines if line.channel == "user")
    return _is_taken_from(statement, tool_stems, user_stems)


def find_supporting_message(statement: str, lines: Sequence[Line], known_text: str = "") -> Line | None:
    """Return the user's message that supports a statement, or None if the statement is not the user's own.

    That is the message that mentions it, unless the user said the opposite.
    """
    own_text = "\n".join(_own_texts(lines).values())
    return None if contradicts(statement, own_text) else find_mentioning_message(statement, lines, known_text)


def find_mentioning_message(statement: str, lines: Sequence[Line], known_text: str = "") -> Line | None:
    """Return the user's message that mentions what a statement is about, affirming or denying it.

    A message mentions a statement if it contains it literally; otherwise at least two thirds of the statement's content
    words and all its numbers must come from the user's messages, and no word may come from a tool alone. Words of
    `known_text`, and words that the user only quotes, do not count.
    """
    own_texts = _own_texts(lines)
    stems = content_stems([statement]) - content_stems([known_text])
    literal = [number for number, text in own_texts.items() if _contains_words(text, statement)]
    if not literal and not _are_users_words(
        stems, content_stems(own_texts.values()), content_stems(_tool_texts(lines))
    ):
        return None
    candidates = literal or list(own_texts)
    best = max(candidates, key=lambda number: (len(stems & content_stems([own_texts[number]])), number))
    return lines[best - 1]


def agent_channel(lines: Sequence[Line]) -> Channel:
    """Return the channel of the agent's words at the end of a transcript: "tool" if this turn called a tool."""
    turn = last_turn([line.message for line in lines])
    return "tool" if any(isinstance(message, ToolMessage) for message in turn) else "agent"


def _own_texts(lines: Sequence[Line]) -> dict[int, str]:
    """Return the user's messages by their number, without what they quote."""
    return {line.number: strip_quotations(message_text(line.message)) for line in lines if line.channel == "user"}


def _tool_texts(lines: Sequence[Line]) -> list[str]:
    """Return the texts of tools, and of other people."""
    return [line.text for line in lines if isinstance(line.message, ToolMessage) or line.other]


def _contains_words(text: str, statement: str) -> bool:
    return f" {plain_words(statement)} " in f" {plain_words(text)} "


def _are_users_words(stems: set[str], user_stems: set[str], tool_stems: set[str]) -> bool:
    numbers = {stem for stem in stems if stem.isdigit()}
    only_from_tools = stems & (tool_stems - user_stems)
    if not stems or only_from_tools or not numbers <= user_stems:
        return False
    return 3 * len(stems & user_stems) >= 2 * len(stems)


def _is_taken_from(statement: str, foreign_stems: set[str], own_stems: set[str]) -> bool:
    """Return True if more than a third of a statement's content words are in a foreign text and not in one's own."""
    stems = content_stems([statement])
    return len(stems & (foreign_stems - own_stems)) * 3 > len(stems)
