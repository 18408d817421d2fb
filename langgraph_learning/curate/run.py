"""Curation run: applies the rules, and asks the judge, namespace by namespace of a tenant."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from time import monotonic
from typing import NamedTuple

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langgraph.store.base import ListNamespacesOp, MatchCondition, Result, SearchItem, SearchOp

from langgraph_learning.core.checks import check_count
from langgraph_learning.core.flow import Flow, batch, gather, search_all
from langgraph_learning.core.keys import SHOWN
from langgraph_learning.core.learning import Learning, Status
from langgraph_learning.core.scopes import ROOT, ItemRef, Namespace, Scope, escape
from langgraph_learning.core.similarity.candidates import find_similar_pairs
from langgraph_learning.core.similarity.rules import find_difference
from langgraph_learning.curate import rules
from langgraph_learning.curate.judge import MOST_CALLS, PAIRS_PER_CALL, Judge, Judgement, Pair
from langgraph_learning.curate.report import Action, LookAlike, Report, report_action
from langgraph_learning.curate.rules import Cluster, Criteria
from langgraph_learning.curate.snapshot import PlannedAction, Snapshot, apply_actions, read_snapshots
from langgraph_learning.errors import Misconfigured
from langgraph_learning.stores.base import LearningStore

NAMESPACE_PAGE = 1_000
NAMESPACE_DEPTH = 5
"""Number of labels of a learning's namespace."""
UNUSED_AFTER = timedelta(days=180)
LOOK_ALIKES_PER_NAMESPACE = 50
LOOK_ALIKES_PER_REPORT = 1_000
REPORTED_LIKENESS = 0.6
"""The least share of common words of the similar pairs that a report lists."""
SEARCHES_PER_BATCH = 100
NEIGHBOURS = 5
"""Number of nearest learnings that are searched per learning, as pairs for the model to compare."""

OnProgress = Callable[[int, int], None]
"""Called with the number of namespaces done and their total number."""
Judgements = list[tuple[Pair, Judgement]]
Rule = Callable[[Snapshot, Criteria], list[PlannedAction]]
FIRST_RULES: tuple[Rule, ...] = (rules.expire, rules.recount_votes, rules.archive_useless)
"""The rules applied before statements are compared."""


@dataclass(frozen=True)
class CurationSettings:
    """Options of a curation run."""

    tenant: str = "default"
    dry_run: bool = False
    ask: BaseChatModel | str | None = None
    """The model, or its name, that judges whether similar statements say the same; None: no model is asked."""
    most_calls: int = MOST_CALLS
    unused_after: timedelta = UNUSED_AFTER
    progress: OnProgress | None = None

    def __post_init__(self) -> None:
        """Raise `Misconfigured` for an empty tenant or a limit that is not positive."""
        if not isinstance(self.unused_after, timedelta) or self.unused_after <= timedelta():
            raise Misconfigured(
                f"`unused_after` must be positive, such as timedelta(days=180), not {self.unused_after!r}."
            )
        if not self.tenant.strip():
            raise Misconfigured("The tenant id is empty: name the tenant to curate.")
        check_count("most_calls (to ask no model, omit `ask`)", self.most_calls, 1)

    def make_judge(self) -> Judge | None:
        """Return the judge to ask, if a model was given. Raises `Misconfigured` if the model cannot be asked."""
        model = init_chat_model(self.ask) if isinstance(self.ask, str) else self.ask
        return Judge.of(model, self.most_calls) if model else None


class SimilarPair(NamedTuple):
    """Two learnings of one kind with words in common."""

    first: Learning
    second: Learning
    likeness: float
    """The share of their words that they have in common, from 0 to 1."""
    differ_in: str | None
    """Why they cannot say the same, as `find_difference` says."""


@dataclass
class RunRecord:
    """Everything that a run has read and done so far."""

    judge: Judge | None
    actions: list[Action] = field(default_factory=list)
    look_alikes: list[LookAlike] = field(default_factory=list)
    learnings: int = 0
    in_context: frozenset[ItemRef] | None = None
    """All learnings that were ever in an answer's context; None before a rule needs to know."""


