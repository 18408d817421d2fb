"""Votes: what somebody said of an answer, counted for everything that the answer had in its context."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.store.base import GetOp, Item, SearchOp
from pydantic import BaseModel, ConfigDict, ValidationError

from langgraph_learning.core.flow import Flow, batch, gather, get_item, search, search_all
from langgraph_learning.core.keys import CURSOR, SHOWN, VOTES, fingerprint, user_hash
from langgraph_learning.core.learning import Learning, Status, Votes
from langgraph_learning.core.records import Edit, verdict_of
from langgraph_learning.core.scopes import Caller, ItemRef, Namespace, Scope, escape
from langgraph_learning.core.store_protocol import Expected, ItemWrite, version_of
from langgraph_learning.errors import Conflict, NotFound
from langgraph_learning.stores.base import LearningStore, Turn, readable_namespaces
from langgraph_learning.update.opt_out import read_opt_outs

MAX_VOTES = 1_000
"""How many votes of one learning are counted: by then the sum says what there is to say."""
TOTAL_ATTEMPTS = 20
"""How often a sum is taken when others vote at the same time."""


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
        return cls(helped=helped, why=why, answer=answer, voter=user_hash(caller, VOTES), at=at)

    def on(self, place: ItemRef) -> ItemWrite:
        """Return the item that casts it on the learning at this place: its namespace, key and value."""
        key = fingerprint(self.answer, self.voter, size=16)
        return votes_namespace(place), key, {"version": 1, **self.model_dump(mode="json")}


def votes_namespace(place: ItemRef) -> Namespace:
    """Return where the votes on the learning at this place lie."""
    (*folder, store), key = place
    return (*folder, VOTES, store, escape(key))


def context_writes(
    caller: Caller, answer: str, shown: Sequence[ItemRef], telling: Collection[str]
) -> tuple[ItemWrite, ...]:
    """Return the items that say what an answer had in its context, and that it is the thread's last for now.

    telling: names of the learning stores of which not every answer has the same in its context.
    """
    learnings = [[list(namespace), key] for namespace, key in shown]
    kept: ItemWrite = caller.namespace(Scope.THREAD, SHOWN), answer, {"learnings": learnings}
    knowing = any(namespace[-1] in telling for namespace, _ in shown)
    return (kept, *((*place, {"answer": answer}) for place in _last_answer_refs(caller)[0 if knowing else 1 :]))


def context_refs(caller: Caller) -> Flow[list[ItemRef]]:
    """Return where all lies that is kept of the answers in the caller's thread, whether or not there is any."""
    shown = yield from search_all(caller.namespace(Scope.THREAD, SHOWN))
    return [*_last_answer_refs(caller), *((item.namespace, item.key) for item in shown)]


def find_last_answer(caller: Caller) -> Flow[str]:
    """Return the last answer of the caller's thread that had something telling in its context, or else the last one.

    Raises `NotFound` for a thread without any.
    """
    items = yield from batch(*(GetOp(*place) for place in _last_answer_refs(caller)))
    found = [str(item.value["answer"]) for item in items if isinstance(item, Item)]
    if not found:
        raise NotFound(f"No answer is on record in the thread {caller.thread!r}.")
    return found[0]


def last_answer_id(messages: Sequence[AnyMessage]) -> str | None:
    """Return the id of the last answer among these messages."""
    return next((m.id for m in reversed(messages) if isinstance(m, AIMessage) and m.id), None)


def read_answer_context(stores: Sequence[LearningStore], caller: Caller, answer: str) -> Flow[list[ItemRef]]:
    """Return the learnings that an answer had in its context, as far as they are there and the caller may read them.

    What belongs to a thread alone is no use to anybody else, so nobody votes on it. Raises `NotFound` for an answer
    that is not on record.
    """
    item = yield from get_item(caller.namespace(Scope.THREAD, SHOWN), answer)
    if item is None:
        raise NotFound(
            f"Nothing is known of an answer {answer!r} in the thread {caller.thread!r}: give the id of the message "
            "with which the agent ended a turn, of a run that had a thread_id and was not told to learn nothing."
        )
    out = yield from read_opt_outs(caller)
    shared = [store for store in stores if store.name not in out and store.scope != Scope.THREAD]
    readable = set(readable_namespaces(shared, caller))
    shown = [(tuple(namespace), key) for namespace, key in item.value["learnings"]]
    found = yield from batch(*(GetOp(*place) for place in shown if place[0] in readable))
    return [(one.namespace, one.key) for one in found if isinstance(one, Item)]


