"""How vectors travel to Postgres: in pgvector's binary form, many in one parameter."""

import struct
from array import array
from collections.abc import Iterable, Sequence

from psycopg.adapt import Dumper
from psycopg.pq import Format


class Binary(bytes):
    """A value already in Postgres' binary form; the cast around the parameter says of which type."""


class BinaryDumper(Dumper):
    """Sends a `Binary` as it is."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Binary) -> bytes:
        """Return the bytes themselves."""
        return bytes(obj)


def vector(numbers: Sequence[float]) -> Binary:
    """Return one vector of single precision."""
    floats = array("f", numbers)
    floats.byteswap()
    return Binary(struct.pack(">HH", len(floats), 0) + floats.tobytes())


def halfvec(numbers: Sequence[float]) -> Binary:
    """Return one vector of half precision."""
    return Binary(struct.pack(f">HH{len(numbers)}e", len(numbers), 0, *numbers))


def vectors(encoded: Iterable[Binary | None], element_oid: int) -> Binary:
    """Return an array of vectors. Postgres wants to be told the type of an array's elements in the array itself."""
    elements = [struct.pack(">i", len(one)) + one for one in encoded if one is not None]
    header = struct.pack(">iiIii", 1 if elements else 0, 0, element_oid, len(elements), 1)
    return Binary((header if elements else header[:12]) + b"".join(elements))
