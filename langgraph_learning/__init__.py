"""Turns any LangGraph agent into one that learns: from one person to the next, from one session to the next."""

from langgraph_learning.background.schedule import Schedule
from langgraph_learning.core.policy import Mode, Sharing, Standing
from langgraph_learning.core.records import Record
from langgraph_learning.core.scopes import LearningContext, Scope
from langgraph_learning.machine import LearningMachine
from langgraph_learning.recall.injection import learned_context
from langgraph_learning.stores import (
    BehavioralFeedback,
    DecisionLog,
    EntityMemory,
    Episodes,
    LearnedKnowledge,
    SelfImprovement,
    SessionContext,
    UserMemory,
    UserProfile,
)
from langgraph_learning.stores.base import LearningStore

__all__ = [
    "BehavioralFeedback",
    "DecisionLog",
    "EntityMemory",
    "Episodes",
    "LearnedKnowledge",
    "LearningContext",
    "LearningMachine",
    "LearningStore",
    "Mode",
    "Record",
    "Schedule",
    "Scope",
    "SelfImprovement",
    "SessionContext",
    "Sharing",
    "Standing",
    "UserMemory",
    "UserProfile",
    "learned_context",
]
