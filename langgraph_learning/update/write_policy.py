"""Write policy: decides which requested learnings are written, proposed or dropped, and writes them in one batch.

Extraction, tools, feedback and error capture all write through `write_learnings`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Any

from langgraph.store.base import PutOp

from langgraph_learning.core.flow import Flow, batch, gather
from langgraph_learning.core.learning import Learning, Source, Status, messages_of, with_step_id
from langgraph_learning.core.policy import Mode, Sharing
from langgraph_learning.core.records import link_snapshot_fields
from langgraph_learning.core.repository import all_in, get_items, get_many
from langgraph_learning.core.scopes import Caller, ItemRef, Namespace, Scope
from langgraph_learning.core.store_protocol import Expected, version_of
from langgraph_learning.errors import Conflict, Misconfigured
from langgraph_learning.stores.base import LearningStore, find_dependents, find_words, readable_namespaces
from langgraph_learning.update.concurrent_subjects import settle_subjects
from langgraph_learning.update.erasure import asks_for_erasure, belongs_to_user, erase_statements
from langgraph_learning.update.opt_out import opt_out_namespace, read_opt_outs
from langgraph_learning.update.promotion import count_supporters, intended_scope, is_unsupported, write_candidate
from langgraph_learning.update.proposals import drop_answered, is_rejected, make_proposals

WRITE_ATTEMPTS = 20
"""Number of attempts at a write while others change the same proposals."""


@dataclass(frozen=True)
class AllowedWrites:
    """The learnings that may be written, and the versions of the items that this decision is based on."""

    learnings: tuple[Learning, ...] = ()
    expected: tuple[Expected, ...] = ()
    forgotten: frozenset[ItemRef] = frozenset()
    """Those of them that are to leave no words."""


def write_learnings(
    stores: Sequence[LearningStore],
    caller: Caller,
    requested: Sequence[Learning],
    *others: PutOp,
    expected: Sequence[Expected] = (),
    at: datetime,
    report: Callable[[Sequence[Learning]], Sequence[PutOp]] = lambda allowed: (),
) -> Flow[tuple[Learning, ...]]:
    """Write the requested learnings that the policy allows, together with other items; return the learnings written.

    The batch is written as a whole or not at all. If an item changed that only the policy had read, the policy is
    applied again. Raises `Conflict`, having written nothing, if an item is not in the version that the caller expects,
    or if a learning that was to be changed has a different text, data or status by now.

    report: returns items to write as well, for the learnings that are written.
    """
    for _ in range(WRITE_ATTEMPTS):
        allowed = yield from apply_policy(stores, caller, requested, at)
        forgotten = [learning for learning in allowed.learnings if learning.ref in allowed.forgotten]
        kept = [learning for learning in allowed.learnings if learning.ref not in allowed.forgotten]
        stays = [learning for learning in kept if learning.status is Status.ACTIVE]
        erasure = yield from erase_statements(stores, caller, forgotten, at, stays)
        gone = {learning.ref for learning in erasure.deleted}
        kept = [learning for learning in kept if learning.ref not in gone]
        ops = [*erasure.ops, *map(write_candidate, kept), *others, *report(kept)]
        erase = bool(forgotten) or any(map(is_unsupported, kept))
        try:
            yield from batch(*ops, expected=[*expected, *allowed.expected], by=caller.user, erase=erase)
        except Conflict:
            if not (yield from have_versions(expected)):
                raise
        else:
            yield from settle_subjects(stores, caller, allowed.learnings, allowed.forgotten, at)
            sessions = [one for one in erasure.deleted if one.scope == Scope.THREAD and one not in forgotten]
            return (*kept, *map(_without_words, (*forgotten, *sessions)))
    raise Conflict


def apply_policy(
    stores: Sequence[LearningStore], caller: Caller, requested: Sequence[Learning], at: datetime
) -> Flow[AllowedWrites]:
    """Decide which requested learnings may be written, whether an extraction, a tool or a custom store requested them.

    - A store that the user opted out of learns nothing, but may still forget.
    - A store in the mode PROPOSE, and a change of a shared learning whose sharing is restricted, yields a proposal.
    - Where sharing needs several users or an approval, a user's own learning stays private to them, and is counted as
      support for a shared candidate, or proposed for sharing.
    - What is pending, or was rejected by a reviewer, is left alone.

    Raises `Conflict` for a change of a learning that was superseded or merged since it was read: the model has to be
    asked again, with the new state. Raises `Misconfigured` for a namespace that the caller may not read.
    """
    by_name = {store.name: store for store in stores}
    _check_namespaces(by_name, caller, requested)
    opted_out, stored, versions = yield from _read_stored_state(by_name, caller, requested)
    requested = [
        learning for learning in requested if learning.store_name not in opted_out or learning.status is Status.REJECTED
    ]
    requested = yield from _add_dependents(by_name, caller, requested)
    unread = [learning.ref for learning in requested if learning.ref not in versions]
    if unread:
        more_stored, more_versions = yield from get_many(unread)
        stored, versions = stored | more_stored, versions | more_versions
    direct, to_propose = _separate_proposals(by_name, caller, requested, stored)
    proposals = make_proposals(to_propose, stored, at)
    earlier_proposals, proposal_versions = yield from get_many(proposal.ref for proposal in proposals)
    candidates, candidate_versions = yield from count_supporters(by_name, caller, direct)

    changed = [learning for learning in direct if learning.known]
    pending = [*drop_answered(proposals, earlier_proposals), *candidates]
    versions |= proposal_versions | candidate_versions
    names = {learning.store_name for learning in requested} - opted_out
    expected = [Expected(opt_out_namespace(caller), name, 0) for name in sorted(names)]
    expected += [Expected(*learning.ref, versions[learning.ref]) for learning in (*changed, *pending)]
    forgotten = frozenset(learning.ref for learning in direct if _leaves_no_words(by_name, learning))
    allowed = with_step_id([*map(_without_quote, direct), *pending])
    return AllowedWrites(tuple(allowed), tuple(expected), forgotten)


def _read_stored_state(
    by_name: Mapping[str, LearningStore], caller: Caller, requested: Sequence[Learning]
) -> Flow[tuple[set[str], dict[ItemRef, Learning], dict[ItemRef, int]]]:
    """Read the user's opt-outs, and the stored state of all that is to be written, superseded or corrected."""
    if not requested:
        return set(), {}, {}
    refs = [(learning.namespace, key) for learning in requested for key in (learning.key, *learning.supersedes)]
    refs += [
        (_shared_namespace(by_name[learning.store_name], learning, caller), learning.corrects)
        for learning in requested
        if learning.corrects
    ]
    reads: list[Flow[Any]] = [read_opt_outs(caller), get_many(refs)]
    opted_out, (stored, versions) = yield from gather(reads)
    return opted_out, stored, versions


