"""Reviewers' decisions: list what is pending, show the evidence, and approve, reject or demote it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from langgraph_learning.core.flow import Flow, batch, gather
from langgraph_learning.core.learning import Learning, ReviewDecision, Status, with_step_id
from langgraph_learning.core.records import expiry_of, explain_error, find_excess, has_identity
from langgraph_learning.core.repository import StoredLearning, all_in, all_stored_in, find, get_many
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.store_protocol import Expected
from langgraph_learning.errors import Conflict, InvalidFields, NotAllowed, NotFound
from langgraph_learning.stores.base import LearningStore, readable_namespaces
from langgraph_learning.update.proposals import apply_approval, is_stale, rests_on_own_words, with_decision


class EvidenceItem(BaseModel):
    """A known learning that a proposal links to."""

    model_config = ConfigDict(frozen=True)

    key: str
    kind: str
    text: str
    said_by: str | None


class Evidence(BaseModel):
    """A proposal with its basis and its consequences, as a reviewer sees it."""

    model_config = ConfigDict(frozen=True)

    key: str
    kind: str
    scope: str
    """Scope and owner for which the proposal would become active, such as "team acme"."""
    text: str
    """The text to learn; of a proposal to forget, the text to forget."""
    fields: Mapping[str, Any]
    """The fields of the record, which can be changed on approval."""
    forgets: bool
    """True if approving the proposal makes a learning be forgotten."""
    replaces: tuple[str, ...]
    """The texts that the proposal would replace."""
    quote: str | None
    """The message that the proposal rests on; None if several people said it, since their messages are not shown."""
    said_by: str | None
    channel: str | None
    """Origin of the message: the user, the agent or a tool."""
    thread: str | None
    messages: tuple[str, ...]
    rests_on: tuple[EvidenceItem, ...]
    """The known learnings that the proposal links to, if the reviewer may read them."""
    unreadable: int
    """Number of linked learnings that the reviewer may not read, or that no longer exist."""
    supporters: int
    """Number of users who said it, for a candidate that waits for more of them."""
    proposed_at: datetime
    stale: bool
    """True if a learning that the proposal would change has changed since: then it can only be rejected."""


@dataclass(frozen=True)
class PendingProposal:
    """A proposal as it was read, with the learnings that decide whether it can be approved."""

    proposal: Learning
    bases: tuple[Learning, ...]
    """The learnings that the proposal would replace or forget."""
    rivals: tuple[Learning, ...]
    """Other active or proposed learnings about the same subject."""
    expected: tuple[Expected, ...]
    """The versions that were read, the proposal's first."""

    @property
    def stale(self) -> bool:
        """True if a base has changed since the proposal was made, or another learning on the subject is active now."""
        return is_stale(self.proposal, self.bases) or any(rival.status is Status.ACTIVE for rival in self.rivals)

    def to_evidence(self, replaced: tuple[str, ...], rests_on: Sequence[EvidenceItem]) -> Evidence:
        """Return the evidence for a reviewer."""
        proposal = self.proposal
        source = proposal.sources[0] if proposal.sources else None
        return Evidence(
            key=proposal.key,
            kind=proposal.kind,
            scope=f"{proposal.scope.name} {proposal.owner}",
            text=proposal.text,
            fields=dict(proposal.data),
            forgets=proposal.retires is not None,
            replaces=replaced,
            quote=proposal.quote,
            said_by=source.user if source else None,
            channel=source.channel if source else None,
            thread=source.thread if source else None,
            messages=source.messages if source else (),
            rests_on=tuple(rests_on),
            unreadable=len(proposal.derived_from) - len(rests_on),
            supporters=len(proposal.supporters),
            proposed_at=proposal.learned_at,
            stale=self.stale,
        )


def list_pending(stores: Sequence[LearningStore], caller: Caller) -> Flow[tuple[Learning, ...]]:
    """Return all proposals that the caller may read, oldest first."""
    proposals = yield from all_in(readable_namespaces(stores, caller), {"status": Status.PROPOSED.value})
    return tuple(sorted(proposals, key=lambda proposal: (proposal.learned_at, proposal.key)))


def show_evidence(stores: Sequence[LearningStore], caller: Caller, key: str) -> Flow[Evidence]:
    """Return a proposal with its evidence. Raises `NotFound`."""
    pending = yield from _read_pending(stores, caller, key)
    rests_on = yield from _read_evidence_items(stores, caller, pending.proposal)
    store = _store_of(stores, pending.proposal)
    return pending.to_evidence(store.texts_to_replace(pending.proposal, pending.bases), rests_on)


def read_proposal(stores: Sequence[LearningStore], caller: Caller, key: str) -> Flow[Learning]:
    """Return a proposal. Raises `NotFound`."""
    stored = yield from _find_with_status(stores, caller, key, Status.PROPOSED)
    return stored.learning


def approve_proposal(
    stores: Sequence[LearningStore],
    caller: Caller,
    key: str,
    why: str | None,
    fields: Mapping[str, Any],
    four_eyes: bool,
) -> Flow[Learning]:
    """Make a proposal active, with other values for some of its fields, and end the learnings that it replaces.

    Raises `NotFound`; `Conflict` if the proposal is stale; `InvalidFields`; `NotAllowed` if the store objects, or if
    the proposal rests on the caller's own words and `four_eyes` is set.
    """
    pending = yield from _read_pending(stores, caller, key)
    if four_eyes and rests_on_own_words(pending.proposal, caller):
        raise NotAllowed("This proposal rests on your own words: somebody else has to approve it.")
    if pending.stale:
        raise Conflict("What this proposal would change has changed since it was made: reject it, or propose it again.")
    store = _store_of(stores, pending.proposal)
    proposal = _with_changed_fields(store, pending.proposal, fields, caller) if fields else pending.proposal
    if objection := store.objection(proposal):
        raise NotAllowed(objection)
    decision = ReviewDecision(by=caller.user, at=datetime.now(UTC), verdict="approved", why=why)
    written = with_step_id(apply_approval(proposal, pending.bases, decision))
    yield from batch(*(learning.put() for learning in written), expected=pending.expected, by=caller.user)
    return written[-1]


