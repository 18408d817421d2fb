"""The fixtures hold what they promise, on every store."""

import psycopg
import pytest
from langgraph.graph import START, MessagesState, StateGraph

from langgraph_learning.testing import ScriptedModel


def answering(checkpointer):
    model = ScriptedModel(lambda messages: f"I know {len(messages)}.")
    builder = StateGraph(MessagesState)
    builder.add_node("agent", lambda state: {"messages": model.invoke(state["messages"])})
    return builder.add_edge(START, "agent").compile(checkpointer=checkpointer)


@pytest.mark.parametrize("attempt", [1, 2])
def test_every_test_has_a_database_of_its_own(database_url, attempt):
    """What one test writes no other sees."""
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE mine (attempt int)")

        assert attempt in (1, 2)


def test_a_store_finds_by_words(store):
    """The text that shares words with the question comes first."""
    store.put(("notes",), "lunch", {"text": "Soup for lunch"})
    store.put(("notes",), "plan", {"text": "The migration has three phases"})

    assert "plan" == store.search(("notes",), query="phases of the migration")[0].key


async def test_an_async_store_finds_by_words(astore):
    """The text that shares words with the question comes first."""
    await astore.aput(("notes",), "lunch", {"text": "Soup for lunch"})
    await astore.aput(("notes",), "plan", {"text": "The migration has three phases"})

    assert "plan" == (await astore.asearch(("notes",), query="phases of the migration"))[0].key


def test_a_checkpointer_continues_a_thread(checkpointer):
    """The second turn sees the first."""
    graph = answering(checkpointer)
    thread = {"configurable": {"thread_id": "t"}}
    graph.invoke({"messages": [("user", "one")]}, thread)

    assert "I know 3." == graph.invoke({"messages": [("user", "two")]}, thread)["messages"][-1].text


async def test_an_async_checkpointer_continues_a_thread(acheckpointer):
    """The second turn sees the first."""
    graph = answering(acheckpointer)
    thread = {"configurable": {"thread_id": "t"}}
    await graph.ainvoke({"messages": [("user", "one")]}, thread)

    assert "I know 3." == (await graph.ainvoke({"messages": [("user", "two")]}, thread))["messages"][-1].text
