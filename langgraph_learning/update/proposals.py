"""Proposals: how a requested change becomes a learning that waits for approval, and what an approval changes."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from langgraph_learning.core.keys import hash_key, user_hash
from langgraph_learning.core.learning import Learning, ReviewDecision, Status
from langgraph_learning.core.scopes import Caller, ItemRef
from langgraph_learning.core.text import normalize

StoredLearnings = Mapping[ItemRef, Learning]
"""Learnings as they were read from the store, by ref."""


def make_proposals(requested: Iterable[Learning], stored: StoredLearnings, at: datetime) -> list[Learning]:
    """Turn requested changes into proposals; active learnings stay unchanged.

    A proposal to replace or forget learnings holds their digests, so that it is stale once one of them changes. A
    change of neither text nor data, such as another source, has nothing to approve and is dropped.
    """
    proposals: dict[ItemRef, Learning] = {}
    for learning in requested:
        proposal = _make_proposal(learning, stored, at)
        if proposal is not None:
            proposals[proposal.ref] = proposal
    return list(proposals.values())


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
    """Return the learnings to write on the approval of a proposal: those it replaces or forgets, and itself at the end.

    bases: the learnings that the proposal changes, as they are stored now. The proposal must not be stale.
    """
    if proposal.retires:
        # A proposal to forget is done once it is approved, so it does not become active itself.
        ended = [end_learning(base, decision, Status.REJECTED) for base in bases]
        return [*ended, with_decision(proposal, Status.SUPERSEDED, decision)]
    ended = [end_learning(base, decision) for base in bases]
    return [*ended, with_decision(proposal, Status.ACTIVE, decision)]


def with_decision(learning: Learning, status: Status, decision: ReviewDecision) -> Learning:
    """Return a learning in the status that a decision gives it, without its quote and its supporters."""
    # The quote was for the reviewer only, and supporters are counted only until the decision.
    decided = {"status": status, "decisions": (*learning.decisions, decision), "quote": None, "supporters": ()}
    return learning.model_copy(update=decided)


def end_learning(learning: Learning, decision: ReviewDecision, status: Status = Status.SUPERSEDED) -> Learning:
    """Return a learning that ended because of a decision about another one."""
    ended = decision.model_copy(update={"verdict": "ended"})
    changes = {"status": status, "valid_to": decision.at, "decisions": (*learning.decisions, ended)}
    return learning.model_copy(update=changes)


def is_stale(proposal: Learning, bases: Iterable[Learning]) -> bool:
    """Return True if a learning that the proposal would change has changed since the proposal was made."""
    return {base.key: base.digest() for base in bases} != dict(proposal.base)


def is_rejected(learning: Learning) -> bool:
    """Return True if the last decision about it was a rejection."""
    return bool(learning.decisions) and learning.decisions[-1].verdict == "rejected"


def rests_on_own_words(proposal: Learning, caller: Caller) -> bool:
    """Return True if a proposal rests on a turn of this user, or if the user supports it."""
    supporter = user_hash(caller, proposal.key)
    return supporter in proposal.supporters or any(source.user == caller.user for source in proposal.sources)


def _make_proposal(learning: Learning, stored: StoredLearnings, at: datetime) -> Learning | None:
    """Return the proposal of a requested change; None if the change has nothing to approve."""
    current = stored.get(learning.ref)
    pending = {"status": Status.PROPOSED, "retires": None, "supporters": (), "decisions": (), "learned_at": at}
    if learning.status is Status.REJECTED and current and current.status is Status.ACTIVE:
        new_sources = tuple(source for source in learning.sources if source not in current.sources)
        retiring = {"retires": current.key, "sources": new_sources or current.sources, "quote": learning.quote}
        return _with_bases(current.model_copy(update={**pending, **retiring}), [current], ())
    if learning.status not in (Status.ACTIVE, Status.PROPOSED):
        return None
    if current and (current.text, current.data) == (learning.text, learning.data):
        return None
    bases = [stored[learning.namespace, key] for key in learning.supersedes if (learning.namespace, key) in stored]
    bases += [current] if current else []
    bases = [base for base in bases if base.status is Status.ACTIVE]
    return _with_bases(learning.model_copy(update=pending), bases, tuple(base.key for base in bases))


def _with_bases(proposal: Learning, bases: Sequence[Learning], supersedes: tuple[str, ...]) -> Learning:
    """Return a proposal with the digests of its bases, under a key that is the same for the same request."""
    digests = {base.key: base.digest() for base in bases}
    retires, text = str(proposal.retires), normalize(proposal.text)
    key = hash_key(*proposal.namespace, proposal.kind, retires, text, *sorted(digests.values()))
    return proposal.model_copy(update={"key": key, "base": digests, "supersedes": supersedes})


def _is_history(learning: Learning) -> bool:
    """Return True if a former proposal has ended without a rejection, so that the same may be proposed again."""
    return learning.status in (Status.SUPERSEDED, Status.REJECTED) and not is_rejected(learning)