def _separate_proposals(
    by_name: Mapping[str, LearningStore],
    caller: Caller,
    requested: Iterable[Learning],
    stored: Mapping[ItemRef, Learning],
) -> tuple[list[Learning], list[Learning]]:
    """Return the learnings to write directly, and those to propose. Raises `Conflict` as `_rebase` does."""
    direct: list[Learning] = []
    need_approval: list[Learning] = []
    to_share: list[Learning] = []
    for learning in requested:
        store = by_name[learning.store_name]
        current = stored.get(learning.ref)
        if current is not None and _forgets_what_is_not_shown(learning, current, caller):
            direct.append(learning)
            continue
        if needs_approval(store, learning):
            need_approval.append(learning)
            continue
        if current is not None and _is_for_reviewers(current):
            continue
        rebased = _rebase(learning, current)
        if rebased is None:
            continue
        direct.append(rebased)
        is_meant_for_others = not intended_scope(store, rebased).private
        if store.sharing == Sharing.APPROVED and rebased.status is Status.ACTIVE and is_meant_for_others:
            to_share.append(_as_shared_proposal(store, rebased, caller))
    return direct, [*need_approval, *to_share]


def _forgets_what_is_not_shown(learning: Learning, stored: Learning, caller: Caller) -> bool:
    """Return True for the history or an own proposal of a user who asks to forget it: nobody has to approve that."""
    is_own = stored.status is not Status.ACTIVE and belongs_to_user(stored, caller)
    return learning.status is Status.REJECTED and is_own and asks_for_erasure(learning)


def _rebase(learning: Learning, stored: Learning | None) -> Learning | None:
    """Apply a requested change to the learning as it is stored now; return None if it was forgotten or deleted.

    A model was called between reading and writing, so others may have added sources, votes and decisions: these are
    kept. A new learning is returned unchanged. Raises `Conflict` if text, data or status changed since it was read.
    """
    if learning.known is None:
        return learning
    if stored is None or stored.status is Status.REJECTED:
        return None
    if stored.known != learning.known:
        raise Conflict
    fields: dict[str, object] = {"votes": stored.votes, "merged": stored.merged, "decisions": stored.decisions}
    for name in ("supersedes", "derived_from"):
        fields[name] = tuple(dict.fromkeys((*getattr(stored, name), *getattr(learning, name))))
    return learning.model_copy(update={**fields, "sources": (*stored.sources, *_find_new_sources(learning, stored))})


def _find_new_sources(learning: Learning, stored: Learning) -> list[Source]:
    """Return the sources that a change adds: those after the last one that is stored.

    Others may have been joined since they were read.
    """
    new = list(takewhile(lambda source: source not in stored.sources, reversed(learning.sources)))
    return new[::-1]


