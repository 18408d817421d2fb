"""Support: whether the words of a text carry a statement, or speak against it. Nothing is asked of a model."""

import re
from datetime import date

from langgraph_learning.core.similarity.agreement import agrees
from langgraph_learning.core.similarity.dates import find_dates, find_months, find_weekdays, is_date_word, means_date
from langgraph_learning.core.similarity.forms import find_required_words, list_words, match_words, statement_words
from langgraph_learning.core.similarity.lexicon import (
    DELETE_PATTERN,
    END_PATTERN,
    FORGET_PATTERN,
    KEEP_PATTERN,
    OPPOSITES,
)
from langgraph_learning.core.similarity.numbers import is_number_word, read_quantities
from langgraph_learning.core.similarity.rules import find_sides
from langgraph_learning.core.text import SENTENCE_END, contradicts, plain_words, tokenize

_UNSPACED_NEGATION = re.compile(
    "[不没沒無无未别別勿非]|ない|なし|ません|ぬ(?!\\w)|ず(?!\\w)|금지|않|못|없|안 |ไม่|नहीं|मत |ليس|لا "
)


def _compile_requests(*patterns: str) -> re.Pattern[str]:
    """Return the pattern of any of these words; where a script has no spaces, words have no boundaries."""
    words = "|".join(patterns)
    unspaced = "|".join(word for word in words.split("|") if word and word[0] > "\u0590")
    return re.compile(rf"(?<!\w)(?:{words})(?!\w)|{unspaced}", re.IGNORECASE)


_KEEPING = re.compile(KEEP_PATTERN, re.IGNORECASE)
_FORGETTING = _compile_requests(FORGET_PATTERN)
_DELETING = _compile_requests(FORGET_PATTERN, DELETE_PATTERN)
_ENDING = _compile_requests(FORGET_PATTERN, DELETE_PATTERN, END_PATTERN)
_REQUEST_END = re.compile(r"[.!?;,]\s+|[。！？；，、،؛؟\n]")
MOSTLY = 0.75
"""Share of a statement's words in a text from which a negation in one of them alone makes them opposites."""
LEAST_SENTENCE_SHARE = 0.25
"""Share of what a text has of a statement from which a sentence of it may say so, whatever the others say."""
_OPPOSITE_STEMS = tuple(tuple(frozenset(word for word in side if len(word) > 2) for side in line) for line in OPPOSITES)


def carries(text: str, statement: str, today: date | None, foreign: str = "", known: str = "") -> bool:
    """Return True if the words of a text carry a statement.

    More than half of the statement's content words must be in the text, in any form; so must all of its numbers and
    dates, in any form. The text must not say the opposite, and no word may come from `foreign` alone. Words of `known`,
    which the statement corrects, need no support if there are others.
    """
    if denies(text, statement) or not has_numbers_of(text, statement, today):
        return False
    if (plain := plain_words(statement)) and f" {plain} " in f" {plain_words(text)} ":
        return True
    words = find_required_words(statement)
    words = words - match_words(words, list_words(known)) or words
    own = match_words(words, list_words(text))
    borrowed = match_words(words - own, list_words(foreign))
    compared = {word for word in words if is_date_word(word) or is_number_word(word)}
    if own or compared == words:  # a day alone, as in "who is there on Sunday", carries nothing
        own |= compared
    values = len(read_quantities(statement)) if own else 0  # they were compared: all of them are in the text
    enough = (len(own) + values) * 2 > len(words) + values
    return enough and len(borrowed) * 10 <= len(words)


def mentions(text: str, statement: str, share: float = 0.5) -> bool:
    """Return True if a text has at least this share of a statement's content words, in any form."""
    words = statement_words(statement)
    own = match_words(words, tokenize(text))
    return bool(own) and len(own) >= share * len(words)


def asks_to_forget(text: str) -> bool:
    """Return True if a text asks to forget something. "Don't forget" asks for the contrary."""
    return bool(_DELETING.search(_without_keeping(text)))


def find_forgettings(text: str) -> list[str]:
    """Return what a text asks to forget, without the word that asks for it; an empty text for "forget that"."""
    clauses = [clause for clause in _REQUEST_END.split(_without_keeping(text)) if _FORGETTING.search(clause)]
    return [_FORGETTING.sub(" ", clause) for clause in clauses]


def names_statement(request: str, statement: str) -> bool:
    """Return True if a request to forget names a statement: all of it, or all that it asks for is in it."""
    asked, stated = statement_words(request), statement_words(statement)
    shared = match_words(asked, tokenize(statement))
    covered = match_words(stated, tokenize(request))
    if len(shared) * 2 < len(asked) or not shared:
        return False
    return len(shared) >= MOSTLY * len(asked) or len(covered) >= MOSTLY * len(stated)


def _without_keeping(text: str) -> str:
    return _KEEPING.sub(" ", text.replace("\u2019", "'"))


def asks_to_end(text: str, statement: str) -> bool:
    """Return True if a sentence of the text asks to forget what a statement is about, or says that it has ended."""
    return any(
        mentions(sentence, statement, 0.2) and (_ENDING.search(sentence) or denies(sentence, statement))
        for sentence in SENTENCE_END.split(text)
    )


def denies(text: str, statement: str) -> bool:
    """Return True if a text says the opposite: it negates what the statement affirms, or has an opposite word."""
    reverses = contradicts(statement, text) and mentions(text, statement, MOSTLY)
    differs = reverses or _differs_in_unspaced_negation(text, statement) or _has_opposite(text, statement)
    # "No vendor without an NDA" negates twice what "vendors need an NDA" affirms.
    return differs and not agrees(text, statement, None, sentence_share=LEAST_SENTENCE_SHARE)


def has_numbers_of(text: str, statement: str, today: date | None) -> bool:
    """Return True if all numbers and dates of a statement are in a text, whatever their form."""
    rest = statement
    for mentioned in find_dates(statement):
        if not means_date(text, mentioned, today):
            return False
        rest = rest.casefold().replace(mentioned.text, " ", 1)
    has_date = rest != statement
    if not has_date and not (find_weekdays(rest) <= find_weekdays(text) and find_months(rest) <= find_months(text)):
        return False
    own = read_quantities(text)
    # "One" is an article as often as a number.
    return all(any(map(number.is_same, own)) or (number.values == {1} and not own) for number in read_quantities(rest))


def _differs_in_unspaced_negation(text: str, statement: str) -> bool:
    """Return True if one of them is negated, in scripts where a negation is no word of its own."""
    words = {word for word in statement_words(statement) if word > "\u0e00"}
    if not words:
        return False
    near = [part for part in SENTENCE_END.split(text) if len(match_words(words, tokenize(part))) * 2 >= len(words)]
    counts = {len(_UNSPACED_NEGATION.findall(part)) % 2 for part in near}
    return bool(counts) and len(_UNSPACED_NEGATION.findall(statement)) % 2 not in counts


def _has_opposite(text: str, statement: str) -> bool:
    """Return True if a sentence of the text says "more" where the statement says "less"."""
    ours = set(tokenize(statement))
    contrasts = [(sides, said) for sides in _OPPOSITE_STEMS if len(said := find_sides(sides, ours)) == 1]
    for sentence in SENTENCE_END.split(text) if contrasts else ():
        words = set(tokenize(sentence))
        for sides, said in contrasts:
            there = find_sides(sides, words)
            if len(there) == 1 and there != said and mentions(sentence, statement):
                return True
    return False
