"""The loop inside an agent's own graph: all that was given at compile time comes along, and no trap springs."""

import itertools
import json
import logging
import operator
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.cache.memory import InMemoryCache
from langgraph.channels import DeltaChannel, EphemeralValue, Topic
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.func import entrypoint
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import add_messages
from langgraph.managed import IsLastStep, RemainingSteps
from langgraph.prebuilt import InjectedState, ToolNode
from langgraph.pregel.remote import RemoteGraph
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import CachePolicy, Command, Overwrite, RetryPolicy, Send, interrupt
from people import (
    ALEX,
    NOTHING,
    SAM,
    Extractions,
    conversation,
    echo,
    edits,
    machine,
    notes_what_users_say,
    observation,
    said,
    thread,
)
from pydantic import BaseModel

from langgraph_learning import LearnedKnowledge, LearningContext, Scope, UserMemory, learned_context
from langgraph_learning.agent.nodes import Nodes
from langgraph_learning.errors import Misconfigured
from langgraph_learning.testing import ScriptedModel

SECRET = "Xylophone quartz 4711"


def knowing(answers: Any = None, stores: Any = None, store: BaseStore | None = None) -> Any:
    """A machine that knows something already."""
    store = store or InMemoryStore()
    machine([edits(observation(SECRET))], store=store).wrap(echo()).invoke(said(SECRET), context=ALEX)
    return machine(answers or (lambda _: NOTHING), stores, store=store)


def one_node(node: Any, state: type = MessagesState, **options: Any) -> StateGraph[Any]:
    return StateGraph(state).add_node("n", node, **options).add_edge(START, "n")


def texts(result: Any) -> list[str]:
    return [message.text for message in result["messages"]]


def everything(saver: InMemorySaver) -> str:
    """All that a checkpointer holds."""
    return repr(saver.storage) + repr(saver.writes) + repr(saver.blobs)


def answer(text: str = "ok") -> dict[str, Any]:
    return {"messages": [AIMessage(text)]}


async def run(agent: Any, way: str, *args: Any, **options: Any) -> Any:
    """Run an agent in one of the two worlds."""
    return agent.invoke(*args, **options) if way == "invoke" else await agent.ainvoke(*args, **options)


# When `extract` runs


def branch_and_send(builder: StateGraph[Any]) -> None:
    """One branch ends while another still sends."""
    builder.add_node("a", lambda s: answer("a")).add_node("w", lambda s: answer("w")).add_node(
        "b", lambda s: answer("b")
    )
    builder.add_edge(START, "a").add_edge(START, "b")
    builder.add_conditional_edges("b", lambda s: [Send("w", s), Send("w", s)], ["w"])


def own_deferred_node(builder: StateGraph[Any]) -> None:
    builder.add_node("a", lambda s: answer("a")).add_node("b", lambda s: answer("b"))
    builder.add_node("late", lambda s: answer("late"), defer=True).add_node("later", lambda s: answer("later"))
    builder.add_edge(START, "a").add_edge(START, "b").add_edge("b", "late").add_edge("late", "later")


def waiting_edge(builder: StateGraph[Any]) -> None:
    builder.add_node("a", lambda s: answer("a")).add_node("b", lambda s: answer("b")).add_node(
        "c", lambda s: answer("c")
    )
    builder.add_edge(START, "a").add_edge(START, "b").add_edge("b", "c").add_edge(["a", "c"], END)


def command_to_end(builder: StateGraph[Any]) -> None:
    builder.add_node("a", lambda s: Command(update=answer("a"), goto=END), destinations=("a", END)).add_edge(START, "a")


def annotated_command(builder: StateGraph[Any]) -> None:
    def a(state: MessagesState) -> Command[Literal["b", "__end__"]]:
        return Command(update=answer("a"), goto="b" if len(state["messages"]) == 1 else END)

    builder.add_node("a", a).add_node("b", lambda s: Command(update=answer("b"), goto="a")).add_edge(START, "a")


def list_of_commands(builder: StateGraph[Any]) -> None:
    builder.add_node("a", lambda s: [Command(update=answer("a")), Command(goto=END)]).add_edge(START, "a")


def handed_back_by_a_subgraph(builder: StateGraph[Any]) -> None:
    hand_back = lambda s: Command(graph=Command.PARENT, goto=END, update=answer("from inside"))  # noqa: E731
    builder.add_node("a", one_node(hand_back).compile()).add_edge(START, "a")


def straight_to_the_end(builder: StateGraph[Any]) -> None:
    builder.add_node("a", lambda s: answer("a")).add_conditional_edges(START, lambda s: END)


def loop_without_map(builder: StateGraph[Any]) -> None:
    builder.add_node("a", lambda s: answer("a")).add_edge(START, "a")
    builder.add_conditional_edges("a", lambda s: "a" if len(s["messages"]) < 4 else END)


def sends_of_a_command(builder: StateGraph[Any]) -> None:
    builder.add_node("a", lambda s: Command(update=answer("a"), goto=[Send("w", s), END]))
    builder.add_node("w", lambda s: Command(goto="x")).add_node("x", lambda s: answer("x")).add_edge(START, "a")


