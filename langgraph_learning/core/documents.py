"""Documents: texts that by their form were copied into a message, such as letters, chats, pages, forms and logs.

Each trait of copied texts counts for a document, and each trait of typed ones against it. Nearly all of them are traits
of the form, so that they hold in any language. No single one decides, and from a limit on there is a document.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from langgraph_learning.core.text import has_no_boundaries, tokenize
from langgraph_learning.core.words import detect_languages

LIMIT = 2.5
"""Sum of the weights of its traits from which a message has a document in it."""
MAX_LABEL = 40
"""Characters of a speaker's name, of a label, and of a line under a letter."""
MAX_TITLE = 70
"""Characters of a title."""
MAX_REMARK_WORDS = 6
"""Words of a remark beside a text that was copied."""
FEWEST_LINES = 3
"""Lines in which a writer speaks for themself once, and speakers of which a transcript repeats one."""

_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
_STOPS = tuple(".!?…。！？")
_MARKS = (*_STOPS, *",;:、，；：")


class _Line(NamedTuple):
    """A line that is not empty."""

    start: int
    text: str
    is_apart: bool
    """Whether an empty line is before it."""

    @property
    def is_sentence(self) -> bool:
        return self.text.endswith(_STOPS) and (len(self.text.split()) > 3 or self.text[0] > "\u0590")  # no "Ltd."

    @property
    def is_item(self) -> bool:
        return bool(_ITEM.match(self.text))

    @property
    def is_title(self) -> bool:
        return len(self.text) <= MAX_TITLE and not (
            self.text[0].islower() or self.text.endswith(_MARKS) or self.is_item
        )

    @property
    def is_name(self) -> bool:
        """Whether it is short and no part of a sentence, as names, roles, firms and addresses are."""
        is_other = self.text[0].islower() or self.is_item or self.is_sentence or _COLUMNS.search(self.text)
        return len(self.text) <= MAX_LABEL and not is_other


class _Message(NamedTuple):
    text: str
    lines: list[_Line]


_Find = Callable[[_Message], int | None]
"""Returns where a message has a trait; None if it does not have it."""


class _Trait(NamedTuple):
    weight: float
    why: str
    """What it tells."""
    find: _Find


def find_document(text: str) -> int | None:
    """Return where a document starts in a message, with the paragraph around it; None if there is none."""
    # Somebody who marks code has their own reasons for its form.
    message = _read(_FENCE.sub(lambda fence: "x" * len(fence.group()), text))
    if len(message.lines) < 2 and (_find_program(message) == 0 or _SHORT_LETTER.fullmatch(text.strip())):
        return 0
    traits = _TRAITS if len(message.lines) > 1 else _TRAITS_IN_A_LINE
    found = [(start, trait.weight) for trait in traits if (start := trait.find(message)) is not None]
    if sum(weight for _, weight in found) < LIMIT:
        return None
    return _find_paragraph(text, min(start for start, weight in found if weight > 0))


def speaks_for_themself(text: str) -> bool:
    """Return True if somebody says "I" or "we" in a text, or asks to remember it."""
    # "Mon" is a weekday in English, and "my" in French.
    languages = [language for language in detect_languages(text) if language in _FIRST_PERSONS] or ["en"]
    has_first_person = any(_FIRST_PERSONS[language].search(text) for language in (*languages, "unspaced"))
    return has_first_person or bool(_MEMO.search(text))


def compile_group(group: Mapping[str, str]) -> re.Pattern[str]:
    """Return the pattern of a group of words; where a script has no spaces, words have no boundaries."""
    parts = []
    for words in group.values():
        pattern = words.replace("\n", "")
        # "Such- und Filterfunktion" does not begin with the verb.
        parts.append(pattern if has_no_boundaries(pattern) else rf"(?<!\w)(?:{pattern})(?!\w|-\s|-\w)")
    return re.compile("|".join(parts), re.IGNORECASE)


def _read(text: str) -> _Message:
    return _Message(text, [line for line in _read_lines(text) if not _VALUE.fullmatch(line.text)])


def _read_lines(text: str) -> Iterator[_Line]:
    start, is_apart = 0, False
    for line in text.splitlines(keepends=True):
        if words := line.strip():
            yield _Line(start, words, is_apart)
        is_apart = not words
        start += len(line)


