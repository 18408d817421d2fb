"""Clauses of a statement: its words, with what is negated, limited or first, in any language."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, lru_cache
from itertools import groupby, pairwise, takewhile
from typing import NamedTuple
from unicodedata import normalize

from langgraph_learning.core.similarity.dates import is_date_word
from langgraph_learning.core.similarity.forms import drop_foreign_marks
from langgraph_learning.core.similarity.lexicon import (
    AFFIRMING_PATTERNS,
    ALL_ARTICLES,
    ALL_CONJUNCTIONS,
    ALL_PREPOSITIONS,
    BEFORE_NAMES,
    HOLDING_NEGATIONS,
    IMPLICIT_NEGATIONS,
    LIGHT_WORDS,
    MARK_PATTERNS,
    PERSONS,
    PREPOSITIONS,
    REPORTING_WORDS,
    SUBJECT_PRONOUNS,
    TITLES,
    UNITS,
    UNSPACED_NAMES,
)
from langgraph_learning.core.similarity.numbers import is_number_word, read_quantities
from langgraph_learning.core.similarity.rules import parse_statement
from langgraph_learning.core.text import SENTENCE_END, content_words, has_no_boundaries, tokenize
from langgraph_learning.core.words import NEGATIONS, detect_languages, split_particle

NEAR = 4
"""Words from a number to what limits it at most, and from that to what negates it; half as many to what comes after."""


class Mark(StrEnum):
    """A word that says how others are meant. Each is one character inside a text, so that phrases count as one word."""

    ALSO = "\ue000"
    DOWN = "\ue001"
    UP = "\ue002"
    ONLY = "\ue003"
    INSTEAD = "\ue004"
    EXCEPT = "\ue005"
    WITHOUT = "\ue006"
    NOT = "\ue007"
    BEFORE = "\ue008"
    AFTER = "\ue009"
    BREAK = "\ue00a"
    STOP = "\ue00b"
    THEN = "\ue00c"
    FIRST = "\ue00d"


REVERSED = {Mark.DOWN: Mark.UP, Mark.UP: Mark.DOWN, Mark.BEFORE: Mark.AFTER, Mark.AFTER: Mark.BEFORE}
"""Limits of numbers, and what they are where they are negated: "not after six" is "before six"."""
_RESOLVED = {Mark.WITHOUT: Mark.AFTER, Mark.BEFORE: Mark.AFTER, Mark.EXCEPT: Mark.ONLY}
"""Marks that take up a negation: "nothing without review" and "nothing before review" are "after review"."""


class Term(NamedTuple):
    """A word, a number or a mark."""

    text: str
    mark: Mark | None = None
    is_number: bool = False


class Limit(NamedTuple):
    """A limit of a number."""

    mark: Mark
    is_negated: bool


class Word(NamedTuple):
    """A word that carries content, where it stands."""

    text: str
    """Without case."""
    link: str
    """The preposition or other small word before it, without articles."""
    segment: int
    """Number of the part of the statement between commas and conjunctions."""
    is_capital: bool = False
    is_bare: bool = False
    """True for a word without an article at the start, after a preposition or after "is": it may be a name."""


@dataclass(frozen=True)
class Outline:
    """A statement as its sentences, with marks. Every view of it is computed once, on first use."""

    text: str
    sentences: tuple[tuple[Term, ...], ...]
    is_negated: bool
    """True if it has a negation, also one that another mark takes up."""
    needed_words: frozenset[str]
    """The words after a "without" that a negation takes up: "no flight without a number" needs a number."""
    spared_words: frozenset[str]
    """The words after any other "without"."""

    @cached_property
    def marks(self) -> frozenset[Mark]:
        """The marks of the statement, negations that others take up left out."""
        return frozenset(term.mark for sentence in self.sentences for term in sentence if term.mark)

    @cached_property
    def plain(self) -> str:
        """The text of its words."""
        return " ".join(term.text for sentence in self.sentences for term in sentence if not term.mark)

    @cached_property
    def words(self) -> tuple[Word, ...]:
        """The words that carry content, in order."""
        return tuple(_list_words(self.sentences))

    @cached_property
    def all(self) -> frozenset[str]:
        """The words of all clauses."""
        return self.negated_words | self.affirmed_words

    @cached_property
    def is_german(self) -> bool:
        """True if the statement is in German, where a capital tells no name."""
        return self.languages == {"de"}

    @cached_property
    def has_fixed_order(self) -> bool:
        """True if the order of the words tells who acts."""
        return bool(self.languages & _FIXED_ORDER) or (not self.languages and self.text.isascii())

    @cached_property
    def names(self) -> frozenset[str]:
        """The words that are names by their capitals; in German only ids and acronyms are."""
        parsed = parse_statement(self.text)
        contents = {word.text for word in self.words}
        sure = {token.lower for token in parsed.tokens if not (self.is_german and token.text[1:].islower())}
        after_titles = {token.lower for title, token in pairwise(parsed.tokens) if title.lower in TITLES}
        names = {name for name in parsed.names if name in sure | after_titles and _may_be_name(name)}
        unspaced = {name for pattern in _UNSPACED_NAMES for name in pattern.findall(self.text)}
        return frozenset({name for name in names if not name.isalpha() or name in contents} - TITLES | unspaced)

    @cached_property
    def first_names(self) -> frozenset[str]:
        """The names that start a sentence: they may be other words."""
        first = {t.lower for t in parse_statement(self.text).tokens if t.starts_sentence and t.text[1:].islower()}
        return self.names & first

    @cached_property
    def sure_names(self) -> frozenset[str]:
        """The names that do not start a sentence."""
        return self.names - self.first_names

    @cached_property
    def may_be_negated(self) -> bool:
        """True if something in the statement is, or holds, or may be put as, a negation."""
        return self.is_negated or bool(self.marks & _NEGATABLE) or self.holds_negation

    @cached_property
    def holds_negation(self) -> bool:
        """True if a word of the statement holds a negation that others may put as one."""
        return bool(_HOLDING_NEGATIONS.search(self.text))

    @cached_property
    def substitutes(self) -> frozenset[str]:
        """The marks that others may put as a negation: "only", limits, and what comes first."""
        return self.marks & _SUBSTITUTES | self.limits

    @cached_property
    def is_unspaced(self) -> bool:
        """True for a script without spaces between words, where what is negated is not told apart."""
        return any(char > "\u3000" for char in self.plain)

    @cached_property
    def limits(self) -> frozenset[Mark]:
        """The limits of numbers."""
        return frozenset(limit.mark for limit in self.limits_in_clauses)

    @cached_property
    def limits_in_clauses(self) -> frozenset[Limit]:
        """The limits of numbers, each with whether its clause is negated: "not if under eighteen"."""
        return frozenset(limit for sentence in self.sentences for limit in _list_limits(sentence))

    @cached_property
    def negated_words(self) -> frozenset[str]:
        """The words that are negated."""
        return frozenset(word for words, negated in self._clauses if negated for word in words)

    @cached_property
    def affirmed_words(self) -> frozenset[str]:
        """The words that are not."""
        return frozenset(word for words, negated in self._clauses if not negated for word in words)

    @cached_property
    def denied_words(self) -> frozenset[str]:
        """The words that a negation stands right before, or right after if it ends its clause."""
        return frozenset(word for sentence in self.sentences for word in _find_denied_words(sentence))

    @cached_property
    def order(self) -> tuple[frozenset[str], frozenset[str]]:
        """The words for what comes first, and for what comes later; empty if nothing is said of it."""
        pairs = [pair for sentence in self.sentences for pair in (*_order(sentence), *_sequence(sentence))]
        return frozenset().union(*(first for first, _ in pairs)), frozenset().union(*(later for _, later in pairs))

    @cached_property
    def sequels(self) -> tuple[frozenset[str], ...]:
        """The words after each "before" and "after" that limits no number."""
        return tuple(words for sentence in self.sentences for words in _sequels(sentence))

    @cached_property
    def languages(self) -> frozenset[str]:
        """The languages that the statement may be in."""
        return frozenset(detect_languages(self.text) or detect_languages(self.text.casefold()))

    @cached_property
    def _clauses(self) -> list[tuple[frozenset[str], bool]]:
        return [clause for sentence in self.sentences for clause in _clauses(sentence)]


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text."""
    return [sentence.strip() for sentence in SENTENCE_END.split(text) if sentence.strip()]


