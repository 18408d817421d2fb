"""One run as the loop sees it: who asks, in which thread, and on which store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.runtime import Runtime, get_runtime
from langgraph.store.base import BaseStore

from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import Caller, LearningContext, apply_authentication
from langgraph_learning.core.transcript import last_question
from langgraph_learning.errors import Misconfigured
from langgraph_learning.recall.trial import current_trial
from langgraph_learning.stores.base import Request, Turn

ContextFrom = Callable[[Any], LearningContext]


@dataclass(frozen=True)
class RunContext:
    """What a step of the loop needs to know about the run it is part of."""

    caller: Caller
    store: BaseStore
    config: RunnableConfig
    id: str | None
    now: datetime
    emit: Callable[[Any], None]
    """Writes to the run's custom stream."""

    @classmethod
    def current(cls, default_store: BaseStore | None, context_from: ContextFrom | None) -> "RunContext":
        """Return the run that is going on.

        Raises `MissingOwner` or `NotAllowed` if it is not clear who asks, `Misconfigured` if there is no store.
        """
        runtime, config = get_runtime(), get_config()
        store = runtime.store or default_store
        if store is None:
            raise Misconfigured(
                "There is no store to learn into: compile the graph with store=…, or give the machine one."
            )
        thread = config["configurable"].get("thread_id")
        caller = Caller.of(_resolve_context(runtime, context_from), str(thread) if thread is not None else None)
        return cls(
            caller=replace(caller, learn=False) if current_trial() else caller,
            store=store,
            config=config,
            id=runtime.execution_info.run_id if runtime.execution_info else None,
            now=datetime.now(UTC),
            emit=lambda event: runtime.stream_writer({"learning": event}),
        )

    def turn(self, state: Mapping[str, Any]) -> Turn:
        """Return what is learnt from."""
        messages = tuple(state.get("messages") or ())
        return Turn(self.caller, messages, self.now, self.id, read_session(state))

    def request(self, state: Mapping[str, Any]) -> Request:
        """Return what is recalled for."""
        messages: Sequence[Any] = state.get("messages") or ()
        branch = tuple(message.id for message in messages if message.id)
        return Request(self.caller, last_question(messages), self.now, branch, read_session(state))


def read_session(state: Mapping[str, Any]) -> tuple[Learning, ...]:
    """Return what the thread's state holds of its session."""
    return tuple(Learning.model_validate(value) for value in state.get("learning_session") or ())


def _resolve_context(runtime: Runtime[Any], context_from: ContextFrom | None) -> LearningContext:
    given = context_from(runtime.context) if context_from else runtime.context
    if given is None:
        given = LearningContext()
    elif isinstance(given, Mapping):
        given = LearningContext.model_validate(given)
    if not isinstance(given, LearningContext):
        raise Misconfigured(
            f"The run's context is a {type(given).__name__}, not a LearningContext: give the machine "
            "context_from=, a function that makes the one of the other."
        )
    server = runtime.server_info
    return apply_authentication(given, server.user if server else None)  # type: ignore[arg-type]  # a BaseUser is read like a mapping


def is_authorized(what: str) -> bool:
    """Whether the server's authentication says this of the user whose run it is; where there is no user, it is so."""
    server = get_runtime().server_info
    user = server.user if server else None
    return user is None or (what in user and bool(user[what]))
