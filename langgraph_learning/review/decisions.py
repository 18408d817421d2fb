"""What a person decides about what waits for approval, and what they are shown to decide it by."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from langgraph.store.base import GetOp, Item
from pydantic import BaseModel, ConfigDict, ValidationError

from langgraph_learning.core.flow import Flow, batch, search_all
from langgraph_learning.core.learning import Learning, ReviewDecision, Status, read_learnings, with_step_id
from langgraph_learning.core.records import explain_error, has_identity
from langgraph_learning.core.scopes import Caller, Namespace
from langgraph_learning.core.store_protocol import Expected, version_of
from langgraph_learning.errors import Conflict, InvalidFields, NotAllowed, NotFound
from langgraph_learning.stores.base import LearningStore, readable_namespaces
from langgraph_learning.update.proposals import apply_approval, is_stale, rests_on_own_words, with_decision


class EvidenceItem(BaseModel):
    """Something known that a proposal rests on."""

    model_config = ConfigDict(frozen=True)

    key: str
    kind: str
    text: str
    said_by: str | None


class Evidence(BaseModel):
    """A proposal, what it rests on, and what it would change."""

    model_config = ConfigDict(frozen=True)

    key: str
    kind: str
    scope: str
    """Whom it would count for, such as "team acme"."""
    text: str
    """What would be learnt; of a proposal to forget, what would be forgotten."""
    fields: Mapping[str, Any]
    """The record, whose fields can be changed on approval."""
    forgets: bool
    """Whether approving it makes something be forgotten."""
    replaces: tuple[str, ...]
    """The texts that it would take the place of."""
    quote: str | None
    """The message it rests on; None where several people said it, for nobody's words are shown."""
    said_by: str | None
    channel: str | None
    """Who said it: the user, the agent or a tool."""
    thread: str | None
    messages: tuple[str, ...]
    rests_on: tuple[EvidenceItem, ...]
    """What is known that it links to, as far as the reviewer may read it."""
    unreadable: int
    """How much more it links to."""
    supporters: int
    """How many different users said it, where it waits for more of them."""
    proposed_at: datetime
    stale: bool
    """Whether what it would change has changed since: then it can only be rejected."""


class PendingProposal(BaseModel):
    """A proposal as it was read, with what it would change."""

    model_config = ConfigDict(frozen=True)

    proposal: Learning
    bases: tuple[Learning, ...]
    rivals: tuple[Learning, ...]
    """What else is or waits that is about the same thing."""
    versions: tuple[tuple[Namespace, str, int], ...]

    @property
    def stale(self) -> bool:
        """Whether what it would change has changed since, or something about the same thing counts by now."""
        return is_stale(self.proposal, self.bases) or any(one.status is Status.ACTIVE for one in self.rivals)

    def expected(self) -> list[Expected]:
        """Return what must not have changed when a decision is written."""
        return [Expected(*version) for version in self.versions]

    def evidence(self, replaced: tuple[str, ...], rests_on: Sequence[EvidenceItem]) -> Evidence:
        """Return what a reviewer is shown."""
        one = self.proposal
        source = one.sources[0] if one.sources else None
        return Evidence(
            key=one.key,
            kind=one.kind,
            scope=f"{one.scope.name} {one.owner}",
            text=one.text,
            fields=dict(one.data),
            forgets=one.retires is not None,
            replaces=replaced,
            quote=one.quote,
            said_by=source.user if source else None,
            channel=source.channel if source else None,
            thread=source.thread if source else None,
            messages=source.messages if source else (),
            rests_on=tuple(rests_on),
            unreadable=len(one.derived_from) - len(rests_on),
            supporters=len(one.supporters),
            proposed_at=one.learned_at,
            stale=self.stale,
        )


def list_pending(stores: Sequence[LearningStore], caller: Caller) -> Flow[tuple[Learning, ...]]:
    """Return all that waits for approval where the caller may read, oldest first."""
    found: list[Learning] = []
    for place in readable_namespaces(stores, caller):
        items = yield from search_all(place, {"status": Status.PROPOSED.value})
        found += read_learnings(items, [place])
    return tuple(sorted(found, key=lambda one: (one.learned_at, one.key)))


def show_evidence(stores: Sequence[LearningStore], caller: Caller, key: str) -> Flow[Evidence]:
    """Return a proposal with its evidence. Raises `NotFound`."""
    found = yield from _read_pending(stores, caller, key)
    grounds = yield from _read_evidence_items(stores, caller, found.proposal)
    store = _store_of(stores, found.proposal)
    return found.evidence(store.texts_to_replace(found.proposal, found.bases), grounds)


def read_proposal(stores: Sequence[LearningStore], caller: Caller, key: str) -> Flow[Learning]:
    """Return a proposal. Raises `NotFound`."""
    return (yield from _find_with_status(stores, caller, key, Status.PROPOSED))[0]


