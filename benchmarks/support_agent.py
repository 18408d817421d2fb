"""Scripted models of the support desk: the agent, the extraction model and the judge, who know only what they read."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks.product import MANUAL, Advice, advice_in, problem_in

NOTED = "Thank you, I take note of that."
PASSED_ON = "I know of no fix, so I pass this on to the second level."

_DATE = re.compile(r"\((\d{4}-\d{2}-\d{2})")
_SAID = re.compile(r"^\[(\d+)\] user [^:]+: (.*)$", re.MULTILINE)
_KNOWN = re.compile(r"^(k\d+): \S+ · (.*)$", re.MULTILINE)
_PAIR = re.compile(r"^\[(\d+)\] (.*)\n    (.*)$", re.MULTILINE)


def answer(said: str, shown: str) -> str:
    """Return the agent's answer to a message: from its context, or else from the manual.

    Of hints that disagree it believes the latest by date, and of the same date the first one in the context.
    """
    problem = problem_in(said)
    if problem is None or any(advice_in(said)):
        return NOTED
    dated = sorted(shown.splitlines(), key=_date, reverse=True)
    known = (advice for line in (*dated, *MANUAL.splitlines()) for advice in advice_in(line))
    fix = next((advice.fix for advice in known if advice.problem == problem), None)
    return f"Please {fix}." if fix else PASSED_ON


def edits(prompt: str, correcting: bool = True) -> list[dict[str, Any]]:
    """Return the edits that the extraction model finds in the conversation of a prompt.

    An edit replaces a known learning that it contradicts, unless the model cannot tell: `correcting=False`.
    """
    known = [(key, advice) for key, text in _KNOWN.findall(prompt) for advice in advice_in(text)]
    found = ((int(number), advice) for number, said in _SAID.findall(prompt) for advice in advice_in(said))
    return [edit for number, advice in found for edit in _edits_for(number, advice, known, correcting)]


def opinions(prompt: str) -> list[dict[str, Any]]:
    """Return the judge's opinions on the pairs of a prompt."""
    pairs = ((int(number), [*advice_in(one), *advice_in(other)]) for number, one, other in _PAIR.findall(prompt))
    return [{"pair": number, "opinion": _opinion(*pair)} for number, pair in pairs]


def _opinion(one: Advice, other: Advice) -> str:
    if one.problem != other.problem:
        return "different"
    return "same" if one.fix == other.fix else "contradiction"


def _edits_for(
    number: int, advice: Advice, known: Iterable[tuple[str, Advice]], correcting: bool
) -> Iterator[dict[str, Any]]:
    same = [(key, other.fix) for key, other in known if other.problem == advice.problem]
    wrong = [key for key, fix in same if fix != advice.fix] if correcting else []
    if all(fix != advice.fix for _, fix in same):
        yield _insight(advice, number, wrong.pop(0) if wrong else None)
    yield from ({"edit": "forget", "replaces": key, "message": number} for key in wrong)


def _insight(advice: Advice, number: int, replaces: str | None) -> dict[str, Any]:
    return {
        "edit": "insight",
        "category": "pattern",
        "title": advice.said.removeprefix("For ").partition(" on ")[0].capitalize(),
        "insight": advice.said,
        "when_to_apply": None,
        "replaces": replaces,
        "message": number,
    }


def _date(line: str) -> str:
    """Return the date in a line, or an empty text."""
    found = _DATE.search(line)
    return found[1] if found else ""
