"""Normalisation of numbers and units in a list of words."""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import NamedTuple
from unicodedata import normalize

from langgraph_learning.core.similarity.forms import drop_foreign_marks
from langgraph_learning.core.similarity.lexicon import (
    COUNT_WORDS,
    HALVES,
    IMPLIED_NUMBERS,
    LATE_UNSPACED,
    LATE_WORDS,
    MULTIPLIERS,
    NUMBERS,
    ORDINALS,
    SYNONYMS,
    UNITS,
)

NUMBER = re.compile(r"v?(\d[\d.,:/-]*\d|\d)([^\W\d_]*|%|°)", re.IGNORECASE)
MINUS = "minus"
_THOUSANDS_COMMA = re.compile(r",(?=\d{3}(?:\D|$))")
_PLAIN_NUMBER = re.compile(r"\d+(\.\d+)?")
_WRITTEN_NUMBER = re.compile(
    r"(?<![a-uw-z\d])(?P<digits>\d{1,3}(?:[\s\u00a0\u202f'’]\d{3})+(?![\d])|\d+(?:[.,]\d+)*)"
    r"(?:\s?(?P<factor>k|tsd|tausend|thousand|mille|mil|m|mio|mn|mln|millions?|millionen|millones|bn|mrd|milliarden?|billions?)(?![^\W\d_])|(?P<unspaced>[万千億亿만천억]))?"
)
_FACTORS = {
    **dict.fromkeys(("k", "tsd", "tausend", "thousand", "mille", "mil", "千", "천"), Decimal(1_000)),
    **dict.fromkeys(("万", "만"), Decimal(10_000)),
    **dict.fromkeys(("m", "mio", "mn", "mln", "million", "millions", "millionen", "millones"), Decimal(1_000_000)),
    **dict.fromkeys(("億", "亿", "억"), Decimal(100_000_000)),
    **dict.fromkeys(("bn", "mrd", "milliarde", "milliarden", "billion", "billions"), Decimal(1_000_000_000)),
}
_TURKISH_CASE = re.compile(r"(iki|üç|dört|beş|altı|yedi|sekiz|dokuz|yirmi|otuz)(?:[dt][ae]n?|[yn]?[aeıiuü])")
"""A Turkish number with the ending of a case: "at six"."""
_POINTS = frozenset({"point", "komma", "virgule", "coma", "virgola", "punto", "ponto", "vírgula"})
_QUATRE_VINGT = re.compile(r"quatre[- ]vingts?")
_TIME = re.compile(r"(?<![\d:])(\d{1,2})[:h](\d{2})(?![\d:])")
_CLOCK_TIMES = (
    (re.compile(r"\bhalf past (\w+)"), Decimal("0.5")),
    (re.compile(r"\b(?:quarter past|viertel nach|kwart over) (\w+)"), Decimal("0.25")),
    (re.compile(r"\b(?:quarter to|viertel vor|kwart voor) (\w+)"), Decimal("-0.25")),
)
"""Times as a clock of twelve hours is read out, with what they add to the hour."""
_SPOKEN_TIMES = (
    *_CLOCK_TIMES,
    (re.compile(r"\bhalf (one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b"), Decimal("0.5")),
    (re.compile(r"\bhal[bf] (\w+)"), Decimal("-0.5")),
)
"""All times of day in words."""
_DURATIONS = {
    re.compile(
        r"\b(?:an hour and a half|anderthalb stunden|anderhalf uur|une heure et demie|una hora y media"
        r"|un'ora e mezz[ao]|uma hora e meia|полтора часа)\b"
    ): "90 minutes",
    re.compile(
        r"\b(?:three[- ]quarters of an hour|dreiviertelstunde|trois quarts d'heure|tres cuartos de hora)\b"
    ): "45 minutes",
    re.compile(r"\bdrie kwartier\b"): "45 minuten",
    re.compile(
        r"\b(?:quarter of an hour|viertelstunde|quart d'heure|cuarto de hora|quarto d'ora|kwartier|quarto de hora)\b"
    ): "15 minutes",
}
"""What stands for a number of minutes."""
_EVERY_OTHER = re.compile(
    r"\b(?:every (?:other|second|2nd)|alternate|jede[nrms]? zweite[nrms]?|co drug[iaą]|varannan)\b"
    r"|\bom de (?:week|weken|maand|jaar|uur|\w*dag)\b|кажд\w+ втор"
    r"|\bsì e un[oa]?\b|\bdia sim,? dia não|\bdía sí (?:y|,) (?:otro )?(?:día )?no\b|\balterni\b|隔[週周日天月]|격주"
)
_QUARTER = re.compile(
    r"\b(?:(1st|first|erste\w*|premier|primer|primo|eerste|primeiro)|(2nd|second|zweite\w*|deuxième|segundo|secondo|tweede)"
    r"|(3rd|third|dritte\w*|troisième|tercer|terzo|derde|terceiro)|(4th|fourth|last|vierte\w*|quatrième|cuarto|vierde))"
    r" (?:quarter|quartal|trimestre|kwartaal)\b|\bq(?:(1)|(2)|(3)|(4))\b"
)
"""A quarter of the year."""
_ELIDED = re.compile(r"\b(vent|trent|quarant|cinquant)'(?=\w)")
_ONE = re.compile(
    r"\b(within|after|for|than|in|inside of|innerhalb|binnen|nach|dans|après|en|dentro de|tras|entro|dopo|inom|efter)"
    rf" (?:an?|eine?[rmns]?|une?|una|uno|ett|e?en|uma?)(?= (?:{'|'.join(sorted(filter(str.isalpha, UNITS)))})\b)"
)
_ONE_UNIT = re.compile(
    r"\b(?:an?|eine?[rmns]?|une?|una|uno|ett|e?en|uma?|every|each|jede[nrms]?|chaque|cada|ogni|elke|iedere?|per|pro|par|por)"
    rf" ({'|'.join(sorted(filter(str.isalpha, UNITS)))})\b"
)
_HOW_OFTEN = {"once": "1", "twice": "2", "thrice": "3", "einmal": "1", "zweimal": "2", "dreimal": "3", "viermal": "4"}
_TIMES = re.compile(
    r"\b(?:(once|einmal)(?= (?:a|an|per|each|every|pro|im|am|in) )|(twice|thrice|zweimal|dreimal|viermal))\b"
)
_INCHES = re.compile(r"(?<=\d)[\"\u2033\u201d](?=[\s,.;)]|$)")
_AND_A_HALF = re.compile(
    r"(?<=\w)( heures?)? (?:and a half|und ein halbe[rsn]?|et demie?|y medi[oa]|e mezz[ao]|e mei[ao])\b"
)
_HALF = frozenset({"half", "anderthalb", "eineinhalb"})
"""Halves that are numbers without a unit after them, too."""
_BEFORE_UNITS = frozenset({"a", "an", "working", "business", "calendar", "full", "whole", "consecutive"})
"""Words between a number and its unit: "half an hour", "two working days"."""
_AND = frozenset({"and", "y", "et", "e"})
_SCORES = frozenset({Decimal(60), Decimal(80)})
"""Numbers to which French adds more than nine."""
_CHINESE_UNITS = {"十": 10, "百": 100, "千": 1_000}
_SHORT_UNITS = frozenset(UNITS.values())


