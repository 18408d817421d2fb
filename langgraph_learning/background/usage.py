"""Usage: cost and outcomes of extractions per learning store, user, tenant and day, counted as items of the store.

Every extraction adds items of its own, so that no two of them can overwrite each other's count. The items of a day are
added up when they are read.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

from langgraph.store.base import Item, PutOp
from pydantic import BaseModel, ConfigDict

from langgraph_learning.core.flow import Flow, batch, search_all
from langgraph_learning.core.learning import Learning, Status
from langgraph_learning.core.scopes import Caller, Namespace, escape, unescape
from langgraph_learning.core.store_protocol import Expected, ItemWrite, version_of
from langgraph_learning.errors import Conflict, Misconfigured
from langgraph_learning.extract.failures import blames_input
from langgraph_learning.extract.result import ExtractionResult

ROOT = "learning_usage"
"""First label of the namespaces with usage, which are apart from those of learnings."""
RESERVED_FOR = timedelta(minutes=15)
"""Time after which what an extraction reserved counts no more: its process must have ended."""
MAX_ITEMS_OF_A_DAY = 50
"""How many items a user or tenant has for a day before they are replaced by their sum."""
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
"""What a reason quotes may be somebody's words."""


class Usage(BaseModel):
    """What extractions cost, and what came of them."""

    model_config = ConfigDict(frozen=True)

    extractions: int = 0
    calls: int = 0
    """Calls of the model, those that failed too."""
    failed_calls: int = 0
    estimated_calls: int = 0
    """Calls whose tokens are estimated, because the model did not say."""
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    """Time that the model took."""
    outcomes: Mapping[str, int] = {}
    """Number of extractions by outcome.

    "learnt"; "nothing", a readable answer without anything to learn; "dropped", an answer of which no edit was valid;
    "unreadable", an answer that makes no sense, or a refusal; "failed", no answer.
    """
    stores: Mapping[str, Mapping[str, int]] = {}
    """By learning store: how many learnings were "learnt", "proposed" or "retired", and how many edits "dropped".

    One call serves all learning stores, so that its tokens belong to none of them.
    """
    reasons: Mapping[str, int] = {}
    """Why edits were dropped and calls failed, without anybody's words."""

    @property
    def tokens(self) -> int:
        """Tokens that were sent and received."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: "Usage") -> "Usage":
        """Return the sum of both."""
        return Usage.model_validate(_add(self.model_dump(), other.model_dump()))


class UsageReport(BaseModel):
    """Usage of a tenant."""

    model_config = ConfigDict(frozen=True)

    total: Usage
    users: Mapping[str, Usage]
    days: Mapping[str, Usage]
    """By day in UTC, as 2026-11-28."""


def measure(result: ExtractionResult, learnings: Sequence[Learning]) -> Usage:
    """Return the usage of one extraction."""
    metrics = result.metrics
    stores: dict[str, Counter[str]] = {}
    for learning in learnings:
        stores.setdefault(learning.store_name, Counter())[_change(learning)] += 1
    for dropped in metrics.dropped:
        stores.setdefault(dropped.store or "unknown", Counter())["dropped"] += 1
    reasons = [_QUOTED.sub("…", dropped.reason)[:100] for dropped in metrics.dropped]
    if result.failure is not None:
        reasons.append(type(result.failure).__name__)
    return Usage(
        extractions=1,
        calls=metrics.calls,
        failed_calls=metrics.failed_calls,
        estimated_calls=metrics.estimated_calls,
        input_tokens=metrics.input_tokens,
        output_tokens=metrics.output_tokens,
        seconds=round(metrics.seconds, 3),
        outcomes=Counter(_outcomes(result, learnings)),
        stores=stores,
        reasons=Counter(reasons),
    )


def _outcomes(result: ExtractionResult, learnings: Sequence[Learning]) -> Iterable[str]:
    """Yield the outcomes of an extraction: one, or two if a part of the messages failed."""
    if learnings:
        yield "learnt"
    if result.failure is not None and not blames_input(result.failure):
        yield "failed"
    elif result.failure is not None:
        yield "unreadable"
    elif not learnings:
        yield "dropped" if result.errors else "nothing"


def _change(learning: Learning) -> str:
    if learning.status is Status.PROPOSED:
        return "proposed"
    return "learnt" if learning.status is Status.ACTIVE else "retired"


def usage_writes(caller: Caller, usage: Usage, at: datetime, reservation: str = "") -> list[ItemWrite]:
    """Return what counts an extraction, for its user and for the tenant.

    reservation: key of the items that it reserved, whose place this takes.
    """
    value = {**usage.model_dump(mode="json"), "day": f"{at:%Y-%m-%d}"}
    key = reservation or uuid4().hex
    return [(user_namespace(caller.tenant, caller.user), key, value), (tenant_namespace(caller.tenant), key, value)]


def reserve_tokens(namespace: Namespace, key: str, tokens: int, at: datetime) -> ItemWrite:
    """Return what reserves tokens until an extraction is counted."""
    return namespace, key, {"day": f"{at:%Y-%m-%d}", "reserved": tokens, "until": (at + RESERVED_FOR).isoformat()}


def user_namespace(tenant: str, user: str) -> Namespace:
    """Return the namespace of a user's usage."""
    return (*_users_namespace(tenant), escape(user))