@lru_cache(maxsize=10_000)
def outline(text: str) -> Outline:
    """Return a statement as its sentences, with marks. Each text is read once, however often it is compared."""
    terms = list(_read_terms(text))
    sentences = [
        list(terms) for is_stop, terms in groupby(terms, key=lambda term: term.mark is Mark.STOP) if not is_stop
    ]
    needed, spared = (
        frozenset(word for sentence in sentences for word in _find_words_without(sentence, is_negated=is_negated))
        for is_negated in (True, False)
    )
    resolved = tuple(tuple(_resolve(sentence)) for sentence in sentences)
    return Outline(text, resolved, any(term.mark in _NEGATIONS for term in terms), needed, spared)


def compile_words(words: str) -> re.Pattern[str]:
    """Return the pattern of the words of a mark. Where a script has no spaces, words have no boundaries."""
    parts = re.split(r"\|(?![^(]*\))", words)
    unspaced = list(filter(has_no_boundaries, parts))
    spaced = [part for part in parts if part not in unspaced]
    bounded = [rf"(?<!\w)(?:{'|'.join(spaced)})(?!\w)"] if spaced else []
    return re.compile("|".join([*bounded, *unspaced]), re.IGNORECASE)


_PATTERNS = {Mark[name.upper()]: compile_words(words) for name, words in MARK_PATTERNS.items()}
_CONTRACTED_NOT = re.compile(
    r"\b(do|does|did|is|are|was|were|has|have|had|would|should|could|must|need|ca|wo)n['\u2019]?t\b|\bcan(?=not\b)",
    re.I,
)
_AFFIRMING = compile_words(AFFIRMING_PATTERNS)
_FRENCH_ONLY = re.compile(
    r"(?<!\w)(?:n['\u2019]|ne )((?:(?!pas|jamais|rien|plus|aucune?|personne)[\w'\u2019]+ ){1,3})qu(?:e |['\u2019])",
    re.I,
)
_SEQUENCE = frozenset({Mark.BEFORE, Mark.AFTER})
_LIMITED = frozenset(REVERSED)
_DIVIDING = frozenset({Mark.BREAK, Mark.BEFORE, Mark.AFTER})
_NOT_WORDS = NEGATIONS | IMPLICIT_NEGATIONS
_VOWEL_SIGNS = r"\u0300-\u036f\u064b-\u065f\u0900-\u0963\u0966-\u0dff\u0e31\u0e34-\u0e4e"
"""Accents and vowels that are characters of their own, in Arabic, Thai and the scripts of India."""
_TERM = re.compile(
    r"(?P<mark>[\ue000-\ue00d])|(?P<number>\d+(?:(?:st|nd|rd|th)\b|(?:[.,:/'\u2019]\d+)*))"
    rf"|(?P<word>[^\W\d_](?:[\w'\u2019@.{_VOWEL_SIGNS}-]*[\w{_VOWEL_SIGNS}])?)"
    r"|(?P<stop>[.!?。！？।\n])|(?P<comma>[,;:、，()\u2013\u2014]|(?<=\s)-(?=\s))"
)
_NEGATIONS = frozenset({Mark.NOT, Mark.WITHOUT, Mark.EXCEPT, Mark.INSTEAD})
_SUBSTITUTES = frozenset({Mark.ONLY, Mark.BEFORE, Mark.AFTER})
_NEGATABLE = frozenset({Mark.ONLY, Mark.BEFORE, Mark.AFTER, Mark.UP, Mark.DOWN})
_HOLDING_NEGATIONS = compile_words(HOLDING_NEGATIONS)
_UNSPACED_NAMES = tuple(map(re.compile, UNSPACED_NAMES))
_FIXED_ORDER = frozenset({"en", "fr", "sv"})


