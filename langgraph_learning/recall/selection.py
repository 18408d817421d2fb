"""Selection: the one list of what an agent is shown for a question, across all learning stores."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from langgraph_learning.core.learning import Learning, messages_of
from langgraph_learning.core.policy import Standing
from langgraph_learning.core.relevance import BAR, STANDING_LIFT
from langgraph_learning.core.scopes import ItemRef
from langgraph_learning.core.transcript import count_tokens
from langgraph_learning.stores.base import LearningStore, Recalled
from langgraph_learning.stores.ranking import CANDIDATES, ranking_key
from langgraph_learning.stores.rendering import shorten_learning

LIST_LINES = 8
"""Learnings shown for a question at most."""
NEAR_LINES = 6
"""The same without those that are standing."""
LARGEST_GAP = 0.33
"""Relevance that a learning may be behind the best one: where something fits well, what fits loosely only distracts."""
ALONE = 2
"""What stands is shown up to this number where nothing reaches the bar by itself: that may be another subject."""
LIST_TOKENS = 400
"""Tokens of them at most."""
SHORTEST_TEXT = 50
"""Tokens to which a long text may be cut so that others have room."""
ALWAYS_TOKENS = 100
"""Tokens of what a user is always shown by at most, beside a profile."""
RANK_STEP = 0.05
"""Relevance between two ranks, where a store has no scores."""
LINE_TOKENS = 12
"""Tokens of a line beside its text: a date, who said it."""


Line = tuple[str, str]
"""A line of the context: a learning store, and a key within it."""


class Candidate(NamedTuple):
    """A learning that competes to be shown for a question."""

    store: LearningStore
    learning: Learning
    relevance: float
    stands: bool

    @property
    def value(self) -> float:
        """Return the relevance, lifted for what stands."""
        return self.relevance + (STANDING_LIFT if self.stands else 0.0)

    def line_among(self, lines: Collection[Line]) -> Line:
        """Return the line of the context in which it is shown, given those that there are."""
        possible = [(self.store.name, line) for line in self.store.lines_of(self.learning)]
        return next((line for line in possible if line in lines), possible[0])


class LeftOut(NamedTuple):
    """A learning that was found and is not shown."""

    learning: Learning
    reason: str


class Selection(NamedTuple):
    """The learnings to show, and those that fell below the bar or out of a budget."""

    shown: Recalled
    left_out: tuple[LeftOut, ...] = ()
    ranking: tuple[ItemRef, ...] = ()
    """The learnings of the list, best first."""


def select_learnings(stores: Sequence[LearningStore], found: Mapping[str, Sequence[Learning]]) -> Selection:
    """Choose what is shown: the best of all stores in one list, and beside it what is shown always."""
    shown: Recalled = {}
    candidates: list[Candidate] = []
    always: list[Learning] = []
    for store in stores:
        learnings = list(found.get(store.name, ()))
        if not store.in_list:
            shown[store.name] = _oldest_first(learnings) if store.standing is Standing.ALWAYS else learnings
            continue
        standing = [(learning, store.standing_of(learning)) for learning in learnings]
        own = [learning for learning, stands in standing if stands is Standing.ALWAYS]
        shown[store.name] = _newest_within(ALWAYS_TOKENS, own)
        always += own
        candidates += _make_candidates(store, [each for each in standing if each[1] is not Standing.ALWAYS])
    ranked = sorted(candidates, key=lambda each: ranking_key(each.learning, relevance=each.value), reverse=True)
    above = ranked if _all_fit(stores, found) else _take_near(ranked)
    chosen = _choose(above)
    for each, learning in zip(chosen, _cut_long(chosen), strict=True):
        shown[each.store.name].append(learning)
    near = [each.learning for each in above]
    left_out = _leave_out([*always, *(each.learning for each in ranked)], [*always, *near], shown)
    ranking = tuple(each.learning.ref for each in chosen)
    return Selection({name: learnings for name, learnings in shown.items() if learnings}, left_out, ranking)


def share_tokens(wanted: Sequence[int], budget: int) -> list[int]:
    """Share a budget: nobody gets more than wanted, and what the modest leave goes to the others in equal parts."""
    shares = [0] * len(wanted)
    for left, index in zip(range(len(wanted), 0, -1), sorted(range(len(wanted)), key=wanted.__getitem__), strict=True):
        shares[index] = min(wanted[index], budget // left)
        budget -= shares[index]
    return shares


def _cut_long(chosen: Sequence[Candidate]) -> list[Learning]:
    """Return the chosen learnings; of long ones, as much as the budget has room for."""
    texts = [count_tokens(each.learning.text) for each in chosen]
    left = LIST_TOKENS - LINE_TOKENS * len({each.line_among(()) for each in chosen})
    shares = share_tokens(texts, left)
    return [shorten_learning(each.store, each.learning, tokens) for each, tokens in zip(chosen, shares, strict=True)]


def _leave_out(found: Sequence[Learning], near: Sequence[Learning], shown: Recalled) -> tuple[LeftOut, ...]:
    """Return what was found and is not shown, with the reason."""
    shown_refs = {learning.ref for learnings in shown.values() for learning in learnings}
    near_refs = {learning.ref for learning in near}
    return tuple(
        LeftOut(learning, "beyond the list" if learning.ref in near_refs else "below the bar")
        for learning in found
        if learning.ref not in shown_refs
    )


def _make_candidates(store: LearningStore, learnings: Sequence[tuple[Learning, Standing]]) -> list[Candidate]:
    """Return what competes; where a store has no scores, the rank of the line in it stands for the relevance."""
    candidates = []
    ranks: dict[str, int] = {}
    for learning, standing in learnings:
        rank = ranks.setdefault(store.lines_of(learning)[0], len(ranks))
        by_rank = max(1 - rank * RANK_STEP, BAR)
        relevance = by_rank if learning.relevance is None else learning.relevance
        candidates.append(Candidate(store, learning, relevance, standing is Standing.LOWER))
    return candidates


def _take_near(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Return what is above the bar, and not far behind the best; of what only stands, the first few."""
    best = max((each.value for each in ranked if each.learning.relevance is not None), default=0.0)
    above = [each for each in ranked if each.value >= max(BAR, best - LARGEST_GAP)]
    return above if any(each.relevance >= BAR for each in ranked) else above[:ALONE]


