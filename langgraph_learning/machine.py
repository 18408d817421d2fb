"""The learning machine: learning stores, the model that extracts, and the policy, together."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from langchain.agents.middleware import AgentMiddleware
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Checkpointer

from langgraph_learning.agent.middleware import LearningMiddleware
from langgraph_learning.agent.nodes import Nodes
from langgraph_learning.agent.run_context import ContextFrom
from langgraph_learning.agent.steps import Loop, OnError
from langgraph_learning.agent.tools import Toolbox, equip_agent
from langgraph_learning.agent.wrap import wrap
from langgraph_learning.core.flow import Facade, Flow
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import Caller, LearningContext
from langgraph_learning.core.store_protocol import Change
from langgraph_learning.core.transcript import count_tokens
from langgraph_learning.curate.judge import MOST_CALLS
from langgraph_learning.curate.report import Report
from langgraph_learning.curate.run import UNUSED_AFTER, CurationSettings, OnProgress, curate
from langgraph_learning.errors import Misconfigured
from langgraph_learning.extract.extraction import Extraction
from langgraph_learning.extract.structured_output import ExtractionMethod
from langgraph_learning.review import feedback
from langgraph_learning.review.api import Review
from langgraph_learning.review.feedback import OutcomeResult
from langgraph_learning.review.instructions import Instructions
from langgraph_learning.review.replay import Replay, ReplaySetup, Threads, replay_turns
from langgraph_learning.stores import SelfImprovement
from langgraph_learning.stores.base import LearningStore
from langgraph_learning.update import forgetting, history, opt_out


class LearningMachine(Facade):
    """Makes an agent learn.

    model: what extracts, a chat model or a name for `init_chat_model` such as "openai:gpt-5-mini"; None for learning
        stores that need none.
    stores: the kinds of learning, in the order in which they are shown.
    store: where learnings are kept, for graphs that are compiled without a store and for looking from outside a run.
    context_from: makes a `LearningContext` of the agent's own context, for agents that have one.
    extraction: how the model is asked; "auto" tries a JSON schema and falls back to tools.
    context_budget: how many tokens of what was learnt an agent is shown at most.
    extraction_budget: how many tokens of conversation one extraction reads at most.
    on_error: "report" keeps the answer and tells of a failed extraction in state and stream; "raise" is for tests.
    shadow: learn, but show nothing of it.
    four_eyes: nobody approves what rests on their own words.

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
        on_error: OnError = "report",
        shadow: bool = False,
        four_eyes: bool = False,
    ) -> None:
        _check(stores, context_budget, extraction_budget)
        super().__init__(self._required_store)
        self.stores = tuple(stores)
        self.store = store
        chat_model = init_chat_model(model) if isinstance(model, str) else model
        self._loop = Loop(
            self.stores,
            Extraction(self.stores, chat_model, extraction, extraction_budget),
            store=store,
            context_from=context_from,
            on_error=on_error,
            budget=context_budget,
            shadow=shadow,
            four_eyes=four_eyes,
        )
        self._toolbox = Toolbox(self._loop)
        self._toolbox.tools()  # a record that tools cannot take is told now

    @property
    def nodes(self) -> Nodes:
        """The steps one by one, for a graph of one's own."""
        return Nodes(self._loop)

    @property
    def review(self) -> Review:
        """What waits for approval: to be listed, seen, approved and rejected."""
        return Review(self.stores, self._required_store, four_eyes=self._loop.four_eyes)

    @property
    def instructions(self) -> Instructions:
        """The agent's instructions: their versions, to be compared and rolled back.

        Raises `Misconfigured` if the machine has no `SelfImprovement`.
        """
        found = next((store for store in self.stores if isinstance(store, SelfImprovement)), None)
        if found is None:
            raise Misconfigured("This machine has no instructions of its own: add SelfImprovement() to its stores.")
        return Instructions(found, self._required_store, four_eyes=self._loop.four_eyes)

    def replay(
        self,
        context: LearningContext,
        key: str,
        graph: Runnable[Any, Any],
        *,
        threads: Threads | None = None,
        agent_context: Any = None,
    ) -> tuple[Replay, ...]:
        """Show what a proposal would change: let the agent answer anew, with and without it, where it went wrong.

        The turns are those whose messages the proposal and its evidence rest on; every one is answered as the reviewer
        of the context, not as the user who asked, in a thread of its own that is deleted afterwards. Nothing is learnt.
        The agent's tools run again, twice a turn: replay an agent whose tools do no harm.

        graph: the agent that learns with this machine.
        threads: where the conversations are, if not with the graph: such as a `RemoteGraph` for those of a server.
        agent_context: what the graph is run with, where the machine has a `context_from`.

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
        """`replay` for the async world."""
        return await self._arun(self._replay(context, key, graph, threads, agent_context))

    def middleware(self) -> AgentMiddleware[Any, Any, Any]:
        """Return the loop as a middleware for `create_agent`. It brings the tools along."""
        return LearningMiddleware(self._loop, self.tools())

    def tools(self) -> list[BaseTool]:
        """Return what an agent searches, saves and forgets with: the tools of all stores that have some."""
        return self._toolbox.tools()

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

        agent: a compiled graph (of `create_agent` or your own), a Runnable, or a function of the state, plain or async;
            where the agent needs the machine's tools, a function of `tools` that makes it.
        store, checkpointer, name: as for `compile`; by default the agent's own.
        inject: False if the agent's nodes call `learned_context()` themselves.

        Raises `Misconfigured` for an agent that cannot be wrapped.
        """
        agent = equip_agent(agent, self.tools(), self.stores)
        return wrap(self._loop, agent, store=store, checkpointer=checkpointer, name=name, inject=inject)

    def learnings(self, context: LearningContext, *, thread_id: str | None = None) -> list[Learning]:
        """Return all that this caller could be shown, by kind, newest first; with a thread, its session too."""
        return self._run(forgetting.list_visible(self.stores, _caller(context, thread_id), datetime.now(UTC)))

    async def alearnings(self, context: LearningContext, *, thread_id: str | None = None) -> list[Learning]:
        """`learnings` for the async world."""
        return await self._arun(forgetting.list_visible(self.stores, _caller(context, thread_id), datetime.now(UTC)))

    def forget(self, context: LearningContext, *keys: str) -> int:
        """Remove learnings by key, superseded ones too; without keys, all that is the user's alone.

        That is what is private to them, and what waits for approval on their words only. What a thread keeps of itself
        goes with the thread: `forget_thread`. Returns how many were removed. Raises `NotFound` if the caller can see
        nothing with such a key; then none is.
        """
        return self._run(forgetting.forget(self.stores, _caller(context), keys))

    async def aforget(self, context: LearningContext, *keys: str) -> int:
        """`forget` for the async world."""
        return await self._arun(forgetting.forget(self.stores, _caller(context), keys))

    def opt_out(self, context: LearningContext, *stores: str) -> int:
        """Learn nothing more of this user in the learning stores of these names, by default in all, until they opt in.

        What is theirs alone there is removed, as `forget` does; returns how many learnings that were. Raises `NotFound`
        for a name that the machine does not have.
        """
        return self._run(forgetting.opt_out(self.stores, _caller(context), stores))

    async def aopt_out(self, context: LearningContext, *stores: str) -> int:
        """`opt_out` for the async world."""
        return await self._arun(forgetting.opt_out(self.stores, _caller(context), stores))

    def opt_in(self, context: LearningContext, *stores: str) -> None:
        """Learn of this user again in the learning stores of these names, by default in all."""
        self._run(opt_out.opt_in(self.stores, _caller(context), stores))

    async def aopt_in(self, context: LearningContext, *stores: str) -> None:
        """`opt_in` for the async world."""
        await self._arun(opt_out.opt_in(self.stores, _caller(context), stores))

    def forget_thread(self, context: LearningContext, thread_id: str) -> int:
        """Remove a thread's session and all that this user taught in that thread and nowhere else.

        What was read stays marked as read, so that it is not learnt again. Returns how many learnings were removed.
        """
        return self._run(forgetting.forget_thread(self.stores, _caller(context, thread_id)))

    async def aforget_thread(self, context: LearningContext, thread_id: str) -> int:
        """`forget_thread` for the async world."""
        return await self._arun(forgetting.forget_thread(self.stores, _caller(context, thread_id)))

    def history(self, context: LearningContext, key: str, *, thread_id: str | None = None) -> list[Change]:
        """Return all that happened to a learning, newest first: when, by whom, before and after.

        Raises `NotFound`, and `Misconfigured` for a store that keeps no log of changes.
        """
        return self._run(history.read_history(self.stores, _caller(context, thread_id), key))

    async def ahistory(self, context: LearningContext, key: str, *, thread_id: str | None = None) -> list[Change]:
        """`history` for the async world."""
        return await self._arun(history.read_history(self.stores, _caller(context, thread_id), key))

    def undo(self, context: LearningContext, key: str, *, change: int | None = None) -> tuple[Learning, ...]:
        """Take back the last change of a learning, or the one with this id in its history, with what it replaced.

        An edit, an approval, a promotion, another undo: all are changes. Returns the learnings as they are now; what
        was new is refused from now on. Raises `Conflict`, having changed nothing, if something of it has changed since.
        """
        return self._run(self._undo(context, key, change))

    async def aundo(self, context: LearningContext, key: str, *, change: int | None = None) -> tuple[Learning, ...]:
        """`undo` for the async world."""
        return await self._arun(self._undo(context, key, change))

    def undo_turn(self, context: LearningContext, thread_id: str) -> tuple[Learning, ...]:
        """Take back all that was last learnt from this user in this thread; it is not learnt again."""
        return self._run(history.undo_turn(self.stores, _caller(context, thread_id), self._loop.four_eyes))

    async def aundo_turn(self, context: LearningContext, thread_id: str) -> tuple[Learning, ...]:
        """`undo_turn` for the async world."""
        return await self._arun(history.undo_turn(self.stores, _caller(context, thread_id), self._loop.four_eyes))

    def feedback(
        self, context: LearningContext, thread_id: str, message_id: str, verdict: str, comment: str | None = None
    ) -> tuple[Learning, ...]:
        """Say of an answer that it was good ("up"), bad ("down"), or what would have been right (any other text).

        That votes on all that the answer had in its context, as far as the context's user may read it. A comment or a
        correction is learnt, too, if the machine has `BehavioralFeedback`. Returns the learnings that changed; saying
        the same again changes nothing. Raises `InvalidFields` for what is empty, `NotFound` for an unknown answer.
        """
        return self._run(
            feedback.record_feedback(self.stores, _caller(context, thread_id), message_id, verdict, comment)
        )

    async def afeedback(
        self, context: LearningContext, thread_id: str, message_id: str, verdict: str, comment: str | None = None
    ) -> tuple[Learning, ...]:
        """`feedback` for the async world."""
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
        """Tell how it ended: "resolved" and "succeeded" are good; "reopened", "failed" and "escalated" are not.

        That is a verdict on the thread's last answer that had something in its context, or on `message_id`, with the
        comment learnt as feedback. With the key of a `decision`, it is what came of it, in the words of the comment;
        then the thread may be None. Returns and raises as `feedback` does.
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
        """`outcome` for the async world."""
        caller = _caller(context, thread_id)
        return await self._arun(feedback.record_outcome(self.stores, caller, outcome, message_id, decision, comment))

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
        """Tidy up all that was learnt for a tenant: for whoever runs the system, not for a user; return what was done.

        What says the same is merged, what contradicts itself settled or put to review, what did harm or was never used
        put away, what has expired retired, and votes are summed up. `undo` takes back what was done to a learning.

        tenant_id: whose learnings, of all users, teams and agents.
        dry_run: report what would be done, and write nothing.
        ask: a model, or its name, that is asked whether look-alikes say the same; None: none is asked.
        most_calls: how often it is asked at most.
        unused_after: how old a learning is that may count as never used.
        progress: called with how many places are done, and of how many.
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
        """`curate` for the async world."""
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
        stage = ReplaySetup(graph, agent_context if self._loop.context_from else context)
        return replay_turns(self.stores, _caller(context), key, stage, threads or graph)

    def _required_store(self) -> BaseStore:
        if self.store is None:
            raise Misconfigured(
                "To look from outside a run, give the machine its store: LearningMachine(…, store=store)."
            )
        return self.store


def _caller(context: LearningContext, thread_id: str | None = None) -> Caller:
    return Caller.of(context, thread_id)


def _check(stores: Sequence[LearningStore], context_budget: int, extraction_budget: int) -> None:
    if not stores:
        raise Misconfigured("A machine needs at least one learning store, such as UserMemory().")
    names = [store.name for store in stores]
    kinds = [kind for store in stores for kind in store.kinds]
    for repeated in [name for name in (*names, *kinds) if names.count(name) > 1 or kinds.count(name) > 1]:
        raise Misconfigured(
            f"Two learning stores share the name {repeated!r}: give one of them another name and record."
        )
    written = [store.written() for store in stores if isinstance(store, SelfImprovement)]
    if any(count_tokens(text) > context_budget for text in written):
        raise Misconfigured("The sections of SelfImprovement do not fit: give the machine a larger context_budget.")
    if context_budget < 100 or extraction_budget < 1_000:
        raise Misconfigured("Budgets are in tokens: at least 100 for the context and 1,000 for an extraction.")
