"""A learning store: one kind of learning, how it is found, shown and kept."""

import inspect
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, NamedTuple

from langchain_core.messages import AnyMessage
from langgraph.store.base import Item, SearchOp
from pydantic import BaseModel, ValidationError

from langgraph_learning.core.flow import Flow, search
from langgraph_learning.core.keys import RESERVED_NAMES
from langgraph_learning.core.learning import Learning, Status, add_votes, read_learnings
from langgraph_learning.core.policy import Mode, Sharing
from langgraph_learning.core.records import Edit, has_identity, identity_of, kind_of, link_snapshot_fields, record_text
from langgraph_learning.core.scopes import Caller, Namespace, Scope
from langgraph_learning.core.text import normalize
from langgraph_learning.core.transcript import Line
from langgraph_learning.errors import Misconfigured
from langgraph_learning.stores.ranking import OVERFETCH, ranking_key
from langgraph_learning.stores.rendering import load_prompt, render_bullet


@dataclass(frozen=True)
class Request:
    """What is recalled for: who asks what, when, and where in the thread."""

    caller: Caller
    query: str
    now: datetime
    branch: tuple[str, ...] = ()
    """Ids of the messages in this branch of the thread, oldest first."""
    session: tuple[Learning, ...] = ()
    """What the thread's own state holds already: older messages may be gone from the branch."""
    learning: bool = False
    """True while an extraction asks what is known already; then only what could be edited is of use."""


@dataclass(frozen=True)
class Turn:
    """What is learnt from: a conversation, and the answer that it just got."""

    caller: Caller
    messages: tuple[AnyMessage, ...]
    now: datetime
    run: str | None = None
    session: tuple[Learning, ...] = ()


class Note(NamedTuple):
    """A record that code makes of a message, without a model."""

    record: BaseModel
    line: Line


