"""Checks of numbers that callers pass: of one kind everywhere, so that a wrong one is refused where it is written."""

from typing import SupportsFloat, SupportsIndex

from langgraph_learning.errors import Misconfigured


def check_count(name: str, value: object, least: int, most: int | None = None) -> None:
    """Raise `Misconfigured` for what is not a whole number from `least` on, or from `least` to `most`."""
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        count = value.__index__()
        if least <= count and (most is None or count <= most):
            return
    bounds = f"from {least:,} on" if most is None else f"from {least:,} to {most:,}"
    raise Misconfigured(f"{name} is a whole number {bounds}, not {value!r}.")


def check_above_zero(name: str, value: object, unit: str) -> None:
    """Raise `Misconfigured` for what is not a number above zero, of seconds for example."""
    if isinstance(value, bool) or not isinstance(value, SupportsFloat) or not float(value) > 0:
        raise Misconfigured(f"{name} is a number of {unit} above zero, not {value!r}.")
