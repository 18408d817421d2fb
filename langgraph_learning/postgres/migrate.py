"""Creation and migration of the tables, and re-indexing of all items. Concurrent callers wait on an advisory lock."""

import sys
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import NamedTuple

from psycopg import sql

from langgraph_learning.errors import Misconfigured
from langgraph_learning.postgres.config import IndexConfig
from langgraph_learning.postgres.executor import Plan, run_statements
from langgraph_learning.postgres.indexing import (
    embed_texts,
    extract_texts,
    insert_texts,
    read_types,
    read_words,
    word_columns,
)
from langgraph_learning.postgres.statements import PlanContext, Row, Rows, Statement

Progress = Callable[[int, int], None]
"""Called with the number of items or texts that are done, and of all."""
_MIN_PGVECTOR = (0, 8)
_ITEMS_PER_EMBEDDING_CALL = 256
_TEXTS_PER_STEP = 1000


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
    halves: bool
    """True if there is a column for vectors in half precision."""
    words: bool
    """True if there are columns for words."""
    meaning_index: bool
    words_index: bool
    extension: str | None
    """The version of pgvector."""


def load_migrations() -> list[Migration]:
    """Return all migrations in order."""
    folder = files(__package__).joinpath("migrations")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [Migration(int(name[:4]), name[5:-4], folder.joinpath(name).read_text("utf-8")) for name in names]


def set_up_tables(context: PlanContext, progress: Progress | None) -> Plan[None]:
    """Create or migrate the tables. If they are up to date it only reads, so no right to change tables is needed."""
    state = yield from _read_table_state(context)
    missing = [migration for migration in load_migrations() if migration.number not in state.migrations]
    if missing:
        create_table = context.statements("create migrations table")
        migrations = [_guard_migration(migration) for migration in missing]
        yield from run_statements(_lock_schema(context), create_table, *migrations)
        state = yield from _read_table_state(context)
    if context.index:
        yield from _set_up_index(context, context.index, state, progress)


def read_stored_dims(context: PlanContext) -> Plan[int | None]:
    """Return the number of dimensions of the stored vectors, None if there are no vectors."""
    state = yield from _read_table_state(context)
    dims = (state.vector_type or "").rpartition("(")[2].rstrip(")")
    return int(dims) if dims.isdigit() else None


def reembed_items(context: PlanContext, resume: bool, progress: Progress | None) -> Plan[int]:
    """Index every item again, after a change of the embedding model, its dimensions, the fields or the language.

    Returns the number of items. Until it is done, searches find the items that are indexed already.
    """
    if context.index is None:
        raise Misconfigured("There is nothing to embed: this store has no index settings.")
    context.caches.clear()
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
    yield from _create_indexes(context, context.index)
    return done


def progress_bar(done: int, total: int) -> None:
    """Draw a progress bar on standard error: `store.setup(progress=progress_bar)`."""
    filled = 30 * done // max(total, 1)
    print(f"\r[{'#' * filled:<30}] {done}/{total}", end="" if done < total else "\n", file=sys.stderr, flush=True)


def _read_table_state(context: PlanContext) -> Plan[TableState]:
    ((row,),) = yield from run_statements(context.statements("read table state"))
    migrations: Rows = []
    if row["migrated"]:
        (migrations,) = yield from run_statements(context.statements("read migrations"))
    numbers = frozenset(migration["number"] for migration in migrations)
    state = {name: row[name] for name in ("halves", "words", "meaning_index", "words_index", "extension")}
    return TableState(numbers, row["vectors"], **state)


def _lock_schema(context: PlanContext) -> Statement:
    """Return a statement that makes others who change the tables wait until the transaction ends."""
    return context.statements("lock schema")


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


def _set_up_index(context: PlanContext, index: IndexConfig, state: TableState, progress: Progress | None) -> Plan[None]:
    """Add the columns for vectors and words, read the words of texts that have none, and create the indexes."""
    if state.extension is None:
        yield from run_statements(_lock_schema(context), context.statements("create vector extension"))
        state = yield from _read_table_state(context)
    if tuple(int(part) for part in (state.extension or "0").split(".")[:2]) < _MIN_PGVECTOR:
        raise Misconfigured(
            f"pgvector is {state.extension} here; searching needs 0.8 or newer: ALTER EXTENSION vector UPDATE."
        )
    columns = _missing_columns(context, index, state)
    if columns:
        context.caches.clear()
        yield from run_statements(_lock_schema(context), *(context.statements(name) for name in columns))
    if context.hybrid:
        yield from _add_words(context, index, progress)
    if (index.ann and not state.meaning_index) or (context.hybrid and not state.words_index):
        yield from _create_indexes(context, index)


