"""The server's example of authentication lets nobody in by itself."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest
from langgraph_sdk import Auth

FILE = Path(__file__).parents[2] / "graphs" / "auth.py"


def loaded(monkeypatch, people):
    monkeypatch.setenv("LEARNING_DEMO_USERS", people)
    spec = importlib.util.spec_from_file_location("auth_example", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("people", ["", " ", ",", ":acme"])
@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Bearer alex", "alex"])
async def test_without_demo_users_nobody_gets_in(monkeypatch, people, authorization):
    """Nobody is known by a name alone, and an empty name is nobody's."""
    with pytest.raises(Auth.exceptions.HTTPException, match=r"graphs/auth\.py"):
        await loaded(monkeypatch, people).authenticate(authorization)


async def test_a_demo_user_is_in_their_team(monkeypatch):
    """The setting names people with or without a team."""
    auth = loaded(monkeypatch, "alex:acme, kim")

    assert ["acme"] == (await auth.authenticate("Bearer alex"))["team_ids"]
    assert ("kim", []) == ((kim := await auth.authenticate("bearer kim"))["identity"], kim["team_ids"])


class Studio(Auth.types.StudioUser):
    """Studio's user as the server makes it, readable like a mapping."""

    def __contains__(self, key):
        return key == "identity"

    def __getitem__(self, key):
        return {"identity": self.identity}[key]


async def test_without_demo_users_studio_is_a_person_like_others(monkeypatch):
    """Studio may not speak for anybody, and is shown no items but its own."""
    auth = loaded(monkeypatch, "")
    studio = Auth.types.AuthContext(user=Studio("studio"), permissions=[], resource="store", action="search")

    assert not await auth.own_items(studio, {"namespace": ("learnings", "default", "user", "alex")})
    with pytest.raises(Auth.exceptions.HTTPException, match="leave user_id out"):
        await auth.own_runs(studio, {"kwargs": {"context": {"user_id": "alex"}, "config": {"configurable": {}}}})


async def test_a_planned_run_has_the_teams_of_whoever_planned_it(monkeypatch):
    """The server runs it for an identity alone; who that is, is looked up again."""
    auth = loaded(monkeypatch, "alex:acme")
    user = SimpleNamespace(identity="alex")
    planned = Auth.types.AuthContext(user=user, permissions=[], resource="threads", action="create_run")
    run = {"kwargs": {"config": {"configurable": {}}}, "metadata": {}}

    assert {"owner": "alex"} == await auth.own_runs(planned, run) == run["metadata"]
    assert ["acme"] == run["kwargs"]["config"]["configurable"]["langgraph_auth_user"]["team_ids"]


async def test_nothing_is_allowed_that_nobody_thought_of(monkeypatch):
    """A new kind of resource is refused until somebody allows it."""
    assert not await loaded(monkeypatch, "alex:acme").nothing_else(None, {})


@pytest.mark.parametrize(
    "command", [{"goto": "update"}, {"goto": {"node": "decide", "input": {}}}, {"update": {"x": 1}}]
)
async def test_a_run_of_a_user_jumps_to_no_node_and_writes_into_no_state(monkeypatch, command):
    """It may resume; only Studio's user, who operates the server, may do the other."""
    auth = loaded(monkeypatch, "alex:acme")
    alex = Auth.types.AuthContext(
        user=SimpleNamespace(identity="alex"), permissions=[], resource="threads", action="create_run"
    )
    studio = Auth.types.AuthContext(user=Studio("studio"), permissions=[], resource="threads", action="create_run")

    def run(**kwargs):
        return {"kwargs": {"config": {"configurable": {}}, **kwargs}}

    with pytest.raises(Auth.exceptions.HTTPException, match="not jump to one of its nodes"):
        await auth.own_runs(alex, run(command=command))
    assert {"owner": "alex"} == await auth.own_runs(alex, run(command={"resume": [], "goto": None, "update": None}))
    assert {"owner": "studio"} == await auth.own_runs(studio, run(command=command))


async def test_a_user_changes_no_state_of_a_thread(monkeypatch):
    """Their metadata they may change, and their runs they may cancel."""
    auth = loaded(monkeypatch, "alex:acme")
    alex = Auth.types.AuthContext(
        user=SimpleNamespace(identity="alex"), permissions=[], resource="threads", action="update"
    )

    with pytest.raises(Auth.exceptions.HTTPException, match="by runs of its graph only"):
        await auth.own_thread_updates(alex, {"thread_id": "t"})
    assert {"owner": "alex"} == await auth.own_thread_updates(alex, {"thread_id": "t", "metadata": {"a": 1}})
    assert {"owner": "alex"} == await auth.own_thread_updates(alex, {"thread_id": "t", "action": "interrupt"})
