"""What there is to tidy on a shelf: decided from what was read, without a store or a model."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from langgraph_learning.core.learning import Learning, Source, Status, Votes
from langgraph_learning.core.policy import Mode
from langgraph_learning.core.records import has_identity
from langgraph_learning.core.scopes import Place, Scope
from langgraph_learning.curate.similarity.candidates import group_duplicates
from langgraph_learning.curate.similarity.rules import find_difference
from langgraph_learning.curate.snapshot import Group, Shelf
from langgraph_learning.stores.base import LearningStore
from langgraph_learning.update.proposals import proposed, unanswered
from langgraph_learning.update.votes import total
from langgraph_learning.update.write_policy import waits

CERTAINTY = 1.96
"""How far the bound of a share is from the share, in standard deviations: 19 of 20 shares lie within."""
EVEN = 0.5
VOTERS = 2
"""How many different users must have voted against something shared before it is put away."""

Cluster = tuple[Learning, ...]
Texts = frozenset[str]
"""The texts of two learnings."""


@dataclass(frozen=True)
class Terms:
    """By what a run tidies."""

    now: datetime
    unused_after: timedelta
    shown: Collection[Place] = ()
    """All that was ever in an answer's context."""


def expired(shelf: Shelf, terms: Terms) -> list[Group]:
    """Retire what no longer holds; what was kept word for word is removed, for its time is what was promised."""
    over = [one for one in shelf.found.values() if one.valid_to and one.valid_to <= terms.now]
    if shelf.store.raw:
        gone = [one for one in over if one.status is not Status.REJECTED]
        return [Group("removed", f"kept until {one.valid_to:%Y-%m-%d}", erased=(one,)) for one in gone]
    ended = [one for one in over if one.status is Status.ACTIVE and not one.kept]
    changes = {"status": Status.SUPERSEDED}
    return [
        Group("retired", f"valid until {one.valid_to:%Y-%m-%d}", (one.model_copy(update=changes),)) for one in ended
    ]


def counted(shelf: Shelf, terms: Terms) -> list[Group]:
    """Take the sums of votes anew, and remove the votes on what is gone."""
    now = [(one, total(shelf.voices(one).values())) for one in shelf.active]
    sums = [one.model_copy(update={"votes": votes}) for one, votes in now if votes != one.votes]
    gone = [key for key in shelf.votes if key not in shelf.versions]
    return [
        *(Group("rolled up", f"{one.votes.helped} helped, {one.votes.harmed} harmed", (one,)) for one in sums),
        *(Group("removed", "votes on what is gone", orphans=(key,)) for key in gone),
    ]


def useless(shelf: Shelf, terms: Terms) -> list[Group]:
    """Put away what did harm, and what nobody ever needed."""
    if untouched(shelf.store):
        return []
    # Where no answer was ever noted, nobody knows what was used.
    unused = dict.fromkeys(idle(shelf, terms) if terms.shown else (), "never used")
    harm = {one.key: why for one in shelf.active if (why := harmful(shelf, one))}
    return [_archived(shelf.found[key], why) for key, why in {**unused, **harm}.items() if _free(shelf, key)]


def idle(shelf: Shelf, terms: Terms) -> list[str]:
    """Return the keys of what nobody ever needed, as far as is known; what is always shown is never idle."""
    if untouched(shelf.store) or shelf.store.stable:
        return []
    return [one.key for one in shelf.active if _unused(one, terms)]


def same(shelf: Shelf) -> list[Cluster]:
    """Return clusters of what says the same beyond doubt, the first of each being the one to stay."""
    if untouched(shelf.store):
        return []
    kinds: dict[str, list[Learning]] = {}
    for one in shelf.active:
        kinds.setdefault(one.kind, []).append(one)
    found = (
        (of_kind, group) for of_kind in kinds.values() for group in group_duplicates([one.text for one in of_kind])
    )
    return [tuple(of_kind[nth] for nth in group) for of_kind, group in found]


