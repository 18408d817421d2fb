"""Agno's agent with and without its LearningMachine, set up as its documentation says.

It has all learning stores of Agno's demo: profile, memory and session are extracted in every turn, entities are written
by the agent's tools (Agno has no other mode for them), and so is learned knowledge unless the mode is "always".
The scripted model favours Agno as far as a model can: it answers every extraction at once with one batch of tool calls,
and gives the agent's answer in the same message as its tool calls, so that no tool delays the first word.
"""

import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

from agno.agent import Agent
from agno.db.postgres import PostgresDb
from agno.knowledge import Knowledge
from agno.knowledge.embedder.base import Embedder
from agno.learn import (
    EntityMemoryConfig,
    LearnedKnowledgeConfig,
    LearningMachine,
    LearningMode,
    SessionContextConfig,
)
from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.run.agent import RunContentEvent
from agno.vectordb.pgvector import PgVector, SearchType

from benchmarks.contender import TEAM, Answered, Speaker, clock, fill_in_name, serialize_messages
from benchmarks.conversation import GOAL, INSTRUCTIONS, PLAN, Turn
from langgraph_learning.testing import HashEmbeddings

ALONE = "Agno alone (PostgresDb)"
WHOLE_HISTORY = 1_000


@dataclass
class Script:
    """The script of the model, and what the model received. Agno copies its models; all copies share this object."""

    speaker: Speaker | None = None
    turn: Turn | None = None
    latency: float = 0.0
    sent: list[tuple[list[Message], set[str]]] = field(default_factory=list)

    def __deepcopy__(self, _: Any) -> "Script":
        return self

    def reply(self, messages: list[Message], tools: set[str]) -> ModelResponse:
        """Return the answer to one call. The tools that it offers show whether it is an extraction."""
        self.sent.append((list(messages), tools))
        if self.turn is None or self.speaker is None:
            raise RuntimeError("The model was called outside a turn.")
        time.sleep(self.latency)
        extraction = tools & {"update_profile", "add_memory", "save_session_context", "mark_superseded"}
        extraction |= {"save_learning"} if tools == {"save_learning"} else set()
        words = "Done." if extraction or messages[-1].role == "tool" else self.turn.answered
        if messages[-1].role == "tool":
            return ModelResponse(role="assistant", content=words)
        calls = [call for call in tool_calls(self.speaker, self.turn) if call[0] in tools]
        return ModelResponse(role="assistant", content=words, tool_calls=[_call(*call) for call in calls])


@dataclass
class ScriptedAgnoModel(Model):
    """A model that answers from a script."""

    id: str = "scripted"
    script: Script = field(default_factory=Script)

    def invoke(self, *_: Any, messages: list[Message], tools: Any = None, **__: Any) -> ModelResponse:
        """Return the next answer."""
        return self.script.reply(messages, {self._tool_name(tool) for tool in tools or ()})

    async def ainvoke(self, *_: Any, **given: Any) -> ModelResponse:
        """`invoke` for async callers."""
        return self.invoke(**given)

    def invoke_stream(self, *_: Any, **given: Any) -> Iterator[ModelResponse]:
        """Yield the answer word by word, then the tool calls."""
        whole = self.invoke(**given)
        for word in str(whole.content).split(" "):
            yield ModelResponse(role="assistant", content=f"{word} ")
        if whole.tool_calls:
            yield ModelResponse(tool_calls=whole.tool_calls)

    async def ainvoke_stream(self, *_: Any, **given: Any) -> AsyncIterator[ModelResponse]:
        """`invoke_stream` for async callers."""
        for part in self.invoke_stream(**given):
            yield part

    def _parse_provider_response(self, response: Any, **_: Any) -> ModelResponse:
        return response  # type: ignore[no-any-return]  # the script answers in Agno's own form

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        return response  # type: ignore[no-any-return]  # the script answers in Agno's own form


