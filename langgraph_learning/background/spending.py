"""Spending: whether a day's ceiling of tokens leaves room for another extraction."""

from datetime import date

from langgraph_learning.background.schedule import Schedule
from langgraph_learning.background.usage import read_day, tenant_namespace, user_namespace
from langgraph_learning.core.flow import Flow
from langgraph_learning.core.scopes import Caller


def explain_ceiling(schedule: Schedule, caller: Caller, day: date) -> Flow[str]:
    """Return which ceiling of a day is reached; an empty string if there is room left.

    Extractions that run at the same moment may exceed it together.
    """
    limits = (
        (schedule.user_tokens_per_day, user_namespace(caller.tenant, caller.user), "user"),
        (schedule.tenant_tokens_per_day, tenant_namespace(caller.tenant), "tenant"),
    )
    for limit, namespace, owner in limits:
        if limit is not None:
            spent = (yield from read_day(namespace, day)).tokens
            if spent >= limit:
                return f"the {owner}'s {limit:,} tokens of {day} are spent: learning waits for the next day"
    return ""