def contradictions(shelf: Shelf, terms: Terms) -> list[Group]:
    """Let the newer of two that are about the same take the older one's place; ask a person where a person decides."""
    if untouched(shelf.store) or not any(map(has_identity, shelf.store.kinds.values())):
        return []
    about: dict[str, list[Learning]] = {}
    for one in sorted((one for one in shelf.active if one.valid(terms.now)), key=_age, reverse=True):
        if (record := shelf.store.kinds.get(one.kind)) and has_identity(record):
            about.setdefault(shelf.store.about(one), []).append(one)
    return [group for newest, *older in about.values() for group in _settled(shelf, newest, older, terms.now)]


def merged(shelf: Shelf, cluster: Sequence[Learning], now: datetime, apart: Collection[Texts] = ()) -> list[Group]:
    """Return what makes one of learnings that say the same: what a person approved stays, else the best supported.

    What other learnings rest on stays as it is, and so does what somebody wants left alone. No two that differ for
    certain are merged, whoever says so, nor two texts that are said to be `apart`; each stays with others like it.
    """
    left = sorted(cluster, key=lambda one: (one.key not in shelf.rested_on, not one.let_in, shelf.places[one.key]))
    free = {one.key for one in cluster if _free(shelf, one.key)}
    found = []
    while any(one.key in free for one in left[1:]):
        stays, *others = left
        gone = _like(stays, [one for one in others if one.key in free], apart)
        ended = [one.model_copy(update={"status": Status.SUPERSEDED, "valid_to": now}) for one in gone]
        if gone:
            found.append(Group("merged", f"{len(gone) + 1} that say the same", (_joined(shelf, stays, gone), *ended)))
        taken = {one.key for one in gone}
        left = [one for one in others if one.key not in taken]
    return found


def asked_to_retire(shelf: Shelf, older: Learning, newer: Learning, now: datetime) -> list[Group]:
    """Return the group that asks a person to retire the older of two that contradict each other."""
    if older.kept:
        return []
    sources = (*older.sources, *(source for source in newer.sources if source not in older.sources))
    changes = {"status": Status.REJECTED, "sources": sources, "quote": newer.text}
    wish = older.model_copy(update=changes)
    made = unanswered(proposed([wish], {older.place: older}, now), {one.place: one for one in shelf.found.values()})
    return [Group("proposed", f"contradicted by: {newer.text}", (one,), (older.key, newer.key)) for one in made]


def clusters(known: Sequence[Cluster], same: Iterable[tuple[Learning, Learning]]) -> list[Cluster]:
    """Return clusters of what is said to be the same, with some pairs more."""
    found = list(known)
    for pair in same:
        met = [cluster for cluster in found if any(one.key in map(_key, cluster) for one in pair)]
        members = {one.key: one for cluster in (*met, pair) for one in cluster}
        apart = [cluster for cluster in found if all(cluster is not one for one in met)]
        found = [*apart, tuple(members.values())]
    return found


def together(known: Iterable[Cluster], pair: tuple[Learning, Learning]) -> bool:
    """Whether one of the clusters holds both."""
    return any({one.key for one in pair} <= set(map(_key, cluster)) for cluster in known)


def disputes(shelf: Shelf, pairs: Iterable[tuple[Learning, Learning]], now: datetime) -> list[Group]:
    """Return what asks a person to retire the older of two that contradict each other, where both still count."""
    active = {one.key for one in shelf.active}
    counting = [sorted(pair, key=_age) for pair in pairs if {one.key for one in pair} <= active]
    found = [g for older, newer in counting for g in asked_to_retire(shelf, shelf.found[older.key], newer, now)]
    return list({group.learnings[0].key: group for group in found}.values())


def harmful(shelf: Shelf, one: Learning) -> str | None:
    """Return why a learning does harm, if enough votes say so: even the best that they allow is worse than chance."""
    voices = list(shelf.voices(one).values())
    votes = total(voices)
    against = {vote.voter for vote in voices if not vote.helped}
    if not against or (len(against) < VOTERS and not one.scope.private):
        return None
    if best_share(votes) >= min(EVEN, _share_of_others(shelf, one)):
        return None
    return f"harmed {votes.harmed} of {votes.helped + votes.harmed} answers"


def best_share(votes: Votes) -> float:
    """Return the upper bound of the share of answers that it helps, by Wilson's interval; 1 without votes."""
    cast, z = votes.helped + votes.harmed, CERTAINTY
    if not cast:
        return 1.0
    share = votes.helped / cast
    spread = z * ((share * (1 - share) + z * z / (4 * cast)) / cast) ** 0.5
    bound: float = (share + z * z / (2 * cast) + spread) / (1 + z * z / cast)
    return bound


