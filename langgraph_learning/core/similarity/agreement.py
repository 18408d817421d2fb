"""Agreement: whether a text says what a statement says, in other words. Nothing is asked of a model.

Words alone cannot tell that two texts mean the same: a model has said so before it is asked here. They can tell that
the texts do not, by evidence that both of them hold: another number, unit, day or name, the opposite of a word, a word
that one negates and the other affirms, a limit or an order that is turned round, a doubt, another cause. What a text
merely does not mention is no evidence, because whoever puts a statement in other words leaves words out, and turns it
round with a negation. The more words two texts share, the more a difference between them means: only of texts that
share most words are a condition, an exception or another word in the same place compared.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date

from langgraph_learning.core.similarity.clauses import REVERSED, Mark, Outline, compile_words, outline, split_sentences
from langgraph_learning.core.similarity.dates import (
    find_dates,
    find_months,
    find_weekdays,
    is_date_word,
    list_day_words,
    means_date,
)
from langgraph_learning.core.similarity.forms import find_required_words, list_words
from langgraph_learning.core.similarity.lexicon import (
    AMOUNTS,
    CAUSES,
    CLOSED_WORDS,
    COMPARED_WORDS,
    CONVERSES,
    IMPLICIT_NEGATIONS,
    NO_OPPOSITES,
    OPPOSITES,
    PERIODS,
)
from langgraph_learning.core.similarity.numbers import (
    EVERY_SECOND,
    Quantity,
    is_number_word,
    read_implied_numbers,
    read_quantities,
)
from langgraph_learning.core.similarity.places import (
    exchange_partners,
    exchange_roles,
    list_telling_words,
    match_alike,
    replace_characters,
    replace_name,
    replace_word,
)
from langgraph_learning.core.similarity.qualifiers import (
    add_condition,
    add_exception,
    change_mood,
    list_clauses,
    weaken,
)
from langgraph_learning.core.similarity.rules import find_difference, find_sides, parse_statement
from langgraph_learning.core.text import stem_word, tokenize

FEWEST_SHARED = 0.1
"""Share of a statement's words, numbers and days that a text has at least."""
SENTENCE_SHARE = 0.6
"""Share of what a text has of a statement that one of its sentences must have to say it alone."""
CLOSE = 0.65
"""Share of words that two texts have in common from which any difference between them means something."""
MUCH = 0.5
"""Share of words in common from which a negation of most of them means something."""
ALMOST_EQUAL = 0.8
"""Share of words in common from which a negation means something wherever it stands."""
FRAME = 2
"""Words in which two statements differ at most that are compared word by word: one on each side."""
_WORK_WEEK = frozenset(range(5))
_OPPOSITES = [
    [frozenset(map(stem_word, side)) for side in sides]
    for sides in OPPOSITES
    if not frozenset().union(*sides) & (COMPARED_WORDS | IMPLICIT_NEGATIONS | CONVERSES)
    and sum(not side.isdisjoint(PERIODS) for side in sides) < 2
]
"""Opposites that are no limits, negations, pronouns, units or two sides of one thing, such as "buy" and "sell"."""
_AMOUNTS = [{name: compile_words(words) for name, words in scale.items()} for scale in AMOUNTS]
_CAUSE = compile_words(CAUSES)
_RATE = re.compile(r"\b(?:per|pro|by the) (\w+)")

Rule = Callable[[Outline, Outline], bool]
"""Returns True if a text, whose outline comes second, differs from a statement."""


def agrees(text: str, statement: str, today: date | None, *, sentence_share: float = SENTENCE_SHARE) -> bool:
    """Return True if a text, or one sentence of it, may well say a statement in other words.

    sentence_share: share of what the text has of the statement that a sentence must have to say it alone.
    """
    sentences = [sentence for sentence in split_sentences(text) if not sentence.endswith("?")]
    parts = [text, *sentences] if sentences != [text] else [text]
    shares = [measure_shared(part, statement) for part in parts]
    enough = max(FEWEST_SHARED, shares[0] * sentence_share)  # a greeting says nothing of it
    return any(
        share >= enough and find_disagreement(part, statement, today) is None
        for part, share in zip(parts, shares, strict=True)
    )


def measure_shared(text: str, statement: str) -> float:
    """Return the share of a statement's words, numbers and days that a text has, in any form, from 0 to 1."""
    ours, theirs = outline(statement), outline(text)
    words = {word for word in find_required_words(ours.plain) if not is_number_word(word) and not is_date_word(word)}
    values = read_quantities(statement)
    shared = match_alike(words, list_words(text))
    own = [*read_quantities(text), *read_implied_numbers(text)]
    numbers = sum(any(map(number.is_same, own)) for number in values)
    days = find_weekdays(statement)
    shared_days = len(days) if _abbreviates_days(ours, theirs) else len(days & find_weekdays(text))
    return (len(shared) + numbers + shared_days) / max(len(words) + len(values) + len(days), 1)


