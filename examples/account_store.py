"""A custom learning store for a sales team, whose learnings about accounts need approval."""

from typing import Literal

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langgraph.store.base import BaseStore

from langgraph_learning import LearningContext, LearningMachine, LearningStore, Mode, Record, Scope
from stage import Agent, Saver, Scene, act, stage, tell


class AccountNote(Record):
    """Something about a customer that everybody who sells to them must know."""

    account: str
    """The customer's name, always the same."""
    topic: Literal["renewal", "buyer", "budget", "risk"]
    note: str
    """What is so, in a few words, without the customer's name."""

    def as_text(self) -> str:
        """Return what is searched and shown."""
        return f"{self.account} {self.note}"

    def identity(self) -> str:
        """Return what it is about: a later note on the same topic of an account replaces it."""
        return f"{self.account} {self.topic}".casefold()


class AccountStore(LearningStore):
    """What the sales team knows of its accounts. The agent saves with tools; nothing counts unapproved."""

    name, scope, records = "accounts", Scope.TEAM, (AccountNote,)
    mode, tools = Mode.PROPOSE, True


SALES = ("sales",)
HEARD = Scene("Ana met a customer", "ana", ["Globex renews in March, and Globex buys through Kim."], SALES)
ASKED = Scene("Ben prepares to meet them", "ben", ["What should I know about Globex?"], SALES)


def build(model: BaseChatModel, store: BaseStore, saver: Saver) -> tuple[LearningMachine, Agent]:
    """Return a machine that learns about accounts, and an agent with its tools."""
    machine = LearningMachine(model, [AccountStore()], store=store, stream_texts=True)
    return machine, machine.wrap(lambda tools: create_agent(model, tools), checkpointer=saver)


if __name__ == "__main__":
    with stage(__doc__) as (model, store, saver, tenant):
        machine, agent = build(model, store, saver)
        act(agent, HEARD, 0, saver, tenant)
        act(agent, ASKED, 1, saver, tenant)
        lead = LearningContext(user_id="lea", team_ids=SALES, tenant_id=tenant)
        for proposal in machine.review.list(lead):
            tell(f"Lea approves: {machine.review.approve(lead, proposal.key).text}")
        act(agent, ASKED, 2, saver, tenant)
