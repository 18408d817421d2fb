"""Which statements among many are worth comparing: not all pairs, but those that share words that few have."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from math import log
from typing import NamedTuple

from langgraph_learning.core.text import stems, words
from langgraph_learning.curate.similarity.rules import essence, same

RARE = 30
"""How many statements at most share what two are compared for: what more of them share tells nothing."""
TELLING = 5
"""How many of its rarest words a statement is looked up by in pairs, for statements of common words alone."""
NEAREST = 5
"""How many neighbours of one statement are looked at."""
LEAST = 0.3
"""The share of their words that two statements have in common at least."""


class Near(NamedTuple):
    """Two statements, by their places, and how much of what they say is in the same words: from 0 to 1."""

    one: int
    other: int
    likeness: float


def repeated(texts: Sequence[str]) -> list[list[int]]:
    """Return the places of statements that say the same as the first of each group beyond doubt."""
    groups: dict[tuple[str, ...], list[list[int]]] = {}
    for place, text in enumerate(texts):
        known = groups.setdefault(essence(text), [])
        group = next((group for group in known if same(texts[group[0]], text)), None)
        if group is None:
            known.append([place])
        else:
            group.append(place)
    return [group for known in groups.values() for group in known if len(group) > 1]


def look_alikes(texts: Sequence[str]) -> list[Near]:
    """Return the pairs of statements that are most alike in their words, the most alike first."""
    told = [frozenset(stems(words([text]))) for text in texts]
    count = Counter(stem for stems_of_one in told for stem in stems_of_one)
    weight = {stem: log(1 + len(texts) / often) for stem, often in count.items()}
    found = {pair: _shared(told[pair[0]], told[pair[1]], weight) for pair in _meetings(told, count)}
    near = [Near(*pair, likeness) for pair, likeness in found.items() if likeness >= LEAST]
    return _nearest(sorted(near, key=lambda pair: (-pair.likeness, pair.one, pair.other)))


def _meetings(told: Sequence[frozenset[str]], count: Mapping[str, int]) -> set[tuple[int, int]]:
    """Return the pairs that share a rare word, or two words that are rare together."""
    shelves: dict[object, list[int]] = {}
    for place, stems_of_one in enumerate(told):
        for key in _keys(stems_of_one, count):
            shelves.setdefault(key, []).append(place)
    return {pair for places in shelves.values() if len(places) <= RARE for pair in combinations(places, 2)}


def _keys(stems_of_one: Iterable[str], count: Mapping[str, int]) -> Iterator[object]:
    rarest = sorted(stems_of_one, key=lambda stem: (count[stem], stem))
    yield from (stem for stem in rarest if count[stem] <= RARE)
    yield from combinations(rarest[:TELLING], 2)


def _shared(one: frozenset[str], other: frozenset[str], weight: Mapping[str, float]) -> float:
    """Return the share of words in common: by number and by rarity, for among few statements no word is rare."""
    heavier = max(sum(weight[stem] for stem in one), sum(weight[stem] for stem in other))
    by_rarity = sum(weight[stem] for stem in one & other) / heavier
    return (by_rarity + len(one & other) / max(len(one), len(other))) / 2


def _nearest(pairs: Iterable[Near]) -> list[Near]:
    """Return the first few pairs of each statement."""
    seen: Counter[int] = Counter()
    kept = []
    for pair in pairs:
        if seen[pair.one] < NEAREST or seen[pair.other] < NEAREST:
            kept.append(pair)
            seen.update((pair.one, pair.other))
    return kept
