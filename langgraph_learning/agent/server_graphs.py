"""Graphs that a server runs beside the agent: review with a pause for a person, feedback and curation."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import interrupt
from langgraph_sdk import get_client
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict  # pydantic, for the schemas that Studio shows, asks for this one

from langgraph_learning.agent.run_context import RunContext, is_authorized
from langgraph_learning.agent.state import LearningState
from langgraph_learning.agent.steps import GraphState, Loop, Node, StepFunction
from langgraph_learning.background.dispatch import context_of
from langgraph_learning.background.queue import JobArgs
from langgraph_learning.background.server_runs import OnServer
from langgraph_learning.core.flow import Flow, wait_for
from langgraph_learning.core.records import explain_error
from langgraph_learning.core.scopes import LearningContext
from langgraph_learning.curate.run import CurationSettings, curate
from langgraph_learning.errors import LearningError, NotAllowed
from langgraph_learning.review import decisions
from langgraph_learning.review.feedback import record_feedback

Graph = CompiledStateGraph[Any, Any, Any, Any]

# A list, because LangGraph takes an object whose keys look like ours for answers to several interrupts.
ANSWER_FORMAT = (
    'Answer [{"key": "…", "verdict": "approve" or "reject", "why": "…", "fields": {"<field>": "<corrected>"}}, …]; '
    "why and fields may be left out. A proposal that is left out keeps waiting."
)
REPEAT = f"Nothing was decided: run the review again. {ANSWER_FORMAT}"
NOT_A_REVIEWER = 'only accounts for which the authentication handler returns "reviews": True decide on shared proposals'


def service_graph(
    loop: Loop, name: str, steps: Mapping[str, StepFunction], state: type, input: type, output: type
) -> Graph:
    """Return a graph of its own that runs steps one after the other, for `langgraph.json`."""
    context = None if loop.context_from else LearningContext
    builder: StateGraph[Any, Any, Any, Any] = StateGraph(state, context, input_schema=input, output_schema=output)
    previous = START
    for step_name, step in steps.items():
        builder.add_node(step_name, Node(step_name, step, loop), input_schema=state)
        builder.add_edge(previous, step_name)
        previous = step_name
    builder.add_edge(previous, END)
    return builder.compile(store=loop.store, name=name)


class CuratorInput(TypedDict, total=False):
    """Options of a curation run."""

    dry_run: bool
    """True: report the changes without making them."""


class CuratorOutput(TypedDict, total=False):
    """Result of a curation run."""

    report: dict[str, Any]
    told: str
    """The report as text."""


class CuratorState(CuratorInput, CuratorOutput, total=False):
    """Input and output of the curator graph."""


def curator_graph(loop: Loop) -> Graph:
    """Return the graph that curates the caller's tenant, if the caller may."""

    def tidy(state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        if not is_authorized("curates"):
            raise NotAllowed('You may not curate: the authentication handler has to answer "curates": True for that.')
        report = yield from curate(loop.stores, CurationSettings(run.caller.tenant, bool(state.get("dry_run"))))
        return {"report": report.model_dump(mode="json"), "told": str(report)}

    return service_graph(loop, "curator", {"tidy": tidy}, CuratorState, CuratorInput, CuratorOutput)


class LearnerInput(TypedDict, total=False):
    """Work that a run of the agent leaves."""

    job: dict[str, Any]
    set_aside: str
    """Why this is not tried again; empty if it is."""


class LearnerOutput(TypedDict, total=False):
    """What becomes of the work."""

    waits: str
    """Who learns from it."""


class LearnerState(LearnerInput, LearnerOutput, total=False):
    """Input and output of the graph that learns."""


def learner_graph(loop: Loop) -> Graph:
    """Return the graph that learns for runs of the agent, if the machine has learn="server"."""
    on_server = loop.dispatch if isinstance(loop.dispatch, OnServer) else OnServer(loop.learner, loop.schedule)

    def learn(state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        # The server runs it as the user of the run that left the work, and lets it read only what that user may read.
        # A client may start it too, with anything as its input: it is learnt from in the client's own name.
        args = JobArgs.model_validate(state.get("job")).model_copy(update={"context": context_of(run.caller)})
        if reason := state.get("set_aside"):
            raise LearningError(f"This job is set aside: {reason}")
        yield from wait_for(on_server.beside.learn(get_client(), args, run.store))
        return {"waits": "the server learns from it beside its runs"}

    return service_graph(loop, "learner", {"learn": learn}, LearnerState, LearnerInput, LearnerOutput)


class FeedbackInput(TypedDict, total=False):
    """Feedback on one answer."""

    thread_id: str
    message_id: str
    verdict: str
    """Either "up", "down", or what would have been right."""
    comment: str | None


class FeedbackOutput(TypedDict, total=False):
    """Result of the feedback."""

    changed: list[str]
    """Keys of the learnings that changed."""
    refused: str | None
    """Why nothing was done, if nothing was."""


class FeedbackState(FeedbackInput, FeedbackOutput, total=False):
    """Input and output of the feedback graph."""


def feedback_graph(loop: Loop) -> Graph:
    """Return the graph that records feedback on an answer in the caller's name."""

    def give(state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        # A client may send anything, for example a number instead of a text.
        thread, *said = (str(state.get(name) or "") for name in ("thread_id", "message_id", "verdict", "comment"))
        try:
            changed = yield from record_feedback(loop.stores, replace(run.caller, thread=thread), *said)
        except LearningError as error:
            return {"changed": [], "refused": str(error)}
        return {"changed": [learning.key for learning in changed], "refused": None}

    return service_graph(loop, "feedback", {"give": give}, FeedbackState, FeedbackInput, FeedbackOutput)


class ReviewVerdict(BaseModel):
    """A reviewer's answer about one proposal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    verdict: Literal["approve", "reject"]
    why: str | None = None
    fields: Mapping[str, Any] = Field(default_factory=dict)
    """Values to correct on approval."""


class ReviewInput(TypedDict, total=False):
    """The proposals to review."""

    learning_proposed: list[str]
    """Keys of proposals; left out: all pending proposals that the reviewer may read."""


class ReviewOutput(TypedDict, total=False):
    """Result of a review."""

    learning_reviewed: dict[str, str]
    """By key: approved, rejected, or refused with the reason."""


class ReviewState(ReviewInput, ReviewOutput, total=False):
    """Input and output of the review graph, and what its steps hand on."""

    learning_evidence: list[dict[str, Any]]
    learning_verdicts: Any


def review_graph(loop: Loop) -> Graph:
    """Return the graph that lists pending proposals, pauses for a person, and carries out the decisions."""

    def look(state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        return (yield from _list_proposals(loop, state, run))

    def decide(state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
        return (yield from _decide(loop, state, run))

    steps = {"look": look, "ask": _ask_reviewer, "decide": decide}
    return service_graph(loop, "review", steps, ReviewState, ReviewInput, ReviewOutput)


class ReviewPause(Runnable[Any, Any]):
    """The review graph as a node of a conversation's graph: it asks about the proposals of this turn, if any."""

    def __init__(self, graph: Graph) -> None:
        self.name = "review"
        self.graph = graph
        """The graph that pauses. Served on its own, it asks about all pending proposals that the reviewer may read."""

    def __call__(self, state: LearningState) -> dict[str, Any]:
        """Pause. The annotation tells LangGraph which channels the node needs."""
        return self.invoke(state)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:
        """Pause."""
        proposed = input.get("learning_proposed")
        return self.graph.invoke({"learning_proposed": proposed}, config) if proposed else {}

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> dict[str, Any]:
        """Pause asynchronously."""
        proposed = input.get("learning_proposed")
        return await self.graph.ainvoke({"learning_proposed": proposed}, config) if proposed else {}


def _list_proposals(loop: Loop, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
    """List the proposals to review, with their evidence. Without permission that is what is private to the caller."""
    wanted = state.get("learning_proposed")
    pending = yield from decisions.list_pending(loop.stores, run.caller)
    proposals = [proposal for proposal in pending if wanted is None or proposal.key in wanted]
    may_review = is_authorized("reviews")
    shown = []
    refused = {}
    for proposal in proposals:
        if may_review or proposal.scope.private:
            evidence = yield from decisions.show_evidence(loop.stores, run.caller, proposal.key)
            shown.append(evidence.model_dump(mode="json"))
        else:
            refused[proposal.key] = f"refused: {NOT_A_REVIEWER}"
    return {"learning_evidence": shown, "learning_verdicts": [], "learning_reviewed": refused}


def _ask_reviewer(state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
    """Pause. A resumed node runs again from its start, so this one does nothing else; the run knows who answers."""
    yield from ()
    shown = state.get("learning_evidence") or []
    return {"learning_verdicts": interrupt({"proposals": shown, "how": ANSWER_FORMAT})} if shown else {}


def _decide(loop: Loop, state: GraphState, run: RunContext) -> Flow[dict[str, Any]]:
    """Carry out the reviewer's answers about the proposals that were shown, each on its own."""
    evidence = [shown for shown in state.get("learning_evidence") or () if isinstance(shown, Mapping)]
    shown = {str(shown.get("key")) for shown in evidence}
    answers = state.get("learning_verdicts")
    outcomes: dict[str, str] = dict(state.get("learning_reviewed") or {})
    for answer in answers if isinstance(answers, list) else [answers] if answers else []:
        if not isinstance(answer, Mapping):
            outcomes["?"] = f"refused: {answer!r} is no verdict. {REPEAT}"
            continue
        key = str(answer.get("key"))
        try:
            verdict = ReviewVerdict.model_validate(answer)
            if key in shown:
                outcomes[key] = yield from _carry_out_verdict(loop, run, verdict)
            else:
                outcomes[key] = "refused: was not shown"
        except ValidationError as error:
            outcomes[key] = f"refused: {explain_error(error)}. {REPEAT}"
        except LearningError as error:
            outcomes[key] = f"refused: {error}"
    run.emit({"reviewed": outcomes})
    return {"learning_reviewed": outcomes}


def _carry_out_verdict(loop: Loop, run: RunContext, verdict: ReviewVerdict) -> Flow[str]:
    # A client can write into the state that something was shown. What counts is the proposal in the store.
    proposal = yield from decisions.read_proposal(loop.stores, run.caller, verdict.key)
    if not (proposal.scope.private or is_authorized("reviews")):
        raise NotAllowed(NOT_A_REVIEWER)
    if verdict.verdict == "reject":
        yield from decisions.reject_proposal(loop.stores, run.caller, verdict.key, verdict.why)
        return "rejected"
    yield from decisions.approve_proposal(
        loop.stores, run.caller, verdict.key, verdict.why, verdict.fields, loop.four_eyes
    )
    return "approved"
