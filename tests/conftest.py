"""The ground that tests stand on: a real Postgres, a database of its own for each test, and stores on it."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import pytest
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.store.postgres import PostgresStore
from people import INDEX, POOL
from psycopg.sql import SQL, Identifier

from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.postgres.embedded import EmbeddedPostgres


class Databases:
    """Makes databases by copying templates, each of which is set up once; copying one takes some 40 ms."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._templates: dict[str, str] = {}
        self._made: list[str] = []

    @contextmanager
    def copy(self, template: str, prepare: Callable[[str], None]) -> Iterator[str]:
        """Give the URL of a new copy of a template; `prepare` fills the template the first time it is asked for."""
        if template not in self._templates:
            name = self._create()
            prepare(self._url(name))
            self._templates[template] = name
        name = self._create(self._templates[template])
        try:
            yield self._url(name)
        finally:
            self._drop(name)

    def close(self) -> None:
        """Drop the templates."""
        for name in list(self._made):
            self._drop(name)

    def _url(self, name: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def _create(self, template: str = "template0") -> str:
        name = f"test_{uuid4().hex}"
        self._run(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template)))
        self._made.append(name)
        return name

    def _drop(self, name: str) -> None:
        # FORCE: a test that fails, or that kills a process, may leave connections.
        self._run(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
        self._made.remove(name)

    def _run(self, statement: psycopg.sql.Composed) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(statement)


def set_up(url: str) -> None:
    """Make the tables of our store, of LangGraph's own, and of the checkpointer."""
    with HybridPostgresStore.from_conn_string(url, index=INDEX, search_mode="hybrid") as store:
        store.setup()
    with PostgresStore.from_conn_string(url, index=INDEX) as theirs, PostgresSaver.from_conn_string(url) as saver:
        theirs.setup()
        saver.setup()


@pytest.fixture
def empty_folder() -> Iterator[Path]:
    """Give an empty folder with a short path that a server started by root can enter, unlike `tmp_path`."""
    path = Path(tempfile.mkdtemp(prefix="learning-", dir="/var/tmp"))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Give the URL of a real Postgres: `DATABASE_URL` or an embedded one that ends with the tests."""
    if url := os.environ.get("DATABASE_URL"):
        yield url
        return
    path = Path(tempfile.mkdtemp(prefix="learning-", dir="/var/tmp"))
    # Every test makes and drops a database. What a power cut would do to them does not matter.
    with EmbeddedPostgres(path, settings={"fsync": "off", "max_connections": "300"}) as server:
        yield server.url
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def databases(postgres: str) -> Iterator[Databases]:
    """Give the maker of databases, for tests that need a template of their own."""
    made = Databases(postgres)
    yield made
    made.close()


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """Give the URL of a new database without any table or extension."""
    with databases.copy("empty", lambda url: None) as url:
        yield url


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """Give the URL of a new database with the tables of LangGraph's store and checkpointer."""
    with databases.copy("langgraph", set_up) as url:
        yield url


@pytest.fixture
def postgres_store(database_url: str) -> Iterator[HybridPostgresStore]:
    """Give our store on a real Postgres."""
    with HybridPostgresStore.from_conn_string(database_url, pool=POOL, index=INDEX, search_mode="hybrid") as store:
        yield store


@pytest.fixture
def langgraphs_store(database_url: str) -> Iterator[PostgresStore]:
    """Give LangGraph's own store on a real Postgres: the loop knows any store."""
    with PostgresStore.from_conn_string(database_url, pool_config=POOL, index=INDEX) as store:
        yield store


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> BaseStore:
    """Give a store that embeds the field `text`: a test runs on each."""
    if request.param == "memory":
        return InMemoryStore(index=INDEX)
    return request.getfixturevalue("postgres_store")


@pytest.fixture(params=["memory", "postgres"])
async def astore(request: pytest.FixtureRequest) -> AsyncIterator[BaseStore]:
    """Give a store that embeds the field `text`, for async tests: a test runs on each."""
    if request.param == "memory":
        yield InMemoryStore(index=INDEX)
        return
    url = request.getfixturevalue("database_url")
    async with HybridPostgresStore.from_conn_string(url, pool=POOL, index=INDEX, search_mode="hybrid") as store:
        yield store


@pytest.fixture
def checkpointer(database_url: str) -> Iterator[PostgresSaver]:
    """Give a checkpointer on the test's own database."""
    with PostgresSaver.from_conn_string(database_url) as saver:
        yield saver


@pytest.fixture
async def acheckpointer(database_url: str) -> AsyncIterator[AsyncPostgresSaver]:
    """Give a checkpointer for async tests on the test's own database."""
    async with AsyncPostgresSaver.from_conn_string(database_url) as saver:
        yield saver
