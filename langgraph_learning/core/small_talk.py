"""Small talk: messages that ask for nothing, assent to what an agent asked or offered, and answers that do so."""

import re
import tomllib
from pathlib import Path

from langgraph_learning.core.text import normalize, tokenize
from langgraph_learning.core.words import NEGATIONS, detect_languages, informative_words

_WORD_LISTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_ASSENT = frozenset(word for words in _WORD_LISTS["assent"].values() for word in words.split())
_POINTERS = {language: frozenset(words.split()) for language, words in _WORD_LISTS["pointers"].items()}
_OFFERS = tuple(phrase for phrases in _WORD_LISTS["offers"].values() for phrase in phrases)
ANSWER_END = 400
"""Characters at the end of an answer where questions and offers are looked for."""
FRAGMENT = 3
"""Words of a message that may go on with what was said before, whichever they are: "For ten people?"."""


def is_small_talk(text: str) -> bool:
    """Return True if a message asks for nothing in particular and tells nothing but yes."""
    rest = (word for word in text.split() if not set(tokenize(word)) <= _ASSENT)
    return not informative_words(" ".join(rest))


def assents(text: str) -> bool:
    """Return True if a short message says yes, in any of many languages."""
    tokens = set(tokenize(text))
    return bool(tokens & _ASSENT) and not tokens & NEGATIONS


def stands_alone(text: str) -> bool:
    """Return True if a message can be understood without what was said before it.

    It is more than a fragment, in a language whose words that point back are known, and has none of them.
    """
    tokens = tokenize(text)
    languages = detect_languages(text)
    if len(tokens) <= FRAGMENT or not languages or not _POINTERS.keys() >= set(languages):
        return False
    return not any(_POINTERS[language].intersection(tokens) for language in languages)


def asks_or_offers(answer: str) -> bool:
    """Return True if the end of an agent's answer asks the user something or offers to do something."""
    end = normalize(answer[-ANSWER_END:])
    asks = "?" in end or "\u061f" in end
    return asks or any(re.search(rf"(?<!\w){re.escape(offer)}(?!\w)", end) for offer in _OFFERS)