def _choose(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Return the best candidates, without messages whose learning is among them."""
    learnt = _take_best([each for each in ranked if not each.store.verbatim])
    told = messages_of(source for each in learnt for source in each.learning.sources)
    verbatim = {id(each.store): each.store for each in ranked if each.store.verbatim}.values()
    left = {
        episode.ref
        for store in verbatim
        for episode in store.without_messages([each.learning for each in ranked if each.store is store], told)
    }
    return _take_best([each for each in ranked if not each.store.verbatim or each.learning.ref in left])


def _take_best(ranked: Sequence[Candidate]) -> list[Candidate]:
    """Return the best candidates that fit: by lines, by tokens, and of each store at most as many as its limit."""
    chosen: list[Candidate] = []
    lines: dict[Line, bool] = {}
    tokens = 0
    for candidate in ranked:
        line = candidate.line_among(lines)
        near = sum(not stands for stands in lines.values())
        has_line = line in lines or (len(lines) < LIST_LINES and (candidate.stands or near < NEAR_LINES))
        # A long text may be cut, so that it needs no more than this.
        needed = min(count_tokens(candidate.learning.text), SHORTEST_TEXT) + (0 if line in lines else LINE_TOKENS)
        of_store = sum(each.store is candidate.store for each in chosen)
        if has_line and tokens + needed <= LIST_TOKENS and of_store < candidate.store.most_shown:
            chosen.append(candidate)
            lines.setdefault(line, candidate.stands)
            tokens += needed
    return chosen


def _all_fit(stores: Sequence[LearningStore], found: Mapping[str, Sequence[Learning]]) -> bool:
    """Return True if all that is known fits into the list; of a store that found many, more is known."""
    competing = [found.get(store.name, ()) for store in stores if store.in_list]
    if any(len(learnings) >= CANDIDATES for learnings in competing):
        return False
    return sum(count_tokens(learning.text) for learnings in competing for learning in learnings) <= LIST_TOKENS


def _newest_within(budget: int, learnings: Sequence[Learning]) -> list[Learning]:
    """Return the newest learnings that fit a budget of tokens, oldest first; too long ones are passed over."""
    fitting = []
    for learning in reversed(_oldest_first(learnings)):
        tokens = count_tokens(learning.text)
        if tokens <= budget:
            budget -= tokens
            fitting.append(learning)
    return fitting[::-1]


def _oldest_first(learnings: Sequence[Learning]) -> list[Learning]:
    """Return learnings so that a text of them grows at its end, and the prompt before it stays byte-identical."""
    return sorted(learnings, key=lambda learning: (learning.learned_at, learning.key))
