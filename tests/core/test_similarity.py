"""Rules that compare two statements by their words alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from similar_statements import ALIKE, FREEZE, FREEZES, NEAR_MISSES, PARAPHRASES

from langgraph_learning.core.similarity.candidates import find_similar_pairs, group_duplicates
from langgraph_learning.core.similarity.rules import are_equivalent, find_difference

STATEMENTS = sorted({text for pair in (*NEAR_MISSES, *ALIKE, *PARAPHRASES) for text in pair} | {FREEZE, *FREEZES})
REWORDED = [*PARAPHRASES, *((FREEZE, text) for text in FREEZES)]


@pytest.mark.parametrize(("one", "other"), NEAR_MISSES)
def test_what_tells_something_else_is_never_the_same(one: str, other: str):
    """A different number, name, negation or direction rules it out, whichever statement comes first."""
    assert find_difference(one, other)
    assert find_difference(other, one)
    assert not are_equivalent(one, other)


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_one_other_word_is_no_repetition(one: str, other: str):
    """Rules cannot tell whether coffee means tea."""
    assert not are_equivalent(one, other)
    assert not are_equivalent(other, one)


@pytest.mark.parametrize(("one", "other"), REWORDED)
def test_other_words_alone_forbid_nothing(one: str, other: str):
    """A paraphrase may say the same, if a model says so."""
    assert find_difference(one, other) is None


def test_the_words_alone_tell_two_of_five_paraphrases():
    """The others need a model. This shows it when a change of the rules loses some."""
    assert 21 <= sum(are_equivalent(one, other) for one, other in REWORDED)


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
    """Articles, contractions, number formats, the order of a list and a moved clause make no difference."""
    assert are_equivalent(one, other)


@given(st.sampled_from(STATEMENTS), st.sampled_from(STATEMENTS))
def test_neither_statement_comes_first(one: str, other: str):
    """Both comparisons are symmetric."""
    assert are_equivalent(one, other) == are_equivalent(other, one)
    assert find_difference(one, other) == find_difference(other, one)


@given(st.text(max_size=60))
def test_every_text_says_the_same_as_itself(text: str):
    """In any script, with any punctuation, of any length."""
    assert are_equivalent(text, text)
    assert find_difference(text, text) is None


@given(st.lists(st.sampled_from(STATEMENTS), max_size=30))
def test_groups_hold_what_says_the_same_as_their_first(texts: list[str]):
    """And no statement is in two of them."""
    groups = group_duplicates(texts)

    assert all(are_equivalent(texts[first], texts[other]) for first, *others in groups for other in others)
    assert len({index for group in groups for index in group}) == sum(map(len, groups))


def test_rewordings_meet_among_many_others():
    """They are found by the rare words they share, without comparing all pairs."""
    others = [f"Customer {number} pays invoice {number * 7} by the end of week {number % 50}" for number in range(500)]
    found = find_similar_pairs([FREEZE, *others, "We freeze production deploys on Fridays"])

    assert (0, 501) in [(one, other) for one, other, _ in found]
