"""The result of an extraction: what is to be written for a turn, what was lost, and what it cost."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import ItemRef, Scope
from langgraph_learning.core.store_protocol import Expected, ItemWrite
from langgraph_learning.extract.cursor import Progress
from langgraph_learning.extract.metrics import ExtractionMetrics


class KeptPrivate(NamedTuple):
    """A statement that stays private to the user although its learning store is shared, and why."""

    text: str
    why: str


@dataclass(frozen=True)
class ExtractionResult:
    """Everything to be written for a turn: all of it, if the cursor is still as it was read, or nothing."""

    learnings: tuple[Learning, ...] = ()
    errors: tuple[str, ...] = ()
    """What was lost: edits that were dropped, messages that were set aside or could not be read yet; and why."""
    failure: Exception | None = None
    """The error of the model, if it left messages to be read by the next turn."""
    writes: tuple[ItemWrite, ...] = ()
    """The advanced cursor, votes, and the deletion of marks of what was forgotten and is said anew."""
    expected: tuple[Expected, ...] = ()
    """Items that must not have changed since they were read."""
    voted: tuple[ItemRef, ...] = ()
    """The learnings that the conversation votes on."""
    progress: Progress = field(default_factory=Progress)
    """What the cursor notes of the messages that were read."""
    left: int = 0
    """How many messages are left to be read."""
    metrics: ExtractionMetrics = field(default_factory=ExtractionMetrics)
    """What the extraction cost."""
    kept_private: tuple[KeptPrivate, ...] = ()
    """What was meant for others and stays private to the user."""
    session_deleted: bool = False
    """True if the thread was deleted meanwhile: then nothing is written that belongs to it."""

    def without_thread(self) -> "ExtractionResult":
        """Return the result without all that belongs to the thread, which was deleted."""
        return replace(
            self,
            learnings=tuple(learning for learning in self.learnings if learning.scope != Scope.THREAD),
            writes=tuple(write for write in self.writes if not belongs_to_thread(write)),
            session_deleted=True,
        )


def belongs_to_thread(write: ItemWrite) -> bool:
    """Return True if an item belongs to a thread, as a session, a cursor and the record of an answer do."""
    return write[0][2] == Scope.THREAD.name
