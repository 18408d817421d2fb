"""The steps of the loop, recall, build_context, extract and update, as flows; and the node that runs a step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.constants import TAG_HIDDEN
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import get_runtime
from langgraph.store.base import BaseStore

from langgraph_learning.agent.run_context import ContextFrom, RunContext
from langgraph_learning.agent.state import LearningState
from langgraph_learning.background.conversations import THREADS_CHANNEL, name_threads
from langgraph_learning.background.dispatch import Work
from langgraph_learning.background.learner import Learner
from langgraph_learning.background.schedule import Schedule
from langgraph_learning.background.ways import LearnWhere, make_dispatch
from langgraph_learning.core.events import describe_written
from langgraph_learning.core.flow import Flow, adrive, drive, limit_store_waiting, limit_waiting
from langgraph_learning.core.langgraph_compat import find_checkpointer, without_tag
from langgraph_learning.core.learning import Learning, Status
from langgraph_learning.core.relevance import Scale, ScaleReader
from langgraph_learning.core.scopes import Scope
from langgraph_learning.core.store_protocol import ItemWrite
from langgraph_learning.core.telemetry import measure
from langgraph_learning.errors import Misconfigured, MissingOwner, NotAllowed, WrongDimensions
from langgraph_learning.extract.extraction import Extraction
from langgraph_learning.extract.result import ExtractionResult
from langgraph_learning.recall.context import AgentContext, build_agent_context
from langgraph_learning.recall.injection import read_context
from langgraph_learning.recall.recall import developer_learnings, recall_event, recall_learnings
from langgraph_learning.recall.selection import Selection
from langgraph_learning.recall.trial import current_trial
from langgraph_learning.stores.base import LearningStore, Recalled, Request
from langgraph_learning.update.votes import context_writes, last_answer_id

GraphState = Mapping[str, Any]
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
        store_timeout: float | None = None,
        learn: LearnWhere = "deferred",
        schedule: Schedule | None = None,
        stream_texts: bool = False,
        scale: Scale | None = None,
    ) -> None:
        self.stores = tuple(stores)
        self.store = store
        self.context_from = context_from
        self.on_error = on_error
        self.four_eyes = four_eyes
        self._extraction = extraction
        self.learner = Learner(stores, extraction)
        self.schedule = schedule or Schedule()
        self.stream_texts = stream_texts
        self.dispatch = make_dispatch(learn, self.learner, self.schedule)
        self._budget = budget
        self._shadow = shadow
        self._store_timeout = store_timeout
        self._scale = ScaleReader(scale)

    def run(self) -> RunContext:
        """Return the run in progress."""
        return RunContext.current(self.store, self.context_from, self._store_timeout)

    def recall(self, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        """Read from all learning stores in one batch. If that fails the agent answers without memory."""
        run = run.record_arrivals(state)
        recalled, errors = yield from self._recall(state, run)
        return {**_start_of_turn(state, run, recalled, errors), "learning_recalled": recalled}

    def build_context(self, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        """Render what was recalled within the budget."""
        context = yield from self._build(_read_recalled(state), run.request(state))
        return {"learning_context": context}

    def recall_and_build(self, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        """Do both in one step, for the middleware."""
        run = run.record_arrivals(state)
        recalled, errors = yield from self._recall(state, run)
        context = yield from self._build(recalled, run.request(state))
        return {**_start_of_turn(state, run, recalled, errors), "learning_context": context}

    def context_for_agent(self, state: GraphState, run: RunContext) -> Flow[AgentContext]:
        """Return the context that was built in this run. After an interrupt it is lost, so it is built again."""
        run.see(state)
        context = read_context(run.config)
        if context is None:
            selection, _ = yield from self._recall_or_report(state, run)
            context = yield from self._build(selection.shown, run.request(state))
        return context

    def extract(self, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        """Extract learnings from the messages that were not learnt from yet."""
        if current_trial():
            return {"learning_lesson": ExtractionResult()}
        result = yield from limit_store_waiting(self._extract(state, run), run.start.waiting)
        return {"learning_lesson": result}

    def update(self, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        """Write the learnings and the cursor in one batch, all or nothing."""
        return (yield from limit_store_waiting(self._update(state, run), run.start.waiting))

    def _update(self, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        result = state.get("learning_lesson")
        # A client can write anything into the state, but no object of ours: only the extraction of this run counts.
        if not isinstance(result, ExtractionResult):
            result = ExtractionResult()
        written, learnings = yield from self.learner.write(run.turn(state), result, self._context_writes(state, run))
        if written.failure is not None and self.on_error == "raise":
            raise written.failure
        for message in written.errors if written is not result else ():
            run.emit({"learning_failed": message})
        return self._report(written, learnings, state, run)

    def extract_and_update(self, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        """Do both in one step, for the middleware."""
        extracted = yield from self.tolerate_errors(self.extract)(state, run)
        return (yield from self.update({**state, **extracted}, run))

    def tolerate_errors(self, step: StepFunction) -> StepFunction:
        """Return a step whose failure is reported in the state and the stream instead of failing the run.

        Nothing is lost: the cursor stays, so the next turn reads the same messages again.
        """

        def tolerant_step(state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
            try:
                return (yield from step(state, run))
            except GraphBubbleUp:
                raise
            except Exception as error:
                if self.on_error == "raise":
                    raise
                message = f"{step.__name__} failed, the next turn tries again: {type(error).__name__}: {error}"
                run.emit({"learning_failed": message})
                return {"learning_errors": [*_errors_in(state, run), message]}

        return tolerant_step

    def _recall(self, state: GraphState, run: RunContext) -> Flow[tuple[Recalled, list[str]]]:
        for store in self.stores:
            store.check_owner(run.caller)  # a missing owner is an error before any model call
        run.see(state)
        yield from self._announce(state, run)
        selection, errors = yield from self._recall_or_report(state, run)
        run.emit(recall_event(selection, texts=self.stream_texts))
        return selection.shown, errors

    def _select(self, state: GraphState, run: RunContext) -> Flow[Selection]:
        request = run.request(state)
        if request.query and request.caller.recall:
            request = replace(request, scale=(yield from self._scale.read(run.store)))
        return (yield from recall_learnings(self.stores, request))

    def _recall_or_report(self, state: GraphState, run: RunContext) -> Flow[tuple[Selection, list[str]]]:
        """Return what was recalled; if the store or its embedding model fails, only what the developer wrote, and why.

        Errors that the caller can correct are raised.
        """
        try:
            with measure("recall", tenant=run.caller.tenant) as recall:
                selection = yield from limit_waiting(self._select(state, run), run.start.waiting)
                recall.note(learnings=sum(map(len, selection.shown.values())))
            return selection, []
        except (GraphBubbleUp, MissingOwner, NotAllowed):
            raise
        except Exception as error:
            if self.on_error == "raise" or (
                isinstance(error, Misconfigured) and not isinstance(error, WrongDimensions)
            ):
                raise
            message = f"recall failed, the agent answers without memory: {type(error).__name__}: {error}"
            run.report(message)
            return Selection(developer_learnings(self.stores, run.now)), [message]

    def _build(self, recalled: Mapping[str, Sequence[Learning]], request: Request) -> Flow[AgentContext]:
        shown = developer_learnings(self.stores, request.now) if self._shadow else recalled
        return (yield from build_agent_context(self.stores, shown, request, self._budget))

    def _announce(self, state: GraphState, run: RunContext) -> Flow[None]:
        """Record that there will be something to learn. If that fails, the agent answers all the same."""
        if current_trial():
            return
        work = self.dispatch.before_answer(_work_of(state, run))
        try:
            yield from limit_store_waiting(work, run.start.waiting)
        except GraphBubbleUp:
            raise
        except Exception as error:
            if self.on_error == "raise" or isinstance(error, Misconfigured):
                raise
            run.report(f"learning could not be queued before the answer: {type(error).__name__}: {error}")

    def _extract(self, state: GraphState, run: RunContext) -> Flow[ExtractionResult]:
        """Extract, and report a failure of the model; what it could be asked about before counts."""
        result, waiting, pending = yield from self.dispatch.after_answer(_work_of(state, run))
        if waiting:
            run.emit({"waiting": waiting})
        if pending:
            run.emit({"pending": pending})
        if result.failure is not None and self.on_error == "raise":
            raise result.failure
        for message in result.errors:
            run.emit({"learning_failed": message})
        return result

    def _context_writes(self, state: GraphState, run: RunContext) -> Sequence[ItemWrite]:
        """Return what records the learnings in the answer's context, so that votes on the answer count for them."""
        answer = last_answer_id(state.get("messages") or ())
        if not (run.caller.learn and run.caller.thread and answer):
            return ()
        context = read_context(run.config) or AgentContext()
        by_question = {store.name for store in self.stores if store.in_list}
        return context_writes(run.caller, answer, context.learnings, by_question)

    def _report(
        self, result: ExtractionResult, learnings: Sequence[Learning], state: GraphState, run: RunContext
    ) -> dict[str, Any]:
        """Report what was written to the stream and the state."""
        verbatim = {store.name for store in self.stores if store.verbatim}
        # The messages themselves are in the stream already.
        written = [learning for learning in learnings if learning.store_name not in verbatim]
        run.emit(describe_written(written, texts=self.stream_texts))
        if result.metrics.calls:
            run.emit({"usage": result.metrics.totals})
        if result.kept_private:
            shown = [kept._asdict() for kept in result.kept_private]
            hidden = () if self.stream_texts else ("text",)
            run.emit({"kept_private": [{name: kept[name] for name in kept if name not in hidden} for kept in shown]})
        session = [learning for learning in learnings if _is_session(learning)]
        current = [_dump_learning(learning) for learning in session if learning.status is Status.ACTIVE]
        # A candidate that waits for other users is of no concern to this conversation.
        proposed = [learnt for learnt in learnings if learnt.status is Status.PROPOSED and not learnt.supporters]
        return {
            **_error_update(state, [*_errors_in(state, run), *result.errors]),
            "learning_session": current if session else list(state.get("learning_session") or ()),
            "learning_proposed": [learning.key for learning in proposed],
        }


