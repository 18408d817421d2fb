"""What a person decides about what waits for approval, and what they are shown to decide it by."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from langgraph.store.base import GetOp, Item, SearchOp
from pydantic import BaseModel, ConfigDict, ValidationError

from langgraph_learning.edits import reason
from langgraph_learning.errors import InvalidFields, NotAllowed, NotFound
from langgraph_learning.flow import Flow, batch, search
from langgraph_learning.learning import Decision, Learning, Status, in_one_step, read_all
from langgraph_learning.learning_store import LearningStore, places
from langgraph_learning.proposals import approved, decided, stale
from langgraph_learning.scopes import Caller, Namespace
from langgraph_learning.sharing import mark_of
from langgraph_learning.transactions import Expected, version_of

PAGE = 500


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
    versions: tuple[tuple[Namespace, str, int], ...]

    def expected(self) -> list[Expected]:
        """Return what must not have changed when a decision is written."""
        return [Expected(*version) for version in self.versions]

    def evidence(self) -> Evidence:
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
            replaces=() if one.retires else tuple(base.text for base in self.bases),
            quote=one.quote,
            said_by=source.user if source else None,
            channel=source.channel if source else None,
            thread=source.thread if source else None,
            messages=source.messages if source else (),
            supporters=len(one.supporters),
            proposed_at=one.learned_at,
            stale=stale(one, self.bases),
        )


def pending(stores: Sequence[LearningStore], caller: Caller) -> Flow[tuple[Learning, ...]]:
    """Return all that waits for approval where the caller may read, oldest first."""
    found: list[Learning] = []
    for place in places(stores, caller):
        while True:
            read = sum(one.namespace == place for one in found)
            items = yield from search(SearchOp(place, {"status": Status.PROPOSED.value}, limit=PAGE, offset=read))
            found += read_all(items, [place])
            if len(items) < PAGE:
                break
    return tuple(sorted(found, key=lambda one: (one.learned_at, one.key)))


def show(stores: Sequence[LearningStore], caller: Caller, key: str) -> Flow[Evidence]:
    """Return a proposal with its evidence. Raises `NotFound`."""
    return (yield from _proposal(stores, caller, key)).evidence()


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
    if four_eyes and own(found.proposal, caller):
        raise NotAllowed("This proposal rests on your own words: somebody else has to approve it.")
    decision = Decision(by=caller.user, at=datetime.now(UTC), verdict="approved", why=why)
    store = next(store for store in stores if store.name == found.proposal.kept_by)
    proposal = _edited(store, found.proposal, fields) if fields else found.proposal
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
    versions = [(item.namespace, item.key, version_of(item)) for item in stored]
    return Found(
        proposal=proposal,
        bases=tuple(read_all(stored, [proposal.namespace])),
        versions=((*proposal.place, version), *versions),
    )


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


def own(proposal: Learning, caller: Caller) -> bool:
    """Whether a proposal rests on something that was said in this user's own turn."""
    mark = mark_of(caller, proposal.key)
    return mark in proposal.supporters or any(source.user == caller.user for source in proposal.sources)
