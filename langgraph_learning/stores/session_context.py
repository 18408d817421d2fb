"""Where a session stands: what it is for, the plan, and how far it got."""

from collections.abc import Sequence
from typing import Literal

from langgraph.store.base import GetOp, Item
from pydantic import BaseModel

from langgraph_learning.core.flow import Flow, batch
from langgraph_learning.core.learning import Learning, Status, read_learnings
from langgraph_learning.core.policy import Mode
from langgraph_learning.core.records import Edit, Record
from langgraph_learning.core.scopes import Scope
from langgraph_learning.core.text import escape_line
from langgraph_learning.stores.base import LearningStore, Request

BREAK = " | "
LOOK_BACK = 50
"""How many messages back the newest version is looked for; an older one is in the thread's state."""


class Session(Record):
    """Where this session stands. Always the whole of it, as it should now be; what still holds is said again."""

    summary: str
    """What was discussed and settled, in a few sentences, with names and numbers."""

    def identity(self) -> str:
        """There is one session in a thread."""
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
    """What the user wants to reach; null if they did not say."""
    plan: list[Step]
    """The steps towards it, in order; empty if there is no plan."""
    progress: str | None
    """How far it got and what comes next; null if nothing was begun."""

    def as_text(self) -> str:
        """Return everything as one text, the goal first."""
        parts = [f"Goal: {self.goal}"] if self.goal else []
        parts.append(f"So far: {self.summary}")
        parts += [f"Step {number} ({step.status}): {step.text}" for number, step in enumerate(self.plan, start=1)]
        return BREAK.join([*parts, *([f"Progress: {self.progress}"] if self.progress else [])])


class SessionContext(LearningStore):
    """The session of one thread. Each learning step writes a version, keyed by the last message that it covers.

    The version that counts is the newest whose message is in this branch of the thread, so a fork of the thread has
    the session as it was at the fork.
    """

    name = "session_context"
    scope = Scope.THREAD
    title = "This session so far"
    modes = frozenset({Mode.BACKGROUND})
    limit = 1

    def __init__(self, *, planning: bool = False, mode: Mode | None = None) -> None:
        """planning: also keep the goal, the plan with the status of its steps, and the progress."""
        super().__init__(record=PlannedSession if planning else Session, mode=mode)

    def recall(self, asked: Request) -> Flow[list[Learning]]:
        """Find the newest version in this branch; what the thread's state holds counts if its message is far back."""
        (place,) = asked.caller.readable_namespaces(self.scope, self.name)
        items = yield from batch(*(GetOp(place, id_) for id_ in reversed(asked.branch[-LOOK_BACK:])))
        versions = read_learnings((item for item in items if isinstance(item, Item)), [place])
        newest = versions[:1] or [learning for learning in asked.session if learning.kind in self.kinds]
        return [learning for learning in newest if learning.status is Status.ACTIVE]

    def build_context(self, found: Sequence[Learning], asked: Request) -> str:
        """Render the session line by line."""
        return "\n".join(f"- {escape_line(part)}" for learning in found for part in learning.text.split(BREAK))

    def process(self, edits: Sequence[Edit], known: Sequence[Learning]) -> list[Learning]:
        """Write one version for what was read; the versions before it stay, for the branches that they belong to."""
        last = edits[-1]
        if last.record is None:
            gone = last.replaces
            return [gone.model_copy(update={"status": Status.REJECTED})] if gone else []
        return [last.learning(key=last.covers, supersedes=tuple(one.key for one in known))]
