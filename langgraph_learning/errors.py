"""Errors of this package.

LearningError
├── Misconfigured        a machine, a learning store or a database is set up in a way that cannot work
│   ├── MissingExtra     an optional part of the package is not installed
│   ├── NotSetUp         the tables are missing
│   └── WrongDimensions  an embedding model returns vectors of another length than the index has
├── MissingOwner         the run does not name the owner of a learning
├── NotAllowed           the caller may not do this
├── NotFound             nothing that the caller may see has this key
├── InvalidFilter        a store cannot understand the filter of a search
├── InvalidFields        the values do not fit the fields of a record
├── InvalidEdit          an edit cannot be carried out; its message goes to the model
├── UnreadableAnswer     the model's answer is not a list of edits
└── Conflict             an item has changed since it was read; nothing was written

Errors that the caller of a run can correct (Misconfigured, MissingOwner, NotAllowed, InvalidFilter) are ValueErrors
too: LangGraph's server passes on their messages, and hides those of other errors from its clients.
"""

import inspect


class LearningError(Exception):
    """Something went wrong while learning."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or ""))


class Misconfigured(LearningError, ValueError):
    """This configuration cannot work."""


class MissingExtra(Misconfigured):
    """An optional part is missing. Install it with `pip install 'langgraph-learning[extra]'`."""

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs an optional part: pip install 'langgraph-learning[{extra}]'")


class NotSetUp(Misconfigured):
    """The tables are missing. Call `store.setup()` once before the first use."""


class WrongDimensions(Misconfigured):
    """The embedding model returns vectors of another length. Set `dims` to it, and call `store.reembed()`."""


class MissingOwner(LearningError, ValueError):
    """A learning needs an owner. Pass `context=LearningContext(user_id=…)` with the run."""


class NotAllowed(LearningError, ValueError):
    """The caller may not do this."""


class NotFound(LearningError):
    """Nothing that the caller may see has this key. List the keys with `machine.learnings(context)`."""


class InvalidFilter(LearningError, ValueError):
    """The store cannot understand the filter of this search."""


class InvalidFields(LearningError):
    """The values do not fit the record. The message names the field; nothing was written."""


class InvalidEdit(LearningError, ValueError):
    """This edit cannot be carried out. The message tells the model what to correct."""


class UnreadableAnswer(LearningError):
    """The model's answer is not a list of edits. Use a model that supports structured output or tool calls."""


class Conflict(LearningError):
    """An item has changed since it was read, so nothing was written. Read again and repeat."""