def reject_proposal(stores: Sequence[LearningStore], caller: Caller, key: str, why: str | None) -> Flow[Learning]:
    """Reject a proposal, so that it is not proposed again. Raises `NotFound` or `Conflict`."""
    pending = yield from _read_pending(stores, caller, key)
    decision = ReviewDecision(by=caller.user, at=datetime.now(UTC), verdict="rejected", why=why)
    (rejected,) = with_step_id([with_decision(pending.proposal, Status.REJECTED, decision)])
    yield from batch(rejected.put(), expected=pending.expected[:1], by=caller.user)
    return rejected


def demote_learning(stores: Sequence[LearningStore], caller: Caller, key: str, why: str | None) -> Flow[Learning]:
    """Turn an active shared learning back into a proposal; users' private learnings stay as they are.

    Raises `NotFound` or `Conflict`.
    """
    stored = yield from _find_with_status(stores, caller, key, Status.ACTIVE)
    learning = stored.learning
    if learning.scope.private:
        raise NotFound(f"{key!r} is private to {learning.owner} already: only what is shared can be demoted.")
    decision = ReviewDecision(by=caller.user, at=datetime.now(UTC), verdict="demoted", why=why)
    proposal = with_decision(learning, Status.PROPOSED, decision).model_copy(update={"base": {}, "supersedes": ()})
    (demoted,) = with_step_id([proposal])
    yield from batch(demoted.put(), expected=[stored.condition], by=caller.user)
    return demoted


def _read_pending(stores: Sequence[LearningStore], caller: Caller, key: str) -> Flow[PendingProposal]:
    stored = yield from _find_with_status(stores, caller, key, Status.PROPOSED)
    proposal = stored.learning
    bases, versions = yield from get_many((proposal.namespace, base_key) for base_key in proposal.base)
    rivals = yield from _find_rivals(_store_of(stores, proposal), proposal)
    return PendingProposal(
        proposal=proposal,
        bases=tuple(bases.values()),
        rivals=tuple(rival.learning for rival in rivals),
        expected=(
            stored.condition,
            *(Expected(*ref, version) for ref, version in versions.items()),
            *(rival.condition for rival in rivals),
        ),
    )


def _find_rivals(store: LearningStore, proposal: Learning) -> Flow[list[StoredLearning]]:
    """Return other active or proposed learnings about the same subject, where records of this kind have an identity.

    A decision expects them unchanged: of two proposals about one subject that are approved at once, one is refused.
    """
    record = store.kinds.get(proposal.kind)
    if record is None or not has_identity(record) or proposal.retires:
        return []
    subject = store.subject(proposal)
    own_keys = {proposal.key, *proposal.base}
    statuses = (Status.ACTIVE, Status.PROPOSED)
    pages = yield from gather(all_stored_in([proposal.namespace], {"status": status.value}) for status in statuses)
    return [
        stored
        for page in pages
        for stored in page
        if stored.learning.key not in own_keys and store.subject(stored.learning) == subject
    ]


def _read_evidence_items(
    stores: Sequence[LearningStore], caller: Caller, proposal: Learning
) -> Flow[list[EvidenceItem]]:
    """Return the learnings that a proposal links to, if the caller may read them."""
    readable = readable_namespaces(stores, caller)
    learnings, _ = yield from get_many((namespace, key) for key in proposal.derived_from for namespace in readable)
    by_key = {learning.key: learning for learning in learnings.values()}
    items: list[EvidenceItem] = []
    for key in proposal.derived_from:
        if learning := by_key.get(key):
            said_by = learning.sources[0].user if learning.sources else None
            items.append(EvidenceItem(key=key, kind=learning.kind, text=learning.text, said_by=said_by))
    return items


def _store_of(stores: Sequence[LearningStore], learning: Learning) -> LearningStore:
    return next(store for store in stores if store.name == learning.store_name)


def _find_with_status(
    stores: Sequence[LearningStore], caller: Caller, key: str, status: Status
) -> Flow[StoredLearning]:
    """Return the learning with this key and status that the caller may read. Raises `NotFound`."""
    stored = yield from find(readable_namespaces(stores, caller), key, status)
    if stored is None:
        state = "waits for approval" if status is Status.PROPOSED else "is active"
        raise NotFound(f"Nothing that {caller.user} can see and that {state} has the key {key!r}.")
    return stored


def _with_changed_fields(
    store: LearningStore, proposal: Learning, fields: Mapping[str, Any], caller: Caller
) -> Learning:
    if proposal.retires:
        raise InvalidFields("A proposal to forget something has no fields to change.")
    try:
        changed = store.with_fields(proposal, fields)
    except ValidationError as error:
        raise InvalidFields(f"The proposal was not approved: {explain_error(error)}") from error
    record = store.record_of(changed)
    if excess := find_excess(record):
        raise InvalidFields(f"The proposal was not approved: {excess}.")
    if "until" not in fields:
        return changed
    today = caller.local(caller.present(datetime.now(UTC))).date()
    ends = [proposal.learned_at + store.keep if store.keep else None, expiry_of(record, today, caller.timezone)]
    return changed.model_copy(update={"valid_to": min(filter(None, ends), default=None)})
