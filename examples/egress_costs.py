"""One engineer says which costs the team is cutting; another one is reminded of them."""

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langgraph.store.base import BaseStore

from langgraph_learning import (
    EntityMemory,
    LearnedKnowledge,
    LearningContext,
    LearningMachine,
    Scope,
)
from stage import Agent, Saver, Scene, perform

SAVING = Scene(
    "Dana says what the team is saving on",
    "dana",
    ["We are cutting egress costs this quarter, so weigh them whenever somebody picks a tool or a vendor."],
    teams=("platform",),
)
CHOOSING = Scene(
    "Robin has something to choose",
    "robin",
    ["Which tool should we pick for our metrics, Datadog or Grafana?"],
    teams=("platform",),
)
STORY = (SAVING, CHOOSING)


def build(model: BaseChatModel, store: BaseStore, saver: Saver) -> Agent:
    """Return an agent that learns through the middleware."""
    stores = [EntityMemory(scope=Scope.TEAM), LearnedKnowledge(scope=Scope.TEAM)]
    machine = LearningMachine(model, stores, store=store, stream_texts=True)
    return create_agent(
        model,
        system_prompt="You advise engineers, in two or three sentences.",
        middleware=[machine.middleware()],
        context_schema=LearningContext,
        store=store,
        checkpointer=saver,
    )


if __name__ == "__main__":
    perform(__doc__, STORY, build)
