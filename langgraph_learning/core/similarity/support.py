"""Support: whether the words of a text carry a statement, or speak against it. Nothing is asked of a model."""

import re
from collections.abc import Iterable
from datetime import date
from functools import lru_cache
from unicodedata import normalize

from langgraph_learning.core.similarity.dates import find_dates, find_months, find_weekdays, is_date_word, means_date
from langgraph_learning.core.similarity.lexicon import (
    END_PATTERN,
    FORGET_PATTERN,
    IMPLICIT_NEGATIONS,
    KEEP_PATTERN,
    NUMBERS,
    OPPOSITES,
    REPORTING_WORDS,
)
from langgraph_learning.core.similarity.numbers import read_numbers
from langgraph_learning.core.similarity.rules import parse_statement
from langgraph_learning.core.text import content_words, contradicts, plain_words, tokenize
from langgraph_learning.core.words import NEGATIONS, get_stemmer

_LANGUAGES = ("english", "german", "french", "spanish", "italian", "dutch", "portuguese", "russian")
"""Languages in which two forms of a word are recognised."""
REPORTING_UNSPACED = re.compile(
    "|".join(sorted((word for word in REPORTING_WORDS if word > "\u3000"), key=len, reverse=True))
)
"""Words with which a statement is reported, in scripts without spaces."""
_UNSPACED_NEGATION = re.compile(
    "[不没沒無无未别別勿非]|ない|なし|ません|ぬ(?!\\w)|ず(?!\\w)|금지|않|못|없|안 |ไม่|नहीं|मत |ليس|لا "
)
_ENDING = re.compile(rf"(?<!\w)(?:{FORGET_PATTERN})(?!\w)|(?<!\w)(?:{END_PATTERN})(?!\w)", re.IGNORECASE)
_KEEPING = re.compile(KEEP_PATTERN, re.IGNORECASE)
_FORGETTING = re.compile(rf"(?<!\w)(?:{FORGET_PATTERN})(?!\w)", re.IGNORECASE)
_UNSPACED_FORGETTING = re.compile("|".join(word for word in FORGET_PATTERN.split("|") if word and word[0] > "\u0590"))
_UNSPACED_ENDING = re.compile(
    "|".join(word for word in (*FORGET_PATTERN.split("|"), *END_PATTERN.split("|")) if word and word[0] > "\u0590")
)
_VERB_ENDING = re.compile("(?:ten|en|et|te|st|t|e|n)$")
_SENTENCE = re.compile(r"(?<=[.!?。！？;])\s*(?=\S)|\n+")
MOSTLY = 0.75
"""Share of a statement's words in a text from which a negation in one of them alone makes them opposites."""
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
    words = statement_words(statement)
    words = words - match_words(words, tokenize(known)) or words
    own = match_words(words, tokenize(text))
    borrowed = match_words(words - own, tokenize(foreign))
    own |= {word for word in words - own if is_date_word(word) or is_number_word(word)}
    enough = len(own) * 2 > len(words)
    return enough and len(borrowed) * 10 <= len(words)


def agrees(text: str, statement: str, today: date | None) -> bool:
    """Return True if a text may well say a statement in other words.

    They share a content word, the text has the statement's numbers, dates and names, and does not say the opposite.
    """
    return (
        bool(match_words(statement_words(statement), tokenize(text)))
        and has_numbers_of(text, statement, today)
        and has_names_of(text, statement)
        and not _differs_in_unspaced_negation(text, statement)
        and not _has_opposite(text, statement)
        and not _reverses_in_other_words(text, statement)
    )


def has_names_of(text: str, statement: str) -> bool:
    """Return True if all names of a statement are in a text.

    Where most words have a capital, as nouns have in German, only ids and acronyms are sure to be names.
    """
    parsed = parse_statement(statement)
    names = {name for name in parsed.names if name < "\u3000"}
    capitals = [token.text[:1].isupper() for token in parsed.tokens if not (token.starts_sentence or token.is_label)]
    if sum(capitals) * 3 > len(capitals):
        names = {token.lower for token in parsed.tokens if token.lower in names and not token.text[1:].islower()}
    missing = names - match_words(names, tokenize(text))
    folded = text.casefold()
    return all(name in folded or is_date_word(name) for name in missing) and not _differ_in_one_word(text, statement)


def mentions(text: str, statement: str, share: float = 0.5) -> bool:
    """Return True if a text has at least this share of a statement's content words, in any form."""
    words = statement_words(statement)
    own = match_words(words, tokenize(text))
    return bool(own) and len(own) >= share * len(words)


