"""Connections: pools for threads and event loops, embedding without a connection, pools of the caller's own."""

import asyncio
import gc
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from langgraph.store.base import GetOp, PutOp, SearchOp
from letter_embeddings import DIMS, INDEX, Counting, letters
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from langgraph_learning.errors import Misconfigured
from langgraph_learning.postgres import HybridPostgresStore


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_a_query_asked_of_many_namespaces_is_embedded_once(database, mode):
    """One query in several searches of a batch is embedded once; so is a text that is stored twice."""
    embed = Counting()
    with HybridPostgresStore.from_conn_string(database, index={**INDEX, "embed": embed}, search_mode=mode) as store:
        store.batch([PutOp((str(n),), "k", {"text": "abc"}) for n in range(10)])
        store.batch([SearchOp((str(n),), query="cab", filter={"x": None}) for n in range(10)] + [GetOp(("1",), "k")])

    assert embed.asked == [["abc"], ["cab"]]


def test_a_pool_that_lends_nothing_says_so(database):
    """The caller gets psycopg's own error."""
    with ConnectionPool(database, min_size=1, max_size=1, timeout=0.2, open=True) as pool:
        pool.wait(60)
        store = HybridPostgresStore(pool, index=INDEX)

        with pool.connection(), pytest.raises(PoolTimeout):
            store.get(("a",), "k")


NOBODY_THERE = "postgresql://nobody@127.0.0.1:1/none"


async def test_a_database_that_cannot_be_reached_is_said_with_the_reason():
    """Not only that a pool has waited; in threads and in event loops."""
    async with HybridPostgresStore.from_conn_string(NOBODY_THERE, pool={"timeout": 0.2}) as store:
        with pytest.raises(PoolTimeout, match=r"cannot be reached: .*port 1"):
            await asyncio.to_thread(store.get, ("a",), "k")
        with pytest.raises(PoolTimeout, match=r"cannot be reached: .*port 1"):
            await store.aget(("a",), "k")


def test_a_pool_that_is_too_small_is_said_with_the_remedy(database):
    """All its connections are in use while others wait."""
    settings = {"min_size": 1, "max_size": 1, "timeout": 0.2}
    with HybridPostgresStore.from_conn_string(database, pool=settings) as store:
        store._connections._open_pool().wait(60)
        with store._connections.lend(), pytest.raises(PoolTimeout, match="max_size"):
            store.get(("a",), "k")


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"source": None}, "URL of a database"),
        ({"search_mode": "both"}, "vector, hybrid"),
        ({"index": {"feilds": ["text"]}, "search_mode": "hybrid"}, "feilds.*use .*'fields'"),
        ({"pool": {"max": 3}}, "max.*use .*'max_size'"),
        ({"index": ["text"]}, "index is a dict"),
        ({"index": {**INDEX, "dims": "many"}}, "dims is a whole number"),
        ({"index": {**INDEX, "embed": 5}}, "embed is an embedding model"),
        ({"index": {**INDEX, "fields": "text"}}, r"fields is a list of paths, such as \['text'\]"),
        ({"ttl": {"default_ttl": "5"}}, "default_ttl is a number of minutes"),
        ({"ttl": {"sweep_interval_minutes": -1}}, "sweep_interval_minutes is a number of minutes"),
    ],
)
def test_wrong_settings_are_refused_where_they_are_written(settings, hint):
    """Before anything is connected; the error names what there is."""
    with pytest.raises(Misconfigured, match=hint):
        HybridPostgresStore(**{"source": NOBODY_THERE, **settings})


async def test_a_pool_of_an_event_loop_that_lends_nothing_says_so(database):
    """The same with async calls."""
    async with AsyncConnectionPool(database, min_size=1, max_size=1, timeout=0.2, open=False) as pool:
        await pool.wait(60)
        store = HybridPostgresStore(pool, index=INDEX)

        async with pool.connection():
            with pytest.raises(PoolTimeout):
                await store.aget(("a",), "k")


async def test_one_connection_is_enough_for_any_batch(database):
    """This holds in threads and in event loops."""
    ops = [PutOp(("a",), "k", {"text": "abc"}), GetOp(("a",), "k"), SearchOp(("a",), query="a"), SearchOp(("a",))]
    async with HybridPostgresStore.from_conn_string(
        database, index=INDEX, pool={"min_size": 1, "max_size": 1, "timeout": 5}
    ) as store:
        await asyncio.gather(*(store.abatch(ops) for _ in range(10)))
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(store.batch, [ops] * 10))


def test_no_connection_is_held_while_a_text_is_embedded(database):
    """With one connection, a get goes through while another thread waits for its model."""
    asked, may_go_on = threading.Event(), threading.Event()

    def slow(texts):
        asked.set()
        assert may_go_on.wait(30)
        return letters(texts)

    with HybridPostgresStore.from_conn_string(
        database, index={**INDEX, "embed": slow}, pool={"min_size": 1, "max_size": 1}
    ) as store:
        store.put(("a",), "k", {"n": 1})
        searching = threading.Thread(target=store.search, args=(("a",),), kwargs={"query": "abc"})
        searching.start()
        asked.wait(30)
        assert store.get(("a",), "k") is not None
        may_go_on.set()
        searching.join()


