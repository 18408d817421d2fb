"""Relevance means the same for any question, and an embedding model's similarities are read on its own scale."""

import pytest
from langgraph.store.memory import InMemoryStore

from langgraph_learning.core.flow import adrive, drive
from langgraph_learning.core.relevance import (
    BAR,
    MINILM_SCALE,
    NEW_SUBJECT_PENALTY,
    TEXT_PENALTY,
    Scale,
    ScaleReader,
    measure_scale,
    relevance_of,
)
from langgraph_learning.core.store_protocol import Scores
from langgraph_learning.embeddings import LocalEmbeddings
from langgraph_learning.testing import HashEmbeddings

SCALE = Scale(0.1, 0.6)


def scores(similarity: float | None, words: float = 0.0, exact: bool = False) -> Scores:
    """How well an item matches one text."""
    return Scores(similarity, words, exact)


@pytest.mark.parametrize(
    ("similarity", "relevance"), [(-0.3, 0.0), (0.1, 0.0), (0.35, 0.5), (0.55, 0.9), (0.775, 0.95), (1.0, 1.0)]
)
def test_relevance_grows_between_two_similarities_of_the_model(similarity, relevance):
    """Below the one there is nothing in common; above the other there is little doubt, and better matches come first."""
    assert relevance == pytest.approx(relevance_of([scores(similarity)], SCALE))


def test_the_exchange_before_counts_for_less():
    """Of two texts the better counts, but the question comes first."""
    asked, before = relevance_of([scores(0.5)], SCALE), relevance_of([scores(0.1), scores(0.5)], SCALE)

    assert BAR < before < asked
    assert asked == relevance_of([scores(0.5), scores(0.5)], SCALE)


def test_after_a_new_subject_the_exchange_counts_only_where_it_is_certain():
    """What it was loosely about is no longer shown; what it stated still is."""
    loosely, surely = [scores(0.1), scores(0.5)], [scores(0.1), scores(0.9)]

    assert BAR > relevance_of(loosely, SCALE, exchange_penalty=NEW_SUBJECT_PENALTY)
    assert BAR < relevance_of(surely, SCALE, exchange_penalty=NEW_SUBJECT_PENALTY)


def test_a_name_or_code_of_the_question_passes_the_bar():
    """The more of the question it is, the more it counts; a month in a long question does not."""
    long, short = scores(0.1, words=0.3, exact=True), scores(0.1, words=0.9, exact=True)

    assert BAR < relevance_of([long], SCALE) < relevance_of([short], SCALE) <= 1
    assert BAR > relevance_of([scores(0.1, words=0.1, exact=True)], SCALE)
    assert BAR > relevance_of([scores(0.1), short], SCALE)


def test_a_near_text_counts_for_a_little_less_than_a_near_cue():
    """A text may be about the same thing and not matter; a cue says when it does. Without cues, nothing else can tell."""
    text, cue = Scores(0.4, 0.0, False, "text"), Scores(0.4, 0.0, False, "cues[*].1")

    assert TEXT_PENALTY == pytest.approx(relevance_of([cue], SCALE, True) - relevance_of([text], SCALE, True))
    assert relevance_of([cue], SCALE, True) == relevance_of([text], SCALE)
    assert 0 == relevance_of([Scores(0.1, 0.0, False, "text")], SCALE, True)


def test_without_an_embedding_model_the_words_count():
    """And without any scores there is no relevance."""
    assert BAR < relevance_of([scores(None, words=1.0)], SCALE)
    assert BAR > relevance_of([scores(None, words=0.5)], SCALE)
    assert relevance_of([], SCALE) is None


def test_the_scale_of_the_local_model_is_what_measuring_finds():
    """The constants that are shipped need no call."""
    measured = drive(measure_scale(LocalEmbeddings()), InMemoryStore())

    assert MINILM_SCALE == pytest.approx(measured, abs=0.02)
    assert MINILM_SCALE == LocalEmbeddings().scale


class CountingEmbeddings(HashEmbeddings):
    """A model that nobody knows."""

    calls = 0

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Count the calls."""
        self.calls += 1
        return super().embed_documents(texts)


@pytest.mark.parametrize("way", ["sync", "async"])
async def test_an_unknown_model_is_measured_once(way: str):
    """With one call, on the first question."""
    model, reader = CountingEmbeddings(256), ScaleReader()
    store = InMemoryStore(index={"dims": 256, "embed": model, "fields": ["text"]})
    for _ in range(3):
        scale = drive(reader.read(store), store) if way == "sync" else await adrive(reader.read(store), store)

    assert 1 == model.calls
    assert -0.1 < scale.nothing < scale.certain < 1


def test_a_scale_that_is_given_counts():
    """It is the user's own measurement."""
    store = InMemoryStore(index={"dims": 256, "embed": CountingEmbeddings(256), "fields": ["text"]})

    assert SCALE == drive(ScaleReader(SCALE).read(store), store)
    assert MINILM_SCALE == drive(ScaleReader().read(InMemoryStore()), store)