def _read_terms(text: str) -> Iterator[Term]:
    """Yield the words, numbers and marks of a text."""
    text = _AFFIRMING.sub(" ", text)
    spelled = _CONTRACTED_NOT.sub(
        lambda found: f"{found[1] or 'can'} not ", drop_foreign_marks(normalize("NFKC", text))
    )
    spelled = _FRENCH_ONLY.sub(rf" {Mark.ONLY} \1", spelled)
    for mark, pattern in _PATTERNS.items():
        spelled = pattern.sub(f" {mark} ", spelled)
    for found in _TERM.finditer(spelled):
        term = found.group()
        if found["mark"]:
            yield Term(term, Mark(term))
        elif found["stop"]:
            yield Term(term, Mark.STOP)
        elif found["comma"]:
            yield Term(term, Mark.BREAK)
        elif term.casefold() in _NOT_WORDS:
            yield Term(term, Mark.NOT)
        else:
            yield Term(term, is_number=bool(found["number"]))


def _find_words_without(terms: Sequence[Term], *, is_negated: bool) -> Iterator[str]:
    """Yield the words after each "without" of a sentence that a negation takes up, or that none does."""
    for at, term in enumerate(terms):
        if term.mark is Mark.WITHOUT and (_find_negation(terms, at) is not None) is is_negated:
            yield from _contents(takewhile(lambda following: following.mark is not Mark.BREAK, terms[at + 1 :]))


