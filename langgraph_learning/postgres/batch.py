"""A batch of operations as one transaction: reads first, then conditional writes with keys locked in a fixed order."""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple, TypeVar

from langgraph.store.base import (
    GetOp,
    Item,
    ListNamespacesOp,
    Op,
    PutOp,
    Result,
    SearchOp,
)
from pydantic import BaseModel

from langgraph_learning.core.checks import check_count
from langgraph_learning.core.store_protocol import Expected, version_of
from langgraph_learning.errors import Conflict
from langgraph_learning.postgres.executor import Plan, pause, run_statements
from langgraph_learning.postgres.indexing import BatchIndexing, ItemKey, key_columns, split_rows
from langgraph_learning.postgres.operations import check_op
from langgraph_learning.postgres.rows import condition_bounds, join_namespace, to_item
from langgraph_learning.postgres.search import plan_searches
from langgraph_learning.postgres.statements import PlanContext, PlannedRead, Rows, Statement

ChangeValue = Callable[[dict[str, Any] | None], Mapping[str, Any] | None]
"""Computes the new value of an item from the stored one. None stands for no item."""
_GroupedOp = TypeVar("_GroupedOp", SearchOp, ListNamespacesOp)


def _to_json_value(value: Any) -> Any:
    """Return what JSON has for a value that it does not know: a list for a set, an object for a mapping or a model."""
    if isinstance(value, Set):
        try:
            return sorted(value)
        except TypeError:  # of several types: any order will do that is the same for equal sets
            return sorted(value, key=lambda member: (type(member).__name__, repr(member)))
    if isinstance(value, Mapping | BaseModel):
        return dict(value)
    raise TypeError(
        f"A value of the type {type(value).__qualname__} cannot be stored, for it is not JSON: {value!r:.80}. "
        "Convert it to text, a number, a list or a dict first."
    )


_encode_json = json.JSONEncoder(default=_to_json_value, ensure_ascii=False).encode


class PlannedWrites(NamedTuple):
    """The statements that write a batch."""

    statements: Sequence[Statement] = ()
    versions_at: int = 0
    """Position of the statement that reads the versions of expected items, if there are any."""


def run_batch(
    context: PlanContext,
    ops: Iterable[Op],
    expected: Sequence[Expected] = (),
    by: str | None = None,
    erase: bool = False,
) -> Plan[list[Result]]:
    """Run a batch if every expected version is the stored one. Raises `Conflict` otherwise, with nothing written."""
    ops = list(ops)
    for op in ops:
        check_op(op)
    searches = yield from plan_searches(context, _group_equal(ops, SearchOp))
    reads = [*_plan_gets(context, ops), *searches.reads, *_plan_lists(context, ops)]
    writes = yield from _plan_writes(context, ops, expected, by, erase)
    first_read = len(searches.settings)
    first_write = first_read + len(reads)
    statements = [*searches.settings, *(read.statement for read in reads), *writes.statements]
    results: list[Any] = [None] * len(ops)
    if not statements:
        return results
    rows = yield from run_statements(
        *statements,
        guard=_make_version_guard(expected) if expected else None,
        guarded=first_write + writes.versions_at,
        repeatable=not writes.statements,
    )
    rows_read = rows[first_read:first_write]
    for read, rows_of_read in zip(reads, rows_read, strict=True):
        read.assign(rows_of_read, results)
    yield from _refresh_expiry(context, ops, results, rows_read)
    return results


def update_item(
    context: PlanContext,
    namespace: tuple[str, ...],
    key: str,
    change: ChangeValue,
    ttl: float | None,
    by: str | None,
    attempts: int,
) -> Plan[dict[str, Any] | None]:
    """Read an item, change its value and write it back, again after each conflict. Returns the value written."""
    check_count("attempts", attempts, 1)
    for attempt in range(1, attempts + 1):
        (result,) = yield from run_batch(context, [GetOp(namespace, key)])
        item = result if isinstance(result, Item) else None
        value = change(dict(item.value) if item else None)
        put = PutOp(namespace, key, value, ttl=ttl)
        try:
            yield from run_batch(context, [put], [Expected(namespace, key, version_of(item))], by)
        except Conflict:
            if attempt == attempts:
                raise
            # Random, so that writers that were in conflict do not retry at the same moment.
            yield from pause(random.uniform(0, 0.002 * min(attempt, 10)))
        else:
            return dict(value) if value is not None else None
    raise Conflict


def _group_equal(ops: Sequence[Op], kind: type[_GroupedOp]) -> list[tuple[list[int], _GroupedOp]]:
    """Return the different operations of a type, each with its positions in the batch, so that equal ones run once."""
    groups: dict[str, tuple[list[int], _GroupedOp]] = {}
    for position, op in enumerate(ops):
        if isinstance(op, kind):
            groups.setdefault(repr(op), ([], op))[0].append(position)
    return list(groups.values())


def _plan_gets(context: PlanContext, ops: Sequence[Op]) -> list[PlannedRead]:
    gets = [(position, op) for position, op in enumerate(ops) if isinstance(op, GetOp)]
    if not gets:
        return []

    def assign(rows: Rows, results: list[Any]) -> None:
        for row in rows:
            position, _ = gets[row["nth"] - 1]
            results[position] = to_item(row)

    keys = key_columns([(op.namespace, op.key) for _, op in gets])
    return [PlannedRead(context.statements("get", **keys, include_expired=context.include_expired), assign)]


def _plan_lists(context: PlanContext, ops: Sequence[Op]) -> list[PlannedRead]:
    return [_plan_list(context, positions, op) for positions, op in _group_equal(ops, ListNamespacesOp)]


