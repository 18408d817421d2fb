"""Curation rules: they decide what to do with the learnings of a snapshot, without a store or a model."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from langgraph_learning.core.learning import Learning, Status, Votes, count_sources
from langgraph_learning.core.policy import Mode, Standing
from langgraph_learning.core.records import has_identity
from langgraph_learning.core.scopes import ItemRef, Scope
from langgraph_learning.core.similarity.candidates import group_duplicates
from langgraph_learning.core.similarity.rules import find_difference
from langgraph_learning.curate.snapshot import PlannedAction, Snapshot
from langgraph_learning.stores.base import LearningStore
from langgraph_learning.update.proposals import drop_answered, make_proposals
from langgraph_learning.update.votes import count_votes
from langgraph_learning.update.write_policy import needs_approval

Z_SCORE = 1.96
"""Half the width of a 95 % confidence interval, in standard deviations."""
EVEN_SHARE = 0.5
MIN_VOTERS = 2
"""Number of users who must have voted against a shared learning before it is archived."""

Cluster = tuple[Learning, ...]
"""Learnings that say the same; the first one is to stay."""
TextPair = frozenset[str]


@dataclass(frozen=True)
class Criteria:
    """Facts about the run that the rules judge learnings by."""

    now: datetime
    unused_after: timedelta
    in_context: Collection[ItemRef] = ()
    """All learnings that were ever in an answer's context."""


def is_exempt(store: LearningStore) -> bool:
    """Return True if only votes and expiry apply to a learning store: its learnings are never merged or archived.

    These are verbatim messages, learnings of a thread, and learnings that only people may decide on.
    """
    return store.verbatim or store.scope == Scope.THREAD or store.modes == {Mode.PROPOSE}


def expire(snapshot: Snapshot, criteria: Criteria) -> list[PlannedAction]:
    """Retire learnings that are no longer valid, and delete verbatim messages whose promised time is over."""
    actions = []
    for learning in snapshot.learnings.values():
        if not learning.valid_to or learning.valid_to > criteria.now:
            continue
        if snapshot.store.verbatim and learning.status is not Status.REJECTED:
            actions.append(PlannedAction("removed", f"kept until {learning.valid_to:%Y-%m-%d}", deleted=(learning,)))
        elif not snapshot.store.verbatim and learning.status is Status.ACTIVE and not learning.is_pinned:
            retired = learning.model_copy(update={"status": Status.SUPERSEDED})
            actions.append(PlannedAction("retired", f"valid until {learning.valid_to:%Y-%m-%d}", (retired,)))
    return actions


def recount_votes(snapshot: Snapshot, criteria: Criteria) -> list[PlannedAction]:
    """Correct the sums of votes, and delete votes on learnings that no longer exist."""
    actions = []
    for learning in snapshot.active:
        votes = count_votes(snapshot.votes_on(learning).values())
        if votes != learning.votes:
            corrected = learning.model_copy(update={"votes": votes})
            actions.append(PlannedAction("rolled up", f"{votes.helped} helped, {votes.harmed} harmed", (corrected,)))
    for key in snapshot.votes:
        if key not in snapshot.versions:
            actions.append(PlannedAction("removed", "votes on a deleted learning", orphans=(key,)))
    return actions


def archive_useless(snapshot: Snapshot, criteria: Criteria) -> list[PlannedAction]:
    """Archive learnings that did harm or were never used."""
    if is_exempt(snapshot.store):
        return []
    reasons: dict[str, str] = {}
    if criteria.in_context:  # without any answer on record, nothing is known about use
        reasons |= dict.fromkeys(find_unused(snapshot, criteria), "never used")
    for learning in snapshot.active:
        if harm := describe_harm(snapshot, learning):
            reasons[learning.key] = harm
    return [_archive(snapshot.learnings[key], why) for key, why in reasons.items() if _is_removable(snapshot, key)]


def find_unused(snapshot: Snapshot, criteria: Criteria) -> list[str]:
    """Return the keys of old learnings that were said once and never used; those always in context do not count."""
    if is_exempt(snapshot.store) or snapshot.store.standing is Standing.ALWAYS:
        return []
    return [learning.key for learning in snapshot.active if _is_unused(learning, criteria)]


def describe_harm(snapshot: Snapshot, learning: Learning) -> str | None:
    """Return why a learning does harm, or None if the votes do not prove it.

    The proof is that even the upper bound of its share of helpful votes is worse than chance, and worse than the
    share of the other learnings of the snapshot: where everything goes wrong, no single learning is to blame.
    """
    votes = list(snapshot.votes_on(learning).values())
    opponents = {vote.voter for vote in votes if not vote.helped}
    if not opponents or (len(opponents) < MIN_VOTERS and not learning.scope.private):
        return None
    sums = count_votes(votes)
    if wilson_upper_bound(sums) >= min(EVEN_SHARE, _share_of_others(snapshot, learning)):
        return None
    return f"harmed {sums.harmed} of {sums.helped + sums.harmed} answers"


