"""Rules that decide whether two statements say the same, and in what they differ for certain."""

from collections import defaultdict
from collections.abc import Iterator, Sequence, Set
from functools import lru_cache

from langgraph_learning.core.similarity.lexicon import CONJUNCTIONS, DATES, LINKS, OPENERS, OPPOSITES, PREFIXES
from langgraph_learning.core.similarity.parsing import ParsedStatement, singularize
from langgraph_learning.core.text import normalize, stem_word

WINDOW = 2
"""Number of words before and after a word that it may relate to each other."""

Triple = tuple[str, str, str]
"""A word near the left of another word, that word, and a word near its right."""

_OPPOSITE_STEMS = tuple(tuple(frozenset(map(stem_word, side)) for side in line) for line in OPPOSITES)
_DATES = frozenset(map(singularize, DATES))
_NOT_RELATED = LINKS | frozenset(map(stem_word, DATES))
"""Words that are neither the subject nor the object of anything."""


@lru_cache(maxsize=50_000)
def parse_statement(text: str) -> ParsedStatement:
    """Parse a statement. Each text is parsed once, however often it is compared."""
    return ParsedStatement(text)


def are_equivalent(first: str, second: str) -> bool:
    """Return True if two statements certainly say the same: in the same words, or in the same with a clause moved."""
    if normalize(first) == normalize(second):
        return True
    a, b = parse_statement(first), parse_statement(second)
    if not a.words or not _is_reordering(a, b) or _differ_in_count(a, b):
        return False
    return find_difference(first, second) is None


def grouping_key(text: str) -> tuple[str, ...]:
    """Return a key that is equal for all statements that say the same, for a cheap first comparison."""
    return tuple(sorted(parse_statement(text).words))


def find_difference(first: str, second: str) -> str | None:
    """Return why two statements can never say the same: "number", "name", "negation" or "direction".

    None means that no rule tells them apart; they may still mean different things.
    """
    a, b = parse_statement(first), parse_statement(second)
    if a.numbers != b.numbers:
        return "number"
    if _has_unknown_name(a, b) or _has_unknown_name(b, a) or _differ_in_one_word(a, b):
        return "name"
    if _count_negations_against(a, b) != _count_negations_against(b, a) or a.limits != b.limits:
        return "negation"
    return "direction" if _have_opposites(a, b) or _are_reversed(a, b) else None


def _is_reordering(a: ParsedStatement, b: ParsedStatement) -> bool:
    """Return True for the same words in the same order, or with the first clause of one at the end of the other."""
    return a.is_question == b.is_question and (a.words == b.words or _moves_clause(a, b) or _moves_clause(b, a))


def _moves_clause(a: ParsedStatement, b: ParsedStatement) -> bool:
    """Return True if `b` ends with the clause that begins `a`: "On Fridays we freeze", "We freeze on Fridays"."""
    if not a.words or a.words[0] not in OPENERS:
        return False
    # More commas divide lists: there, another first item may pair things that belong to others.
    return a.comma_count <= 1 and not b.comma_count and _is_rotation(a, b)


def _is_rotation(a: ParsedStatement, b: ParsedStatement) -> bool:
    """Return True if `b` has the words of `a` in the same order, but starts at another word."""
    return len(a.words) == len(b.words) and f" {' '.join(b.words)} " in f" {' '.join(a.words * 2)} "


def _differ_in_count(a: ParsedStatement, b: ParsedStatement) -> bool:
    """Return True if one speaks of a single thing and the other of several."""
    return a.indefinite_nouns - _DATES != b.indefinite_nouns - _DATES and a.distinct_words != b.distinct_words


def _has_unknown_name(a: ParsedStatement, b: ParsedStatement) -> bool:
    """Return True if `a` has a date or a name that `b` has not, not even as a word in small letters."""
    common = {stem_word(word) for word in b.distinct_words - {*b.names}}
    return any(name not in b.distinct_words and stem_word(name) not in common for name in a.names) or a.dates != b.dates


def _differ_in_one_word(a: ParsedStatement, b: ParsedStatement) -> bool:
    """Return True if two statements in small letters differ in exactly one word: it may be a name."""
    if not (a.text.islower() and b.text.islower() and len(a.stems) == len(b.stems)):
        return False
    return sum(ours != theirs for ours, theirs in zip(a.stems, b.stems, strict=True)) == 1


def _count_negations_against(a: ParsedStatement, b: ParsedStatement) -> int:
    """Count the negations of `a`, and its words that negate a word of `b` by a prefix, as in "unreliable"."""
    words = (word.removeprefix(prefix) for word in a.content_words for prefix in PREFIXES if word.startswith(prefix))
    return a.negation_count + sum(stem_word(word) in b.stems for word in words)


def find_sides(sides: Sequence[Set[str]], words: Set[str]) -> set[int]:
    """Return the numbers of the sides of opposites, such as "more" and "less", of which a word is among the words."""
    return {number for number, side in enumerate(sides) if not side.isdisjoint(words)}


def _have_opposites(a: ParsedStatement, b: ParsedStatement) -> bool:
    """Return True if they have opposite words, such as "more" and "less"."""
    for sides in _OPPOSITE_STEMS:
        ours, theirs = find_sides(sides, a.distinct_stems), find_sides(sides, b.distinct_stems)
        if ours and theirs and ours != theirs:
            return True
    return False


def _are_reversed(a: ParsedStatement, b: ParsedStatement) -> bool:
    """Return True if the same things have changed places: subject and object, source and target."""
    if _is_reordering(a, b):
        return False
    if a.comma_count and b.comma_count and _is_rotation(a, b):  # "Anna: first, Ben: second", "First: Ben, second: Anna"
        return True
    ours, theirs = set(_list_triples(a)), set(_list_triples(b))
    crossed = {(right, link, left) for left, link, right in ours} & theirs
    return bool(crossed) or _exchange_partners(ours, theirs) or _list_shared_names(a, b) != _list_shared_names(b, a)


def _exchange_partners(ours: set[Triple], theirs: set[Triple]) -> bool:
    """Return True if "tea in the morning, coffee in the evening" became "coffee in the morning, tea in the evening"."""
    lost, gained = ours - theirs, theirs - ours
    lefts, rights = defaultdict(list), defaultdict(list)
    for left, link, right in gained:
        lefts[link, right].append(left)
        rights[left, link].append(right)
    return any(
        (other_left, link, other_right) in lost
        for left, link, right in lost
        for other_left in lefts[link, right]
        for other_right in rights[left, link]
    )


def _list_triples(a: ParsedStatement) -> Iterator[Triple]:
    """Yield each word between every word close before it and every word close after it."""
    words = a.stems
    for index, link in enumerate(words):
        if link in CONJUNCTIONS:
            continue
        for left in words[max(index - WINDOW, 0) : index]:
            for right in words[index + 1 : index + 1 + WINDOW]:
                if left != right and not {left, right} & _NOT_RELATED:
                    yield left, link, right


def _list_shared_names(a: ParsedStatement, b: ParsedStatement) -> list[str]:
    """Return the names that both have, in the order in which `a` has them."""
    shared = {stem_word(name) for name in {*a.names} & {*b.names}}
    return [word for word in dict.fromkeys(a.stems) if word in shared]
