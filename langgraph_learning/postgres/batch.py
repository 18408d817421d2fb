"""How a batch becomes statements: reads first, then every key in one fixed order, all in one round trip."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from langgraph.store.base import (
    GetOp,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchOp,
    validate_op_namespace,
)

from langgraph_learning.core.store_protocol import Expected
from langgraph_learning.errors import Conflict
from langgraph_learning.postgres import namespaces as ns
from langgraph_learning.postgres import steps
from langgraph_learning.postgres.rows import item_of
from langgraph_learning.postgres.search import plan_searches
from langgraph_learning.postgres.shape import Read, Shape
from langgraph_learning.postgres.steps import Plan, Rows
from langgraph_learning.postgres.writes import Writes

AnyOp = TypeVar("AnyOp", SearchOp, ListNamespacesOp)


def batch(
    shape: Shape, ops: Iterable[Op], expected: Sequence[Expected] = (), by: str | None = None, erase: bool = False
) -> Plan[list[Result]]:
    """Carry out a batch, if every expectation holds."""
    ops = list(ops)
    for op in ops:
        validate_op_namespace(op)
    writes = Writes(shape, [op for op in ops if isinstance(op, PutOp)], expected, by, erase)
    searches = yield from plan_searches(shape, _group(ops, SearchOp))
    reads = [*_gets(shape, ops), *searches.reads, *_lists(shape, ops)]
    yield from writes.embed()
    written = writes.statements()
    statements = [*searches.settings, *(read.statement for read in reads), *written]
    results: list[Any] = [None] * len(ops)
    if not statements:
        return results
    rows = yield from steps.run(
        *statements,
        guard=_guard(expected) if expected else None,
        guarded=len(searches.settings) + len(reads) + writes.guarded,
        repeatable=not written,
    )
    found = rows[len(searches.settings) :]
    for read, answer in zip(reads, found, strict=False):
        read.place(answer, results)
    yield from _refresh(shape, ops, results, found[: len(reads)])
    return results


def _group(ops: Sequence[Op], kind: type[AnyOp]) -> list[tuple[list[int], AnyOp]]:
    """Return each different operation of a kind with its positions in the batch, so that equal ones are sent once."""
    groups: dict[str, tuple[list[int], AnyOp]] = {}
    for position, op in enumerate(ops):
        if isinstance(op, kind):
            groups.setdefault(repr(op), ([], op))[0].append(position)
    return list(groups.values())


def _gets(shape: Shape, ops: Sequence[Op]) -> list[Read]:
    gets = [(nth, op) for nth, op in enumerate(ops) if isinstance(op, GetOp)]

    def place(rows: Rows, results: list[Any]) -> None:
        for row in rows:
            results[gets[row["nth"] - 1][0]] = item_of(row)

    if not gets:
        return []
    statement = shape.statements(
        "get",
        namespaces=[ns.text(op.namespace) for _, op in gets],
        keys=[op.key for _, op in gets],
        expired_too=shape.expired_too,
    )
    return [Read(statement, place)]


def _lists(shape: Shape, ops: Sequence[Op]) -> list[Read]:
    return [_list(shape, positions, op) for positions, op in _group(ops, ListNamespacesOp)]


def _list(shape: Shape, positions: Sequence[int], op: ListNamespacesOp) -> Read:
    first, end, patterns = ns.bounds_of(op.match_conditions or ())
    statement = shape.statements(
        "list namespaces",
        first=first,
        end=end,
        patterns=[ns.text(pattern.path) for pattern in patterns],
        from_end=[pattern.match_type == "suffix" for pattern in patterns],
        depth=op.max_depth,
        stride=None if patterns else op.max_depth,
        enough=None if patterns and op.max_depth else op.limit + op.offset,
        limit=op.limit,
        offset=op.offset,
        expired_too=shape.expired_too,
    )

    def place(rows: Rows, results: list[Any]) -> None:
        for position in positions:
            results[position] = [tuple(row["namespace"]) for row in rows]

    return Read(statement, place)


def _guard(expected: Sequence[Expected]) -> Callable[[Rows], None]:
    def guard(rows: Rows) -> None:
        found = {row["nth"]: row["version"] for row in rows}
        for nth, wanted in enumerate(expected, start=1):
            if found.get(nth, 0) != wanted.version:
                raise Conflict(
                    f"{wanted.key!r} in {wanted.namespace} has version {found.get(nth, 0)}, not {wanted.version}: "
                    "nothing was written. Read again and repeat."
                )

    return guard


def _refresh(shape: Shape, ops: Sequence[Op], results: Sequence[Any], reads: Sequence[Rows]) -> Plan[None]:
    """Let items live on that were read and expire some time after their last reading."""
    wanted = {
        (item.namespace, item.key)
        for op, result in zip(ops, results, strict=True)
        if isinstance(op, GetOp | SearchOp) and op.refresh_ttl and result
        for item in (result if isinstance(result, list) else [result])
    }
    ids = [
        row["id"]
        for rows in reads
        for row in rows
        if row.get("ttl_minutes") is not None and (tuple(row["namespace"]), row["key"]) in wanted
    ]
    if ids:
        refresh = shape.statements("refresh", ids=ids, expired_too=shape.expired_too)
        yield from steps.run(refresh, optional=True)
