"""Graphs that a server runs beside the agent: feedback and curation."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import interrupt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict  # pydantic, for the schemas that Studio shows, asks for this one

from langgraph_learning.agent.run_context import RunContext, is_authorized
from langgraph_learning.agent.state import LearningState
from langgraph_learning.agent.steps import GraphState, Loop, StepFunction
from langgraph_learning.core.flow import Flow
from langgraph_learning.core.records import explain_error
from langgraph_learning.core.scopes import LearningContext
from langgraph_learning.curate.run import CurationSettings, curate
from langgraph_learning.errors import LearningError, NotAllowed
from langgraph_learning.review import decisions
from langgraph_learning.review.feedback import record_feedback

# A list, for LangGraph takes an object whose keys look like ours for answers to several interrupts.
ANSWER_FORMAT = (
    'Answer [{"key": "…", "verdict": "approve" or "reject", "why": "…", "fields": {"<field>": "<corrected>"}}, …]; '
    "why and fields may be left out, and a proposal that is left out goes on waiting."
)
NOT_A_REVIEWER = 'what counts for others is decided by those of whom the authentication handler says "reviews": True'


class CuratorInput(TypedDict, total=False):
    """What is asked for."""

    dry_run: bool
    """True: only tell what would be done."""


class CuratorOutput(TypedDict, total=False):
    """What was done, or would be."""

    report: dict[str, Any]
    told: str
    """The report for people."""


class CuratorState(CuratorInput, CuratorOutput, total=False):
    """Both."""


def curator_graph(
    loop: Loop, node: Callable[[str, Callable[[Mapping[str, Any], RunContext], Flow[dict[str, Any]]], Loop], Any]
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Return the graph that curates the tenant of whoever runs it, if they may."""

    def tidy(state: Mapping[str, Any], run: RunContext) -> Flow[dict[str, Any]]:
        if not is_authorized("curates"):
            raise NotAllowed('You may not curate: the authentication handler has to answer "curates": True for that.')
        report = yield from curate(loop.stores, CurationSettings(run.caller.tenant, bool(state.get("dry_run"))))
        return {"report": report.model_dump(mode="json"), "told": str(report)}

    context = None if loop.context_from else LearningContext
    builder = StateGraph(CuratorState, context, input_schema=CuratorInput, output_schema=CuratorOutput)
    builder.add_node("tidy", node("tidy", tidy, loop), input_schema=CuratorState)
    builder.add_edge(START, "tidy")
    builder.add_edge("tidy", END)
    return builder.compile(store=loop.store, name="curator")


class FeedbackInput(TypedDict, total=False):
    """What somebody says of an answer."""

    thread_id: str
    message_id: str
    verdict: str
    """Either "up", "down", or what would have been right."""
    comment: str | None


class FeedbackOutput(TypedDict, total=False):
    """What came of it."""

    changed: list[str]
    """Keys of the learnings that changed."""
    refused: str | None
    """Why nothing was done, if nothing was."""


class FeedbackState(FeedbackInput, FeedbackOutput, total=False):
    """Both."""


