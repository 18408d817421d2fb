"""The agent's instructions as versions: to be looked at, compared and rolled back."""

from collections.abc import Callable

from langgraph.store.base import BaseStore

from langgraph_learning.core.flow import Flow, T, adrive, drive
from langgraph_learning.core.scopes import Caller, LearningContext
from langgraph_learning.review import versions
from langgraph_learning.review.versions import Version
from langgraph_learning.stores.self_improvement import SelfImprovement


class Instructions:
    """What the agent was told from one approval to the next, for whoever the context names.

    Versions are read off what was approved and what ended it. An approval that was undone is no version, and neither is
    what was forgotten for good.
    """

    def __init__(self, learning_store: SelfImprovement, store: Callable[[], BaseStore], *, four_eyes: bool) -> None:
        self._learning_store = learning_store
        self._store = store
        self._four_eyes = four_eyes

    def versions(self, context: LearningContext) -> tuple[Version, ...]:
        """Return all versions, oldest first: 0 is what the developer wrote, the last one is what counts now."""
        return self._drive(self._versions(context))

    async def aversions(self, context: LearningContext) -> tuple[Version, ...]:
        """`versions` for the async world."""
        return await self._adrive(self._versions(context))

    def compare(self, context: LearningContext, a: int, b: int) -> str:
        """Return what differs between two versions, as a unified diff. Raises `NotFound`."""
        return self._drive(self._compare(context, a, b))

    async def acompare(self, context: LearningContext, a: int, b: int) -> str:
        """`compare` for the async world."""
        return await self._adrive(self._compare(context, a, b))

    def rollback(self, context: LearningContext, number: int, why: str | None = None) -> Version:
        """Let the instructions be what they were in a version, from the next turn on; return that as a new version.

        Raises `NotFound`; `Conflict` if something has changed meanwhile; `NotAllowed` where it would change a protected
        section, or let what rests on the caller's own words count where the machine wants four eyes.
        """
        return self._drive(self._rollback(context, number, why))

    async def arollback(self, context: LearningContext, number: int, why: str | None = None) -> Version:
        """`rollback` for the async world."""
        return await self._adrive(self._rollback(context, number, why))

    def _versions(self, context: LearningContext) -> Flow[tuple[Version, ...]]:
        return versions.versions(self._learning_store, Caller.of(context))

    def _compare(self, context: LearningContext, a: int, b: int) -> Flow[str]:
        return versions.compared((yield from self._versions(context)), a, b)

    def _rollback(self, context: LearningContext, number: int, why: str | None) -> Flow[Version]:
        return versions.rollback(self._learning_store, Caller.of(context), number, why, self._four_eyes)

    def _drive(self, flow: Flow[T]) -> T:
        return drive(flow, self._store())

    async def _adrive(self, flow: Flow[T]) -> T:
        return await adrive(flow, self._store())
