"""Reads the day that is meant by a time such as "the end of March" or "tomorrow"."""

import re
import tomllib
from calendar import monthrange
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import normalize

from langgraph_learning.core.similarity.dates import MentionedDate, find_dates, find_months, find_weekdays
from langgraph_learning.core.similarity.lexicon import NUMBERS, ORDINALS, RELATIVE_DATES, UNITS

_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _load_mapping(name: str) -> dict[str, str]:
    return {word: meaning for meaning, words in _WORDS[name].items() for word in words.split()}


_FILLERS = frozenset(_load_mapping("fillers"))
_END, _NEXT = (frozenset(_load_mapping(name)) for name in ("end", "next"))
_MONTHS = {word: int(month) for word, month in _load_mapping("months").items()}
_LONG_UNITS = {unit: unit for unit in ("d", "wk", "mo", "qu", "yr")}
_UNITS = {
    word: unit for word, unit in {**UNITS, **_load_mapping("units"), **_LONG_UNITS}.items() if unit in _LONG_UNITS
}
_SPELLINGS = {re.compile(pattern): words for pattern, words in _WORDS["spellings"].items()}
_DAYS_FROM_TODAY = {
    word: days
    for name, days in (
        ("day_before_yesterday", -2),
        ("yesterday", -1),
        ("today", 0),
        ("tomorrow", 1),
        ("day_after_tomorrow", 2),
    )
    for word in RELATIVE_DATES[name]
}
_CHINESE_NUMBERS = {"十": 10, "十一": 11, "十二": 12} | {
    numeral: at + 1 for at, numeral in enumerate("一二三四五六七八九")
}
_ISO = re.compile(
    r"(?P<year>\d{4})(?:[-/.](?P<month>\d{1,2})(?:[-/.](?P<day>\d{1,2})(?:[T ]\d{2}:\d{2}.*)?)?)?", re.DOTALL
)
_DAY_OR_MONTH_FIRST = re.compile(r"(\d{1,2})/(\d{1,2})(?:/\d+)?")
_TIME_OF_DAY = re.compile(r"\b\d{1,2}[:h]\d{2}(?::\d{2})?(?: ?(?:am|pm|uhr|h))?(?!\w)")
_TOKEN = re.compile(r"[^\W_]+(?:['\u2019][^\W\d_]+)*")


class _Mark(NamedTuple):
    """A word of a text by the part that it plays in a time."""

    role: str
    value: Any = None


class _NotUnderstood(Exception):
    """A word that may change what is meant."""


def last_day(text: str, today: date) -> date | None:
    """Return the last day of the time that a text names, read on a day: of "March" the end of the coming one.

    None: it could be several days, or none. A time without a year is the next one that has not ended.
    """
    if found := _ISO.fullmatch(text.strip()):
        return _make_last_day(*(int(found[part]) if found[part] else None for part in ("year", "month", "day")))
    try:
        marks = list(_read_marks(text))
    except _NotUnderstood:
        return None
    values = {mark.role: mark.value for mark in marks if mark.role != "end"}
    ends = sum(mark.role == "end" for mark in marks)
    if len(values) + ends != len(marks):  # two months, or two days
        return None
    if values.get("unit") == "qu" and "ordinal" in values:
        values["quarter"] = values.pop("ordinal")
        del values["unit"]
    return _find_named_day(values, today) or _find_near_day(values, bool(ends), today)


def single_day(text: str, today: date) -> date | None:
    """Return the day that a text names by a word such as "yesterday"; None if it is any other text."""
    try:
        marks = [mark for mark in _read_marks(text) if mark.role != "end"]
    except _NotUnderstood:
        return None
    if [mark.role for mark in marks] != ["relative"]:
        return None
    return today + timedelta(days=marks[0].value)


def _read_marks(text: str) -> Iterator[_Mark]:
    """Yield the parts of a time. Raises `_NotUnderstood` for a word that is none of them."""
    folded = _TIME_OF_DAY.sub(" ", normalize("NFKC", text).casefold())
    for pattern, words in _SPELLINGS.items():
        folded = pattern.sub(words, folded)
    for mentioned in find_dates(folded):
        if _is_ambiguous(mentioned.text):
            raise _NotUnderstood
        folded = folded.replace(mentioned.text, " ", 1)
        yield _Mark("date", mentioned)
    for token in _TOKEN.findall(folded):
        yield from _read_token(token)


def _read_token(token: str) -> Iterator[_Mark]:
    if token in _DAYS_FROM_TODAY:
        yield _Mark("relative", _DAYS_FROM_TODAY[token])
    elif re.search("['\u2019]", token):
        for part in re.split("['\u2019]", token):
            yield from _read_token(part)
    elif found := re.fullmatch(r"([qhm])(\d{1,2}|[一二三四五六七八九十]{1,2})", token):
        role = {"q": "quarter", "h": "half", "m": "month"}[found[1]]
        yield _Mark(role, _CHINESE_NUMBERS[found[2]] if found[2] in _CHINESE_NUMBERS else _read_digits(found[2]))
    elif token in _END:
        yield _Mark("end")
    elif token in _NEXT:
        yield _Mark("next")
    elif token in _MONTHS or (months := find_months(token)):
        yield _Mark("month", _MONTHS[token] if token in _MONTHS else months.pop())
    elif days := find_weekdays(token):
        yield _Mark("weekday", days.pop())
    elif token not in _FILLERS:
        yield _read_number_or_unit(token)


