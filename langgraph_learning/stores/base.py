"""LearningStore, the base class of every kind of learning, and the request, turn and note that its methods take."""

import inspect
from collections import Counter
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property, partial
from typing import Any, ClassVar, NamedTuple

from langchain_core.messages import AnyMessage
from langgraph.store.base import Item
from pydantic import BaseModel, ValidationError

from langgraph_learning.core.flow import Flow, gather
from langgraph_learning.core.keys import RESERVED_NAMES
from langgraph_learning.core.learning import Learning, MessageRef, messages_of
from langgraph_learning.core.policy import Mode, Sharing, Standing, read_choice
from langgraph_learning.core.quotation import is_off_record
from langgraph_learning.core.records import (
    Edit,
    Record,
    apply_edits,
    has_identity,
    identity_of,
    kind_of,
    link_snapshot_fields,
    read_record,
    record_data,
    record_text,
)
from langgraph_learning.core.relevance import EXCHANGE_PENALTY, MINILM_SCALE, NEW_SUBJECT_PENALTY, Scale
from langgraph_learning.core.scopes import Caller, Namespace, Scope
from langgraph_learning.core.similarity.support import MOSTLY, mentions
from langgraph_learning.core.small_talk import stands_alone
from langgraph_learning.core.speakers import Arrivals, find_latest
from langgraph_learning.core.text import normalize
from langgraph_learning.core.transcript import Line, message_text, message_time
from langgraph_learning.errors import Misconfigured
from langgraph_learning.stores.ranking import (
    ALL_TEXTS,
    CANDIDATES,
    FIRST_TEXT,
    OVERFETCH,
    rank_learnings,
    read_found,
    search_active,
)
from langgraph_learning.stores.rendering import load_prompt, render_bullet

ECHO = 0.34
"""Share of a statement's words by which the answer to it echoes it."""
MAX_LIMIT = 1_000
"""Largest `limit` of a learning store: more would fit into no context."""


Recalled = dict[str, list[Learning]]
"""The learnings that were recalled, by the name of their learning store."""


@dataclass(frozen=True)
class Request:
    """A recall request: caller, query, time and position in the thread."""

    caller: Caller
    query: str
    """Text to search for; empty: nothing that depends on a question is shown."""
    now: datetime
    branch: tuple[str, ...] = ()
    """Ids of the messages in this branch of the thread, oldest first."""
    session: tuple[Learning, ...] = ()
    """The session as the thread's state holds it: its message may have been trimmed from the branch."""
    for_extraction: bool = False
    """True if an extraction asks what is already known: then only learnings that can be edited are of use."""
    exchange: str = ""
    """The question and answer before, which a short message may rest on; it counts for a little less than the query."""
    about_user: bool = False
    """True if the user asks what is known about them: then all that is private to them is found, the newest first."""
    scale: Scale = MINILM_SCALE
    """Scale of the store's embedding model."""

    @cached_property
    def exchange_penalty(self) -> float:
        """Relevance by which what the exchange finds is behind: further, if the query does not rest on the exchange."""
        return NEW_SUBJECT_PENALTY if not self.for_extraction and stands_alone(self.query) else EXCHANGE_PENALTY


