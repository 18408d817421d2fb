"""Votes: what somebody said of an answer, counted for everything that the answer had in its context."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import blake2s
from typing import Any

from langgraph.store.base import GetOp, Item, PutOp, SearchOp
from pydantic import BaseModel, ConfigDict, ValidationError

from langgraph_learning.errors import Conflict
from langgraph_learning.flow import Flow, batch, get, together
from langgraph_learning.learning import Learning, Status, Votes
from langgraph_learning.learning_store import LearningStore, places
from langgraph_learning.scopes import Caller, Namespace, Scope, escape
from langgraph_learning.sharing import mark_of
from langgraph_learning.transactions import Expected, version_of

VOTES = "votes"
SHOWN = "shown"
MOST = 1_000
"""How many votes of one learning are counted: by then the sum says what there is to say."""
ATTEMPTS = 20
"""How often a sum is taken when others vote at the same time."""

Place = tuple[Namespace, str]


class Vote(BaseModel):
    """One voice on one learning in the context of one answer. The same voice on the same answer counts once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    helped: bool
    why: str
    """What was said: "up", "down", "correction", an outcome, or the kind of learning that says so."""
    answer: str
    """Id of the answer."""
    voter: str
    """A mark of the user whose voice it is; it names nobody."""
    at: datetime

    @classmethod
    def of(cls, caller: Caller, answer: str, *, helped: bool, why: str, at: datetime) -> "Vote":
        """Return the caller's voice on an answer."""
        return cls(helped=helped, why=why, answer=answer, voter=mark_of(caller, VOTES), at=at)

    def on(self, place: Place) -> tuple[Namespace, str, dict[str, Any]]:
        """Return the item that casts it on the learning at this place: its namespace, key and value."""
        key = blake2s(f"{self.answer}\0{self.voter}".encode(), digest_size=16).hexdigest()
        return where(place), key, {"version": 1, **self.model_dump(mode="json")}


def where(place: Place) -> Namespace:
    """Return where the votes on the learning at this place lie."""
    (*folder, store), key = place
    return (*folder, VOTES, store, escape(key))


def shown_in(stores: Sequence[LearningStore], caller: Caller, answer: str) -> Flow[list[Place]]:
    """Return the learnings that an answer had in its context, as far as the caller may read them."""
    item = yield from get(caller.namespace(Scope.THREAD, SHOWN), answer)
    readable = set(places(stores, caller))
    found = [(tuple(namespace), key) for namespace, key in item.value["learnings"]] if item else []
    return [place for place in found if place[0] in readable]


def cast(stores: Sequence[LearningStore], caller: Caller, vote: Vote) -> Flow[tuple[Learning, ...]]:
    """Cast a vote on everything that its answer was shown; return the learnings with their new sums."""
    shown = yield from shown_in(stores, caller, vote.answer)
    yield from batch(*(PutOp(*vote.on(place), index=False) for place in shown), by=caller.user)
    return (yield from rolled_up(shown, caller.user))


def rolled_up(voted: Iterable[Place], by: str) -> Flow[tuple[Learning, ...]]:
    """Take the sums of the votes on these learnings anew, and return those that count.

    A learning is read before its votes and written only if it has not changed since: so of two who count at the same
    time the later one has seen all votes. Raises `Conflict` if that does not succeed.
    """
    wanted = sorted(set(voted))
    for _ in range(ATTEMPTS):
        items = yield from batch(*(GetOp(*place) for place in wanted))
        known = {place: item for place, item in zip(wanted, items, strict=True) if isinstance(item, Item)}
        sums = yield from together(counted(place) for place in known)
        now = [_with_votes(item, votes) for item, votes in zip(known.values(), sums, strict=True)]
        counting = [one for one in now if one and one.status is Status.ACTIVE]
        changed = [one for one in counting if known[one.place].value.get("votes") != one.votes.model_dump()]
        expected = [Expected(*one.place, version_of(known[one.place])) for one in changed]
        try:
            yield from batch(*(one.put() for one in changed), expected=expected, by=by)
        except Conflict:
            continue
        return tuple(counting)
    raise Conflict


def counted(place: Place) -> Flow[Votes]:
    """Return the sum of all votes on the learning at this place."""
    (items,) = yield from batch(SearchOp(where(place), limit=MOST))
    votes = [read(item) for item in items if isinstance(item, Item)] if isinstance(items, list) else []
    helped = [vote.helped for vote in votes if vote]
    return Votes(helped=sum(helped), harmed=len(helped) - sum(helped))


def read(item: Item) -> Vote | None:
    """Return the vote that an item holds, or None if it holds none."""
    try:
        return Vote.model_validate({name: value for name, value in item.value.items() if name != "version"})
    except ValidationError:
        return None


def _with_votes(item: Item, votes: Votes) -> Learning | None:
    learning = Learning.read(item)
    return learning and learning.model_copy(update={"votes": votes})
