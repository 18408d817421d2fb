"""The one way to the store: whoever asks that something be learnt, what is written is decided here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from langgraph.store.base import PutOp

from langgraph_learning.core.flow import Flow, batch, get_item
from langgraph_learning.core.keys import note_key
from langgraph_learning.core.learning import Learning, Status, messages_of, with_step_id
from langgraph_learning.core.policy import Mode, Sharing
from langgraph_learning.core.records import link_snapshot_fields
from langgraph_learning.core.repository import all_in, get_many
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.store_protocol import Expected, version_of
from langgraph_learning.errors import Conflict, Misconfigured
from langgraph_learning.stores.base import LearningStore, find_dependents, readable_namespaces
from langgraph_learning.update.opt_out import opt_out_namespace, read_opt_outs
from langgraph_learning.update.promotion import count_supporters
from langgraph_learning.update.proposals import drop_answered, is_rejected, make_proposals

WRITE_ATTEMPTS = 20
"""How often a write is tried when others change the same proposals at the same time."""


@dataclass(frozen=True)
class AllowedWrites:
    """What may be written, and what must still be as it was when that was decided."""

    learnings: tuple[Learning, ...] = ()
    expected: tuple[Expected, ...] = ()


def write_learnings(
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
    for _ in range(WRITE_ATTEMPTS):
        gated = yield from apply_policy(stores, caller, asked, at)
        ops = [*(learning.put() for learning in gated.learnings), *others]
        try:
            yield from batch(*ops, expected=[*expected, *gated.expected], by=caller.user)
        except Conflict:
            if not (yield from _still_hold(expected)):
                raise
        else:
            return gated.learnings
    raise Conflict


def apply_policy(
    stores: Sequence[LearningStore], caller: Caller, asked: Sequence[Learning], at: datetime
) -> Flow[AllowedWrites]:
    """Return what may be written of what was asked for, by an extraction, a tool or a learning store of one's own.

    A store that proposes gets proposals. Nothing that waits for a person, or was refused by one, is touched. Where
    sharing needs others, what one user said is theirs, and is counted for the others.

    Raises `Conflict` for a change of what was replaced or merged into another since it was read: what was meant is to
    be asked again, now that the other is known.
    """
    by_name = {store.name: store for store in stores}
    _check_namespaces(by_name, caller, asked)
    out = (yield from read_opt_outs(caller)) if asked else set()
    asked = [one for one in asked if one.store_name not in out or one.status is Status.REJECTED]
    asked = yield from _add_dependents(by_name, caller, asked)
    stored, versions = yield from get_many((one.namespace, key) for one in asked for key in (one.key, *one.supersedes))
    free = [
        one for one in asked if not needs_approval(by_name[one.store_name], one) and not _is_closed(stored.get(one.ref))
    ]
    let = [now for one in free if (now := _rebase(one, stored.get(one.ref)))]
    wishes = [one for one in asked if needs_approval(by_name[one.store_name], one)]
    wishes += [
        _as_shared_proposal(by_name[one.store_name], one, caller)
        for one in let
        if _shares_after_approval(by_name[one.store_name], one)
    ]
    proposals = make_proposals(wishes, stored, at)
    made, proposals_were = yield from get_many(one.ref for one in proposals)
    candidates, candidates_were = yield from count_supporters(by_name, caller, let)
    new = [*drop_answered(proposals, made), *candidates]
    versions |= proposals_were | candidates_were
    opted = [Expected(opt_out_namespace(caller), name, 0) for name in sorted({one.store_name for one in asked} - out)]
    changed = [one for one in let if one.known]
    return AllowedWrites(
        tuple(with_step_id((*map(_without_quote, let), *new))),
        (*opted, *(Expected(*one.ref, versions[one.ref]) for one in (*changed, *new))),
    )


def _rebase(one: Learning, stored: Learning | None) -> Learning | None:
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


def _add_dependents(
    by_name: Mapping[str, LearningStore], caller: Caller, asked: Sequence[Learning]
) -> Flow[Sequence[Learning]]:
    """Let what a user forgets take along the words of theirs that it rests on, and what repeats it.

    What asks for it is not kept.
    """
    gone = [one for one in asked if one.status is Status.REJECTED]
    sources = [source for one in gone for source in one.sources if source.user == caller.user]
    said = messages_of(sources)
    raw = {kind: store for store in by_name.values() if store.verbatim for kind in store.kinds}
    kept = [(caller.namespace(store.scope, store.name), kind) for kind, store in raw.items()]
    words, _ = yield from get_many((place, note_key(*message, kind)) for place, kind in kept for message in said)
    new = [one for one in asked if not (gone and one.kind in raw and one.status is Status.ACTIVE)]
    echoes = yield from _find_dependents(by_name, caller, gone)
    forgotten = [one.model_copy(update={"status": Status.REJECTED}) for one in (*words.values(), *echoes)]
    return [*new, *(one for one in forgotten if one.ref not in {other.ref for other in new})]


def _find_dependents(
    by_name: Mapping[str, LearningStore], caller: Caller, gone: Sequence[Learning]
) -> Flow[list[Learning]]:
    """Return what repeats something that is to be forgotten, as far as the caller may read it."""
    keeping = [store for store in by_name.values() if any(map(link_snapshot_fields, store.kinds.values()))]
    folders = readable_namespaces(keeping, caller) if gone else []
    found = yield from all_in(folders, {"status": Status.ACTIVE.value})
    return find_dependents(by_name.values(), gone, found)


def needs_approval(store: LearningStore, one: Learning) -> bool:
    """Whether a person must approve it: all that a proposing store is asked, and all that changes what is shared."""
    return store.mode is Mode.PROPOSE or (store.sharing != Sharing.AT_ONCE and not one.scope.private)


def _is_closed(old: Learning | None) -> bool:
    """Whether only a reviewer may change what is there."""
    return old is not None and (old.status is Status.PROPOSED or is_rejected(old))


def _shares_after_approval(store: LearningStore, one: Learning) -> bool:
    return store.sharing == Sharing.APPROVED and one.status is Status.ACTIVE


def _as_shared_proposal(store: LearningStore, one: Learning, caller: Caller) -> Learning:
    """Return what a user learnt for themself as the wish that all should know it."""
    place = caller.namespace(store.scope, store.name)
    return one.model_copy(update={"namespace": place, "supersedes": (), "sources": one.sources[-1:]})


def _without_quote(one: Learning) -> Learning:
    return one.model_copy(update={"quote": None})


def _still_hold(expected: Iterable[Expected]) -> Flow[bool]:
    """Whether what was expected is still as it was."""
    for namespace, key, version in expected:
        if version_of((yield from get_item(namespace, key))) != version:
            return False
    return True


def _check_namespaces(by_name: Mapping[str, LearningStore], caller: Caller, asked: Iterable[Learning]) -> None:
    for one in asked:
        store = by_name.get(one.store_name)
        if store is None or one.namespace not in caller.readable_namespaces(store.scope, store.name):
            raise Misconfigured(f"A learning store may write only where this caller may read, not to {one.namespace}.")
