"""LangChain agent of `benchmarks.turn`: without learning, with the middleware, and wrapped."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import AIMessageChunk, BaseMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.store.postgres import PostgresStore

from benchmarks.contender import TEAM, Answered, Speaker, clock, fill_in_name, serialize_messages
from benchmarks.conversation import GOAL, INSTRUCTIONS, PLAN, Turn
from langgraph_learning import (
    EntityMemory,
    LearnedKnowledge,
    LearningContext,
    LearningMachine,
    Scope,
    SessionContext,
    UserMemory,
    UserProfile,
)
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.testing import HashEmbeddings, ScriptedModel

STORES = {"memory": "InMemoryStore", "postgres": "PostgresStore", "hybrid": "HybridPostgresStore"}
FORMS = ("middleware", "wrap")
INDEX: Any = {"dims": 256, "embed": HashEmbeddings(256), "fields": ["text"]}
POOL: Any = {"min_size": 1, "max_size": 4}


class Ours:
    """An agent without learning, or with it through the middleware or through `wrap`."""

    def __init__(
        self,
        store_name: str,
        form: str | None,
        store: BaseStore,
        saver: BaseCheckpointSaver[str],
        latency: float = 0.0,
    ) -> None:
        place = STORES[store_name]
        self.name = f"create_agent + {form}, {place}" if form else f"create_agent alone ({place}'s checkpointer)"
        self.without = f"create_agent alone ({place}'s checkpointer)" if form else None
        self._turn: tuple[Speaker, Turn] | None = None
        self._latency = latency
        self._model = ScriptedModel(lambda _: self._current_turn()[1].answered)
        self._extractor = ScriptedModel(lambda _: {"edits": edits(*self._current_turn())})
        self._graph = self._build_graph(form, store, saver)

    def answer(self, speaker: Speaker, turn: Turn) -> Answered:
        """Let the agent answer one turn as a stream, to the end of the run."""
        self._turn = (speaker, turn)
        agent, learning = len(self._model.calls), len(self._extractor.calls)
        asked: Any = {"messages": [("user", fill_in_name(turn.said, speaker))]}
        with clock() as measured:
            for part in self._graph.stream(
                asked,
                {"configurable": {"thread_id": speaker.thread}},
                context=LearningContext(user_id=speaker.user, team_ids=(TEAM,)),
                stream_mode="messages",
            ):
                message = part[0]
                measured.word(message.text if isinstance(message, AIMessageChunk) else "")
        calls = len(self._model.calls) - agent + len(self._extractor.calls) - learning
        prompt = serialize_messages(_plain(message) for message in self._model.calls[agent].messages)
        return Answered(measured.first or 0.0, measured.whole, calls, prompt)

    def _build_graph(
        self, form: str | None, store: BaseStore, saver: BaseCheckpointSaver[str]
    ) -> CompiledStateGraph[Any, Any, Any, Any]:
        made: dict[str, Any] = {"system_prompt": INSTRUCTIONS, "context_schema": LearningContext}
        if form is None:
            return create_agent(self._model, [], checkpointer=saver, **made)
        machine = LearningMachine(
            self._extractor,
            [
                UserProfile(),
                UserMemory(),
                SessionContext(planning=True),
                EntityMemory(scope=Scope.TEAM),
                LearnedKnowledge(scope=Scope.TEAM),
            ],
            on_error="raise",
        )
        if form == "wrap":
            return machine.wrap(create_agent(self._model, [], **made), store=store, checkpointer=saver)
        return create_agent(self._model, [], middleware=[machine.middleware()], store=store, checkpointer=saver, **made)

    def _current_turn(self) -> tuple[Speaker, Turn]:
        if self._turn is None:
            raise RuntimeError("The model was called outside a turn.")
        time.sleep(self._latency)
        return self._turn


def edits(speaker: Speaker, turn: Turn) -> list[dict[str, Any]]:
    """Return the edits that an extraction model would find in a turn."""
    found: list[dict[str, Any]] = [
        {"edit": "profile_field", "field": field, "value": fill_in_name(value, speaker)}
        for field, value in turn.profile
    ]
    if turn.observation:
        found.append({"edit": "observation", "observation": turn.observation})
    for entity, fact in turn.facts:
        found.append({"edit": "entity", "entity": entity, "type": "project", "aliases": []})
        found.append({"edit": "fact", "entity": entity, "fact": fact, "as_of": None})
    if turn.insight:
        title, insight = turn.insight
        insight_fields = {"category": "pattern", "title": title, "insight": insight, "when_to_apply": None}
        found.append({"edit": "insight", **insight_fields})
    plan = [{"text": step, "status": "open"} for step in PLAN]
    summary = fill_in_name(turn.summary, speaker)
    found.append({"edit": "session", "summary": summary, "goal": GOAL, "plan": plan, "progress": None})
    return [{**edit, "replaces": None, "message": 1} for edit in found]


@contextmanager
def storage(name: str, url: str | None) -> Iterator[tuple[BaseStore, BaseCheckpointSaver[str]]]:
    """Give a store of one kind and a checkpointer, both set up."""
    if name == "memory" or url is None:
        yield InMemoryStore(index=INDEX), InMemorySaver()
        return
    with PostgresSaver.from_conn_string(url) as saver, _postgres_store(name, url) as store:
        saver.setup()
        store.setup()
        yield store, saver


def _postgres_store(name: str, url: str) -> Any:
    if name == "postgres":
        return PostgresStore.from_conn_string(url, pool_config=POOL, index=INDEX)
    return HybridPostgresStore.from_conn_string(url, index=INDEX, pool=POOL, search_mode="hybrid")


def _plain(message: BaseMessage) -> tuple[str, Any, Any]:
    roles = {"human": "user", "ai": "assistant"}
    return roles.get(message.type, message.type), message.content, getattr(message, "tool_calls", None) or None
