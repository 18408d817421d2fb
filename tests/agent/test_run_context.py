"""The caller of a run, read from whatever context the run was started with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict
from uuid import UUID

import pytest
from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.runtime import Runtime, get_runtime
from langgraph.store.memory import InMemoryStore
from people import ALEX, NOTHING, echo, machine, notes_what_users_say, said, thread
from pydantic import BaseModel

from langgraph_learning import LearningContext, LearningMachine
from langgraph_learning.errors import Misconfigured, MissingOwner

FORMS = pytest.mark.parametrize("form", ["wrap", "middleware", "function"])


class Keys(TypedDict):
    user_id: str
    database: NotRequired[str]


@dataclass
class Session:
    user_id: int
    database: str = ""


class Settings(BaseModel):
    user_id: UUID
    database: str = ""


@dataclass
class Login:
    email: str


class Configurable(TypedDict, total=False):
    model: str


def from_configurable(context: Any, config: RunnableConfig) -> LearningContext:
    return LearningContext(user_id=config["configurable"]["user_id"])


def agent_of(learning: LearningMachine, form: str, schema: Any = None) -> Any:
    talk = echo()
    if form == "function":
        return learning.wrap(lambda state: talk.invoke(state["messages"]), checkpointer=InMemorySaver())
    if form == "wrap":
        return learning.wrap(create_agent(talk, [], context_schema=schema), checkpointer=InMemorySaver())
    options = {"context_schema": schema, "store": learning.store, "checkpointer": InMemorySaver()}
    return create_agent(talk, [], middleware=[learning.middleware()], **options)


def users_learnt_from(
    form: str, context: Any, schema: Any = None, config: RunnableConfig | None = None, **settings: Any
) -> set[str]:
    """Return the users in whose namespaces a run of this context has left something."""
    store = InMemoryStore()
    agent = agent_of(machine(notes_what_users_say, store=store, **settings), form, schema)
    agent.invoke(
        said("I like tea"), {"configurable": {**thread("a")["configurable"], **(config or {})}}, context=context
    )
    return {item.namespace[3] for item in store.search(("learnings", "default", "user"))}


@FORMS
@pytest.mark.parametrize(
    ("context", "user"),
    [
        ({"user_id": "alex", "database": object(), 7: "seven"}, "alex"),
        ({"user_id": 42, "team_ids": "acme", "locale": "de"}, "42"),
        ({"user_id": UUID(int=1), "team_ids": {7, 3}, "owners": None}, str(UUID(int=1))),
        (LearningContext(user_id="alex"), "alex"),
    ],
)
def test_a_dict_may_have_keys_of_the_agents_own(form: str, context: Any, user: str):
    """Keys that are not ours are passed over, and ids may be numbers."""
    if form == "function" and isinstance(context, dict):
        context = {key: value for key, value in context.items() if isinstance(key, str)}  # it becomes an object

    assert {user} == users_learnt_from(form, context)


@pytest.mark.parametrize("form", ["wrap", "middleware"])
@pytest.mark.parametrize(
    ("schema", "context", "user"),
    [
        (Keys, {"user_id": "alex", "database": "x"}, "alex"),
        (Session, Session(42, "x"), "42"),
        (Session, {"user_id": 42, "database": "x"}, "42"),
        (Settings, {"user_id": str(UUID(int=1)), "database": "x"}, str(UUID(int=1))),
        (LearningContext, {"user_id": "alex", "database": "x"}, "alex"),
    ],
)
def test_an_agents_own_context_may_name_the_user(form: str, schema: Any, context: Any, user: str):
    """A context with a `user_id` needs no `context_from`."""
    assert {user} == users_learnt_from(form, context, schema)


def test_a_wrapped_agent_without_a_context_schema_finds_its_dict():
    """The dict reaches the agent's nodes whole, as without us."""
    met: list[Any] = []

    def node(state: MessagesState, runtime: Runtime[Any]) -> dict[str, Any]:
        met.append(runtime.context)
        return {"messages": [("ai", "ok")]}

    inner = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile()
    context = {"user_id": "alex", "database": "x"}
    machine([NOTHING], store=InMemoryStore()).wrap(inner).invoke(said("Any news"), context=context)

    assert [context] == met


@FORMS
def test_the_user_may_be_in_the_configurable(form: str):
    """A `context_from` of two arguments sees the run's config."""
    assert {"alex"} == users_learnt_from(form, None, config={"user_id": "alex"}, context_from=from_configurable)


