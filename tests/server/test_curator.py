"""Curation on LangGraph's own server: run by whoever the authentication lets."""

import time

import pytest


@pytest.fixture(scope="module")
def curated(make_server):
    """Give a server on which Alex may curate, and on which two threads taught the same."""
    server = make_server(LEARNING_DEMO_CURATORS="alex")
    server.start()
    for said in ("I hate long meetings.", "I hate the long meetings."):
        tell(server.person("alex"), said)
    return server


def tell(client, said):
    """Say something to the agent in a thread of its own."""
    message = {"messages": [{"role": "user", "content": said}]}
    client.runs.wait(client.threads.create()["thread_id"], "learning_agent", input=message)


def curate(client, **asked):
    """Run the curator; return what it answers."""
    return client.runs.wait(None, "curator", input=asked)


def own(client, name):
    """Return the status of all that is private to a user."""
    items = client.store.search_items(("learnings", "default", "user", name, "user_memory"), limit=50)["items"]
    return sorted(item["value"]["status"] for item in items)


def test_who_may_curates_the_tenant(curated):
    """A dry run tells what a run then does."""
    alex = curated.person("alex")
    dry = curate(alex, dry_run=True)
    assert ["active", "active"] == own(alex, "alex")

    done = curate(alex)
    assert ["active", "superseded"] == own(alex, "alex")
    assert dry["report"]["actions"] == done["report"]["actions"]
    assert "1 merged" in done["told"]


def test_nobody_else_may(curated):
    """The report holds what others said."""
    with pytest.raises(Exception, match="may not curate"):
        curate(curated.person("sam"))


@pytest.mark.long
def test_a_cron_curates_as_whoever_made_it(curated):
    """Every minute here, so that the test sees it happen."""
    alex = curated.person("alex")
    curate(alex)
    for said in ("I love short meetings.", "I love the short meetings."):
        tell(alex, said)
    assert 2 <= own(alex, "alex").count("active")
    before = own(alex, "alex").count("superseded")
    cron = alex.crons.create("curator", schedule="* * * * *", input={"dry_run": False})
    while own(alex, "alex").count("superseded") == before:  # the test's own timeout ends it
        time.sleep(1)
    alex.crons.delete(cron["cron_id"])

    assert before + 1 == own(alex, "alex").count("superseded")
