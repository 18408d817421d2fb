"""When two statements say the same: by their words where that is certain, and never where they tell something else."""

from collections import defaultdict
from collections.abc import Iterator
from functools import lru_cache

from langgraph_learning.core.text import normal
from langgraph_learning.curate.similarity.lexicon import DATES, LINKS, LISTS, OPENERS, OPPOSITES, PREFIXES
from langgraph_learning.curate.similarity.parsing import Wording, stem

NEAR = 2
"""How many words away from an action its doer and its object are looked for."""

Around = tuple[str, str, str]
"""A word with what stands close before and close after it."""

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
    return bool(a.words) and _reordered(a, b) and not _counted_apart(a, b) and differs(one, other) is None


def essence(text: str) -> tuple[str, ...]:
    """Return what two statements that say the same have in common, in whichever order they say it."""
    return tuple(sorted(read(text).words))


def differs(one: str, other: str) -> str | None:
    """Return in what two statements differ so that they never say the same, or None if nothing forbids it."""
    a, b = read(one), read(other)
    if a.numbers != b.numbers:
        return "number"
    if _unknown(a, b) or _unknown(b, a) or _swapped(a, b):
        return "name"
    if _negated(a, b) != _negated(b, a) or a.limits != b.limits:
        return "negation"
    return "direction" if _opposed(a, b) or _turned(a, b) else None


def _reordered(a: Wording, b: Wording) -> bool:
    """Whether they have the same words in the same order, or with the clause that one begins with at the end."""
    return a.asks == b.asks and (a.words == b.words or _moved(a, b) or _moved(b, a))


def _moved(a: Wording, b: Wording) -> bool:
    """Whether `b` ends with the clause that `a` begins with: "On Fridays we freeze", "We freeze on Fridays"."""
    # More commas divide lists: there another word to begin with may pair what was not paired.
    return a.words[:1] != () and a.words[0] in OPENERS and a.commas <= 1 and not b.commas and _rotated(a, b)


def _rotated(a: Wording, b: Wording) -> bool:
    """Whether they have the same words in the same order, if one goes on from the end to the beginning."""
    return len(a.words) == len(b.words) and f" {' '.join(b.words)} " in f" {' '.join(a.words * 2)} "


def _counted_apart(a: Wording, b: Wording) -> bool:
    """Whether one speaks of a single thing where the other speaks of several."""
    return a.single - _DATES != b.single - _DATES and a.plain != b.plain


def _unknown(a: Wording, b: Wording) -> bool:
    """Whether one has a name that the other has not; a word that the other has in small letters will do."""
    common = {stem(word) for word in b.plain - {*b.names}}
    return any(name not in b.plain and stem(name) not in common for name in a.names) or a.dates != b.dates


def _swapped(a: Wording, b: Wording) -> bool:
    """Whether one word of one is another in the other, without any capitals to tell a name by: it may be one."""
    if not (a.text.islower() and b.text.islower() and len(a.stems) == len(b.stems)):
        return False
    return sum(one != other for one, other in zip(a.stems, b.stems, strict=True)) == 1


def _negated(a: Wording, b: Wording) -> int:
    """Return how often one says no, counting words that turn a word of the other into its opposite."""
    bare = (word.removeprefix(prefix) for word in a.stems for prefix in PREFIXES if word.startswith(prefix))
    return a.negations + sum(word in b.stems for word in bare)


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
    if _reordered(a, b):
        return False
    if a.commas and b.commas and _rotated(a, b):  # "Anna: first, Ben: second" and "First: Ben, second: Anna"
        return True
    ours, theirs = set(_around(a)), set(_around(b))
    crossed = {(right, link, left) for left, link, right in ours} & theirs
    return bool(crossed) or _exchanged(ours, theirs) or _names_in_order(a, b) != _names_in_order(b, a)


def _exchanged(ours: set[Around], theirs: set[Around]) -> bool:
    """Whether two things change partners: "tea in the morning, coffee in the evening", and the other way round."""
    lost, gained = ours - theirs, theirs - ours
    before, after = defaultdict(list), defaultdict(list)
    for left, link, right in gained:
        before[link, right].append(left)
        after[left, link].append(right)
    return any(
        (other_left, link, other_right) in lost
        for left, link, right in lost
        for other_left in before[link, right]
        for other_right in after[left, link]
    )


def _around(a: Wording) -> Iterator[Around]:
    """Yield what stands close before and close after each word, with that word between them."""
    words = a.stems
    for nth, link in enumerate(words):
        before, after = words[max(nth - NEAR, 0) : nth], words[nth + 1 : nth + 1 + NEAR]
        if link not in LISTS:
            ends = ((left, right) for left in before for right in after if left != right)
            yield from ((left, link, right) for left, right in ends if not {left, right} & _IDLE)


def _names_in_order(a: Wording, b: Wording) -> list[str]:
    """Return the names that both have in the order in which one has them, wherever it comes from first."""
    shared = {stem(name) for name in {*a.names} & {*b.names}}
    return [word for word in dict.fromkeys(a.stems) if word in shared]