def _any_of(group: str) -> str:
    return "|".join(words.replace("\n", "") for words in _WORDS[group].values())


FIRST_PERSON = compile_group(_WORDS["first_person"])
_FIRST_PERSONS = {language: compile_group({language: words}) for language, words in _WORDS["first_person"].items()}
_MEMO = compile_group(_WORDS["memos"])
_MEMO_TITLE = re.compile(rf"(?:{_any_of('memo_titles')})(?!\w)", re.IGNORECASE)
_TITLE = re.compile(rf"[#*_ \t]*(?:{_any_of('titles')})(?:[:\uff1a]|[*_ \t])*$", re.IGNORECASE)
_GREETING_OF_NOBODY = re.compile(rf"(?:{_any_of('greetings_of_nobody')})[,.!]?", re.IGNORECASE)
_GREETING = re.compile(rf"(?:{_any_of('greetings')})[^\n.?!]{{0,50}}[,!:]?$", re.IGNORECASE)
_CLOSING = re.compile(rf"(?:{_any_of('closings')})\b[^\n]{{0,60}}$", re.IGNORECASE)
_AGE = re.compile(rf"(?:{_any_of('ages')})\W*$", re.IGNORECASE)
_SHORT_LETTER = re.compile(
    rf"(?i:(?:{_any_of('greetings')})[^\n.?!,:]{{0,40}}[,!:]) .+[.!?] (?:[^\W\d_]+,? ){{0,3}}(?-i:[A-ZÀ-ÞА-Я])[\w.]+"
)
"""A letter in a single line: it greets somebody by name, and the name of its writer is its end."""
CODE_FENCE = r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)"
"""Regular expression of marked code, in which a dot is any character."""
_FENCE = re.compile(CODE_FENCE, re.DOTALL)
_ITEM = re.compile(r"(?:[-*+>•▸●◦–]|\(?\d{1,2}[.)]|\[[ x]\])\s+\S", re.IGNORECASE)
_COLUMNS = re.compile(r"\S(?: {3,}|\t+)\S|[^\W\d_]  +\d")
_CAPITALS = re.compile(r"[^\W\d_]{4,}")
_TITLE_IN_CAPITALS = re.compile(r"(?:[^\W\d_a-zß-öø-ÿа-яё\u0590-\uffff]{3,}\W+){2}")
"""At least two words in capitals, at the start."""
_VALUE = re.compile(r"[^\W\d]+[:\uff1a]\s*[\d:.,%/-]+\W*")
"""A line that only gives a value, such as "From: 9:00"."""
_NAME = rf"[^\W\d_a-zß-öø-ÿ][^\n:\uff1a,.!?()]{{0,{MAX_LABEL}}}?"
_LABEL = re.compile(
    rf"^[ \t>*_-]*([^\W\d_a-zß-öø-ÿ][^\n:\uff1a.!?]{{0,{MAX_LABEL}}}?)[*_]*[ \t]?[:\uff1a][*_ \t]+(\S[^\n]*)", re.M
)
_SPEAKER = re.compile(rf"^[ \t]*(?P<name>{_NAME})(?:,? \(?\d{{1,2}}[:.]\d{{2}}\)?)?[:\uff1a][ \t]*(?=\S)", re.M)
_ANSWER = re.compile(rf"^[ \t]*{_NAME}[:\uff1a] [^\n]*[?\uff1f][ \t]*\n\s*{_NAME}[:\uff1a] \S", re.M)
"""Somebody's question, and somebody's answer."""
_CLOCK = r"\[?\d{1,2}[:.]\d{2}(?:[:.]\d{2})?\]?(?: ?[ap]\.?m\.?)?"
_NAME_AND_TIME = re.compile(rf"^[ \t]*[^\W\d_][^\n:]{{1,{MAX_LABEL}}}?,? +{_CLOCK}[ \t]*$", re.M | re.I)
_NAME_ALONE = re.compile(r"^[ \t]*([^\W\d_][\w.-]*(?: [\w.-]+){0,2})[ \t]*$", re.M)
_PROGRAMS = "|".join(
    (
        r"</?(?:div|p|span|html|body|table|t[rdh]|ul|ol|li|h[1-6]|section|article|br)\b[^>\n]*>",
        r"^traceback \(most recent call last\)|^\s+at [\w.$]+\(|^\w*(?:error|exception): \S",
        r"^commit [0-9a-f]{7,40}",
        r"^\s*v?\d+\.\d+(?:\.\d+)*(?: \(?\d[^\n.!?]*)?$",  # a version
        r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|^\d{1,2}:\d{2}(?::\d{2})?[,.]?\d* --> ",  # logs, captions of a film
        r"^\$ \w|^(?:GET|POST|PUT|DELETE|PATCH) /",
        r"^[ \t]*(?:[-*] )?\[[ x]\] |^[ \t]*\|.*\|[ \t]*$",
        r"^[ \t]*[{\[][\"'{\[].*[}\]][ \t]*$|^\s*/\*\*",
        r"^(?:insert into|create table|update \w+ set|delete from|select [^\n]+ from) ",
        r"^[\w-]+:[ \t]*\n[ \t]+[\w-]+:[ \t]+\S",  # settings
    )
)


