"""Parts of a message: what its writer says, and what they only pass on, such as a mail, a quotation or a document."""

import re
import tomllib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from langgraph_learning.core.documents import CODE_FENCE, FIRST_PERSON, compile_group, find_document
from langgraph_learning.core.permissions import without_permissions
from langgraph_learning.core.similarity.support import find_forgettings
from langgraph_learning.core.text import SENTENCE_END, content_words, tokenize
from langgraph_learning.core.words import detect_languages

MAX_TYPED_CHARS = 2_000
"""Characters of a message above which its long paragraphs count as a document: hardly anybody types so much."""
MAX_TYPED_PARAGRAPH = 400
"""Characters of a paragraph that may be typed in a message with a document."""
FRAME_LINES = 2
"""Lines at the start and at the end of a message in which somebody speaks about the text between them."""
MAX_TERM_WORDS = 3
"""Words between quotation marks inside a sentence that are a name or a term rather than a quotation."""

_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


class MessageParts(NamedTuple):
    """The words of a message by whose they are."""

    own: str
    foreign: str


class _Mark(NamedTuple):
    """A marked part of a message, such as the text between quotation marks."""

    start: int
    end: int
    text: str


@lru_cache(maxsize=200)  # each message of a turn is looked at many times
def split_message(message: str) -> MessageParts:
    """Return what the writer of a message says themself, and what they pass on.

    Mails with headers, forwarded messages, chat logs and documents are passed on. A text in quotation marks, in a
    code fence or in lines that start with `>` is the writer's own if they give it as their own, such as a rule, and
    passed on if they ask for something about it, say who wrote it, or say nothing about it. What follows a request
    such as "translate this:" is passed on, marked or not.
    """
    own, foreign = _cut_structured(message.replace("\r\n", "\n"))
    own, quoted = _cut_marked(own)
    own, requested = _cut_requested(own)
    return MessageParts(own.strip(), "\n".join(part for part in (*foreign, *quoted, *requested) if part.strip()))


def find_claims(text: str) -> str:
    """Return the sentences of a text that state something: no questions, and no errands such as "look into this"."""
    sentences = [sentence.strip() for sentence in SENTENCE_END.split(text)]
    claims = [_claim_in_errand(sentence) if _is_errand(sentence) else sentence for sentence in sentences]
    return "\n".join(filter(None, claims))


def _claim_in_errand(sentence: str) -> str:
    """Return what somebody says for themself in an errand: "tell him that we close at three"."""
    found = _REPORTED_CLAIM.search(sentence)
    return found[1] if found and FIRST_PERSON.search(found[1]) else ""


def is_off_record(text: str) -> bool:
    """Return True if a message asks not to be remembered.

    In a long message, which counts as a document, its writer says so at the beginning or the end.
    """
    text = without_permissions(text)
    sentences = SENTENCE_END.split(text.strip()) if len(text) > MAX_TYPED_CHARS else [""]
    return any(_OFF_RECORD.search(part) for part in (split_message(text).own, sentences[0], sentences[-1]))


def is_confidential(text: str) -> bool:
    """Return True if the writer of a message says that it is between them and the agent."""
    return bool(_CONFIDENCE.search(split_message(without_permissions(text)).own))


def _is_errand(sentence: str) -> bool:
    if sentence.endswith(("?", "？")) and not _TAG_QUESTION.search(sentence):
        return True
    if _RULE.search(sentence):  # "answer every ticket in the customer's language"
        return False
    if _UNSPACED_ERRAND.search(sentence):
        return True
    # A word of one language is a name in another, as Lee and Mira.
    sentence = _INTERJECTION.sub("", sentence.lstrip("-*• "))
    languages = detect_languages(sentence)
    patterns = [_ERRANDS[language] for language in languages or _ERRANDS if language in _ERRANDS]
    return any(pattern.match(sentence) for pattern in patterns)


