"""Learning in workers: a job per thread in the store's database, recorded before the answer, done once."""

import asyncio
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Barrier

import psycopg
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt
from people import (
    ALEX,
    SAM,
    conversation,
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

from langgraph_learning import Episodes, UserMemory
from langgraph_learning.background.conversations import CheckpointReader
from langgraph_learning.background.dispatch import Work, make_args
from langgraph_learning.background.estimate import estimate_cost
from langgraph_learning.background.learner import make_turn
from langgraph_learning.background.queue import JobArgs, JobStatus
from langgraph_learning.background.runner import Runner
from langgraph_learning.background.schedule import Schedule
from langgraph_learning.background.usage import RESERVED_FOR, read_spent, user_namespace
from langgraph_learning.core.flow import drive
from langgraph_learning.core.scopes import Caller
from langgraph_learning.errors import Misconfigured, UnreadableAnswer
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.stores.base import Turn
from langgraph_learning.testing import ScriptedModel

LATER = Schedule(quiet=30, at_latest=60)


def queued(answers, store, stores=None, schedule=LATER, **options):
    return machine(answers, stores, store=store, learn="queue", schedule=schedule, **options)


def texts(learning, who=ALEX):
    return sorted(learnt.text for learnt in learning.learnings(who))


@pytest.fixture(params=["wrap", "middleware"])
def build(request, postgres_store):
    """Give a function that builds an agent in each of two forms."""

    def build(learning, model=None, checkpointer=None):
        if request.param == "wrap":
            return learning.wrap(model or echo(), checkpointer=checkpointer)
        return create_agent(
            model or echo(),
            middleware=[learning.middleware()],
            context_schema=type(ALEX),
            store=postgres_store,
            checkpointer=checkpointer,
        )

    return build


@pytest.mark.parametrize("saver", ["postgres", "memory", None])
def test_a_worker_learns_what_a_run_leaves(postgres_store, build, saver, request):
    """The run asks no model to extract; where its messages are makes no difference."""
    checkpointer = {"postgres": lambda: request.getfixturevalue("checkpointer"), "memory": InMemorySaver}.get(
        saver or "", lambda: None
    )()
    learning = queued(notes_what_users_say, postgres_store)
    agent = build(learning, checkpointer=checkpointer)
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    assert ([], 1) == (texts(learning), learning.jobs.pending())
    assert [] == learner(learning).calls
    learning.worker().drain()

    assert ["I like tea"] == texts(learning)
    assert 0 == learning.jobs.pending()
    assert "You said: I like tea" in learner(learning).shown[0][1].text


async def test_it_works_in_async_code(postgres_store, build, acheckpointer):
    """In the run and in the worker."""
    learning = queued(notes_what_users_say, postgres_store, schedule=Schedule(quiet=0))
    agent = build(learning, checkpointer=acheckpointer)
    async with learning.worker():
        await agent.ainvoke(said("I like tea"), thread("a"), context=ALEX)
        while not await learning.alearnings(ALEX):
            await asyncio.sleep(0.05)


def test_a_worker_in_a_thread_learns_beside_the_application(postgres_store, build, checkpointer):
    """`with machine.worker():` is all that a small set-up needs."""
    learning = queued(notes_what_users_say, postgres_store, schedule=Schedule(quiet=0))
    agent = build(learning, checkpointer=checkpointer)
    with learning.worker() as worker:
        agent.invoke(said("I like tea"), thread("a"), context=ALEX)
        while not texts(learning):
            pass

    assert not worker.state.working
    assert 1 == worker.state.learnt


def test_a_burst_of_messages_costs_one_extraction(postgres_store, build, checkpointer):
    """Messages join the job that waits; what is learnt is the same as from one conversation."""
    learning = queued(notes_what_users_say, postgres_store)
    agent = build(learning, checkpointer=checkpointer)
    for number in range(20):
        agent.invoke(said(f"I like tea number {number}"), thread("a"), context=ALEX)
    assert 1 == learning.jobs.pending()
    learning.worker().drain()

    assert 1 == len(learner(learning).calls)
    assert sorted(f"I like tea number {number}" for number in range(20)) == texts(learning)


def test_tomorrow_counts_from_the_time_when_it_was_said(postgres_store):
    """A job that runs a week later, here or on a server, reads the turn on its own day."""
    learning = queued(notes_what_users_say, postgres_store)
    last_week = datetime.now(UTC) - timedelta(days=7)
    message = HumanMessage("I move tomorrow", id="m1")
    turn = Turn(Caller("alex", teams=("acme",), thread="a"), (message,), last_week)
    args = make_args(Work(turn, postgres_store, None), [message], whole=True)
    drive(Runner(learning.learner, LATER).run(JobArgs.model_validate(args.model_dump(mode="json"))), postgres_store)

    assert f"Today is {last_week:%A, %Y-%m-%d}" in learner(learning).shown[0][0].text


@pytest.mark.parametrize("saver", ["postgres", "memory"])
def test_each_message_of_a_job_has_the_time_that_its_run_says(postgres_store, saver, request):
    """The newest is today's, and those before it are dated."""
    checkpointer = request.getfixturevalue("checkpointer") if saver == "postgres" else InMemorySaver()
    learning = queued(notes_what_users_say, postgres_store)
    agent = learning.wrap(echo(), checkpointer=checkpointer)
    for day, text in ((5, "I move tomorrow"), (6, "Today I pack")):
        now = datetime(2027, 3, day, 12, tzinfo=UTC)
        agent.invoke(said(text), thread("a"), context=ALEX.model_copy(update={"now": now}))
    assert 1 == learning.jobs.pending()
    learning.worker().drain()
    (shown,) = learner(learning).shown

    assert "Today is Saturday, 2027-03-06" in shown[0].text
    assert ["user alex (Friday, 2027-03-05)", "user alex"] == [
        who for _, who, _ in conversation(shown) if who != "agent"
    ]


def test_messages_join_until_a_job_has_waited_long_enough(postgres_store, checkpointer):
    """A thread that is never quiet is learnt from all the same."""
    learning = queued(notes_what_users_say, postgres_store)
    agent = learning.wrap(echo(), checkpointer=checkpointer)
    due = []
    for number in range(3):
        agent.invoke(said(f"I like tea number {number}"), thread("a"), context=ALEX)
        (job,) = learning.jobs.show()
        due.append(job.due - job.since)

    assert timedelta(seconds=30) <= due[0] <= due[2] <= timedelta(seconds=60)


def test_a_job_is_there_before_the_answer(postgres_store, build, checkpointer):
    """A process that dies in the answer leaves what the user said to a worker."""

    def die(shown):
        raise SystemExit("killed")

    learning = queued(notes_what_users_say, postgres_store)
    agent = build(learning, ScriptedModel(die), checkpointer)
    with pytest.raises(SystemExit):
        agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    assert 1 == learning.jobs.pending()
    learning.worker().drain()

    assert ["I like tea"] == texts(learning)


def test_a_message_that_came_in_meanwhile_is_left_to_its_own_job(postgres_store, checkpointer):
    """A worker may read the thread while the next message is being answered. It is not lost, and stays the user's."""

    def answer(shown):
        if "cake" in shown[-1].text:
            learning.worker().drain()  # the job of the first message runs now
        return "Fine."

    learning = queued(notes_what_users_say, postgres_store)
    agent = learning.wrap(ScriptedModel(answer), checkpointer=checkpointer)
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    postgres_store.run_sql(b"UPDATE procrastinate_jobs SET queueing_lock = 'its own'")
    agent.invoke(said("I like cake"), thread("a"), context=ALEX)
    learning.worker().drain()

    assert ["I like cake", "I like tea"] == texts(learning)


def test_two_users_of_one_thread_have_a_job_each(postgres_store, build, checkpointer):
    """Neither learns what the other one said."""
    learning = queued(notes_what_users_say, postgres_store)
    agent = build(learning, checkpointer=checkpointer)
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    agent.invoke(said("I like coffee"), thread("a"), context=SAM)
    assert 2 == learning.jobs.pending()
    assert 1 == learning.jobs.pending(ALEX)
    learning.worker().drain()

    assert (["I like tea"], ["I like coffee"]) == (texts(learning), texts(learning, SAM))


def test_a_turn_that_learns_nothing_is_not_learnt_by_the_job_of_another(postgres_store, build, checkpointer):
    """Also if an earlier message of the thread waits."""
    learning = queued(notes_what_users_say, postgres_store)
    agent = build(learning, checkpointer=checkpointer)
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    agent.invoke(said("off the record"), thread("a"), context=ALEX.model_copy(update={"learn": False}))
    agent.invoke(said("I like cake"), thread("a"), context=ALEX)
    learning.worker().drain()

    assert ["I like cake", "I like tea"] == texts(learning)


def test_a_fork_loses_nothing(postgres_store, checkpointer):
    """What was said in a branch that the thread left is in an older checkpoint."""
    learning = queued(notes_what_users_say, postgres_store)
    agent = learning.wrap(echo(), checkpointer=checkpointer)
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    before = next(state.config for state in agent.get_state_history(thread("a")) if not state.next)
    agent.invoke(said("I like coffee"), thread("a"), context=ALEX)
    agent.invoke(said("I like cocoa"), before, context=ALEX)
    learning.worker().drain()

    assert ["I like cocoa", "I like coffee", "I like tea"] == texts(learning)


def test_an_interrupted_run_is_learnt_once(postgres_store, checkpointer):
    """Whether a worker reads it during the pause or afterwards."""

    def ask(state):
        return {"messages": [AIMessage(f"You said {interrupt('sure?')}.")]}

    learning = queued(notes_what_users_say, postgres_store)
    agent = learning.wrap(ask, checkpointer=checkpointer)
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    assert 1 == learning.jobs.pending()
    learning.worker().drain()
    assert ["I like tea"] == texts(learning)
    agent.invoke(Command(resume="yes"), thread("a"), context=ALEX)
    learning.worker().drain()

    assert ["I like tea"] == texts(learning)
    assert [] == learning.jobs.show()


@pytest.mark.parametrize("learn", ["deferred", "queue"])
def test_a_copied_thread_learns_nothing_again(postgres_store, build, checkpointer, learn):
    """Though a model would say it in other words: what was read in the original is known in a copy, and in its copy."""
    again = count()

    def reword(shown):
        said = [(number, text) for number, who, text in conversation(shown) if who.startswith("user")]
        return edits(*(observation(f"{text} ({next(again)})", number) for number, text in said))

    learning = machine(reword, store=postgres_store, learn=learn, schedule=LATER)
    agent = build(learning, checkpointer=checkpointer)

    def talk(text, name):
        agent.invoke(said(text), thread(name), context=ALEX)
        if learn == "queue":
            learning.worker().drain()

    for number, name in enumerate(("a", "copy", "copy of the copy")):
        talk(f"I like {number}", name)
        copied = {"copy": "copy of the copy", "a": "copy"}.get(name)
        if copied:
            copy_thread(checkpointer, name, copied)
    talk("I like 3", "a")

    assert [f"I like {number}" for number in range(4)] == [text.split(" (")[0] for text in texts(learning)]


@pytest.mark.parametrize("first", ["a", "copy", "both at once"])
@pytest.mark.parametrize("saver", ["postgres", "memory"])
def test_a_thread_copied_while_its_learning_waits_is_learnt_from_once(postgres_store, request, saver, first):
    """Whichever of the two is learnt from first, and though a model words it anew each time."""
    again, checkpointer = count(), request.getfixturevalue("checkpointer") if saver == "postgres" else InMemorySaver()
    together = Barrier(2, timeout=60)

    def reword(shown):
        said = [(number, text) for number, who, text in conversation(shown) if who.startswith("user")]
        number = next(again)
        if first == "both at once" and number < 2:
            together.wait()
        return edits(*(observation(f"{text} ({number})", message) for message, text in said))

    learning = queued(reword, postgres_store)
    agent = learning.wrap(echo(), checkpointer=checkpointer)
    agent.invoke(said("I like 0"), thread("a"), context=ALEX)
    copy_thread(checkpointer, "a", "copy")
    agent.invoke(said("I like 1"), thread("copy"), context=ALEX)
    copy_thread(checkpointer, "copy", "copy of the copy")
    agent.invoke(said("I like 2"), thread("copy of the copy"), context=ALEX)
    if first == "both at once":
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: work_off(learning, postgres_store, name, checkpointer), ("a", "copy")))
    elif first == "copy":
        for name in ("copy of the copy", "copy", "a"):
            work_off(learning, postgres_store, name, checkpointer)
    worker = learning.worker(checkpointer=None if saver == "postgres" else checkpointer)
    worker.drain()
    agent.invoke(said("I like 3"), thread("a"), context=ALEX)
    worker.drain()

    assert [f"I like {number}" for number in range(4)] == [text.split(" (")[0] for text in texts(learning)]