_SENT_AUTOMATICALLY = "automat|автомат|自動|自动|자동|unsubscribe|no-?reply"
_BYLINE = r"(?<=[.!?…\"”»]) [—–] ?(?-i:[A-ZÀ-ÞА-Я])[^\n]{1,60}(?<![.!?])\Z"
_SAID = r"[,!?][\"”»“] (?-i:[a-zß-ÿа-я]+ [A-ZÀ-ÞА-Я])"
_REST = re.compile(r"(?<=\w[.!?。！？])\s+((?:\S+ ){1,5}\S*[^\W_])\Z")
_JOINED_WITHOUT_A_SPACE = r"[^\W\d_]{2}[.!?](?-i:[A-ZÀ-ÞА-Я][a-zß-ÿа-я])"
_NEXT_SENTENCE = re.compile(r"[^\W\d_][.!?][\"”»]? +[\"“«„]?([^\W\d_])")
"""The first letter of a sentence after another."""
_STRETCH = re.compile(r"[^.,;:!?()\"“”\n]+")


def _matches(pattern: str, fewest: int = 1) -> _Find:
    """Return what finds a pattern that is in a message at least some times."""
    compiled = re.compile(pattern, re.MULTILINE | re.IGNORECASE)

    def find(message: _Message) -> int | None:
        found = [match.start() for match in compiled.finditer(message.text)]
        return found[0] if len(found) >= fewest else None

    return find


def _find_turns(message: _Message) -> int | None:
    text = message.text
    speakers = list(_SPEAKER.finditer(text))
    names = Counter(found["name"].casefold() for found in speakers)
    if len(speakers) >= FEWEST_LINES and max(names.values()) > 1:
        return speakers[0].start()
    if answer := _ANSWER.search(text):
        return answer.start()
    timed = list(_NAME_AND_TIME.finditer(text))
    if len(timed) > 1:
        return timed[0].start()
    alone = list(_NAME_ALONE.finditer(text))
    lines = Counter(found[1].casefold() for found in alone)
    repeated = [found.start() for found in alone if lines[found[1].casefold()] > 1]
    return repeated[0] if repeated and len(alone) >= FEWEST_LINES else None


def _find_salutation(message: _Message) -> int | None:
    for line in message.lines[:4]:
        if _GREETING_OF_NOBODY.fullmatch(line.text) or _CLOSING.match(line.text):
            continue
        is_greeting = bool(_GREETING.match(line.text)) and len(line.text.split()) > 1
        ends_in_comma = line.text.endswith((",", "，")) and not line.text[0].islower()
        if is_greeting or (ends_in_comma and len(line.text) <= MAX_LABEL):
            return line.start
    return None


def _find_greeting_of_nobody(message: _Message) -> int | None:
    return 0 if _GREETING_OF_NOBODY.fullmatch(message.lines[0].text) else None


def _find_closing(message: _Message) -> int | None:
    closing = next((line.start for line in message.lines[1:] if _CLOSING.match(line.text)), None)
    # Whatever a greeting tells, it is a part of the letter.
    return closing if closing is None or _find_greeting_of_nobody(message) is None else 0


