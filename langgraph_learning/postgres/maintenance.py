"""What is done beside reading and writing: the log read and pruned, the expired swept, vectors made anew."""

from datetime import datetime

from langgraph.store.base import SearchOp, validate_op_namespace

from langgraph_learning.core.store_protocol import Change
from langgraph_learning.postgres import namespaces as ns
from langgraph_learning.postgres import steps
from langgraph_learning.postgres.shape import Shape
from langgraph_learning.postgres.steps import Plan
from langgraph_learning.postgres.writes import set_for_transaction

_SWEPT_AT_ONCE = 1000


def history(shape: Shape, namespace: tuple[str, ...], key: str | None, limit: int) -> Plan[list[Change]]:
    """Return the changes of an item, or of all items of a namespace, newest first."""
    validate_op_namespace(SearchOp(namespace))
    asked = shape.statements("history", namespace=ns.text(namespace), key=key, limit=limit)
    (rows,) = yield from steps.run(asked)
    return [Change(**{**row, "namespace": tuple(row["namespace"])}) for row in rows]


def prune_history(shape: Shape, prefix: tuple[str, ...], before: datetime | None) -> Plan[int]:
    """Delete log entries; return how many."""
    validate_op_namespace(SearchOp(prefix))
    first, end = ns.bounds(prefix)
    (rows,) = yield from steps.run(shape.statements("prune history", first=first, end=end, before=before))
    return int(rows[0]["count"])


def sweep(shape: Shape) -> Plan[int]:
    """Delete what has expired, a part at a time; return how many items that were."""
    swept = 0
    settings = set_for_transaction(shape, {"learning.by": "expiry", "learning.log": "on" if shape.log else "off"})
    while True:
        _, rows = yield from steps.run(settings, shape.statements("sweep", limit=_SWEPT_AT_ONCE))
        swept += len(rows)
        if len(rows) < _SWEPT_AT_ONCE:
            return swept