def tenant_namespace(tenant: str) -> Namespace:
    """Return the namespace of the usage of all users of a tenant together."""
    return (ROOT, escape(tenant), "total")


def _users_namespace(tenant: str) -> Namespace:
    return (ROOT, escape(tenant), "users")


def read_report(tenant: str, user: str | None, since: date | None, until: date | None) -> Flow[UsageReport]:
    """Return the usage of a tenant or of one of its users, from one day to another, both included."""
    for name, day_given in (("since", since), ("until", until)):
        if day_given is not None and not isinstance(day_given, date):
            raise Misconfigured(f"{name}= is a date, such as date(2026, 11, 28), or None; not {day_given!r}.")
    prefix = user_namespace(tenant, user) if user else _users_namespace(tenant)
    users: dict[str, Usage] = {}
    days: dict[str, Usage] = {}
    total = Usage()
    for item in (yield from search_all(prefix)):
        day = item.value.get("day", "")
        if not _counts(item) or (since and day < since.isoformat()) or (until and day > until.isoformat()):
            continue
        usage, name = Usage.model_validate(item.value), unescape(item.namespace[3])
        total += usage
        users[name] = users.get(name, Usage()) + usage
        days[day] = days.get(day, Usage()) + usage
    return UsageReport(total=total, users=users, days=dict(sorted(days.items())))


def read_spent(namespace: Namespace, now: datetime) -> Flow[int]:
    """Return the tokens in a namespace that are spent or reserved on a day. Many items are replaced by their sum."""
    items = yield from search_all(namespace, {"day": f"{now:%Y-%m-%d}"})
    counted = [item for item in items if _counts(item)]
    total = sum((Usage.model_validate(item.value) for item in counted), Usage())
    if len(counted) > MAX_ITEMS_OF_A_DAY and all(version_of(item) for item in counted):
        yield from _replace_by_sum(counted, total, now.date())
    held = [item.value for item in items if not _counts(item) and datetime.fromisoformat(item.value["until"]) > now]
    return total.tokens + sum(int(value["reserved"]) for value in held)


def _counts(item: Item) -> bool:
    """Return True for an item that counts what extractions cost, False for one that reserves it."""
    return "calls" in item.value


def _replace_by_sum(items: Sequence[Item], total: Usage, day: date) -> Flow[None]:
    namespace = items[0].namespace
    value = {**total.model_dump(mode="json"), "day": day.isoformat()}
    puts = [PutOp(namespace, uuid4().hex, value, index=False)]
    puts += [PutOp(item.namespace, item.key, None) for item in items]
    expected = [Expected(item.namespace, item.key, version_of(item)) for item in items]
    try:
        yield from batch(*puts, expected=expected, by=ROOT, erase=True)
    except Conflict:
        return  # another process has added them up


def _add(one: Any, other: Any) -> Any:
    if isinstance(one, Mapping):
        return {key: _add(one.get(key, type(value)()), value) for key, value in other.items()} | {
            key: value for key, value in one.items() if key not in other
        }
    return one + other
