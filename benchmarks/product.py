"""Vocabulary of the support world: symptoms, environments and fixes of a product, and sentences about them.

Everybody in that world uses this language, in tickets and in answers. Which fix is right is not defined here.
"""

import re
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

SYMPTOMS = {
    "sync": ("sync timeouts", "a nightly sync that times out", "synchronisation hanging until it times out"),
    "login": ("login loops", "a login page that keeps coming back", "users sent back to the login page"),
    "export": ("empty exports", "export files without rows", "an export that comes out empty"),
    "search": ("slow searches", "searches taking half a minute", "a search box that crawls"),
    "invoice": ("double invoices", "customers being invoiced twice", "the same invoice sent two times"),
    "alert": ("missing alerts", "alerts that never arrive", "no alert although the limit was passed"),
    "import": ("failed imports", "an import that stops half way", "import jobs breaking off"),
    "webhook": ("broken webhooks", "webhooks that are not delivered", "webhook calls getting lost"),
    "text": ("garbled umlauts", "special characters turning into question marks", "texts with broken characters"),
    "file": ("lost attachments", "attachments that cannot be opened", "attached files gone missing"),
}
"""Symptoms by name, each with the phrases that people use for it."""

HOSTED = "the hosted edition"
"""The environment that the manual covers."""
ENVIRONMENTS = (HOSTED, "Postgres 14", "Postgres 16", "MySQL 8", "Oracle 19")

FIXES = (
    "rotate the service token",
    "restart the worker",
    "clear the session cache",
    "rebuild the index",
    "raise the pool size",
    "switch to the native driver",
    "set the time zone to UTC",
    "turn off compression",
    "renew the certificate",
    "lower the batch size",
    "run the schema repair",
    "reset the queue",
    "open the callback port",
    "set the encoding to UTF-8",
    "move the files to the new bucket",
    "grant the reader role again",
    "delete the stale lock",
    "pin the connector to version 3",
    "turn on retries",
    "shorten the polling interval",
)

MANUAL = "\n".join(
    f"For {wordings[0]} on {HOSTED}, {fix}." for wordings, fix in zip(SYMPTOMS.values(), FIXES, strict=False)
)
"""The fixes that the agent knows from the first day."""


class Problem(NamedTuple):
    """The symptom of a ticket and its environment."""

    symptom: str
    environment: str

    def describe(self, chance: Random) -> str:
        """Return the problem in one of the phrases for its symptom."""
        return f"{chance.choice(SYMPTOMS[self.symptom])} on {self.environment}"


class Advice(NamedTuple):
    """A fix for a problem, as somebody said it."""

    problem: Problem
    fix: str
    said: str
    """The sentence."""


PROBLEMS = tuple(Problem(symptom, environment) for symptom in SYMPTOMS for environment in ENVIRONMENTS)
_WORDINGS = {wording: symptom for symptom, wordings in SYMPTOMS.items() for wording in wordings}
_PROBLEM = re.compile(f"({'|'.join(_WORDINGS)}) on ({'|'.join(ENVIRONMENTS)})")
_ADVICE = re.compile(rf"For {_PROBLEM.pattern}, ({'|'.join(FIXES)})")
_FIX = re.compile(f"Please ({'|'.join(FIXES)})")


def problem_in(text: str) -> Problem | None:
    """Return the first problem in a text, if there is one."""
    found = _PROBLEM.search(text)
    return Problem(_WORDINGS[found[1]], found[2]) if found else None


def advice_in(text: str) -> Iterator[Advice]:
    """Yield all advice in a text, in order."""
    for found in _ADVICE.finditer(text):
        yield Advice(Problem(_WORDINGS[found[1]], found[2]), found[3], f"{found[0]}.")


def fix_in(answer: str) -> str | None:
    """Return the fix that an answer recommends, if there is one."""
    found = _FIX.search(answer)
    return found[1] if found else None
