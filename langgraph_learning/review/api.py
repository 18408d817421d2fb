"""`machine.review`: the public methods to list, show, approve, reject and demote, for sync and async code."""

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
    """Reviews proposals. The user of the context is the reviewer.

    The learning keeps who decided, when and why. On a store with conditional writes, a decision is written only if
    nothing that it is based on has changed.
    """

    def __init__(self, stores: Sequence[LearningStore], store: Callable[[], BaseStore], *, four_eyes: bool) -> None:
        self._stores = stores
        super().__init__(store)
        self._four_eyes = four_eyes

    def list(self, context: LearningContext) -> tuple[Learning, ...]:
        """Return all proposals that the reviewer may read, oldest first."""
        return self._run(decisions.list_pending(self._stores, Caller.of(context)))

    async def alist(self, context: LearningContext) -> tuple[Learning, ...]:
        """Do as `list` in async code."""
        return await self._arun(decisions.list_pending(self._stores, Caller.of(context)))

    def show(self, context: LearningContext, key: str) -> Evidence:
        """Return a proposal with the message it rests on and the texts it would replace. Raises `NotFound`."""
        return self._run(decisions.show_evidence(self._stores, Caller.of(context), key))

    async def ashow(self, context: LearningContext, key: str) -> Evidence:
        """Do as `show` in async code."""
        return await self._arun(decisions.show_evidence(self._stores, Caller.of(context), key))

    def approve(
        self, context: LearningContext, key: str, *, why: str | None = None, fields: Mapping[str, Any] | None = None
    ) -> Learning:
        """Make a proposal an active learning, with other values for some of its fields; return the learning.

        fields: new values by the name of the field.
        Raises `NotFound`; `Conflict` if a learning that the proposal would change has changed since it was made;
        `NotAllowed` if the learning store forbids it, or if the proposal rests on the reviewer's own words and the
        machine has `four_eyes=True`; `InvalidFields` for values that do not fit the record.
        """
        return self._run(self._approve(context, key, why, fields))

    async def aapprove(
        self, context: LearningContext, key: str, *, why: str | None = None, fields: Mapping[str, Any] | None = None
    ) -> Learning:
        """Do as `approve` in async code."""
        return await self._arun(self._approve(context, key, why, fields))

    def reject(self, context: LearningContext, key: str, *, why: str | None = None) -> Learning:
        """Reject a proposal, so that it is not proposed again. Raises `NotFound` or `Conflict`."""
        return self._run(decisions.reject_proposal(self._stores, Caller.of(context), key, why))

    async def areject(self, context: LearningContext, key: str, *, why: str | None = None) -> Learning:
        """Do as `reject` in async code."""
        return await self._arun(decisions.reject_proposal(self._stores, Caller.of(context), key, why))

    def demote(self, context: LearningContext, key: str, *, why: str | None = None) -> Learning:
        """Turn a shared learning back into a proposal; users' private learnings stay as they are.

        Raises `NotFound` or `Conflict`.
        """
        return self._run(decisions.demote_learning(self._stores, Caller.of(context), key, why))

    async def ademote(self, context: LearningContext, key: str, *, why: str | None = None) -> Learning:
        """Do as `demote` in async code."""
        return await self._arun(decisions.demote_learning(self._stores, Caller.of(context), key, why))

    def _approve(
        self, context: LearningContext, key: str, why: str | None, fields: Mapping[str, Any] | None
    ) -> Flow[Learning]:
        return decisions.approve_proposal(self._stores, Caller.of(context), key, why, fields or {}, self._four_eyes)
