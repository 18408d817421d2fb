"""Conversion between Python values and Postgres' rows: items with their versions, and columns of vectors."""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from langgraph.store.base import Item, SearchItem
from pgvector import HalfVector, Vector
from pgvector.psycopg.halfvec import HalfVectorBinaryDumper
from pgvector.psycopg.vector import VectorBinaryDumper
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format


class VersionedItem(Item):
    """An item with the version to expect when writing it back."""

    __slots__ = ("version",)
    version: int
    """1 when the key was first written, and more with every change of it."""


class VersionedSearchItem(SearchItem):
    """An item that a search found, with the version to expect when writing it back."""

    __slots__ = ("version",)
    version: int
    """1 when the key was first written, and more with every change of it."""


def item_of(row: Mapping[str, Any]) -> VersionedItem:
    """Return the item of a row."""
    item = VersionedItem(
        value=row["value"],
        key=row["key"],
        namespace=tuple(row["namespace"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
    item.version = row["version"]
    return item


def search_item_of(row: Mapping[str, Any]) -> VersionedSearchItem:
    """Return the found item of a row, with its score."""
    score = row["score"]
    item = VersionedSearchItem(
        namespace=tuple(row["namespace"]),
        key=row["key"],
        value=row["value"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        # A text without a direction (an empty one) is at no angle to anything: not near, rather than not a number.
        score=0.0 if score is not None and score != score else score,
    )
    item.version = row["version"]
    return item


class VectorColumn(NamedTuple):
    """The vectors of many rows, sent as one array."""

    vectors: Sequence[Sequence[float]]
    """Numbers, or the bytes of a vector that was read in binary form."""
    encode: Callable[[Sequence[float]], Vector | HalfVector]
    """Called while the column is sent: the server already stores the items meanwhile."""
    oid: int
    """The object id of the vectors' type in this database."""


class VectorColumnDumper(Dumper):
    """Sends a column of vectors as an array in binary form.

    psycopg's own dumper of lists would have to be told the type's object id on every connection.
    """

    format = Format.BINARY

    def dump(self, column: VectorColumn) -> bytes:
        """Return the array: a header, and each vector after its length."""
        parts = [struct.pack(">iiIii", 1, 0, column.oid, len(column.vectors), 1)]
        for vector in column.vectors:
            encoded = vector if isinstance(vector, bytes) else column.encode(vector).to_binary()
            parts += (struct.pack(">i", len(encoded)), encoded)
        return b"".join(parts)


def register_vectors(adapters: AdaptersMap) -> None:
    """Let a cursor send vectors and columns of vectors."""
    adapters.register_dumper(Vector, VectorBinaryDumper)
    adapters.register_dumper(HalfVector, HalfVectorBinaryDumper)
    adapters.register_dumper(VectorColumn, VectorColumnDumper)
