"""Read, change, write back: repeated until nobody else changed the item in between."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from langgraph.store.base import GetOp, Item, PutOp

from langgraph_learning.core.store_protocol import Expected, version_of
from langgraph_learning.errors import Conflict
from langgraph_learning.postgres import batch, steps
from langgraph_learning.postgres.shape import Shape
from langgraph_learning.postgres.steps import Plan

Change = Callable[[dict[str, Any] | None], Mapping[str, Any] | None]
"""From the value that is there (None: none) to the one that shall be (None: delete it)."""


def update(
    shape: Shape, namespace: tuple[str, ...], key: str, change: Change, ttl: float | None, by: str | None, attempts: int
) -> Plan[dict[str, Any] | None]:
    """Change one item, whoever else does; return the value that was written."""
    for attempt in range(1, attempts + 1):
        (found,) = yield from batch.batch(shape, [GetOp(namespace, key)])
        item = found if isinstance(found, Item) else None
        value = change(dict(item.value) if item else None)
        put = PutOp(namespace, key, value, ttl=ttl)
        try:
            yield from batch.batch(shape, [put], [Expected(namespace, key, version_of(item))], by)
        except Conflict:
            if attempt == attempts:
                raise
            # Not all at once again: each waits a little, and at random.
            yield from steps.pause(random.uniform(0, 0.002 * min(attempt, 10)))
        else:
            return dict(value) if value is not None else None
    raise Conflict
