"""Plans of the statements: they use indexes however often they are run, and stay within one tenant."""

import re
import time

import psycopg
import pytest
from langgraph.store.base import GetOp, PutOp, SearchOp
from letter_embeddings import INDEX

from langgraph_learning.postgres import HybridPostgresStore, statements

SCANS = "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN ('learning_items', 'learning_texts')"
USES = "SELECT indexrelname FROM pg_stat_user_indexes WHERE relname = 'learning_texts' AND idx_scan > 0"
FETCHED = "SELECT idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'learning_texts'"
OTHERS = """SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""
HOT = [
    "get",
    "search by filter",
    "search by vector",
    "hybrid search",
    "count texts",
    "count tokens",
    "lock keys",
    "read versions",
    "put",
    "delete",
    "delete placeholders",
    "read known vectors",
    "delete stale texts",
    "insert texts",
    "erase history",
    "read history",
]
"""The statements of reads and writes, without those that maintain all of the store at once."""


def _run_each_statement(store):
    namespaces = [("a", str(n)) for n in range(3)] + [("a",)]
    store.batch([SearchOp(namespace, query="abc", limit=5) for namespace in namespaces])
    for namespace in namespaces:
        store.batch([GetOp(("a", "1"), "1"), SearchOp(namespace), SearchOp(namespace, {"n": 3}, query="abc")])
    store.batch([PutOp(("a", "1"), "k", {"text": "abc def"}), PutOp(("a", "1"), "l", None)])


def _wait_for_reports(admin):
    """Wait until the closed connections have ended: then they have reported what they read."""
    while admin.execute(OTHERS).fetchone() != (0,):
        time.sleep(0.02)


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_no_statement_reads_a_whole_table_however_often_it_was_run(database, mode):
    """Postgres keeps a plan after five runs, here on an empty table; it is still right when the table has grown."""
    settings = {"index": {**INDEX, "exact_below": 200}, "search_mode": mode, "pool": {"max_size": 1}}
    with HybridPostgresStore.from_conn_string(database, **settings) as store:
        for _ in range(6):
            _run_each_statement(store)
        for part in range(3):
            keys = [(str(n % 7), str(n)) for n in range(1000 * part, 1000 * part + 1000)]
            store.batch([PutOp(("a", label), key, {"text": f"abc {key}", "n": int(key)}) for label, key in keys])
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute("SELECT pg_stat_reset()")
        for _ in range(2):
            _run_each_statement(store)
    with psycopg.connect(database, autocommit=True) as admin:
        assert dict(admin.execute(SCANS).fetchall()) == {"learning_items": 0, "learning_texts": 0}


def test_a_large_namespace_is_read_through_the_indexes_over_vectors_and_words(database, monkeypatch):
    """Both propose texts; a small one is read through the index over namespaces."""
    monkeypatch.setattr("langgraph_learning.postgres.search._SCORE_ALL_BELOW", 200)
    settings = {"index": INDEX, "search_mode": "hybrid", "pool": {"max_size": 1}}
    with HybridPostgresStore.from_conn_string(database, **settings) as store:
        store.batch([PutOp(("large",), str(n), {"text": f"word{n}"}) for n in range(900)])
        store.batch([PutOp(("small",), str(n), {"text": f"word{n}"}) for n in range(9)])
        for label, used in (("large", {"learning_texts_meaning", "learning_texts_tokens"}), ("small", set())):
            store.search((label,), query="word7")
            with psycopg.connect(database, autocommit=True) as admin:
                admin.execute("SELECT pg_stat_reset()")
            for _ in range(7):
                assert [item.key for item in store.search((label,), query="word7", limit=1)] == ["7"]
            store.close()
            with psycopg.connect(database, autocommit=True) as admin:
                _wait_for_reports(admin)
                indexes = {name for (name,) in admin.execute(USES).fetchall()}
            assert indexes & {"learning_texts_meaning", "learning_texts_tokens"} == used


@pytest.mark.parametrize(("prefix", "least", "most"), [(("all",), 120, 250), (("all", "tenth"), 1000, 1000)])
def test_the_smaller_its_share_of_the_store_the_more_candidates_a_vector_search_reads(database, prefix, least, most):
    """Also a namespace that is many times as large as those that are searched exactly is known for most of the store."""
    with HybridPostgresStore.from_conn_string(database, index={**INDEX, "exact_below": 50}) as store:
        store.batch(
            [PutOp(("all", "tenth" if n % 10 == 0 else "rest"), str(n), {"text": f"abc {n}"}) for n in range(2000)]
        )
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute("VACUUM ANALYZE")
        store.search(prefix, query="abc")
        candidates, _ = store._caches.candidates[prefix]
    assert least <= candidates <= most


def test_words_alone_find_the_same_in_a_large_namespace_as_in_a_small_one(empty_database, monkeypatch):
    """Rare words are read from the index; a question of common words reads all texts."""
    monkeypatch.setattr("langgraph_learning.postgres.words._RARE_TEXTS", (50, 50))
    settings = {"index": {"fields": ["text"]}, "search_mode": "hybrid", "pool": {"max_size": 1}}
    words = [f"zu{first}{second}" for first in "abcdefghij" for second in "klmnopqrst"]
    questions = [words[7], f"{words[7]} frequent", "frequent", "absent"]
    with HybridPostgresStore.from_conn_string(empty_database, **settings) as store:
        store.setup()
        texts = [f"{words[n % 100]} {'frequent' if n % 2 else 'odd'}" for n in range(900)]
        store.batch([PutOp(("a",), str(n), {"text": text, "n": n}) for n, text in enumerate(texts)])
        ops = [SearchOp(("a",), filter, 20, 0, query) for query in questions for filter in (None, {"n": {"$lt": 300}})]
        small = [{item.key for item in found} for found in store.batch(ops)]
        monkeypatch.setattr("langgraph_learning.postgres.search._SCORE_ALL_BELOW", 200)
        store._caches.clear()
        large = [{item.key for item in found} for found in store.batch(ops)]

    assert small[0] == large[0] == {str(n) for n in range(7, 900, 100)}
    assert small[1] == large[1] == {"7", "107", "207"}
    assert [len(found) for found in small] == [len(found) for found in large] == [9, 3, 20, 20, 20, 20, 0, 0]


def test_a_search_of_a_part_fetches_no_text_of_the_other_parts(empty_database, monkeypatch):
    """The index over words has those of a whole tenant; that over namespaces leaves out the other parts beforehand."""
    monkeypatch.setattr("langgraph_learning.postgres.search._SCORE_ALL_BELOW", 200)
    settings = {"index": {"fields": ["text"]}, "search_mode": "hybrid", "pool": {"max_size": 1}}
    with HybridPostgresStore.from_conn_string(empty_database, **settings) as store:
        store.setup()
        for part, number in (("small", 300), ("large", 3000)):
            store.batch([PutOp(("tenant", part), str(n), {"text": f"plan word{n}"}) for n in range(number)])
        with psycopg.connect(empty_database, autocommit=True) as admin:
            admin.execute("VACUUM ANALYZE")
            store.search(("tenant", "small"), query="plan word7")
            store.close()
            _wait_for_reports(admin)
            admin.execute("SELECT pg_stat_reset()")
            assert "7" == store.search(("tenant", "small"), query="plan word7", limit=1)[0].key
            store.close()
            _wait_for_reports(admin)
            (fetched,) = admin.execute(FETCHED).fetchone()
    assert 300 <= fetched < 1000


def test_frequent_words_that_few_texts_have_together_are_read_from_the_index(empty_database, monkeypatch):
    """Of 1,200 texts with one of the words, only the 30 with both are fetched."""
    monkeypatch.setattr("langgraph_learning.postgres.search._SCORE_ALL_BELOW", 200)
    monkeypatch.setattr("langgraph_learning.postgres.words._RARE_TEXTS", (50, 50))
    settings = {"index": {"fields": ["text"]}, "search_mode": "hybrid", "pool": {"max_size": 1}}
    with HybridPostgresStore.from_conn_string(empty_database, **settings) as store:
        store.setup()
        words = [("zured",), ("zugreen",), ("zured", "zugreen")]
        texts = [" ".join((*words[2 if n % 40 == 0 else n % 2], f"word{n}")) for n in range(1200)]
        store.batch([PutOp(("a",), str(n), {"text": text}) for n, text in enumerate(texts)])
        with psycopg.connect(empty_database, autocommit=True) as admin:
            admin.execute("VACUUM ANALYZE")
            store.search(("a",), query="zured zugreen")
            store.close()
            _wait_for_reports(admin)
            admin.execute("SELECT pg_stat_reset()")
            found = store.search(("a",), query="zured zugreen", limit=20)
            store.close()
            _wait_for_reports(admin)
            (fetched,) = admin.execute(FETCHED).fetchone()
    assert len(found) == 20
    assert all(int(item.key) % 40 == 0 for item in found)
    assert 30 <= fetched < 100


@pytest.mark.parametrize("name", HOT)
def test_each_statement_of_reads_and_writes_is_limited_to_one_tenant(name):
    """Each table that it reads is bound to a range of namespaces, or to the key of a row that is."""
    text = re.sub(r"--.*", "", statements.read_sql("queries.sql")[name])
    tables = re.findall(
        r"(?:FROM|JOIN|INTO|USING|UPDATE)\s+(learning_(?:items|texts|changes))\s*(?:AS\s+)?(\w+)?", text
    )
    assert tables
    for table, given in tables:
        alias = given if given and given not in ("WHERE", "USING") else ""
        prefix = rf"\b{alias}\." if alias else r"(?<![\w.])"
        bound = rf"{prefix}namespace\s*(?:>=|=|\[)|\(namespace, key|\(item, field, namespace|{prefix}(?:item|id) = "
        assert re.search(bound, text), f"{table} {alias}"
