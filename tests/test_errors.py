"""Errors: one tree, and all of it described."""

import re
from inspect import getmembers, isclass

import pytest

from langgraph_learning import errors
from langgraph_learning.errors import InvalidEdit, LearningError, Misconfigured, MissingOwner, NotAllowed

CLASSES = [error for _, error in getmembers(errors, isclass) if error.__module__ == errors.__name__]


def test_the_tree_names_every_error():
    """In the module's docstring, where users look for what they can catch."""
    assert sorted(error.__name__ for error in CLASSES) == sorted(
        re.findall(r"^[│├└─ ]*([A-Z]\w+)(?:  |$)", errors.__doc__ or "", re.M)
    )


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_can_be_caught_as_a_learning_error(error: type[Exception]):
    """Whoever wants to catch them all catches one."""
    assert issubclass(error, LearningError)


@pytest.mark.parametrize("error", [Misconfigured, MissingOwner, NotAllowed, InvalidEdit])
def test_what_a_caller_can_put_right_is_a_value_error(error: type[Exception]):
    """LangGraph's server passes on the sentence of a ValueError, and of hardly anything else."""
    assert issubclass(error, ValueError)
