"""Which namespaces are large: found out by skipping through an index, so remembered for a while."""

import time

_REMEMBERED = 10_000
"""So many namespaces at most."""
_SECONDS = 60.0
"""What was remembered wrongly for so long costs time, and no result."""


class Sizes:
    """What searches found out about the sizes of namespaces."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[bool, float]] = {}

    def is_large(self, prefix: tuple[str, ...]) -> bool | None:
        """Tell whether there was much under a namespace a moment ago; None: nobody knows."""
        large, until = self._known.get(prefix, (None, 0.0))
        return large if time.monotonic() < until else None

    def remember(self, prefix: tuple[str, ...], large: bool) -> None:
        """Remember what was found out."""
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[prefix] = (large, time.monotonic() + _SECONDS)