def wilson_upper_bound(votes: Votes) -> float:
    """Return the upper bound of the share of helpful votes, by Wilson's score interval; 1 without votes."""
    count, z = votes.helped + votes.harmed, Z_SCORE
    if not count:
        return 1.0
    share = votes.helped / count
    spread = z * ((share * (1 - share) + z * z / (4 * count)) / count) ** 0.5
    bound: float = (share + z * z / (2 * count) + spread) / (1 + z * z / count)
    return bound


def find_duplicates(snapshot: Snapshot) -> list[Cluster]:
    """Return clusters of active learnings of one kind that certainly say the same."""
    if is_exempt(snapshot.store):
        return []
    clusters: list[Cluster] = []
    for learnings in group_by_kind(snapshot.active):
        for indices in group_duplicates([learning.text for learning in learnings]):
            clusters.append(tuple(learnings[index] for index in indices))
    return clusters


def group_by_kind(learnings: Iterable[Learning]) -> list[list[Learning]]:
    """Return learnings grouped by kind, in their order."""
    by_kind: dict[str, list[Learning]] = {}
    for learning in learnings:
        by_kind.setdefault(learning.kind, []).append(learning)
    return list(by_kind.values())


def extend_clusters(clusters: Sequence[Cluster], pairs: Iterable[tuple[Learning, Learning]]) -> list[Cluster]:
    """Return the clusters with further pairs that say the same; clusters that share a learning become one."""
    extended = list(clusters)
    for pair in pairs:
        keys = {learning.key for learning in pair}
        touched = [cluster for cluster in extended if keys & _list_keys(cluster)]
        untouched = [cluster for cluster in extended if not keys & _list_keys(cluster)]
        members = {learning.key: learning for cluster in (*touched, pair) for learning in cluster}
        extended = [*untouched, tuple(members.values())]
    return extended


def is_clustered(clusters: Iterable[Cluster], pair: tuple[Learning, Learning]) -> bool:
    """Return True if one of the clusters holds both."""
    return any(_list_keys(pair) <= _list_keys(cluster) for cluster in clusters)


def merge(
    snapshot: Snapshot, cluster: Sequence[Learning], now: datetime, different_texts: Collection[TextPair] = ()
) -> list[PlannedAction]:
    """Merge learnings that say the same into one: one that a person approved, else the best supported.

    Learnings that others are derived from, or that somebody restored after a merge, are not merged away. Two that
    differ for certain, or whose texts are in `different_texts`, are never merged, not even by way of a third.
    """

    def order(learning: Learning) -> tuple[bool, bool, int]:
        return learning.key not in snapshot.keys_in_use, not learning.is_approved, snapshot.ranks[learning.key]

    remaining = sorted(cluster, key=order)
    removable = {learning.key for learning in cluster if _is_removable(snapshot, learning.key)}
    actions = []
    while any(learning.key in removable for learning in remaining[1:]):
        kept, *others = remaining
        duplicates = _select_compatible(
            kept, [learning for learning in others if learning.key in removable], different_texts
        )
        if duplicates:
            superseded = [_supersede(learning, now) for learning in duplicates]
            why = f"{len(duplicates) + 1} learnings say the same"
            actions.append(PlannedAction("merged", why, (_merge_into(snapshot, kept, duplicates), *superseded)))
        merged_keys = _list_keys(duplicates)
        remaining = [learning for learning in others if learning.key not in merged_keys]
    return actions


def settle_contradictions(snapshot: Snapshot, criteria: Criteria) -> list[PlannedAction]:
    """Let the newest learning about a thing supersede the older ones, or propose that to people if they decide."""
    if is_exempt(snapshot.store) or not any(map(has_identity, snapshot.store.kinds.values())):
        return []
    by_subject: dict[str, list[Learning]] = {}
    for learning in sorted(snapshot.active, key=_age, reverse=True):
        record = snapshot.store.kinds.get(learning.kind)
        if record and has_identity(record) and learning.is_valid(criteria.now):
            by_subject.setdefault(snapshot.store.subject(learning), []).append(learning)
    return [
        action for newest, *older in by_subject.values() for action in _settle(snapshot, newest, older, criteria.now)
    ]


def propose_retirements(
    snapshot: Snapshot, contradictions: Iterable[tuple[Learning, Learning]], now: datetime
) -> list[PlannedAction]:
    """Propose to retire the older of each two learnings that contradict each other, if both are still active."""
    active = _list_keys(snapshot.active)
    proposals: dict[str, PlannedAction] = {}
    for pair in contradictions:
        if _list_keys(pair) <= active:
            older, newer = sorted(pair, key=_age)
            for proposal in propose_retirement(snapshot, snapshot.learnings[older.key], newer, now):
                proposals[proposal.learnings[0].key] = proposal
    return list(proposals.values())


