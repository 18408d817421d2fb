"""Search for active learnings, and their ranking by relevance, votes and date."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from langgraph.store.base import Item, SearchOp

from langgraph_learning.core.flow import Flow, search
from langgraph_learning.core.learning import Learning, Status, add_votes
from langgraph_learning.core.scopes import Namespace

OVERFETCH = 3
"""Factor by which more items are read than shown: the store knows neither validity, nor subjects, nor votes."""


def search_active(
    namespaces: Sequence[Namespace], query: str = "", *, limit: int, kind: str | None = None
) -> Flow[list[Item]]:
    """Search several namespaces for active learnings in one batch, at most `limit` in each.

    Without a query, the order is that of the store.
    """
    filter = {"status": Status.ACTIVE.value} | ({"kind": kind} if kind else {})
    return (
        yield from search(*(SearchOp(namespace, filter, limit=limit, query=query or None) for namespace in namespaces))
    )


def rank_learnings(learnings: Iterable[Learning], subject_of: Callable[[Learning], str]) -> list[Learning]:
    """Return one learning per subject, the most useful first.

    A user's own learning hides a shared one about the same subject; otherwise the newest hides the others.
    """
    newest_first = sorted(learnings, key=lambda learning: (learning.learned_at, learning.key), reverse=True)
    private_first = sorted(newest_first, key=lambda learning: not learning.scope.private)
    by_subject: dict[str, Learning] = {}
    for learning in private_first:
        by_subject.setdefault(subject_of(learning), learning)
    usual = add_votes(learning.votes for learning in by_subject.values()).share
    return sorted(by_subject.values(), key=lambda learning: _ranking_key(learning, usual), reverse=True)


def _ranking_key(learning: Learning, usual: float) -> tuple[float, float, datetime, str]:
    """Return relevance weighted by votes, then the votes' weight, then the date."""
    score, weight = learning.score or 0.0, learning.votes.weight(usual)
    # Some distances count down from zero: there, less weight must mean a larger negative number.
    relevance = score * weight if score > 0 else score / weight
    return relevance, weight, learning.learned_at, learning.key
