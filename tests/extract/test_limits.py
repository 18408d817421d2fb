"""Limits: what is over one is reported, and everything else is learnt."""

from secrets import token_urlsafe
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from people import (
    ALEX,
    NOTHING,
    SAM,
    conversation,
    echo,
    edit,
    edits,
    learner,
    machine,
    notes_what_users_say,
    observation,
    said,
    thread,
)

from langgraph_learning import (
    BehavioralFeedback,
    Episodes,
    LearnedKnowledge,
    LearningStore,
    Mode,
    Record,
    SessionContext,
    UserMemory,
)
from langgraph_learning.core.limits import MAX_DATA_CHARS, MAX_EDITS, MAX_TEXT_CHARS
from langgraph_learning.errors import InvalidFields
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.stores.base import Note
from langgraph_learning.testing import ScriptedModel

LONG = "word " * MAX_TEXT_CHARS


def learn(answer: Any, stores: Any = None, text: str = "Any news") -> tuple[set[str], list[str]]:
    """Learn from one turn; return the beginnings of what was learnt, and the errors."""
    learning = machine(answer, stores, store=InMemoryStore())
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    result = agent.invoke(said(text), thread("a"), context=ALEX)
    return {learnt.text[:60] for learnt in learning.learnings(ALEX, thread_id="a")}, result.get("learning_errors", [])


@pytest.mark.parametrize("length", [MAX_TEXT_CHARS + 1, 10_000_000])
def test_a_model_may_shorten_what_was_too_long(length: int):
    """It is told so once; what it does not shorten is dropped and reported, in few words."""
    again = [edits(observation("y" * length), observation("Likes tea")), edits(observation("Shortened"))]
    stubborn = [edits(observation("y" * length), observation("Likes tea")), edits(observation("y" * length))]
    learnt, errors = learn(stubborn)

    assert ({"Likes tea", "Shortened"}, []) == learn(again)
    assert {"Likes tea"} == learnt
    assert f"too long: {length:,} characters, of at most 8,000" in errors[0]
    assert 2_000 > len(errors[0])


def test_the_longest_learning_is_learnt():
    """The limit itself is allowed."""
    learnt, errors = learn([edits(observation("x" * MAX_TEXT_CHARS))])

    assert (1, []) == (len(learnt), errors)


class Recipe(Record):
    """A recipe."""

    title: str
    steps: list[str]

    def as_text(self) -> str:
        """Return the title alone."""
        return self.title


@pytest.mark.parametrize(
    ("store", "too_long"),
    [
        (
            SessionContext(planning=True),
            edit("session", summary="s", goal="g", plan=[{"text": "p" * 100, "status": "open"}] * 100, progress=None),
        ),
        (LearningStore(name="recipes", record=Recipe), edit("recipe", title="Soup", steps=["stir"] * MAX_DATA_CHARS)),
        (
            LearnedKnowledge(),
            edit("insight", category="insight", title="T", insight="i " * 9_000, when_to_apply=None),
        ),
    ],
    ids=["session", "custom", "insight"],
)
def test_fields_that_are_long_together_are_too_long(store: LearningStore, too_long: Any):
    """Fields that are not part of the text count as well."""
    learnt, errors = learn([edits(too_long, observation("Likes tea")), edits(too_long)], [store, UserMemory()])

    assert {"Likes tea"} == learnt
    assert "too long" in errors[0]


@pytest.mark.parametrize("count", [MAX_EDITS + 1, 2_000, 20_000])
def test_the_first_edits_of_an_answer_count(count: int):
    """More are a model that repeats itself; the message is read all the same, and not asked about again."""
    learnt, errors = learn([edits(*(observation(f"Thing {number}") for number in range(count)))])

    assert {f"Thing {number}" for number in range(MAX_EDITS)} == learnt
    assert [f"the answer has {count:,} edits: only the first {MAX_EDITS} count"] == errors


