"""The shipped langgraph.json can be deployed: what it installs is enough, and what it lacks it says."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from packaging.requirements import Requirement

from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.testing import HashEmbeddings

PROJECT = Path(__file__).parents[2]
CONFIG = json.loads((PROJECT / "langgraph.json").read_text())
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
OPEN_STORE = """
import asyncio
from graphs.store import store

async def main():
    async with store() as opened:
        await opened.aput(("learnings", "default", "user", "alex", "facts"), "k", {"text": "Soup for lunch"})
        found, *_ = await opened.asearch(("learnings",), query="soup")
        print(found.value["text"], await opened.astored_dims())

asyncio.run(main())
"""


def test_the_configuration_is_complete():
    """Studio and editors know the schema, the image the Python, and the server its settings."""
    assert {"$schema", "python_version", "env"} <= set(CONFIG)
    assert f"Programming Language :: Python :: {CONFIG['python_version']}" in PYPROJECT["classifiers"]


def test_the_image_installs_the_extras_that_the_graphs_need():
    """A dockerfile installs no extras, and its shell takes no < or >: the packages are named one by one."""
    extras = [Requirement(line) for name in ("local", "embedded") for line in PYPROJECT["optional-dependencies"][name]]
    own, *named = CONFIG["dependencies"]
    installed = {Requirement(line).name: Requirement(line) for line in named}

    assert "." == own
    assert [] == [line for line in named if set(line) & set("<>'\" ")]
    assert {extra.name for extra in extras} == set(installed)
    assert [] == [
        extra.name for extra in extras if str(installed[extra.name].specifier) not in ("", str(extra.specifier))
    ]


def test_every_setting_of_the_example_is_read():
    """No name in .env.example is misspelt, and each one is a comment until somebody fills it in."""
    lines = (PROJECT / ".env.example").read_text().splitlines()
    names = [match[1] for line in lines if (match := re.match(r"# ([A-Z_]+)=", line))]
    sources = [*(PROJECT / "graphs").glob("*.py"), PROJECT / "langgraph_learning/postgres/embedded/__init__.py"]
    read = "".join(source.read_text() for source in sources)

    assert {"DATABASE_URL", "MODEL", "EMBED"} <= set(names)
    assert [] == [name for name in names if f'"{name}"' not in read]
    assert [] == [line for line in lines if line and not line.startswith("#")]


def test_no_secret_goes_into_the_image():
    """The whole folder is copied there."""
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()

    assert {".env", ".git", ".venv"} <= set(ignored)


def open_store(**settings: str) -> subprocess.CompletedProcess[str]:
    """Open the server's store in a process of its own."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **settings}
    command = [sys.executable, "-c", OPEN_STORE]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("variable", ["DATABASE_URL", "POSTGRES_URI", "DATABASE_URI"])
@pytest.mark.parametrize(("embed", "dims"), [({"EMBED": "none"}, "None"), ({}, "384")])
def test_the_store_opens_in_the_servers_own_database(
    empty_database_url: str, variable: str, embed: dict[str, str], dims: str
):
    """In a server image, with the local model or with words alone."""
    opened = open_store(**{variable: empty_database_url, "LANGSERVE_GRAPHS": "{}", **embed})

    assert f"Soup for lunch {dims}" == opened.stdout.strip(), opened.stderr


def test_a_server_image_without_a_database_says_what_to_set():
    """A Postgres in the container would be gone with it."""
    opened = open_store(LANGSERVE_GRAPHS="{}")

    assert "Misconfigured" in opened.stderr
    assert "Set DATABASE_URL to a Postgres with pgvector, or POSTGRES_URI" in opened.stderr
    assert "set DATABASE_URL=embedded" in opened.stderr


def test_a_model_that_cannot_be_used_is_named(empty_database_url: str):
    """The error names the setting's value."""
    opened = open_store(DATABASE_URL=empty_database_url, EMBED="nobody:model")

    assert "Misconfigured: The embedding model nobody:model cannot be used" in opened.stderr


def test_another_size_of_vectors_says_how_to_embed_again(empty_database_url: str):
    """And embedding again is all that is needed."""
    other = HashEmbeddings()
    index = {"dims": other.dims, "embed": other, "fields": ["text"]}
    with HybridPostgresStore.from_conn_string(empty_database_url, index=index) as store:
        store.setup()
        store.put(("learnings", "default", "user", "alex", "facts"), "old", {"text": "Tea at four"})
    refused = open_store(DATABASE_URL=empty_database_url)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), "DATABASE_URL": empty_database_url}
    again = subprocess.run(
        [sys.executable, "-m", "graphs.store"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert other.dims != 384
    assert f"vectors of {other.dims} numbers, but EMBED=local makes vectors of 384" in refused.stderr
    assert "python -m graphs.store" in refused.stderr
    assert "Embedded again with EMBED=local: 1 items" in again.stdout, again.stderr
    assert "Soup for lunch 384" == open_store(DATABASE_URL=empty_database_url).stdout.strip()


@pytest.fixture
def deployed_python() -> Iterator[Path]:
    """Give the Python of an environment that was made, on a clone, by the install commands of the dockerfile."""
    root = Path(mkdtemp(prefix="learning-", dir="/var/tmp"))
    try:
        clone, python = root / "deps" / "clone", root / "venv" / "bin" / "python"
        ignored = [line.removeprefix("**/") for line in (PROJECT / ".dockerignore").read_text().splitlines()]
        shutil.copytree(PROJECT, clone, ignore=shutil.ignore_patterns(*ignored))
        dockerfile = root / "Dockerfile"
        command = [sys.executable, "-m", "langgraph_cli", "dockerfile", "-c", str(clone / "langgraph.json")]
        subprocess.run([*command, str(dockerfile)], check=True, capture_output=True)
        subprocess.run([sys.executable, "-m", "venv", root / "venv"], check=True)
        pip = f"{python} -m pip install --quiet --disable-pip-version-check"
        subprocess.run(f"{pip} 'langgraph-cli[inmem]>=0.4,<1'", shell=True, check=True)  # what the base image has
        installs = re.findall(r"^RUN (.*uv pip install .* -c .*)$", dockerfile.read_text(), re.MULTILINE)
        for line in installs:
            line = line.replace("uv pip install --system --no-cache-dir", pip).replace("-c /api/constraints.txt", "")
            subprocess.run(["sh", "-ec", line.replace("/deps/", f"{root}/deps/")], cwd=root, check=True)
        assert 2 == len(installs)
        yield python
    finally:
        shutil.rmtree(root)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_environment_of_the_dockerfile_starts_and_learns(make_server: Callable[..., Any], deployed_python: Path):
    """What one user teaches, a colleague hears: nothing is needed that only our own environment has."""
    server = make_server(python=deployed_python)
    server.start()
    answers = []
    for name, text in (("alex", "The migration to GCP has three phases."), ("sam", "What about the migration?")):
        client = server.person(name)
        thread = client.threads.create()["thread_id"]
        messages = {"messages": [{"role": "user", "content": text}]}
        answers.append(client.runs.wait(thread, "learning_agent", input=messages)["messages"][-1]["content"])
    server.stop()

    assert "three phases" in answers[1]