def _resolve(terms: list[Term]) -> list[Term]:
    """Return the terms of a sentence without the negations that other words take up."""
    _join_negations(terms)
    for at in [at for at, term in enumerate(terms) if term.mark is Mark.ONLY]:
        # "Don't lift it on your own", "the key alone won't do"
        if (negation := _find_negation(terms, at)) is not None and abs(at - negation) > 1:
            terms[at], terms[negation] = Term("", Mark.ALSO), Term("")
    _take_up_negations(terms)
    expanded = list[Term]()
    for term in terms:
        if term.mark in (Mark.INSTEAD, Mark.EXCEPT, Mark.WITHOUT):
            expanded += [Term("", Mark.BREAK), Term("", Mark.NOT)]
        elif term.text or term.mark:
            expanded.append(term)
    return expanded


def _join_negations(terms: list[Term]) -> None:
    """Leave one of two negations side by side, as in "никто не" and "nunca nada", and none of "not blocked"."""
    for at in range(len(terms) - 1, 0, -1):
        near = [before for before in range(max(at - 2, 0), at) if terms[before].mark is Mark.NOT]
        if terms[at].mark is not Mark.NOT or not near:
            continue
        if terms[at].text.casefold() in IMPLICIT_NEGATIONS:
            terms[near[-1]] = Term("")
        terms[at] = Term("")


def _take_up_negations(terms: list[Term]) -> None:
    """Replace each mark that a negation belongs to, and the negation, by one: "nothing before a review" is "after"."""
    for link in [at for at, term in enumerate(terms) if term.mark in _RESOLVED]:
        if (negation := _find_negation(terms, link)) is not None:
            terms[link] = Term("", _RESOLVED[terms[link].mark])  # type: ignore[index]  # it is a mark
            terms[negation] = Term("")
    for at in [at for at, term in enumerate(terms[1:]) if term.mark in (Mark.AFTER, Mark.BEFORE)]:
        if terms[at].mark is Mark.ONLY:  # "only after" is no more than "after"
            terms[at] = Term("")
    for at, mark in list(_limits(terms)):
        negation = _find_negation(terms, at)
        if negation is not None and (mark in _SEQUENCE or 0 < at - negation <= NEAR):
            terms[at] = Term("", REVERSED[mark])
            terms[negation] = Term("")


