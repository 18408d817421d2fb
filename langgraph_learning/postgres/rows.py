"""Conversion between Python values and Postgres rows: versioned items, namespaces as ranges, columns of vectors."""

import struct
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any, NamedTuple

from langgraph.store.base import Item, MatchCondition, SearchItem
from pgvector import HalfVector, Vector
from pgvector.psycopg.halfvec import HalfVectorBinaryDumper
from pgvector.psycopg.vector import VectorBinaryDumper
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format

from langgraph_learning.core.store_protocol import Scores

_INTEGER, _INTEGER_ARRAY = 23, 1007
"""Postgres' object ids of `int` and `int[]`, the same in every database."""
_AFTER_ALL_NAMESPACES = ".".join(["\U0010ffff"] * 8)


class VersionedItem(Item):
    """An item with the version to expect when writing it back."""

    __slots__ = ("version",)
    version: int
    """1 when the key was first written; it grows with every change of the key."""


class VersionedSearchItem(SearchItem):
    """A search result with the version to expect when writing it back and, of a hybrid search, its scores."""

    __slots__ = ("scores", "version")
    version: int
    """1 when the key was first written; it grows with every change of the key."""
    scores: tuple[Scores, ...]
    """Scores for each query text of a hybrid search."""


def to_item(row: Mapping[str, Any]) -> VersionedItem:
    """Convert a row to an item."""
    item = VersionedItem(
        value=row["value"],
        key=row["key"],
        namespace=tuple(row["namespace"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
    item.version = row["version"]
    return item


def to_search_item(row: Mapping[str, Any]) -> VersionedSearchItem:
    """Convert a row to a search result with its score."""
    score = row["score"]
    item = VersionedSearchItem(
        namespace=tuple(row["namespace"]),
        key=row["key"],
        value=row["value"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        # The cosine of a vector of zeros (an empty text) is NaN: such an item is not near.
        score=0.0 if score is not None and score != score else score,
    )
    item.version = row["version"]
    item.scores = ()
    return item


def join_namespace(namespace: Sequence[str]) -> str:
    """Return a namespace as the text that is sent to Postgres. No label may contain a dot."""
    return ".".join(namespace)


def tenant_prefix(namespace: Sequence[str]) -> tuple[str, ...]:
    """Return the part of a namespace, or of a prefix, that tells the tenant: two labels below `learnings`, else one."""
    return tuple(namespace[: 2 if namespace and namespace[0] == "learnings" else 1])


def prefix_bounds(prefix: Sequence[str]) -> tuple[str, str]:
    """Return the first namespace under a prefix, and the first one after all of them.

    By code point, only longer paths sort between a label and the same label followed by U+0001.
    """
    if not prefix:
        return "", _AFTER_ALL_NAMESPACES
    return join_namespace(prefix), join_namespace(prefix) + "\x01"


def condition_bounds(conditions: Sequence[MatchCondition]) -> tuple[str, str, list[MatchCondition]]:
    """Return the bounds of the longest prefix without wildcards, and the remaining conditions."""
    nonempty = [
        MatchCondition(condition.match_type, tuple(condition.path)) for condition in conditions if condition.path
    ]
    prefixes = [condition for condition in nonempty if condition.match_type == "prefix" and "*" not in condition.path]
    longest = max(prefixes, key=lambda condition: len(condition.path), default=None)
    first, end = prefix_bounds(longest.path if longest else ())
    return first, end, [condition for condition in nonempty if condition is not longest]


class VectorColumn(NamedTuple):
    """The vectors of many rows, sent as one array."""

    vectors: Sequence[Sequence[float] | bytes]
    """Numbers, or the bytes of a vector in binary form."""
    oid: int
    """The object id of the vectors' type in this database."""
    encode: Callable[..., Vector | HalfVector] = Vector
    """Called while the column is sent: the server already stores the items meanwhile."""


class VectorColumnDumper(Dumper):
    """Dump a column of vectors as an array in binary form.

    psycopg's own dumper of lists sends vectors in text form, unless their type is looked up and registered on every
    connection. In text form, puts of 384 dimensions without a vector index take five times as long.
    """

    format = Format.BINARY

    def dump(self, column: VectorColumn) -> bytes:
        """Return the array: a header, then each vector after its length."""
        parts = [struct.pack(">iiIii", 1, 0, column.oid, len(column.vectors), 1)]
        for vector in column.vectors:
            encoded = vector if isinstance(vector, bytes) else column.encode(vector).to_binary()
            parts += (struct.pack(">i", len(encoded)), encoded)
        return b"".join(parts)


class IntegerColumn(NamedTuple):
    """The integers of many rows, sent as one flat array: Postgres has no arrays of arrays of several lengths."""

    rows: Sequence[Sequence[int]]

    def lasts(self) -> list[int]:
        """Return the position in the array, from 1, of the last integer of each row."""
        return list(accumulate(map(len, self.rows)))

    def firsts(self) -> list[int]:
        """Return the position in the array, from 1, of the first integer of each row."""
        return [last - len(row) + 1 for last, row in zip(self.lasts(), self.rows, strict=True)]


class IntegerColumnDumper(Dumper):
    """Dump a column of integers as an array in binary form, which takes a tenth of the time of psycopg's own dumper."""

    format = Format.BINARY
    oid = _INTEGER_ARRAY

    def dump(self, column: IntegerColumn) -> bytes:
        """Return the array: a header, then each integer after its length."""
        integers = array("i", chain.from_iterable(column.rows))
        cells = array("i", [integers.itemsize]) * (2 * len(integers))
        cells[1::2] = integers
        if sys.byteorder == "little":
            cells.byteswap()
        return struct.pack(">iiIii", 1, 0, _INTEGER, len(integers), 1) + cells.tobytes()


def register_vectors(adapters: AdaptersMap) -> None:
    """Register the dumpers of vectors, and of columns of vectors and integers, for example on a cursor."""
    adapters.register_dumper(Vector, VectorBinaryDumper)
    adapters.register_dumper(HalfVector, HalfVectorBinaryDumper)
    adapters.register_dumper(VectorColumn, VectorColumnDumper)
    adapters.register_dumper(IntegerColumn, IntegerColumnDumper)