def _find_names(message: _Message) -> int | None:
    lines = message.lines
    first = _count_lines_above_names(lines)
    is_under = first > 0 and (lines[first - 1].is_sentence or len(lines[first - 1].text) > MAX_LABEL)
    return lines[first].start if is_under and first < len(lines) else None


def _find_full_names(message: _Message) -> int | None:
    name = message.lines[-1].text
    return _find_names(message) if len(name.split()) > 1 and not _CLOSING.match(name) else None


def _count_lines_above_names(lines: list[_Line]) -> int:
    count = len(lines)
    while count > 0 and lines[count - 1].is_name:
        count -= 1
    return count


def _find_title(message: _Message) -> int | None:
    first, second = message.lines[:2]
    if first.is_title:
        return first.start
    is_under = second.is_apart and (first.is_sentence or _is_remark(first))
    return second.start if is_under and second.is_title else None


def _find_type(message: _Message) -> int | None:
    first, second = message.lines[:2]
    return next((line.start for line in (first, second) if _TITLE.match(line.text)), None)


def _find_headings(message: _Message) -> int | None:
    pairs = pairwise(message.lines)
    headings = [line.start for line, after in pairs if line.is_title and (after.is_item or line.is_apart)]
    return headings[0] if len(headings) > 1 else None


def _find_capitals(message: _Message) -> int | None:
    capitals = (line.start for line in message.lines if line.text.isupper() and _CAPITALS.search(line.text))
    return 0 if _TITLE_IN_CAPITALS.match(message.lines[0].text) else next(capitals, None)


def _find_form(fewest: int) -> _Find:
    """Return what finds at least so many labels with values that are no sentences."""

    def find(message: _Message) -> int | None:
        fields = [found for line in message.lines if (found := _LABEL.match(line.text))]
        labels = {field[1].casefold() for field in fields if not field[2].endswith(_STOPS)}
        return message.text.find(fields[0][0]) if len(labels) >= fewest else None

    return find


def _find_bare_form(message: _Message) -> int | None:
    start = _find_form(FEWEST_LINES)(message)
    if start is None:
        return None
    return None if speaks_for_themself(message.text[_find_paragraph(message.text, start) :]) else start


def _find_paragraph(text: str, position: int) -> int:
    """Return where the paragraph of a place starts."""
    return max(text.rfind("\n\n", 0, position + 2), 0)


def _find_age(message: _Message) -> int | None:
    return next((line.start for line in message.lines if len(line.text) <= MAX_TITLE and _AGE.search(line.text)), None)


def _find_reply(message: _Message) -> int | None:
    is_reply = message.lines[0].text.startswith(">") and not message.lines[-1].text.startswith(">")
    return 0 if is_reply else None


def _is_remark(line: _Line) -> bool:
    """Return True for a few words without the form of a sentence, or a short question."""
    is_short = len(line.text) <= MAX_LABEL and len(tokenize(line.text)) <= MAX_REMARK_WORDS
    is_loose = line.text[0].islower() or not line.text[0].isalpha() or line.text[0] > "\u0590"
    return is_short and (line.text.endswith(("?", "？")) or (is_loose and not line.text.endswith(_MARKS)))


def _find_remark(message: _Message) -> int | None:
    first, second = message.lines[:2]
    is_other = second.is_apart or (first.text[0].islower() and not (second.text[0].islower() or second.is_item))
    return second.start if _is_remark(first) and is_other and _is_long(message, second) else None


def _is_long(message: _Message, line: _Line) -> bool:
    """Return True if more follows from a line on than a title has."""
    return len(message.text) - line.start > MAX_TITLE


def _find_last_remark(message: _Message) -> int | None:
    before, last = message.lines[-2:]
    is_other = not (before.text[0].islower() or last.is_item)
    return last.start if _is_remark(last) and is_other else None


def _find_nobody(message: _Message) -> int | None:
    first, second = message.lines[:2]
    is_set_apart = second.is_apart and _is_remark(first) and _is_long(message, second)
    start = second.start if is_set_apart else 0
    is_enough = start > 0 or len(message.lines) >= FEWEST_LINES
    return start if is_enough and not speaks_for_themself(message.text[start:]) else None


