"""Spending: room for an extraction under a day's ceilings of tokens, reserved before it and settled by its usage."""

import random
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import uuid4

from langgraph.store.base import PutOp

from langgraph_learning.background.estimate import estimate_cost
from langgraph_learning.background.schedule import Schedule
from langgraph_learning.background.usage import read_spent, reserve_tokens, tenant_namespace, user_namespace
from langgraph_learning.core.flow import Flow, batch, pause
from langgraph_learning.core.limits import MAX_CHUNKS
from langgraph_learning.core.repository import get_items
from langgraph_learning.core.scopes import Caller, Namespace
from langgraph_learning.core.store_protocol import Expected, version_of
from langgraph_learning.errors import Conflict
from langgraph_learning.extract.extraction import Extraction
from langgraph_learning.stores.base import Turn

ATTEMPTS = 40
"""How often room is looked for while others of the same user or tenant are quicker."""
LONGEST_PAUSE = 0.3
"""Seconds before another attempt at most."""
GATE = "gate"
"""Label of the items that each reservation changes, so that of two at the same time the later one counts the other."""


class Ceiling(NamedTuple):
    """A limit of tokens per day."""

    owner: str
    """Whose it is, for people."""
    tokens: int
    namespace: Namespace
    """Where the usage is that it limits."""


class Room(NamedTuple):
    """Room for an extraction, or the reason why there is none."""

    reservation: str = ""
    """Key of the items that hold the room, for the usage to take their place; empty if nothing limits it."""
    reached: str = ""
    """The ceiling that leaves none."""


def find_room(schedule: Schedule, extraction: Extraction, turn: Turn, now: datetime) -> Flow[Room]:
    """Reserve room for one extraction under the ceilings of a day. Nothing is locked while it runs.

    An extraction that alone costs more than a ceiling finds room on a day on which nothing was spent yet. Raises
    `Conflict` if others are quicker again and again.
    """
    ceilings = _ceilings(schedule, turn.caller)
    cost = (yield from estimate_cost(extraction, turn, MAX_CHUNKS)).tokens if ceilings else 0
    if not cost:
        return Room()
    for attempt in range(ATTEMPTS):
        try:
            return (yield from _reserve(ceilings, cost, now))
        except Conflict:
            yield from pause(random.uniform(0, min(0.01 * 2**attempt, LONGEST_PAUSE)))
    raise Conflict("Others reserved room for their extractions at the same time, again and again.")


def _ceilings(schedule: Schedule, caller: Caller) -> list[Ceiling]:
    limits = (
        ("user", schedule.user_tokens_per_day, user_namespace(caller.tenant, caller.user)),
        ("tenant", schedule.tenant_tokens_per_day, tenant_namespace(caller.tenant)),
    )
    return [Ceiling(owner, tokens, namespace) for owner, tokens, namespace in limits if tokens is not None]


def _reserve(ceilings: Sequence[Ceiling], cost: int, now: datetime) -> Flow[Room]:
    """Reserve room, unless there is none. Raises `Conflict` if others reserved some since it was looked for."""
    gates = [((*ceiling.namespace, GATE), "gate") for ceiling in ceilings]
    # Read before what is spent: a reservation after this read is a conflict, one before it is counted.
    found = yield from get_items(gates)
    for ceiling in ceilings:
        spent = yield from read_spent(ceiling.namespace, now)
        if spent and spent + cost > ceiling.tokens:
            reached = f"the {ceiling.owner}'s {ceiling.tokens:,} tokens of {now:%Y-%m-%d} leave no room"
            return Room(reached=f"{reached}: learning waits for the next day")
    key = uuid4().hex
    reservations = [reserve_tokens(ceiling.namespace, key, cost, now) for ceiling in ceilings]
    passed = [(*gate, {"last": key}) for gate in gates]
    puts = [PutOp(*write, index=False) for write in (*reservations, *passed)]
    yield from batch(*puts, expected=[Expected(*gate, version_of(found.get(gate))) for gate in gates])
    return Room(key)
