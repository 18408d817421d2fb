"""Fingerprints recognise a statement in other spellings, and nothing else; they hold none of its words."""

import unicodedata

import pytest

from langgraph_learning.core.similarity.fingerprints import are_same, fingerprint_statement, is_recognized

OWNER = ("learnings", "default", "user", "alex")


def recognizes(statement: str, text: str, *stays: str, whole: bool = False) -> bool:
    """Return True if a text is recognised by the fingerprints of a statement."""
    return is_recognized(text, fingerprint_statement(statement, OWNER, stays), OWNER, whole=whole)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("Has HIV.", "has H.I.V!"),
        ("Has HIV.", "ＨＩＶ"),
        ("Is diagnosed with diabetes", "Diabetes was diagnosed"),
        ("Has a son, Max", "Max is the user's son"),
        ("Allergic to penicillin", "Has allergies: penicillins"),
        ("Works night-shifts", "works nightshifts"),
        ("Doesn't drink wine.", "wine: doesn’t drink"),
        ("Earns 50,000 euros", "euros earned: 50000"),
        ("Wohnt in Zürich", unicodedata.normalize("NFD", "WOHNT IN ZÜRICH")),
        ("Wohnt in Zürich", "in Zuerich wohnt"),
        ("Wohnt in Zürich", "Wohnt in Zurich"),
        ("Пьёт чёрный чай", "черный чай пьет"),
        ("用户喜欢喝茶", "喜欢 喝茶。"),
        ("お茶が大好き", "オ茶ガ大好キ"),
        ("لديه حساسية من الفول", "حَسَاسِيَّةٌ من الفول لديه"),
        ("Has three cats", "has 3 cats"),
        ("Has 3 cats", "Has ③ cats, says the user"),
        ("Owes 12,500 euros", "owes twelve thousand five hundred euros"),
        ("Hat fünf Katzen", "hat 5 KATZEN"),
        ("I owe Olaf 12,500 euros", "I o w e O l a f 1 2 , 5 0 0 e u r o s"),
        ("Meine Frau heißt Jördis", "M e i n e F r a u h e i ß t J ö r d i s"),
        ("У меня глаукома", "У М Е Н Я Г Л А У К О М А"),
        ("Is pregnant", "Is pregnant, so works no night shifts"),
        ("Is pregnant, so works no night shifts", "Is pregnant"),
    ],
)
def test_a_statement_is_recognized_in_another_spelling(statement: str, text: str):
    """Case, width, accents, punctuation, endings and order make no difference, nor do other words around it."""
    assert recognizes(statement, text)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("Doesn't drink wine", "Drinks wine"),
        ("Earns 50,000 euros", "Earns 60,000 euros"),
        ("Has three cats", "Has 4 cats"),
        ("Has three cats", "Has thirteen cats"),
        ("Lives in Rome", "L i v e s i n O s l o"),
        ("Lives in Rome", "Lives in Oslo"),
        ("Is allergic to penicillin", "Is allergic to pollen"),
        ("对青霉素过敏", "对花粉过敏"),
    ],
)
def test_another_statement_is_not_recognized(statement: str, text: str):
    """A negation, a number or a name makes it another one."""
    assert not recognizes(statement, text)


def test_a_part_that_stays_is_not_recognized_and_the_rest_is():
    """Forgetting one half of a statement must not forget the other."""
    statement, stays = "Is pregnant so works no night shifts", "Works no night shifts"

    assert not recognizes(statement, stays, stays)
    assert recognizes(statement, "Is pregnant", stays)


def test_other_words_make_another_statement_where_only_the_whole_counts():
    """Who forgets that they like tea may still like green tea."""
    assert recognizes("Likes tea", "Prefers tea", whole=True)
    assert not recognizes("Likes tea", "Likes green tea", whole=True)
    assert not are_same("Likes tea", "Likes green tea")


def test_fingerprints_differ_between_owners_and_hold_no_words():
    """One user's mark says nothing about another's statements."""
    fingerprints = fingerprint_statement("Has epilepsy", OWNER)

    assert not is_recognized("Has epilepsy", fingerprints, (*OWNER[:3], "sam"))
    assert "epilep" not in str(fingerprints)


def test_a_long_text_is_compared_in_bounded_time():
    """Of many words, only those that follow each other are compared: a long text is no attack."""
    fingerprints = {found for n in range(100) for found in fingerprint_statement(f"alpha{n} beta{n} gamma{n}", OWNER)}
    words = " ".join(f"word{n}" for n in range(400))

    assert not is_recognized(words, fingerprints, OWNER)
    assert is_recognized(f"{words} gamma7 alpha7 beta7", fingerprints, OWNER)
