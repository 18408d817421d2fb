"""The kinds of learning of the package, one module each with the prompt for the extraction model beside it."""

from langgraph_learning.stores.base import LearningStore
from langgraph_learning.stores.behavioral_feedback import BehavioralFeedback
from langgraph_learning.stores.decision_log import DecisionLog
from langgraph_learning.stores.entity_memory import EntityMemory
from langgraph_learning.stores.episodes import Episodes
from langgraph_learning.stores.learned_knowledge import LearnedKnowledge
from langgraph_learning.stores.self_improvement import SelfImprovement
from langgraph_learning.stores.session_context import SessionContext
from langgraph_learning.stores.user_memory import UserMemory
from langgraph_learning.stores.user_profile import UserProfile

CATALOGUE: tuple[type[LearningStore], ...] = (
    UserProfile,
    UserMemory,
    SessionContext,
    EntityMemory,
    LearnedKnowledge,
    DecisionLog,
    BehavioralFeedback,
    SelfImprovement,
    Episodes,
)
"""All learning stores of the package."""

__all__ = [
    "CATALOGUE",
    "BehavioralFeedback",
    "DecisionLog",
    "EntityMemory",
    "Episodes",
    "LearnedKnowledge",
    "SelfImprovement",
    "SessionContext",
    "UserMemory",
    "UserProfile",
]
