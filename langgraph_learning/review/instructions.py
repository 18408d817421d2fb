"""The agent's instructions as versions: to be looked at, compared and rolled back."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from difflib import unified_diff
from typing import NamedTuple

from langgraph.store.base import BaseStore
from pydantic import BaseModel, ConfigDict

from langgraph_learning.core.flow import Facade, Flow, T, batch, search_all
from langgraph_learning.core.learning import (
    ACTIVATING_VERDICTS,
    DEACTIVATING_VERDICTS,
    Learning,
    ReviewDecision,
    Status,
    read_learnings,
    with_step_id,
)
from langgraph_learning.core.scopes import Caller, LearningContext
from langgraph_learning.core.store_protocol import Expected, version_of
from langgraph_learning.errors import NotAllowed, NotFound
from langgraph_learning.stores.self_improvement import SelfImprovement, section_of
from langgraph_learning.update.proposals import end_learning, rests_on_own_words


class Version(BaseModel):
    """The instructions as they were from one decision to the next."""

    model_config = ConfigDict(frozen=True)

    number: int
    """Counted from 0, which is what the developer wrote, before anything was approved."""
    at: datetime | None
    by: str | None
    """Who decided it; None for version 0."""
    why: str | None
    sections: Mapping[str, str]
    """What each section says. Those that nothing approved stands in are as the developer writes them today."""

    def as_text(self) -> str:
        """Return the sections as one text, ordered by name."""
        return "\n".join(f"## {name}\n{text}\n" for name, text in self.sections.items())


class InstructionState(NamedTuple):
    """What counted after a decision, by key."""

    decision: ReviewDecision | None
    counting: dict[str, Learning]


class Instructions(Facade):
    """What the agent was told from one approval to the next, for whoever the context names.

    Versions are read off what was approved and what ended it. An approval that was undone is no version, and neither is
    what was forgotten for good.
    """

    def __init__(self, learning_store: SelfImprovement, store: Callable[[], BaseStore], *, four_eyes: bool) -> None:
        self._learning_store = learning_store
        super().__init__(store)
        self._four_eyes = four_eyes

    def versions(self, context: LearningContext) -> tuple[Version, ...]:
        """Return all versions, oldest first: 0 is what the developer wrote, the last one is what counts now."""
        return self._run(self._versions(context))

    async def aversions(self, context: LearningContext) -> tuple[Version, ...]:
        """`versions` for the async world."""
        return await self._arun(self._versions(context))

    def compare(self, context: LearningContext, a: int, b: int) -> str:
        """Return what differs between two versions, as a unified diff. Raises `NotFound`."""
        return self._run(self._compare(context, a, b))

    async def acompare(self, context: LearningContext, a: int, b: int) -> str:
        """`compare` for the async world."""
        return await self._arun(self._compare(context, a, b))

    def rollback(self, context: LearningContext, number: int, why: str | None = None) -> Version:
        """Let the instructions be what they were in a version, from the next turn on; return that as a new version.

        Raises `NotFound`; `Conflict` if something has changed meanwhile; `NotAllowed` where it would change a protected
        section, or let what rests on the caller's own words count where the machine wants four eyes.
        """
        return self._run(self._rollback(context, number, why))

    async def arollback(self, context: LearningContext, number: int, why: str | None = None) -> Version:
        """`rollback` for the async world."""
        return await self._arun(self._rollback(context, number, why))

    def _versions(self, context: LearningContext) -> Flow[tuple[Version, ...]]:
        return list_versions(self._learning_store, Caller.of(context))

    def _compare(self, context: LearningContext, a: int, b: int) -> Flow[str]:
        return compare_versions((yield from self._versions(context)), a, b)

    def _rollback(self, context: LearningContext, number: int, why: str | None) -> Flow[Version]:
        return roll_back(self._learning_store, Caller.of(context), number, why, self._four_eyes)


def list_versions(store: SelfImprovement, caller: Caller) -> Flow[tuple[Version, ...]]:
    """Return all versions, oldest first; the last one is what counts now."""
    place = caller.namespace(store.scope, store.name)
    items = yield from search_all(place)
    return _make_versions(store, read_learnings(items, [place]))


def compare_versions(found: Sequence[Version], a: int, b: int) -> str:
    """Return what differs between two versions, as a unified diff; empty if nothing does. Raises `NotFound`."""
    one, other = (_version_number(found, number) for number in (a, b))
    names = f"version {a}", f"version {b}"
    return "\n".join(unified_diff(one.as_text().splitlines(), other.as_text().splitlines(), *names, lineterm=""))


def roll_back(store: SelfImprovement, caller: Caller, number: int, why: str | None, four_eyes: bool) -> Flow[Version]:
    """Let exactly that count again which counted in a version. Raises `NotFound`, `NotAllowed` or `Conflict`."""
    place = caller.namespace(store.scope, store.name)
    items = yield from search_all(place)
    learnings = read_learnings(items, [place])
    history = instruction_states(learnings)
    then = _version_number(history, number)
    decision = ReviewDecision(by=caller.user, at=datetime.now(UTC), verdict="rolled back", why=why)
    changed = _roll_back_changes(history[-1].counting, then.counting, decision)
    _check_allowed(store, caller, changed, four_eyes)
    # Whatever lies there may have been approved by now: nothing of it may have changed.
    expected = [Expected(item.namespace, item.key, version_of(item)) for item in items]
    yield from batch(*(one.put() for one in with_step_id(changed)), expected=expected, by=caller.user)
    now = {one.key: one for one in learnings} | {one.key: one for one in changed}
    return _make_versions(store, now.values())[-1]


def instruction_states(learnings: Iterable[Learning]) -> list[InstructionState]:
    """Return what counted after every decision, oldest first; the first state is before all of them.

    What was decided together has one time. What was changed without a decision comes last.
    """
    known = [one for one in learnings if one.retires is None]
    acts = [
        (decision, one)
        for one in known
        for decision in one.decisions
        if decision.verdict in ACTIVATING_VERDICTS + DEACTIVATING_VERDICTS
    ]
    acts.sort(key=lambda act: (act[0].at, act[0].verdict in ACTIVATING_VERDICTS, act[1].key))
    found = [InstructionState(None, {})]
    for _, together in itertools.groupby(acts, key=lambda act: act[0].at):
        counting = dict(found[-1].counting)
        for decision, one in together:
            counting.pop(one.key, None) if decision.verdict in DEACTIVATING_VERDICTS else counting.update(
                {one.key: one}
            )
        found.append(InstructionState(decision, counting))
    present = {one.key: one for one in known if one.status is Status.ACTIVE and one.is_approved}
    return found if found[-1].counting.keys() == present.keys() else [*found, InstructionState(None, present)]


def _version_number(found: Sequence[T], number: int) -> T:
    if not 0 <= number < len(found):
        raise NotFound(f"There is no version {number} of the instructions, only 0 to {len(found) - 1}.")
    return found[number]


def _make_versions(store: SelfImprovement, learnings: Iterable[Learning]) -> tuple[Version, ...]:
    now = datetime.now(UTC)
    return tuple(
        Version(
            number=number,
            at=decision.at if decision else None,
            by=decision.by if decision else None,
            why=decision.why if decision else None,
            sections=store.section_texts(counting.values(), now),
        )
        for number, (decision, counting) in enumerate(instruction_states(learnings))
    )


def _roll_back_changes(
    now: Mapping[str, Learning], then: Mapping[str, Learning], decision: ReviewDecision
) -> list[Learning]:
    """Return what has to be written so that what counted then counts again, and nothing else."""
    gone = [one for key, one in now.items() if key not in then]
    back = [one for key, one in then.items() if key not in now]
    return [*(end_learning(one, decision) for one in gone), *(_reactivate(one, gone, decision) for one in back)]


def _reactivate(one: Learning, gone: Sequence[Learning], decision: ReviewDecision) -> Learning:
    """Return a learning that counts again, in the place of what its section said meanwhile."""
    instead = tuple(other.key for other in gone if section_of(other) == section_of(one))
    return one.model_copy(
        update={
            "status": Status.ACTIVE,
            "valid_to": None,
            "supersedes": tuple(dict.fromkeys((*one.supersedes, *instead))),
            "decisions": (*one.decisions, decision),
        }
    )


def _check_allowed(store: SelfImprovement, caller: Caller, changed: Sequence[Learning], four_eyes: bool) -> None:
    if objection := next(filter(None, map(store.objection, changed)), None):
        raise NotAllowed(objection)
    if four_eyes and any(rests_on_own_words(one, caller) for one in changed if one.status is Status.ACTIVE):
        raise NotAllowed(
            "This would let instructions count again that rest on your own words: let somebody else do it."
        )