def _add_dependents(
    by_name: Mapping[str, LearningStore], caller: Caller, requested: Sequence[Learning]
) -> Flow[Sequence[Learning]]:
    """Add what must be forgotten with the learnings to forget: the user's messages behind them, and their dependents.

    New messages are not stored if they ask to forget something, answer that, or hold what is forgotten.
    """
    forgotten = [learning for learning in requested if learning.status is Status.REJECTED]
    if not forgotten:
        return requested
    verbatim = {kind: store for store in by_name.values() if store.verbatim for kind in store.kinds}
    stored = yield from all_in(readable_namespaces([*verbatim.values()], caller))
    gone = [learning for learning in forgotten if learning.kind not in verbatim]
    dependents = yield from _find_dependents(by_name, caller, forgotten)
    new = [learning for learning in requested if learning.kind in verbatim and learning.status is Status.ACTIVE]
    left_out = {
        *(each.ref for each in _find_requests(forgotten, new)),
        *(each.ref for each in find_words(gone, new, caller.user)),
    }
    requested = [learning for learning in requested if learning.ref not in left_out]
    refs = {*left_out, *(learning.ref for learning in requested)}
    added = [learning for learning in (*find_words(gone, stored, caller.user), *dependents) if learning.ref not in refs]
    quote = "\n".join(dict.fromkeys(filter(None, (learning.quote for learning in forgotten)))) or None
    return [*requested, *(each.model_copy(update={"status": Status.REJECTED, "quote": quote}) for each in added)]


def _find_requests(forgotten: Sequence[Learning], new: Sequence[Learning]) -> list[Learning]:
    """Return the new messages that ask to forget something, with the answers to them."""
    asking = messages_of(learning.sources[-1] for learning in forgotten if learning.sources)
    found = [message for message in new if messages_of(message.sources) & asking]
    for message in found:  # the list grows while it is read, so that all that the agent said in the turn is found
        answers = [one for one in new if one.data.get("follows") == message.key and one.data.get("speaker") == "agent"]
        found += [answer for answer in answers if answer not in found]
    return found


def _find_dependents(
    by_name: Mapping[str, LearningStore], caller: Caller, forgotten: Sequence[Learning]
) -> Flow[list[Learning]]:
    """Return the active learnings that repeat words of forgotten ones, as far as the caller may read them."""
    linking = [store for store in by_name.values() if any(map(link_snapshot_fields, store.kinds.values()))]
    namespaces = readable_namespaces(linking, caller) if forgotten else []
    active = yield from all_in(namespaces, {"status": Status.ACTIVE.value})
    return find_dependents(by_name.values(), forgotten, active)


def needs_approval(store: LearningStore, learning: Learning) -> bool:
    """Return True if a person must approve it: in a proposing store, or shared while the store restricts sharing."""
    return store.mode is Mode.PROPOSE or (store.sharing != Sharing.AT_ONCE and not learning.scope.private)


def _leaves_no_words(by_name: Mapping[str, LearningStore], learning: Learning) -> bool:
    """Return True if a learning is to be erased: if it is forgotten, or a retired message, which teaches nothing."""
    is_message = by_name[learning.store_name].verbatim
    return learning.status is Status.REJECTED and (is_message or asks_for_erasure(learning))


def _without_words(learning: Learning) -> Learning:
    """Return an erased learning as events name it: by its key."""
    return learning.model_copy(update={"status": Status.REJECTED, "text": "", "data": {}, "cues": ()})


def _is_for_reviewers(stored: Learning) -> bool:
    """Return True if only a reviewer may change it: a proposal, or a learning that a reviewer rejected."""
    return stored.status is Status.PROPOSED or is_rejected(stored)


def _as_shared_proposal(store: LearningStore, learning: Learning, caller: Caller) -> Learning:
    """Return a user's own learning as a request to share it in the scope that it is meant for."""
    shared = {
        "namespace": _shared_namespace(store, learning, caller),
        "supersedes": (learning.corrects,) if learning.corrects else (),
        "sources": learning.sources[-1:],
        "audience": None,
        "corrects": None,
    }
    return learning.model_copy(update=shared)


def _shared_namespace(store: LearningStore, learning: Learning, caller: Caller) -> Namespace:
    return caller.namespace(intended_scope(store, learning), store.name)


def _without_quote(learning: Learning) -> Learning:
    return learning.model_copy(update={"quote": None})


def have_versions(expected: Sequence[Expected]) -> Flow[bool]:
    """Return True if the items still have the expected versions."""
    items = yield from get_items((namespace, key) for namespace, key, _ in expected)
    return all(version_of(items.get((namespace, key))) == version for namespace, key, version in expected)


def _check_namespaces(by_name: Mapping[str, LearningStore], caller: Caller, requested: Iterable[Learning]) -> None:
    for learning in requested:
        store = by_name.get(learning.store_name)
        if store is None or learning.namespace not in caller.readable_namespaces(store.scope, store.name):
            raise Misconfigured(
                f"A learning store may write only where this caller may read, not to {learning.namespace}."
            )