def _plan_list(context: PlanContext, positions: Sequence[int], op: ListNamespacesOp) -> PlannedRead:
    first, end, patterns = condition_bounds(op.match_conditions or ())

    def assign(rows: Rows, results: list[Any]) -> None:
        for position in positions:
            results[position] = [tuple(row["namespace"]) for row in rows]

    statement = context.statements(
        "list namespaces",
        first=first,
        end=end,
        patterns=[join_namespace(pattern.path) for pattern in patterns],
        from_end=[pattern.match_type == "suffix" for pattern in patterns],
        depth=op.max_depth,
        stride=None if patterns else op.max_depth,
        enough=None if patterns and op.max_depth else op.limit + op.offset,
        limit=op.limit,
        offset=op.offset,
        include_expired=context.include_expired,
    )
    return PlannedRead(statement, assign)


def _refresh_expiry(
    context: PlanContext, ops: Sequence[Op], results: Sequence[Any], rows_read: Sequence[Rows]
) -> Plan[None]:
    """Extend the life of items that were read and whose time to live counts from the last read."""
    refreshed = set()
    for op, result in zip(ops, results, strict=True):
        if isinstance(op, GetOp | SearchOp) and op.refresh_ttl and result:
            items = result if isinstance(result, list) else [result]
            refreshed |= {(item.namespace, item.key) for item in items}
    ids = []
    for rows in rows_read:
        for row in rows:
            if row.get("ttl_minutes") is not None and (tuple(row["namespace"]), row["key"]) in refreshed:
                ids.append(row["id"])
    if ids:
        refresh = context.statements("refresh expiry", ids=ids, include_expired=context.include_expired)
        yield from run_statements(refresh, optional=True)


def _plan_writes(
    context: PlanContext, ops: Sequence[Op], expected: Sequence[Expected], by: str | None, erase: bool
) -> Plan[PlannedWrites]:
    last_puts: dict[ItemKey, PutOp] = {(tuple(op.namespace), op.key): op for op in ops if isinstance(op, PutOp)}
    if not (last_puts or expected):
        return PlannedWrites()
    puts = {key: last_puts[key] for key in sorted(last_puts) if last_puts[key].value is not None}
    deletes = [key for key in sorted(last_puts) if last_puts[key].value is None]
    indexing = BatchIndexing(context, puts)
    yield from indexing.embed()
    locks = _lock_statements(context, puts, deletes, expected, by)
    deleted = {(tuple(op.namespace), op.key) for op in ops if isinstance(op, PutOp) and op.value is None}
    changes = _change_statements(context, puts, deletes, expected, sorted(deleted) if erase else ())
    statements = [*locks, *changes, *indexing.statements()]
    return PlannedWrites(statements, versions_at=len(locks) - 1)


def _lock_statements(
    context: PlanContext,
    puts: Mapping[ItemKey, PutOp],
    deletes: Sequence[ItemKey],
    expected: Sequence[Expected],
    by: str | None,
) -> list[Statement]:
    """Return the statements that lock all keys of a batch in one order; the last one reads the expected versions."""
    settings = {}
    if by is not None or not context.log_changes:
        settings = {"learning.by": by or "", "learning.log": "on" if context.log_changes else "off"}
    if deletes or expected or context.index:
        # A plan that Postgres made for an almost empty table would read all of it, and is kept as the table grows.
        settings["enable_seqscan"] = "off"
    statements = [context.statements.set_local(settings)] if settings else []
    expected_keys = _list_expected_keys(expected)
    if deletes or expected:
        keys = sorted({*puts, *deletes, *expected_keys})
        statements += [context.statements("lock keys", **key_columns(part)) for part in split_rows(keys)]
    if expected:
        columns = key_columns(expected_keys)
        statements.append(context.statements("read versions", **columns, include_expired=context.include_expired))
    return statements


def _change_statements(
    context: PlanContext,
    puts: Mapping[ItemKey, PutOp],
    deletes: Sequence[ItemKey],
    expected: Sequence[Expected],
    erased: Sequence[ItemKey],
) -> Iterator[Statement]:
    for keys in split_rows(list(puts)):
        yield context.statements("put", **_put_columns(context, keys, puts))
    for keys in split_rows(deletes):
        yield context.statements("delete", **key_columns(keys))
    for keys in split_rows(erased):
        yield context.statements("erase history", **key_columns(keys))
    if expected:
        yield context.statements("delete placeholders", **key_columns(_list_expected_keys(expected)))


def _put_columns(context: PlanContext, keys: Sequence[ItemKey], puts: Mapping[ItemKey, PutOp]) -> dict[str, Any]:
    ops = [puts[key] for key in keys]
    values = [dict(op.value or {}) for op in ops]
    positions = [context.index.sequence_position(value) if context.index else (None, None) for value in values]
    return {
        **key_columns(keys),
        "values": [_encode_json(value) for value in values],
        "indexed": [None if op.index is None else "\x1f".join(op.index or ()) for op in ops],
        "sequences": [sequence for sequence, _ in positions],
        "places": [place for _, place in positions],
        "ttls": [None if op.ttl is None else float(op.ttl) for op in ops],
    }


def _list_expected_keys(expected: Sequence[Expected]) -> list[ItemKey]:
    return [(tuple(condition.namespace), condition.key) for condition in expected]


def _make_version_guard(expected: Sequence[Expected]) -> Callable[[Rows], None]:
    def guard(rows: Rows) -> None:
        versions = {row["nth"]: row["version"] for row in rows}
        for number, condition in enumerate(expected, start=1):
            version = versions.get(number, 0)
            if version != condition.version:
                raise Conflict(
                    f"{condition.key!r} in {condition.namespace} has version {version}, not {condition.version}: "
                    "nothing was written. Read again and repeat."
                )

    return guard
