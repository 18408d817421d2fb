"""A pytest plugin that points LangGraph's own store tests at our store. Loaded before their modules are imported."""

import os
import uuid
from typing import Any

import adapters
import langgraph.store.memory
import langgraph.store.postgres
import langgraph.store.postgres.aio
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

SERVER = os.environ["UPSTREAM_TESTS_URL"]

NOT_OURS = {
    "test_escape_like_literal": "tests a private function; ours matches namespaces by element",
    "test_namespace_match_pattern": "tests a private function; ours matches namespaces by element",
    "test_nonnull_migrations": "tests the text of private migrations",
    "test_abatch_uses_single_pool_checkout": "patches a private module; tests/postgres/test_connections.py has it",
    "test_omit_expired_disabled_preserves_expired_rows[default]": "wants expired items readable; ours omits them",
    "test_no_running_loop": "wants sync calls in a running loop refused; ours allows both in one object",
}
"""Their tests that are not run, each with its reason."""

if os.environ.get("UPSTREAM_SUITE") == "base":
    NOT_OURS["test_embed_with_path"] = "wants items without vectors after those with; no Postgres store does"

langgraph.store.postgres.PostgresStore = adapters.PostgresStore
langgraph.store.postgres.AsyncPostgresStore = adapters.AsyncPostgresStore


def pytest_configure(config: pytest.Config) -> None:
    """Set the server's URL in LangGraph's tests before they copy it."""
    try:
        import tests.conftest as theirs
    except ImportError:
        return
    if hasattr(theirs, "DEFAULT_URI"):
        theirs.DEFAULT_URI = SERVER


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests listed above, and print the reasons."""
    left_out = [item for item in items if _reason(item)]
    items[:] = [item for item in items if not _reason(item)]
    config.hook.pytest_deselected(items=left_out)
    for name in sorted({item.name for item in left_out}):
        print(f"not run: {name}: {_reason(next(i for i in left_out if i.name == name))}")


def _reason(item: pytest.Item) -> str | None:
    original = getattr(item, "originalname", item.name)
    for name, reason in NOT_OURS.items():
        wanted, _, parameter = name.partition("[")
        if original == wanted and (not parameter or item.name.endswith(f"-{parameter}")):
            return reason
    return None


_stores: list[Any] = []


class FreshStore(adapters.HybridPostgresStore):
    """Our store in place of `InMemoryStore`: each new one is empty."""

    def __init__(self, *, index: Any = None) -> None:
        name = f"upstream_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(SERVER, autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
        super().__init__(make_conninfo(**{**conninfo_to_dict(SERVER), "dbname": name}), index=index, pool=adapters.POOL)
        self.setup()
        _stores.append((self, name))


@pytest.fixture(autouse=True)
def _no_database_stays() -> Any:
    yield
    while _stores:
        store, name = _stores.pop()
        store.close()
        with psycopg.connect(SERVER, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[arg-type]


if os.environ.get("UPSTREAM_SUITE") == "base":
    langgraph.store.memory.InMemoryStore = FreshStore
