"""Messages as an extraction reads them: numbered lines with speakers, cut to a limit and split by a token budget."""

import json
import re
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import MAXYEAR, UTC, datetime
from enum import Enum
from typing import Any, NamedTuple

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    convert_to_messages,
)

from langgraph_learning.core.keys import fingerprint, prefix_fingerprints
from langgraph_learning.core.learning import Channel
from langgraph_learning.core.small_talk import asks_about_user, asks_or_offers, assents, is_small_talk
from langgraph_learning.core.text import (
    escape_line,
    escape_markup,
    truncate,
)

CHARS_PER_TOKEN = 4
"""The usual rule of thumb: a budget limits cost and need not be exact."""
TIME_KEYS = ("timestamp", "created_at", "sent_at", "created", "date")
"""Names under which messages carry their time."""
EARLIEST_MILLISECONDS = 100_000_000_000
"""Numbers above are milliseconds: as seconds they would be in the year 5138 and later."""
MESSAGE_TOKENS = {"human": 4_000, "ai": 2_000, "tool": 500}
"""Tokens of one message that are read at most, by message type."""
_TWO_PER_TOKEN = re.compile("[\u0370-\u08ff]+")
"""Greek, Cyrillic, Hebrew, Arabic and others: about two characters a token."""
_ONE_PER_TOKEN = re.compile("[\u0900-\u1fff\u2e80-\uffff]+")
"""Scripts of India and South East Asia, Chinese, Japanese and Korean: about one character a token."""
_ASTRAL = re.compile("[\U00010000-\U0010ffff]+")
"""Emoji and rare characters: about two tokens each."""
_REASONING = re.compile(r"(?<!`)<(think|thinking|thought|reasoning|reflection)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_REASONING_START = re.compile(r"^\s*<(?:think|thinking|thought|reasoning|reflection)>.*\Z", re.DOTALL | re.IGNORECASE)
_REASONING_END = re.compile(r"^.*</(?:think|thinking|thought|reasoning|reflection)>", re.DOTALL | re.IGNORECASE)
_ATTACHMENTS = frozenset({"image", "audio", "video", "file", "document", "media", "pdf"})
MAX_QUERY_TOKENS = 500
"""Tokens of the user's last message that are used as a search query at most."""


MAX_EXCHANGE_CHARS = 400
"""Characters of the question before, and of its answer, that are searched for: embedding models read little."""


class Query(NamedTuple):
    """The texts to search for: a message, and the exchange before it."""

    text: str
    exchange: str = ""
    about_user: bool = False
    """True if the message asks what is known about the user: no text finds that."""


class Speaker(Enum):
    """The author of a message, as seen from the user of a run."""

    USER = "user"
    """The user themself."""
    AGENT = "agent"
    """An agent, a tool or a node that made a message in the user's role."""
    OTHER = "other"
    """Another person, whom the message names. It is shown to the extraction, but nothing is learnt from it."""
    ABSENT = "absent"
    """Another user, in a turn of their own: that turn is theirs to be learnt from."""


@dataclass(frozen=True)
class Line:
    """One message of a transcript."""

    number: int
    message: AnyMessage
    text: str
    channel: Channel
    revision: str = ""
    """Fingerprint of the message's text, if the message was edited after it was learnt from."""
    other: str = ""
    """Name of another person who said it. It is shown, but nothing of the user's rests on it."""

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
    if text.isascii():
        return len(text) // CHARS_PER_TOKEN + 1
    halves, whole, pairs = (sum(map(len, script.findall(text))) for script in (_TWO_PER_TOKEN, _ONE_PER_TOKEN, _ASTRAL))
    return (len(text) + halves + 3 * whole + 7 * pairs) // CHARS_PER_TOKEN + 1


def truncate_to_tokens(text: str, tokens: int) -> str:
    """Shorten a text to about this many tokens, with a mark where something was cut."""
    return truncate(text, _chars_within(text, tokens))


def _chars_within(text: str, tokens: int) -> int:
    """Return how many characters of a text have about this many tokens."""
    return tokens * CHARS_PER_TOKEN if text.isascii() else len(text) * tokens // count_tokens(text)


def fingerprints(messages: Sequence[AnyMessage]) -> list[tuple[str, ...]]:
    """Return the fingerprints of each message: of its id, and of its text with all that was said before it.

    The first survives trimming and summarising; the second a client that sends the history again without ids. Messages
    that are not read have none.
    """
    readable = [message for message in messages if is_readable(message)]
    text_fingerprints = prefix_fingerprints(f"{message.type}\0{fingerprint_text(message)}" for message in readable)
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
    speaker_of: Callable[[AnyMessage], Speaker] = lambda message: Speaker.USER,
) -> list[Line]:
    """Return messages as numbered lines, each with the channel that follows from its role.

    An agent's message after a tool result in the same turn has the channel "tool".
    hidden: names of tools whose calls and results are left out.
    day_of: returns the day to show after the speaker, if any.
    speaker_of: tells whose words a message in the user's role is.
    """
    lines: list[Line] = []
    tool_in_turn = False
    for message in messages:
        if _is_hidden(message, hidden):
            continue
        channel: Channel
        other = ""
        author = speaker_of(message) if isinstance(message, HumanMessage) else Speaker.AGENT
        if author is Speaker.USER:
            tool_in_turn, channel, speaker = False, "user", f"user {user}"
        elif author is Speaker.OTHER:
            channel, speaker = "import", f"another person, {message.name}"
            other = message.name or ""
        elif isinstance(message, ToolMessage):
            tool_in_turn, channel, speaker = True, "tool", "tool"
        else:
            channel, speaker = "tool" if tool_in_turn else "agent", "agent"
        # Continued lines are indented, so that no text in a message can pose as the start of another message.
        text = escape_markup(_limit_text(message, hidden)).replace("\n", "\n    ")
        number = len(lines) + 1
        day = f" ({day_of(message)})" if day_of(message) else ""
        rendered = f"[{number}] {escape_line(speaker)}{day}: {text}"
        lines.append(Line(number, message, rendered, channel, other=other))
    return lines


