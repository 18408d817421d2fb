"""Words of texts in any language, as searches compare them: tokens with weights, common words, and exact terms."""

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from unicodedata import category, digit, name
from unicodedata import normalize as normalize_unicode

import snowballstemmer

T = TypeVar("T")

_WORD_LISTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _load_words(lists: str) -> dict[str, frozenset[str]]:
    return {language: frozenset(words.split()) for language, words in _WORD_LISTS[lists].items()}


_NEGATIONS = _load_words("negations")
NEGATIONS = frozenset(chain(*_NEGATIONS.values()))
"""Words that turn a statement into its opposite, in several languages."""
_FUNCTION_WORDS = {language: words - NEGATIONS for language, words in _load_words("function_words").items()}
FUNCTION_WORDS = frozenset(chain(*_FUNCTION_WORDS.values()))
"""Words that carry no content: articles, pronouns, auxiliaries."""
_SMALL_TALK = _load_words("small_talk")
_PHRASES = _SMALL_TALK.pop("unspaced")
_COMMON_WORDS = {
    language: words | _FUNCTION_WORDS.get(language, frozenset()) | _NEGATIONS.get(language, frozenset())
    for language, words in _SMALL_TALK.items()
}
_LANGUAGES_OF: dict[str, tuple[str, ...]] = {
    word: tuple(language for language, words in _COMMON_WORDS.items() if word in words)
    for word in frozenset(chain(*_COMMON_WORDS.values()))
}
"""The languages in which a word is common."""

MAX_TOKENS = 1000
"""Different tokens of a text at most. Of a longer text, the end cannot be found by its words."""
_MAX_CHARS = 200_000
_SMALL_TALK_WEIGHT = 0.1
"""Weight of a word of small talk in a question, compared with any other word."""
_CODE_WEIGHT = 1.5
"""Weight of a number, id or code: it is hardly ever in a text by chance."""
_CACHED_CHARS = 40
"""Words up to this length are read once and remembered. A text without spaces is one long word."""
_CACHED_WORDS = 50_000
"""Words of texts in one language that are remembered at most."""
_PART_WEIGHT = 0.3
"""Weight of a part of a word: of an identifier, of a Korean compound, a single Chinese character."""

