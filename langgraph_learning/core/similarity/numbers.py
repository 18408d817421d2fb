"""Normalisation of numbers and units in a list of words."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from unicodedata import normalize

from langgraph_learning.core.similarity.lexicon import COUNT_WORDS, MULTIPLIERS, NUMBERS, SYNONYMS, UNITS

NUMBER = re.compile(r"v?(\d[\d.,:/-]*\d|\d)([^\W\d_]*|%|°)", re.IGNORECASE)
MINUS = "minus"
_THOUSANDS_COMMA = re.compile(r",(?=\d{3}(?:\D|$))")
_PLAIN_NUMBER = re.compile(r"\d+(\.\d+)?")
_WRITTEN_NUMBER = re.compile(
    r"(?P<digits>\d{1,3}(?:[\s\u00a0\u202f'’]\d{3})+(?![\d])|\d+(?:[.,]\d+)*)"
    r"(?:\s?(?P<factor>k|tsd|tausend|thousand|mille|mil|m|mio|mn|mln|millions?|millionen|millones|bn|mrd|milliarden?|billions?|万|千|億|亿|만|천|억)(?![^\W\d_]))?"
)
_FACTORS = {
    **dict.fromkeys(("k", "tsd", "tausend", "thousand", "mille", "mil", "千", "천"), Decimal(1_000)),
    **dict.fromkeys(("万", "만"), Decimal(10_000)),
    **dict.fromkeys(("m", "mio", "mn", "mln", "million", "millions", "millionen", "millones"), Decimal(1_000_000)),
    **dict.fromkeys(("億", "亿", "억"), Decimal(100_000_000)),
    **dict.fromkeys(("bn", "mrd", "milliarde", "milliarden", "billion", "billions"), Decimal(1_000_000_000)),
}
_POINTS = frozenset({"point", "komma", "virgule", "coma", "virgola", "punto", "ponto", "vírgula"})
_HALVES = {"half": Decimal("0.5"), "anderthalb": Decimal("1.5"), "eineinhalb": Decimal("1.5")}
_CHINESE_UNITS = {"十": 10, "百": 100, "千": 1_000}
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


def read_numbers(text: str) -> list[frozenset[Decimal]]:
    """Return the numbers in a text, in any usual form; each as the values that it may mean: "1.500" is 1.5 or 1500."""
    folded = normalize("NFKC", text).casefold()
    found = [_values_of(match) for match in _WRITTEN_NUMBER.finditer(folded)]
    found += [frozenset({value}) for value in _spelled_numbers(_WRITTEN_NUMBER.sub(" ; ", folded))]
    return found + [frozenset({value}) for value in _chinese_numbers(folded)]


def _values_of(match: re.Match[str]) -> frozenset[Decimal]:
    digits = re.sub(r"['’\s]", "", match["digits"])
    readings = {digits.replace(",", "").replace(".", "")} if re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", digits) else set()
    readings |= {re.sub(r"[.,](?=.*[.,])", "", digits).replace(",", ".")}
    values = {Decimal(reading) for reading in readings}
    factor = _FACTORS.get(match["factor"] or "")
    return frozenset(values | {value * factor for value in values} if factor else values)


def _spelled_numbers(text: str) -> Iterator[Decimal]:
    """Yield the numbers that are spelled out: "twenty-five", "fünfundzwanzig", "one point nine"."""
    words = [part for word in re.findall(r"[^\W\d_]+|;", text) for part in _split_german(word)]
    digits = write_in_digits(words)
    index = 0
    while index < len(digits):
        word = digits[index]
        after = digits[index + 1 : index + 3]
        if _PLAIN_NUMBER.fullmatch(word) and len(after) == 2 and after[0] in _POINTS and after[1].isdigit():
            yield Decimal(f"{word}.{after[1]}")
            index += 3
            continue
        if _PLAIN_NUMBER.fullmatch(word):
            yield Decimal(word)
        elif word in _HALVES:
            yield _HALVES[word]
        index += 1


def _split_german(word: str) -> list[str]:
    """Return "zwanzig", "fünf" for "fünfundzwanzig", and a word that is no German number as it is."""
    if word == "eins":
        return ["one"]
    found = re.fullmatch(r"(ein|zwei|drei|vier|fünf|sechs|sieben|acht|neun)und(\w+zig|dreißig)", word)
    return [found[2], found[1]] if found else [word]


def _chinese_numbers(text: str) -> Iterator[Decimal]:
    """Yield the numbers in Chinese characters, as Chinese and Japanese write them."""
    for match in re.finditer("[一二三四五六七八九十百千万]+", text):
        total = section = digit = 0
        for char in match.group():
            if char in _CHINESE_UNITS:
                section += (digit or 1) * _CHINESE_UNITS[char]
                digit = 0
            elif char == "万":
                total, section, digit = (section + digit or 1) * 10_000, 0, 0
            else:
                digit = "一二三四五六七八九".index(char) + 1
        yield Decimal(total + section + digit)