_REQUEST = compile_group(_WORDS["requests"])
_REPORT = compile_group(_WORDS["reports"])
_DOUBT = compile_group(_WORDS["doubts"])
_POINTERS = {language: compile_group({language: words}) for language, words in _WORDS["pointers"].items()}
_ASSERTION = compile_group(_WORDS["assertions"])
_ERRANDS = {language: compile_group({language: words}) for language, words in _WORDS["errands"].items()}
_INTERJECTION = re.compile(
    r"(?:look|listen|see|say|well|schau|hör|hör zu|écoute|mira|oye|guarda|senti|kijk|luister)\s*,\s+", re.I
)
_UNSPACED_ERRAND = re.compile(
    "(?:読んで|見て|調べて|確認して|教えて|探して|開いて|続けて|か(?=[。？?\\s]*$)|ありがとう|읽어|확인해|알려|찾아|열어|계속|고마|吗|呢|嗎)[^。！\\n]{0,8}$"
)
_RULE = compile_group(_WORDS["rules"])
_REPORTED_CLAIM = re.compile(rf"(?i)^[^?？]*?\b(?:{'|'.join(_WORDS['reported_claims'].values())})\s+([^?？]+)$")
_TAG_QUESTION = re.compile(
    r"[,–-] ?(?:ok(?:ay)?|right|yes|no|oder|ja|gell|ne|non|no|sí|vero|toch|né|да)\s?[?？]$", re.IGNORECASE
)
_THANKS = compile_group(_WORDS["thanks"])
_OFF_RECORD = compile_group(_WORDS["off_record"])
_CONFIDENCE = compile_group(_WORDS["confidence"])
_HEADER = {
    name: re.compile(rf"^[ \t>*_]*(?:{words})[*_]*\s?[:：]", re.IGNORECASE | re.MULTILINE)
    for name, words in _WORDS["headers"].items()
}
_HEADERS_IN_LINE = re.compile(
    rf"(?<!\w)(?:{_WORDS['headers']['from']})\s?[:：][^\n]*?(?:@|(?<!\w)(?:{_WORDS['headers']['other']})\s?[:：])",
    re.IGNORECASE,
)
_LINE_APART = re.compile(r"[^\n]*\n[ \t]*\n\s*\S")
_ATTACHMENT = re.compile(
    r"(?si)^[ \t]*\[(?:attachment|attached|file|document|anhang|datei|pièce jointe|adjunto|allegato)\b[^\]\n]*\].*"
)
_FORWARD = re.compile(
    rf"^[ \t>*_]*(?:{_WORDS['forwards']['lines'].strip().replace(chr(10), '')})[ \t*_]*$", re.IGNORECASE | re.MULTILINE
)
_TAGGED = re.compile(
    r"(?si)<(document|doc|attachment|file|e?-?mail|article|page|context|quote|blockquote|message|transcript|ticket|data)\b"
    r"[^>]*>.*?(?:</\1>|\Z)"
)
_CHAT_LINE = re.compile(
    r"^[ \t]*(?:\[?\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?: ?[ap]m)?\]?|\[\d[^\]\n]{4,30}\])[ \t,-]+[^\n:]{1,40}:.*$",
    re.IGNORECASE | re.MULTILINE,
)
_FENCE = re.compile(rf"\"{{3}}.*?(?:\"{{3}}|\Z)|'{{3}}.*?(?:'{{3}}|\Z)|{CODE_FENCE}", re.DOTALL)
_QUOTED_LINES = re.compile(r"(?:^[ \t]*[>＞](?!=)[^\n]*(?:\n|\Z))+", re.MULTILINE)
# A quotation mark after a digit means inches, and opens nothing. What is opened and not closed is no quotation.
_QUOTATION = re.compile(
    r"(?s)(?<![\d\w])\"(?=\S)[^\"]{2,}?\"(?!\w)"
    r"|“[^”“]{2,}?[”“]|„[^“”„]{2,}?[“”]|«[^»]{2,}?»|»[^«]{2,}?«|「[^」]{2,}?」|『[^』]{2,}?』|《[^》]{2,}?》|‹[^›]{2,}?›"
    r"|(?<!\w)['‘‚](?=\S)[^'’‘\n]{6,}?(?:(?<=\w)['’](?=\w)[^'’‘\n]*?)*['’‘](?!\w)"
)


def _cut_structured(message: str) -> tuple[str, list[str]]:
    """Cut off what is another's by its form alone: mails, forwards, chat logs and documents."""
    foreign = []
    starts = [found.start() for found in (_FORWARD.search(message), _HEADERS_IN_LINE.search(message)) if found]
    starts += [start for find in (_find_mail, find_document) if (start := find(message)) is not None]
    own = message
    if starts:
        own, rest = message[: min(starts)], message[min(starts) :]
        if not own.strip():
            own, rest = _cut_wishes(rest)
        foreign.append(rest)
    own, tagged = _cut_pattern(own, _TAGGED)
    own, attached = _cut_pattern(own, _ATTACHMENT)
    tagged += attached
    chat = _CHAT_LINE.findall(own)
    if len(chat) > 1:
        own = _CHAT_LINE.sub("", own)
        tagged += chat
    own, document = _cut_document(own)
    return own, [*foreign, *tagged, *document]


