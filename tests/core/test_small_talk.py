"""Small talk: what asks for nothing, and what rests on what was said before."""

import pytest

from langgraph_learning.core.small_talk import stands_alone


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