@dataclass(frozen=True)
class Turn:
    """A conversation to learn from, with the answer it just got."""

    caller: Caller
    messages: tuple[AnyMessage, ...]
    now: datetime
    """Time of the machine's clock, by which learnings are dated: no client can choose it."""
    run: str | None = None
    session: tuple[Learning, ...] = ()
    arrivals: Arrivals = field(default_factory=Arrivals)
    """How the messages in the user's role came in: they are not all the user's words."""
    originals: tuple[str, ...] = ()
    """The threads of which this one is a copy: what was learnt from there is not learnt again."""

    @property
    def learns(self) -> bool:
        """False if nothing is learnt from the user's last message: by the run's switch, or because they ask for it."""
        latest = find_latest(self.messages)
        return self.caller.learn and not any(is_off_record(message_text(message)) for message in latest)

    @property
    def said_at(self) -> datetime:
        """When the user spoke last: as the run says, or else the time of the turn."""
        return self.caller.present(self.now)

    @property
    def today(self) -> date:
        """The user's day when they spoke last: "tomorrow" counts from it."""
        return self.caller.local(self.said_at).date()

    def time_of(self, message: AnyMessage) -> datetime:
        """Return when a message was said: by its own time, or when it came in, or else the time of the turn."""
        return message_time(message) or self.arrivals.time_of(message) or self.said_at

    def day_of(self, message: AnyMessage) -> date | None:
        """Return the user's day when a message was said, by its own time or else by when it came in; None: unknown."""
        time = message_time(message) or self.arrivals.time_of(message)
        return self.caller.local(time).date() if time else None


class Note(NamedTuple):
    """A record that code makes from one message, without a model."""

    record: BaseModel
    line: Line


