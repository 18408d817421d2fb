"""Agent that learns: what one member of a team teaches it about their work, it knows for the others.

Lessons and changes of its instructions wait for approval: graphs/review.py. Feedback on answers: graphs/feedback.py.

With MODEL (any name for `init_chat_model`) or OPENAI_API_KEY it runs live. With neither it runs offline, on a model
that only repeats its context and says so in every answer.

LEARN says where it learns: deferred (the default), queue (with workers), or server (in graphs/learner.py).
"""

import os
from datetime import timedelta

from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel

from graphs.offline import OfflineModel
from langgraph_learning import (
    BehavioralFeedback,
    DecisionLog,
    EntityMemory,
    Episodes,
    LearnedKnowledge,
    LearningMachine,
    Mode,
    Schedule,
    Scope,
    SelfImprovement,
    SessionContext,
    UserMemory,
    UserProfile,
)


def model() -> BaseChatModel:
    """Return the model that the environment names, or the offline model."""
    name = os.environ.get("MODEL") or ("openai:gpt-5-mini" if os.environ.get("OPENAI_API_KEY") else None)
    return init_chat_model(name) if name else OfflineModel()


machine = LearningMachine(
    model=model(),
    stores=[
        UserProfile(),
        UserMemory(),
        SessionContext(planning=True),
        EntityMemory(scope=Scope.TEAM),
        LearnedKnowledge(scope=Scope.TEAM, mode=Mode.PROPOSE),
        DecisionLog(scope=Scope.TEAM),
        BehavioralFeedback(),
        SelfImprovement(sections={"answers": "Answer briefly."}, scope=Scope.TEAM),
        Episodes(keep=timedelta(days=90)),
    ],
    learn=os.environ.get("LEARN") or "deferred",  # type: ignore[arg-type]  # the machine refuses any other name
    schedule=Schedule(quiet=float(os.environ.get("LEARN_QUIET") or 10)),
)
agent = create_agent(model(), [], system_prompt="You help a team with its work.")
graph = machine.wrap(agent, name="learning_agent")
