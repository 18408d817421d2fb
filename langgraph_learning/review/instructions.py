"""`machine.instructions`: past versions of the agent's learned instructions, their differences, and rollback."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from difflib import unified_diff
from typing import NamedTuple

from langgraph.store.base import BaseStore
from pydantic import BaseModel, ConfigDict

from langgraph_learning.core.flow import Facade, Flow, T, batch
from langgraph_learning.core.learning import (
    ACTIVATING_VERDICTS,
    DEACTIVATING_VERDICTS,
    Learning,
    ReviewDecision,
    Status,
    with_step_id,
)
from langgraph_learning.core.repository import all_in, all_stored_in
from langgraph_learning.core.scopes import Caller, LearningContext
from langgraph_learning.errors import NotAllowed, NotFound
from langgraph_learning.stores.self_improvement import SelfImprovement, section_of
from langgraph_learning.update.proposals import end_learning, rests_on_own_words


class Version(BaseModel):
    """The instructions between two decisions about them."""

    model_config = ConfigDict(frozen=True)

    number: int
    """Number of the version; 0 is the developer's text, before any approval."""
    at: datetime | None
    by: str | None
    """The reviewer; None for version 0."""
    why: str | None
    sections: Mapping[str, str]
    """Text of each section by name. A section without an approved learning has the developer's current text."""

    def as_text(self) -> str:
        """Return the sections as one text, ordered by name."""
        return "\n".join(f"## {name}\n{text}\n" for name, text in self.sections.items())


class InstructionState(NamedTuple):
    """The active instructions after a decision."""

    decision: ReviewDecision | None
    active: dict[str, Learning]
    """Learnings by key."""


class Instructions(Facade):
    """Lists, compares and rolls back versions of the instructions of one `SelfImprovement` store.

    Versions are computed from the decisions that are kept with the learnings. An approval that was undone makes no
    version, and forgotten learnings are in none.
    """

    def __init__(self, learning_store: SelfImprovement, store: Callable[[], BaseStore], *, four_eyes: bool) -> None:
        self._learning_store = learning_store
        super().__init__(store)
        self._four_eyes = four_eyes

    def versions(self, context: LearningContext) -> tuple[Version, ...]:
        """Return all versions, oldest first: 0 is the developer's text, the last one is active."""
        return self._run(self._versions(context))

    async def aversions(self, context: LearningContext) -> tuple[Version, ...]:
        """Do as `versions` in async code."""
        return await self._arun(self._versions(context))

    def compare(self, context: LearningContext, a: int, b: int) -> str:
        """Return the differences of version b from version a as a unified diff. Raises `NotFound`."""
        return self._run(self._compare(context, a, b))

    async def acompare(self, context: LearningContext, a: int, b: int) -> str:
        """Do as `compare` in async code."""
        return await self._arun(self._compare(context, a, b))

    def rollback(self, context: LearningContext, number: int, why: str | None = None) -> Version:
        """Restore the instructions of an earlier version, from the next turn on; return them as a new version.

        Raises `NotFound`; `Conflict` if the instructions have changed in the meantime; `NotAllowed` if a protected
        section would change, or if an instruction that rests on the caller's own words would become active again and
        the machine has `four_eyes=True`.
        """
        return self._run(self._rollback(context, number, why))

    async def arollback(self, context: LearningContext, number: int, why: str | None = None) -> Version:
        """Do as `rollback` in async code."""
        return await self._arun(self._rollback(context, number, why))

    def _versions(self, context: LearningContext) -> Flow[tuple[Version, ...]]:
        return list_versions(self._learning_store, Caller.of(context))

    def _compare(self, context: LearningContext, a: int, b: int) -> Flow[str]:
        return compare_versions((yield from self._versions(context)), a, b)

    def _rollback(self, context: LearningContext, number: int, why: str | None) -> Flow[Version]:
        return roll_back(self._learning_store, Caller.of(context), number, why, self._four_eyes)


def list_versions(store: SelfImprovement, caller: Caller) -> Flow[tuple[Version, ...]]:
    """Return all versions, oldest first; the last one is active."""
    learnings = yield from all_in([caller.namespace(store.scope, store.name)])
    return _make_versions(store, learnings)


def compare_versions(versions: Sequence[Version], a: int, b: int) -> str:
    """Return the differences of version b from version a as a unified diff; empty for none. Raises `NotFound`."""
    old, new = _get_version(versions, a), _get_version(versions, b)
    names = f"version {a}", f"version {b}"
    return "\n".join(unified_diff(old.as_text().splitlines(), new.as_text().splitlines(), *names, lineterm=""))


