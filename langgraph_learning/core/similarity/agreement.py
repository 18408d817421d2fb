"""Agreement: whether a text says what a statement says, in other words. Nothing is asked of a model.

Words alone cannot tell that two texts mean the same, but they can tell that they do not. A text that shares some words
with a statement agrees with it unless they differ in a number or its limit, a day, a name, what is negated, in a
condition or an exception, in how certain they are, in what comes first, in who does what to whom, or in a word that
stands in the same place.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date

from langgraph_learning.core.similarity.clauses import REVERSED, Mark, Outline, outline, split_sentences
from langgraph_learning.core.similarity.dates import find_dates, find_months, find_weekdays, means_date
from langgraph_learning.core.similarity.lexicon import (
    CLOSED_WORDS,
    COMPARED_WORDS,
    IMPLICIT_NEGATIONS,
    OPPOSITES,
    PERIODS,
)
from langgraph_learning.core.similarity.numbers import Quantity, read_ordinals, read_quantities
from langgraph_learning.core.similarity.places import (
    exchange_roles,
    has_other_name,
    match_alike,
    replace_agent,
    replace_name,
    replace_word,
)
from langgraph_learning.core.similarity.qualifiers import add_condition, add_exception, change_mood
from langgraph_learning.core.similarity.rules import find_difference, parse_statement
from langgraph_learning.core.text import stem_word, tokenize

FEWEST_SHARED = 0.25
"""Share of a statement's words and numbers that a text has at least."""
FRAME = 2
"""Words in which two statements differ at most that are compared word by word: one on each side."""
_WORK_WEEK = frozenset(range(5))
_OPPOSITES = [
    [frozenset(side) for side in sides]
    for sides in OPPOSITES
    if not frozenset().union(*sides) & (COMPARED_WORDS | IMPLICIT_NEGATIONS)
]
"""Opposites that are no limits, negations or pronouns."""


def agrees(text: str, statement: str, today: date | None) -> bool:
    """Return True if a text, or one sentence of it, may well say a statement in other words."""
    sentences = split_sentences(text)
    parts = [text, *sentences] if len(sentences) > 1 else [text]
    return any(shares_words(part, statement) and find_disagreement(part, statement, today) is None for part in parts)


def shares_words(text: str, statement: str) -> bool:
    """Return True if a text has enough of a statement's words and numbers, in any form."""
    words = {word.text for word in outline(statement).words}
    shared = match_alike(words, tokenize(text))
    numbers, own = read_quantities(statement), read_quantities(text)
    count = len(shared) + sum(_has_quantity(number, own) for number in numbers)
    return bool(shared) and count >= FEWEST_SHARED * (len(words) + len(numbers))


def find_disagreement(text: str, statement: str, today: date | None) -> str | None:
    """Return in what a text differs from a statement for certain; None if no rule tells them apart."""
    ours, theirs = outline(statement), outline(text)
    disagreements: Mapping[str, Callable[[], bool]] = {
        "number": lambda: _differ_in_quantity(text, statement, today),
        "day": lambda: _differ_in_days(ours, theirs),
        "name": lambda: _lacks_name(ours, theirs) or replace_name(ours, theirs) or replace_agent(ours, theirs),
        "limit": lambda: _differ_in_limit(ours, theirs),
        "negation": lambda: _differ_in_negation(ours, theirs),
        "opposite": lambda: _has_opposite(ours, theirs) or _has_other_unit(ours, theirs),
        "condition": lambda: add_condition(ours, theirs),
        "exception": lambda: add_exception(ours, theirs),
        "mood": lambda: change_mood(ours, theirs),
        "order": lambda: _are_ordered_differently(ours, theirs),
        "word": lambda: replace_word(ours, theirs),
    }
    disagreement = next((name for name, differ in disagreements.items() if differ()), None)
    if disagreement is None and _is_same_frame(ours, theirs):
        return find_difference(statement, text)
    return disagreement


def _is_same_frame(ours: Outline, theirs: Outline) -> bool:
    """Return True if at most a word was replaced: such statements are compared as curation does, word by word."""
    if not (ours.has_fixed_order and theirs.has_fixed_order):
        return False
    words, words_there = (
        Counter(token.lower for token in parse_statement(statement.text).tokens) for statement in (ours, theirs)
    )
    return (words - words_there).total() + (words_there - words).total() <= FRAME


def _differ_in_quantity(text: str, statement: str, today: date | None) -> bool:
    """Return True if a number or date of a statement is not in a text, or its unit is another."""
    rest = statement
    for mentioned in find_dates(statement):
        if not means_date(text, mentioned, today):
            return True
        rest = rest.casefold().replace(mentioned.text, " ", 1)
    own = [*read_quantities(text), *read_ordinals(text)]
    return not all(_has_quantity(number, own) for number in read_quantities(rest))