def find_disagreement(text: str, statement: str, today: date | None) -> str | None:
    """Return in what a text differs from a statement for certain; None if no rule tells them apart."""
    if _differ_in_quantity(text, statement, today):
        return "number"
    ours, theirs = outline(statement), outline(text)
    overlap = compute_overlap(ours, theirs)
    rules = [
        *_RULES,
        *(_RULES_FOR_CLOSE_TEXTS if overlap >= CLOSE else ()),
        *(_RULES_FOR_ALMOST_EQUAL_TEXTS if overlap >= ALMOST_EQUAL else ()),
        ("word", _replace_in_frame),
    ]
    return next((name for name, differ in rules if differ(ours, theirs)), None)


def compute_overlap(ours: Outline, theirs: Outline) -> float:
    """Return the share of the words of two statements that both have, from 0 to 1."""
    words, words_there = list_telling_words(ours), list_telling_words(theirs)
    shared = len(match_alike(words, words_there)) + len(match_alike(words_there, words))
    return shared / max(len(set(words)) + len(set(words_there)), 1)


def _differ_in_quantity(text: str, statement: str, today: date | None) -> bool:
    """Return True if a number or date of a statement is not in a text, or its unit is another."""
    rest = statement
    for mentioned in find_dates(statement):
        if not means_date(text, mentioned, today):
            return True
        rest = rest.casefold().replace(mentioned.text, " ", 1)
    counts = {len(find_weekdays(text)), len(find_months(text))}  # "twice a year" is "in May and in October"
    own = [*read_quantities(text), *read_implied_numbers(text)]
    numbers = [number for number in read_quantities(rest) if number.unit != "x" or counts.isdisjoint(number.values)]
    is_rarer = EVERY_SECOND in own and not any(map(EVERY_SECOND.is_same, numbers))
    return is_rarer or not all(_has_quantity(number, own) for number in numbers)


def _has_quantity(number: Quantity, own: Sequence[Quantity]) -> bool:
    # "One" is an article as often as a number.
    may_be_article = number.values == {1} and not any(
        other.unit == number.unit or (other.unit and other.values == {1}) for other in own
    )
    return may_be_article or any(map(number.is_same, own))


def _differ_in_days(ours: Outline, theirs: Outline) -> bool:
    """Return True if one names another day or month, or a day where the other names none."""
    months, months_there = _read_both_ways(find_months, ours), _read_both_ways(find_months, theirs)
    if all(months) and all(months_there) and months.isdisjoint(months_there):
        return True
    is_same = not _read_both_ways(find_weekdays, ours).isdisjoint(_read_both_ways(find_weekdays, theirs))
    return not is_same and not _abbreviates_days(ours, theirs) and not _name_other_days(ours, theirs)


def _read_both_ways(find: Callable[..., set[int]], statement: Outline) -> set[frozenset[int]]:
    """Return the days or months of a statement, with and without those between: "from May to July" may be a move."""
    return {frozenset(find(statement.text, with_ranges=with_ranges)) for with_ranges in (True, False)}


def _abbreviates_days(ours: Outline, theirs: Outline) -> bool:
    """Return True if a text has the first letters of each day that a statement names, and no other day."""
    days, words = list_day_words(ours.text), [word for word in tokenize(theirs.text) if len(word) > 1]
    has_all = bool(days) and all(any(day.startswith(word) for word in words) for day in days)
    return has_all and not find_weekdays(theirs.text)


def _turn_round_twice(ours: Outline, theirs: Outline) -> bool:
    """Return True if one negates the contrary of what the other says: "at least two", "nobody with fewer"."""
    is_limit = any(
        REVERSED[limit.mark] is other.mark and limit.is_negated != other.is_negated
        for limit in ours.limits_in_clauses
        for other in theirs.limits_in_clauses
    )
    return is_limit or _name_other_days(ours, theirs)


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
    # The first word of a sentence has a capital in any case.
    if _starts_with_another_name(ours, theirs):
        return True
    return bool(missing - ours.first_names) or (
        bool(missing) and bool(theirs.names - match_alike(theirs.names, ours.all))
    )


