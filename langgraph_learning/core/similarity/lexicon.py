"""Word lists of lexicon.toml as Python constants: closed classes such as negations, units and opposites."""

import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

_LEXICON = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _load_words(name: str) -> frozenset[str]:
    return frozenset(_LEXICON[name].split())


def _load_mapping(name: str) -> Mapping[str, str]:
    """Return the words of a table, without case, each with the name of the line that lists it."""
    return {word.casefold(): meaning for meaning, words in _LEXICON[name].items() for word in words.split()}


ARTICLES = _load_words("articles")
FILLERS = _load_words("fillers")
PREFIXES = tuple(_LEXICON["prefixes"].split())
SUBJECT = _LEXICON["subject"]
LIMITS = _load_mapping("limits")
LINKS = _load_words("links")
CONJUNCTIONS = _load_words("conjunctions")
OPENERS = LINKS | _load_words("openers")
AUXILIARIES = _load_words("auxiliaries")
STARTERS = _load_words("starters")
NOUN_ENDINGS = tuple(_LEXICON["noun_endings"].split())
DATES = _load_mapping("dates")
DAY_GROUPS = {
    frozenset(map(int, days.split())): words.replace("\n", "") for days, words in _LEXICON["day_groups"].items()
}
"""Words for several days, such as "at weekends", as regular expressions; Monday is 0."""
ORDINALS = _load_mapping("ordinals")
IMPLIED_NUMBERS = _load_mapping("implied_numbers")
LATE_WORDS = frozenset(_LEXICON["daytime"]["late"].split())
LATE_UNSPACED = tuple(_LEXICON["daytime"]["late_unspaced"].split())
SYNONYMS = _load_mapping("synonyms")
COUNT_WORDS = _load_mapping("count_words")
UNITS = _load_mapping("units")
PERIODS = {**UNITS, **_load_mapping("periods")}
"""Units and words for how often something happens, each with its unit."""
NUMBERS = {word: Decimal(value) for word, value in _load_mapping("numbers").items()}
HALVES = {word: Decimal(value) for word, value in _load_mapping("halves").items()}
MULTIPLIERS = {word: Decimal(value) for word, value in _load_mapping("multipliers").items()}
NOT_NAMES = _load_words("not_names") | FILLERS | frozenset(DATES) | frozenset(NUMBERS)
OPPOSITES = tuple(
    tuple(frozenset(side.split()) for side in line.split("|")) for line in _LEXICON["opposites"]["lines"].split("\n")
)
NO_OPPOSITES = _load_words("no_opposites")
IMPLICIT_NEGATIONS = _load_words("implicit_negations")
CLOSED_WORDS = _load_words("closed")
REPORTING_WORDS = frozenset(word for words in _LEXICON["reporting"].values() for word in words.split())
RELATIVE_DATES = {name: tuple(words.split()) for name, words in _LEXICON["relative_dates"].items()}
KEEP_PATTERN, FORGET_PATTERN, DELETE_PATTERN, END_PATTERN = (
    words.replace("\n", "") for words in _LEXICON["endings"].values()
)
LANGUAGES_OF = {word: frozenset(languages.split()) for word, languages in _LEXICON["languages_of"].items()}
"""The languages in which a word is a number, a negation or another mark; in others it is something else."""
MARK_PATTERNS = {name: words.replace("\n", "") for name, words in _LEXICON["marks"].items()}
QUALIFIERS: Mapping[str, Mapping[str, str]] = _LEXICON["qualifiers"]
"""What narrows or weakens a statement: for each kind, regular expressions by language."""
AMOUNTS: Sequence[Mapping[str, str]] = [*_LEXICON["amounts"].values()]
"""Scales of how many, or how often: for each step, regular expressions."""
CAUSES: str = _LEXICON["causes"]["because"]
LIGHT_WORDS = frozenset(_LEXICON["light"]["words"].split())
LIGHT_CHARACTERS = tuple(_LEXICON["light"]["unspaced"].split())
_SMALL = {name: frozenset(words.split()) for name, words in _LEXICON["small_words"].items()}
ALL_CONJUNCTIONS = _SMALL["conjunctions"]
ALL_ARTICLES = _SMALL["articles"]
BEFORE_NAMES, BEFORE_PERSONS, BEFORE_GOALS = (_SMALL[f"before_{name}"] for name in ("names", "persons", "goals"))
UNSPACED_NAMES = tuple(_LEXICON["unspaced_names"].values())
"""Regular expressions of names in scripts without capitals, which titles and verbs tell."""
SUBJECT_PRONOUNS = _SMALL["subjects"]
CONVERSES = _SMALL["converse"]
TITLES = _SMALL["titles"]
AFFIRMING_PATTERNS = _LEXICON["affirming"].replace("\n", "")
HOLDING_NEGATIONS = _LEXICON["holding_negations"].replace("\n", "")
PREPOSITIONS = _SMALL["prepositions"]
ALL_PREPOSITIONS = PREPOSITIONS | LINKS | BEFORE_NAMES
PASSIVE_LINKS = _SMALL["passive"]
PERSONS = _SMALL["persons"]
VERBS_OF_BEING = _SMALL["being"]
COMPARED_WORDS = _SMALL["compared"]
