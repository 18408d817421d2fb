"""What the agent is shown: the parts of all learning stores, joined within a budget of tokens."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from langgraph_learning.core.flow import Flow, as_flow
from langgraph_learning.core.keys import INSTRUCTIONS_BLOCK
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import ItemRef
from langgraph_learning.core.transcript import count_tokens
from langgraph_learning.stores.base import LearningStore, Request

PREAMBLE, ORDERS = (
    part.strip() for part in Path(__file__).with_suffix(".md").read_text(encoding="utf-8").split("\n---\n")
)
"""How data is to be read, and how instructions are."""
DATA, NEAR = "learned", "learned_for_this_question"
_BLOCKS = re.compile(rf"<(?=/?(?:{INSTRUCTIONS_BLOCK}|{DATA}|{NEAR})\b)", re.IGNORECASE)


class AgentContext(BaseModel):
    """What one run shows its agent. Never saved: it travels in a channel that is not checkpointed."""

    model_config = ConfigDict(frozen=True)

    stable: str = ""
    """What changes rarely. It follows the agent's own instructions, so that prompt caches hold."""
    relevant: str = ""
    """What depends on the question. It goes with the question, at the end of the prompt."""
    learnings: tuple[ItemRef, ...] = ()
    """Namespace and key of everything shown."""

    def with_question(self) -> "AgentContext":
        """Return the same, all of it to go with the question."""
        return AgentContext(relevant=str(self), learnings=self.learnings)

    def __str__(self) -> str:
        """Return both parts as one text."""
        return "\n\n".join(part for part in (self.stable, self.relevant) if part)


def build_agent_context(
    stores: Sequence[LearningStore], recalled: Mapping[str, Sequence[Learning]], asked: Request, budget: int
) -> Flow[AgentContext]:
    """Render at most `budget` tokens of what was recalled: every store gets a fair share, what it leaves goes on.

    Instructions come first and may take all of it; nothing else can open or close their block.
    """
    parts: dict[str, list[str]] = {INSTRUCTIONS_BLOCK: [], DATA: [], NEAR: []}
    keys: list[ItemRef] = []
    # What rarely changes comes first and keeps its place in the prompt.
    by_place = sorted(stores, key=lambda store: (not store.instructs, not store.stable))
    filled = [store for store in by_place if recalled.get(store.name)]
    for number, store in enumerate(filled):
        share = budget if store.instructs else budget // (len(filled) - number)
        text, kept = yield from _render_within(store, recalled[store.name], asked, share)
        budget -= count_tokens(text)
        if text:
            parts[_block_of(store)].append(_part(store, text))
            keys += [(learning.namespace, learning.key) for learning in kept]
    # How to read all of it stands in the stable part, so that it is said once and cached.
    data = _block(DATA, [PREAMBLE, *parts[DATA]] if parts[DATA] or parts[NEAR] else [])
    orders = _block(INSTRUCTIONS_BLOCK, [ORDERS, *parts[INSTRUCTIONS_BLOCK]] if parts[INSTRUCTIONS_BLOCK] else [])
    stable = "\n\n".join(block for block in (orders, data) if block)
    return AgentContext(stable=stable, relevant=_block(NEAR, parts[NEAR]), learnings=tuple(keys))


def _render_within(
    store: LearningStore, found: Sequence[Learning], asked: Request, room: int
) -> Flow[tuple[str, Sequence[Learning]]]:
    """Return the text of the best that fits, with a mark where something was cut."""
    kept = list(found)
    while kept:
        text = yield from as_flow(store.build_context(kept, asked))
        missing = len(found) - len(kept)
        text = f"{text}\n[… {missing} more not shown]" if missing else text
        if count_tokens(text) <= room:
            return text, kept
        kept = kept[: min(len(kept) - 1, len(kept) * room // count_tokens(text))]
    return "", []


def _block_of(store: LearningStore) -> str:
    """Return the block in which a store's part belongs."""
    return INSTRUCTIONS_BLOCK if store.instructs else DATA if store.stable else NEAR


def _part(store: LearningStore, text: str) -> str:
    """Return a store's part. Data stays data, even where a store of one's own shows stored text as it is."""
    if store.instructs:
        return text
    return f"<{store.name}>\n{store.title}:\n{_BLOCKS.sub('&lt;', text)}\n</{store.name}>"


def _block(name: str, parts: Sequence[str]) -> str:
    return "\n".join([f"<{name}>", *parts, f"</{name}>"]) if parts else ""
