"""Texts: normalising, tokens and stems, comparing statements, truncating, escaping, and cleaning for the database."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar
from unicodedata import category
from unicodedata import normalize as normalize_unicode

from langgraph_learning.core.policy import CUT
from langgraph_learning.core.words import FUNCTION_WORDS, NEGATIONS, get_stemmer

T = TypeVar("T")

_CONTRACTED_NOT = re.compile(r"n['\u2019]t\b", re.IGNORECASE)
_CLAUSE_END = re.compile(
    r"[.!?;:,\n()]+(?:\s|$)|\s[\u2013\u2014-]\s|\b(?:but|aber|sondern|mais|pero)\b"
    r"|\b(?:because|weil|parce que|porque|perché|omdat|потому что)\b"
    r"|\band(?= (?:i|we|you|they|he|she|it)\b)",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(
    r"(?<=[.!?;])(?<!\d\.)(?<!\w\.\w\.)(?<!\b[DMS]r\.)(?<!\bMs\.)(?<!\b(?:Dra|Sra|Mrs)\.)(?<!\bProf\.)\s+(?=\S)|(?<=[。\uff01\uff1f\uff1b])\s*(?=\S)|\n+"
)
"""The end of a sentence; no full stop after a number, as in "on the 4. of May", or one of "i.e." or "Dr." ends one."""
# Soft hyphens, zero-width and directional marks, and tag characters; not the joiners U+200C and U+200D.
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e007f]"
)
_TYPOGRAPHY = {
    **dict.fromkeys(map(ord, "\u2018\u2019\u201a\u201b\u02bc\u02b9\u2032\u00b4\u0060\u055a\ua78c"), "'"),
    **dict.fromkeys(map(ord, "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033\u300c\u300d"), '"'),
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-"),
}
_VARIATION_SELECTORS = frozenset(map(chr, [0x034F, *range(0xFE00, 0xFE10)]))
_FULL_STOPS = " .!\u3002\uff61\u0964\u0965\u06d4\u0589\u1362\u104a\u104b\u17d4\u17d5\u1803\u1809\ua4ff\u2e3c"
"""Full stops and exclamation marks of many scripts, as NFKC leaves them."""
# Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces between words.
_UNSPACED = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+")

_UNBOUNDED = re.compile("[\u0590-\u06ff\u0900-\u0eff\u3040-\ud7a3]")


def has_no_boundaries(words: str) -> bool:
    """Return True for words of scripts in which a pattern is searched without regard to where words begin and end.

    Their words are written without spaces, or together with prepositions, articles and particles.
    """
    return bool(_UNBOUNDED.search(words))


def normalize(text: str) -> str:
    """Return a text for comparison: spelling in Unicode, case, spaces and a final full stop make no difference.

    Spelling in Unicode is composition and width, typographic quotation marks and dashes, and invisible characters.
    """
    spelled = normalize_unicode("NFKC", text).casefold()
    if not spelled.isascii():
        # Case folding decomposes some characters.
        plain = normalize_unicode("NFKC", spelled.translate(_TYPOGRAPHY))
        spelled = "".join(char for char in plain if category(char) != "Cf" and char not in _VARIATION_SELECTORS)
    return " ".join(spelled.split()).rstrip(_FULL_STOPS)


def tokenize(text: str) -> list[str]:
    """Split a text into its words and numbers, without case and with "n't" written out.

    Scripts without spaces between words are split into overlapping pairs of characters.
    """
    lowered = _CONTRACTED_NOT.sub(" not", normalize_unicode("NFKC", text)).casefold()
    if lowered.isascii():
        return re.findall(r"[a-z0-9]+", lowered)
    # Combining marks belong to their letter; the class \w leaves them out.
    spaced = "".join(char if char.isalnum() or category(char)[0] == "M" else " " for char in lowered)
    return [token for word in spaced.split() for token in _split_unspaced(word)]


def content_words(texts: Iterable[str]) -> set[str]:
    """Return the words and numbers that carry content: no articles, pronouns, auxiliaries or single letters."""
    return {token for text in texts for token in tokenize(text) if _carries_content(token)}


def content_stems(texts: Iterable[str]) -> set[str]:
    """Return the stems of the words that carry content."""
    return {stem_word(word) for word in content_words(texts)}


@lru_cache(maxsize=100_000)
def stem_word(word: str, language: str = "english") -> str:
    """Return the Snowball stem of a lower-case word; numbers and words with digits are returned unchanged."""
    return get_stemmer(language).stemWord(word) if word.isalpha() else word


def plain_words(text: str) -> str:
    """Return the words of a text in lower case, joined by single spaces."""
    return " ".join(tokenize(text))


def contradicts(statement: str, text: str) -> bool:
    """Return True if a statement affirms what a text negates, or negates what it affirms.

    A negation reaches to the end of its clause; as the last content word of a clause it negates all of the clause.
    """
    ours, theirs = _clauses_of(statement), _clauses_of(text)
    affirmed, negated = _stems_by_polarity(ours)
    affirmed_there, negated_there = _stems_by_polarity(theirs)
    reversed_stems = (affirmed - negated) & (negated_there - affirmed_there)
    reversed_stems |= (negated - affirmed) & (affirmed_there - negated_there)
    shared_stems = (affirmed | negated) & (affirmed_there | negated_there)
    # "I don't want meetings at 9" and "Wants no meetings at 9" negate equally often, and most of the same words.
    mostly_reversed = len(reversed_stems) * 2 > len(shared_stems)
    equally_often = _count_negations(ours, reversed_stems) == _count_negations(theirs, reversed_stems)
    return bool(reversed_stems) and (mostly_reversed or not equally_often)


def text_values(data: Any) -> Sequence[str]:
    """Return all values in nested data as texts; those of a mapping in the order of its keys."""
    if isinstance(data, str):
        return [data]
    if isinstance(data, Mapping):
        return [text for key in sorted(data) for text in text_values(data[key])]
    if isinstance(data, list | tuple):
        return [text for value in data for text in text_values(value)]
    return [] if data is None else [str(data)]


def truncate(text: str, limit: int) -> str:
    """Shorten a text to about `limit` characters, with a mark where something was cut."""
    if len(text) <= limit:
        return text
    # The end of a long text holds its outcome as often as the start, so both are kept.
    head, tail = limit * 3 // 4, limit // 4
    return f"{text[:head]} [… {len(text) - limit:,} characters cut …] {text[-tail:]}"


def cut(text: str, limit: int) -> str:
    """Return the first `limit` characters of a text, followed by `CUT` if anything was left out.

    For quotes, which must show that they are not whole; `truncate` is for texts whose end matters as well.
    """
    return text if len(text) <= limit else text[:limit] + CUT


def escape_markup(text: str) -> str:
    """Escape a text so that nothing in it opens or closes a tag. The `&` of a name ("R&D") stays as it was said."""
    return text.replace("<", "&lt;").replace(">", "&gt;")


def escape_line(text: str) -> str:
    """Put stored text on one line and escape it, so that it stays data inside a prompt."""
    return escape_markup(" ".join(text.split()))


def strip_unstorable(value: T) -> T:
    """Remove what must not be stored from the texts in a value: NUL characters, lone surrogates, invisible characters.

    Postgres takes none of the first two. Invisible characters can carry a text that a model reads and a reviewer does
    not see; joiners, which scripts and emoji need, stay.
    """
    if value is None or (isinstance(value, str) and value.isascii() and "\0" not in value):
        return value
    cleaned: Any = value
    if isinstance(value, str):
        cleaned = _INVISIBLE.sub("", value.replace("\0", "").encode(errors="replace").decode())
    elif isinstance(value, list | tuple):
        cleaned = [strip_unstorable(part) for part in value]
        if isinstance(value, tuple):
            cleaned = type(value)(*cleaned) if hasattr(value, "_fields") else tuple(cleaned)
    elif isinstance(value, Mapping):
        cleaned = {strip_unstorable(key): strip_unstorable(part) for key, part in value.items()}
    return cleaned  # type: ignore[no-any-return]  # of the same type, part by part


def _split_unspaced(word: str) -> Iterator[str]:
    """Yield a word as it is, or the pairs of characters of its parts in a script without spaces."""
    end = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > end:
            yield word[end : run.start()]
        chars = run.group()
        yield from (chars[at : at + 2] for at in range(max(len(chars) - 1, 1)))
        end = run.end()
    if end < len(word):
        yield word[end:]


def _carries_content(token: str) -> bool:
    single_letter = len(token) == 1 and "a" <= token <= "z"
    return token not in FUNCTION_WORDS and not single_letter


def _clauses_of(text: str) -> list[list[str]]:
    """Split a text into clauses of content words and negations."""
    clauses = []
    for clause in _CLAUSE_END.split(text):
        tokens = [token for token in tokenize(clause) if _carries_content(token)]
        if tokens:
            clauses.append(tokens)
    return clauses


def _stems_by_polarity(clauses: list[list[str]]) -> tuple[set[str], set[str]]:
    """Return the stems that the clauses affirm, and those that they negate."""
    affirmed: set[str] = set()
    negated: set[str] = set()
    for clause in clauses:
        positions = [position for position, token in enumerate(clause) if token in NEGATIONS]
        reach = positions[0] if positions else len(clause)
        if positions and reach == len(clause) - 1:
            reach = 0
        affirmed |= {stem_word(token) for token in clause[:reach] if token not in NEGATIONS}
        negated |= {stem_word(token) for token in clause[reach:] if token not in NEGATIONS}
    return affirmed, negated


def _count_negations(clauses: list[list[str]], stems: set[str]) -> int:
    """Count the negations in the clauses that hold any of these stems."""
    relevant = [clause for clause in clauses if stems & {stem_word(token) for token in clause}]
    return sum(token in NEGATIONS for clause in relevant for token in clause)


def count_noun(count: int, noun: str) -> str:
    """Return a number with its noun: 1 learning, 2 learnings."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