def feedback_graph(
    loop: Loop, node: Callable[[str, Callable[[Mapping[str, Any], RunContext], Flow[dict[str, Any]]], Loop], Any]
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Return the graph by which feedback comes in over a server, in the name of whoever runs it."""

    def give(state: Mapping[str, Any], run: RunContext) -> Flow[dict[str, Any]]:
        # Whoever runs it may send anything: a number, for one, in the place of a text.
        thread, *said = (str(state.get(name) or "") for name in ("thread_id", "message_id", "verdict", "comment"))
        try:
            changed = yield from record_feedback(loop.stores, replace(run.caller, thread=thread), *said)
        except LearningError as error:
            return {"changed": [], "refused": str(error)}
        return {"changed": [one.key for one in changed], "refused": None}

    context = None if loop.context_from else LearningContext
    builder = StateGraph(FeedbackState, context, input_schema=FeedbackInput, output_schema=FeedbackOutput)
    builder.add_node("give", node("give", give, loop), input_schema=FeedbackState)
    builder.add_edge(START, "give")
    builder.add_edge("give", END)
    return builder.compile(store=loop.store, name="feedback")


class ReviewPause(Runnable[Any, Any]):
    """The same as a node in the graph of a conversation: it asks about what this turn proposed, if it proposed any."""

    def __init__(self, graph: CompiledStateGraph[Any, Any, Any, Any]) -> None:
        self.name = "review"
        self.graph = graph
        """What pauses: served on its own, it asks about all that waits where the reviewer may read."""

    def __call__(self, state: LearningState) -> dict[str, Any]:
        """Pause; the annotation tells LangGraph which channels the node needs."""
        return self.invoke(state)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:
        """Pause in the sync world."""
        proposed = input.get("learning_proposed")
        return self.graph.invoke({"learning_proposed": proposed}, config) if proposed else {}

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:
        """Pause in the async world."""
        proposed = input.get("learning_proposed")
        return await self.graph.ainvoke({"learning_proposed": proposed}, config) if proposed else {}


class ReviewVerdict(BaseModel):
    """What a reviewer answers about one proposal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    verdict: Literal["approve", "reject"]
    why: str | None = None
    fields: Mapping[str, Any] = Field(default_factory=dict)
    """Values to correct on approval."""


class ReviewInput(TypedDict, total=False):
    """What to review."""

    learning_proposed: list[str]
    """Keys of proposals; left out: all that wait where the reviewer may read."""


class ReviewOutput(TypedDict, total=False):
    """What came of it."""

    learning_reviewed: dict[str, str]
    """By key: approved, rejected, or refused and why."""


class ReviewState(ReviewInput, ReviewOutput, total=False):
    """What the steps hand on."""

    learning_evidence: list[dict[str, Any]]
    learning_verdicts: Any


def review_graph(loop: Loop, node: Callable[[str, StepFunction, Loop], Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Return the graph that lists what waits, pauses for a person, and does as they say."""
    context = None if loop.context_from else LearningContext
    builder = StateGraph(ReviewState, context, input_schema=ReviewInput, output_schema=ReviewOutput)
    steps = {"look": _list_proposals, "ask": _ask_reviewer, "decide": _decide}
    for name, step in steps.items():
        builder.add_node(name, node(name, _bind_loop(loop, step), loop), input_schema=ReviewState)
    for start, end in zip((START, *steps), (*steps, END), strict=True):
        builder.add_edge(start, end)
    return builder.compile(store=loop.store, name="review")


def _bind_loop(loop: Loop, step: Callable[[Loop, GraphState, RunContext], Flow[dict[str, Any]]]) -> StepFunction:
    return lambda state, run: step(loop, state, run)


def _list_proposals(loop: Loop, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
    """List what waits, with its evidence."""
    asked = state.get("learning_proposed")
    waiting = yield from decisions.list_pending(loop.stores, run.caller)
    wanted = [one for one in waiting if asked is None or one.key in asked]
    reviews = is_authorized("reviews")
    shown = []
    for one in (one for one in wanted if reviews or one.scope.private):
        evidence = yield from decisions.show_evidence(loop.stores, run.caller, one.key)
        shown.append(evidence.model_dump(mode="json"))
    refused = {} if reviews else {one.key: f"refused: {NOT_A_REVIEWER}" for one in wanted if not one.scope.private}
    return {"learning_evidence": shown, "learning_verdicts": [], "learning_reviewed": refused}


def _ask_reviewer(loop: Loop, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
    """Pause. A resumed node runs again from its start, so this one does nothing else; the run knows who answers."""
    yield from ()
    shown = state.get("learning_evidence") or []
    return {"learning_verdicts": interrupt({"proposals": shown, "how": ANSWER_FORMAT})} if shown else {}


def _decide(loop: Loop, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
    """Carry out what the reviewer answered about what they were shown, each on its own."""
    shown = {evidence["key"] for evidence in state.get("learning_evidence") or ()}
    answers = state.get("learning_verdicts")
    outcomes: dict[str, str] = dict(state.get("learning_reviewed") or {})
    for answer in answers if isinstance(answers, list) else [answers] if answers else []:
        key = str(answer.get("key")) if isinstance(answer, Mapping) else "?"
        try:
            verdict = ReviewVerdict.model_validate(answer)
            outcomes[key] = (
                (yield from _carry_out_verdict(loop, run, verdict)) if key in shown else "refused: was not shown"
            )
        except ValidationError as error:
            outcomes[key] = f"refused: {explain_error(error)}. {ANSWER_FORMAT}"
        except LearningError as error:
            outcomes[key] = f"refused: {error}"
    run.emit({"reviewed": outcomes})
    return {"learning_reviewed": outcomes}


def _carry_out_verdict(loop: Loop, run: RunContext, verdict: ReviewVerdict) -> Flow[str]:
    if verdict.verdict == "reject":
        yield from decisions.reject(loop.stores, run.caller, verdict.key, verdict.why)
        return "rejected"
    yield from decisions.approve(loop.stores, run.caller, verdict.key, verdict.why, verdict.fields, loop.four_eyes)
    return "approved"