class Node(Runnable[Any, Any]):
    """One step of the loop, for `add_node`. It serves sync and async graphs and adds nothing to the trace."""

    def __init__(self, name: str, step: StepFunction, loop: Loop) -> None:
        self.name = name
        self._step = step
        self._loop = loop

    def __call__(self, state: LearningState) -> dict[str, Any]:
        """Run the step. The annotation tells LangGraph which channels it needs."""
        return self.invoke(state)

    def _run(self) -> RunContext:
        """Return the run. The node may be hidden in the stream; the model calls that it makes are not."""
        run = self._loop.run()
        return replace(run, config=without_tag(run.config, TAG_HIDDEN))

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:
        """Run the step."""
        run = self._run()
        return drive(self._step(input, run), run.store, run.config)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:
        """Run the step asynchronously."""
        run = self._run()
        return await adrive(self._step(input, run), run.store, run.config)


def _read_recalled(state: GraphState) -> Recalled:
    """Return what this run recalled. A client can write anything into the state, but no object of ours."""
    recalled = state.get("learning_recalled")
    if not isinstance(recalled, Mapping):
        return {}
    ours = {name: [found for found in learnings if isinstance(found, Learning)] for name, learnings in recalled.items()}
    return {name: learnings for name, learnings in ours.items() if learnings}


