"""Turns that say nothing new ask no model."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.store.memory import InMemoryStore
from people import ALEX, NOTHING, echo, learner, machine, thread

from langgraph_learning import Episodes, UserMemory


def calls(*messages: Any) -> int:
    """How often the extraction's model is asked about a conversation."""
    learning = machine(lambda shown: NOTHING, [UserMemory()], store=InMemoryStore())
    learning.wrap(echo()).invoke({"messages": list(messages)}, thread("a"), context=ALEX)
    return len(learner(learning).shown)


PLEASANTRIES = """
thanks | ok | 👍 | bye | thnaks | Thaaanks! | tysm | thank you so much for your help! | much appreciated | perfect 👌 | hi
good morning | hey there | hello everyone | have a great weekend! | see you tomorrow | gn | lol | hahaha | haha nice | :-)
👍🏽👍🏽 | 😂😂 | 🎉 | ❤️🙏 | ... | hmm | wow, amazing | ah I see, thanks | got it | makes sense | understood | roger that | lgtm
that helps, thanks | you're the best | no worries | good to know | well done | alright, thanks again! | ok thanks bye
Danke schön! | alles klar, danke | guten Morgen | schönes Wochenende | Merci beaucoup | bonne nuit | muchas gracias | jajaja
buenos días | grazie mille | va bene, grazie | dank je wel | muito obrigado | dziękuję | díky | tack så mycket | tusen takk
kiitos | köszönöm | mulțumesc | çok teşekkür ederim | merhaba | спасибо большое | понятно | ахаха | дякую | ευχαριστώ πολύ
شكراً جزيلاً | תודה רבה | धन्यवाद | ありがとうございます | わかりました、ありがとう | 谢谢你 | 好的谢谢 | 哈哈哈 | 네, 감사합니다
ㅋㅋㅋ | ขอบคุณครับ | cảm ơn bạn | terima kasih | asante
"""
STATEMENTS = """
Thanks, and I am vegan | ok, use tabs | no | 7 | yes | Perfect for Karin | the blue one | no, Tuesday | wrong | Thor | Kok
not ok | no thanks | thanks for nothing | great, three | hi three | good, but slow | and then | for the team | bye, I quit
good night, off to the hospital | hello from Lisbon | great, 5 pm | 👎 | 😢 | 👍 Friday | oh no | ok? | see you Friday
K is 7 | Ok is my dog | lol we use Oracle now | danke, aber es läuft um drei | merci non | gracias pero no | 好的，周五
最好的是蓝色 | ありがとう、でも違います | 네, 금요일 | спасибо, нет | thanks, Tom left | I see badly | agreed | forget that
"""
PROPOSALS = [
    "I would suggest Postgres for the new service.",
    "Then we should move the release to Friday.",
    "Let me know which one you prefer.",
    "We can rename it to Apollo.",
    "Man könnte auch Rust nehmen.",
    "Il vaudrait mieux prendre le train.",
    "Propongo di usare il blu.",
    "我建议用蓝色。",
    "火曜日に変更することをお勧めします。",
    "Предлагаю перенести встречу на вторник.",
]


def phrases(block: str) -> list[str]:
    return [phrase.strip() for line in block.strip().splitlines() for phrase in line.split(" | ")]


@pytest.mark.parametrize("text", phrases(PLEASANTRIES))
def test_greetings_thanks_and_farewells_ask_no_model(text: str):
    """In many languages, with errors of typing, and after an answer that reports something."""
    answered = [HumanMessage("thx"), AIMessage("The export runs at two.")]

    assert 0 == calls(HumanMessage(text))
    assert 0 == calls(*answered, HumanMessage(text))


@pytest.mark.parametrize("text", phrases(STATEMENTS))
def test_whatever_else_is_said_asks_it(text: str):
    """In doubt a model is asked."""
    assert 1 == calls(HumanMessage(text))


@pytest.mark.parametrize("proposal", PROPOSALS)
@pytest.mark.parametrize("assent", ["ok", "sounds good", "👍", "alles klar", "好的"])
def test_assent_to_a_proposal_asks_it(proposal: str, assent: str):
    """A proposal needs no question mark; thanks for it agree to nothing."""
    assert 1 == calls(HumanMessage("thx"), AIMessage(proposal), HumanMessage(assent))
    assert 0 == calls(HumanMessage("thx"), AIMessage(proposal), HumanMessage("thanks"))


def test_assent_to_a_question_asks_it():
    """What is agreed to may be worth noting."""
    offer = [HumanMessage("Plan the trip", id="1"), AIMessage("Shall I book the train?", id="2")]
    learning = machine(lambda shown: NOTHING, [UserMemory()], store=InMemoryStore())
    for messages in (offer[:1], [*offer, HumanMessage("ok", id="3")]):
        learning.wrap(lambda state: {"messages": [AIMessage("Noted.")]}).invoke(
            {"messages": messages}, thread("a"), context=ALEX
        )

    assert 2 == len(learner(learning).shown)


def test_assent_to_a_question_among_what_waited_asks_it():
    """Turns that are learnt from together may answer one another."""
    offer = AIMessage("You are welcome. Shall I book the train?")

    assert 1 == calls(HumanMessage("Thanks!"), offer, HumanMessage("ok"))
    assert 0 == calls(HumanMessage("Thanks!"), AIMessage("You are welcome."), HumanMessage("ok"))


def test_the_message_is_kept_and_read():
    """It counts as read, and a store that keeps messages keeps it."""
    learning = machine([], [UserMemory(), Episodes()], store=InMemoryStore())
    learning.wrap(echo()).invoke({"messages": [HumanMessage("Thanks!")]}, thread("a"), context=ALEX)

    assert 2 == len(learning.learnings(ALEX))
