"""Qualifiers: what narrows or weakens a statement, such as a condition, an exception or a "may" instead of a "must"."""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import lru_cache

from langgraph_learning.core.similarity.clauses import Mark, Outline, compile_words
from langgraph_learning.core.similarity.dates import is_date_word
from langgraph_learning.core.similarity.lexicon import LIGHT_WORDS, QUALIFIERS
from langgraph_learning.core.similarity.numbers import is_number_word
from langgraph_learning.core.similarity.places import match_alike
from langgraph_learning.core.text import content_words, tokenize


class Qualifier(StrEnum):
    """A kind of words that narrow or weaken a statement."""

    CONDITION = "condition"
    RESTRICTION = "restriction"
    FIRST = "first"
    EXCEPTION = "exception"
    DUTY = "duty"
    PERMISSION = "permission"
    DOUBT = "doubt"
    PAST = "past"
    ALTERNATION = "alternation"


_PATTERNS = {
    Qualifier(kind): {language: compile_words(words) for language, words in languages.items()}
    for kind, languages in QUALIFIERS.items()
}
_CLAUSE_END = re.compile(r"[,;:.!?()\n]|[、。，；：！？]|\s[-\u2013\u2014]\s")
_WEAKENING = frozenset({Qualifier.DOUBT, Qualifier.PAST, Qualifier.ALTERNATION})
_NARROWING = frozenset({Mark.ONLY, Mark.NOT})
_SEQUENCE = frozenset({Mark.BEFORE, Mark.AFTER})
_OVERRIDING = _NARROWING | _SEQUENCE
"""Marks with which a duty reads like a permission: "sign before you leave", "you may leave once you have signed"."""


def add_condition(ours: Outline, theirs: Outline) -> bool:
    """Return True if one of two statements holds under a condition of which the other knows nothing."""
    return any(_has_unknown_condition(*pair) or _is_restricted(*pair) for pair in ((ours, theirs), (theirs, ours)))


def add_exception(ours: Outline, theirs: Outline) -> bool:
    """Return True if one of two statements has an exception, or an "only", and the other holds for all."""
    return _is_narrower(ours, theirs) or _is_narrower(theirs, ours)


def change_mood(ours: Outline, theirs: Outline) -> bool:
    """Return True if one is a duty and the other a permission, or one is doubtful, over or true every other time."""
    kinds, kinds_there = find_qualifiers(ours), find_qualifiers(theirs)
    if kinds & _WEAKENING != kinds_there & _WEAKENING:
        return True
    if _OVERRIDING & (ours.marks | theirs.marks) or Qualifier.CONDITION in kinds | kinds_there:
        return False
    moods = {Qualifier.DUTY, Qualifier.PERMISSION}
    return bool(kinds & moods and kinds_there & moods) and not kinds & kinds_there & moods


@lru_cache(maxsize=10_000)
def find_qualifiers(statement: Outline) -> frozenset[Qualifier]:
    """Return the kinds of qualifiers that a statement has."""
    return frozenset(kind for kind in Qualifier if any(_find(statement, kind)))


def _find(statement: Outline, kind: Qualifier) -> Iterator[re.Match[str]]:
    """Yield the words of a kind in the statement's languages; English if they cannot be told."""
    languages = statement.languages or {"en"}
    for language, pattern in _PATTERNS[kind].items():
        if language in languages or language == "any":
            yield from pattern.finditer(statement.text)


def _has_unknown_condition(conditional: Outline, other: Outline) -> bool:
    known = tokenize(other.text)
    has_condition = Qualifier.CONDITION in find_qualifiers(other)
    for clause in _list_clauses(conditional, Qualifier.CONDITION):
        words = _telling_words(tokenize(clause))
        shared = len(match_alike(words, known))
        if not shared if has_condition else shared * 2 < max(len(words), 1):
            return True
    # "First a review" is "a review before anything else"
    if has_condition or _SEQUENCE & other.marks or Qualifier.FIRST in find_qualifiers(other):
        return False
    return any(words and not match_alike(words, known) for words in map(_telling_words, conditional.sequels))


def _is_restricted(narrow: Outline, other: Outline) -> bool:
    """Return True if one has all that the other says, and "with", "during" or "who" with words of its own besides."""
    known = tokenize(narrow.text)
    words = _telling_words(word.text for word in other.words)
    if match_alike(words, known) != words or Qualifier.RESTRICTION in find_qualifiers(other):
        return False
    others = tokenize(other.text)
    clauses = [tokenize(clause) for clause in _list_clauses(narrow, Qualifier.RESTRICTION)]
    heads = [next(filter(_is_telling, clause), None) for clause in clauses]
    return any(head and not match_alike([head], others) for head in heads)


def _list_clauses(statement: Outline, kind: Qualifier) -> Iterator[str]:
    """Yield what follows each word of a kind, up to the end of its clause."""
    for found in _find(statement, kind):
        clause = _CLAUSE_END.split(statement.text[found.end() :], maxsplit=1)[0]
        if clause.strip():
            yield clause


def _telling_words(words: Iterable[str]) -> frozenset[str]:
    """Return the words that carry content; light ones only if there are no others, and no numbers and days."""
    contents = frozenset(content_words(words))
    return frozenset(filter(_is_telling, contents)) or frozenset(filter(_is_no_value, contents))


def _is_telling(word: str) -> bool:
    return bool(content_words([word])) and word not in LIGHT_WORDS and _is_no_value(word)


def _is_no_value(word: str) -> bool:
    return not is_number_word(word) and not is_date_word(word)


def _is_narrower(ours: Outline, theirs: Outline) -> bool:
    if _NARROWING & theirs.marks or Qualifier.EXCEPTION in find_qualifiers(theirs):
        return False
    # "Only after a call" is "call before"
    is_limit = bool(_SEQUENCE & (ours.marks | theirs.marks))
    return Qualifier.EXCEPTION in find_qualifiers(ours) or (Mark.ONLY in ours.marks and not is_limit)
