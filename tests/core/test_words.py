"""Words of texts in any language: tokens, weights, common words, and exact terms."""

import pytest

from langgraph_learning.core.words import (
    MAX_TOKENS,
    count_tokens,
    exact_terms,
    find_terms,
    informative_words,
    weigh_tokens,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Häuser", "Haus"),
        ("café", "CAFÉ"),
        ("cafe\u0301", "caf\u00e9"),
        ("ｆｕｌｌ", "full"),
        ("e-mail", "email"),
        ("getUserById", "get_user_by_id"),
        ("1,250", "1250"),
        ("३", "3"),
        ("녹차를", "녹차"),
        ("땅콩알레르기", "땅콩 알레르기"),
        ("緑茶が好き", "緑茶"),
        ("猫", "我的猫"),
        ("الشاي", "شاي"),
        ("وبالشاي", "الشاي"),
        ("لبرلين", "برلين"),
        ("москве", "москва"),
        ("किताबें", "किताब"),
        ("l'eau", "eau"),
        ("Maren's", "Maren"),
    ],
)
def test_words_that_are_the_same_share_a_token(one: str, other: str):
    """Inflection, spelling, particles, articles and the way a code is written make no difference."""
    language = "german" if one == "Häuser" else None
    assert count_tokens(one, language).keys() & weigh_tokens(other, language).keys()


@pytest.mark.parametrize(
    ("text", "question"),
    [("Verträgt keine Krabben", "Ist da eine Krabbe drin?"), ("Krabbensuppe, Häuser", "Welches Haus ist das?")],
)
def test_the_language_of_a_text_is_told_by_its_common_words_or_its_letters(text: str, question: str):
    """So a short text and a question in another language than the usual one are stemmed alike."""
    assert {token for token in weigh_tokens(question) if len(token) > 3} & count_tokens(text).keys()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,250", "250"),
        ("ORD-2024-117", "ORD-2024-118"),
        ("v1.2.3", "v1.2.4"),
        ("नमस्ते", "नमक"),
        ("東京", "京都"),
        ("500", "1500"),
    ],
)
def test_words_that_differ_share_no_whole_token(one: str, other: str):
    """Numbers and codes are kept whole; marks belong to their letters."""
    shared = count_tokens(one).keys() & weigh_tokens(other).keys()
    assert all(weigh_tokens(other)[token] < 0.5 for token in shared)


def test_the_parts_of_a_code_weigh_less_than_the_whole():
    """So a question about one code finds that one first."""
    weights = weigh_tokens("getUserById")

    assert max(weights, key=lambda token: weights[token]) == "getuserbyid"
    assert {"get", "user", "id"} <= weights.keys()


def test_a_text_has_at_most_a_thousand_tokens():
    """Those at its beginning."""
    counts = count_tokens(" ".join(f"word{n}" for n in range(3000)))

    assert len(counts) == MAX_TOKENS
    assert "word0" in counts
    assert "word2999" not in counts


def test_a_word_has_the_same_tokens_however_many_were_read_before():
    """What was read before may be remembered, or forgotten."""
    text = "Häuser, getUserById und 1,250 " + "漢字" * 30
    counts = count_tokens(text, "german")

    count_tokens(" ".join(f"word{n}" for n in range(60_000)), "german")

    assert count_tokens(text, "german") == counts


def test_tokens_are_counted_by_whatever_they_are_converted_to():
    """Such as their lengths."""
    assert count_tokens("blue red red", convert=lambda token: len(token.text)) == {4: 1, 3: 2}
    assert count_tokens("blue red red") == {"blue": 1, "red": 2}


SMALL_TALK = [
    "thanks!",
    "hi",
    "ok",
    "lol",
    "yes, go ahead",
    "Good morning, how are you?",
    "Can you try again?",
    "sounds good, let's do that",
    "Tell me a joke.",
    "Danke schön!",
    "Kannst du das bitte nochmal versuchen?",
    "merci beaucoup",
    "vale, gracias",
    "спасибо",
    "Привет, как дела?",
    "شكرا",
    "धन्यवाद",
    "감사합니다",
    "네, 좋아요",
    "谢谢",
    "你好",
    "好的，谢谢",
    "ありがとうございます",
    "はい、お願いします",
    "ขอบคุณครับ",
    "",
    "🎉",
]


@pytest.mark.parametrize("text", SMALL_TALK)
def test_small_talk_has_no_informative_word(text: str):
    """In any language."""
    assert informative_words(text) == set()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("What is the capital of Peru?", "peru"),
        ("Toll roads in Norway", "norway"),
        ("sea level", "level"),
        ("17 * 23", "17"),
        ("Ist der Server in Köln?", "koln"),
        ("用户喜欢绿茶吗？", "绿茶"),
        ("緑茶が好きですか", "緑茶"),
        ("녹차를 좋아하나요?", "녹차"),
    ],
)
def test_other_questions_have_one(text: str, word: str):
    """It comes as a token: a stem, without accents."""
    assert word in informative_words(text)


@pytest.mark.parametrize(
    ("question", "terms"),
    [
        ("Where is ORD-2024-117?", {"ord-2024-117"}),
        ("Is Maren in tomorrow?", {"maren"}),
        ("Why does getUserById fail?", {"getuserbyid"}),
        ("May I spend 500?", {"500"}),
        ("Is room 12b free?", {"12b"}),
        ("What is 17 * 23?", set()),
        ("How high is the bill?", set()),
        ("Wo steht der Server in der Firma?", set()),
        ("Can I help You?", set()),
    ],
)
def test_names_numbers_and_codes_are_exact_terms(question: str, terms: set[str]):
    """A name is told by its capital within a sentence, but not in German; two digits are in many texts by chance."""
    assert exact_terms(question) == terms


def test_terms_are_found_as_a_whole():
    """In any case, and not within another word."""
    assert find_terms("MAREN has 1500 euros", {"maren", "500"}) == {"maren"}
