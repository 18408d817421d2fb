"""The conversations of a job: from the checkpoints of its thread, and from what the job carries."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from pydantic import ValidationError

from langgraph_learning.background.queue import Entry, JobArgs
from langgraph_learning.core.flow import Flow, invoke
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import ROOT, Caller, Scope, escape
from langgraph_learning.core.speakers import Arrivals, arrival_key, read_arrivals, read_times
from langgraph_learning.core.transcript import fingerprint_text, is_readable
from langgraph_learning.stores.base import Turn

THREADS_CHANNEL = "learning_threads"
"""Channel with the threads that had this state, the oldest first: a copy of a thread has the state of its original."""
MAX_THREADS = 5
"""How many of them are remembered."""
MAX_CHECKPOINTS = 200
"""How many checkpoints of a thread are looked at for a message that its newest one does not have."""


class ThreadRequest(NamedTuple):
    """A thread, and the ids of messages that are wanted of it."""

    thread: str
    ids: frozenset[str]


Values = Mapping[str, Any]
"""The channels of a checkpoint."""
Reader = Runnable[ThreadRequest, list[Values]]
"""Reads the newest state of a thread, and older ones as far as the newest one does not have the wanted messages."""


class CheckpointReader(Runnable[ThreadRequest, list[Values]]):
    """Reads the newest state of a thread, and older ones for messages that it lost: by a fork, or by a summary."""

    def __init__(self, checkpointer: BaseCheckpointSaver[Any]) -> None:
        self._checkpointer = checkpointer

    def invoke(self, input: ThreadRequest, config: RunnableConfig | None = None, **_: Any) -> list[Values]:
        """Read the states."""
        search = _StateSearch(input.ids)
        for number, found in enumerate(self._checkpointer.list(_thread_config(input.thread))):
            if search.take(found) or number == MAX_CHECKPOINTS:
                break
        return search.found

    async def ainvoke(self, input: ThreadRequest, config: RunnableConfig | None = None, **_: Any) -> list[Values]:
        """Read the states asynchronously."""
        search, number = _StateSearch(input.ids), 0
        async for found in self._checkpointer.alist(_thread_config(input.thread)):
            number += 1
            if search.take(found) or number == MAX_CHECKPOINTS:
                break
        return search.found


class _StateSearch:
    """The states of a thread that together have some messages, looked for from the newest one on."""

    def __init__(self, ids: frozenset[str]) -> None:
        self._missing = set(ids)
        self.found: list[Values] = []

    def take(self, checkpoint: CheckpointTuple) -> bool:
        """Take a checkpoint if it has a message that is missing, or if it is the newest; return True at the end."""
        values = checkpoint.checkpoint["channel_values"]
        present = {message.id for message in values.get("messages") or ()}
        if not self.found or present & self._missing:
            self.found.append(values)
            self._missing -= present
        return not self._missing


class Conversation(NamedTuple):
    """Messages to learn from, and what the thread knows of them."""

    messages: tuple[AnyMessage, ...]
    session: tuple[Learning, ...]
    arrivals: Arrivals
    originals: tuple[str, ...] = ()

    def turn(self, caller: Caller, entry: Entry) -> Turn:
        """Return the conversation as a turn of a caller, held when the newest run of a job was."""
        caller = replace(caller, now=entry.said_at)
        return Turn(caller, self.messages, entry.at, entry.run, self.session, self.arrivals, self.originals)


def read_conversations(args: JobArgs, reader: Reader | None) -> Flow[list[Conversation]]:
    """Return what a job has to learn from, oldest first."""
    entries = sorted(args.entries.values(), key=lambda entry: entry.at)
    conversations = list(_whole_conversations([entry for entry in entries if entry.whole], args.caller))
    partial = [entry for entry in entries if not entry.whole]
    if not partial:
        return conversations
    carried = [message for entry in partial for message in entry.read_messages()]
    states: list[Values] = []
    if reader and args.thread:
        ids = frozenset(message.id for message in carried if message.id)
        states = yield from invoke(reader, ThreadRequest(args.thread, ids))
    return [*conversations, *_join(states, carried, partial, args.caller)]


def _whole_conversations(entries: Sequence[Entry], caller: Caller) -> Iterator[Conversation]:
    """Yield conversations that were carried whole, without those that a later one goes on with."""
    texts = [_texts(entry.read_messages()) for entry in entries]
    for number, entry in enumerate(entries):
        own = texts[number]
        if not any(later[: len(own)] == own for later in texts[number + 1 :]):
            session = read_session(entry.session, caller)
            yield Conversation(tuple(entry.read_messages()), session, entry.arrivals, entry.originals)


def _join(
    states: Sequence[Values], carried: Sequence[AnyMessage], entries: Sequence[Entry], caller: Caller
) -> Iterator[Conversation]:
    """Yield the states of a thread, oldest first; the newest one with what a job carries and no state has."""
    found = {message.id for values in states for message in values.get("messages") or ()}
    missing = {message.id: message for message in carried if message.id not in found}.values()
    for values in reversed(states):
        known_to_runs = _until_later_run(values.get("messages") or (), entries)
        messages = (*known_to_runs, *(missing if values is states[0] else ()))
        session = read_session(values.get("learning_session"), caller)
        yield Conversation(messages, session, _join_arrivals(values, entries), entries[-1].originals)
    if not states:
        session = read_session(entries[-1].session, caller)
        yield Conversation(tuple(missing), session, _join_arrivals({}, entries), entries[-1].originals)


def _until_later_run(messages: Sequence[AnyMessage], entries: Sequence[Entry]) -> Sequence[AnyMessage]:
    """Return the messages before the first one that came in after the runs of a job: they are in another job."""
    seen = {key for entry in entries for key in entry.seen}
    for number, message in enumerate(messages):
        if isinstance(message, HumanMessage) and is_readable(message) and arrival_key(message) not in seen:
            return messages[:number]
    return messages


def _join_arrivals(values: Values, entries: Sequence[Entry]) -> Arrivals:
    """Return how messages came into a thread, as its state and its runs know. What came in later is nobody's yet."""
    known, times = read_arrivals(values.get("learning_speakers")), read_times(values.get("learning_times"))
    users, latest = dict(known), frozenset[str]()
    present: frozenset[str] | None = frozenset(known)
    for entry in entries:
        users |= entry.speakers
        latest |= entry.arrivals.latest
        seen = entry.arrivals.present
        present = None if seen is None or present is None else present | seen
        times |= entry.times
    return Arrivals(users, latest, present, times)


def _texts(messages: Sequence[AnyMessage]) -> list[tuple[str, str]]:
    return [(message.type, fingerprint_text(message)) for message in messages]


def read_session(values: object, caller: Caller) -> tuple[Learning, ...]:
    """Return the session of a thread as its state holds it.

    A client can write into the state, so only sessions count, and only those of the caller's tenant. A copy of a
    thread has the session of the original.
    """
    session = []
    for value in values if isinstance(values, list) else []:
        try:
            learning = Learning.model_validate(value)
        except ValidationError:
            continue
        if learning.namespace[:3] == (ROOT, escape(caller.tenant), escape(Scope.THREAD.name)):
            session.append(learning)
    return tuple(session)


def read_originals(values: object, caller: Caller) -> tuple[str, ...]:
    """Return the threads of which the caller's is a copy, as its state names them.

    A client can name any: only what the caller read in them counts.
    """
    names = values if isinstance(values, list) else []
    return tuple(name for name in names if isinstance(name, str) and name and name != caller.thread)


def name_threads(values: object, caller: Caller) -> list[str]:
    """Return the threads that had this state, with the caller's."""
    return [*read_originals(values, caller), *filter(None, [caller.thread])][-MAX_THREADS:]


def _thread_config(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
