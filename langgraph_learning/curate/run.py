"""Tidying up what was learnt: what says the same is merged, what did harm or was never used put away, votes summed up.

Nothing that waits for a person, or was refused by one, is touched. All but what had only to be kept for a time can be
taken back.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from time import monotonic
from typing import NamedTuple

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langgraph.store.base import ListNamespacesOp, MatchCondition, Result, SearchItem, SearchOp

from langgraph_learning.core.flow import Flow, batch, every, together
from langgraph_learning.core.learning import Learning, Status
from langgraph_learning.core.scopes import ROOT, Namespace, Place, Scope, escape
from langgraph_learning.curate import rules
from langgraph_learning.curate.judge import AT_ONCE, MOST_CALLS, Judge, Opinion, Pair
from langgraph_learning.curate.report import Action, LookAlike, Report, action_of
from langgraph_learning.curate.rules import Cluster, Terms
from langgraph_learning.curate.similarity.candidates import find_similar_pairs
from langgraph_learning.curate.similarity.rules import find_difference
from langgraph_learning.curate.snapshot import Group, Shelf, shelve, write
from langgraph_learning.errors import Misconfigured
from langgraph_learning.stores.base import LearningStore
from langgraph_learning.update.votes import SHOWN

PAGE = 1_000
UNUSED_AFTER = timedelta(days=180)
DEPTH = 5
"""How many labels the name of a place has."""
LEFT = 50
"""How many look-alikes of one namespace a report names."""
LEFT_IN_ALL = 1_000
ALIKE = 0.6
"""How much of their words look-alikes have in common that a report names."""
AT_A_TIME = 100
"""How many searches go to the store together."""
NEIGHBOURS = 5
"""How many learnings the store is asked for that are nearest to one, for a model to compare."""

Progress = Callable[[int, int], None]
Opinions = list[tuple[Pair, Opinion]]
Phase = Callable[[Shelf, Terms], list[Group]]
FIRST: tuple[Phase, ...] = (rules.expired, rules.counted, rules.useless)
"""What is done before statements are compared."""


@dataclass(frozen=True)
class Orders:
    """What a run is to do."""

    tenant: str = "default"
    dry_run: bool = False
    ask: BaseChatModel | str | None = None
    """Who is asked whether look-alikes say the same."""
    most_calls: int = MOST_CALLS
    unused_after: timedelta = UNUSED_AFTER
    progress: Progress | None = None

    def __post_init__(self) -> None:
        """Raise `Misconfigured` for what cannot be meant."""
        if self.unused_after <= timedelta():
            raise Misconfigured(f"`unused_after` is a time such as timedelta(days=180), not {self.unused_after}.")
        if not self.tenant.strip():
            raise Misconfigured("Say which tenant to curate: its id is empty.")
        if self.most_calls < 1:
            raise Misconfigured(f"`most_calls` is 1 or more, not {self.most_calls}: to ask no model, leave `ask` out.")

    def judge(self) -> Judge | None:
        """Return who judges look-alikes, if a model is to be asked. Raises `Misconfigured` if it cannot be."""
        model = init_chat_model(self.ask) if isinstance(self.ask, str) else self.ask
        return Judge.of(model, self.most_calls) if model else None


class Alike(NamedTuple):
    """Two learnings that are alike in their words."""

    one: Learning
    other: Learning
    likeness: float
    differ_in: str | None


@dataclass
class Notes:
    """What is noted while a run goes on."""

    judge: Judge | None
    actions: list[Action] = field(default_factory=list)
    look_alikes: list[LookAlike] = field(default_factory=list)
    learnings: int = 0
    shown: frozenset[Place] | None = None
    """All that was ever in an answer's context; read when it is first needed."""