def votes_in_edits(
    stores: Sequence[LearningStore], turn: Turn, edits: Iterable[Edit]
) -> Flow[tuple[tuple[ItemWrite, ...], tuple[ItemRef, ...]]]:
    """Return the votes by which the user said how the answer before was, and the learnings they are cast on."""
    said = [(edit, vote) for edit in edits if (vote := _vote_of_edit(turn, edit))]
    out = (yield from read_opt_outs(turn.caller)) if said else set()
    marks: dict[ItemRef, ItemWrite] = {}
    voted: list[ItemRef] = []
    for vote in [vote for edit, vote in said if edit.namespace[-1] not in out]:
        with suppress(NotFound):  # nobody kept what that answer was shown: then there is nothing to vote on
            shown = yield from read_answer_context(stores, turn.caller, vote.answer)
            marks |= {mark[:2]: mark for mark in map(vote.on, shown)}
            voted += shown
    return tuple(marks.values()), tuple(voted)


def drop_cast(vote: Vote, shown: Sequence[ItemRef]) -> Flow[list[ItemRef]]:
    """Return the learnings among these on which this voice has not said the same of the same answer already."""
    items = yield from batch(*(GetOp(*vote.on(place)[:2]) for place in shown))
    before = [parse_vote(item) if isinstance(item, Item) else None for item in items]
    now = vote.helped, vote.why
    return [place for place, old in zip(shown, before, strict=True) if not old or (old.helped, old.why) != now]


def update_totals(voted: Iterable[ItemRef], by: str) -> Flow[tuple[Learning, ...]]:
    """Write the sums of the votes on these learnings, and return those of them that count.

    It is done when there is nothing to write: whoever wrote looks once more, and so sees every vote cast until then.
    So who is overtaken may leave the sum to those who were quicker.
    """
    wanted = sorted(set(voted))
    for _ in range(TOTAL_ATTEMPTS):
        counting, expected = yield from _find_stale_totals(wanted)
        if not expected:
            break
        changed = [one for one in counting if one.ref in {(there.namespace, there.key) for there in expected}]
        with suppress(Conflict):
            yield from batch(*(one.put() for one in changed), expected=expected, by=by)
    return counting


def _find_stale_totals(wanted: Sequence[ItemRef]) -> Flow[tuple[tuple[Learning, ...], list[Expected]]]:
    """Return the learnings that count with the sums of their votes, and the versions of those whose sum is another."""
    items = yield from batch(*(GetOp(*place) for place in wanted))
    known = {place: item for place, item in zip(wanted, items, strict=True) if isinstance(item, Item)}
    active = [one for item in known.values() if (one := Learning.read(item)) and one.status is Status.ACTIVE]
    sums = yield from gather(read_votes(one) for one in active)
    counting = tuple(one.model_copy(update={"votes": votes}) for one, votes in zip(active, sums, strict=True))
    stale = [one.ref for one in counting if known[one.ref].value.get("votes") != one.votes.model_dump()]
    return counting, [Expected(*place, version_of(known[place])) for place in stale]


def read_votes(learning: Learning) -> Flow[Votes]:
    """Return the sum of all votes on a learning and on what was merged into it."""
    voted = [(learning.namespace, key) for key in (learning.key, *learning.merged)]
    items = yield from search(*(SearchOp(votes_namespace(place), limit=MAX_VOTES) for place in voted))
    found = {item.key: vote for item in items if (vote := parse_vote(item))}
    return count_votes(found.values())


def count_votes(votes: Iterable[Vote]) -> Votes:
    """Return the sum of some votes."""
    helped = [vote.helped for vote in votes]
    return Votes(helped=sum(helped), harmed=len(helped) - sum(helped))


def _last_answer_refs(caller: Caller) -> tuple[ItemRef, ItemRef]:
    """Return where it lies which answer had something telling in its context last, and which is the last of all."""
    place = caller.namespace(Scope.THREAD, CURSOR)
    return (place, "knowing"), (place, "answer")


def _vote_of_edit(turn: Turn, edit: Edit) -> Vote | None:
    """Return the vote that an edit is, if by it the user says how the agent's last answer was."""
    helped = verdict_of(edit.record)
    if helped is None or edit.source.channel != "user" or not turn.caller.thread:
        return None
    ids = [message.id for message in turn.messages]
    place = ids.index(edit.source.messages[0]) if edit.source.messages[0] in ids else 0
    answer = last_answer_id(turn.messages[:place])
    if answer is None:
        return None
    return Vote.of(turn.caller, answer, helped=helped, why=edit.kind, at=turn.now)


def parse_vote(item: Item) -> Vote | None:
    """Return the vote that an item holds, or None if it holds none."""
    try:
        return Vote.model_validate({name: value for name, value in item.value.items() if name != "version"})
    except ValidationError:
        return None
