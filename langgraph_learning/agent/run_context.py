"""The run in progress: its caller, thread, store, clock and stream."""

import contextlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Annotated, Any

from langchain_core.messages import AnyMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.runtime import Runtime, get_runtime
from langgraph.store.base import BaseStore
from typing_extensions import TypedDict  # pydantic, for the schema that Studio shows, asks for this one

from langgraph_learning.background.conversations import THREADS_CHANNEL, read_originals, read_session
from langgraph_learning.core.flow import WaitingTime, check_store
from langgraph_learning.core.langgraph_compat import is_part_of_tool, read_channel
from langgraph_learning.core.scopes import Caller, LearningContext, apply_authentication
from langgraph_learning.core.speakers import Arrivals, Origin, read_arrivals, read_times, record_arrivals
from langgraph_learning.core.transcript import ask, read_messages
from langgraph_learning.errors import Misconfigured, MissingOwner
from langgraph_learning.recall.injection import read_context
from langgraph_learning.recall.trial import current_trial
from langgraph_learning.stores.base import Request, Turn

ContextFrom = Callable[[Any], LearningContext] | Callable[[Any, RunnableConfig], LearningContext]
"""Makes a `LearningContext` of the agent's own context, and of the run's config if it takes two arguments."""
ContextReader = Callable[[Any, RunnableConfig], Any]
CONTEXT_KEYS: Any = TypedDict(  # type: ignore[misc]  # made at run time
    "LearningContext",
    {name: Annotated[field.annotation, field] for name, field in LearningContext.model_fields.items()},
    total=False,
)
"""The fields of a `LearningContext` as a schema of dicts, for agents without a context of their own.

LangGraph makes no object of a dict for it, so the agent's nodes find the dict with all its keys.
"""
TURN_CHANNEL = "learning_turn"
ORIGIN_CHANNEL = "learning_origin"
ARRIVALS_CHANNEL = "learning_speakers"
TIMES_CHANNEL = "learning_times"


@dataclass
class SeenMessages:
    """The messages of a thread during one turn, with those that something removed meanwhile, such as a summary."""

    messages: tuple[AnyMessage, ...] = ()

    def add(self, present: Sequence[AnyMessage]) -> tuple[AnyMessage, ...]:
        """Add the messages that the thread has now, each in its place; return all of them.

        A message that was seen before counts as it is now.
        """
        rest = {_identity(message): message for message in present}
        merged: list[AnyMessage] = []
        for message in self.messages:
            if _identity(message) not in rest:
                if _identity(message) not in map(_identity, merged):
                    merged.append(message)  # removed meanwhile
                continue
            for key in list(rest):
                merged.append(rest.pop(key))
                if key == _identity(message):
                    break
        self.messages = (*merged, *rest.values())
        return self.messages


def _identity(message: AnyMessage) -> str | int:
    return message.id or id(message)


@dataclass(frozen=True)
class TurnStart:
    """Caller and time of a turn: read once, and handed from step to step in a channel that is never saved."""

    caller: Caller
    now: datetime
    waiting: WaitingTime
    """What the steps of this turn have waited for the store, and may wait."""
    seen: SeenMessages = field(default_factory=SeenMessages)
    """The messages of the thread, with those that were removed from it during this turn."""
    arrivals: Arrivals | None = None
    """How the user's messages came in, as the step for recall saw it at the start of the run."""
    problems: list[str] = field(default_factory=list)
    """What failed in the middle of the turn, where the state cannot be changed; its last step reports it there."""


@dataclass(frozen=True)
class RunContext:
    """The facts about a run that the steps of the loop need."""

    start: TurnStart
    store: BaseStore
    config: RunnableConfig
    id: str | None
    emit: Callable[[Any], None]
    """Writes to the run's custom stream."""

    @property
    def caller(self) -> Caller:
        """The caller of the run."""
        return self.start.caller

    @property
    def now(self) -> datetime:
        """The time at which the turn began."""
        return self.start.now

    @classmethod
    def current(
        cls, default_store: BaseStore | None, context_from: ContextFrom | None, store_timeout: float | None
    ) -> "RunContext":
        """Return the run in progress.

        Raises `MissingOwner` or `NotAllowed` if the caller is not clear, `Misconfigured` if there is no store
        or something else in its place.
        """
        runtime, config = get_runtime(), get_config()
        store = runtime.store or default_store
        if store is None:
            raise Misconfigured(
                "There is no store to learn into: compile the graph with store=…, or give the machine one."
            )
        check_store(store)
        start = read_channel(config, TURN_CHANNEL)
        # A client can write anything into the state, but no object of ours. After an interrupt the channel is empty.
        if not isinstance(start, TurnStart):
            start = _start_turn(runtime, config, context_from, store_timeout)
        return cls(
            start=start,
            store=store,
            config=config,
            id=runtime.execution_info.run_id if runtime.execution_info else None,
            emit=lambda event: runtime.stream_writer({"learning": event}),
        )

    def at_present(self) -> "RunContext":
        """Return the run with the present time, for what happens in the middle of a turn."""
        return replace(self, start=replace(self.start, now=datetime.now(UTC)))

    def report(self, problem: str) -> None:
        """Report a problem to the stream at once, and to the state at the end of the turn."""
        self.start.problems.append(problem)
        self.emit({"learning_failed": problem})

    def see(self, state: Mapping[str, Any]) -> tuple[AnyMessage, ...]:
        """Return the messages of the thread during this turn, with those that were removed meanwhile."""
        value = state.get("messages")
        messages = read_messages(value)
        # Pairs and dicts become other messages each time, so none of them can be told to be missing.
        are_messages = value is not None and all(isinstance(message, BaseMessage) for message in value)
        return self.start.seen.add(messages) if are_messages else tuple(messages)

    def turn(self, state: Mapping[str, Any]) -> Turn:
        """Return the turn to learn from, with the messages that were removed from the thread since it began."""
        context = read_context(self.config)
        messages = context.strip(self.see(state)) if context else self.see(state)
        arrivals = self.start.arrivals or Arrivals(
            read_arrivals(state.get(ARRIVALS_CHANNEL)), times=read_times(state.get(TIMES_CHANNEL))
        )
        session = read_session(state.get("learning_session"), self.caller)
        originals = read_originals(state.get(THREADS_CHANNEL), self.caller)
        return Turn(self.caller, messages, self.now, self.id, session, arrivals, originals)

    def record_arrivals(self, state: Mapping[str, Any]) -> "RunContext":
        """Return the run with what its start tells about whose words the messages are."""
        origin = read_channel(self.config, ORIGIN_CHANNEL)
        if is_part_of_tool(self.config):
            origin = Origin()  # the run around has no user of its own, either
        known = read_arrivals(state.get(ARRIVALS_CHANNEL))
        around = origin if isinstance(origin, Origin) else None
        times = read_times(state.get(TIMES_CHANNEL))
        now = self.caller.present(self.now)
        arrivals = record_arrivals(read_messages(state.get("messages")), self.caller.user, now, known, times, around)
        return replace(self, start=replace(self.start, arrivals=arrivals))

    def request(self, state: Mapping[str, Any]) -> Request:
        """Return the request to recall for."""
        messages = read_messages(state.get("messages"))
        branch = tuple(message.id for message in messages if message.id)
        query = ask(messages)
        session = read_session(state.get("learning_session"), self.caller)
        return Request(
            self.caller,
            query.text,
            self.caller.present(self.now),
            branch,
            session,
            exchange=query.exchange,
            about_user=query.about_user,
        )


