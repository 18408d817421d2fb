"""Searches by filter, by vector, by words and hybrid."""

import itertools

import pytest
from langgraph.store.base import PutOp
from letter_embeddings import INDEX, letters

from langgraph_learning.errors import InvalidFilter, Misconfigured
from langgraph_learning.postgres import HybridPostgresStore

ITEMS = {
    "ten": {"n": 10, "s": "b", "tags": ["x", "y"], "who": {"name": "Ann", "age": 30}, "ok": True},
    "nine": {"n": 9, "s": "a", "tags": [], "who": {"name": "Bob"}, "ok": False},
    "text": {"n": "10", "none": None},
    "bare": {},
}


@pytest.fixture
def hybrid(database):
    with HybridPostgresStore.from_conn_string(database, index=INDEX, search_mode="hybrid") as store:
        yield store


@pytest.fixture
def by_words(empty_database):
    settings = {"fields": ["text"], "sequence": {"by": "session", "order": "turn"}}
    with HybridPostgresStore.from_conn_string(empty_database, index=settings, search_mode="hybrid") as store:
        store.setup()
        yield store


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"n": 10}, {"ten"}),
        ({"n": "10"}, {"text"}),
        ({"n": {"$gt": 9}}, {"ten"}),
        ({"s": {"$gte": "a", "$lt": "b"}}, {"nine"}),
        ({"n": {"$ne": 10}}, {"nine", "text", "bare"}),
        ({"n": {"$in": [9, "10"]}}, {"nine", "text"}),
        ({"n": {"$in": []}}, set()),
        ({"n": {"$nin": [9, 10]}}, {"text", "bare"}),
        ({"none": {"$exists": True}}, {"text"}),
        ({"n": {"$exists": False}}, {"bare"}),
        ({"none": None}, {"ten", "nine", "text", "bare"}),
        ({"s": None}, {"text", "bare"}),
        ({"tags": ["x", "y"]}, {"ten"}),
        ({"tags": []}, {"nine"}),
        ({"who": {"name": "Ann"}}, {"ten"}),
        ({"who": {"age": {"$lt": 31}}}, {"ten"}),
        ({"who": {"$eq": {"name": "Bob"}}}, {"nine"}),
        ({"ok": True}, {"ten"}),
        ({"ok": 1}, set()),
        ({"$and": [{"n": {"$gt": 1}}, {"ok": False}]}, {"nine"}),
        ({"$or": [{"n": 9}, {"none": {"$exists": True}}]}, {"nine", "text"}),
        ({"$not": {"n": {"$gt": 9}}}, {"nine", "text", "bare"}),
        ({"n": {"$not": {"$gt": 9}}}, {"nine", "text", "bare"}),
        ({"n": {"$or": [{"$lt": 10}, {"$eq": "10"}]}}, {"nine", "text"}),
        ({'odd " key\\': {"$exists": False}, "n": 9}, {"nine"}),
    ],
)
def test_filters(store, filter, expected):
    """Filters compare by JSON type; a missing field equals None and nothing else."""
    for key, value in ITEMS.items():
        store.put(("a",), key, value)

    assert {item.key for item in store.search(("a",), filter=filter)} == expected


@pytest.mark.parametrize(
    "filter", [{"n": {"$near": 1}}, {"$nor": []}, {"n": {"$in": "abc"}}, {"n": {"$gt": [1]}}, {"n": object()}]
)
def test_a_filter_that_cannot_be_understood_says_so(store, filter):
    """It raises `InvalidFilter` instead of finding nothing or everything."""
    with pytest.raises(InvalidFilter):
        store.search(("a",), filter=filter)


def test_words_find_what_meaning_does_not(hybrid):
    """A rare word matches exactly, and in an inflected form."""
    hybrid.put(("a",), "right", {"text": "grafana dashboards were chosen"})
    for n in range(5):
        hybrid.put(("a",), f"near {n}", {"text": "dashboard: a fan"[::-1]})

    assert hybrid.search(("a",), query="dashboard")[0].key == "right"


def test_scores_of_one_call_compare_between_namespaces(hybrid):
    """The better match has the higher score, even if the other is the best of its namespace."""
    from langgraph.store.base import SearchOp

    hybrid.put(("a",), "exact", {"text": "egress costs of the cloud"})
    hybrid.put(("b",), "vague", {"text": "costs of lunch"})

    (a,), (b,) = hybrid.batch([SearchOp(("a",), query="egress costs"), SearchOp(("b",), query="egress costs")])
    assert a.score > b.score > 0


def test_without_a_model_only_words_are_searched(by_words):
    """Items without a word of the query are not found; stop words and punctuation are ignored."""
    by_words.put(("a",), "k", {"text": "The migration has three phases."})
    by_words.put(("a",), "l", {"text": "Lunch is at noon."})

    assert [item.key for item in by_words.search(("a",), query="which phase?")] == ["k"]
    assert by_words.search(("a",), query="is the") == []
    for query in ["' | & ! <-> :* \\", "it's \\'k\\'", "\x00", "http://x.y/?a=1&b=2|c"]:
        by_words.search(("a",), query=query)


