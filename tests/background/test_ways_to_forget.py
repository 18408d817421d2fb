"""Forgetting has one effect, whoever forgets and when: also between the moment a job reads and the moment it writes."""

import asyncio
from functools import partial

import psycopg
import pytest
from concurrent_store import BusyStore
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from people import ALEX, echo, edit, edits, learner, machine, notes_what_users_say, observation, said, thread
from psycopg import sql
from typer.testing import CliRunner

from langgraph_learning import (
    Episodes,
    LearnedKnowledge,
    LearningContext,
    Scope,
    SessionContext,
    UserMemory,
)
from langgraph_learning.background.schedule import Schedule
from langgraph_learning.cli import app
from langgraph_learning.core.policy import Sharing
from langgraph_learning.testing import ScriptedModel

LATER = Schedule(quiet=30, at_latest=60)
FORGET = edits(edit("forget", replaces="k1"))
KNOWN = edits(
    observation("Has epilepsy"),
    edit("insight", category="insight", title="Epilepsy", insight="I have epilepsy", when_to_apply=None),
    edit("session", summary="Alex has epilepsy"),
)


def make(store, answers, **options):
    stores = [
        UserMemory(tools=True),
        SessionContext(),
        Episodes(name="chats"),
        LearnedKnowledge(scope=Scope.TEAM, sharing=Sharing.after(3)),
    ]
    return machine(answers, stores, store=store, **options)


def by_the_application(store, url, keys):
    make(store, [], learn="queue").forget(ALEX, *keys)


def by_an_application_that_has_no_queue(store, url, keys):
    make(store, []).forget(ALEX, *keys)


def by_an_administrator(store, url, keys):
    options = ["--user", "alex", "--team", "acme", "--url", url]
    result = CliRunner().invoke(app, ["forget", *keys, *options], catch_exceptions=False)
    assert 0 == result.exit_code, result.output


def in_a_conversation(store, url, keys):
    """The model names one of them, code the others."""
    make(store, [FORGET]).wrap(echo()).invoke(said("Forget that I have epilepsy"), thread("z"), context=ALEX)


def in_an_old_conversation(store, url, keys):
    """It is read outside of a run."""
    make(store, [FORGET]).learn([("user", "Forget that I have epilepsy")], ALEX)


def in_a_conversation_that_a_worker_reads(store, url, keys):
    learning = make(store, [FORGET], learn="queue", schedule=Schedule(queue="other", quiet=0))
    learning.wrap(echo()).invoke(said("Forget that I have epilepsy"), thread("z"), context=ALEX)
    learning.worker().drain()


def by_the_agent(store, url, keys):
    calls = [{"name": "forget_learning", "args": {"key": key}, "id": key} for key in keys]
    model = ScriptedModel([AIMessage("", tool_calls=calls), "Done."])
    learning = make(store, [edits()])
    agent = create_agent(model, middleware=[learning.middleware()], store=store)
    agent.invoke(said("Forget my illness"), thread("z"), context=ALEX)


WAYS = [
    by_the_application,
    by_an_application_that_has_no_queue,
    by_an_administrator,
    in_a_conversation,
    in_an_old_conversation,
    in_a_conversation_that_a_worker_reads,
    by_the_agent,
]


def words_in_database(url):
    """Return all that the tables hold, as text, by the name of the table."""
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    with psycopg.connect(url) as connection:
        names = [name for (name,) in connection.execute(tables)]
        select = sql.SQL("SELECT each::text FROM {} AS each")
        return {name: str(connection.execute(select.format(sql.Identifier(name))).fetchall()) for name in names}


def where_it_says(word, url):
    return {name for name, rows in words_in_database(url).items() if word in rows.lower()}


