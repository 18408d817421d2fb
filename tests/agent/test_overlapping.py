"""Runs of one thread that overlap: each of them is learnt from, or says that it was not."""

import asyncio
from typing import Any

import pytest
from langchain.agents import create_agent
from langgraph.store.base import BaseStore
from people import ALEX, echo, learner, machine, notes_what_users_say, said, thread

from langgraph_learning import UserMemory
from langgraph_learning.errors import Conflict


@pytest.mark.parametrize("world", ["sync", "async"])
@pytest.mark.parametrize("runs", [2, 8, 30])
async def test_overlapping_runs_of_one_thread_are_all_learnt_from(postgres_store, runs, world):
    """They wait for each other, and ask the model once each: their messages are different."""
    stores = [UserMemory(limit=100)]
    learning = machine(
        notes_what_users_say, stores, store=postgres_store, on_error="report", store_timeout=None
    )  # waiting for each other counts as waiting for the store
    agent = create_agent(echo(), [], middleware=[learning.middleware()], store=postgres_store)

    async def run(number: int) -> Any:
        arguments = said(f"Fact number {number}"), thread("t")
        if world == "async":
            return await agent.ainvoke(*arguments, context=ALEX)
        return await asyncio.to_thread(agent.invoke, *arguments, context=ALEX)

    results = await asyncio.gather(*map(run, range(runs)))
    learnt = await asyncio.to_thread(learning.learnings, ALEX)
    await postgres_store.aclose()

    assert [[]] * runs == [list(result.get("learning_errors") or ()) for result in results]
    assert {f"Fact number {number}" for number in range(runs)} == {found.text for found in learnt}
    assert runs == len(learnt)
    assert runs == len(learner(learning).shown)


def test_what_could_not_be_learnt_is_reported(postgres_store):
    """State and stream say so, where the cursor never holds."""

    class Busy:
        """The store, with somebody who is always quicker."""

        def __init__(self, store: Any) -> None:
            self._store = store

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

    class BusyStore(BaseStore):
        def batch(self, ops: Any) -> Any:
            return postgres_store.batch(ops)

        async def abatch(self, ops: Any) -> Any:
            return await postgres_store.abatch(ops)

        def transact(self, ops: Any, **options: Any) -> Any:
            raise Conflict

        atransact = history = ahistory = transact

    store = BusyStore()
    learning = machine(notes_what_users_say, store=store, on_error="report")
    agent = create_agent(echo(), [], middleware=[learning.middleware()], store=store)
    parts = list(agent.stream(said("I like tea"), thread("t"), context=ALEX, stream_mode=["custom", "values"]))
    events = [
        part["learning"]["learning_failed"]
        for mode, part in parts
        if mode == "custom" and "learning_failed" in part["learning"]
    ]

    assert "Conflict" in events[-1]
    assert events == parts[-1][1]["learning_errors"]
    assert "You said: I like tea" == parts[-1][1]["messages"][-1].text
