"""How a statement is read to be compared with another: its words in order, its numbers, its names."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from unicodedata import normalize

from langgraph_learning.curate.similarity.lexicon import (
    ARTICLES,
    AUXILIARIES,
    DATES,
    FILLERS,
    LIMITS,
    LINKS,
    LISTS,
    MULTIPLIERS,
    NEGATIONS,
    NO_NAMES,
    NOUN_ENDINGS,
    SAME,
    STARTERS,
    SUBJECT,
    UNITS,
)
from langgraph_learning.curate.similarity.numbers import MINUS, NUMBER, in_digits, quantities

_SPELT = {
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
_REWORDED = {
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
_EDGES = ".,;:!?()[]{}\"'“”„«»…*`\u2013\u2014-"
_PASSIVE = ("be", "was", "were", "been", "being")


@dataclass(frozen=True)
class Token:
    """One word as it was written, and where."""

    raw: str
    """Without the punctuation around it."""
    starts: bool
    """Whether it is the first of a sentence, where even a common word has a capital."""
    labels: bool
    """Whether a colon or a possessive 's follows: it names something."""
    letter: bool = False
    """Whether it is a letter that names something, as in "plan a"."""

    @property
    def lower(self) -> str:
        """Return it without case; a letter that names something is no article."""
        return self.raw.upper() if self.letter else self.raw.casefold()