def work_off(learning, store, name, checkpointer):
    """Learn from the job of a thread, as a worker does."""
    (row,) = store.run_sql(b"SELECT args FROM procrastinate_jobs WHERE args ->> 'thread' = %(name)s", {"name": name})
    runner = Runner(learning.learner, LATER, CheckpointReader(checkpointer))
    drive(runner.run(JobArgs.model_validate(row["args"])), store)


def copy_thread(checkpointer, name, copied):
    """Copy the newest checkpoint of a thread, as a server does."""
    newest = checkpointer.get_tuple(thread(name))
    config = {"configurable": {"thread_id": copied, "checkpoint_ns": ""}}
    versions = newest.checkpoint["channel_versions"]
    checkpointer.put(config, newest.checkpoint, newest.metadata, versions)


def test_a_deleted_thread_is_learnt_from_what_the_job_has(postgres_store, checkpointer):
    """The user's words are in the job, because it is written before the checkpoint."""
    learning = queued(notes_what_users_say, postgres_store)
    agent = learning.wrap(echo(), checkpointer=checkpointer)
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    checkpointer.delete_thread("a")
    learning.worker().drain()

    assert ["I like tea"] == texts(learning)


def test_a_store_that_learns_without_a_model_learns_in_the_worker_too(postgres_store, checkpointer):
    """The messages word for word, with the answer."""
    learning = queued(notes_what_users_say, postgres_store, [UserMemory(), Episodes()])
    agent = learning.wrap(echo(), checkpointer=checkpointer)
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    learning.worker().drain()
    kinds = [learnt.kind for learnt in learning.learnings(ALEX)]

    assert ["episode", "episode", "observation"] == sorted(kinds)


