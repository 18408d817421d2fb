"""Expiry: reads omit expired items at once, and the next sweep deletes them from the tables."""

import threading

import psycopg
import pytest
from langgraph.store.base import GetOp

from langgraph_learning.core.store_protocol import version_of
from langgraph_learning.postgres import HybridPostgresStore


@pytest.fixture
def age(database):
    """Give a function that makes all items older."""

    def age(minutes):
        with psycopg.connect(database) as connection:
            connection.execute(
                "UPDATE learning_items SET expires_at = expires_at - %s * interval '1 minute'", (minutes,)
            )

    return age


def test_fractions_of_a_minute_count(store, age):
    """Half a minute is not rounded to zero."""
    store.put(("a",), "k", {"n": 1}, ttl=0.5)
    assert store.get(("a",), "k", refresh_ttl=False) is not None
    age(0.5)

    assert store.get(("a",), "k") is None
    assert store.search(("a",)) == []
    assert store.list_namespaces() == []


def test_reading_lengthens_a_life(store, age):
    """`get` and `search` extend the life of items, unless `refresh_ttl` is false."""
    store.put(("a",), "k", {"n": 1}, ttl=10)
    age(6)
    store.get(("a",), "k")
    age(6)
    store.search(("a",))
    age(6)
    assert store.get(("a",), "k", refresh_ttl=False) is not None
    age(6)
    assert store.get(("a",), "k") is None


def test_a_default_holds_for_puts_that_say_nothing(database, age):
    """An item that is put with `ttl=None` does not expire."""
    with HybridPostgresStore.from_conn_string(database, ttl={"default_ttl": 1}) as store:
        store.put(("a",), "k", {"n": 1})
        store.put(("a",), "l", {"n": 1}, ttl=None)
        age(1)

        assert [item.key for item in store.search(("a",))] == ["l"]


def test_a_key_that_expired_may_be_made_anew(store, age):
    """It gets a new `created_at`, and its version continues."""
    store.put(("a",), "k", {"n": 1}, ttl=1)
    first = store.get(("a",), "k")
    age(2)
    store.put(("a",), "k", {"n": 2})

    second = store.get(("a",), "k")
    assert second.created_at > first.created_at
    assert version_of(second) == 2


def test_expired_items_can_be_asked_for(database, age):
    """With `omit_expired: False`, reads return them until the sweep."""
    with HybridPostgresStore.from_conn_string(database, ttl={"omit_expired": False}) as store:
        store.put(("a",), "k", {"n": 1}, ttl=1)
        age(2)
        assert store.get(("a",), "k", refresh_ttl=False) is not None
        store.sweep_ttl()
        assert store.get(("a",), "k") is None


def test_the_setting_may_be_changed_later(store, age):
    """`ttl_config` is public, as in LangGraph's stores."""
    store.put(("a",), "k", {"n": 1}, ttl=1)
    age(2)
    assert store.get(("a",), "k", refresh_ttl=False) is None

    store.ttl_config = {"omit_expired": False}

    assert store.get(("a",), "k", refresh_ttl=False) is not None


async def test_a_sweep_deletes_what_expired(store, age):
    """The change log records the deletion."""
    store.put(("a",), "k", {"n": 1}, ttl=1)
    store.put(("a",), "l", {"n": 1})
    age(2)

    assert await store.asweep_ttl() == 1
    assert store.sweep_ttl() == 0
    assert [change.by for change in store.history(("a",), "k")] == ["expiry", None]
    await store.aclose()


def test_the_sweeper_sweeps_until_it_is_stopped(database, age):
    """It runs in one thread, even if it is started twice."""
    with HybridPostgresStore.from_conn_string(database, ttl={"sweep_interval_minutes": 0.0005}) as store:
        store.put(("a",), "k", {"n": 1}, ttl=1)
        age(2)
        store.start_ttl_sweeper()
        store.start_ttl_sweeper()
        assert sum(thread.name == "ttl-sweeper" for thread in threading.enumerate()) == 1
        while len(store.history(("a",))) < 2:
            pass
        assert store.stop_ttl_sweeper()


def test_a_database_that_only_reads_serves_reads(database):
    """On a replica, reads do not extend the life of items."""
    with HybridPostgresStore.from_conn_string(database) as store:
        store.put(("a",), "k", {"n": 1}, ttl=1)
    read_only = {"kwargs": {"options": "-c default_transaction_read_only=on"}}
    with HybridPostgresStore.from_conn_string(database, pool=read_only) as store:
        assert store.get(("a",), "k").value == {"n": 1}
        assert store.search(("a",))
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            store.batch([GetOp(("a",), "k")]) and store.put(("a",), "k", {"n": 2})
