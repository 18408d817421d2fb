"""Operations that cannot be meant: refused in the caller's words, by every entry to the store."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from langgraph.store.base import GetOp, ListNamespacesOp, PutOp, SearchOp
from letter_embeddings import INDEX

from langgraph_learning.errors import LearningError, Misconfigured
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.postgres.operations import MOST_ITEMS

NO_COUNTS = [-1, MOST_ITEMS + 1, 10**12, 2**63, "5", 2.5, None, True]


@pytest.fixture(params=["by filter", "by words"])
def store(request: pytest.FixtureRequest, database: str) -> Iterator[HybridPostgresStore]:
    mode: Any = "vector" if request.param == "by filter" else "hybrid"
    with HybridPostgresStore.from_conn_string(database, search_mode=mode) as opened:
        opened.setup()
        opened.put(("a",), "k", {"text": "Egress is dear."})
        yield opened


@pytest.mark.parametrize("count", NO_COUNTS)
@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("limit", lambda store, count: store.search(("a",), limit=count)),
        ("limit", lambda store, count: store.search(("a",), query="egress", limit=count)),
        ("offset", lambda store, count: store.search(("a",), query="egress", offset=count)),
        ("limit", lambda store, count: store.list_namespaces(limit=count)),
        ("offset", lambda store, count: store.list_namespaces(offset=count)),
        ("limit", lambda store, count: store.history(("a",), limit=count)),
    ],
)
def test_a_number_of_items_is_a_whole_one_from_0_on(store, name: str, ask: Callable[..., Any], count: Any):
    """The error names the argument, and is none of the database."""
    with pytest.raises(Misconfigured, match=f"^{name} is a whole number from 0 to 100,000,000, not "):
        ask(store, count)


@pytest.mark.parametrize("offset", [0, MOST_ITEMS])
@pytest.mark.parametrize("limit", [0, 1, MOST_ITEMS])
def test_every_other_number_is_answered(store, limit: int, offset: int):
    """None of them is too large for the SQL, with or without an index."""
    expected = ["k"] if limit and not offset else []

    assert [item.key for item in store.search(("a",), limit=limit, offset=offset)] == expected
    assert [item.key for item in store.search(("a",), query="egress", limit=limit, offset=offset)] == expected
    assert store.list_namespaces(limit=limit, offset=offset) == [("a",) for _ in expected]
    assert len(store.history(("a",), limit=limit)) == min(limit, 1)


def test_the_largest_numbers_are_answered_by_meaning(database: str):
    """The pool of candidates is a multiple of them."""
    for mode in ("vector", "hybrid"):
        with HybridPostgresStore.from_conn_string(database, index=INDEX, search_mode=mode) as store:  # type: ignore[arg-type]
            store.setup()
            store.put(("a",), "k", {"text": "Egress is dear."})

            assert [item.key for item in store.search(("a",), query="costs", limit=MOST_ITEMS)] == ["k"]
            assert store.search(("a",), query="costs", limit=MOST_ITEMS, offset=MOST_ITEMS) == []


@pytest.mark.parametrize(
    ("ask", "hint"),
    [
        (lambda store: store.put("abc", "k", {}), "namespace is a tuple"),
        (lambda store: store.get("abc", "k"), "namespace is a tuple"),
        (lambda store: store.search("abc"), "namespace is a tuple"),
        (lambda store: store.history("abc"), "namespace is a tuple"),
        (lambda store: store.prune_history("abc"), "namespace is a tuple"),
        (lambda store: store.put(("a",), "k", "text"), "value of an item is a dict"),
        (lambda store: store.put(("a",), "k", {}, ttl=1e300), "ttl is a number of minutes"),
        (lambda store: store.put(("a",), "k", {}, ttl="5"), "ttl is a number of minutes"),
        (lambda store: store.search(("a",), query=5), "query of a search is a text"),
        (lambda store: store.search(("a",), filter="x"), "filter is a dict"),
        (lambda store: store.list_namespaces(max_depth=0), "max_depth is a whole number from 1"),
        (lambda store: store.list_namespaces(max_depth=10**12), "max_depth is a whole number from 1"),
        (lambda store: store.prune_history((), before="2020"), "before= is a datetime"),
        (lambda store: store.update(("a",), "k", lambda value: value, attempts=0), "attempts is a whole number from 1"),
        (lambda store: store.start_ttl_sweeper(-1), "minutes above zero"),
        (lambda store: store.start_ttl_sweeper("5"), "minutes above zero"),
        (lambda store: store.batch(["search"]), "A batch takes GetOp"),
    ],
)
def test_what_cannot_be_meant_is_refused(store, ask: Callable[..., Any], hint: str):
    """It would be an error of the database or of Python, or pass for something else."""
    with pytest.raises(LearningError, match=hint):
        ask(store)


async def test_a_wrong_operation_fails_alone(store):
    """Calls of one moment share a batch."""
    found, refused = await asyncio.gather(
        store.aget(("a",), "k"), store.asearch(("a",), limit=-1), return_exceptions=True
    )
    await store.aclose_loop()

    assert found.key == "k"
    assert isinstance(refused, Misconfigured)


def test_operations_of_every_kind_pass(store):
    """Also with a list for a namespace, and what is left out."""
    found, _, items, spaces = store.batch(
        [GetOp(["a"], "k"), PutOp(("b",), "k", {"x": 1}, ttl=-1.0), SearchOp(()), ListNamespacesOp(max_depth=1)]  # type: ignore[arg-type]
    )

    assert found.key == "k"
    assert [item.key for item in items] == ["k"]
    assert spaces == [("a",)]
    assert store.prune_history((), before=datetime.now(UTC)) > 0


def test_a_key_may_be_a_number(store):
    """LangGraph's methods take it as a text, and so does the history."""
    store.put(("a",), 5, {"x": 1})  # type: ignore[arg-type]

    assert store.get(("a",), 5).key == "5"  # type: ignore[arg-type]
    assert [change.key for change in store.history(("a",), 5)] == ["5"]  # type: ignore[arg-type]
