"""Words as sparse vectors: those of a text with BM25's weights, and those of a question with the rarity of each word.

The inner product of the two is the share of the most that the question could get, from 0 to 1.
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import combinations
from typing import NamedTuple

from langgraph_learning.core.words import Token, count_tokens, weigh_tokens

DIMENSIONS = 1_000_000_000
"""pgvector's limit for sparse vectors. A token's dimension is its hash, so tokens need no table."""
_SATURATION = 1.2
_LENGTH_SHARE = 0.75
_USUAL_TOKENS = 50
"""BM25's parameters. The usual length of a text is a constant, so that a text scores the same whatever is beside it."""
MOST_SETS = 4
"""Sets of words by which the index over words is asked in one search, besides single words."""
_RARE_TEXTS = (1000, 4000)
"""Texts that have a rare word of a question, for the index over words to read: a hundredth of all to search, between
these two."""
_SET_TEXTS = (3000, 8000)
"""Texts that have all words of one of the sets: a thirtieth of all to search, between these two."""
_MOST_FREQUENT = 8
"""Frequent words of a question that are combined into sets: those that weigh most."""


class TextWords(NamedTuple):
    """The words of a stored text."""

    vector: bytes
    """A sparse vector in Postgres' binary form."""
    ids: Sequence[int]
    """The ids of its tokens within the tenant."""


class QuestionWords(NamedTuple):
    """The words of a question."""

    ranking: bytes
    """Sparse vector whose weights take into account how rare each word is among the texts of the tenant."""
    shares: bytes
    """Sparse vector whose weights depend on the question alone, so that scores compare between any two searches."""
    rare: str
    """The ids of its rarest tokens within the tenant, as an array literal: each of them tells something by itself."""
    sets: str
    """Sets of its other tokens, as an array literal of array literals: together they are rare, too."""
    complete: bool
    """True if these are all of its tokens: then no other text has any of its words."""


class WordCounts(NamedTuple):
    """In how many texts of a sample each token occurs."""

    texts: int
    counts: Mapping[int, int]
    """Numbers of texts by the id of the token; tokens that occur once are left out."""

    def rarity(self, token: int) -> float:
        """Return BM25's inverse document frequency: a word that was never seen weighs most."""
        count = self.counts.get(token, 0)
        return math.log(1 + (self.texts - count + 0.5) / (count + 0.5))

    def expect(self, token: int, texts: int) -> float:
        """Return in how many of a number of texts a token is, as far as the sample tells."""
        return self.counts.get(token, 0) * texts / max(self.texts, 1)


def read_text(text: str, language: str | None, scope: int) -> TextWords:
    """Return the words of a text that is stored under the tenant of a scope."""
    counts = count_tokens(text, language, _dimension_of)
    norm = _SATURATION * (1 - _LENGTH_SHARE + _LENGTH_SHARE * sum(counts.values()) / _USUAL_TOKENS)
    # Divided by the most that a word can get, so that the inner product is a share.
    weights = {token: count / (count + norm) for token, count in counts.items()}
    return TextWords(_sparse_vector(weights), [token ^ scope for token in counts])


def read_question(question: str, language: str | None, scope: int, known: WordCounts, texts: int) -> QuestionWords:
    """Return the words of a question. `known` are the counts of its tenant, `texts` the number of texts to search."""
    weights = {_hash(token): weight for token, weight in weigh_tokens(question, language).items()}
    # The counts say already which words are common among the texts, so the background list counts for less.
    ranking = {token: math.sqrt(weight) * known.rarity(token ^ scope) for token, weight in weights.items()}
    expected = {token ^ scope: known.expect(token ^ scope, texts) for token in weights}
    rare = _find_rarest(expected, texts)
    telling = sorted(ranking, key=ranking.__getitem__, reverse=True)
    frequent = [token ^ scope for token in telling if token ^ scope not in rare]
    return QuestionWords(
        ranking=_sparse_vector(_as_shares(ranking)),
        shares=_sparse_vector(_as_shares(weights)),
        rare=_array_literal(rare),
        sets=_array_literal(f'"{_array_literal(found)}"' for found in _find_sets(frequent, expected, texts)),
        complete=len(rare) == len(weights),
    )


def scope_id(tenant: Sequence[str]) -> int:
    """Return the number that tells the tokens of one tenant from those of another in the index over words."""
    return _hash("\0".join(tenant))


def _find_rarest(expected: Mapping[int, float], texts: int) -> list[int]:
    """Return the rarest tokens of a question, as many as the index reads in little time.

    expected: in how many texts each token is.
    """
    limit = _bound(texts // 100, _RARE_TEXTS)
    chosen: list[int] = []
    total = 0.0
    for token in sorted(expected, key=expected.__getitem__):
        total += expected[token]
        if total > limit:
            break
        chosen.append(token)
    return chosen


def _find_sets(frequent: Sequence[int], expected: Mapping[int, float], texts: int) -> list[tuple[int, ...]]:
    """Return sets of frequent tokens that few texts have together, small sets first.

    A text that has one word of a question that many others have as well is among the best only if its meaning is near,
    and then the other index proposes it.
    """
    shares = {token: min(expected[token] / max(texts, 1), 1) for token in frequent[:_MOST_FREQUENT]}
    limit = _bound(texts // 30, _SET_TEXTS)
    chosen: list[tuple[int, ...]] = []
    total = 0.0
    for size in range(2, len(shares) + 1):
        # How many texts have them all, if no words belonged together.
        counts = {tokens: texts * math.prod(map(shares.__getitem__, tokens)) for tokens in combinations(shares, size)}
        for tokens in sorted(counts, key=counts.__getitem__):
            is_new = not any(set(smaller) <= set(tokens) for smaller in chosen)
            if is_new and total + counts[tokens] <= limit:
                total += counts[tokens]
                chosen.append(tokens)
            if len(chosen) == MOST_SETS:
                return chosen
    return chosen


def _bound(number: int, bounds: tuple[int, int]) -> int:
    return min(max(number, bounds[0]), bounds[1])


def _as_shares(weights: Mapping[int, float]) -> dict[int, float]:
    total = sum(weights.values())
    return {token: weight / total for token, weight in weights.items() if weight} if total else {}


def _sparse_vector(weights: Mapping[int, float]) -> bytes:
    tokens = sorted(weights)
    values = map(weights.__getitem__, tokens)
    return struct.pack(f">iii{len(tokens)}i{len(tokens)}f", DIMENSIONS, len(tokens), 0, *tokens, *values)


def _array_literal(elements: Iterable[object]) -> str:
    return "{" + ",".join(map(str, elements)) + "}"


def _dimension_of(token: Token) -> int:
    return _hash(token.text)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big") % DIMENSIONS
