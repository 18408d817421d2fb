"""How the tables come to be: once, by whoever comes first, with everybody else waiting."""

from importlib.resources import files
from typing import NamedTuple

from psycopg import sql

from langgraph_learning.errors import Misconfigured
from langgraph_learning.postgres import steps
from langgraph_learning.postgres.config import Index
from langgraph_learning.postgres.shape import Shape
from langgraph_learning.postgres.statements import Statement
from langgraph_learning.postgres.steps import Plan


class Migration(NamedTuple):
    """One step from one released state of the tables to the next."""

    number: int
    name: str
    sql: str


class State(NamedTuple):
    """The database as it is."""

    migrations: frozenset[int]
    vectors: str | None
    """The type of the stored vectors with its size, such as `vector(384)`."""
    indexed: bool
    """Whether there is an index over the vectors."""
    extension: str | None
    """The version of pgvector."""


def migrations() -> list[Migration]:
    """Return all steps, in order."""
    folder = files(__package__).joinpath("migrations")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [Migration(int(name[:4]), name[5:-4], folder.joinpath(name).read_text("utf-8")) for name in names]


def setup(shape: Shape) -> Plan[None]:
    """Make what is missing. Where nothing is, only reads are sent: no right to change tables is needed."""
    state = yield from look(shape)
    missing = [migration for migration in migrations() if migration.number not in state.migrations]
    if missing:
        yield from steps.run(*one_at_a_time(shape), shape.statements("migrations"), *map(_guarded, missing))
        state = yield from look(shape)
    if shape.index and shape.index.embeddings:
        yield from _set_up_vectors(shape, shape.index, state)


def look(shape: Shape) -> Plan[State]:
    """Read what is there."""
    ((row,),) = yield from steps.run(shape.statements("state of the tables"))
    done: list[steps.Row] = []
    if row["migrated"]:
        (done,) = yield from steps.run(shape.statements("migrations done"))
    return State(frozenset(one["number"] for one in done), row["vectors"], row["indexed"], row["extension"])


def stored_dims(shape: Shape) -> Plan[int | None]:
    """Return how long the stored vectors are, None where there are none."""
    vectors = (yield from look(shape)).vectors or ""
    dims = vectors.rpartition("(")[2].rstrip(")")
    return int(dims) if dims.isdigit() else None


def one_at_a_time(shape: Shape) -> list[Statement]:
    """Return what makes others who change the tables wait until the transaction ends."""
    return [shape.statements("change tables one at a time")]


def index_vectors(shape: Shape, index: Index) -> list[Statement]:
    """Return what builds the index over vectors, if there is to be one."""
    return [shape.statements("index vectors")] if index.ann else []


def _set_up_vectors(shape: Shape, index: Index, state: State) -> Plan[None]:
    if state.extension is None:
        yield from steps.run(*one_at_a_time(shape), shape.statements("vector extension"))
        state = yield from look(shape)
    if tuple(int(part) for part in (state.extension or "0").split(".")[:2]) < (0, 8):
        raise Misconfigured(
            f"pgvector is {state.extension} here; searching needs 0.8 or newer: ALTER EXTENSION vector UPDATE."
        )
    if state.vectors is None:
        yield from steps.run(*one_at_a_time(shape), shape.statements("add vectors"), *index_vectors(shape, index))
        return
    kept = state.vectors.rpartition(".")[2]
    if kept != f"{index.vector_type}({index.dims})":
        raise Misconfigured(
            f"The stored vectors are {kept}, the index settings say {index.vector_type}({index.dims}). "
            "After a change of model call `store.reembed()`."
        )
    if index.ann and not state.indexed:
        yield from steps.run(*one_at_a_time(shape), *index_vectors(shape, index))


def _guarded(migration: Migration) -> Statement:
    """Return a migration that does nothing where somebody else was quicker."""
    template = """
        DO $migrate$ BEGIN
            IF NOT EXISTS (SELECT FROM learning_migrations WHERE number = {number}) THEN
                EXECUTE {sql};
                INSERT INTO learning_migrations (number, name) VALUES ({number}, {name});
            END IF;
        END $migrate$
    """
    parts = {"number": migration.number, "sql": migration.sql, "name": migration.name.replace("_", " ")}
    return Statement(sql.SQL(template).format(**{k: sql.Literal(v) for k, v in parts.items()}).as_bytes(None), None)
