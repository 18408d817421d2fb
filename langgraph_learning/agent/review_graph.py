"""A pause for approval inside a graph: look what waits, ask, and carry out what was answered."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import interrupt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict  # pydantic, for the schemas that Studio shows, asks for this one

from langgraph_learning.agent.run_context import Run, vouched
from langgraph_learning.agent.state import LearningState
from langgraph_learning.agent.steps import Loop
from langgraph_learning.core.flow import Flow
from langgraph_learning.core.records import reason
from langgraph_learning.core.scopes import LearningContext
from langgraph_learning.errors import LearningError
from langgraph_learning.review import decisions

# A list, for LangGraph takes an object whose keys look like ours for answers to several interrupts.
HOW = (
    'Answer [{"key": "…", "verdict": "approve" or "reject", "why": "…", "fields": {"<field>": "<corrected>"}}, …]; '
    "why and fields may be left out, and a proposal that is left out goes on waiting."
)
NOT_THEIRS = 'what counts for others is decided by those of whom the authentication handler says "reviews": True'

State = Mapping[str, Any]
Step = Callable[[State, Run], Flow[dict[str, Any]]]


class Verdict(BaseModel):
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


def review_graph(loop: Loop, node: Callable[[str, Step, Loop], Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Return the graph that lists what waits, pauses for a person, and does as they say."""
    context = None if loop.context_from else LearningContext
    builder = StateGraph(ReviewState, context, input_schema=ReviewInput, output_schema=ReviewOutput)
    steps = {"look": _look, "ask": _ask, "decide": _decide}
    for name, step in steps.items():
        builder.add_node(name, node(name, _for(loop, step), loop), input_schema=ReviewState)
    for start, end in zip((START, *steps), (*steps, END), strict=True):
        builder.add_edge(start, end)
    return builder.compile(store=loop.store, name="review")


class Pause(Runnable[Any, Any]):
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


def _for(loop: Loop, step: Callable[[Loop, State, Run], Flow[dict[str, Any]]]) -> Step:
    return lambda state, run: step(loop, state, run)


def _look(loop: Loop, state: State, run: Run) -> Flow[dict[str, Any]]:
    """List what waits, with its evidence."""
    asked = state.get("learning_proposed")
    waiting = yield from decisions.pending(loop.stores, run.caller)
    wanted = [one for one in waiting if asked is None or one.key in asked]
    reviews = vouched("reviews")
    shown = []
    for one in (one for one in wanted if reviews or one.scope.private):
        evidence = yield from decisions.show(loop.stores, run.caller, one.key)
        shown.append(evidence.model_dump(mode="json"))
    refused = {} if reviews else {one.key: f"refused: {NOT_THEIRS}" for one in wanted if not one.scope.private}
    return {"learning_evidence": shown, "learning_verdicts": [], "learning_reviewed": refused}


def _ask(loop: Loop, state: State, run: Run) -> Flow[dict[str, Any]]:
    """Pause. A resumed node runs again from its start, so this one does nothing else; the run knows who answers."""
    yield from ()
    shown = state.get("learning_evidence") or []
    return {"learning_verdicts": interrupt({"proposals": shown, "how": HOW})} if shown else {}


def _decide(loop: Loop, state: State, run: Run) -> Flow[dict[str, Any]]:
    """Carry out what the reviewer answered about what they were shown, each on its own."""
    shown = {evidence["key"] for evidence in state.get("learning_evidence") or ()}
    answers = state.get("learning_verdicts")
    outcomes: dict[str, str] = dict(state.get("learning_reviewed") or {})
    for answer in answers if isinstance(answers, list) else [answers] if answers else []:
        key = str(answer.get("key")) if isinstance(answer, Mapping) else "?"
        try:
            verdict = Verdict.model_validate(answer)
            outcomes[key] = (yield from _carried_out(loop, run, verdict)) if key in shown else "refused: was not shown"
        except ValidationError as error:
            outcomes[key] = f"refused: {reason(error)}. {HOW}"
        except LearningError as error:
            outcomes[key] = f"refused: {error}"
    run.tell({"reviewed": outcomes})
    return {"learning_reviewed": outcomes}


def _carried_out(loop: Loop, run: Run, verdict: Verdict) -> Flow[str]:
    if verdict.verdict == "reject":
        yield from decisions.reject(loop.stores, run.caller, verdict.key, verdict.why)
        return "rejected"
    yield from decisions.approve(loop.stores, run.caller, verdict.key, verdict.why, verdict.fields, loop.four_eyes)
    return "approved"