class LearningStore:
    """One kind of learning. A store of one's own is a record, a name and a scope.

    Subclass it to change how things are found (`recall`), shown (`build_context`) or kept (`process`); each of the
    three may be plain, async or a flow. The words the model reads stand in a Markdown file beside the subclass's
    module, or in the subclass's docstring where there is no such file.
    """

    name: str = ""
    """Names the kind in namespaces and in the context; letters, digits and underscores."""
    scope: Scope = Scope.USER
    mode: Mode = Mode.BACKGROUND
    sharing: Sharing = Sharing.AT_ONCE
    """When a user's own words count for others, where the scope is shared."""
    records: tuple[type[BaseModel], ...] = ()
    """What a model may be asked for."""
    observed_records: tuple[type[BaseModel], ...] = ()
    """What code alone makes, in `observe`."""
    kinds: Mapping[str, type[BaseModel]]
    """All records by their kind."""
    asked: Mapping[str, type[BaseModel]]
    """Those of them that a model may be asked for."""
    title: str = ""
    """The heading over what is shown to the agent."""
    limit: int = 10
    """How many learnings are shown at most."""
    keep: timedelta | None = None
    """For how long a learning counts; None: until something takes its place."""
    stable: bool = False
    """True: everything known is shown whatever was asked, so that prompt caches hold. False: what is near to it."""
    tools: bool = False
    """Whether the agent gets tools to search, save and forget here, beside what the mode does. AGENTIC implies it."""
    modes: ClassVar[frozenset[Mode]] = frozenset(Mode)
    """The modes this store can have."""

    instructs: ClassVar[bool] = False
    """Whether what it shows are instructions instead of data. Only for a store in which nothing counts unapproved."""

    def __init__(
        self,
        *,
        name: str | None = None,
        scope: Scope | None = None,
        record: type[BaseModel] | None = None,
        mode: Mode | None = None,
        tools: bool | None = None,
        limit: int | None = None,
        instructions: str | None = None,
        sharing: Sharing | None = None,
        keep: timedelta | None = None,
    ) -> None:
        """Set what differs from the class. Raises `Misconfigured` for what cannot work."""
        self.name = name or self.name
        self.scope = scope or self.scope
        self.mode = mode or self.mode
        self.tools = self.mode is Mode.AGENTIC or (self.tools if tools is None else tools)
        self.sharing = sharing or self.sharing
        self.records = (record,) if record else self.records
        self.asked = {kind_of(record): record for record in self.records}
        self.kinds = {**self.asked, **{kind_of(record): record for record in self.observed_records}}
        self.limit = limit or self.limit
        self.keep = self.keep if keep is None else keep
        self.title = self.title or self.name.replace("_", " ").capitalize()
        self.instructions = instructions or self._own_prompt() or self._default_instructions()
        self._check()

    @property
    def verbatim(self) -> bool:
        """Whether it holds what was said as it was said: nothing that a model was asked for."""
        return not self.asked

    def recall(self, asked: Request) -> Flow[list[Learning]] | list[Learning] | Awaitable[list[Learning]]:
        """Find what this caller may know, best first: what is near to the question, or all for a stable store."""
        return self._search(asked)

    def build_context(self, found: Sequence[Learning], asked: Request) -> Flow[str] | str | Awaitable[str]:
        """Render what was found as the lines the agent reads; nothing for nothing."""
        return "\n".join(render_bullet(learning, asked.caller) for learning in found)

    def process(
        self, edits: Sequence[Edit], known: Sequence[Learning]
    ) -> Flow[list[Learning]] | list[Learning] | Awaitable[list[Learning]]:
        """Turn edits into the learnings to write, each as it should be from now on.

        What is known already gains a source; what is about the same thing as something known takes its place;
        what is new is added; what is to be forgotten is rejected and stays, so that it is not learnt again.
        """
        written: dict[tuple[tuple[str, ...], str], Learning] = {}
        for edit in edits:
            view = {(learning.namespace, learning.key): learning for learning in known} | written
            for learning in self._apply(edit, list(view.values())):
                written[learning.namespace, learning.key] = learning
        return list(written.values())

    def observe(
        self, turn: Turn, new: Sequence[Line]
    ) -> Flow[Sequence[Note]] | Sequence[Note] | Awaitable[Sequence[Note]]:
        """Note what the messages that were not read yet teach without a model: nothing, for most."""
        return ()

    def failed(self, turn: Turn, error: Exception) -> Flow[Sequence[Note]] | Sequence[Note] | Awaitable[Sequence[Note]]:
        """Note what an error of the agent teaches, before it goes on to the caller: nothing, for most."""
        return ()

    def developer_learnings(self, now: datetime) -> list[Learning]:
        """Return what the developer wrote, which no run switches off: nothing, for most."""
        return []

    def vet(self, edit: Edit, links: Sequence[Learning]) -> Edit:
        """Return an edit as it may be carried out, seeing the learnings that it links to.

        Raises `InvalidEdit`, which the model is told, for one that this store does not take.
        """
        return edit

    def objection(self, learning: Learning) -> str | None:
        """Return why nobody may let this count, approve it or bring it back; None if one may."""
        return None

    def texts_to_replace(self, proposal: Learning, bases: Sequence[Learning]) -> tuple[str, ...]:
        """Return the texts that a proposal would take the place of, as a reviewer is shown them."""
        return () if proposal.retires else tuple(base.text for base in bases)

    def record_of(self, learning: Learning) -> BaseModel:
        """Return the record that a learning of this store holds."""
        return self.kinds[learning.kind].model_validate(dict(learning.data))

    def subject(self, learning: Learning) -> str:
        """Return what a learning is about: two with the same answer are one thing said twice, or said anew."""
        record = self.kinds.get(learning.kind)
        # Every learning found in every turn passes here: only a record that has a say is made of its data.
        try:
            identity = identity_of(self.record_of(learning)) if record and has_identity(record) else None
        except ValidationError:  # learnt when the record had other fields: then its text is all there is to go by
            identity = None
        return f"{learning.kind}:{identity or normalize(learning.text)}"

    def user_names(self, known: Iterable[Learning]) -> list[str]:
        """Return the names that the user goes by, where a store knows them: what holds one is not shared by itself."""
        return []

    def depends_on(self, learning: Learning) -> tuple[str, ...]:
        """Return the keys of the learnings that one keeps words of: it is forgotten with them."""
        record = self.kinds.get(learning.kind)
        return learning.derived_from if record and link_snapshot_fields(record) else ()

    def with_fields(self, learning: Learning, fields: Mapping[str, Any]) -> Learning:
        """Return a learning with other values for some fields of its record. Raises pydantic's `ValidationError`."""
        record = self.kinds[learning.kind].model_validate({**learning.data, **fields})
        return learning.model_copy(update={"data": record.model_dump(mode="json"), "text": record_text(record)})

    def _search(self, asked: Request) -> Flow[list[Learning]]:
        namespaces = list(asked.caller.readable_namespaces(self.scope, self.name))
        query = asked.query if asked.query and not self.stable else None
        fetch = self.limit * OVERFETCH
        active = {"status": Status.ACTIVE.value}
        found = yield from search(*(SearchOp(place, active, limit=fetch, query=query) for place in namespaces))
        return self.rank(found, namespaces, asked)

    def rank(self, items: Iterable[Item], namespaces: Sequence[tuple[str, ...]], asked: Request) -> list[Learning]:
        """Return the learnings worth showing: valid today, one about each thing, nearest or newest first."""
        found = [learning for learning in read_learnings(items, namespaces) if learning.is_valid(asked.now)]
        newest_first = sorted(found, key=lambda learning: (learning.learned_at, learning.key), reverse=True)
        narrowest_first = sorted(newest_first, key=lambda learning: not learning.scope.private)
        one_each = {self.subject(learning): learning for learning in reversed(narrowest_first)}
        usual = add_votes(one.votes for one in one_each.values()).share
        best = sorted(one_each.values(), key=lambda one: ranking_key(one, usual), reverse=True)[: self.limit]
        # What is always shown grows at its end, so that the prompt before it stays as it was.
        return sorted(best, key=lambda one: (one.learned_at, one.key)) if self.stable else best

    def _apply(self, edit: Edit, known: Sequence[Learning]) -> list[Learning]:
        if edit.record is None:
            return (
                [
                    edit.replaces.model_copy(
                        update={"status": Status.REJECTED, "valid_to": edit.at, **_with_source(edit)}
                    )
                ]
                if edit.replaces
                else []
            )
        new = edit.learning()
        about = self.subject(new)
        active = [
            one
            for one in known
            if one.status is Status.ACTIVE and one.namespace == new.namespace and one.key != new.key
        ]
        same = [learning for learning in active if self.subject(learning) == about]
        if repeated := next((one for one in same if normalize(one.text) == normalize(new.text)), None):
            again = {**_with_source(edit, repeated), "valid_to": edit.until or repeated.valid_to}
            return [] if edit.source in repeated.sources else [repeated.model_copy(update=again)]
        old = {
            one.key: one
            for one in (*same, *([edit.replaces] if edit.replaces else []))
            if one.namespace == new.namespace
        }
        retired = [one.model_copy(update={"status": Status.SUPERSEDED, "valid_to": edit.at}) for one in old.values()]
        return [*retired, new.model_copy(update={"supersedes": tuple(old)})]

    def _own_prompt(self) -> str:
        # A store made of LearningStore itself has no file and no docstring of its own.
        return load_prompt(type(self)) if type(self) is not LearningStore else ""

    def _default_instructions(self) -> str:
        return "\n\n".join(inspect.cleandoc(record.__doc__ or "") for record in self.records)

    def _check(self) -> None:
        if not self.name.isidentifier():
            raise Misconfigured(
                f"{type(self).__name__} needs a name of letters, digits and underscores, not {self.name!r}."
            )
        if not self.kinds:
            raise Misconfigured(f"{self.name} needs a record: a pydantic model of what is learnt.")
        if self.name in RESERVED_NAMES:
            raise Misconfigured(f"The name {self.name!r} is taken: give the store another one.")
        if self.keep is not None and not (isinstance(self.keep, timedelta) and self.keep > timedelta()):
            raise Misconfigured(f"{self.name}: `keep` is a timedelta above zero, not {self.keep!r}.")
        if self.mode not in self.modes:
            able = ", ".join(sorted(self.modes))
            raise Misconfigured(f"{self.name} cannot have the mode {self.mode.value!r}; it can have {able}.")
        if self.instructs and self.modes != {Mode.PROPOSE}:
            raise Misconfigured(
                f"{self.name} gives instructions: a person must approve them, modes = {{Mode.PROPOSE}}."
            )
        if self.tools and self.asked and Mode.AGENTIC not in self.modes:
            raise Misconfigured(f"{self.name} is nothing for tools: leave `tools` out.")
        if self.sharing != Sharing.AT_ONCE and self.scope.private:
            raise Misconfigured(f"{self.name} belongs to a {self.scope.name} alone, so there is nothing to share.")
        if self.sharing != Sharing.AT_ONCE and self.mode is Mode.PROPOSE:
            raise Misconfigured(f"{self.name} shares nothing without approval already: leave sharing out.")


def _with_source(edit: Edit, said: Learning | None = None) -> dict[str, Any]:
    """Return what changes in a learning that is said again or is to be forgotten: who asked, and by which words."""
    before = (said or edit.replaces or edit.learning()).sources
    return {"sources": (*before, edit.source), "quote": edit.quote}


def readable_namespaces(stores: Sequence[LearningStore], caller: Caller) -> list[Namespace]:
    """Return every namespace of these learning stores that the caller may read."""
    return list(
        dict.fromkeys(place for store in stores for place in caller.readable_namespaces(store.scope, store.name))
    )


def find_dependents(
    stores: Iterable[LearningStore], gone: Iterable[Learning], found: Iterable[Learning]
) -> list[Learning]:
    """Return which of the found learnings repeat words of those that are forgotten, or of what these replaced."""
    by_name = {store.name: store for store in stores}
    keys = {key for one in gone for key in (one.key, *one.supersedes)}
    return [one for one in found if not keys.isdisjoint(by_name[one.store_name].depends_on(one))]


def find_objection(stores: Iterable[LearningStore], learning: Learning) -> str | None:
    """Return why the store that keeps a learning lets nobody change it; None if one may."""
    return next((store.objection(learning) for store in stores if store.name == learning.store_name), None)