class TestFailures:
    def test_a_model_that_is_down_lets_jobs_wait(self, postgres_store, checkpointer):
        """Turns go on; everything is learnt when it is back."""
        down = [True]

        def answer(shown):
            if down:
                raise ConnectionError("down")
            return notes_what_users_say(shown)

        learning = queued(answer, postgres_store, on_error="report")
        agent = learning.wrap(echo(), checkpointer=checkpointer)
        for name in "abc":
            agent.invoke(said(f"I like {name}"), thread(name), context=ALEX)
        learning.worker().drain()
        waiting = learning.jobs.show()
        assert [(JobStatus.WAITING, 0, "ConnectionError: down")] * 3 == [
            (job.status, job.attempts, job.reason) for job in waiting
        ]
        down.clear()
        learning.worker().drain()

        assert ["I like a", "I like b", "I like c"] == texts(learning)

    def test_a_model_that_stays_down_has_its_jobs_set_aside(self, postgres_store, checkpointer):
        """After a day; then a person retries them."""
        answers = [ConnectionError("down"), ConnectionError("down"), notes_what_users_say]
        learning = queued(answers, postgres_store, on_error="report")
        agent = learning.wrap(echo(), checkpointer=checkpointer)
        agent.invoke(said("I like tea"), thread("a"), context=ALEX)
        learning.worker().drain()
        learning.learner.clock = lambda: datetime.now(UTC) + timedelta(days=1, minutes=1)
        learning.worker().drain()
        (job,) = learning.jobs.show(status=JobStatus.SET_ASIDE)
        assert "ConnectionError: down" == job.reason
        learning.jobs.retry(job.id)
        learning.worker().drain()

        assert ["I like tea"] == texts(learning)
        assert [] == learning.jobs.show()

    def test_a_refused_message_is_set_aside_and_the_rest_is_learnt(self, postgres_store, checkpointer):
        """It can be read again later."""
        strict = [True]

        def picky(shown):
            if strict and "bomb" in shown[1].text:
                raise UnreadableAnswer("The model refused to answer: no")
            return notes_what_users_say(shown)

        learning = queued(picky, postgres_store, on_error="report")
        agent = learning.wrap(echo(), checkpointer=checkpointer)
        for text in ("I like tea", "This is a bomb", "I live in Lisbon"):
            agent.invoke(said(text), thread("a"), context=ALEX)
        for _ in range(4):
            learning.worker().drain()
        (job,) = learning.jobs.show()
        assert ["I like tea", "I live in Lisbon"] == texts(learning)
        assert (JobStatus.SET_ASIDE, True) == (job.status, "refused to answer" in job.reason)
        strict.clear()
        learning.jobs.retry(job.id)
        learning.worker().drain()

        assert ["I like tea", "I live in Lisbon", "This is a bomb"] == texts(learning)
        assert [] == learning.jobs.show()

    def test_a_model_that_hangs_on_one_message_holds_up_no_other(self, postgres_store, checkpointer):
        """In the end each message is asked about by itself; the model answers otherwise, so it is not down."""

        def hang(shown):
            if any("riddle" in text for _, _, text in conversation(shown)):
                raise TimeoutError("there was no answer within 60 seconds")
            return notes_what_users_say(shown)

        learning = queued(hang, postgres_store, on_error="report")
        agent = learning.wrap(echo(), checkpointer=checkpointer)
        for text in ("I like tea", "A riddle", "I live in Lisbon"):
            agent.invoke(said(text), thread("a"), context=ALEX)
        for _ in range(8):
            learning.worker().drain()
        (job,) = learning.jobs.show()

        assert ["I like tea", "I live in Lisbon"] == texts(learning)
        assert (JobStatus.SET_ASIDE, True) == (job.status, "no answer within" in job.reason)

    def test_nonsense_is_set_aside(self, postgres_store, checkpointer):
        """With its reason, and no other thread is held up."""

        def answer(shown):
            return AIMessage("Blah.") if "tea" in shown[1].text else notes_what_users_say(shown)

        learning = queued(answer, postgres_store, on_error="report")
        agent = learning.wrap(echo(), checkpointer=checkpointer)
        agent.invoke(said("I like tea"), thread("a"), context=ALEX)
        agent.invoke(said("I like cake"), thread("b"), context=ALEX)
        for _ in range(5):
            learning.worker().drain()
        (job,) = learning.jobs.show()

        assert ["I like cake"] == texts(learning)
        assert (JobStatus.SET_ASIDE, "a") == (job.status, job.thread)

    def test_a_failed_job_joins_the_one_that_waits_by_then(self, postgres_store, checkpointer):
        """A message that comes while its thread is learnt from is in another job; a retry of the first joins it."""
        agent = None
        talked = []

        def talk_and_fail(shown):
            if not talked:
                talked.append(True)
                agent.invoke(said("I like cake"), thread("a"), context=ALEX)
                raise ConnectionError("down")
            return notes_what_users_say(shown)

        learning = queued(talk_and_fail, postgres_store, on_error="report")
        agent = learning.wrap(echo(), checkpointer=checkpointer)
        agent.invoke(said("I like tea"), thread("a"), context=ALEX)
        learning.worker().drain()
        assert 1 == learning.jobs.pending()
        learning.worker().drain()

        assert ["I like cake", "I like tea"] == texts(learning)
        assert [] == learning.jobs.show()

    def test_a_dropped_job_is_learnt_by_the_next_turn(self, postgres_store, checkpointer):
        """The messages are unread, whatever becomes of the job."""
        learning = queued(notes_what_users_say, postgres_store)
        agent = learning.wrap(echo(), checkpointer=checkpointer)
        agent.invoke(said("I like tea"), thread("a"), context=ALEX)
        (job,) = learning.jobs.show()
        learning.jobs.drop(job.id)
        assert 0 == learning.jobs.pending()
        agent.invoke(said("I like cake"), thread("a"), context=ALEX)
        learning.worker().drain()

        assert ["I like cake", "I like tea"] == texts(learning)

    def test_a_queue_that_is_down_costs_no_answer(self, postgres_store, checkpointer):
        """What could not be recorded is learnt with the next turn."""
        learning = queued(notes_what_users_say, postgres_store, on_error="report")
        agent = learning.wrap(echo(), checkpointer=checkpointer)
        agent.invoke(said("warm up"), thread("a"), context=ALEX)
        postgres_store.run_sql(b"ALTER TABLE procrastinate_jobs ADD CONSTRAINT down CHECK (false) NOT VALID")
        answer = agent.invoke(said("I like tea"), thread("a"), context=ALEX)
        postgres_store.run_sql(b"ALTER TABLE procrastinate_jobs DROP CONSTRAINT down")
        agent.invoke(said("I like cake"), thread("a"), context=ALEX)
        learning.worker().drain()

        assert "You said: I like tea" == answer["messages"][-1].text
        assert answer["learning_errors"]
        assert {"I like cake", "I like tea"} <= set(texts(learning))


