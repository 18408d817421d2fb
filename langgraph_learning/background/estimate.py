"""Estimate: what learning from a conversation will cost, before any model is asked."""

import json
from dataclasses import dataclass

from langgraph_learning.core.flow import Flow
from langgraph_learning.core.transcript import count_tokens, split_chunks, transcript_lines
from langgraph_learning.extract.cursor import find_unread, read_cursor
from langgraph_learning.extract.extraction import Extraction
from langgraph_learning.extract.metrics import estimate_tokens
from langgraph_learning.extract.prompt import render_prompt
from langgraph_learning.stores.base import Turn

TOKENS_PER_EDIT = 60
"""Tokens of one edit in an answer, about."""
LINES_PER_EDIT = 4
"""Messages per edit, about: most of a conversation teaches nothing."""


@dataclass(frozen=True)
class Estimate:
    """Expected cost of learning."""

    messages: int = 0
    """Messages that were not learnt from yet."""
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Tokens that will be sent and received."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Estimate") -> "Estimate":
        """Return the cost of both."""
        return Estimate(
            self.messages + other.messages,
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )


def estimate_cost(extraction: Extraction, turn: Turn, max_chunks: int | None = None) -> Flow[Estimate]:
    """Return what learning from the unread messages of a conversation will cost; nothing if no user says anything.

    max_chunks: number of calls to which the estimate is limited.
    """
    unread = find_unread(turn, (yield from read_cursor(turn.caller, turn.originals))).messages
    if not any(message.type == "human" for message in unread) or not turn.caller.learn:
        return Estimate()
    lines = transcript_lines(unread, turn.caller.user)
    if not extraction.asks_model:
        return Estimate(messages=len(lines))
    chunks = split_chunks(lines, extraction.budget)[:max_chunks]
    lines = [line for chunk in chunks for line in chunk]
    sent = len(chunks) * count_fixed_tokens(extraction, turn) + sum(line.tokens for line in lines)
    return Estimate(len(lines), len(chunks), sent, len(lines) * TOKENS_PER_EDIT // LINES_PER_EDIT)


def count_fixed_tokens(extraction: Extraction, turn: Turn) -> int:
    """Return the tokens of an extraction's instructions and schema, whatever is said."""
    prompt = render_prompt(extraction.stores, extraction.budget, turn, (), (), {}, (), ())
    return estimate_tokens(prompt) + count_tokens(json.dumps(extraction.questioner.schema, separators=(",", ":")))
