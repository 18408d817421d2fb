"""Forgetting takes the words along: in messages, in answers, in requests, and in whatever spelling they come back."""

import json
import unicodedata
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.store.memory import InMemoryStore
from people import ALEX, NOTHING, edit, edits, learner, machine, observation, prompt, said, thread

from langgraph_learning import (
    BehavioralFeedback,
    EntityMemory,
    Episodes,
    LearnedKnowledge,
    Mode,
    Scope,
    SessionContext,
    UserMemory,
)
from langgraph_learning.core.keys import FORGOTTEN
from langgraph_learning.errors import Conflict
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.testing import ScriptedModel

FORGET_K1 = edits(edit("forget", replaces="k1"))


class Talk:
    """A user's conversations with an agent whose answers are scripted, as are the extractions."""

    def __init__(self, extractions: list[Any], answers: list[str]) -> None:
        self.store = InMemoryStore()
        self.machine = machine(extractions, [UserMemory(), Episodes()], store=self.store)
        self.answers = iter(answers)
        self.shown: list[str] = []

    def say(self, *texts: str) -> None:
        """Say each text in a thread of its own."""

        def agent(state: MessagesState) -> dict[str, Any]:
            self.shown.append(prompt(state["messages"]))
            return {"messages": [AIMessage(next(self.answers))]}

        graph = self.machine.wrap(agent, store=self.store)
        for text in texts:
            graph.invoke(said(text), thread(f"t{len(self.shown)}"), context=ALEX)

    def say_in(self, name: str, *texts: str) -> None:
        """Say each text in one thread."""
        graph = self.machine.wrap(
            lambda state: {"messages": [AIMessage(next(self.answers))]}, store=self.store, checkpointer=InMemorySaver()
        )
        for text in texts:
            graph.invoke(said(text), thread(name), context=ALEX)

    @property
    def messages(self) -> str:
        """All messages that are stored, as text."""
        items = self.store.search(("learnings",), limit=1_000)
        return json.dumps(
            [item.value["text"] for item in items if item.namespace[-1] == "episodes"], ensure_ascii=False
        )


def test_the_agents_echo_and_the_request_are_forgotten():
    """No stored message says it, not even that it was to be forgotten."""
    talk = Talk(
        [edits(observation("Has epilepsy")), FORGET_K1, edits()],
        ["Thanks for telling me about your epilepsy.", "Done, your epilepsy is forgotten.", "ok"],
    )
    talk.say("I have epilepsy.", "Forget that I have epilepsy.", "What should I mind with slides?")

    assert "epilepsy" not in talk.messages
    assert "epilepsy" not in talk.shown[-1]
    assert "slides" in talk.messages


def test_a_part_may_stay_and_the_rest_goes():
    """A forget that the model answers with a replacement is both."""
    talk = Talk(
        [edits(observation("Is pregnant, so works no night shifts")), edits(observation("Works no night shifts", 1, "k1")), edits()],
        ["ok", "ok", "ok"],
    )  # fmt: skip
    talk.say("I'm pregnant, so no night shifts.", "Please forget that I'm pregnant.", "What about my shifts?")

    assert ["Works no night shifts"] == [
        found.text for found in talk.machine.learnings(ALEX) if found.kind == "observation"
    ]
    assert "pregnant" not in talk.messages
    assert "pregnant" not in talk.shown[-1]


def test_forgetting_by_key_takes_answers_along():
    """As forgetting in a conversation does."""
    talk = Talk([edits(observation("Has epilepsy")), edits()], ["No flashing slides with epilepsy, then.", "ok"])
    talk.say("I have epilepsy.", "My epilepsy medicine is new.")
    (known,) = [found for found in talk.machine.learnings(ALEX) if found.kind == "observation"]
    talk.machine.forget(ALEX, known.key)

    assert "epilepsy" not in talk.messages
    assert "flashing" not in talk.messages


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("Is diagnosed with diabetes.", "Is diagnosed with diabetes"),
        ("Has HIV.", "has HIV"),
        ("爱喝茶", "爱喝茶。"),
        ("Doesn't drink wine.", "Doesn’t drink wine"),
        ("Wohnt in Zürich", unicodedata.normalize("NFD", "Wohnt in Zürich")),
        ("Uses AWS daily.", "Uses ＡＷＳ daily."),
    ],
)
def test_what_is_forgotten_stays_forgotten(text: str, again: str):
    """In any spelling, until the user says it anew."""
    talk = Talk([edits(observation(text)), FORGET_K1, edits(observation(again)), edits(observation(again))], ["ok"] * 4)
    talk.say(text, "Please forget that", "What is the weather in Paris?")
    assert [] == [found for found in talk.machine.learnings(ALEX) if found.kind == "observation"]

    talk.say(again)
    assert 1 == len([found for found in talk.machine.learnings(ALEX) if found.kind == "observation"])


