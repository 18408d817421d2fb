"""Whom a learning belongs to: every namespace in the package is built here and nowhere else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict, Field

from langgraph_learning.errors import Misconfigured, MissingOwner, NotAllowed

ROOT = "learnings"

Namespace = tuple[str, ...]
ItemRef = tuple[Namespace, str]
"""Where one item lies: its namespace and key."""


@dataclass(frozen=True)
class Scope:
    """Whom a learning belongs to, and so who can recall it."""

    name: str

    THREAD: ClassVar["Scope"]
    USER: ClassVar["Scope"]
    TEAM: ClassVar["Scope"]
    AGENT: ClassVar["Scope"]
    GLOBAL: ClassVar["Scope"]

    @classmethod
    def of(cls, name: str) -> "Scope":
        """Return an open scope, such as "project", whose owner a run names in `LearningContext.owners`.

        Raises `Misconfigured` for an empty name.
        """
        if not name.strip():
            raise Misconfigured('A scope needs a name, such as Scope.of("project").')
        return cls(name)

    @property
    def private(self) -> bool:
        """Whether only one person ever recalls what belongs here."""
        return self in (Scope.THREAD, Scope.USER)


Scope.THREAD = Scope("thread")
Scope.USER = Scope("user")
Scope.TEAM = Scope("team")
Scope.AGENT = Scope("agent")
Scope.GLOBAL = Scope("global")


class LearningContext(BaseModel):
    """Who is asking: passed with every run as `context=`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    user_id: str | None = None
    """Whom the agent talks to. Required, except on a server with authentication: there it is the authenticated user."""
    team_ids: tuple[str, ...] = ()
    """The teams this user is in. What is learnt for a team goes to the first one; all of them are recalled."""
    agent_id: str | None = None
    """The agent's own name, needed when something is learnt for one agent."""
    tenant_id: str = "default"
    """Customers kept apart: nothing is ever recalled across tenants."""
    owners: Mapping[str, str] = Field(default_factory=dict)
    """Owners of open scopes, such as {"project": "apollo"}."""
    learn: bool = True
    """False: nothing is learnt from this run."""
    recall: bool = True
    """False: the agent is shown nothing of what was learnt."""


@dataclass(frozen=True)
class Caller:
    """Who asks in this run, checked once: whatever a caller may read or write follows from here."""

    user: str
    tenant: str = "default"
    teams: tuple[str, ...] = ()
    agent: str | None = None
    owners: tuple[tuple[str, str], ...] = ()
    thread: str | None = None
    learn: bool = True
    recall: bool = True

    @classmethod
    def of(cls, context: LearningContext, thread: str | None = None) -> "Caller":
        """Return the caller that a context names.

        Raises `MissingOwner` if the user is missing or any id is empty.
        """
        if context.user_id is None:
            raise MissingOwner()
        ids = [context.user_id, context.tenant_id, *context.team_ids, *context.owners.values()]
        ids += [id_ for id_ in (context.agent_id, thread) if id_ is not None]
        if not all(id_.strip() for id_ in ids):
            raise MissingOwner(
                "An id is empty, of the LearningContext or of the thread: every id names somebody or is left out."
            )
        return cls(
            user=context.user_id,
            tenant=context.tenant_id,
            teams=tuple(dict.fromkeys(context.team_ids)),
            agent=context.agent_id,
            owners=tuple(sorted(context.owners.items())),
            thread=thread,
            learn=context.learn,
            recall=context.recall,
        )

    def owners_of(self, scope: Scope) -> tuple[str, ...]:
        """Return who owns what this caller may read in a scope; the first one owns what is new."""
        known: dict[Scope, tuple[str | None, ...]] = {
            Scope.THREAD: (self.thread,),
            Scope.USER: (self.user,),
            Scope.TEAM: self.teams,
            Scope.AGENT: (self.agent,),
            Scope.GLOBAL: ("everybody",),
        }
        found = known.get(scope, tuple(owner for name, owner in self.owners if name == scope.name))
        return tuple(owner for owner in found if owner is not None)

    def owner_namespace(self, scope: Scope, kind: str = "What is learnt") -> Namespace:
        """Return where all that is learnt by this caller in a scope lies, whatever its kind.

        Raises `MissingOwner` if the caller names nobody for this scope.
        """
        owners = self.owners_of(scope)
        if not owners:
            raise MissingOwner(
                f"{kind} belongs to a {scope.name}, but the run names none: {_REMEDY.get(scope, '')}".strip()
            )
        return self._build_owner_namespace(scope, owners[0])

    def namespace(self, scope: Scope, kind: str) -> Namespace:
        """Return where a new learning of this caller goes.

        Raises `MissingOwner` if the caller names nobody for this scope.
        """
        return (*self.owner_namespace(scope, kind), kind)

    def readable_namespaces(self, scope: Scope, kind: str) -> Iterator[Namespace]:
        """Yield every namespace with this kind of learning that the caller may read, the narrowest first.

        `scope` is where the kind is learnt: what belongs to a thread is in that thread and nowhere else.
        """
        for readable in (Scope.THREAD,) if scope == Scope.THREAD else self._shared_scopes(scope):
            for owner in self.owners_of(readable):
                yield (*self._build_owner_namespace(readable, owner), kind)

    def _shared_scopes(self, scope: Scope) -> tuple[Scope, ...]:
        opened = (Scope(name) for name, _ in self.owners)
        return tuple(dict.fromkeys((Scope.USER, *opened, scope, Scope.TEAM, Scope.AGENT, Scope.GLOBAL)))

    def _build_owner_namespace(self, scope: Scope, owner: str) -> Namespace:
        return (ROOT, escape(self.tenant), escape(scope.name), escape(owner))