def write_in_digits(words: Sequence[str]) -> list[str]:
    """Return the words with numbers as digits and units abbreviated: "minus ten days" becomes "-10 d"."""
    digits: list[str] = []
    number: _SpelledNumber | None = None  # the number that is being read, word by word
    for index, word in enumerate(words):
        value = NUMBERS.get(word)
        if value is not None and (number is None or number.takes(value)):
            number = (number or _SpelledNumber()).plus(value)
        elif word in MULTIPLIERS:
            last = digits.pop() if number is None and digits and _PLAIN_NUMBER.fullmatch(digits[-1]) else None
            number = (_SpelledNumber(small=Decimal(last)) if last else number or _SpelledNumber()).times(word)
        elif number is not None and word in _AND and number.takes(NUMBERS.get("".join(words[index + 1 : index + 2]))):
            continue
        else:
            digits += [] if number is None else [_format_number(number.value)]
            number = None if value is None else _SpelledNumber().plus(value)
            digits += _normalize_word(word) if value is None else []
    digits += [] if number is None else [_format_number(number.value)]
    return _join_minus_signs(digits)


def find_quantities(words: Sequence[str]) -> Iterator[str]:
    """Yield the numbers among words returned by `write_in_digits`, each with the unit beside it, if there is one."""
    for index, word in enumerate(words):
        if word.removeprefix("-")[:1].isdigit():
            beside = [*words[index + 1 : index + 2], *words[max(index - 1, 0) : index]]
            units = [neighbour for neighbour in beside if neighbour in _SHORT_UNITS]
            yield " ".join([word, *units[:1]])


