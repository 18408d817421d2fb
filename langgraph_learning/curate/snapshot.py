"""Snapshot of one namespace for curation, and conditional writes that leave alone whatever has changed since."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from langgraph.store.base import Item, PutOp

from langgraph_learning.core.flow import Flow, batch, search_all
from langgraph_learning.core.keys import VOTES
from langgraph_learning.core.learning import CURATOR, Learning, Status, count_sources, with_step_id
from langgraph_learning.core.repository import get_many
from langgraph_learning.core.scopes import Namespace, unescape
from langgraph_learning.core.store_protocol import Expected, version_of
from langgraph_learning.errors import Conflict
from langgraph_learning.stores.base import LearningStore
from langgraph_learning.update.votes import Vote, parse_vote, votes_namespace

BATCH_SIZE = 500
"""Approximate number of items that one batch reads or writes."""

ActionType = Literal["merged", "superseded", "proposed", "archived", "retired", "removed", "rolled up"]


@dataclass(frozen=True)
class PlannedAction:
    """One action of curation: written completely or not at all, and undone as a whole."""

    what: ActionType
    why: str
    learnings: tuple[Learning, ...] = ()
    """The learnings it changes, as they are to be written; the one that stays comes first."""
    depends_on: tuple[str, ...] = ()
    """Keys of further learnings that must not have changed either."""
    deleted: tuple[Learning, ...] = ()
    """The learnings it deletes, with their votes."""
    orphans: tuple[str, ...] = ()
    """Keys of learnings that no longer exist, whose votes it deletes."""

    @property
    def keys(self) -> set[str]:
        """Keys of all learnings that must have the version that was read."""
        return {*(learning.key for learning in (*self.learnings, *self.deleted)), *self.depends_on, *self.orphans}


@dataclass(frozen=True)
class Snapshot:
    """The learnings of one learning store and one owner, with their votes and versions, as they were read."""

    store: LearningStore
    namespace: Namespace
    learnings: Mapping[str, Learning] = field(default_factory=dict)
    """By key, in any status."""
    versions: Mapping[str, int] = field(default_factory=dict)
    votes: Mapping[str, Mapping[str, Vote]] = field(default_factory=dict)
    """By key of the learning, then by key of the vote."""

    @cached_property
    def active(self) -> list[Learning]:
        """The active learnings, the best supported first, then the oldest."""
        active = (learning for learning in self.learnings.values() if learning.status is Status.ACTIVE)
        return sorted(
            active, key=lambda learning: (-count_sources(learning.sources), learning.learned_at, learning.key)
        )

    @cached_property
    def keys_in_use(self) -> set[str]:
        """Keys of learnings that active learnings are derived from; they are neither merged away nor archived."""
        return {key for learning in self.active for key in learning.derived_from}

    @cached_property
    def ranks(self) -> Mapping[str, int]:
        """The position of each active learning in `active`, by key."""
        return {learning.key: rank for rank, learning in enumerate(self.active)}

    def votes_on(self, learning: Learning) -> dict[str, Vote]:
        """Return the votes on a learning and on those merged into it, by key, so that each counts once."""
        votes: dict[str, Vote] = {}
        for key in (learning.key, *learning.merged):
            votes |= self.votes.get(key, {})
        return votes

    def after(self, actions: Sequence[PlannedAction]) -> "Snapshot":
        """Return the snapshot as it would be after these actions."""
        learnings = dict(self.learnings)
        votes = dict(self.votes)
        for action in actions:
            learnings |= {learning.key: learning for learning in action.learnings}
            for key in (*(learning.key for learning in action.deleted), *action.orphans):
                learnings.pop(key, None)
                votes.pop(key, None)
        return replace(self, learnings=learnings, votes=votes)


def read_snapshots(
    stores: Mapping[str, LearningStore], owner_namespace: Namespace, names: Sequence[str]
) -> Flow[list[Snapshot]]:
    """Read the learnings of one owner in the learning stores of these names.

    The votes are read last, so that every vote on a learning that was read is among them.
    """
    snapshots = []
    for name in names:
        namespace = (*owner_namespace, name)
        items = [item for item in (yield from search_all(namespace)) if item.namespace == namespace]
        learnings = {item.key: learning for item in items if (learning := Learning.read(item))}
        versions = {item.key: version_of(item) for item in items}
        snapshots.append(Snapshot(stores[name], namespace, learnings, versions))
    if not any(snapshot.versions for snapshot in snapshots):
        return snapshots
    votes = yield from search_all((*owner_namespace, VOTES))
    return [replace(snapshot, votes=_group_votes(votes, snapshot.namespace)) for snapshot in snapshots]


def apply_actions(snapshot: Snapshot, actions: Sequence[PlannedAction]) -> Flow[tuple[Snapshot, list[PlannedAction]]]:
    """Write actions, each completely or not at all; return the new snapshot, and the actions that came too late."""
    late: list[PlannedAction] = []
    for part in _split_by_size(actions):
        late += yield from _write_actions(snapshot, part)
    keys = sorted({key for action in actions for key in action.keys})
    return (yield from _read_again(snapshot, keys)), late


def _write_actions(snapshot: Snapshot, actions: Sequence[PlannedAction]) -> Flow[list[PlannedAction]]:
    """Write actions together or, after a conflict, one by one; return those that came too late."""
    ops = [op for action in actions for op in _list_puts(snapshot, action)]
    expected = [
        Expected(snapshot.namespace, key, snapshot.versions.get(key, 0))
        for action in actions
        for key in sorted(action.keys)
    ]
    try:
        yield from batch(*ops, expected=expected, by=CURATOR, erase=any(action.deleted for action in actions))
    except Conflict:
        if len(actions) == 1:
            return list(actions)
        late: list[PlannedAction] = []
        for action in actions:
            late += yield from _write_actions(snapshot, [action])
        return late
    return []


def _list_puts(snapshot: Snapshot, action: PlannedAction) -> Iterator[PutOp]:
    # A sum of votes belongs to no step, because there is nothing in it to undo.
    written = action.learnings if action.what == "rolled up" else with_step_id(action.learnings)
    yield from (learning.put() for learning in written)
    yield from (PutOp(learning.namespace, learning.key, None) for learning in action.deleted)
    for key in (*(learning.key for learning in action.deleted), *action.orphans):
        namespace = votes_namespace((snapshot.namespace, key))
        yield from (PutOp(namespace, vote_key, None) for vote_key in snapshot.votes.get(key, ()))


def _split_by_size(actions: Sequence[PlannedAction]) -> Iterator[list[PlannedAction]]:
    """Yield actions in parts of about one batch of writes."""
    part: list[PlannedAction] = []
    for action in actions:
        if part and sum(len(planned.keys) for planned in (*part, action)) > BATCH_SIZE:
            yield part
            part = []
        part.append(action)
    if part:
        yield part


def _read_again(snapshot: Snapshot, keys: Sequence[str]) -> Flow[Snapshot]:
    learnings, versions = dict(snapshot.learnings), dict(snapshot.versions)
    for start in range(0, len(keys), BATCH_SIZE):
        some = keys[start : start + BATCH_SIZE]
        current, current_versions = yield from get_many((snapshot.namespace, key) for key in some)
        for key in some:
            ref = (snapshot.namespace, key)
            versions[key] = current_versions[ref]
            learnings.pop(key, None)
            if ref in current:
                learnings[key] = current[ref]
    return replace(snapshot, learnings=learnings, versions=versions)


def _group_votes(items: Sequence[Item], namespace: Namespace) -> dict[str, dict[str, Vote]]:
    """Return the votes on the learnings of a namespace, by key of the learning and key of the vote."""
    namespace_of_votes = (*namespace[:-1], VOTES, namespace[-1])
    votes: dict[str, dict[str, Vote]] = {}
    for item in items:
        vote = parse_vote(item) if item.namespace[:-1] == namespace_of_votes else None
        if vote:
            votes.setdefault(unescape(item.namespace[-1]), {})[item.key] = vote
    return votes
