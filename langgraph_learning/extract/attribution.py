"""Whose words a statement is: told by comparing words, never by a model."""

from collections.abc import Sequence

from langchain_core.messages import AnyMessage, ToolMessage

from langgraph_learning.core.learning import Channel
from langgraph_learning.core.text import content_words, plain_words, stem_words, strip_quotations
from langgraph_learning.core.transcript import Line, last_turn, message_text


def is_quoted(text: str, message: AnyMessage) -> bool:
    """Whether a statement takes telling words from what a user's message only quotes: a document, a mail, a log."""
    said = message_text(message)
    return _takes_words_from(text, content_words([said]), content_words([strip_quotations(said)]))


def is_borrowed(text: str, lines: Sequence[Line]) -> bool:
    """Whether a statement takes telling words from tool output that no user said.

    A tool's text may ask the model to name a user's message as its source; what it says gives it away.
    """
    said = content_words(line.text for line in lines if line.channel == "user")
    return _takes_words_from(
        text, content_words(line.text for line in lines if isinstance(line.message, ToolMessage)), said
    )


def find_user_message(text: str, lines: Sequence[Line], quoted: str = "") -> Line | None:
    """Return the user's message that says this, if it is what the user said: told by the words, not by a model.

    It is when a message holds it literally; or when two of three telling words are the user's, all numbers are, and
    no word is one that only a tool brought. What it quotes of something known counts for nobody, and neither does what
    the user only quotes.
    """
    own = {line.number: strip_quotations(message_text(line.message)) for line in lines if line.channel == "user"}
    literal = [number for number, told in own.items() if f" {plain_words(text)} " in f" {plain_words(told)} "]
    said, telling = stem_words(content_words(own.values())), stem_words(content_words([text]) - content_words([quoted]))
    from_tools = stem_words(content_words(line.text for line in lines if isinstance(line.message, ToolMessage))) - said
    numbers = {word for word in telling if word.isdigit()}
    strange = telling & from_tools or numbers - said
    if not literal and (not telling or strange or 3 * len(telling & said) < 2 * len(telling)):
        return None
    best = max(literal or own, key=lambda number: (len(telling & stem_words(content_words([own[number]]))), number))
    return lines[best - 1]


def agent_channel(lines: Sequence[Line]) -> Channel:
    """Return whose words an agent's are at the end of a transcript: a tool's, if there was one in this turn."""
    turn = last_turn([line.message for line in lines])
    return "tool" if any(isinstance(message, ToolMessage) for message in turn) else "agent"


def _takes_words_from(text: str, foreign: set[str], own: set[str]) -> bool:
    """Whether more than a third of a statement's telling words are foreign and not one's own."""
    telling = content_words([text])
    return len(telling & (foreign - own)) * 3 > len(telling)