def _missing_columns(context: PlanContext, index: IndexConfig, state: TableState) -> list[str]:
    """Return the names of the statements that add what the tables lack. Raises `Misconfigured` for other vectors."""
    missing = []
    if index.embeddings:
        stored_type, wanted_type = (state.vector_type or "").rpartition(".")[2], f"{index.vector_type}({index.dims})"
        if stored_type not in ("", wanted_type):
            raise Misconfigured(
                f"The stored vectors are {stored_type}, the index settings say {wanted_type}. "
                "After a change of model call `store.reembed()`."
            )
        if not state.halves:
            missing += ["drop old vector index", "add vector columns", "add halves"]
    if context.hybrid and not state.words:
        missing += ["add word columns", "create wordless index"]
    return missing


def _create_indexes(context: PlanContext, index: IndexConfig) -> Plan[None]:
    names = ["create vector index"] if index.ann and index.embeddings else []
    names += ["create word index"] if context.hybrid else []
    if names:
        yield from run_statements(_lock_schema(context), *(context.statements(name) for name in names))


def _add_words(context: PlanContext, index: IndexConfig, progress: Progress | None) -> Plan[None]:
    """Read the words of texts that an earlier release, or a store that searches by vectors alone, has written."""
    ((wordless,),) = yield from run_statements(context.statements("count wordless"))
    if not wordless["count"]:
        return
    types = yield from read_types(context)
    done, last = 0, {"item": 0, "field": ""}
    while True:
        statement = context.statements("read wordless", **last, limit=_TEXTS_PER_STEP)
        (rows,) = yield from run_statements(statement)
        if not rows:
            return
        yield from run_statements(_add_words_of(context, index, rows, types))
        done, last = done + len(rows), {"item": rows[-1]["item"], "field": rows[-1]["field"]}
        if progress:
            progress(done, max(done, wordless["count"]))


def _add_words_of(context: PlanContext, index: IndexConfig, rows: Rows, types: Mapping[str, int]) -> Statement:
    texts = [(row["namespace"], _find_text(index, row)) for row in rows]
    keys = {"items": [row["item"] for row in rows], "fields": [row["field"] for row in rows]}
    chars = sum(len(text) for _, text in texts)
    return context.statements.defer("add words", lambda: keys | word_columns(read_words(context, texts), types), chars)


def _find_text(index: IndexConfig, row: Row) -> str:
    """Return a stored text; "" if it is not at its field any more, because the settings of the index have changed."""
    return dict(index.extract_texts(row["value"], row["indexed"])).get(row["field"], "")


def _delete_index(context: PlanContext, index: IndexConfig) -> Plan[None]:
    names = ["delete all texts", "create vector extension"]
    if index.embeddings:
        # The vector index is dropped with its column: building it once at the end takes a fraction of the time.
        names += ["drop vector columns", "add vector columns", "add halves"]
    if context.hybrid:
        names += ["add word columns", "create wordless index"]  # a store that searched by vectors alone has none
    yield from run_statements(_lock_schema(context), *(context.statements(name) for name in names))


def _index_items(context: PlanContext, index: IndexConfig, items: Rows) -> Plan[None]:
    owners, texts = [], []
    for item in items:
        for text in extract_texts(context, item["value"], item["indexed"]):
            owners.append(item)
            texts.append(text)
    if not texts:
        return
    vectors = (yield from embed_texts(context, texts, {})) if index.embeddings else {}
    types = yield from read_types(context)
    keys = {"ids": [item["id"] for item in owners], "versions": [item["version"] for item in owners]}
    namespaces = [item["namespace"] for item in owners]
    yield from run_statements(insert_texts(context, "insert texts again", keys, namespaces, texts, vectors, types))