def curate(stores: Sequence[LearningStore], settings: CurationSettings) -> Flow[Report]:
    """Curate everything that a tenant's users, teams and agents have learnt in these learning stores."""
    started, record = monotonic(), RunRecord(settings.make_judge())
    by_name = {store.name: store for store in stores}
    namespaces = yield from list_namespaces(stores, settings.tenant)
    criteria = Criteria(datetime.now(UTC), settings.unused_after)
    done = 0
    for owner_namespace, group in groupby(namespaces, key=lambda namespace: namespace[:-1]):
        names = [namespace[-1] for namespace in group]
        for snapshot in (yield from read_snapshots(by_name, owner_namespace, names)):
            yield from _curate_snapshot(snapshot, criteria, settings, record)
            done += 1
            if settings.progress:
                settings.progress(done, len(namespaces))
    return Report(
        dry_run=settings.dry_run,
        learnings=record.learnings,
        namespaces=len(namespaces),
        actions=tuple(record.actions),
        look_alikes=tuple(record.look_alikes),
        model_calls=record.judge.calls if record.judge else 0,
        unread=record.judge.unread if record.judge else 0,
        seconds=monotonic() - started,
    )


def list_namespaces(stores: Sequence[LearningStore], tenant: str) -> Flow[list[Namespace]]:
    """Return the namespaces of these learning stores, sorted, so that those of one owner follow one another."""
    namespaces: set[Namespace] = set()
    for store in stores:
        # A thread's learnings are its own history: there is something to do only where they expire.
        if store.scope != Scope.THREAD or store.keep:
            namespaces |= set((yield from _list_namespaces_below((ROOT, escape(tenant)), store.name)))
    return sorted(namespaces)


def _list_namespaces_below(prefix: Namespace, name: str) -> Flow[list[Namespace]]:
    """Return the namespaces of a learning's depth that begin with a prefix and end with a name, page by page."""
    conditions = (MatchCondition("prefix", prefix), MatchCondition("suffix", (name,)))
    namespaces: list[Namespace] = []
    while True:
        op = ListNamespacesOp(conditions, limit=NAMESPACE_PAGE, offset=len(namespaces))
        (result,) = yield from batch(op)
        page = [entry for entry in result if isinstance(entry, tuple)] if isinstance(result, list) else []
        namespaces += page
        if len(page) < NAMESPACE_PAGE:
            return [namespace for namespace in namespaces if len(namespace) == NAMESPACE_DEPTH]


def _read_in_context(tenant: str) -> Flow[frozenset[ItemRef]]:
    """Return all learnings that were ever in an answer's context."""
    threads = yield from _list_namespaces_below((ROOT, escape(tenant), escape(Scope.THREAD.name)), SHOWN)
    in_context: set[ItemRef] = set()
    for start in range(0, len(threads), SEARCHES_PER_BATCH):
        some = threads[start : start + SEARCHES_PER_BATCH]
        for answers in (yield from gather(search_all(namespace) for namespace in some)):
            for answer in answers:
                in_context |= {(tuple(namespace), key) for namespace, key in answer.value["learnings"]}
    return frozenset(in_context)


def _curate_snapshot(
    snapshot: Snapshot, criteria: Criteria, settings: CurationSettings, record: RunRecord
) -> Flow[None]:
    """Apply the rules to one snapshot, one after the other: each sees what the one before it left."""
    record.learnings += len(snapshot.learnings)
    if record.in_context is None and rules.find_unused(snapshot, criteria):
        record.in_context = yield from _read_in_context(settings.tenant)
    criteria = replace(criteria, in_context=record.in_context or frozenset())
    for rule in FIRST_RULES:
        snapshot = yield from _apply(snapshot, rule(snapshot, criteria), settings, record)
    if rules.is_exempt(snapshot.store):
        return
    clusters, judgements = rules.find_duplicates(snapshot), Judgements()
    if record.judge:
        judgements, clusters = yield from _ask_judge(snapshot, record.judge, clusters)
    different = {frozenset((a.text, b.text)) for (a, b), judgement in judgements if judgement != "same"}
    merges = [action for cluster in clusters for action in rules.merge(snapshot, cluster, criteria.now, different)]
    snapshot = yield from _apply(snapshot, merges, settings, record)
    snapshot = yield from _apply(snapshot, rules.settle_contradictions(snapshot, criteria), settings, record)
    contradictions = [pair for pair, judgement in judgements if judgement == "contradiction"]
    proposals = rules.propose_retirements(snapshot, contradictions, criteria.now)
    snapshot = yield from _apply(snapshot, proposals, settings, record)
    if len(record.look_alikes) < LOOK_ALIKES_PER_REPORT:
        record.look_alikes += _list_look_alikes(snapshot)


def _apply(
    snapshot: Snapshot, actions: Sequence[PlannedAction], settings: CurationSettings, record: RunRecord
) -> Flow[Snapshot]:
    """Write actions, or only record them in a dry run; return the snapshot after them."""
    late: list[PlannedAction] = []
    if settings.dry_run:
        snapshot = snapshot.after(actions)
    elif actions:
        snapshot, late = yield from apply_actions(snapshot, actions)
    record.actions += [report_action(action, snapshot.namespace, late=action in late) for action in actions]
    return snapshot


