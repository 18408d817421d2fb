"""Maintenance of the tables: reading and pruning the change log, deleting expired items, the thread that does so."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from langgraph.store.base import SearchOp
from psycopg import OperationalError

from langgraph_learning.core.checks import check_above_zero
from langgraph_learning.core.store_protocol import Change
from langgraph_learning.errors import Misconfigured
from langgraph_learning.postgres.executor import Plan, run_statements
from langgraph_learning.postgres.operations import check_op
from langgraph_learning.postgres.rows import join_namespace, prefix_bounds
from langgraph_learning.postgres.statements import PlanContext

logger = logging.getLogger(__name__)
DEFAULT_SWEEP_MINUTES = 5.0
_DELETES_PER_TRANSACTION = 1000


def read_change_log(
    context: PlanContext, namespace: tuple[str, ...], key: str | None, limit: int
) -> Plan[list[Change]]:
    """Return the changes of an item, or of all items of a namespace, newest first."""
    check_op(SearchOp(namespace, limit=limit))
    key = None if key is None else str(key)  # as LangGraph does for `get` and `put`
    statement = context.statements("read history", namespace=join_namespace(namespace), key=key, limit=limit)
    (rows,) = yield from run_statements(statement)
    return [Change(**{**row, "namespace": tuple(row["namespace"])}) for row in rows]


def prune_history(context: PlanContext, prefix: tuple[str, ...], before: datetime | None) -> Plan[int]:
    """Delete log entries of all namespaces under a prefix; return their number."""
    check_op(SearchOp(prefix))
    if before is not None and not isinstance(before, datetime):
        raise Misconfigured(f"before= is a datetime, or None for all entries; not {before!r}.")
    first, end = prefix_bounds(prefix)
    (rows,) = yield from run_statements(context.statements("prune history", first=first, end=end, before=before))
    return int(rows[0]["count"])


def delete_expired(context: PlanContext) -> Plan[int]:
    """Delete expired items, in several transactions if there are many; return their number."""
    deleted = 0
    log = "on" if context.log_changes else "off"
    settings = context.statements.set_local({"learning.by": "expiry", "learning.log": log})
    statement = context.statements("delete expired", limit=_DELETES_PER_TRANSACTION)
    while True:
        _, rows = yield from run_statements(settings, statement)
        deleted += len(rows)
        if len(rows) < _DELETES_PER_TRANSACTION:
            return deleted


class TtlSweeper:
    """A thread that deletes expired items at an interval until it is stopped."""

    def __init__(self, sweep: Callable[[], int]) -> None:
        self._sweep = sweep
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """True while the thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, minutes: float) -> None:
        """Start the thread, unless it is running already."""
        check_above_zero("The interval of the sweeper", minutes, "minutes")
        if not self.running:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, args=(minutes,), daemon=True, name="ttl-sweeper")
            self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Stop the thread; return True if it ended within `timeout` seconds."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.running

    def _run(self, minutes: float) -> None:
        while not self._stop.wait(minutes * 60):
            try:
                self._sweep()
            except OperationalError as error:
                # The database may be back at the next interval. Until then reads omit expired items anyway.
                logger.warning("Expired items could not be deleted: %s", error)