def test_a_noisy_user_does_not_hold_up_a_quiet_one(postgres_store, checkpointer):
    """Nor does a noisy tenant another one: each user's first job comes before anybody's second."""
    order = []

    def note(shown):
        order.append(conversation(shown)[0][2].split()[-1])
        return notes_what_users_say(shown)

    learning = queued(note, postgres_store)
    agent = learning.wrap(echo(), checkpointer=checkpointer)
    for number in range(6):
        agent.invoke(said(f"I am noisy{number}"), thread(f"noisy{number}"), context=ALEX)
    agent.invoke(said("I am quiet"), thread("quiet"), context=SAM)
    agent.invoke(said("I am elsewhere"), thread("x"), context=SAM.model_copy(update={"tenant_id": "other"}))
    learning.worker(concurrency=1).drain()

    assert {"quiet", "elsewhere"} <= set(order[:4])


class TestCeilings:
    @pytest.mark.parametrize("learn", ["deferred", "queue"])
    def test_a_reached_ceiling_lets_turns_wait_for_the_next_day(self, postgres_store, checkpointer, learn):
        """Turns go on, and everything is learnt."""
        schedule = Schedule(quiet=0, user_tokens_per_day=10)
        learning = machine(notes_what_users_say, store=postgres_store, learn=learn, schedule=schedule)
        agent = learning.wrap(echo(), checkpointer=checkpointer)
        for text in ("I like tea", "I like cake", "I like cocoa"):
            agent.invoke(said(text), thread("a"), context=ALEX)
            if learn == "queue":
                learning.worker().drain()
        agent.invoke(said("I like milk"), thread("b"), context=SAM)
        if learn == "queue":
            learning.worker().drain()
            (job,) = learning.jobs.show()
            assert "tokens" in job.reason
        assert (["I like tea"], ["I like milk"]) == (texts(learning), texts(learning, SAM))
        learning.learner.clock = lambda: datetime.now(UTC) + timedelta(days=1)
        if learn == "queue":
            learning.worker().drain()
        else:
            agent.invoke(said("Any news"), thread("a"), context=ALEX)

        assert {"I like cake", "I like cocoa", "I like tea"} <= set(texts(learning))

    @pytest.mark.parametrize("ceiling", ["user_tokens_per_day", "tenant_tokens_per_day"])
    def test_extractions_at_the_same_time_keep_it_together(self, postgres_store, ceiling):
        """Each reserves what it is going to cost, so that the next one finds less room."""
        asked, cost = Barrier(3), {"input_tokens": 9_000, "output_tokens": 1_000, "total_tokens": 10_000}

        def answer(shown):
            asked.wait(30)  # three ask the model at the same time, and no fourth one
            return AIMessage(json.dumps(notes_what_users_say(shown)), usage_metadata=cost)

        turn = make_turn([("user", "I like tea"), ("assistant", "You said: I like tea")], ALEX, "a", datetime.now(UTC))
        estimate = drive(estimate_cost(machine([]).learner.extraction, turn), postgres_store).tokens
        schedule = Schedule(**{ceiling: 3 * estimate + estimate // 2})
        learning = machine(answer, store=postgres_store, schedule=schedule)
        agent = learning.wrap(echo(), checkpointer=InMemorySaver())
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda name: agent.invoke(said("I like tea"), thread(name), context=ALEX), "abcdefgh"))

        assert 3 == learning.usage().total.calls == len(learner(learning).calls)

    def test_what_a_process_that_died_reserved_is_free_after_a_while(self, postgres_store):
        """On the same day."""
        schedule = Schedule(user_tokens_per_day=1_000_000)
        died = machine(lambda shown: sys.exit(1), store=postgres_store, schedule=schedule)
        with pytest.raises(SystemExit):
            died.wrap(echo(), checkpointer=InMemorySaver()).invoke(said("I like tea"), thread("a"), context=ALEX)
        now = datetime.now(UTC)
        namespace = user_namespace("default", "alex")

        assert drive(read_spent(namespace, now), postgres_store) > 0
        assert 0 == drive(read_spent(namespace, now + RESERVED_FOR), postgres_store)

    def test_a_tenants_ceiling_holds_for_all_its_users(self, postgres_store):
        """And for no other tenant."""
        schedule = Schedule(tenant_tokens_per_day=10)
        learning = machine(notes_what_users_say, store=postgres_store, schedule=schedule)
        agent = learning.wrap(echo(), checkpointer=InMemorySaver())
        agent.invoke(said("I like tea"), thread("a"), context=ALEX)
        agent.invoke(said("I like cake"), thread("b"), context=SAM)
        other = SAM.model_copy(update={"tenant_id": "other"})
        agent.invoke(said("I like cocoa"), thread("c"), context=other)

        assert ([], ["I like cocoa"]) == (texts(learning, SAM), texts(learning, other))


