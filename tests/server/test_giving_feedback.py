"""Feedback on LangGraph's own server: a button in a user's interface, pressed as that user."""

import pytest

ASKED = "What do I have to know about the migration, and about meetings?"


def say(client, text):
    """Say something in a new thread; return the thread and the answer's id."""
    thread = client.threads.create()["thread_id"]
    said = {"messages": [{"role": "user", "content": text}]}
    return thread, client.runs.wait(thread, "learning_agent", input=said)["messages"][-1]["id"]


def feedback(client, thread, message, verdict, comment=None):
    """Press the button; return what came of it."""
    said = {"thread_id": thread, "message_id": message, "verdict": verdict, "comment": comment}
    return client.runs.wait(None, "feedback", input=said)


def own(client, name):
    """Return all that is private to a user, by its text."""
    items = client.store.search_items(("learnings", "default", "user", name), limit=50)["items"]
    return {item["value"]["text"]: item for item in items if "text" in item["value"]}


@pytest.fixture(scope="module")
def answered(server):
    """Give a thread and an answer in which Alex was shown his own and the team's learnings."""
    say(server.person("alex"), "I hate long meetings. The migration to GCP has three phases.")
    return say(server.person("alex"), ASKED)


def test_a_verdict_counts_as_the_users(server, answered):
    """For what the answer had in its context; what would have been right is learnt."""
    alex = server.person("alex")
    done = feedback(alex, *answered, "Name the phases", "Only said that there are three")
    kept = own(alex, "alex")

    corrected = kept["Avoid: Only said that there are three. Do instead: Name the phases"]
    assert {"helped": 0, "harmed": 1} == kept["I hate long meetings"]["value"]["votes"]
    assert {corrected["key"], kept["I hate long meetings"]["key"]} <= set(done["changed"])
    assert done["refused"] is None


def test_a_colleague_speaks_for_the_team_and_a_stranger_for_nobody(server, answered):
    """Sam votes on what the team knows, never on what is Alex' own; Kim has nothing to vote on."""
    before = own(server.person("alex"), "alex")["I hate long meetings"]["value"]["votes"]

    assert 1 == len(feedback(server.person("sam"), *answered, "up")["changed"])
    assert [] == feedback(server.person("kim"), *answered, "up")["changed"]
    assert before == own(server.person("alex"), "alex")["I hate long meetings"]["value"]["votes"]


def test_what_cannot_be_meant_is_refused_with_a_reason(server, answered):
    """The answer says why."""
    done = feedback(server.person("alex"), answered[0], "nowhere", "up")

    assert [] == done["changed"]
    assert "no answer 'nowhere' on record" in done["refused"]
