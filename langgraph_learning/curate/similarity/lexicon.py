"""Words that decide whether two statements say the same, as lexicon.toml lists them."""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

_FOUND = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _words(name: str) -> frozenset[str]:
    return frozenset(_FOUND[name].split())


def _by_word(name: str) -> Mapping[str, str]:
    return {word: meant for meant, words in _FOUND[name].items() for word in words.split()}


ARTICLES = _words("articles")
FILLERS = _words("fillers")
PREFIXES = tuple(_FOUND["prefixes"].split())
SUBJECT = _FOUND["subject"]
LIMITS = _by_word("limits")
LINKS = _words("links")
LISTS = _words("lists")
OPENERS = LINKS | _words("openers")
AUXILIARIES = _words("auxiliaries")
STARTERS = _words("starters")
NOUN_ENDINGS = tuple(_FOUND["noun_endings"].split())
DATES = _by_word("dates")
NEGATIONS = frozenset(_by_word("negations"))
SAME = _by_word("same")
COUNTED = _by_word("counted")
UNITS = _by_word("units")
NUMBERS = {word: Decimal(value) for word, value in _by_word("numbers").items()}
MULTIPLIERS = {word: Decimal(value) for word, value in _by_word("multipliers").items()}
NO_NAMES = _words("no_names") | FILLERS | frozenset(DATES) | frozenset(NUMBERS)
OPPOSITES = tuple(
    tuple(frozenset(side.split()) for side in line.split("|")) for line in _FOUND["opposites"]["lines"].split("\n")
)
