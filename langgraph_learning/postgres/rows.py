"""What a read returns: LangGraph's items, which also know the version that was read."""

from collections.abc import Mapping
from typing import Any

from langgraph.store.base import Item, SearchItem


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
