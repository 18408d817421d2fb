"""The versions of the agent's instructions: read off the learnings and what was decided about them."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from difflib import unified_diff
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from langgraph_learning.core.flow import Flow, T, batch, every
from langgraph_learning.core.learning import BEGINS, ENDS, Decision, Learning, Status, in_one_step, read_all
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.store_protocol import Expected, version_of
from langgraph_learning.errors import NotAllowed, NotFound
from langgraph_learning.stores.self_improvement import SelfImprovement, section_of
from langgraph_learning.update.proposals import over, rests_on_own_words


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


class State(NamedTuple):
    """What counted after a decision, by key."""

    decision: Decision | None
    counting: dict[str, Learning]


def versions(store: SelfImprovement, caller: Caller) -> Flow[tuple[Version, ...]]:
    """Return all versions, oldest first; the last one is what counts now."""
    place = caller.namespace(store.scope, store.name)
    items = yield from every(place)
    return _versions(store, read_all(items, [place]))


def compared(found: Sequence[Version], a: int, b: int) -> str:
    """Return what differs between two versions, as a unified diff; empty if nothing does. Raises `NotFound`."""
    one, other = (_numbered(found, number) for number in (a, b))
    names = f"version {a}", f"version {b}"
    return "\n".join(unified_diff(one.as_text().splitlines(), other.as_text().splitlines(), *names, lineterm=""))


def rollback(store: SelfImprovement, caller: Caller, number: int, why: str | None, four_eyes: bool) -> Flow[Version]:
    """Let exactly that count again which counted in a version. Raises `NotFound`, `NotAllowed` or `Conflict`."""
    place = caller.namespace(store.scope, store.name)
    items = yield from every(place)
    learnings = read_all(items, [place])
    history = states(learnings)
    then = _numbered(history, number)
    decision = Decision(by=caller.user, at=datetime.now(UTC), verdict="rolled back", why=why)
    changed = _turned_back(history[-1].counting, then.counting, decision)
    _allow(store, caller, changed, four_eyes)
    # Whatever lies there may have been approved by now: nothing of it may have changed.
    expected = [Expected(item.namespace, item.key, version_of(item)) for item in items]
    yield from batch(*(one.put() for one in in_one_step(changed)), expected=expected, by=caller.user)
    now = {one.key: one for one in learnings} | {one.key: one for one in changed}
    return _versions(store, now.values())[-1]


def states(learnings: Iterable[Learning]) -> list[State]:
    """Return what counted after every decision, oldest first; the first state is before all of them.

    What was decided together has one time. What was changed without a decision comes last.
    """
    known = [one for one in learnings if one.retires is None]
    acts = [(decision, one) for one in known for decision in one.decisions if decision.verdict in BEGINS + ENDS]
    acts.sort(key=lambda act: (act[0].at, act[0].verdict in BEGINS, act[1].key))
    found = [State(None, {})]
    for _, together in itertools.groupby(acts, key=lambda act: act[0].at):
        counting = dict(found[-1].counting)
        for decision, one in together:
            counting.pop(one.key, None) if decision.verdict in ENDS else counting.update({one.key: one})
        found.append(State(decision, counting))
    present = {one.key: one for one in known if one.status is Status.ACTIVE and one.let_in}
    return found if found[-1].counting.keys() == present.keys() else [*found, State(None, present)]


def _numbered(found: Sequence[T], number: int) -> T:
    if not 0 <= number < len(found):
        raise NotFound(f"There is no version {number} of the instructions, only 0 to {len(found) - 1}.")
    return found[number]


def _versions(store: SelfImprovement, learnings: Iterable[Learning]) -> tuple[Version, ...]:
    now = datetime.now(UTC)
    return tuple(
        Version(
            number=number,
            at=decision.at if decision else None,
            by=decision.by if decision else None,
            why=decision.why if decision else None,
            sections=store.texts(counting.values(), now),
        )
        for number, (decision, counting) in enumerate(states(learnings))
    )


def _turned_back(now: Mapping[str, Learning], then: Mapping[str, Learning], decision: Decision) -> list[Learning]:
    """Return what has to be written so that what counted then counts again, and nothing else."""
    gone = [one for key, one in now.items() if key not in then]
    back = [one for key, one in then.items() if key not in now]
    return [*(over(one, decision) for one in gone), *(_again(one, gone, decision) for one in back)]


def _again(one: Learning, gone: Sequence[Learning], decision: Decision) -> Learning:
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


def _allow(store: SelfImprovement, caller: Caller, changed: Sequence[Learning], four_eyes: bool) -> None:
    if objection := next(filter(None, map(store.objection, changed)), None):
        raise NotAllowed(objection)
    if four_eyes and any(rests_on_own_words(one, caller) for one in changed if one.status is Status.ACTIVE):
        raise NotAllowed(
            "This would let instructions count again that rest on your own words: let somebody else do it."
        )
