"""Normalisation of numbers and units in a list of words."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

from langgraph_learning.core.similarity.lexicon import COUNT_WORDS, MULTIPLIERS, NUMBERS, SYNONYMS, UNITS

NUMBER = re.compile(r"v?(\d[\d.,:/-]*\d|\d)([^\W\d_]*|%|°)", re.IGNORECASE)
MINUS = "minus"
_THOUSANDS_COMMA = re.compile(r",(?=\d{3}(?:\D|$))")
_PLAIN_NUMBER = re.compile(r"\d+(\.\d+)?")
_SHORT_UNITS = frozenset(UNITS.values())


def write_in_digits(words: Sequence[str]) -> list[str]:
    """Return the words with numbers as digits and units abbreviated: "minus ten days" becomes "-10 d"."""
    digits: list[str] = []
    total: Decimal | None = None  # the number that is being read, word by word
    for word in words:
        value = NUMBERS.get(word)
        if value is not None and (total is None or _continues(total, value)):
            total = (total or 0) + value
        elif word in MULTIPLIERS:
            last = digits.pop() if total is None and digits and _PLAIN_NUMBER.fullmatch(digits[-1]) else None
            total = (Decimal(last) if last else total or Decimal(1)) * MULTIPLIERS[word]
        else:
            digits += [] if total is None else [_format_number(total)]
            total = value
            digits += _normalize_word(word) if value is None else []
    digits += [] if total is None else [_format_number(total)]
    return _join_minus_signs(digits)


def find_quantities(words: Sequence[str]) -> Iterator[str]:
    """Yield the numbers among words returned by `write_in_digits`, each with the unit beside it, if there is one."""
    for index, word in enumerate(words):
        if word.removeprefix("-")[:1].isdigit():
            beside = [*words[index + 1 : index + 2], *words[max(index - 1, 0) : index]]
            units = [neighbour for neighbour in beside if neighbour in _SHORT_UNITS]
            yield " ".join([word, *units[:1]])


def _continues(total: Decimal, value: Decimal) -> bool:
    """Return True if a number word continues the one before: "twenty one" is one number, "one two" are two."""
    return total >= 20 and total % 10 ** len(str(value)) == 0


def _normalize_word(word: str) -> list[str]:
    match = NUMBER.fullmatch(word)
    if not match:
        return [{**UNITS, **SYNONYMS, **COUNT_WORDS}.get(word, word)]
    digits, unit = _THOUSANDS_COMMA.sub("", match[1]), match[2]
    if unit in MULTIPLIERS and _PLAIN_NUMBER.fullmatch(digits):
        return [_format_number(Decimal(digits) * MULTIPLIERS[unit])]
    if unit and unit not in UNITS:
        return [word]  # an id such as 4b2f
    return [digits, *([UNITS[unit]] if unit else [])]


def _format_number(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _join_minus_signs(words: Sequence[str]) -> list[str]:
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == MINUS and word[:1].isdigit():
            joined[-1] = f"-{word}"
        else:
            joined.append(word)
    return joined
