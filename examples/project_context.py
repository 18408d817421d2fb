"""A custom learning store is a record, a name and a scope: here, how to work on a project."""

from typing import Literal

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langgraph.store.base import BaseStore

from langgraph_learning import LearningMachine, LearningStore, Record, Scope
from stage import Agent, Saver, Scene, perform


class ProjectNote(Record):
    """What one must know to work on a project: where its code lives, how its tests run, which environment, gotchas."""

    topic: Literal["code", "tests", "environment", "gotcha"]
    note: str

    def as_text(self) -> str:
        """Return what is searched and shown."""
        return self.note

    def identity(self) -> str | None:
        """Return what it is about: a later note on the same replaces it, but gotchas add up."""
        return None if self.topic == "gotcha" else self.topic


class ProjectContext(LearningStore):
    """Note what somebody says that the next engineer on this project must know, with its paths and commands."""

    name = "project_context"
    scope = Scope.of("project")
    records = (ProjectNote,)
    stable = True


APOLLO = {"project": "apollo"}
SAID = [
    "The code lives in services/apollo, the tests run with `make test`.",
    "Use the staging environment. Mind that the seeds must be loaded first.",
]
SET_UP = Scene("Mia knows the project Apollo", "mia", SAID, owners=APOLLO)
ASKED = ["How do I run the tests, and what should I mind?", "By the way, the tests run with `just test` by now."]
NEW_HERE = Scene("Jo is new on it, and changes something", "jo", ASKED, owners=APOLLO)
ASKED_AGAIN = Scene("Mia hears of it", "mia", ["How do I run the tests?"], owners=APOLLO)
ELSEWHERE = Scene("Jo works on another project", "jo", ["How do I run the tests?"], owners={"project": "zeus"})
STORY = (SET_UP, NEW_HERE, ASKED_AGAIN, ELSEWHERE)


def build(model: BaseChatModel, store: BaseStore, saver: Saver) -> Agent:
    """Return an agent with this learning store only."""
    machine = LearningMachine(model, [ProjectContext()], store=store, stream_texts=True)
    return machine.wrap(create_agent(model), checkpointer=saver)


if __name__ == "__main__":
    perform(__doc__, STORY, build)
