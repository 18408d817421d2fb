"""Chores: curation and expiry, as periodic tasks of a worker."""

from collections.abc import Sequence
from typing import Any

from langgraph.store.base import BaseStore, ListNamespacesOp, MatchCondition

from langgraph_learning.background.worker import Chore
from langgraph_learning.core.flow import Flow, as_flow, batch
from langgraph_learning.core.scopes import ROOT, unescape
from langgraph_learning.curate.run import CurationSettings, curate
from langgraph_learning.stores.base import LearningStore

TENANTS_PER_PAGE = 1_000


def plan_chores(
    stores: Sequence[LearningStore], store: BaseStore, curation: str | None, expiry: str | None
) -> tuple[Chore, ...]:
    """Return the periodic tasks of a worker, each with its cron."""
    chores = []
    if curation:
        chores.append(Chore("langgraph_learning.curate", curation, lambda: curate_tenants(stores)))
    sweep = getattr(store, "asweep_ttl", None)
    if expiry and sweep:
        chores.append(Chore("langgraph_learning.expire", expiry, lambda: as_flow(sweep())))
    return tuple(chores)


def curate_tenants(stores: Sequence[LearningStore]) -> Flow[None]:
    """Curate all tenants, one after the other."""
    for tenant in (yield from list_tenants()):
        yield from curate(stores, CurationSettings(tenant))


def list_tenants() -> Flow[list[str]]:
    """Return all tenants of which something was learnt."""
    tenants: list[str] = []
    while True:
        op = ListNamespacesOp(
            (MatchCondition("prefix", (ROOT,)),), max_depth=2, limit=TENANTS_PER_PAGE, offset=len(tenants)
        )
        (found,) = yield from batch(op)
        page: list[Any] = list(found) if isinstance(found, list) else []
        tenants += [unescape(namespace[1]) for namespace in page if len(namespace) == 2]
        if len(page) < TENANTS_PER_PAGE:
            return tenants
