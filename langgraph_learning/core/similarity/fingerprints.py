"""Fingerprints of statements: they recognise a statement in any spelling, and hold none of its words."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import NamedTuple
from unicodedata import category, digit
from unicodedata import normalize as normalize_unicode

from langgraph_learning.core.keys import fingerprint
from langgraph_learning.core.similarity.forms import REPORTING_UNSPACED, match_words
from langgraph_learning.core.similarity.lexicon import MULTIPLIERS, NUMBERS, REPORTING_WORDS
from langgraph_learning.core.similarity.numbers import write_in_digits
from langgraph_learning.core.similarity.support import MOSTLY
from langgraph_learning.core.text import normalize, tokenize
from langgraph_learning.core.words import FUNCTION_WORDS, NEGATIONS, get_stemmer

LANGUAGES = ("english", "german", "french", "spanish", "italian", "dutch", "portuguese", "russian", "arabic")
"""Languages in which two forms of a word are recognised."""
MAX_SUBSETS = 200
"""Choices of words of a clause up to which all are compared; of more, only words that follow each other."""
MAX_COMPARED_CHARS = 4_000
"""Characters of a text that are compared with fingerprints at most."""

_PART_END = re.compile(r"(?<=\w)[.!?;]+(?=\s|$)|[。！？；؛؟\n]+|,\s|[，、،]")
_STATEMENT_END = re.compile(r"[.!?;:,()\[\]|·\n]+(?=\s|$)|[。！？；，、،؛؟।]+|\s[-–—]\s")
_WORD = re.compile(r"\w+")
_POSSESSIVE = re.compile(r"(?<=\w)'s(?!\w)")
_ACRONYM = re.compile(r"(?<!\w)(?:\w\.){2,}\w?(?!\w)")
_THOUSANDS = re.compile(r"(?<=\d)[.,' ](?=\d{3}(?!\d))")
_SPACED_LETTERS = re.compile(r"(?<!\S)\S(?: \S){3,}(?!\S)")
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "a", "œ": "o", "ı": "i", "ـ": None, "ى": "ي", "ة": "ه"}
) | {code: chr(code - 0x60) for code in range(0x30A1, 0x30F7)}
"""Letters that differ between spellings and that Unicode does not decompose; Katakana as Hiragana."""


class Clause(NamedTuple):
    """The words of a text that say something, as all of their spellings are compared."""

    words: tuple[str, ...]
    letters: str
    """The words in one: "night-shift" and "nightshift" are the same."""
    all_letters: str
    """The same, with the words that say nothing: what is written with spaces between letters has no other words."""
    negations: int = 0
    length: int = 0
    """How many words it has, with those that say nothing."""


def fingerprint_statement(statement: str, owner: Sequence[str], stays: Iterable[str] = ()) -> list[str]:
    """Return the fingerprints of a statement and of its parts, which differ for each owner.

    stays: texts that remain known. If one of them is a part of the statement, the rest of it has fingerprints, too.
    """
    whole = _read_words(_fold_spelling(statement))
    rest = whole
    for text in stays:
        rest = _without(rest, _read_words(_fold_spelling(text)))
    if rest != whole:
        parts = [rest]
    else:
        parts = [part for part in map(_read_words, map(_fold_spelling, _PART_END.split(statement))) if part.length > 1]
    return list(dict.fromkeys(found for clause in (whole, *parts) for found in _fingerprint_clause(clause, owner)))


def is_recognized(text: str, fingerprints: Collection[str], owner: Sequence[str], *, whole: bool = False) -> bool:
    """Return True if a text says one of the statements with these fingerprints.

    Case, accents, width, punctuation, the order of words, and their endings make no difference. Words beside those of
    the statement make none either, unless only the text as a `whole` counts.
    """
    if not fingerprints:
        return False
    compared = _fold_spelling(text[:MAX_COMPARED_CHARS])
    together = _read_words(compared)
    if whole:
        return any(found in fingerprints for found in _fingerprint_clause(together, owner))
    sizes = sorted({int(size) for each in fingerprints if (size := each.partition(":")[0])})
    clauses = dict.fromkeys((*map(_read_words, _STATEMENT_END.split(compared)), together))
    return any(found in fingerprints for clause in clauses for found in _fingerprint_choices(clause, sizes, owner))


def are_same(first: str, second: str) -> bool:
    """Return True if two statements are the same as fingerprints compare them."""
    ours, theirs = (set(_fingerprint_clause(_read_words(_fold_spelling(text)), ())) for text in (first, second))
    return not ours.isdisjoint(theirs)


def _fingerprint_clause(clause: Clause, owner: Sequence[str]) -> Iterator[str]:
    """Yield the fingerprints of a clause: of its letters, and of its stems in each language."""
    if clause.words:
        yield from _fingerprint_letters(clause, owner)
        for stems in _stem_clause(clause):
            yield _fingerprint_stems(stems, clause.negations, owner)


def _fingerprint_choices(clause: Clause, sizes: Iterable[int], owner: Sequence[str]) -> Iterator[str]:
    """Yield the fingerprints of all choices of so many words of a clause."""
    if clause.words:
        yield from _fingerprint_letters(clause, owner)
    for stems in _stem_clause(clause):
        for size in sizes:
            for choice in _choose(stems, size):
                yield _fingerprint_stems(choice, clause.negations, owner)


def _choose(stems: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    if comb(len(stems), size) <= MAX_SUBSETS:
        return combinations(stems, size)
    return (stems[start : start + size] for start in range(len(stems) - size + 1))


def _fingerprint_letters(clause: Clause, owner: Sequence[str]) -> Iterator[str]:
    for letters in dict.fromkeys((clause.letters, clause.all_letters)):
        yield f":{fingerprint(*owner, 'letters', letters, str(clause.negations % 2))}"


def _fingerprint_stems(stems: Sequence[str], negations: int, owner: Sequence[str]) -> str:
    """Return the fingerprint of some stems in any order, after their number."""
    return f"{len(stems)}:{fingerprint(*owner, 'stems', *sorted(stems), str(negations % 2))}"


def _stem_clause(clause: Clause) -> list[tuple[str, ...]]:
    """Return the different stems of a clause in the order of its words, as each language has them."""
    stemmed = (tuple(dict.fromkeys(_stem_word(word, language) for word in clause.words)) for language in LANGUAGES)
    return list(dict.fromkeys(stemmed))


@lru_cache(maxsize=50_000)
def _stem_word(word: str, language: str) -> str:
    return str(get_stemmer(language).stemWord(word)) if word.isalpha() else word


def _read_words(text: str) -> Clause:
    """Return the content words of a folded text; all of its words if it has none."""
    stated = REPORTING_UNSPACED.sub(" ", text)
    tokens = tokenize(stated) or tokenize(text)
    telling = [token for token in tokens if token not in _silent_words()]
    spaced = _WORD.findall(stated)
    letters = "".join([word for word in spaced if word not in _silent_words()] or spaced)
    negations = sum(token in _negations() for token in tokens)
    words = write_in_digits([_number_words().get(token, token) for token in telling or tokens])
    return Clause(tuple(words), letters, "".join(spaced), negations, len(tokens))


def _without(clause: Clause, part: Clause) -> Clause:
    """Return a clause without the words of a part of it; as it is, if that is no part of it."""
    if len(match_words(part.words, clause.words)) < MOSTLY * len(set(part.words)):
        return clause
    known = match_words(clause.words, part.words)
    rest = tuple(word for word in clause.words if word not in known)
    letters = "".join(rest)
    return Clause(rest, letters, letters, clause.negations - part.negations, len(rest)) if rest else clause


@lru_cache(maxsize=1)
def _number_words() -> dict[str, str]:
    """Return the words for numbers by their spelling as it is compared."""
    return {_fold_spelling(word): word for word in (*NUMBERS, *MULTIPLIERS)}


@lru_cache(maxsize=1)
def _negations() -> frozenset[str]:
    return frozenset(map(_fold_spelling, NEGATIONS))


@lru_cache(maxsize=1)
def _silent_words() -> frozenset[str]:
    """Return the words that say nothing of a statement, as they are compared."""
    return frozenset(map(_fold_spelling, FUNCTION_WORDS | REPORTING_WORDS | NEGATIONS))


def _fold_spelling(text: str) -> str:
    """Return a text as all of its spellings are compared: without case, width, accents, and spaces between letters."""
    joined_letters = _SPACED_LETTERS.sub(lambda found: found.group().replace(" ", ""), normalize(text))
    letters = normalize_unicode("NFKD", joined_letters.translate(_LETTERS))
    bare = "".join(_fold_digit(char) for char in letters if category(char) not in ("Mn", "Me", "Cf"))
    joined = _ACRONYM.sub(lambda found: found.group().replace(".", ""), normalize_unicode("NFC", bare))
    joined = _POSSESSIVE.sub("", joined)
    # "ue" is how "ü" is written where the letter is missing.
    return re.sub(r"(?<=[aou])e", "", _THOUSANDS.sub("", joined))


def _fold_digit(char: str) -> str:
    return str(digit(char)) if category(char) == "Nd" else char
