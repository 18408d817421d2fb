"""Reuse of vectors: a text that is written again unchanged is not embedded again."""

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.store.base import PutOp
from letter_embeddings import INDEX, Counting, letters

from langgraph_learning.postgres import HybridPostgresStore

ROWS = "SELECT ctid::text, field, embedding::real[] FROM learning_texts ORDER BY field"


@pytest.fixture
def embed():
    return Counting()


@pytest.fixture
def counted(database, embed):
    with HybridPostgresStore.from_conn_string(database, index={**INDEX, "embed": embed}) as store:
        yield store


@pytest.fixture
def rows(database):
    def rows(query=ROWS):
        with psycopg.connect(database, autocommit=True) as connection:
            return connection.execute(query).fetchall()

    return rows


def test_an_unchanged_text_is_not_embedded_again(counted, embed, rows):
    """Its row stays as it is, so nothing is added to the vector index."""
    counted.put(("a",), "k", {"text": "abc", "votes": 0})
    before = rows()
    counted.put(("a",), "k", {"text": "abc", "votes": 1})
    counted.update(("a",), "k", lambda value: {**value, "votes": 2})

    assert embed.asked == [["abc"]]
    assert rows() == before
    assert counted.search(("a",), query="abc")[0].value["votes"] == 2


async def test_an_unchanged_text_is_not_embedded_again_in_an_event_loop(counted, embed):
    """The same with async calls."""
    await counted.aput(("a",), "k", {"text": "abc", "votes": 0})
    await counted.aput(("a",), "k", {"text": "abc", "votes": 1})
    await counted.aclose()

    assert embed.asked == [["abc"]]


def test_a_changed_text_is_embedded_and_replaces_the_old_one(counted, embed, rows):
    """Only the changed one of two fields is embedded."""
    counted.put(("a",), "k", {"title": "abc", "text": "def"}, index=["title", "text"])
    counted.put(("a",), "k", {"title": "abc", "text": "xyz"}, index=["title", "text"])

    assert embed.asked == [["abc", "def"], ["xyz"]]
    xyz, abc = letters(["xyz", "abc"])
    assert [(field, vector) for _, field, vector in rows()] == [("text", xyz), ("title", abc)]


def test_a_text_that_moves_to_another_field_takes_its_vector_along(counted, embed, rows):
    """The row of the old field is deleted."""
    counted.put(("a",), "k", {"title": "abc"}, index=["title"])
    counted.put(("a",), "k", {"text": "abc"})

    assert embed.asked == [["abc"]]
    assert [field for _, field, _ in rows()] == ["text"]


def test_what_was_deleted_is_forgotten(counted, embed):
    """Its vector is deleted, so that a new put is embedded again."""
    for _ in range(2):
        counted.put(("a",), "k", {"text": "abc"})
        counted.delete(("a",), "k")

    assert embed.asked == [["abc"], ["abc"]]


def test_a_text_from_before_there_was_a_model_gets_its_vector(empty_database, embed):
    """The next put embeds it, even if it is unchanged."""
    with HybridPostgresStore(empty_database, index={"fields": ["text"]}, search_mode="hybrid") as words_only:
        words_only.setup()
        words_only.put(("a",), "k", {"text": "abc"})
    with HybridPostgresStore(empty_database, index={**INDEX, "embed": embed}) as store:
        store.setup()
        store.put(("a",), "k", {"text": "abc"})

        assert embed.asked == [["abc"]]
        assert store.search(("a",), query="abc")[0].score == pytest.approx(1)


@pytest.mark.parametrize("statement", ["DELETE FROM learning_items", "TRUNCATE learning_items"])
def test_texts_go_with_their_items_whoever_deletes_them(counted, database, rows, statement):
    """This holds for deletions by any program."""
    counted.batch([PutOp(("a",), str(n), {"text": "abc"}) for n in range(3)])
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(statement)

    assert rows() == []


LABELS = st.sampled_from(["ab", "cd", "ab cd"])
PUTS = st.tuples(
    st.sampled_from(["k", "l"]),
    st.none() | st.fixed_dictionaries({"parts": st.lists(LABELS, max_size=3)}, optional={"text": LABELS}),
    st.sampled_from([None, False, ["parts[*]"], ["parts[*]", "text"]]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.lists(st.lists(PUTS, min_size=1, max_size=4), min_size=1, max_size=5))
def test_whatever_was_there_the_last_put_says_what_is_found(counted, embed, batches):
    """Property: after any batches, the score of each item is that of its current texts."""
    for batch in batches:
        counted.batch([PutOp(("a",), *put) for put in batch])
    found = {item.key: item.score for item in counted.search(("a",), query="ab")}
    last = {key: (value, index) for batch in batches for key, value, index in batch}
    counted.batch([PutOp(("a",), key, None) for key in last])
    counted.batch([PutOp(("a",), key, *put) for key, put in last.items()])

    assert {item.key: item.score for item in counted.search(("a",), query="ab")} == found