def _read_number_or_unit(token: str) -> _Mark:
    if token.isdecimal():
        return _Mark("year" if len(token) == 4 else "number", int(token))
    if token in ORDINALS:
        return _Mark("ordinal", int(ORDINALS[token]))
    if token in _UNITS:
        return _Mark("unit", _UNITS[token])
    if token in NUMBERS and NUMBERS[token] == int(NUMBERS[token]):
        return _Mark("number", int(NUMBERS[token]))
    raise _NotUnderstood


def _read_digits(digits: str) -> int:
    if not digits.isdecimal():
        raise _NotUnderstood
    return int(digits)


def _is_ambiguous(written: str) -> bool:
    """Return True for a date of which nobody knows whether the day or the month comes first."""
    found = _DAY_OR_MONTH_FIRST.fullmatch(written)
    return found is not None and found[1] != found[2] and max(int(found[1]), int(found[2])) <= 12


def _find_named_day(values: Mapping[str, Any], today: date) -> date | None:
    """Return the last day of a time that is named by its place in the year; None if it is none."""
    year = values.get("year")
    match " ".join(sorted(values)):
        case "date":
            return _make_day(values["date"], today)
        case "date weekday":
            day = _make_day(values["date"], today)
            return day if day and day.weekday() == values["weekday"] else None
        case "year":
            return _make_last_day(year)
        case "month" | "month year" | "quarter" | "quarter year" | "half" | "half year":
            month = values.get("month") or values.get("quarter", 0) * 3 or values["half"] * 6
            return _find_coming(lambda in_year: _make_last_day(in_year, month), year, today)
        case "month number" | "month number year":
            return _find_coming(lambda in_year: _make_last_day(in_year, values["month"], values["number"]), year, today)
    return None


def _find_near_day(values: Mapping[str, Any], has_end: bool, today: date) -> date | None:
    """Return the last day of a time that is named by its distance from today; None if it is none."""
    is_next = "next" in values
    match " ".join(sorted(values)):
        case "weekday" | "next weekday":
            return _find_weekday(values["weekday"], is_next, today)
        case "unit" | "next unit" if has_end or not is_next:  # "next month" has thirty days
            return _end_unit(values["unit"], is_next, today)
        case "number unit" if not has_end:
            return _add(values["number"], values["unit"], today)
        case "relative":
            return today + timedelta(days=values["relative"])
    return None


def _make_day(mentioned: MentionedDate, today: date) -> date | None:
    return _find_coming(lambda in_year: _make_last_day(in_year, mentioned.month, mentioned.day), mentioned.year, today)


def _find_coming(day_in: Callable[[int], date | None], year: int | None, today: date) -> date | None:
    """Return a day in a year; without one, in the first year in which it is not over."""
    if year is not None:
        return day_in(year)
    days = [day_in(today.year), day_in(today.year + 1)]
    return next((day for day in days if day and day >= today), None)


def _make_last_day(year: int | None, month: int | None = None, day: int | None = None) -> date | None:
    """Return a day; without one, the last of the month, and without a month, of the year; None if there is none."""
    try:
        return date(year or 0, month or 12, day or monthrange(year or 0, month or 12)[1])
    except (ValueError, IndexError):
        return None


def _find_weekday(weekday: int, is_next: bool, today: date) -> date | None:
    """Return the coming such day; None where it may be today, or where "next" may be this week or the week after."""
    days_ahead = (weekday - today.weekday()) % 7
    if is_next and days_ahead + today.weekday() < 7 and days_ahead:
        return None
    if not days_ahead and not is_next:
        return None
    return today + timedelta(days=days_ahead or 7)


def _end_unit(unit: str, is_next: bool, today: date) -> date | None:
    """Return the last day of the current week, month, quarter or year, or of the one after it."""
    if unit == "d":
        return None if is_next else today
    if unit == "wk":
        return today + timedelta(days=6 - today.weekday() + 7 * is_next)
    months = {"mo": 1, "qu": 3, "yr": 12}[unit]
    first_of_next = (today.month - 1) // months * months + months * (1 + is_next)
    year, month = divmod(today.year * 12 + first_of_next - 1, 12)
    return _make_last_day(year, month + 1)


def _add(number: int, unit: str, today: date) -> date | None:
    """Return the day that is so many days, weeks, months or years ahead; None if there is none."""
    try:
        if unit in ("d", "wk"):
            return today + timedelta(days=number * (7 if unit == "wk" else 1))
        months = today.year * 12 + today.month - 1 + number * {"mo": 1, "qu": 3, "yr": 12}[unit]
        year, month = divmod(months, 12)
        return date(year, month + 1, min(today.day, monthrange(year, month + 1)[1]))
    except (ValueError, OverflowError):
        return None
