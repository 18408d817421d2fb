"""What waits for a person's word: how a wish becomes a proposal, and a proposal a learning."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from langgraph_learning.core.keys import hash_key, user_hash
from langgraph_learning.core.learning import Learning, ReviewDecision, Status
from langgraph_learning.core.scopes import Caller, ItemRef
from langgraph_learning.core.text import normalize

StoredLearnings = Mapping[ItemRef, Learning]
"""What lies in the store at this moment, by where it lies."""


def make_proposals(asked: Iterable[Learning], stored: StoredLearnings, at: datetime) -> list[Learning]:
    """Return wishes as proposals: nothing that counts is touched.

    What is new waits. What would take the place of something, or make it be forgotten, remembers how that was. Any
    other change of what is there, such as another source, asks for nothing that a person could approve.
    """
    found = (_make_proposal(one, stored, at) for one in asked)
    return list({one.ref: one for one in found if one is not None}.values())


def drop_answered(proposals: Iterable[Learning], stored: StoredLearnings) -> list[Learning]:
    """Return the proposals that need an answer: not those that are pending, active or rejected already.

    A proposal that was approved earlier and has ended since keeps its decisions: past versions are read from them.
    """
    unanswered = []
    for proposal in proposals:
        earlier = stored.get(proposal.ref)
        if earlier is None:
            unanswered.append(proposal)
        elif _is_history(earlier):
            unanswered.append(proposal.model_copy(update={"decisions": earlier.decisions}))
    return unanswered


def apply_approval(proposal: Learning, bases: Sequence[Learning], decision: ReviewDecision) -> list[Learning]:
    """Return what to write when a person approves a proposal that is not stale: it, and what it replaces or retires."""
    ended = Status.REJECTED if proposal.retires else Status.SUPERSEDED
    old = [end_learning(one, decision, ended) for one in bases]
    # A proposal to forget has done its work; any other counts from now on.
    status = Status.SUPERSEDED if proposal.retires else Status.ACTIVE
    return [*old, with_decision(proposal, status, decision)]


def with_decision(learning: Learning, status: Status, decision: ReviewDecision) -> Learning:
    """Return a learning as it is after a decision."""
    # What was said stays with the reviewer, and who said it was counted for nothing else.
    settled = {"status": status, "decisions": (*learning.decisions, decision), "quote": None, "supporters": ()}
    return learning.model_copy(update=settled)


def end_learning(learning: Learning, decision: ReviewDecision, status: Status = Status.SUPERSEDED) -> Learning:
    """Return a learning that counts no longer since a decision about another."""
    ended = decision.model_copy(update={"verdict": "ended"})
    changes = {"status": status, "valid_to": decision.at, "decisions": (*learning.decisions, ended)}
    return learning.model_copy(update=changes)


def is_stale(proposal: Learning, bases: Iterable[Learning]) -> bool:
    """Whether what a proposal would change has changed since it was made."""
    return {one.key: one.digest() for one in bases} != dict(proposal.base)


def is_rejected(learning: Learning) -> bool:
    """Whether a reviewer said no to it."""
    return bool(learning.decisions) and learning.decisions[-1].verdict == "rejected"


def _make_proposal(one: Learning, stored: StoredLearnings, at: datetime) -> Learning | None:
    old = stored.get(one.ref)
    waiting = {"status": Status.PROPOSED, "retires": None, "supporters": (), "decisions": (), "learned_at": at}
    if one.status is Status.REJECTED and old and old.status is Status.ACTIVE:
        asked = tuple(source for source in one.sources if source not in old.sources) or old.sources
        made = old.model_copy(update={**waiting, "retires": old.key, "sources": asked, "quote": one.quote})
        return _with_key(made, [old], ())
    if one.status not in (Status.ACTIVE, Status.PROPOSED) or (old and one.text == old.text and one.data == old.data):
        return None
    replaced = [stored[one.namespace, key] for key in one.supersedes if (one.namespace, key) in stored]
    bases = [base for base in (*replaced, *([old] if old else [])) if base.status is Status.ACTIVE]
    return _with_key(one.model_copy(update=waiting), bases, tuple(base.key for base in bases))


def _with_key(proposal: Learning, bases: Sequence[Learning], supersedes: tuple[str, ...]) -> Learning:
    """Return a proposal with what it rests on, under a key that the same wish would have again."""
    base = {one.key: one.digest() for one in bases}
    wish = (*proposal.namespace, proposal.kind, str(proposal.retires), normalize(proposal.text), *sorted(base.values()))
    return proposal.model_copy(update={"key": hash_key(*wish), "base": base, "supersedes": supersedes})


def _is_history(learning: Learning) -> bool:
    """Whether a former proposal is history, so that the same may be proposed anew."""
    return learning.status in (Status.SUPERSEDED, Status.REJECTED) and not is_rejected(learning)


def rests_on_own_words(proposal: Learning, caller: Caller) -> bool:
    """Whether a proposal rests on something that was said in this user's own turn."""
    mark = user_hash(caller, proposal.key)
    return mark in proposal.supporters or any(source.user == caller.user for source in proposal.sources)
