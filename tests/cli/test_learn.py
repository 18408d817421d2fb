"""The command that learns from old conversations, on a real database and a machine of an application."""

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from langgraph.checkpoint.postgres import PostgresSaver
from people import ALEX, SAM, echo, learner, machine, notes_what_users_say, said, thread
from typer.testing import CliRunner

from langgraph_learning.cli import app
from langgraph_learning.errors import Misconfigured

CONVERSATIONS = [
    {"user_id": "alex", "messages": [{"role": "user", "content": "I like tea"}]},
    {"user_id": "sam", "thread_id": "s1", "messages": [{"role": "user", "content": "I like coffee"}]},
    {"messages": [{"role": "user", "content": "I am nobody"}]},
    {"user_id": "alex", "messages": "no list"},
]


@pytest.fixture
def learning(postgres_store, monkeypatch):
    """Give the machine of an application, which the command line imports."""
    module = ModuleType("shop")
    module.machine = machine(notes_what_users_say, store=postgres_store)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop", module)
    return module.machine


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Give a file of old conversations, two of which cannot be read."""
    path = tmp_path / "old.jsonl"
    path.write_text("\n".join(json.dumps(conversation) for conversation in CONVERSATIONS) + "\n\n")
    return path


def run(*words, answer=None):
    return CliRunner().invoke(
        app, ["learn", *map(str, words), "--machine", "shop:machine"], input=answer, catch_exceptions=False
    )


def test_the_estimate_comes_first(file, learning):
    """Without a yes, no model is called."""
    refused = run(file, answer="n\n")

    assert "2 of 2 conversations with 2 new messages: about 2 model calls" in refused.stderr
    assert "line 3: MissingOwner" in refused.stderr
    assert "line 4: ValueError" in refused.stderr
    assert [] == learner(learning).calls


def test_a_file_is_learnt_for_each_user(file, learning):
    """Whoever spoke in a conversation has the learnings of it, and the rest of the file does no harm."""
    run(file, "--yes")

    assert ["I like tea"] == [learning.text for learning in learning.learnings(ALEX)]
    assert ["I like coffee"] == [learning.text for learning in learning.learnings(SAM)]


def test_a_file_is_learnt_once(file, learning):
    """A run that was stopped goes on where it was: here after one conversation."""
    assert "1 learnt; 1 model calls" in run(file, "--yes", "--limit", 1).stderr
    assert "1 of 2 conversations with 1 new" in run(file, "--yes", "--limit", 1).stderr
    assert "0 of 2 conversations with 0 new" in run(file, "--yes").stderr


def test_a_dry_run_writes_nothing(file, learning):
    """It shows what would be learnt."""
    shown = run(file, "--yes", "--dry-run", "--json")

    assert {"I like tea", "I like coffee"} == {learning["text"] for learning in json.loads(shown.stdout)}
    assert [] == learning.learnings(ALEX)


def test_threads_of_the_checkpointer_are_learnt(learning, database_url):
    """Those of an agent that did not learn yet."""
    from langchain.agents import create_agent

    with PostgresSaver.from_conn_string(database_url) as saver:
        agent = create_agent(echo(), [], checkpointer=saver)
        agent.invoke(said("I like tea"), {"configurable": {"thread_id": "a", "user_id": "alex"}})
        agent.invoke(said("I like coffee"), thread("b"))
    words = ("--threads", "--yes", "--url", database_url, "--embed", "none")

    assert "thread b: it does not say whose it is" in run(*words).stderr
    assert ["I like tea"] == [learning.text for learning in learning.learnings(ALEX)]
    run(*words, "--user", "sam")
    assert ["I like coffee"] == [learning.text for learning in learning.learnings(SAM)]


def test_a_thread_is_read_on_the_day_on_which_it_was_held(learning, database_url):
    """What was "tomorrow" then is no day of next week."""
    from langchain.agents import create_agent

    with PostgresSaver.from_conn_string(database_url) as saver:
        agent = create_agent(echo(), [], checkpointer=saver)
        agent.invoke(said("I move tomorrow"), {"configurable": {"thread_id": "a", "user_id": "alex"}})
        saver.conn.execute(
            "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, '{ts}', '\"2023-05-01T10:00:00Z\"')"
        )
    run("--threads", "--yes", "--url", database_url, "--embed", "none")

    assert "Today is Monday, 2023-05-01" in learner(learning).shown[0][0].text


def test_the_authenticated_user_of_a_thread_counts_first(learning, database_url):
    """A caller of a server can put any `user_id` beside it."""
    from langchain.agents import create_agent

    who = {"user_id": "alex", "langgraph_auth_user_id": "sam"}
    with PostgresSaver.from_conn_string(database_url) as saver:
        agent = create_agent(echo(), [], checkpointer=saver)
        agent.invoke(said("I like tea"), {"configurable": {"thread_id": "a", **who}})
    run("--threads", "--yes", "--url", database_url, "--embed", "none")

    assert ["I like tea"] == [learning.text for learning in learning.learnings(SAM)]
    assert [] == learning.learnings(ALEX)


def test_prices_make_the_estimate_money(file, learning):
    """Per million tokens, read and written."""
    assert "At these prices: " in run(file, "--price", 1_000_000, 1_000_000, answer="n\n").stderr


def test_usage_shows_what_it_cost(file, learning, database_url):
    """By user and by day, as a table or as JSON."""
    run(file, "--yes")

    def usage(*words):
        return CliRunner().invoke(app, ["usage", "--url", database_url, *words], env={"COLUMNS": "120"}).stdout

    assert {"alex", "sam"} == set(json.loads(usage("--json"))["users"])
    assert "1 learnt" in usage()
    assert "user_memory     2 learnt" in usage()
    assert {"alex"} == set(json.loads(usage("--json", "--user", "alex"))["users"])
    assert "Nothing." == usage("--until", "2020-01-01").strip()


@pytest.mark.parametrize("path", ["shop", "nowhere:machine", "shop:nothing", "json:loads"])
def test_a_wrong_path_is_told(file, learning, path):
    """Before anything is read."""
    with pytest.raises(Misconfigured, match="--machine"):
        CliRunner().invoke(app, ["learn", str(file), "--machine", path], catch_exceptions=False)