def message_time(message: AnyMessage) -> datetime | None:
    """Return the time that a message carries, in `additional_kwargs` or `response_metadata`; None if it has none.

    It may be a datetime, ISO 8601, or seconds or milliseconds since 1970; without a time zone it is taken for UTC.
    """
    for carried in (message.additional_kwargs, message.response_metadata):
        for name in TIME_KEYS:
            time = parse_time(carried.get(name))
            if time is not None:
                return time
    return None


def parse_time(value: Any) -> datetime | None:
    """Return a value as a time with a time zone; None if it is no time."""
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


def renumber_lines(lines: Sequence[Line]) -> list[Line]:
    """Return lines numbered from 1: a model that is shown a part of a transcript counts what it sees."""
    return [
        replace(line, number=number, text=f"[{number}]{line.text.removeprefix(f'[{line.number}]')}")
        for number, line in enumerate(lines, start=1)
    ]


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

    An agent's reasoning and what its provider does beside it, such as a search of its own, are left out.
    hidden: names of tools whose calls are left out.
    """
    blocks = message.content if isinstance(message.content, list) else [message.content]
    parts = [_block_text(block) for block in blocks]
    calls: Sequence[ToolCall] = ()
    if isinstance(message, AIMessage):
        parts = [strip_reasoning(part).strip() if "<" in part else part for part in parts]
        if not any(parts):
            parts.append(str(message.additional_kwargs.get("refusal") or ""))
        calls = message.tool_calls
    parts += [_call_text(call) for call in calls if call["name"] not in hidden]
    return "\n".join(part for part in parts if part)


def fingerprint_text(message: AnyMessage) -> str:
    """Return a message as the text of which fingerprints are made. Databases hold them, so this never changes."""
    blocks = message.content if isinstance(message.content, list) else [message.content]
    parts = []
    for block in blocks:
        kind = block if isinstance(block, str) else str(block.get("type") or "")
        if isinstance(block, str):
            parts.append(block)
        elif kind in ("text", "input_text", "output_text"):
            parts.append(str(block.get("text", "")))
        elif kind not in ("tool_use", "tool_call", "reasoning", "thinking"):
            parts.append(f"[{kind.removesuffix('_url') or 'attachment'}]")
    parts += [_call_text(call) for call in (message.tool_calls if isinstance(message, AIMessage) else ())]
    return "\n".join(part for part in parts if part)


def strip_reasoning(text: str, closing_only: bool = False) -> str:
    """Return a text without the reasoning that a model wrote into it between tags such as `<think>`.

    closing_only: True if a closing tag alone ends reasoning, too: some servers leave the opening one in the prompt.
    """
    stripped = _REASONING_START.sub("", _REASONING.sub("", text))
    return _REASONING_END.sub("", stripped) if closing_only else stripped


def utterance(message: AnyMessage) -> str:
    """Return the words of a user or an agent in a message, without tool calls; an empty text for other messages."""
    if not isinstance(message, HumanMessage | AIMessage) or not is_readable(message):
        return ""
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return _limit_text(message, [call["name"] for call in calls]).strip()


def last_question(messages: Sequence[AnyMessage]) -> str:
    """Return the user's last message as a search query; an empty text if there is none."""
    for message in reversed(messages):
        if _is_question(message):
            text = message_text(message)
            return text[: _chars_within(text, MAX_QUERY_TOKENS)]
    return ""