def approve(
    stores: Sequence[LearningStore],
    caller: Caller,
    key: str,
    why: str | None,
    fields: Mapping[str, Any],
    four_eyes: bool,
) -> Flow[Learning]:
    """Let a proposal count, with other values for some fields. Raises `Conflict` if its base has changed."""
    found = yield from _read_pending(stores, caller, key)
    if four_eyes and rests_on_own_words(found.proposal, caller):
        raise NotAllowed("This proposal rests on your own words: somebody else has to approve it.")
    if found.stale:
        raise Conflict("What this proposal would change has changed since it was made: reject it, or propose anew.")
    decision = ReviewDecision(by=caller.user, at=datetime.now(UTC), verdict="approved", why=why)
    store = _store_of(stores, found.proposal)
    proposal = _with_changed_fields(store, found.proposal, fields) if fields else found.proposal
    if objection := store.objection(proposal):
        raise NotAllowed(objection)
    *others, counts = with_step_id(apply_approval(proposal, found.bases, decision))
    yield from batch(*(one.put() for one in (*others, counts)), expected=found.expected(), by=caller.user)
    return counts


def reject(stores: Sequence[LearningStore], caller: Caller, key: str, why: str | None) -> Flow[Learning]:
    """Refuse a proposal: it counts for nobody, and is not proposed again."""
    found = yield from _read_pending(stores, caller, key)
    decision = ReviewDecision(by=caller.user, at=datetime.now(UTC), verdict="rejected", why=why)
    (refused,) = with_step_id([with_decision(found.proposal, Status.REJECTED, decision)])
    yield from batch(refused.put(), expected=found.expected()[:1], by=caller.user)
    return refused


def demote(stores: Sequence[LearningStore], caller: Caller, key: str, why: str | None) -> Flow[Learning]:
    """Let something shared count no longer until a person approves it (again); what users learnt stays theirs."""
    learning, version = yield from _find_with_status(stores, caller, key, Status.ACTIVE)
    if learning.scope.private:
        raise NotFound(f"{key!r} is private to {learning.owner} already: only what is shared can be demoted.")
    decision = ReviewDecision(by=caller.user, at=datetime.now(UTC), verdict="demoted", why=why)
    (waits,) = with_step_id(
        [with_decision(learning, Status.PROPOSED, decision).model_copy(update={"base": {}, "supersedes": ()})]
    )
    yield from batch(waits.put(), expected=[Expected(*learning.ref, version)], by=caller.user)
    return waits


def _read_pending(stores: Sequence[LearningStore], caller: Caller, key: str) -> Flow[PendingProposal]:
    proposal, version = yield from _find_with_status(stores, caller, key, Status.PROPOSED)
    items = yield from batch(*(GetOp(proposal.namespace, base) for base in proposal.base))
    stored = [item for item in items if isinstance(item, Item)]
    rivals = yield from _find_rivals(_store_of(stores, proposal), proposal)
    versions = [(item.namespace, item.key, version_of(item)) for item in (*stored, *rivals)]
    return PendingProposal(
        proposal=proposal,
        bases=tuple(read_learnings(stored, [proposal.namespace])),
        rivals=tuple(read_learnings(rivals, [proposal.namespace])),
        versions=((*proposal.ref, version), *versions),
    )


def _find_rivals(store: LearningStore, proposal: Learning) -> Flow[list[Item]]:
    """Return what else is or waits about the same thing, where records say what they are about.

    A decision expects them unchanged: so of two proposals about one thing that are approved at once, one is refused.
    """
    record = store.kinds.get(proposal.kind)
    if record is None or not has_identity(record) or proposal.retires:
        return []
    found: list[Item] = []
    for status in (Status.ACTIVE, Status.PROPOSED):
        found += yield from search_all(proposal.namespace, {"status": status.value})
    mine, about = {proposal.key, *proposal.base}, store.subject(proposal)
    others = [item for item in found if item.key not in mine and item.namespace == proposal.namespace]
    return [item for item in others if (one := Learning.read(item)) and store.subject(one) == about]


def _read_evidence_items(
    stores: Sequence[LearningStore], caller: Caller, proposal: Learning
) -> Flow[list[EvidenceItem]]:
    """Return what a proposal links to, as far as the caller may read it."""
    readable = readable_namespaces(stores, caller)
    items = yield from batch(*(GetOp(place, key) for key in proposal.derived_from for place in readable))
    found = {one.key: one for one in read_learnings((item for item in items if isinstance(item, Item)), readable)}
    known = [found[key] for key in proposal.derived_from if key in found]
    return [EvidenceItem(key=one.key, kind=one.kind, text=one.text, said_by=_first_user(one)) for one in known]


def _first_user(learning: Learning) -> str | None:
    return learning.sources[0].user if learning.sources else None


def _store_of(stores: Sequence[LearningStore], learning: Learning) -> LearningStore:
    return next(store for store in stores if store.name == learning.store_name)


def _find_with_status(
    stores: Sequence[LearningStore], caller: Caller, key: str, status: Status
) -> Flow[tuple[Learning, int]]:
    """Return the learning of this key and status that the caller may read, and its version."""
    items = yield from batch(*(GetOp(place, key) for place in readable_namespaces(stores, caller)))
    for item in items:
        learning = Learning.read(item) if isinstance(item, Item) else None
        if learning and isinstance(item, Item) and learning.status is status:
            return learning, version_of(item)
    what = "waits for approval" if status is Status.PROPOSED else "counts"
    raise NotFound(f"Nothing that {caller.user} can see and that {what} has the key {key!r}.")


def _with_changed_fields(store: LearningStore, proposal: Learning, fields: Mapping[str, Any]) -> Learning:
    if proposal.retires:
        raise InvalidFields("A proposal to forget something has no fields to change.")
    try:
        return store.with_fields(proposal, fields)
    except ValidationError as error:
        raise InvalidFields(f"The proposal was not approved: {explain_error(error)}") from error