class TestWhen:
    @pytest.mark.parametrize("learn", ["deferred", "queue"])
    def test_after_every_third_message(self, postgres_store, checkpointer, learn):
        """The messages before are learnt with it."""
        learning = machine(
            notes_what_users_say, store=postgres_store, learn=learn, schedule=Schedule(every=3, quiet=0, unanswered=99)
        )
        agent = learning.wrap(echo(), checkpointer=checkpointer)
        for number in range(3):
            assert [] == learner(learning).calls
            agent.invoke(said(f"I like {number}"), thread("a"), context=ALEX)
        if learn == "queue":
            learning.worker().drain()

        assert ["I like 0", "I like 1", "I like 2"] == texts(learning)
        assert 1 == len(learner(learning).calls)

    def test_when_a_function_says_so(self, store):
        """Such as at a good-bye."""
        schedule = Schedule(when=lambda messages: "bye" in messages[-2].text)
        learning = machine(notes_what_users_say, store=store, schedule=schedule)
        agent = learning.wrap(echo(), checkpointer=InMemorySaver())
        agent.invoke(said("I like tea"), thread("a"), context=ALEX)
        assert [] == texts(learning)
        agent.invoke(said("bye"), thread("a"), context=ALEX)

        assert ["I like tea", "bye"] == texts(learning)

    def test_at_the_end_of_a_session(self, postgres_store, checkpointer):
        """The application says that it is over; nobody has to wait for quiet."""
        learning = queued(notes_what_users_say, postgres_store, schedule=Schedule(quiet=3_000, at_latest=3_000))
        agent = learning.wrap(echo(), checkpointer=checkpointer)
        agent.invoke(said("I like tea"), thread("a"), context=ALEX)
        learning.jobs.end_session(ALEX, "a")
        (job,) = learning.jobs.show()

        assert job.due <= datetime.now(UTC)


