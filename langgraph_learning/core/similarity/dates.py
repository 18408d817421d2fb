"""Dates in a text, in any usual form, and whether another text means the same day by its own words."""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import NamedTuple

from langgraph_learning.core.similarity.lexicon import DATES, DAY_GROUPS, NUMBERS, ORDINALS, RELATIVE_DATES

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_MAY = frozenset({"may", "mai", "mayo", "maggio", "mei"})
_MONTH_WORDS = {word: _MONTHS.index(name) + 1 for word, name in DATES.items() if name in _MONTHS} | dict.fromkeys(
    _MAY, 5
)
_MONTH = "|".join(sorted(map(re.escape, _MONTH_WORDS), key=len, reverse=True))
_ORDINALS = {word: int(day) for word, day in ORDINALS.items()}
_ORDINAL = re.compile(rf"\b({'|'.join(sorted(_ORDINALS, key=len, reverse=True))})(?= (?:of |de )?(?:{_MONTH})\b)")
_DAYS_IN_WORDS = {word: int(value) for word, value in NUMBERS.items() if 1 <= value <= 31}
_DAY_IN_WORDS = re.compile(
    rf"\b({'|'.join(sorted(_DAYS_IN_WORDS, key=len, reverse=True))})(?= (?:of |de |di )?(?:{_MONTH})\b)"
)
_FORMS = (
    re.compile(r"(?<!\d)(?P<year>\d{4})[-/.年](?P<month>\d{1,2})(?:[-/.月](?P<day>\d{1,2})日?)?(?!\d)"),
    re.compile(r"(?<!\d)(?P<day>\d{1,2})\. ?(?P<month>\d{1,2})\.(?: ?(?P<year>\d{4}|\d{2}))?(?!\d)"),
    re.compile(r"(?<!\d)(?P<month>\d{1,2})/(?P<day>\d{1,2})(?:/(?P<year>\d{4}|\d{2}))?(?!\d)"),
    re.compile(r"(?<!\d)(?P<month>\d{1,2})月(?P<day>\d{1,2})日"),
    re.compile(
        rf"(?<!\d)(?P<day>\d{{1,2}})(?:st|nd|rd|th|er|\.|º)?(?: de| of| di)? (?P<name>{_MONTH})\b\.?"
        r"(?:,? (?:de )?(?P<year>\d{4}))?"
    ),
    re.compile(rf"\b(?P<name>{_MONTH})\b\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?!\d)(?:,? (?P<year>\d{{4}}))?"),
    re.compile(rf"\b(?P<name>{_MONTH})\b,? (?P<year>\d{{4}})"),
)
_DAY = "|".join(sorted((re.escape(word) for word, name in DATES.items() if name in _WEEKDAYS), key=len, reverse=True))
_DAY_RANGE = re.compile(
    rf"\b(?P<first>{_DAY})s?\.?\s?(?:to|through|thru|till|until|bis|à|au|a|al|hasta|tot|t/m|até|по|do|-|–)\s?(?P<last>{_DAY})s?\b"
)
_MONTH_RANGE = re.compile(
    rf"\b(?P<first>{_MONTH})\.?\s?(?:to|through|thru|till|until|bis|à|au|a|al|hasta|tot|t/m|até|по|do|-|–)\s?(?P<last>{_MONTH})\b"
)
_PHRASES = {
    "day_after_tomorrow": re.compile(
        r"\b(?:day after tomorrow|pasado mañana|depois de amanhã|après[- ]demain)\b", re.I
    ),
    "day_before_yesterday": re.compile(r"\b(?:day before yesterday|avant[- ]hier|antes de ayer|l'altro ieri)\b", re.I),
}
_DAY_GROUPS = {days: re.compile(rf"(?<!\w)(?:{words})") for days, words in DAY_GROUPS.items()}
_UNSPACED_WEEKDAY = re.compile(
    r"([月火水木金土日])曜|(?:周|週|星期|礼拜|禮拜)([一二三四五六日天])|([월화수목금토일])요일"
)
_UNSPACED_DAYS = ("月火水木金土日", "一二三四五六日", "월화수목금토일")
LONGEST_NEAR = timedelta(days=120)
"""Time within which "next week" and "at the end of the quarter" are."""
LONGEST_YEAR = timedelta(days=800)


class MentionedDate(NamedTuple):
    """A date in a text; parts that it does not name are None."""

    text: str
    year: int | None
    month: int
    day: int | None


def find_dates(text: str) -> Iterator[MentionedDate]:
    """Yield the dates in a text, such as 2026-12-04, 4.12., December 4 and 4 de diciembre."""
    folded = _ORDINAL.sub(lambda found: str(_ORDINALS[found[1]]), text.casefold())
    folded, taken = _DAY_IN_WORDS.sub(lambda found: str(_DAYS_IN_WORDS[found[1]]), folded), list[range]()
    for form in _FORMS:
        for found in form.finditer(folded):
            if any(found.start() < end.stop and end.start < found.end() for end in taken):
                continue
            parts = found.groupdict()
            month = _MONTH_WORDS[parts["name"]] if parts.get("name") else int(parts["month"])
            day = int(parts["day"]) if parts.get("day") else None
            year = int(parts["year"]) if parts.get("year") else None
            if day is not None and month > 12 >= day and not parts.get("name"):
                month, day = day, month  # 15/12 names the day first
            if 1 <= month <= 12 and (day is None or 1 <= day <= 31):
                taken.append(range(found.start(), found.end()))
                yield MentionedDate(found.group(), year + 2000 if year is not None and year < 100 else year, month, day)


