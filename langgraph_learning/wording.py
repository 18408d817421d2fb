"""How a statement is read to be compared with another: its words in order, its numbers, its names."""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from unicodedata import normalize

from langgraph_learning.vocabulary import (
    ARTICLES,
    AUXILIARIES,
    COUNTED,
    DATES,
    FILLERS,
    LINKS,
    MULTIPLIERS,
    NEGATIONS,
    NO_NAMES,
    NOUN_ENDINGS,
    NUMBERS,
    SAME,
    STARTERS,
    UNITS,
)

_NUMBER = re.compile(r"v?(\d[\d.,:/-]*\d|\d)([^\W\d_]*|%|°)", re.IGNORECASE)
_THOUSANDS = re.compile(r",(?=\d{3}(?:\D|$))")
_SPELT = (
    ("\u2019", "'"),
    ("->", " → "),
    ("=>", " → "),
    ("→", " → "),
    ("%", " % "),
    ("€", " € "),
    ("$", " $ "),
    ("£", " £ "),
    ("&", " and "),
    ("()", " "),
)
_CONTRACTED = (
    (r"\bcan(?:'t|not)\b", "can not"),
    (r"\bwon't\b", "will not"),
    (r"n't\b", " not"),
    (r"'(?:m|re|ve)\b", ""),
    (r"'ll\b", " will"),
    (r"\b[nlds]'(?=\w)", ""),
)


@dataclass(frozen=True)
class Token:
    """One word as it was written, and where."""

    raw: str
    """Without the punctuation around it."""
    starts: bool
    """Whether it is the first of a sentence, where even a common word has a capital."""
    labels: bool
    """Whether a colon or a possessive 's follows: it names something."""

    @property
    def lower(self) -> str:
        """Return it without case."""
        return self.raw.casefold()


@dataclass(frozen=True)
class Wording:
    """A statement, read."""

    text: str
    tokens: tuple[Token, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Read the text."""
        object.__setattr__(self, "tokens", tuple(_tokens(self.text)))

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Return what it says in order: without articles, numbers as digits, a plural as its singular."""
        said = _numbered([token.lower for token in self.tokens])
        kept = [word if word in self.names else singular(word) for word in said if word not in FILLERS]
        return tuple(kept[1:] if kept[:1] == ["be"] else kept)

    @cached_property
    def stems(self) -> tuple[str, ...]:
        """Return its words as they are compared loosely: "calls", "called" and "calling" are one."""
        said = _numbered([token.lower for token in self.tokens])
        return tuple(stem(word) for word in _active(said) if word not in FILLERS and word != "be")

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
        return tuple(sorted(_quantities(_numbered([token.lower for token in self.tokens]))))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names, acronyms and ids in it, in order, without case."""
        return tuple(dict.fromkeys(token.lower for nth, token in enumerate(self.tokens) if self._names(nth)))

    @cached_property
    def dates(self) -> frozenset[str]:
        """Return the days and months that it names."""
        return frozenset(stem(word) for word in self.plain) & _DATES

    @cached_property
    def negations(self) -> int:
        """Return how often it says no."""
        return sum(token.lower in NEGATIONS or any(c in "不没無" for c in token.raw) for token in self.tokens)

    @cached_property
    def single(self) -> frozenset[str]:
        """Return the words before which it says "a" or "an": there is one of each."""
        lowered = [token.lower for token in self.tokens]
        return frozenset(singular(noun) for article, noun in itertools.pairwise(lowered) if article in ARTICLES)

    def _names(self, nth: int) -> bool:
        """Whether a word is a name: by its capital, unless it only begins a sentence; by its shape, wherever it is."""
        token = self.tokens[nth]
        if singular(token.lower) in NO_NAMES or _NUMBER.fullmatch(token.raw):
            return False
        if any(c in "_/@.#+" or c.isdigit() for c in token.raw) or any(map(str.isupper, token.raw[1:])):
            return True
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


def _tokens(text: str) -> Iterator[Token]:
    said = normalize("NFKC", text)
    for written, meant in _SPELT:
        said = said.replace(written, meant)
    for pattern, meant in _CONTRACTED:
        said = re.sub(pattern, meant, said, flags=re.IGNORECASE)
    starts = True
    for chunk in said.split():
        possessive = re.fullmatch(r"(.+)'s?\W*", chunk)
        for part in _parts(possessive[1] if possessive else chunk):
            labels = bool(possessive) or chunk.endswith(":")
            yield Token(part, starts, labels)
            starts = False
        starts = starts or chunk.endswith((".", "!", "?", ":", ";", "…"))


def _parts(chunk: str) -> list[str]:
    """Return the words of a chunk between spaces: "night-shift" is two, an id such as eu-west-1 is one."""
    bare = chunk.strip(".,;:!?()[]{}\"'“”„«»…*`\u2013\u2014-")
    if not bare or any(c.isdigit() or c in "_@." for c in bare) or bare.count("/") > 1:
        return [bare] if bare else []
    return [part for part in re.split("[-/\u2013\u2014]", bare) if part]


def _numbered(words: Sequence[str]) -> list[str]:
    """Return words with numbers as digits and units by their short names: "ten days" is "10 d"."""
    found: list[str] = []
    total: Decimal | None = None
    for word in words:
        value = NUMBERS.get(word)
        if value is not None:
            total = (total or 0) + value
        elif word in MULTIPLIERS:
            last = found.pop() if total is None and found and _plain_number(found[-1]) else None
            total = (Decimal(last) if last else total or Decimal(1)) * MULTIPLIERS[word]
        else:
            found += [_told(total)] if total is not None else []
            total = None
            found += _number(word)
    return [*found, *([_told(total)] if total is not None else [])]


def _number(word: str) -> list[str]:
    match = _NUMBER.fullmatch(word)
    if not match:
        return [{**UNITS, **SAME, **COUNTED}.get(word, word)]
    digits, unit = _THOUSANDS.sub("", match[1]), match[2]
    if unit in MULTIPLIERS and _plain_number(digits):
        return [_told(Decimal(digits) * MULTIPLIERS[unit])]
    if unit and unit not in UNITS:
        return [word]  # an id such as 4b2f
    return [digits, *([UNITS[unit]] if unit else [])]


def _plain_number(word: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", word) is not None


def _told(value: Decimal) -> str:
    return f"{value.normalize():f}"


def _quantities(words: Sequence[str]) -> Iterator[str]:
    units = set(UNITS.values())
    for nth, word in enumerate(words):
        if not word[:1].isdigit():
            continue
        near = [*words[nth + 1 : nth + 2], *words[max(nth - 1, 0) : nth]]
        yield " ".join([word, *[one for one in near if one in units][:1]])


def _active(words: list[str]) -> list[str]:
    """Return "auth calls billing" for "billing is called by auth": who does it comes first."""
    if "by" not in words[2:-1] or "be" not in words:
        return words
    by = words.index("by", 2)
    be = words.index("be")
    if be != by - 2:
        return words
    end = next((nth for nth in range(by + 1, len(words)) if words[nth] in LINKS), len(words))
    return [*words[by + 1 : end], words[by - 1], *words[:be], *words[end:]]


_STARTERS = frozenset(map(stem, STARTERS))
_DATES = frozenset(map(stem, DATES))
