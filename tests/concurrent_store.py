"""A store on which somebody else is at work, too."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from langgraph.store.base import BaseStore, Op, Result

from langgraph_learning.core.store_protocol import Change, Expected
from langgraph_learning.postgres import HybridPostgresStore


class BusyStore(BaseStore):
    """Passes everything on to a store; before each batch somebody else has the chance to change something there."""

    def __init__(self, inner: HybridPostgresStore, meddle: Callable[[int], None]) -> None:
        self._inner = inner
        self._meddle = meddle
        self._batches = 0

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        self._before()
        return self._inner.batch(ops)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        raise NotImplementedError

    def transact(
        self, ops: Iterable[Op], *, expected: Sequence[Expected] = (), by: str | None = None, erase: bool = False
    ) -> list[Result]:
        self._before()
        return self._inner.transact(ops, expected=expected, by=by, erase=erase)

    async def atransact(self, ops: Iterable[Op], **conditions: Any) -> list[Result]:
        raise NotImplementedError

    def history(self, namespace: tuple[str, ...], key: str | None = None, *, limit: int = 100) -> list[Change]:
        return self._inner.history(namespace, key, limit=limit)

    async def ahistory(self, namespace: tuple[str, ...], key: str | None = None, *, limit: int = 100) -> list[Change]:
        raise NotImplementedError

    def _before(self) -> None:
        self._meddle(self._batches)
        self._batches += 1
