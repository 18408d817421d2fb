"""Learnings can be listed and deleted, and learning and recall can be switched off."""

from typing import Any

import psycopg
import pytest
from concurrent_store import BusyStore
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from people import (
    ALEX,
    EVE,
    NOTHING,
    SAM,
    echo,
    edit,
    edits,
    learner,
    machine,
    notes_what_users_say,
    observation,
    prompt,
    said,
    thread,
)

from langgraph_learning import LearningContext, LearningMachine, Scope, SessionContext, UserMemory
from langgraph_learning.errors import Misconfigured, NotFound
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.testing import ScriptedModel


def talk_with(learning: LearningMachine, talk: ScriptedModel | None = None) -> Any:
    return learning.wrap(create_agent(talk or echo(), []), checkpointer=InMemorySaver())


def texts(learning: LearningMachine, context: LearningContext = ALEX) -> set[str]:
    return {learnt.text for learnt in learning.learnings(context)}


def test_learnings_lists_what_the_caller_could_be_shown(store: BaseStore):
    """The list is complete, even if there are more items than fit on one page of the store."""
    learning = machine(notes_what_users_say, [UserMemory(scope=Scope.TEAM)], store=store)
    agent = talk_with(learning)
    for n in range(3):
        agent.invoke({"messages": [("user", f"Fact {n}.{part}") for part in range(200)]}, thread(str(n)), context=ALEX)

    assert 600 == len(learning.learnings(SAM))
    assert set() == texts(learning, LearningContext(user_id="eve", team_ids=("rival",)))


def test_forget_removes_by_key_and_takes_the_history_along(store: BaseStore):
    """A superseded learning says the same thing in older words, so it is deleted as well."""
    learning = machine(
        [edits(observation("Likes tea")), edits(observation("Likes coffee", replaces="k1"))], store=store
    )
    agent = talk_with(learning)
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    agent.invoke(said("tea? No, coffee"), thread("a"), context=ALEX)
    (learnt,) = learning.learnings(ALEX)

    assert 2 == learning.forget(ALEX, learnt.key)
    assert [] == store.search(learnt.namespace)


def test_a_key_that_is_given_twice_is_forgotten_once(store: BaseStore):
    """The number of deleted learnings is right."""
    learning = machine(notes_what_users_say, store=store)
    talk_with(learning).invoke(said("I like tea"), thread("a"), context=ALEX)
    (learnt,) = learning.learnings(ALEX)

    assert 1 == learning.forget(ALEX, learnt.key, learnt.key)


def test_forget_without_keys_erases_all_that_is_private(store: BaseStore):
    """Learnings shared with the team remain."""
    learning = machine(notes_what_users_say, store=store)
    talk_with(learning).invoke(said("mine"), thread("a"), context=ALEX)
    shared = machine(notes_what_users_say, [UserMemory(scope=Scope.TEAM)], store=store)
    talk_with(shared).invoke(said("ours"), thread("b"), context=ALEX)

    assert 1 == learning.forget(ALEX)
    assert {"ours"} == texts(learning)


def test_what_was_removed_is_nowhere_in_the_database(postgres_store: HybridPostgresStore, database_url: str):
    """No item, text, vector or log entry holds it; the log keeps only the fact that something was deleted."""
    learning = machine(notes_what_users_say, store=postgres_store)
    talk_with(learning).invoke(said("My secret is Xylophone"), thread("a"), context=ALEX)
    (learnt,) = learning.learnings(ALEX)
    learning.forget(ALEX, learnt.key)

    with psycopg.connect(database_url) as connection:
        tables = ("learning_items", "learning_texts", "learning_changes")
        rows = str([connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables]).casefold()
    assert "xylophon" not in rows
    assert ["alex", "alex"] == [change.by for change in postgres_store.history(learnt.namespace, learnt.key)]


def test_nobody_removes_what_they_cannot_see(store: BaseStore):
    """Knowing or guessing a key does not help."""
    learning = machine(notes_what_users_say, store=store)
    talk_with(learning).invoke(said("mine"), thread("a"), context=ALEX)
    (learnt,) = learning.learnings(ALEX)

    with pytest.raises(NotFound):
        learning.forget(SAM, learnt.key)
    assert {"mine"} == texts(learning)


def test_of_a_forgotten_thread_only_marks_of_what_was_read_are_left(store: BaseStore):
    """Neither its session, nor the records of its answers, nor any text."""
    answers = [edits(observation("Likes tea"), edit("session", summary="Tea")), edits(edit("session", summary="More"))]
    learning = machine(answers, [UserMemory(), SessionContext()], store=store)
    agent = talk_with(learning)
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    agent.invoke(said("Which tea?"), thread("a"), context=ALEX)
    kinds = {item.namespace[-1] for item in store.search(("learnings", "default", "thread", "a"))}
    learning.forget_thread(ALEX, "a")

    assert {"cursor", "session_context", "shown"} == kinds
    assert {"cursor", "forgotten"} == {item.namespace[-1] for item in store.search(("learnings",))}


