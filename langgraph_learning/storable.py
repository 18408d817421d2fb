"""What any database takes: texts without NUL and without halves of characters, which tools and files bring along."""

from collections.abc import Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def storable(value: T) -> T:
    """Return a value, such as an operation on a store, with texts that any database takes."""
    cleaned: Any = value
    if isinstance(value, str):
        cleaned = value.replace("\0", "").encode(errors="replace").decode()
    elif isinstance(value, Mapping):
        cleaned = {storable(key): storable(part) for key, part in value.items()}
    elif isinstance(value, list):
        cleaned = [storable(part) for part in value]
    elif isinstance(value, tuple):
        parts = (storable(part) for part in value)
        cleaned = type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return cleaned  # type: ignore[no-any-return]  # of the same type, part by part