def test_a_tool_saves_nothing_that_is_too_long():
    """The agent is told, and may save something shorter."""
    calls = [
        AIMessage("", tool_calls=[{"name": "save_observation", "args": {"observation": text}, "id": f"c{number}"}])
        for number, text in enumerate((LONG, "Likes tea"))
    ]
    learning = machine(lambda shown: NOTHING, [UserMemory(mode=Mode.AGENTIC)], store=InMemoryStore())
    talk = ScriptedModel([*calls, "done"])
    agent = create_agent(talk, [], middleware=[learning.middleware()], checkpointer=InMemorySaver())
    result = agent.invoke(said("I like tea"), thread("a"), context=ALEX)

    assert ["Likes tea"] == [learnt.text for learnt in learning.learnings(ALEX)]
    assert any("too long" in message.text for message in result["messages"])


def test_feedback_and_corrections_of_a_reviewer_have_the_same_limit():
    """They raise an error, for a person reads it."""
    lesson = edit("insight", category="insight", title="Deploys", insight="Never on Fridays", when_to_apply=None)
    stores = [LearnedKnowledge(mode=Mode.PROPOSE), BehavioralFeedback()]
    learning = machine([edits(lesson)], stores, store=InMemoryStore())
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    answer = agent.invoke(said("A lesson"), thread("a"), context=ALEX)["messages"][-1]
    (proposal,) = learning.review.list(ALEX)

    with pytest.raises(InvalidFields, match="too long"):
        learning.feedback(ALEX, "a", str(answer.id), LONG)
    with pytest.raises(InvalidFields, match="too long"):
        learning.review.approve(SAM.model_copy(update={"user_id": "alex"}), proposal.key, fields={"insight": LONG})
    assert proposal.key == learning.review.approve(ALEX, proposal.key, fields={"insight": "Never"}).key


class Said(Record):
    """A whole message."""

    words: str


class Sayings(LearningStore):
    """Notes every message whole."""

    name = "sayings"
    observed_records = (Said,)

    def observe(self, turn: Any, new: Any) -> Any:
        """Note each message."""
        return [Note(Said(words=line.message.text), line) for line in new if line.channel == "user"]


def test_a_long_message_is_kept_as_far_as_it_is_read_and_a_store_of_ones_own_keeps_no_more():
    """The verbatim store cuts it with a mark; what other code notes without limit is dropped and reported."""
    learnt, errors = learn([NOTHING], [Episodes(), Sayings(), UserMemory()], "My story " * MAX_DATA_CHARS)

    assert [True, True] == sorted(text.startswith(("alex (", "agent (")) for text in learnt)
    assert ["dropped what sayings noted: too long: 288,000 characters, of at most 32,000"] == errors


def test_a_long_thread_is_read_once():
    """More messages than a cursor remembers one by one are not read again by later turns."""
    learning = machine(lambda shown: NOTHING, store=InMemoryStore())
    agent = learning.wrap(lambda state: {"messages": [AIMessage("ok")]}, checkpointer=InMemorySaver())
    history = [HumanMessage(f"Fact {n}") if n % 2 else AIMessage("ok") for n in range(2_500)]
    for _ in range(4):  # as many messages as several turns may read
        agent.invoke({"messages": history}, thread("a"), context=ALEX)
        history = [HumanMessage("more")]
    agent.invoke(said("Last"), thread("a"), context=ALEX)

    assert ["Last", "ok"] == [text for _, _, text in conversation(learner(learning).calls[-1].messages)]


@pytest.mark.parametrize(
    "id_", [token_urlsafe(10_000), "\u8336" * 900, "a\0b", "a.b/c"], ids=["long", "wide", "NUL", "dot"]
)
@pytest.mark.parametrize("role", ["human", "ai"])
def test_no_id_of_a_message_stops_the_learning(postgres_store: HybridPostgresStore, role: str, id_: str):
    """Clients choose them. Feedback on an answer with such an id counts, too."""
    learning = machine(notes_what_users_say, [UserMemory(), Episodes(), BehavioralFeedback()], store=postgres_store)
    ids = {"human": None, "ai": None, role: id_}
    answer = AIMessage("Good", id=ids["ai"])
    agent = learning.wrap(lambda state: {"messages": [answer]}, checkpointer=InMemorySaver())
    result = agent.invoke({"messages": [HumanMessage("I like tea", id=ids["human"])]}, thread("a"), context=ALEX)
    learning.feedback(ALEX, "a", result["messages"][-1].id, "down", comment="Too short")

    assert "learning_errors" not in result
    assert {"I like tea", "Avoid: Too short"} <= {learnt.text for learnt in learning.learnings(ALEX)}
