"""examples/service.py answers while workers learn, and examples/compose.yaml starts what there is."""

import importlib
import shlex
import sys
from importlib.util import find_spec

import pytest
import typer
import yaml
from documentation import PROJECT
from fastapi.testclient import TestClient

from langgraph_learning import LearningContext
from langgraph_learning.cli import app


@pytest.fixture
def service(database_url, monkeypatch):
    """Give the module of the service, on a database of its own and with the offline model."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.delenv("MODEL", raising=False)
    monkeypatch.delitem(sys.modules, "service", raising=False)
    return importlib.import_module("service")


def test_the_service_answers_and_a_worker_learns(service):
    """The request ends with the answer; what was said is pending until a worker has learnt it."""
    told = {"user": "alex", "thread": "t1", "text": "Keep it short: I read this between meetings."}
    with TestClient(service.app) as client:
        assert client.post("/chat", json=told).json()["answer"]
        assert {"jobs": 1} == client.get("/pending", params={"user": "alex"}).json()
        service.machine.worker().drain()
        assert {"jobs": 0} == client.get("/pending", params={"user": "alex"}).json()

    learnt = service.machine.learnings(LearningContext(user_id="alex"))
    assert ["Wants short answers: I read this between meetings"] == [learning.text for learning in learnt]


def test_the_compose_file_starts_what_there_is():
    """Its services, their commands and the files that they name."""
    compose = yaml.safe_load((PROJECT / "examples" / "compose.yaml").read_text())
    services = compose["services"]
    command, *arguments = shlex.split(services["worker"]["command"])
    typer.main.get_command(app).commands[arguments[0]].make_context(arguments[0], arguments[1:])

    assert {"postgres", "app", "worker"} == set(services)
    assert ("langgraph-learning", 2) == (command, services["worker"]["deploy"]["replicas"])
    assert services["app"]["command"].startswith("uvicorn --app-dir examples service:app")
    assert find_spec("uvicorn")
    assert find_spec("service")
    assert all(set(compose["volumes"]) >= {mount.partition(":")[0]} for mount in services["postgres"]["volumes"])
    for service in ("app", "worker"):
        assert "postgres" in services[service]["depends_on"]
        assert services["postgres"]["environment"].keys() == {"POSTGRES_PASSWORD"}