def _find_small_letters(message: _Message) -> int | None:
    small = [line for line in message.lines if line.text.lstrip("-*+•0123456789.() ")[:1].islower()]
    return 0 if len(small) * 3 > len(message.lines) * 2 else None


def _find_introduction(message: _Message) -> int | None:
    first = message.lines[0].text
    is_introduction = first.endswith((":", "\uff1a")) and len(first.split()) > 1
    return 0 if is_introduction and not _GREETING.match(first) and not re.match(_PROGRAMS, first, re.I) else None


def _find_own_introduction(message: _Message) -> int | None:
    return _find_introduction(message) if speaks_for_themself(message.lines[0].text) else None


def _find_memo(message: _Message) -> int | None:
    return 0 if _MEMO_TITLE.match(message.lines[0].text) else None


def _find_joined_lines(message: _Message) -> int | None:
    """Return where capitals follow small letters or numbers without a stop, as titles and labels in a row do."""
    for stretch in _STRETCH.findall(message.text):
        words = stretch.split()
        joints = [second for first, second in pairwise(words) if second.istitle() and not first[0].isupper()]
        is_joined = len(joints) >= FEWEST_LINES or (joints and sum(map(str.istitle, words)) > MAX_REMARK_WORDS)
        if is_joined and "de" not in detect_languages(message.text):  # its nouns have capitals
            return message.text.find(stretch)
    return None


def _find_rest(message: _Message) -> int | None:
    """Return where words with capitals stand behind several sentences, without a stop."""
    found = _REST.search(message.text)
    if not found or message.text[0].islower() or len(_NEXT_SENTENCE.findall(message.text)) < FEWEST_LINES - 1:
        return None
    return found.start(1) if sum(word[0].isupper() for word in found[1].split()) > 1 else None


def _find_cut_start(message: _Message) -> int | None:
    if message.text.startswith(("…", "...")):
        return 0
    beginnings = _NEXT_SENTENCE.findall(message.text)
    is_cut = message.text[0].islower() and len(beginnings) >= FEWEST_LINES
    return 0 if is_cut and not any(map(str.islower, beginnings)) else None


def _find_nobody_in_a_line(message: _Message) -> int | None:
    is_enough = len(_NEXT_SENTENCE.findall(message.text)) > FEWEST_LINES
    return 0 if is_enough and not speaks_for_themself(message.text) else None


