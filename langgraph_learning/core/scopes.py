"""Scopes, LearningContext and Caller, and the namespaces they lead to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import MAXYEAR, MINYEAR, datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar
from urllib.parse import quote, unquote
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from langgraph_learning.errors import Misconfigured, MissingOwner, NotAllowed

ROOT = "learnings"
MAX_LABEL_BYTES = 1_000
"""Longest id, in bytes of its namespace label: a database takes keys of up to some 2,700 bytes in an index."""

Namespace = tuple[str, ...]
ItemRef = tuple[Namespace, str]
"""Namespace and key of an item."""


@dataclass(frozen=True)
class Scope:
    """The kind of owner of a learning, which decides who can recall it."""

    name: str

    THREAD: ClassVar["Scope"]
    USER: ClassVar["Scope"]
    TEAM: ClassVar["Scope"]
    AGENT: ClassVar["Scope"]
    GLOBAL: ClassVar["Scope"]

    @classmethod
    def of(cls, name: str) -> "Scope":
        """Return an open scope, such as "project". A run names its owner in `LearningContext.owners`.

        Raises `Misconfigured` for an empty name.
        """
        if not name.strip():
            raise Misconfigured('A scope needs a name, such as Scope.of("project").')
        return cls(name)

    @property
    def private(self) -> bool:
        """True if only one person can recall learnings of this scope."""
        return self in (Scope.THREAD, Scope.USER)

    @property
    def reach(self) -> int:
        """Place among all scopes by how many they reach: a thread first, everybody last, open ones before teams."""
        order = (Scope.THREAD, Scope.USER, None, Scope.TEAM, Scope.AGENT, Scope.GLOBAL)
        return order.index(self if self in order else None)


Scope.THREAD = Scope("thread")
Scope.USER = Scope("user")
Scope.TEAM = Scope("team")
Scope.AGENT = Scope("agent")
Scope.GLOBAL = Scope("global")


def _read_id(value: Any) -> Any:
    """Return an id as text if it is an int or a UUID; leave anything else to the validation."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number or isinstance(value, UUID) else value


def _read_teams(value: Any) -> Any:
    """Return teams as a tuple; one id is one team. The teams of a set, which has no order, are sorted."""
    if value is None:
        return ()
    if isinstance(value, str | int | UUID):
        return (value,)
    return tuple(sorted(map(str, value))) if isinstance(value, set | frozenset) else value


def _read_owners(value: Any) -> Any:
    return {} if value is None else value


Id = Annotated[str, BeforeValidator(_read_id)]


class LearningContext(BaseModel):
    """The user of a run with their teams, and switches for learning and recall. Pass it to every run as `context=`.

    A dict with these keys does as well; other keys in it are the agent's own. Ids may also be ints or UUIDs.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    user_id: Id | None = None
    """Id of the user. Required, except on a server with authentication, which sets it to the authenticated user."""
    team_ids: Annotated[tuple[Id, ...], BeforeValidator(_read_teams)] = ()
    """The user's teams. New team learnings belong to the first one; those of all teams are recalled."""
    agent_id: Id | None = None
    """Id of the agent. Required if something is learnt for one agent."""
    tenant_id: Id = "default"
    """Id of the tenant. Nothing is ever recalled across tenants."""
    owners: Annotated[Mapping[str, Id], BeforeValidator(_read_owners)] = Field(default_factory=dict)
    """Owners of open scopes, such as {"project": "apollo"}."""
    learn: bool = True
    """False: nothing is learnt from this run."""
    recall: bool = True
    """False: the agent is shown no learnings."""
    timezone: str = "UTC"
    """Name of the user's time zone, such as "America/Los_Angeles". It decides which day "today" is for them."""
    now: datetime | None = None
    """When the user speaks, with a time zone: "tomorrow" counts from it, and what is valid then is recalled. None: the
    time of the machine."""

    @field_validator("now")
    @classmethod
    def _check_now(cls, now: datetime | None) -> datetime | None:
        if now is not None and now.utcoffset() is None:
            raise ValueError(
                f"{now.isoformat()} has no time zone, so nobody knows which moment it is: give one, such as "
                "datetime.now(UTC) or 2026-03-05T09:00:00+01:00"
            )
        # A year on either side leaves room for every time zone.
        if now is not None and not MINYEAR < now.year < MAXYEAR:
            raise ValueError(f"{now.isoformat()} is no time at which anybody speaks")
        return now

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, ZoneInfoNotFoundError) as error:
            raise ValueError(
                f"there is no time zone {name!r}: give a name such as 'Europe/Rome' (where the system has no time "
                "zones, pip install tzdata)"
            ) from error
        return name

    @model_validator(mode="before")
    @classmethod
    def _refuse_misspelt_tenant(cls, values: Any) -> Any:
        """Refuse a tenant under another name. Any other missing id is an error later; this one has a default."""
        if isinstance(values, Mapping) and "tenant_id" not in values:
            for key in values:
                if isinstance(key, str) and key.lower().replace("_", "").replace("-", "") == "tenantid":
                    raise ValueError(f"the tenant is called tenant_id, not {key}: without it, tenants would be mixed")
        return values

    @classmethod
    def read(cls, context: object) -> "LearningContext":
        """Return the context of a run: a `LearningContext`, a mapping or an object with the same names, or None.

        Raises `Misconfigured` for a value that cannot be read.
        """
        if isinstance(context, cls):
            return context
        if isinstance(context, str | bytes | int | float):
            raise Misconfigured(
                f"A {type(context).__name__} is no context: it has no user_id. Pass LearningContext(user_id=…)."
            )
        values: Mapping[str, Any]
        if context is None:
            values = {}
        elif isinstance(context, Mapping):
            values = {key: value for key, value in context.items() if isinstance(key, str)}
        else:
            found = {name: getattr(context, name, None) for name in cls.model_fields if hasattr(context, name)}
            values = {name: value for name, value in found.items() if not callable(value)}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise Misconfigured(
                f"The run's context cannot be read: {_explain_invalid_context(error)}. If that key has "
                "a meaning of its own in your agent, give the machine "
                "context_from=lambda context: LearningContext(user_id=…)."
            ) from error


