"""How vectors and columns of text travel to Postgres: in binary form, many values in one parameter."""

import struct
from collections.abc import Callable, Sequence
from typing import NamedTuple

from psycopg.adapt import AdaptersMap, Dumper
from psycopg.pq import Format

_TEXT, _BYTEA = 25, 17
"""How every Postgres numbers these types."""
_NULL = struct.pack(">i", -1)


class Binary(bytes):
    """A value already in Postgres' binary form; the cast around the parameter says of which type."""


class BinaryDumper(Dumper):
    """Sends a `Binary` as it is."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Binary) -> bytes:
        """Return the bytes themselves."""
        return bytes(obj)


class Texts(list[str | None]):
    """A column of texts."""


class TextsDumper(Dumper):
    """Sends a column of texts in a fraction of the time that quoting each of them takes."""

    format = Format.BINARY
    oid = 1009

    def dump(self, obj: Texts) -> bytes:
        """Return the array, in the encoding of the connection."""
        encoding = self.connection.info.encoding if self.connection else "utf-8"
        return _array([None if text is None else text.encode(encoding) for text in obj], _TEXT)


class Blobs(list[bytes]):
    """A column of bytes."""


class BlobsDumper(Dumper):
    """Sends a column of bytes as they are."""

    format = Format.BINARY
    oid = 1001

    def dump(self, obj: Blobs) -> bytes:
        """Return the array."""
        return _array(obj, _BYTEA)


class Vectors(NamedTuple):
    """A column of vectors. They become binary only when they are sent: by then the server is busy with the items."""

    rows: Sequence[Sequence[float]]
    """Numbers, or what is binary already."""
    encode: Callable[[Sequence[float]], Binary]
    oid: int
    """How this database numbers the type of its vectors."""


class VectorsDumper(Dumper):
    """Sends a column of vectors."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Vectors) -> bytes:
        """Return the array."""
        return _array([row if isinstance(row, bytes) else obj.encode(row) for row in obj.rows], obj.oid)


def register(adapters: AdaptersMap) -> None:
    """Let a cursor send what is defined here."""
    adapters.register_dumper(Binary, BinaryDumper)
    adapters.register_dumper(Texts, TextsDumper)
    adapters.register_dumper(Blobs, BlobsDumper)
    adapters.register_dumper(Vectors, VectorsDumper)


def vector(numbers: Sequence[float]) -> Binary:
    """Return one vector of single precision."""
    return Binary(struct.pack(f">HH{len(numbers)}f", len(numbers), 0, *numbers))


def halfvec(numbers: Sequence[float]) -> Binary:
    """Return one vector of half precision."""
    return Binary(struct.pack(f">HH{len(numbers)}e", len(numbers), 0, *numbers))


def _array(elements: Sequence[bytes | None], element_oid: int) -> bytes:
    """Return an array of one dimension. Postgres wants to be told the type of its elements in the array itself."""
    if not elements:
        return struct.pack(">iiI", 0, 0, element_oid)
    length = struct.Struct(">i").pack
    parts = [struct.pack(">iiIii", 1, 1, element_oid, len(elements), 1)]
    for element in elements:
        parts += (_NULL,) if element is None else (length(len(element)), element)
    return b"".join(parts)
