"""Three users correct an agent: it proposes new instructions, and a person decides."""

from dataclasses import replace

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langgraph.store.base import BaseStore

from langgraph_learning import BehavioralFeedback, LearningContext, LearningMachine, Scope, SelfImprovement
from stage import Agent, Saver, Scene, act, stage, tell

SALES = ("sales",)
CORRECTIONS = [
    Scene(
        f"{name} corrects the agent",
        name.lower(),
        [f"What does the {plan} plan cost?", "No, quote the price list of 2026."],
        SALES,
    )
    for name, plan in {"Ana": "pro", "Ben": "team", "Cleo": "free"}.items()
]
ASKED = Scene("Dan asks", "dan", ["What does the pro plan cost?"], SALES)


def build(model: BaseChatModel, store: BaseStore, saver: Saver) -> tuple[LearningMachine, Agent]:
    """Return a machine that may propose changes of the instructions, and its agent."""
    prices = SelfImprovement(sections={"prices": "Quote the price list of 2025."}, scope=Scope.TEAM)
    machine = LearningMachine(model, [BehavioralFeedback(scope=Scope.TEAM), prices], store=store, stream_texts=True)
    agent = create_agent(model, system_prompt="You sell for Acme. Answer in one sentence.")
    return machine, machine.wrap(agent, store=store, checkpointer=saver)


if __name__ == "__main__":
    with stage(__doc__) as (model, store, saver, tenant):
        machine, agent = build(model, store, saver)
        for number, scene in enumerate(CORRECTIONS):
            act(agent, scene, number, saver, tenant)
        lead = LearningContext(user_id="lea", team_ids=SALES, tenant_id=tenant)
        for proposal in machine.review.list(lead):
            tell(f"Lea reviews: {machine.review.show(lead, proposal.key).fields['reasoning']}")
            for turn in machine.replay(lead, proposal.key, agent):
                print(f"         {turn.question}\n         now   {turn.before}\n         then  {turn.after}")
            tell(f"Lea approves: {machine.review.approve(lead, proposal.key, why='It holds since January').text}")
        act(agent, ASKED, 3, saver, tenant)
        tell("Lea compares the versions, and takes the old one back:")
        print(machine.instructions.compare(lead, 0, 1))
        machine.instructions.rollback(lead, 0, why="The new list was withdrawn")
        act(agent, replace(ASKED, title="Dan asks again"), 4, saver, tenant)
