"""What the agent is shown: the parts of all learning stores, joined within a budget of tokens."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph._internal._constants import CONFIG_KEY_READ  # LangGraph has no public way to read a channel in a node
from langgraph.config import get_config
from pydantic import BaseModel, ConfigDict

from langgraph_learning.core.flow import Flow, flow_of
from langgraph_learning.core.keys import INSTRUCTIONS
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import Place
from langgraph_learning.core.transcript import tokens_in
from langgraph_learning.errors import Misconfigured
from langgraph_learning.stores.base import Asked, LearningStore

PREAMBLE, ORDERS = (
    part.strip() for part in Path(__file__).with_suffix(".md").read_text(encoding="utf-8").split("\n---\n")
)
"""How data is to be read, and how instructions are."""
DATA, NEAR = "learned", "learned_for_this_question"
_BLOCKS = re.compile(rf"<(?=/?(?:{INSTRUCTIONS}|{DATA}|{NEAR})\b)", re.IGNORECASE)
CHANNEL = "learning_context"
MESSAGE_ID = "langgraph-learning"
"""The reserved id of the system message that carries what was learnt to a model."""


class Shown(BaseModel):
    """What one run shows its agent. Never saved: it travels in a channel that is not checkpointed."""

    model_config = ConfigDict(frozen=True)

    stable: str = ""
    """What changes rarely. It follows the agent's own instructions, so that prompt caches hold."""
    relevant: str = ""
    """What depends on the question. It goes with the question, at the end of the prompt."""
    learnings: tuple[Place, ...] = ()
    """Namespace and key of everything shown."""

    def with_question(self) -> "Shown":
        """Return the same, all of it to go with the question."""
        return Shown(relevant=str(self), learnings=self.learnings)

    def __str__(self) -> str:
        """Return both parts as one text."""
        return "\n\n".join(part for part in (self.stable, self.relevant) if part)


_shown: ContextVar[Shown | None] = ContextVar("langgraph_learning_shown", default=None)


def learned_context() -> str:
    """Return what was learnt that matters to this run, to be put into a prompt; empty if there is nothing.

    To be called in the node that calls the model. Raises `Misconfigured` where no context was built in this run:
    outside a graph that learns, or after an interrupt in a node that was not added as `machine.nodes.agent(…)`.
    """
    if (shown := _shown.get()) is not None:
        return str(shown)
    try:
        found = built(get_config())
    except RuntimeError:  # not in a graph at all
        found = None
    if found is None:
        raise Misconfigured(
            "No learned context was built in this run. Put machine.nodes.recall and machine.nodes.build_context before "
            "this node, and add it as machine.nodes.agent(your_node) if the graph can be interrupted."
        )
    return str(found)


def built(config: RunnableConfig) -> Shown | None:
    """Return what was built in this run, or None: in another graph, or after an interrupt."""
    try:
        found = config["configurable"][CONFIG_KEY_READ](CHANNEL)
    except KeyError:
        return None
    return None if found is None else Shown.model_validate(found)


def current() -> Shown | None:
    """Return what the agent that is answering is shown, inside `showing`."""
    return _shown.get()


@contextmanager
def showing(shown: Shown) -> Iterator[None]:
    """Let `learned_context()` return this inside the block."""
    token = _shown.set(shown)
    try:
        yield
    finally:
        _shown.reset(token)


def handed_on(update: Any, shown: Shown, config: RunnableConfig) -> Any:
    """Return an agent's update with what it was shown, where no channel holds it: credit for the answer needs it."""
    if built(config) is not None or not isinstance(update, Mapping):
        return update
    return {**update, CHANNEL: shown.model_dump(mode="json")}


