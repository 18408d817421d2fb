"""A learning: one thing learnt, one item in the store."""

import json
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal
from uuid import uuid4

from langgraph.store.base import Item, PutOp
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from langgraph_learning.core.keys import fingerprint
from langgraph_learning.core.scopes import ItemRef, Namespace, Scope, unescape

SHAPE_VERSION = 1
"""The version of the shape below, written into every item."""

PRIOR_VOTES = 3
"""How many votes for either side every learning is taken to have had: so that one voice does not bury a good one."""

CURATOR = "curator"
"""Stands for the user in the log of changes where curation changed something."""
ACTIVATING_VERDICTS = ("approved", "promoted", "rolled back")
"""Decisions by which something counts from then on."""
DEACTIVATING_VERDICTS = ("ended", "demoted")
"""Decisions by which something counts no longer."""

Channel = Literal["user", "agent", "tool", "person", "import"]

log = logging.getLogger(__name__)


class Status(StrEnum):
    """Whether a learning counts."""

    ACTIVE = "active"
    PROPOSED = "proposed"
    """Waits for a person; recalled for nobody."""
    SUPERSEDED = "superseded"
    """A later learning took its place; kept as history."""
    REJECTED = "rejected"
    """Somebody asked to forget it, or a reviewer refused it: it is not learnt again."""
    ARCHIVED = "archived"
    """Curation put it away, for it was of no use or did harm; kept as history, and learnt again if said again."""


class Source(BaseModel):
    """What a learning rests on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channel: Channel
    """Who said it. Decided by code from the message's role, never by a model."""
    user: str
    """Whose turn it was."""
    thread: str | None = None
    run: str | None = None
    messages: tuple[str, ...] = ()
    """Ids of the messages."""


def messages_of(sources: Iterable[Source]) -> set[tuple[str | None, str]]:
    """Return the messages that are among these sources, each by its thread and id."""
    return {(source.thread, message) for source in sources for message in source.messages}


class ReviewDecision(BaseModel):
    """What was decided about a learning: by whom, when and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str
    """The reviewer, or "sharing" where the policy of a learning store decided."""
    at: datetime
    verdict: Literal["approved", "rejected", "promoted", "demoted", "ended", "rolled back", "kept"]
    """"ended": another took its place, or a person approved that it be forgotten; "rolled back": it counts again;
    "kept": somebody took back what curation had done, which is not done again."""
    why: str | None = None


class Votes(BaseModel):
    """How answers turned out that had a learning in their context, as far as somebody said so."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    helped: int = 0
    harmed: int = 0

    @property
    def share(self) -> float:
        """The share that helped, as far as so few votes can say: the mean of a Beta distribution with a prior."""
        return (self.helped + PRIOR_VOTES) / (self.helped + self.harmed + 2 * PRIOR_VOTES)

    def weight(self, usual: float) -> float:
        """Return how much a learning counts in ranking beside others of which this share usually helps.

        1 without votes, or if it helps as often as the others do; more than 0 and less than 2. So what is new is not
        worse off than what is old and has been voted on ever since: most answers are good. It is `share` with `usual`
        for the mean of the prior.
        """
        votes = self.helped + self.harmed
        return 1 - usual + (self.helped + 2 * PRIOR_VOTES * usual) / (votes + 2 * PRIOR_VOTES)


def add_votes(each: Iterable[Votes]) -> Votes:
    """Return the votes on several learnings together."""
    votes = list(each)
    return Votes(helped=sum(one.helped for one in votes), harmed=sum(one.harmed for one in votes))


