"""Search for active learnings, their relevance, and their order by relevance, votes and date."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from langgraph.store.base import Item, SearchOp

from langgraph_learning.core.flow import Flow, search
from langgraph_learning.core.learning import Learning, Status, Votes, add_votes, read_learnings
from langgraph_learning.core.policy import Standing
from langgraph_learning.core.relevance import EXCHANGE_PENALTY, Scale, relevance_of
from langgraph_learning.core.scopes import ItemRef, Namespace
from langgraph_learning.core.store_protocol import FurtherQuery, MultiSearchOp, scores_of

OVERFETCH = 3
"""Factor by which more items are read than shown: the store knows neither validity, nor subjects, nor votes."""
CANDIDATES = 24
"""Learnings of a namespace that compete to be shown at most."""
ALL_TEXTS, FIRST_TEXT, SECOND_TEXT = slice(None), slice(0, 1), slice(1, 2)
"""Which of the query texts of a search count."""
EXCHANGE_BEHIND = 0.06
"""Score by which a store ranks what the exchange before finds behind what the question finds."""
SAME_RELEVANCE = 0.02
"""Difference below which two learnings are equally relevant, so that votes and dates decide."""


def search_active(
    namespaces: Sequence[Namespace],
    query: str = "",
    exchange: str = "",
    *,
    limit: int,
    kind: str | None = None,
    standing: Standing | None = None,
) -> Flow[list[Item]]:
    """Search several namespaces for active learnings in one batch, at most `limit` in each.

    exchange: a second query text, which counts for a little less. Without a query, the order is that of the store.
    """
    filter = {"status": Status.ACTIVE.value}
    filter |= {"kind": kind} if kind else {}
    filter |= {"standing": standing.value} if standing else {}
    further = (FurtherQuery(exchange, EXCHANGE_BEHIND),) if query and exchange else ()
    ops = [
        MultiSearchOp(namespace, filter, limit=limit, query=query, further=further)
        if further
        else SearchOp(namespace, filter, limit=limit, query=query or None)
        for namespace in namespaces
    ]
    return (yield from search(*ops))


def read_found(
    items: Iterable[Item],
    namespaces: Sequence[Namespace],
    scale: Scale,
    texts_for: Callable[[Learning], slice] = lambda learning: ALL_TEXTS,
    exchange_penalty: float = EXCHANGE_PENALTY,
) -> list[Learning]:
    """Return the learnings of found items with their relevance, each as it was found first.

    texts_for: returns which of the query texts count for the relevance of a learning.
    exchange_penalty: relevance by which what the exchange finds is behind.
    """
    found: dict[ItemRef, Learning] = {}
    for item in items:
        if (item.namespace, item.key) in found:
            continue
        for learning in read_learnings([item], namespaces):
            scores = scores_of(item)[texts_for(learning)]
            relevance = relevance_of(scores, scale, bool(learning.cues), exchange_penalty)
            found[learning.ref] = learning.model_copy(update={"relevance": relevance})
    return list(found.values())


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
    return sorted(by_subject.values(), key=lambda learning: ranking_key(learning, usual), reverse=True)


def ranking_key(
    learning: Learning, usual: float = Votes().share, relevance: float | None = None
) -> tuple[float, float, datetime, str]:
    """Return the relevance, then the votes' weight, then the date; without relevance the store's score counts.

    relevance: counts instead of the learning's own.
    """
    relevance = learning.relevance if relevance is None else relevance
    weight = learning.votes.weight(usual)
    if relevance is not None:
        return round(relevance / SAME_RELEVANCE), weight, learning.learned_at, learning.key
    # Some distances count down from zero: there, less weight must mean a larger negative number.
    score = learning.score or 0.0
    return (score * weight if score > 0 else score / weight), weight, learning.learned_at, learning.key