def test_an_echo_of_what_was_forgotten_is_not_stored_later_either():
    """The agent still sees its thread, and may repeat what the user wants forgotten."""
    talk = Talk(
        [edits(observation("Has epilepsy")), FORGET_K1, edits()],
        ["Noted.", "Done.", "With EPILEPSY, avoid flashing slides."],
    )
    talk.say("I have epilepsy.", "Forget that I have epilepsy.", "What should I mind with slides?")

    assert "epilepsy" not in talk.messages.casefold()
    assert "What should I mind" in talk.messages


def test_what_was_forgotten_is_not_among_what_was_said_before():
    """The next extraction of the thread is shown neither the statement, nor the request, nor the answers to them."""
    talk = Talk(
        [edits(observation("Has epilepsy")), FORGET_K1, edits(), edits()],
        ["Epilepsy, I see.", "No epilepsy then.", "ok", "ok"],
    )
    talk.say_in("one", "I have fits, from epilepsy.", "Forget my epilepsy.", "Which train?", "And which bus?")

    assert "epilepsy" not in prompt(learner(talk.machine).shown[-1])
    assert "Which train?" in prompt(learner(talk.machine).shown[-1])


def test_the_session_forgets_too(postgres_store: HybridPostgresStore):
    """Neither the stored session nor the thread's state holds it, and a summary that mentions it is not written."""
    summary = edit("session", summary="The user has epilepsy and plans slides")
    answers = [
        edits(observation("Has epilepsy"), summary),
        edits(edit("forget", replaces="k1"), edit("session", summary="Forgot that the user has epilepsy")),
        edits(),
    ]
    learning = machine(answers, [UserMemory(), SessionContext()], store=postgres_store)
    shown: list[str] = []

    def agent(state: MessagesState) -> dict[str, Any]:
        shown.append(prompt(state["messages"][-1:]))
        return {"messages": [AIMessage("ok")]}

    graph = learning.wrap(agent, checkpointer=InMemorySaver())
    for text in ("I have epilepsy and plan slides", "Forget that I have epilepsy", "Go on"):
        graph.invoke(said(text), thread("a"), context=ALEX)

    assert "epilepsy" in shown[1], "until it is forgotten"
    assert "epilepsy" not in shown[2]
    assert not graph.get_state(thread("a")).values.get("learning_session")
    assert [] == learning.learnings(ALEX, thread_id="a")


def test_a_session_in_the_state_of_another_thread_is_not_used_any_more(postgres_store: HybridPostgresStore):
    """The statement was made there, and the thread's state still has the summary."""
    answers = [edits(observation("Has epilepsy"), edit("session", summary="Epilepsy and slides")), edits()]
    learning = machine(answers, [UserMemory(), SessionContext()], store=postgres_store)
    shown: list[str] = []

    def agent(state: MessagesState) -> dict[str, Any]:
        shown.append(prompt(state["messages"][-1:]))
        return {"messages": [AIMessage("ok")]}

    graph = learning.wrap(agent, checkpointer=InMemorySaver())
    graph.invoke(said("I have epilepsy and plan slides"), thread("a"), context=ALEX)
    (known,) = learning.learnings(ALEX)
    learning.forget(ALEX, known.key)
    graph.invoke(said("Go on"), thread("a"), context=ALEX)

    assert "pilepsy" not in shown[1]
    assert not graph.get_state(thread("a")).values.get("learning_session")


def test_what_was_forgotten_in_words_cannot_be_undone(postgres_store: HybridPostgresStore):
    """The log knows that it was there, not what it was."""
    learning = machine([edits(observation("Has epilepsy")), FORGET_K1], store=postgres_store)
    graph = learning.wrap(lambda state: {"messages": [AIMessage("ok")]}, checkpointer=InMemorySaver())
    graph.invoke(said("I have epilepsy"), thread("a"), context=ALEX)
    (known,) = learning.learnings(ALEX)
    graph.invoke(said("Forget that"), thread("a"), context=ALEX)

    assert [None, None] == [change.before or change.after for change in learning.history(ALEX, known.key)]
    with pytest.raises(Conflict):
        learning.undo(ALEX, known.key, change=learning.history(ALEX, known.key)[0].id)


