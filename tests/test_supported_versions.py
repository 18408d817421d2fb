"""The versions that the package says it works with: the same in every file that names them."""

import json
import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]


def minor_versions(text: str) -> set[int]:
    return {int(minor) for minor in re.findall(r"\b3[.,] ?(\d+)\b", text)}


def test_every_python_is_tested():
    """The classifiers, the bounds, the matrix and the environments name the same versions."""
    classified = minor_versions(" ".join(PYPROJECT["classifiers"]))
    low, high = sorted(minor_versions(PYPROJECT["requires-python"]))
    matrix = re.search(r"python: (\[.*\])", (PROJECT / ".github/workflows/test.yml").read_text())
    suits = re.search(r"SUITS := (.*)", (PROJECT / "Makefile").read_text())

    assert matrix
    assert suits
    assert classified == set(range(low, high))
    assert classified == {int(version.split(".")[1]) for version in json.loads(matrix[1])}
    assert {low, high - 1} == minor_versions(suits[1])


def test_private_names_of_langgraph_are_in_one_module():
    """An upgrade that moves one of them breaks that module and no other."""
    private = re.compile(r"langgraph\._|langgraph\.\w+\._|langchain_core\.[\w.]*\._|__pregel_|langgraph_api\b(?!\")")
    users = {
        str(path.relative_to(PROJECT))
        for folder in ("langgraph_learning", "graphs")
        for path in (PROJECT / folder).rglob("*.py")
        if private.search(path.read_text())
    }

    # The embedded database asks whether a server's image is around it.
    assert {"langgraph_learning/core/langgraph_compat.py", "langgraph_learning/postgres/embedded/__init__.py"} >= users