class _SpelledNumber(NamedTuple):
    """A number in words, as far as it is read: in "twelve thousand five hundred", 12,000 and five hundred."""

    large: Decimal = Decimal(0)
    small: Decimal = Decimal(0)

    @property
    def value(self) -> Decimal:
        return self.large + self.small

    def takes(self, value: Decimal | None) -> bool:
        """Return True if a number word goes on with this one: "twenty one" is one number, "one two" are two."""
        if value is None:
            return False
        if self.small in _SCORES and 10 <= value < 20:  # "soixante-dix", "quatre-vingt-douze"
            return True
        ends = self.small or self.large
        return ends >= 20 and ends % 10 ** len(str(value)) == 0

    def plus(self, value: Decimal) -> "_SpelledNumber":
        return self._replace(small=self.small + value)

    def times(self, multiplier: str) -> "_SpelledNumber":
        scaled = (self.small or Decimal(1)) * MULTIPLIERS[multiplier]
        if MULTIPLIERS[multiplier] < 1_000:
            return self._replace(small=scaled)
        return _SpelledNumber(large=self.large + scaled)


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


class Quantity(NamedTuple):
    """A number with its unit."""

    values: frozenset[Decimal]
    """The values that it may mean: "1.500" is 1.5 or 1500."""
    unit: str
    """Abbreviation of the unit; empty if it has none."""

    def is_same(self, other: "Quantity") -> bool:
        """Return True if two quantities are the same, such as "1 h" and "60 min", or "1 h" and "1"."""
        if {self.unit, other.unit} == {"", "%"}:  # "half of it" is "50 %" of it
            parts, percent = (self.values, other.values) if other.unit == "%" else (other.values, self.values)
            return bool(parts & (percent | {value / 100 for value in percent}))
        if self.values & other.values and (self.unit == other.unit or not (self.unit and other.unit)):
            return True
        if {self.unit, other.unit} == {"wk", "d"}:  # "huit jours" are a week, and "quinze jours" are two
            weeks, days = (self.values, other.values) if self.unit == "wk" else (other.values, self.values)
            return bool(days & {value * 7 + extra for value in weeks for extra in ((0, 1) if value <= 2 else (0,))})
        if self.unit in _IN_DAYTIME or other.unit in _IN_DAYTIME:
            return bool(self._hours & other._hours)
        return self._base == other._base and bool(self._base_values & other._base_values)

    def in_the_evening(self) -> "Quantity":
        """Return the quantity as an hour that may be one after noon: six is 18:00, too."""
        is_hour = self.unit in ("", "h") and all(0 < value < 12 for value in self.values)
        return self._replace(values=self.values | {value + 12 for value in self.values}) if is_hour else self

    @property
    def _base(self) -> str:
        return _BASES.get(self.unit, ("?", 1))[0]

    @property
    def _base_values(self) -> frozenset[Decimal]:
        return frozenset(value * _BASES[self.unit][1] for value in self.values) if self.unit in _BASES else frozenset()

    @property
    def _hours(self) -> frozenset[Decimal]:
        return frozenset((value + 12 if self.unit == "pm" and value < 12 else value) for value in self.values)


