"""Dry run: a flow whose writes go nowhere, although it reads them back as if they were stored."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from langgraph.store.base import GetOp, Item, Op, PutOp, Result

from langgraph_learning.core.flow import Batch, Effect, Flow, Query, T, Within, relay_requests
from langgraph_learning.core.scopes import ItemRef

Overlay = dict[ItemRef, Item | None]
"""Items as they would be stored; None for one that would be deleted."""


def dry_run(flow: Flow[T]) -> Flow[T]:
    """Run a flow without writing anything. It reads by key what it would have written; searches do not find that."""
    return _divert(flow, {})


def _divert(flow: Flow[T], overlay: Overlay) -> Flow[T]:
    return relay_requests(flow, partial(_perform, overlay=overlay))


def _perform(request: Effect, overlay: Overlay) -> Flow[Any]:
    if isinstance(request, Within):
        return (yield replace(request, flow=_divert(request.flow, overlay)))
    if isinstance(request, Query):
        return []  # it may write
    if not isinstance(request, Batch):
        return (yield request)
    own = {index: _answer(op, overlay) for index, op in enumerate(request.ops) if _is_own(op, overlay)}
    reads = tuple(op for index, op in enumerate(request.ops) if index not in own)
    results = iter((yield Batch(reads)) if reads else ())
    answers: list[Result] = [own[index] if index in own else next(results) for index in range(len(request.ops))]
    for op in request.ops:
        if isinstance(op, PutOp):
            overlay[op.namespace, op.key] = _make_item(op)
    return answers


def _is_own(op: Op, overlay: Overlay) -> bool:
    return isinstance(op, PutOp) or (isinstance(op, GetOp) and (op.namespace, op.key) in overlay)


def _answer(op: Op, overlay: Overlay) -> Result:
    return overlay[op.namespace, op.key] if isinstance(op, GetOp) else None


def _make_item(op: PutOp) -> Item | None:
    if op.value is None:
        return None
    now = datetime.now(UTC)
    return Item(value=dict(op.value), key=op.key, namespace=op.namespace, created_at=now, updated_at=now)
