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


PAIRS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["pairs"]
IN_OTHER_WORDS = [read_pair(line) for line in PAIRS.strip().splitlines()]
