"""The examples work as their stories say, on every store, and only because of learnings."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore
from openai_server import OpenAIServer
from people import POOL

import account_store
import egress_costs
import project_context
import three_corrections
import three_sessions
from langgraph_learning import LearningContext
from langgraph_learning.core.learning import Learning, Source
from langgraph_learning.core.scopes import ROOT
from langgraph_learning.embeddings import LocalEmbeddings
from langgraph_learning.postgres import HybridPostgresStore
from reader import Reader
from stage import play

EXAMPLES = Path(__file__).parent.parent / "examples"
LEARNT_BY_JORDAN = ["Acme", "migration", "Alex leads", "three phases", "phase 2 is the most compute-heavy", "pricing"]
PATTERN = "Move the data before the services"


class Told:
    """Plays a story scene by scene on one store."""

    def __init__(self, example, store, saver):
        self.store = store
        self.model = Reader()
        self._agent = example.build(self.model, store, saver)
        self._threads = 0

    def __call__(self, scene, **changes):
        """Play a scene in a thread of its own, and return its turns."""
        self._threads += 1
        changed = type(scene)(**{**vars(scene), **changes})
        return list(play(self._agent, changed, tenant="t", thread=f"thread {self._threads}"))

    def answer(self, scene, **changes):
        """Play a scene and return the last answer."""
        return self(scene, **changes)[-1].answer

    def known(self, *place):
        """Return the active texts of a namespace, such as user, alex, user_profile."""
        items = self.store.search((ROOT, "t", *place), limit=100)
        return {item.value["text"] for item in items if item.value["status"] == "active"}

    def empty(self):
        """Empty the store."""
        for place in self.store.list_namespaces(limit=1_000):
            for item in self.store.search(place, limit=1_000):
                self.store.delete(place, item.key)


@pytest.fixture
def saver(store, request):
    """Give a checkpointer of the same kind as the store."""
    return InMemorySaver() if isinstance(store, InMemoryStore) else request.getfixturevalue("checkpointer")


@pytest.fixture
def tell(store, saver):
    """Give a function that starts a story."""
    return lambda example: Told(example, store, saver)


def planned(tell):
    """Play the story of the migration up to Alex's plan."""
    story = tell(three_sessions)
    story(three_sessions.EARLIER_PROJECT)
    story(three_sessions.PLAN)
    return story


def surround(store, count):
    """Add unrelated learnings to those of the team."""
    sites = [
        "warehouse",
        "bakery",
        "library",
        "harbour",
        "orchard",
        "theatre",
        "clinic",
        "quarry",
        "brewery",
        "station",
    ]
    habits = ["repaints its doors", "counts its chairs", "waters the hedge", "tunes two pianos", "sharpens its saws"]
    ops = []
    for number in range(count):
        kind = ("entity_memory", "fact", "learned_knowledge", "insight")[2 * (number % 2) :][:2]
        name = f"{sites[number % 10].capitalize()} {number}"
        text = f"{name}: {habits[number % 7 % 5]} every {number % 28 + 2} days"
        data = {"entity": name, "fact": text, "as_of": None}
        if kind[1] == "insight":
            data = {"category": "insight", "title": name, "insight": text, "when_to_apply": None}
        learning = Learning(
            namespace=(ROOT, "t", "team", "acme", kind[0]),
            key=f"other {number}",
            kind=kind[1],
            text=text,
            data=data,
            sources=(Source(channel="user", user="kim"),),
            learned_at="2026-01-01T00:00:00Z",
        )
        ops.append(learning.put())
    for start in range(0, count, 1_000):
        store.batch(ops[start : start + 1_000])


