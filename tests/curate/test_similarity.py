"""When two statements say the same, told by their words alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from similar_statements import ALIKE, FREEZE, FREEZES, NEAR_MISSES, PARAPHRASES

from langgraph_learning.curate.similarity.candidates import look_alikes, repeated
from langgraph_learning.curate.similarity.rules import differs, same

STATEMENTS = sorted({text for pair in (*NEAR_MISSES, *ALIKE, *PARAPHRASES) for text in pair} | {FREEZE, *FREEZES})
REWORDED = [*PARAPHRASES, *((FREEZE, text) for text in FREEZES)]


@pytest.mark.parametrize(("one", "other"), NEAR_MISSES)
def test_what_tells_something_else_is_never_the_same(one: str, other: str):
    """Another number, name, negation or direction forbids it, in whichever order the two are compared."""
    assert differs(one, other)
    assert differs(other, one)
    assert not same(one, other)


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_one_other_word_is_no_repetition(one: str, other: str):
    """Whether coffee is tea is not for rules to say."""
    assert not same(one, other)
    assert not same(other, one)


@pytest.mark.parametrize(("one", "other"), REWORDED)
def test_other_words_alone_forbid_nothing(one: str, other: str):
    """What is said in other words may be the same, if somebody who understands it says so."""
    assert differs(one, other) is None


def test_the_words_alone_tell_two_of_five_paraphrases():
    """The others are for a model, where one is asked; a change of the rules that loses some of these shows here."""
    assert 21 <= sum(same(one, other) for one, other in REWORDED)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("On Fridays, deploys are frozen", "Deploys are frozen on Fridays."),
        ("The refund takes ten days", "refund takes 10 days"),
        ("Does not eat meat", "Doesn't eat meat"),
        ("Has Anna and Ben as reviewers", "Has Ben and Anna as reviewers"),
        ("Moves to GCP from AWS", "Moves from AWS to GCP"),
        ("The budget is 20k", "The budget is 20,000"),
        ("The offset is minus five", "The offset is -5"),
        ("The user's limit is twenty one", "Limit is 21"),
    ],
)
def test_the_same_words_in_another_clause_order_are_the_same(one: str, other: str):
    """Articles, contractions, figures, lists and a moved clause change nothing."""
    assert same(one, other)


@given(st.sampled_from(STATEMENTS), st.sampled_from(STATEMENTS))
def test_neither_statement_comes_first(one: str, other: str):
    """Being the same, and being different, are the same in both directions."""
    assert same(one, other) == same(other, one)
    assert differs(one, other) == differs(other, one)


@given(st.text(max_size=60))
def test_every_text_says_the_same_as_itself(text: str):
    """Whatever the script, the punctuation or the length."""
    assert same(text, text)
    assert differs(text, text) is None


@given(st.lists(st.sampled_from(STATEMENTS), max_size=30))
def test_groups_hold_what_says_the_same_as_their_first(texts: list[str]):
    """And no statement is in two of them."""
    groups = repeated(texts)

    assert all(same(texts[first], texts[other]) for first, *others in groups for other in others)
    assert len({place for group in groups for place in group}) == sum(map(len, groups))


def test_rewordings_meet_among_many_others():
    """Without comparing all with all: they share words that few have."""
    others = [f"Customer {number} pays invoice {number * 7} by the end of week {number % 50}" for number in range(500)]
    found = look_alikes([FREEZE, *others, "We freeze production deploys on Fridays"])

    assert (0, 501) in [(one, other) for one, other, _ in found]
