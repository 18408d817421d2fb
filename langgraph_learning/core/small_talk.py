"""Small talk: messages that ask for nothing or say nothing new, assent to what an agent asked, and answers that ask."""

import re
import tomllib
from collections.abc import Sequence
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
MAX_PLEASANTRY_CHARS = 200
"""Characters of a message up to which it may be a pleasantry."""
LONGEST_PHRASE = 6
"""Words of the longest pleasantry."""
CORRECTED_LETTERS = 6
"""Letters of a word from which two of them may have been exchanged: "thnaks"."""
_BETWEEN_WORDS = re.compile(r"[\s.,!…。、;:~()\"*-]+")
_SKIN_TONES = re.compile("[\u200d\ufe0f\U0001f3fb-\U0001f3ff]")
_LONG_RUN = re.compile(r"(\w)\1{2,}")
_QUESTION_MARKS = "?\uff1f\u061f\u037e"
_PROPOSALS = {language: frozenset(words.split("|")) for language, words in _WORD_LISTS["proposals"].items()}
_KNOWN_WORDS = frozenset(
    word
    for group in ("pleasantries", "agreements")
    for words in _WORD_LISTS[group].values()
    for word in re.findall(r"[^\W\d_]+", words)
)


class _Phrases:
    """Phrases of some groups: those of words with spaces between them, and those of scripts without and of signs."""

    def __init__(self, *groups: str) -> None:
        words = [(language, phrases) for group in groups for language, phrases in _WORD_LISTS[group].items()]
        unspaced = ("unspaced", "signs")
        self._spaced = re.compile("|".join(phrases for language, phrases in words if language not in unspaced))
        self._unspaced = re.compile("|".join(phrases for language, phrases in words if language in unspaced))

    def make_up(self, text: str) -> bool:
        """Return True if a normalized text consists of such phrases."""
        words = [word for word in _BETWEEN_WORDS.split(self._unspaced.sub(" ", text)) if word]
        return self._match([_correct(word) for word in words])

    def _match(self, words: Sequence[str]) -> bool:
        ends = {0}
        for start in range(len(words)):
            if start in ends:
                stops = range(start + 1, min(start + LONGEST_PHRASE, len(words)) + 1)
                ends |= {stop for stop in stops if self._spaced.fullmatch(" ".join(words[start:stop]))}
        return len(words) in ends


def _correct(word: str) -> str:
    """Return the pleasant word that was meant by one with letters exchanged or repeated; else the word."""
    if word in _KNOWN_WORDS:
        return word
    shortened = _LONG_RUN.sub(r"\1", word)
    exchanged = (
        word[:place] + word[place + 1] + word[place] + word[place + 2 :]
        for place in range(len(word) - 1)
        if len(word) >= CORRECTED_LETTERS
    )
    return next((meant for meant in (shortened, *exchanged) if meant in _KNOWN_WORDS), word)


_PLEASANTRIES = _Phrases("pleasantries", "fillers")
_CLOSINGS = _Phrases("pleasantries", "agreements", "fillers")
_FILLERS = _Phrases("fillers")
_TELL = frozenset(_WORD_LISTS["tell"]["words"].split())
_ABOUT_USER = re.compile(
    "|".join(
        words if language == "unspaced" else rf"(?<!\w)(?:{words})(?!\w)"
        for language, words in _WORD_LISTS["about_user"].items()
    )
)


def says_nothing(text: str) -> bool:
    """Return True if a message only greets, thanks, praises, laughs, says goodbye, agrees or has understood."""
    plain = _spell_plainly(text)
    if not text.strip() or len(text) > MAX_PLEASANTRY_CHARS or any(mark in text for mark in _QUESTION_MARKS):
        return False
    fills_only = any(char.isalnum() for char in plain) and _FILLERS.make_up(plain)
    return _CLOSINGS.make_up(plain) and not fills_only


def only_agrees(text: str) -> bool:
    """Return True if a message that says nothing else agrees with what was said before it, or has understood it."""
    return says_nothing(text) and not _PLEASANTRIES.make_up(_spell_plainly(text))


def _spell_plainly(text: str) -> str:
    return _SKIN_TONES.sub("", normalize(text[: MAX_PLEASANTRY_CHARS + 1])).strip(" .,!\u2026-")


def proposes(answer: str) -> bool:
    """Return True if an agent's answer may propose something with which a user can agree.

    It may if its language is unknown, but for a few words such as "Done."
    """
    tokens, languages = set(re.findall(r"[\w']+", normalize(answer))), detect_languages(answer)
    if len(tokenize(answer)) <= FRAGMENT:
        languages = tuple(_PROPOSALS)
    elif not languages or not _PROPOSALS.keys() >= set(languages):
        return True
    return any(tokens & _PROPOSALS[language] for language in languages) or asks_or_offers(answer)


def is_small_talk(text: str) -> bool:
    """Return True if a message asks for nothing in particular and tells nothing but yes."""
    rest = (word for word in text.split() if not set(tokenize(word)) <= _ASSENT)
    return not informative_words(" ".join(rest))


def asks_about_user(text: str) -> bool:
    """Return True if a message asks what is known about the user, and for nothing else."""
    plain = normalize(text[: MAX_PLEASANTRY_CHARS + 1])
    rest, questions = _ABOUT_USER.subn(" ", plain)
    words = (word for word in re.findall(r"\w+", rest) if word not in _TELL)
    return bool(questions) and is_small_talk(" ".join(words))


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
