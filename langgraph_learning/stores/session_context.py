"""SessionContext: summary, goal, plan and progress of one thread."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

from langgraph_learning.core.flow import Flow
from langgraph_learning.core.learning import Learning, Status
from langgraph_learning.core.policy import Mode
from langgraph_learning.core.records import Edit, Record
from langgraph_learning.core.repository import get_many
from langgraph_learning.core.scopes import Scope
from langgraph_learning.core.text import escape_line
from langgraph_learning.stores.base import LearningStore, Request

SEPARATOR = " | "
"""Between the parts of a session in its text."""
LOOK_BACK = 50
"""Number of latest messages at which a version is looked for; an older version is in the thread's state."""


class Session(Record):
    """Where this session stands. Always the whole of it, as it should now be; what still holds is said again."""

    summary: str

    def identity(self) -> str:
        """Return a constant: a thread has one session."""
        return "session"

    def as_text(self) -> str:
        """Return the summary."""
        return self.summary


class Step(BaseModel):
    """One step of the plan."""

    text: str
    status: Literal["open", "doing", "done", "dropped"]


class PlannedSession(Session):
    """Where this session stands. Always the whole of it, as it should now be; what still holds is said again."""

    kind = "session"

    goal: str | None
    plan: list[Step]
    progress: str | None

    def as_text(self) -> str:
        """Return goal, summary, steps and progress as one text."""
        parts = [f"Goal: {self.goal}"] if self.goal else []
        parts.append(f"So far: {self.summary}")
        parts += [f"Step {number} ({step.status}): {step.text}" for number, step in enumerate(self.plan, start=1)]
        parts += [f"Progress: {self.progress}"] if self.progress else []
        return SEPARATOR.join(parts)


class SessionContext(LearningStore):
    """Summary of one thread. Each extraction writes a version, whose key is the id of the last message it covers.

    The newest version whose message is in this branch of the thread is current, so a fork of the thread has the session
    as it was at the fork.
    """

    name = "session_context"
    scope = Scope.THREAD
    title = "This session so far"
    modes = frozenset({Mode.BACKGROUND})
    limit = 1

    def __init__(self, *, planning: bool = False, mode: Mode | None = None) -> None:
        """Set up the store; with `planning` it also keeps the goal, the plan with its steps, and the progress."""
        super().__init__(record=PlannedSession if planning else Session, mode=mode)

    def recall(self, request: Request) -> Flow[list[Learning]]:
        """Find the newest version in this branch; if its message is too far back, use that of the thread's state.

        A version that was deleted, because something in it was forgotten, may still be in the state: it is not used.
        """
        (namespace,) = request.caller.readable_namespaces(self.scope, self.name)
        in_branch = [(namespace, message_id) for message_id in reversed(request.branch[-LOOK_BACK:])]
        in_state = [learning for learning in request.session if learning.kind in self.kinds]
        stored, _ = yield from get_many([*in_branch, *(learning.ref for learning in in_state)])
        newest = [stored[ref] for ref in in_branch if ref in stored][:1]
        current = newest or [learning for learning in in_state if learning.ref in stored]
        return [learning for learning in current if learning.status is Status.ACTIVE]

    def build_context(self, found: Sequence[Learning], request: Request) -> str:
        """Render the session line by line."""
        return "\n".join(f"- {escape_line(part)}" for learning in found for part in learning.text.split(SEPARATOR))

    def process(self, edits: Sequence[Edit], known: Sequence[Learning]) -> list[Learning]:
        """Write one version for the messages that were read; earlier versions stay, for their own branches."""
        last = edits[-1]
        if last.record is None:
            return [last.replaces.model_copy(update={"status": Status.REJECTED})] if last.replaces else []
        return [last.learning(key=last.covers, supersedes=tuple(learning.key for learning in known))]
