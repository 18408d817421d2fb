"""A conversation as the extraction reads it: framed, numbered, and within a budget."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from langgraph_learning.core.keys import fingerprint, prefix_fingerprints
from langgraph_learning.core.learning import Channel
from langgraph_learning.core.text import escape_markup, truncate

CHARS_PER_TOKEN = 4
"""The usual rule of thumb; a budget is a bound on cost, not an exact count."""
MESSAGE_TOKENS = {"human": 4_000, "ai": 2_000, "tool": 500}
"""How much of one message is read at most."""


@dataclass(frozen=True)
class Line:
    """One message of the transcript."""

    number: int
    message: AnyMessage
    text: str
    channel: Channel

    @property
    def id(self) -> str:
        """The message's id."""
        return self.message.id or ""

    @property
    def tokens(self) -> int:
        """How much of the budget it takes."""
        return count_tokens(self.text)


def count_tokens(text: str) -> int:
    """Return about how many tokens a text has."""
    return len(text) // CHARS_PER_TOKEN + 1


def fingerprints(messages: Sequence[AnyMessage]) -> list[tuple[str, ...]]:
    """Return the fingerprints of each message: of its id, and of its text with all that was said before it.

    The first survives trimming and summarising; the second a client that sends the history again without ids. Messages
    that are not read have none.
    """
    readable = [message for message in messages if is_readable(message)]
    text_fingerprints = prefix_fingerprints(f"{message.type}\0{message_text(message)}" for message in readable)
    found: list[tuple[str, ...]] = []
    for message in messages:
        if not is_readable(message):
            found.append(())
            continue
        id_fingerprint = (fingerprint(message.id),) if message.id else ()
        found.append((*id_fingerprint, next(text_fingerprints)))
    return found


def is_readable(message: AnyMessage) -> bool:
    """Whether a message may teach something: instructions do not, nor does a summary of what was read already."""
    summary = message.additional_kwargs.get("lc_source") == "summarization"
    return not isinstance(message, SystemMessage) and not summary


def last_turn(messages: Sequence[AnyMessage]) -> Sequence[AnyMessage]:
    """Return the messages from the user's last question on."""
    starts = [place for place, message in enumerate(messages) if isinstance(message, HumanMessage)]
    return messages[starts[-1] :] if starts else messages


def transcript_lines(messages: Sequence[AnyMessage], user: str, hidden: Collection[str] = ()) -> list[Line]:
    """Return the messages as numbered lines, each with the channel that code reads off its role.

    hidden: names of tools whose calls and results are left out.
    """
    found: list[Line] = []
    tool_in_turn = False
    told = [(message, _text_within_limit(message, hidden)) for message in messages if not _is_hidden(message, hidden)]
    for number, (message, text) in enumerate(told, start=1):
        tool_in_turn = isinstance(message, ToolMessage) or (tool_in_turn and not isinstance(message, HumanMessage))
        channel: Channel = "user" if isinstance(message, HumanMessage) else "tool" if tool_in_turn else "agent"
        speaker = f"user {user}" if channel == "user" else "tool" if isinstance(message, ToolMessage) else "agent"
        # Only a line of ours begins at the margin with a number: what was said cannot pose as another message.
        said = escape_markup(text).replace("\n", "\n    ")
        found.append(Line(number, message, f"[{number}] {' '.join(escape_markup(speaker).split())}: {said}", channel))
    return found


def split_chunks(lines: Sequence[Line], budget: int) -> list[list[Line]]:
    """Split a transcript into parts that fit the budget, oldest first; never in the middle of a message."""
    parts: list[list[Line]] = []
    room = 0
    for line in lines:
        if not parts or line.tokens > room:
            parts.append([])
            room = budget
        parts[-1].append(line)
        room -= line.tokens
    return parts


def message_text(message: AnyMessage, hidden: Collection[str] = ()) -> str:
    """Return what a message says: its text, a mark for every image or file, and the tools it calls but hidden ones."""
    content = message.content if isinstance(message.content, list) else [message.content]
    said = [_block_text(block) for block in content]
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    said += [
        f"(calls {call['name']} with {json.dumps(call['args'], ensure_ascii=False, default=str)})"
        for call in calls
        if call["name"] not in hidden
    ]
    return "\n".join(part for part in said if part)


def utterance(message: AnyMessage) -> str:
    """Return what a user or an agent says in a message, as much of it as is read: neither tools nor calls."""
    if not isinstance(message, HumanMessage | AIMessage) or not is_readable(message):
        return ""
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return _text_within_limit(message, [call["name"] for call in calls]).strip()


def last_question(messages: Sequence[AnyMessage]) -> str:
    """Return what the user asked last, to search by."""
    asked = [
        message_text(message) for message in messages if isinstance(message, HumanMessage) and is_readable(message)
    ]
    return asked[-1][: 500 * CHARS_PER_TOKEN] if asked else ""


def _block_text(block: Any) -> str:
    if isinstance(block, str):
        return block
    kind = block.get("type", "")
    if kind in ("text", "input_text", "output_text"):
        return str(block.get("text", ""))
    return (
        ""
        if kind in ("tool_use", "tool_call", "reasoning", "thinking")
        else f"[{kind.removesuffix('_url') or 'attachment'}]"
    )


def _is_hidden(message: AnyMessage, hidden: Collection[str]) -> bool:
    """Whether nothing is left of a message without the hidden tools."""
    if isinstance(message, ToolMessage):
        return message.name in hidden
    calls = isinstance(message, AIMessage) and any(call["name"] in hidden for call in message.tool_calls)
    return calls and not message_text(message, hidden)


def _text_within_limit(message: AnyMessage, hidden: Collection[str] = ()) -> str:
    return truncate(message_text(message, hidden), MESSAGE_TOKENS.get(message.type, 500) * CHARS_PER_TOKEN)