@pytest.mark.parametrize("forget", WAYS)
def test_no_word_is_left_and_nothing_brings_it_back(postgres_store, database_url, forget):
    """Neither in learnings, their history, sessions, messages and candidates, nor in jobs that wait."""
    learning = make(postgres_store, [KNOWN, notes_what_users_say], learn="queue", schedule=LATER)
    agent = learning.wrap(echo())
    agent.invoke(said("I have epilepsy"), thread("a"), context=ALEX)
    learning.worker().drain()
    agent.invoke(said("My epilepsy is better"), thread("b"), context=ALEX)
    keys = [one.key for one in learning.learnings(ALEX) if one.kind in ("observation", "insight")]
    waiting = where_it_says("epilepsy", database_url)
    forget(postgres_store, database_url, keys)
    forgotten = where_it_says("epilepsy", database_url)
    learning.worker().drain()

    assert 2 == len(keys)
    assert {"learning_items", "procrastinate_jobs"} <= waiting
    assert (set(), set()) == (forgotten, where_it_says("epilepsy", database_url))


def test_a_preview_leaves_jobs_as_they_are(postgres_store, database_url):
    """It writes nothing, neither in the store nor in the queue."""
    learning = make(postgres_store, [KNOWN, FORGET], learn="queue", schedule=LATER)
    learning.learn([("user", "I have epilepsy")], ALEX)
    learning.wrap(echo()).invoke(said("My epilepsy is better"), thread("b"), context=ALEX)
    learning.preview([("user", "Forget that I have epilepsy")], ALEX)

    assert {"learning_items", "procrastinate_jobs"} <= where_it_says("epilepsy", database_url)


def forget_by_key(learning, key):
    learning.forget(ALEX, key)


def forget_everything(learning, key):
    learning.forget(ALEX)
    learning.forget_session(ALEX, "a")


def forget_the_thread(learning, key):
    learning.forget(ALEX, key)
    learning.forget_thread(ALEX, "b")


class TestMeanwhile:
    """A worker's model answers after something was forgotten."""

    def leave_job(self, store, forget, *later):
        """Learn that Alex has epilepsy, and leave a job during which it is forgotten."""

        def answer(shown):
            number = len(learner(learning).calls)
            if number == 1:
                return KNOWN
            if number > 2:
                return notes_what_users_say(shown)
            (known,) = [one for one in learning.learnings(ALEX) if one.kind == "observation"]
            forget(learning, known.key)
            if later:
                raise later[0]
            return edits(observation("Has epilepsy"), edit("session", summary="Alex has epilepsy"))

        learning = make(store, answer, learn="queue", schedule=Schedule(quiet=0))
        agent = learning.wrap(echo())
        agent.invoke(said("I have epilepsy"), thread("a"), context=ALEX)
        learning.worker().drain()
        both = [("user", "As I said, I have epilepsy"), ("user", "I drink green tea")]
        agent.invoke({"messages": both}, thread("b"), context=ALEX)
        return learning

    @pytest.mark.parametrize("forget", [forget_by_key, forget_everything, forget_the_thread])
    def test_nothing_of_it_is_written(self, postgres_store, database_url, forget):
        """The rest of the conversation is learnt, unless all of it was to be forgotten."""
        learning = self.leave_job(postgres_store, forget)
        learning.worker().drain()

        assert set() == where_it_says("epilepsy", database_url)
        assert (forget is forget_by_key) == ("I drink green tea" in [one.text for one in learning.learnings(ALEX)])

    @pytest.mark.parametrize("forget", [forget_by_key, forget_everything, forget_the_thread])
    def test_a_job_that_fails_then_waits_without_it(self, postgres_store, database_url, forget):
        """When it runs again, it learns what may be learnt."""
        learning = self.leave_job(postgres_store, forget, ConnectionError("down"))
        learning.worker().drain()
        failed = where_it_says("epilepsy", database_url)
        learning.jobs.hurry()
        learning.worker().drain()

        assert (set(), set()) == (failed, where_it_says("epilepsy", database_url))
        assert (forget is forget_by_key) == ("I drink green tea" in [one.text for one in learning.learnings(ALEX)])
        assert 0 == learning.jobs.pending()


TAUGHT = edits(observation("Drinks green tea"), edit("session", summary="Alex talks about tea"))
OF_THREAD = ("learnings", "default", "thread", "a")


def left_of_the_thread(store):
    """The keys of all fields that the items of a thread have."""
    return [sorted(item.value) for item in store.search(OF_THREAD, limit=100)]