@pytest.mark.parametrize("stranger", [SAM, EVE], ids=["of the team", "of another"])
def test_the_id_of_a_thread_opens_it_to_nobody_who_did_not_speak_there(
    postgres_store: HybridPostgresStore, stranger: LearningContext
):
    """A web service may hand on any id that a client sends: it lists nothing, tells no history and deletes nothing."""
    learning = machine([edits(edit("session", summary="A secret merger"))], [SessionContext()], store=postgres_store)
    talk_with(learning).invoke(said("About the merger"), thread("a"), context=ALEX)
    (session,) = learning.learnings(ALEX, thread_id="a")
    items = {item.key for item in postgres_store.search(("learnings",), limit=100)}

    assert [] == learning.learnings(stranger, thread_id="a")
    assert 0 == learning.forget_thread(stranger, "a")
    with pytest.raises(NotFound):
        learning.history(stranger, session.key, thread_id="a")
    assert items <= {item.key for item in postgres_store.search(("learnings",), limit=100)}
    assert 1 == len(learning.history(ALEX, session.key, thread_id="a"))


def test_a_thread_of_two_people_is_open_to_both(store: BaseStore):
    """Whoever spoke in it sees its session."""
    answers = [edits(edit("session", summary="Alex asked")), edits(edit("session", summary="Sam joined"))]
    learning = machine(answers, [SessionContext()], store=store)
    agent = talk_with(learning)
    agent.invoke(said("Any news"), thread("a"), context=ALEX)
    agent.invoke(said("Me too"), thread("a"), context=SAM)

    for context in (ALEX, SAM):
        assert ["Sam joined"] == [known.text for known in learning.learnings(context, thread_id="a")]


def test_forgetting_a_thread_keeps_what_other_threads_said_too(store: BaseStore):
    """The session and learnings that rest on this thread alone are deleted, and nothing is learnt again."""
    answers = [
        edits(observation("Likes tea"), observation("Has a cat"), edit("session", summary="Tea and cats")),
        edits(observation("Likes tea")),
        notes_what_users_say,
    ]
    learning = machine(answers, [UserMemory(), SessionContext()], store=store)
    agent = talk_with(learning)
    agent.invoke(said("tea, cat"), thread("a"), context=ALEX)
    agent.invoke(said("tea"), thread("b"), context=ALEX)
    removed = learning.forget_thread(ALEX, "a")

    assert 2 == removed
    assert {"Likes tea"} == texts(learning)
    assert [] == store.search(("learnings", "default", "thread", "a", "session_context"))
    agent.invoke(said("something new"), thread("a"), context=ALEX)
    assert {"Likes tea", "something new"} == texts(learning)


def test_what_the_user_asked_to_forget_is_not_learnt_again(store: BaseStore):
    """The learning is deleted, its words are in no later prompt, and what an extraction makes of it again is left out."""
    answers = [
        edits(observation("Lives in Rome")),
        edits({"edit": "forget", "replaces": "k1", "message": 1}),
        edits(observation("Lives in Rome")),
        NOTHING,
    ]
    learning, talk = machine(answers, store=store), echo()
    agent = talk_with(learning, talk)
    agent.invoke(said("I live in Rome"), thread("a"), context=ALEX)
    agent.invoke(said("Forget where I live"), thread("a"), context=ALEX)
    assert set() == texts(learning)

    agent.invoke(said("What is new in town?"), thread("a"), context=ALEX)
    agent.invoke(said("What is new in town?"), thread("b"), context=ALEX)

    assert "Rome" not in prompt(learner(learning).shown[2]), "not even among what was said before"
    assert set() == texts(learning)
    assert "Rome" not in prompt(talk.shown[-1])


def test_what_was_forgotten_is_learnt_when_the_user_says_it_anew():
    """A user may change their mind."""
    answers = [
        edits(observation("Lives in Rome")),
        edits({"edit": "forget", "replaces": "k1", "message": 1}),
        edits(observation("Lives in Rome")),
    ]
    learning = machine(answers, store=InMemoryStore())
    agent = talk_with(learning)
    for text in ("I live in Rome", "Forget that I live in Rome", "By the way, she lives in Rome and so do I"):
        agent.invoke(said(text), thread("a"), context=ALEX)

    assert {"Lives in Rome"} == texts(learning)


def test_what_is_forgotten_now_is_not_learnt_by_the_same_breath():
    """A request to forget repeats what it is about, and must not teach it again."""
    answers = [
        edits(observation("Lives in Rome")),
        edits({"edit": "forget", "replaces": "k1", "message": 1}, observation("Lives in Rome")),
    ]
    learning = machine(answers, store=InMemoryStore())
    agent = talk_with(learning)
    for text in ("I live in Rome", "Forget that she lives in Rome"):
        agent.invoke(said(text), thread("a"), context=ALEX)

    assert set() == texts(learning)


def test_learning_can_be_switched_off(store: BaseStore):
    """No model is called and nothing is written; recall still works."""
    learning = machine([edits(observation("Likes tea"))], store=store)
    talk = echo()
    agent = talk_with(learning, talk)
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    agent.invoke(said("tea? I like milk"), thread("b"), context=ALEX.model_copy(update={"learn": False}))

    assert 1 == len(learner(learning).calls)
    assert {"Likes tea"} == texts(learning)
    assert "Likes tea" in prompt(talk.shown[-1])