EVERY_SECOND = Quantity(frozenset({Decimal(2), Decimal("0.5")}), "")
_IN_DAYTIME = frozenset({"am", "pm"})
_BASES: Mapping[str, tuple[str, Decimal | int]] = {
    "s": ("s", 1),
    "min": ("s", 60),
    "h": ("s", 3_600),
    "d": ("s", 86_400),
    "wk": ("s", 604_800),
    "mo": ("mo", 1),
    "yr": ("mo", 12),
    "dec": ("mo", 120),
    "g": ("g", 1),
    "kg": ("g", 1_000),
    "m": ("m", 1),
    "km": ("m", 1_000),
    "kb": ("kb", 1),
    "mb": ("kb", 1_000),
    "gb": ("kb", 1_000_000),
    "tb": ("kb", 1_000_000_000),
    "cm": ("m", Decimal("0.01")),
    "mm": ("m", Decimal("0.001")),
}
"""Units that are converted into each other, with the one that they are counted in."""
_UNSPACED_UNITS = {
    "s": "秒초",
    "min": "分분",
    "h": "時时小시",
    "d": "天",
    "wk": "周週주",
    "mo": "个個ヶか개",
    "yr": "年년",
}


def read_quantities(text: str) -> list[Quantity]:
    """Return the numbers in a text with their units, in any usual form."""
    folded = _write_out(drop_foreign_marks(normalize("NFKC", text)).casefold())
    found, words, end = list[Quantity](), list[str](), 0
    for match in _WRITTEN_NUMBER.finditer(folded):
        words += [*_split_words(folded[end : match.start()]), f"\0{len(found)}"]
        following = folded[match.end() :].lstrip()[:1]
        unit = next((unit for unit, chars in _UNSPACED_UNITS.items() if following and following in chars), "")
        found.append(Quantity(_values_of(match), "m" if match["factor"] == "m" else unit))
        end = match.end()
    words += _split_words(folded[end:])
    digits = write_in_digits(words)
    quantities = [
        *_with_units(digits, found),
        *(Quantity(frozenset({value}), "") for value in _chinese_numbers(folded)),
        *(EVERY_SECOND for _ in _EVERY_OTHER.findall(folded)),
    ]
    is_spoken = any(time.search(text.casefold()) for time, _ in _CLOCK_TIMES)
    is_late = is_spoken or not LATE_WORDS.isdisjoint(words) or any(word in folded for word in LATE_UNSPACED)
    return [quantity.in_the_evening() for quantity in quantities] if is_late else quantities


def _write_out(folded: str) -> str:
    """Return a text with times of day as hours, and with what stands for a number as that number."""
    for pattern, minutes in _DURATIONS.items():
        folded = pattern.sub(minutes, folded)
    for time, difference in _SPOKEN_TIMES:
        folded = time.sub(partial(_spell_hour, difference=difference), folded)
    folded = _TIME.sub(lambda found: _format_number(_hours(found[1], found[2])), folded)
    folded = _ELIDED.sub(lambda found: f"{found[1]}{'i' if found[1] == 'vent' else 'a'} ", folded)
    folded = _QUATRE_VINGT.sub("quatrevingt", folded)
    folded = _QUARTER.sub(lambda found: f" {((found.lastindex or 1) - 1) % 4 + 1} q ", folded)
    folded = _AND_A_HALF.sub(r" point five\1", folded)
    folded = _INCHES.sub(" inch ", folded)
    folded = _TIMES.sub(lambda found: f"{_HOW_OFTEN[found[0]]} x", folded)
    return _ONE.sub(lambda found: f"{found[1]} one ", folded)


def _hours(hours: str, minutes: str) -> Decimal:
    return Decimal(hours) + (Decimal(minutes) / 60).quantize(Decimal("0.0001"))


def _spell_hour(found: re.Match[str], difference: Decimal) -> str:
    hour = NUMBERS.get(found[1]) or (Decimal(found[1]) if found[1].isdecimal() else None)
    return found[0] if hour is None else _format_number(hour + difference)


def _split_words(text: str) -> list[str]:
    return [part for word in re.findall(r"[^\W\d_]+|[%€$£;]", text) for part in _split_compound(word)]