def _find_negation(terms: Sequence[Term], link: int) -> int | None:
    """Return where the negation of a clause stands that a mark belongs to; None if it has none."""
    starts = not any(term.text and not term.mark for term in terms[:link])
    found = [at for at, term in enumerate(terms) if term.mark is Mark.NOT]
    for at in sorted(found, key=lambda at: abs(at - link)):
        between = terms[min(at, link) + 1 : max(at, link)]
        if starts or not any(term.mark is Mark.BREAK for term in between):
            return at
    return None


def _limits(terms: Sequence[Term]) -> Iterator[tuple[int, Mark]]:
    """Yield where a limit stands, and the limit. A number has one limit, rather before it than after it."""
    for at, term in enumerate(terms):
        if not _is_number(term):
            continue
        near = [
            (abs(at - place) * (1 if place < at else 2), place)
            for place, other in enumerate(terms)
            if other.mark in _LIMITED and place != at and (place < at or _may_follow(terms, place))
        ]
        distance, place = min(near, default=(NEAR + 1, 0))
        if distance <= NEAR and (mark := terms[place].mark):
            yield place, mark


def _list_limits(terms: Sequence[Term]) -> Iterator[Limit]:
    for place, mark in _limits(terms):
        clause = [*_clause_before(terms[:place]), *takewhile(lambda term: term.mark is not Mark.BREAK, terms[place:])]
        yield Limit(mark, any(term.mark is Mark.NOT for term in clause))


def _may_follow(terms: Sequence[Term], place: int) -> bool:
    """Return True for a limit that may stand after its number: not for "stored at 80 degrees until they are used"."""
    return terms[place].mark not in _SEQUENCE or terms[place - 1].text > "\u3000"


def _is_number(term: Term) -> bool:
    return term.is_number or (not term.mark and bool(read_quantities(term.text)))


def _clauses(terms: Sequence[Term]) -> list[tuple[frozenset[str], bool]]:
    """Return the clauses of a sentence. A negation that stands alone negates the one before it; "not ours" does not."""
    clauses = list[tuple[frozenset[str], bool]]()
    for is_break, group in groupby(terms, key=lambda term: term.mark is Mark.BREAK):
        parts = list(group)
        if is_break:
            continue
        words = _contents(parts)
        negated = any(part.mark is Mark.NOT for part in parts)
        if not words and any(part.text.casefold() in PERSONS for part in parts):
            continue
        if not words and negated and clauses:
            clauses[-1] = (clauses[-1][0], True)
        else:
            clauses.append((words, negated))
    return clauses


def _find_denied_words(terms: Sequence[Term]) -> Iterator[str]:
    """Yield the words that each negation of a sentence stands beside."""
    clause = list[Term]()
    for at, term in enumerate(terms):
        if term.mark is Mark.BREAK:
            clause = []
        elif term.mark is Mark.NOT:
            following = list(takewhile(lambda other: other.mark is not Mark.BREAK, terms[at + 1 :]))
            yield from _first_words(following) or _first_words(clause[::-1])
        else:
            clause.append(term)


def _first_words(terms: Sequence[Term]) -> list[str]:
    """Return the first one or two words that say something, up to the next preposition or article."""
    words = list[str]()
    for term in terms:
        if words and (term.mark or term.text.casefold() in ALL_PREPOSITIONS | ALL_ARTICLES):
            break
        words += [word for word in tokenize(term.text) if word in _contents([term]) and word not in LIGHT_WORDS]
    return words[:2]


def _order(terms: Sequence[Term]) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    """Yield the words for what comes first and for what comes later, by each "before" and "after"."""
    limiting = {at for at, _ in _limits(terms)}
    for at, term in enumerate(terms):
        if term.mark not in (Mark.BEFORE, Mark.AFTER) or at in limiting:
            continue
        main, governed = _clause_before(terms[:at]), terms[at + 1 :]
        if not _contents(main):
            end = _find_clause_end(governed)
            main, governed = governed[end:], governed[:end]
            main = main[1:] if main and main[0].mark is Mark.BREAK else main
            main = _clause_before(main[::-1])[::-1]
        pair = _contents(main), _contents(governed)
        yield pair if term.mark is Mark.BEFORE else pair[::-1]


