"""Curation on LangGraph's own server: run by whoever the authentication lets."""

import pytest


@pytest.fixture(scope="module")
def curated(make_server):
    """Give a server on which Alex may curate, and on which two threads taught the same."""
    server = make_server(LEARNING_DEMO_CURATORS="alex")
    server.start()
    for said in ("I hate long meetings.", "I hate the long meetings."):
        alex = server.person("alex")
        message = {"messages": [{"role": "user", "content": said}]}
        alex.runs.wait(alex.threads.create()["thread_id"], "learning_agent", input=message)
    return server


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