class TestThreeSessions:
    def test_the_profile_has_who_alex_is(self, tell):
        """Alex's statements about themself are in their own profile only."""
        story = planned(tell)

        assert {"name: Alex", "role: CTO", "company: Acme"} == story.known("user", "alex", "user_profile")
        assert {"Wants short answers: I read this between meetings"} == story.known("user", "alex", "user_memory")

    def test_the_team_knows_the_migration_and_who_leads_it(self, tell):
        """Company, migration and phases belong to the team."""
        entities = planned(tell).known("team", "acme", "entity_memory")

        assert {"Acme (company)", "Acme's migration to GCP (project, also Acme migration)"} < entities
        assert {"Alex leads Acme's migration to GCP", "Acme's migration to GCP: goes in three phases"} < entities
        assert "Acme's migration to GCP: phase 2 is the most compute-heavy" in entities

    def test_the_session_has_the_goal_and_three_phases(self, tell):
        """The planning session has its goal and three steps, and says which one is heavy."""
        turns = planned(tell)(three_sessions.PLAN)
        (session,) = [learning["text"] for learning in turns[-1].learnt if learning["kind"] == "session"]

        assert session.startswith("Goal: a timeline for the board")
        assert 3 == session.count("(open)")
        assert "phase 2 is the most compute-heavy" in session

    def test_the_plan_profits_from_an_earlier_project(self, tell):
        """Alex hears of Priya's lesson before the plan is made."""
        story = tell(three_sessions)
        story(three_sessions.EARLIER_PROJECT)

        assert PATTERN in story(three_sessions.PLAN)[0].answer

    def test_the_next_day_the_phases_are_known(self, tell):
        """A new session needs no repetition."""
        answer = planned(tell).answer(three_sessions.NEXT_DAY)

        assert "Phase 2 is the most compute-heavy" in answer
        assert "phase 2 moves the model training" in answer

    def test_somebody_new_is_told_all_that_matters(self, tell):
        """Jordan hears of company, migration, lead, phases, prices, and the lesson of another project."""
        story = planned(tell)
        story(three_sessions.NEXT_DAY)
        answer = story.answer(three_sessions.NEWCOMER)

        assert [] == [part for part in [*LEARNT_BY_JORDAN, PATTERN] if part not in answer]

    def test_with_the_store_emptied_nobody_knows(self, tell):
        """The answers come from the store: with an empty one, the same script does not know them."""
        story = planned(tell)
        story.empty()

        assert story.answer(three_sessions.NEXT_DAY).startswith("I do not know your plans")
        story.empty()
        assert "I do not know anything about Acme." == story.answer(three_sessions.NEWCOMER)

    def test_another_team_does_not_know(self, tell):
        """Jordan sees the learnings of their own team, not those that Alex taught another team."""
        story = tell(three_sessions)
        story(three_sessions.EARLIER_PROJECT)
        for scene in (three_sessions.PLAN, three_sessions.NEXT_DAY):
            story(scene, teams=("rivals",))
        answer = story.answer(three_sessions.NEWCOMER)

        assert answer.startswith("I do not know anything about Acme.")
        assert PATTERN in answer
        assert [] == [part for part in ("Alex", "phase", "pricing") if part in answer]

    def test_private_learnings_reach_nobody_else(self, tell):
        """Jordan's context has nothing that is private to Alex."""
        story = planned(tell)
        (turn,) = story(three_sessions.NEWCOMER)

        assert {"team"} == {learning["namespace"][2] for learning in turn.recalled}
        assert "between meetings" not in str(story.model.shown[-2])

    def test_a_turn_costs_one_model_call_more(self, tell):
        """With five learning stores, a turn has the agent's own call and one extraction call."""
        story = tell(three_sessions)
        turns = [turn for scene in three_sessions.STORY for turn in story(scene)]

        assert [False, True] * len(turns) == [call.schema is not None for call in story.model.calls]

    def test_among_many_other_learnings_it_still_knows(self, tell):
        """Hundreds of unrelated learnings change nothing."""
        story = planned(tell)
        surround(story.store, 600)
        story(three_sessions.NEXT_DAY)
        answer = story.answer(three_sessions.NEWCOMER)

        assert [] == [part for part in [*LEARNT_BY_JORDAN, PATTERN] if part not in answer]