@pytest.mark.parametrize(
    ("request_", "scope", "kept"),
    [
        ("I am no longer training for a marathon.", Scope.USER, True),
        ("Forget that I train for a marathon.", Scope.USER, False),
        ("Forget that we train for a marathon.", Scope.TEAM, False),
        ("We are no longer training for a marathon.", Scope.TEAM, True),
    ],
)
def test_what_has_merely_ended_stays_as_history(
    postgres_store: HybridPostgresStore, request_: str, scope: Scope, kept: bool
):
    """The same edit retires both; the user's words decide."""
    answers = [edits(observation("Trains for a marathon")), FORGET_K1]
    learning = machine(answers, [UserMemory(scope=scope)], store=postgres_store)
    graph = learning.wrap(lambda state: {"messages": [AIMessage("ok")]}, checkpointer=InMemorySaver())
    graph.invoke(said("I train for a marathon, as we all do"), thread("a"), context=ALEX)
    (known,) = learning.learnings(ALEX)
    graph.invoke(said(request_), thread("a"), context=ALEX)

    assert [] == learning.learnings(ALEX)
    assert kept == any(change.after for change in learning.history(ALEX, known.key))


def test_a_user_who_asks_not_to_forget_is_not_taken_at_a_word():
    """ "Don't forget" corrects what is known, and keeps its history."""
    learning = machine(
        [edits(observation("Lives in Porto")), edits(observation("Lives in Turin", replaces="k1"))],
        store=InMemoryStore(),
    )
    graph = learning.wrap(lambda state: {"messages": [AIMessage("ok")]}, checkpointer=InMemorySaver())
    for text in ("I live in Porto", "Don't forget that I live in Turin now"):
        graph.invoke(said(text), thread("a"), context=ALEX)
    (known,) = learning.learnings(ALEX)

    assert ("Lives in Turin", 1) == (known.text, len(known.supersedes))


def marks_in(store):
    items = store.search(("learnings", "default", "user", "alex", FORGOTTEN))
    return [item for item in items if "fingerprints" in item.value]


def test_what_is_said_anew_may_be_noted_by_the_agents_words_again():
    """The mark is gone: the user has changed their mind."""
    store = InMemoryStore()
    answers = [edits(observation("Drinks tea")), FORGET_K1, edits(observation("Drinks tea"))]
    learning = machine(answers, store=store)
    graph = learning.wrap(lambda state: {"messages": [AIMessage("ok")]}, checkpointer=InMemorySaver())
    for text in ("I drink tea", "Forget that I drink tea"):
        graph.invoke(said(text), thread("a"), context=ALEX)
    marks = marks_in(store)
    graph.invoke(said("I drink tea again"), thread("a"), context=ALEX)

    assert 1 == len(marks)
    assert [] == marks_in(store)


@pytest.mark.parametrize(
    "request_",
    [
        "Off the record: I am looking for another job",
        "Merk dir das nicht: ich suche eine Stelle",
        "オフレコですが、転職を考えています",
    ],
)
def test_what_is_off_the_record_is_kept_nowhere(request_: str):
    """No model is asked about it, no message is stored, and no later extraction is shown it."""
    talk = Talk([edits()], ["I see.", "ok"])
    talk.say(request_)
    assert [] == learner(talk.machine).shown
    assert "[]" == talk.messages

    talk.say("Which train leaves at nine?")
    assert request_ not in prompt(learner(talk.machine).shown[0])


def test_what_is_off_the_record_is_not_shown_to_later_extractions_of_the_thread():
    """Not even as what was said before."""
    talk = Talk([edits()], ["I see.", "ok"])
    talk.say_in("one", "Off the record: I look for another job", "Which train leaves at nine?")

    assert "another job" not in prompt(learner(talk.machine).shown[0])
    assert "another job" not in talk.messages


def test_an_agent_saves_nothing_of_a_turn_off_the_record(postgres_store: HybridPostgresStore):
    """It is told so; an error of the agent is not noted with the user's words either."""
    learning = machine([], [UserMemory(mode=Mode.AGENTIC), BehavioralFeedback()], store=postgres_store)
    call = {"name": "save_observation", "args": {"observation": "Looks for another job", "replaces": None}, "id": "1"}
    script = [AIMessage("", tool_calls=[call]), ValueError("broken")]
    agent = create_agent(ScriptedModel(script), middleware=[learning.middleware()], store=postgres_store)
    with pytest.raises(ValueError, match="broken"):
        agent.invoke(said("Off the record: I look for another job"), context=ALEX)

    assert [] == learning.learnings(ALEX)


@pytest.mark.parametrize("request_", ["Forget that I have epilepsy.", "Please forget that."])
def test_what_is_forgotten_before_it_was_learnt_is_not_learnt(postgres_store: HybridPostgresStore, request_: str):
    """Both messages come to one extraction, which notes the first all the same."""
    extracted = edits(observation("Has epilepsy"), observation("Likes tea", 3))
    learning = machine([extracted], [UserMemory(), Episodes()], store=postgres_store)
    learning.learn([("user", "I have epilepsy"), ("ai", "Noted."), ("user", f"{request_} I like tea.")], ALEX)

    assert ["Likes tea"] == [found.text for found in learning.learnings(ALEX)]


