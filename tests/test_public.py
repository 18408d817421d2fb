"""What the package promises: its names."""

from inspect import getdoc, isclass, ismodule, isroutine
from typing import Any

import pytest

import langgraph_learning
from langgraph_learning import LearningMachine, UserMemory, machine, postgres, testing
from langgraph_learning.errors import Misconfigured


def test_everything_public_is_listed():
    """`__all__` names exactly what a reader can import without an underscore."""
    public = {
        name for name, part in vars(langgraph_learning).items() if not name.startswith("_") and not ismodule(part)
    }

    assert public == set(langgraph_learning.__all__)


def test_everything_public_says_what_it_does():
    """Every class, and every method of the machine, has a docstring of its own."""
    parts = [getattr(langgraph_learning, name) for name in langgraph_learning.__all__]
    parts += [part for name, part in vars(machine.LearningMachine).items() if isroutine(part) and name[0] != "_"]

    assert [] == [part for part in parts if (isclass(part) or isroutine(part)) and not getdoc(part)]


def test_the_stand_ins_and_the_store_are_where_users_look():
    """The names that other projects stand on."""
    assert [postgres.HybridPostgresStore, testing.ScriptedModel, testing.HashEmbeddings, testing.StoreContract]


@pytest.mark.parametrize("stores", [[UserMemory], ["user_memory"], "user_memory"], ids=["class", "name", "text"])
def test_a_machine_takes_learning_stores_and_nothing_else(stores: Any):
    """The error shows what to write."""
    with pytest.raises(Misconfigured, match=r"such as \[UserMemory\(\)\]"):
        LearningMachine(testing.ScriptedModel([]), stores)
