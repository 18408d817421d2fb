"""UserMemory: free-form observations about the user.

Shorter than 30 lines because every kind of learning is a module of its own, with its prompt beside it.
"""

from langgraph_learning.core.policy import Standing
from langgraph_learning.core.records import Record
from langgraph_learning.stores.base import LearningStore


class Observation(Record):
    """Something about the user that will matter again: a preference, a habit, a constraint, what they work on."""

    observation: str
    """In the third person."""
    about_answers: bool | None = None

    def standing(self) -> Standing:
        """Return that a wish for how answers look is shown always."""
        return Standing.ALWAYS if self.about_answers else Standing.NO

    def as_text(self) -> str:
        """Return the statement."""
        return self.observation


class UserMemory(LearningStore):
    """Free-form observations about the user."""

    name = "user_memory"
    title = "About the user"
    records = (Observation,)
