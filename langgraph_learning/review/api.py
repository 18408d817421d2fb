"""The reviewer's desk: what waits for approval is listed, seen with its evidence, approved or rejected here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langgraph.store.base import BaseStore

from langgraph_learning.core.flow import Facade, Flow
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import Caller, LearningContext
from langgraph_learning.review import decisions
from langgraph_learning.review.decisions import Evidence
from langgraph_learning.stores.base import LearningStore


class Review(Facade):
    """What waits for approval, for whoever reviews it: the user of the context.

    Where the store can, a decision is written only if nothing has changed since it was read. Who decided, when and why
    is kept with the learning.
    """

    def __init__(self, stores: Sequence[LearningStore], store: Callable[[], BaseStore], *, four_eyes: bool) -> None:
        self._stores = stores
        super().__init__(store)
        self._four_eyes = four_eyes

    def list(self, context: LearningContext) -> tuple[Learning, ...]:
        """Return all that waits for approval where the reviewer may read, oldest first."""
        return self._run(decisions.list_pending(self._stores, Caller.of(context)))

    async def alist(self, context: LearningContext) -> tuple[Learning, ...]:
        """`list` for the async world."""
        return await self._arun(decisions.list_pending(self._stores, Caller.of(context)))

    def show(self, context: LearningContext, key: str) -> Evidence:
        """Return a proposal with the message it rests on and what it would change. Raises `NotFound`."""
        return self._run(decisions.show_evidence(self._stores, Caller.of(context), key))

    async def ashow(self, context: LearningContext, key: str) -> Evidence:
        """`show` for the async world."""
        return await self._arun(decisions.show_evidence(self._stores, Caller.of(context), key))

    def approve(
        self, context: LearningContext, key: str, *, why: str | None = None, fields: Mapping[str, Any] | None = None
    ) -> Learning:
        """Let a proposal count from now on, with other values for some of its fields; return the learning.

        Raises `Conflict` if what it would change has changed since it was made, `NotAllowed` if it rests on the
        reviewer's own words where the machine wants four eyes, `InvalidFields` for values that do not fit the record.
        """
        return self._run(self._approve(context, key, why, fields))

    async def aapprove(
        self, context: LearningContext, key: str, *, why: str | None = None, fields: Mapping[str, Any] | None = None
    ) -> Learning:
        """`approve` for the async world."""
        return await self._arun(self._approve(context, key, why, fields))

    def reject(self, context: LearningContext, key: str, *, why: str | None = None) -> Learning:
        """Refuse a proposal; it is not proposed again."""
        return self._run(decisions.reject(self._stores, Caller.of(context), key, why))

    async def areject(self, context: LearningContext, key: str, *, why: str | None = None) -> Learning:
        """`reject` for the async world."""
        return await self._arun(decisions.reject(self._stores, Caller.of(context), key, why))

    def demote(self, context: LearningContext, key: str, *, why: str | None = None) -> Learning:
        """Let something shared count no longer, until it is approved; what users learnt of it stays their own."""
        return self._run(decisions.demote(self._stores, Caller.of(context), key, why))

    async def ademote(self, context: LearningContext, key: str, *, why: str | None = None) -> Learning:
        """`demote` for the async world."""
        return await self._arun(decisions.demote(self._stores, Caller.of(context), key, why))

    def _approve(
        self, context: LearningContext, key: str, why: str | None, fields: Mapping[str, Any] | None
    ) -> Flow[Learning]:
        return decisions.approve(self._stores, Caller.of(context), key, why, fields or {}, self._four_eyes)