def _ask_judge(
    snapshot: Snapshot, judge: Judge, duplicates: Sequence[Cluster]
) -> Flow[tuple[Judgements, list[Cluster]]]:
    """Ask about similar pairs that are not duplicates already; return the judgements and all clusters of duplicates."""
    skip = {learning.key for _, *others in duplicates for learning in others}
    similar = [pair for pair in _find_similar_learnings(snapshot, skip) if pair.differ_in != "name"]
    similar.sort(key=lambda pair: pair.differ_in is not None)  # first those that no rule tells apart
    pairs: list[Pair] = [(pair.first, pair.second) for pair in similar]
    if len(pairs) < judge.remaining_pairs:
        pairs += yield from _find_mutual_neighbours(snapshot, pairs, skip)
    judgements: Judgements = []
    clusters = list(duplicates)
    while pairs and not judge.is_exhausted:
        answers = yield from judge.compare(pairs[:PAIRS_PER_CALL])
        judgements += answers
        clusters = rules.extend_clusters(clusters, [pair for pair, judgement in answers if judgement == "same"])
        pairs = [pair for pair in pairs[PAIRS_PER_CALL:] if not rules.is_clustered(clusters, pair)]
    return judgements, clusters


def _find_similar_learnings(snapshot: Snapshot, skip: Collection[str] = ()) -> list[SimilarPair]:
    """Return the pairs of active learnings with words in common, the most similar first.

    skip: keys of learnings that are not compared.
    """
    compared = [learning for learning in snapshot.active if learning.key not in skip]
    pairs = []
    for learnings in rules.group_by_kind(sorted(compared, key=lambda learning: learning.kind)):
        for first, second, similarity in find_similar_pairs([learning.text for learning in learnings]):
            a, b = learnings[first], learnings[second]
            pairs.append(SimilarPair(a, b, similarity, find_difference(a.text, b.text)))
    return sorted(pairs, key=lambda pair: -pair.likeness)


def _find_mutual_neighbours(snapshot: Snapshot, known: Sequence[Pair], skip: Collection[str]) -> Flow[list[Pair]]:
    """Return pairs that are not known yet of which each is near to the other for the store's own search."""
    learnings = [learning for learning in snapshot.active if learning.key not in skip]
    neighbours: dict[str, set[str]] = {}
    for start in range(0, len(learnings), SEARCHES_PER_BATCH):
        neighbours |= yield from _search_neighbours(snapshot, learnings[start : start + SEARCHES_PER_BATCH])
    mutual = {
        (key, neighbour)
        for key in neighbours
        for neighbour in neighbours[key]
        if key < neighbour and key in neighbours.get(neighbour, ())
    }
    mutual -= {(min(first.key, second.key), max(first.key, second.key)) for first, second in known}
    pairs = []
    for key, neighbour in sorted(mutual):
        first, second = snapshot.learnings[key], snapshot.learnings[neighbour]
        if first.kind == second.kind and find_difference(first.text, second.text) != "name":
            pairs.append((first, second))
    return pairs


def _search_neighbours(snapshot: Snapshot, learnings: Sequence[Learning]) -> Flow[dict[str, set[str]]]:
    """Return the keys of the nearest learnings that the store's own search finds for each learning, by its key."""
    active = {"status": Status.ACTIVE.value}
    ops = (SearchOp(snapshot.namespace, active, limit=NEIGHBOURS + 1, query=learning.text) for learning in learnings)
    results = yield from batch(*ops)
    return {
        learning.key: _list_keys_with_score(result) - {learning.key}
        for learning, result in zip(learnings, results, strict=True)
    }


def _list_keys_with_score(result: Result) -> set[str]:
    """Return the keys that were found with a score. A store that cannot search returns any items, without scores."""
    items = result if isinstance(result, list) else []
    return {item.key for item in items if isinstance(item, SearchItem) and item.score is not None}


def _list_look_alikes(snapshot: Snapshot) -> list[LookAlike]:
    """Return the most similar pairs that are still active, first those that no rule tells apart."""
    similar = [pair for pair in _find_similar_learnings(snapshot) if pair.likeness >= REPORTED_LIKENESS]
    similar.sort(key=lambda pair: pair.differ_in is not None)
    return [
        LookAlike(
            namespace=snapshot.namespace,
            kind=pair.first.kind,
            keys=(pair.first.key, pair.second.key),
            texts=(pair.first.text, pair.second.text),
            likeness=round(pair.likeness, 2),
            differ_in=pair.differ_in,
        )
        for pair in similar[:LOOK_ALIKES_PER_NAMESPACE]
    ]
