"""A second voice in other words."""

import re

import pytest
from langchain_core.messages import BaseMessage
from langgraph.store.memory import InMemoryStore
from people import echo, edit, edits, machine, said, thread

from langgraph_learning import LearnedKnowledge, LearningContext, Scope
from langgraph_learning.core.policy import Sharing

# What one user said, what another says in other words, and what sounds alike and is something else.
VOICES = [
    ("Deploys are frozen on Fridays", "nobody ships on a Friday here", "we deploy on Fridays too"),
    (
        "Invoices above 500 € need two signatures",
        "an invoice over 500 euros has to be signed by two people",
        "an invoice over 800 euros has to be signed by two people",
    ),
    (
        "The staging server restarts every night at 3",
        "at 3 each night staging reboots",
        "at 4 each night staging reboots",
    ),
    (
        "Refunds need a phone call first",
        "you must ring the customer before any refund, a phone call is a must",
        "refunds don't need a phone call",
    ),
    (
        "Use the blue template for offers",
        "our offers go out in the blue template",
        "our offers go out in the red template",
    ),
    ("Backups are kept for 30 days", "we hold on to backups for thirty days", "we hold on to backups for sixty days"),
    (
        "Ask Karin before changing the billing service",
        "billing changes go through Karin",
        "billing changes go through Dirk",
    ),
    ("The warehouse in Lyon closes at 18:00", "Lyon's warehouse shuts at 18:00", "Turin's warehouse shuts at 18:00"),
    (
        "Never store passwords in tickets",
        "passwords must never be put into tickets",
        "passwords may be stored in tickets",
    ),
    ("Rechnungen gehen am 25. raus", "am 25. verschicken wir die Rechnungen", "am 15. verschicken wir die Rechnungen"),
    (
        "Der Drucker im zweiten Stock ist nur für Verträge",
        "Verträge druckt man auf dem Drucker im zweiten Stock, sonst nichts",
        "Der Drucker im zweiten Stock ist nicht für Verträge",
    ),
    ("Tests run on Postgres 17", "the test suite uses Postgres 17", "the test suite uses Postgres 16"),
    (
        "Customers in Austria pay no shipping",
        "shipping is free for Austria, they pay no shipping",
        "Customers in Switzerland pay no shipping",
    ),
    (
        "The API limit is 100 requests per minute",
        "you get at most 100 requests a minute from the API",
        "you get at most 1000 requests a minute from the API",
    ),
    (
        "Release notes are written in English",
        "we write the release notes in English",
        "we write the release notes in German",
    ),
    ("Pull requests need two reviews", "every pull request gets two reviewers", "every pull request gets one reviewer"),
    ("Holiday requests go to Meier", "send your holiday request to Meier", "send your holiday request to Schulz"),
    (
        "The cache expires after 5 minutes",
        "cache entries live for five minutes",
        "cache entries live for fifty minutes",
    ),
    ("Vendors must sign an NDA", "no vendor starts without a signed NDA", "vendors need not sign an NDA"),
    (
        "Support answers within 4 hours",
        "we promise an answer from support in four hours",
        "we promise an answer from support in eight hours",
    ),
    ("我们周五不部署", "周五我们从来不部署", "周五我们也部署"),
    ("请求书每月25日结算", "每个月25日结算请求书", "每个月15日结算请求书"),
    (
        "Monitors may cost at most 400 euros",
        "four hundred euros is the cap for monitors",
        "five hundred euros is the cap for monitors",
    ),
    ("Les factures partent le lundi", "on envoie les factures le lundi", "on envoie les factures le mardi"),
    ("Use tabs for indentation", "we indent with tabs", "we do not indent with tabs"),
    (
        "Log levels are set in config.yaml",
        "config.yaml is where log levels are set",
        "settings.toml is where log levels are set",
    ),
    (
        "New hires get a laptop on day one",
        "on day one every new hire receives a laptop",
        "on day two every new hire receives a laptop",
    ),
    ("The freight company is Torvald", "we ship freight with Torvald", "we ship freight with Globex"),
    (
        "Demo data is deleted every Sunday",
        "each Sunday the demo data gets wiped",
        "each Monday the demo data gets wiped",
    ),
    (
        "Do not reply to Initech before legal has read the mail",
        "legal reads the mail before anybody replies to Initech",
        "legal reads the mail before anybody replies to Umbrella",
    ),
]
MISSED = 3
"""Of the thirty, in other words: turned from a prohibition into an order, or the reverse."""


def insight(text: str):
    return edit("insight", category="insight", title="Rule", insight=text, when_to_apply=None)


def is_shared(first: str, second: str) -> bool:
    """Whether a statement reaches the team after two voices, if the extraction repeats what waits for the second."""

    def extract(shown: list[BaseMessage]):
        waiting = re.search(r"insight · Rule: (.*) \(said by others\)", shown[-1].text)
        return edits(insight(waiting[1] if waiting else first))

    store = LearnedKnowledge(scope=Scope.TEAM, sharing=Sharing.after(2))
    learning = machine(extract, [store], store=InMemoryStore())
    agent = learning.wrap(echo())
    for user, text in (("kim", first), ("lee", second)):
        agent.invoke(said(text), thread(user), context=LearningContext(user_id=user, team_ids=("acme",)))
    return bool(learning.learnings(LearningContext(user_id="pat", team_ids=("acme",))))


def test_a_second_voice_counts_in_other_words():
    """The extraction is shown what waits, and code compares it with what the second user says."""
    lost = [row for row in VOICES if not is_shared(*row[:2])]

    assert len(lost) <= MISSED


@pytest.mark.parametrize(("first", "other"), [(first, other) for first, _, other in VOICES])
def test_what_sounds_alike_does_not_count(first: str, other: str):
    """Another number, another name or a negation is another statement, whatever the extraction says."""
    assert not is_shared(first, other)


def test_thanks_are_no_voice():
    """A message must have something to do with the statement."""
    assert not is_shared("Backups are kept for 30 days", "thanks, go on")
