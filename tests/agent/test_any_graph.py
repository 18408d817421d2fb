"""Random graphs, wrapped and unwrapped: the same state after every turn, and every turn is learnt from once."""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, RemoveMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, Overwrite, Send, interrupt
from people import ALEX, conversation, edits, machine, observation, thread
from pydantic import BaseModel, ConfigDict

from langgraph_learning.testing import ScriptedModel

SECRET = "Xylophone quartz 4711"
ANSWERS = ("plain", "list", "command", "overwrite", "remove", "human", "copy", "nothing", "pause", "model", "quote")
ENDINGS = ("edge", "branch", "mapped branch", "command", "commands", "sends", "waiting")


class Listed(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    count: Annotated[int, operator.add]
    log: Annotated[list[str], operator.add]


class Added(TypedDict):
    messages: Annotated[list[AnyMessage], operator.add]
    count: Annotated[int, operator.add]
    log: Annotated[list[str], operator.add]


@dataclass
class Data:
    messages: Annotated[list[AnyMessage], add_messages] = field(default_factory=list)
    count: Annotated[int, operator.add] = 0
    log: Annotated[list[str], operator.add] = field(default_factory=list)


class Model(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    messages: Annotated[list[AnyMessage], add_messages] = []
    count: Annotated[int, operator.add] = 0
    log: Annotated[list[str], operator.add] = []


@dataclass(frozen=True)
class Plan:
    """What one node of a random graph does and where it leads."""

    answer: str
    ending: str
    targets: tuple[int, ...]
    """Numbers of later nodes; those beyond the last one stand for the end."""
    deferred: bool


plans = st.builds(
    Plan,
    st.sampled_from(ANSWERS),
    st.sampled_from(ENDINGS),
    st.lists(st.integers(0, 4), min_size=1, max_size=3, unique=True).map(tuple),
    st.booleans(),
)
graphs = st.tuples(
    st.sampled_from([Listed, Added, Data, Model]),
    st.lists(plans, min_size=1, max_size=5),
    st.lists(st.integers(0, 2), max_size=2, unique=True),
)

SENT_AND_DEFERRED = [
    Plan("plain", "edge", (0, 1), False),
    Plan("copy", "sends", (0,), False),
    Plan("plain", "edge", (0,), True),
]
"""A graph whose last node runs twice in a step, and gives both answers the same id."""


def read(state: Any, key: str) -> Any:
    return state[key] if isinstance(state, dict) else getattr(state, key)


def make_node(number: int, plan: Plan, schema: type, talk: ScriptedModel, goto: Callable[[], Any]) -> Any:  # noqa: C901
    """A node; ids depend on nothing but the messages so far, so that two runs can be compared."""

    def node(state: Any) -> Any:  # noqa: C901 - one branch for each kind of answer
        messages = read(state, "messages")
        name = f"{number}-{len(messages)}"
        answer = AIMessage(f"answer {name}", id=f"ai-{name}")
        update: dict[str, Any] = {"count": 1, "log": [f"{name}"]}
        if plan.answer == "nothing":
            update = {}
        elif plan.answer == "pause":
            answer = AIMessage(f"{interrupt(name)} {name}", id=f"ai-{name}")
            update |= {"messages": [answer]}
        elif plan.answer == "human":
            update |= {"messages": [HumanMessage(f"critique {name}", id=f"human-{name}")]}
        elif plan.answer == "model":
            update |= {"messages": [AIMessage(f"{talk.invoke(messages).text} {name}", id=f"ai-{name}")]}
        elif plan.answer == "quote":
            talk.invoke(messages)
            update |= {
                "log": [messages[-1].text],
                "messages": [AIMessage(f"quote {messages[-1].text}", id=f"ai-{name}")],
            }
        elif plan.answer == "copy" and schema is not Added:
            talk.invoke(messages)
            update |= {"messages": [*messages, answer]}
        elif plan.answer == "overwrite":
            talk.invoke(messages)
            update |= {"messages": Overwrite([*messages, answer])} if number == 0 else {"messages": [answer]}
        elif plan.answer == "remove" and schema is not Added:
            old = [message for message in messages if isinstance(message, AIMessage)][:1]
            update |= {"messages": [*(RemoveMessage(str(message.id)) for message in old), answer]}
        else:
            update |= {"messages": [answer]}
        if plan.ending == "command":
            return Command(update=update, goto=goto())
        if plan.ending == "commands":
            return [Command(update=update), *(Command(goto=target) for target in goto())]
        if plan.answer == "list":
            return [Command(update=update)]
        return update

    return node


def build(schema: type, steps: list[Plan], starts: list[int], talk: ScriptedModel) -> StateGraph[Any]:  # noqa: C901
    builder: StateGraph[Any] = StateGraph(schema)
    names = [f"n{number}" for number in range(len(steps))]

    def targets(number: int) -> list[str]:
        found = [names[number + 1 + step] if number + 1 + step < len(names) else END for step in steps[number].targets]
        return list(dict.fromkeys(found))

    for number, plan in enumerate(steps):
        goto = lambda number=number: targets(number)  # noqa: E731
        builder.add_node(
            names[number],
            make_node(number, plan, schema, talk, goto),
            defer=plan.deferred and number > 0,
            destinations=tuple({*names[number + 1 :], END}),
        )
        if plan.ending == "edge":
            for target in targets(number):
                builder.add_edge(names[number], target)
        elif plan.ending == "branch":
            builder.add_conditional_edges(names[number], lambda state, number=number: targets(number))
        elif plan.ending == "mapped branch":
            found = targets(number)
            builder.add_conditional_edges(
                names[number], lambda state, found=found: found, {target: target for target in found}
            )
        elif plan.ending == "sends":

            def send(state: Any, number: int = number) -> Any:
                found = [target for target in targets(number) if target != END]
                return [Send(target, state) for target in found] or END

            builder.add_conditional_edges(names[number], send, [*names[number + 1 :], END])
        elif plan.ending == "waiting" and number:
            builder.add_edge([names[number - 1], names[number]], targets(number)[0])
    first = [names[start] for start in starts if start < len(names)] or names[:1]
    for name in first:
        builder.add_edge(START, name)
    return builder


def plain(value: Any) -> Any:
    """A state without the loop's keys, comparable."""
    if isinstance(value, BaseMessage):
        return (value.type, value.content, value.id)
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items() if not key.startswith("learning_")}
    return value


def values_after_error(agent: Any) -> Any:
    """The state after a failed turn, if there is one: LangGraph cannot read it where a reducer failed."""
    try:
        return plain(agent.get_state(thread("a")).values)
    except ValueError as error:
        return str(error)


async def run_turns(agent: Any, *, turns: int, way: str = "invoke", **options: Any) -> list[Any]:
    """The state at every pause and after every turn, each pause resumed."""
    states: list[Any] = []
    for turn in range(turns):
        given: Any = {"messages": [HumanMessage(f"xylophone {turn}?", id=f"q{turn}")], "count": 0, "log": []}
        for _ in range(9):
            try:
                if way == "invoke":
                    result = agent.invoke(given, thread("a"), **options)
                else:
                    result = await agent.ainvoke(given, thread("a"), **options)
            except Exception as error:  # noqa: BLE001 - both fail, or none
                states.append((type(error), values_after_error(agent)))
                break
            snapshot = agent.get_state(thread("a"))
            states.append((plain(snapshot.values), tuple(sorted(snapshot.next)), "__interrupt__" in result))
            pauses = [pause.id for task in snapshot.tasks for pause in task.interrupts]
            if not pauses:
                break
            given = Command(resume=dict.fromkeys(pauses, "yes"))
    return states


def learning_machine(extraction: Any) -> Any:
    store = InMemoryStore()
    learning = machine([edits(observation(SECRET))], store=store)
    learning.wrap(ScriptedModel(["ok"])).invoke({"messages": [("user", SECRET)]}, context=ALEX)
    return machine(extraction, store=store)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(given_graph=graphs)
@example(given_graph=(Added, SENT_AND_DEFERRED, []))
async def test_a_wrapped_graph_has_the_state_of_the_bare_one(way: str, given_graph: Any):
    """After every turn and at every pause; each turn is learnt from once, after its last message; nothing leaks."""
    schema, steps, starts = given_graph
    seen: list[list[str]] = []

    def extraction(shown: Any) -> Any:
        seen.append([text for _, _, text in conversation(shown)])
        return {"edits": []}

    try:
        bare = build(schema, steps, starts, ScriptedModel(lambda shown: "fine")).compile(checkpointer=InMemorySaver())
    except ValueError:  # a graph that LangGraph refuses
        return
    expected = await run_turns(bare, turns=3)
    saver = InMemorySaver()
    talk = ScriptedModel(lambda shown: "fine")
    wrapped = learning_machine(extraction).wrap(build(schema, steps, starts, talk).compile(), checkpointer=saver)
    actual = await run_turns(wrapped, turns=3, way=way, context=ALEX)

    assert expected == actual
    assert SECRET not in repr(saver.storage) + repr(saver.writes) + repr(saver.blobs)
    assert all(SECRET in str(shown) for shown in talk.shown)
    if any(isinstance(state[0], type) for state in expected):  # a turn failed, and the next one reads its messages
        return
    ends = [state[0]["messages"] for state in expected if not state[2]]
    assert 3 == len(ends) == len(seen)
    for turn, end in enumerate(ends):
        before = {id_ for _, _, id_ in ends[turn - 1]} if turn else set()
        # Two messages with the same id and text are one: `operator.add` keeps both.
        new = list({id_: text for _, text, id_ in end if id_ not in before}.values())
        # A message that the turn removed again is learnt from, too.
        assert new == [text for text in seen[turn] if text in new]