def build(
    stores: Sequence[LearningStore], recalled: Mapping[str, Sequence[Learning]], asked: Asked, budget: int
) -> Flow[Shown]:
    """Render at most `budget` tokens of what was recalled: every store gets a fair share, what it leaves goes on.

    Instructions come first and may take all of it; nothing else can open or close their block.
    """
    parts: dict[str, list[str]] = {INSTRUCTIONS: [], DATA: [], NEAR: []}
    keys: list[Place] = []
    # What rarely changes comes first and keeps its place in the prompt.
    by_place = sorted(stores, key=lambda store: (not store.instructs, not store.stable))
    filled = [store for store in by_place if recalled.get(store.name)]
    for number, store in enumerate(filled):
        share = budget if store.instructs else budget // (len(filled) - number)
        text, kept = yield from _fitting(store, recalled[store.name], asked, share)
        budget -= tokens_in(text)
        if text:
            parts[_block_of(store)].append(_part(store, text))
            keys += [(learning.namespace, learning.key) for learning in kept]
    # How to read all of it stands in the stable part, so that it is said once and cached.
    data = _block(DATA, [PREAMBLE, *parts[DATA]] if parts[DATA] or parts[NEAR] else [])
    orders = _block(INSTRUCTIONS, [ORDERS, *parts[INSTRUCTIONS]] if parts[INSTRUCTIONS] else [])
    stable = "\n\n".join(block for block in (orders, data) if block)
    return Shown(stable=stable, relevant=_block(NEAR, parts[NEAR]), learnings=tuple(keys))


def inject(messages: Sequence[AnyMessage], shown: Shown) -> list[AnyMessage]:
    """Return the messages as the model is to see them. The given messages are not changed."""
    seen = list(messages)
    place = _last_question(seen)
    system = shown.stable if place is not None else str(shown)
    if shown.relevant and place is not None:
        seen[place] = append(seen[place], shown.relevant)
    if not system:
        return seen
    if seen and isinstance(seen[0], SystemMessage):
        return [append(seen[0], system), *seen[1:]]
    return [SystemMessage(system, id=MESSAGE_ID), *seen]


def append(message: AnyMessage, text: str) -> AnyMessage:
    """Return a copy of a message with a text after its content."""
    if isinstance(message.content, str):
        return message.model_copy(update={"content": f"{message.content}\n\n{text}" if message.content else text})
    block: dict[str, Any] = {"type": "text", "text": text}
    return message.model_copy(update={"content": [*message.content, block]})


def strip(output: Any, given: Sequence[AnyMessage], seen: Sequence[AnyMessage]) -> Any:
    """Return a node's output with the messages as they were before `inject`, wherever the node hands them back."""
    added = {id(message) for message in seen} - {id(message) for message in given}
    originals = {message.id: message for message in given if message.id}
    changed = {message.id for message in seen if id(message) in added}

    def restored(value: Any) -> Any:
        if isinstance(value, list | tuple):
            kept = [restored(part) for part in value if getattr(part, "id", None) != MESSAGE_ID]
            return kept if isinstance(value, list) else type(value)(kept) if type(value) is tuple else value
        if isinstance(value, dict):
            return {key: restored(part) for key, part in value.items()}
        if isinstance(value, HumanMessage | SystemMessage) and value.id in changed and value in seen:
            return originals.get(value.id or "", value)
        return value

    return restored(output)


def _fitting(
    store: LearningStore, found: Sequence[Learning], asked: Asked, room: int
) -> Flow[tuple[str, Sequence[Learning]]]:
    """Return the text of the best that fits, with a mark where something was cut."""
    kept = list(found)
    while kept:
        text = yield from flow_of(store.build_context(kept, asked))
        missing = len(found) - len(kept)
        text = f"{text}\n[… {missing} more not shown]" if missing else text
        if tokens_in(text) <= room:
            return text, kept
        kept = kept[: min(len(kept) - 1, len(kept) * room // tokens_in(text))]
    return "", []


def _block_of(store: LearningStore) -> str:
    """Return the block in which a store's part belongs."""
    return INSTRUCTIONS if store.instructs else DATA if store.stable else NEAR


def _part(store: LearningStore, text: str) -> str:
    """Return a store's part. Data stays data, even where a store of one's own shows stored text as it is."""
    if store.instructs:
        return text
    return f"<{store.name}>\n{store.title}:\n{_BLOCKS.sub('&lt;', text)}\n</{store.name}>"


def _block(name: str, parts: Sequence[str]) -> str:
    return "\n".join([f"<{name}>", *parts, f"</{name}>"]) if parts else ""


def _last_question(messages: Sequence[AnyMessage]) -> int | None:
    places = [place for place, message in enumerate(messages) if isinstance(message, HumanMessage)]
    return places[-1] if places else None