def curate(stores: Sequence[LearningStore], orders: Orders) -> Flow[Report]:
    """Tidy up all that a tenant's users, teams and agents have learnt in these learning stores."""
    began, notes = monotonic(), Notes(orders.judge())
    by_name = {store.name: store for store in stores}
    places = yield from _places(stores, orders.tenant)
    terms = Terms(datetime.now(UTC), orders.unused_after)
    done = 0
    for folder, own in groupby(places, key=lambda place: place[:-1]):
        for shelf in (yield from shelve(by_name, folder, [place[-1] for place in own])):
            yield from _tidied(shelf, terms, orders, notes)
            done += 1
            if orders.progress:
                orders.progress(done, len(places))
    return Report(
        dry_run=orders.dry_run,
        learnings=notes.learnings,
        namespaces=len(places),
        actions=tuple(notes.actions),
        look_alikes=tuple(notes.look_alikes),
        model_calls=notes.judge.calls if notes.judge else 0,
        unread=notes.judge.unread if notes.judge else 0,
        seconds=monotonic() - began,
    )


def _places(stores: Sequence[LearningStore], tenant: str) -> Flow[list[Namespace]]:
    """Return the namespaces of these learning stores, sorted, so that those of one owner follow one another."""
    found: set[Namespace] = set()
    # What a thread keeps is its own history; only where it has an end is there something to do.
    for store in (store for store in stores if store.scope != Scope.THREAD or store.keep):
        found |= set((yield from _all_under((ROOT, escape(tenant)), store.name)))
    return sorted(found)


def _all_under(prefix: Namespace, last: str) -> Flow[list[Namespace]]:
    ends = (MatchCondition("prefix", prefix), MatchCondition("suffix", (last,)))
    found: list[Namespace] = []
    while True:
        (page,) = yield from batch(ListNamespacesOp(ends, limit=PAGE, offset=len(found)))
        listed = [place for place in page if isinstance(place, tuple)] if isinstance(page, list) else []
        found += listed
        if len(listed) < PAGE:
            return [place for place in found if len(place) == DEPTH]


def _shown(tenant: str) -> Flow[frozenset[Place]]:
    """Return all that was ever in an answer's context."""
    threads = yield from _all_under((ROOT, escape(tenant), escape(Scope.THREAD.name)), SHOWN)
    found: set[Place] = set()
    for start in range(0, len(threads), AT_A_TIME):
        threads_shown = yield from together(every(place) for place in threads[start : start + AT_A_TIME])
        items = [item for thread in threads_shown for item in thread]
        found |= {(tuple(namespace), key) for item in items for namespace, key in item.value["learnings"]}
    return frozenset(found)


def _tidied(shelf: Shelf, terms: Terms, orders: Orders, notes: Notes) -> Flow[None]:
    """Tidy one shelf, phase by phase: each sees what the one before it left."""
    notes.learnings += len(shelf.found)
    if notes.shown is None and rules.idle(shelf, terms):
        notes.shown = yield from _shown(orders.tenant)
    terms = replace(terms, shown=notes.shown or frozenset())
    for phase in FIRST:
        shelf = yield from _done(shelf, phase(shelf, terms), orders, notes)
    if rules.untouched(shelf.store):
        return
    same = rules.same(shelf)
    opinions, same = (yield from _asked(shelf, notes.judge, same)) if notes.judge else ([], same)
    apart = {frozenset((one.text, other.text)) for (one, other), opinion in opinions if opinion != "same"}
    merges = [group for cluster in same for group in rules.merged(shelf, cluster, terms.now, apart)]
    shelf = yield from _done(shelf, merges, orders, notes)
    shelf = yield from _done(shelf, rules.contradictions(shelf, terms), orders, notes)
    disputes = rules.disputes(shelf, [pair for pair, opinion in opinions if opinion == "contradiction"], terms.now)
    shelf = yield from _done(shelf, disputes, orders, notes)
    if len(notes.look_alikes) < LEFT_IN_ALL:
        notes.look_alikes += _left(shelf)


def _done(shelf: Shelf, groups: Sequence[Group], orders: Orders, notes: Notes) -> Flow[Shelf]:
    """Do what was decided, or only note it; return the shelf as it then is."""
    late: list[Group] = []
    if orders.dry_run:
        shelf = shelf.after(groups)
    elif groups:
        shelf, late = yield from write(shelf, groups)
    notes.actions += [action_of(group, shelf.namespace, late=group in late) for group in groups]
    return shelf