_STEMMERS = {
    "en": "english",
    "de": "german",
    "fr": "french",
    "es": "spanish",
    "it": "italian",
    "nl": "dutch",
    "pt": "portuguese",
    "sv": "swedish",
    "pl": "polish",
    "tr": "turkish",
    "id": "indonesian",
}
"""Snowball's names of the languages in Latin letters that can be detected."""
_SCRIPT_STEMMERS = {
    "CYRILLIC": ("russian", "serbian"),
    "ARABIC": ("arabic", "persian"),
    "DEVANAGARI": ("hindi", "nepali"),
    "GREEK": ("greek",),
    "ARMENIAN": ("armenian",),
    "TAMIL": ("tamil",),
    "HEBREW": ("yiddish",),
}
"""Snowball's names of the languages in other scripts; the first one is assumed, unless the caller says another."""
_NOT_LATIN = frozenset(chain(*_SCRIPT_STEMMERS.values()))
LANGUAGES = frozenset(snowballstemmer.algorithms())
"""The languages whose words can be stemmed."""
_TELLING_LETTERS = {
    "pl": re.compile("[ąćęłńśźż]"),
    "tr": re.compile("[ğş\u0131]"),
    "pt": re.compile("[ãõ]"),
    "es": re.compile("[ñ]"),
    "fr": re.compile("[èêçœ]"),
    "sv": re.compile("[å]"),
    "de": re.compile("[äöüß]"),
}
"""Letters that tell the language of a text that has no common word."""
# Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces between words.
_UNSPACED = re.compile(
    "[\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]+"
)
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_HANGUL = re.compile("[\uac00-\ud7a3]+")
_KANA = re.compile("[\u3040-\u30ff]")
_PARTICLES = re.compile(
    "(?:(?<=..)(?:이|가|도|만|의|나|랑|들|요|로|께|야|아|님|씨)|(?<=.)(?:은|는|을|를|에|와|과|으로|에서|에게|한테|께서|까지|부터|보다|처럼|마다|조차"
    "|밖에|이나|라고|이라고|이랑|하고|에는|에도|에서는|으로는|로는|이는|들이|들은|들을|들의|들에게|입니다|이다|이에요|예요|인가요|인지|이고"
    "|이며|이라|라는|이라는|에서의|으로의|에게서|로부터|으로부터|까지는|부터는|만이|만을|만은|합니다|한다|하는|하면|해요|했다|했습니다|하나요"
    "|하기|하여|해서|된다|됩니다|되는|되었다|되나요|할까요|인데|이었다|였다))$"
)
"""Particles and the commonest endings of Korean words; the short ones only after two syllables."""
_ARABIC_PREFIX = re.compile(
    "^(?:[\u0648\u0641]?(?:\u0628\u0627\u0644|\u0643\u0627\u0644|\u0644\u0644|\u0627\u0644))(?=...)"
)
"""The article "al-", alone or with "and", "so", "with", "like", "for"."""
_ARABIC_PREPOSITION = re.compile("[\u0648\u0641\u0628\u0644\u0643\u0633](?=[\u0621-\u064a]{3})")
"""A letter that may be the word's own or one that is written together with it: "and", "with", "to", "like", "will"."""
_JOINERS = "-_./:@'+#&,"
_SPLIT = re.compile(f"[{re.escape(_JOINERS)}]+")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,']\d{3})+")
_LATIN_LETTERS = str.maketrans({"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "\u0131": "i", "ð": "d", "þ": "th"})


class Token(NamedTuple):
    """A word as searches compare it, or a part of one."""

    text: str
    weight: float
    """Weight in a question, where an ordinary word has 1."""


class _Cache(dict[str, T]):
    """The results of a function of one text. When there are too many, all are forgotten.

    A look-up takes a third of the time that `lru_cache` takes, and a put looks up every word of its texts.
    """

    def __init__(self, function: Callable[[str], T]) -> None:
        self._function = function

    def __missing__(self, text: str) -> T:
        result = self._function(text)
        if len(self) >= _CACHED_WORDS:
            self.clear()
        if len(text) <= _CACHED_CHARS:
            self[text] = result
        return result


def count_tokens(
    text: str, language: str | None = None, convert: Callable[[Token], Any] = itemgetter(0)
) -> Counter[Any]:
    """Return the tokens of a stored text with their numbers, in the order in which they come.

    language: name of the language that most texts are in, as Snowball calls it. Others are detected by their commonest
        words, and the words of a text are stemmed by the rules of both.
    convert: returns what is counted for a token, such as a hash of its text. It is called once a word, not once a text.
    """
    counts = Counter(_read_tokens(text, language, convert))
    return counts if len(counts) <= MAX_TOKENS else Counter(dict(islice(counts.items(), MAX_TOKENS)))


def weigh_tokens(question: str, language: str | None = None) -> dict[str, float]:
    """Return the tokens of a question with their weights, before it is known how rare they are."""
    weights: dict[str, float] = {}
    for token in _read_tokens(question, language, _as_is):
        weights[token.text] = max(token.weight, weights.get(token.text, 0.0))
    return weights


def informative_words(text: str) -> set[str]:
    """Return the words and numbers of a text without those of small talk, in any language.

    Small talk is greetings, thanks, assent, function words, and the commonest words of talking to an assistant. A text
    that consists of them ("thanks, can you try again?") has no informative word, so it asks for nothing in particular.
    """
    return {token for token, weight in weigh_tokens(text).items() if weight > _PART_WEIGHT}


def split_words(text: str) -> list[str]:
    """Return the words of a text, with the codes among them whole, in NFKC and in digits from 0 to 9."""
    spaced = normalize_unicode("NFKC", text).translate(_SPACED)
    return [word for word in (chunk.strip("-_./:@'#&,") for chunk in spaced.split()) if word]


class _Spaced(dict[int, int | str]):
    """Table for `str.translate`: letters, digits and marks as they are, joiners too, anything else a space."""

    def __missing__(self, code: int) -> int | str:
        char = chr(code)
        kind = category(char)
        kept: int | str = code if kind[0] in "LMN" or char in _JOINERS else " "
        if char in "\u2019\u02bc\u2032":
            kept = "'"
        elif char in "\u2010\u2011\u2212":
            kept = "-"
        elif kind == "Nd":
            kept = str(digit(char))
        elif kind == "Cf":
            kept = ""  # soft hyphens, joiners
        self[code] = kept
        return kept


_SPACED = _Spaced()


def split_particle(word: str) -> tuple[str, str]:
    """Return a Korean word without its particle or ending, and that; any other word as it is."""
    stem = _PARTICLES.sub("", word) if _HANGUL.search(word) else word
    return stem, word[len(stem) :]


def detect_languages(text: str) -> tuple[str, ...]:
    """Return the languages that a text may be in, by its commonest words or its letters."""
    return _detect_languages(split_words(text))


def _detect_languages(words: Sequence[str]) -> tuple[str, ...]:
    """Return the languages to which most of the common words of a text belong; several, if they have equally many.

    Without such words, the letters of a language tell it.
    """
    common = filter(None, map(_LANGUAGES_OF.get, map(str.casefold, words)))
    counts = Counter(chain.from_iterable(common))
    if not counts:
        spelled = " ".join(words)
        if spelled.isascii():
            return ()
        return tuple(language for language, letters in _TELLING_LETTERS.items() if letters.search(spelled))[:1]
    most = max(counts.values())
    return tuple(sorted(language for language, count in counts.items() if count == most))


def _as_is(token: Token) -> Token:
    return token


def _read_tokens(text: str, language: str | None, convert: Callable[[Token], T]) -> Iterator[T]:
    """Return the tokens of a text, each converted."""
    words = split_words(text[:_MAX_CHARS])
    cache = _word_cache(language, _detect_languages(words), convert)
    return chain.from_iterable(map(cache.__getitem__, words))


@lru_cache(maxsize=16)
def _word_cache(
    language: str | None, detected: tuple[str, ...], convert: Callable[[Token], T]
) -> _Cache[tuple[T, ...]]:
    """Return the tokens of words by the word, converted, for texts in a language and those detected."""
    return _Cache(lambda word: tuple(map(convert, _read_word(word, language or "english", detected))))


def _read_word(word: str, language: str, detected: tuple[str, ...]) -> Iterable[Token]:
    """Return the tokens of a word without spaces: a word, a code with its parts, or text of a script without spaces."""
    spelled = word.casefold()
    if word.isascii() and word.isalpha() and word[1:].islower():
        return _read_plain(spelled, language, detected)
    parts = [part for part in _SPLIT.split(word) if part]
    camel = len(parts) == 1 and word.isascii() and len(_CAMEL.findall(word)) > 1 and not word.isdigit()
    if len(parts) == 1 and not camel:
        return _read_plain(spelled, language, detected)
    if _NUMBER.fullmatch(word):
        long_parts = [part for part in parts if len(part) > 2 and not _THOUSANDS.fullmatch(word)]
        return [Token(_canonical_number(spelled), _CODE_WEIGHT), *(Token(part, _PART_WEIGHT) for part in long_parts)]
    coded = camel or "_" in word or "@" in word or any(char.isdigit() for char in word)
    return _read_parts(word, parts, coded, language, detected)


def _read_parts(
    word: str, parts: Sequence[str], coded: bool, language: str, detected: tuple[str, ...]
) -> Iterator[Token]:
    """Yield a code, or a word with joiners, as a whole and in its parts."""
    spelled = word.casefold()
    whole = "".join(_SPLIT.split(spelled)) if "." not in spelled else spelled
    if coded:
        yield Token(whole, _CODE_WEIGHT)
    elif "-" in word or "." in word:
        yield Token(whole, _PART_WEIGHT)
    for part in parts:
        for piece in _CAMEL.findall(part) if part.isascii() else [part]:
            for token in _read_plain(piece.casefold(), language, detected):
                if token.text != whole:
                    yield token._replace(weight=token.weight * (_PART_WEIGHT if coded else 1))


def _read_plain(word: str, language: str, detected: tuple[str, ...]) -> Iterable[Token]:
    """Return the tokens of a word without joiners, in lower case."""
    if len(word) == 1 and word.isascii() and word.isalpha():
        return []
    weight = 1.0
    if word in _LANGUAGES_OF or word in NEGATIONS:
        languages = detected or ("en",)
        if any(word in _FUNCTION_WORDS.get(each, ()) for each in languages):
            return []
        if word in NEGATIONS or any(word in _COMMON_WORDS[each] for each in languages):
            weight = _SMALL_TALK_WEIGHT
    if word.isascii():
        return _read_stems(word, weight, language, detected) if word.isalpha() else [Token(word, _CODE_WEIGHT)]
    if _UNSPACED.search(word):
        return _read_unspaced(word)
    if _HANGUL.search(word):
        return _read_korean(word, weight)
    return _read_stems(word, weight, language, detected)


def _read_stems(word: str, weight: float, language: str, detected: tuple[str, ...]) -> Iterable[Token]:
    """Return the different stems of a word in the languages that it may be in."""
    stemmers = _latin_stemmers(language, detected) if word.isascii() else _stemmers(word, language, detected)
    stems = {_stem(word, stemmer) for stemmer in stemmers} or {word}
    if not word.isascii() and _ARABIC_PREPOSITION.match(word):
        stems.add(_stem(word[1:], "arabic"))
    return [Token(stem, weight / len(stems)) for stem in sorted(stems)]


def _canonical_number(number: str) -> str:
    return re.sub("[.,']", "", number) if _THOUSANDS.fullmatch(number) else number.replace(",", ".")


@lru_cache
def _latin_stemmers(language: str, detected: tuple[str, ...]) -> frozenset[str]:
    given = "english" if language in _NOT_LATIN else language
    return frozenset({given, *(_STEMMERS[each] for each in detected if each in _STEMMERS)})


def _stemmers(word: str, language: str, detected: tuple[str, ...]) -> Iterable[str]:
    """Return the stemmers for a word: that of its script, or those of the given and the detected languages."""
    script = _script_of(word)
    if script == "LATIN":
        return _latin_stemmers(language, detected)
    known = _SCRIPT_STEMMERS.get(script, ())
    return {language} if language in known else set(known[:1])


def _script_of(word: str) -> str:
    return next((name(char, "").partition(" ")[0] for char in word if char.isalpha()), "")


def _stem(word: str, language: str) -> str:
    """Return the stem of a word without accents."""
    if language == "arabic":
        return _stem_arabic(word)
    stem: str = get_stemmer(language).stemWord(word)
    if stem.isascii() or language == "hindi":
        return stem
    plain = "".join(char for char in normalize_unicode("NFD", stem) if category(char) != "Mn")
    return plain.translate(_LATIN_LETTERS)


def _stem_arabic(word: str) -> str:
    """Return the stem of a noun, with or without its article: Snowball cuts the endings only after the article."""
    stem: str = get_stemmer("arabic").stemWord("\u0627\u0644" + _ARABIC_PREFIX.sub("", word))
    stem = stem.removeprefix("\u0627\u0644").removesuffix("\u0629")
    return stem.removesuffix("\u0627") if len(stem) > 3 else stem


@lru_cache
def get_stemmer(language: str) -> Any:
    """Return the Snowball stemmer of a language; it is made once."""
    stemmer = snowballstemmer.stemmer(language)
    # Callers remember the stems of words. A second memory costs three times the stemming itself.
    stemmer.maxCacheSize = 0
    return stemmer


def _read_korean(word: str, weight: float) -> Iterator[Token]:
    """Yield a Korean word without its particles, and the pairs of syllables of a longer one, for compounds."""
    stem, _ = split_particle(word)
    yield Token(stem, weight)
    pairs = _pairs(word) if len(word) > 2 else []
    yield from (Token(pair, weight * _PART_WEIGHT) for pair in pairs if pair != stem)


def _read_unspaced(word: str) -> Iterator[Token]:
    """Yield the overlapping pairs of characters in scripts without spaces, and single Chinese characters."""
    end = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > end:
            yield Token(word[end : run.start()], 1.0)
        yield from _read_run(run.group())
        end = run.end()
    if end < len(word):
        yield Token(word[end:], 1.0)


def _read_run(run: str) -> Iterator[Token]:
    chars = _clusters(run)
    common = _common_places(chars)
    if len(chars) == 1:
        yield Token(chars[0], _SMALL_TALK_WEIGHT if common else 1.0)
        return
    for place, pair in enumerate(_pairs(chars)):
        weight = _SMALL_TALK_WEIGHT if place in common and place + 1 in common else 1.0
        yield Token(pair, _PART_WEIGHT if weight == 1 and (place in common or place + 1 in common) else weight)
    for place, char in enumerate(chars):
        if _HAN.match(char):
            yield Token(char, _SMALL_TALK_WEIGHT * _PART_WEIGHT if place in common else _PART_WEIGHT)


def _clusters(run: str) -> list[str]:
    """Return the characters of a text, each with its marks."""
    clusters: list[str] = []
    for char in run:
        if clusters and category(char)[0] == "M":
            clusters[-1] += char
        else:
            clusters.append(char)
    return clusters


def _common_places(chars: Sequence[str]) -> set[int]:
    """Return the places of a run of characters that phrases of small talk cover."""
    starts, at = {}, 0
    for place, char in enumerate(chars):
        for offset in range(len(char)):
            starts[at + offset] = place
        at += len(char)
    return {starts[at] for phrase in _COMMON_PHRASES.finditer("".join(chars)) for at in range(*phrase.span())}


def _pairs(chars: Sequence[str]) -> list[str]:
    return ["".join(chars[at : at + 2]) for at in range(len(chars) - 1)]


_COMMON_PHRASES = re.compile("|".join(sorted(map(re.escape, _PHRASES), key=len, reverse=True)))


def exact_terms(question: str) -> set[str]:
    """Return the names, numbers and codes of a question, in lower case.

    A name is told by a capital within a sentence. In German every noun has one, so there only words of capitals count.
    A number of one or two digits names nothing by itself: many texts have it by chance.
    """
    words = split_words(question)
    german = _detect_languages(words) == ("de",)
    terms = set()
    for place, word in enumerate(words):
        coded = any(char.isdigit() or char in "_@" for char in word) or any(char.isupper() for char in word[1:])
        named = word[0].isupper() and place > 0 and not german
        plain = word.removesuffix("'s").casefold()
        least = 1 if coded and not plain.isdigit() else 3
        if (coded or named) and plain not in _LANGUAGES_OF and len(plain) >= least:
            terms.add(plain)
    return terms


def find_terms(text: str, terms: Iterable[str]) -> set[str]:
    """Return the terms that stand in a text as a whole, in any case."""
    plain = normalize_unicode("NFKC", text).casefold()
    return {term for term in terms if re.search(rf"(?<!\w){re.escape(term)}(?![\w])", plain)}
