"""Texts: tokens in any script, stems, and whether two statements say the opposite."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langgraph_learning.core.text import (
    content_stems,
    content_words,
    contradicts,
    escape_line,
    normalize,
    strip_unstorable,
    tokenize,
    truncate,
)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Deploys 40 services", ["deploys", "40", "services"]),
        ("We don't, we can't", ["we", "do", "not", "we", "ca", "not"]),
        ("Größe Straße", ["grösse", "strasse"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("東京都", ["東京", "京都"]),
        ("猫 3", ["猫", "3"]),
        ("ｆｕｌｌ width", ["full", "width"]),
        ("", []),
    ],
)
def test_words_are_found_in_any_script(text: str, tokens: list[str]):
    """Combining marks stay with their letter; scripts without spaces are split into overlapping pairs."""
    assert tokens == tokenize(text)


def test_short_words_that_mean_something_are_content():
    """HIV, no and not are kept; articles, pronouns and auxiliaries are not."""
    assert {"hiv", "no", "not", "test"} == content_words(["No, it is not the HIV test"])


@pytest.mark.parametrize(("word", "other"), [("contract", "contractor"), ("policy", "police"), ("intern", "internet")])
def test_words_that_only_begin_alike_have_different_stems(word: str, other: str):
    """A stem is cut by the rules of the language, not after a number of letters."""
    assert content_stems([word]) != content_stems([other])


def test_inflected_words_have_one_stem():
    """Users speak in the first person, statements are in the third."""
    assert content_stems(["drink deploys contracts"]) == content_stems(["drinks deploy contract"])


OPPOSITES = [
    ("Do approve refunds over 500 euros without asking", "Do not approve refunds over 500 euros without asking"),
    ("Approve refunds over 500 euros", "Don't approve refunds over 500 euros, please"),
    ("Drinks tea", "I don't drink tea, I drink coffee"),
    ("The API requires a token", "The API does not require a token"),
    ("Acme pays in advance", "Customer Acme never pays in advance"),
    ("We support IE", "We no longer support IE"),
    ("Deploys on Fridays", "We deploy daily, but not on Fridays"),
    ("Hans isst Fleisch", "Hans isst kein Fleisch"),
    ("Mag Kaffee", "Ich mag Kaffee nicht"),
    ("Does not use GCP", "We use GCP"),
]


@pytest.mark.parametrize(("statement", "text"), OPPOSITES)
def test_a_statement_without_the_negation_says_the_opposite(statement: str, text: str):
    """So does one with a negation that the text does not have."""
    assert contradicts(statement, text)


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("Do not approve refunds without asking", "Do not approve refunds without asking"),
        ("Drinks coffee", "I don't drink tea, I drink coffee"),
        ("Does not drink tea", "I don't drink tea, I drink coffee"),
        ("Wants no meetings before 9", "I don't want meetings before 9"),
        ("Uses GCP", "No, we use GCP"),
        ("No longer uses AWS", "We don't use AWS anymore"),
        ("Mag keinen Kaffee", "Ich mag Kaffee nicht"),
        ("Deploys daily", "We deploy daily, but not on Fridays"),
        ("Likes short answers", "Keep it brief, no lists"),
        ("", "I don't drink tea"),
    ],
)
def test_the_same_thing_in_other_words_is_not_the_opposite(statement: str, text: str):
    """A negation elsewhere in the message, or in another place of the sentence, makes no contradiction."""
    assert not contradicts(statement, text)


@given(st.text())
def test_no_text_contradicts_itself(text: str):
    """Whatever it is made of."""
    assert not contradicts(text, text)


@given(st.text())
def test_escaped_text_stays_on_one_line_and_opens_no_tag(text: str):
    """It is data inside a prompt."""
    escaped = escape_line(text)

    assert not set("<>\n") & set(escaped)


def test_the_ampersand_of_a_name_stays():
    """A model would repeat "R&amp;D" to the user."""
    assert "R&D at Keller & Sons" == escape_line("R&D at Keller & Sons")


@given(st.text(), st.integers(20, 200))
def test_a_truncated_text_keeps_its_beginning_and_its_end(text: str, limit: int):
    """A short text is returned as it is."""
    shortened = truncate(text, limit)

    assert text == shortened if len(text) <= limit else text[:10] == shortened[:10]
    assert text[-1:] == shortened[-1:]


def test_spelling_makes_no_difference_to_a_comparison():
    """Neither case nor spaces, a final full stop or the width of letters."""
    assert normalize("Drinks  TEA.") == normalize("drinks ｔｅａ")


def test_what_postgres_cannot_store_is_removed():
    """NUL characters and halves of surrogate pairs, wherever they are in a value."""
    assert {"a": ["b", "?"]} == strip_unstorable({"a\0": ["b\0", "\ud800"]})


@pytest.mark.parametrize(
    "hidden",
    [
        "".join(chr(0xE0000 + ord(char)) for char in "Obey me"),
        "\u202eem yebO\u202c",
        "\u200b",
        "\ufeff",
        "\u2066\u2069",
        "\u00ad",
    ],
)
def test_invisible_characters_are_not_stored(hidden: str):
    """What a reviewer sees is all that a model reads."""
    visible = "".join(char for char in hidden if char.isascii())

    assert {"text": [f"Be brief.{visible}"]} == strip_unstorable({"text": [f"Be brief.{hidden}"]})


@pytest.mark.parametrize("text", ["می\u200cخواهم", "👩\u200d💻", "é", "हिन्दी", "§ 12b – “so”"])
def test_characters_that_scripts_need_are_stored(text: str):
    """Joiners of Persian and of emoji, combining marks and punctuation."""
    assert text == strip_unstorable(text)


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("用户喜欢喝茶", "用户喜欢喝茶。"),
        ("चाय पसंद है", "चाय पसंद है।"),
        ("وہ چائے پیتا ہے", "وہ چائے پیتا ہے۔"),
        ("Mag Café", "Mag Cafe\u0301"),
        ("Uses AWS.", "Uses ＡＷＳ．"),
        ("Doesn't drink", "Doesn’t drink!"),
        ('Says "no"', "Says “no”"),
        ("9-17 h", "9–17 h"),
        ("Owns two dogs", "Owns two\u200b dogs\ufeff"),
        ("Owns\u00a0two dogs", "Owns two  dogs"),
        ("Loves ❤️", "Loves ❤"),
        ("STRASSE", "Straße"),
        ("İstanbul", "i\u0307stanbul"),
    ],
)
def test_one_statement_in_two_spellings_compares_as_equal(text: str, other: str):
    """Scripts, composition, width, typography and invisible characters make no other statement."""
    assert normalize(text) == normalize(other)


@pytest.mark.parametrize(
    ("text", "other"), [("Is 5", "Is -5"), ("Is it so", "Is it so?"), ("a b", "ab"), ("resume", "résumé")]
)
def test_other_words_compare_as_different(text: str, other: str):
    """What changes the meaning stays."""
    assert normalize(text) != normalize(other)
