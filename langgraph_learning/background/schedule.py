"""Schedule: when a conversation is learnt from, how often a failed attempt is repeated, and what a day may cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from langchain_core.messages import AnyMessage

from langgraph_learning.core.checks import check_above_zero, check_count
from langgraph_learning.errors import Misconfigured

LONGEST_BACKOFF = 600.0
"""Seconds between two attempts at most."""
FIRST_BACKOFF = 2.0


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When the machine learns from a conversation, in every way of learning.

    Raises `Misconfigured` for settings that cannot work.
    """

    every: int = 1
    """Number of new messages of the user from which on it learns."""
    when: Callable[[Sequence[AnyMessage]], bool] | None = None
    """Decides instead, after each answer: a function of the messages of the thread."""
    quiet: float = 10.0
    """Seconds without a new message after which a job runs; for a queue and on a server."""
    at_latest: float = 120.0
    """Seconds after which it runs, however many messages come; for a queue and on a server."""
    unanswered: float = 600.0
    """Seconds after which a job runs whose run came to no end, because it was killed or waits for a person."""
    queue: str = "learning"
    """Name of the queue. Two machines with different learning stores in one database need two names."""
    attempts: int = 5
    """Failures of one job after which it is set aside. While a model or database is down, no attempt counts."""
    give_up_after: timedelta = timedelta(days=1)
    """Time after which a job is set aside whose every attempt finds the model down."""
    user_tokens_per_day: int | None = None
    """Tokens that extractions for one user may cost per day, in UTC; what is left waits for the next day."""
    tenant_tokens_per_day: int | None = None
    """Tokens that extractions for all users of a tenant may cost per day."""

    def __post_init__(self) -> None:
        """Check the settings."""
        check_count("Schedule: every", self.every, 1)
        check_count("Schedule: attempts", self.attempts, 1)
        for name in ("quiet", "at_latest", "unanswered"):
            if seconds := getattr(self, name):
                check_above_zero(f"Schedule: {name}", seconds, "seconds")
        for name in ("user_tokens_per_day", "tenant_tokens_per_day"):
            if (tokens := getattr(self, name)) is not None:
                check_count(f"Schedule: {name}", tokens, 1)
        if not 0 <= self.quiet <= self.at_latest:
            raise Misconfigured("Schedule: quiet= is a number of seconds, and at most at_latest=.")
        if not isinstance(self.give_up_after, timedelta) or self.give_up_after <= timedelta():
            raise Misconfigured(f"Schedule: give_up_after= is a timedelta above zero, not {self.give_up_after!r}.")

    def is_due(self, messages: Sequence[AnyMessage], unread: int) -> bool:
        """Return True if a conversation is to be learnt from after this answer.

        unread: number of messages of the user that were not learnt from yet.
        """
        return self.when(messages) if self.when else unread >= self.every

    @property
    def decides(self) -> bool:
        """True if it does not learn after every answer."""
        return self.when is not None or self.every > 1


def backoff(attempts: int) -> float:
    """Return the seconds to wait after this many failed attempts."""
    return min(FIRST_BACKOFF * 4.0 ** min(max(attempts - 1, 0), 10), LONGEST_BACKOFF)


def seconds_to_next_day(now: datetime) -> float:
    """Return the seconds until the next day in UTC begins."""
    now = now.astimezone(UTC)
    tomorrow = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    return (tomorrow - now).total_seconds()
