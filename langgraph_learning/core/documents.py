"""Documents: texts that by their form were copied into a message, such as tickets, minutes, chats, letters and logs."""

import re
import tomllib
from collections import Counter
from pathlib import Path

FEWEST_TURNS = 3
"""Lines with a speaker that make a transcript, if one of the speakers has several of them."""
MAX_LABEL = 40
"""Characters of a speaker's name, and of a line that is nothing but a name."""

_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def find_document(text: str) -> int | None:
    """Return where a document starts in a message, with the paragraph around it; None if there is none."""
    starts = [start for form in _FORMS if (start := form(text)) is not None]
    if not starts:
        return None
    return max(text.rfind("\n\n", 0, min(starts) + 2), 0)


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE | re.MULTILINE)


def _any_of(group: str) -> str:
    return "|".join(words.replace("\n", "") for words in _WORDS[group].values())


_COLON = "[:\uff1a]"
_FIELD = _compile(rf"^[ \t>*_-]*({_any_of('fields')})[*_]*[ \t]?{_COLON}")
_TITLE = _compile(rf"(?:\A\s*|\n[ \t]*\n)[#*_ \t]*(?:{_any_of('titles')})(?:{_COLON}|[*_ \t])*$(?=\s*\S)")
_GREETING = _compile(rf"^[ \t]*(?:{_any_of('greetings')})[^\n.?!]{{0,50}}[,!:]?[ \t]*$")
_CLOSING = _compile(rf"^[ \t]*(?:{_any_of('closings')})\b[^\n]{{0,60}}(?=\n\s*\S)")
_SIGNATURE = _compile(rf"^[ \t]*(?:(?:{_any_of('senders')})[.!]?|[\u2014\u2013] ?\S[^\n]{{1,60}})\s*\Z")
_INTERFACE = _compile(rf"(?<!\w)(?:{_any_of('interfaces')})(?!\w)|(?<!\w)[★☆]{{2,}}")
_SPEAKER = re.compile(
    rf"^[ \t]*(?P<name>[^\W\d_a-zß-öø-ÿ][^\n:\uff1a,.!?()]{{0,{MAX_LABEL}}}?)"
    rf"(?:,? \(?\d{{1,2}}[:.]\d{{2}}\)?)?{_COLON}[ \t]*(?=\S)",
    re.MULTILINE,
)
_NAME_AND_TIME = re.compile(
    rf"^[ \t]*[^\W\d_][^\n:,]{{1,{MAX_LABEL}}},? +\[?\d{{1,2}}[:.]\d{{2}}\]?[ \t]*$", re.MULTILINE
)
_NAME_ALONE = re.compile(r"^[ \t]*([^\W\d_][\w.-]*(?: [\w.-]+){0,2})[ \t]*$", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6} +\S", re.MULTILINE)
_MARKUP = _compile(
    "|".join(
        (
            r"</?(?:div|p|span|html|body|table|t[rdh]|ul|ol|li|h[1-6]|section|article|br)\b[^>\n]*>",
            r"^traceback \(most recent call last\)|^\s+at [\w.$]+\(|^\w*(?:error|exception): \S",
            r"^commit [0-9a-f]{7,40}$",
            r"\A\s*v?\d+\.\d+(?:\.\d+)*(?: [^\n.!?]*)?\n\s*[-*•]",  # a version, and what is new in it
            r"^\d{1,2}:\d{2}(?::\d{2})?[,.]?\d* --> ",  # captions of a film
            r"^\$ \w",
            r"^[ \t]*(?:[-*] )?\[[ x]\] ",
            r"^[ \t]*\|.*\|[ \t]*$",
            r"^[ \t]*[{\[][\"'{\[].*[}\]][ \t]*$",
            r"^(?:insert into|create table|update \w+ set|delete from|select [^\n]+ from) ",
            r"^[\w-]+:[ \t]*\n[ \t]+[\w-]+:[ \t]+\S",  # settings
            r"^\w[\w ]*(?: [>\u203a»] \w[\w ]*){2,}$",  # where a page is in a site
        )
    )
)


def _find_markup(text: str) -> int | None:
    """Find what programs and pages write: markup, errors, commits, versions, settings, the words of a page."""
    found = _MARKUP.search(text) or _INTERFACE.search(text)
    return found.start() if found else None


def _find_title(text: str) -> int | None:
    found = _TITLE.search(text)
    return found.start() if found else None


def _find_fields(text: str) -> int | None:
    """Find a form: two different labels of a ticket, minutes, an invitation or an interview."""
    found = list(_FIELD.finditer(text))
    is_form = len({field[1].casefold() for field in found}) > 1
    return found[0].start() if is_form else None


def _find_headings(text: str) -> int | None:
    found = list(_HEADING.finditer(text))
    return found[0].start() if len(found) > 1 else None


def _find_turns(text: str) -> int | None:
    """Find a transcript or a chat: speakers before a colon, a time or alone in a line, one of them repeatedly."""
    speakers = list(_SPEAKER.finditer(text))
    names = Counter(found["name"].casefold() for found in speakers)
    if len(speakers) >= FEWEST_TURNS and max(names.values()) > 1:
        return speakers[0].start()
    timed = list(_NAME_AND_TIME.finditer(text))
    if len(timed) > 1:
        return timed[0].start()
    alone = list(_NAME_ALONE.finditer(text))
    lines = Counter(found[1].casefold() for found in alone)
    repeated = [found.start() for found in alone if lines[found[1].casefold()] > 1]
    return repeated[0] if repeated and len(alone) >= FEWEST_TURNS else None


def _find_letter(text: str) -> int | None:
    """Find a letter, greeted by name or by title, and what is signed by a team or after a dash."""
    greeting = _GREETING.search(text)
    if greeting and _CLOSING.search(text, greeting.end()):
        return greeting.start()
    signature = _SIGNATURE.search(text)
    return 0 if signature and text[: signature.start()].strip() else None


_FORMS = (_find_markup, _find_title, _find_fields, _find_headings, _find_turns, _find_letter)
