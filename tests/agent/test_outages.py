"""A store or an embedding model that fails, hangs or recovers: the agent answers, and nothing that was said is lost."""

import asyncio
import threading
import time
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import Op, PutOp, Result
from langgraph.store.memory import InMemoryStore
from people import ALEX, echo, machine, notes_what_users_say, said, thread

from langgraph_learning import Episodes, LearningContext, LearningMachine, Mode, SelfImprovement, UserMemory
from langgraph_learning.agent.run_context import SeenMessages
from langgraph_learning.errors import Misconfigured, MissingOwner
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.testing import HashEmbeddings, ScriptedModel

LIMIT = 3.0
WAYS = ("middleware", "wrap")


class Outage(InMemoryStore):
    """A store that can be told to fail, or to hang until it is told to go on."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.error: Exception | None = None
        self.calls = 0
        self.failing: Any = lambda ops: True
        self.go_on = threading.Event()
        self.go_on.set()

    def batch(self, ops: Any) -> list[Result]:
        """Fail, hang, or work."""
        ops = list(ops)
        self._break(ops)
        self.go_on.wait(60)
        return super().batch(ops)

    async def abatch(self, ops: Any) -> list[Result]:
        """Fail, hang, or work."""
        ops = list(ops)
        self._break(ops)
        while not self.go_on.is_set():
            await asyncio.sleep(0.01)
        return await super().abatch(ops)

    def _break(self, ops: list[Op]) -> None:
        self.calls += 1
        if self.error and self.failing(ops):
            raise self.error


def agent_of(learning: LearningMachine, way: str, store: Any) -> Any:
    """Return an agent that learns."""
    if way == "wrap":
        return learning.wrap(create_agent(echo(), []), store=store, checkpointer=InMemorySaver())
    return create_agent(echo(), [], middleware=[learning.middleware()], store=store, checkpointer=InMemorySaver())


async def ask(agent: Any, text: str, world: str, **options: Any) -> Any:
    """Run a turn in sync or async code."""
    arguments = (said(text), thread("t"))
    if world == "async":
        return await agent.ainvoke(*arguments, **{"context": ALEX, **options})
    return await asyncio.to_thread(agent.invoke, *arguments, **{"context": ALEX, **options})


def texts(learning: LearningMachine) -> list[str]:
    """Return what is learnt, without dates."""
    return sorted(found.text for found in learning.learnings(ALEX))


@pytest.mark.parametrize("world", ["sync", "async"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "error", [ConnectionError("refused"), ValueError("NaN"), RuntimeError("odd"), TimeoutError("slow")]
)
async def test_a_store_that_fails_costs_the_memory_and_not_the_answer(way, world, error):
    """State and stream say so; what was said meanwhile is learnt, once, when the store is back."""
    store = Outage()
    learning = machine(notes_what_users_say, store=store, on_error="report")
    agent = agent_of(learning, way, store)
    await ask(agent, "I like tea", world)
    store.error = error
    failed = await ask(agent, "I like jazz", world)
    store.error = None
    after = await ask(agent, "I like chess", world)

    assert "You said: I like jazz" == failed["messages"][-1].text
    assert "recall failed, the agent answers without memory" in failed["learning_errors"][0]
    assert "the next turn tries again" in failed["learning_errors"][-1]
    assert str(error) in failed["learning_errors"][0]
    assert not after.get("learning_errors")
    assert ["I like chess", "I like jazz", "I like tea"] == texts(learning)


@pytest.mark.parametrize("world", ["sync", "async"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_store_that_hangs_is_waited_for_once(way, world):
    """One limit holds for the whole turn; what had been sent meanwhile is not done twice."""
    store = Outage()
    learning = machine(notes_what_users_say, store=store, on_error="report", store_timeout=LIMIT)
    agent = agent_of(learning, way, store)
    await ask(agent, "I like tea", world)
    store.go_on.clear()
    started = time.monotonic()
    failed = await ask(agent, "I like jazz", world)
    waited = time.monotonic() - started
    store.go_on.set()
    await ask(agent, "I like chess", world)

    assert "You said: I like jazz" == failed["messages"][-1].text
    assert f"there was no answer within {LIMIT:g} seconds" in failed["learning_errors"][0]
    assert waited < 10 * LIMIT  # the store itself hangs for 60 seconds
    assert ["I like chess", "I like jazz", "I like tea"] == texts(learning)


@pytest.mark.parametrize("world", ["sync", "async"])
async def test_a_store_that_takes_no_writes_leaves_nothing_half_written(world):
    """A disk that is full: recall works, and the next turn learns what this one could not."""
    store = Outage()
    store.failing = lambda ops: any(isinstance(op, PutOp) for op in ops)
    learning = machine(notes_what_users_say, [UserMemory(), Episodes()], store=store, on_error="report")
    agent = agent_of(learning, "middleware", store)
    store.error = OSError("no space left")
    failed = await ask(agent, "I like tea", world)
    none = texts(learning)
    store.error = None
    await ask(agent, "I like jazz", world)

    assert "no space left" in failed["learning_errors"][-1]
    assert [] == none
    assert {"I like jazz", "I like tea"} <= set(texts(learning))


@pytest.mark.parametrize("world", ["sync", "async"])
@pytest.mark.parametrize("vector", ["raises", "hangs", "wrong size", "nan"])
async def test_an_embedding_model_that_fails_costs_the_memory_and_not_the_answer(database_url, vector, world):
    """In the way of a real service: refused, stalled, or answering something else than a vector of this index."""
    embed = BrokenEmbeddings()
    index = {"dims": embed.dims, "embed": embed, "fields": ["text"]}
    with HybridPostgresStore(database_url, index=index, search_mode="hybrid") as store:
        store.setup()
        learning = machine(notes_what_users_say, store=store, on_error="report", store_timeout=LIMIT)
        agent = agent_of(learning, "middleware", store)
        first = await ask(agent, "I like tea", world)
        assert not first.get("learning_errors")
        embed.broken = vector
        failed = await ask(agent, "I like jazz", world)
        embed.broken = ""
        embed.go_on.set()
        await ask(agent, "I like chess", world)
        learnt = texts(learning)
        if world == "async":
            await store.aclose()

    assert "You said: I like jazz" == failed["messages"][-1].text
    assert failed["learning_errors"]
    assert ["I like chess", "I like jazz", "I like tea"] == learnt


class BrokenEmbeddings(HashEmbeddings):
    """An embedding model with several ways to fail."""

    broken = ""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Fail, or embed."""
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Fail, or embed."""
        if self.broken == "raises":
            raise ConnectionError("the embedding service is down")
        if self.broken == "hangs":
            self.go_on.wait(60)
        vector = super().embed_query(text)
        if self.broken == "wrong size":
            return vector[:-1]
        return [float("nan")] * len(vector) if self.broken == "nan" else vector


@pytest.mark.parametrize("context", [None, LearningContext(user_id="")])
async def test_errors_that_the_caller_can_correct_are_raised(context):
    """A run without a user is no outage."""
    learning = machine(notes_what_users_say, store=InMemoryStore(), on_error="report")
    with pytest.raises(MissingOwner):
        await ask(agent_of(learning, "middleware", learning.store), "hi", "sync", context=context)


def test_a_store_without_its_tables_is_an_error(empty_database_url):
    """It will not be there in the next turn, either."""
    with HybridPostgresStore(empty_database_url) as store:
        agent = agent_of(machine(notes_what_users_say, store=store, on_error="report"), "middleware", store)
        with pytest.raises(Misconfigured, match="setup"):
            agent.invoke(said("Any news"), thread("t"), context=ALEX)


def test_what_the_developer_wrote_is_shown_in_an_outage():
    """It was never in the store."""
    store, talk = Outage(), echo()
    learning = machine(
        notes_what_users_say, [SelfImprovement(sections={"answers": "Be brief."})], store=store, on_error="report"
    )
    agent = create_agent(talk, [], middleware=[learning.middleware()], store=store)
    store.error = ConnectionError("refused")
    agent.invoke(said("Any news"), context=ALEX.model_copy(update={"agent_id": "helper"}))

    assert "Be brief." in "\n".join(message.text for message in talk.shown[-1])


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_of_nothing_is_refused(limit):
    """None is how to wait as long as it takes."""
    with pytest.raises(Misconfigured, match="store_timeout"):
        machine(notes_what_users_say, store_timeout=limit)


@pytest.mark.parametrize("world", ["sync", "async"])
@pytest.mark.parametrize(
    "call",
    [("search_learnings", {"query": "tea"}), ("save_observation", {"observation": "Likes tea.", "replaces": None})],
)
async def test_a_tool_that_fails_says_so_and_the_agent_answers(call, world):
    """State and stream report it as well."""
    store, (name, arguments) = Outage(), call
    learning = machine(None, [UserMemory(mode=Mode.AGENTIC)], store=store, on_error="report")
    request = AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": "c1"}])

    def answer(messages: Any) -> Any:
        if messages[-1].type == "tool":
            return str(messages[-1].content)
        store.error = ConnectionError("refused")
        return request

    agent = create_agent(ScriptedModel(answer), [], middleware=[learning.middleware()], store=store)
    result = await ask(agent, "I like tea", world)

    assert "cannot be reached right now" in result["messages"][-1].text
    assert any(f"{name} failed: ConnectionError: refused" == error for error in result["learning_errors"])


# Messages that something removed in the middle of the turn


@tool
def look(q: str) -> str:
    """Look something up."""
    return f"found {q}"


@pytest.mark.parametrize("summary_first", [True, False])
@pytest.mark.parametrize("keep", [2, 20])
@pytest.mark.parametrize("thread_id", [None, "t"])
def test_what_was_summarised_in_the_same_turn_is_learnt(summary_first, keep, thread_id):
    """It was there when the turn began."""
    store, calls = InMemoryStore(), iter(range(1_000))

    def answer(messages: Any) -> Any:
        number = next(calls)
        call = {"name": "look", "args": {"q": "x"}, "id": f"c{number}"}
        return AIMessage("", tool_calls=[call]) if number < 25 else "done"

    learning = machine(notes_what_users_say, [UserMemory(), Episodes()], store=store)
    summary = SummarizationMiddleware(
        model=ScriptedModel(lambda messages: "SUMMARY"), trigger=("messages", 30), keep=("messages", keep)
    )
    middleware = [summary, learning.middleware()] if summary_first else [learning.middleware(), summary]
    agent = create_agent(
        ScriptedModel(answer),
        [look],
        middleware=middleware,
        store=store,
        checkpointer=InMemorySaver() if thread_id else None,
    )
    config = {**(thread(thread_id) if thread_id else {}), "recursion_limit": 500}
    result = agent.invoke(said("I am allergic to peanuts"), config, context=ALEX)

    assert all("peanuts" not in message.text for message in result["messages"])
    learnt = [text for text in texts(learning) if "peanuts" in text]
    assert 2 == len(learnt)
    assert all("SUMMARY" not in text for text in texts(learning))


@pytest.mark.parametrize(
    ("steps", "merged"),
    [
        (["ab", "ab"], "ab"),
        (["ab", "abc"], "abc"),
        (["abcd", "Scd"], "abScd"),
        (["abcd", "Scde", "Tef"], "abScdTef"),
        (["abc", ""], "abc"),
        (["abc", "cab"], "cab"),
        (["abc", "xbz"], "axbzc"),
    ],
)
def test_messages_seen_in_a_turn_are_kept_in_their_order(steps, merged):
    """A message that was removed keeps its place; a new one goes where it is now."""
    seen = SeenMessages()
    for step in steps:
        seen.add([HumanMessage(letter, id=letter) for letter in step])

    assert sorted(merged) == sorted(message.id for message in seen.messages)
    assert len(set(merged)) == len(seen.messages)
    if merged != "axbzc":
        assert merged == "".join(message.id for message in seen.messages)
