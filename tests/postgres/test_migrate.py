"""Creation and migration of the tables, and their equality with `schema.sql`."""

import multiprocessing
from importlib.resources import files

import psycopg
import pytest
from letter_embeddings import INDEX, Counting
from psycopg import sql

from langgraph_learning.errors import Misconfigured, NotSetUp
from langgraph_learning.postgres import HybridPostgresStore, statements
from langgraph_learning.postgres.migrate import load_migrations

SHAPE = """
    SELECT 'column', table_name || '.' || column_name,
           concat_ws(' ', data_type, udt_name, collation_name, is_nullable, is_identity, column_default,
                     generation_expression)
      FROM information_schema.columns WHERE table_schema = 'public'
     UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
     UNION ALL SELECT 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace
     UNION ALL SELECT 'trigger', tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
     UNION ALL SELECT 'function', proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
     ORDER BY 1, 2, 3
"""


def _set_up(url):
    with HybridPostgresStore.from_conn_string(url, index=INDEX) as store:
        store.setup()


def test_ten_processes_may_set_up_at_once(empty_database):
    """None of them fails, and each migration runs once."""
    with multiprocessing.get_context("spawn").Pool(10) as processes:
        processes.map(_set_up, [empty_database] * 10)

    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT count(*) FROM learning_migrations").fetchone() == (len(load_migrations()),)


OLD_TEXTS = """
    WITH kept AS (INSERT INTO learning_items (namespace, key, value, version)
                  SELECT '{a}', 'k' || n, jsonb_build_object('text', 'abc ' || n), 1 FROM generate_series(1, 2500) n
                  RETURNING id, namespace, value)
    INSERT INTO learning_texts (item, field, namespace, words, embedding)
    SELECT id, 'text', namespace, to_tsvector(value ->> 'text'), array_fill(1, ARRAY[26])::vector FROM kept
"""


@pytest.fixture
def old_database(empty_database):
    """Give the URL of a database that an earlier release filled with 2,500 items."""
    with psycopg.connect(empty_database) as connection:
        connection.execute(statements.read_sql("queries.sql")["create migrations table"])
        for migration in load_migrations()[:2]:
            connection.execute(migration.sql)
            connection.execute("INSERT INTO learning_migrations VALUES (%s, %s)", (migration.number, migration.name))
        connection.execute("CREATE EXTENSION vector")
        connection.execute("ALTER TABLE learning_texts ADD COLUMN embedding vector(26)")
        connection.execute(
            "CREATE INDEX learning_texts_embedding ON learning_texts "
            "USING hnsw ((embedding::halfvec(26)) halfvec_cosine_ops)"
        )
        connection.execute(OLD_TEXTS)
    return empty_database


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_tables_of_an_earlier_release_are_brought_up_to_date(old_database, mode):
    """Their items and vectors are kept, and searches still find them, without any text being embedded again."""
    embed = Counting()
    with HybridPostgresStore.from_conn_string(old_database, index={**INDEX, "embed": embed}, search_mode=mode) as store:
        store.setup()
        found = store.search(("a",), query="abc", limit=3000)

    assert len(found) == 2500
    assert embed.asked == [["abc"]]
    if mode == "hybrid":
        assert found[0].scores[0].words > 0.5


def test_an_interrupted_migration_is_continued(old_database):
    """The next `setup()` reads the words of the remaining texts only, and reports its progress."""

    def stop(done, total):
        steps.append((done, total))
        raise KeyboardInterrupt

    steps: list[tuple[int, int]] = []
    with HybridPostgresStore.from_conn_string(old_database, index=INDEX, search_mode="hybrid") as store:
        with pytest.raises(KeyboardInterrupt):
            store.setup(progress=stop)
        assert len(store.search(("a",), query="abc", limit=3000)) == 2500
        store.setup(progress=lambda *step: steps.append(step))
        store.setup(progress=lambda *step: steps.append(step))

        assert steps == [(1000, 2500), (1000, 1500), (1500, 1500)]
        assert {item.scores[0].words > 0.5 for item in store.search(("a",), query="abc", limit=3000)} == {True}


