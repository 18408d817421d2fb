"""Isolation: no search of a namespace finds items of another, for any labels."""

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from langgraph.store.base import PutOp, SearchOp
from letter_embeddings import INDEX
from psycopg import sql

from langgraph_learning.postgres import HybridPostgresStore, statements

NASTY = [
    "foo",
    "foobar",
    "fo",
    "foo%",
    "%",
    "_",
    "f_o",
    "\\",
    "\\%",
    "'",
    '"',
    "{}",
    "{",
    ",",
    "NULL",
    "null",
    "*",
    " ",
    "é",
    "É",
    "🎉",
    "\x01",
    "\x1f",
    "\n",
    "foo\n",
    "foo\x01",
]
LABELS = st.sampled_from(NASTY) | st.text(
    st.characters(exclude_characters=".\x00", exclude_categories=["Cs"]), min_size=1, max_size=4
)
NAMESPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)


def _is_under(namespace, prefix):
    return namespace[: len(prefix)] == prefix


def _check(store, kept, prefix):
    """Property: every kind of search finds exactly the items under its prefix."""
    expected = sorted(namespace for namespace in kept if _is_under(namespace, prefix))
    ops = [SearchOp(prefix, limit=10_000), SearchOp(prefix, query="abc", limit=10_000)]
    for found in store.batch(ops):
        assert sorted(item.namespace for item in found) == expected
    assert store.list_namespaces(prefix=prefix, limit=10_000) == expected or "*" in prefix
    return expected


def _property(store, examples, phases=tuple(Phase)):
    @settings(
        max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None, phases=phases
    )
    @given(st.sets(NAMESPACES, min_size=2, max_size=50), st.data())
    def holds(namespaces, data):
        kept = sorted(namespaces)
        prefix = data.draw(st.sampled_from(kept).flatmap(lambda n: st.integers(1, len(n)).map(lambda k: n[:k])))
        store.batch([PutOp(namespace, "k", {"text": "abc"}) for namespace in kept])
        try:
            assert _check(store, kept, prefix), "each case sees at least one item that it may see"
        finally:
            store.batch([PutOp(namespace, "k", None) for namespace in kept])

    holds()


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_only_what_is_under_a_namespace_is_found(database, mode):
    """This holds for labels of any characters."""
    with HybridPostgresStore.from_conn_string(database, index=INDEX, search_mode=mode) as store:
        _property(store, 25)


@pytest.mark.long
@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_only_what_is_under_a_namespace_is_found_in_ten_thousand_of_them(database, mode):
    """The namespaces are generated, and every kind of search is tried."""
    with HybridPostgresStore.from_conn_string(database, index=INDEX, search_mode=mode) as store:
        _property(store, 400)


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
@pytest.mark.parametrize("exact_below", [1, 1000])
def test_labels_that_look_alike_are_told_apart(database, mode, exact_below):
    """This also holds for searches through the vector index, which does not contain namespaces."""
    with HybridPostgresStore.from_conn_string(
        database, index={**INDEX, "exact_below": exact_below}, search_mode=mode
    ) as store:
        store.batch([PutOp((label, "x"), "k", {"text": "abc"}) for label in NASTY])
        for label in NASTY:
            assert [item.namespace for item in store.search((label,), query="abc")] == [(label, "x")]


def test_without_its_owner_condition_a_search_would_fail_these_tests(database):
    """The tests above fail for a statement without the upper bound of its range."""
    with HybridPostgresStore.from_conn_string(database, index=INDEX) as store:
        text = statements.read_sql("queries.sql")["search by filter"]
        mutant = text.replace("item.namespace < string_to_array(op.\"end\", '.')", 'op."end" IS NOT NULL')
        assert mutant != text
        store._statements._queries["search by filter"] = sql.SQL(mutant).format().as_bytes(None)
        with pytest.raises(AssertionError):
            _property(store, 25, [Phase.generate])


def test_the_tenant_is_a_column_that_row_level_security_can_use(empty_database):
    """A role with a policy for one tenant sees no rows of another, in any table."""
    database = empty_database
    tables = ["learning_items", "learning_texts", "learning_changes"]
    with HybridPostgresStore.from_conn_string(database, index=INDEX) as store:
        store.setup()
        for tenant in ("acme", "umbrella"):
            store.put(("learnings", tenant, "user"), "k", {"text": "abc"})
        store.put(("elsewhere",), "k", {"text": "abc"})
    with psycopg.connect(database, autocommit=True) as admin:
        name = sql.Identifier(f"tenant_{admin.info.dbname}")
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
        for table in map(sql.Identifier, tables):
            admin.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(table, name))
            admin.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(table))
            admin.execute(
                sql.SQL("CREATE POLICY own ON {} USING (tenant = current_setting('app.tenant', true))").format(table)
            )
        settings = {"kwargs": {"user": name.as_string(None).strip('"'), "options": "-c app.tenant=acme"}}
        with HybridPostgresStore.from_conn_string(database, index=INDEX, pool=settings) as store:
            assert store.list_namespaces() == [("learnings", "acme", "user")]
            assert len(store.search((), query="abc")) == 1
            store.put(("learnings", "acme", "user"), "l", {"text": "mine"})
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                store.put(("learnings", "umbrella", "user"), "l", {"text": "not mine"})
        admin.execute(sql.SQL("DROP OWNED BY {}").format(name))
        admin.execute(sql.SQL("DROP ROLE {}").format(name))
