"""Coalescing: calls of one tick share a batch, without any effect of one caller on another."""

import asyncio
import threading

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from letter_embeddings import INDEX, Counting, letters

from langgraph_learning.postgres import HybridPostgresStore

KEYS = ["k", "l", "m"]


@pytest.fixture
async def plain(database):
    async with HybridPostgresStore.from_conn_string(database) as store:
        yield store


async def test_calls_of_one_tick_are_one_transaction(plain, database):
    """Any number of tasks share the transaction."""
    await asyncio.gather(*(plain.aput(("a",), str(n), {"n": n}) for n in range(500)))

    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT xmin::text) FROM learning_items").fetchone() == (
            500,
            1,
        )


async def test_texts_of_one_tick_are_embedded_once(database):
    """Equal texts of several tasks are sent to the model once."""
    embed = Counting()
    async with HybridPostgresStore.from_conn_string(database, index={**INDEX, "embed": embed}) as store:
        await asyncio.gather(*(store.aput((str(n),), "k", {"text": "abc" if n % 2 else "cab"}) for n in range(10)))

    assert embed.asked == [["cab", "abc"]]


async def test_what_others_ask_changes_no_score(database):
    """Scores of a hybrid search depend on its batch, so searches of different tasks are not put in one batch."""
    async with HybridPostgresStore.from_conn_string(database, index=INDEX, search_mode="hybrid") as store:
        await store.aput(("mine",), "k", {"text": "costs of lunch"})
        await store.aput(("theirs",), "k", {"text": "egress costs of the cloud"})
        (alone,) = await store.asearch(("mine",), query="egress costs")
        ((mine,), _) = await asyncio.gather(*(store.asearch((n,), query="egress costs") for n in ("mine", "theirs")))

    assert mine.score == alone.score


@pytest.mark.parametrize("call", ["asearch", "aput"])
async def test_a_get_does_not_wait_for_the_model_of_another_task(database, call):
    """The other task may search or write: a call that needs no model does not wait for one."""
    may_go_on = threading.Event()

    def slow(texts):
        assert may_go_on.wait(30)
        return letters(texts)

    async with HybridPostgresStore.from_conn_string(database, index={**INDEX, "embed": slow}) as store:
        calls = {"asearch": store.asearch, "aput": store.aput}
        given = {"asearch": {"query": "abc"}, "aput": {"key": "k", "value": {"text": "abc"}}}
        waiting = asyncio.create_task(calls[call](("a",), **given[call]))
        assert await store.aget(("a",), "k") is None
        assert not waiting.done()
        may_go_on.set()
        await waiting


async def test_a_text_that_cannot_be_embedded_fails_alone(database):
    """The model rejects one text of three."""

    def choosy(texts):
        if "refused" in texts:
            raise ValueError("no such language")
        return letters(texts)

    async with HybridPostgresStore.from_conn_string(database, index={**INDEX, "embed": choosy}) as store:
        puts = [store.aput(("a",), text, {"text": text}) for text in ("one", "refused", "two")]
        _, refused, _ = await asyncio.gather(*puts, return_exceptions=True)

        assert isinstance(refused, ValueError)
        assert {item.key for item in await store.asearch(("a",))} == {"one", "two"}


async def test_what_one_task_reads_another_may_change(plain):
    """Equal searches run once, but each task gets values of its own."""
    await plain.aput(("a",), "k", {"names": ["Ann"]})
    (mine,), (other,) = await asyncio.gather(plain.asearch(("a",)), plain.asearch(("a",)))
    mine.value["names"].append("Bob")

    assert other.value == {"names": ["Ann"]}


async def test_a_cancelled_task_takes_nobody_along(plain):
    """The other calls of its tick get their results."""
    cancelled, *others = [asyncio.create_task(plain.aput(("a",), str(n), {"n": n})) for n in range(3)]
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(*others)

    assert {"1", "2"} <= {item.key for item in await plain.asearch(("a",))}


async def test_work_that_nobody_waits_for_any_more_is_stopped(database):
    """The batch is cancelled with the last of its tasks."""
    started, stopped = asyncio.Event(), asyncio.Event()

    async def endless(texts):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    async with HybridPostgresStore.from_conn_string(database, index={**INDEX, "embed": endless}) as store:
        tasks = [asyncio.create_task(store.aput(("a",), str(n), {"text": "abc"})) for n in range(2)]
        await started.wait()
        for task in tasks:
            task.cancel()
        await asyncio.wait_for(stopped.wait(), 30)


@pytest.mark.parametrize("bad", [False, True])
async def test_of_many_puts_of_a_key_the_last_one_wins(plain, bad):
    """This holds across several batches, and if one of the puts fails."""
    calls = [(f"k{n % 2}", {"n": n}) for n in range(2100)] + [("bad", {"text": "nul \x00"})] * bad
    await asyncio.gather(*(plain.aput(("a",), *call) for call in calls), return_exceptions=True)

    assert {item.key: item.value["n"] for item in await plain.asearch(("a",))} == {"k0": 2098, "k1": 2099}


CALLS = st.tuples(st.sampled_from(KEYS), st.none() | st.integers(0, 9) | st.just("nul \x00"))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.lists(st.lists(CALLS, min_size=1, max_size=12), min_size=1, max_size=4))
def test_ticks_leave_what_their_calls_would_leave_one_after_the_other(database, ticks):
    """Property: any calls in any ticks leave the same items as one after the other; calls that fail leave nothing."""

    async def main():
        async with HybridPostgresStore.from_conn_string(database) as store:
            await asyncio.gather(*(store.adelete(("a",), key) for key in KEYS))
            for tick in ticks:
                await asyncio.gather(*(_called(store, *call) for call in tick), return_exceptions=True)
            return {item.key: item.value["n"] for item in await store.asearch(("a",))}

    last = {key: n for tick in ticks for key, n in tick if not isinstance(n, str)}
    assert asyncio.run(main()) == {key: n for key, n in last.items() if n is not None}


def _called(store, key, n):
    return store.adelete(("a",), key) if n is None else store.aput(("a",), key, {"n": n})
