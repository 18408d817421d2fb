"""AgentContext, the learnings that an agent sees as text: rendering of all learning stores within a token budget."""

import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from langgraph_learning.core.flow import Flow, as_flow
from langgraph_learning.core.keys import INSTRUCTIONS_BLOCK
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.policy import Standing
from langgraph_learning.core.scopes import ItemRef
from langgraph_learning.core.transcript import CHARS_PER_TOKEN, count_tokens
from langgraph_learning.recall.stripping import add_marks, strip_marked
from langgraph_learning.stores.base import LearningStore, Request
from langgraph_learning.stores.rendering import shorten_learning

DATA_PREAMBLE, INSTRUCTIONS_PREAMBLE = (
    part.strip() for part in Path(__file__).with_suffix(".md").read_text(encoding="utf-8").split("\n---\n")
)
"""Texts that tell the model how to use data and instructions, at the start of their blocks."""
LONG_TEXT = 800
"""Characters of a text that may be shortened so that no other learning has to be left out."""
SHORTEST_TEXT = 100
"""Characters below which no text is shortened."""
DATA_BLOCK, RELEVANT_BLOCK = "learned", "learned_for_this_question"
# Only the tags of our blocks are escaped here. Our stores have escaped stored texts already, and a custom store may
# render markup of its own.
_BLOCK_TAG = re.compile(rf"<(?=/?(?:{INSTRUCTIONS_BLOCK}|{DATA_BLOCK}|{RELEVANT_BLOCK})\b)", re.IGNORECASE)


class AgentContext(BaseModel):
    """The text that one run adds to its agent's prompt. Never saved: its channel is not checkpointed."""

    model_config = ConfigDict(frozen=True)

    stable: str = ""
    """The part that rarely changes. It follows the agent's own instructions, so that prompt caches hold."""
    relevant: str = ""
    """The part that depends on the question. It goes with the question, at the end of the prompt."""
    learnings: tuple[ItemRef, ...] = ()
    """Namespaces and keys of all learnings in it."""
    mark: str = ""
    """Random digits that no user can know: injected text stands between two of them, and is found by them again."""

    def with_question(self) -> "AgentContext":
        """Return a copy in which everything goes with the question."""
        return self.model_copy(update={"stable": "", "relevant": str(self)})

    def marked(self, text: str) -> str:
        """Return a part of the text between the marks of this run."""
        return add_marks(text, self.mark)

    def strip(self, value: Any) -> Any:
        """Return a value, such as a node's output, without what was injected between the marks of this run."""
        return strip_marked(value, self.mark, (str(self), self.relevant))

    def __str__(self) -> str:
        """Return both parts as one text."""
        return "\n\n".join(part for part in (self.stable, self.relevant) if part)


def build_agent_context(
    stores: Sequence[LearningStore], recalled: Mapping[str, Sequence[Learning]], request: Request, budget: int
) -> Flow[AgentContext]:
    """Render recalled learnings in at most `budget` tokens.

    Instructions come first and may use the whole budget. Each other store gets an equal share of the rest; what it does
    not use passes to the next. No store can open or close the block of instructions.
    """
    parts: dict[str, list[str]] = {INSTRUCTIONS_BLOCK: [], DATA_BLOCK: [], RELEVANT_BLOCK: []}
    refs: list[ItemRef] = []
    divided = _divide(stores, recalled)
    for index, (block, store, learnings) in enumerate(divided):
        share = budget if store.instructs else budget // (len(divided) - index)
        text, rendered = yield from _render_within(store, learnings, request, share)
        budget -= count_tokens(text)
        if text:
            parts[block].append(_frame_part(store, text))
            refs += [learning.ref for learning in rendered]
    if parts[DATA_BLOCK] or parts[RELEVANT_BLOCK]:
        # The preamble of both blocks is in the stable one, so that it appears once and is cached.
        parts[DATA_BLOCK].insert(0, DATA_PREAMBLE)
    if parts[INSTRUCTIONS_BLOCK]:
        parts[INSTRUCTIONS_BLOCK].insert(0, INSTRUCTIONS_PREAMBLE)
    blocks = {name: _render_block(name, texts) for name, texts in parts.items()}
    stable = "\n\n".join(block for block in (blocks[INSTRUCTIONS_BLOCK], blocks[DATA_BLOCK]) if block)
    return AgentContext(stable=stable, relevant=blocks[RELEVANT_BLOCK], learnings=tuple(refs), mark=_generate_mark())