@dataclass(frozen=True)
class Wording:
    """A statement, read."""

    text: str
    tokens: tuple[Token, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Read the text."""
        tokens = list(_tokens(_spelt(self.text)))
        object.__setattr__(self, "tokens", tuple(_lettered(tokens)))

    @cached_property
    def said(self) -> tuple[str, ...]:
        """Return its words without case and fillers, numbers as digits; who it is about need not be said."""
        said = [word for word in in_digits([token.lower for token in self.tokens]) if word not in FILLERS]
        return tuple(said[1:] if said[:1] == [SUBJECT] else said)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Return what it says in order: a plural as its singular, "to GCP from AWS" as "from AWS to GCP"."""
        names = {*self.names}
        kept = [word if word in names else singular(word) for word in self.said]
        return self.in_order(kept[1:] if kept[:1] == ["be"] else kept)

    @cached_property
    def stems(self) -> tuple[str, ...]:
        """Return its words as they are compared loosely: "calls", "called" and "calling" are one."""
        return self.in_order([stem(word) for word in _active(self.said) if word != "be"])

    def in_order(self, words: Sequence[str]) -> tuple[str, ...]:
        """Return words with two names that "and" or "or" links in one order, and from where before to where."""
        found = _from_first(words)
        names = {*self.names, *map(stem, self.names)} if "respectively" not in found else set()
        for nth in range(1, len(found) - 1):
            alone = nth == 1 or nth + 2 == len(found) or found[nth + 2] in LINKS
            if found[nth] in LISTS and alone and {found[nth - 1], found[nth + 1]} <= names:
                found[nth - 1], found[nth + 1] = sorted((found[nth - 1], found[nth + 1]))
        return tuple(found)

    @cached_property
    def plain(self) -> frozenset[str]:
        """Return its words as they were written, without case."""
        return frozenset(token.lower for token in self.tokens)

    @cached_property
    def all_stems(self) -> frozenset[str]:
        """Return the stems of all its words."""
        return frozenset(stem(token.lower) for token in self.tokens)

    @cached_property
    def numbers(self) -> tuple[str, ...]:
        """Return its numbers with their units, smallest text first."""
        return tuple(sorted(quantities(in_digits([token.lower for token in self.tokens]))))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names, acronyms and ids in it, in order, without case."""
        return tuple(dict.fromkeys(token.lower for nth, token in enumerate(self.tokens) if self._names(nth)))

    @cached_property
    def dates(self) -> frozenset[str]:
        """Return the days and months that it names."""
        return frozenset(DATES[word] for word in map(singular, self.plain) if word in DATES)

    @cached_property
    def limits(self) -> frozenset[str]:
        """Return how it narrows what it says."""
        return frozenset(LIMITS[word] for word in self.plain if word in LIMITS)

    @cached_property
    def asks(self) -> bool:
        """Return whether it is a question."""
        return "?" in self.text

    @cached_property
    def commas(self) -> int:
        """Return how often it is divided: between its first clause and the rest, or in a list."""
        return len(re.findall(r"[,;:](?=\s)", self.text))

    @cached_property
    def negations(self) -> int:
        """Return how often it says no."""
        return sum(token.lower in NEGATIONS or any(c in "不没無" for c in token.raw) for token in self.tokens)

    @cached_property
    def single(self) -> frozenset[str]:
        """Return the words before which it says "a" or "an": there is one of each."""
        lowered = [token.lower for token in self.tokens]
        return frozenset(singular(noun) for article, noun in pairwise(lowered) if article in ARTICLES)

    def _names(self, nth: int) -> bool:
        """Whether a word is a name: by its capital, unless it only begins a sentence; by its shape, wherever it is."""
        token = self.tokens[nth]
        if singular(token.lower) in NO_NAMES or NUMBER.fullmatch(token.raw):
            return False
        if token.letter or any(c in "_/@.#+" or c.isdigit() for c in token.raw) or any(map(str.isupper, token.raw[1:])):
            return True
        if token.raw.upper() == token.raw.lower():
            # In a script without capitals any word may be a name; and a picture says what it shows.
            return token.raw not in UNITS and token.raw not in SAME
        return token.raw[:1].isupper() and (not token.starts or token.labels or self._acts(nth))

    def _acts(self, nth: int) -> bool:
        """Whether the first word of a sentence does something: "Maria leads" begins with a name, "Drinks tea" not."""
        first = self.tokens[nth].lower
        if first in STARTERS or stem(first) in _STARTERS or first.endswith(NOUN_ENDINGS):
            return False
        rest = (token for token in self.tokens[nth + 1 :] if not token.raw[:1].isupper())
        following = next(rest, None)
        return following is not None and (following.lower in AUXILIARIES or following.lower.endswith(("s", "ed")))


def singular(word: str) -> str:
    """Return a noun without its plural, a verb without its third person; an id is as it is."""
    if not word.isalpha():
        return word
    if len(word) > 3 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 4 and word.endswith(("sses", "ches", "shes", "xes")):
        return word[:-2]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def stem(word: str) -> str:
    """Return what a word has in common with its other forms."""
    found = singular(word)
    for ending in ("ing", "ed", "er", "ment", "e"):
        if found.endswith(ending) and len(found) - len(ending) > 2:
            found = found.removesuffix(ending)
            break
    return found[:-1] if len(found) > 3 and found[-1] == found[-2] else found


def _from_first(words: Sequence[str]) -> list[str]:
    """Return "to GCP from AWS" as "from AWS to GCP"."""
    found = list(words)
    for nth in range(len(found) - 3):
        if (found[nth], found[nth + 2]) == ("to", "from"):
            found[nth : nth + 4] = [*found[nth + 2 : nth + 4], *found[nth : nth + 2]]
    return found


def _spelt(text: str) -> str:
    """Return a text with signs and contractions in words."""
    said = normalize("NFKC", text)
    for written, meant in _SPELT.items():
        said = said.replace(written, meant)
    for pattern, meant in _REWORDED.items():
        said = re.sub(pattern, meant, said, flags=re.IGNORECASE)
    return said


def _tokens(said: str) -> Iterator[Token]:
    starts = True
    for chunk in said.split():
        possessive = re.fullmatch(r"(.+)'s?\W*", chunk)
        for part in _parts(possessive[1] if possessive else chunk):
            labels = bool(possessive) or chunk.endswith(":")
            yield Token(part, starts, labels)
            starts = False
        starts = starts or chunk.endswith((".", "!", "?", ":", ";", "…"))


def _lettered(tokens: Sequence[Token]) -> Iterator[Token]:
    """Yield tokens with those marked that are letters: where one is sure to be, an "a" is no article either."""
    letters = [len(t.raw) == 1 and t.raw.isalpha() and t.raw not in _NO_LETTERS for t in tokens]
    others = any(one and token.lower not in ARTICLES for one, token in zip(letters, tokens, strict=True))
    for nth, token in enumerate(tokens):
        after = tokens[nth + 1].lower if nth + 1 < len(tokens) else "and"
        article = token.lower in ARTICLES and not (others or after in LINKS | AUXILIARIES)
        named = token.raw.isupper() and not token.starts
        yield replace(token, letter=True) if letters[nth] and (named or not article) else token


def _parts(chunk: str) -> list[str]:
    """Return the words of a chunk between spaces: "night-shift" is two, an id such as eu-west-1 is one."""
    bare = chunk.strip(_EDGES)
    if not bare or any(c.isdigit() or c in "_@." for c in bare) or bare.count("/") > 1:
        return [bare] if bare else []
    return [part for part in re.split("[-/\u2013\u2014]", bare) if part]


def _active(words: Sequence[str]) -> Sequence[str]:
    """Return "auth calls billing" for "billing is called by auth": who does it comes first."""
    by = words.index("by", 2) if "by" in words[2:-1] else 0
    if not by or words[by - 2] not in _PASSIVE:
        return words
    end = next((nth for nth in range(by + 1, len(words)) if words[nth] in LINKS), len(words))
    return [*words[by + 1 : end], words[by - 1], *words[: by - 2], *words[end:]]


_STARTERS = frozenset(map(stem, STARTERS))
_NO_LETTERS = frozenset({"I", "i", *UNITS, *MULTIPLIERS})
