"""Cues: situations in which somebody should be reminded of a learning, given by the extraction."""

import pytest
from langgraph.store.base import SearchOp

from langgraph_learning import LearnedKnowledge, LearningMachine, Scope, SessionContext, UserMemory, UserProfile
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import Caller
from langgraph_learning.extract.validation import parse_cues
from langgraph_learning.testing import ScriptedModel
from tests.people import ALEX, edit, edits

CUE = "choosing a vendor or a cloud service"


def learn(store, *answers):
    """Return what an agent learns from as many messages as there are answers."""
    machine = LearningMachine(ScriptedModel(list(answers)), [LearnedKnowledge(scope=Scope.TEAM)], store=store)
    graph = machine.wrap(lambda state: {"messages": [("ai", "Noted.")]}, store=store)
    for number, _ in enumerate(answers):
        config = {"configurable": {"thread_id": f"t{number}"}}
        graph.invoke({"messages": [("user", "We want to cut egress costs.")]}, config, context=ALEX)
    return machine.learnings(ALEX)


def insight(**fields):
    """An edit that learns what helps with costs."""
    return edit("insight", category="pattern", title="Egress", insight="Cut egress costs", when_to_apply=None, **fields)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ([CUE, "choosing", "two words", 7, None, ""], (CUE,)),
        (CUE, (CUE,)),
        ([CUE, f" {CUE.upper()}. "], (CUE,)),
        (
            [f"planning step number {number}" for number in range(9)],
            tuple(f"planning step number {n}" for n in range(3)),
        ),
        (["x " * 100], ()),
        (["\u30af\u30e9\u30a6\u30c9\u3092\u9078\u3076"], ("\u30af\u30e9\u30a6\u30c9\u3092\u9078\u3076",)),
        (None, ()),
        ({"cue": CUE}, ()),
    ],
)
def test_only_situations_are_kept(sent, kept):
    """A cue has three words or more, is no text, and says nothing twice; there are at most three."""
    assert kept == parse_cues(sent)


def test_a_learning_is_found_by_a_situation_that_its_text_does_not_mention(postgres_store):
    """Text and cues are texts of one item, and the best of them counts."""
    learn(postgres_store, edits(insight(cues=[CUE])))
    namespace = Caller.of(ALEX).namespace(Scope.TEAM, "learned_knowledge")
    found = postgres_store.batch([SearchOp(namespace, query="Which vendor for the cloud service?")])[0]

    assert ["Cut egress costs"] == [item.value["data"]["insight"] for item in found]
    assert found[0].score > 0


def test_a_learning_without_cues_gains_those_of_a_later_voice(store):
    """Said again, it stays one learning."""
    [learnt] = learn(store, edits(insight()), edits(insight(cues=[CUE])))

    assert (CUE,) == learnt.cues
    assert 2 == len(learnt.sources)


@pytest.mark.parametrize(("stores", "asked"), [([UserProfile(), SessionContext()], False), ([UserMemory()], True)])
def test_what_is_always_shown_needs_no_cues(stores, asked):
    """A profile and a session are not found by the question, so no model is asked for their cues."""
    machine = LearningMachine(ScriptedModel([]), stores)
    edit = machine._loop._extraction.questioner.schema["properties"]["edits"]["items"]["properties"]

    assert asked is ("cues" in edit)


def test_an_item_of_an_earlier_version_has_no_cues(postgres_store):
    """Items without the field are read as before."""
    [learnt] = learn(postgres_store, edits(insight()))
    value = postgres_store.get(learnt.namespace, learnt.key).value
    del value["cues"], value["standing"]
    postgres_store.put(learnt.namespace, learnt.key, value)

    assert () == Learning.read(postgres_store.get(learnt.namespace, learnt.key)).cues