def _find_clause_end(terms: Sequence[Term]) -> int:
    """Return where the clause ends that begins a sentence: at its comma, or before the next subject."""
    firsts = [place for place, term in enumerate(terms) if _contents([term])]
    first = min(firsts, default=-1)
    ends = [
        place
        for place, term in enumerate(terms)
        if place > first and (term.mark is Mark.BREAK or _starts_with_subject(term))
    ]
    return min(ends, default=first + 1)


def _is_unspaced(terms: Sequence[Term]) -> bool:
    return any(term.text > "\u3000" for term in terms if not term.mark)


def _starts_with_subject(term: Term) -> bool:
    return re.split("['\u2019]", term.text.casefold())[0] in SUBJECT_PRONOUNS


def _sequence(terms: Sequence[Term]) -> Iterator[tuple[frozenset[str], frozenset[str]]]:
    """Yield the words for what comes first and for what comes later, by each "first" and "then"."""
    ends = [at for at, term in enumerate(terms) if term.mark is Mark.BREAK or term.text.casefold() in ALL_CONJUNCTIONS]
    for at, term in enumerate(terms):
        if term.mark in (Mark.FIRST, Mark.THEN):
            start, end = max([0, *(e for e in ends if e < at)]), min([len(terms), *(e for e in ends if e > at)])
            middle = end if term.mark is Mark.FIRST else start or at * (_is_unspaced(terms))
            first, later = _contents(terms[:middle]), _contents(terms[middle:])
            if first and later:
                yield first, later


def _sequels(terms: Sequence[Term]) -> Iterator[frozenset[str]]:
    """Yield the words that each "before" and "after" governs, up to the end of the clause."""
    limiting = {at for at, _ in _limits(terms)}
    for at, term in enumerate(terms):
        if term.mark in (Mark.BEFORE, Mark.AFTER) and at not in limiting:
            yield _contents(takewhile(lambda following: following.mark is not Mark.BREAK, terms[at + 1 :]))


def _clause_before(terms: Sequence[Term]) -> Sequence[Term]:
    """Return the terms after the last break."""
    breaks = [place for place, term in enumerate(terms) if term.mark is Mark.BREAK]
    return terms[max(breaks, default=-1) + 1 :]


def _contents(terms: Iterable[Term]) -> frozenset[str]:
    words = content_words(term.text for term in terms if not term.mark)
    return frozenset(word for word in words if word not in REPORTING_WORDS)


def _list_words(sentences: Iterable[Sequence[Term]]) -> Iterator[Word]:
    segment = 0
    for sentence in sentences:
        segment, link, previous = segment + 1, "", ""
        for term in sentence:
            folded = term.text.casefold()
            if term.mark in _DIVIDING or folded in ALL_CONJUNCTIONS:
                segment, link = segment + 1, ""
            elif term.mark:
                link = link or term.mark
            elif folded in PREPOSITIONS:
                link = folded
            elif words := [word for word in tokenize(folded) if word in content_words([word])]:
                link = link or split_particle(folded)[1]
                yield from (
                    Word(word, link, segment, term.text[:1].isupper(), _is_bare(term, previous)) for word in words
                )
                link = ""
            elif folded not in ALL_ARTICLES:
                link = folded
            previous = term.text or term.mark or ""


def _may_be_name(name: str) -> bool:
    if re.match(r"\d+-\w|q[1-4]$", name):  # "a 40-minute call"
        return False
    has_case = name.upper() != name.lower() or any(char.isdigit() for char in name)
    return len(name) > 1 and has_case and not is_date_word(name) and name.replace(".", "") not in UNITS


def _is_bare(term: Term, previous: str) -> bool:
    folded = previous.casefold()
    if is_number_word(folded):
        return False
    if folded in BEFORE_NAMES or not term.text[:1].isupper():
        return folded in BEFORE_NAMES
    is_apposition = previous[:1].isupper() and folded not in ALL_ARTICLES and folded not in UNITS
    return is_apposition or not previous or folded in LIGHT_WORDS
