"""Parsed form of a statement for comparison: tokens, normalised words, stems, numbers, names and negations."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from unicodedata import normalize

from langgraph_learning.core.similarity.lexicon import (
    ARTICLES,
    AUXILIARIES,
    CONJUNCTIONS,
    DATES,
    FILLERS,
    LIMITS,
    LINKS,
    MULTIPLIERS,
    NOT_NAMES,
    NOUN_ENDINGS,
    STARTERS,
    SUBJECT,
    SYNONYMS,
    TITLES,
    UNITS,
)
from langgraph_learning.core.similarity.numbers import MINUS, NUMBER, find_quantities, write_in_digits
from langgraph_learning.core.text import stem_word
from langgraph_learning.core.words import NEGATIONS

_SIGNS = {
    "\u2019": "'",
    "->": " → ",
    "=>": " → ",
    "→": " → ",
    "<-": " ← ",
    "←": " ← ",
    ">=": " at least ",
    "≥": " at least ",
    "<=": " at most ",
    "≤": " at most ",
    ">": " more than ",
    "<": " less than ",
    "%": " % ",
    "€": " € ",
    "$": " $ ",
    "£": " £ ",
    "&": " and ",
    "()": " ",
}
_CONTRACTIONS = {
    r"\bcan(?:'t|not|t)\b": "can not",
    r"\bwo(?:n't|nt)\b": "will not",
    r"n't\b": " not",
    r"\b(do|does|did|is|are|was|were|has|have|had|would|should|could|must)nt\b": r"\1 not",
    r"'(?:m|re|ve)\b": "",
    r"'ll\b": " will",
    r"\b[nlds]'(?=\w)": "",
    r"\bnot (?=(?:all|every|each|always)\b)": "partly ",
    r"\b(?:fail|refuse)(?:s|d|ed)? to\b": "not",
    r"\b(?:stopped|quit|gave up)(?= \w+ing\b)": "no longer",
    r"\b(\w+)-free\b": r"without \1",
    r"(?<!\S)[-\u2212\u2013](?=\d)": f"{MINUS} ",
}
_PUNCTUATION = ".,;:!?()[]{}\"'“”„«»…*`\u2013\u2014-"
_PASSIVE_AUXILIARIES = ("be", "was", "were", "been", "being")


@dataclass(frozen=True)
class Token:
    """One word of a statement, with its position in the sentence."""

    text: str
    """As it was written, without the punctuation around it."""
    starts_sentence: bool
    """The first word of a sentence has a capital letter even if it is a common word."""
    is_label: bool
    """True if a colon or a possessive 's follows: then the word is a name."""
    is_letter: bool = False
    """True for a single letter that is a name, as in "plan a"."""

    @property
    def lower(self) -> str:
        """The text without case. A letter that is a name stays upper case, so that "A" is not an article."""
        return self.text.upper() if self.is_letter else self.text.casefold()


