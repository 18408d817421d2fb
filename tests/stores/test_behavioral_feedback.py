"""BehavioralFeedback: learnt from conversations, from failed tool calls and from exceptions."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import interrupt
from people import ALEX, EVE, INDEX, NOTHING, SAM, echo, edit, edits, machine, observation, prompt, said, thread

from langgraph_learning import (
    BehavioralFeedback,
    LearningContext,
    LearningMachine,
    LearningStore,
    Mode,
    Scope,
    UserMemory,
)
from langgraph_learning.core.learning import Learning, Votes
from langgraph_learning.stores.behavioral_feedback import Feedback
from langgraph_learning.testing import ScriptedModel

TEA = "Drinks green tea"


def told(behaviour: str, worked: bool, message: int = 1, **fields: Any) -> dict[str, Any]:
    """An edit that notes feedback."""
    given = {"instead": None, "situation": None, **fields}
    return edit("feedback", message, behaviour=behaviour, worked=worked, **given)


def taught(store: BaseStore, *turns: Any, **options: Any) -> LearningMachine:
    """A machine after turns of one thread that taught this."""
    learning = machine([*turns], [UserMemory(), BehavioralFeedback(**options)], store=store)
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    for number, _ in enumerate(turns):
        agent.invoke(said(f"Tables or tea, turn {number}?"), thread("a"), context=ALEX)
    return learning


def shown(store: BaseStore, question: str = "Tables?", who: LearningContext = ALEX, **options: Any) -> str:
    """Return the feedback that an agent is shown."""
    talk = echo()
    learning = machine([NOTHING], [BehavioralFeedback(**options)], store=store)
    learning.wrap(create_agent(talk, [])).invoke(said(question), thread("b"), context=who)
    return prompt(talk.shown[-1])


def feedbacks(learning: LearningMachine, who: LearningContext = ALEX) -> list[Learning]:
    return [one for one in learning.learnings(who) if one.kind == "feedback"]


def votes(learning: LearningMachine) -> Votes:
    return next(one.votes for one in learning.learnings(ALEX) if one.text == TEA)


def test_it_is_shown_as_what_to_do_and_what_to_avoid(postgres_store: BaseStore):
    """With what to do instead, and when."""
    taught(
        postgres_store,
        edits(told("Prices in tables", True), told("Long tables", False, instead="Lists", situation="on the phone")),
    )

    assert "- Do: Prices in tables (" in shown(postgres_store)
    assert "- Avoid: Long tables. Do instead: Lists (when: on the phone) (" in shown(postgres_store)


def test_the_same_twice_is_one_learning(postgres_store: BaseStore):
    """With two sources."""
    learning = taught(postgres_store, edits(told("Use tables", True)), edits(told("use tables.", True)))
    (feedback,) = feedbacks(learning)

    assert 2 == len(feedback.sources)


def test_the_contrary_takes_its_place(postgres_store: BaseStore):
    """The same behaviour in the same situation, judged again."""
    learning = taught(postgres_store, edits(told("Use tables", True)), edits(told("Use tables", False)))

    assert ["Avoid: Use tables"] == [one.text for one in feedbacks(learning)]
    assert "- Do: Use tables" not in shown(postgres_store)


def test_it_is_retired_on_request(postgres_store: BaseStore):
    """And shown no longer."""
    learning = taught(
        postgres_store, edits(told("Use tables", True)), edits({"edit": "forget", "replaces": "k1", "message": 1})
    )

    assert [] == feedbacks(learning)
    assert "Use tables" not in shown(postgres_store)


def test_a_team_learns_what_works_and_no_rival_does(postgres_store: BaseStore):
    """Within scope."""
    taught(postgres_store, edits(told("Use tables", True)), scope=Scope.TEAM)

    assert "Use tables" in shown(postgres_store, who=SAM, scope=Scope.TEAM)
    assert "Use tables" not in shown(postgres_store, who=EVE, scope=Scope.TEAM)


def test_the_nearest_is_shown(postgres_store: BaseStore):
    """As many as the store shows."""
    taught(postgres_store, edits(told("Tables for prices", True), told("Maps for routes", True)))

    text = shown(postgres_store, "Which routes to the station?", limit=1)

    assert "Maps for routes" in text
    assert "Tables for prices" not in text


@pytest.mark.parametrize(("worked", "counted"), [(True, Votes(helped=1)), (False, Votes(harmed=1))])
def test_what_the_user_says_of_an_answer_is_a_vote(store: BaseStore, worked: bool, counted: Votes):
    """On all that the answer before had in its context, not on what the next one had."""
    learning = taught(store, edits(observation(TEA)), NOTHING, edits(told("Recommended tea", worked)))

    assert counted == votes(learning)


def test_what_the_agent_says_of_itself_is_no_vote(store: BaseStore):
    """It would praise itself."""
    learning = taught(store, edits(observation(TEA)), NOTHING, edits(told("Recommended tea", True, message=2)))

    assert Votes() == votes(learning)


def test_who_opted_out_casts_no_votes_by_talking(store: BaseStore):
    """Nothing of what they say is learnt there."""
    learning = taught(store, edits(observation(TEA)), NOTHING)
    learning.opt_out(ALEX, "behavioral_feedback")
    script = machine([NOTHING, edits(told("Recommended tea", False))], learning.stores, store=store)
    agent = script.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    for text in ("Which tea?", "Not that one"):
        agent.invoke(said(text), thread("c"), context=ALEX)

    assert Votes() == votes(learning)


def test_a_tool_call_of_the_agent_votes_too(store: BaseStore):
    """`save_feedback` is the user's voice where it holds the user's words."""
    learning = taught(store, edits(observation(TEA)))
    agentic = machine([NOTHING] * 2, [UserMemory(), BehavioralFeedback(tools=True)], store=store)
    call = {"behaviour": "green tea was wrong", "worked": False, "instead": None, "situation": None, "replaces": None}
    saving = AIMessage("", tool_calls=[{"name": "save_feedback", "args": call, "id": "c1"}])
    talk = ScriptedModel(["Green tea.", saving, "Noted."])
    agent = create_agent(talk, middleware=[agentic.middleware()], store=store, checkpointer=InMemorySaver())

    agent.invoke(said("Which tea?"), thread("d"), context=ALEX)
    agent.invoke(said("The green tea was wrong"), thread("d"), context=ALEX)

    assert Votes(harmed=1) == votes(learning)
    assert ["Avoid: green tea was wrong"] == [one.text for one in feedbacks(agentic)]


@tool
def look_up(order: str) -> str:
    """Look up an order."""
    raise ConnectionError(f"no route to the warehouse of {order}")


def failing_agent(calls: int = 1) -> Any:
    """An agent whose tool fails and says so, once or several times, before it answers."""
    call = {"name": "look_up", "args": {"order": "A7"}}
    answers = [AIMessage("", tool_calls=[{**call, "id": f"c{n}"}]) for n in range(calls)]
    model = ScriptedModel([*answers, "I cannot say."] * 2)
    builder = StateGraph(MessagesState).add_node("tools", ToolNode([look_up], handle_tool_errors=True))
    builder.add_node("model", lambda state: {"messages": [model.bind_tools([look_up]).invoke(state["messages"])]})
    builder.add_edge(START, "model").add_edge("tools", "model")
    builder.add_conditional_edges("model", lambda state: "tools" if state["messages"][-1].tool_calls else "__end__")
    return builder.compile()


def test_a_tool_call_that_failed_is_noted_without_a_model(store: BaseStore):
    """With the tool, its arguments and its error; the learning is private to the user, whatever the scope."""
    learning = LearningMachine(None, [Noting(scope=Scope.TEAM)], store=store, on_error="raise")
    learning.wrap(failing_agent(), checkpointer=InMemorySaver()).invoke(said("Where is A7?"), thread("a"), context=ALEX)
    (feedback,) = feedbacks(learning)

    assert feedback.text.startswith('Avoid: Calling look_up with {"order": "A7"}, which failed: Error: ConnectionError')
    assert ("tool", Scope.USER) == (feedback.sources[0].channel, feedback.scope)
    assert [] == feedbacks(learning, SAM)


class Noting(BehavioralFeedback):
    """The same for machines without a model: nothing is asked."""

    observed_records = BehavioralFeedback.records
    records = ()


def test_the_same_failure_again_is_no_second_learning(store: BaseStore):
    """Neither in the same turn nor in another thread."""
    learning = LearningMachine(None, [Noting()], store=store, on_error="raise")
    agent = learning.wrap(failing_agent(calls=2), checkpointer=InMemorySaver())
    for name in ("a", "b"):
        agent.invoke(said("Where is A7?"), thread(name), context=ALEX)

    assert 1 == len(feedbacks(learning))


class Broken(InMemoryStore):
    """A store that cannot write."""

    def batch(self, ops: Any) -> Any:
        ops = list(ops)
        if any(hasattr(op, "value") for op in ops):
            raise OSError("disk full")
        return super().batch(ops)


def fails(state: MessagesState) -> dict[str, Any]:
    raise ConnectionError("the model is gone")


async def afails(state: MessagesState) -> dict[str, Any]:
    raise ConnectionError("the model is gone")


FAILURE = "Avoid: The way of answering 'Which tea?' that ended in ConnectionError: the model is gone"


def graph_that_fails() -> Any:
    return StateGraph(MessagesState).add_node("fails", fails).add_edge(START, "fails").compile()


@pytest.mark.parametrize("agent", [lambda: fails, graph_that_fails], ids=["function", "graph"])
def test_an_error_of_the_agent_is_noted_and_raised(store: BaseStore, agent: Callable[[], Any]):
    """With the question and the error; once, even if it is tried again."""
    learning = machine([], [BehavioralFeedback()], store=store)
    wrapped = learning.wrap(agent(), checkpointer=InMemorySaver())
    for name in ("a", "b"):
        with pytest.raises(ConnectionError, match="the model is gone"):
            wrapped.invoke(said("Which tea?"), thread(name), context=ALEX)
    (feedback,) = feedbacks(learning)

    assert (FAILURE, "agent") == (feedback.text, feedback.sources[0].channel)


@pytest.mark.parametrize("agent", [lambda: afails, graph_that_fails], ids=["function", "graph"])
async def test_an_error_is_noted_in_the_async_world_too(astore: BaseStore, agent: Callable[[], Any]):
    """The same by `ainvoke`."""
    learning = machine([], [BehavioralFeedback()], store=astore)
    with pytest.raises(ConnectionError):
        await learning.wrap(agent()).ainvoke(said("Which tea?"), thread("a"), context=ALEX)

    assert [FAILURE] == [one.text for one in await learning.alearnings(ALEX)]


def test_an_error_of_the_model_is_noted_by_the_middleware(store: BaseStore):
    """For agents of `create_agent`."""
    learning = machine([], [BehavioralFeedback()], store=store)
    model = ScriptedModel([ConnectionError("the model is gone")])
    agent = create_agent(model, middleware=[learning.middleware()], store=store)
    with pytest.raises(ConnectionError):
        agent.invoke(said("Which tea?"), context=ALEX)

    assert [FAILURE] == [one.text for one in learning.learnings(ALEX)]


async def test_the_middleware_notes_it_in_the_async_world_too(astore: BaseStore):
    """The same by `ainvoke`."""
    learning = machine([], [BehavioralFeedback()], store=astore)
    model = ScriptedModel([ConnectionError("the model is gone")])
    agent = create_agent(model, middleware=[learning.middleware()], store=astore)
    with pytest.raises(ConnectionError):
        await agent.ainvoke(said("Which tea?"), context=ALEX)

    assert [FAILURE] == [one.text for one in await learning.alearnings(ALEX)]


def test_the_agents_error_is_raised_even_if_it_cannot_be_noted():
    """It tells of the other one."""
    store = Broken(index=INDEX)
    learning = machine([], [BehavioralFeedback()], store=store)
    with pytest.raises(ConnectionError) as raised:
        learning.wrap(fails).invoke(said("Which tea?"), thread("a"), context=ALEX)

    assert "It could not be recorded as a learning, either: OSError: disk full" in raised.value.__notes__


def test_an_error_teaches_nothing_where_nothing_is_to_be_learnt(store: BaseStore):
    """`learn=False`, or no learning store that notes errors."""
    silent = ALEX.model_copy(update={"learn": False})
    for learning_store, who in ((BehavioralFeedback(), silent), (UserMemory(), ALEX)):
        learning = machine([], [learning_store], store=store)
        with pytest.raises(ConnectionError):
            learning.wrap(fails).invoke(said("Which tea?"), thread("a"), context=who)

    assert [] == store.search(("learnings",))


def test_an_agent_that_pauses_has_not_failed(store: BaseStore):
    """An interrupt is no error."""

    def asks(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(interrupt("hot or cold?"))]}

    learning = machine([], [BehavioralFeedback()], store=store)
    learning.wrap(asks, checkpointer=InMemorySaver()).invoke(said("Which tea?"), thread("a"), context=ALEX)

    assert [] == feedbacks(learning)


class Rule(Feedback):
    """A learning store of one's own, with a record that is feedback."""


def test_a_store_of_ones_own_learns_from_feedback(store: BaseStore):
    """It is found by its record, whatever it is called."""
    learning = machine([NOTHING], [LearningStore(name="rules", record=Rule)], store=store)
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    answer = agent.invoke(said("Which tea?"), thread("a"), context=ALEX)["messages"][-1].id
    (rule,) = learning.feedback(ALEX, "a", answer, "down", "Did not ask back")

    assert ("rule", "rules", "Avoid: Did not ask back") == (rule.kind, rule.store_name, rule.text)


def test_what_a_person_must_approve_is_proposed(store: BaseStore):
    """Feedback passes the same gate as all else."""
    learning = machine([NOTHING], [BehavioralFeedback(mode=Mode.PROPOSE)], store=store)
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    answer = agent.invoke(said("Which tea?"), thread("a"), context=ALEX)["messages"][-1].id
    learning.feedback(ALEX, "a", answer, "down", "Did not ask back")
    learning.feedback(ALEX, "a", answer, "down", "Did not ask back")

    assert [] == feedbacks(learning)
    assert ["Avoid: Did not ask back"] == [one.text for one in learning.review.list(ALEX)]