def _cut_wishes(text: str) -> tuple[str, str]:
    """Cut off the lines around a document that ask to forget, above it, or not to remember, above or below it."""
    lines = text.strip().splitlines()
    first, last = lines[0], lines[-1]
    asked = [first] if _OFF_RECORD.search(first) or find_forgettings(first) else []
    asked += [last] if len(lines) > 1 and _OFF_RECORD.search(last) else []
    return "\n".join(asked), "\n".join(line for line in lines if line not in asked)


def _cut_pattern(text: str, pattern: re.Pattern[str]) -> tuple[str, list[str]]:
    return pattern.sub(" ", text), [found.group() for found in pattern.finditer(text)]


def _find_mail(message: str) -> int | None:
    """Return where the headers of a mail start: a sender and a subject or date, or a sender with an address."""
    for found in _HEADER["from"].finditer(message):
        header = "\n".join(message[found.start() :].splitlines()[:8])
        has_address = "@" in header.splitlines()[0]
        if has_address or _HEADER["other"].search(header):
            before = _HEADER["other"].search(message[: found.start()])
            return min(found.start(), before.start()) if before else found.start()
    first = _HEADER["other"].search(message)
    is_first = first is not None and not message[: first.start()].strip()
    if first and is_first and _LINE_APART.match(message[first.start() :].lstrip()):
        return first.start()  # a subject, an empty line, and the rest of the mail
    if first and _HEADER["to"].search(message[first.start() :]) and "@" in message[first.start() :]:
        return first.start()
    return None


def _cut_document(text: str) -> tuple[str, list[str]]:
    """Cut the long paragraphs out of a text that is too long to have been typed."""
    if len(text) <= MAX_TYPED_CHARS:
        return text, []
    paragraphs = re.split(r"\n\s*\n", text)
    typed = [paragraph for paragraph in (paragraphs[0], paragraphs[-1]) if len(paragraph) <= MAX_TYPED_PARAGRAPH]
    return "\n\n".join(typed), [text]


def _cut_marked(text: str) -> tuple[str, list[str]]:
    """Cut out the marked parts that are another's; those that the writer gives as their own stay."""
    foreign, kept, end = [], [], 0
    marks = list(_find_marks(text))
    frame = _without(text, marks)
    for mark in marks:
        kept.append(text[end : mark.start])
        end = mark.end
        if _is_own(text, mark, frame):
            kept.append(mark.text)
        else:
            foreign.append(mark.text)
            kept.append(" ")
    return "".join((*kept, text[end:])), foreign


def _find_marks(text: str) -> Iterator[_Mark]:
    """Yield the marked parts of a text, in order: fences first, then quoted lines, then quotation marks elsewhere."""
    marks: list[_Mark] = []
    for pattern in (_FENCE, _QUOTED_LINES, _QUOTATION):
        for found in pattern.finditer(text):
            if not any(mark.start < found.end() and found.start() < mark.end for mark in marks):
                marks.append(_Mark(found.start(), found.end(), found.group()))
    yield from sorted(marks)


def _without(text: str, marks: list[_Mark]) -> str:
    end, kept = 0, []
    for mark in marks:
        kept.append(text[end : mark.start])
        end = mark.end
    return " ".join((*kept, text[end:]))


def _is_own(text: str, mark: _Mark, frame: str) -> bool:
    """Return True if the writer gives a marked part as their own.

    The sentence that introduces it decides; if that says nothing, all that is around the marked parts.
    """
    lead = _lead_of(text, mark.start)
    tail = SENTENCE_END.split(text[mark.end :].lstrip(" ,"))[0]
    if tail.rstrip().endswith(("?", "？")):
        return False
    is_term = len(tokenize(mark.text)) <= MAX_TERM_WORDS and "\n" not in mark.text
    if is_term and _RULE.search(lead):  # "Always translate …"
        return True
    is_in_sentence = bool(lead.strip()) or (tail[:1].islower() and text[mark.end : mark.end + 1] == " ")
    for words in (lead, f"{lead} {tail}", frame):
        if is_term and is_in_sentence and words is frame:  # what is said elsewhere says nothing about a term
            return True
        if _REQUEST.search(words) or _REPORT.search(words) or (words and _find_pointer(f"{words}\n{mark.text}")):
            return False
        if _ASSERTION.search(words):
            return True
    introduces = lead.rstrip().endswith((":", "："))
    return introduces and len(tokenize(lead)) > len(content_words([lead]))