@dataclass(frozen=True)
class ParsedStatement:
    """A statement as the comparison rules see it; every view of it is computed once, on first use."""

    text: str
    tokens: tuple[Token, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Tokenize the text."""
        tokens = list(_tokenize(_spell_out(self.text)))
        object.__setattr__(self, "tokens", tuple(_mark_letters(tokens)))

    @cached_property
    def content_words(self) -> tuple[str, ...]:
        """The words without case, fillers and a leading subject such as "the user", with numbers as digits."""
        words = [word for word in write_in_digits(self._lowercase_tokens) if word not in FILLERS]
        return tuple(words[1:] if words[:1] == [SUBJECT] else words)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The content words in canonical order, plurals as singulars, without a leading form of "to be"."""
        names = {*self.names}
        words = [word if word in names else singularize(word) for word in self.content_words]
        return self._put_in_canonical_order(words[1:] if words[:1] == ["be"] else words)

    @cached_property
    def stems(self) -> tuple[str, ...]:
        """The stems of the content words in canonical order: "calls", "called" and "calling" have the same."""
        words = _to_active_voice(self.content_words)
        return self._put_in_canonical_order([stem_word(word) for word in words if word != "be"])

    @cached_property
    def distinct_words(self) -> frozenset[str]:
        """All words as they were written, without case."""
        return frozenset(self._lowercase_tokens)

    @cached_property
    def distinct_stems(self) -> frozenset[str]:
        """The stems of all words."""
        return frozenset(map(stem_word, self._lowercase_tokens))

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """The numbers with their units, sorted as texts."""
        return tuple(sorted(find_quantities(write_in_digits(self._lowercase_tokens))))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names, acronyms and ids, in order and without case."""
        names = (token.lower for index, token in enumerate(self.tokens) if self._is_name(index))
        return tuple(dict.fromkeys(names))

    @cached_property
    def dates(self) -> frozenset[str]:
        """The days of the week and the months."""
        return frozenset(DATES[word] for word in map(singularize, self.distinct_words) if word in DATES)

    @cached_property
    def limits(self) -> frozenset[str]:
        """The kinds of words that narrow the statement, such as "only" and "except"."""
        return frozenset(LIMITS[word] for word in self.distinct_words if word in LIMITS)

    @cached_property
    def is_question(self) -> bool:
        """True if the text has a question mark."""
        return "?" in self.text

    @cached_property
    def comma_count(self) -> int:
        """Number of commas, colons and semicolons that divide clauses or the items of a list."""
        return len(re.findall(r"[,;:](?=\s)", self.text))

    @cached_property
    def negation_count(self) -> int:
        """Number of negations; in Chinese and Japanese, of words that contain one."""
        return sum(token.lower in NEGATIONS or any(c in "不没無" for c in token.text) for token in self.tokens)

    @cached_property
    def indefinite_nouns(self) -> frozenset[str]:
        """The words after "a" or "an", which speak of exactly one thing."""
        return frozenset(singularize(noun) for article, noun in pairwise(self._lowercase_tokens) if article in ARTICLES)

    @cached_property
    def _lowercase_tokens(self) -> list[str]:
        return [token.lower for token in self.tokens]

    def _put_in_canonical_order(self, words: Sequence[str]) -> tuple[str, ...]:
        """Sort two names joined by "and" or "or", and put "from" before "to"."""
        ordered = _put_from_first(words)
        if "respectively" in ordered:
            return tuple(ordered)
        names = {*self.names, *map(stem_word, self.names)}
        for index in range(1, len(ordered) - 1):
            left, conjunction, right = ordered[index - 1 : index + 2]
            # Three names may pair with something else in the statement, so only lists of two are sorted.
            is_whole_list = index == 1 or index + 2 == len(ordered) or ordered[index + 2] in LINKS
            if conjunction in CONJUNCTIONS and is_whole_list and {left, right} <= names:
                ordered[index - 1], ordered[index + 1] = sorted((left, right))
        return tuple(ordered)

    def _is_name(self, index: int) -> bool:
        """Return True if a word is a name: by its shape anywhere, by its capital unless that only starts a sentence."""
        token = self.tokens[index]
        if singularize(token.lower) in NOT_NAMES or NUMBER.fullmatch(token.text):
            return False
        has_shape_of_id = any(c in "_/@.#+" or c.isdigit() for c in token.text) or any(map(str.isupper, token.text[1:]))
        if token.is_letter or has_shape_of_id:
            return True
        if token.text.upper() == token.text.lower():
            # In a script without capitals any word may be a name, and so may an emoji.
            return token.text not in UNITS and token.text not in SYNONYMS
        return token.text[:1].isupper() and (not token.starts_sentence or token.is_label or self._is_subject(index))

    def _is_subject(self, index: int) -> bool:
        """Return True if the first word of a sentence is its subject: in "Maria leads", but not in "Drinks tea"."""
        first = self.tokens[index].lower
        if first in STARTERS or stem_word(first) in _STARTER_STEMS or first.endswith(NOUN_ENDINGS):
            return False
        uncapitalized = (token for token in self.tokens[index + 1 :] if not token.text[:1].isupper())
        following = next(uncapitalized, None)
        return following is not None and (following.lower in AUXILIARIES or following.lower.endswith(("s", "ed")))


def singularize(word: str) -> str:
    """Return a noun without its plural ending, or a verb without its third-person "s". Ids are left as they are."""
    # Statements with equal words are equivalent, so only endings that do not change the meaning may go. A stemmer
    # removes more: it makes "Is moving to the new office" equal to "Moved to the new office". It also changes words but
    # not names, while a word can be a name in one statement only, as "primary" in "Anna: primary" and "Primary: Anna".
    if not word.isalpha():
        return word
    if len(word) > 3 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 4 and word.endswith(("sses", "ches", "shes", "xes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _put_from_first(words: Sequence[str]) -> list[str]:
    """Return "to GCP from AWS" as "from AWS to GCP"."""
    ordered = list(words)
    for index in range(len(ordered) - 3):
        if (ordered[index], ordered[index + 2]) == ("to", "from"):
            ordered[index : index + 4] = [*ordered[index + 2 : index + 4], *ordered[index : index + 2]]
    return ordered


def _spell_out(text: str) -> str:
    """Replace signs and contractions by words."""
    spelled = normalize("NFKC", text)
    for sign, meaning in _SIGNS.items():
        spelled = spelled.replace(sign, meaning)
    for pattern, meaning in _CONTRACTIONS.items():
        spelled = re.sub(pattern, meaning, spelled, flags=re.IGNORECASE)
    return spelled


def _tokenize(text: str) -> Iterator[Token]:
    starts_sentence = True
    for chunk in text.split():
        possessive = re.fullmatch(r"(.+)'s?\W*", chunk)
        is_label = bool(possessive) or chunk.endswith(":")
        for word in _split_chunk(possessive[1] if possessive else chunk):
            yield Token(word, starts_sentence, is_label)
            starts_sentence = False
        is_end = chunk.endswith((".", "!", "?", ":", ";", "…")) and chunk.rstrip(".").casefold() not in TITLES
        starts_sentence = starts_sentence or is_end


def _mark_letters(tokens: Sequence[Token]) -> Iterator[Token]:
    """Yield the tokens, those that are single letters used as names marked as such.

    Where another word is sure to be such a letter, an "a" is one too, and not an article.
    """
    letters = [len(t.text) == 1 and t.text.isalpha() and t.text not in _NOT_LETTERS for t in tokens]
    has_other_letter = any(
        is_letter and token.lower not in ARTICLES for is_letter, token in zip(letters, tokens, strict=True)
    )
    for index, token in enumerate(tokens):
        following = tokens[index + 1].lower if index + 1 < len(tokens) else "and"
        may_be_article = token.lower in ARTICLES and not has_other_letter and following not in LINKS | AUXILIARIES
        is_capital = token.text.isupper() and not token.starts_sentence
        yield replace(token, is_letter=True) if letters[index] and (is_capital or not may_be_article) else token


def _split_chunk(chunk: str) -> list[str]:
    """Return the words of a chunk between spaces: "night-shift" is two, an id such as eu-west-1 is one."""
    bare = chunk.strip(_PUNCTUATION)
    if not bare or any(c.isdigit() or c in "_@." for c in bare) or bare.count("/") > 1:
        return [bare] if bare else []
    return [word for word in re.split("[-/\u2013\u2014]", bare) if word]


def _to_active_voice(words: Sequence[str]) -> Sequence[str]:
    """Return "auth calls billing" for "billing is called by auth"."""
    by = words.index("by", 2) if "by" in words[2:-1] else 0
    if not by or words[by - 2] not in _PASSIVE_AUXILIARIES:
        return words
    end = next((index for index in range(by + 1, len(words)) if words[index] in LINKS), len(words))
    agent, verb, patient = words[by + 1 : end], words[by - 1], words[: by - 2]
    return [*agent, verb, *patient, *words[end:]]


_STARTER_STEMS = frozenset(map(stem_word, STARTERS))
_NOT_LETTERS = frozenset({"I", "i", *UNITS, *MULTIPLIERS})
