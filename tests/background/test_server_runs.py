"""Learning beside the runs of a server: what its learner asks of the server, and when."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace

import httpx
import pytest
from langchain_core.messages import HumanMessage
from langgraph.store.memory import InMemoryStore
from langgraph_sdk.errors import NotFoundError
from people import ALEX, notes_what_users_say

from langgraph_learning import LearningMachine, Schedule, UserMemory
from langgraph_learning.background.dispatch import Work, make_args
from langgraph_learning.background.runner import Runner
from langgraph_learning.background.server_runs import ISOLATED_LOOPS, ServerLearner
from langgraph_learning.core.scopes import Caller
from langgraph_learning.errors import LearningError, UnreadableAnswer
from langgraph_learning.stores.base import Turn
from langgraph_learning.testing import ScriptedModel

SCHEDULE = Schedule(unanswered=600, attempts=1)


class Runs:
    """The runs of a server that begin when a test says so."""

    def __init__(self):
        self.waiting, self.made = [], 0

    async def create(self, thread, graph, *, input, after_seconds, **_):
        """Add a run."""
        self.made += 1
        run = {"run_id": str(self.made), "status": "pending", "kwargs": {"input": input}, "delay": after_seconds}
        self.waiting.append(run)
        return run

    async def list(self, thread, status):
        """Return the runs that wait."""
        return list(self.waiting)

    async def get(self, thread, run):
        """Return a run that waits."""
        found = [each for each in self.waiting if each["run_id"] == run]
        return found[0] if found else self._refuse()

    async def cancel(self, thread, run, action):
        """Delete a run."""
        found = [each for each in self.waiting if each["run_id"] == run]
        self.waiting.remove(found[0] if found else self._refuse())

    def _refuse(self):
        request = httpx.Request("POST", "http://server")
        raise NotFoundError("gone", response=httpx.Response(404, request=request), body=None)

    def left(self):
        """Return the delay of each run that waits, with the reason why it does."""
        inputs = [(run["delay"], run["kwargs"]["input"]) for run in self.waiting]
        return [(delay, input.get("set_aside") or input["job"]["reason"]) for delay, input in inputs]


def args_of(text, thread="a"):
    caller = Caller("alex", teams=("acme",), thread=thread)
    turn = Turn(caller, (HumanMessage(text, id=f"{thread}-{text}"),), datetime.now(UTC))
    return make_args(Work(turn, InMemoryStore(), None), turn.messages, whole=True)


@pytest.fixture
def store():
    """Give a store without connections, which would have to be closed in each test's event loop."""
    return InMemoryStore()


@pytest.fixture
def runs():
    """Give the runs of a server."""
    return Runs()


@pytest.fixture
def learn(runs, store):
    """Give a function that lets a machine with such answers learn as the graph of a server does."""

    def make(answers):
        model = answers if isinstance(answers, ScriptedModel) else ScriptedModel(answers)
        learning = LearningMachine(model, [UserMemory()], store=store)
        learner = ServerLearner(Runner(learning.learner, SCHEDULE))
        client = SimpleNamespace(runs=runs)

        async def learn(*jobs):
            for job in jobs:
                await learner.learn(client, job, store)

        return learning, learner, learn

    return make


async def end_of(learner):
    """Wait until nothing is being learnt any more."""
    await asyncio.gather(*learner._tasks)


def texts(learning):
    return sorted(learnt.text for learnt in learning.learnings(ALEX))


async def test_a_run_ends_before_what_it_begins_and_leaves_another_one_for_the_case_that_the_process_ends(runs, learn):
    """The other one is deleted at the end."""
    go_on = asyncio.Event()

    class Slow(ScriptedModel):
        async def _agenerate(self, *arguments, **settings):
            await go_on.wait()
            return self._generate(*arguments, **settings)

    learning, learner, begin = learn(Slow(notes_what_users_say))
    await begin(args_of("I like tea"))
    assert [(600, "")] == runs.left()
    assert [] == texts(learning)
    go_on.set()
    await end_of(learner)

    assert ["I like tea"] == texts(learning)
    assert [] == runs.left()


async def test_jobs_of_one_thread_are_learnt_from_one_after_the_other(runs, learn):
    """So that no model reads a message that another call is about to have read."""
    learning, learner, begin = learn(notes_what_users_say)
    await begin(args_of("I like tea"), args_of("I like tea"), args_of("I like tea"))
    await end_of(learner)

    assert ["I like tea"] == texts(learning)
    assert 1 == learning.usage().total.calls


async def test_another_run_tries_again_while_the_model_is_down(runs, learn):
    """It knows why, and takes the place of the one that would have begun again."""
    learning, learner, begin = learn(lambda shown: ConnectionError("down"))
    await begin(args_of("I like tea"))
    await end_of(learner)

    assert [(602, "ConnectionError: down")] == runs.left()
    assert [] == texts(learning)


async def test_what_cannot_be_learnt_from_ends_in_a_run_that_fails(runs, learn, store):
    """With the reason, and with the job, so that a person can run it again."""
    learning, learner, begin = learn(lambda shown: UnreadableAnswer("The model refused to answer: no"))
    await begin(args_of("I like tea"))
    await end_of(learner)
    (run,) = runs.waiting

    assert "refused to answer" in run["kwargs"]["input"]["set_aside"]
    with pytest.raises(LearningError, match=r"is set aside: .*refused to answer"):
        await learning.nodes.learner.ainvoke(run["kwargs"]["input"], context=ALEX)


async def test_a_run_with_an_event_loop_of_its_own_learns_itself(runs, learn, monkeypatch):
    """After its end nothing would go on there."""
    monkeypatch.setenv(ISOLATED_LOOPS, "true")
    learning, _, begin = learn(notes_what_users_say)
    await begin(args_of("I like tea"))

    assert ["I like tea"] == texts(learning)
    assert [] == runs.left()


async def test_a_message_that_comes_meanwhile_is_learnt_with_what_is_not_done(runs, learn, store):
    """One run waits for both."""
    _, learner, begin = learn(lambda shown: ConnectionError("down"))
    await begin(args_of("I like tea"))
    pending = await learner.schedule(SimpleNamespace(runs=runs), args_of("I like cake"), store, 10)

    assert 2 == pending
    assert [(610, "")] == runs.left()
    for task in learner._tasks:
        task.cancel()
