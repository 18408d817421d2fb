"""Tests that every `BaseStore` should pass, as a class to inherit from for a store of your own.

```python
class TestMyStore(StoreContract):
    @pytest.fixture
    def make_store(self):
        def make(index=None):
            return MyStore(index=index)   # an empty one
        yield make
```

Vector search is tested with `INDEX`, whose embedding can be computed by hand. A store that deviates from the contract
names the tests it fails in `differs`; such a test must fail, so that the list stays up to date.
"""

import string
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest
from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)

MakeStore = Callable[..., BaseStore]


def embed_letters(texts: list[str]) -> list[list[float]]:
    """Embed each text as the numbers of its a's, b's … z's."""
    return [[float(text.lower().count(letter)) for letter in string.ascii_lowercase] for text in texts]


INDEX: Mapping[str, Any] = {"dims": 26, "embed": embed_letters, "fields": ["text"]}


class StoreContract:
    """One test per promise. Needs a fixture `make_store`, a function from an index config to an empty store."""

    differs: ClassVar[Mapping[str, str]] = {}
    """Names of tests that a store is known to fail, and what it does instead."""

    @pytest.fixture(autouse=True)
    def _known_difference(self, request: pytest.FixtureRequest) -> None:
        difference = self.differs.get(request.node.name) or self.differs.get(request.node.originalname)
        if difference:
            request.applymarker(pytest.mark.xfail(reason=difference, strict=True))

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Return a function that makes an empty store. Must be overridden."""
        raise NotImplementedError("Override the fixture `make_store`: see the module's docstring.")

    @pytest.fixture
    def store(self, make_store: MakeStore) -> BaseStore:
        """Return an empty store without an index."""
        return make_store(None)

    @pytest.fixture
    def searchable(self, make_store: MakeStore) -> BaseStore:
        """Return an empty store with vector search."""
        return make_store(dict(INDEX))

    def test_what_was_put_is_got(self, store: BaseStore) -> None:
        """Any JSON value is returned unchanged."""
        value = {
            "text": "é 日本 🎉 ' \" \\ % _",
            "n": 1.5,
            "yes": True,
            "none": None,
            "list": [1, {"a": []}],
            "": "empty",
        }
        store.put(("a", "b"), "k", value)

        item = store.get(("a", "b"), "k")
        assert item is not None
        assert (item.value, item.key, item.namespace) == (value, "k", ("a", "b"))

    def test_what_was_never_put_is_none(self, store: BaseStore) -> None:
        """An unknown key or namespace returns None."""
        store.put(("a", "b"), "k", {"n": 1})

        assert store.get(("a", "b"), "other") is None
        assert store.get(("a",), "k") is None

    def test_a_second_put_replaces_the_value(self, store: BaseStore) -> None:
        """A put replaces the whole value, not only the given fields."""
        store.put(("a",), "k", {"n": 1, "old": True})
        store.put(("a",), "k", {"n": 2})

        item = store.get(("a",), "k")
        assert item is not None
        assert item.value == {"n": 2}

    def test_a_second_put_is_later_than_the_first(self, store: BaseStore) -> None:
        """`updated_at` grows with every put."""
        store.put(("a",), "k", {"n": 1})
        first = store.get(("a",), "k")
        store.put(("a",), "k", {"n": 2})
        second = store.get(("a",), "k")

        assert first is not None
        assert second is not None
        assert first.updated_at < second.updated_at

    def test_a_second_put_keeps_the_time_of_creation(self, store: BaseStore) -> None:
        """`created_at` is the time of the first put of the key."""
        store.put(("a",), "k", {"n": 1})
        first = store.get(("a",), "k")
        store.put(("a",), "k", {"n": 2})
        second = store.get(("a",), "k")

        assert first is not None
        assert second is not None
        assert first.created_at == second.created_at

    def test_a_deleted_item_is_gone(self, store: BaseStore) -> None:
        """Get, search and the list of namespaces no longer return it; deleting it again is no error."""
        store.put(("a",), "k", {"n": 1})
        store.delete(("a",), "k")
        store.delete(("a",), "k")

        assert store.get(("a",), "k") is None
        assert store.search(("a",)) == []

    def test_a_namespace_without_items_is_not_listed(self, store: BaseStore) -> None:
        """A namespace exists as long as it has items."""
        store.put(("a",), "k", {"n": 1})
        store.put(("b",), "k", {"n": 1})
        store.delete(("a",), "k")

        assert store.list_namespaces() == [("b",)]

    def test_results_come_in_the_order_of_the_operations(self, store: BaseStore) -> None:
        """A batch returns one result per operation, None for a put."""
        store.put(("a",), "k", {"n": 1})

        got, put, found, listed, missing = store.batch(
            [GetOp(("a",), "k"), PutOp(("a",), "l", {"n": 2}), SearchOp(("a",)), ListNamespacesOp(), GetOp(("a",), "x")]
        )
        assert got is not None
        assert (got.key, put, [i.key for i in found], listed, missing) == ("k", None, ["k"], [("a",)], None)  # type: ignore[union-attr]

    def test_reads_of_a_batch_see_the_state_before_its_writes(self, store: BaseStore) -> None:
        """Reads of a batch do not see its writes, whatever their order in the batch."""
        store.put(("a",), "k", {"n": 1})
        _, before, _ = store.batch([PutOp(("a",), "k", {"n": 2}), GetOp(("a",), "k"), PutOp(("a",), "new", {"n": 0})])

        assert before is not None
        assert before.value == {"n": 1}  # type: ignore[union-attr]

    def test_the_last_put_of_a_key_wins(self, store: BaseStore) -> None:
        """This holds for a put after a deletion in one batch, and for a deletion after a put."""
        store.batch([PutOp(("a",), "k", {"n": 1}), PutOp(("a",), "k", {"n": 2})])
        store.batch([PutOp(("a",), "l", {"n": 1}), PutOp(("a",), "l", None)])

        item = store.get(("a",), "k")
        assert item is not None
        assert item.value == {"n": 2}
        assert store.get(("a",), "l") is None

    @pytest.mark.parametrize("label", ["", "a.b", "nul\x00", 1])
    def test_a_label_that_is_none_is_refused(self, store: BaseStore, label: Any) -> None:
        """It is refused before any operation of the batch is carried out."""
        with pytest.raises(InvalidNamespaceError):
            store.put(("a", label), "k", {"n": 1})
        assert store.search(()) == []

    def test_a_prefix_matches_whole_labels(self, store: BaseStore) -> None:
        """("foo",) is not a prefix of ("foobar",), and no character in a label is a wildcard."""
        for namespace in [("foo",), ("foo", "child"), ("foobar",), ("f%",), ("f_o",), ("FOO",)]:
            store.put(namespace, "k", {"n": 1})

        assert _find_namespaces(store, ("foo",)) == {("foo",), ("foo", "child")}
        assert _find_namespaces(store, ("f%",)) == {("f%",)}
        assert _find_namespaces(store, ("f_o",)) == {("f_o",)}
        assert _find_namespaces(store, ("fo",)) == set()

    def test_an_empty_prefix_matches_everything(self, store: BaseStore) -> None:
        """The empty prefix matches every namespace."""
        store.put(("a",), "k", {"n": 1})
        store.put(("b", "c"), "k", {"n": 1})

        assert _find_namespaces(store, ()) == {("a",), ("b", "c")}

    def test_pages_hold_every_item_once(self, store: BaseStore) -> None:
        """Limit and offset select from one stable order."""
        for n in range(7):
            store.put(("a",), str(n), {"n": n})

        pages = [item.key for offset in (0, 3, 6, 9) for item in store.search(("a",), limit=3, offset=offset)]
        assert sorted(pages) == [str(n) for n in range(7)]

    def test_a_filter_asks_for_equality(self, store: BaseStore) -> None:
        """A filter must hold for every field it names."""
        store.put(("a",), "k", {"color": "red", "n": 1})
        store.put(("a",), "l", {"color": "red", "n": 2})

        assert _find_keys(store, {"color": "red", "n": 2}) == {"l"}
        assert _find_keys(store, {"color": "blue"}) == set()

    @pytest.mark.parametrize(
        ("condition", "expected"),
        [
            ({"$eq": 9}, {"nine"}),
            ({"$ne": 9}, {"ten", "minus"}),
            ({"$gt": 9}, {"ten"}),
            ({"$gte": 9}, {"nine", "ten"}),
            ({"$lt": 9}, {"minus"}),
            ({"$lte": 9}, {"nine", "minus"}),
            ({"$gt": -3, "$lt": 10}, {"nine", "minus"}),
        ],
        ids=["eq", "ne", "gt", "gte", "lt", "lte", "gt and lt"],
    )
    def test_numbers_compare_as_numbers(self, store: BaseStore, condition: dict[str, Any], expected: set[str]) -> None:
        """Numbers are compared as numbers: 10 is more than 9, although "10" sorts before "9"."""
        for key, n in {"nine": 9, "ten": 10, "minus": -2.5}.items():
            store.put(("a",), key, {"n": n})

        assert _find_keys(store, {"n": condition}) == expected

    def test_a_list_equals_a_list(self, store: BaseStore) -> None:
        """A list in a filter matches the same list, neither one of its elements nor a longer list."""
        store.put(("a",), "k", {"tags": ["x", "y"]})
        store.put(("a",), "l", {"tags": ["x", "y", "z"]})

        assert _find_keys(store, {"tags": ["x", "y"]}) == {"k"}
        assert _find_keys(store, {"tags": "x"}) == set()

    def test_namespaces_are_listed_sorted_and_paged(self, store: BaseStore) -> None:
        """Each namespace is listed once, however many items it has."""
        for namespace in [("b",), ("a", "z"), ("a", "b"), ("c",)]:
            store.put(namespace, "k", {"n": 1})
            store.put(namespace, "l", {"n": 1})

        assert store.list_namespaces() == [("a", "b"), ("a", "z"), ("b",), ("c",)]
        assert store.list_namespaces(limit=2, offset=1) == [("a", "z"), ("b",)]

    def test_namespaces_are_matched_by_prefix_suffix_and_wildcard(self, store: BaseStore) -> None:
        """A star matches exactly one label."""
        for namespace in [("u", "users", "ann"), ("u", "users", "joann"), ("u", "x", "y", "ann"), ("ub",)]:
            store.put(namespace, "k", {"n": 1})

        assert store.list_namespaces(prefix=("u",), suffix=("ann",)) == [("u", "users", "ann"), ("u", "x", "y", "ann")]
        assert store.list_namespaces(prefix=("u", "*", "ann")) == [("u", "users", "ann")]
        assert store.list_namespaces(suffix=("*", "ann"), prefix=("u", "x")) == [("u", "x", "y", "ann")]

    def test_a_depth_cuts_namespaces(self, store: BaseStore) -> None:
        """Namespaces that become equal are listed once."""
        for namespace in [("a", "b", "c"), ("a", "b", "d"), ("a", "c", "e"), ("f",)]:
            store.put(namespace, "k", {"n": 1})

        op = ListNamespacesOp((MatchCondition("prefix", ("a",)),), max_depth=2)
        assert store.batch([op]) == [[("a", "b"), ("a", "c")]]

    def test_the_nearest_comes_first_with_its_score(self, searchable: BaseStore) -> None:
        """The score of a cosine index is the cosine similarity."""
        searchable.put(("a",), "near", {"text": "aab"})
        searchable.put(("a",), "far", {"text": "bbba"})

        near, far = searchable.search(("a",), query="aab")
        assert (near.key, far.key) == ("near", "far")
        assert near.score == pytest.approx(1, abs=1e-3)
        assert far.score == pytest.approx(0.7071, abs=1e-3)

    def test_an_item_scores_as_its_best_text(self, make_store: MakeStore) -> None:
        """Each field and each list element has a vector of its own, but the item is found once."""
        store = make_store({**INDEX, "fields": ["title", "parts[*].text"]})
        store.put(("a",), "k", {"title": "zzz", "parts": [{"text": "bbb"}, {"text": "aaa"}]})
        store.put(("a",), "l", {"title": "aab"})

        found = store.search(("a",), query="aaa")
        assert [item.key for item in found] == ["k", "l"]
        assert found[0].score == pytest.approx(1, abs=1e-3)

    def test_an_item_may_name_what_of_it_is_indexed(self, searchable: BaseStore) -> None:
        """The fields named in a put replace those of the index config."""
        searchable.put(("a",), "k", {"text": "zzz", "title": "aaa"}, index=["title"])

        (item,) = searchable.search(("a",), query="aaa")
        assert item.score == pytest.approx(1, abs=1e-3)

    def test_a_filter_holds_for_searches_by_meaning(self, searchable: BaseStore) -> None:
        """Items that do not pass the filter are not found, however near they are."""
        searchable.put(("a",), "near", {"text": "aaa", "ok": False})
        searchable.put(("a",), "far", {"text": "ab", "ok": True})

        assert [item.key for item in searchable.search(("a",), query="aaa", filter={"ok": True})] == ["far"]

    def test_pages_of_a_search_by_meaning_have_no_holes(self, searchable: BaseStore) -> None:
        """Every item is on exactly one page, the last pages included."""
        for n in range(30):
            searchable.put(("a",), str(n), {"text": "a" * (n + 1) + "b"})

        pages = [
            i.key for offset in range(0, 36, 4) for i in searchable.search(("a",), query="a", limit=4, offset=offset)
        ]
        assert sorted(pages) == sorted(str(n) for n in range(30))

    def test_text_that_was_replaced_is_not_found(self, searchable: BaseStore) -> None:
        """Texts are removed from the index even if a list became shorter."""
        searchable.put(("a",), "k", {"parts": ["zzz", "aaa"]}, index=["parts[*]"])
        searchable.put(("a",), "k", {"parts": ["bbb"]}, index=["parts[*]"])

        (item,) = searchable.search(("a",), query="aaa")
        assert item.score == pytest.approx(0, abs=1e-3)

    def test_what_is_no_longer_indexed_has_no_score(self, searchable: BaseStore) -> None:
        """After a put with `index=False`, the old text is no longer found."""
        searchable.put(("a",), "k", {"text": "aaa"})
        searchable.put(("a",), "k", {"text": "aaa"}, index=False)

        assert [item.score for item in searchable.search(("a",), query="aaa") if item.score is not None] == []

    def test_many_items_in_one_batch(self, store: BaseStore) -> None:
        """A batch may have more items than a Postgres statement can have parameters."""
        store.batch([PutOp(("a",), str(n), {"n": n}) for n in range(14_000)])

        assert [item.key for item in store.search(("a",), filter={"n": 13_999})] == ["13999"]

    async def test_the_async_face_does_the_same(self, make_store: MakeStore) -> None:
        """`aput`, `aget`, `asearch`, `alist_namespaces` and `adelete` behave like their sync twins."""
        store = make_store(None)
        await store.aput(("a",), "k", {"n": 1})

        item = await store.aget(("a",), "k")
        assert item is not None
        assert [found.key for found in await store.asearch(("a",))] == ["k"]
        assert await store.alist_namespaces() == [("a",)]
        await store.adelete(("a",), "k")
        assert await store.aget(("a",), "k") is None


def _find_namespaces(store: BaseStore, prefix: tuple[str, ...]) -> set[tuple[str, ...]]:
    return {item.namespace for item in store.search(prefix, limit=100)}


def _find_keys(store: BaseStore, filter: dict[str, Any]) -> set[str]:
    return {item.key for item in store.search(("a",), filter=filter)}
