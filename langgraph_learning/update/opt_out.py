"""Opt-outs: the learning stores that a user asked not to learn from them."""

from collections.abc import Sequence

from langgraph.store.base import PutOp, SearchOp

from langgraph_learning.core.flow import Flow, batch, search
from langgraph_learning.core.keys import OPTED_OUT
from langgraph_learning.core.scopes import Caller, Namespace, Scope
from langgraph_learning.errors import NotFound
from langgraph_learning.stores.base import LearningStore


def opt_in(stores: Sequence[LearningStore], caller: Caller, names: Sequence[str]) -> Flow[None]:
    """Delete the user's opt-outs from these learning stores; without names, from all."""
    namespace = opt_out_namespace(caller)
    deletions = [PutOp(namespace, store.name, None) for store in stores_by_name(stores, names)]
    yield from batch(*deletions, by=caller.user)


def stores_by_name(stores: Sequence[LearningStore], names: Sequence[str]) -> list[LearningStore]:
    """Return the stores with these names; without names, all stores. Raises `NotFound` for an unknown name."""
    known = {store.name: store for store in stores}
    if unknown := [name for name in names if name not in known]:
        raise NotFound(f"The machine has no learning store {unknown[0]!r}, only {', '.join(known)}.")
    return [known[name] for name in names] or list(stores)


def read_opt_outs(caller: Caller) -> Flow[set[str]]:
    """Return the names of the learning stores that the user opted out of."""
    items = yield from search(SearchOp(opt_out_namespace(caller), limit=1_000))
    return {item.key for item in items}


def opt_out_namespace(caller: Caller) -> Namespace:
    """Return the namespace of the user's opt-outs, which has one item per learning store, with its name as the key."""
    return caller.namespace(Scope.USER, OPTED_OUT)
