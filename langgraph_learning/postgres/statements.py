"""Named SQL statements of `queries.sql` and `vectors.sql`, and the context in which plans use them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg import sql

from langgraph_learning.core.sql import read_statements
from langgraph_learning.postgres.config import DISTANCES, IndexConfig

Row = Mapping[str, Any]
Rows = list[Row]


class Statement(NamedTuple):
    """A statement with its parameters."""

    query: bytes
    parameters: Mapping[str, Any] | None


class PlannedRead(NamedTuple):
    """A statement that reads, and a function that puts its rows into the results of a batch."""

    statement: Statement
    assign: Callable[[Rows, list[Any]], None]


def read_sql(file: str) -> Mapping[str, str]:
    """Return the statements of an SQL file in this package by name."""
    return read_statements(__package__, file)


class Statements:
    """The statements of one store: the type of its vectors and its distance are filled in."""

    def __init__(self, index: IndexConfig | None) -> None:
        self._parts = _compose_parts(index)
        self._queries: dict[str, bytes] = {}

    def __call__(self, name: str, /, **parameters: Any) -> Statement:
        """Return a statement with its parameters."""
        if name not in self._queries:
            self._queries[name] = self._compose(name)
        return Statement(self._queries[name], parameters or None)

    def set_local(self, settings: Mapping[str, str]) -> Statement:
        """Return a statement that sets Postgres' settings until the end of the transaction."""
        return self("set local", names=list(settings), values=list(settings.values()))

    def _compose(self, name: str) -> bytes:
        text = read_sql("queries.sql").get(name) or read_sql("vectors.sql")[name]
        return sql.SQL(text).format(**self._parts).as_bytes(None)


@dataclass(frozen=True)
class PlanContext:
    """The settings and caches of a store that its plans need."""

    statements: Statements
    index: IndexConfig | None
    hybrid: bool
    language: str
    log_changes: bool
    include_expired: bool
    """If true, reads also return items that have expired and are not deleted yet."""
    type_oids: dict[str, int]
    """Cache of the object id of the vectors' type in this database."""
    candidate_counts: dict[tuple[str, ...], tuple[int, float]]
    """Cache of index search candidates by namespace prefix, each with the time at which it expires."""


_PARTS_WITHOUT_VECTORS: dict[str, sql.Composable] = {
    "embedding_column": sql.SQL(""),
    "embedding_value": sql.SQL(""),
    "vector_type": sql.SQL("text"),
    "has_vectors": sql.SQL("false"),
    "has_embedding": sql.SQL("true"),
    "similarity": sql.SQL("NULL::float8"),
    "each_similarity": sql.SQL("NULL::float8"),
    "index_distance": sql.SQL("text.item"),
    "word_weight": sql.Literal(1.0),
}
_SIMILARITIES = {"cosine": "1 - ({})", "l2": "1 / (1 + ({}))", "inner_product": "-({})"}
_WORD_WEIGHT = 0.4
"""Weight of the word leg in a hybrid search with vectors. Measured on short and long chats: with 0.3 to 0.5, both legs
together find more than either alone."""


def _compose_parts(index: IndexConfig | None) -> dict[str, sql.Composable]:
    if index is None or index.embeddings is None:
        return _PARTS_WITHOUT_VECTORS
    dims, distance = sql.Literal(index.dims), sql.SQL(DISTANCES[index.distance][0])
    vector = sql.SQL("{}({})").format(sql.SQL(index.vector_type), dims)
    halfvec = sql.SQL("halfvec({})").format(dims)
    exact_distance = sql.SQL("text.embedding {} %(vector)s::{}").format(distance, vector)
    operators = {"cosine": "halfvec_cosine_ops", "l2": "halfvec_l2_ops", "inner_product": "halfvec_ip_ops"}
    options = [sql.SQL("{} = {}").format(sql.SQL(name), sql.Literal(value)) for name, value in index.hnsw.items()]
    return {
        "embedding_column": sql.SQL(", embedding"),
        "embedding_value": sql.SQL(", given.embedding"),
        "vector_type": sql.SQL(index.vector_type),
        "vector": vector,
        "halfvec": halfvec,
        "distance": distance,
        "has_vectors": sql.SQL("true"),
        "has_embedding": sql.SQL("text.embedding IS NOT NULL"),
        "vector_send": sql.SQL(f"{index.vector_type}_send"),
        "similarity": sql.SQL(_SIMILARITIES[index.distance]).format(exact_distance),
        "each_similarity": sql.SQL(_SIMILARITIES[index.distance]).format(
            sql.SQL("text.embedding {} query.vector").format(distance)
        ),
        "index_distance": sql.SQL("text.embedding::{} {} %(vector)s::{}").format(halfvec, distance, halfvec),
        "word_weight": sql.Literal(_WORD_WEIGHT),
        "operators": sql.SQL(operators[index.distance]),
        "options": sql.SQL(", ").join(options),
    }
