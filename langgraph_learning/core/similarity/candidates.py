"""Candidate pairs for comparison: statements that share rare words, found without comparing all pairs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from math import log
from typing import NamedTuple

from langgraph_learning.core.similarity.rules import are_equivalent, grouping_key
from langgraph_learning.core.text import content_stems

MAX_BLOCK = 30
"""Statements that share a word are compared only if at most this many share it: a more common word tells nothing."""
RAREST_STEMS = 5
"""Number of a statement's rarest stems that are also used in pairs, to find statements of common words alone."""
PAIRS_PER_STATEMENT = 5
MIN_SIMILARITY = 0.3

Stems = frozenset[str]


class CandidatePair(NamedTuple):
    """Two statements, by their indices, and the share of words they have in common, from 0 to 1."""

    first: int
    second: int
    similarity: float


def group_duplicates(texts: Sequence[str]) -> list[list[int]]:
    """Return groups of indices of statements that certainly say the same as the first of their group."""
    by_key: dict[tuple[str, ...], list[list[int]]] = {}
    for index, text in enumerate(texts):
        groups = by_key.setdefault(grouping_key(text), [])
        group = next((group for group in groups if are_equivalent(texts[group[0]], text)), None)
        if group is None:
            groups.append([index])
        else:
            group.append(index)
    return [group for groups in by_key.values() for group in groups if len(group) > 1]


def find_similar_pairs(texts: Sequence[str]) -> list[CandidatePair]:
    """Return the pairs of statements with the most words in common, the most similar first."""
    statements = [frozenset(content_stems([text])) for text in texts]
    frequency = Counter(stem for statement in statements for stem in statement)
    weights = {stem: log(1 + len(texts) / count) for stem, count in frequency.items()}
    pairs = []
    for first, second in _block_pairs(statements, frequency):
        similarity = _compute_similarity(statements[first], statements[second], weights)
        if similarity >= MIN_SIMILARITY:
            pairs.append(CandidatePair(first, second, similarity))
    return _limit_per_statement(sorted(pairs, key=lambda pair: (-pair.similarity, pair.first, pair.second)))


def _block_pairs(statements: Sequence[Stems], frequency: Mapping[str, int]) -> set[tuple[int, int]]:
    """Return the pairs that share a rare stem, or two stems that are rare together."""
    blocks: dict[object, list[int]] = {}
    for index, statement in enumerate(statements):
        for key in _blocking_keys(statement, frequency):
            blocks.setdefault(key, []).append(index)
    return {pair for block in blocks.values() if len(block) <= MAX_BLOCK for pair in combinations(block, 2)}


def _blocking_keys(statement: Stems, frequency: Mapping[str, int]) -> Iterator[object]:
    rarest = sorted(statement, key=lambda stem: (frequency[stem], stem))
    yield from (stem for stem in rarest if frequency[stem] <= MAX_BLOCK)
    yield from combinations(rarest[:RAREST_STEMS], 2)


def _compute_similarity(first: Stems, second: Stems, weights: Mapping[str, float]) -> float:
    """Return the share of stems in common: the mean of the share by number and the share weighted by rarity.

    Among few statements no word is rare, so rarity alone would say little.
    """
    heavier = max(sum(weights[stem] for stem in first), sum(weights[stem] for stem in second))
    by_rarity = sum(weights[stem] for stem in first & second) / heavier
    by_number = len(first & second) / max(len(first), len(second))
    return (by_rarity + by_number) / 2


def _limit_per_statement(pairs: Iterable[CandidatePair]) -> list[CandidatePair]:
    """Return the first pairs of each statement; a pair counts for both, and stays if either has room for it."""
    counts: Counter[int] = Counter()
    kept = []
    for pair in pairs:
        if counts[pair.first] < PAIRS_PER_STATEMENT or counts[pair.second] < PAIRS_PER_STATEMENT:
            kept.append(pair)
            counts.update((pair.first, pair.second))
    return kept