def test_a_pool_of_ones_own_stays_open_and_as_it_was(database):
    """The autocommit mode of its connections is restored, and async methods use the pool too."""
    with ConnectionPool(database, min_size=1, max_size=2, open=True) as pool:
        with HybridPostgresStore(pool, index=INDEX) as store:
            store.put(("a",), "k", {"text": "abc"})
            assert asyncio.run(store.aget(("a",), "k")).value == {"text": "abc"}
        with pool.connection() as connection:
            assert not connection.autocommit
            assert connection.execute("SELECT count(*) FROM learning_items").fetchone() == (1,)


async def test_an_async_pool_of_ones_own_serves_its_loop_and_threads(database):
    """Threads use it through its loop; a sync call inside the loop raises an error."""
    async with AsyncConnectionPool(database, min_size=1, max_size=2, open=False) as pool:
        store = HybridPostgresStore(pool, index=INDEX)
        await store.aput(("a",), "k", {"text": "abc"})
        assert (await asyncio.to_thread(store.get, ("a",), "k")).value == {"text": "abc"}
        with pytest.raises(Misconfigured, match="async methods"):
            store.get(("a",), "k")


def test_each_event_loop_has_its_own_connections(database):
    """One store is used from event loops in several threads, as on a server."""

    async def use(store, n):
        await store.aput(("a",), str(n), {"n": n})
        found = await store.asearch(("a",), filter={"n": n})
        await store.aclose()
        return [item.key for item in found]

    store = HybridPostgresStore.from_conn_string(database)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda n: asyncio.run(use(store, n)), range(4)))
    assert found == [["0"], ["1"], ["2"], ["3"]]


def test_event_loops_that_came_and_went_leave_no_connections(database):
    """A request in an event loop of its own, again and again, needs no more connections than the last one."""
    with HybridPostgresStore.from_conn_string(database, index=INDEX) as store, psycopg.connect(database) as other:
        for number in range(60):
            asyncio.run(store.aput(("a",), str(number), {"text": "abc"}))
            assert _count_connections(other) <= 3

        store.close()

        assert 0 == _count_connections(other)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_event_loop_that_was_closed_with_work_to_do_leaves_no_connections(database):
    """Its tasks were never cancelled, so nothing could give its connections back."""
    with HybridPostgresStore.from_conn_string(database, index=INDEX) as store, psycopg.connect(database) as other:
        for _ in range(5):
            loop = asyncio.new_event_loop()
            loop.set_exception_handler(lambda *_: None)  # of its tasks that are destroyed
            loop.run_until_complete(asyncio.wait_for(store.aget(("a",), "k"), 30))
            loop.close()

        asyncio.run(store.aget(("a",), "k"))
        gc.collect()  # asyncio complains here about what was left in those loops, and not in another test

        assert _count_connections(other) <= 3


async def test_a_loop_keeps_its_connections_when_another_one_is_closed(database):
    """Only the pools of closed loops are dropped."""
    async with HybridPostgresStore.from_conn_string(database, index=INDEX) as store:
        await store.aput(("a",), "k", {"text": "abc"})
        for _ in range(3):
            await asyncio.to_thread(asyncio.run, store.aget(("a",), "k"))

        assert {"text": "abc"} == (await store.aget(("a",), "k")).value


def test_a_url_that_cannot_be_read_is_refused_at_once():
    """The error does not repeat the password."""
    with pytest.raises(Misconfigured) as error:
        HybridPostgresStore("postgresq://me:secret@host/name")

    assert "secret" not in str(error.value)


