"""The one way to the store: whoever asks that something be learnt, what is written is decided here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from langgraph.store.base import GetOp, Item, PutOp, SearchOp

from langgraph_learning.core.flow import Flow, batch, every, get, search, together
from langgraph_learning.core.keys import candidate_key, note_key
from langgraph_learning.core.learning import Learning, Status, in_one_step, messages_in, read_all
from langgraph_learning.core.policy import Mode, Sharing
from langgraph_learning.core.records import kept_of_links
from langgraph_learning.core.scopes import Caller, Namespace, Place, Scope
from langgraph_learning.core.store_protocol import Expected, version_of
from langgraph_learning.errors import Conflict, Misconfigured
from langgraph_learning.stores.base import LearningStore, places, repeating
from langgraph_learning.update.promotion import counted
from langgraph_learning.update.proposals import proposed, refused, unanswered

ATTEMPTS = 20
"""How often a write is tried when others change the same proposals at the same time."""


@dataclass(frozen=True)
class Gated:
    """What may be written, and what must still be as it was when that was decided."""

    learnings: tuple[Learning, ...] = ()
    expected: tuple[Expected, ...] = ()


def write(
    stores: Sequence[LearningStore],
    caller: Caller,
    asked: Sequence[Learning],
    *others: PutOp,
    expected: Sequence[Expected] = (),
    at: datetime,
) -> Flow[tuple[Learning, ...]]:
    """Write what the gate lets through, together with other items, all or nothing; return the learnings written.

    Raises `Conflict`, having written nothing, if what the caller expects no longer holds, or if something that is to
    be changed has become something else. Where only the gate's own reading was overtaken, it decides again.
    """
    for _ in range(ATTEMPTS):
        gated = yield from gate(stores, caller, asked, at)
        ops = [*(learning.put() for learning in gated.learnings), *others]
        try:
            yield from batch(*ops, expected=[*expected, *gated.expected], by=caller.user)
        except Conflict:
            if not (yield from _hold(expected)):
                raise
        else:
            return gated.learnings
    raise Conflict


def gate(stores: Sequence[LearningStore], caller: Caller, asked: Sequence[Learning], at: datetime) -> Flow[Gated]:
    """Return what may be written of what was asked for, by an extraction, a tool or a learning store of one's own.

    A store that proposes gets proposals. Nothing that waits for a person, or was refused by one, is touched. Where
    sharing needs others, what one user said is theirs, and is counted for the others.

    Raises `Conflict` for a change of what was replaced or merged into another since it was read: what was meant is to
    be asked again, now that the other is known.
    """
    by_name = {store.name: store for store in stores}
    _check(by_name, caller, asked)
    out = (yield from opted_out(caller)) if asked else set()
    asked = [one for one in asked if one.kept_by not in out or one.status is Status.REJECTED]
    asked = yield from _with_words(by_name, caller, asked)
    stored, versions = yield from _read((one.namespace, key) for one in asked for key in (one.key, *one.supersedes))
    free = [one for one in asked if not waits(by_name[one.kept_by], one) and not _closed(stored.get(one.place))]
    let = [now for one in free if (now := _as_of_now(one, stored.get(one.place)))]
    wishes = [one for one in asked if waits(by_name[one.kept_by], one)]
    wishes += [_for_all(by_name[one.kept_by], one, caller) for one in let if _to_approve(by_name[one.kept_by], one)]
    proposals = proposed(wishes, stored, at)
    made, proposals_were = yield from _read(one.place for one in proposals)
    candidates, candidates_were = yield from _counted(by_name, caller, let)
    new = [*unanswered(proposals, made), *candidates]
    versions |= proposals_were | candidates_were
    opted = [Expected(opting(caller), name, 0) for name in sorted({one.kept_by for one in asked} - out)]
    changed = [one for one in let if one.known]
    return Gated(
        tuple(in_one_step((*map(_kept, let), *new))),
        (*opted, *(Expected(*one.place, versions[one.place]) for one in (*changed, *new))),
    )


def _as_of_now(one: Learning, stored: Learning | None) -> Learning | None:
    """Return a change of something known, made to it as it is by now; None if it was forgotten, or is gone.

    Between the reading and the writing a model was asked: others had all that time. What they said of it and how they
    voted is kept. Raises `Conflict` if it is no longer what was read. What is new is as it is.
    """
    if one.known is None:
        return one
    if stored is None or stored.status is Status.REJECTED:
        return None
    if stored.known != one.known:
        raise Conflict
    both = {name: (*getattr(stored, name), *getattr(one, name)) for name in ("sources", "supersedes", "derived_from")}
    since = {name: tuple(dict.fromkeys(of_both)) for name, of_both in both.items()}
    kept = {"votes": stored.votes, "merged": stored.merged, "decisions": stored.decisions}
    return one.model_copy(update={**since, **kept})


def opted_out(caller: Caller) -> Flow[set[str]]:
    """Return the names of the learning stores that learn nothing of this user, by their own wish."""
    items = yield from search(SearchOp(opting(caller), limit=1_000))
    return {item.key for item in items}


def opting(caller: Caller) -> Namespace:
    """Return where the learning stores are noted, by name, that are to learn nothing of a user."""
    return caller.namespace(Scope.USER, "opted_out")


def withdraw(stores: Sequence[LearningStore], caller: Caller, gone: Sequence[Learning]) -> Flow[list[Learning]]:
    """Return the candidates that a user no longer supports once these learnings of theirs are gone."""
    taken = [one.model_copy(update={"status": Status.REJECTED}) for one in gone if one.scope.private]
    candidates, _ = yield from _counted({store.name: store for store in stores}, caller, taken)
    return candidates


def _with_words(
    by_name: Mapping[str, LearningStore], caller: Caller, asked: Sequence[Learning]
) -> Flow[Sequence[Learning]]:
    """Let what a user forgets take along the words of theirs that it rests on, and what repeats it.

    What asks for it is not kept.
    """
    gone = [one for one in asked if one.status is Status.REJECTED]
    sources = [source for one in gone for source in one.sources if source.user == caller.user]
    said = messages_in(sources)
    raw = {kind: store for store in by_name.values() if store.raw for kind in store.kinds}
    kept = [(caller.namespace(store.scope, store.name), kind) for kind, store in raw.items()]
    words, _ = yield from _read((place, note_key(*message, kind)) for place, kind in kept for message in said)
    new = [one for one in asked if not (gone and one.kind in raw and one.status is Status.ACTIVE)]
    echoes = yield from _repeating(by_name, caller, gone)
    forgotten = [one.model_copy(update={"status": Status.REJECTED}) for one in (*words.values(), *echoes)]
    return [*new, *(one for one in forgotten if one.place not in {other.place for other in new})]


def _repeating(by_name: Mapping[str, LearningStore], caller: Caller, gone: Sequence[Learning]) -> Flow[list[Learning]]:
    """Return what repeats something that is to be forgotten, as far as the caller may read it."""
    keeping = [store for store in by_name.values() if any(map(kept_of_links, store.kinds.values()))]
    folders = places(keeping, caller) if gone else []
    found = yield from learnings_in(folders, {"status": Status.ACTIVE.value})
    return repeating(by_name.values(), gone, found)


def learnings_in(folders: Sequence[Namespace], filter: dict[str, Any] | None = None) -> Flow[list[Learning]]:
    """Return all learnings in exactly these namespaces that a filter lets through."""
    items = yield from together(every(place, filter) for place in folders)
    return [one for place, there in zip(folders, items, strict=True) for one in read_all(there, [place])]


def _counted(
    by_name: Mapping[str, LearningStore], caller: Caller, let: Sequence[Learning]
) -> Flow[tuple[list[Learning], dict[Place, int]]]:
    """Return the candidates that change by what this user said, and the versions that were read."""
    count = [(one, by_name[one.kept_by]) for one in let if (by_name[one.kept_by].sharing.users or 0) > 1]
    shared = [(one, store.sharing.users or 0, caller.namespace(store.scope, store.name)) for one, store in count]
    waiting, versions = yield from _read((place, candidate_key(one, place)) for one, _, place in shared)
    names = (yield from _names(by_name.values(), caller, let)) if shared else []
    changed: dict[Place, Learning] = {}
    for one, users, place in shared:
        at = place, candidate_key(one, place)
        candidate = counted(one, changed.get(at, waiting.get(at)), place, caller, names, users)
        changed |= {at: candidate} if candidate else {}
    return list(changed.values()), versions


def _names(stores: Iterable[LearningStore], caller: Caller, let: Sequence[Learning]) -> Flow[list[str]]:
    """Return the names that the user goes by, as far as the learning stores know them."""
    own = [caller.namespace(Scope.USER, store.name) for store in stores]
    found = yield from search(*(SearchOp(place, {"status": Status.ACTIVE.value}, limit=100) for place in own))
    return [name for store in stores for name in store.names_in([*read_all(found, own), *let])]


def _read(wanted: Iterable[Place]) -> Flow[tuple[dict[Place, Learning], dict[Place, int]]]:
    """Return what lies at these places, and its version, 0 where nothing lies."""
    at = sorted(set(wanted))
    items = yield from batch(*(GetOp(*place) for place in at))
    found = {place: item if isinstance(item, Item) else None for place, item in zip(at, items, strict=True)}
    learnings = {place: Learning.read(item) for place, item in found.items() if item}
    return {p: one for p, one in learnings.items() if one}, {p: version_of(item) for p, item in found.items()}


def waits(store: LearningStore, one: Learning) -> bool:
    """Whether a person must approve it: all that a proposing store is asked, and all that changes what is shared."""
    return store.mode is Mode.PROPOSE or (store.sharing != Sharing.AT_ONCE and not one.scope.private)


def _closed(old: Learning | None) -> bool:
    """Whether only a reviewer may change what is there."""
    return old is not None and (old.status is Status.PROPOSED or refused(old))


def _to_approve(store: LearningStore, one: Learning) -> bool:
    return store.sharing == Sharing.APPROVED and one.status is Status.ACTIVE


def _for_all(store: LearningStore, one: Learning, caller: Caller) -> Learning:
    """Return what a user learnt for themself as the wish that all should know it."""
    place = caller.namespace(store.scope, store.name)
    return one.model_copy(update={"namespace": place, "supersedes": (), "sources": one.sources[-1:]})


def _kept(one: Learning) -> Learning:
    return one.model_copy(update={"quote": None})


def _hold(expected: Iterable[Expected]) -> Flow[bool]:
    """Whether what was expected is still as it was."""
    for namespace, key, version in expected:
        if version_of((yield from get(namespace, key))) != version:
            return False
    return True


def _check(by_name: Mapping[str, LearningStore], caller: Caller, asked: Iterable[Learning]) -> None:
    for one in asked:
        store = by_name.get(one.kept_by)
        if store is None or one.namespace not in caller.readable(store.scope, store.name):
            raise Misconfigured(f"A learning store may write only where this caller may read, not to {one.namespace}.")
