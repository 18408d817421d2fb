"""Forms of words: which words of a statement are among others, inflected as they may be."""

import re
from collections.abc import Iterable
from functools import lru_cache
from unicodedata import normalize

from langgraph_learning.core.similarity.lexicon import LANGUAGES_OF, LIGHT_WORDS, REPORTING_WORDS, UNITS
from langgraph_learning.core.text import content_words, tokenize
from langgraph_learning.core.words import NEGATIONS, detect_languages, get_stemmer, informative_words

_LANGUAGES = ("english", "german", "french", "spanish", "italian", "dutch", "portuguese", "russian")
"""Languages in which two forms of a word are recognised."""
_ACCENTED_LANGUAGES = ("polish", "swedish", "turkish")
"""Languages in which two forms of a word are recognised if it has a letter that English has not."""
CONTENT_CHARACTER = re.compile("(?![一二三四五六七八九十百千万])[\u30a0-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
"""Chinese characters and Katakana, which carry content; no numbers."""
REPORTING_UNSPACED = re.compile(
    "|".join(sorted((word for word in REPORTING_WORDS if word > "\u3000"), key=len, reverse=True))
)
"""Words with which a statement is reported, in scripts without spaces."""
_AMBIGUOUS = re.compile(rf"\b(?:{'|'.join(LANGUAGES_OF)})\b", re.IGNORECASE)
_VERB_ENDING = re.compile("(?:ten|en|et|te|st|t|e|n)$")
_SEPARABLE = re.compile(
    "^(ab|an|auf|aus|bei|durch|ein|fest|her|hin|los|mit|nach|um|unter|vor|weg|weiter|zu|zurück|zusammen|über)?(?:ge|zu)(?=\\w{4})"
)
"""The "ge" of a German participle and the "zu" of an infinitive, alone or after a separable prefix."""


def statement_words(statement: str) -> set[str]:
    """Return the words of a statement that say something: no words with which a statement is reported."""
    text = REPORTING_UNSPACED.sub(" ", normalize("NFKC", statement))
    return {word for word in content_words([text]) if word not in REPORTING_WORDS and not word.isdigit()} - NEGATIONS


def find_required_words(statement: str) -> set[str]:
    """Return the words of a statement that its author must have said.

    Units belong to numbers, and light words such as "run" to others. In scripts without spaces, it is the characters.
    """
    words = statement_words(statement)
    words = {word for word in words if word not in LIGHT_WORDS and word not in UNITS} or words
    chars = set(CONTENT_CHARACTER.findall("".join(words)))
    return {word for word in words if word < "\u3000"} | chars if chars else words


def list_words(text: str) -> list[str]:
    """Return the words of a text; in scripts without spaces its characters, as well."""
    return [*tokenize(text), *CONTENT_CHARACTER.findall(text)]


def drop_foreign_marks(text: str) -> str:
    """Return a text without the words that are a number or a negation only in other languages: the Portuguese "no"."""
    if not _AMBIGUOUS.search(text):
        return text
    languages = frozenset(detect_languages(_AMBIGUOUS.sub(" ", text)) or ("en",))
    return _AMBIGUOUS.sub(lambda word: word[0] if LANGUAGES_OF[word[0].casefold()] & languages else "", text)


def match_words(words: Iterable[str], others: Iterable[str]) -> set[str]:
    """Return the words that are among the others in any of their forms."""
    forms = {form for other in others for form in word_forms(other)}
    return {word for word in words if not forms.isdisjoint(word_forms(word))}


@lru_cache(maxsize=50_000)
def word_forms(word: str) -> frozenset[tuple[str, str]]:
    """Return the stems of a word by language; two words are forms of one if a language gives them the same stem."""
    if not word.isascii() and word > "\u0530":  # stems of these scripts are those of a search
        return frozenset({("", form) for form in {word, *informative_words(word)}})
    if not word.isalpha():
        return frozenset({("", word)})
    languages = _LANGUAGES if word.isascii() else (*_LANGUAGES, *_ACCENTED_LANGUAGES)
    forms = {(language, get_stemmer(language).stemWord(word)) for language in languages}
    # Snowball's stem of a German participle is not that of its verb.
    return frozenset({*forms, ("verb", _VERB_ENDING.sub("", _SEPARABLE.sub(r"\1", word)))} if len(word) > 6 else forms)
