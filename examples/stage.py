"""Shared by the examples: choosing a model and a store, playing conversations, and printing what is learnt."""

import argparse
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from langgraph_learning import Episodes, LearningContext
from langgraph_learning.core.scopes import ROOT
from langgraph_learning.embeddings import LocalEmbeddings
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.postgres.embedded import database_url
from reader import Reader

Agent = CompiledStateGraph[Any, Any, Any, Any]
Saver = BaseCheckpointSaver[Any]
Build = Callable[[BaseChatModel, BaseStore, Saver], Agent]


@dataclass(frozen=True)
class Scene:
    """One conversation of a user, in a thread of its own."""

    title: str
    user: str
    says: Sequence[str]
    teams: tuple[str, ...] = ("acme",)
    owners: Mapping[str, str] = field(default_factory=dict)

    def context(self, tenant: str) -> LearningContext:
        """Return the learning context of the user."""
        return LearningContext(user_id=self.user, team_ids=self.teams, owners=self.owners, tenant_id=tenant)


class Turn(NamedTuple):
    """One question, its answer, and the learning events of the turn."""

    said: str
    answer: str
    recalled: list[dict[str, Any]]
    learnt: list[dict[str, Any]]
    errors: list[str]


def play(agent: Agent, scene: Scene, *, tenant: str, thread: str) -> Iterator[Turn]:
    """Play a scene; the custom stream tells what was recalled and learnt."""
    config: RunnableConfig = {"configurable": {"thread_id": thread}}
    for said in scene.says:
        happened: dict[str, list[Any]] = {}
        state: dict[str, Any] = {}
        stream = agent.stream(
            {"messages": [("user", said)]},
            config,
            context=scene.context(tenant),
            stream_mode=["custom", "values"],
        )
        for mode, part in cast("Iterator[tuple[str, dict[str, Any]]]", stream):
            if mode == "custom":
                for what, events in part["learning"].items():
                    happened.setdefault(what, []).extend(events if isinstance(events, list) else [events])
            else:
                state = part
        errors = state.get("learning_errors") or []
        written = [event for what in ("learned", "proposed", "superseded") for event in happened.get(what, [])]
        yield Turn(said, state["messages"][-1].text, happened.get("recalled", []), written, errors)


def perform(title: str, story: Sequence[Scene], build: Build) -> None:
    """Play the scenes of a story in an empty tenant, and print them."""
    with stage(title) as (model, store, saver, tenant):
        agent = build(model, store, saver)
        for number, scene in enumerate(story):
            act(agent, scene, number, saver, tenant)


@contextmanager
def stage(title: str) -> Iterator[tuple[BaseChatModel, BaseStore, Saver, str]]:
    """Give a model, an empty store, a checkpointer and a tenant for a story, as the command line says."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--model", help="a name for init_chat_model, such as anthropic:claude-sonnet-4-5")
    parser.add_argument("--in-memory", action="store_true", help="use stores in memory, without Postgres")
    options = parser.parse_args()
    model, how = _model(options.model)
    print(_paint(DIM, how), _paint(BOLD, textwrap.fill(title, _width())), sep="\n")
    tenant = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    with _memory() if options.in_memory else _postgres() as (store, saver):
        _clear(store, tenant)
        yield model, store, saver, tenant
    if not options.in_memory:
        print(f"\n{_paint(DIM, f'To see all that was learnt: python examples/look.py {tenant}')}")


def act(agent: Agent, scene: Scene, number: int, saver: Saver, tenant: str) -> None:
    """Play a scene in a new thread, and print it."""
    thread = f"{tenant}-{number}"
    saver.delete_thread(thread)
    print(f"\n{_paint(BOLD, f'── {number} · {scene.title} '.ljust(_width(), '─'))}")
    for turn in play(agent, scene, tenant=tenant, thread=thread):
        _print(scene, turn)


def tell(text: str) -> None:
    """Print what somebody does outside of a conversation."""
    print(f"\n{textwrap.fill(text, _width())}")


@contextmanager
def open_store() -> Iterator[BaseStore]:
    """Open the store on `DATABASE_URL`, or on an embedded Postgres that stops with this process."""
    embeddings = LocalEmbeddings()
    index: Any = {"dims": embeddings.dims, "embed": embeddings, "fields": ["text"], "sequence": Episodes.sequence}
    with HybridPostgresStore.from_conn_string(database_url(), index=index, search_mode="hybrid") as store:
        store.setup()
        yield store


@contextmanager
def _postgres() -> Iterator[tuple[BaseStore, Saver]]:
    with open_store() as store, PostgresSaver.from_conn_string(database_url()) as saver:
        saver.setup()
        yield store, saver


@contextmanager
def _memory() -> Iterator[tuple[BaseStore, Saver]]:
    embeddings = LocalEmbeddings()
    yield InMemoryStore(index={"dims": embeddings.dims, "embed": embeddings, "fields": ["text"]}), InMemorySaver()


def _model(name: str | None) -> tuple[BaseChatModel, str]:
    if name is None and not os.environ.get("OPENAI_API_KEY"):
        return Reader(), (
            "Offline: a script stands in for the model, and knows only what it is shown.\n"
            "--model openai:gpt-5-mini runs it live."
        )
    name = name or f"openai:{os.environ.get('OPENAI_MODEL', 'gpt-5-mini')}"
    return init_chat_model(name), f"Live: {name} answers and learns."


def _clear(store: BaseStore, tenant: str) -> None:
    """Delete the items of an earlier run."""
    for namespace in store.list_namespaces(prefix=(ROOT, tenant), limit=1_000):
        for item in store.search(namespace, limit=1_000):
            store.delete(item.namespace, item.key)


BOLD, DIM, BLUE, GREEN, YELLOW = "1", "2", "34", "32", "33"


def _paint(style: str, text: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else text


def _width() -> int:
    return min(100, shutil.get_terminal_size((100, 24)).columns)


def _print(scene: Scene, turn: Turn) -> None:
    print()
    _speak(scene.user.capitalize(), BLUE, turn.said)
    _speak("Agent", GREEN, turn.answer)
    _note("recalled", turn.recalled)
    _note("learnt", [learning for learning in turn.learnt if learning["status"] == "active"])
    _note("proposed", [learning for learning in turn.learnt if learning["status"] == "proposed"])
    _note("retired", [learning for learning in turn.learnt if learning["status"] not in ("active", "proposed")])
    for error in turn.errors:
        _speak("", YELLOW, error)


def _speak(who: str, style: str, text: str) -> None:
    rows = [row for part in text.splitlines() for row in textwrap.wrap(part, _width() - 10) or [""]]
    print(_paint(style, f"{who:<8}"), "\n         ".join(rows))


def _note(what: str, learnings: Sequence[Mapping[str, Any]]) -> None:
    """Print the learnings by namespace."""
    paths = [(learning, "/".join(learning["namespace"][2:])) for learning in learnings]
    for number, path in enumerate(dict.fromkeys(path for _, path in paths)):
        print(_paint(DIM, f"         {'' if number else what:<10}{path}"))
        for row in (row for learning, at in paths if at == path for row in learning["text"].split(" | ")):
            rows = textwrap.wrap(row, _width() - 21, max_lines=2, placeholder=" …")
            print(_paint(DIM, f"{'':19}· {f'{chr(10):<22}'.join(rows)}"))
