"""Session of the command line: one user's view of one database, with learnings named by shortened keys."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from langgraph.store.base import SearchOp
from pydantic import BaseModel

from langgraph_learning.background.queue import forget_in_jobs
from langgraph_learning.cli.database import open_store
from langgraph_learning.cli.options import (
    AgentOption,
    EmbedOption,
    OwnersOption,
    TeamsOption,
    TenantOption,
    UrlOption,
    UserOption,
    read_owners,
)
from langgraph_learning.core.flow import Flow, T, as_flow, drive, gather, search
from langgraph_learning.core.keys import RESERVED_NAMES
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.policy import Sharing
from langgraph_learning.core.scopes import Caller, LearningContext, Scope
from langgraph_learning.errors import NotFound
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.review import decisions
from langgraph_learning.stores import DecisionLog, Episodes, SelfImprovement, SessionContext
from langgraph_learning.stores.base import LearningStore, Request, readable_namespaces
from langgraph_learning.update import forgetting


class AnyRecord(BaseModel):
    """Record of any kind, because the command line does not know the records of custom learning stores."""


@dataclass(frozen=True)
class DatabaseSession:
    """One user's view of one database."""

    store: HybridPostgresStore
    caller: Caller

    def run(self, flow: Flow[T]) -> T:
        """Run a flow on the database."""
        return drive(flow, self.store)

    def make_stores(self) -> list[LearningStore]:
        """Return a learning store for every name under which the database has items that this user may read."""
        owner_namespaces = [namespace[:-1] for namespace in self.caller.readable_namespaces(Scope.TEAM, "any")]
        names: set[str] = set()
        for owner_namespace in owner_namespaces:
            for namespace in self.store.list_namespaces(prefix=owner_namespace, limit=1_000):
                if namespace[:-1] in owner_namespaces:
                    names.add(namespace[-1])
        return [_make_store(name) for name in sorted(names - RESERVED_NAMES)]

    def find_instructions(self) -> SelfImprovement:
        """Return the learning store with the instructions that this user may read, an agent's own first.

        Raises `NotFound` if there are none.
        """
        for scope in (Scope.AGENT, Scope.TEAM, Scope.USER, Scope.GLOBAL):
            if self.caller.owners_of(scope):
                namespace = self.caller.namespace(scope, SelfImprovement.name)
                if self.store.list_namespaces(prefix=namespace, limit=1):
                    return SelfImprovement(scope=scope)
        raise NotFound(
            f"{self.caller.user} can see no instructions: name the agent with --agent or the team with --team."
        )

    def list_learnings(self) -> list[Learning]:
        """Return all learnings that may be in this user's context."""
        return self.run(forgetting.list_visible(self.make_stores(), self.caller, datetime.now(UTC)))

    def forget(self, keys: Sequence[str]) -> int:
        """Delete learnings, as `LearningMachine.forget` does; return how many."""
        stores = self._make_stores_to_forget()
        count = self.run(forgetting.forget(stores, self.caller, keys, datetime.now(UTC)))
        self.run(forget_in_jobs(stores, self.caller))
        return count

    def _make_stores_to_forget(self) -> list[LearningStore]:
        """Return the learning stores with what decides which words go with a forgotten learning.

        A store of the package may have any name, so it is known by the kinds of its learnings.
        """
        stores: list[LearningStore] = [SessionContext()]
        for store in self.make_stores():
            searches = [SearchOp(namespace, limit=1) for namespace in readable_namespaces([store], self.caller)]
            kinds = {item.value.get("kind") for item in self.run(search(*searches))}
            own = next((known for known in (Episodes, DecisionLog) if kinds & known().kinds.keys()), None)
            if own:
                stores.append(own(name=store.name))
            elif isinstance(store, SelfImprovement):
                stores.append(store)
            else:
                # A statement of the user that waits for others to say it as well loses their support.
                sharing = Sharing.after(2) if self.caller.teams else None
                stores.append(_make_store(store.name, sharing))
        return stores

    def search(self, query: str) -> list[Learning]:
        """Return the learnings that are nearest to a question, nearest first."""
        request = Request(self.caller, query, datetime.now(UTC))
        results = self.run(gather(as_flow(store.recall(request)) for store in self.make_stores()))
        learnings = [learning for result in results for learning in result]
        return sorted(learnings, key=lambda learning: -(learning.score or 0))

    def list_pending(self) -> Sequence[Learning]:
        """Return the proposals that wait for approval."""
        return self.run(decisions.list_pending(self.make_stores(), self.caller))

    def complete_key(self, prefix: str) -> str:
        """Return the key with this prefix among active learnings and proposals, or the prefix if there is none.

        Forgotten and superseded learnings are therefore named by their complete keys. Raises `NotFound` if several
        keys have the prefix.
        """
        learnings = (*self.list_learnings(), *self.list_pending())
        keys = [learning.key for learning in learnings if learning.key.startswith(prefix)]
        if len(keys) > 1:
            raise NotFound(f"{len(keys)} learnings have a key that begins with {prefix!r}.")
        return keys[0] if keys else prefix


@dataclass(frozen=True)
class ViewOptions:
    """The options that say which user looks at which database."""

    user: UserOption
    agent: AgentOption = None
    team: TeamsOption = None
    owner: OwnersOption = None
    tenant: TenantOption = "default"
    url: UrlOption = None

    @contextmanager
    def open(self, embed: str = "none") -> Iterator[DatabaseSession]:
        """Open a session. Without an embedding model, it searches by words alone and writes no vectors."""
        context = LearningContext(
            user_id=self.user,
            team_ids=tuple(self.team or ()),
            tenant_id=self.tenant,
            agent_id=self.agent,
            owners=read_owners(self.owner),
        )
        caller = Caller.of(context)
        with open_store(self.url, embed) as store:
            yield DatabaseSession(store, caller)


@dataclass(frozen=True)
class EmbeddingViewOptions(ViewOptions):
    """Session options of the commands that embed texts."""

    embed: EmbedOption = "local"


def find_by_key(prefix: str, learnings: Sequence[Learning]) -> Learning:
    """Return the learning whose key is, or begins with, this prefix. Raises `NotFound` unless there is exactly one."""
    exact = [learning for learning in learnings if learning.key == prefix]
    matches = exact or [learning for learning in learnings if learning.key.startswith(prefix)]
    if len(matches) != 1:
        raise NotFound(
            f"{len(matches) or 'No'} learnings that this user can see have a key that begins with {prefix!r}."
        )
    return matches[0]


def _make_store(name: str, sharing: Sharing | None = None) -> LearningStore:
    """Return a learning store of this name: the package's own if it needs more than the text of its records."""
    own: dict[str, type[LearningStore]] = {kind.name: kind for kind in (DecisionLog, SelfImprovement)}
    if name in own:
        return own[name](scope=Scope.TEAM)
    return LearningStore(name=name, scope=Scope.TEAM, record=AnyRecord, limit=20, sharing=sharing)