def propose_retirement(snapshot: Snapshot, older: Learning, newer: Learning, now: datetime) -> list[PlannedAction]:
    """Return the action that asks a person to retire the older of two learnings; none if that was asked before."""
    if older.is_pinned:
        return []
    sources = tuple(dict.fromkeys((*older.sources, *newer.sources)))
    change = older.model_copy(update={"status": Status.REJECTED, "sources": sources, "quote": newer.text})
    known = {learning.ref: learning for learning in snapshot.learnings.values()}
    proposals = drop_answered(make_proposals([change], {older.ref: older}, now), known)
    why = f"contradicted by: {newer.text}"
    return [PlannedAction("proposed", why, (proposal,), (older.key, newer.key)) for proposal in proposals]


def _settle(snapshot: Snapshot, newest: Learning, older: Sequence[Learning], now: datetime) -> Iterator[PlannedAction]:
    """Yield what settles a contradiction: the newest supersedes the others, or a person is asked."""
    if needs_approval(snapshot.store, newest):
        for learning in older:
            yield from propose_retirement(snapshot, learning, newest, now)
        return
    outdated = [learning for learning in older if not learning.is_pinned]
    if outdated:
        keys = (learning.key for learning in outdated)
        current = newest.model_copy(update={"supersedes": (*newest.supersedes, *keys)})
        superseded = [_supersede(learning, now) for learning in outdated]
        yield PlannedAction("superseded", "a newer learning is about the same", (current, *superseded))


def _share_of_others(snapshot: Snapshot, learning: Learning) -> float:
    """Return the share of helpful votes on all other learnings of the snapshot."""
    own = {learning.key, *learning.merged}
    return count_votes(vote for key, votes in snapshot.votes.items() if key not in own for vote in votes.values()).share


def _age(learning: Learning) -> tuple[datetime, str]:
    return learning.learned_at, learning.key


def _list_keys(learnings: Iterable[Learning]) -> set[str]:
    return {learning.key for learning in learnings}


def _is_unused(learning: Learning, criteria: Criteria) -> bool:
    is_old = learning.learned_at + criteria.unused_after <= criteria.now
    was_said_once = count_sources(learning.sources) <= 1 and not learning.merged
    return is_old and was_said_once and not learning.votes.helped and learning.ref not in criteria.in_context


def _archive(learning: Learning, why: str) -> PlannedAction:
    return PlannedAction("archived", why, (learning.model_copy(update={"status": Status.ARCHIVED}),))


def _supersede(learning: Learning, now: datetime) -> Learning:
    return learning.model_copy(update={"status": Status.SUPERSEDED, "valid_to": now})


def _is_removable(snapshot: Snapshot, key: str) -> bool:
    return not snapshot.learnings[key].is_pinned and key not in snapshot.keys_in_use


def _select_compatible(
    kept: Learning, others: Sequence[Learning], different_texts: Collection[TextPair]
) -> list[Learning]:
    """Return those of the others that differ for certain neither from the learning to keep nor from one another."""
    statements = {_statement_of(kept): kept}
    compatible = []
    for learning in others:
        statement = _statement_of(learning)
        if statement in statements or all(
            _may_merge(learning, chosen, different_texts) for chosen in statements.values()
        ):
            statements.setdefault(statement, learning)
            compatible.append(learning)
    return compatible


def _statement_of(learning: Learning) -> tuple[str, str]:
    return learning.text, _join_fields(learning)


def _may_merge(first: Learning, second: Learning, different_texts: Collection[TextPair]) -> bool:
    """Return True unless the kinds, the texts or the fields of two learnings differ for certain."""
    if first.kind != second.kind or frozenset((first.text, second.text)) in different_texts:
        return False
    if find_difference(first.text, second.text):
        return False
    return find_difference(_join_fields(first), _join_fields(second)) is None


def _join_fields(learning: Learning) -> str:
    return " . ".join(str(value) for _, value in sorted(learning.data.items()) if value not in (None, "", []))


def _merge_into(snapshot: Snapshot, kept: Learning, duplicates: Sequence[Learning]) -> Learning:
    """Return the learning to keep with the sources, votes, links and validity of all."""
    learnings = (kept, *duplicates)
    begins, ends = [learning.valid_from for learning in learnings], [learning.valid_to for learning in learnings]
    keys = [key for learning in duplicates for key in (learning.key, *learning.merged)]
    superseded = [key for learning in duplicates for key in learning.supersedes]
    merged = kept.model_copy(
        update={
            "sources": tuple(dict.fromkeys(source for learning in learnings for source in learning.sources)),
            "supersedes": tuple(dict.fromkeys((*kept.supersedes, *keys, *superseded))),
            "merged": tuple(dict.fromkeys((*kept.merged, *keys))),
            "derived_from": tuple(dict.fromkeys(key for learning in learnings for key in learning.derived_from)),
            # Valid whenever one of them was: None, no limit, is wider than any limit.
            "valid_from": None if None in begins else min(begin for begin in begins if begin),
            "valid_to": None if None in ends else max(end for end in ends if end),
        }
    )
    return merged.model_copy(update={"votes": count_votes(snapshot.votes_on(merged).values())})
