"""LearningMachine: the learning stores, the extraction model and the policy together."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, SupportsFloat, get_args

from langchain.agents.middleware import AgentMiddleware
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import MessageLikeRepresentation
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer

from langgraph_learning.agent.middleware import CALL_IT, LearningMiddleware, MethodToCall
from langgraph_learning.agent.nodes import Nodes
from langgraph_learning.agent.run_context import ContextFrom, make_context_reader
from langgraph_learning.agent.steps import Loop, OnError
from langgraph_learning.agent.tools import Toolbox, equip_agent
from langgraph_learning.agent.wrap import wrap
from langgraph_learning.background.chores import plan_chores
from langgraph_learning.background.jobs import Jobs
from langgraph_learning.background.learner import Learner, LearningResult, make_turn
from langgraph_learning.background.schedule import Schedule
from langgraph_learning.background.usage import UsageReport, read_report
from langgraph_learning.background.ways import LearnWhere
from langgraph_learning.background.worker import Worker
from langgraph_learning.core.checks import check_above_zero, check_count
from langgraph_learning.core.flow import Facade, Flow, adrive, check_store, drive, require_database
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.relevance import Scale
from langgraph_learning.core.scopes import Caller, LearningContext
from langgraph_learning.core.store_protocol import Change
from langgraph_learning.core.transcript import count_tokens
from langgraph_learning.curate.judge import MOST_CALLS
from langgraph_learning.curate.report import Report
from langgraph_learning.curate.run import UNUSED_AFTER, CurationSettings, OnProgress, curate
from langgraph_learning.errors import Misconfigured
from langgraph_learning.extract.extraction import Extraction
from langgraph_learning.extract.structured_output import TIMEOUT, ExtractionMethod
from langgraph_learning.review import feedback
from langgraph_learning.review.api import Review
from langgraph_learning.review.feedback import OutcomeResult
from langgraph_learning.review.instructions import Instructions
from langgraph_learning.review.replay import Replay, ReplaySetup, Threads, replay_turns
from langgraph_learning.stores import SelfImprovement
from langgraph_learning.stores.base import LearningStore
from langgraph_learning.update import forgetting, history, opt_out


class LearningMachine(Facade):
    """Turns an agent into one that learns.

    model: the model for extraction, a chat model or a name for `init_chat_model` such as "openai:gpt-5-mini"; None if
        no learning store needs one.
    small_model: a cheaper model, or its name, for turns of up to 500 tokens; None: `model` reads all turns.
    stores: the learning stores, in the order in which the agent sees them.
    store: the store for graphs that are compiled without one, and for methods that are called outside a run.
    context_from: returns a `LearningContext` for the agent's own context, for agents that have one; a function of the
        context, or of the context and the run's config.
    extraction: method of structured output; "auto" tries a JSON schema and falls back to tools.
    context_budget: maximum number of tokens of learnings that the agent sees.
    extraction_budget: maximum number of tokens of conversation that one extraction reads.
    extraction_timeout: maximum number of seconds that the extraction of a turn waits for the model; None: no limit.
    extraction_max_tokens: maximum number of tokens of one answer of the extraction model; None: the model's own limit
        or, for a model without one, 8,000.
    on_error: "report" keeps the answer and reports a failed recall or extraction in state and stream; "raise" is for
        tests.
    shadow: learn without showing the agent any learning.
    four_eyes: nobody can approve a proposal that rests on their own words.
    store_timeout: seconds that a turn waits for the store and its embedding model in all, before it answers without
        memory and leaves learning to the next turn; None: as long as they take.
    learn: where it learns. "deferred": in the run, after the answer. "queue": in workers, `machine.worker()`; needs a
        `HybridPostgresStore` and the extra `worker`. "server": beside the runs of the LangGraph server, which has
        to serve `machine.nodes.learner` as "learner".
    stream_texts: True puts the texts of learnings into the events of the custom stream, not only their keys.
    schedule: when it learns, and what a day may cost; see `Schedule`.
    scale: similarities of the store's embedding model that stand for nothing in common and for certain relevance; None:
        those that are known of the model, or else measured with one call.

    Raises `Misconfigured` for anything that could only fail later.
    """

    def __init__(
        self,
        model: BaseChatModel | str | None,
        stores: Sequence[LearningStore],
        *,
        store: BaseStore | None = None,
        context_from: ContextFrom | None = None,
        extraction: ExtractionMethod = "auto",
        context_budget: int = 2_000,
        extraction_budget: int = 12_000,
        extraction_timeout: float | None = TIMEOUT,
        extraction_max_tokens: int | None = None,
        on_error: OnError = "report",
        shadow: bool = False,
        four_eyes: bool = False,
        store_timeout: float | None = 10.0,
        learn: LearnWhere = "deferred",
        schedule: Schedule | None = None,
        stream_texts: bool = False,
        scale: tuple[float, float] | None = None,
        small_model: BaseChatModel | str | None = None,
    ) -> None:
        _check_stores(stores)
        _check_settings(stores, context_budget, extraction_budget)
        _check_choice("on_error", on_error, get_args(OnError))
        _check_choice("extraction", extraction, get_args(ExtractionMethod))
        check_store(store)
        if not isinstance(schedule, Schedule | None):
            raise Misconfigured(f"schedule= is a Schedule, such as Schedule(every=3), not {schedule!r}.")
        _check_limits(store_timeout, extraction_timeout, extraction_max_tokens)
        super().__init__(self._require_store)
        self.stores = tuple(stores)
        self.store = store
        self._schedule = schedule or Schedule()
        if learn == "queue" and store is not None:
            require_database(store)
        make_context_reader(context_from)  # raises for a function that takes neither one argument nor two
        self._loop = Loop(
            self.stores,
            Extraction(
                self.stores,
                _load_model(model),
                extraction,
                extraction_budget,
                extraction_timeout,
                extraction_max_tokens,
                _load_model(small_model),
            ),
            store=store,
            context_from=context_from,
            on_error=on_error,
            budget=context_budget,
            shadow=shadow,
            four_eyes=four_eyes,
            store_timeout=store_timeout,
            learn=learn,
            schedule=self._schedule,
            stream_texts=stream_texts,
            scale=_check_scale(scale),
        )
        self._toolbox = Toolbox(self._loop)
        self._toolbox.tools()  # raises now for a record that tools cannot take

    @property
    def schedule(self) -> Schedule:
        """When it learns, and what a day may cost."""
        return self._schedule

    @property
    def jobs(self) -> Jobs:
        """The jobs of the queue: count, show, retry and drop them."""
        return Jobs(self._schedule.queue, self._require_store)

    def worker(
        self,
        *,
        concurrency: int = 4,
        checkpointer: BaseCheckpointSaver[Any] | str | None = None,
        grace: float = 60.0,
        curate: str | None = None,
        expire: str | None = "17 * * * *",
    ) -> Worker:
        """Return a worker for the queue: `with machine.worker():`, `async with machine.worker():` or `.run()`.

        concurrency: number of jobs at once.
        checkpointer: the one that has the threads, or the URL of its database; by default it is in that of the store.
        grace: seconds that jobs have to end when the worker stops; then others run them again.
        curate: when to curate all tenants, as a cron such as "30 3 * * *" in UTC; None: never.
        expire: when to delete expired items, as a cron; None: never.
        """
        check_count("concurrency", concurrency, 1)
        if grace:
            check_above_zero("grace", grace, "seconds")
        store = self._require_store()
        chores = plan_chores(self.stores, store, curate, expire)
        return Worker(
            self.learner,
            self._schedule,
            store,
            concurrency=concurrency,
            checkpointer=checkpointer,
            grace=grace,
            chores=chores,
        )

    @property
    def nodes(self) -> Nodes:
        """The steps of the loop as nodes, for a graph of your own."""
        return Nodes(self._loop)

    @property
    def learner(self) -> Learner:
        """What learns from conversations, in a run or outside of one."""
        return self._loop.learner

    @property
    def review(self) -> Review:
        """Pending proposals: list, show, approve and reject them."""
        return Review(self.stores, self._require_store, four_eyes=self._loop.four_eyes)

    @property
    def instructions(self) -> Instructions:
        """Versions of the agent's instructions: list, compare and roll back.

        Raises `Misconfigured` if the machine has no `SelfImprovement`.
        """
        own = next((store for store in self.stores if isinstance(store, SelfImprovement)), None)
        if own is None:
            raise Misconfigured("This machine has no instructions of its own: add SelfImprovement() to its stores.")
        return Instructions(own, self._require_store, four_eyes=self._loop.four_eyes)

    def replay(
        self,
        context: LearningContext,
        key: str,
        graph: Runnable[Any, Any],
        *,
        threads: Threads | None = None,
        agent_context: Any = None,
    ) -> tuple[Replay, ...]:
        """Answer the turns that a proposal rests on again, with and without it, to show what it would change.

        Each turn is answered in the name of the reviewer, not of the user who asked, in a thread of its own that is
        deleted afterwards. Nothing is learnt. The agent's tools run again, twice per turn: replay an agent whose tools
        do no harm.

        graph: the agent that learns with this machine.
        threads: the graph that has the conversations, if not `graph`: such as a `RemoteGraph` of a server.
        agent_context: the context to run the graph with, if the machine has a `context_from`.

        Raises `NotFound`, and `Misconfigured` for a graph without a checkpointer.
        """
        return self._run(self._replay(context, key, graph, threads, agent_context))

    async def areplay(
        self,
        context: LearningContext,
        key: str,
        graph: Runnable[Any, Any],
        *,
        threads: Threads | None = None,
        agent_context: Any = None,
    ) -> tuple[Replay, ...]:
        """Do as `replay` in async code."""
        return await self._arun(self._replay(context, key, graph, threads, agent_context))

    @MethodToCall
    def middleware(self) -> AgentMiddleware[Any, Any, Any]:
        """Return the loop as a middleware for `create_agent`, including the tools."""
        return LearningMiddleware(self._loop, self.tools())

    @MethodToCall
    def tools(self) -> list[BaseTool]:
        """Return the tools with which an agent searches, saves and forgets, of all stores that have some."""
        return self._toolbox.tools()

    def __iter__(self) -> Iterator[Any]:
        """Raise `Misconfigured`: where an agent takes a list, a machine is no list."""
        raise Misconfigured(CALL_IT)

    def wrap(
        self,
        agent: Any,
        *,
        store: BaseStore | None = None,
        checkpointer: Checkpointer = None,
        name: str | None = None,
        inject: bool = True,
    ) -> CompiledStateGraph[Any, Any, Any, Any]:
        """Return a compiled graph that lets any agent learn: `recall → build_context → agent → extract → update`.

        The nodes of a compiled agent stand where `agent` is, in a copy of its graph. The log says which nodes are shown
        what was learned.

        agent: a compiled graph (of `create_agent` or your own), a Runnable, or a function of the state, plain or async;
            for an agent that needs the machine's tools, a function of `tools` that returns it.
        store, checkpointer, name: as for `compile`; by default the agent's own.
        inject: False if the agent's nodes call `learned_context()` themselves.

        Raises `Misconfigured` for an agent that cannot be wrapped.
        """
        check_store(store)
        agent = equip_agent(agent, self.tools(), self.stores)
        return wrap(self._loop, agent, store=store, checkpointer=checkpointer, name=name, inject=inject)

    def learn(
        self,
        messages: Iterable[MessageLikeRepresentation],
        context: LearningContext,
        *,
        thread_id: str | None = None,
    ) -> LearningResult:
        """Learn from a conversation outside of a run, such as an old one. Messages are learnt from once only.

        thread_id: the thread of the conversation; by default it is named by its messages. Give it if the conversation
            may grow.
        """
        return self._run(self._loop.learner.learn(make_turn(messages, context, thread_id, datetime.now(UTC))))

    async def alearn(
        self,
        messages: Iterable[MessageLikeRepresentation],
        context: LearningContext,
        *,
        thread_id: str | None = None,
    ) -> LearningResult:
        """Do as `learn` in async code."""
        return await self._arun(self._loop.learner.learn(make_turn(messages, context, thread_id, datetime.now(UTC))))

    def preview(
        self,
        messages: Iterable[MessageLikeRepresentation],
        context: LearningContext,
        *,
        thread_id: str | None = None,
    ) -> LearningResult:
        """Return what `learn` would write, and write nothing. The model is asked, so it costs as much."""
        return self._run(self._loop.learner.preview(make_turn(messages, context, thread_id, datetime.now(UTC))))

    async def apreview(
        self,
        messages: Iterable[MessageLikeRepresentation],
        context: LearningContext,
        *,
        thread_id: str | None = None,
    ) -> LearningResult:
        """Do as `preview` in async code."""
        return await self._arun(self._loop.learner.preview(make_turn(messages, context, thread_id, datetime.now(UTC))))

    def learnings(self, context: LearningContext, *, thread_id: str | None = None) -> list[Learning]:
        """Return all learnings that this caller may see, by kind, newest first; with a thread, its session too."""
        return self._run(self._list(_caller(context, thread_id)))

    async def alearnings(self, context: LearningContext, *, thread_id: str | None = None) -> list[Learning]:
        """Do as `learnings` in async code."""
        return await self._arun(self._list(_caller(context, thread_id)))

    def forget(self, context: LearningContext, *keys: str) -> int:
        """Delete learnings by key, including those they superseded; without keys, all that are the user's alone.

        Without keys, those are private learnings, proposals that rest on the user's words only, and the jobs that wait
        in a queue to learn from them. With keys, the statements stay forgotten until the user says them anew, even
        where messages wait to be learnt from. `forget_thread` deletes a thread's session. Returns the number of deleted
        learnings.
        Raises `NotFound`, having deleted nothing, if the caller can see nothing with one of the keys.
        """
        return self._run(self._forget(_caller(context), keys))

    async def aforget(self, context: LearningContext, *keys: str) -> int:
        """Do as `forget` in async code."""
        return await self._arun(self._forget(_caller(context), keys))

    def opt_out(self, context: LearningContext, *stores: str) -> int:
        """Stop learning from this user in the learning stores with these names, by default in all, until they opt in.

        Learnings there that are the user's alone are deleted, and the jobs that wait as well if no store is left.
        Returns the number of learnings. Raises `NotFound` for a name that the machine does not have.
        """
        return self._run(self._opt_out(_caller(context), stores))

    async def aopt_out(self, context: LearningContext, *stores: str) -> int:
        """Do as `opt_out` in async code."""
        return await self._arun(self._opt_out(_caller(context), stores))

    def opt_in(self, context: LearningContext, *stores: str) -> None:
        """Learn from this user again in the learning stores with these names, by default in all."""
        self._run(opt_out.opt_in(self.stores, _caller(context), stores))

    async def aopt_in(self, context: LearningContext, *stores: str) -> None:
        """Do as `opt_in` in async code."""
        await self._arun(opt_out.opt_in(self.stores, _caller(context), stores))

    def forget_thread(self, context: LearningContext, thread_id: str) -> int:
        """Delete a thread's session, and the learnings that rest only on this user's messages in that thread.

        Messages stay marked as read, so that they are not learnt again. Returns the number of deleted learnings.
        """
        return self._run(self._forget_thread(_caller(context, thread_id)))

    async def aforget_thread(self, context: LearningContext, thread_id: str) -> int:
        """Do as `forget_thread` in async code."""
        return await self._arun(self._forget_thread(_caller(context, thread_id)))

    def _list(self, caller: Caller) -> Flow[list[Learning]]:
        return forgetting.list_visible(self.stores, caller, caller.present(datetime.now(UTC)))

    def _forget(self, caller: Caller, keys: Sequence[str]) -> Flow[int]:
        store, now = self._require_store(), datetime.now(UTC)
        if not keys:
            yield from self._loop.dispatch.forget(caller, store)
        forgotten = yield from forgetting.forget(self.stores, caller, keys, now)
        if keys:
            yield from self._loop.dispatch.forget_marked(caller, store)
        return forgotten

    def _opt_out(self, caller: Caller, names: Sequence[str]) -> Flow[int]:
        forgotten = yield from forgetting.opt_out(self.stores, caller, names)
        if not {store.name for store in self.stores} - (yield from opt_out.read_opt_outs(caller)):
            yield from self._loop.dispatch.forget(caller, self._require_store())
        return forgotten

    def _forget_thread(self, caller: Caller) -> Flow[int]:
        yield from self._loop.dispatch.forget(caller, self._require_store())
        return (yield from forgetting.forget_thread(self.stores, caller, datetime.now(UTC)))

    def forget_session(self, context: LearningContext, thread_id: str, *, store: BaseStore | None = None) -> int:
        """Delete what belongs to a thread itself, because the thread was deleted; what was taught there stays.

        What is being learnt from it at that time, or waits, is learnt, too, but nothing of it is stored for the thread.

        store: the store to delete from, where the machine has none because a server brings it.
        Returns the number of deleted learnings: none for a thread in which this user never spoke.
        """
        flow = forgetting.forget_session(self.stores, _caller(context, thread_id), datetime.now(UTC))
        return drive(flow, store or self._require_store())

    async def aforget_session(self, context: LearningContext, thread_id: str, *, store: BaseStore | None = None) -> int:
        """Do as `forget_session` in async code."""
        flow = forgetting.forget_session(self.stores, _caller(context, thread_id), datetime.now(UTC))
        return await adrive(flow, store or self._require_store())

    def history(self, context: LearningContext, key: str, *, thread_id: str | None = None) -> list[Change]:
        """Return all changes of a learning, newest first: time, author, value before and after.

        Raises `NotFound`, and `Misconfigured` for a store without a change log.
        """
        return self._run(history.read_history(self.stores, _caller(context, thread_id), key))

    async def ahistory(self, context: LearningContext, key: str, *, thread_id: str | None = None) -> list[Change]:
        """Do as `history` in async code."""
        return await self._arun(history.read_history(self.stores, _caller(context, thread_id), key))

    def undo(self, context: LearningContext, key: str, *, change: int | None = None) -> tuple[Learning, ...]:
        """Undo the last change of a learning, or the one with this id in its history, and restore what it replaced.

        Edits, approvals, promotions and undos are changes. Returns the learnings as they are now. A learning
        that the change had created is rejected, so that it is not learnt again. Raises `Conflict`, having changed
        nothing, if one of the learnings has changed since.
        """
        return self._run(self._undo(context, key, change))

    async def aundo(self, context: LearningContext, key: str, *, change: int | None = None) -> tuple[Learning, ...]:
        """Do as `undo` in async code."""
        return await self._arun(self._undo(context, key, change))

    def undo_turn(self, context: LearningContext, thread_id: str) -> tuple[Learning, ...]:
        """Undo the last learning step of this user in this thread. Its learnings are not learnt again.

        A second call takes the undo back: undo earlier turns by the keys of their learnings, with `undo`.
        """
        return self._run(history.undo_turn(self.stores, _caller(context, thread_id), self._loop.four_eyes))

    async def aundo_turn(self, context: LearningContext, thread_id: str) -> tuple[Learning, ...]:
        """Do as `undo_turn` in async code."""
        return await self._arun(history.undo_turn(self.stores, _caller(context, thread_id), self._loop.four_eyes))

    def feedback(
        self, context: LearningContext, thread_id: str, message_id: str, verdict: str, comment: str | None = None
    ) -> tuple[Learning, ...]:
        """Record feedback on an answer: "up", "down", or any other text for what would have been right.

        The feedback is a vote on every learning in the answer's context that the user may read. A comment or correction
        is learnt as well, if the machine has `BehavioralFeedback`. Returns the learnings that changed; repeating the
        same feedback changes nothing. Raises `InvalidFields` for empty texts, `NotFound` for an unknown answer.
        """
        return self._run(
            feedback.record_feedback(self.stores, _caller(context, thread_id), message_id, verdict, comment)
        )

    async def afeedback(
        self, context: LearningContext, thread_id: str, message_id: str, verdict: str, comment: str | None = None
    ) -> tuple[Learning, ...]:
        """Do as `feedback` in async code."""
        caller = _caller(context, thread_id)
        return await self._arun(feedback.record_feedback(self.stores, caller, message_id, verdict, comment))

    def outcome(
        self,
        context: LearningContext,
        thread_id: str | None,
        outcome: OutcomeResult,
        *,
        message_id: str | None = None,
        decision: str | None = None,
        comment: str | None = None,
    ) -> tuple[Learning, ...]:
        """Record how a thread or a decision ended: "resolved", "succeeded", "reopened", "failed" or "escalated".

        The first two are a good vote, the others a bad one, on the answer `message_id`, or on the thread's last answer
        with learnings in its context; the comment is learnt as feedback. With the key of a `decision`, the comment is
        recorded as its outcome, and the thread may be None. Returns and raises as `feedback` does.
        """
        caller = _caller(context, thread_id)
        return self._run(feedback.record_outcome(self.stores, caller, outcome, message_id, decision, comment))

    async def aoutcome(
        self,
        context: LearningContext,
        thread_id: str | None,
        outcome: OutcomeResult,
        *,
        message_id: str | None = None,
        decision: str | None = None,
        comment: str | None = None,
    ) -> tuple[Learning, ...]:
        """Do as `outcome` in async code."""
        caller = _caller(context, thread_id)
        return await self._arun(feedback.record_outcome(self.stores, caller, outcome, message_id, decision, comment))

    def usage(
        self,
        *,
        tenant_id: str = "default",
        user_id: str | None = None,
        since: date | None = None,
        until: date | None = None,
    ) -> UsageReport:
        """Return what extractions cost and what came of them: in all, by user and by day. This is for the operator.

        user_id: one user; None: all users of the tenant.
        since, until: the first and the last day, in UTC.
        """
        return self._run(read_report(tenant_id, user_id, since, until))

    async def ausage(
        self,
        *,
        tenant_id: str = "default",
        user_id: str | None = None,
        since: date | None = None,
        until: date | None = None,
    ) -> UsageReport:
        """Do as `usage` in async code."""
        return await self._arun(read_report(tenant_id, user_id, since, until))

    def curate(
        self,
        *,
        tenant_id: str = "default",
        dry_run: bool = False,
        ask: BaseChatModel | str | None = None,
        most_calls: int = MOST_CALLS,
        unused_after: timedelta = UNUSED_AFTER,
        progress: OnProgress | None = None,
    ) -> Report:
        """Clean up all learnings of a tenant and return a report. This is for the operator, not for a user.

        Duplicates are merged, contradictions settled or proposed for review, harmful and unused learnings archived,
        expired ones retired, and votes counted. `undo` reverts a change of curation.

        tenant_id: the tenant whose learnings, of all users, teams and agents, are cleaned up.
        dry_run: report the changes without making them.
        ask: a model, or its name, that judges whether similar statements say the same; None: no model is asked.
        most_calls: maximum number of model calls.
        unused_after: age from which a learning that was never used may be archived.
        progress: called with the number of namespaces that are done, and the number of all.
        """
        settings = CurationSettings(tenant_id, dry_run, ask, most_calls, unused_after, progress)
        return self._run(curate(self.stores, settings))

    async def acurate(
        self,
        *,
        tenant_id: str = "default",
        dry_run: bool = False,
        ask: BaseChatModel | str | None = None,
        most_calls: int = MOST_CALLS,
        unused_after: timedelta = UNUSED_AFTER,
        progress: OnProgress | None = None,
    ) -> Report:
        """Do as `curate` in async code."""
        settings = CurationSettings(tenant_id, dry_run, ask, most_calls, unused_after, progress)
        return await self._arun(curate(self.stores, settings))

    def _undo(self, context: LearningContext, key: str, change: int | None) -> Flow[tuple[Learning, ...]]:
        return history.undo(self.stores, _caller(context), key, change, self._loop.four_eyes)

    def _replay(
        self,
        context: LearningContext,
        key: str,
        graph: Runnable[Any, Any],
        threads: Threads | None,
        agent_context: Any,
    ) -> Flow[tuple[Replay, ...]]:
        setup = ReplaySetup(graph, agent_context if self._loop.context_from else context)
        return replay_turns(self.stores, _caller(context), key, setup, threads or graph)

    def _require_store(self) -> BaseStore:
        if self.store is None:
            raise Misconfigured("Outside a run the machine needs its store: LearningMachine(…, store=store).")
        return self.store


def _caller(context: LearningContext, thread_id: str | None = None) -> Caller:
    return Caller.of(context, thread_id)


def _check_scale(scale: tuple[float, float] | None) -> Scale | None:
    if scale is not None and not _is_scale(scale):
        raise Misconfigured(
            f"scale is two similarities, for nothing in common and, above it, for certain; not {scale!r}."
        )
    return Scale(*scale) if scale else None


def _is_scale(scale: object) -> bool:
    if not isinstance(scale, Sequence) or len(scale) != 2 or not all(isinstance(end, SupportsFloat) for end in scale):
        return False
    return bool(scale[0] < scale[1])


def _load_model(model: BaseChatModel | str | None) -> BaseChatModel | None:
    return init_chat_model(model) if isinstance(model, str) else model


def _check_limits(store_timeout: float | None, timeout: float | None, max_tokens: int | None) -> None:
    if store_timeout is not None:
        check_above_zero("store_timeout", store_timeout, "seconds")
    if timeout is not None:
        check_above_zero("extraction_timeout", timeout, "seconds")
    if max_tokens is not None:
        check_count("extraction_max_tokens", max_tokens, 1)


def _check_choice(setting: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise Misconfigured(f"{setting}= is one of {', '.join(choices)}; not {value!r}.")


def _check_stores(stores: Sequence[LearningStore]) -> None:
    if not isinstance(stores, Sequence) or isinstance(stores, str):
        raise Misconfigured(f"stores= is a list of learning stores, such as [UserMemory()], and {stores!r} is none.")
    if not stores:
        raise Misconfigured("A machine needs at least one learning store, such as UserMemory().")
    if odd := [store for store in stores if not isinstance(store, LearningStore)]:
        raise Misconfigured(f"stores= is a list of learning stores, such as [UserMemory()], and {odd[0]!r} is none.")
    names = [store.name for store in stores]
    for repeated in [name for name in names if names.count(name) > 1]:
        raise Misconfigured(f"Two learning stores share the name {repeated!r}: give one of them another, name=….")


def _check_settings(stores: Sequence[LearningStore], context_budget: int, extraction_budget: int) -> None:
    budgets = (context_budget, extraction_budget)
    if not all(isinstance(budget, int) for budget in budgets) or context_budget < 100 or extraction_budget < 1_000:
        raise Misconfigured("Budgets are in tokens: at least 100 for the context and 1,000 for an extraction.")
    instructions = [store.render_developer_sections() for store in stores if isinstance(store, SelfImprovement)]
    if any(count_tokens(text) > context_budget for text in instructions):
        raise Misconfigured("The sections of SelfImprovement do not fit: give the machine a larger context_budget.")
