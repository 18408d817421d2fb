"""Data of the store benchmark: notes on topics with their vectors, in namespaces of many sizes.

Their words are as frequent as those of a language: the second is half as common as the first, and so on.
"""

import sys
import time
import zlib
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import psycopg
from langgraph.store.base import PutOp

from benchmarks.figures import draw_bar
from langgraph_learning.postgres import HybridPostgresStore

Namespace = tuple[str, ...]
SIZES = {20: 0.10, 80: 0.08, 300: 0.10, 1000: 0.12, 3000: 0.15, 6000: 0.18, 20000: 0.20}
"""Sizes of namespaces in items, with the share of all items in namespaces of that size."""
PARTS = {"small": list(SIZES)[:4], "large": list(SIZES)[4:]}
"""Two parent namespaces that hold about half of all items each."""
TOPICS = 400
NEAREST = 10
VOCABULARY = 50_000
LENGTHS = range(20, 41)
"""Lengths of texts in words."""
KINDS = ("a rare word", "mixed", "common words")
"""Kinds of questions."""


class Language:
    """Words of made-up syllables, and texts of them."""

    def __init__(self) -> None:
        chances = 1 / (np.arange(VOCABULARY) + 2.7)
        self._until = np.cumsum(chances / chances.sum())

    def text(self, seed: str, length: int, common_first: int = 0) -> str:
        """Return a text; with `common_first`, one of its words is among the words after the most common ones."""
        random = np.random.default_rng(zlib.crc32(seed.encode()))
        ranks = np.searchsorted(self._until, random.random(length))
        if common_first:
            ranks[0] = random.integers(common_first, VOCABULARY)
        return " ".join(spell(min(int(rank), VOCABULARY - 1)) for rank in ranks)

    def question(self, seed: str, kind: str) -> str:
        """Return a question of one of the kinds."""
        random = np.random.default_rng(zlib.crc32(seed.encode()))
        if kind == KINDS[0]:
            return spell(int(random.integers(2000, VOCABULARY)))
        if kind == KINDS[1]:
            return self.text(seed, 6, common_first=500)
        return " ".join(spell(int(rank)) for rank in random.integers(0, 40, size=4))


