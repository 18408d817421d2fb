"""UserMemory: free-form observations about the user.

Shorter than 30 lines because every kind of learning is a module of its own, with its prompt beside it.
"""

from langgraph_learning.core.records import Record
from langgraph_learning.stores.base import LearningStore


class Observation(Record):
    """Something about the user that will matter again: a preference, a habit, a constraint, what they work on."""

    observation: str
    """One statement in the third person, understandable on its own."""


class UserMemory(LearningStore):
    """Free-form observations about the user."""

    name = "user_memory"
    title = "About the user"
    records = (Observation,)
