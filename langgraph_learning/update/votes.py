"""Votes: users' judgements of answers, cast on the learnings that an answer had in its context, and their totals."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.store.base import Item, SearchOp
from pydantic import BaseModel, ConfigDict, ValidationError

from langgraph_learning.core.flow import Flow, batch, gather, get_item, search, search_all
from langgraph_learning.core.keys import CURSOR, SHOWN, VOTES, fingerprint, limit_key, user_hash
from langgraph_learning.core.learning import Learning, Status, Votes
from langgraph_learning.core.records import Edit, verdict_of
from langgraph_learning.core.repository import get_items, get_many
from langgraph_learning.core.scopes import Caller, ItemRef, Namespace, Scope, escape
from langgraph_learning.core.store_protocol import Expected, ItemWrite
from langgraph_learning.errors import Conflict, NotFound
from langgraph_learning.stores.base import LearningStore, Turn, readable_namespaces
from langgraph_learning.update.opt_out import read_opt_outs

MAX_VOTES = 1_000
"""Maximum number of votes counted for one learning: more of them would hardly change the result."""
TOTAL_ATTEMPTS = 20
"""Number of attempts to write a total while others vote at the same time."""


class Vote(BaseModel):
    """One user's vote on one learning in the context of one answer. A later vote on the same answer replaces it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    helped: bool
    why: str
    """The reason: "up", "down", "correction", an outcome, or the kind of the learning that judges the answer."""
    answer: str
    """Id of the answer's message."""
    voter: str
    """Pseudonym of the user."""
    at: datetime

    @classmethod
    def of(cls, caller: Caller, answer: str, *, helped: bool, why: str, at: datetime) -> "Vote":
        """Return the caller's vote on an answer."""
        return cls(helped=helped, why=why, answer=answer, voter=user_hash(caller, VOTES), at=at)

    def on(self, ref: ItemRef) -> ItemWrite:
        """Return the item that casts this vote on a learning: its namespace, key and value."""
        key = fingerprint(self.answer, self.voter, size=16)
        return votes_namespace(ref), key, {"version": 1, **self.model_dump(mode="json")}


def votes_namespace(ref: ItemRef) -> Namespace:
    """Return the namespace of the votes on a learning."""
    (*owner_namespace, store_name), key = ref
    return (*owner_namespace, VOTES, store_name, escape(key))


def context_writes(
    caller: Caller, answer: str, in_context: Sequence[ItemRef], query_dependent: Collection[str]
) -> tuple[ItemWrite, ...]:
    """Return the items that record the learnings in an answer's context, and that it is the thread's last answer.

    query_dependent: names of the learning stores whose part of the context depends on the question. The thread's last
    answer with any of their learnings is recorded separately: outcomes of the thread are credited to it.
    """
    learnings = [[list(namespace), key] for namespace, key in in_context]
    value = {"learnings": learnings, "user": user_hash(caller, SHOWN)}
    context: ItemWrite = caller.namespace(Scope.THREAD, SHOWN), limit_key(answer), value
    with_query_dependent, last = _last_answer_refs(caller)
    refs = [last]
    if any(namespace[-1] in query_dependent for namespace, _ in in_context):
        refs = [with_query_dependent, last]
    return (context, *((*ref, {"answer": answer}) for ref in refs))


def find_context_refs(caller: Caller) -> Flow[list[ItemRef]]:
    """Return the refs of the records of answers to this caller in their thread; some may have no item."""
    contexts = yield from search_all(caller.namespace(Scope.THREAD, SHOWN))
    # Records of earlier releases name no user.
    own = [item for item in contexts if item.value.get("user") in (None, user_hash(caller, SHOWN))]
    return [*_last_answer_refs(caller), *((item.namespace, item.key) for item in own)] if own else []


def find_last_answer(caller: Caller) -> Flow[str]:
    """Return the id of the thread's last answer with query-dependent learnings in its context, or else the last one.

    Raises `NotFound` for a thread in which no answer is recorded.
    """
    refs = _last_answer_refs(caller)
    items = yield from get_items(refs)
    for ref in refs:
        if ref in items:
            return str(items[ref].value["answer"])
    raise NotFound(f"No answer is on record in the thread {caller.thread!r}.")


def last_answer_id(messages: Sequence[AnyMessage]) -> str | None:
    """Return the id of the last answer among these messages."""
    return next((m.id for m in reversed(messages) if isinstance(m, AIMessage) and m.id), None)


def read_answer_context(stores: Sequence[LearningStore], caller: Caller, answer: str) -> Flow[list[ItemRef]]:
    """Return the refs of the learnings that an answer had in its context, if they still exist and the caller may read.

    Learnings of the thread itself are left out, since nobody else uses them; so are those of stores that the user opted
    out of. Raises `NotFound` for an answer that is not on record.
    """
    item = yield from get_item(caller.namespace(Scope.THREAD, SHOWN), limit_key(answer))
    if item is None:
        raise NotFound(
            f"The thread {caller.thread!r} has no answer {answer!r} on record: give the id of the message that ended a "
            "turn, in a run that had a thread_id and was allowed to learn."
        )
    opted_out = yield from read_opt_outs(caller)
    voted_stores = [store for store in stores if store.name not in opted_out and store.scope != Scope.THREAD]
    readable = set(readable_namespaces(voted_stores, caller))
    in_context = [(tuple(namespace), key) for namespace, key in item.value["learnings"]]
    items = yield from get_items(ref for ref in in_context if ref[0] in readable)
    return list(items)