def _starts_with_another_name(ours: Outline, theirs: Outline) -> bool:
    """Return True if a statement starts with a word that a text has not, and the text has a name that it has not."""
    first = next(iter(parse_statement(ours.text).tokens), None)
    if (
        first is None
        or ours.is_german
        or not first.text.istitle()
        or not ours.words
        or ours.words[0].text != first.lower
    ):
        return False
    names = {name for name in theirs.sure_names if name.isalpha()}
    others = names - match_alike(names, ours.all)
    return bool(others) and not match_alike([first.lower], tokenize(theirs.text)) and not first.lower.endswith("s")


def _differ_in_limit(ours: Outline, theirs: Outline) -> bool:
    """Return True if one has "at least" where the other has "at most", or "also" where the other has "only"."""
    lost_only = Mark.ONLY in ours.marks and Mark.ALSO in theirs.marks and Mark.ONLY not in theirs.marks
    lost_also = Mark.ALSO in ours.marks and Mark.ONLY in theirs.marks and Mark.ALSO not in theirs.marks
    # "It opens after six", "it is closed until six"
    reversed_limit = _is_closed(ours) == _is_closed(theirs) and any(
        REVERSED[limit.mark] is other.mark and limit.mark not in theirs.limits
        for limit in ours.limits_in_clauses
        for other in theirs.limits_in_clauses
        # "Eighteen or over" is "not if under eighteen".
        if limit.is_negated == other.is_negated or ours.holds_negation or theirs.holds_negation
    )
    return lost_only or lost_also or reversed_limit


def _deny(ours: Outline, theirs: Outline) -> bool:
    """Return True if one negates a word that the other affirms, and nothing of the other may be put as a negation."""
    if _is_closed(ours) or _is_closed(theirs) or _turn_round_twice(ours, theirs):
        return False
    if match_alike(ours.needed_words, theirs.spared_words) or match_alike(theirs.needed_words, ours.spared_words):
        return True
    if not theirs.may_be_negated:
        return bool(match_alike(ours.denied_words, theirs.all))
    if not ours.may_be_negated:
        return bool(match_alike(theirs.denied_words, ours.all))
    # "Norway, but not Iceland" and "Iceland, but not Norway"
    lost = match_alike(ours.negated_words - ours.affirmed_words, theirs.affirmed_words - theirs.negated_words)
    gained = match_alike(theirs.negated_words - theirs.affirmed_words, ours.affirmed_words - ours.negated_words)
    return bool(lost and gained)


def _differ_in_negation(ours: Outline, theirs: Outline) -> bool:
    """Return True if one negates what the other affirms."""
    is_taken_up = any(
        statement.holds_negation or (statement.is_negated and Mark.NOT not in statement.marks)
        for statement in (ours, theirs)
    )
    if is_taken_up or _turn_round_twice(ours, theirs) or _is_closed(ours) != _is_closed(theirs):
        return False
    negated, negated_there = match_alike(ours.negated_words, theirs.all), match_alike(theirs.negated_words, ours.all)
    if not negated and not negated_there:
        is_one_negated = (Mark.NOT in ours.marks) != (Mark.NOT in theirs.marks)
        return is_one_negated and not match_alike(ours.affirmed_words, theirs.affirmed_words)
    return not match_alike(negated, theirs.negated_words)


def _turn_round(ours: Outline, theirs: Outline) -> bool:
    """Return True if one negates most of what both say, and the other has no word that may stand for a negation."""
    if compute_overlap(ours, theirs) < MUCH or ours.is_unspaced or _turn_round_twice(ours, theirs):
        return False
    return _negates_most(ours, theirs) or _negates_most(theirs, ours)


def _negates_most(negated: Outline, other: Outline) -> bool:
    if Mark.NOT not in negated.marks or other.is_negated or _is_closed(other):
        return False
    if negated.holds_negation or other.holds_negation or other.substitutes - negated.substitutes:
        return False
    denied = match_alike(negated.negated_words - negated.affirmed_words, other.all)
    return len(denied) > len(match_alike(negated.affirmed_words - negated.negated_words, other.all))


def _is_closed(statement: Outline) -> bool:
    """Return True for a statement that something is closed, which others put as "nobody is there"."""
    return not CLOSED_WORDS.isdisjoint(tokenize(statement.text))


def _has_opposite(ours: Outline, theirs: Outline) -> bool:
    """Return True if one says "red" where the other says "blue", and negates neither."""
    for sides in _OPPOSITES:
        said, there = _find_affirmed_sides(sides, ours), _find_affirmed_sides(sides, theirs)
        if len(said) == 1 and len(there) == 1 and said != there:
            return True
    return False


