"""What can go wrong.

LearningError
├── Misconfigured       the machine, a learning store or a database was set up in a way that cannot work
│   ├── MissingExtra    an optional part of the package is not installed
│   └── NotSetUp        the tables are missing
├── MissingOwner        nobody was named whom a learning could belong to
├── NotAllowed          the caller may not do this
├── NotFound            nothing that the caller can see has this key
├── UnreadableAnswer    the model's answer is not a list of edits
├── InvalidFields       values given to a record's fields do not fit it
└── Conflict            what was read has changed since; nothing was written

Those that whoever starts a run can put right (Misconfigured, MissingOwner, NotAllowed) are ValueErrors too: of other
errors LangGraph's server tells its clients no more than that there was one.
"""

import inspect


class LearningError(Exception):
    """Something went wrong while learning."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.cleandoc(type(self).__doc__ or ""))


class Misconfigured(LearningError, ValueError):
    """This set-up cannot work."""


class MissingExtra(Misconfigured):
    """An optional part is missing. Install it with `pip install 'langgraph-learning[extra]'`."""

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs an optional part: pip install 'langgraph-learning[{extra}]'")


class NotSetUp(Misconfigured):
    """The tables are missing. Call `store.setup()` once before the first use."""


class MissingOwner(LearningError, ValueError):
    """A learning needs an owner. Pass `context=LearningContext(user_id=…)` with the run."""


class NotAllowed(LearningError, ValueError):
    """The caller may not do this."""


class NotFound(LearningError):
    """Nothing that the caller can see has this key. List the keys with `machine.learnings(context)`."""


class UnreadableAnswer(LearningError):
    """The model's answer is not a list of edits. Use a model that supports structured output or tool calls."""


class InvalidFilter(LearningError, ValueError):
    """The filter of this search cannot be understood."""


class InvalidFields(LearningError):
    """The values do not fit the record. The message names the field; nothing was written."""


class Conflict(LearningError):
    """What was read has changed since, so nothing was written. Read again and repeat."""
