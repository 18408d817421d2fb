"""What a person decides about what waits for approval, and what they are shown to decide it by."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from langgraph.store.base import GetOp, Item
from pydantic import BaseModel, ConfigDict, ValidationError

from langgraph_learning.core.flow import Flow, batch, every
from langgraph_learning.core.learning import Decision, Learning, Status, in_one_step, read_all
from langgraph_learning.core.records import has_identity, reason
from langgraph_learning.core.scopes import Caller, Namespace
from langgraph_learning.core.store_protocol import Expected, version_of
from langgraph_learning.errors import Conflict, InvalidFields, NotAllowed, NotFound
from langgraph_learning.stores.base import LearningStore, places
from langgraph_learning.update.proposals import approved, decided, rests_on_own_words, stale


class Ground(BaseModel):
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
    rests_on: tuple[Ground, ...]
    """What is known that it links to, as far as the reviewer may read it."""
    unreadable: int
    """How much more it links to."""
    supporters: int
    """How many different users said it, where it waits for more of them."""
    proposed_at: datetime
    stale: bool
    """Whether what it would change has changed since: then it can only be rejected."""


class Found(BaseModel):
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
        return stale(self.proposal, self.bases) or any(one.status is Status.ACTIVE for one in self.rivals)

    def expected(self) -> list[Expected]:
        """Return what must not have changed when a decision is written."""
        return [Expected(*version) for version in self.versions]

    def evidence(self, replaced: tuple[str, ...], rests_on: Sequence[Ground]) -> Evidence:
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


def pending(stores: Sequence[LearningStore], caller: Caller) -> Flow[tuple[Learning, ...]]:
    """Return all that waits for approval where the caller may read, oldest first."""
    found: list[Learning] = []
    for place in places(stores, caller):
        items = yield from every(place, {"status": Status.PROPOSED.value})
        found += read_all(items, [place])
    return tuple(sorted(found, key=lambda one: (one.learned_at, one.key)))


def show(stores: Sequence[LearningStore], caller: Caller, key: str) -> Flow[Evidence]:
    """Return a proposal with its evidence. Raises `NotFound`."""
    found = yield from _proposal(stores, caller, key)
    grounds = yield from _grounds(stores, caller, found.proposal)
    store = _keeper(stores, found.proposal)
    return found.evidence(store.replaced(found.proposal, found.bases), grounds)


def waiting(stores: Sequence[LearningStore], caller: Caller, key: str) -> Flow[Learning]:
    """Return a proposal. Raises `NotFound`."""
    return (yield from _one(stores, caller, key, Status.PROPOSED))[0]


def approve(
    stores: Sequence[LearningStore],
    caller: Caller,
    key: str,
    why: str | None,
    fields: Mapping[str, Any],
    four_eyes: bool,
) -> Flow[Learning]:
    """Let a proposal count, with other values for some fields. Raises `Conflict` if its base has changed."""
    found = yield from _proposal(stores, caller, key)
    if four_eyes and rests_on_own_words(found.proposal, caller):
        raise NotAllowed("This proposal rests on your own words: somebody else has to approve it.")
    if found.stale:
        raise Conflict("What this proposal would change has changed since it was made: reject it, or propose anew.")
    decision = Decision(by=caller.user, at=datetime.now(UTC), verdict="approved", why=why)
    store = _keeper(stores, found.proposal)
    proposal = _edited(store, found.proposal, fields) if fields else found.proposal
    if objection := store.objection(proposal):
        raise NotAllowed(objection)
    *others, counts = in_one_step(approved(proposal, found.bases, decision))
    yield from batch(*(one.put() for one in (*others, counts)), expected=found.expected(), by=caller.user)
    return counts


def reject(stores: Sequence[LearningStore], caller: Caller, key: str, why: str | None) -> Flow[Learning]:
    """Refuse a proposal: it counts for nobody, and is not proposed again."""
    found = yield from _proposal(stores, caller, key)
    decision = Decision(by=caller.user, at=datetime.now(UTC), verdict="rejected", why=why)
    (refused,) = in_one_step([decided(found.proposal, Status.REJECTED, decision)])
    yield from batch(refused.put(), expected=found.expected()[:1], by=caller.user)
    return refused


def demote(stores: Sequence[LearningStore], caller: Caller, key: str, why: str | None) -> Flow[Learning]:
    """Let something shared count no longer until a person approves it (again); what users learnt stays theirs."""
    learning, version = yield from _one(stores, caller, key, Status.ACTIVE)
    if learning.scope.private:
        raise NotFound(f"{key!r} is private to {learning.owner} already: only what is shared can be demoted.")
    decision = Decision(by=caller.user, at=datetime.now(UTC), verdict="demoted", why=why)
    (waits,) = in_one_step(
        [decided(learning, Status.PROPOSED, decision).model_copy(update={"base": {}, "supersedes": ()})]
    )
    yield from batch(waits.put(), expected=[Expected(*learning.place, version)], by=caller.user)
    return waits


def _proposal(stores: Sequence[LearningStore], caller: Caller, key: str) -> Flow[Found]:
    proposal, version = yield from _one(stores, caller, key, Status.PROPOSED)
    items = yield from batch(*(GetOp(proposal.namespace, base) for base in proposal.base))
    stored = [item for item in items if isinstance(item, Item)]
    rivals = yield from _rivals(_keeper(stores, proposal), proposal)
    versions = [(item.namespace, item.key, version_of(item)) for item in (*stored, *rivals)]
    return Found(
        proposal=proposal,
        bases=tuple(read_all(stored, [proposal.namespace])),
        rivals=tuple(read_all(rivals, [proposal.namespace])),
        versions=((*proposal.place, version), *versions),
    )


def _rivals(store: LearningStore, proposal: Learning) -> Flow[list[Item]]:
    """Return what else is or waits about the same thing, where records say what they are about.

    A decision expects them unchanged: so of two proposals about one thing that are approved at once, one is refused.
    """
    record = store.kinds.get(proposal.kind)
    if record is None or not has_identity(record) or proposal.retires:
        return []
    found: list[Item] = []
    for status in (Status.ACTIVE, Status.PROPOSED):
        found += yield from every(proposal.namespace, {"status": status.value})
    mine, about = {proposal.key, *proposal.base}, store.about(proposal)
    others = [item for item in found if item.key not in mine and item.namespace == proposal.namespace]
    return [item for item in others if (one := Learning.read(item)) and store.about(one) == about]


def _grounds(stores: Sequence[LearningStore], caller: Caller, proposal: Learning) -> Flow[list[Ground]]:
    """Return what a proposal links to, as far as the caller may read it."""
    readable = places(stores, caller)
    items = yield from batch(*(GetOp(place, key) for key in proposal.derived_from for place in readable))
    found = {one.key: one for one in read_all((item for item in items if isinstance(item, Item)), readable)}
    known = [found[key] for key in proposal.derived_from if key in found]
    return [Ground(key=one.key, kind=one.kind, text=one.text, said_by=_first(one)) for one in known]


def _first(learning: Learning) -> str | None:
    return learning.sources[0].user if learning.sources else None


def _keeper(stores: Sequence[LearningStore], learning: Learning) -> LearningStore:
    return next(store for store in stores if store.name == learning.kept_by)


def _one(stores: Sequence[LearningStore], caller: Caller, key: str, status: Status) -> Flow[tuple[Learning, int]]:
    """Return the learning of this key and status that the caller may read, and its version."""
    items = yield from batch(*(GetOp(place, key) for place in places(stores, caller)))
    for item in items:
        learning = Learning.read(item) if isinstance(item, Item) else None
        if learning and isinstance(item, Item) and learning.status is status:
            return learning, version_of(item)
    what = "waits for approval" if status is Status.PROPOSED else "counts"
    raise NotFound(f"Nothing that {caller.user} can see and that {what} has the key {key!r}.")


def _edited(store: LearningStore, proposal: Learning, fields: Mapping[str, Any]) -> Learning:
    if proposal.retires:
        raise InvalidFields("A proposal to forget something has no fields to change.")
    try:
        return store.with_fields(proposal, fields)
    except ValidationError as error:
        raise InvalidFields(f"The proposal was not approved: {reason(error)}") from error
