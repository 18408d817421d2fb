"""Curation on a LangGraph server, by accounts that the authentication allows to curate."""

import time

import pytest
from documentation import PROJECT, blocks_of


@pytest.fixture(scope="module")
def curated(make_server):
    """Give a server on which Alex may curate, and on which two threads taught the same statement."""
    server = make_server(LEARNING_DEMO_CURATORS="alex")
    server.start()
    for said in ("I hate long meetings.", "I hate the long meetings."):
        tell(server.person("alex"), said)
    return server


def tell(client, said):
    """Send the agent a message in a new thread."""
    message = {"messages": [{"role": "user", "content": said}]}
    client.runs.wait(client.threads.create()["thread_id"], "learning_agent", input=message)


def curate(client, **asked):
    """Run the curator graph; return its output."""
    return client.runs.wait(None, "curator", input=asked)


def own(client, name):
    """Return the statuses of all private learnings of a user."""
    items = client.store.search_items(("learnings", "default", "user", name, "user_memory"), limit=50)["items"]
    return sorted(item["value"]["status"] for item in items)


def test_who_may_curates_the_tenant(curated):
    """A dry run reports the same actions as the run after it."""
    alex = curated.person("alex")
    dry = curate(alex, dry_run=True)
    assert ["active", "active"] == own(alex, "alex")

    done = curate(alex)
    assert ["active", "superseded"] == own(alex, "alex")
    assert dry["report"]["actions"] == done["report"]["actions"]
    assert "1 merged" in done["told"]


def test_nobody_else_may(curated):
    """The report contains statements of other users, so it is refused."""
    with pytest.raises(Exception, match="may not curate"):
        curate(curated.person("sam"))


def test_the_cron_of_the_docs_can_be_planned(curated):
    """Word for word."""
    alex = curated.person("alex")
    (block,) = blocks_of(PROJECT / "docs" / "curation.md", "py")
    exec(compile(block.code, "curation.md", "exec"), {"client": alex})
    (planned,) = alex.crons.search()
    alex.crons.delete(planned["cron_id"])

    assert "0 3 * * *" == planned["schedule"]


@pytest.mark.long
def test_a_cron_curates_as_whoever_made_it(curated):
    """The cron runs every minute so that the test can wait for it."""
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
