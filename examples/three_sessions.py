"""An agent learns from one user and helps another one, in three sessions about a migration."""

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langgraph.store.base import BaseStore

from langgraph_learning import (
    EntityMemory,
    LearnedKnowledge,
    LearningMachine,
    Scope,
    SessionContext,
    UserMemory,
    UserProfile,
)
from stage import Agent, Saver, Scene, perform

EARLIER_PROJECT = Scene(
    "Some weeks ago: Priya ends another project",
    "priya",
    [
        "Borealis has left Azure for AWS. Lesson for any cloud migration: move the data before the services, "
        "for the other way round cost us two weeks of cross-cloud traffic."
    ],
)
PLAN = Scene(
    "Alex plans a migration",
    "alex",
    [
        "Hi, I'm Alex, CTO at Acme. I'm leading our migration from AWS to GCP and I need a timeline for the board. "
        "Keep it short: I read this between meetings.",
        "Let's do it in three phases: phase 1 moves the databases in four weeks, phase 2 moves the model training in "
        "eight weeks, phase 3 moves the web apps in six weeks. Phase 2 is the most compute-heavy.",
    ],
)
NEXT_DAY = Scene(
    "The next day, in a new session, something changes",
    "alex",
    ["GCP is changing its pricing next quarter. What does that mean for our migration?"],
)
NEWCOMER = Scene(
    "Jordan joins the team",
    "jordan",
    ["I just joined to help with the Acme cloud project, what should I know?"],
)
STORY = (EARLIER_PROJECT, PLAN, NEXT_DAY, NEWCOMER)


def build(model: BaseChatModel, store: BaseStore, saver: Saver) -> Agent:
    """Return an agent that learns."""
    private = [UserProfile(), UserMemory(), SessionContext(planning=True)]
    shared = [EntityMemory(scope=Scope.TEAM), LearnedKnowledge(scope=Scope.TEAM)]
    machine = LearningMachine(model, [*private, *shared], store=store, stream_texts=True)
    agent = create_agent(model, system_prompt="You advise engineers, in two or three sentences.")
    return machine.wrap(agent, store=store, checkpointer=saver)


if __name__ == "__main__":
    perform(__doc__, STORY, build)