class LearningStore:
    """One kind of learning. A custom store needs a record, a name and a scope.

    Subclass it to change how learnings are found (`recall`), rendered (`build_context`) or updated (`process`). Each of
    the three may be a plain method, an async method or a flow. The text for the extraction model is in a Markdown file
    beside the subclass's module or, without such a file, in the subclass's docstring.
    """

    name: str = ""
    """Name of the store in namespaces and in the context; letters, digits and underscores."""
    scope: Scope = Scope.USER
    """The scope of its learnings; of several, the widest."""
    scopes: tuple[Scope, ...] = ()
    """All its scopes, the narrowest first: each edit names its audience among them."""
    mode: Mode = Mode.BACKGROUND
    sharing: Sharing = Sharing.AT_ONCE
    """Policy for sharing a user's own words, if the scope is shared."""
    records: tuple[type[BaseModel], ...] = ()
    """Records that a model may fill in."""
    observed_records: tuple[type[BaseModel], ...] = ()
    """Records that only code makes, in `observe`."""
    kinds: Mapping[str, type[BaseModel]]
    """All records by kind."""
    model_kinds: Mapping[str, type[BaseModel]]
    """The records that a model may fill in, by kind."""
    title: str = ""
    """Heading of the store's part of the context."""
    limit: int = 10
    """Number of learnings shown at most. All learning stores share one list, of which this store gets no more."""
    keep: timedelta | None = None
    """Time after which a learning expires; None: it is valid until it is superseded."""
    standing: Standing = Standing.NO
    """How its learnings are shown: ALWAYS, so that the prompt stays the same; on a LOWER bar; or near to the question
    only, unless their record says otherwise."""
    tools: bool = False
    """True if the agent gets tools to search, save and forget here, whatever the mode. AGENTIC implies it."""
    modes: ClassVar[frozenset[Mode]] = frozenset(Mode)
    """The modes that this store can have."""

    instructs: ClassVar[bool] = False
    """True if its learnings are instructions, not data. Only for a store in which every learning is approved."""

    def __init__(
        self,
        *,
        name: str | None = None,
        scope: Scope | Sequence[Scope] | None = None,
        record: type[BaseModel] | None = None,
        mode: Mode | None = None,
        tools: bool | None = None,
        limit: int | None = None,
        instructions: str | None = None,
        sharing: Sharing | None = None,
        keep: timedelta | None = None,
        standing: Standing | None = None,
    ) -> None:
        """Override settings of the class. Raises `Misconfigured` for settings that cannot work together."""
        self.name = name or self.name
        self.scopes = _sort_scopes(scope or self.scopes or self.scope, self.name)
        self.scope = self.scopes[-1]
        self.mode = read_choice(Mode, mode or self.mode, f"{self.name}: `mode`")
        self.tools = self.mode is Mode.AGENTIC or (self.tools if tools is None else tools)
        self.sharing = sharing or self.sharing
        self.records = (record,) if record else self.records
        self._check_records()
        self.model_kinds = {kind_of(record): record for record in self.records}
        self.kinds = {**self.model_kinds, **{kind_of(record): record for record in self.observed_records}}
        self.limit = self.limit if limit is None else limit
        given = self.standing if standing is None else standing
        self.standing = read_choice(Standing, given, f"{self.name}: `standing`")
        self.keep = self.keep if keep is None else keep
        self.title = self.title or self.name.replace("_", " ").capitalize()
        self.instructions = instructions or self._own_prompt() or self._default_instructions()
        self._check()

    def __repr__(self) -> str:
        scopes = ", ".join(scope.name for scope in self.scopes)
        return f"{type(self).__name__}(name={self.name!r}, scope={scopes}, mode={self.mode.value})"

    @property
    def verbatim(self) -> bool:
        """True if the store keeps messages word for word: no model fills in any of its records."""
        return not self.model_kinds

    @property
    def cued(self) -> bool:
        """True if its learnings are found by the question, so that a model may give them cues."""
        return self.in_list and bool(self.model_kinds)

    @property
    def in_list(self) -> bool:
        """True if its learnings compete with those of other stores to be shown for a question."""
        return self.standing is not Standing.ALWAYS and self.scope != Scope.THREAD

    def standing_of(self, learning: Learning) -> Standing:
        """Return how a learning is shown: as the store says, or as its record says if a user's own words carry it.

        Only the user's own learnings are shown always.
        """
        if self.standing is not Standing.NO:
            return self.standing
        trusted = learning.is_approved or all(source.channel in ("user", "person") for source in learning.sources)
        if learning.standing is Standing.NO or not trusted:
            return Standing.NO
        return Standing.LOWER if learning.standing is Standing.LOWER or not learning.scope.private else Standing.ALWAYS

    def audiences(self, caller: Caller | None = None) -> dict[str, Scope]:
        """Return the scopes for which an edit can be meant, by name, the narrowest first.

        What is learnt for others can always be kept to the user alone. A store for one user or thread has no choice.
        caller: without the scopes for which the caller's run names no owner.
        """
        if self.scope.private or self.modes == {Mode.PROPOSE}:
            return {}
        scopes = (Scope.USER, *(scope for scope in self.scopes if not scope.private))
        return {scope.name: scope for scope in scopes if caller is None or caller.owners_of(scope)}

    def check_owner(self, caller: Caller) -> None:
        """Raise `MissingOwner` if the run names no owner for any scope of this store."""
        if not any(caller.owners_of(scope) for scope in self.scopes):
            caller.namespace(self.scope, self.name)

    def recall(self, request: Request) -> Flow[list[Learning]] | list[Learning] | Awaitable[list[Learning]]:
        """Find the learnings that may answer a request, best first. The list of all stores is made of them."""
        return self._search(request)

    def build_context(self, found: Sequence[Learning], request: Request) -> Flow[str] | str | Awaitable[str]:
        """Render the recalled learnings as lines for the agent; an empty text for none."""
        return "\n".join(render_bullet(learning, request.caller) for learning in found)

    def process(
        self, edits: Sequence[Edit], known: Sequence[Learning]
    ) -> Flow[list[Learning]] | list[Learning] | Awaitable[list[Learning]]:
        """Turn edits into the learnings to write, each with its new values.

        A repeated learning gains a source; a learning about the same subject supersedes the known one; anything else is
        added; a learning to forget is rejected: it is deleted if the user asked for it, and else kept as history.
        """
        return apply_edits(edits, known, self.subject)

    def observe(
        self, turn: Turn, new: Sequence[Line]
    ) -> Flow[Sequence[Note]] | Sequence[Note] | Awaitable[Sequence[Note]]:
        """Return notes on the unread messages, made without a model; none by default."""
        return ()

    def failed(self, turn: Turn, error: Exception) -> Flow[Sequence[Note]] | Sequence[Note] | Awaitable[Sequence[Note]]:
        """Return notes on an exception of the agent, before it is raised to the caller; none by default."""
        return ()

    def developer_learnings(self, now: datetime) -> list[Learning]:
        """Return the learnings that the developer wrote, which are shown in every run; none by default."""
        return []

    def vet(self, edit: Edit, links: Sequence[Learning]) -> Edit:
        """Return an edit as this store accepts it, given the learnings that it links to.

        Raises `InvalidEdit`, with a message for the model, for an edit that this store does not accept.
        """
        return edit

    def objection(self, learning: Learning) -> str | None:
        """Return the reason why this learning may never be approved or restored; None if there is none."""
        return None

    def texts_to_replace(self, proposal: Learning, bases: Sequence[Learning]) -> tuple[str, ...]:
        """Return the texts that a proposal would replace, for the reviewer."""
        return () if proposal.retires else tuple(base.text for base in bases)

    def without_messages(self, found: Sequence[Learning], messages: Collection[MessageRef]) -> list[Learning]:
        """Return what was found without these messages, word for word; a learning that rests on them stays."""
        return list(found)

    def lines_of(self, learning: Learning) -> Sequence[str]:
        """Return the lines of the context in which a learning may be shown; by default it has one of its own."""
        return [learning.key]

    @property
    def most_shown(self) -> int:
        """How many lines of the list are its learnings' at most."""
        return self.limit

    def record_of(self, learning: Learning) -> BaseModel:
        """Return the record of a learning of this store."""
        return read_record(self.kinds[learning.kind], learning.data)

    def subject(self, learning: Learning) -> str:
        """Return the subject of a learning: of two learnings with the same subject, the later replaces the earlier."""
        record = self.kinds.get(learning.kind)
        # Called for every learning found in every turn, so the record is built only if its class defines an identity.
        try:
            identity = identity_of(self.record_of(learning)) if record and has_identity(record) else None
        except ValidationError:  # stored when the record had other fields: only the text can be compared
            identity = None
        return f"{learning.kind}:{identity or normalize(learning.text)}"

    def user_names(self, known: Iterable[Learning]) -> list[str]:
        """Return the user's names, if the store knows them: statements with a name are not shared automatically."""
        return []

    def depends_on(self, learning: Learning) -> tuple[str, ...]:
        """Return the keys of the learnings whose words a learning repeats; it is forgotten together with them."""
        record = self.kinds.get(learning.kind)
        return learning.derived_from if record and link_snapshot_fields(record) else ()

    def quoted_in(self, learning: Learning) -> tuple[str, ...]:
        """Return the keys of the learnings whose cues quote a learning; if it is forgotten, they lose their cues."""
        return ()

    def with_fields(self, learning: Learning, fields: Mapping[str, Any]) -> Learning:
        """Return a learning with other values in some fields of its record. Raises pydantic's `ValidationError`."""
        record = read_record(self.kinds[learning.kind], {**learning.data, **fields})
        return learning.model_copy(update={"data": record_data(record), "text": record_text(record)})

    def rank(self, items: Iterable[Item], namespaces: Sequence[Namespace], request: Request) -> list[Learning]:
        """Return the learnings worth showing: valid now, one per subject, most relevant or newest first."""
        texts_for = partial(self._texts_for, request)
        found = read_found(items, namespaces, request.scale, texts_for, request.exchange_penalty)
        valid = [learning for learning in found if learning.is_valid(request.now)]
        # An extraction updates what is known in the namespace of its edit, so there nothing hides what others know.
        best = rank_learnings(valid, self._subject_by_owner if request.for_extraction else self.subject)
        return best if self.in_list and not request.for_extraction else best[: self.limit]

    def _texts_for(self, request: Request, learning: Learning) -> slice:
        """Return the query texts by which a learning is near: what stands would come back in every turn by both."""
        stands = not request.for_extraction and self.standing_of(learning) is Standing.LOWER
        return FIRST_TEXT if stands else ALL_TEXTS

    def _subject_by_owner(self, learning: Learning) -> str:
        return "/".join((*learning.namespace, self.subject(learning)))

    def _search(self, request: Request) -> Flow[list[Learning]]:
        namespaces = list(request.caller.readable_namespaces(self.scope, self.name))
        if not self.in_list:
            items = yield from search_active(namespaces, limit=self.limit * OVERFETCH)
            return self.rank(items, namespaces, request)
        if request.about_user:
            own = [request.caller.namespace(Scope.USER, self.name)]
            items = yield from search_active(own, limit=self.limit * OVERFETCH)
            return self.rank(items, own, request)
        found = yield from gather(self._searches(namespaces, request))
        return self.rank([item for items in found for item in items], namespaces, request)

    def _searches(self, namespaces: Sequence[Namespace], request: Request) -> list[Flow[list[Item]]]:
        """Return the searches for what is near to the request, and for what stands."""
        query, exchange = request.query, request.exchange
        if request.for_extraction:
            return [search_active(namespaces, query, exchange, limit=self.limit * OVERFETCH)]
        stands = any(issubclass(kind, Record) and kind.standing is not Record.standing for kind in self.kinds.values())
        always = [search_active(namespaces, limit=CANDIDATES, standing=Standing.ALWAYS)] if stands else []
        if not query:
            return always
        lower = [search_active(namespaces, query, limit=CANDIDATES, standing=Standing.LOWER)] if stands else []
        return [*lower, search_active(namespaces, query, exchange, limit=CANDIDATES), *always]

    def _own_prompt(self) -> str:
        # An instance of LearningStore itself has neither a prompt file nor a docstring of its own.
        return load_prompt(type(self)) if type(self) is not LearningStore else ""

    def _default_instructions(self) -> str:
        return "\n\n".join(inspect.cleandoc(record.__doc__ or "") for record in self.records)

    def _check_limits(self) -> None:
        if not isinstance(self.limit, int) or not 1 <= self.limit <= MAX_LIMIT:
            raise Misconfigured(f"{self.name}: `limit` must be a number from 1 to {MAX_LIMIT}, not {self.limit!r}.")
        if self.keep is not None and not (isinstance(self.keep, timedelta) and self.keep > timedelta()):
            raise Misconfigured(f"{self.name}: `keep` must be a timedelta above zero, not {self.keep!r}.")

    def _check_records(self) -> None:
        for record in (*self.records, *self.observed_records):
            if not (isinstance(record, type) and issubclass(record, BaseModel)):
                raise Misconfigured(f"{self.name}: a record is a class of pydantic models, and {record!r} is none.")

    def _check_scopes(self) -> None:
        if len(self.scopes) > 1 and Scope.THREAD in self.scopes:
            raise Misconfigured(f"{self.name}: what belongs to a thread can have no other scope.")

    def _check(self) -> None:
        self._check_scopes()
        self._check_limits()
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise Misconfigured(
                f"{type(self).__name__} needs a name of letters, digits and underscores, not {self.name!r}."
            )
        if not self.kinds:
            raise Misconfigured(f"{self.name} needs a record: a pydantic model of one learning.")
        if self.name in RESERVED_NAMES:
            raise Misconfigured(f"The name {self.name!r} is reserved: choose another one.")
        if self.mode not in self.modes:
            possible = ", ".join(sorted(self.modes))
            raise Misconfigured(f"{self.name} cannot have the mode {self.mode.value!r}; it can have {possible}.")
        if self.instructs and self.modes != {Mode.PROPOSE}:
            raise Misconfigured(
                f"{self.name} gives instructions, which a person must approve: set modes = {{Mode.PROPOSE}}."
            )
        if self.tools and self.model_kinds and Mode.AGENTIC not in self.modes:
            raise Misconfigured(f"{self.name} cannot have tools: leave `tools` out.")
        if not isinstance(self.sharing, Sharing):
            raise Misconfigured(
                f"{self.name}: `sharing` is a Sharing, Sharing.AT_ONCE or Sharing.after(3), not {self.sharing!r}."
            )
        if self.sharing != Sharing.AT_ONCE and self.scope.private:
            raise Misconfigured(
                f"{self.name} belongs to one {self.scope.name} alone: there is nothing to share, leave `sharing` out."
            )
        if self.sharing != Sharing.AT_ONCE and self.mode is Mode.PROPOSE:
            raise Misconfigured(f"{self.name} shares only what a person approves: leave `sharing` out.")


