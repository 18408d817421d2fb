"""Fixtures for the tests of the store: an empty database per test, on the server that all tests share."""

import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from letter_embeddings import INDEX
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from langgraph_learning.postgres import HybridPostgresStore


@pytest.fixture(scope="session")
def server(postgres: str) -> str:
    """Give the URL of the server that all tests share."""
    return postgres


@pytest.fixture(scope="session")
def new_database(server: str) -> Iterator[Callable[[], str]]:
    """Give a function that creates databases, which are dropped at the end."""
    made: list[str] = []

    def make() -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        made.append(name)
        return make_conninfo(**{**conninfo_to_dict(server), "dbname": name})

    yield make
    with psycopg.connect(server, autocommit=True) as admin:
        for name in made:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def empty_database(new_database: Callable[[], str]) -> str:
    """Give the URL of a new database without tables."""
    return new_database()


@pytest.fixture(scope="session")
def prepared_database(new_database: Callable[[], str]) -> str:
    url = new_database()
    with HybridPostgresStore.from_conn_string(url, index=INDEX, search_mode="hybrid") as store:
        store.setup()
    return url


@pytest.fixture
def database(prepared_database: str) -> str:
    """Give the URL of an empty database that is set up for `INDEX` and any search mode. Emptying one is faster than creating one."""
    with psycopg.connect(prepared_database, autocommit=True) as admin:
        admin.execute("TRUNCATE learning_items, learning_texts, learning_changes RESTART IDENTITY")
    return prepared_database


@pytest.fixture
def store(database: str) -> Iterator[HybridPostgresStore]:
    with HybridPostgresStore.from_conn_string(database, index=INDEX) as store:
        yield store