@dataclass(frozen=True)
class Caller:
    """The user, teams, agent and other owners of a run, checked once; they decide what it may read and write."""

    user: str
    tenant: str = "default"
    teams: tuple[str, ...] = ()
    agent: str | None = None
    owners: tuple[tuple[str, str], ...] = ()
    thread: str | None = None
    learn: bool = True
    recall: bool = True
    timezone: str = "UTC"
    now: datetime | None = field(default=None, compare=False)
    """When they speak, if the run says so."""

    @classmethod
    def of(cls, context: LearningContext, thread: str | None = None) -> "Caller":
        """Return the caller of a context.

        Raises `MissingOwner` if the user is missing or an id is empty, too long or not storable.
        """
        context, thread = LearningContext.read(context), _read_id(thread)
        if context.user_id is None:
            raise MissingOwner()
        _check_ids("user_id", context.user_id)
        _check_ids("tenant_id", context.tenant_id)
        _check_ids("team_ids", *context.team_ids)
        _check_ids("owners", *context.owners, *context.owners.values())
        _check_ids("agent_id", context.agent_id)
        _check_ids("thread_id", thread)
        return cls(
            user=context.user_id,
            tenant=context.tenant_id,
            teams=tuple(dict.fromkeys(context.team_ids)),
            agent=context.agent_id,
            owners=tuple(sorted(context.owners.items())),
            thread=thread,
            learn=context.learn,
            recall=context.recall,
            timezone=context.timezone,
            now=context.now,
        )

    def present(self, clock: datetime) -> datetime:
        """Return when the caller speaks: as the run says, or else the time of the machine's clock."""
        return self.now or clock

    def local(self, moment: datetime) -> datetime:
        """Return a moment as the clock of the user shows it."""
        return moment.astimezone(ZoneInfo(self.timezone))

    def owners_of(self, scope: Scope) -> tuple[str, ...]:
        """Return the owners in a scope whose learnings the caller may read; new learnings belong to the first one."""
        built_in: dict[Scope, tuple[str | None, ...]] = {
            Scope.THREAD: (self.thread,),
            Scope.USER: (self.user,),
            Scope.TEAM: self.teams,
            Scope.AGENT: (self.agent,),
            Scope.GLOBAL: ("everybody",),
        }
        owners = built_in.get(scope, tuple(owner for name, owner in self.owners if name == scope.name))
        return tuple(owner for owner in owners if owner is not None)

    def owner_namespace(self, scope: Scope, subject: str = "This learning") -> Namespace:
        """Return the prefix of all namespaces in which new learnings of a scope are stored, whatever their store.

        `subject` begins the error message. Raises `MissingOwner` if the run names no owner for the scope.
        """
        owners = self.owners_of(scope)
        if not owners:
            article = "an" if scope.name[0] in "aeiou" else "a"
            remedy = _REMEDY.get(scope, f'pass context=LearningContext(user_id=…, owners={{"{scope.name}": …}}).')
            raise MissingOwner(f"{subject} belongs to {article} {scope.name}, but the run names none: {remedy}")
        return self._build_owner_namespace(scope, owners[0])

    def namespace(self, scope: Scope, store_name: str) -> Namespace:
        """Return the namespace of new learnings of a store. Raises `MissingOwner` if the run names no owner."""
        return (*self.owner_namespace(scope, store_name), store_name)

    def readable_namespaces(self, scope: Scope, store_name: str) -> Iterator[Namespace]:
        """Yield all namespaces of a store that the caller may read, the narrowest scope first.

        `scope` is that of the store. A store of scope THREAD is read in this thread only.
        """
        for readable in (Scope.THREAD,) if scope == Scope.THREAD else self._readable_scopes(scope):
            for owner in self.owners_of(readable):
                yield (*self._build_owner_namespace(readable, owner), store_name)

    def _readable_scopes(self, scope: Scope) -> tuple[Scope, ...]:
        open_scopes = (Scope(name) for name, _ in self.owners)
        return tuple(dict.fromkeys((Scope.USER, *open_scopes, scope, Scope.TEAM, Scope.AGENT, Scope.GLOBAL)))

    def _build_owner_namespace(self, scope: Scope, owner: str) -> Namespace:
        return (ROOT, escape(self.tenant), escape(scope.name), escape(owner))