@FORMS
@pytest.mark.parametrize(
    ("context", "config", "line"),
    [
        (None, {}, r"context=LearningContext\(user_id=…\)"),
        (None, {"user_id": "alex"}, r"lambda context, config: LearningContext\(user_id=config"),
        ({"locale": "de"}, {}, r"LearningContext\(user_id=…\)"),
    ],
)
def test_a_run_without_a_user_says_the_line_to_write(form: str, context: Any, config: Any, line: str):
    """The line suits how the run was started."""
    with pytest.raises(MissingOwner, match=line):
        users_learnt_from(form, context, config=config)


def test_the_error_names_the_keys_that_are_there():
    """So that a misspelt key is seen."""
    with pytest.raises(MissingOwner, match="it has userId, locale"):
        users_learnt_from("middleware", {"userId": "alex", "locale": "de"})


@pytest.mark.parametrize("context", [{"user_id": "alex", "learn": "perhaps"}, {"user_id": 3.5}, {"user_id": True}])
def test_a_value_that_cannot_be_read_is_named(context: dict[str, Any]):
    """The error names the key and the way out."""
    with pytest.raises(Misconfigured, match=rf"{list(context)[-1]}: Input should .*context_from="):
        users_learnt_from("middleware", context)


@pytest.mark.parametrize(
    ("function", "call"),
    [
        (lambda context: ("one", context), ("one", 1)),
        (lambda context, config: ("two", context, config), ("two", 1, 2)),
        (lambda context, extra=3: ("default", context, extra), ("default", 1, 3)),
        (lambda context, config=None: ("config", context, config), ("config", 1, 2)),
    ],
)
def test_context_from_takes_one_argument_or_two(function: Callable[..., Any], call: Any):
    """The second is the run's config, and a default of another name stays as it is."""
    from langgraph_learning.agent.run_context import make_context_reader

    assert call == make_context_reader(function)(1, 2)


@pytest.mark.parametrize("function", [lambda: ALEX, lambda a, b, c: ALEX, lambda *, user: ALEX])
def test_any_other_number_of_arguments_is_refused_at_once(function: Any):
    """When the machine is made, not in the first run."""
    with pytest.raises(Misconfigured, match="lambda context, config"):
        machine([NOTHING], context_from=function)


def test_a_context_from_that_returns_no_context_says_so():
    """A forgotten return, for example."""
    with pytest.raises(Misconfigured, match="returned a NoneType"):
        users_learnt_from("middleware", None, context_from=lambda context: None)


@pytest.mark.filterwarnings("ignore:`config_schema` is deprecated")
def test_an_agent_with_a_config_schema_is_wrapped():
    """It reads its settings from the config, so the context is free, or the user is in the config as well."""
    read: list[Any] = []

    def node(state: MessagesState, config: RunnableConfig) -> dict[str, Any]:
        read.append((config["configurable"]["model"], type(get_runtime().context)))
        return {"messages": [("ai", "ok")]}

    inner = (
        StateGraph(MessagesState, config_schema=Configurable).add_node("node", node).add_edge(START, "node").compile()
    )
    config = {"configurable": {"thread_id": "a", "model": "small", "user_id": "alex"}}
    store = InMemoryStore()
    free = machine(notes_what_users_say, store=store, context_from=lambda context: context)
    free.wrap(inner, checkpointer=InMemorySaver()).invoke(said("I like tea"), config, context=ALEX)
    named = machine(notes_what_users_say, store=store, context_from=from_configurable)
    named.wrap(inner, checkpointer=InMemorySaver()).invoke(said("I like milk"), config)

    assert [("small", LearningContext), ("small", type(None))] == read
    assert {"I like tea", "I like milk"} == {learnt.text for learnt in free.learnings(ALEX)}
    with pytest.raises(Misconfigured, match="If it is a config_schema, context_from=lambda context, config"):
        machine([NOTHING]).wrap(inner)


def test_a_context_without_a_user_cannot_be_wrapped():
    """The error shows the line, before the first run."""
    with pytest.raises(Misconfigured, match=r"context_from=lambda context: LearningContext\(user_id="):
        machine([NOTHING]).wrap(create_agent(echo(), [], context_schema=Login))


def test_two_machines_in_one_agent_are_refused():
    """Of LangChain's own error nobody would know what to do."""
    middleware = machine([NOTHING]).middleware()

    with pytest.raises(Misconfigured, match="learning stores of both"):
        create_agent(echo(), [], middleware=[middleware, machine([NOTHING]).middleware()])
    with pytest.raises(AssertionError, match="duplicate"):
        create_agent(echo(), [], middleware=[middleware, middleware])