def _generate_mark() -> str:
    """Return a new mark. It has digits only, so that it survives a change of case."""
    return f"{secrets.randbelow(10**16):016}"


def _render_within(
    store: LearningStore, recalled: Sequence[Learning], request: Request, budget: int
) -> Flow[tuple[str, Sequence[Learning]]]:
    """Render as many of the best learnings as fit a budget of tokens, with a note on how many were left out.

    Long texts are shortened before any learning is left out, and a text that does not fit hides no other learning.
    """
    text, rendered = yield from _render_best(store, recalled, request, budget, total=len(recalled))
    if len(rendered) == len(recalled):
        return text, rendered
    limit = max(LONG_TEXT, budget * CHARS_PER_TOKEN // len(recalled))
    while limit >= SHORTEST_TEXT:
        shortened = [shorten_learning(store, learning, limit // CHARS_PER_TOKEN) for learning in recalled]
        candidates = yield from _leave_out_oversized(store, shortened, request, budget)
        text, rendered = yield from _render_best(store, candidates, request, budget, total=len(recalled))
        if rendered:
            return text, rendered
        limit //= 2
    return "", []


def _leave_out_oversized(
    store: LearningStore, candidates: Sequence[Learning], request: Request, budget: int
) -> Flow[Sequence[Learning]]:
    """Leave out learnings that take more than half of the budget by themselves, unless all of them do."""
    small = []
    for learning in candidates:
        text = yield from as_flow(store.build_context([learning], request))
        if count_tokens(text) <= budget // 2:
            small.append(learning)
    return small or candidates


def _render_best(
    store: LearningStore, candidates: Sequence[Learning], request: Request, budget: int, *, total: int
) -> Flow[tuple[str, Sequence[Learning]]]:
    """Render the candidates, leaving out the least useful ones until the rest fits; nothing if no learning fits."""
    remaining = list(candidates)
    while remaining:
        text = yield from as_flow(store.build_context(remaining, request))
        if missing := total - len(remaining):
            text = f"{text}\n[… {missing} more not shown]"
        tokens = count_tokens(text)
        if tokens <= budget:
            return text, remaining
        count = min(len(remaining) - 1, len(remaining) * budget // tokens)
        remaining = remaining[:count] if _best_index(store) == 0 else remaining[len(remaining) - count :]
    return "", []


def _best_index(store: LearningStore) -> int:
    """Return the index of the learning to keep longest: a stable part ends with the newest, others begin with the best.

    Instructions are in the order of their sections.
    """
    return -1 if store.standing is Standing.ALWAYS and not store.instructs else 0


def _divide(
    stores: Sequence[LearningStore], recalled: Mapping[str, Sequence[Learning]]
) -> list[tuple[str, LearningStore, Sequence[Learning]]]:
    """Return the learnings of each store by block: first what rarely changes, so that prompts begin in the same way."""
    divided: list[tuple[str, LearningStore, Sequence[Learning]]] = []
    for store in stores:
        learnings = recalled.get(store.name, ())
        lasting = [learning for learning in learnings if store.standing_of(learning) is Standing.ALWAYS]
        others = [learning for learning in learnings if store.standing_of(learning) is not Standing.ALWAYS]
        divided.append((INSTRUCTIONS_BLOCK if store.instructs else DATA_BLOCK, store, lasting))
        divided.append((RELEVANT_BLOCK, store, others))
    order = (INSTRUCTIONS_BLOCK, DATA_BLOCK, RELEVANT_BLOCK)
    return sorted((part for part in divided if part[2]), key=lambda part: order.index(part[0]))


def _frame_part(store: LearningStore, text: str) -> str:
    """Put a store's text under its title. Data cannot leave its block, even if a custom store renders it unescaped."""
    if store.instructs:
        return text
    return f"<{store.name}>\n{store.title}:\n{_BLOCK_TAG.sub('&lt;', text)}\n</{store.name}>"


def _render_block(name: str, parts: Sequence[str]) -> str:
    return "\n".join([f"<{name}>", *parts, f"</{name}>"]) if parts else ""