def test_a_store_that_searches_by_words_reads_those_of_a_store_that_did_not(empty_database):
    """Texts that were written without words are found by words after `setup()`, while others are written."""
    with HybridPostgresStore.from_conn_string(empty_database, index=INDEX) as by_vector:
        by_vector.setup()
        by_vector.put(("a",), "k", {"text": "grafana dashboards"})
        with HybridPostgresStore.from_conn_string(empty_database, index=INDEX, search_mode="hybrid") as hybrid:
            hybrid.setup()
            hybrid.put(("a",), "l", {"text": "grafana panels"})

            assert {item.scores[0].words > 0.5 for item in hybrid.search(("a",), query="grafana")} == {True}
            by_vector.put(("a",), "m", {"text": "grafana again"})
            hybrid.setup()
            assert {item.scores[0].words > 0.5 for item in hybrid.search(("a",), query="grafana")} == {True}


def test_the_schema_for_people_is_the_one_that_migrations_make(empty_database, new_database):
    """All columns, indexes, constraints, triggers and functions are equal."""
    for_people = new_database()
    with psycopg.connect(for_people) as connection:
        connection.execute(files("langgraph_learning.postgres").joinpath("schema.sql").read_text("utf-8"))
        described = connection.execute(SHAPE).fetchall()
    with HybridPostgresStore.from_conn_string(empty_database) as store:
        store.setup()
    with psycopg.connect(empty_database) as connection:
        assert described == connection.execute(SHAPE).fetchall()


def test_without_tables_it_says_what_to_do(empty_database):
    """Reads and writes raise `NotSetUp`."""
    with HybridPostgresStore.from_conn_string(empty_database) as store:
        with pytest.raises(NotSetUp, match="setup"):
            store.get(("a",), "k")
        with pytest.raises(NotSetUp, match="setup"):
            store.put(("a",), "k", {"n": 1})


def test_a_role_that_may_not_change_tables_is_enough(empty_database):
    """After another role has set up the tables, its own `setup()` only reads."""
    _set_up(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as admin:
        role = f"plain_{admin.info.dbname}"
        name = sql.Identifier(role)
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
        admin.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}").format(name))
        with HybridPostgresStore.from_conn_string(
            empty_database, index=INDEX, pool={"kwargs": {"user": role}}
        ) as store:
            store.setup()
            store.put(("a",), "k", {"text": "abc"}, ttl=0.0001)
            store.put(("a",), "l", {"text": "abc"})
            store.search(("a",), query="abc")
            store.delete(("a",), "l")
            store.sweep_ttl()
            assert store.history(("a",))
        admin.execute(sql.SQL("DROP OWNED BY {}").format(name))
        admin.execute(sql.SQL("DROP ROLE {}").format(name))


def test_no_extension_is_needed_without_an_index(empty_database):
    """A store that does not search by words or vectors needs no extension."""
    with HybridPostgresStore.from_conn_string(empty_database) as store:
        store.setup()
        store.put(("a",), "k", {"text": "plain words"})
        assert [item.key for item in store.search(())] == ["k"]
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT * FROM pg_extension WHERE extname = 'vector'").fetchall() == []


def test_an_index_without_any_tree_is_a_setting(empty_database):
    """With `flat` there is no vector index; options of the index reach Postgres."""
    index = {**INDEX, "ann_index_config": {"kind": "flat"}}
    with HybridPostgresStore.from_conn_string(empty_database, index=index) as store:
        store.setup()
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("SELECT to_regclass('learning_texts_meaning')").fetchone() == (None,)
    index = {**INDEX, "ann_index_config": {"m": 8, "ef_construction": 32}}
    with HybridPostgresStore.from_conn_string(empty_database, index=index) as store:
        store.setup()
    with psycopg.connect(empty_database) as connection:
        (options,) = connection.execute(
            "SELECT reloptions FROM pg_class WHERE relname = 'learning_texts_meaning'"
        ).fetchone()
        assert options == ["m=8", "ef_construction=32"]


@pytest.mark.parametrize(
    "settings",
    [
        {"index": {"dims": 3}},
        {"index": {"fields": ["text"]}},
        {"index": {**INDEX, "distance_type": "hamming"}},
        {"index": {**INDEX, "ann_index_config": {"kind": "ivf"}}},
        {"ttl": {"defualt_ttl": 1}},
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(settings):
    """The error is raised before a connection is opened."""
    with pytest.raises(Misconfigured):
        HybridPostgresStore("postgresql://nowhere", **settings)