def roll_back(store: SelfImprovement, caller: Caller, number: int, why: str | None, four_eyes: bool) -> Flow[Version]:
    """Make exactly the instructions of a version active again. Raises `NotFound`, `NotAllowed` or `Conflict`."""
    stored_learnings = yield from all_stored_in([caller.namespace(store.scope, store.name)])
    learnings = [stored.learning for stored in stored_learnings]
    states = list_states(learnings)
    target = _get_version(states, number)
    decision = ReviewDecision(by=caller.user, at=datetime.now(UTC), verdict="rolled back", why=why)
    changed = _plan_rollback(states[-1].active, target.active, decision)
    _check_allowed(store, caller, changed, four_eyes)
    # Another instruction may be approved at the same time, so all of them must be as they were read.
    expected = [stored.condition for stored in stored_learnings]
    yield from batch(*(learning.put() for learning in with_step_id(changed)), expected=expected, by=caller.user)
    current = {learning.key: learning for learning in (*learnings, *changed)}
    return _make_versions(store, current.values())[-1]


def list_states(learnings: Iterable[Learning]) -> list[InstructionState]:
    """Return the states of the instructions after each decision, oldest first; the first is before any decision.

    Decisions with the same time were made together and lead to one state. If the active instructions have changed
    without a decision, the last state holds them.
    """
    instructions = [learning for learning in learnings if learning.retires is None]
    events: list[tuple[ReviewDecision, Learning]] = []
    for learning in instructions:
        for decision in learning.decisions:
            if decision.verdict in ACTIVATING_VERDICTS + DEACTIVATING_VERDICTS:
                events.append((decision, learning))
    events.sort(key=lambda event: (event[0].at, event[0].verdict in ACTIVATING_VERDICTS, event[1].key))

    states = [InstructionState(None, {})]
    for _, simultaneous in itertools.groupby(events, key=lambda event: event[0].at):
        active = dict(states[-1].active)
        for decision, learning in simultaneous:
            if decision.verdict in ACTIVATING_VERDICTS:
                active[learning.key] = learning
            else:
                active.pop(learning.key, None)
        states.append(InstructionState(decision, active))
    active_now = {
        learning.key: learning for learning in instructions if learning.status is Status.ACTIVE and learning.is_approved
    }
    if states[-1].active.keys() != active_now.keys():
        states.append(InstructionState(None, active_now))
    return states


def _get_version(versions: Sequence[T], number: int) -> T:
    if not 0 <= number < len(versions):
        raise NotFound(f"There is no version {number} of the instructions, only 0 to {len(versions) - 1}.")
    return versions[number]


def _make_versions(store: SelfImprovement, learnings: Iterable[Learning]) -> tuple[Version, ...]:
    now = datetime.now(UTC)
    return tuple(
        Version(
            number=number,
            at=decision.at if decision else None,
            by=decision.by if decision else None,
            why=decision.why if decision else None,
            sections=store.section_texts(active.values(), now),
        )
        for number, (decision, active) in enumerate(list_states(learnings))
    )


def _plan_rollback(
    current: Mapping[str, Learning], target: Mapping[str, Learning], decision: ReviewDecision
) -> list[Learning]:
    """Return the learnings to write so that exactly the target's learnings are active."""
    to_end = [learning for key, learning in current.items() if key not in target]
    to_reactivate = [learning for key, learning in target.items() if key not in current]
    ended = [end_learning(learning, decision) for learning in to_end]
    return [*ended, *(_reactivate(learning, to_end, decision) for learning in to_reactivate)]


def _reactivate(learning: Learning, ended: Sequence[Learning], decision: ReviewDecision) -> Learning:
    """Return an active learning that supersedes the ended learnings of its section."""
    replaced = [other.key for other in ended if section_of(other) == section_of(learning)]
    return learning.model_copy(
        update={
            "status": Status.ACTIVE,
            "valid_to": None,
            "supersedes": tuple(dict.fromkeys((*learning.supersedes, *replaced))),
            "decisions": (*learning.decisions, decision),
        }
    )


def _check_allowed(store: SelfImprovement, caller: Caller, changed: Sequence[Learning], four_eyes: bool) -> None:
    for learning in changed:
        if objection := store.objection(learning):
            raise NotAllowed(objection)
    activated = [learning for learning in changed if learning.status is Status.ACTIVE]
    if four_eyes and any(rests_on_own_words(learning, caller) for learning in activated):
        raise NotAllowed(
            "This would activate instructions that rest on your own words: somebody else has to roll back."
        )
