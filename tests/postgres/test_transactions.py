"""Transactions: atomic batches, conditional writes and the change log."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from random import Random
from types import MappingProxyType

import psycopg
import pytest
from langgraph.store.base import GetOp, ListNamespacesOp, PutOp, SearchOp

from langgraph_learning.core.learning import Source
from langgraph_learning.core.store_protocol import Expected, TransactionalStore, version_of
from langgraph_learning.errors import Conflict
from langgraph_learning.postgres import HybridPostgresStore, batch, indexing
from langgraph_learning.postgres.indexing import BatchIndexing
from langgraph_learning.postgres.words import read_text


def test_it_speaks_our_protocol(store):
    """The store implements `TransactionalStore`."""
    assert isinstance(store, TransactionalStore)


def test_versions_count_from_one(store):
    """The version grows with every change of the key, also across its deletion."""
    store.put(("a",), "k", {"n": 1})
    assert version_of(store.get(("a",), "k")) == 1
    store.put(("a",), "k", {"n": 2})
    assert [version_of(item) for item in store.search(("a",))] == [2]
    store.delete(("a",), "k")
    store.put(("a",), "k", {"n": 3})
    assert version_of(store.get(("a",), "k")) == 4


def test_a_batch_on_a_version_that_holds_is_carried_out(store):
    """Its reads and its writes are executed."""
    store.put(("a",), "k", {"n": 1})

    (before, _) = store.transact(
        [GetOp(("a",), "k"), PutOp(("a",), "k", {"n": 2})], expected=[Expected(("a",), "k", 1)]
    )
    assert before.value == {"n": 1}
    assert store.get(("a",), "k").value == {"n": 2}


@pytest.mark.parametrize(("key", "version"), [("k", 2), ("k", 0), ("missing", 1)])
def test_a_batch_on_a_version_that_is_gone_writes_nothing(store, key, version):
    """Neither its puts nor its deletes are executed."""
    store.put(("a",), "k", {"n": 1})

    with pytest.raises(Conflict, match="nothing was written"):
        store.transact(
            [PutOp(("a",), "new", {"n": 2}), PutOp(("a",), "k", None)], expected=[Expected(("a",), key, version)]
        )
    assert [item.key for item in store.search(("a",))] == ["k"]
    assert len(store.history(("a",))) == 1


def test_a_key_expected_to_be_missing_may_be_created(store):
    """A conditional batch without a put leaves no placeholder behind."""
    store.transact([PutOp(("a",), "k", {"n": 1})], expected=[Expected(("a",), "k", 0), Expected(("b",), "x", 0)])

    assert [item.key for item in store.search(())] == ["k"]
    assert version_of(store.get(("a",), "k")) == 1
    assert store.list_namespaces() == [("a",)]


def test_of_two_who_create_the_same_key_one_does(store):
    """Two concurrent batches both expect the key to be missing."""

    def create(n):
        try:
            store.transact([PutOp(("a",), "k", {"n": n})], expected=[Expected(("a",), "k", 0)])
        except Conflict:
            return 0
        return 1

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(create, range(16))) == 1


def test_two_hundred_increments_of_four_threads_count_to_two_hundred(store):
    """No increment is lost to a concurrent one."""

    def increment(_):
        for _ in range(50):
            store.update(("a",), "k", lambda value: {"n": (value or {"n": 0})["n"] + 1})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(increment, range(4)))
    assert store.get(("a",), "k").value == {"n": 200}


async def test_an_update_in_an_event_loop(store):
    """`aupdate` returns the value written; None deletes the item."""
    assert await store.aupdate(("a",), "k", lambda value: {"was": value}) == {"was": None}
    assert await store.aupdate(("a",), "k", lambda value: None) is None
    assert await store.aget(("a",), "k") is None
    await store.aclose()


def test_overlapping_batches_never_wait_for_each_other_in_a_circle(database):
    """160 batches put and delete the same keys in different orders, some of them conditionally."""

    def write(seed):
        random = Random(seed)
        keys = random.sample([str(n) for n in range(12)], 8)
        ops = [PutOp(("a",), key, None if random.random() < 0.3 else {"by": seed}) for key in keys]
        expected = [Expected(("b",), key, 0) for key in keys[:2]] if seed % 4 == 0 else []
        store.transact(ops, expected=expected)

    with (
        HybridPostgresStore.from_conn_string(database, pool={"max_size": 8}) as store,
        ThreadPoolExecutor(8) as threads,
    ):
        assert len(list(threads.map(write, range(160)))) == 160


def test_a_batch_with_one_bad_operation_does_nothing(store):
    """The batch fails as a whole; concurrent batches are executed."""
    with ThreadPoolExecutor(4) as threads:
        good = threads.map(lambda n: store.put(("good",), str(n), {"n": n}), range(20))
        with pytest.raises(psycopg.Error):
            store.batch([PutOp(("bad",), "k", {"n": 1}), PutOp(("bad",), "l", {"text": "nul \x00"})])
        list(good)

    assert store.search(("bad",)) == []
    assert len(store.search(("good",), limit=100)) == 20


def test_a_backend_killed_in_mid_batch_leaves_all_or_nothing(database, store):
    """The next call succeeds."""
    store.put(("a",), "0", {"n": -1})
    with psycopg.connect(database) as blocker:
        blocker.execute("SELECT 1 FROM learning_items WHERE key = '0' FOR UPDATE")

        def batch():
            with pytest.raises(psycopg.OperationalError):
                store.batch([PutOp(("a",), str(n), {"n": n}) for n in range(10)])

        writer = threading.Thread(target=batch)
        writer.start()
        waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        with psycopg.connect(database, autocommit=True) as admin:
            while not (pids := admin.execute(waiting).fetchall()):
                pass
            admin.execute("SELECT pg_terminate_backend(%s)", pids[0])
        writer.join()

    assert [item.value for item in store.search(("a",))] == [{"n": -1}]
    store.put(("a",), "1", {"n": 1})
    assert len(store.search(("a",))) == 2


@pytest.mark.parametrize("last", ["a text like the others", "a text that cannot be read"])
def test_texts_that_are_read_while_items_are_stored_are_all_there_or_none(new_database, monkeypatch, last):
    """The words of a large batch are read inside the transaction, part by part."""

    def read(text, language, scope):
        if "cannot" in text:
            raise RecursionError(text)
        return read_text(text, language, scope)

    monkeypatch.setattr(indexing, "read_text", read)
    texts = {f"k{n:03}": f"note {n}" for n in range(700)} | {"last": last}
    puts = [PutOp(("a",), key, {"text": text}) for key, text in texts.items()]
    with HybridPostgresStore.from_conn_string(
        new_database(), index={"fields": ["text"]}, search_mode="hybrid"
    ) as hybrid:
        hybrid.setup()
        with pytest.raises(RecursionError) if "cannot" in last else nullcontext():
            hybrid.batch(puts)

        stored = 0 if "cannot" in last else 701
        assert len(hybrid.search(("a",), limit=1000)) == stored
        assert len(hybrid.search(("a",), query="note", limit=1000)) == max(stored - 1, 0)


async def test_the_words_of_long_texts_are_read_beside_the_event_loop(new_database, monkeypatch):
    """Those of a short one are read in it, which is faster."""
    threads = {}

    def read(text, language, scope):
        threads[text[:5]] = threading.current_thread()
        return read_text(text, language, scope)

    monkeypatch.setattr(indexing, "read_text", read)
    async with HybridPostgresStore.from_conn_string(
        new_database(), index={"fields": ["text"]}, search_mode="hybrid"
    ) as hybrid:
        await hybrid.asetup()
        await hybrid.aput(("a",), "short", {"text": "short text"})
        await hybrid.aput(("a",), "long", {"text": "long " * 10_000})

        assert {item.key for item in await hybrid.asearch(("a",), query="long or short")} == {"short", "long"}
    assert threads["short"] is threading.current_thread() is not threads["long "]


def test_connections_that_were_closed_by_the_server_are_replaced(database, store):
    """All idle connections are closed by the server."""
    store.put(("a",), "k", {"n": 1})
    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    assert store.get(("a",), "k").value == {"n": 1}


def test_the_log_tells_who_changed_what(store):
    """The log is newest first, with the values before and after."""
    store.transact([PutOp(("a",), "k", {"n": 1})], by="ann")
    store.transact([PutOp(("a",), "k", {"n": 2})], by="bob")
    store.delete(("a",), "k")
    store.put(("a", "b"), "k", {"other": "namespace"})

    changes = store.history(("a",), "k")
    assert [(c.by, c.before, c.after, c.version) for c in changes] == [
        (None, {"n": 2}, None, 3),
        ("bob", {"n": 1}, {"n": 2}, 2),
        ("ann", None, {"n": 1}, 1),
    ]
    assert store.history(("a",), limit=1) == changes[:1]


def test_reading_and_lengthening_a_life_is_no_change(store):
    """Only writes are logged."""
    store.put(("a",), "k", {"n": 1}, ttl=10)
    store.get(("a",), "k")

    assert len(store.history(("a",))) == 1


def test_the_log_can_be_pruned(store):
    """Entries are deleted by time, or all of a namespace and the namespaces under it."""
    store.put(("a",), "k", {"n": 1})
    store.put(("a", "b"), "k", {"n": 1})
    store.put(("ab",), "k", {"n": 1})

    assert store.prune_history(before=datetime(2000, 1, 1, tzinfo=UTC)) == 0
    assert store.prune_history(("a",)) == 2
    assert len(store.history(("ab",))) == 1


def test_the_log_can_be_switched_off(database):
    """With `log_changes=False` no change is logged."""
    with HybridPostgresStore.from_conn_string(database, log_changes=False) as store:
        store.put(("a",), "k", {"n": 1})
        store.delete(("a",), "k")

        assert store.history(("a",)) == []


def test_a_batch_of_reads_plans_no_writes(store, monkeypatch):
    """Writes are planned only if the batch has a put."""
    planned = []
    monkeypatch.setattr(batch, "BatchIndexing", lambda *_: planned.append(1) or BatchIndexing(*_))

    store.batch([GetOp(("a",), "k"), SearchOp(("a",), query="abc"), ListNamespacesOp()])
    assert [] == planned

    store.batch([GetOp(("a",), "k"), PutOp(("a",), "k", {"text": "abc"})])
    assert [1] == planned


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"en", "de"}, ["de", "en"]),
        (frozenset(), []),
        ({("a", 1)}, [["a", 1]]),
        ({"ab": 1, "cd": 2}.keys(), ["ab", "cd"]),
        ({2, "a"}, [2, "a"]),
        ([{"deep": {"xy"}}], [{"deep": ["xy"]}]),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Source(channel="user", user="alex"), {"channel": "user", "user": "alex"}),
    ],
)
def test_a_set_is_stored_as_a_list_and_a_model_as_an_object(store, value, stored):
    """Nothing that JSON does not have is turned into something that only looks like it."""
    store.put(("a",), "k", {"value": value})

    found = store.get(("a",), "k").value["value"]
    assert stored == (found if not isinstance(stored, dict) else {key: found[key] for key in stored})


@pytest.mark.parametrize("value", [datetime(2025, 1, 1), zip("ab", "cd", strict=True), iter([("a", 1)]), object(), 1j])
def test_what_is_not_json_is_refused_by_the_name_of_its_type(store, value):
    """Nothing is written, and the error says what to do."""
    with pytest.raises(TypeError, match=f"{type(value).__name__} cannot be stored.*Convert it"):
        store.batch([PutOp(("a",), "k", {"value": [value]}), PutOp(("a",), "other", {"n": 1})])

    assert [] == store.search(("a",))
