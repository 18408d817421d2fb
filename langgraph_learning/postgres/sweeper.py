"""Who deletes what has expired: a thread that asks now and then, the same for threads and event loops."""

import logging
import threading
from collections.abc import Callable

from psycopg import OperationalError

logger = logging.getLogger(__name__)


class Sweeper:
    """Calls a function at an interval until it is stopped."""

    def __init__(self, sweep: Callable[[], int]) -> None:
        self._sweep = sweep
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def running(self) -> bool:
        """Whether it sweeps."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, minutes: float) -> None:
        """Sweep every so many minutes from now on. Started twice, it is still one."""
        if not self.running:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, args=(minutes,), daemon=True, name="ttl-sweeper")
            self._thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Stop; return whether it did in time."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.running

    def _run(self, minutes: float) -> None:
        while not self._stop.wait(minutes * 60):
            try:
                self._sweep()
            except OperationalError as error:
                # A database that is away for a while comes back; what expired waits until then, unread.
                logger.warning("Expired items could not be swept: %s", error)
