"""Whether a text says a statement in other words."""

from datetime import date

import pytest
from pairs import IN_OTHER_WORDS, Pair
from similar_statements import NEAR_MISSES

from langgraph_learning.core.similarity.agreement import agrees, find_disagreement

TODAY = date(2026, 11, 28)
MISSED = 12
"""Of the 409 voices; mostly an order in which the words of a language stand that no rule knows."""
KNOWN_FALSE = {
    "commit messages use the past tense",
    "our own people service the pumps",
    "trained staff and visitors operate the crane",
    "night porters can ask for a master key",
    "broken bikes are repaired for free during the first year",
    "all rooms save the attic have been painted",
    "Rita would like to edit the newsletter",
    "we exchange theatre tickets",
    "the crew cleans the stage",
}
"""Near misses that are taken for the same."""


def test_other_words_say_the_same():
    """In many languages: inflected, turned around, negated twice, with numbers in words and days by their complement."""
    lost = [pair for pair in IN_OTHER_WORDS if not agrees(pair.voice, pair.statement, TODAY)]

    assert len(lost) <= MISSED


@pytest.mark.parametrize("pair", IN_OTHER_WORDS, ids=lambda pair: pair.other)
def test_a_near_miss_is_another_statement(pair: Pair):
    """Another number, unit, limit, day, name, order or role, a negation, or another word in the same place."""
    assert agrees(pair.other, pair.statement, TODAY) is (pair.other in KNOWN_FALSE)


def test_statements_that_curation_keeps_apart_are_mostly_kept_apart_here():
    """Where a text has many other words, fewer rules apply."""
    wrong = [(first, second) for first, second in NEAR_MISSES if agrees(second, first, TODAY)]

    assert len(wrong) <= 4


@pytest.mark.parametrize("pair", IN_OTHER_WORDS, ids=lambda pair: pair.statement)
def test_a_statement_agrees_with_itself(pair: Pair):
    assert agrees(pair.statement, pair.statement, TODAY)


@pytest.mark.parametrize(
    ("text", "statement", "difference"),
    [
        ("tokens live for 15 hours", "Tokens live for 15 minutes", "number"),
        ("we release on Tuesdays", "We release on Mondays", "day"),
        ("ask Dirk about billing changes", "Ask Karin about billing changes", "name"),
        ("at most two people are on call", "At least two people are on call", "limit"),
        ("passwords may be put into tickets", "Never put passwords into tickets", "negation"),
        ("offers go out in the red template", "Offers go out in the blue template", "opposite"),
        ("run the tests after the release", "Run the tests before the release", "order"),
        ("refunds need a call if they are over budget", "Refunds need a call", "condition"),
        ("refunds need a call", "Refunds need a call once the goods are back", "condition"),
        ("all shops but the airport take cards", "All shops take cards", "exception"),
        ("only managers see the budget", "Managers see the budget", "exception"),
        ("you may wear a badge", "You must wear a badge", "mood"),
        ("perhaps the shop closes in winter", "The shop closes in winter", "mood"),
        ("Olga used to run the shop", "Olga runs the shop", "mood"),
        ("we count the stock every other week", "We count the stock every week", "mood"),
        ("answers take three days", "Answers come within a day", "number"),
        ("legal keeps the originals", "The originals are kept by finance", "name"),
        ("guests with a dog get a key", "Guests get a key", "condition"),
        ("we meet on Friday evenings", "We meet on Friday mornings", "word"),
        ("stock is counted once a month", "Stock is counted twice a month", "number"),
        ("the lease ends on 30 June 2029", "The lease ends on 30 June 2028", "number"),
        ("holidays are in June and July", "Holidays are from June to August", "day"),
        ("do not touch the staging database", "Do not touch the production database", "word"),
    ],
)
def test_a_disagreement_has_a_name(text: str, statement: str, difference: str):
    assert difference == find_disagreement(text, statement, TODAY)


def test_one_sentence_of_a_message_is_enough():
    """What else a message says makes no difference."""
    said = "Hi all. Refunds need a phone call, by the way. On Friday I am not in, ask Dirk then."

    assert agrees(said, "Refunds need a phone call", TODAY)
    assert not agrees(said, "Refunds need no phone call", TODAY)


def test_something_must_be_in_common():
    assert not agrees("thanks, go on", "Backups are kept for 30 days", TODAY)
