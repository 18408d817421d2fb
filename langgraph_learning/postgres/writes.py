"""What a batch writes: each key once, in one order that all writers keep, so that no two wait for each other."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langgraph.store.base import PutOp

from langgraph_learning.core.store_protocol import Expected
from langgraph_learning.postgres.indexing import Indexing, Key, columns, parts
from langgraph_learning.postgres.shape import Shape
from langgraph_learning.postgres.statements import Statement
from langgraph_learning.postgres.steps import Plan

_json = json.JSONEncoder(default=dict, ensure_ascii=False).encode


class Writes:
    """The puts and deletes of one batch, with the conditions that they depend on."""

    def __init__(
        self, shape: Shape, puts: Sequence[PutOp], expected: Sequence[Expected], by: str | None, erase: bool
    ) -> None:
        self._shape = shape
        last = {(tuple(op.namespace), op.key): op for op in puts}
        self._puts = {key: last[key] for key in sorted(last) if last[key].value is not None}
        self._gone = [key for key in sorted(last) if last[key].value is None]
        self._expected = expected
        self._by = by
        self._erase = erase
        self._indexing = Indexing(shape, self._puts)
        self._head = list(self._claims())

    def statements(self) -> list[Statement]:
        """Return all that is to be sent, in order."""
        return [*self._head, *self._body()]

    @property
    def guarded(self) -> int:
        """Which of the statements tells the versions that were found."""
        return len(self._head) - 1

    def embed(self) -> Plan[None]:
        """Fetch the vectors of what will be searched, before a connection is taken to write."""
        yield from self._indexing.embed()

    def _claims(self) -> Iterator[Statement]:
        if not (self._puts or self._gone or self._expected):
            return
        if self._by is not None or not self._shape.log:
            settings = {"learning.by": self._by or "", "learning.log": "on" if self._shape.log else "off"}
            yield set_for_transaction(self._shape, settings)
        if self._gone or self._expected:
            keys = sorted({*self._puts, *self._gone, *((tuple(e.namespace), e.key) for e in self._expected)})
            yield from (self._shape.statements("claim", **columns(part)) for part in parts(keys))
        if self._expected:
            keys = [(tuple(e.namespace), e.key) for e in self._expected]
            yield self._shape.statements("versions", **columns(keys), expired_too=self._shape.expired_too)

    def _body(self) -> Iterator[Statement]:
        say = self._shape.statements
        yield from (say("put", **self._rows(part)) for part in parts(list(self._puts)))
        yield from (say("delete", **columns(part)) for part in parts(self._gone))
        if self._erase:
            yield from (say("erase history", **columns(part)) for part in parts(self._gone))
        if self._expected:
            yield say("unclaim", **columns([(tuple(e.namespace), e.key) for e in self._expected]))
        yield from self._indexing.statements()

    def _rows(self, keys: Sequence[Key]) -> dict[str, Any]:
        ops = [self._puts[key] for key in keys]
        places = [self._shape.index.place(_value(op)) if self._shape.index else (None, None) for op in ops]
        return {
            **columns(keys),
            "values": [_json(_value(op)) for op in ops],
            "indexed": [None if op.index is None else "\x1f".join(op.index or ()) for op in ops],
            "sequences": [sequence for sequence, _ in places],
            "places": [place for _, place in places],
            "ttls": [None if op.ttl is None else float(op.ttl) for op in ops],
        }


def set_for_transaction(shape: Shape, settings: Mapping[str, str]) -> Statement:
    """Return a statement that makes settings which end with the transaction."""
    return shape.statements("set for this transaction", names=list(settings), values=list(settings.values()))


def _value(op: PutOp) -> dict[str, Any]:
    return dict(op.value or {})