_find_program = _matches(_PROGRAMS)
_TRAITS_OF_LOST_FORM = (
    _Trait(
        2.5, "Where line breaks were lost, a sentence follows without a space.", _matches(_JOINED_WITHOUT_A_SPACE, 2)
    ),
    _Trait(1.5, "Where they were lost, titles and labels stand within sentences.", _find_joined_lines),
    _Trait(1.5, "Buttons and names stand at its end without a stop.", _find_rest),
    _Trait(1, "It is cut out of a text if it alone begins in small letters.", _find_cut_start),
    _Trait(1, "A report names the speaker behind what was said.", _matches(_SAID)),
)
"""Traits of a text without the form of its page."""
_TRAITS = (
    *_TRAITS_OF_LOST_FORM,
    _Trait(4, "Programs write markup, errors, commits, logs, queries and settings.", _find_program),
    _Trait(4, "In a chat or a transcript names return, before a colon, with a time or alone in a line.", _find_turns),
    _Trait(3, "A blank to be filled in belongs to a form.", _matches(r"_{5,}|\.{6,}")),
    _Trait(2.5, "Whoever is named after a dash wrote it.", _matches(r"\n[ \t]*[—–] ?\S[^\n]{1,60}\s*\Z")),
    _Trait(2, "A letter greets somebody in a line of its own.", _find_salutation),
    _Trait(2, "A letter ends with regards.", _find_closing),
    _Trait(1, "A name, a role, a firm or a footer stands under a text.", _find_names),
    _Trait(1, "Who types leaves it at a first name.", _find_full_names),
    _Trait(1, "A form has labels with values that are no sentences.", _find_form(2)),
    _Trait(1, "It has several of them, and nobody speaks for themself in it.", _find_bare_form),
    _Trait(
        2.5,
        "A contract or a manual numbers its sections in levels.",
        _matches(r"^[ \t]*(?:\d+(?:\.\d+)+\.? (?-i:[^\Wa-z\d_])|§|(?:article|artikel|art\.|top) ?\d)", 2),
    ),
    _Trait(2, "It numbers its paragraphs in brackets.", _matches(r"^[ \t]*\(\d\) ", 2)),
    _Trait(
        2,
        "Columns are copied: nobody types several spaces within a line.",
        _matches(_COLUMNS.pattern),
    ),
    _Trait(1, "Several lines have them.", _matches(r"\S(?: {3,}|\t+)\S[^\n]*$", 2)),
    _Trait(1.5, "Pages part what stands in one line by signs.", _matches(r"\S [|·•●»›▸/>] \S")),
    _Trait(1.5, "No keyboard has signs such as stars and triangles.", _matches("[★☆▸▲▼●✓✔©®§¶▪◦➤•·»›]|\ufe0f|[→↑]$")),
    _Trait(1.5, "Hardly anybody types markup of a text.", _matches(r"\*\*\w|^#{2,6} \S|^[_-]{3,}$|^\w[^\n]*\n={3,}$")),
    _Trait(1.5, "A copied text says what it is.", _find_type),
    _Trait(1, "A title stands alone in the first line.", _find_title),
    _Trait(1.5, "Headings stand over lists and paragraphs.", _find_headings),
    _Trait(1.5, "Notices and programs are written in capitals.", _find_capitals),
    _Trait(
        1.5,
        "Lines with a time of day are records.",
        _matches(rf"^[^\n]{{0,{MAX_LABEL}}}\b\d{{1,2}}[:.]\d\d\b[^\n]*$", 2),
    ),
    _Trait(
        1,
        "A date with its year is a record.",
        _matches(
            r"\b\d{1,2}(?:[./-]| ?\w+[ ,.]+| )(?:19|20)\d\d\b"
            r"|\b\w{3,9} (?:\d{1,2}, )?(?:19|20)\d\d$|\b(?:19|20)\d\d[-/]\d"
        ),
    ),
    _Trait(
        1,
        "Cases, orders and products have numbers.",
        _matches(r"(?:#|№|nº|号|\b(?:nr|no|num|ref)\b\.?)[ :]*\d{2,}|\b[A-Z]{2,}-\d+|^\[[^\]\n]+\]"),
    ),
    _Trait(
        1.5,
        "What is sent automatically says so; links and addresses are copied.",
        _matches(rf"{_SENT_AUTOMATICALLY}|https?://|www\.|@\w+\.\w|^@\w|\w @\w"),
    ),
    _Trait(1.5, "Pages say how long ago something was written.", _find_age),
    _Trait(1.5, "Pages count their readers.", _matches(r"^\W*\d+ (?:\w+ )?\w+(?:\W+\d+ \w+)*\W*\Z")),
    _Trait(1, "Under what was quoted somebody answered.", _find_reply),
    _Trait(1.5, "A remark of a few words stands over something that is set apart.", _find_remark),
    _Trait(1, "A remark of a few words stands under something.", _find_last_remark),
    _Trait(1.5, "In so many lines a writer speaks for themself once.", _find_nobody),
    _Trait(-1, "Who types to the agent greets nobody by name.", _find_greeting_of_nobody),
    _Trait(-1, "Who types begins lines with small letters.", _find_small_letters),
    _Trait(-1.5, "Who types introduces what follows.", _find_introduction),
    _Trait(-1, "They introduce it as their own.", _find_own_introduction),
    _Trait(-1.5, "Who types a memo says so.", _find_memo),
)
_TRAITS_IN_A_LINE = (
    *_TRAITS_OF_LOST_FORM,
    _Trait(2.5, "Whoever is named after a dash wrote it.", _matches(_BYLINE)),
    _Trait(1.5, "What is sent automatically says so.", _matches(_SENT_AUTOMATICALLY)),
    _Trait(1, "In so many sentences a writer speaks for themself once.", _find_nobody_in_a_line),
)
"""Traits of a text in a single line, as a page becomes when its form is lost.

The weights of all traits are set by hand: two of an average weight are enough, and a light one never is. On a set that
neither had seen, the weights of a logistic regression did no better: ten were decided wrongly, by hand eight.
"""
