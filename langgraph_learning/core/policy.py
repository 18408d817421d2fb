"""Settings of a learning store: Mode, Sharing and Standing."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeVar

from langgraph_learning.errors import Misconfigured

E = TypeVar("E", bound=StrEnum)

CUT = " […]"
"""End of a quote that was cut."""


@dataclass(frozen=True)
class Sharing:
    """Policy for sharing: when a user's own words count for others in a shared scope, and not for that user alone."""

    users: int | None
    """Number of different users who must have said it; None: a person must approve it."""

    AT_ONCE: ClassVar["Sharing"]
    APPROVED: ClassVar["Sharing"]

    @classmethod
    def after(cls, users: int) -> "Sharing":
        """Return the policy to share what this many different users said. Raises `Misconfigured` below 2."""
        if not isinstance(users, int) or users < 2:
            raise Misconfigured("Sharing.after(n) needs at least two users; for one, use Sharing.AT_ONCE.")
        return cls(users)


Sharing.AT_ONCE = Sharing(1)
Sharing.APPROVED = Sharing(None)


class Standing(StrEnum):
    """How much a learning has to do with a question before an agent is shown it."""

    NO = "no"
    """It is shown for questions near to it."""
    LOWER = "lower"
    """It is shown for questions that have less to do with it, too: a team's goals, limits, promises and house rules."""
    ALWAYS = "always"
    """It is shown whatever the question, within a small budget: how a user wants answers to look."""


class Mode(StrEnum):
    """The party that decides what is learnt."""

    BACKGROUND = "background"
    """Extraction after the answer."""
    AGENTIC = "agentic"
    """The agent, with tools."""
    PROPOSE = "propose"
    """Nothing counts before a person approves."""


def read_choice(choices: type[E], value: E | str, setting: str) -> E:
    """Return a choice, which may be given by its name. Raises `Misconfigured` for what is none."""
    try:
        return choices(value)
    except ValueError as error:
        names = ", ".join(f"{choices.__name__}.{choice.name}" for choice in choices)
        raise Misconfigured(f"{setting} is one of {names}; not {value!r}.") from error
