"""The loop: recall, build_context, then the agent, then extract, update. Each step is a flow over plain values."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from langgraph.errors import GraphBubbleUp
from langgraph.store.base import BaseStore, PutOp

from langgraph_learning.agent.run_context import ContextFrom, RunContext
from langgraph_learning.core.flow import Flow, as_flow, gather
from langgraph_learning.core.learning import Learning, Status
from langgraph_learning.core.scopes import Scope
from langgraph_learning.errors import Conflict
from langgraph_learning.extract.extraction import Extraction, ExtractionResult, Marks
from langgraph_learning.recall.context import AgentContext, build_agent_context
from langgraph_learning.recall.injection import read_context
from langgraph_learning.recall.trial import current_trial
from langgraph_learning.stores.base import LearningStore, Request
from langgraph_learning.update.votes import context_writes, last_answer_id, update_totals
from langgraph_learning.update.write_policy import write_learnings

GraphState = Mapping[str, Any]
UPDATE_ATTEMPTS = 3
"""How often a turn is learnt from when others change at the same time what it rests on."""

OnError = Literal["report", "raise"]
StepFunction = Callable[[GraphState, RunContext], Flow[dict[str, Any]]]


class Loop:
    """The steps, for the learning stores of one machine."""

    def __init__(
        self,
        stores: Sequence[LearningStore],
        extraction: Extraction,
        *,
        store: BaseStore | None,
        context_from: ContextFrom | None,
        on_error: OnError,
        budget: int,
        shadow: bool,
        four_eyes: bool = False,
    ) -> None:
        self.stores = tuple(stores)
        self.store = store
        self.context_from = context_from
        self.on_error = on_error
        self.four_eyes = four_eyes
        self._extraction = extraction
        self._budget = budget
        self._shadow = shadow

    def run(self) -> RunContext:
        """Return the run that is going on."""
        return RunContext.current(self.store, self.context_from)

    def recall(self, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        """Read what all learning stores know, in one batch."""
        found = yield from self._recalled(state, run)
        recalled = {name: [_to_json(learning) for learning in learnings] for name, learnings in found.items()}
        return {"learning_recalled": recalled, **_session_update(found, state)}

    def build_context(self, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        """Render what was recalled, within the budget."""
        recalled = {
            name: [Learning.model_validate(learning) for learning in learnings]
            for name, learnings in (state.get("learning_recalled") or {}).items()
        }
        shown = yield from self._shown(recalled, run.request(state))
        return {"learning_context": shown.model_dump(mode="json")}

    def prepare(self, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        """Recall and build in one step: what was found need not become JSON on its way."""
        found = yield from self._recalled(state, run)
        shown = yield from self._shown(found, run.request(state))
        return {"learning_context": shown.model_dump(mode="json"), **_session_update(found, state)}

    def context_for_agent(self, state: GraphState, run: RunContext) -> Flow[AgentContext]:
        """Return what the agent is shown."""
        built = read_context(run.config)
        if built is None:  # after an interrupt the channel is empty, for nothing of it is saved: recall once more
            found = yield from self._found(state, run)
            built = yield from self._shown(found, run.request(state))
        return built

    def extract(self, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        """Ask what the conversation taught."""
        if current_trial():
            return {"learning_lesson": {}}
        lesson = yield from self._lesson(state, run)
        return {"learning_lesson": lesson.model_dump(mode="json")}

    def update(self, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        """Write what was learnt, and what was read, in one batch: all of it or nothing."""
        lesson = ExtractionResult.model_validate(state.get("learning_lesson") or {})
        for attempt in range(UPDATE_ATTEMPTS):
            if attempt:  # another extraction of this thread was quicker, or what it changes is another by now
                lesson = yield from self._lesson(state, run)
            try:
                learnt = yield from self._written(lesson, state, run)
            except Conflict:
                continue
            return (yield from self._told(lesson, learnt, state, run))
        return {"learning_proposed": []}  # the cursor stays: the next turn reads it

    def learn(self, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        """Extract and update in one step."""
        extracted = yield from self.tolerate_errors(self.extract)(state, run)
        return (yield from self.update({**state, **extracted}, run))

    def tolerate_errors(self, step: StepFunction) -> StepFunction:
        """Return a step whose failure costs nobody the answer: the state and the stream tell of it, the run goes on.

        Nothing is lost either: the cursor stays, so the next turn reads the same messages again.
        """

        def spared(state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
            try:
                return (yield from step(state, run))
            except GraphBubbleUp:
                raise
            except Exception as error:
                if self.on_error == "raise":
                    raise
                message = f"{step.__name__} failed, the next turn tries again: {type(error).__name__}: {error}"
                run.emit({"error": message})
                return {"learning_errors": [message]}

        return spared

    def _lesson(self, state: GraphState, run: RunContext) -> Flow[ExtractionResult]:
        """Return what the messages that nothing was learnt from yet teach."""
        turn = run.turn(state)
        return (yield from (self._extraction.flow(turn) if run.caller.learn else self._extraction.skip(turn)))

    def _written(self, lesson: ExtractionResult, state: GraphState, run: RunContext) -> Flow[tuple[Learning, ...]]:
        """Write a lesson; return the learnings as they were let in. Raises `Conflict`, having written nothing."""
        marks = [PutOp(*mark, index=False) for mark in (*lesson.marks, *self._credits(state, run))]
        expected = lesson.conditions()
        return (
            yield from write_learnings(self.stores, run.caller, lesson.learnings, *marks, expected=expected, at=run.now)
        )

    def _credits(self, state: GraphState, run: RunContext) -> Marks:
        """Return what says which learnings the answer had in its context: it may be judged, whatever it taught."""
        answer = last_answer_id(state.get("messages") or ())
        if not (run.caller.learn and run.caller.thread and answer):
            return ()
        shown = (read_context(run.config) or AgentContext()).learnings
        telling = {store.name for store in self.stores if not store.stable and store.scope != Scope.THREAD}
        return context_writes(run.caller, answer, shown, telling)

    def _told(
        self, lesson: ExtractionResult, learnt: Sequence[Learning], state: GraphState, run: RunContext
    ) -> Flow[dict[str, Any]]:
        """Count the votes in what was written, and tell the stream and the state of it."""
        yield from update_totals(lesson.voted, run.caller.user)
        raw = {store.name for store in self.stores if store.verbatim}
        # What was said is in the stream already: there is no need to tell it again.
        run.emit({"learnt": [learning_event(learning) for learning in learnt if learning.store_name not in raw]})
        session = [_to_json(learning) for learning in learnt if _is_session(learning)]
        errors = [*(state.get("learning_errors") or ()), *lesson.errors]
        return {
            "learning_errors": errors,
            "learning_session": session or list(state.get("learning_session") or ()),
            # What waits for other people's voices is no matter for this conversation.
            "learning_proposed": [one.key for one in learnt if one.status is Status.PROPOSED and not one.supporters],
        }

    def _recalled(self, state: GraphState, run: RunContext) -> Flow[dict[str, list[Learning]]]:
        for store in self.stores:
            run.caller.namespace(store.scope, store.name)  # whoever is missing is missed before any model call
        found = yield from self._found(state, run)
        run.emit({"recalled": [learning_event(learning) for learnings in found.values() for learning in learnings]})
        return found

    def _found(self, state: GraphState, run: RunContext) -> Flow[dict[str, list[Learning]]]:
        if not run.caller.recall:
            return self._given(run.now)
        asked = run.request(state)
        found = yield from gather(as_flow(store.recall(asked)) for store in self.stores)
        if tried := current_trial():
            found = [tried.apply(store, learnings) for store, learnings in zip(self.stores, found, strict=True)]
        # Whatever a learning store finds, only what counts is shown.
        active = [[one for one in learnings if one.is_active(run.now)] for learnings in found]
        return {store.name: learnings for store, learnings in zip(self.stores, active, strict=True) if learnings}

    def _shown(self, recalled: Mapping[str, Sequence[Learning]], asked: Request) -> Flow[AgentContext]:
        seen = self._given(asked.now) if self._shadow else recalled
        return (yield from build_agent_context(self.stores, seen, asked, self._budget))

    def _given(self, now: datetime) -> dict[str, list[Learning]]:
        """Return what was never learnt, and so is shown even where nothing of what was learnt is."""
        return {store.name: given for store in self.stores if (given := store.developer_learnings(now))}


def _is_session(learning: Learning) -> bool:
    return learning.scope == Scope.THREAD


def _session_update(found: Mapping[str, Sequence[Learning]], state: GraphState) -> dict[str, Any]:
    """Return what the thread keeps: its session, so that a fork of the thread has the session as it was there."""
    session = [_to_json(learning) for learnings in found.values() for learning in learnings if _is_session(learning)]
    return {"learning_session": session or list(state.get("learning_session") or ()), "learning_errors": []}


def _to_json(learning: Learning) -> dict[str, Any]:
    return learning.model_dump(mode="json")


def learning_event(learning: Learning) -> dict[str, Any]:
    """Return a learning as the run's stream tells of it."""
    return {
        "kind": learning.kind,
        "text": learning.text,
        "status": learning.status.value,
        "namespace": list(learning.namespace),
        "key": learning.key,
    }
