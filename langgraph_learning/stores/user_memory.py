"""What is worth knowing about a user and fits no field: observations in plain words."""

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