def _asked(shelf: Shelf, judge: Judge, same: Sequence[Cluster]) -> Flow[tuple[Opinions, list[Cluster]]]:
    """Ask about what is alike, but not about what is the same already; return the opinions, and what says the same."""
    again = {one.key for _, *others in same for one in others}
    alike = [pair for pair in _alike(shelf, again) if pair.differ_in != "name"]
    pairs = [(pair.one, pair.other) for pair in sorted(alike, key=lambda pair: pair.differ_in is not None)]
    if len(pairs) < judge.left:
        pairs += yield from _near(shelf, pairs, again)
    found: Opinions = []
    clusters = list(same)
    while pairs and not judge.tired:
        answers = yield from judge.opinions(pairs[:AT_ONCE])
        found += answers
        clusters = rules.clusters(clusters, [pair for pair, opinion in answers if opinion == "same"])
        pairs = [pair for pair in pairs[AT_ONCE:] if not rules.together(clusters, pair)]
    return found, clusters


def _alike(shelf: Shelf, without: Collection[str] = ()) -> list[Alike]:
    """Return the pairs on a shelf that are alike in their words, the most alike first."""
    found = []
    compared = sorted((one for one in shelf.active if one.key not in without), key=lambda one: one.kind)
    for _, of_kind in groupby(compared, key=lambda one: one.kind):
        learnings = list(of_kind)
        for one, other, likeness in find_similar_pairs([learning.text for learning in learnings]):
            pair = (learnings[one], learnings[other])
            found.append(Alike(*pair, likeness, find_difference(pair[0].text, pair[1].text)))
    return sorted(found, key=lambda pair: -pair.likeness)


def _near(shelf: Shelf, known: Sequence[Pair], without: Collection[str]) -> Flow[list[Pair]]:
    """Return pairs of which either is near to the other for the store's own search, beside those that are known."""
    active = [one for one in shelf.active if one.key not in without]
    near: dict[str, set[str]] = {}
    for start in range(0, len(active), AT_A_TIME):
        some = active[start : start + AT_A_TIME]
        near |= yield from _neighbours(shelf, some)
    seen = {frozenset((one.key, other.key)) for one, other in known}
    mutual = {frozenset((key, other)) for key in near for other in near[key] if key in near.get(other, ())} - seen
    pairs = (sorted(pair) for pair in mutual)
    found = [(shelf.found[one], shelf.found[other]) for one, other in sorted(pairs)]
    return [
        pair for pair in found if pair[0].kind == pair[1].kind and find_difference(pair[0].text, pair[1].text) != "name"
    ]


def _neighbours(shelf: Shelf, learnings: Sequence[Learning]) -> Flow[dict[str, set[str]]]:
    """Return the keys of what the store's own search finds near to each of some learnings, by key."""
    wanted = {"status": Status.ACTIVE.value}
    searches = (SearchOp(shelf.namespace, wanted, limit=NEIGHBOURS + 1, query=one.text) for one in learnings)
    results = yield from batch(*searches)
    return {one.key: _scored(items) - {one.key} for one, items in zip(learnings, results, strict=True)}


def _scored(items: Result) -> set[str]:
    """Return the keys of what was found by a score: a store that cannot search returns just anything, without one."""
    found = [item for item in items if isinstance(item, SearchItem)] if isinstance(items, list) else []
    return {item.key for item in found if item.score is not None}


def _left(shelf: Shelf) -> list[LookAlike]:
    """Return what is much alike and still there: first what words alone do not tell apart."""
    pairs = sorted(
        (pair for pair in _alike(shelf) if pair.likeness >= ALIKE), key=lambda pair: pair.differ_in is not None
    )
    return [
        LookAlike(
            namespace=shelf.namespace,
            kind=one.kind,
            keys=(one.key, other.key),
            texts=(one.text, other.text),
            likeness=round(likeness, 2),
            differ_in=differ_in,
        )
        for one, other, likeness, differ_in in pairs[:LEFT]
    ]