def votes_in_edits(
    stores: Sequence[LearningStore], turn: Turn, edits: Iterable[Edit]
) -> Flow[tuple[tuple[ItemWrite, ...], tuple[ItemRef, ...]]]:
    """Return the votes of edits in which the user judges the previous answer, and the learnings voted on."""
    judgements = [(edit, vote) for edit in edits if (vote := _vote_of_edit(turn, edit))]
    opted_out = (yield from read_opt_outs(turn.caller)) if judgements else set()
    writes: dict[ItemRef, ItemWrite] = {}
    voted: list[ItemRef] = []
    for edit, vote in judgements:
        if edit.namespace[-1] in opted_out:
            continue
        with suppress(NotFound):  # the answer's context was not recorded, so there is nothing to vote on
            for ref in (yield from read_answer_context(stores, turn.caller, vote.answer)):
                namespace, key, value = vote.on(ref)
                writes[namespace, key] = namespace, key, value
                voted.append(ref)
    return tuple(writes.values()), tuple(voted)


def select_unvoted(vote: Vote, refs: Sequence[ItemRef]) -> Flow[list[ItemRef]]:
    """Return the learnings on which this user has not yet voted in the same way, for the same reason and answer."""
    vote_refs = [vote.on(ref)[:2] for ref in refs]
    items = yield from get_items(vote_refs)
    unvoted = []
    for ref, vote_ref in zip(refs, vote_refs, strict=True):
        earlier = parse_vote(items[vote_ref]) if vote_ref in items else None
        if earlier is None or (earlier.helped, earlier.why) != (vote.helped, vote.why):
            unvoted.append(ref)
    return unvoted


def update_totals(voted: Iterable[ItemRef], by: str) -> Flow[tuple[Learning, ...]]:
    """Write the vote totals of these learnings; return those of them that are active.

    Retry until the stored totals match the votes. A writer that loses the race may stop: the winner reads again, and
    includes its vote.
    """
    refs = sorted(set(voted))
    for _ in range(TOTAL_ATTEMPTS):
        counted, stale = yield from _count_stored_votes(refs)
        if not stale:
            break
        changed = [learning for learning in counted if learning.ref in stale]
        expected = [Expected(*ref, version) for ref, version in stale.items()]
        with suppress(Conflict):
            yield from batch(*(learning.put() for learning in changed), expected=expected, by=by)
    return counted


def _count_stored_votes(refs: Sequence[ItemRef]) -> Flow[tuple[tuple[Learning, ...], dict[ItemRef, int]]]:
    """Return the active learnings with the totals of their votes, and the versions of those stored with others."""
    learnings, versions = yield from get_many(refs)
    active = [learning for learning in learnings.values() if learning.status is Status.ACTIVE]
    totals = yield from gather(read_votes(learning) for learning in active)
    counted: list[Learning] = []
    stale: dict[ItemRef, int] = {}
    for learning, total in zip(active, totals, strict=True):
        counted.append(learning.model_copy(update={"votes": total}))
        if learning.votes != total:
            stale[learning.ref] = versions[learning.ref]
    return tuple(counted), stale


def read_votes(learning: Learning) -> Flow[Votes]:
    """Return the total of all votes on a learning and on those merged into it."""
    refs = [(learning.namespace, key) for key in (learning.key, *learning.merged)]
    items = yield from search(*(SearchOp(votes_namespace(ref), limit=MAX_VOTES) for ref in refs))
    # Votes of one user for one answer have one key, so a vote on several merged learnings counts once.
    votes = {item.key: vote for item in items if (vote := parse_vote(item))}
    return count_votes(votes.values())


def count_votes(votes: Iterable[Vote]) -> Votes:
    """Return the total of some votes."""
    helped = [vote.helped for vote in votes]
    return Votes(helped=sum(helped), harmed=len(helped) - sum(helped))


def parse_vote(item: Item) -> Vote | None:
    """Return the vote that an item holds; None if the item has another shape."""
    try:
        return Vote.model_validate({name: value for name, value in item.value.items() if name != "version"})
    except ValidationError:
        return None


def _last_answer_refs(caller: Caller) -> tuple[ItemRef, ItemRef]:
    """Return the refs of the thread's last answer with query-dependent learnings, and of its last answer at all."""
    namespace = caller.namespace(Scope.THREAD, CURSOR)
    return (namespace, "knowing"), (namespace, "answer")


def _vote_of_edit(turn: Turn, edit: Edit) -> Vote | None:
    """Return the vote of an edit in which the user judges the agent's previous answer; None for any other edit."""
    helped = verdict_of(edit.record)
    if helped is None or edit.source.channel != "user" or not turn.caller.thread:
        return None
    ids = [message.id for message in turn.messages]
    index = ids.index(edit.source.messages[0]) if edit.source.messages[0] in ids else 0
    answer = last_answer_id(turn.messages[:index])
    if answer is None:
        return None
    return Vote.of(turn.caller, answer, helped=helped, why=edit.kind, at=turn.now)
