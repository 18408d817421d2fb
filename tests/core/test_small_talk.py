"""Small talk: what asks for nothing, and what rests on what was said before."""

import pytest

from langgraph_learning.core.small_talk import asks_about_user, stands_alone


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital of Peru?",
        "Tell me a joke.",
        "Write a limerick about a frog.",
        "How do I reset my password?",
        "Wo steht die große Presse?",
        "Erzähl mir einen Witz über Katzen.",
        "Quelle est la capitale du Pérou ?",
        "¿Cuál es la capital de Perú?",
        "Qual è la capitale del Perù?",
        "Wat is de hoofdstad van Peru?",
        "Qual é a capital do Peru?",
    ],
)
def test_a_whole_question_stands_alone(text: str):
    """Nobody needs to know what was said before it."""
    assert stands_alone(text)


@pytest.mark.parametrize(
    "text",
    [
        "Is she in tomorrow?",
        "And if they cut a third?",
        "Which of these takes longest?",
        "How many people should we count on then?",
        "Do six more people fit in?",
        "Und was kostet er im Jahr?",
        "Passt sie auch in Halle B?",
        "Et pour dix personnes seulement ?",
        "¿Y cuánto cuesta para diez personas?",
        "E quanto costa per dieci persone?",
        "Kan ze morgen ook komen?",
        "E quanto custa para dez pessoas?",
    ],
)
def test_a_question_that_points_back_or_goes_on_does_not(text: str):
    """A pronoun, "then", "more" or "and" rests on what was said."""
    assert not stands_alone(text)


@pytest.mark.parametrize("text", ["For ten people?", "Berlin?", "17 * 23", "Почему небо голубое сегодня вечером?", ""])
def test_a_fragment_or_a_language_without_such_words_is_not_told(text: str):
    """Then the message may rest on what was said, as most do."""
    assert not stands_alone(text)


ABOUT_USER = """
What do you know about me?
what do you know about me
What have you learnt about me?
What else do you know about me?
What all do you remember about me?
So, what do you have stored about me?
Tell me everything you know about me
Tell me everything that you have stored about me, please
Show me your notes on me
What's in your memory about me?
List what you know about me
Please list everything you remember about me.
Do you know who I am?
Do you remember me?
What information do you have about me?
What have you saved about me?
What did you note about me?
Was weißt du über mich?
Was hast du über mich gespeichert?
Zeig mir alles, was du über mich weißt
Was wissen Sie eigentlich über mich?
Que sais-tu de moi ?
Qu'est-ce que vous savez sur moi ?
Dis-moi tout ce que tu sais sur moi
¿Qué sabes de mí?
¿Qué recuerdas sobre mí?
Cosa sai di me?
Che cosa ricordi di me?
Wat weet je over mij?
Wat weet je allemaal van mij?
O que você sabe sobre mim?
Co o mnie wiesz?
Что ты знаешь обо мне?
Что ты обо мне помнишь?
Що ти знаєш про мене?
Vad vet du om mig?
Hakkımda ne biliyorsun?
私について何を知っていますか？
私のことを何を覚えていますか？
你知道我什么？
你都知道关于我的哪些信息？
关于我，你知道些什么？
나에 대해 뭘 알고 있어?
저에 대해 무엇을 기억하고 있나요?
ماذا تعرف عني؟
מה אתה יודע עליי?
तुम मेरे बारे में क्या जानते हो?
คุณรู้อะไรเกี่ยวกับฉัน
Weißt du, wer ich bin?
""".strip().splitlines()
ABOUT_OTHERS = """
What do you know about Orion?
What do you know about me and the Orion migration plan?
What do you know about postgres?
Do you know the capital of Peru?
Write about me in the third person
What do you know about our customers?
My boss asked what I know about me
Was weißt du über Rust?
Que sais-tu de Paris ?
¿Qué sabes de Perú?
Что ты знаешь?
Что ты знаешь о Москве?
你知道什么是Redis吗？
私はRedisについて何を知っているべきですか
Tell me about the notes
What do you know?
What do you think of me?
I like tea
Do you remember the release date?
Show me the file on disk
What data do you have about Acme?
Do you remember me telling you about the outage?
""".strip().splitlines()


@pytest.mark.parametrize("text", ABOUT_USER)
def test_who_asks_what_is_known_about_them_is_understood(text: str):
    """In many languages and words."""
    assert asks_about_user(text)


@pytest.mark.parametrize("text", ABOUT_OTHERS)
def test_who_asks_about_something_else_asks_for_that(text: str):
    """Also where they speak of themself, too."""
    assert not asks_about_user(text)
