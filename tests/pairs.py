"""Statements that say the same in other words, and near misses, from pairs.toml."""

import tomllib
from pathlib import Path
from typing import NamedTuple


class Pair(NamedTuple):
    """A statement in the words of two users, and what sounds alike and is another statement."""

    language: str
    statement: str
    voice: str
    kind: str
    other: str


def read_pair(line: str) -> Pair:
    language, statement, voice, near_miss = line.split(" | ")
    kind, other = near_miss.split(": ", 1)
    return Pair(language, statement, voice, kind, other)


_FILE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
FREE_WORDS = [read_pair(line) for line in _FILE["free_pairs"].strip().splitlines()]
"""Pairs in the words of a chat, which share few words with the statement."""
LATER_PAIRS = [read_pair(line) for line in _FILE["later_pairs"].strip().splitlines()]
"""Pairs by somebody who had not seen the rules, in which a half of the near misses are another number or a negation."""
IN_OTHER_WORDS = [read_pair(line) for line in _FILE["pairs"].strip().splitlines()] + FREE_WORDS + LATER_PAIRS
LOST = frozenset(_FILE["lost"].strip().splitlines())
"""Voices that are taken for another statement."""
MISTAKEN = frozenset(_FILE["mistaken"].strip().splitlines())
"""Near misses that are taken for the same."""