@pytest.mark.parametrize("turns", [1, 2])
@pytest.mark.parametrize("awaited", [False, True])
def test_a_thread_that_is_deleted_during_an_extraction_leaves_nothing(postgres_store, turns, awaited):
    """What the turn taught is learnt, and only the time of the deletion stays in the thread."""

    def answer(shown):
        if len(learner(learning).calls) == turns:
            learning.forget_session(ALEX, "a")
        return TAUGHT

    learning = make(postgres_store, answer)
    agent = learning.wrap(echo())
    for turn in range(turns):
        call = partial(agent.invoke, said(f"I drink green tea {turn}"), thread("a"), context=ALEX)
        asyncio.run(agent.ainvoke(*call.args, **call.keywords)) if awaited else call()

    assert [["at", "session_only", "version"]] == left_of_the_thread(postgres_store)
    assert "Drinks green tea" in [one.text for one in learning.learnings(ALEX)]


def test_a_job_of_a_deleted_thread_leaves_nothing_there(postgres_store):
    """It is learnt from all the same; a later turn in a thread of this name has a session again."""
    learning = make(postgres_store, [TAUGHT] * 3, learn="queue", schedule=LATER)
    learning.wrap(echo()).invoke(said("I drink green tea"), thread("a"), context=ALEX)
    learning.forget_session(ALEX, "a")
    learning.worker().drain()
    after = left_of_the_thread(postgres_store)
    make(postgres_store, [TAUGHT]).wrap(echo()).invoke(said("I drink green tea"), thread("a"), context=ALEX)

    assert [["at", "session_only", "version"]] == after
    assert "Drinks green tea" in [one.text for one in learning.learnings(ALEX)]
    assert any("summary" in item.value.get("data", {}) for item in postgres_store.search(OF_THREAD, limit=100))


def test_a_deleted_thread_that_was_forgotten_stays_forgotten(postgres_store):
    """What waits is not learnt, although its session is deleted afterwards."""
    learning = make(postgres_store, [TAUGHT] * 3, learn="queue", schedule=LATER)
    learning.wrap(echo()).invoke(said("I drink green tea"), thread("a"), context=ALEX)
    learning.forget_thread(ALEX, "a")
    learning.forget_session(ALEX, "a")
    learning.worker().drain()

    assert [] == learning.learnings(ALEX)


def say_it(store, user):
    """The extraction in the run learns it."""
    learning = make(store, [edits(observation("Has epilepsy"))] * 3)
    learning.wrap(echo()).invoke(said("As I said, I have epilepsy"), thread("b"), context=user)


def have_it_saved(store, user):
    """The agent's tool saves it."""
    call = {"name": "save_observation", "args": {"observation": "Has epilepsy"}, "id": "1"}
    model = ScriptedModel([AIMessage("", tool_calls=[call]), "Done."])
    agent = create_agent(model, middleware=[make(store, [edits()] * 3).middleware()], store=store)
    agent.invoke(said("As I said, I have epilepsy"), thread("b"), context=user)


class ForgetsOnce:
    """Has a user's learning forgotten before a request to the store."""

    def __init__(self, learning, user, keys, before):
        self.learning, self.user, self.keys, self.before = learning, user, keys, before
        self.done = False

    def __call__(self, batches):
        if batches == self.before:
            self.done = True
            self.learning.forget(self.user, *self.keys)


@pytest.mark.parametrize("act", [say_it, have_it_saved])
@pytest.mark.parametrize("everything", [False, True])
def test_at_any_moment_of_a_run(postgres_store, act, everything):
    """Whichever of its requests to the store it comes before, nothing of it is left after the run."""
    left, moments = [], 0
    while True:
        user = LearningContext(user_id=f"user{moments}", team_ids=("acme",))
        learning = make(postgres_store, [edits(observation("Has epilepsy"))])
        learning.learn([("user", "I have epilepsy")], user)
        keys = [one.key for one in learning.learnings(user) if one.kind == "observation"]
        forget = ForgetsOnce(learning, user, [] if everything else keys, moments)
        act(BusyStore(postgres_store, forget), user)
        if not forget.done:
            break
        left += [(moments, one.kind) for one in learning.learnings(user) if "epilepsy" in one.text]
        moments += 1

    assert moments > 3
    assert [] == left
