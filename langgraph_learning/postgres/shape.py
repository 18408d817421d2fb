"""What plans know of the store that they are made for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from langgraph_learning.postgres import steps
from langgraph_learning.postgres.config import Index
from langgraph_learning.postgres.sizes import Sizes
from langgraph_learning.postgres.statements import Statement, Statements
from langgraph_learning.postgres.steps import Plan, Rows


@dataclass(frozen=True)
class Shape:
    """All that a plan has to know of its store."""

    statements: Statements
    index: Index | None
    hybrid: bool
    language: str
    log: bool
    expired_too: bool
    """Whether reads also see what has expired and was not swept yet."""
    types: dict[str, int]
    """How this database numbers the type of its vectors, once it was asked."""
    sizes: Sizes

    def vector_oid(self) -> Plan[int]:
        """Return the number of the type of the stored vectors."""
        if not self.types:
            ((row,),) = yield from steps.run(self.statements("type of vectors"))
            self.types["vector"] = row["oid"]
        return self.types["vector"]


class Read(NamedTuple):
    """One statement, and where the items of its rows go."""

    statement: Statement
    place: Callable[[Rows, list[Any]], None]
