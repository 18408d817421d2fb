"""What is private stays private, also where the extraction chooses the wrong audience half of the time."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langgraph.store.memory import InMemoryStore
from people import ALEX, INDEX, SAM, conversation, echo, edit, edits, learner, machine, prompt, said, thread

from langgraph_learning import DecisionLog, EntityMemory, Episodes, LearnedKnowledge, LearningMachine, Scope, UserMemory
from langgraph_learning.core.policy import Sharing

PROJECT = Scope.of("project")
SCOPES = (Scope.USER, PROJECT, Scope.TEAM)
IN_PROJECT = ALEX.model_copy(update={"owners": {"project": "apollo"}})
SAM_IN_PROJECT = SAM.model_copy(update={"owners": {"project": "apollo"}})

PRIVATE = [
    # health
    "I have been on antidepressants since spring",
    "My blood pressure is 160 over 100",
    "I am recovering from a miscarriage",
    "I carry an EpiPen because of wasp stings",
    "My therapist sees me every Thursday at five",
    "Ich habe seit Montag wieder Migräne",
    "Bei mir wurde ADHS festgestellt",
    "Je suis sous anticoagulants depuis mars",
    "Tengo una operación de rodilla el martes",
    "我有二型糖尿病",
    "来月から不妊治療を始めます",
    # family
    "My husband and I are separating",
    "My daughter Mia failed her final exams",
    "My father has moved into a care home",
    "We are adopting a boy from Peru",
    "My brother is in prison until 2028",
    "Meine Mutter hat Alzheimer",
    "Mein Sohn wird in der Schule gemobbt",
    "Ma sœur ne me parle plus",
    "Mi mujer está embarazada de gemelos",
    "У моей жены свой долг перед банком",
    # private life
    "I am interviewing at another company",
    "I owe the tax office nine thousand euros",
    "I pray five times a day",
    "I voted for the Greens",
    "I came out to my parents last week",
    "I was arrested once at a demonstration",
    "I earn 81,000 a year",
    "Ich suche eine Wohnung, weil mir gekündigt wurde",
    "Je sors avec quelqu'un de la comptabilité",
    "أنا أبحث عن عمل آخر",
    # taste, and what was said in confidence
    "I can't stand open offices",
    "I only drink oat milk",
    "I like my answers without emojis",
    "I listen to metal while I work",
    "Ich trage am liebsten Jogginghosen im Homeoffice",
    "Je déteste les réunions du lundi",
    "Between us, I find Karin hard to work with",
    "Please keep it to yourself: Tom will resign",
    "Unter uns gesagt, der Umzug wird abgesagt",
]
IN_CONFIDENCE = PRIVATE[-3:]
KINDS = ("insight", "fact", "decision", "observation")
WRONG = ("team", "project")


def choice(number: int) -> str:
    """The audience that the extraction chooses: a wrong one every other time."""
    return WRONG[number // 2 % 2] if number % 2 else "user"


def note(number: int, text: str) -> dict[str, Any]:
    """A statement as the extraction notes it, as one kind after the other."""
    kind = KINDS[number // 4 % len(KINDS)]
    fields: Mapping[str, Mapping[str, Any]] = {
        "insight": {"category": "insight", "title": "Note", "insight": text, "when_to_apply": None, "until": None},
        "fact": {"entity": "Alex", "fact": text, "as_of": None, "until": None},
        "decision": {"decision": text, "reasoning": "", "alternatives": [], "context": None, "confidence": "high"},
        "observation": {"observation": text, "about_answers": None},
    }
    return {**edit(kind, **fields[kind]), "audience": choice(number), "whose": "user", "cues": []}


def answer(shown: Sequence[BaseMessage]) -> dict[str, Any]:
    """What the extraction notes of a message."""
    ((_, _, text),) = [line for line in conversation(shown) if line[1].startswith("user")]
    return edits(note(PRIVATE.index(text), text))


def teach(sharing: Sharing) -> tuple[LearningMachine, InMemoryStore]:
    """A team's machine, to which all of it was said."""
    store = InMemoryStore(index=INDEX)
    shared = [kind(scope=SCOPES, sharing=sharing) for kind in (EntityMemory, LearnedKnowledge, DecisionLog)]
    learning = machine(answer, [UserMemory(), Episodes(), *shared], store=store)
    agent = learning.wrap(echo())
    for number, text in enumerate(PRIVATE):
        agent.invoke(said(text), thread(f"t{number}"), context=IN_PROJECT)
    return learning, store


@pytest.mark.parametrize("sharing", [Sharing.AT_ONCE, Sharing.after(2), Sharing.APPROVED], ids=str)
def test_nothing_is_wider_than_the_model_chose(sharing: Sharing):
    """Wherever the words are in the store: code narrows an audience and never widens it."""
    _, store = teach(sharing)
    items = store.search(("learnings",), limit=10_000)
    reach = {scope.name: scope.reach for scope in (Scope.THREAD, *SCOPES)}

    def scopes_of(text: str) -> set[str]:
        return {item.namespace[2] for item in items if text in str(item.value)}

    wider = [
        (text, choice(number), scopes_of(text))
        for number, text in enumerate(PRIVATE)
        if max(reach[name] for name in scopes_of(text)) > reach[choice(number)]
    ]
    assert [] == wider
    assert len(PRIVATE) == len({text for text in PRIVATE if scopes_of(text)}) == 40


def test_colleagues_see_nothing_that_the_model_kept_to_the_user():
    """Nor is any of it shown to their agent, nor what was said in confidence, wherever the model put it."""
    learning, _ = teach(Sharing.AT_ONCE)
    private = [text for number, text in enumerate(PRIVATE) if choice(number) == "user"]
    others = [
        text for text in PRIVATE[:-3] if text not in private and KINDS[PRIVATE.index(text) // 4 % 4] != "observation"
    ]
    seen = " ".join(learnt.text for learnt in learning.learnings(SAM_IN_PROJECT))
    agent = echo()
    for number, text in enumerate(private):
        learning.wrap(agent).invoke(said(text), thread(f"sam{number}"), context=SAM_IN_PROJECT)
    shown = [prompt(messages) for messages in agent.shown]

    assert 20 == len(private)
    assert not any(text in seen for text in IN_CONFIDENCE)
    assert ([], others) == ([text for text in private if text in seen], [text for text in others if text in seen])
    assert all(own.count(text) == 1 for own, text in zip(shown, private, strict=True))


def test_the_prompt_tells_who_reads_what_and_what_is_private():
    """For each kind its readers, and for what is private the narrowest."""
    learning, _ = teach(Sharing.AT_ONCE)
    shown = prompt(learner(learning).shown[0])
    readers = dict(re.findall(r"^## (.+) \(read by (.+)\)$", shown, re.MULTILINE))

    assert "this user alone" == readers["observation"]
    assert {"user or project or team"} == {who for kinds, who in readers.items() if kinds != "observation"}
    assert '"user" (this user alone), "project" (everybody in this project), "team" (everybody in the team)' in shown
    assert 'Health, family, private life, personal taste and what was said in confidence are for "user"' in shown
