"""Places of words in two statements: words that changed places, and others that stand in the same place."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby, product, takewhile

from langgraph_learning.core.similarity.clauses import Mark, Outline, Word
from langgraph_learning.core.similarity.dates import is_date_word
from langgraph_learning.core.similarity.forms import CONTENT_CHARACTER, match_words
from langgraph_learning.core.similarity.lexicon import (
    ALL_PREPOSITIONS,
    BEFORE_GOALS,
    BEFORE_PERSONS,
    LIGHT_CHARACTERS,
    LIGHT_WORDS,
    PASSIVE_LINKS,
    UNITS,
    VERBS_OF_BEING,
)
from langgraph_learning.core.similarity.numbers import is_number_word
from langgraph_learning.core.words import NEGATIONS

ALIKE = 5
"""Letters in which the beginnings of two words are the same if one is derived from the other, or a part of it."""
_LIGHT = re.compile("|".join(sorted(LIGHT_CHARACTERS, key=len, reverse=True)))


def match_alike(words: Iterable[str], others: Iterable[str]) -> set[str]:
    """Return the words that are among the others, in any form, as a derived word or in a compound."""
    known = [*others]
    return {word for word in words if any(are_alike(word, other) for other in known)}


def are_alike(one: str, other: str) -> bool:
    """Return True if two words are forms of one, or derived from one."""
    shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    return one == other or shared >= ALIKE or bool(match_words([one], [other]))


def exchange_roles(ours: Outline, theirs: Outline) -> bool:
    """Return True if two words have changed places: subject and object or source and goal."""
    is_told = ours.has_fixed_order and theirs.has_fixed_order
    exchange_sides = is_told and _exchange_sides(ours.words, theirs.words)
    return exchange_sides or _exchange_goals(ours, theirs)


def list_telling_words(statement: Outline) -> list[str]:
    """Return the words of a statement that say something; no numbers and days, which are compared by their values.

    In scripts without spaces, it is the characters.
    """
    chars = CONTENT_CHARACTER.findall(_LIGHT.sub(" ", statement.plain))
    words = (word.text for word in statement.words if not _is_light(word.text))
    return sorted({*chars, *(word for word in words if not chars or word < "\u3000")})


def replace_name(ours: Outline, theirs: Outline) -> bool:
    """Return True if another word stands where a name may stand that no capital tells.

    In German every noun has a capital, but a name stands without an article, as in "bei Meier". In small letters, the
    only word that differs may be a name where persons stand.
    """
    places, places_there = _unknown_places(ours.words, theirs.words), _unknown_places(theirs.words, ours.words)
    if ours.is_german:
        return any(ours.words[at].is_bare for at in places) and any(theirs.words[at].is_bare for at in places_there)
    if len(places) != 1 or len(places_there) != 1:
        return False
    return _may_be_person(ours.words, places[0]) and _may_be_person(theirs.words, places_there[0])


def replace_word(ours: Outline, theirs: Outline) -> bool:
    """Return True if the only word that differs stands in the same place."""
    places, places_there = _unknown_places(ours.words, theirs.words), _unknown_places(theirs.words, ours.words)
    # In German, words in small letters are mostly verbs, and several verbs may say the same.
    is_one = len(places) == len(places_there) == 1 and (not ours.is_german or ours.words[places[0]].is_capital)
    return is_one and _is_same_place(ours.words, places[0], theirs.words, places_there[0])


def exchange_partners(ours: Outline, theirs: Outline) -> bool:
    """Return True if "Anna calls, Ben writes" became "Ben calls", and Anna does something else.

    A word that two words go with in different clauses of the one goes with the other of them in the other.
    """
    if Mark.NOT in ours.marks | theirs.marks:  # "Anna calls, not Ben", "Ben doesn't call, that's for Anna"
        return False
    segments, segments_there = _list_segments(ours.words), _list_segments(theirs.words)
    pairs = set()
    for at, segment in enumerate(segments):
        for word in segment:
            found, found_there = _find_segments(word, segments), _find_segments(word, segments_there)
            if len(found) == len(found_there) == 1:
                pairs.add((at, found_there[0]))
    clauses = {at for at, segment in enumerate(segments) if len(segment) > 1}  # "A and B" are none
    for at, there in pairs:
        is_joined = any(other in clauses and other != at for other, other_there in pairs if other_there == there)
        is_left = any(other_there != there for other, other_there in pairs if other == at)
        if is_joined and is_left:
            return True
    return False


def _list_segments(words: Sequence[Word]) -> list[list[str]]:
    """Return the words that say something by the part of the statement between commas and conjunctions."""
    telling = (word for word in words if not _is_light(word.text) and word.text < "\u3000")
    return [[word.text for word in segment] for _, segment in groupby(telling, key=lambda word: word.segment)]


def _find_segments(word: str, segments: Sequence[Sequence[str]]) -> list[int]:
    return [at for at, segment in enumerate(segments) if match_alike([word], segment)]


def _exchange_sides(ours: Sequence[Word], theirs: Sequence[Word]) -> bool:
    """Return True if "A leads B" became "B leads A", both in the active or both in the passive voice."""
    for at, there in product(range(len(ours)), range(len(theirs))):
        if _is_light(ours[at].text) or not are_alike(ours[at].text, theirs[there].text):
            continue
        (left, right), (left_there, right_there) = _sides(ours, at), _sides(theirs, there)
        is_same_voice = _is_passive(ours, at) == _is_passive(theirs, there)
        is_same_voice = is_same_voice and _link_after(ours, at) == _link_after(theirs, there)
        is_crossed = match_alike(left, right_there) and match_alike(right, left_there)
        if is_same_voice and is_crossed and not match_alike(left, left_there):
            return True
    return False


def _sides(words: Sequence[Word], at: int) -> tuple[list[str], list[str]]:
    """Return the words before and after a place in its segment."""
    segment = [
        (place, word.text)
        for place, word in enumerate(words)
        if word.segment == words[at].segment and not _is_light(word.text)
    ]
    return [text for place, text in segment if place < at], [text for place, text in segment if place > at]


def _is_passive(words: Sequence[Word], at: int) -> bool:
    has_agent = any(word.link in PASSIVE_LINKS for word in words if word.segment == words[at].segment)
    return has_agent or words[at].link in VERBS_OF_BEING


def _link_after(words: Sequence[Word], at: int) -> str:
    return words[at + 1].link if at + 1 < len(words) else ""


def _exchange_goals(ours: Outline, theirs: Outline) -> bool:
    """Return True if "from A to B" became "from B to A", or "A reports to B" became "B reports to A"."""
    goals, goals_there = (
        {word.text for word in statement.words if word.link in BEFORE_GOALS} for statement in (ours, theirs)
    )
    moved, moved_there = goals - match_alike(goals, goals_there), goals_there - match_alike(goals_there, goals)
    return bool(match_alike(moved, theirs.all) and match_alike(moved_there, ours.all))


def _unknown_places(words: Sequence[Word], others: Sequence[Word]) -> list[int]:
    """Return the places of words that are not among the others, without those that say little."""
    known = [word.text for word in others]
    return [at for at, word in enumerate(words) if not _is_light(word.text) and not match_alike([word.text], known)]


def _may_be_person(words: Sequence[Word], at: int) -> bool:
    """Return True for the place of "kim" in "kim leads sales", "sales is led by kim" and "the lead of sales is kim"."""
    word = words[at]
    is_subject = at == 0 and not word.link and len(words) > 1 and not words[1].link
    is_complement = word.link in VERBS_OF_BEING and (word.is_capital or at == len(words) - 1)
    return is_subject or is_complement or word.link in BEFORE_PERSONS


def _is_same_place(ours: Sequence[Word], at: int, theirs: Sequence[Word], there: int) -> bool:
    """Return True for places between the same words, or after the same word and preposition."""
    before = _are_alike_at(ours, at - 1, theirs, there - 1)
    after = _are_alike_at(ours, at + 1, theirs, there + 1)
    if before is None:  # "the free plan", "the team plan"; "staging is rebuilt", "production is rebuilt"
        link = _link_after(ours, at)
        return bool(after) and link == _link_after(theirs, there) and link not in ALL_PREPOSITIONS
    is_same_link = bool(ours[at].link) and ours[at].link == theirs[there].link
    return before and (bool(after) or is_same_link)


def _are_alike_at(ours: Sequence[Word], at: int, theirs: Sequence[Word], there: int) -> bool | None:
    """Return whether the words at two places are alike; None if neither statement has one there."""
    is_here, is_there = 0 <= at < len(ours), 0 <= there < len(theirs)
    if not is_here and not is_there:
        return None
    return is_here and is_there and are_alike(ours[at].text, theirs[there].text)


def replace_characters(ours: Outline, theirs: Outline) -> bool:
    """Return True if other characters stand in the same place, in a script without spaces between words."""
    runs, runs_there = _unknown_runs(ours.plain, theirs.plain), _unknown_runs(theirs.plain, ours.plain)
    return len(runs) == len(runs_there) == 1 and runs == runs_there


def _unknown_runs(statement: str, text: str) -> list[tuple[str, str]]:
    """Return the characters before and after each run of characters that are not in a text."""
    chars = _LIGHT.sub(lambda found: " " * len(found[0]), statement)
    marked = "".join("\0" if CONTENT_CHARACTER.match(char) and char not in text else char for char in chars)
    runs = re.finditer("\0+", marked)
    return [(marked[: run.start()].rstrip()[-1:], marked[run.end() :].lstrip()[:1]) for run in runs]


def _is_light(word: str) -> bool:
    """Return True for a word that says little, or that is compared by its value."""
    return word in LIGHT_WORDS or word in NEGATIONS or word in UNITS or is_number_word(word) or is_date_word(word)
