"""The command line, on a real database."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from instruction_proposals import approved, improving, shown
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from openai_server import OpenAIServer
from people import ALEX, NOTHING, SAM, echo, edit, edits, machine, observation, said, thread
from typer.testing import CliRunner

from langgraph_learning import LearnedKnowledge, LearningMachine, Mode, Scope, UserMemory
from langgraph_learning.cli import app
from langgraph_learning.errors import Misconfigured, NotFound
from langgraph_learning.postgres import HybridPostgresStore

EGRESS = edit("insight", category="insight", title="Egress", insight="Egress is most of the bill", when_to_apply=None)
Run = Callable[..., str]


@pytest.fixture
def learning(empty_database_url: str) -> Iterator[LearningMachine]:
    """Give a machine with three learnings of Alex, one of which waits for approval."""
    with HybridPostgresStore.from_conn_string(empty_database_url, search_mode="hybrid") as store:
        store.setup()
        stores = [UserMemory(), LearnedKnowledge(scope=Scope.TEAM, mode=Mode.PROPOSE)]
        answers = [edits(observation("Drinks green tea"), observation("Owns a boat"), EGRESS), NOTHING]
        learning = machine(answers, stores, store=store)
        agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
        agent.invoke(said("I drink green tea and own a boat. Egress is most of our bill."), thread("a"), context=ALEX)
        yield learning


@pytest.fixture
def run(learning: LearningMachine, empty_database_url: str) -> Run:
    """Give a function that runs a command for Alex and returns what it prints."""

    def run(*words: str, who: str = "alex") -> str:
        options = ["--user", who, "--team", "acme", "--url", empty_database_url]
        result = CliRunner().invoke(app, [*words, *options], env={"COLUMNS": "100"}, catch_exceptions=False)
        assert 0 == result.exit_code, result.output
        return result.stdout

    return run


def texts(printed: str) -> set[str]:
    return {learnt["text"] for learnt in json.loads(printed)}


def test_show_lists_what_the_user_could_be_shown(run: Run):
    """As a table or as JSON, without proposals, and without what is private to a colleague."""
    assert {"Drinks green tea", "Owns a boat"} == texts(run("show", "--json"))
    assert "user alex" in run("show")
    assert "Nothing." == run("show", who="sam").strip()


def test_search_puts_the_nearest_first(run: Run):
    """By words alone, because this database has no vectors."""
    found = json.loads(run("search", "which tea", "--json"))

    assert "Drinks green tea" == found[0]["text"]


def test_another_model_than_the_databases_is_told(database_url: str):
    """Vectors of different models cannot be compared."""
    result = command("search", "tea", "--user", "alex", "--url", database_url)

    assert "vectors of 256 numbers" in result.stderr
    assert 0 == command("search", "tea", "--user", "alex", "--embed", "none", "--url", database_url).returncode


def test_forget_removes_by_the_beginning_of_a_key(run: Run, learning: LearningMachine):
    """The shortened key of the table is enough."""
    key = next(one.key for one in learning.learnings(ALEX) if one.text == "Owns a boat")

    assert "Forgotten: 1." == run("forget", key[:8]).strip()
    assert {"Drinks green tea"} == texts(run("show", "--json"))


def test_review_shows_the_evidence_and_approves(run: Run, learning: LearningMachine):
    """A proposal that a colleague approved is active for the team."""
    (waiting,) = json.loads(run("review", "--json"))
    evidence = json.loads(run("review", waiting["key"], "--json"))
    assert "Egress is most of our bill." in evidence["quote"]
    assert "Egress is most of our bill." in run("review", waiting["key"][:8])

    run("review", waiting["key"], "--approve", "--why", "True", who="sam")

    (learnt,) = learning.learnings(SAM)
    assert ("sam", "True") == (learnt.decisions[-1].by, learnt.decisions[-1].why)
    assert "Nothing." == run("review").strip()


def test_review_rejects(run: Run, learning: LearningMachine):
    """A rejected proposal never becomes active."""
    (waiting,) = json.loads(run("review", "--json"))
    run("review", waiting["key"], "--reject")

    assert [] == json.loads(run("review", "--json")) == learning.learnings(SAM)


def test_history_tells_who_changed_what(run: Run):
    """From the proposal to the approval, newest first."""
    (waiting,) = json.loads(run("review", "--json"))
    run("review", waiting["key"], "--approve", who="sam")
    changes = json.loads(run("history", waiting["key"][:8], "--json"))

    assert [("sam", "active"), ("alex", "proposed")] == [(c["by"], c["after"]["status"]) for c in changes]
    assert "proposed" in run("history", waiting["key"])


def test_undo_takes_an_approval_back(run: Run, learning: LearningMachine):
    """Undoing the undo restores the approval."""
    (waiting,) = json.loads(run("review", "--json"))
    run("review", waiting["key"], "--approve", who="sam")
    assert "proposed" in run("undo", waiting["key"][:8])
    assert [] == learning.learnings(SAM)

    run("undo", waiting["key"][:8])

    assert ["Egress: Egress is most of the bill"] == [one.text for one in learning.learnings(SAM)]


def tidied(url: str, *words: str) -> str:
    result = CliRunner().invoke(app, ["curate", "--url", url, *words], env={"COLUMNS": "100"}, catch_exceptions=False)
    assert 0 == result.exit_code, result.output
    return result.stdout


def test_curate_merges_what_says_the_same(learning: LearningMachine, run: Run, empty_database_url: str):
    """A dry run only reports; a run merges, and the merge can be undone by the key that is printed."""
    (one, *_) = learning.learnings(ALEX)
    assert learning.store is not None
    again = {"key": "again", "text": f"{one.text}.", "learned_at": one.learned_at + timedelta(minutes=1)}
    learning.store.batch([one.model_copy(update=again).put()])
    assert "2 learnings say the same" in tidied(empty_database_url, "--dry-run")
    assert 3 == len(json.loads(run("show", "--json")))

    (action,) = json.loads(tidied(empty_database_url, "--json"))["actions"]
    assert {"Drinks green tea", "Owns a boat"} == texts(run("show", "--json"))
    run("undo", action["keys"][1][:8], "--embed", "none")
    assert 3 == len(json.loads(run("show", "--json")))


def test_curate_asks_a_model_where_one_is_named(
    learning: LearningMachine, run: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """Pairs that it calls the same are merged, and its calls are reported; an unknown model is a one-line error."""
    (one, *_) = [learnt for learnt in learning.learnings(ALEX) if learnt.text == "Drinks green tea"]
    assert learning.store is not None
    learning.store.batch([one.model_copy(update={"key": "again", "text": "Likes to drink green tea"}).put()])
    with OpenAIServer([{"opinions": [{"pair": 1, "opinion": "same"}]}]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        assert "1 model call." in tidied(empty_database_url, "--ask", "openai:scripted")

    assert 2 == len(json.loads(run("show", "--json")))
    assert "--ask nonsense" in command("curate", "--ask", "nonsense", "--url", empty_database_url).stderr


def test_curate_puts_contradictions_to_review(learning: LearningMachine, run: Run, empty_database_url: str):
    """The command line does not know who decides in the application's learning stores."""
    (one, *_) = learning.learnings(ALEX)
    assert learning.store is not None
    place, kind = (*one.namespace[:-1], "user_profile"), "profile_field"
    for role in ("engineer", "manager"):
        about = {"namespace": place, "kind": kind, "key": role, "data": {"field": "role", "value": role}}
        learning.store.batch([one.model_copy(update={**about, "text": f"role: {role}"}).put()])
    tidied(empty_database_url)

    assert 1 == sum(waiting["kind"] == kind for waiting in json.loads(run("review", "--json")))


