"""How a namespace is matched: element by element, as a range in the index over arrays of labels."""

from collections.abc import Sequence

from langgraph.store.base import MatchCondition

_LAST = ".".join(["\U0010ffff"] * 8)
"""Sorts behind every namespace."""


def text(namespace: Sequence[str]) -> str:
    """Return a namespace as it travels to Postgres: no label may hold a dot."""
    return ".".join(namespace)


def bounds(prefix: Sequence[str]) -> tuple[str, str]:
    """Return the first namespace under a prefix, and the first one behind them all.

    In the order of code points nothing lies between a label and the same label followed by U+0001 but longer paths.
    """
    return (text(prefix), text(prefix) + "\x01") if prefix else ("", _LAST)


def bounds_of(conditions: Sequence[MatchCondition]) -> tuple[str, str, list[MatchCondition]]:
    """Return the bounds of the longest plain prefix, and the conditions that remain to be looked at."""
    given = [MatchCondition(c.match_type, tuple(c.path)) for c in conditions if c.path]
    plain = [c for c in given if c.match_type == "prefix" and "*" not in c.path]
    longest = max(plain, key=lambda c: len(c.path), default=None)
    first, end = bounds(longest.path if longest else ())
    return first, end, [c for c in given if c is not longest]