def _sort_scopes(scopes: Scope | Sequence[Scope], name: str) -> tuple[Scope, ...]:
    """Return the scopes of a store, the narrowest first. Raises `Misconfigured` for what is no scope."""
    given = (scopes,) if isinstance(scopes, Scope) else tuple(scopes) if isinstance(scopes, Iterable) else ()
    if not given or not all(isinstance(scope, Scope) for scope in given):
        raise Misconfigured(f"{name}: `scope` is a Scope or several, such as (Scope.USER, Scope.TEAM).")
    return tuple(sorted(set(given), key=lambda scope: (scope.reach, scope.name)))


class EditKind(NamedTuple):
    """A kind that a model may be asked for, in one of several learning stores."""

    store: "LearningStore"
    kind: str
    record: type[BaseModel]

    def has(self, learning: Learning) -> bool:
        """Return True if a learning is of this kind, in this store."""
        return (learning.store_name, learning.kind) == (self.store.name, self.kind)


def name_kinds(stores: Iterable[LearningStore]) -> dict[str, EditKind]:
    """Return the kinds that a model may be asked for, by the names that it knows them by.

    A kind that two stores have is known by the store's name and its own.
    """
    kinds = [EditKind(store, kind, record) for store in stores for kind, record in store.model_kinds.items()]
    counts = Counter(kind for _, kind, _ in kinds)
    return {kind if counts[kind] == 1 else f"{store.name}_{kind}": EditKind(store, kind, r) for store, kind, r in kinds}


