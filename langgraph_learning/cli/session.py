"""One user's view of one database: what they may see of it, and how a short key names it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import BaseModel

from langgraph_learning.cli.database import opened
from langgraph_learning.cli.options import Agent, Embed, Teams, Tenant, Url, User
from langgraph_learning.core.flow import Flow, T, as_flow, drive, gather
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import Caller, LearningContext, Scope
from langgraph_learning.errors import NotFound
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.review import decisions
from langgraph_learning.stores import DecisionLog, SelfImprovement
from langgraph_learning.stores.base import LearningStore, Request
from langgraph_learning.update import forgetting


class Anything(BaseModel):
    """A record of whatever kind: the command line knows no learning store's own."""


@dataclass(frozen=True)
class Desk:
    """One user's view of one database."""

    store: HybridPostgresStore
    caller: Caller

    def run(self, flow: Flow[T]) -> T:
        """Carry a flow out."""
        return drive(flow, self.store)

    def stores(self) -> list[LearningStore]:
        """Return a learning store for every name under which something lies that this user may read."""
        folders = [place[:-1] for place in self.caller.readable_namespaces(Scope.TEAM, "any")]
        places = [place for folder in folders for place in self.store.list_namespaces(prefix=folder, limit=1_000)]
        names = sorted({place[-1] for place in places if place[:-1] in folders})
        return [_learning_store(name) for name in names]

    def instructions(self) -> SelfImprovement:
        """Return the learning store of the instructions that lie where this user may read, an agent's own first."""
        for scope in (Scope.AGENT, Scope.TEAM, Scope.USER, Scope.GLOBAL):
            known = self.caller.owners_of(scope)
            if known and self.store.list_namespaces(prefix=self.caller.namespace(scope, SelfImprovement.name), limit=1):
                return SelfImprovement(scope=scope)
        raise NotFound(f"{self.caller.user} can see no instructions: name the agent, --agent, or the team, --team.")

    def known(self) -> list[Learning]:
        """Return all that this user could be shown."""
        return self.run(forgetting.list_visible(self.stores(), self.caller, datetime.now(UTC)))

    def found(self, query: str) -> list[Learning]:
        """Return what is nearest to a question, nearest first."""
        asked = Request(self.caller, query, datetime.now(UTC))
        found = self.run(gather(as_flow(store.recall(asked)) for store in self.stores()))
        return sorted((one for learnings in found for one in learnings), key=lambda one: -(one.score or 0))

    def waiting(self) -> Sequence[Learning]:
        """Return what waits for approval."""
        return self.run(decisions.list_pending(self.stores(), self.caller))

    def whole(self, key: str) -> str:
        """Return the key that begins so; what was forgotten or replaced is named by its whole key."""
        found = [one.key for one in (*self.known(), *self.waiting()) if one.key.startswith(key)]
        if len(found) > 1:
            raise NotFound(f"{len(found)} learnings have a key that begins with {key!r}.")
        return found[0] if found else key


@dataclass(frozen=True)
class Visitor:
    """Who is looking, and at which database: what commands are told as options."""

    user: User
    agent: Agent = None
    team: Teams = None
    tenant: Tenant = "default"
    url: Url = None

    @contextmanager
    def desk(self, embed: str = "none") -> Iterator[Desk]:
        """Give them their desk. Without an embedding model, it searches by words alone and writes no vectors."""
        teams = tuple(self.team or ())
        who = LearningContext(user_id=self.user, team_ids=teams, tenant_id=self.tenant, agent_id=self.agent)
        caller = Caller.of(who)
        with opened(self.url, embed) as store:
            yield Desk(store, caller)


@dataclass(frozen=True)
class Searcher(Visitor):
    """A visitor for whose errand texts have to be embedded."""

    embed: Embed = "local"


def named(key: str, learnings: Sequence[Learning]) -> Learning:
    """Return the learning whose key begins so. Raises `NotFound` if there is none, or more than one."""
    found = [one for one in learnings if one.key == key] or [one for one in learnings if one.key.startswith(key)]
    if len(found) != 1:
        raise NotFound(f"{len(found) or 'No'} learnings that this user can see have a key that begins with {key!r}.")
    return found[0]


def _learning_store(name: str) -> LearningStore:
    """Return a learning store of this name: the package's own where more than the text of its records matters."""
    own: dict[str, type[LearningStore]] = {kind.name: kind for kind in (DecisionLog, SelfImprovement)}
    if name in own:
        return own[name](scope=Scope.TEAM)
    return LearningStore(name=name, scope=Scope.TEAM, record=Anything, limit=20)