_REMEDY = {
    Scope.THREAD: 'pass {"configurable": {"thread_id": …}} and compile the graph with a checkpointer.',
    Scope.TEAM: "pass context=LearningContext(user_id=…, team_ids=(…,)).",
    Scope.AGENT: "pass context=LearningContext(user_id=…, agent_id=…).",
}


def apply_authentication(context: LearningContext, user: Mapping[str, object] | None) -> LearningContext:
    """Return the context as the server's authentication vouches for it; without authentication, as it is.

    The authenticated user is the user. Tenant, teams and owners come from the authentication handler's answer
    (`tenant_id`, `team_ids`, `owners`); a run may choose among its teams, never add to them.
    Raises `NotAllowed` for anything that the authentication does not vouch for.
    """
    if user is None:
        return context
    identity = str(user["identity"])
    vouched = LearningContext.model_validate(
        {key: user[key] for key in ("tenant_id", "team_ids", "owners") if key in user}
    )
    if context.user_id not in (None, identity):
        raise NotAllowed(f"This run is authenticated as {identity!r}: leave user_id out or set it to that.")
    if not set(context.team_ids) <= set(vouched.team_ids):
        raise NotAllowed("A team in the context is not among the team_ids that the authentication handler returned.")
    if not set(context.owners.items()) <= set(vouched.owners.items()):
        raise NotAllowed("An owner in the context is not among the owners that the authentication handler returned.")
    if context.tenant_id not in (LearningContext().tenant_id, vouched.tenant_id):
        raise NotAllowed("The tenant in the context is not the tenant_id that the authentication handler returned.")
    return context.model_copy(
        update={
            "user_id": identity,
            "tenant_id": vouched.tenant_id,
            "team_ids": context.team_ids or vouched.team_ids,
            "owners": context.owners or vouched.owners,
        }
    )


def escape(label: str) -> str:
    """Return an id as a namespace label: reversible, without the dot that LangGraph refuses.

    Raises `MissingOwner` if the id cannot be stored as UTF-8.
    """
    try:
        return quote(label, safe=" @:+").replace(".", "%2E")
    except UnicodeEncodeError as error:
        raise MissingOwner(f"The id {label!r} is not valid Unicode.") from error


def unescape(label: str) -> str:
    """Return the id that `escape` made a label of."""
    return unquote(label)