def spell(rank: int) -> str:
    """Return the word of a rank, which no list of common words has."""
    syllables = [f"{consonant}{vowel}" for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]
    return "zu" + "".join(syllables[rank // len(syllables) ** place % len(syllables)] for place in range(3))


class World:
    """Texts and their vectors: each text is about a topic, and near to the other texts about it."""

    def __init__(self, dims: int, delay: float = 0) -> None:
        """delay: how many seconds embedding takes."""
        self.dims, self.delay = dims, delay
        self.topics: dict[str, int] = {}
        """The topics of texts that are about one; any other text is about an arbitrary one."""
        self._topics = np.random.default_rng(7).normal(size=(TOPICS, dims))

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts."""
        time.sleep(self.delay)
        return self.vectors(texts).tolist()

    def vectors(self, texts: list[str]) -> np.ndarray:
        """Return the vectors of texts, each of length one."""
        found = np.stack([self._vector(text) for text in texts])
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

    def _vector(self, text: str) -> np.ndarray:
        topic = self.topics.get(text, zlib.crc32(text.encode()) % TOPICS)
        return self._topics[topic] + 0.9 * np.random.default_rng(zlib.crc32(text.encode())).normal(size=self.dims)

    def index(self, **more: Any) -> dict[str, Any]:
        """Return an index config for either store."""
        return {"dims": self.dims, "embed": self.embed, "fields": ["text"], **more}


class Question(NamedTuple):
    """A search below a prefix, with its exact result."""

    prefix: Namespace
    text: str
    nearest: frozenset[tuple[Namespace, str]]
    """Namespaces and keys of the truly nearest items."""


class Notes:
    """All items, with questions and their exact results."""

    def __init__(self, world: World, items: int) -> None:
        """items: the approximate number of items."""
        self.world = world
        self.language = Language()
        self.namespaces = namespaces(items)
        self.ops = [self._item(namespace, n) for namespace, size in self.namespaces.items() for n in range(size)]

    def _item(self, namespace: Namespace, n: int) -> PutOp:
        length = LENGTHS[zlib.crc32(f"{namespace}{n}".encode()) % len(LENGTHS)]
        op = item(namespace, n, self.language.text(f"{namespace}{n}", length))
        self.world.topics[(op.value or {})["text"]] = topic_of(namespace, n)
        return op

    def of_size(self, size: int) -> list[Namespace]:
        """Return the namespaces with this number of items."""
        return [namespace for namespace, held in self.namespaces.items() if held == size]

    def prefixes(self) -> list[tuple[int, list[Namespace]]]:
        """Return the prefixes to search, by the number of items below them: the namespaces and their parents."""
        sizes = sorted(set(self.namespaces.values()))
        above = [(len(self._rows(prefix)), [prefix]) for prefix in (*(("bench", part) for part in PARTS), ("bench",))]
        return [*((size, self.of_size(size)) for size in sizes), *((size, found) for size, found in above if size)]

    def questions(
        self, prefixes: list[Namespace], count: int, on_any_topic: bool = False, kind: str = "mixed"
    ) -> list[Question]:
        """Return questions on topics of items below the prefixes, or on any topic."""
        return [self._question(prefixes[n % len(prefixes)], n, on_any_topic, kind) for n in range(count)]

    def _question(self, prefix: Namespace, nth: int, on_any_topic: bool, kind: str) -> Question:
        under = [namespace for namespace in self.namespaces if namespace[: len(prefix)] == prefix]
        topic = 41 * nth % TOPICS if on_any_topic else topic_of(under[37 * nth % len(under)], nth)
        text = self.language.question(f"{prefix}{nth}", kind)
        self.world.topics[text] = topic
        rows = self._rows(prefix)
        near = rows[np.argsort(-(self._matrix[rows] @ self.world.vectors([text])[0]))[:NEAREST]]
        return Question(prefix, text, frozenset((self.ops[row].namespace, self.ops[row].key) for row in near))

    def _rows(self, prefix: Namespace) -> np.ndarray:
        return np.array([row for row, op in enumerate(self.ops) if op.namespace[: len(prefix)] == prefix], dtype=int)

    @cached_property
    def _matrix(self) -> np.ndarray:
        return self.world.vectors([(op.value or {})["text"] for op in self.ops])


def namespaces(items: int) -> dict[Namespace, int]:
    """Return namespaces with their sizes, below two parents, with about this number of items in total."""
    counts = {size: max(1, round(items * part / size)) for size, part in SIZES.items() if size <= items / 4}
    part = {size: name for name, sizes in PARTS.items() for size in sizes}
    return {("bench", part[size], f"of{size}", f"n{n}"): size for size, count in counts.items() for n in range(count)}


def item(namespace: Namespace, n: int, text: str) -> PutOp:
    """Return one item with a text."""
    return PutOp(namespace, f"k{n}", {"text": text, "status": "active" if n % 10 else "old", "n": n})


def topic_of(namespace: Namespace, n: int) -> int:
    """Return the topic of an item: each namespace has twelve topics."""
    return zlib.crc32(f"{namespace}{n % 12}".encode()) % TOPICS


def fill(ours: HybridPostgresStore, notes: Notes) -> None:
    """Put all items in random order, with a progress bar."""
    order = np.random.default_rng(1).permutation(len(notes.ops))
    for at in range(0, len(order), 5000):
        ours.batch([notes.ops[row] for row in order[at : at + 5000]])
        draw_bar(min(at + 5000, len(order)), len(order), "filling")


def copy(ours: str, theirs: str) -> None:
    """Copy the rows into the tables of LangGraph's store, as it would have written them."""
    print("copying into LangGraph's store …", file=sys.stderr)
    items = "SELECT array_to_string(namespace, '.'), key, value, created_at, updated_at FROM learning_items"
    vectors = """SELECT array_to_string(i.namespace, '.'), i.key, t.field, t.embedding, i.created_at, i.updated_at
                   FROM learning_texts t JOIN learning_items i ON i.id = t.item"""
    with psycopg.connect(ours) as source, psycopg.connect(theirs, autocommit=True) as target:
        for query, table in (
            (items, "store (prefix, key, value, created_at, updated_at)"),
            (vectors, "store_vectors (prefix, key, field_name, embedding, created_at, updated_at)"),
        ):
            with (
                source.cursor().copy(f"COPY ({query}) TO STDOUT") as out,
                target.cursor().copy(f"COPY {table} FROM STDIN") as into,
            ):
                for block in out:
                    into.write(block)