def test_a_match_lifts_its_neighbours(by_words):
    """An item beside a match in its sequence is found without sharing words with the query."""
    turns = ["hello there", "where do you live?", "in Lisbon, by the river", "nice weather"]
    for n, text in enumerate(turns):
        by_words.put(("a",), str(n), {"text": text, "session": "s1", "turn": n})
        by_words.put(("a",), f"other {n}", {"text": "unrelated", "session": "s2", "turn": n})

    assert [item.key for item in by_words.search(("a",), query="live")] == ["1", "0", "2"]


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
def test_filters_and_pages_hold_in_every_mode(database, mode):
    """Ten pages contain every matching item exactly once."""
    with HybridPostgresStore.from_conn_string(database, index=INDEX, search_mode=mode) as store:
        for n in range(60):
            store.put(("a", str(n % 3)), str(n), {"text": f"{'a' * n} b", "even": n % 2 == 0})

        pages = [store.search(("a",), query="a", filter={"even": True}, limit=3, offset=at) for at in range(0, 33, 3)]
        assert sorted(int(i.key) for page in pages for i in page) == list(range(0, 60, 2))
        scores = [item.score for page in pages for item in page]
        assert scores == sorted(scores, reverse=True)


def _texts(count):
    return [
        "".join(pair) * 3 + "zyx"[: n % 3]
        for n, pair in enumerate(itertools.islice(itertools.permutations("abcdefghij", 3), count))
    ]


def test_a_large_namespace_is_searched_through_the_index(database):
    """Its recall is close to that of an exact search, with a filter and among other namespaces."""
    texts = _texts(700)
    with HybridPostgresStore.from_conn_string(database, index={**INDEX, "exact_below": 50}) as store:
        for n, text in enumerate(texts):
            store.put(("large" if n % 7 else "other",), str(n), {"text": text, "even": n % 2 == 0})
        with HybridPostgresStore.from_conn_string(database, index=INDEX) as exact:
            found, truth = (
                [item.score for item in s.search(("large",), query="abcabz", filter={"even": True}, limit=20)]
                for s in (store, exact)
            )

    assert len(found) == 20
    assert sum(found) == pytest.approx(sum(truth), rel=0.01)


def test_a_filter_that_hardly_anything_passes_still_finds_all(database):
    """If the index scan ends too early, the search is repeated exactly."""
    with HybridPostgresStore.from_conn_string(database, index={**INDEX, "exact_below": 50}) as store:
        for n, text in enumerate(_texts(400)):
            store.put(("large",), str(n), {"text": text, "n": n})

        assert {i.key for i in store.search(("large",), query="abc", filter={"n": {"$lt": 3}})} == {"0", "1", "2"}


@pytest.mark.parametrize("exact_below", [10, 1000])
def test_an_item_stands_where_its_best_text_does(database, exact_below):
    """An item with several texts is found once, in small and large namespaces and across pages."""
    with HybridPostgresStore.from_conn_string(database, index={**INDEX, "exact_below": exact_below}) as store:
        for n, text in enumerate(_texts(40)):
            store.put(("a",), str(n), {"parts": [text, "z", f"a{text}", "abc"[: n % 3 + 1]]}, index=["parts[*]"])
        pages = [store.search(("a",), query="abc", limit=7, offset=at) for at in range(0, 42, 7)]

    found = [item for page in pages for item in page]
    assert sorted(int(item.key) for item in found) == list(range(40))
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)
    assert [item.score for item in found[:13]] == pytest.approx([1.0] * 13)


def test_a_namespace_may_grow_and_shrink_between_searches(database):
    """An outdated cached size does not make a search incomplete."""
    with HybridPostgresStore.from_conn_string(database, index={**INDEX, "exact_below": 50}) as store:
        kept = 0
        for size in (10, 200, 5):
            store.batch([PutOp(("a",), str(n), {"text": "abc"} if n < size else None) for n in range(max(size, kept))])
            kept = size
            assert len(store.search(("a",), query="abc", limit=100)) == min(size, 100)


@pytest.mark.parametrize(("distance", "score"), [("cosine", 0.6), ("l2", -(20**0.5)), ("inner_product", 15.0)])
@pytest.mark.parametrize("precision", ["vector", "halfvec"])
def test_scores_are_those_of_the_distance(empty_database, distance, score, precision):
    """Scores are exactly the cosine, the negative distance or the inner product."""
    index = {**INDEX, "distance_type": distance, "ann_index_config": {"vector_type": precision}}
    with HybridPostgresStore.from_conn_string(empty_database, index=index) as store:
        store.setup()
        store.put(("a",), "k", {"text": "aaabbbb"})

        (item,) = store.search((), query="aaaaa")
        assert item.score == pytest.approx(score)


def test_the_same_model_must_fill_the_index(database):
    """A vector of another length raises an error before anything is written."""
    with HybridPostgresStore(database, index={"dims": 3, "embed": letters}) as store:
        with pytest.raises(Misconfigured, match="26"):
            store.put(("a",), "k", {"text": "x"})
        assert store.get(("a",), "k") is None


def test_another_language(empty_database):
    """Words are stemmed by the rules of the configured language."""
    with HybridPostgresStore.from_conn_string(
        empty_database, index={"fields": ["text"]}, search_mode="hybrid", language="german"
    ) as store:
        store.setup()
        store.put(("a",), "k", {"text": "Die Häuser wurden verkauft"})

        assert [item.key for item in store.search((), query="Haus verkaufen")] == ["k"]
