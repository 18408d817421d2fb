"""Speakers: whose words the messages in the user's role are."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage
from langgraph.constants import START

from langgraph_learning.core.keys import fingerprint
from langgraph_learning.core.transcript import fingerprint_text, is_readable, parse_time


@dataclass(frozen=True)
class Origin:
    """The user's messages in the run around a nested one: only these are the user's in the nested run, too."""

    ids: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()

    def has(self, message: AnyMessage) -> bool:
        """Return True if a message was handed on from the run around, and not made there for an agent."""
        return message.id in self.ids or (message.text != "" and message.text in self.texts)


@dataclass(frozen=True)
class Arrivals:
    """How the messages in the user's role came into a thread, as far as its state tells."""

    users: Mapping[str, str | None] = field(default_factory=dict)
    """By fingerprint: the user with whose run a message came in; None if an agent made it."""
    latest: frozenset[str] = frozenset()
    """Fingerprints of the messages at the end of the run's input: they came in with this run."""
    present: frozenset[str] | None = None
    """Fingerprints of the messages at the start of the run: all others were made since. None: its start was not seen,
    because the run was resumed after an interrupt or has no step for recall."""
    times: Mapping[str, datetime] = field(default_factory=dict)
    """By fingerprint: when a message came in."""

    def time_of(self, message: AnyMessage) -> datetime | None:
        """Return when a message in the user's role came in, if that is known."""
        return self.times.get(arrival_key(message)) if self.times and isinstance(message, HumanMessage) else None

    @property
    def users_to_save(self) -> dict[str, str | None]:
        """The users by fingerprint, for the runs after this one.

        Without an id, the same words of two people look alike, so only this run can tell them apart.
        """
        return {key: by for key, by in self.users.items() if _id_part(key)}

    @property
    def times_to_save(self) -> dict[str, str]:
        """The times by fingerprint, for the runs after this one."""
        return {key: time.isoformat() for key, time in self.times.items() if _id_part(key)}

    def names_others(self, user: str) -> bool:
        """Return True if messages came in with the runs of other users."""
        return any(other not in (None, user) for other in self.users.values())


def record_arrivals(
    messages: Sequence[AnyMessage],
    user: str,
    now: datetime,
    known: Mapping[str, str | None],
    times: Mapping[str, datetime],
    origin: Origin | None,
) -> Arrivals:
    """Return how the messages at the start of a user's run came in.

    now: when the user speaks.
    known, times: the same from the runs before, by fingerprint; empty if the thread keeps no state.
    origin: the user's messages in the run around this one, if it is nested.
    """
    humans = [(message, arrival_key(message)) for message in messages if _is_human(message)]
    latest = frozenset(map(arrival_key, find_latest(messages)))
    known_ids = {_id_part(key) for key in known}
    users: dict[str, str | None] = {}
    for message, key in humans:
        if key in known:
            users[key] = known[key]
        elif origin is not None and not origin.has(message):
            users[key] = None
        elif key in latest or (message.id and _id_part(key) in known_ids):  # new, or edited since
            users[key] = user
        elif known:
            users[key] = None  # a node made it in an earlier run
    present = frozenset(key for _, key in humans)
    came_in = {key: times.get(key, now) for key in present if key in times or (key in latest and key not in known)}
    return Arrivals(users, latest, present, came_in)


def find_latest(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Return the last message in the user's role, and those directly before it."""
    latest: list[AnyMessage] = []
    for message in reversed(messages):
        if _is_human(message):
            latest.append(message)
        elif latest:
            break
    return latest


def arrival_key(message: AnyMessage) -> str:
    """Return the fingerprint by which a message and its text are recognised in the same thread."""
    text = fingerprint(fingerprint_text(message).encode("utf-8", "replace").decode())
    return f"{fingerprint(message.id) if message.id else ''}:{text}"


def names_another(message: AnyMessage, user: str) -> bool:
    """Return True if a message names another person than the user as its speaker.

    Providers allow letters, digits, `_` and `-` in a name, so other characters of an id may stand there as `_`.
    """
    return bool(message.name) and _plain_name(message.name or "") != _plain_name(user)


def _plain_name(name: str) -> str:
    return re.sub(r"[^\w-]", "_", name.strip()).casefold()


def _is_human(message: AnyMessage) -> bool:
    return isinstance(message, HumanMessage) and is_readable(message)


def _id_part(key: str) -> str:
    return key.partition(":")[0]


def read_arrivals(value: object) -> dict[str, str | None]:
    """Return the users by fingerprint that a thread's state holds; nothing for any other value."""
    if not isinstance(value, Mapping):
        return {}
    return {key: by for key, by in value.items() if isinstance(key, str) and isinstance(by, str | None)}


def read_times(value: object) -> dict[str, datetime]:
    """Return the times by fingerprint that a thread's state holds; nothing for any other value."""
    if not isinstance(value, Mapping):
        return {}
    times = {key: parse_time(time) for key, time in value.items() if isinstance(key, str)}
    return {key: time for key, time in times.items() if time is not None}


def find_origin(channels: Mapping[str, Any]) -> Origin:
    """Return the user's messages among the channels of a graph: in its lists of messages, and in the run's input."""
    messages: list[AnyMessage] = []
    for value in channels.values():
        parts = value if isinstance(value, list | tuple) else [value]
        messages += [part for part in parts if isinstance(part, HumanMessage)]
    texts = [message.text for message in messages] + list(_texts_in(channels.get(START)))
    return Origin(frozenset(message.id for message in messages if message.id), frozenset(texts))


def _texts_in(value: Any) -> Iterator[str]:
    """Yield the texts in a run's input, without those of messages in another role than the user's."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, HumanMessage):
        yield value.text
    elif isinstance(value, Mapping):
        if value.get("role", "user") in ("user", "human"):
            yield from (text for part in value.values() for text in _texts_in(part))
    elif isinstance(value, list | tuple) and value[:1] not in (("assistant",), ("ai",), ("system",), ("tool",)):
        yield from (text for part in value for text in _texts_in(part))