class TestEgressCosts:
    def test_what_a_colleague_said_is_brought_up_unasked(self, tell):
        """Robin asks for a tool and hears of egress."""
        story = tell(egress_costs)
        story(egress_costs.SAVING)

        assert "We are cutting egress costs this quarter" in story.answer(egress_costs.CHOOSING)

    def test_without_it_nobody_brings_it_up(self, tell):
        """With an empty store, or in another team, the agent does not mention it."""
        story = tell(egress_costs)
        story(egress_costs.SAVING, teams=("rivals",))

        assert story.answer(egress_costs.CHOOSING).startswith("I do not know what matters to you")
        story(egress_costs.SAVING)
        story.empty()
        assert story.answer(egress_costs.CHOOSING).startswith("I do not know what matters to you")

    def test_among_many_other_learnings_it_is_brought_up(self, tell):
        """Hundreds of unrelated learnings change nothing."""
        story = tell(egress_costs)
        story(egress_costs.SAVING, teams=("acme",))
        surround(story.store, 600)

        assert "egress costs" in story.answer(egress_costs.CHOOSING, teams=("acme",))


class TestProjectContext:
    def test_a_second_engineer_profits(self, tell):
        """Jo is told what Mia said of the project."""
        story = tell(project_context)
        story(project_context.SET_UP)

        answer = story(project_context.NEW_HERE)[0].answer

        assert "The tests run with `make test`." in answer
        assert "Mind that the seeds must be loaded first." in answer
        assert 4 == len(story.known("project", "apollo", "project_context"))

    def test_what_changes_replaces_what_was(self, tell):
        """Only the last way to run the tests is known."""
        story = tell(project_context)
        story(project_context.SET_UP)
        story(project_context.NEW_HERE)

        assert "The tests run with `just test`." == story.answer(project_context.ASKED_AGAIN)

    def test_another_project_does_not_know(self, tell):
        """Learnings of one project are not used in another one."""
        story = tell(project_context)
        story(project_context.SET_UP)

        assert "I do not know that yet." == story.answer(project_context.ELSEWHERE)

    def test_the_example_is_short(self):
        """A custom learning store and its story take less than 60 lines."""
        assert len((EXAMPLES / "project_context.py").read_text().splitlines()) < 60


class TestAccountStore:
    @pytest.fixture
    def sales(self, store, saver):
        """Give the machine, its agent, and a lead who approves."""
        machine, agent = account_store.build(Reader(), store, saver)
        lead = LearningContext(user_id="lea", team_ids=account_store.SALES, tenant_id="t")
        return machine, lambda scene, thread: next(play(agent, scene, tenant="t", thread=thread)), lead

    def test_what_was_heard_counts_once_it_is_approved(self, sales):
        """The agent saves it at once; a colleague hears of it after a person has approved it."""
        machine, act, lead = sales
        heard = act(account_store.HEARD, "1")
        before = act(account_store.ASKED, "2").answer
        for proposal in machine.review.list(lead):
            machine.review.approve(lead, proposal.key)

        assert ["proposed"] * 2 == [learnt["status"] for learnt in heard.learnt]
        assert "I do not know anything about Globex." == before
        # The two calls of one answer run side by side: neither is the first.
        answer = act(account_store.ASKED, "3").answer
        assert {"Globex renews in March", "Globex buys through Kim"} == set(answer.rstrip(".").split(". "))

    def test_the_example_is_short(self):
        """A custom store has proposals and tools without further code."""
        assert len((EXAMPLES / "account_store.py").read_text().splitlines()) < 60


