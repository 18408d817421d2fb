"""What lies in one namespace, as curation reads it, and how it writes: what has changed since is left alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from langgraph.store.base import GetOp, Item, PutOp

from langgraph_learning.core.flow import Flow, batch, every
from langgraph_learning.core.learning import CURATOR, Learning, Status, in_one_step
from langgraph_learning.core.scopes import Namespace, unescape
from langgraph_learning.core.store_protocol import Expected, version_of
from langgraph_learning.errors import Conflict
from langgraph_learning.stores.base import LearningStore
from langgraph_learning.update.votes import VOTES, Vote, read, where

PAGE = 500

What = Literal["merged", "superseded", "proposed", "archived", "retired", "removed", "rolled up"]


@dataclass(frozen=True)
class Group:
    """One thing that curation does: written together or not at all, and taken back together."""

    what: What
    why: str
    learnings: tuple[Learning, ...] = ()
    """What it changes, as it is from then on; the one that stays comes first."""
    read: tuple[str, ...] = ()
    """Keys of what else it rests on: that must not have changed either."""
    erased: tuple[Learning, ...] = ()
    """What it removes for good, with its votes."""
    orphans: tuple[str, ...] = ()
    """Keys of learnings that are gone, whose votes it removes."""

    @property
    def touches(self) -> set[str]:
        """Return the keys of all that must be as it was read."""
        return {*(one.key for one in (*self.learnings, *self.erased)), *self.read, *self.orphans}


@dataclass(frozen=True)
class Shelf:
    """The learnings of one learning store and one owner, with their votes, as they were read."""

    store: LearningStore
    namespace: Namespace
    found: Mapping[str, Learning] = field(default_factory=dict)
    """By key, whatever their status."""
    versions: Mapping[str, int] = field(default_factory=dict)
    votes: Mapping[str, Mapping[str, Vote]] = field(default_factory=dict)
    """By key of the learning, then by their own."""

    @cached_property
    def active(self) -> list[Learning]:
        """Return what counts, the best supported first, then the oldest."""
        counting = (one for one in self.found.values() if one.status is Status.ACTIVE)
        return sorted(counting, key=lambda one: (-len(one.sources), one.learned_at, one.key))

    @cached_property
    def rested_on(self) -> set[str]:
        """Return the keys of what other learnings that count rest on: these stay where they are."""
        return {key for one in self.found.values() if one.status is Status.ACTIVE for key in one.derived_from}

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Return the place of each learning that counts among them, by key."""
        return {one.key: place for place, one in enumerate(self.active)}

    def voices(self, learning: Learning) -> dict[str, Vote]:
        """Return the votes on a learning and on what was merged into it, each once."""
        keys = (learning.key, *learning.merged)
        return {mark: vote for key in keys for mark, vote in self.votes.get(key, {}).items()}

    def after(self, groups: Sequence[Group]) -> "Shelf":
        """Return the shelf as it would be."""
        changed = {one.key: one for group in groups for one in group.learnings}
        gone = {one.key for group in groups for one in group.erased} | {k for g in groups for k in g.orphans}
        found = {key: one for key, one in {**self.found, **changed}.items() if key not in gone}
        return replace(self, found=found, votes={key: v for key, v in self.votes.items() if key not in gone})


def shelve(stores: Mapping[str, LearningStore], folder: Namespace, names: Sequence[str]) -> Flow[list[Shelf]]:
    """Read what is kept in a folder under these names. The votes are read last: so none is missed unnoticed."""
    shelves = []
    for name in names:
        items = yield from every((*folder, name))
        own = {item.key: item for item in items if item.namespace == (*folder, name)}
        learnings = {key: Learning.read(item) for key, item in own.items()}
        found = {key: one for key, one in learnings.items() if one}
        versions = {key: version_of(item) for key, item in own.items()}
        shelves.append(Shelf(stores[name], (*folder, name), found, versions))
    votes = (yield from every((*folder, VOTES))) if any(shelf.found or shelf.versions for shelf in shelves) else []
    return [replace(shelf, votes=_votes(votes, shelf.namespace)) for shelf in shelves]


def write(shelf: Shelf, groups: Sequence[Group]) -> Flow[tuple[Shelf, list[Group]]]:
    """Write groups, each in one step; return the shelf as it then is, and the groups that came too late."""
    late: list[Group] = []
    for some in _parts(groups):
        late += yield from _try(shelf, some)
    touched = sorted({key for group in groups for key in group.touches})
    return (yield from _read_again(shelf, touched)), late


def _try(shelf: Shelf, groups: Sequence[Group]) -> Flow[list[Group]]:
    """Write groups together or, where something of them has changed, one by one; return those that came too late."""
    ops = [op for group in groups for op in _ops(shelf, group)]
    expected = [Expected(shelf.namespace, key, shelf.versions.get(key, 0)) for g in groups for key in sorted(g.touches)]
    try:
        yield from batch(*ops, expected=expected, by=CURATOR, erase=any(group.erased for group in groups))
    except Conflict:
        if len(groups) == 1:
            return list(groups)
        late: list[Group] = []
        for group in groups:
            late += yield from _try(shelf, [group])
        return late
    return []


def _ops(shelf: Shelf, group: Group) -> Iterator[PutOp]:
    # A sum of votes is nobody's step: there is nothing in it to take back.
    written = group.learnings if group.what == "rolled up" else in_one_step(group.learnings)
    yield from (one.put() for one in written)
    yield from (PutOp(one.namespace, one.key, None) for one in group.erased)
    for key in (*(one.key for one in group.erased), *group.orphans):
        yield from (PutOp(where((shelf.namespace, key)), mark, None) for mark in shelf.votes.get(key, ()))


def _parts(groups: Sequence[Group]) -> Iterator[list[Group]]:
    """Yield groups in parts of about a page's writes. No two of a part change the same."""
    part: list[Group] = []
    for group in groups:
        if part and sum(len(one.touches) for one in (*part, group)) > PAGE:
            yield part
            part = []
        part.append(group)
    if part:
        yield part


def _read_again(shelf: Shelf, keys: Sequence[str]) -> Flow[Shelf]:
    found, versions = dict(shelf.found), dict(shelf.versions)
    for start in range(0, len(keys), PAGE):
        some = keys[start : start + PAGE]
        items = yield from batch(*(GetOp(shelf.namespace, key) for key in some))
        for key, item in zip(some, items, strict=True):
            learning = Learning.read(item) if isinstance(item, Item) else None
            versions[key] = version_of(item if isinstance(item, Item) else None)
            found.pop(key, None)
            found |= {key: learning} if learning else {}
    return replace(shelf, found=found, versions=versions)


def _votes(items: Sequence[Item], namespace: Namespace) -> dict[str, dict[str, Vote]]:
    """Return the votes on the learnings in a namespace."""
    under = (*namespace[:-1], VOTES, namespace[-1])
    found: dict[str, dict[str, Vote]] = {}
    for item in items:
        if item.namespace[:-1] == under and (vote := read(item)):
            found.setdefault(unescape(item.namespace[-1]), {})[item.key] = vote
    return found
