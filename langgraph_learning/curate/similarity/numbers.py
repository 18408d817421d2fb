"""How the numbers in a statement are read: as digits, with their sign and unit, however they are written."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

from langgraph_learning.curate.similarity.lexicon import COUNTED, MULTIPLIERS, NUMBERS, SAME, UNITS

NUMBER = re.compile(r"v?(\d[\d.,:/-]*\d|\d)([^\W\d_]*|%|°)", re.IGNORECASE)
MINUS = "minus"
_THOUSANDS = re.compile(r",(?=\d{3}(?:\D|$))")
_PLAIN = re.compile(r"\d+(\.\d+)?")
_SHORT_UNITS = frozenset(UNITS.values())


def in_digits(words: Sequence[str]) -> list[str]:
    """Return words with numbers as digits and units by their short names: "minus ten days" is "-10 d"."""
    found: list[str] = []
    total: Decimal | None = None
    for word in words:
        value = NUMBERS.get(word)
        if value is not None and (total is None or _goes_on(total, value)):
            total = (total or 0) + value
        elif word in MULTIPLIERS:
            last = found.pop() if total is None and found and _PLAIN.fullmatch(found[-1]) else None
            total = (Decimal(last) if last else total or Decimal(1)) * MULTIPLIERS[word]
        else:
            found += [] if total is None else [_told(total)]
            total = value
            found += _read(word) if value is None else []
    return _signed([*found, *([] if total is None else [_told(total)])])


def quantities(words: Sequence[str]) -> Iterator[str]:
    """Yield the numbers among words that were read, each with its unit."""
    for nth, word in enumerate(words):
        if word.removeprefix("-")[:1].isdigit():
            near = [*words[nth + 1 : nth + 2], *words[max(nth - 1, 0) : nth]]
            yield " ".join([word, *[one for one in near if one in _SHORT_UNITS][:1]])


def _goes_on(total: Decimal, value: Decimal) -> bool:
    """Whether a number word belongs to the one before: "twenty one" is one number, "one two" are two."""
    return total >= 20 and total % 10 ** len(str(value)) == 0


def _read(word: str) -> list[str]:
    match = NUMBER.fullmatch(word)
    if not match:
        return [{**UNITS, **SAME, **COUNTED}.get(word, word)]
    digits, unit = _THOUSANDS.sub("", match[1]), match[2]
    if unit in MULTIPLIERS and _PLAIN.fullmatch(digits):
        return [_told(Decimal(digits) * MULTIPLIERS[unit])]
    if unit and unit not in UNITS:
        return [word]  # an id such as 4b2f
    return [digits, *([UNITS[unit]] if unit else [])]


def _told(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _signed(words: Sequence[str]) -> list[str]:
    found: list[str] = []
    for word in words:
        if found and found[-1] == MINUS and word[:1].isdigit():
            found[-1] = f"-{word}"
        else:
            found.append(word)
    return found