@pytest.mark.parametrize("way", ["wrap", "middleware"])
def test_what_was_said_off_the_record_is_not_learnt_later_either(store: BaseStore, way: str):
    """The next turn of the thread learns from its own messages, and from none before."""
    learning = machine(notes_what_users_say, store=store)
    with_middleware = {"middleware": [learning.middleware()], "store": store, "checkpointer": InMemorySaver()}
    agent = talk_with(learning) if way == "wrap" else create_agent(echo(), [], **with_middleware)
    agent.invoke(said("I look for another job"), thread("a"), context=ALEX.model_copy(update={"learn": False}))
    agent.invoke(said("I like milk"), thread("a"), context=ALEX)

    assert {"I like milk"} == texts(learning)


def test_off_the_record_means_so_beside_another_turn_of_the_thread(postgres_store: HybridPostgresStore):
    """The other turn marks its messages as read just before this one marks those to skip."""
    cursor = ("learnings", "default", "thread", "a", "cursor")
    busy = BusyStore(postgres_store, lambda n: postgres_store.put(cursor, "read", {"marks": []}) if n == 2 else None)
    learning = machine(notes_what_users_say, store=busy)
    agent = talk_with(learning)
    for text, on_record in (("I look for another job", False), ("I like milk", True)):
        agent.invoke(said(text), thread("a"), context=ALEX.model_copy(update={"learn": on_record}))

    assert {"I like milk"} == texts(learning)


def test_recall_can_be_switched_off(store: BaseStore):
    """The agent sees no learnings; learning still works."""
    learning, talk = machine(notes_what_users_say, store=store), echo()
    agent = talk_with(learning, talk)
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    agent.invoke(said("I like milk"), thread("b"), context=ALEX.model_copy(update={"recall": False}))

    assert ["I like milk"] == [message.text for message in talk.shown[-1]]
    assert {"I like tea", "I like milk"} == texts(learning)


def test_a_shadow_machine_learns_and_shows_nothing(store: BaseStore):
    """Shadow mode shows on real traffic what would be learnt, before any agent uses it."""
    learning, talk = machine(notes_what_users_say, store=store, shadow=True, stream_texts=True), echo()
    agent = talk_with(learning, talk)
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    events = list(agent.stream(said("tea?"), thread("b"), context=ALEX, stream_mode="custom"))

    assert ["tea?"] == [message.text for message in talk.shown[-1]]
    assert ["I like tea"] == [learnt["text"] for learnt in events[0]["learning"]["recalled"]]


async def test_looking_and_forgetting_work_in_async_too(astore: BaseStore):
    """The same lines."""
    learning = machine(notes_what_users_say, store=astore)
    await talk_with(learning).ainvoke(said("mine"), thread("a"), context=ALEX)

    assert ["mine"] == [learnt.text for learnt in await learning.alearnings(ALEX)]
    assert 1 == await learning.aforget_thread(ALEX, "a")
    assert 0 == await learning.aforget(ALEX)


def test_looking_without_a_store_says_what_to_do():
    """Outside a run there is no store to take."""
    with pytest.raises(Misconfigured, match="store=store"):
        machine([]).learnings(ALEX)


def test_an_item_that_is_no_learning_is_skipped_and_logged(caplog: pytest.LogCaptureFixture):
    """An item of another shape in our namespace breaks no run, and is logged."""
    store = InMemoryStore()
    store.put(("learnings", "default", "user", "alex", "user_memory"), "raw", {"status": "active", "text": "?"})

    assert [] == machine([], store=store).learnings(ALEX)
    assert "raw" in caplog.text


def test_a_session_goes_with_its_thread_and_what_was_taught_stays(store: BaseStore):
    """Of somebody else's thread nothing is deleted, and nothing of the other users of a thread."""
    session = edit("session", summary="Talks", goal=None, plan=[], progress=None)
    answer = lambda shown: edits(session, *notes_what_users_say(shown)["edits"])  # noqa: E731
    learning = machine(answer, [SessionContext(), UserMemory()], store=store)
    agent = talk_with(learning)
    for context, text in ((ALEX, "I like tea"), (SAM, "I like milk")):
        agent.invoke(said(text), thread("room"), context=context)
    of_thread = ("learnings", "default", "thread", "room")
    by_stranger = learning.forget_session(EVE, "room"), len(store.search(of_thread, limit=100))
    by_alex = learning.forget_session(ALEX, "room"), [item.key for item in store.search(of_thread, limit=100)]
    learning.forget_session(SAM, "room")
    left = store.search(of_thread, limit=100)

    assert 0 == by_stranger[0] < by_stranger[1]
    assert 0 < by_alex[0]
    assert "read" in by_alex[1], "Sam's turns are marked as read"
    assert 3 == len(left), "one for each who called"
    assert all({"version", "at", "session_only"} == item.value.keys() for item in left), "only when it was deleted"
    assert {"I like tea"} == texts(learning)
    assert {"I like milk"} == texts(learning, SAM)