def _count_connections(other):
    """Return the number of connections to a database beside this one, once those that were closed have ended."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    query += " AND backend_type = 'client backend'"
    other.rollback()
    before, now = None, other.execute(query).fetchone()[0]
    while now != before:
        time.sleep(0.05)
        other.rollback()
        before, now = now, other.execute(query).fetchone()[0]
    return now


async def test_tasks_do_not_fail_for_one_another(database):
    """One of a hundred concurrent calls is invalid."""
    async with HybridPostgresStore.from_conn_string(database) as store:
        puts = [store.aput(("a",), str(n), {"text": "nul \x00" if n == 50 else "fine"}) for n in range(100)]
        outcomes = await asyncio.gather(*puts, return_exceptions=True)

        assert [n for n, outcome in enumerate(outcomes) if outcome is not None] == [50]
        assert len(await store.asearch(("a",), limit=200)) == 99


def test_a_cancelled_task_leaves_the_store_usable(database):
    """Its connection is returned to the pool without an open transaction."""

    async def main():
        async with HybridPostgresStore.from_conn_string(database, pool={"max_size": 1}) as store:
            for delay in (0.0, 0.001, 0.003, 0.01):
                ops = [PutOp(("a",), str(n), {"n": n}) for n in range(500)]
                task = asyncio.create_task(store.abatch(ops))
                await asyncio.sleep(delay)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await store.aput(("b",), "k", {"n": 1})
            assert len(await store.asearch(("a",), limit=1000)) in (0, 500)

    asyncio.run(main())


@pytest.fixture
def pgbouncer(database):
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    target = conninfo_to_dict(database)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = " ".join(
        f"{key}={target[key]}" for key in ("host", "port", "dbname", "user", "password") if target.get(key)
    )
    settings = ["[databases]", f"app = {server}", "[pgbouncer]", "listen_addr = 127.0.0.1", f"listen_port = {port}"]
    settings += ["unix_socket_dir =", "auth_type = any", "pool_mode = transaction", "default_pool_size = 2"]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        file = Path(folder) / "pgbouncer.ini"
        file.write_text("\n".join(settings))
        # It refuses to run as root; the owner of the server's socket may also use that.
        socket_folder = Path(target.get("host") or "")
        owner = socket_folder.stat().st_uid if socket_folder.is_absolute() else "nobody"
        as_somebody = {"user": owner} if os.geteuid() == 0 else {}
        with subprocess.Popen([program, "-q", str(file)], stderr=subprocess.DEVNULL, **as_somebody) as process:
            while process.poll() is None and not _answers(port):
                pass
            yield f"postgresql://{target.get('user', 'postgres')}@127.0.0.1:{port}/app"
            process.terminate()


def _answers(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_it_works_behind_pgbouncer(pgbouncer):
    """With transaction pooling and fewer server connections than threads, no statement is prepared and no setting remains."""
    with HybridPostgresStore.from_conn_string(
        pgbouncer,
        index={**INDEX, "exact_below": 1},
        search_mode="hybrid",
        pool={"min_size": 4, "max_size": 8, "timeout": 20},
    ) as store:
        store.setup()

        def use(n):
            for turn in range(8):
                store.put((f"n{n}",), str(turn), {"text": "abc" * turn})
                store.update((f"n{n}",), "sum", lambda value: {"n": (value or {"n": 0})["n"] + 1})
                store.batch([SearchOp((f"n{n}",), query="abc"), GetOp((f"n{n}",), "0")])
            return store.get((f"n{n}",), "sum").value["n"]

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(use, range(8))) == [8] * 8


def test_many_texts_travel_as_binary(database):
    """Texts with special characters are read as they were written."""
    # All are compared, also where one namespace is the whole store: an index over vectors does not always lead to one of
    # several hundred equal ones.
    with HybridPostgresStore.from_conn_string(database, index={**INDEX, "exact_below": 20_000}) as store:
        store.batch([PutOp(("a",), str(n), {"text": "a" * (n % 7) + "b"}) for n in range(2500)])

        assert store.search(("a",), query="aaab", limit=1)[0].score == pytest.approx(1)
        assert DIMS == 26


def test_a_connection_may_speak_another_encoding(database):
    """Parameters in binary form use the encoding of the connection."""
    with HybridPostgresStore.from_conn_string(database, pool={"kwargs": {"client_encoding": "latin1"}}) as store:
        store.put(("a",), "é", {"n": 1})

        assert [item.key for item in store.search(("a",))] == ["é"]


@pytest.mark.parametrize("url", ["postgresq://u:s3cretPW@h/x", "postgresql://u:s3cretPW@h/x?hots=1", "s3cretPW"])
def test_a_mistyped_url_is_an_error_at_once_that_tells_no_password(url: str, caplog: pytest.LogCaptureFixture):
    """A pool would log it whole, again and again."""
    with pytest.raises(Misconfigured, match="cannot be read") as caught:
        HybridPostgresStore(url)

    assert "s3cretPW" not in f"{caught.value} {caplog.text}"
    assert caught.value.__cause__ is None


def test_the_length_of_vectors_is_no_negative_number():
    """It is the embedding model's."""
    with pytest.raises(Misconfigured, match="dims"):
        HybridPostgresStore("dbname=x", index={**INDEX, "dims": -1})


def test_a_program_that_leaves_its_store_open_ends_at_once(database: str):
    """The pool is closed while its threads still run: later, Python 3.13 waits 5 seconds for each of them in vain."""
    program = """
import atexit, sys
atexit.register(lambda: print("closed" if store._connections._pool.closed else "open"))  # called last
from langgraph_learning.postgres import HybridPostgresStore
store = HybridPostgresStore(sys.argv[1])
store.get(("a",), "k")
"""
    ended = subprocess.run([sys.executable, "-c", program, database], capture_output=True, text=True, check=True)

    assert (ended.stdout, ended.stderr) == ("closed\n", "")
