"""Review on LangGraph's own server: proposed, seen, decided after a restart, and known from then on."""

import re

import httpx
import pytest
from openai_server import OpenAIServer
from people import is_extraction, repeat

ASKED = "What do we know about deploys and merges?"


def answer(messages):
    """Take each message for a lesson, one that says "not X" for a correction of what says X; else repeat what is shown."""
    if not is_extraction(messages):
        return f"I was shown: {repeat(messages[-1:])}"
    lesson = re.search(r"^\[1\] user \w+: (.*)$", messages[1].text, re.MULTILINE)[1]
    if lesson.endswith("?"):
        return {"edits": []}
    corrected = re.search(r"not (\w+)", lesson)
    known = re.search(rf"(k\d+): insight .*{corrected[1]}", messages[1].text) if corrected else None
    insight = {"category": "insight", "title": "Lesson", "insight": lesson, "when_to_apply": None}
    return {"edits": [{"edit": "insight", **insight, "replaces": known and known[1], "message": 1}]}


@pytest.fixture(scope="module")
def server(make_server):
    """Give a running server whose model takes down every lesson, and on which Sam and Kim review."""
    with OpenAIServer(answer) as openai:
        made = make_server(OPENAI_BASE_URL=openai.url, OPENAI_API_KEY="none", LEARNING_DEMO_REVIEWERS="sam,kim")
        made.start()
        yield made
        made.stop()


def say(client, text):
    """Say something in a new thread; return the answer."""
    thread = client.threads.create()["thread_id"]
    state = client.runs.wait(thread, "learning_agent", input={"messages": [{"role": "user", "content": text}]})
    assert "learning_errors" not in state
    return state["messages"][-1]["content"]


def waiting(client):
    """Begin a review; return its thread, and what it asks about by the lesson."""
    thread = client.threads.create()["thread_id"]
    state = client.runs.wait(thread, "review", input={})
    shown = state["__interrupt__"][0]["value"]["proposals"] if "__interrupt__" in state else []
    return thread, {proposal["fields"]["insight"]: proposal for proposal in shown}


def resume(client, thread, *verdicts):
    """Answer a review that pauses; return what came of it."""
    return client.runs.wait(thread, "review", command={"resume": list(verdicts)})["learning_reviewed"]


def approve(proposal, **more):
    return {"key": proposal["key"], "verdict": "approve", **more}


def test_approved_after_a_restart_it_is_known_on_the_next_turn(server):
    """Until then nobody is shown it; the reviewer sees the message that it rests on."""
    say(server.person("alex"), "Always rebase before merges")
    before = say(server.person("sam"), ASKED)
    thread, shown = waiting(server.person("sam"))
    proposal = shown["Always rebase before merges"]
    server.stop()
    server.start()
    done = resume(server.person("sam"), thread, approve(proposal, why="It helped"))

    assert ("alex", "user", "Always rebase before merges") == tuple(
        proposal[k] for k in ("said_by", "channel", "quote")
    )
    assert "rebase" not in before
    assert {proposal["key"]: "approved"} == done
    assert "Always rebase before merges" in say(server.person("sam"), ASKED)


def test_corrected_on_approval_it_is_known_as_corrected(server):
    """A value that does not fit is refused, and it can be tried again."""
    say(server.person("alex"), "Deploys tkae an hour")
    sam = server.person("sam")
    thread, shown = waiting(sam)
    proposal = shown["Deploys tkae an hour"]
    wrong = resume(sam, thread, approve(proposal, fields={"category": "nonsense"}))
    thread, _ = waiting(sam)
    resume(sam, thread, approve(proposal, fields={"insight": "Deploys take an hour"}))
    known = say(sam, ASKED)

    assert "refused: The proposal was not approved: category" in wrong[proposal["key"]]
    assert "Deploys take an hour" in known
    assert "tkae" not in known


def test_what_is_rejected_is_gone_for_good(server):
    """Also when it is said again."""
    alex, sam = server.person("alex"), server.person("sam")
    say(alex, "Deploys need no tests")
    thread, shown = waiting(sam)
    verdict = {"key": shown["Deploys need no tests"]["key"], "verdict": "reject", "why": "They do"}
    done = resume(sam, thread, verdict)
    say(alex, "Deploys need no tests")

    assert ["rejected"] == list(done.values())
    assert "Deploys need no tests" not in waiting(sam)[1]
    assert "no tests" not in say(sam, ASKED)


def test_of_two_corrections_of_one_thing_one_is_refused(server):
    """What it would change has changed since it was proposed."""
    alex, sam = server.person("alex"), server.person("sam")
    say(alex, "Freeze deploys on Fridays")
    thread, shown = waiting(sam)
    resume(sam, thread, approve(shown["Freeze deploys on Fridays"]))
    say(alex, "Freeze deploys on Mondays, not Fridays")
    say(alex, "Freeze deploys on Sundays, not Fridays")
    thread, shown = waiting(sam)
    first, second = shown["Freeze deploys on Mondays, not Fridays"], shown["Freeze deploys on Sundays, not Fridays"]
    done = resume(sam, thread, approve(first), approve(second))

    assert ["Lesson: Freeze deploys on Fridays"] == first["replaces"] == second["replaces"]
    assert "approved" == done[first["key"]]
    assert "has changed since it was made" in done[second["key"]]
    assert "Sundays" not in say(sam, ASKED)


def test_who_is_no_reviewer_decides_nothing_for_others(server):
    """Not even what they said themself; they are told why, and the proposal waits on."""
    alex = server.person("alex")
    say(alex, "Deploys are fun")
    state = alex.runs.wait(alex.threads.create()["thread_id"], "review", input={})

    assert "__interrupt__" not in state
    assert all('handler returns "reviews": True' in why for why in state["learning_reviewed"].values())
    assert waiting(server.person("sam"))[1]["Deploys are fun"]["key"] in state["learning_reviewed"]


def test_only_the_team_reviews(server):
    """Kim of another team sees nothing to review; who is nobody is not let in; another's review is not found."""
    say(server.person("alex"), "Deploys are announced")
    thread, shown = waiting(server.person("sam"))

    assert {} == waiting(server.person("kim"))[1]
    for client, status in ((server.anybody(), 401), (server.person("kim"), 404)):
        with pytest.raises(httpx.HTTPStatusError) as caught:
            resume(client, thread, approve(shown["Deploys are announced"]))
        assert status == caught.value.response.status_code


def test_who_is_no_reviewer_decides_nothing_by_a_detour_either(server):
    """Neither by jumping to the node that decides, nor by writing into the state that something was shown."""
    alex, sam = server.person("alex"), server.person("sam")
    say(alex, "Deploys are quiet")
    key = waiting(sam)[1]["Deploys are quiet"]["key"]
    forged = {"learning_evidence": [{"key": key}], "learning_verdicts": [approve({"key": key})]}
    thread = alex.threads.create(graph_id="review")["thread_id"]

    with pytest.raises(httpx.HTTPStatusError, match="not jump to one of its nodes"):
        alex.runs.wait(thread, "review", command={"goto": {"node": "decide", "input": forged}})
    with pytest.raises(httpx.HTTPStatusError, match="by runs of its graph only"):
        alex.threads.update_state(thread, forged, as_node="ask")
    with pytest.raises(httpx.HTTPStatusError, match="not jump to one of its nodes"):
        alex.runs.wait(thread, "learning_agent", command={"goto": {"node": "update", "input": {"learning_lesson": {}}}})
    assert "Deploys are quiet" in waiting(sam)[1]
