"""Ranking of recalled learnings by relevance, votes and date."""

from datetime import datetime

from langgraph_learning.core.learning import Learning

OVERFETCH = 3
"""How many times more items are read than shown: dates, duplicates and ranking are ours."""


def ranking_key(one: Learning, usual: float) -> tuple[float, float, datetime, str]:
    """Return what ranks a learning: how near it is, weighed by its votes; then its votes; then its date."""
    near, weight = one.score or 0.0, one.votes.weight(usual)
    # Some distances count down from zero: there, to be worth less is to be further below.
    return near * weight if near > 0 else near / weight, weight, one.learned_at, one.key
