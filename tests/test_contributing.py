"""CONTRIBUTING.md describes the repository as it is."""

import re
import tomllib
from typing import Any

import pytest
from documentation import PROJECT, blocks_of, text_of
from langgraph.store.base import BaseStore

CONTRIBUTING = PROJECT / "CONTRIBUTING.md"
PACKAGE = PROJECT / "langgraph_learning"
MAP, LAYERS = (block.code for block in blocks_of(CONTRIBUTING, "text"))


def modules_of_the_map() -> set[str]:
    """Return the path of every module that the map names."""
    found, folder = set(), ""
    for line in MAP.splitlines():
        name, *description = line.split(maxsplit=1)[:2] if line.strip() else [""]
        if name.endswith("/"):
            folder = name.removeprefix("langgraph_learning/")
        elif name:
            assert description, f"{name} has no description"
            found.add(f"{folder}{name}")
    return found


def test_the_map_shows_every_module_and_no_other():
    """A module that is new, moved or gone changes its line."""
    modules = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if path.name[0] != "_"}

    assert modules == modules_of_the_map()


def test_the_map_has_a_line_for_every_package():
    """With what it is for."""
    packages = {f"{path.parent.relative_to(PACKAGE).as_posix()}/" for path in PACKAGE.rglob("__init__.py")} - {"./"}

    assert packages == set(re.findall(r"^(\S+/) +\S", MAP, re.MULTILINE))


def test_the_layers_are_those_that_lint_checks():
    """From top to bottom."""
    contracts = tomllib.loads(text_of(PROJECT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]

    assert layers == [line.partition("(")[0].strip() for line in LAYERS.splitlines()]


def test_the_table_of_fixtures_is_complete():
    """Those of tests/conftest.py, each with what it gives."""
    table = text_of(CONTRIBUTING).partition("| fixture |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (.*?) \| .+ \|$", table, re.MULTILINE)
    defined = re.findall(r"@pytest\.fixture.*\n(?:async )?def (\w+)", text_of(PROJECT / "tests" / "conftest.py"))

    assert sorted(defined) == sorted(name for row in rows for name in re.findall(r"`(\w+)`", row))


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`([\w./]+\.(?:py|md|sql|toml|json))`", text_of(CONTRIBUTING))))
)
def test_every_file_it_names_exists(path: str):
    """From the root of the repository, from the package, or in the folder that the sentence is about."""
    places = (PROJECT, PACKAGE, PACKAGE / "cli")

    assert any((place / path).exists() for place in places)


def test_the_example_of_a_test_passes(store: BaseStore):
    """On every store."""
    shared: dict[str, Any] = {}
    (block,) = blocks_of(CONTRIBUTING, "python")
    exec(compile(block.code, CONTRIBUTING.name, "exec"), shared)

    shared["test_a_store_finds_by_words"](store)


def test_tests_mirror_the_package():
    """A folder of tests is a package, or is about something beside the package."""
    beside = {"server", "upstream"}  # graphs/, and LangGraph's own tests
    folders = {path.name for path in (PROJECT / "tests").iterdir() if path.is_dir() and path.name[0] not in "_."}

    assert folders - beside <= {path.name for path in PACKAGE.iterdir() if path.is_dir()}