def events_of(agent, text):
    """What the events of a run say of turns that wait."""
    events = agent.stream(said(text), thread("a"), context=ALEX, stream_mode="custom")
    return [event["learning"]["pending"] for event in events if "pending" in event["learning"]]


class TestPending:
    """The stream tells how many turns of the thread wait to be learnt from."""

    def test_in_a_queue(self, postgres_store, build, checkpointer):
        """Until a worker has learnt from them."""
        learning = queued(notes_what_users_say, postgres_store)
        agent = build(learning, checkpointer=checkpointer)
        waiting = [events_of(agent, f"I like {number}") for number in range(3)]
        learning.worker().drain()

        assert [[1], [2], [3]] == waiting
        assert [1] == events_of(agent, "I like cake")

    def test_until_it_is_time(self, store):
        """With a schedule that does not learn from each turn; in the third nothing waits any more."""
        learning = machine(notes_what_users_say, store=store, schedule=Schedule(every=3))
        agent = learning.wrap(echo(), checkpointer=InMemorySaver())

        assert [[1], [2], []] == [events_of(agent, f"I like {number}") for number in range(3)]

    def test_while_the_model_is_down(self, store):
        """The turns of which nothing was learnt yet, and none of those that were."""
        answers = [notes_what_users_say, ConnectionError("down"), ConnectionError("down"), notes_what_users_say]
        learning = machine(answers, store=store, on_error="report")
        agent = learning.wrap(echo(), checkpointer=InMemorySaver())

        assert [[], [1], [2], []] == [events_of(agent, f"I like {number}") for number in range(4)]

    def test_while_a_ceiling_is_reached(self, store):
        """With the reason."""
        learning = machine(notes_what_users_say, store=store, schedule=Schedule(user_tokens_per_day=10))
        agent = learning.wrap(echo(), checkpointer=InMemorySaver())

        assert [[], [1], [2]] == [events_of(agent, f"I like {number}") for number in range(3)]


