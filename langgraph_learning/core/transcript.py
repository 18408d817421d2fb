"""Messages as an extraction reads them: numbered lines with speakers, cut to a limit and split by a token budget."""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage

from langgraph_learning.core.keys import fingerprint, prefix_fingerprints
from langgraph_learning.core.learning import Channel
from langgraph_learning.core.text import escape_line, escape_markup, truncate

CHARS_PER_TOKEN = 4
"""The usual rule of thumb: a budget limits cost and need not be exact."""
TIME_KEYS = ("timestamp", "created_at", "sent_at", "created", "date")
"""Names under which messages carry their time."""
EARLIEST_MILLISECONDS = 100_000_000_000
"""Numbers above are milliseconds: as seconds they would be in the year 5138 and later."""
MESSAGE_TOKENS = {"human": 4_000, "ai": 2_000, "tool": 500}
"""Tokens of one message that are read at most, by message type."""
MAX_QUERY_TOKENS = 500
"""Tokens of the user's last message that are used as a search query at most."""


@dataclass(frozen=True)
class Line:
    """One message of a transcript."""

    number: int
    message: AnyMessage
    text: str
    channel: Channel

    @property
    def id(self) -> str:
        """Id of the message."""
        return self.message.id or ""

    @property
    def tokens(self) -> int:
        """Approximate number of tokens."""
        return count_tokens(self.text)


def count_tokens(text: str) -> int:
    """Return the approximate number of tokens in a text."""
    # LangChain's `count_tokens_approximately` counts messages: it adds tokens for the role and for the message itself.
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
    """Return True unless a message is an instruction, or a summary of messages that were read already."""
    is_summary = message.additional_kwargs.get("lc_source") == "summarization"
    return not isinstance(message, SystemMessage) and not is_summary


def last_turn(messages: Sequence[AnyMessage]) -> Sequence[AnyMessage]:
    """Return the user's last message and those after it; all messages if there is none."""
    starts = [
        index for index, message in enumerate(messages) if isinstance(message, HumanMessage) and is_readable(message)
    ]
    return messages[starts[-1] :] if starts else messages


def transcript_lines(
    messages: Sequence[AnyMessage],
    user: str,
    hidden: Collection[str] = (),
    day_of: Callable[[AnyMessage], str] = lambda message: "",
) -> list[Line]:
    """Return messages as numbered lines, each with the channel that follows from its role.

    An agent's message after a tool result in the same turn has the channel "tool".
    hidden: names of tools whose calls and results are left out.
    day_of: returns the day to show after the speaker, if any.
    """
    lines: list[Line] = []
    tool_in_turn = False
    for message in messages:
        if _is_hidden(message, hidden):
            continue
        channel: Channel
        if isinstance(message, HumanMessage):
            tool_in_turn, channel, speaker = False, "user", f"user {user}"
        elif isinstance(message, ToolMessage):
            tool_in_turn, channel, speaker = True, "tool", "tool"
        else:
            channel, speaker = "tool" if tool_in_turn else "agent", "agent"
        # Continued lines are indented, so that no text in a message can pose as the start of another message.
        text = escape_markup(_limit_text(message, hidden)).replace("\n", "\n    ")
        number = len(lines) + 1
        day = f" ({day_of(message)})" if day_of(message) else ""
        lines.append(Line(number, message, f"[{number}] {escape_line(speaker)}{day}: {text}", channel))
    return lines


def message_time(message: AnyMessage) -> datetime | None:
    """Return the time that a message carries, in `additional_kwargs` or `response_metadata`; None if it has none.

    It may be a datetime, ISO 8601, or seconds or milliseconds since 1970; without a time zone it is taken for UTC.
    """
    for carried in (message.additional_kwargs, message.response_metadata):
        for name in TIME_KEYS:
            time = _parse_time(carried.get(name))
            if time is not None:
                return time
    return None


def _parse_time(value: Any) -> datetime | None:
    try:
        if isinstance(value, str):
            text = value.strip()
            value = float(text) if text.replace(".", "", 1).isdigit() else datetime.fromisoformat(text)
            if len(text) == len("2023-05-01") and isinstance(value, datetime):
                value = value.replace(hour=12)  # a day without a time is that day in almost every time zone
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = datetime.fromtimestamp(value / 1_000 if value > EARLIEST_MILLISECONDS else value, UTC)
        # A day on either side leaves room for every time zone.
        in_range = isinstance(value, datetime) and 1 < value.year < MAXYEAR
    except (ValueError, OverflowError, OSError):
        return None
    if not in_range:
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)  # type: ignore[no-any-return]  # a datetime by now


def split_chunks(lines: Sequence[Line], budget: int) -> list[list[Line]]:
    """Split a transcript into chunks of at most `budget` tokens, oldest first; a longer message is a chunk alone."""
    chunks: list[list[Line]] = []
    remaining = 0
    for line in lines:
        if not chunks or line.tokens > remaining:
            chunks.append([])
            remaining = budget
        chunks[-1].append(line)
        remaining -= line.tokens
    return chunks


def message_text(message: AnyMessage, hidden: Collection[str] = ()) -> str:
    """Return a message as text: its words, a word in brackets for every image or file, and its tool calls.

    hidden: names of tools whose calls are left out.
    """
    blocks = message.content if isinstance(message.content, list) else [message.content]
    parts = [_block_text(block) for block in blocks]
    for call in message.tool_calls if isinstance(message, AIMessage) else ():
        if call["name"] not in hidden:
            args = json.dumps(call["args"], ensure_ascii=False, default=str)
            parts.append(f"(calls {call['name']} with {args})")
    return "\n".join(part for part in parts if part)


def utterance(message: AnyMessage) -> str:
    """Return the words of a user or an agent in a message, without tool calls; an empty text for other messages."""
    if not isinstance(message, HumanMessage | AIMessage) or not is_readable(message):
        return ""
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return _limit_text(message, [call["name"] for call in calls]).strip()


def last_question(messages: Sequence[AnyMessage]) -> str:
    """Return the user's last message as a search query; an empty text if there is none."""
    for message in reversed(messages):
        if isinstance(message, HumanMessage) and is_readable(message):
            return message_text(message)[: MAX_QUERY_TOKENS * CHARS_PER_TOKEN]
    return ""


def _block_text(block: Any) -> str:
    if isinstance(block, str):
        return block
    kind = block.get("type", "")
    if kind in ("text", "input_text", "output_text"):
        return str(block.get("text", ""))
    if kind in ("tool_use", "tool_call", "reasoning", "thinking"):
        return ""
    return f"[{kind.removesuffix('_url') or 'attachment'}]"


def _is_hidden(message: AnyMessage, hidden: Collection[str]) -> bool:
    """Return True if a message has no text apart from calls or results of hidden tools."""
    if isinstance(message, ToolMessage):
        return message.name in hidden
    calls_hidden_tool = isinstance(message, AIMessage) and any(call["name"] in hidden for call in message.tool_calls)
    return calls_hidden_tool and not message_text(message, hidden)


def _limit_text(message: AnyMessage, hidden: Collection[str] = ()) -> str:
    return truncate(message_text(message, hidden), MESSAGE_TOKENS.get(message.type, 500) * CHARS_PER_TOKEN)