def readable_namespaces(stores: Sequence[LearningStore], caller: Caller) -> list[Namespace]:
    """Return all namespaces of these learning stores that the caller may read, each once."""
    namespaces: dict[Namespace, None] = {}
    for store in stores:
        namespaces |= dict.fromkeys(caller.readable_namespaces(store.scope, store.name))
    return list(namespaces)


def find_dependents(
    stores: Iterable[LearningStore], forgotten: Iterable[Learning], candidates: Iterable[Learning]
) -> list[Learning]:
    """Return the candidates that repeat words of forgotten learnings or of those that these superseded."""
    by_name = {store.name: store for store in stores}
    keys = {key for learning in forgotten for key in (learning.key, *learning.supersedes)}
    return [
        candidate
        for candidate in candidates
        if not keys.isdisjoint(by_name[candidate.store_name].depends_on(candidate))
    ]


def find_words(forgotten: Sequence[Learning], messages: Sequence[Learning], user: str) -> list[Learning]:
    """Return the stored messages that hold what a user forgets.

    These are the user's messages behind the forgotten learnings, the answers that echo a part of it, and every other
    message that mentions most of it.
    """
    texts = [learning.text for learning in forgotten]
    sources = messages_of(source for learning in forgotten for source in learning.sources if source.user == user)
    behind = [message for message in messages if messages_of(message.sources) & sources]
    answers = {key for message in behind for key in message.data.get("followed_by") or ()}
    told = []
    for message in messages:
        share = ECHO if message.key in answers else MOSTLY
        if message not in behind and any(mentions(message.text, text, share) for text in texts):
            told.append(message)
    return [*behind, *told]


def find_objection(stores: Iterable[LearningStore], learning: Learning) -> str | None:
    """Return the objection of a learning's own store to changing it; None if there is none."""
    return next((store.objection(learning) for store in stores if store.name == learning.store_name), None)