def untouched(store: LearningStore) -> bool:
    """Whether only votes and time pass over it: words as they were said, a thread's own, what only persons decide."""
    return store.raw or store.scope == Scope.THREAD or store.modes == {Mode.PROPOSE}


def _share_of_others(shelf: Shelf, one: Learning) -> float:
    """Return the share of helpful votes on everything else on the shelf: where all goes wrong, nobody knows why."""
    own = {one.key, *one.merged}
    return total(vote for key, cast in shelf.votes.items() if key not in own for vote in cast.values()).share


def _age(one: Learning) -> tuple[datetime, str]:
    return one.learned_at, one.key


def _key(one: Learning) -> str:
    return one.key


def _unused(one: Learning, terms: Terms) -> bool:
    old = one.learned_at + terms.unused_after <= terms.now
    said_once = len(one.sources) <= 1 and not one.merged
    return old and said_once and not one.votes.helped and one.place not in terms.shown


def _archived(one: Learning, why: str) -> Group:
    return Group("archived", why, (one.model_copy(update={"status": Status.ARCHIVED}),))


def _free(shelf: Shelf, key: str) -> bool:
    return not shelf.found[key].kept and key not in shelf.rested_on


def _like(stays: Learning, others: Sequence[Learning], apart: Collection[Texts]) -> list[Learning]:
    """Return those of the others that differ for certain neither from the one that stays nor from one another."""
    said, found = {_statement(stays): stays}, []
    for one in others:
        if _statement(one) in said or all(_agree(one, other, apart) for other in said.values()):
            said.setdefault(_statement(one), one)
            found.append(one)
    return found


def _statement(one: Learning) -> tuple[str, str]:
    return one.text, _values(one)


def _agree(one: Learning, other: Learning, apart: Collection[Texts]) -> bool:
    """Whether nothing in the words of two learnings, or in their fields, tells them apart for certain."""
    if one.kind != other.kind or frozenset((one.text, other.text)) in apart:
        return False
    return not (find_difference(one.text, other.text) or find_difference(_values(one), _values(other)))


def _values(one: Learning) -> str:
    return " . ".join(str(value) for _, value in sorted(one.data.items()) if value not in (None, "", []))


def _joined(shelf: Shelf, stays: Learning, gone: Sequence[Learning]) -> Learning:
    """Return the learning that stays, with all that the others rest on."""
    both = (stays, *gone)
    begins, ends = [one.valid_from for one in both], [one.valid_to for one in both]
    keys = dict.fromkeys(key for one in gone for key in (one.key, *one.merged))
    joined = stays.model_copy(
        update={
            "sources": _sources(both),
            "supersedes": tuple(
                dict.fromkeys((*stays.supersedes, *keys, *(k for one in gone for k in one.supersedes)))
            ),
            "merged": tuple(dict.fromkeys((*stays.merged, *keys))),
            "derived_from": tuple(dict.fromkeys(key for one in both for key in one.derived_from)),
            # It holds whenever one of them did: what has no beginning has none, and what has no end has none.
            "valid_from": None if None in begins else min(begin for begin in begins if begin),
            "valid_to": None if None in ends else max(end for end in ends if end),
        }
    )
    return joined.model_copy(update={"votes": total(shelf.voices(joined).values())})


def _sources(learnings: Sequence[Learning]) -> tuple[Source, ...]:
    return tuple(dict.fromkeys(source for one in learnings for source in one.sources))


def _settled(shelf: Shelf, newest: Learning, older: Sequence[Learning], now: datetime) -> Iterator[Group]:
    """Yield what settles a contradiction: the newest counts, or a person is asked."""
    old = [one for one in older if not one.kept]
    if waits(shelf.store, newest):
        yield from (group for one in older for group in asked_to_retire(shelf, one, newest, now))
    elif old:
        ended = [one.model_copy(update={"status": Status.SUPERSEDED, "valid_to": now}) for one in old]
        keys = tuple(one.key for one in old)
        stays = newest.model_copy(update={"supersedes": (*newest.supersedes, *keys)})
        yield Group("superseded", "a later one is about the same", (stays, *ended))