class TestThreeCorrections:
    @pytest.fixture
    def corrected(self, store, saver):
        """Give the machine, its agent and a lead, after three people have corrected the agent in the same way."""
        machine, agent = three_corrections.build(Reader(), store, saver)
        for number, scene in enumerate(three_corrections.CORRECTIONS):
            assert [] == [error for turn in play(agent, scene, tenant="t", thread=str(number)) for error in turn.errors]
        return machine, agent, LearningContext(user_id="lea", team_ids=three_corrections.SALES, tenant_id="t")

    def test_the_same_correction_by_three_people_is_one_proposal(self, corrected):
        """It cites what all three said, and a replay shows what it would change."""
        machine, agent, lead = corrected
        (proposal,) = machine.review.list(lead)
        replays = machine.replay(lead, proposal.key, agent)

        assert {"ana", "ben", "cleo"} == {source.user for source in proposal.sources}
        assert ["price list of 2025."] * 3 == [replay.before[-19:] for replay in replays]
        assert ["price list of 2026."] * 3 == [replay.after[-19:] for replay in replays]

    def test_what_was_approved_is_done_until_it_is_rolled_back(self, corrected):
        """Dan's answer uses the new list, and after the rollback the old one."""
        machine, agent, lead = corrected

        def answer(thread):
            return next(play(agent, three_corrections.ASKED, tenant="t", thread=thread)).answer

        machine.review.approve(lead, machine.review.list(lead)[0].key)
        assert "2026" in answer("approved")
        machine.instructions.rollback(lead, 0)
        assert "2025" in answer("rolled back")

    def test_the_example_is_short(self):
        """Proposal, replay, approval and rollback take less than 60 lines."""
        assert len((EXAMPLES / "three_corrections.py").read_text().splitlines()) < 60


def run(program, url, *arguments, **more):
    """Run an example as a program, offline unless more is given, on a database."""
    away = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "COLUMNS")
    environment = {name: value for name, value in os.environ.items() if name not in away} | {
        "DATABASE_URL": url,
        **more,
    }
    command = [sys.executable, str(EXAMPLES / f"{program}.py"), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize(
    "program", ["three_sessions", "egress_costs", "project_context", "account_store", "three_corrections"]
)
def test_an_example_runs_as_a_program(program, empty_database_url):
    """It says that it is offline, and prints its story within the columns of a terminal."""
    done = run(program, empty_database_url, COLUMNS="80")

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("Offline: ")
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_what_an_example_left_can_be_looked_at(empty_database_url):
    """The items of the last run are listed, inactive ones included."""
    first, again = run("project_context", empty_database_url), run("project_context", empty_database_url)
    looked = run("look", empty_database_url, "project_context")

    assert (0, "") == (looked.returncode, looked.stderr)
    assert "active      The tests run with `just test`" in looked.stdout
    assert 1 == looked.stdout.count("superseded  The tests run with `make test`")
    assert first.stdout.count("learnt") == again.stdout.count("learnt")


def test_an_example_runs_live(empty_database_url):
    """With an API key, the same program calls a server, and the story works."""
    with OpenAIServer([]) as server:
        server.model = Reader()
        done = run("three_sessions", empty_database_url, OPENAI_API_KEY="none", OPENAI_BASE_URL=server.url)

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("Live: openai:")
    told = done.stdout.split("Jordan ")[-1].replace("\n" + 9 * " ", " ")
    assert re.search(r"GCP: changes its pricing in 20\d\d-Q[1-4]\.", told)


def test_an_example_runs_without_postgres():
    """With stores in memory, nothing has to be set up."""
    assert 0 == run("three_sessions", "postgresql://nowhere", "--in-memory").returncode


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["memory", "postgres"])
def test_among_ten_thousand_other_learnings_it_still_knows(kind, empty_database_url):
    """With a real embedding model, 10,000 unrelated learnings change nothing."""
    embeddings = LocalEmbeddings()
    index = {"dims": embeddings.dims, "embed": embeddings, "fields": ["text"]}
    if kind == "memory":
        tell_all_among(InMemoryStore(index=index))
    else:
        with HybridPostgresStore.from_conn_string(
            empty_database_url, pool=POOL, index=index, search_mode="hybrid"
        ) as store:
            store.setup()
            tell_all_among(store)


def tell_all_among(store):
    story = Told(three_sessions, store, InMemorySaver())
    surround(store, 10_000)
    for scene in three_sessions.STORY[:-1]:
        story(scene)
    answer = story.answer(three_sessions.NEWCOMER)

    assert [] == [part for part in [*LEARNT_BY_JORDAN, PATTERN] if part not in answer]
