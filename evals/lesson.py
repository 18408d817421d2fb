"""Learning from one conversation with a machine around a scripted agent, and the learnings before and after."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import takewhile
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import MessagesState
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from evals.conversations import Conversation, Known
from langgraph_learning import (
    EntityMemory,
    LearnedKnowledge,
    LearningContext,
    LearningMachine,
    LearningStore,
    Scope,
    SessionContext,
    UserMemory,
    UserProfile,
)
from langgraph_learning.core.learning import Learning
from langgraph_learning.testing import ScriptedModel

WHO = LearningContext(user_id="u1", team_ids=("t1",))
THREAD = "conversation"

_UNSAID: Mapping[str, Any] = {
    "type": "other",
    "aliases": [],
    "as_of": None,
    "when": None,
    "category": "insight",
    "when_to_apply": None,
}
"""Values of fields that a row of the data may omit."""


@dataclass(frozen=True)
class Outcome:
    """The learnings before and after a conversation, and the errors."""

    before: Mapping[str, Learning]
    """By label, or by key if there is no label."""
    after: tuple[Learning, ...]
    dropped: tuple[str, ...]
    """Invalid edits and failed extractions."""
    seconds: float

    @property
    def new(self) -> list[Learning]:
        """The new learnings."""
        keys = {learning.key for learning in self.before.values()}
        return [learning for learning in self.after if learning.key not in keys]

    @property
    def gone(self) -> list[str]:
        """Labels of learnings that are no longer known."""
        keys = {learning.key for learning in self.after}
        return [label for label, learning in self.before.items() if learning.key not in keys]


def stores() -> list[LearningStore]:
    """Return the learning stores to evaluate, configured as for a team."""
    team = Scope.TEAM
    return [UserProfile(), UserMemory(), SessionContext(), EntityMemory(scope=team), LearnedKnowledge(scope=team)]


def machine(model: BaseChatModel, store: BaseStore) -> LearningMachine:
    """Return a machine with this extraction model."""
    return LearningMachine(model, stores(), store=store)


def learn(conversation: Conversation, model: BaseChatModel) -> Outcome:
    """Let a machine learn from a conversation whose agent gives the scripted answers."""
    store = InMemoryStore()
    before = know(conversation.known, store)
    started = time.monotonic()
    learner = machine(model, store)
    errors = say(conversation.messages(), learner, now=conversation.now, by_turns=conversation.by_turns)
    after = tuple(learner.learnings(WHO, thread_id=THREAD))
    return Outcome(before, after, tuple(errors), time.monotonic() - started)


def know(known: Sequence[Known], store: BaseStore) -> dict[str, Learning]:
    """Store the known learnings, each in a thread of its own; return them by label."""
    labelled = {}
    for number, row in enumerate(known):
        edit = {**_UNSAID, **row.fields, "edit": row.kind, "replaces": None, "message": 1}
        kept = {"edit", "replaces", "message", *_fields_of(row.kind)}
        teacher = machine(ScriptedModel([{"edits": [{k: edit[k] for k in edit if k in kept}]}]), store)
        seen = {learning.key for learning in teacher.learnings(WHO)}
        _raise(say([HumanMessage(" ".join(map(str, row.fields.values())))], teacher, f"before {number}"))
        (learnt,) = [learning for learning in teacher.learnings(WHO) if learning.key not in seen]
        if row.forgotten:
            _forget(learnt, store, number)
        else:
            labelled[row.label or learnt.key] = learnt
    return labelled


def say(
    messages: Sequence[AnyMessage],
    learner: LearningMachine,
    thread: str = THREAD,
    *,
    now: datetime | None = None,
    by_turns: bool = False,
) -> list[str]:
    """Run a conversation with a learning agent whose answers are scripted; return the errors.

    by_turns: True for a run per turn, False for one run at the end.
    """
    asked = [place for place, message in enumerate(messages, start=1) if isinstance(message, HumanMessage)]
    errors: list[str] = []
    for number in range(len(asked) if by_turns else 1):
        end = asked[number] if by_turns else asked[-1]
        answered = asked[number + 1] - 1 if by_turns and end != asked[-1] else len(messages)
        answer = list(messages[end:answered])
        graph = learner.wrap(partial(_answer, answer))
        run: RunnableConfig = {"configurable": {"thread_id": thread}}
        context = WHO.model_copy(update={"now": now})
        result = graph.invoke({"messages": list(messages[:end])}, run, context=context)
        errors += result.get("learning_errors") or ()
    return errors


def _answer(answer: list[AnyMessage], state: MessagesState) -> dict[str, Any]:
    return {"messages": answer}


def _forget(learnt: Learning, store: BaseStore, number: int) -> None:
    def by_key(shown: list[Any]) -> dict[str, Any]:
        rows = [row for row in shown[-1].text.splitlines() if row.endswith(learnt.text)]
        (key,) = ["".join(takewhile(lambda c: c != ":", row)) for row in rows]
        return {"edits": [{"edit": "forget", "replaces": key, "message": 1}]}

    _raise(say([HumanMessage("Forget that.")], machine(ScriptedModel(by_key), store), f"forgotten {number}"))


def _fields_of(kind: str) -> set[str]:
    return {name for store in stores() if kind in store.kinds for name in store.kinds[kind].model_fields}


def _raise(errors: Sequence[str]) -> None:
    if errors:
        raise ValueError(f"A known learning could not be stored: {errors[0]}")