class Learning(BaseModel):
    """One thing learnt. Frozen: change it by `model_copy` and put it again."""

    model_config = ConfigDict(frozen=True)

    namespace: Namespace
    key: str
    kind: str
    """Which record `data` holds."""
    text: str
    """What is embedded, searched and shown."""
    data: Mapping[str, Any]
    status: Status = Status.ACTIVE
    sources: tuple[Source, ...] = ()
    learned_at: datetime
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    supersedes: tuple[str, ...] = ()
    derived_from: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()
    """Keys of those that said the same and went into it: their votes count here."""
    quote: str | None = None
    """The message that it rests on, kept while it is proposed so that a reviewer can see it."""
    base: Mapping[str, str] = Field(default_factory=dict)
    """What a proposal would change: key and digest, as it was when it was proposed."""
    retires: str | None = None
    """Key of what a proposal asks to forget."""
    supporters: tuple[str, ...] = ()
    """Marks of the users who said it, while it waits for more of them; a mark names nobody."""
    decisions: tuple[ReviewDecision, ...] = ()
    """What was decided about it, oldest first."""
    votes: Votes = Votes()
    """The sum of its votes, each of which is an item of its own."""
    step: str | None = None
    """A mark of all that was written together, by which it can be undone together."""
    score: float | None = None
    """How near it is to the question that found it. Not stored."""
    known: str | None = None
    """Its digest when it was read from a store, where it may have changed since. Not stored."""

    @property
    def scope(self) -> Scope:
        """Whom it belongs to."""
        return Scope(unescape(self.namespace[2]))

    @property
    def owner(self) -> str:
        """The owner within the scope."""
        return unescape(self.namespace[3])

    @classmethod
    def read(cls, item: Item) -> "Learning | None":
        """Return the learning that an item holds, or None if the item is not of the shape we write."""
        value = {key: part for key, part in item.value.items() if key != "version"}
        found = {"namespace": item.namespace, "key": item.key, "score": getattr(item, "score", None)}
        try:
            learning = cls.model_validate({**value, **found})
        except ValidationError as error:
            wrong = ", ".join(sorted({".".join(map(str, part["loc"])) for part in error.errors(include_url=False)}))
            log.warning("Skipped %s %s: it is not a learning (see %s)", "/".join(item.namespace), item.key, wrong)
            return None
        return learning.model_copy(update={"known": learning.digest()})

    def put(self) -> PutOp:
        """Return the operation that writes it. Only the text is embedded, and only while it counts."""
        value = self.model_dump(mode="json", exclude={"namespace", "key", "score", "known"})
        counts = self.status is Status.ACTIVE
        return PutOp(self.namespace, self.key, {"version": SHAPE_VERSION, **value}, ["text"] if counts else False)

    @property
    def store_name(self) -> str:
        """The name of the learning store that keeps it."""
        return self.namespace[-1]

    @property
    def ref(self) -> ItemRef:
        """Where it lies: no two learnings share it."""
        return self.namespace, self.key

    @property
    def is_pinned(self) -> bool:
        """Whether somebody wants it left as it is."""
        return bool(self.decisions) and self.decisions[-1].verdict == "kept"

    @property
    def is_approved(self) -> bool:
        """Whether the last decision about it was that it counts."""
        return bool(self.decisions) and self.decisions[-1].verdict in ACTIVATING_VERDICTS

    def digest(self) -> str:
        """Return a fingerprint of status, text and data: what an approval must find unchanged."""
        return fingerprint(json.dumps([self.status, self.text, dict(self.data)], sort_keys=True, default=str))

    def is_valid(self, now: datetime) -> bool:
        """Whether it holds at this moment."""
        return (self.valid_from is None or self.valid_from <= now) and (self.valid_to is None or now < self.valid_to)

    def is_active(self, now: datetime) -> bool:
        """Whether it may be shown at this moment."""
        return self.status is Status.ACTIVE and self.is_valid(now)


def read_learnings(items: Iterable[Item], namespaces: Iterable[Namespace]) -> list[Learning]:
    """Return the learnings among the items that lie in exactly these namespaces."""
    # A prefix search may return neighbours: LangGraph's PostgresStore once took ("foo",) for the start of ("foobar",).
    allowed = set(namespaces)
    found = (Learning.read(item) for item in items if item.namespace in allowed)
    return [learning for learning in found if learning is not None]


def with_step_id(learnings: Iterable[Learning]) -> list[Learning]:
    """Return learnings with one mark, to be written together."""
    step = uuid4().hex
    return [learning.model_copy(update={"step": step}) for learning in learnings]
