"""What a plan asks of the world. A plan is a generator that yields steps and receives their answers.

It does no I/O itself, so one plan serves the sync and the async methods of the store.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

from langgraph_learning.postgres.statements import Statement

Row = Mapping[str, Any]
Rows = list[Row]


class EmbedQuery(NamedTuple):
    """Embed what is searched for. Answered with one vector a text."""

    texts: Sequence[str]


class EmbedDocuments(NamedTuple):
    """Embed what is stored. Answered with one vector a text."""

    texts: Sequence[str]


class Run(NamedTuple):
    """Carry out statements in one transaction and, unless there is a guard, in one round trip.

    Answered with the rows of each statement.
    """

    statements: Sequence[Statement]
    guard: Callable[[Rows], None] | None = None
    """Is shown the rows of statement `guarded` before anything is committed; if it raises, nothing is."""
    guarded: int = 0
    optional: bool = False
    """Whether a database that only reads may leave it undone."""
    repeatable: bool = False
    """Whether it only reads, so that a connection found dead is no reason to fail."""

    @property
    def alone(self) -> bool:
        """Whether there is nothing to keep together."""
        return len(self.statements) == 1 and self.guard is None


class Pause(NamedTuple):
    """Wait a moment. Answered with None."""

    seconds: float


Step = EmbedQuery | EmbedDocuments | Run | Pause
T = TypeVar("T")
Plan = Generator[Step, Any, T]


def embed_queries(texts: Sequence[str]) -> Plan[list[list[float]]]:
    """Return one vector for each text that is searched for."""
    return cast(list[list[float]], (yield EmbedQuery(texts))) if texts else []


def embed_documents(texts: Sequence[str]) -> Plan[list[list[float]]]:
    """Return one vector for each text that is stored."""
    return cast(list[list[float]], (yield EmbedDocuments(texts))) if texts else []


def run(
    *statements: Statement,
    guard: Callable[[Rows], None] | None = None,
    guarded: int = 0,
    optional: bool = False,
    repeatable: bool = False,
) -> Plan[list[Rows]]:
    """Return the rows of each statement."""
    return cast(list[Rows], (yield Run(statements, guard, guarded, optional, repeatable)))


def pause(seconds: float) -> Plan[None]:
    """Wait."""
    yield Pause(seconds)