@dataclass
class HashEmbedder(Embedder):
    """Our `HashEmbeddings` behind Agno's interface."""

    dimensions: int | None = 256

    def get_embedding(self, text: str) -> list[float]:
        """Return the vector of a text."""
        return HashEmbeddings(256).embed_query(text)

    def get_embedding_and_usage(self, text: str) -> tuple[list[float], dict[str, Any] | None]:
        """Return the vector of a text."""
        return self.get_embedding(text), None


class Agno:
    """An Agno agent with or without the LearningMachine."""

    def __init__(self, url: str, *, learning: bool, knowledge: str = "agentic", latency: float = 0.0) -> None:
        self.name = f"Agno + LearningMachine, PostgresDb, knowledge {knowledge}" if learning else ALONE
        self.without = ALONE if learning else None
        self._script = Script(latency=latency)
        address = url.replace("postgresql://", "postgresql+psycopg://").replace("postgres://", "postgresql+psycopg://")
        db = PostgresDb(db_url=address)
        model = ScriptedAgnoModel(script=self._script)
        self._agent = Agent(
            model=model,
            db=db,
            instructions=INSTRUCTIONS,
            learning=_machine(address, db, model, knowledge) if learning else None,
            add_history_to_context=True,
            num_history_runs=WHOLE_HISTORY,  # the whole thread, as LangGraph's checkpointer gives it
            telemetry=False,
        )

    def answer(self, speaker: Speaker, turn: Turn) -> Answered:
        """Let the agent answer one turn as a stream, to the end of the run."""
        script = self._script
        script.speaker, script.turn, before = speaker, turn, len(script.sent)
        with clock() as measured:
            asked = fill_in_name(turn.said, speaker)
            for event in self._agent.run(asked, stream=True, user_id=speaker.user, session_id=speaker.thread):
                measured.word(event.content if isinstance(event, RunContentEvent) else None)
        sent = script.sent[before:]
        own = next(messages for messages, _ in sent if messages[-1].role == "user" and messages[-1].content == asked)
        prompt = serialize_messages((message.role, message.content, message.tool_calls) for message in own)
        return Answered(measured.first or 0.0, measured.whole, len(sent), prompt)


def tool_calls(speaker: Speaker, turn: Turn) -> list[tuple[str, dict[str, Any]]]:
    """Return the learnings of a turn as calls of Agno's tools."""
    calls: list[tuple[str, dict[str, Any]]] = []
    if turn.profile:
        # Agno's profile has only the two fields for names; the rest goes into its memory.
        known = {"name", "preferred_name"}
        calls += [
            ("update_profile", {field: fill_in_name(value, speaker)}) for field, value in turn.profile if field in known
        ]
        calls += [
            ("add_memory", {"memory": f"{field}: {value}"}) for field, value in turn.profile if field not in known
        ]
    if turn.observation:
        calls.append(("add_memory", {"memory": turn.observation}))
    calls += [
        ("remember_about", {"entity": entity, "entity_type": "project", "facts": [fact]}) for entity, fact in turn.facts
    ]
    if turn.insight:
        calls.append(("save_learning", {"title": turn.insight[0], "learning": turn.insight[1]}))
    session = {"summary": fill_in_name(turn.summary, speaker), "goal": GOAL, "plan": list(PLAN), "progress": []}
    return [*calls, ("save_session_context", session)]


def _machine(address: str, db: PostgresDb, model: Model, knowledge: str) -> LearningMachine:
    vectors = PgVector(
        table_name="learnings_vectors", db_url=address, search_type=SearchType.hybrid, embedder=HashEmbedder()
    )
    return LearningMachine(
        db=db,
        model=model,
        knowledge=Knowledge(vector_db=vectors),
        user_profile=True,
        user_memory=True,
        session_context=SessionContextConfig(enable_planning=True),
        entity_memory=EntityMemoryConfig(namespace=TEAM),
        learned_knowledge=LearnedKnowledgeConfig(mode=LearningMode(knowledge), namespace=TEAM),
    )


def _call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"call_{name}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