def asks_to_forget(text: str) -> bool:
    """Return True if a text asks to forget something. "Don't forget" asks for the contrary."""
    rest = _KEEPING.sub(" ", text.replace("\u2019", "'"))
    return bool(_FORGETTING.search(rest) or _UNSPACED_FORGETTING.search(rest))


def asks_to_end(text: str, statement: str) -> bool:
    """Return True if a sentence of the text asks to forget what a statement is about, or says that it has ended."""
    return any(
        mentions(sentence, statement, 0.2)
        and (_ENDING.search(sentence) or _UNSPACED_ENDING.search(sentence) or denies(sentence, statement))
        for sentence in _SENTENCE.split(text)
    )


def denies(text: str, statement: str) -> bool:
    """Return True if a text says the opposite: it negates what the statement affirms, or has an opposite word."""
    reverses = contradicts(statement, text) and mentions(text, statement, MOSTLY)
    return reverses or _differs_in_unspaced_negation(text, statement) or _has_opposite(text, statement)


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
    own = frozenset[object]().union(*read_numbers(text))
    # "One" is an article as often as a number.
    return all(values & own or (values == {1} and not own) for values in read_numbers(rest))


def statement_words(statement: str) -> set[str]:
    """Return the words of a statement that say something: no words with which a statement is reported."""
    text = REPORTING_UNSPACED.sub(" ", normalize("NFKC", statement))
    return {word for word in content_words([text]) if word not in REPORTING_WORDS and not word.isdigit()} - NEGATIONS


def match_words(words: Iterable[str], others: Iterable[str]) -> set[str]:
    """Return the words that are among the others in any of their forms."""
    forms = {form for other in others for form in word_forms(other)}
    return {word for word in words if not forms.isdisjoint(word_forms(word))}


@lru_cache(maxsize=50_000)
def word_forms(word: str) -> frozenset[tuple[str, str]]:
    """Return the stems of a word by language; two words are forms of one if a language gives them the same stem."""
    if not word.isalpha() or word > "\u0530":
        return frozenset({("", word)})
    forms = {(language, get_stemmer(language).stemWord(word)) for language in _LANGUAGES}
    # Snowball's stem of a German participle is not that of its verb.
    return frozenset({*forms, ("verb", _VERB_ENDING.sub("", word.removeprefix("ge")))} if len(word) > 6 else forms)


def is_number_word(word: str) -> bool:
    """Return True for a number that is spelled out, or that has a unit."""
    return word in NUMBERS or any(char.isdigit() for char in word)


def _reverses_in_other_words(text: str, statement: str) -> bool:
    """Return True if one of two statements about the same is negated, by a word or by a verb such as "freeze"."""
    return mentions(text, statement) and _is_negated(text) != _is_negated(statement)


def _is_negated(text: str) -> bool:
    return sum(token in NEGATIONS or token in IMPLICIT_NEGATIONS for token in tokenize(text)) % 2 == 1


def _differ_in_one_word(text: str, statement: str) -> bool:
    """Return True if exactly one word of equally long statements differs: it may be a name."""
    ours, theirs = parse_statement(statement).stems, parse_statement(text).stems
    if len(ours) != len(theirs) or len(ours) < 3:
        return False
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
    return len(pairs) == 1 and not (set(pairs[0]) & REPORTING_WORDS or match_words(pairs[0][:1], pairs[0][1:]))


def _differs_in_unspaced_negation(text: str, statement: str) -> bool:
    """Return True if one of them is negated, in scripts where a negation is no word of its own."""
    words = {word for word in statement_words(statement) if word > "\u0e00"}
    if not words:
        return False
    near = [part for part in _SENTENCE.split(text) if len(match_words(words, tokenize(part))) * 2 >= len(words)]
    counts = {len(_UNSPACED_NEGATION.findall(part)) % 2 for part in near}
    return bool(counts) and len(_UNSPACED_NEGATION.findall(statement)) % 2 not in counts


def _has_opposite(text: str, statement: str) -> bool:
    """Return True if one says "more" where the other says "less"."""
    ours, theirs = set(tokenize(statement)), set(tokenize(text))
    for sides in _OPPOSITE_STEMS:
        said = [index for index, side in enumerate(sides) if side & ours]
        there = [index for index, side in enumerate(sides) if side & theirs]
        if len(said) == 1 and len(there) == 1 and said != there:
            return mentions(text, statement)
    return False
