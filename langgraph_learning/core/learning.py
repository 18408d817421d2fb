"""Learning, the value of one item in the store, with its status, sources, review decisions and votes."""

import json
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import uuid4

from langgraph.store.base import Item, PutOp
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from langgraph_learning.core.keys import fingerprint
from langgraph_learning.core.policy import Standing
from langgraph_learning.core.scopes import ItemRef, Namespace, Scope, unescape

SHAPE_VERSION = 1
"""Version of the fields of `Learning`, written into every item."""

PRIOR_VOTES = 3
"""Votes for each side that are added to those of every learning, so that one vote alone changes little."""

CURATOR = "curator"
"""Actor recorded in the change log for changes made by curation."""
ACTIVATING_VERDICTS = ("approved", "promoted", "rolled back")
"""Verdicts that make a learning active."""
DEACTIVATING_VERDICTS = ("ended", "demoted")
"""Verdicts that retire a learning."""

FIRST_SOURCES = 5
LATEST_SOURCES = 15
"""How many sources of a learning are kept as they are: the first ones and the latest ones."""
JOINED_SOURCES = 100
"""How many speakers of the others are kept."""
JOINED_THREADS = 500
"""How many threads of the others are kept: in these, whatever repeats a forgotten learning is found."""
SEVERAL_PEOPLE = "several people"
"""Replaces the user in a source that stands for several, so that it names none of them."""

Channel = Literal["user", "agent", "tool", "person", "import"]

log = logging.getLogger(__name__)


class Status(StrEnum):
    """Status of a learning. Only active learnings are recalled."""

    ACTIVE = "active"
    PROPOSED = "proposed"
    """Waits for approval."""
    SUPERSEDED = "superseded"
    """Replaced by a later learning; kept as history."""
    REJECTED = "rejected"
    """Ended, undone or refused by a reviewer; kept so that it is not learnt again. What a user forgets is deleted."""
    ARCHIVED = "archived"
    """Set aside by curation as unused or harmful; kept as history, and learnt again if somebody says it again."""