_REMEDY = {
    Scope.THREAD: 'pass {"configurable": {"thread_id": …}} and compile the graph with a checkpointer.',
    Scope.TEAM: "pass context=LearningContext(user_id=…, team_ids=(…,)).",
    Scope.AGENT: "pass context=LearningContext(user_id=…, agent_id=…).",
}


def apply_authentication(context: LearningContext, user: Mapping[str, object] | None) -> LearningContext:
    """Return a context with the ids that the server has authenticated; without authentication, return it unchanged.

    The authenticated identity becomes the user. Tenant, teams and owners come from the authentication handler
    (`tenant_id`, `team_ids`, `owners`); a run may choose among its teams but not add any. Raises `NotAllowed` for ids
    in the context that the handler did not return.
    """
    if user is None:
        return context
    identity = str(user["identity"])
    authenticated = LearningContext.read({key: user[key] for key in ("tenant_id", "team_ids", "owners") if key in user})
    if context.user_id not in (None, identity):
        raise NotAllowed(f"This run is authenticated as {identity!r}: leave user_id out or set it to that.")
    if not set(context.team_ids) <= set(authenticated.team_ids):
        raise NotAllowed("A team in the context is not among the team_ids that the authentication handler returned.")
    if not set(context.owners.items()) <= set(authenticated.owners.items()):
        raise NotAllowed("An owner in the context is not among the owners that the authentication handler returned.")
    if context.tenant_id not in (LearningContext().tenant_id, authenticated.tenant_id):
        raise NotAllowed("The tenant in the context is not the tenant_id that the authentication handler returned.")
    return context.model_copy(
        update={
            "user_id": identity,
            "tenant_id": authenticated.tenant_id,
            "team_ids": context.team_ids or authenticated.team_ids,
            "owners": context.owners or authenticated.owners,
        }
    )


def _check_ids(name: str, *ids: str | None) -> None:
    """Raise `MissingOwner` for an id that is empty or that no database can store; None is no id."""
    for id_ in (id_ for id_ in ids if id_ is not None):
        if not isinstance(id_, str):
            raise MissingOwner(f"{name}: an id is a text, a number or a UUID, not {id_!r:.80}.")
        if not id_.strip():
            raise MissingOwner(f"{name}: an id is empty. Leave out the ids that you do not have.")
        if "\0" in id_:
            raise MissingOwner(f"{name}: {id_!r} contains the character NUL, which no database stores: leave it out.")
        if (length := len(escape(id_))) > MAX_LABEL_BYTES:
            raise MissingOwner(
                f"{name}: {id_[:40]!r}… is too long: {length:,} bytes, of at most {MAX_LABEL_BYTES:,} (a letter "
                "outside ASCII takes up to 12). Use a shorter id, such as a hash of this one."
            )


def _explain_invalid_context(error: ValidationError) -> str:
    """Return what does not fit, without the values."""
    problems = error.errors(include_url=False, include_input=False)
    return "; ".join(
        ": ".join(filter(None, (".".join(map(str, problem["loc"])), problem["msg"]))) for problem in problems
    )


@lru_cache(maxsize=10_000)
def escape(label: str) -> str:
    """Return an id as a namespace label, without the dot that LangGraph does not allow; `unescape` reverses it.

    Raises `MissingOwner` if the id is not valid Unicode.
    """
    try:
        return quote(label, safe=" @:+").replace(".", "%2E")
    except UnicodeEncodeError as error:
        raise MissingOwner(f"The id {label!r} is not valid Unicode.") from error


def unescape(label: str) -> str:
    """Return the id of a label that `escape` made."""
    return unquote(label)
