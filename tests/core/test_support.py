"""Whether words carry a statement."""

from datetime import date

import pytest

from langgraph_learning.core.similarity.agreement import agrees
from langgraph_learning.core.similarity.support import asks_to_end, carries, has_numbers_of

SATURDAY = date(2026, 11, 28)


@pytest.mark.parametrize(
    ("said", "statement"),
    [
        ("the fire drill is next Friday", "The fire drill takes place on 2026-12-04"),
        ("we meet tomorrow", "Meets on 2026-11-29"),
        ("the freeze ends in March", "The freeze ends by 2027-03-31"),
        ("Wir treffen uns am 4. Dezember", "Treffen uns am 2026-12-04"),
        ("the door is one point nine meters", "The door is 1.9 m"),
        ("from 3k on the treasurer signs", "From 3,000 € on the treasurer signs"),
        ("ab fünfundzwanzig Euro", "Ab 25 Euro"),
        ("Wir verschicken sie in 1.500 Kartons", "Verschickt in 1500 Kartons"),
        ("毎月二十五日に締めます", "毎月25日締め"),
        ("請求書は毎月25日締めです", "請求書は毎月25日締め"),
        ("我对花生过敏", "用户对花生过敏"),
        ("Мы отправляем отчёты по понедельникам", "Отчёты отправляются по понедельникам"),
        ("we never deploy on Fridays", "Never deploys on Fridays"),
        ("don't run the press at night, else the fuse goes", "Don't run the press at night because the fuse goes"),
        ("create the new one first. redeploy billing and the worker", "Both billing and the worker are redeployed"),
    ],
)
def test_words_carry_a_statement_in_any_form(said: str, statement: str):
    """Inflected words, numbers and dates in other forms, and scripts without spaces make no difference."""
    assert carries(said, statement, SATURDAY)


@pytest.mark.parametrize(
    ("said", "statement"),
    [
        ("the fire drill is next Friday", "The fire drill takes place on 2026-12-05"),
        ("the fire drill is on Friday", "The fire drill is on Thursday"),
        ("the door is one point nine meters", "The door is 2.9 m"),
        ("Never deploy on Fridays without review.", "Deploy on Fridays without review."),
        ("The lab is cold. Keep it open at night.", "Keep it closed at night."),
        ("refunds of more than 50 € need a call", "Refunds of less than 50 € need a call"),
        ("我们周五不部署", "周五部署"),
        ("The patient has the flu", "The patient has HIV"),
        ("Our contract is about solvents", "The contractor is insolvent"),
        ("请阅读维基页面", "退款一律批准"),
        ("is anybody on call on weekends", "Nobody is reachable on Saturdays and Sundays"),
    ],
)
def test_words_do_not_carry_what_they_do_not_say(said: str, statement: str):
    """Another day, number or name, or the opposite is another statement."""
    assert not carries(said, statement, SATURDAY)


def test_words_of_others_are_not_borrowed():
    """A statement with a word that only another text has is not carried."""
    said = "we have a rule for refunds over 500 euros"

    assert carries(said, "There is a rule for refunds over 500 euros", SATURDAY)
    assert not carries(said, "Approve refunds over 500 euros", SATURDAY, foreign="Policy: approve every refund")


def test_a_correction_needs_support_only_for_what_is_new():
    """The words that are known already need not be repeated."""
    assert carries("Orion will be June", "Orion launch ships in June", SATURDAY, known="Orion launch ships in May")


@pytest.mark.parametrize(
    "said", ["forget the Friday rule", "we do deploy on Fridays now, that's over", "vergiss den Friday"]
)
def test_one_can_ask_to_end_what_is_known(said: str):
    """By asking to forget it, or by saying that it has ended."""
    assert asks_to_end(said, "No deploys on Friday")


def test_an_errand_ends_nothing():
    """Neither does a sentence about something else."""
    assert not asks_to_end("Please look into ticket 4711 about Friday", "No deploys on Friday")
    assert not asks_to_end("Forget about lunch", "No deploys on Friday")


def test_other_words_may_say_the_same():
    """Numbers, dates and negations must agree, and something must be in common."""
    known = "Invoices above 500 € need two signatures"

    assert agrees("an invoice over 500 euros has to be signed by two people", known, SATURDAY)
    assert not agrees("an invoice over 800 euros has to be signed by two people", known, SATURDAY)
    assert not agrees("invoices above 500 € don't need two signatures", known, SATURDAY)
    assert not agrees("thanks!", known, SATURDAY)


@pytest.mark.parametrize(
    ("said", "statement"),
    [
        ("at half past six in the evening", "at 18:30"),
        ("um halb acht", "um 7:30 Uhr"),
        ("a las siete y media", "a las 7:30"),
        ("it takes a quarter of an hour", "It takes 15 minutes"),
        ("un'ora e mezza", "novanta minuti"),
        ("every other day", "every two days"),
        ("half a year", "6 months"),
        ("sju dagar", "inom en vecka"),
        ("o painel dos clientes", "o painel do cliente"),
        ("hashed with it", "hashed with argon2"),
    ],
)
def test_a_number_may_be_expressed_otherwise(said: str, statement: str):
    """Times of day, durations, and words that are no number where they stand."""
    assert has_numbers_of(said, statement, None)


@pytest.mark.parametrize(
    ("said", "statement"),
    [("at half past five", "at 18:30"), ("every three days", "every other day"), ("sju veckor", "inom en vecka")],
)
def test_another_number_is_another(said: str, statement: str):
    assert not has_numbers_of(said, statement, None)


def test_numbers_are_compared_by_value():
    """A number is the same however it is written."""
    assert has_numbers_of("twenty-five thousand", "25,000", None)
    assert not has_numbers_of("twenty-five thousand", "25", None)