@pytest.mark.parametrize("request_", ["Forget that I have epilepsy.", "Please forget that."])
def test_stored_messages_are_forgotten_although_nothing_else_is_known(
    postgres_store: HybridPostgresStore, request_: str
):
    """The extraction made nothing of them, so no line of its prompt can be forgotten."""
    learning = machine([NOTHING, NOTHING, NOTHING], [UserMemory(), Episodes()], store=postgres_store)
    graph = learning.wrap(
        lambda state: {"messages": [AIMessage("With epilepsy? I see.")]}, checkpointer=InMemorySaver()
    )
    for text in ("The weather is fine", "I have epilepsy", request_):
        graph.invoke(said(text), thread("a"), context=ALEX)

    kept = str([found.text for found in learning.learnings(ALEX) if "agent" not in found.text[:5]])
    assert "The weather is fine" in kept
    assert "I have epilepsy" not in kept
    assert "orget" not in kept


def test_who_forgets_their_keys_is_not_forgotten():
    """A statement about forgetting is no request."""
    talk = Talk([edits(observation("Always forgets the keys"))], ["Again?"])
    talk.say("I always forget my keys")

    assert "Always forgets the keys" in [found.text for found in talk.machine.learnings(ALEX)]
    assert "I always forget my keys" in talk.messages


PROPOSED_INSIGHT = edit(
    "insight", category="insight", title="Epilepsy", insight="We have epilepsy here", when_to_apply=None
)
SESSION = edit("session", summary="Epilepsy", goal="cope with epilepsy", plan=[], progress=None)


@pytest.mark.parametrize(
    ("stores", "extractions", "texts"),
    [
        ([UserMemory()], [edits(observation("Has epilepsy")), NOTHING], ["I have epilepsy", "Forget that I have epilepsy"]),
        (
            [UserMemory()],
            [edits(observation("Has epilepsy")), FORGET_K1, NOTHING],
            ["I have epilepsy", "I no longer have epilepsy", "Forget that I ever had epilepsy"],
        ),
        ([UserMemory(mode=Mode.PROPOSE)], [edits(observation("Has epilepsy")), NOTHING], ["I have epilepsy", "Forget my epilepsy"]),
        (
            [LearnedKnowledge(scope=Scope.TEAM, mode=Mode.PROPOSE)],
            [edits(PROPOSED_INSIGHT), NOTHING],
            ["We have epilepsy here", "Forget that we have epilepsy here"],
        ),
        (
            [UserMemory(), SessionContext(planning=True)],
            [edits(observation("Has epilepsy"), SESSION), edits(SESSION)],
            ["I have epilepsy", "Forget that I have epilepsy"],
        ),
        (
            [UserMemory(), EntityMemory()],
            [edits(observation("Has epilepsy"), edit("fact", entity="Alex", fact="has epilepsy", as_of=None)), FORGET_K1],
            ["I have epilepsy", "Forget that I have epilepsy"],
        ),
    ],
    ids=["not shown to the model", "ended before", "proposed", "proposed for the team", "session", "two kinds"],
)  # fmt: skip
def test_a_request_that_names_it_is_enough(stores: list[Any], extractions: list[Any], texts: list[str]):
    """Whatever the model makes of it: what the user names is forgotten by code, too."""
    store = InMemoryStore()
    learning = machine(extractions, [*stores, Episodes()], store=store)
    graph = learning.wrap(lambda state: {"messages": [AIMessage("Epilepsy?")]}, checkpointer=InMemorySaver())
    for text in texts:
        graph.invoke(said(text), thread("a"), context=ALEX)

    kept = json.dumps([item.value for item in store.search((), limit=1_000)])
    assert "pilepsy" not in kept


@pytest.mark.parametrize(
    ("known", "request_"),
    [
        ("Likes green tea", "Forget that I like tea"),
        ("Drinks wine", "Forget that I don't drink wine"),
        ("Earns 60,000 euros", "Forget that I earn 50,000 euros"),
        ("Lives in Oslo", "Forget that I live in Rome"),
        ("Likes tea", "Don't forget that I like tea"),
    ],
)
def test_what_is_near_to_a_request_is_left_to_the_model(known: str, request_: str):
    """Code forgets only what the user names for certain."""
    learning = machine([edits(observation(known)), NOTHING], store=InMemoryStore())
    graph = learning.wrap(lambda state: {"messages": [AIMessage("ok")]}, checkpointer=InMemorySaver())
    for text in (known, request_):
        graph.invoke(said(text), thread("a"), context=ALEX)

    assert [known] == [found.text for found in learning.learnings(ALEX)]
