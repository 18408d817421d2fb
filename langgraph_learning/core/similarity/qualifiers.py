"""Qualifiers: what narrows or weakens a statement, such as a condition, an exception or a "may" instead of a "must"."""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from itertools import chain

from langgraph_learning.core.similarity.clauses import Mark, Outline, compile_words, outline
from langgraph_learning.core.similarity.dates import is_date_word
from langgraph_learning.core.similarity.forms import list_words
from langgraph_learning.core.similarity.lexicon import LIGHT_WORDS, MARK_PATTERNS, QUALIFIERS
from langgraph_learning.core.similarity.numbers import is_number_word, read_quantities
from langgraph_learning.core.similarity.places import match_alike
from langgraph_learning.core.text import content_words, tokenize


class Qualifier(StrEnum):
    """A kind of words that narrow or weaken a statement."""

    CONDITION = "condition"
    FIRST = "first"
    EXCEPTION = "exception"
    DUTY = "duty"
    PERMISSION = "permission"
    DOUBT = "doubt"
    PAST = "past"
    WAS = "was"
    CHOICE = "choice"


_PATTERNS = {
    Qualifier(kind): {language: compile_words(words) for language, words in languages.items()}
    for kind, languages in QUALIFIERS.items()
}
_CLAUSE_END = re.compile(r"[,;:.!?()\n]|[、。，；：！？]|\s[-\u2013\u2014]\s")
_WITHOUT = compile_words(MARK_PATTERNS["without"])
_NARROWING = frozenset({Mark.ONLY, Mark.NOT})
_SEQUENCE = frozenset({Mark.BEFORE, Mark.AFTER})
_OVERRIDING = _NARROWING | _SEQUENCE | {Mark.ALSO}
"""Marks with which a duty reads like a permission: "sign before you leave", "you may leave once you have signed"."""


def add_condition(ours: Outline, theirs: Outline) -> bool:
    """Return True if one of two statements holds under a condition of which the other knows nothing."""
    return _has_unknown_condition(ours, theirs) or _has_unknown_condition(theirs, ours)


def add_exception(ours: Outline, theirs: Outline) -> bool:
    """Return True if one of two statements has an exception, or an "only", and the other holds for all."""
    return _is_narrower(ours, theirs) or _is_narrower(theirs, ours)


def change_mood(ours: Outline, theirs: Outline) -> bool:
    """Return True if one of two statements is a duty and the other a permission."""
    kinds, kinds_there = find_qualifiers(ours), find_qualifiers(theirs)
    if _OVERRIDING & (ours.marks | theirs.marks) or Qualifier.CONDITION in kinds | kinds_there:
        return False
    moods = {Qualifier.DUTY, Qualifier.PERMISSION}
    return bool(kinds & moods and kinds_there & moods) and not kinds & kinds_there & moods


def weaken(ours: Outline, theirs: Outline) -> bool:
    """Return True if only one of two statements is in doubt, left to choice, or over."""
    kinds, kinds_there = find_qualifiers(ours), find_qualifiers(theirs)
    if (Qualifier.DOUBT in kinds) != (Qualifier.DOUBT in kinds_there):
        return True
    if (Qualifier.CHOICE in kinds) != (Qualifier.CHOICE in kinds_there):
        chosen, other = (ours, theirs) if Qualifier.CHOICE in kinds else (theirs, ours)
        return _leaves_choice(chosen, other) and not _is_choice_in_other_words(other)
    past = {Qualifier.PAST, Qualifier.WAS}
    pairs = ((kinds, kinds_there), (kinds_there, kinds))
    return any(Qualifier.PAST in one and not past & other for one, other in pairs)


def _leaves_choice(statement: Outline, other: Outline) -> bool:
    """Return False if a statement says only of something else that it need not be done."""
    patterns = [*_find_patterns(statement, Qualifier.CHOICE)]
    known = list_words(other.text)
    for clause in _CLAUSE_END.split(statement.text):
        if not any(pattern.search(clause) for pattern in patterns):
            continue
        words = _telling_words(list_words(clause))
        if not words or not outline(clause).is_negated or match_alike(words, known):
            return True
    return False


def _is_choice_in_other_words(statement: Outline) -> bool:
    """Return True for "it works without a key", which is as much as "no key is needed"; not for "never without one"."""
    is_without = Mark.NOT in statement.marks and bool(_WITHOUT.search(statement.text))
    return is_without or statement.holds_negation


@lru_cache(maxsize=10_000)
def find_qualifiers(statement: Outline) -> frozenset[Qualifier]:
    """Return the kinds of qualifiers that a statement has."""
    return frozenset(
        kind for kind in Qualifier if any(pattern.search(statement.text) for pattern in _find_patterns(statement, kind))
    )


def list_clauses(text: str, pattern: re.Pattern[str]) -> list[str]:
    """Return what follows each word of a pattern, up to the end of its clause."""
    return [_CLAUSE_END.split(text[found.end() :], maxsplit=1)[0] for found in pattern.finditer(text)]


def _find_patterns(statement: Outline, kind: Qualifier) -> Iterator[re.Pattern[str]]:
    """Yield the patterns of a kind in the statement's languages; English if they cannot be told."""
    languages = statement.languages or {"en"}
    return (pattern for language, pattern in _PATTERNS[kind].items() if language in languages or language == "any")


def _has_unknown_condition(conditional: Outline, other: Outline) -> bool:
    known = tokenize(other.text)
    has_condition = Qualifier.CONDITION in find_qualifiers(other)
    patterns = _find_patterns(conditional, Qualifier.CONDITION)
    for clause in chain.from_iterable(list_clauses(conditional.text, pattern) for pattern in patterns):
        words = _telling_words(tokenize(clause))
        if not words or _shares_number(clause, other.text):
            continue
        shared = len(match_alike(words, known))
        if not shared if has_condition else shared * 2 < len(words):
            return True
    # "First a review" is "a review before anything else"
    if has_condition or _SEQUENCE & other.marks or Qualifier.FIRST in find_qualifiers(other):
        return False
    return any(words and not match_alike(words, known) for words in map(_telling_words, conditional.sequels))


def _telling_words(words: Iterable[str]) -> frozenset[str]:
    """Return the words that carry content, without light ones, numbers and days."""
    return frozenset(
        word
        for word in content_words(words)
        if word not in LIGHT_WORDS and not is_number_word(word) and not is_date_word(word)
    )


def _shares_number(clause: str, text: str) -> bool:
    numbers = read_quantities(text)
    return any(number.is_same(other) for number in read_quantities(clause) for other in numbers)


def _is_narrower(ours: Outline, theirs: Outline) -> bool:
    if _NARROWING & theirs.marks or Qualifier.EXCEPTION in find_qualifiers(theirs):
        return False
    # "Only after a call" is "call before"
    is_limit = bool(_SEQUENCE & (ours.marks | theirs.marks))
    return Qualifier.EXCEPTION in find_qualifiers(ours) or (Mark.ONLY in ours.marks and not is_limit)