SHAPES = [
    branch_and_send,
    own_deferred_node,
    waiting_edge,
    command_to_end,
    annotated_command,
    list_of_commands,
    handed_back_by_a_subgraph,
    straight_to_the_end,
    loop_without_map,
    sends_of_a_command,
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_every_turn_is_learnt_from_once_after_its_last_message(shape: Callable[[StateGraph[Any]], None]):
    """However the graph comes to its end."""
    builder, extractions = StateGraph(MessagesState), Extractions()
    shape(builder)
    bare = builder.compile(checkpointer=InMemorySaver())
    agent = knowing(extractions).wrap(builder.compile(), checkpointer=InMemorySaver())
    for turn in range(3):
        expected = bare.invoke(said(f"turn {turn}"), thread("a"))
        result = agent.invoke(said(f"turn {turn}"), thread("a"), context=ALEX)
        assert texts(expected) == texts(result)

    assert 3 == len(extractions.seen)
    assert texts(result) == [text for seen in extractions.seen for text in seen]
    assert () == agent.get_state(thread("a")).next


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_the_streams_show_the_agents_own_steps(shape: Callable[[StateGraph[Any]], None]):
    """A loop over updates finds no node of ours in them; every way out is drawn to lead to `extract`."""
    builder = StateGraph(MessagesState)
    shape(builder)
    bare, agent = builder.compile(), knowing().wrap(builder.compile())
    for mode in ("updates", "tasks", "values"):
        expected = list(bare.stream(said("x"), stream_mode=mode))
        found = list(agent.stream(said("x"), context=ALEX, stream_mode=mode))
        assert len(expected) == len(found)
        assert SECRET not in str(found)
    assert SECRET not in str(list(agent.stream(said("x"), context=ALEX, stream_mode=["values", "debug"])))
    drawing = agent.get_graph()
    assert any(edge.target == "extract" for edge in drawing.edges)
    assert [("update", "__end__")] == [(edge.source, edge.target) for edge in drawing.edges if edge.target == "__end__"]


def test_a_turn_without_anything_new_makes_no_call():
    """A run that goes on where nothing was said costs nothing."""
    extractions = Extractions()
    agent = knowing(extractions).wrap(one_node(lambda s: {}).compile(), checkpointer=InMemorySaver())
    agent.invoke(said("x"), thread("a"), context=ALEX)
    agent.invoke(Command(goto="n"), thread("a"), context=ALEX)

    assert [["x"]] == extractions.seen


# What was given at compile time


def two_nodes() -> StateGraph[Any]:
    builder = StateGraph(MessagesState).add_node("a", lambda s: answer("a")).add_node("b", lambda s: answer("b"))
    return builder.add_edge(START, "a").add_edge("a", "b")


@pytest.mark.parametrize(
    "pauses",
    [
        {"interrupt_before": ["a"]},
        {"interrupt_before": "*"},
        {"interrupt_after": ["a"]},
        {"interrupt_after": ["b"]},
        {"interrupt_after": "*"},
        {"interrupt_before": ["b"], "interrupt_after": ["b"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("given_to", ["compile", "run"])
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_gates_stop_where_they_did(pauses: dict[str, Any], given_to: str, way: str):
    """Before and after a node, before and after all of them; at no node of ours, and what is done is done."""
    extractions = Extractions()
    at_compile, at_run = (pauses, {}) if given_to == "compile" else ({}, pauses)
    bare = two_nodes().compile(checkpointer=InMemorySaver(), **at_compile)
    agent = knowing(extractions).wrap(two_nodes().compile(**at_compile), checkpointer=InMemorySaver())
    for turn in range(2):
        given: Any = said(f"turn {turn}")
        for _ in range(5):
            bare.invoke(given, thread("a"), **at_run)
            await run(agent, way, given, thread("a"), context=ALEX, **at_run)
            expected, found = bare.get_state(thread("a")), agent.get_state(thread("a"))
            assert expected.next == found.next
            assert texts(expected.values) == texts(found.values)
            given = None
            if not expected.next:
                break
    assert [["turn 0", "a", "b"], ["turn 1", "a", "b"]] == extractions.seen


def test_all_that_was_given_at_compile_time_comes_along():
    """Name, store, cache, checkpointer, debug, config, limits and time-outs."""
    store, saver, cache = InMemoryStore(), InMemorySaver(), InMemoryCache()
    agent = two_nodes().compile(name="mine", store=store, checkpointer=saver, cache=cache)
    agent = agent.with_config(tags=["tagged"], recursion_limit=7, configurable={"thread_id": "t"})
    agent.step_timeout, agent.stream_mode = 3.0, "values"
    wrapped = machine(lambda _: NOTHING).wrap(agent)

    for attribute in ("name", "store", "checkpointer", "cache", "config", "step_timeout", "stream_mode", "debug"):
        assert getattr(agent, attribute) == getattr(wrapped, attribute), attribute
    wrapped.invoke(said("x"), context=ALEX)
    assert ["x", "a", "b"] == texts(wrapped.get_state({"configurable": {}}).values)


def test_what_is_given_to_wrap_wins():
    saver, store = InMemorySaver(), InMemoryStore()
    wrapped = machine(lambda _: NOTHING).wrap(
        two_nodes().compile(name="a", store=InMemoryStore()), store=store, checkpointer=saver, name="b"
    )

    assert ("b", store, saver) == (wrapped.name, wrapped.store, wrapped.checkpointer)


def test_defaults_for_the_agents_nodes_do_not_hold_for_ours():
    """No recall from a cache, and the agent's error handler handles the agent's errors."""
    handled: list[str] = []

    def handler(state: MessagesState) -> dict[str, Any]:
        handled.append("yes")
        return answer("handled")

    def fails(state: MessagesState) -> dict[str, Any]:
        raise KeyError("n")

    builder = one_node(fails).set_node_defaults(
        cache_policy=CachePolicy(), retry_policy=RetryPolicy(max_attempts=2, initial_interval=0), error_handler=handler
    )
    compiled = builder.compile(cache=InMemoryCache())
    wrapped = knowing().wrap(compiled)

    assert ["x", "handled"] == texts(wrapped.invoke(said("x"), context=ALEX))
    assert ["yes"] == handled
    for name in wrapped.loop_names:
        assert wrapped.nodes[name].cache_policy is None
        assert wrapped.nodes[name].error_handler_node is None


def test_recall_is_not_cached():
    """Two users with the same question are recalled for one by one, whatever the graph caches."""
    talk = ScriptedModel(lambda shown: "known" if SECRET in str(shown) else "unknown")
    builder = one_node(lambda s: {"messages": [talk.invoke(s["messages"])]}).set_node_defaults(
        cache_policy=CachePolicy()
    )
    agent = knowing().wrap(builder.compile(cache=InMemoryCache()))

    assert ["known", "unknown"] == [
        agent.invoke(said("xylophone?"), context=who)["messages"][-1].text for who in (ALEX, SAM)
    ]


def test_the_builder_is_not_changed():
    """Not by its channels, not by its schemas, and not after another wrap."""
    builder = two_nodes()
    agent = builder.compile()
    before = {key: repr(value) for key, value in vars(builder).items()}
    nodes = {name: (vars(node) | {"writers": list(node.writers)}) for name, node in agent.nodes.items()}
    channels = dict(agent.channels)
    for _ in range(2):
        knowing().wrap(agent).invoke(said("x"), context=ALEX)

    assert before == {key: repr(value) for key, value in vars(builder).items()}
    assert channels == agent.channels
    for name, node in agent.nodes.items():
        assert nodes[name]["bound"] is node.bound
        assert nodes[name]["writers"] == node.writers
    assert {"messages"} == set(builder.compile().invoke(said("x")))


def test_a_change_of_the_builder_after_compile_changes_nothing():
    builder = one_node(lambda s: answer("a"))
    agent = builder.compile()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        builder.add_node("late", lambda s: answer("late")).add_edge("n", "late")

    assert ["x", "a"] == texts(knowing().wrap(agent).invoke(said("x"), context=ALEX))


def test_a_builder_with_a_compile_of_its_own_is_not_compiled_again():
    class Strict(StateGraph):  # type: ignore[type-arg]
        def compile(self, must: int, **options: Any) -> Any:  # type: ignore[override]
            return super().compile(**options)

    agent = Strict(MessagesState).add_node("n", lambda s: answer()).add_edge(START, "n").compile(must=1)

    assert ["x", "ok"] == texts(knowing().wrap(agent).invoke(said("x"), context=ALEX))


def test_what_has_no_builder_says_so():
    """Each refusal names the way that works."""

    @entrypoint()
    def functional(state: Any) -> Any:
        return state

    class Special(type(two_nodes().compile())):  # type: ignore[misc]
        pass

    compiled = two_nodes().compile()
    special = Special(**{key: value for key, value in vars(compiled).items() if key != "__orig_class__"})
    for agent in (functional, RemoteGraph("agent", url="http://localhost:1"), special):
        with pytest.raises(Misconfigured, match="function"):
            knowing().wrap(agent)


# Names


@pytest.mark.parametrize("taken", [["extract"], ["recall", "update"], ["agent"], ["build_context"]])
def test_names_may_be_taken(taken: list[str]):
    """The loop's nodes get a prefix then, all of them."""
    builder = StateGraph(MessagesState)
    for name in taken:
        builder.add_node(name, lambda s, name=name: answer(name))
    for start, end in zip([START, *taken], [*taken, END], strict=True):
        builder.add_edge(start, end)
    extractions = Extractions()
    agent = knowing(extractions).wrap(builder.compile(), checkpointer=InMemorySaver())

    assert ["x", *taken] == texts(agent.invoke(said("x"), thread("a"), context=ALEX))
    assert [["x", *taken]] == extractions.seen
    prefix = "" if taken == ["agent"] else "learning_"
    assert [f"{prefix}recall", f"{prefix}build_context", f"{prefix}extract", f"{prefix}update"] == list(
        agent.loop_names
    )


def test_a_state_key_may_have_the_name():
    class State(TypedDict):
        messages: Annotated[list[AnyMessage], add_messages]
        update: str

    agent = knowing().wrap(one_node(lambda s: {**answer(), "update": "u"}, State).compile())

    assert "u" == agent.invoke(said("x"), context=ALEX)["update"]


# Steps


class Steps(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    remaining: RemainingSteps
    last: IsLastStep
    seen: Annotated[list[Any], operator.add]


@pytest.mark.parametrize("limit", [3, 5, 8])
@pytest.mark.parametrize("rounds", [1, 3, 4, 5, 6, 9])
def test_the_agent_has_as_many_steps_as_before(limit: int, rounds: int):
    """It sees the same number remain, ends where it ended, and fails where it failed."""
    builder = StateGraph(Steps)
    builder.add_node("n", lambda s: {"seen": [(s["remaining"], s["last"])]}).add_edge(START, "n")
    builder.add_conditional_edges("n", lambda s: "n" if len(s["seen"]) < rounds else END)
    outcomes: list[Any] = []
    for agent, options in ((builder.compile(), {}), (knowing().wrap(builder.compile()), {"context": ALEX})):
        try:
            outcomes.append(agent.invoke(said("x"), {"recursion_limit": limit}, **options)["seen"])
        except GraphRecursionError:
            outcomes.append("too many")

    assert outcomes[0] == outcomes[1]


def react_agent(model: Any, tools: Any) -> Any:
    from langgraph.prebuilt import create_react_agent

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return create_react_agent(model, tools)


@tool
def look(what: str) -> str:
    """Look something up."""
    return f"{what} found"


def calls_look(number: int) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "look", "args": {"what": f"{number}"}, "id": f"call_{number}"}])


def test_a_react_agent_works_as_it_did():
    """Over eight turns with tools; it knows what was learnt, and says sorry at its limit."""
    outcomes = []
    for wrapped in (False, True):
        number = iter(range(100))
        talk = ScriptedModel(
            lambda shown, number=number: (
                calls_look(next(number)) if shown[-1].type == "human" else f"answer {len(shown)}"
            )
        )
        agent = react_agent(talk, [look])
        saver = InMemorySaver()
        graph = knowing().wrap(agent, checkpointer=saver) if wrapped else agent.copy({"checkpointer": saver})
        for turn in range(8):
            result = graph.invoke(said(f"xylophone {turn}?"), thread("a"), **({"context": ALEX} if wrapped else {}))
        outcomes.append(texts(result))
        assert wrapped == all(SECRET in str(shown) for shown in talk.shown)
        assert SECRET not in everything(saver)
        endless = react_agent(ScriptedModel(lambda shown: calls_look(len(shown))), [look])
        graph = knowing().wrap(endless) if wrapped else endless
        limited = graph.invoke(said("x"), {"recursion_limit": 6}, **({"context": ALEX} if wrapped else {}))
        outcomes.append(texts(limited))

    assert outcomes[:2] == outcomes[2:]
    assert "need more steps" in outcomes[1][-1]


# Threads that are there already


def old_layout(learning: Any, inner: Any, saver: Any) -> Any:
    """The graph that `wrap` used to make: the agent in a node of its own."""
    nodes = Nodes(learning._loop)
    builder = StateGraph(MessagesState, LearningContext)
    builder.add_node("recall", nodes.recall).add_node("build_context", nodes.build_context)
    builder.add_node("agent", inner)
    builder.add_node("extract", nodes.extract, defer=True).add_node("update", nodes.update, defer=True)
    order = [START, "recall", "build_context", "agent", "extract", "update", END]
    for start, end in itertools.pairwise(order):
        builder.add_edge(start, end)
    return builder.compile(store=learning._loop.store, checkpointer=saver)


@pytest.mark.parametrize("name", ["n", "agent"])
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_a_thread_that_was_paused_in_the_old_layout_says_so(name: str, way: str):
    """An approval never vanishes silently; a new message goes on with the thread."""
    learning, saver = knowing(), InMemorySaver()
    inner = (
        StateGraph(MessagesState).add_node(name, lambda s: answer(interrupt("Sure?"))).add_edge(START, name).compile()
    )
    old_layout(learning, inner, saver).invoke(said("x"), thread("a"), context=ALEX)
    agent = learning.wrap(inner, checkpointer=saver)

    for given in (Command(resume="yes"), None):
        with pytest.raises(Misconfigured, match="earlier version"):
            await run(agent, way, given, thread("a"), context=ALEX)
    agent.invoke(said("again"), thread("a"), context=ALEX)
    result = agent.invoke(Command(resume="yes"), thread("a"), context=ALEX)
    assert ["x", "again", "yes"] == texts(result)


def test_a_thread_of_the_old_layout_goes_on():
    """Done, or failed in the middle of learning."""
    extractions, saver = Extractions(), InMemorySaver()
    learning = knowing(extractions)
    inner = one_node(lambda s: answer(f"a{len(s['messages'])}")).compile()
    old = old_layout(learning, inner, saver)
    old.invoke(said("one"), thread("a"), context=ALEX)
    old.invoke(said("two"), thread("a"), context=ALEX, interrupt_before=["extract"])
    agent = learning.wrap(inner, checkpointer=saver)
    agent.invoke(None, thread("a"), context=ALEX)
    result = agent.invoke(said("three"), thread("a"), context=ALEX)

    assert ["one", "a1", "two", "a3", "three", "a5"] == texts(result)
    assert [["one", "a1"], ["two", "a3"], ["three", "a5"]] == extractions.seen


def test_a_thread_that_was_paused_before_wrapping_is_resumed_and_learnt_from():
    extractions, saver = Extractions(), InMemorySaver()
    builder = one_node(lambda s: answer(interrupt("?")))
    builder.compile(checkpointer=saver).invoke(said("x"), thread("a"))
    result = (
        knowing(extractions)
        .wrap(builder.compile(), checkpointer=saver)
        .invoke(Command(resume="yes"), thread("a"), context=ALEX)
    )

    assert ["x", "yes"] == texts(result)
    assert [["x", "yes"]] == extractions.seen


def test_a_resume_may_bring_messages():
    builder = one_node(lambda s: answer("a" + interrupt("?")))
    learning = knowing(notes_what_users_say)
    agent = learning.wrap(builder.compile(), checkpointer=InMemorySaver())
    agent.invoke(said("x"), thread("a"), context=ALEX)
    extra = Command(resume="!", update={"messages": [HumanMessage("and EXTRA")]})

    assert ["x", "and EXTRA", "a!"] == texts(agent.invoke(extra, thread("a"), context=ALEX))
    assert {"x", "and EXTRA", SECRET} == {learning.text for learning in learning.learnings(ALEX)}


def test_an_error_keeps_what_was_done_before_it():
    extractions = Extractions()
    failures = iter([ConnectionError("down")])

    def fail(state: MessagesState) -> dict[str, Any]:
        for error in failures:
            raise error
        return answer("fine")

    builder = StateGraph(MessagesState).add_node("pay", lambda s: answer("paid")).add_node("fail", fail)
    builder.add_edge(START, "pay").add_edge("pay", "fail")
    agent = knowing(extractions).wrap(builder.compile(), checkpointer=InMemorySaver())
    with pytest.raises(ConnectionError):
        agent.invoke(said("one"), thread("a"), context=ALEX)
    assert ["one", "paid"] == texts(agent.get_state(thread("a")).values)
    agent.invoke(said("two"), thread("a"), context=ALEX)

    assert [["one", "paid", "two", "paid", "fine"]] == extractions.seen


def test_a_fork_in_the_middle_of_a_turn_is_learnt_from():
    extractions = Extractions()
    agent = knowing(extractions).wrap(two_nodes().compile(), checkpointer=InMemorySaver())
    agent.invoke(said("x"), thread("a"), context=ALEX)
    middle = next(state for state in agent.get_state_history(thread("a")) if state.next == ("b",))
    fork = agent.update_state(middle.config, {"messages": [HumanMessage("other")]}, as_node="a")
    result = agent.invoke(None, fork, context=ALEX)

    assert ["x", "a", "other", "b"] == texts(result)
    assert [["x", "a", "b"], ["other", "b"]] == extractions.seen


def test_an_update_of_the_state_leaves_nothing_to_do():
    agent = knowing().wrap(two_nodes().compile(), checkpointer=InMemorySaver())
    agent.invoke(said("x"), thread("a"), context=ALEX)
    for node in ("a", "b"):
        agent.update_state(thread("a"), {"messages": [AIMessage("edited")]}, as_node=node)
        bare = two_nodes().compile(checkpointer=InMemorySaver())
        bare.invoke(said("x"), thread("a"))
        bare.update_state(thread("a"), {"messages": [AIMessage("edited")]}, as_node=node)

        assert bare.get_state(thread("a")).next == agent.get_state(thread("a")).next
        agent.invoke(None, thread("a"), context=ALEX)


# Inside another graph


@pytest.mark.parametrize("checkpointer", [None, True])
def test_a_wrapped_agent_can_be_a_node(checkpointer: Any):
    """Also one that keeps its own messages from run to run."""
    extractions = Extractions()
    inner = one_node(lambda s: answer(f"a{len(s['messages'])}")).compile(checkpointer=checkpointer)
    wrapped = knowing(extractions).wrap(inner)
    outer = StateGraph(MessagesState, LearningContext).add_node("member", wrapped).add_edge(START, "member")
    agent = outer.compile(checkpointer=InMemorySaver())
    for turn in range(2):
        agent.invoke(said(f"turn {turn}"), thread("a"), context=ALEX)

    assert 2 == len(extractions.seen)


def test_a_handoff_to_the_graph_around_passes():
    def hand_over(state: MessagesState) -> Command[Any]:
        return Command(goto="other", graph=Command.PARENT, update=answer("over to you"))

    wrapped = knowing().wrap(one_node(hand_over).compile())
    outer = StateGraph(MessagesState, LearningContext).add_node("member", wrapped, destinations=("other",))
    outer.add_node("other", lambda s: answer("here I am")).add_edge(START, "member")

    assert ["x", "over to you", "here I am"] == texts(outer.compile().invoke(said("x"), context=ALEX))


# Channels


def test_every_kind_of_channel_is_the_agents_own():
    """Numbers, texts, deltas and messages with formats, over eight turns."""

    class State(TypedDict):
        messages: Annotated[list[AnyMessage], add_messages(format="langchain-openai")]  # type: ignore[valid-type]
        steps: Annotated[int, operator.add]
        cost: Annotated[float, operator.add]
        notes: Annotated[str, operator.add]
        log: Annotated[list[str], DeltaChannel(lambda state, writes: [*state, *(x for write in writes for x in write)])]
        side: Annotated[list[AnyMessage], add_messages]
        queries: Annotated[list[str], operator.add]
        last: str

    def node(state: State) -> dict[str, Any]:
        turn = len(state["messages"])
        return {
            **answer(f"a{turn}"), "steps": 1, "cost": 0.5, "notes": "n", "log": ["turn"],
            "side": [AIMessage(f"thought {turn}")], "queries": [f"q{turn}"], "last": f"{turn}",
        }  # fmt: skip

    bare = one_node(node, State).compile(checkpointer=InMemorySaver())
    agent = knowing().wrap(one_node(node, State).compile(), checkpointer=InMemorySaver())
    for turn in range(8):
        expected = bare.invoke(said(f"{turn}"), thread("a"))
        result = agent.invoke(said(f"{turn}"), thread("a"), context=ALEX)
        for key in ("steps", "cost", "notes", "log", "queries", "last"):
            assert expected[key] == result[key], key
        assert texts(expected) == texts(result)
        assert [m.text for m in expected["side"]] == [m.text for m in result["side"]]


def test_what_lasts_for_one_step_reaches_the_agents_next_step():
    """Values of the input reach its first node, those of its last node the state."""

    class State(MessagesState):
        hint: Annotated[str, EphemeralValue]
        last: Annotated[str, EphemeralValue]
        found: Annotated[list[str], Topic(str)]  # type: ignore[valid-type]

    def first(state: State) -> dict[str, Any]:
        return {**answer(f"{state.get('hint')} {state.get('last')} {state.get('found')}"), "found": "by first"}

    def last(state: State) -> dict[str, Any]:
        return {**answer(f"{state.get('hint')} {state.get('found')}"), "last": "said", "found": ["by", "last"]}

    builder = StateGraph(State).add_node("a", first).add_node("b", last).add_edge(START, "a").add_edge("a", "b")
    bare = builder.compile(checkpointer=InMemorySaver())
    agent = knowing().wrap(builder.compile(), checkpointer=InMemorySaver())
    for turn in range(3):
        given = {"messages": [("user", f"{turn}")], "hint": f"hint {turn}", "found": "by you"}
        expected, result = bare.invoke(given, thread("a")), agent.invoke(given, thread("a"), context=ALEX)
        assert texts(expected) == texts(result)
        assert [expected["last"], expected["found"]] == [result["last"], result["found"]]
        assert agent.get_state(thread("a")).values["found"] == expected["found"]


@dataclass
class Data:
    messages: Annotated[list[AnyMessage], add_messages]
    note: str = ""


class Model(BaseModel):
    messages: Annotated[list[AnyMessage], add_messages]
    note: str = ""


@pytest.mark.parametrize("schema", [Data, Model])
def test_states_that_are_objects_stay_objects(schema: type):
    """Also in what a run of the new kind returns."""
    talk, seen = echo(), []

    def node(state: Any) -> Any:
        seen.append(type(state))
        state.note = state.messages[-1].text
        state.messages = [*state.messages, talk.invoke(state.messages)]
        return state

    saver = InMemorySaver()
    agent = knowing().wrap(one_node(node, schema).compile(), checkpointer=saver)
    result = agent.invoke(said("xylophone?"), thread("a"), context=ALEX, version="v2")

    assert [schema] == seen
    assert isinstance(result.value, schema)
    assert ("xylophone?", 2) == (result.value.note, len(result.value.messages))
    assert SECRET in str(talk.shown)
    assert SECRET not in everything(saver)


# What is injected


def leaks(talk: Any) -> dict[str, Any]:
    """Nodes that hand on what they are shown, in every form."""

    @dataclass
    class Note:
        text: str

    class Report(BaseModel):
        text: str
        parts: list[Any]

    def question(state: Any) -> AnyMessage:
        talk.invoke(state["messages"])
        return state["messages"][-1]

    def failing(state: Any) -> Any:
        raise ValueError(f"cannot parse {question(state).text}")

    return {
        "list": lambda s: {"messages": [question(s), AIMessage("ok")]},
        "command": lambda s: Command(update={"messages": [question(s), AIMessage("ok")]}),
        "tuples": lambda s: Command(update=[("messages", [question(s)]), ("any", question(s))]),
        "commands": lambda s: [Command(update={"any": question(s)}), {"messages": [AIMessage(question(s).text)]}],
        "overwrite": lambda s: {"messages": Overwrite([question(s), AIMessage("ok")])},
        "without ids": lambda s: {"messages": [HumanMessage(question(s).content)]},
        "rewritten": lambda s: {"messages": [HumanMessage(f"Rewritten: {question(s).text}!")]},
        "upper": lambda s: {"any": question(s).text.upper().lower()},
        "cut": lambda s: {"any": [question(s).text[:400], question(s).text[-60:]]},
        "lines": lambda s: {"any": question(s).text.splitlines()},
        "words": lambda s: {"any": tuple(question(s).text.split())},
        "json": lambda s: {"any": json.dumps({"q": question(s).text})},
        "dump": lambda s: {"any": question(s).model_dump()},
        "dict": lambda s: {"any": {question(s).text: {question(s).text}}},
        "bytes": lambda s: {"any": question(s).text.encode()},
        "dataclass": lambda s: {"any": Note(question(s).text)},
        "model": lambda s: {"any": Report(text="x", parts=[question(s).text])},
        "tool call": lambda s: {
            "messages": [AIMessage("", tool_calls=[{"name": "look", "args": {"what": question(s).text}, "id": "1"}])]
        },
        "send": lambda s: Command(goto=[Send("worker", {"messages": [question(s)], "text": question(s).text})]),
        "goto": lambda s: Command(goto=Send("worker", question(s).text)),
        "interrupt": lambda s: {"any": interrupt({"question": question(s).text})},
        "error": failing,
    }


class Anything(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    any: Any


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", list(leaks(None)))
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_what_is_injected_is_saved_nowhere(form: str, way: str, caplog: pytest.LogCaptureFixture):
    """Whatever a node that was shown it returns; the question is what it was, and nobody learns the text again."""
    talk, saver, extractions = echo(), InMemorySaver(), Extractions()
    builder = StateGraph(Anything).add_node("n", leaks(talk)[form], destinations=("worker", END)).add_edge(START, "n")
    builder.add_node("worker", lambda s: {"any": s})
    agent = knowing(extractions).wrap(builder.compile(), checkpointer=saver)
    parts: list[Any] = []
    try:
        if way == "invoke":
            parts = list(agent.stream(said("xylophone?"), thread("a"), context=ALEX, stream_mode=["values", "updates"]))
        else:
            stream = agent.astream(said("xylophone?"), thread("a"), context=ALEX, stream_mode=["values", "updates"])
            parts = [part async for part in stream]
    except ValueError as error:
        assert SECRET not in str(error)  # noqa: PT017

    assert talk.shown
    assert all(SECRET in str(shown) for shown in talk.shown)
    for found in (everything(saver), str(parts), str(agent.get_state(thread("a"))), str(extractions.seen)):
        assert SECRET.lower() not in found.lower()
        assert "learned_" not in found
    assert "xylophone?" in everything(saver)


def test_the_mark_of_a_run_is_of_that_run_only():
    """Two runs have two marks, and one run has one, so that a prompt cache holds."""
    shown: list[str] = []
    talk = ScriptedModel(lambda messages: shown.append(messages[-1].text) or "ok")
    ask = lambda s: {"messages": [talk.invoke(s["messages"])]}  # noqa: E731
    node = lambda s: {"messages": [talk.invoke(s["messages"][:1])]}  # noqa: E731
    builder = StateGraph(MessagesState).add_node("a", ask).add_node("b", node).add_edge(START, "a").add_edge("a", "b")
    agent = knowing().wrap(builder.compile())
    for _ in range(2):
        agent.invoke(said("xylophone?"), context=ALEX)

    assert SECRET in shown[0]
    assert shown[0] != shown[2]


def test_only_nodes_that_call_a_model_see_it(caplog: pytest.LogCaptureFixture):
    """Routers, parsers and guards see the agent's own messages; the log says who sees more."""
    talk, lengths = echo(), []

    def guard(state: MessagesState) -> dict[str, Any]:
        lengths.append(len(state["messages"][-1].text))
        return {}

    def helper(messages: Any) -> Any:
        return talk.invoke(messages)

    class Caller:
        def __init__(self) -> None:
            self.model = talk

        def __call__(self, state: MessagesState) -> dict[str, Any]:
            return {"messages": [self.model.invoke(state["messages"])]}

        def method(self, state: MessagesState) -> dict[str, Any]:
            return self(state)

    builder = StateGraph(MessagesState).add_node("guard", guard)
    builder.add_node("helps", lambda s: {"messages": [helper(s["messages"])]}).add_node("object", Caller())
    builder.add_node("method", Caller().method).add_node(
        "chain", (lambda s: s["messages"]) | talk | (lambda m: {"messages": [m]})
    )
    builder.add_node("late", lambda s, config: {"messages": [config["configurable"]["model"].invoke(s["messages"])]})
    order = ["guard", "helps", "object", "method", "chain", "late"]
    for start, end in zip([START, *order], order, strict=False):
        builder.add_edge(start, end)
    with caplog.at_level(logging.INFO, "langgraph_learning"):
        agent = knowing().wrap(builder.compile())
    agent.invoke(said("xylophone?"), {"configurable": {"model": talk}}, context=ALEX)

    assert [len("xylophone?")] == lengths
    assert [True] * 5 == [SECRET in str(shown) for shown in talk.shown]
    assert "chain, helps, late, method, object" in caplog.text


def test_a_graph_that_a_node_calls_saves_nothing_of_it(caplog: pytest.LogCaptureFixture):
    """Neither a node nor a function hands the text on as another graph's input; the log says so."""
    talk, saver = echo(), InMemorySaver()

    def worker(state: MessagesState) -> dict[str, Any]:
        return {"messages": [talk.invoke([("system", learned_context()), *state["messages"]])]}

    inner = one_node(worker).compile()

    def call(state: MessagesState) -> dict[str, Any]:
        return {"messages": inner.invoke({"messages": state["messages"]})["messages"][-1:]}

    for agent in (call, one_node(call).compile(), one_node(RunnableLambda(call) | (lambda s: s)).compile()):
        caplog.clear()
        wrapped = knowing().wrap(agent, checkpointer=saver)
        wrapped.invoke(said("xylophone?"), thread(f"{type(agent)}"), context=ALEX)

        assert "No node of" in caplog.text
        assert 1 == str(talk.shown[-1]).count(SECRET)
        assert SECRET not in everything(saver)


def test_whatever_a_node_refers_to_it_can_be_wrapped():
    """Objects that cannot be looked at, that refer to themselves, or that are large."""

    class Proxy:
        @property
        def __class__(self) -> Any:  # type: ignore[override]
            raise RuntimeError("not there yet")

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("not there yet")

    talk, proxy, cycle = echo(), Proxy(), [list(range(100_000))]
    cycle.append(cycle)  # type: ignore[arg-type]
    agent = one_node(lambda s: {"messages": [talk.invoke(s["messages"])], **({} if cycle else proxy.state)}).compile()
    knowing().wrap(agent).invoke(said("xylophone?"), context=ALEX)

    assert SECRET in str(talk.shown)


def test_the_log_names_nodes_of_graphs_inside(caplog: pytest.LogCaptureFixture):
    talk = echo()
    inner = StateGraph(MessagesState).add_node("talk", lambda s: {"messages": [talk.invoke(s["messages"])]})
    agent = one_node(inner.add_edge(START, "talk").compile()).compile(name="team")
    with caplog.at_level(logging.INFO, "langgraph_learning"):
        knowing().wrap(agent)

    assert "Nodes of team that are shown the learned context: n:talk" in caplog.text


def test_what_a_node_places_itself_is_saved_nowhere():
    """`learned_context()` carries the marks of the run, too."""
    talk, saver = echo(), InMemorySaver()

    def node(state: MessagesState) -> dict[str, Any]:
        system = SystemMessage(f"Rules.\n\n{learned_context()}")
        return {"messages": [system, talk.invoke([system, *state["messages"]])]}

    for number, agent in enumerate((node, one_node(node).compile())):
        wrapped = knowing().wrap(agent, checkpointer=saver, inject=False)
        result = wrapped.invoke(said("xylophone?"), thread(f"{number}"), context=ALEX)
        assert "Rules." == texts(result)[-2]
    assert 2 == sum(SECRET in str(shown) for shown in talk.shown)
    assert SECRET not in everything(saver)


@pytest.mark.parametrize("way", ["create_agent", "react"])
def test_tools_are_given_the_agents_own_state(way: str):
    """A tool may hand its state on to an agent of its own, where it would be saved."""
    seen: list[set[str]] = []

    @tool
    def note(state: Annotated[Any, InjectedState]) -> str:
        """Note the keys of the state."""
        seen.append(set(state))
        return "noted"

    call = AIMessage("", tool_calls=[{"name": "note", "args": {}, "id": "1"}])
    make = react_agent if way == "react" else create_agent
    make(ScriptedModel([call, "ok"]), [note]).invoke(said("xylophone?"))
    knowing().wrap(make(ScriptedModel([call, "ok"]), [note])).invoke(said("xylophone?"), context=ALEX)

    assert seen[0] == seen[1]


@pytest.mark.parametrize("depth", [0, 1])
def test_a_cache_keeps_users_apart_where_nodes_ask_for_the_context(depth: int):
    """With `inject=False`, in the agent's graph and in one inside it."""

    def node(state: MessagesState) -> dict[str, Any]:
        return answer("known" if SECRET in learned_context() else "unknown")

    agent = one_node(node, cache_policy=CachePolicy()).compile(cache=InMemoryCache())
    if depth:
        agent = one_node(agent).compile(cache=InMemoryCache())
    wrapped = knowing().wrap(agent, inject=False)
    asked = {"messages": [HumanMessage("xylophone?", id="1")]}

    assert ["known", "unknown"] == [wrapped.invoke(asked, context=who)["messages"][-1].text for who in (ALEX, SAM)]


def test_a_cached_tool_finds_for_each_user():
    """A tool that asks for the context answers each user apart, though no model is called."""

    @tool
    def recall_all() -> str:
        """Return what is known."""
        return "known" if SECRET in learned_context() else "unknown"

    called = AIMessage("", tool_calls=[{"name": "recall_all", "args": {}, "id": "1"}], id="2")
    builder = StateGraph(MessagesState).add_node("call", lambda s: {"messages": [called]})
    builder.add_node("tools", ToolNode([recall_all]), cache_policy=CachePolicy()).add_edge(START, "call")
    agent = knowing().wrap(builder.add_edge("call", "tools").compile(cache=InMemoryCache()))
    asked = {"messages": [HumanMessage("xylophone?", id="1")]}

    assert ["known", "unknown"] == [agent.invoke(asked, context=who)["messages"][-1].text for who in (ALEX, SAM)]


@pytest.mark.parametrize("key", [lambda s: s["messages"][-1].text, None], ids=["own key", "default key"])
@pytest.mark.parametrize("depth", [0, 1])
def test_a_cache_hands_no_answer_to_another_user(key: Any, depth: int):
    """One caller's answers are still cached for that caller, in the same state."""
    talk = ScriptedModel(lambda shown: "known" if SECRET in str(shown) else "unknown")
    policy = CachePolicy(key_func=key) if key else CachePolicy()
    agent = one_node(lambda s: {"messages": [talk.invoke(s["messages"])]}, cache_policy=policy).compile(
        cache=InMemoryCache()
    )
    if depth:
        agent = one_node(agent).compile(cache=InMemoryCache())
    wrapped = knowing().wrap(agent)
    asked = {"messages": [HumanMessage("xylophone?", id="1")]}
    found = [wrapped.invoke(asked, context=who)["messages"][-1].text for who in (ALEX, SAM, ALEX, SAM)]

    assert ["known", "unknown", "known", "unknown"] == found
    assert 2 == len(talk.shown)


def test_a_node_may_ask_for_the_context_after_a_pause():
    talk = ScriptedModel(lambda shown: "known" if SECRET in str(shown) else "unknown")

    def node(state: MessagesState) -> dict[str, Any]:
        interrupt("?")
        return {"messages": [talk.invoke(learned_context() + state["messages"][-1].text)]}

    agent = knowing().wrap(one_node(node).compile(), checkpointer=InMemorySaver(), inject=False)
    agent.invoke(said("xylophone?"), thread("a"), context=ALEX)

    assert "known" == texts(agent.invoke(Command(resume="go"), thread("a"), context=ALEX))[-1]


# Whose words


@pytest.mark.parametrize("form", ["graph", "function", "subgraph", "command", "tool"])
def test_a_message_in_the_users_role_that_the_agent_made_is_the_agents(form: str):
    """It is never learnt as the user's, not in this turn and not in a later one."""
    made = {"messages": [AIMessage("draft"), HumanMessage("Critique: use zebra")]}

    @tool
    def ask() -> Any:
        """Ask a colleague."""
        from langchain_core.messages import ToolMessage

        return Command(update={"messages": [ToolMessage("asked", tool_call_id="1"), *made["messages"][1:]]})

    agent: Any = {
        "graph": lambda: one_node(lambda s: made).compile(),
        "function": lambda: lambda s: made,
        "subgraph": lambda: one_node(one_node(lambda s: made).compile()).compile(),
        "command": lambda: one_node(lambda s: Command(update=made)).compile(),
        "tool": lambda: create_agent(
            ScriptedModel([AIMessage("", tool_calls=[{"name": "ask", "args": {}, "id": "1"}]), "ok"] * 2),
            [ask],
        ),
    }[form]()
    learning = knowing(notes_what_users_say, [UserMemory(scope=Scope.TEAM)])
    wrapped = learning.wrap(agent, checkpointer=InMemorySaver())
    for text in ("write", "again"):
        wrapped.invoke(said(text), thread("a"), context=ALEX)

    assert {"write", "again"} == {learning.text for learning in learning.learnings(SAM)}


def test_what_an_interrupt_was_resumed_with_is_the_users():
    learning = knowing(notes_what_users_say)
    builder = one_node(lambda s: {"messages": [HumanMessage(interrupt("What colour?"))]})
    agent = learning.wrap(builder.compile(), checkpointer=InMemorySaver())
    agent.invoke(said("paint"), thread("a"), context=ALEX)
    agent.invoke(Command(resume="I like mauve"), thread("a"), context=ALEX)

    assert {SECRET, "paint", "I like mauve"} == {learning.text for learning in learning.learnings(ALEX)}


def test_a_private_learning_never_reaches_the_team_through_a_node():
    """A node that rewrites the question copies what it was shown with it."""

    def extraction(shown: Any) -> Any:
        from people import edit

        found = [
            edit("insight", number, title="t", insight=SECRET, when_to_apply="x", category="insight")
            for number, speaker, text in conversation(shown)
            if "quartz" in text
        ]
        return edits(*found)

    talk = echo()
    learning = knowing(extraction, [UserMemory(), LearnedKnowledge(scope=Scope.TEAM)])
    rewrite = lambda s: {"messages": [HumanMessage(f"Rewritten: {s['messages'][-1].text}", name=talk.get_name())]}  # noqa: E731
    builder = (
        StateGraph(MessagesState)
        .add_node("rewrite", rewrite)
        .add_node("talk", lambda s: {"messages": [talk.invoke(s["messages"])]})
    )
    builder.add_edge(START, "rewrite").add_edge("rewrite", "talk")
    learning.wrap(builder.compile(), checkpointer=InMemorySaver()).invoke(said("xylophone?"), thread("a"), context=ALEX)

    assert [] == list(learning.learnings(SAM))


def test_the_same_words_are_the_users_when_the_user_says_them():
    """A message is known by its id as soon as it has one."""
    learning = knowing(notes_what_users_say)
    agent = learning.wrap(
        one_node(lambda s: {"messages": [HumanMessage("continue"), AIMessage("ok")]}).compile(),
        checkpointer=InMemorySaver(),
    )
    agent.invoke(said("start"), thread("a"), context=ALEX)
    assert {SECRET, "start"} == {learning.text for learning in learning.learnings(ALEX)}
    agent.invoke(said("continue"), thread("a"), context=ALEX)

    assert {SECRET, "start", "continue"} == {learning.text for learning in learning.learnings(ALEX)}


@pytest.mark.parametrize("wrapped", ["graph", "function"])
def test_messages_may_be_pairs_and_dicts(wrapped: str):
    """A reducer that adds lists makes no messages of them."""

    class State(TypedDict):
        messages: Annotated[list[Any], operator.add]

    extractions = Extractions()

    def node(state: State) -> Any:
        return {"messages": [{"role": "assistant", "content": "ok"}]}

    agent: Any = one_node(node, State).compile() if wrapped == "graph" else node
    agent = knowing(extractions).wrap(agent, checkpointer=InMemorySaver())
    for turn in range(2):
        result = agent.invoke(said(f"turn {turn}"), thread("a"), context=ALEX)

    assert ("user", "turn 1") == result["messages"][2]
    assert [["turn 0", "ok"], ["turn 1", "ok"]] == extractions.seen


def test_an_update_of_the_state_goes_where_the_agents_last_node_leads():
    """As without us: a message that a person adds starts what would have come next."""

    def ends(state: MessagesState) -> str:
        return "b" if state["messages"][-1].text == "more" else END

    builder = StateGraph(MessagesState).add_node("a", lambda s: answer("a")).add_node("b", lambda s: answer("b"))
    builder.add_edge(START, "a").add_conditional_edges("a", ends, ["b", END])
    found = []
    for agent, options in (
        (builder.compile(checkpointer=InMemorySaver()), {}),
        (knowing().wrap(builder.compile(), checkpointer=InMemorySaver()), {"context": ALEX}),
    ):
        agent.invoke(said("x"), thread("a"), **options)
        agent.update_state(thread("a"), {"messages": [HumanMessage("more")]})
        found.append((agent.get_state(thread("a")).next, texts(agent.invoke(None, thread("a"), **options))))

    assert found[0] == found[1]


def test_the_calls_of_the_extraction_are_traced():
    """Our nodes are hidden in the stream, what they cost is not hidden in a trace."""
    tags: list[list[str]] = []

    class Tracer(BaseCallbackHandler):
        def on_chat_model_start(self, *_: Any, **options: Any) -> None:
            tags.append(options["tags"])

    knowing().wrap(one_node(lambda s: answer()).compile()).invoke(said("x"), {"callbacks": [Tracer()]}, context=ALEX)

    assert 1 == len(tags)
    assert not any("hidden" in tag for tag in tags[0])