def is_authorized(permission: str) -> bool:
    """Return True if the server's authentication grants the user of this run a permission, or if there is no server."""
    server = get_runtime().server_info
    user = server.user if server else None
    return user is None or (permission in user and bool(user[permission]))


def _start_turn(
    runtime: Runtime[Any], config: RunnableConfig, context_from: ContextFrom | None, store_timeout: float | None
) -> TurnStart:
    thread = config["configurable"].get("thread_id")
    caller = Caller.of(_resolve_context(runtime, config, context_from), str(thread) if thread is not None else None)
    if current_trial():
        caller = replace(caller, learn=False)
    return TurnStart(caller, datetime.now(UTC), WaitingTime(store_timeout))


def make_context_reader(context_from: ContextFrom | None) -> ContextReader:
    """Return a function of a run's context and config that returns the context to read the caller from.

    Raises `Misconfigured` if `context_from` takes neither one argument nor two.
    """
    if context_from is None:
        return lambda context, config: context
    if callable(context_from) and _accepts(context_from, 2):
        return context_from  # type: ignore[return-value]  # just checked
    if callable(context_from) and _accepts(context_from, 1):
        return lambda context, config: context_from(context)  # type: ignore[call-arg]  # just checked
    raise Misconfigured(
        "context_from= has to be a function of the agent's context, or of the context and the run's config: "
        "lambda context, config: LearningContext(user_id=…)."
    )


def has_user_id(context_schema: Any) -> bool:
    """Return True if contexts of this schema name the user, so that no `context_from` is needed."""
    classes = context_schema.__mro__ if inspect.isclass(context_schema) else ()
    return any("user_id" in inspect.get_annotations(base) for base in classes) or hasattr(context_schema, "user_id")


def _accepts(function: Callable[..., Any], count: int) -> bool:
    """Return True if a function can be called with this many arguments by position."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some functions of C have none
        return count == 1
    required = [parameter for parameter in signature.parameters.values() if parameter.default is parameter.empty]
    with contextlib.suppress(TypeError):
        signature.bind(*[None] * count)
        # A second parameter with a default is the function's own affair, unless it is called config.
        return count == 1 or "config" in signature.parameters or len(required) == count
    return False


def _resolve_context(
    runtime: Runtime[Any], config: RunnableConfig, context_from: ContextFrom | None
) -> LearningContext:
    context = make_context_reader(context_from)(runtime.context, config)
    if context_from and not isinstance(context, LearningContext | Mapping):
        raise Misconfigured(f"context_from= returned a {type(context).__name__}: it has to return a LearningContext.")
    resolved = LearningContext.read(context)
    server = runtime.server_info
    authenticated = apply_authentication(resolved, server.user if server else None)  # type: ignore[arg-type]  # a BaseUser is read like a mapping
    if authenticated.user_id is None:
        raise MissingOwner(_explain_missing_user(runtime.context, config, context_from))
    return authenticated


def _explain_missing_user(context: Any, config: RunnableConfig, context_from: ContextFrom | None) -> str:
    """Return the line to write for a run that names no user, made for how the run was started."""
    if context_from is not None:
        return "context_from= returned a LearningContext without a user_id: nobody was named who could learn."
    if "user_id" in config["configurable"]:
        return (
            "The user_id is in the run's configurable, not in its context: give the machine context_from=lambda "
            'context, config: LearningContext(user_id=config["configurable"]["user_id"]).'
        )
    if context is None or isinstance(context, LearningContext):
        return inspect.cleandoc(MissingOwner.__doc__ or "")
    keys = context if isinstance(context, Mapping) else getattr(context, "__dict__", {})
    has_names = f"has {', '.join(map(str, keys))}" if keys else "is empty"
    return (
        f"The run's context names no user_id: it {has_names}. Add user_id=…, or give the machine "
        "context_from=lambda context: LearningContext(user_id=…), which takes the user from where it is."
    )