def _lead_of(text: str, start: int) -> str:
    """Return the sentence before a marked part, up to that part."""
    sentences = [part for part in SENTENCE_END.split(text[:start]) if part.strip()]
    return sentences[-1] if sentences else ""


def _cut_requested(text: str) -> tuple[str, list[str]]:
    """Cut off the text that a request is about: what follows its colon or stands in other paragraphs."""
    if doubt := _DOUBT.search(text):
        return text[: doubt.end()], [text[doubt.end() :]]
    request = _find_request(text) or _find_introduction(text) or _find_pointer(text)
    if request is None:
        return _cut_beside_question(text)
    line_start = text.rfind("\n", 0, request.start()) + 1
    line_end = text.find("\n", request.end())
    line_end = len(text) if line_end < 0 else line_end
    line = text[line_start:line_end]
    colon = re.search(r"[:：](?=\s*\S)|[:：]\s*$", line[request.end() - line_start :])
    before, after = text[:line_start], text[line_end:]
    if before.rstrip().endswith((":", "：")):  # it introduces what was cut out already
        return text, []
    if colon:
        end = request.end() + colon.end()
        return text[line_start:end], [before, text[end:]]
    return line, [before, after]


def _find_request(text: str) -> re.Match[str] | None:
    """Return the words that ask for something to be done with a text: at its edge, and in no thanks and no rule."""
    for found in _REQUEST.finditer(text):
        sentence = _lead_of(text, found.end())
        is_meant = not (_THANKS.match(sentence.strip()) or _RULE.search(sentence))
        if is_meant and _is_at_edge(text, found.start()):
            return found
    return None


def _is_at_edge(text: str, position: int) -> bool:
    """Return True for a place in the first or the last lines: what is said about a text stands beside it."""
    lines_before, lines_after = (
        sum(bool(line.strip()) for line in part.splitlines()[:-1])
        for part in (text[: position + 1], text[position:][::-1])
    )
    return min(lines_before, lines_after) < FRAME_LINES


def _cut_beside_question(text: str) -> tuple[str, list[str]]:
    """Cut off what stands beside a question in a line of its own, unless somebody speaks for themself there."""
    lines = [line for line in text.splitlines() if line.strip()]
    for asked in (lines[0], lines[-1]) if len(lines) > 1 else ():
        rest = "\n".join(line for line in lines if line is not asked)
        if (
            asked.rstrip().endswith(("?", "\uff1f"))
            and _is_errand(asked.strip())
            and not FIRST_PERSON.search(rest)
            and find_claims(rest)
        ):
            return asked, [rest]
    return text, []


def _find_introduction(text: str) -> re.Match[str] | None:
    """Return the words that introduce another's text before a colon: "I got this mail:", "The letter reads: …"."""
    first = text.split("\n", 1)[0]
    colon = re.search("[:\uff1a](?=\\s|$)", first)
    if not colon or not text[colon.end() :].strip():
        return None
    sentence = _lead_of(first, colon.end())
    found = _REPORT.search(first, colon.end() - len(sentence), colon.end())
    return found if found and not _ASSERTION.search(sentence) else None


def _find_pointer(text: str) -> re.Match[str] | None:
    """Return the words that point at a text beside their line, as in "How do I respond to that?" or "Rate this:"."""
    matches = ((found, language) for language, words in _POINTERS.items() for found in words.finditer(text))
    for found, language in sorted(matches, key=lambda match: match[0].start()):
        start = text.rfind("\n", 0, found.start()) + 1
        line, _, after = text[start:].partition("\n")
        rest = line[found.end() - start :]
        colon = re.search("[:\uff1a](?=\\s|$)", rest)
        lead = line[: found.end() - start + colon.start()] if colon else line
        languages = detect_languages(lead)
        if languages and language not in languages:  # "dies" points at something in German, not in English
            continue
        if _ASSERTION.search(lead) or _RULE.search(lead) or find_forgettings(lead):
            continue
        is_line_of_list = bool(text[:start].strip()) and not text[:start].endswith("\n\n")
        is_subject = (
            not text[start : found.start()].strip() and len(lead.split()) > MAX_TERM_WORDS
        )  # "this goes into …:"
        if colon and (is_line_of_list or is_subject):
            continue
        is_beside = bool(text[:start].strip() or after.strip())
        is_followed = bool(colon and rest[colon.end() :].strip())
        if is_followed or (is_beside and (colon or line.rstrip().endswith(("?", "\uff1f")))):
            return found
    return None
