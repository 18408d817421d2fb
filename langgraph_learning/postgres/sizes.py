"""How namespaces are searched best: that depends on their sizes, which take time to find out, so it is remembered."""

import time

_REMEMBERED = 10_000
"""So many namespaces at most."""
_SECONDS = 60.0
"""What was remembered wrongly for so long costs time, and no result."""


class Sizes:
    """What searches found out about namespaces."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[int, float]] = {}

    def candidates(self, prefix: tuple[str, ...]) -> int | None:
        """Return how many candidates to ask the index for; 0: compare everything; None: that is to be found out."""
        candidates, until = self._known.get(prefix, (None, 0.0))
        return candidates if time.monotonic() < until else None

    def remember(self, prefix: tuple[str, ...], candidates: int) -> None:
        """Remember what was found out."""
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[prefix] = (candidates, time.monotonic() + _SECONDS)