class TestSetUp:
    def test_a_store_without_a_database_is_refused_when_the_machine_is_made(self):
        """Not when the first user waits for an answer."""
        with pytest.raises(Misconfigured, match="HybridPostgresStore"):
            queued([], InMemoryStore())

    def test_an_unknown_way_is_refused(self, store):
        """With the ways there are."""
        with pytest.raises(Misconfigured, match="deferred"):
            machine([], store=store, learn="somewhere")

    @pytest.mark.parametrize("wrong", [{"every": 0}, {"quiet": 9, "at_latest": 3}, {"user_tokens_per_day": 0}])
    def test_settings_that_cannot_work_are_refused(self, wrong):
        """When they are given."""
        with pytest.raises(Misconfigured, match="Schedule"):
            Schedule(**wrong)

    def test_many_processes_make_the_tables_at_once(self, empty_database_url):
        """One does, the others wait."""
        with HybridPostgresStore.from_conn_string(empty_database_url) as store, ThreadPoolExecutor(8) as pool:
            machines = [queued([], store) for _ in range(8)]
            assert [0] * 8 == list(pool.map(lambda one: one.jobs.pending(), machines))


@pytest.mark.parametrize("way", ["user", "thread"])
def test_forgetting_drops_what_waits_to_be_learnt(postgres_store, way):
    """A job carries the user's words, and would teach them again. Jobs of others stay."""
    learning = queued(notes_what_users_say, postgres_store)
    agent = learning.wrap(echo())
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    agent.invoke(said("I like coffee"), thread("b"), context=ALEX)
    agent.invoke(said("I like milk"), thread("c"), context=SAM)
    if way == "user":
        learning.forget(ALEX)
    else:
        learning.forget_thread(ALEX, "a")
    learning.worker().drain()

    assert ([] if way == "user" else ["I like coffee"]) == texts(learning)
    assert ["I like milk"] == texts(learning, SAM)


async def test_async_code_drops_it_as_well(postgres_store):
    """With `aforget`."""
    learning = queued(notes_what_users_say, postgres_store)
    await learning.wrap(echo()).ainvoke(said("I like tea"), thread("a"), context=ALEX)
    await learning.aforget(ALEX)

    assert 0 == await learning.jobs.apending()


def wait_for(check):
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.05)


def words_in_jobs(database_url):
    with psycopg.connect(database_url) as connection:
        return str(connection.execute("SELECT args::text FROM procrastinate_jobs").fetchall())


