"""The statements of `queries.sql`, by the names they bear there."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from psycopg import sql

from langgraph_learning.postgres.config import DISTANCES, Index

_NAME = re.compile(r"^-- (?P<name>[a-z ]+) --$", re.MULTILINE)


class Statement(NamedTuple):
    """One statement with its parameters."""

    query: bytes
    parameters: Mapping[str, Any] | None


@cache
def read(file: str) -> Mapping[str, str]:
    """Return the named statements of an SQL file beside this one."""
    parts = _NAME.split(files(__package__).joinpath(file).read_text("utf-8"))
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


class Statements:
    """The statements as one store sends them: with its vectors' type and its distance filled in."""

    def __init__(self, index: Index | None) -> None:
        self._parts = _parts(index)
        self._composed: dict[str, bytes] = {}

    def __call__(self, statement: str, /, **parameters: Any) -> Statement:
        """Return a statement ready to be sent."""
        if statement not in self._composed:
            self._composed[statement] = self._compose(statement)
        return Statement(self._composed[statement], parameters or None)

    def _compose(self, statement: str) -> bytes:
        text = read("queries.sql").get(statement) or read("vectors.sql")[statement]
        return sql.SQL(text).format(**self._parts).as_bytes(None)


_WORDS_ONLY: dict[str, sql.Composable] = {
    "embedding_column": sql.SQL(""),
    "embedding_given": sql.SQL(""),
    "vectors": sql.SQL("text"),
    "has_vectors": sql.SQL("false"),
    "complete": sql.SQL("true"),
    "similarity": sql.SQL("NULL::float8"),
    "far": sql.SQL("text.item"),
    "words_weigh": sql.Literal(1.0),
}
_SIMILARITY = {"cosine": "1 - ({})", "l2": "1 / (1 + ({}))", "inner_product": "-({})"}
_WORDS_WEIGH = 0.4
"""Beside vectors. Measured on short and on long chats: from 0.3 to 0.5 both legs together beat either alone."""


def _parts(index: Index | None) -> dict[str, sql.Composable]:
    if index is None or index.embeddings is None:
        return _WORDS_ONLY
    size, distance = sql.Literal(index.dims), sql.SQL(DISTANCES[index.distance][0])
    vector = sql.SQL("{}({})").format(sql.SQL(index.vector_type), size)
    half = sql.SQL("halfvec({})").format(size)
    compared = sql.SQL("text.embedding {} %(vector)s::{}").format(distance, vector)
    operators = {"cosine": "halfvec_cosine_ops", "l2": "halfvec_l2_ops", "inner_product": "halfvec_ip_ops"}
    build = [sql.SQL("{} = {}").format(sql.SQL(name), sql.Literal(value)) for name, value in index.build.items()]
    return {
        "embedding_column": sql.SQL(", embedding"),
        "embedding_given": sql.SQL(", given.embedding"),
        "vectors": sql.SQL(index.vector_type),
        "vector": vector,
        "half": half,
        "distance": distance,
        "has_vectors": sql.SQL("true"),
        "complete": sql.SQL("text.embedding IS NOT NULL"),
        "send": sql.SQL(f"{index.vector_type}_send"),
        "similarity": sql.SQL(_SIMILARITY[index.distance]).format(compared),
        "far": sql.SQL("text.embedding::{} {} %(vector)s::{}").format(half, distance, half),
        "words_weigh": sql.Literal(_WORDS_WEIGH),
        "operators": sql.SQL(operators[index.distance]),
        "options": sql.SQL(", ").join(build),
    }
