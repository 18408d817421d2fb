"""Relevance, how much a learning has to do with a question: from 0 to 1, the same for any question and store."""

import tomllib
from collections.abc import Sequence
from math import hypot
from operator import mul
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from langchain_core.embeddings import Embeddings
from langchain_core.runnables import RunnableLambda
from langgraph.constants import TAG_NOSTREAM
from langgraph.store.base import BaseStore, ensure_embeddings

from langgraph_learning.core.flow import Flow, invoke
from langgraph_learning.core.store_protocol import Scores

BAR = 0.45
"""Relevance from which a learning is shown."""
STANDING_LIFT = 0.15
"""Added to the relevance of what is standing."""
EXCHANGE_PENALTY = 0.3
"""Subtracted from the relevance to the exchange before the last message."""
NEW_SUBJECT_PENALTY = 0.4
"""The same where the last message can be understood without it: then only what the exchange was surely about counts."""
TEXT_PENALTY = 0.07
"""Subtracted where of a learning with cues the text is near and no cue is: it may be about the same and not matter."""
WORDS_WEIGHT = 0.6
"""Relevance of a text that has all words of the question, whatever the embedding model thinks of it."""
EXACT_WORDS = 0.25
"""Share of a question's words from which a name, number or code counts: a month in a long question tells little."""
ALMOST_CERTAIN = 0.9
"""Relevance above which similarities count for little: they tell good matches apart."""
_PAIRS: Sequence[tuple[str, str]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))[
    "pairs"
]


class Scale(NamedTuple):
    """Two similarities of an embedding model, between which relevance grows from 0 to 1."""

    nothing: float
    """Similarity of texts that have nothing to do with each other."""
    certain: float
    """Similarity of a question and the statement that answers it."""

    def relevance(self, similarity: float) -> float:
        """Return the relevance that a similarity stands for; the last tenth reaches to that of equal texts."""
        relevance = (similarity - self.nothing) / (self.certain - self.nothing)
        if relevance <= ALMOST_CERTAIN:
            return max(relevance, 0.0)
        start = self.nothing + ALMOST_CERTAIN * (self.certain - self.nothing)
        return ALMOST_CERTAIN + (1 - ALMOST_CERTAIN) * min((similarity - start) / max(1 - start, 0.01), 1.0)


MINILM_SCALE = Scale(0.06, 0.64)
"""Scale of all-MiniLM-L6-v2, as `measure_scale` finds it."""


def relevance_of(
    scores: Sequence[Scores], scale: Scale, cued: bool = False, exchange_penalty: float = EXCHANGE_PENALTY
) -> float | None:
    """Return the relevance of an item, given its scores for the question and for the exchange before it.

    cued: True if the item has cues beside its text.
    exchange_penalty: subtracted from the relevance to the exchange.
    None without scores. A name, number or code of the question that stands in the item lifts it above the bar, the more
    of the question it is.
    """
    if not scores:
        return None
    question, *exchange = scores
    relevances = [_relevance(question, scale, cued)]
    relevances += [_relevance(score, scale, cued) - exchange_penalty for score in exchange]
    if question.exact and question.words >= EXACT_WORDS:
        relevances.append(BAR + (1 - BAR) * question.words)
    return max(0.0, *relevances)


def _relevance(score: Scores, scale: Scale, cued: bool) -> float:
    penalty = TEXT_PENALTY if cued and score.nearest == "text" else 0.0
    return max(score.words * WORDS_WEIGHT, scale.relevance(score.similarity or 0.0) - penalty)


class ScaleReader:
    """Finds the scale of a store's embedding model: given, carried by the model, or measured once."""

    def __init__(self, given: Scale | None = None) -> None:
        self._given = given
        self._measured: list[tuple[object, Scale]] = []

    def read(self, store: BaseStore) -> Flow[Scale]:
        """Return the scale of a store's model."""
        model = (getattr(store, "index_config", None) or {}).get("embed")
        carried = self._given or getattr(model, "scale", None)
        if carried or model is None:
            return Scale(*(carried or MINILM_SCALE))
        for known, scale in self._measured:
            if known is model:
                return scale
        scale = yield from measure_scale(ensure_embeddings(model))
        self._measured.append((model, scale))
        return scale


def measure_scale(model: Embeddings) -> Flow[Scale]:
    """Measure the scale of an embedding model with one call, for texts that are unrelated and for pairs that match."""
    embed = RunnableLambda(model.embed_documents, afunc=model.aembed_documents)
    vectors: list[list[float]] = yield from invoke(embed, [text for pair in _PAIRS for text in pair], (TAG_NOSTREAM,))
    statements, questions = vectors[::2], vectors[1::2]
    own = [cosine(*pair) for pair in zip(statements, questions, strict=True)]
    others = [
        cosine(statement, question)
        for nth, statement in enumerate(statements)
        for other, question in enumerate(questions)
        if nth != other
    ]
    nothing = mean(others)
    return Scale(nothing, max(mean(own), nothing + 0.01))


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the cosine of the angle between two vectors; 0 if one of them is zero."""
    length = hypot(*one) * hypot(*other)
    return sum(map(mul, one, other)) / length if length else 0.0