class Source(BaseModel):
    """Provenance of a learning: the messages it rests on.

    Where a learning is said very often, one source stands for several, of which speaker and threads alone are kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    channel: Channel
    """Kind of speaker. Code decides it from the message's role, never a model."""
    user: str
    """The user in whose turn it was said."""
    thread: str | None = None
    run: str | None = None
    messages: tuple[str, ...] = ()
    """Ids of the messages."""
    threads: tuple[str, ...] = ()
    """The threads of the sources that it stands for."""
    times: int = 1
    """How many sources it stands for."""

    @property
    def is_joined(self) -> bool:
        """True if it stands for others."""
        return self.times > 1 or bool(self.threads)

    @property
    def all_threads(self) -> tuple[str, ...]:
        """Every thread in which it was said."""
        return (*self.threads, *([self.thread] if self.thread else []))

    def outside(self, user: str, thread: str | None) -> "Source | None":
        """Return what is left of it without a user's turns in a thread; None if nothing is."""
        if user != self.user or not (thread in self.threads or (thread == self.thread and not self.is_joined)):
            return self
        left = tuple(other for other in self.threads if other != thread)
        return self.model_copy(update={"threads": left, "times": max(len(left), self.times - 1)}) if left else None

    @model_serializer(mode="wrap")
    def _leave_out_what_is_not_kept(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        value: dict[str, Any] = dump(self)
        left_out = ("thread", "run", "messages") if self.is_joined else ("threads", "times")
        return {name: part for name, part in value.items() if name not in left_out}


def bound_sources(sources: Iterable[Source]) -> tuple[Source, ...]:
    """Return the first sources and the latest ones as they are, and those between them joined by speaker.

    Who said it, in which threads and how often stays known; of very many users or threads, of the latest.
    """
    given = tuple(sources)
    single = [source for source in given if not source.is_joined]
    between = single[FIRST_SOURCES:-LATEST_SOURCES]
    if not between:
        return given
    joined = _join_by_speaker([*(source for source in given if source.is_joined), *between])
    return (*single[:FIRST_SOURCES], *joined, *single[-LATEST_SOURCES:])


def _join_by_speaker(sources: Iterable[Source]) -> list[Source]:
    """Return one source for each channel and user, the latest last."""
    groups: dict[tuple[Channel, str], list[Source]] = {}
    for source in sources:
        speaker = source.channel, source.user
        groups[speaker] = [*groups.pop(speaker, ()), source]
    for channel, user in list(groups)[:-JOINED_SOURCES]:
        oldest = groups.pop((channel, user))
        groups[channel, SEVERAL_PEOPLE] = [*groups.get((channel, SEVERAL_PEOPLE), ()), *oldest]
    joined: list[Source] = []
    room = JOINED_THREADS
    for (channel, user), group in reversed(groups.items()):
        threads = tuple(dict.fromkeys(thread for source in group for thread in source.all_threads))
        threads = threads[max(0, len(threads) - room) :]
        room -= len(threads)
        times = sum(source.times for source in group)
        joined.append(Source(channel=channel, user=user, threads=threads, times=times))
    return joined[::-1]


def count_sources(sources: Iterable[Source]) -> int:
    """Return how many sources these are, with those that some stand for."""
    return sum(source.times for source in sources)


MessageRef = tuple[str | None, str]
"""A message, as its thread and id."""


def messages_of(sources: Iterable[Source]) -> set[MessageRef]:
    """Return the messages of these sources, each as its thread and id."""
    return {(source.thread, message) for source in sources for message in source.messages}


class ReviewDecision(BaseModel):
    """A decision about a learning: who made it, when and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str
    """The reviewer, or "sharing" if the sharing policy of a learning store decided."""
    at: datetime
    verdict: Literal["approved", "rejected", "promoted", "demoted", "ended", "rolled back", "kept"]
    """"ended": it was replaced, or a person approved its retirement; "rolled back": it is active again; "kept": a
    person undid a change by curation, which curation does not repeat."""
    why: str | None = None


class Votes(BaseModel):
    """Votes on the answers that had a learning in their context."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    helped: int = 0
    harmed: int = 0

    @property
    def share(self) -> float:
        """Estimated share of answers that it helped: the mean of a Beta distribution with `PRIOR_VOTES` a side."""
        return (self.helped + PRIOR_VOTES) / (self.helped + self.harmed + 2 * PRIOR_VOTES)

    def weight(self, usual: float) -> float:
        """Return the factor by which votes change the relevance of a learning; `usual` is the share among its rivals.

        1 without votes, or if it helps as often as its rivals; always between 0 and 2. A new learning is therefore no
        worse off than one with many votes, most of which are good. The formula is `share` with `usual` as the mean of
        the prior, plus 1 - `usual`.
        """
        total = self.helped + self.harmed
        return 1 - usual + (self.helped + 2 * PRIOR_VOTES * usual) / (total + 2 * PRIOR_VOTES)


def add_votes(votes: Iterable[Votes]) -> Votes:
    """Return the sum of several learnings' votes."""
    helped = harmed = 0
    for each in votes:
        helped += each.helped
        harmed += each.harmed
    return Votes(helped=helped, harmed=harmed)


class Learning(BaseModel):
    """One thing learnt. Frozen: change it with `model_copy` and put it again."""

    model_config = ConfigDict(frozen=True)

    namespace: Namespace
    key: str
    kind: str
    """Kind of the record in `data`."""
    text: str
    """The text that is embedded, searched and shown."""
    data: Mapping[str, Any]
    cues: tuple[str, ...] = ()
    """Situations in which somebody should be reminded of it. They are embedded and searched, and shown nowhere."""
    standing: Standing = Standing.NO
    """How its record stands. It counts only for what a user said or a person approved."""
    status: Status = Status.ACTIVE
    sources: tuple[Source, ...] = ()
    learned_at: datetime
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    supersedes: tuple[str, ...] = ()
    derived_from: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    """Keys of learnings that said the same and were merged into it: their votes count here."""
    quote: str | None = None
    """The message that it rests on, kept for reviewers while it is proposed."""
    base: Mapping[str, str] = Field(default_factory=dict)
    """Key and digest of each learning that a proposal would change, as of the time of the proposal."""
    audience: str | None = None
    """Name of the scope for which a private learning was meant, where it has to be approved or said by others first."""
    corrects: str | None = None
    """Key of the learning there that it is to replace then."""
    retires: str | None = None
    """Key of the learning that a proposal asks to forget."""
    supporters: tuple[str, ...] = ()
    """Hashes of the users who said it, while it waits for more of them."""
    decisions: tuple[ReviewDecision, ...] = ()
    """Decisions about it, oldest first."""
    votes: Votes = Votes()
    """The sum of its votes, each of which is an item of its own."""
    step: str | None = None
    """Id of everything that was written in the same step, so that it can be undone together."""
    score: float | None = None
    """The store's own score for the query that found it. Not stored."""
    relevance: float | None = None
    """How much it has to do with the question that found it, from 0 to 1. None: the store has no scores. Not stored."""
    known: str | None = None
    """Its digest when it was read from the store. Not stored."""

    @property
    def scope(self) -> Scope:
        """Scope of the namespace."""
        return Scope(unescape(self.namespace[2]))

    @property
    def owner(self) -> str:
        """Owner within the scope."""
        return unescape(self.namespace[3])

    @classmethod
    def read(cls, item: Item) -> "Learning | None":
        """Return the learning of an item; None, with a warning in the log, if the value does not fit."""
        value = {name: field for name, field in item.value.items() if name not in ("version", "relevance")}
        address = {"namespace": item.namespace, "key": item.key, "score": getattr(item, "score", None)}
        try:
            learning = cls.model_validate({**value, **address})
        except ValidationError as error:
            invalid = sorted({".".join(map(str, detail["loc"])) for detail in error.errors(include_url=False)})
            log.warning(
                "Skipped %s %s, which is not a learning: invalid %s", item.namespace, item.key, ", ".join(invalid)
            )
            return None
        return learning.model_copy(update={"known": learning.digest()})

    def put(self) -> PutOp:
        """Return the operation that writes it. Text and cues are embedded, and only if the learning is active."""
        bounded = self.model_copy(update={"sources": bound_sources(self.sources)})
        value = bounded.model_dump(mode="json", exclude={"namespace", "key", "score", "relevance", "known"})
        texts = ["text", "cues[*]"] if self.cues else ["text"]
        index: list[str] | Literal[False] = texts if self.status is Status.ACTIVE else False
        return PutOp(self.namespace, self.key, {"version": SHAPE_VERSION, **value}, index)

    @property
    def store_name(self) -> str:
        """Name of its learning store."""
        return self.namespace[-1]

    @property
    def ref(self) -> ItemRef:
        """Namespace and key, which no two learnings share."""
        return self.namespace, self.key

    @property
    def is_pinned(self) -> bool:
        """True if a person undid a change by curation, so that curation leaves it alone."""
        return bool(self.decisions) and self.decisions[-1].verdict == "kept"

    @property
    def is_approved(self) -> bool:
        """True if the last decision made it active."""
        return bool(self.decisions) and self.decisions[-1].verdict in ACTIVATING_VERDICTS

    def digest(self) -> str:
        """Return a fingerprint of status, text and data: what an approval must find unchanged."""
        return fingerprint(json.dumps([self.status, self.text, dict(self.data)], sort_keys=True, default=str))

    def is_valid(self, now: datetime) -> bool:
        """Return True if this moment is within the time for which it is valid."""
        return (self.valid_from is None or self.valid_from <= now) and (self.valid_to is None or now < self.valid_to)

    def is_active(self, now: datetime) -> bool:
        """Return True if it is active and valid at this moment, so that it may be shown."""
        return self.status is Status.ACTIVE and self.is_valid(now)


def read_learnings(items: Iterable[Item], namespaces: Iterable[Namespace]) -> list[Learning]:
    """Return the learnings among the items whose namespace is exactly one of these."""
    # A prefix search may return neighbours: LangGraph's PostgresStore once took ("foo",) for the start of ("foobar",).
    allowed = set(namespaces)
    found = (Learning.read(item) for item in items if item.namespace in allowed)
    return [learning for learning in found if learning is not None]


def with_step_id(learnings: Iterable[Learning]) -> list[Learning]:
    """Return learnings with the same new step id, to be written and undone together."""
    step = uuid4().hex
    return [learning.model_copy(update={"step": step}) for learning in learnings]
