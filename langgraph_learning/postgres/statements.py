"""Named SQL statements of `queries.sql` and `vectors.sql`, and the context in which plans use them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from psycopg import sql

from langgraph_learning.core.sql import read_statements
from langgraph_learning.postgres.config import DISTANCES, IndexConfig
from langgraph_learning.postgres.words import MOST_SETS, WordCounts

Row = Mapping[str, Any]
Rows = list[Row]


class Statement(NamedTuple):
    """A statement with its parameters."""

    query: bytes
    parameters: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None
    """Parameters, or a function that makes them. It is called when the statements before are sent: the server runs them
    meanwhile."""
    chars: int = 0
    """Characters of text that this function reads."""

    def make_parameters(self) -> Mapping[str, Any] | None:
        """Return the parameters."""
        return self.parameters() if callable(self.parameters) else self.parameters


class PlannedRead(NamedTuple):
    """A statement that reads, and a function that puts its rows into the results of a batch."""

    statement: Statement
    assign: Callable[[Rows, list[Any]], None]


def read_sql(file: str) -> Mapping[str, str]:
    """Return the statements of an SQL file in this package by name."""
    return read_statements(__package__, file)


class Statements:
    """The statements of one store: the types of its vectors, its distance and its search mode are filled in."""

    def __init__(self, index: IndexConfig | None, hybrid: bool) -> None:
        self._parts = _compose_parts(index, hybrid)
        self._queries: dict[str, bytes] = {}

    def __call__(self, name: str, /, **parameters: Any) -> Statement:
        """Return a statement with its parameters."""
        return Statement(self._read(name), parameters or None)

    def defer(self, name: str, make_parameters: Callable[[], Mapping[str, Any]], chars: int) -> Statement:
        """Return a statement whose parameters are made when its turn to be sent comes, from so many characters."""
        return Statement(self._read(name), make_parameters, chars)

    def set_local(self, settings: Mapping[str, str]) -> Statement:
        """Return a statement that sets Postgres' settings until the end of the transaction."""
        return self("set local", names=list(settings), values=list(settings.values()))

    def _read(self, name: str) -> bytes:
        if name not in self._queries:
            self._queries[name] = self._compose(name)
        return self._queries[name]

    def _compose(self, name: str) -> bytes:
        text = read_sql("queries.sql").get(name) or read_sql("vectors.sql")[name]
        return sql.SQL(text).format(**self._parts).as_bytes(None)


@dataclass(frozen=True)
class Caches:
    """What a store remembers of its database, each with the time at which it expires."""

    types: dict[str, int] = field(default_factory=dict)
    """Object ids of the types of columns, by the name of the column."""
    candidates: dict[tuple[str, ...], tuple[int, float]] = field(default_factory=dict)
    """Numbers of index search candidates by namespace prefix."""
    sizes: dict[tuple[str, ...], tuple[int, float]] = field(default_factory=dict)
    """Numbers of texts by namespace prefix."""
    words: dict[tuple[str, ...], tuple[WordCounts, float]] = field(default_factory=dict)
    """Counts of words by the prefix of a tenant."""

    def clear(self) -> None:
        """Forget everything."""
        self.types.clear()
        self.candidates.clear()
        self.sizes.clear()
        self.words.clear()


@dataclass(frozen=True)
class PlanContext:
    """The settings and caches of a store that its plans need."""

    statements: Statements
    index: IndexConfig | None
    hybrid: bool
    language: str | None
    """Snowball's name of the language that most texts are in."""
    log_changes: bool
    include_expired: bool
    """If true, reads also return items that have expired and are not deleted yet."""
    caches: Caches


_SIMILARITIES = {"cosine": "1 - ({})", "l2": "1 / (1 + ({}))", "inner_product": "-({})"}
_WORD_WEIGHT = 0.6
"""Weight of the share of words in a hybrid search; the rest is that of the similarity. Measured on chats."""
_NEARNESS = {
    "cosine": "1 - least({}, 1)",
    "l2": "1 / (1 + coalesce({}, 'Infinity'))",
    "inner_product": "-least({}, 0)",
}
"""Similarities that are never negative: 0 for a text without a vector, or with one of zeros, whose cosine is no number.

`least` ignores NULL, and takes what is no number for the largest number. Every text of a namespace is compared, so a
function call less is felt.
"""
_WORD_SHARE = "-least(text.words <#> query.words, 0)"
_HAS_TELLING_WORDS = " OR ".join(
    ["text.tokens && query.rare", *(f"text.tokens @> query.sets[{nth}]::int[]" for nth in range(1, MOST_SETS + 1))]
)
_WORD_ARRAYS = ", %(words)s::sparsevec[], %(first_tokens)s::int[], %(last_tokens)s::int[]"
_BY_MEANING = """
       (SELECT * FROM (
            SELECT text.item, {fused} AS score
              FROM learning_texts text
             -- A condition on a slice keeps the planner from using the namespace index instead of the vector index.
             WHERE text.namespace[1:cardinality(op.first)] = op.first
               AND (op.filter IS NULL OR EXISTS (SELECT FROM learning_items item
                                                  WHERE item.id = text.item AND item.value @@ op.filter OFFSET 0))
             -- Of many texts about as near, the words that a few of them share with the question tell the best.
             ORDER BY text.meaning {distance} query.meaning LIMIT 3 * op.pool) nearest
         ORDER BY 2 DESC LIMIT op.pool)
        UNION ALL"""