def _find_affirmed_sides(sides: Sequence[frozenset[str]], statement: Outline) -> set[int]:
    """Return the sides of which a statement has a word; none if it negates one: "not open" may be "closed"."""
    words = {stem_word(word) for word in tokenize(statement.plain) if word not in NO_OPPOSITES}
    words |= {word for side in sides for word in side if word > "\u3000" and word in statement.plain}
    denied = {stem_word(word) for word in statement.denied_words}
    said = find_sides(sides, words)
    return set() if any(sides[index] & denied for index in said) else said


def _has_other_amount(ours: Outline, theirs: Outline) -> bool:
    """Return True if one says "most" where the other says "some", or "always" where the other says "never"."""
    for scale in _AMOUNTS:
        said, there = (
            {name for name, pattern in scale.items() if pattern.search(statement.text)} for statement in (ours, theirs)
        )
        is_turned_round = said | there == {"always", "never"} and compute_overlap(ours, theirs) < CLOSE
        if said and there and not said & there and not is_turned_round:
            return True
    return False


def _has_other_cause(ours: Outline, theirs: Outline) -> bool:
    """Return True if both name a cause, and a text has less than half of the statement's."""
    causes = [clause for statement in (ours, theirs) for clause in list_clauses(statement.text, _CAUSE)[:1]]
    words = set(list_telling_words(outline(causes[0]))) if len(causes) == 2 else set()
    return len(match_alike(words, list_words(theirs.text))) * 2 < len(words)


def _has_other_unit(ours: Outline, theirs: Outline) -> bool:
    """Return True if one says "weekly" or "per lesson" where the other says "every month" or "by the hour"."""
    units, units_there = _units_alone(ours), _units_alone(theirs)
    rates, rates_there = (set(_RATE.findall(statement.text.casefold())) for statement in (ours, theirs))
    is_other_rate = any(rate in PERIODS for rate in rates | rates_there) and not match_alike(rates, rates_there)
    is_other_unit = bool(units - units_there and units_there - units)
    return is_other_unit or bool(rates and rates_there and is_other_rate)


def _units_alone(statement: Outline) -> set[str]:
    """Return the units that belong to no number: numbers are compared with theirs."""
    found = {PERIODS[word] for word in tokenize(statement.plain) if word in PERIODS and len(word) > 1}
    return found - {number.unit for number in read_quantities(statement.text)}


def _are_ordered_differently(ours: Outline, theirs: Outline) -> bool:
    """Return True if what comes first in one comes later in the other, or if what goes together is exchanged."""
    if ours.holds_negation or theirs.holds_negation:  # "it is broken until May", "not before May"
        return False
    (first, later), (first_there, later_there) = _separate_order(ours), _separate_order(theirs)
    if not any((first, later, first_there, later_there)):
        return exchange_partners(ours, theirs)
    same = len(match_alike(first, first_there)) + len(match_alike(later, later_there))
    delayed, advanced = match_alike(first, later_there), match_alike(later, first_there)
    return bool(delayed and advanced) or len(delayed) + len(advanced) > max(same, 1)


def _separate_order(statement: Outline) -> tuple[frozenset[str], frozenset[str]]:
    """Return the words for what comes first and for what comes later, without those for both."""
    first, later = statement.order
    return first - later, later - first


def _replace_in_frame(ours: Outline, theirs: Outline) -> bool:
    """Return True if at most a word was replaced, and that makes another statement by the rules of curation."""
    if not (ours.has_fixed_order and theirs.has_fixed_order):
        return False
    words, words_there = (
        Counter(token.lower for token in parse_statement(statement.text).tokens) for statement in (ours, theirs)
    )
    is_frame = (words - words_there).total() + (words_there - words).total() <= FRAME
    return is_frame and find_difference(ours.text, theirs.text) is not None


_RULES: Sequence[tuple[str, Rule]] = (
    ("day", _differ_in_days),
    ("name", _lacks_name),
    ("name", replace_name),
    ("limit", _differ_in_limit),
    ("negation", _deny),
    ("opposite", _has_opposite),
    ("unit", _has_other_unit),
    ("amount", _has_other_amount),
    ("order", _are_ordered_differently),
    ("mood", weaken),
    ("cause", _has_other_cause),
    ("word", replace_characters),
    ("negation", _turn_round),
)
_RULES_FOR_CLOSE_TEXTS: Sequence[tuple[str, Rule]] = (
    ("order", exchange_roles),
    ("condition", add_condition),
    ("exception", add_exception),
    ("mood", change_mood),
    ("word", replace_word),
)
_RULES_FOR_ALMOST_EQUAL_TEXTS: Sequence[tuple[str, Rule]] = (("negation", _differ_in_negation),)