def last_exchange(messages: Sequence[AnyMessage]) -> str:
    """Return the question before the user's last message and the ends of its answer, as a search query; else empty."""
    before = _before_last_question(messages)
    question, answer = last_question(before), _last_answer(before)
    if not answer:
        return ""
    return f"{truncate(question, MAX_EXCHANGE_CHARS)}\n{truncate(answer, MAX_EXCHANGE_CHARS)}".strip()


def ask(messages: Sequence[AnyMessage]) -> Query:
    """Return the texts to search for on behalf of the user's last message.

    A message of small talk asks for nothing, unless it assents to what the agent asked or offered, or asks on. One that
    asks what is known about the user asks for all that is theirs.
    """
    text, exchange = last_question(messages), last_exchange(messages)
    if asks_about_user(text):
        return Query("", about_user=True)
    if not is_small_talk(text):
        return Query(text, exchange)
    answer = _last_answer(_before_last_question(messages))
    goes_on = (asks_or_offers(answer) and assents(text)) or "?" in text
    return Query(exchange) if exchange and goes_on else Query("")


def _before_last_question(messages: Sequence[AnyMessage]) -> Sequence[AnyMessage]:
    starts = [index for index, message in enumerate(messages) if _is_question(message)]
    return messages[: starts[-1]] if starts else ()


def _last_answer(messages: Sequence[AnyMessage]) -> str:
    answers = (utterance(message) for message in reversed(messages) if isinstance(message, AIMessage))
    return next((answer for answer in answers if answer), "")


def _is_question(message: AnyMessage) -> bool:
    return isinstance(message, HumanMessage) and is_readable(message)


def _call_text(call: ToolCall) -> str:
    return f"(calls {call['name']} with {json.dumps(call['args'], ensure_ascii=False, default=str)})"


def _block_text(block: Any) -> str:
    """Return the words in a content block, a word in brackets for an attachment, and nothing for other blocks."""
    if isinstance(block, str):
        return block
    if not isinstance(block, Mapping):
        return ""
    kind = str(block.get("type") or "")
    if kind in ("text", "input_text", "output_text") or (not kind and "text" in block):
        text = block.get("text") or ""
        return str(text.get("value", "") if isinstance(text, Mapping) else text)
    if kind == "refusal":
        return str(block.get("refusal") or block.get("text") or "")
    name = kind.removeprefix("input_").removesuffix("_url")
    return f"[{name}]" if name in _ATTACHMENTS else ""


def _is_hidden(message: AnyMessage, hidden: Collection[str]) -> bool:
    """Return True if a message has no text apart from calls or results of hidden tools."""
    if isinstance(message, ToolMessage):
        return message.name in hidden
    calls_hidden_tool = isinstance(message, AIMessage) and any(call["name"] in hidden for call in message.tool_calls)
    return calls_hidden_tool and not message_text(message, hidden)


def _limit_text(message: AnyMessage, hidden: Collection[str] = ()) -> str:
    return truncate_to_tokens(message_text(message, hidden), MESSAGE_TOKENS.get(message.type, 500))


def read_messages(value: Any) -> list[AnyMessage]:
    """Return the value of a channel of messages as messages: its reducer may leave pairs and dicts as they are."""
    parts = list(value) if isinstance(value, list | tuple | deque) else [] if value is None else [value]
    if all(isinstance(part, BaseMessage) for part in parts):
        return parts
    try:
        return list(convert_to_messages(parts))  # type: ignore[arg-type]  # BaseMessage is AnyMessage here
    except (ValueError, TypeError, NotImplementedError):  # the agent's reducer decides what a message is, and complains
        return [part for part in parts if isinstance(part, BaseMessage)]  # type: ignore[misc]