class TestForgetting:
    """What is forgotten while a job waits is neither in the job nor learnt from it."""

    KNOWN = edits(observation("Has epilepsy"))

    def wait_with(self, store, *said_later, checkpointer=None):
        """Learn that Alex has epilepsy, and leave jobs that wait."""
        answers = [self.KNOWN, notes_what_users_say, notes_what_users_say]
        learning = queued(answers, store, [UserMemory(tools=True), Episodes()])
        agent = learning.wrap(echo(), checkpointer=checkpointer)
        agent.invoke(said("I have epilepsy"), thread("a"), context=ALEX)
        learning.worker().drain()
        for number, text in enumerate(said_later):
            agent.invoke(said(text), thread(f"b{number}"), context=ALEX)
        (known,) = [one for one in learning.learnings(ALEX) if one.kind == "observation"]
        return learning, known

    @pytest.mark.parametrize("saver", [None, "memory", "postgres"])
    def test_by_key(self, postgres_store, database_url, request, saver):
        """The rest of the job is learnt."""
        checkpointer = {"postgres": lambda: request.getfixturevalue("checkpointer"), "memory": InMemorySaver}.get(saver)
        later = "My epilepsy is better", "I have epilepsy, as I said", "I drink tea"
        learning, known = self.wait_with(postgres_store, *later, checkpointer=checkpointer() if checkpointer else None)
        waiting = words_in_jobs(database_url)
        learning.forget(ALEX, known.key)
        forgotten = words_in_jobs(database_url)
        learning.worker().drain()

        assert "epilepsy" in waiting
        assert "epilepsy" not in forgotten
        assert "I drink tea" in texts(learning)
        assert "epilepsy" not in str(texts(learning))
        assert "epilepsy" not in prompt([message for shown in learner(learning).shown[1:] for message in shown])

    def test_by_another_job(self, postgres_store, database_url):
        """A worker forgets what the user asks in one thread, also what a job of another one waits with."""
        answers = [self.KNOWN, edits(edit("forget", replaces="k1"))]
        soon, later = (
            queued(answers, postgres_store, schedule=Schedule(quiet=quiet, at_latest=60)) for quiet in (0, 30)
        )
        soon.wrap(echo()).invoke(said("I have epilepsy"), thread("a"), context=ALEX)
        soon.worker().drain()
        later.wrap(echo()).invoke(said("As I have epilepsy, I need a plan"), thread("b"), context=ALEX)
        soon.wrap(echo()).invoke(said("Forget that I have epilepsy"), thread("c"), context=ALEX)
        waiting = words_in_jobs(database_url)
        with soon.worker():
            wait_for(lambda: not soon.learnings(ALEX) and soon.jobs.pending() == 1)

        assert "epilepsy" in waiting
        assert "epilepsy" not in words_in_jobs(database_url)

    def test_by_the_agents_tool(self, postgres_store, database_url):
        """At once."""
        learning, known = self.wait_with(postgres_store, "My epilepsy is better")
        call = {"name": "forget_learning", "args": {"key": known.key}, "id": "1"}
        model = ScriptedModel([AIMessage("", tool_calls=[call]), "Done."])
        agent = create_agent(model, middleware=[learning.middleware()], store=postgres_store)
        agent.invoke(said("Forget my illness"), thread("c"), context=ALEX)

        assert "epilepsy" not in words_in_jobs(database_url)

    def test_opting_out_drops_what_waits(self, postgres_store):
        """At once, and only for who opts out everywhere."""
        learning = queued(notes_what_users_say, postgres_store, [UserMemory(), Episodes()])
        agent = learning.wrap(echo())
        agent.invoke(said("I like tea"), thread("a"), context=ALEX)
        agent.invoke(said("I like milk"), thread("b"), context=SAM)
        learning.opt_out(ALEX, "episodes")
        of_one_store = learning.jobs.pending()
        learning.opt_out(ALEX)

        assert (2, 1) == (of_one_store, learning.jobs.pending())


@pytest.mark.parametrize("saver", [None, "memory", "postgres"])
def test_what_is_off_the_record_is_in_no_job(postgres_store, database_url, request, saver):
    """Neither is it learnt from by a job that waits, nor shown to the extraction of the next message."""
    checkpointer = {"postgres": lambda: request.getfixturevalue("checkpointer"), "memory": InMemorySaver}.get(saver)
    learning = queued(notes_what_users_say, postgres_store, [UserMemory(), Episodes()])
    agent = learning.wrap(echo(), checkpointer=checkpointer() if checkpointer else None)
    for text in ("I like tea", "Off the record: I look for another job", "I like milk"):
        agent.invoke(said(text), thread("a"), context=ALEX)
    waiting = words_in_jobs(database_url)
    learning.worker().drain()

    assert "another job" not in waiting
    assert "another job" not in prompt([message for shown in learner(learning).shown for message in shown])
    assert "another job" not in str(texts(learning))
    assert {"I like tea", "I like milk"} <= {*texts(learning)}


def test_a_turn_off_the_record_needs_no_job(postgres_store):
    """Nothing waits, and nothing is learnt when the next turn is."""
    learning = queued(notes_what_users_say, postgres_store)
    learning.wrap(echo(), checkpointer=InMemorySaver()).invoke(
        said("Don't remember this: I smoke"), thread("a"), context=ALEX
    )

    assert 0 == learning.jobs.pending()


@pytest.mark.parametrize("number", ["x", -1, 2**63])
def test_the_number_of_a_job_is_one_that_a_job_can_have(postgres_store, number):
    """The error is none of the database."""
    learning = queued([], postgres_store)
    for change in (learning.jobs.retry, learning.jobs.drop):
        with pytest.raises(Misconfigured, match="The number of a job is a whole number"):
            change(number)