def test_stored_text_cannot_steer_the_terminal(learning: LearningMachine, run: Run):
    """Neither escape sequences nor the markup of tables have an effect."""
    (one, *_) = learning.learnings(ALEX)
    op = one.model_copy(update={"text": "\x1b[31mred [bold]bold[/bold]\r\nnext"}).put()
    assert learning.store is not None
    learning.store.batch([op])

    shown = run("show")
    assert "\x1b" not in shown
    assert "[bold]bold[/bold]" in shown


@pytest.mark.parametrize("name", ["show", "search", "history", "undo", "forget", "review", "instructions"])
def test_all_that_look_at_one_users_learnings_take_the_same_options(name: str):
    """The options for the user and the database have the same names everywhere."""
    printed = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "100"}).stdout

    assert {"--user", "--agent", "--team", "--owner", "--tenant", "--url", "--json"} <= set(printed.split())


def test_an_open_scope_is_looked_at_by_its_owner(run: Run, learning: LearningMachine):
    """Such as a project; what names no owner is an error that says how."""
    namespace = ("learnings", "default", "project", "apollo", "project_context")
    (boat,) = [learnt for learnt in learning.learnings(ALEX) if learnt.text == "Owns a boat"]
    assert learning.store is not None
    item = learning.store.get(boat.namespace, boat.key)
    assert item is not None
    learning.store.put(namespace, "k1", {**item.value, "text": "The tests need Docker"})

    assert "The tests need Docker" in texts(run("show", "--json", "--owner", "project=apollo"))
    assert "The tests need Docker" not in texts(run("show", "--json"))
    with pytest.raises(Misconfigured, match="project=apollo"):
        run("show", "--owner", "apollo")


