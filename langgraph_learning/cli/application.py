"""The application's machine, which the command line imports by the name of its module."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from langgraph.store.base import BaseStore

from langgraph_learning.cli.database import open_store
from langgraph_learning.errors import Misconfigured
from langgraph_learning.machine import LearningMachine


class Application(NamedTuple):
    """A machine, and the store that it learns into."""

    machine: LearningMachine
    store: BaseStore


@contextmanager
def open_application(path: str, url: str | None, embed: str) -> Iterator[Application]:
    """Open the machine that a path such as `app.main:machine` names, with its own store or that of a database."""
    machine = load_machine(path)
    if machine.store is not None and url is None:
        yield Application(machine, machine.store)
        return
    own = machine.store
    with open_store(url, embed) as store:
        machine.store = store
        try:
            yield Application(machine, store)
        finally:
            machine.store = own


def load_machine(path: str) -> LearningMachine:
    """Return the machine of an application. Raises `Misconfigured` if there is none at this path."""
    module_name, _, attribute = path.partition(":")
    if not (module_name and attribute):
        raise Misconfigured(f"--machine {path}: name the module and the variable, such as app.main:machine.")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: the application is in the current folder
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise Misconfigured(f"--machine {path}: {error}") from error
    if not isinstance(found, LearningMachine):
        raise Misconfigured(f"--machine {path} is a {type(found).__name__}: name a LearningMachine.")
    return found
