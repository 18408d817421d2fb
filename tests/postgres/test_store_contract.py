"""The store contract, run on three stores. Differences are listed here and in docs/store.md."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, ClassVar

import psycopg
import pytest
from langgraph.store.memory import InMemoryStore
from langgraph.store.postgres import PostgresStore

from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.testing.store_contract import StoreContract


class TestHybridPostgresStore(StoreContract):
    @pytest.fixture
    def make_store(self, database: str) -> Iterator[Callable[..., Any]]:
        with ExitStack() as opened:

            def make(index: Any = None) -> HybridPostgresStore:
                return opened.enter_context(HybridPostgresStore.from_conn_string(database, index=index))

            yield make


class TestInMemoryStore(StoreContract):
    @pytest.fixture
    def make_store(self) -> Callable[..., Any]:
        return lambda index=None: InMemoryStore(index=index)

    differs: ClassVar = {
        "test_a_second_put_keeps_the_time_of_creation": "a second put sets `created_at` anew",
        "test_a_namespace_without_items_is_not_listed": "a namespace stays listed after its last item was deleted",
        "test_text_that_was_replaced_is_not_found": "vectors of replaced text stay when a list shrinks",
        "test_what_is_no_longer_indexed_has_no_score": "vectors stay after a put with `index=False`",
    }


class TestLangGraphsPostgresStore(StoreContract):
    @pytest.fixture
    def make_store(self, database: str) -> Iterator[Callable[..., Any]]:
        with psycopg.connect(database, autocommit=True) as admin:
            admin.execute("DROP TABLE IF EXISTS store, store_vectors, store_migrations, vector_migrations")
        with ExitStack() as opened:

            def make(index: Any = None) -> PostgresStore:
                store = opened.enter_context(PostgresStore.from_conn_string(database, index=index))
                store.setup()
                return store

            yield make

    differs: ClassVar = {
        **dict.fromkeys(
            (f"test_numbers_compare_as_numbers[{name}]" for name in ("gt", "gte", "lt", "lte", "gt and lt")),
            "`$gt`, `$gte`, `$lt`, `$lte` compare as text: 10 is less than 9",
        ),
        "test_pages_of_a_search_by_meaning_have_no_holes": "an offset beyond twice the limit finds nothing",
        "test_text_that_was_replaced_is_not_found": "vectors of replaced text stay when a list shrinks",
        "test_what_is_no_longer_indexed_has_no_score": "vectors stay after a put with `index=False`",
    }