def _with_units(words: Sequence[str], written: Sequence[Quantity]) -> Iterator[Quantity]:
    """Yield the numbers among words, each with the unit after it, or the currency before it."""
    at = 0
    while at < len(words):
        word, after, before = words[at], words[at + 1 : at + 3], words[max(at - 1, 0) : at]
        quantity = written[int(word[1:])] if word.startswith("\0") else None
        if quantity is None and _PLAIN_NUMBER.fullmatch(word):
            is_decimal = len(after) == 2 and after[0] in _POINTS and after[1].isdigit()
            quantity = Quantity(frozenset({Decimal(f"{word}.{after[1]}" if is_decimal else word)}), "")
            at, after = (at + 2, words[at + 3 : at + 4]) if is_decimal else (at, after)
        elif quantity is None and word in HALVES:
            quantity = Quantity(frozenset({HALVES[word]}), "")
        if quantity:
            is_half_alone = word in HALVES and word not in _HALF
            after = after[1:] if after and after[0] in _BEFORE_UNITS else after
            units = [unit for unit in after[:1] if unit in _SHORT_UNITS] + [unit for unit in before if unit in "€$£"]
            if units or not is_half_alone:
                yield quantity._replace(unit=units[0]) if units else quantity
        at += 1


def read_implied_numbers(text: str) -> list[Quantity]:
    """Return what else may say a number: "the second floor" is "floor two", "both of us" are two, "a week" is one."""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    single = [Quantity(frozenset({Decimal(1)}), UNITS[found[1]]) for found in _ONE_UNIT.finditer(text.casefold())]
    ordinals = [Quantity(frozenset({Decimal(ORDINALS[word])}), "") for word in words if word in ORDINALS]
    implied = [IMPLIED_NUMBERS[word].partition(" ") for word in words if word in IMPLIED_NUMBERS]
    return single + ordinals + [Quantity(frozenset({Decimal(number)}), unit) for number, _, unit in implied]


def is_number_word(word: str) -> bool:
    """Return True for a number, spelled out or in digits, alone or with a unit."""
    return word in NUMBERS or word[:1].isdigit()


def _values_of(match: re.Match[str]) -> frozenset[Decimal]:
    digits = re.sub(r"['’\s]", "", match["digits"])
    readings = {digits.replace(",", "").replace(".", "")} if re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", digits) else set()
    readings |= {re.sub(r"[.,](?=.*[.,])", "", digits).replace(",", ".")}
    values = {Decimal(reading) for reading in readings}
    factor = _FACTORS.get(match["factor"] or match["unspaced"] or "")
    scaled = frozenset(value * factor for value in values) if factor else frozenset(values)
    return scaled | values if match["factor"] == "m" else scaled  # "5 m" are millions or metres


def _split_compound(word: str) -> list[str]:
    """Return "zwanzig", "fünf" for "fünfundzwanzig", and a word that is no number in several words as it is."""
    if word == "eins":
        return ["one"]
    if word.endswith("einhalb") and (whole := NUMBERS.get(word.removesuffix("einhalb"))):
        return [f"{whole}.5"]
    for multiplier in ("tausend", "hundert", "duizend", "honderd"):
        before, is_compound, after = word.partition(multiplier)
        if not is_compound or word == multiplier:
            continue
        ends = [_split_compound(part) if part else [] for part in (before, after.removeprefix("und"))]
        parts = [*ends[0], multiplier, *ends[1]]
        if all(part in NUMBERS or part in MULTIPLIERS for part in parts):
            return parts
    if found := re.fullmatch(r"(een|twee|drie|vier|vijf|zes|zeven|acht|negen)[eë]n(\w+tig)", word):
        return [found[2], found[1]]
    if found := re.fullmatch(r"(vent|trent|quarant|cinquant|sessant|settant|ottant|novant)[ia]?(\w+)", word):
        tens = f"{found[1]}{'i' if found[1] == 'vent' else 'a'}"
        digit = "one" if found[2] == "uno" else found[2].replace("é", "e")
        return [tens, digit] if digit in NUMBERS else [word]
    if found := re.fullmatch(r"veinti(\w+)", word):
        digit = normalize("NFD", found[1]).replace("\u0301", "")
        return ["veinte", digit] if digit in NUMBERS else [word]
    if found := _TURKISH_CASE.fullmatch(word):
        return [found[1]]
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
