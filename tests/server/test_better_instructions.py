"""Better instructions on LangGraph's own server: proposed, replayed, approved by the SDK, in force, rolled back."""

import re

import pytest
from langchain.agents import create_agent
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.pregel.remote import RemoteGraph
from openai_server import OpenAIServer
from people import is_extraction, repeat

from graphs import learning_agent, offline
from langgraph_learning import LearningContext, LearningMachine
from langgraph_learning.embeddings import LocalEmbeddings
from langgraph_learning.postgres import HybridPostgresStore

CORRECTIONS = ("name the phases first", "name phases before dates", "name all phases first, then dates")
QUESTION = "How far are the phases of the migration?"
SAM = LearningContext(user_id="sam", team_ids=("acme",))


def answer(messages):
    """Learn as the offline model does; answer with all that was shown."""
    if is_extraction(messages):
        return {"edits": list(offline.edits(messages))}
    return repeat(messages)


@pytest.fixture(scope="module")
def server(make_server):
    """Give a running server whose model says what it is shown."""
    with OpenAIServer(answer) as openai:
        made = make_server(OPENAI_BASE_URL=openai.url, OPENAI_API_KEY="none")
        made.start()
        yield made
        made.stop()


@pytest.fixture(scope="module")
def machine(server):
    """Give the same machine beside the server, on its database."""
    embed = LocalEmbeddings()
    index = {"dims": embed.dims, "embed": embed, "fields": ["text"]}
    with HybridPostgresStore.from_conn_string(server.database_url, index=index, search_mode="hybrid") as store:
        store.setup()
        yield LearningMachine(offline.OfflineModel(), learning_agent.machine.stores, store=store)


def run(client, *texts, config=None, **more):
    """Say something in a new thread; return the last answer."""
    thread = client.threads.create()["thread_id"]
    for text in texts:
        said = {"messages": [{"role": "user", "content": text}], **more}
        state = client.runs.wait(thread, "learning_agent", input=said, config=config)
        assert "learning_errors" not in state
    return state["messages"][-1]["content"]


def instructed(client):
    """Return what the next answer has in its context as the agent's instructions."""
    return re.search(r"<approved_instructions>\n.*?\n</approved_instructions>", run(client, QUESTION), re.DOTALL)[0]


def reviewing(client):
    """Begin a review; return its thread, and the instruction that waits."""
    thread = client.threads.create()["thread_id"]
    paused = client.runs.wait(thread, "review", input={})
    (shown,) = [one for one in paused["__interrupt__"][0]["value"]["proposals"] if one["kind"] == "instruction"]
    return thread, shown


@pytest.fixture(scope="module")
def first(server):
    """Give what the agent is instructed before anything was proposed."""
    return instructed(server.person("sam"))


@pytest.fixture(scope="module")
def proposal(server, first):
    """Give what Sam is shown after Alex has corrected three answers."""
    for correction in CORRECTIONS:
        run(server.person("alex"), QUESTION, f"No, {correction}.")
    return reviewing(server.person("sam"))[1]


def replayed(server, machine, proposal, reader):
    """Replay a proposal as Sam, reading threads as somebody."""
    threads = RemoteGraph("learning_agent", sync_client=server.person(reader))
    local = machine.wrap(create_agent(offline.OfflineModel(), []), checkpointer=InMemorySaver())
    return machine.replay(SAM, proposal["key"], local, threads=threads)


def test_three_corrections_are_a_proposal(server, first, proposal):
    """Section, present text, proposed text, reasons and evidence are shown to the reviewer, and nothing to the agent."""
    assert ("answers", CORRECTIONS[2]) == (proposal["fields"]["section"], proposal["fields"]["text"])
    assert (["answers: Answer briefly."], 2) == (proposal["replaces"], proposal["unreadable"])
    assert "3 corrections say so" in proposal["fields"]["reasoning"]
    assert first == instructed(server.person("sam"))


def test_it_is_replayed_on_the_turns_that_it_rests_on(server, machine, proposal):
    """The threads are read from the server as whoever may read them; the answers are the agent's."""
    replays = replayed(server, machine, proposal, "alex")

    assert [QUESTION] * 3 == [replay.question for replay in replays]
    assert all(CORRECTIONS[2] not in replay.before for replay in replays)
    assert [True] * 3 == [CORRECTIONS[2] in replay.after for replay in replays]


def test_nobody_replays_threads_that_are_not_theirs(server, machine, proposal):
    """Sam reviews, but the server shows Sam none of Alex' conversations."""
    failed = [replay.failed for replay in replayed(server, machine, proposal, "sam")]

    assert ["its conversation is gone, or cannot be read"] * 3 == failed


def test_no_run_makes_it_count(server, first, proposal):
    """Whatever a user's run brings along in its config or its input."""
    wish = {
        "trial": proposal,
        "langgraph_learning_trial": proposal,
        "learning_recalled": {"self_improvement": [proposal]},
    }
    answer = run(server.person("sam"), QUESTION, config={"configurable": wish}, **wish)

    assert first in answer


def test_approved_it_is_in_force_and_rolled_back_it_is_as_it_was(server, machine, first, proposal):
    """From the next answer on, byte for byte."""
    sam = server.person("sam")
    verdict = {"key": proposal["key"], "verdict": "approve", "why": "Three corrections"}
    done = sam.runs.wait(reviewing(sam)[0], "review", command={"resume": [verdict]})["learning_reviewed"]
    after = instructed(sam)
    machine.instructions.rollback(SAM, 0, why="Too stiff")

    assert {proposal["key"]: "approved"} == done
    assert first.replace("Answer briefly.", CORRECTIONS[2]) == after != first
    assert first == instructed(sam)
