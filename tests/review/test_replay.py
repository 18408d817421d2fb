"""A replay answers a proposal's turns with and without it, and leaves no trace."""

from typing import Any

import pytest
from instruction_proposals import complaint, improving, instruction, shown
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState, StateGraph
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import interrupt
from people import ALEX, EVE, SAM, learner, machine, notes_what_users_say, prompt, repeat, said, thread

from langgraph_learning import Mode, Scope, UserMemory
from langgraph_learning.errors import Misconfigured, NotFound
from langgraph_learning.review.replay import turn_of
from langgraph_learning.testing import ScriptedModel

QUESTIONS = ("What is a cursor?", "What is a lock?", "What is a vote?")


def terse(messages: list[Any]) -> str:
    """Answer as the instructions say."""
    asked = messages[-1].text.splitlines()[0]
    return f"{'Short' if 'Be brief.' in prompt(messages) else 'Long'} answer to {asked!r}"


def corrected(learning: Any, agent: Any) -> str:
    """Let Alex criticise three answers; return the key of the resulting proposal."""
    wishes = [complaint("Long"), complaint("Longer"), instruction("tone", "Be brief.", "k1", "k2")]
    for number, (question, wish) in enumerate(zip(QUESTIONS, wishes, strict=True)):
        answers = iter([{"edits": []}, wish])
        learner(learning).answers = lambda shown, answers=answers: next(answers)
        for text in (question, "Too long!"):
            agent.invoke(said(text), thread(f"talk {number}"), context=ALEX)
    (proposal,) = learning.review.list(SAM)
    return str(proposal.key)


def talking(learning: Any, saver: BaseCheckpointSaver[Any]) -> Any:
    return learning.wrap(create_agent(ScriptedModel(terse), []), checkpointer=saver)


def test_every_turn_is_answered_with_and_without_it(store: BaseStore, checkpointer: BaseCheckpointSaver[Any]):
    """The criticised answers' questions are replayed, not the criticism."""
    learning = improving(store)
    agent = talking(learning, checkpointer)
    replays = learning.replay(SAM, corrected(learning, agent), agent)

    assert {*QUESTIONS} == {replay.question for replay in replays}
    assert all(f"Long answer to {replay.question!r}" == replay.before for replay in replays)
    assert all(f"Short answer to {replay.question!r}" == replay.after for replay in replays)


def test_in_a_replay_a_section_says_one_thing(store: BaseStore):
    """The proposed text replaces the developer's, as it will once it is approved."""
    learning = improving(store)
    agent = talking(learning, InMemorySaver())
    key = corrected(learning, agent)
    looks = learning.wrap(create_agent(ScriptedModel(repeat), []), checkpointer=InMemorySaver())
    (replay, *_) = learning.replay(SAM, key, looks, threads=agent)

    assert ["Be kind." in str(replay.before), "Be kind." in str(replay.after)] == [True, False]
    assert "Be brief." in str(replay.after)


async def test_a_replay_in_the_async_world():
    """The same, awaited."""
    learning = improving(InMemoryStore())
    agent = talking(learning, InMemorySaver())
    replays = await learning.areplay(SAM, corrected(learning, agent), agent)

    assert [("Long", "Short")] * 3 == [(replay.before[:4], replay.after[:5]) for replay in replays]


def test_a_replay_leaves_nothing_behind(store: BaseStore):
    """No thread, learning, approval or fingerprint of a message is written."""
    learning = improving(store)
    saver = InMemorySaver()
    agent = talking(learning, saver)
    key = corrected(learning, agent)
    before = sorted(saver.storage), list(store.search((), limit=1_000)), len(learner(learning).calls)
    learning.replay(SAM, key, agent)

    assert before == (sorted(saver.storage), list(store.search((), limit=1_000)), len(learner(learning).calls))
    assert "Be brief." not in shown(learning)


def test_what_is_gone_is_said_to_be_gone(store: BaseStore):
    """The failure of one turn does not affect the others."""
    learning = improving(store)
    saver = InMemorySaver()
    agent = talking(learning, saver)
    key = corrected(learning, agent)
    saver.delete_thread("talk 1")
    failed = {replay.thread: replay.failed for replay in learning.replay(SAM, key, agent)}

    assert {"talk 0": None, "talk 1": "its conversation is gone, or cannot be read", "talk 2": None} == failed


def test_an_agent_that_pauses_is_not_answered_for(store: BaseStore):
    """A trial asks no person for approval."""
    learning = improving(store)
    saver = InMemorySaver()
    key = corrected(learning, talking(learning, saver))
    builder = StateGraph(MessagesState)
    builder.add_node("ask", lambda state: interrupt("May I?"))
    builder.set_entry_point("ask")
    replays = learning.replay(SAM, key, learning.wrap(builder.compile(), checkpointer=saver))

    assert {"the agent paused for a person"} == {replay.failed for replay in replays}


def test_who_may_not_read_it_replays_nothing(store: BaseStore):
    """A graph without threads has nothing to replay."""
    learning = improving(store)
    agent = talking(learning, InMemorySaver())
    key = corrected(learning, agent)

    with pytest.raises(NotFound):
        learning.replay(EVE, key, agent)
    with pytest.raises(Misconfigured, match="threads="):
        learning.replay(SAM, key, learning.wrap(create_agent(ScriptedModel(terse), [])))


def test_any_proposal_can_be_replayed(store: BaseStore):
    """A proposed team learning is replayed as well as proposed instructions."""
    learning = machine(notes_what_users_say, [UserMemory(scope=Scope.TEAM, mode=Mode.PROPOSE)], store=store)
    agent = learning.wrap(create_agent(ScriptedModel(known), []), checkpointer=InMemorySaver())
    agent.invoke(said("The deploy is on Friday"), thread("a"), context=ALEX)
    (replay,) = learning.replay(SAM, learning.review.list(SAM)[0].key, agent)

    assert ("I know 0", "I know 1") == (replay.before, replay.after)


def known(messages: list[Any]) -> str:
    return f"I know {prompt(messages).count('- The deploy is on Friday')}"


Q, A, TOOL = HumanMessage("q", id="q"), AIMessage("a", id="a"), ToolMessage("t", tool_call_id="1", id="t")
THANKS, NEXT = HumanMessage("no", id="no"), AIMessage("b", id="b")


@pytest.mark.parametrize(
    ("message", "turn"),
    [("no", [Q]), ("a", [Q]), ("t", [Q]), ("q", [Q]), ("b", [Q, TOOL, A, THANKS]), ("gone", [])],
)
def test_a_turn_ends_with_the_question_that_was_answered_wrong(message: str, turn: list[Any]):
    """A user's message is about the answer before it; an agent's or a tool's, about its own turn."""
    assert turn == turn_of([Q, TOOL, A, THANKS, NEXT], message)