def means_date(text: str, mentioned: MentionedDate, today: date | None) -> bool:
    """Return True if a text names this date, in another form or from where the writer stands: "next Friday"."""
    own_dates = [own for own in find_dates(text) if own.month == mentioned.month]
    for own in own_dates:
        same_year = own.year is None or mentioned.year is None or own.year == mentioned.year
        if same_year and (own.day == mentioned.day or None in (own.day, mentioned.day)):
            return True
    if not own_dates and mentioned.month in find_months(text) and (mentioned.day is None or _is_edge(mentioned)):
        return True
    return mentioned.year is not None and today is not None and _is_meant_relatively(text, mentioned, today)


def find_weekdays(text: str, *, with_ranges: bool = True) -> set[int]:
    """Return the weekdays in a text, Monday as 0.

    with_ranges: whether "Monday to Thursday" is also the days between.
    """
    folded = text.casefold()
    days = {_WEEKDAYS.index(DATES.get(word) or DATES[word.removesuffix("s")]) for word in list_day_words(text)}
    if with_ranges:
        ranges = ((_day_of(found["first"]), _day_of(found["last"])) for found in _DAY_RANGE.finditer(folded))
        days |= {day % 7 for first, last in ranges for day in range(first, last + (7 if last < first else 0) + 1)}
    days |= frozenset().union(*(group for group, words in _DAY_GROUPS.items() if words.search(folded)))
    for found in _UNSPACED_WEEKDAY.finditer(text):
        days |= {
            row.index(char.replace("天", "日"))
            for char, row in zip(found.groups(), _UNSPACED_DAYS, strict=True)
            if char
        }
    return days


def list_day_words(text: str) -> list[str]:
    """Return the words of a text that name a weekday, without case."""
    words = re.findall(r"[^\W\d_]+(?:-feira)?", text.casefold())
    return [word for word in words if (DATES.get(word) or DATES.get(word.removesuffix("s"))) in _WEEKDAYS]


def _day_of(word: str) -> int:
    return _WEEKDAYS.index(DATES.get(word) or DATES[word.removesuffix("s")])


def find_months(text: str, *, with_ranges: bool = True) -> set[int]:
    """Return the months that a text names.

    with_ranges: whether "June to August" is also the months between.
    """
    words = re.findall(r"[^\W\d_]+", text)
    months = {_MONTH_WORDS[word.casefold()] for word in words if word.casefold() in _MONTH_WORDS and word != "may"}
    for found in _MONTH_RANGE.finditer(text.casefold()) if with_ranges else ():
        first, last = _MONTH_WORDS[found["first"]], _MONTH_WORDS[found["last"]]
        months |= {(month - 1) % 12 + 1 for month in range(first, last + (12 if last < first else 0) + 1)}
    return months | {int(month) for month in re.findall(r"(?<!\d)(\d{1,2})月", text) if 1 <= int(month) <= 12}


def is_date_word(word: str) -> bool:
    """Return True for the name of a weekday or a month."""
    return word in DATES or word in _MONTH_WORDS or word.removesuffix("s") in DATES


def _is_edge(mentioned: MentionedDate) -> bool:
    """Return True for the first and the last days of a month: "until March" is until its end."""
    return mentioned.day is not None and (mentioned.day == 1 or mentioned.day >= 28)


def _is_meant_relatively(text: str, mentioned: MentionedDate, today: date) -> bool:
    """Return True if a date is where the text places it from today."""
    try:
        day = date(mentioned.year or today.year, mentioned.month, mentioned.day or 15)
    except ValueError:
        return False
    distance = day - today
    for name, days in (("day_after_tomorrow", 2), ("day_before_yesterday", -2)):
        if _PHRASES[name].search(text) or _mentions(text, RELATIVE_DATES[name]):
            return distance == timedelta(days=days)
    for name, days in (("tomorrow", 1), ("today", 0), ("yesterday", -1)):
        if _mentions(text, RELATIVE_DATES[name]) and distance == timedelta(days=days):
            return True
    if mentioned.day is not None and (weekdays := find_weekdays(text)):
        return day.weekday() in weekdays and abs(distance) <= timedelta(days=21)
    if _mentions(text, RELATIVE_DATES["near"]) and abs(distance) <= LONGEST_NEAR:
        return True
    return _mentions(text, RELATIVE_DATES["year"]) and abs(distance) <= LONGEST_YEAR


def _mentions(text: str, words: tuple[str, ...]) -> bool:
    folded = text.casefold()
    in_words = set(re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", folded))
    return any(word in in_words or (word > "\u0e00" and word in folded) for word in words)