def _is_session(learning: Learning) -> bool:
    return learning.scope == Scope.THREAD


def _work_of(state: GraphState, run: RunContext) -> Work:
    """Return what this run leaves to be learnt."""
    turn = run.turn(state)
    present = {id(message) for message in state.get("messages") or ()}
    complete = all(id(message) in present for message in turn.messages)
    on_server = get_runtime().server_info is not None
    return Work(turn, run.store, find_checkpointer(run.config), on_server, complete)


def _errors_in(state: GraphState, run: RunContext) -> list[str]:
    """Return what failed in this turn until now: as the steps reported it to the state, and in between."""
    return list(dict.fromkeys((*(state.get("learning_errors") or ()), *run.start.problems)))


def _start_of_turn(state: GraphState, run: RunContext, recalled: Recalled, errors: list[str]) -> dict[str, Any]:
    """Return the channels with which a turn begins.

    The session goes into the thread's state, so that a fork of the thread has the session as it was there. What is in
    the state already stays only if nothing could be read.
    """
    session = [_dump_learning(found) for learnings in recalled.values() for found in learnings if _is_session(found)]
    is_unread = bool(errors) or not run.caller.recall
    return {
        "learning_turn": run.start,
        "learning_speakers": run.start.arrivals.users_to_save if run.start.arrivals else {},
        "learning_times": run.start.arrivals.times_to_save if run.start.arrivals else {},
        "learning_session": list(state.get("learning_session") or ()) if is_unread else session,
        THREADS_CHANNEL: name_threads(state.get(THREADS_CHANNEL), run.caller),
        **_error_update(state, errors),
    }


def _error_update(state: GraphState, errors: list[str]) -> dict[str, list[str]]:
    """Return the update of the errors; none where there was none before either, so that no stream tells of it."""
    return {"learning_errors": errors} if errors or state.get("learning_errors") else {}


def _dump_learning(learning: Learning) -> dict[str, Any]:
    return learning.model_dump(mode="json")
