"""Deletion and re-embedding, checked in the tables and not through the store."""

import psycopg
import pytest
from langgraph.store.base import PutOp
from letter_embeddings import INDEX, letters

from langgraph_learning.errors import Misconfigured
from langgraph_learning.postgres import HybridPostgresStore


@pytest.fixture
def rows(database):
    def rows(query="SELECT field, embedding::real[] FROM learning_texts ORDER BY field"):
        with psycopg.connect(database) as connection:
            return connection.execute(query).fetchall()

    return rows


def test_a_list_that_shrinks_leaves_nothing(store, rows):
    """The words and vectors of its removed elements are deleted."""
    store.put(("a",), "k", {"parts": ["alpha", "beta", "gamma"]}, index=["parts[*]"])
    assert len(rows()) == 3
    store.put(("a",), "k", {"parts": ["delta"]}, index=["parts[*]"])

    assert rows() == [("parts[*]", *letters(["delta"]))]


@pytest.mark.parametrize("then", ["put", "delete", "update"])
def test_what_is_no_longer_indexed_leaves_nothing(store, rows, then):
    """This holds for `index=False`, for a deletion, and for a value without the field."""
    store.put(("a",), "k", {"text": "secret"})
    if then == "put":
        store.put(("a",), "k", {"text": "secret"}, index=False)
    elif then == "delete":
        store.delete(("a",), "k")
    else:
        store.update(("a",), "k", lambda _: {"other": 1})

    assert rows() == []


def test_a_pruned_log_leaves_nothing_of_what_was_deleted(store, rows):
    """No table contains its text."""
    store.put(("a",), "k", {"text": "secret"})
    store.delete(("a",), "k")
    store.prune_history(("a",))

    for table in ("learning_items", "learning_texts", "learning_changes"):
        assert rows(f"SELECT * FROM {table}") == []


def test_a_new_model_takes_over_every_vector(empty_database):
    """Dimensions and vector index change; items that were not indexed stay unindexed."""
    with HybridPostgresStore.from_conn_string(empty_database, index=INDEX) as store:
        store.setup()
        for n in range(5):
            store.put(("a",), str(n), {"text": "a" * n + "b"})
        store.put(("a",), "no", {"text": "aaa"}, index=False)
        store.put(("a",), "own", {"title": "aaa"}, index=["title"])

    index = {**INDEX, "dims": 3, "embed": lambda texts: [vector[:3] for vector in letters(texts)]}
    with HybridPostgresStore.from_conn_string(empty_database, index=index) as store:
        with pytest.raises(Misconfigured, match="reembed"):
            store.setup()
        seen = []
        assert store.reembed(progress=lambda done, total: seen.append((done, total))) == 6
        store.setup()

        assert seen == [(6, 6)]
        assert store.search(("a",), query="a")[0].key == "own"
        assert len(store.search(("a",), query="a")) == 6


def test_an_interrupted_reembedding_goes_on_where_it_stopped(database):
    """Texts that are done already are not embedded again."""
    calls = []

    def breaking(texts):
        if len(calls) == 2:
            raise ConnectionError("the model is away")
        calls.append(texts)
        return letters(texts)

    with HybridPostgresStore.from_conn_string(database, index=INDEX) as store:
        store.batch([PutOp(("a",), str(n), {"text": f"a{n}"}) for n in range(600)])
    with (
        HybridPostgresStore.from_conn_string(database, index={**INDEX, "embed": breaking}) as store,
        pytest.raises(ConnectionError),
    ):
        store.reembed()
    with HybridPostgresStore.from_conn_string(database, index=INDEX) as store:
        assert store.reembed(resume=True) == 600 - 512
        assert len(store.search(("a",), query="a", limit=1000)) == 600


def test_words_of_a_store_without_model_can_get_vectors(empty_database):
    """After re-embedding with a model, searches by vector find the older items."""
    with HybridPostgresStore.from_conn_string(
        empty_database, index={"fields": ["text"]}, search_mode="hybrid"
    ) as store:
        store.setup()
        store.put(("a",), "k", {"text": "abc"})
    with HybridPostgresStore.from_conn_string(empty_database, index=INDEX, search_mode="hybrid") as store:
        store.setup()
        store.reembed()

        assert [item.key for item in store.search((), query="cab")] == ["k"]


def test_a_very_long_text_can_be_kept_and_found(empty_database):
    """Its beginning is searchable by words."""
    with HybridPostgresStore.from_conn_string(
        empty_database, index={"fields": ["text"]}, search_mode="hybrid"
    ) as store:
        store.setup()
        store.put(("a",), "k", {"text": " ".join(f"word{n}" for n in range(200_000))})

        assert [item.key for item in store.search(("a",), query="word1")] == ["k"]