def command(*words: str) -> Any:
    return subprocess.run([sys.executable, "-m", "langgraph_learning.cli", *words], capture_output=True, text=True)


def test_an_error_is_one_line(learning: LearningMachine, empty_database_url: str):
    """And an exit status that a script can check."""
    result = command("forget", "nothing", "--user", "alex", "--url", empty_database_url)

    assert (1, "") == (result.returncode, result.stdout)
    assert 1 == len(result.stderr.strip().splitlines())
    assert "'nothing'" in result.stderr


def test_a_database_that_is_not_there_is_one_line_too():
    """A typing mistake in the URL prints no traceback."""
    result = command("show", "--user", "alex", "--url", "postgresql://nobody@127.0.0.1:1/none?connect_timeout=2")

    assert 1 == result.returncode
    assert "cannot be reached" in result.stderr
    assert "Traceback" not in result.stderr
    mistyped = command("show", "--user", "alex", "--url", "nonsense")
    assert (1, "") == (mistyped.returncode, mistyped.stdout)
    assert "postgresql://" in mistyped.stderr
    assert "Traceback" not in mistyped.stderr


def test_a_model_without_its_key_is_no_traceback(monkeypatch: pytest.MonkeyPatch):
    """Providers have errors of their own for that."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    result = command("curate", "--ask", "openai:gpt-5-mini", "--url", "postgresql://nobody@127.0.0.1:1/none")

    assert 1 == result.returncode
    assert "--ask openai:gpt-5-mini: " in result.stderr
    assert "Traceback" not in result.stderr


def test_without_its_extra_it_says_what_to_install():
    """The package itself needs neither typer nor rich."""
    code = "import sys; sys.modules['typer'] = None; from langgraph_learning.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert "The command line needs an optional part: pip install 'langgraph-learning[cli]'\n" == result.stderr
    assert 1 == result.returncode


@pytest.fixture
def instructed(empty_database_url: str) -> Iterator[LearningMachine]:
    """Give a machine whose team approved two changes of the agent's instructions."""
    with HybridPostgresStore.from_conn_string(empty_database_url, search_mode="hybrid") as store:
        store.setup()
        learning = improving(store)
        approved(learning, "tone", "Be brief.")
        approved(learning, "tone", "Be formal.")
        yield learning


def test_instructions_are_listed_compared_and_rolled_back(instructed: LearningMachine, empty_database_url: str):
    """Versions are printed as a table, their difference as a diff, and a rollback as a new version."""
    options = ["--user", "sam", "--team", "acme", "--url", empty_database_url]

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, ["instructions", *words, *options], catch_exceptions=False)
        assert 0 == result.exit_code, result.output
        return result.stdout

    assert [{}, {"tone": "Be brief."}, {"tone": "Be formal."}] == [v["sections"] for v in json.loads(run("--json"))]
    assert "-Be brief.\n+Be formal." in run("--compare", "1", "2")
    assert "as your code says" in " ".join(run().split())
    assert "Too stiff" in run("--rollback", "1", "--why", "Too stiff")
    assert "Be brief." in shown(instructed)


def test_without_instructions_it_says_whose_to_name(run: Run):
    """The error asks for an agent or a team."""
    with pytest.raises(NotFound, match="--agent"):
        run("instructions")


def test_cues_gives_older_learnings_the_situations_that_a_model_names(
    learning: LearningMachine, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
):
    """It says what that costs and asks first; what has cues is not asked about again."""
    words = ["cues", "--ask", "openai:scripted", "--url", empty_database_url, "--embed", "none"]
    named = [{"number": 1, "cues": ["offering somebody a drink", "tea"]}, {"number": 2, "cues": []}]
    with OpenAIServer([{"learnings": named}]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        asked = CliRunner().invoke(app, [*words, "--price", "1", "2"], input="n\n", catch_exceptions=False)
        done = CliRunner().invoke(app, [*words, "--yes", "--json"], catch_exceptions=False)
    again = CliRunner().invoke(app, words, input="n\n", catch_exceptions=False)

    assert "2 learnings without cues: about 1 model calls" in asked.stderr
    assert {"learnings": 2, "given": 1} == json.loads(done.stdout)
    assert [("offering somebody a drink",)] == [known.cues for known in learning.learnings(ALEX) if known.cues]
    assert "1 learnings without cues" in again.stderr