def _has_quantity(number: Quantity, own: Sequence[Quantity]) -> bool:
    # "One" is an article as often as a number.
    may_be_article = number.values == {1} and not any(other.unit == number.unit for other in own)
    return may_be_article or any(map(number.is_same, own))


def _differ_in_days(ours: Outline, theirs: Outline) -> bool:
    months, months_there = find_months(ours.text), find_months(theirs.text)
    if months and months_there and months != months_there:
        return True
    days, days_there = find_weekdays(ours.text), find_weekdays(theirs.text)
    return days != days_there and not _name_other_days(ours, theirs)


def _name_other_days(ours: Outline, theirs: Outline) -> bool:
    """Return True if one names the days that the other excludes: "never on Fridays", "only Monday to Thursday"."""
    days, days_there = find_weekdays(ours.text), find_weekdays(theirs.text)
    complete = bool(days and days_there) and not days & days_there and days | days_there >= _WORK_WEEK
    return complete and (Mark.NOT in ours.marks) != (Mark.NOT in theirs.marks)


def _lacks_name(ours: Outline, theirs: Outline) -> bool:
    """Return True if a text lacks a name of a statement."""
    joined, words = theirs.text.casefold().replace(" ", ""), tokenize(theirs.text)
    # "Rollbacks" are in "we roll back", too.
    missing = {name for name in ours.names if stem_word(name) not in joined and not match_alike([name], words)}
    return bool(missing - ours.first_names) or (bool(missing) and has_other_name(theirs, ours))


def _differ_in_limit(ours: Outline, theirs: Outline) -> bool:
    """Return True if one has "at least" where the other has "at most", or "also" where the other has "only"."""
    lost_only = Mark.ONLY in ours.marks and not {Mark.ONLY, Mark.NOT} & theirs.marks
    lost_also = Mark.ALSO in ours.marks and Mark.ONLY in theirs.marks and Mark.ALSO not in theirs.marks
    # "It opens after six", "it is closed until six"
    reversed_limit = _is_closed(ours) == _is_closed(theirs) and any(
        REVERSED[mark] in theirs.limits and mark not in theirs.limits for mark in ours.limits
    )
    return lost_only or lost_also or reversed_limit


def _differ_in_negation(ours: Outline, theirs: Outline) -> bool:
    """Return True if one negates what the other affirms."""
    if _name_other_days(ours, theirs) or _is_closed(ours) != _is_closed(theirs):
        return False
    negated, negated_there = match_alike(ours.negated_words, theirs.all), match_alike(theirs.negated_words, ours.all)
    if not negated and not negated_there:
        is_one_negated = (Mark.NOT in ours.marks) != (Mark.NOT in theirs.marks)
        return is_one_negated and not match_alike(ours.affirmed_words, theirs.affirmed_words)
    if not (agreed := match_alike(negated, theirs.negated_words)):
        return True
    # "Norway, but not Iceland" and "Iceland, but not Norway"
    agreed_there = match_alike(negated_there, ours.negated_words)
    return bool(
        match_alike(negated - agreed, theirs.affirmed_words)
        and match_alike(negated_there - agreed_there, ours.affirmed_words)
    )


def _is_closed(statement: Outline) -> bool:
    """Return True for a statement that something is closed, which others put as "nobody is there"."""
    return not CLOSED_WORDS.isdisjoint(tokenize(statement.text))


def _has_opposite(ours: Outline, theirs: Outline) -> bool:
    """Return True if one says "red" where the other says "blue"."""
    words, words_there = set(tokenize(ours.plain)), set(tokenize(theirs.plain))
    for sides in _OPPOSITES:
        said = [index for index, side in enumerate(sides) if side & words]
        there = [index for index, side in enumerate(sides) if side & words_there]
        if len(said) == 1 and len(there) == 1 and said != there:
            return True
    return False


def _has_other_unit(ours: Outline, theirs: Outline) -> bool:
    """Return True if one says "in cents" or "weekly" where the other says "in euros" or "every month"."""
    units, units_there = _units_alone(ours), _units_alone(theirs)
    return bool(units - units_there and units_there - units)


def _units_alone(statement: Outline) -> set[str]:
    """Return the units that belong to no number: numbers are compared with theirs."""
    found = {PERIODS[word] for word in tokenize(statement.plain) if word in PERIODS and len(word) > 1}
    return found - {number.unit for number in read_quantities(statement.text)}


def _are_ordered_differently(ours: Outline, theirs: Outline) -> bool:
    """Return True if what comes first, or acts, in one comes later, or is acted upon, in the other."""
    (first, later), (first_there, later_there) = ours.order, theirs.order
    same = len(match_alike(first, first_there)) + len(match_alike(later, later_there))
    crossed = len(match_alike(first, later_there)) + len(match_alike(later, first_there))
    is_told = any(ours.order) and any(theirs.order)
    return crossed > same or (not is_told and exchange_roles(ours, theirs))
