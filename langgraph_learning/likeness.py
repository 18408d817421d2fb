"""When two statements say the same: by their words where that is certain, and never where they tell something else."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from langgraph_learning.learning import normal
from langgraph_learning.vocabulary import DATES, LIMITS, LINKS, LISTS, OPPOSITES, PREFIXES
from langgraph_learning.wording import Wording, stem

NEAR = 2
"""How many words away from an action its doer and its object are looked for."""

_SIDES = tuple(tuple(frozenset(map(stem, side)) for side in line) for line in OPPOSITES)
_DATES = frozenset(map(stem, DATES))
_IDLE = LINKS | _DATES
"""Words that are neither who does something nor what it is done to."""


@lru_cache(maxsize=50_000)
def read(text: str) -> Wording:
    """Return a statement, read; each is read once however often it is compared."""
    return Wording(text)


def same(one: str, other: str) -> bool:
    """Whether two statements say the same beyond doubt: the same words, or the same with a clause moved."""
    if normal(one) == normal(other):
        return True
    a, b = read(one), read(other)
    moved = bool(a.words) and essence(one) == essence(other)
    return moved and not _counted_apart(a, b) and differs(one, other) is None


def essence(text: str) -> tuple[str, ...]:
    """Return what two statements that say the same have in common: the words in order, from whichever clause on."""
    words = _in_order(read(text).words)
    return min((words[nth:] + words[:nth] for nth in range(len(words))), default=())


def differs(one: str, other: str) -> str | None:
    """Return in what two statements differ so that they never say the same, or None if nothing forbids it."""
    a, b = read(one), read(other)
    if a.numbers != b.numbers:
        return "number"
    if _unknown(a, b) or _unknown(b, a):
        return "name"
    if _negated(a, b) != _negated(b, a) or _limited(a) != _limited(b):
        return "negation"
    return "direction" if _opposed(a, b) or _turned(a, b) else None


def _in_order(words: Sequence[str]) -> tuple[str, ...]:
    """Return words with the two things of a list in one order, and from where before to where."""
    found = _from_first(words)
    for nth in range(1, len(found) - 1):
        alone = nth == 1 or nth + 2 == len(found) or found[nth + 2] in LINKS
        if found[nth] in LISTS and alone:
            found[nth - 1], found[nth + 1] = sorted((found[nth - 1], found[nth + 1]))
    return tuple(found)


def _counted_apart(a: Wording, b: Wording) -> bool:
    """Whether one speaks of a single thing where the other speaks of several."""
    return a.single - _DATES != b.single - _DATES and a.plain != b.plain


def _unknown(a: Wording, b: Wording) -> bool:
    """Whether one has a name that the other has not; a word that the other has in small letters will do."""
    common = {stem(word) for word in b.plain - {*b.names}}
    return any(name not in b.plain and stem(name) not in common for name in a.names) or a.dates != b.dates


def _negated(a: Wording, b: Wording) -> int:
    """Return how often one says no, counting words that turn a word of the other into its opposite."""
    bare = (word.removeprefix(prefix) for word in a.stems for prefix in PREFIXES if word.startswith(prefix))
    return a.negations + sum(word in b.stems for word in bare)


def _limited(a: Wording) -> bool:
    return any(token.lower in LIMITS for token in a.tokens)


def _opposed(a: Wording, b: Wording) -> bool:
    """Whether they have words of different sides, such as more and less."""
    ours, theirs = a.all_stems, b.all_stems
    for sides in _SIDES:
        taken = [{nth for nth, side in enumerate(sides) if side & words} for words in (ours, theirs)]
        if all(taken) and taken[0] != taken[1]:
            return True
    return False


def _turned(a: Wording, b: Wording) -> bool:
    """Whether the same things change places: who does it and to whom, from where and to where."""
    if essence(a.text) == essence(b.text):
        return False
    crossed = {(right, link, left) for left, link, right in _around(a)} & set(_around(b))
    return bool(crossed) or _names_in_order(a, b) != _names_in_order(b, a)


def _around(a: Wording) -> Iterator[tuple[str, str, str]]:
    """Yield what stands close before and close after each word, with that word between them."""
    words = _in_order(a.stems)
    for nth, link in enumerate(words):
        before, after = words[max(nth - NEAR, 0) : nth], words[nth + 1 : nth + 1 + NEAR]
        if link not in LISTS:
            ends = ((left, right) for left in before for right in after if left != right)
            yield from ((left, link, right) for left, right in ends if not {left, right} & _IDLE)


def _names_in_order(a: Wording, b: Wording) -> list[str]:
    """Return the names that both have in the order in which one has them, wherever it comes from first."""
    shared = {stem(name) for name in {*a.names} & {*b.names}}
    words = _in_order(a.stems)
    return [word for word in dict.fromkeys(words) if word in shared]


def _from_first(words: Sequence[str]) -> list[str]:
    """Return "to GCP from AWS" as "from AWS to GCP"."""
    found = list(words)
    for nth in range(len(found) - 3):
        if (found[nth], found[nth + 2]) == ("to", "from"):
            found[nth : nth + 4] = [*found[nth + 2 : nth + 4], *found[nth : nth + 2]]
    return found
