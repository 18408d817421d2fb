"""Creation and migration of the tables, and re-indexing of all items. Concurrent callers wait on an advisory lock."""

import sys
from collections.abc import Callable
from importlib.resources import files
from typing import NamedTuple

from psycopg import sql

from langgraph_learning.errors import Misconfigured
from langgraph_learning.postgres.config import IndexConfig
from langgraph_learning.postgres.executor import Plan, run_statements
from langgraph_learning.postgres.indexing import EmbeddedTexts, embed_texts, extract_texts, text_columns
from langgraph_learning.postgres.statements import PlanContext, Rows, Statement

ReembedProgress = Callable[[int, int], None]
"""Called with the number of items that are done and the number of all items."""
_MIN_PGVECTOR = (0, 8)
_ITEMS_PER_EMBEDDING_CALL = 256


class Migration(NamedTuple):
    """A change of the tables from one released state to the next."""

    number: int
    name: str
    sql: str


class TableState(NamedTuple):
    """The state of the tables in a database."""

    migrations: frozenset[int]
    vector_type: str | None
    """The type of the stored vectors with its size, such as `vector(384)`."""
    indexed: bool
    """True if there is a vector index."""
    extension: str | None
    """The version of pgvector."""


def load_migrations() -> list[Migration]:
    """Return all migrations in order."""
    folder = files(__package__).joinpath("migrations")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [Migration(int(name[:4]), name[5:-4], folder.joinpath(name).read_text("utf-8")) for name in names]


def set_up_tables(context: PlanContext) -> Plan[None]:
    """Create or migrate the tables. If they are up to date it only reads, so no right to change tables is needed."""
    state = yield from _read_table_state(context)
    missing = [migration for migration in load_migrations() if migration.number not in state.migrations]
    if missing:
        create_table = context.statements("create migrations table")
        migrations = [_guard_migration(migration) for migration in missing]
        yield from run_statements(_lock_schema(context), create_table, *migrations)
        state = yield from _read_table_state(context)
    if context.index and context.index.embeddings:
        yield from _set_up_vectors(context, context.index, state)


def read_stored_dims(context: PlanContext) -> Plan[int | None]:
    """Return the number of dimensions of the stored vectors, None if there are no vectors."""
    state = yield from _read_table_state(context)
    dims = (state.vector_type or "").rpartition("(")[2].rstrip(")")
    return int(dims) if dims.isdigit() else None


def reembed_items(context: PlanContext, resume: bool, progress: ReembedProgress | None) -> Plan[int]:
    """Index every item again, after a change of the embedding model, its dimensions, the fields or the language.

    Returns the number of items. Until it is done, searches find the items that are indexed already.
    """
    if context.index is None:
        raise Misconfigured("There is nothing to embed: this store has no index settings.")
    if not resume:
        yield from _delete_index(context, context.index)
    ((unindexed,),) = yield from run_statements(context.statements("count unindexed"))
    done, last_id = 0, 0
    while True:
        statement = context.statements("read unindexed", after=last_id, limit=_ITEMS_PER_EMBEDDING_CALL)
        (items,) = yield from run_statements(statement)
        if not items:
            break
        yield from _index_items(context, context.index, items)
        done, last_id = done + len(items), items[-1]["id"]
        if progress:
            progress(done, unindexed["count"])
    if context.index.embeddings:
        yield from run_statements(_lock_schema(context), *_create_vector_index(context, context.index))
    return done


def progress_bar(done: int, total: int) -> None:
    """Draw a progress bar on standard error: `store.reembed(progress=progress_bar)`."""
    filled = 30 * done // max(total, 1)
    print(f"\r[{'#' * filled:<30}] {done}/{total}", end="" if done < total else "\n", file=sys.stderr, flush=True)


def _read_table_state(context: PlanContext) -> Plan[TableState]:
    ((row,),) = yield from run_statements(context.statements("read table state"))
    migrations: Rows = []
    if row["migrated"]:
        (migrations,) = yield from run_statements(context.statements("read migrations"))
    numbers = frozenset(migration["number"] for migration in migrations)
    return TableState(numbers, row["vectors"], row["indexed"], row["extension"])


def _lock_schema(context: PlanContext) -> Statement:
    """Return a statement that makes others who change the tables wait until the transaction ends."""
    return context.statements("lock schema")


def _create_vector_index(context: PlanContext, index: IndexConfig) -> list[Statement]:
    return [context.statements("create vector index")] if index.ann else []


def _guard_migration(migration: Migration) -> Statement:
    """Return a statement that runs a migration, unless another process has run it meanwhile."""
    template = """
        DO $migrate$ BEGIN
            IF NOT EXISTS (SELECT FROM learning_migrations WHERE number = {number}) THEN
                EXECUTE {sql};
                INSERT INTO learning_migrations (number, name) VALUES ({number}, {name});
            END IF;
        END $migrate$
    """
    parts = {"number": migration.number, "sql": migration.sql, "name": migration.name.replace("_", " ")}
    literals = {name: sql.Literal(part) for name, part in parts.items()}
    return Statement(sql.SQL(template).format(**literals).as_bytes(None), None)


def _set_up_vectors(context: PlanContext, index: IndexConfig, state: TableState) -> Plan[None]:
    if state.extension is None:
        yield from run_statements(_lock_schema(context), context.statements("create vector extension"))
        state = yield from _read_table_state(context)
    if tuple(int(part) for part in (state.extension or "0").split(".")[:2]) < _MIN_PGVECTOR:
        raise Misconfigured(
            f"pgvector is {state.extension} here; searching needs 0.8 or newer: ALTER EXTENSION vector UPDATE."
        )
    if state.vector_type is None:
        add_column = context.statements("add vector column")
        yield from run_statements(_lock_schema(context), add_column, *_create_vector_index(context, index))
        return
    stored_type = state.vector_type.rpartition(".")[2]
    if stored_type != f"{index.vector_type}({index.dims})":
        raise Misconfigured(
            f"The stored vectors are {stored_type}, the index settings say {index.vector_type}({index.dims}). "
            "After a change of model call `store.reembed()`."
        )
    if index.ann and not state.indexed:
        yield from run_statements(_lock_schema(context), *_create_vector_index(context, index))


def _delete_index(context: PlanContext, index: IndexConfig) -> Plan[None]:
    statements = [_lock_schema(context), context.statements("delete all texts")]
    if index.embeddings:
        # The vector index is dropped with its column: building it once at the end takes a fraction of the time.
        statements += [context.statements("create vector extension"), context.statements("replace vector column")]
    yield from run_statements(*statements)


def _index_items(context: PlanContext, index: IndexConfig, items: Rows) -> Plan[None]:
    owners, texts = [], []
    for item in items:
        for text in extract_texts(context, item["value"], item["indexed"]):
            owners.append(item)
            texts.append(text)
    if not texts:
        return
    embedded = EmbeddedTexts({}, 0)
    if index.embeddings:
        embedded = yield from embed_texts(context, texts, {})
    statement = context.statements(
        "insert texts again",
        ids=[item["id"] for item in owners],
        versions=[item["version"] for item in owners],
        **text_columns(context, texts, embedded),
    )
    yield from run_statements(statement)