def _compose_parts(index: IndexConfig | None, hybrid: bool) -> dict[str, sql.Composable]:
    embeds = index is not None and index.embeddings is not None
    words, vectors = ["words", "tokens"] if hybrid else [], ["embedding"] if embeds else []
    given = ["words", "first_token", "last_token"] if hybrid else []
    # Postgres has no arrays of arrays of several lengths: those of all texts are sent as one array, and cut apart.
    values = {"tokens": "(%(tokens)s::int[])[given.first_token:given.last_token]"}
    indexed = [f"text.{column} IS NOT NULL" for column in (*words[:1], *vectors)]
    parts: dict[str, sql.Composable] = {
        "columns": sql.SQL("".join(f", {column}" for column in (*words, *vectors))),
        "values": sql.SQL("".join(f", {values.get(column, f'given.{column}')}" for column in (*words, *vectors))),
        "names": sql.SQL("".join(f", {column}" for column in (*given, *vectors))),
        "arrays": sql.SQL(_WORD_ARRAYS if hybrid else ""),
        "is_indexed": sql.SQL(" AND ".join(indexed) or "true"),
        "query_columns": sql.SQL(""),
        "query_arrays": sql.SQL(""),
        "query_names": sql.SQL(""),
        "fused": sql.SQL(_WORD_SHARE),
        "has_telling_words": sql.SQL(f"({_HAS_TELLING_WORDS})"),
        "has_match": sql.SQL("text.words <#> query.words < 0"),
        "by_meaning": sql.SQL(""),
        "words_only": sql.SQL("true"),
        "similarity": sql.SQL("NULL::float8"),
    }
    return parts | _compose_vector_parts(index, parts["arrays"]) if index and embeds else parts


def _compose_vector_parts(index: IndexConfig, arrays: sql.Composable) -> dict[str, sql.Composable]:
    dims, distance = sql.Literal(index.dims), sql.SQL(DISTANCES[index.distance][0])
    vector = sql.SQL("{}({})").format(sql.SQL(index.vector_type), dims)
    halfvec = sql.SQL("halfvec({})").format(dims)
    operators = {"cosine": "halfvec_cosine_ops", "l2": "halfvec_l2_ops", "inner_product": "halfvec_ip_ops"}
    options = [sql.SQL("{} = {}").format(sql.SQL(name), sql.Literal(value)) for name, value in index.hnsw.items()]
    similarity = sql.SQL(_SIMILARITIES[index.distance])
    near = sql.SQL(_NEARNESS[index.distance]).format(sql.SQL("text.meaning {} query.meaning").format(distance))
    fused = sql.SQL("{} * ({}) + {} * ({})").format(
        sql.Literal(_WORD_WEIGHT), sql.SQL(_WORD_SHARE), sql.Literal(1 - _WORD_WEIGHT), near
    )
    return {
        "arrays": sql.SQL("{}, %(vectors)s::{}[]").format(arrays, sql.SQL(index.vector_type)),
        "vector": vector,
        "halfvec": halfvec,
        "distance": distance,
        "vector_send": sql.SQL(f"{index.vector_type}_send"),
        "query_columns": sql.SQL(", vector, vector::{} AS meaning").format(halfvec),
        "query_arrays": sql.SQL(", %(vectors)s::{}[]").format(sql.SQL(index.vector_type)),
        "query_names": sql.SQL(", vector"),
        "fused": fused,
        "has_match": sql.SQL("true"),
        "words_only": sql.SQL("false"),
        "by_meaning": sql.SQL(_BY_MEANING).format(fused=fused, distance=distance) if index.ann else sql.SQL(""),
        "similarity": similarity.format(sql.SQL("text.embedding {} query.vector").format(distance)),
        "operators": sql.SQL(operators[index.distance]),
        "options": sql.SQL(", ").join(options),
        # Rows up to this size stay as they are; of larger ones, the vector of full precision is stored elsewhere.
        "row_size": sql.Literal(min(8160, 2 * index.dims + 1600)),
    }
