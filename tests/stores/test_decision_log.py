"""DecisionLog: decisions with reasons and alternatives, and their outcomes."""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from people import ALEX, EVE, NOTHING, SAM, echo, edit, edits, machine, prompt, said, thread
from typer.testing import CliRunner

from langgraph_learning import DecisionLog, LearningContext, LearningMachine, Mode, Scope, UserMemory
from langgraph_learning.cli import app
from langgraph_learning.core.learning import Learning
from langgraph_learning.errors import Misconfigured, NotFound
from langgraph_learning.testing import ScriptedModel


def decided(decision: str = "Use Kafka for events", replaces: str | None = None, **fields: Any) -> dict[str, Any]:
    """An edit that notes a decision."""
    given = {"reasoning": "Replay is needed", "alternatives": ["SQS"], "context": None, "confidence": "medium"}
    return edit("decision", replaces=replaces, decision=decision, **{**given, **fields})


def came_of(outcome: str, worked: bool | None = None, of: str = "decision") -> Callable[..., dict[str, Any]]:
    """An extraction that notes an outcome of the first thing known of this kind."""
    return lambda shown: edits(edit("outcome", decision=known(shown, of), outcome=outcome, worked=worked))


def known(shown: Sequence[BaseMessage], kind: str) -> str:
    """The key under which an extraction was shown the first thing known of a kind."""
    found = re.search(rf"^(k\d+): {kind} ", shown[1].text, re.MULTILINE)
    assert found

    return found[1]


def logged(store: BaseStore, *turns: Any, **options: Any) -> LearningMachine:
    """A machine after turns of one thread that taught this; what users ask there is about events."""
    learning = machine(list(turns), [DecisionLog(**options)], store=store)
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    for number, _ in enumerate(turns):
        agent.invoke(said(f"Our events, turn {number}"), thread("a"), context=ALEX)
    return learning


def shown(store: BaseStore, question: str = "What about Kafka?", who: LearningContext = ALEX, **options: Any) -> str:
    """Return the decisions that an agent is shown."""
    talk = echo()
    learning = machine([NOTHING], [DecisionLog(**options)], store=store)
    learning.wrap(create_agent(talk, [])).invoke(said(question), thread("b"), context=who)
    return prompt(talk.shown[-1])


def by_kind(learning: LearningMachine, kind: str) -> list[Learning]:
    return [one for one in learning.learnings(ALEX) if one.kind == kind]


def test_what_why_and_how_it_turned_out(postgres_store: BaseStore):
    """One question finds the decision with its reasons, and under it what came of it, each with its date."""
    learning = logged(postgres_store, edits(decided()), came_of("Two days of care a month", worked=False))
    (decision,), (outcome,) = by_kind(learning, "decision"), by_kind(learning, "outcome")
    day = f"({decision.learned_at:%Y-%m-%d})"

    rows = [
        f"- Use Kafka for events [{decision.key[:8]}] {day}",
        "  - why: Replay is needed",
        "  - instead of: SQS",
        "  - confidence: medium",
        f"  - outcome: did not work: Two days of care a month {day}",
    ]
    assert "\n".join(rows) in shown(postgres_store)
    assert (decision.key,) == outcome.derived_from


def test_an_outcome_is_found_by_what_was_decided(postgres_store: BaseStore):
    """Its own words need not be in the question."""
    learning = logged(postgres_store, edits(decided()), came_of("The cluster costs two days a month"))
    (outcome,) = by_kind(learning, "outcome")

    assert "Use Kafka for events → The cluster costs two days a month" == outcome.text


def test_a_decision_said_again_is_no_second_one(postgres_store: BaseStore):
    """It gains a source, and keeps its key."""
    learning = logged(postgres_store, edits(decided()), edits(decided()))
    (decision,) = by_kind(learning, "decision")

    assert 2 == len(decision.sources)


def test_a_decision_for_another_reason_is_decided_anew(postgres_store: BaseStore):
    """Even if the model did not say what it replaces."""
    learning = logged(postgres_store, edits(decided()), edits(decided(reasoning="We need order")))
    (decision,) = by_kind(learning, "decision")

    assert "We need order" == decision.data["reasoning"]
    assert 1 == len(decision.supersedes)


def test_what_came_of_a_decision_that_was_replaced_stays(postgres_store: BaseStore):
    """It is shown as what it is: of an earlier decision, never of the new one."""
    learning = logged(
        postgres_store,
        edits(decided()),
        came_of("Too dear", worked=False),
        lambda shown: edits(decided("Use SQS for events", known(shown, "decision"), alternatives=["Kafka"])),
    )
    (decision,) = by_kind(learning, "decision")

    old = f"- outcome of Use Kafka for events [{decision.supersedes[0][:8]}], decided earlier: did not work: Too dear"
    assert "Use SQS for events" == decision.data["decision"]
    assert old in shown(postgres_store, "What about events, Kafka or SQS?")


def test_a_decision_is_retired_on_request(postgres_store: BaseStore):
    """It is shown no longer; it stays as history."""
    learning = logged(
        postgres_store,
        edits(decided()),
        lambda shown: edits({"edit": "forget", "replaces": known(shown, "decision"), "message": 1}),
    )

    assert [] == learning.learnings(ALEX)
    assert "Kafka for" not in shown(postgres_store)


def turned_out(store: BaseStore) -> LearningMachine:
    """A machine that knows a decision of thread a and, from no thread, how it turned out."""
    learning = logged(store, edits(decided()))
    (decision,) = by_kind(learning, "decision")
    learning.outcome(ALEX, None, "failed", decision=decision.key, comment="Too dear")
    return learning


FORGETTING: dict[str, Callable[[LearningMachine, Learning], Any]] = {
    "by key": lambda learning, one: learning.forget(ALEX, one.key),
    "with its thread": lambda learning, one: learning.forget_thread(ALEX, "a"),
    "all": lambda learning, one: learning.forget(ALEX),
}


@pytest.mark.parametrize("forget", FORGETTING.values(), ids=FORGETTING)
def test_what_came_of_a_forgotten_decision_does_not_tell_it(
    postgres_store: BaseStore, database_url: str, forget: Callable[[LearningMachine, Learning], Any]
):
    """It holds the decision's words: nothing of them is left in the database."""
    learning = turned_out(postgres_store)
    forget(learning, by_kind(learning, "decision")[0])

    with psycopg.connect(database_url) as connection:
        tables = ("learning_items", "learning_texts", "learning_changes")
        rows = str([connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables]).casefold()
    assert "kafka" not in rows


def test_the_command_line_forgets_both(postgres_store: BaseStore, database_url: str):
    """Though it knows no machine."""
    learning = turned_out(postgres_store)
    key = by_kind(learning, "decision")[0].key
    done = CliRunner().invoke(app, ["forget", key, "--user", "alex", "--url", database_url], catch_exceptions=False)

    assert "Forgotten: 2." in done.stdout
    assert [] == learning.learnings(ALEX)


def test_a_decision_that_is_retired_takes_along_what_came_of_it(postgres_store: BaseStore):
    """In the conversation: neither is shown again."""
    learning = turned_out(postgres_store)
    forgets = machine(
        lambda shown: edits({"edit": "forget", "replaces": known(shown, "decision"), "message": 1}),
        [DecisionLog()],
        store=postgres_store,
    )
    forgets.wrap(create_agent(echo(), [])).invoke(said("Forget that we use Kafka"), thread("c"), context=ALEX)

    assert [] == learning.learnings(ALEX)
    assert "Too dear" not in shown(postgres_store)


def test_what_came_of_another_decision_stays(postgres_store: BaseStore):
    """Only what repeats the words goes with them."""
    learning = logged(postgres_store, edits(decided(), decided("Use Vue for the shop")))
    kafka, vue = sorted(by_kind(learning, "decision"), key=lambda one: one.text)
    for one in (kafka, vue):
        learning.outcome(ALEX, None, "succeeded", decision=one.key)
    learning.forget(ALEX, kafka.key)

    assert ["Use Vue for the shop → worked: succeeded"] == [one.text for one in by_kind(learning, "outcome")]


def test_an_outcome_needs_a_decision(postgres_store: BaseStore):
    """The model is told so; the edit is dropped, the rest is learnt."""
    note = edits(edit("observation", observation="Likes Kafka", replaces=None, message=1))
    learning = machine(
        [note, *[came_of("Fine", of="observation")] * 2], [UserMemory(), DecisionLog()], store=postgres_store
    )
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    agent.invoke(said("I like Kafka"), thread("a"), context=ALEX)
    result = agent.invoke(said("Kafka is fine"), thread("a"), context=ALEX)

    assert "only a decision has an outcome" in result["learning_errors"][0]
    assert ["observation"] == [one.kind for one in learning.learnings(ALEX)]


def test_a_team_knows_what_it_decided_and_no_rival_does(postgres_store: BaseStore):
    """Scope TEAM: Sam is told who said it."""
    logged(postgres_store, edits(decided()), scope=Scope.TEAM)

    assert "Use Kafka for events" in shown(postgres_store, who=SAM, scope=Scope.TEAM)
    assert "said by alex" in shown(postgres_store, who=SAM, scope=Scope.TEAM)
    assert "Use Kafka" not in shown(postgres_store, who=EVE, scope=Scope.TEAM)


def test_the_nearest_decisions_are_shown(postgres_store: BaseStore):
    """Of many, those that the question is about, as many as the store shows."""
    topics = ["Kafka for events", "Redis for sessions", "Vue for the shop", "Bazel for builds"]
    logged(postgres_store, *(edits(decided(f"Use {topic}", reasoning="", alternatives=[])) for topic in topics))

    text = shown(postgres_store, "Why Redis for sessions?", limit=1)

    assert "Use Redis for sessions [" in text
    assert "Kafka" not in text


def test_code_tells_how_a_decision_turned_out(postgres_store: BaseStore):
    """Without any thread; saying it again changes nothing."""
    learning = logged(postgres_store, edits(decided()))
    (decision,) = by_kind(learning, "decision")
    (outcome,) = learning.outcome(ALEX, None, "succeeded", decision=decision.key, comment="No message lost in May")

    assert "Use Kafka for events → worked: No message lost in May" == outcome.text
    assert () == learning.outcome(ALEX, None, "succeeded", decision=decision.key, comment="No message lost in May")
    assert "outcome: worked: No message lost in May" in shown(postgres_store)


def test_a_decision_that_nobody_knows_has_no_outcome(postgres_store: BaseStore):
    """Nor has one of a stranger, or something else that is known."""
    learning = logged(postgres_store, edits(decided()))
    (decision,) = by_kind(learning, "decision")

    with pytest.raises(NotFound, match="'nowhere'"):
        learning.outcome(ALEX, None, "failed", decision="nowhere")
    with pytest.raises(NotFound, match="eve can see"):
        learning.outcome(EVE, None, "failed", decision=decision.key)


def test_a_machine_without_decisions_says_so():
    """The error names the missing store."""
    learning = machine([], [UserMemory()], store=InMemoryStore())

    with pytest.raises(Misconfigured, match="DecisionLog"):
        learning.outcome(ALEX, None, "failed", decision="any")


def test_the_agent_notes_an_outcome_with_a_tool(postgres_store: BaseStore):
    """It gives the decision's key as search_learnings tells it."""
    learning = logged(postgres_store, edits(decided()))
    (decision,) = by_kind(learning, "decision")
    call = {"decision": decision.key, "outcome": "Replay saved the quarter", "worked": True, "replaces": None}
    talk = ScriptedModel([AIMessage("", tool_calls=[{"name": "save_outcome", "args": call, "id": "c1"}]), "Noted."])
    agentic = machine([], [DecisionLog(mode=Mode.AGENTIC)], store=postgres_store)
    agent = create_agent(talk, middleware=[agentic.middleware()], store=postgres_store, checkpointer=InMemorySaver())

    agent.invoke(said("Replay saved the quarter"), thread("c"), context=ALEX)

    assert ["Use Kafka for events → worked: Replay saved the quarter"] == [o.text for o in by_kind(agentic, "outcome")]


def test_outcomes_that_are_told_at_the_same_time_all_count(postgres_store: BaseStore):
    """Each is a row of its own, so no order of writers loses one."""
    learning = logged(postgres_store, edits(decided()))
    (decision,) = by_kind(learning, "decision")
    comments = [f"Result number {number} of the trial" for number in range(8)]

    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(lambda text: learning.outcome(ALEX, None, "failed", decision=decision.key, comment=text), comments)
        )

    assert set(comments) == {one.data["outcome"] for one in by_kind(learning, "outcome")}


async def test_the_async_world_tells_outcomes_too(astore: BaseStore):
    """The same by `aoutcome`, on any store."""
    learning = machine([edits(decided())], [DecisionLog()], store=astore)
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    await agent.ainvoke(said("We use Kafka"), thread("a"), context=ALEX)
    (decision,) = await learning.alearnings(ALEX)

    (outcome,) = await learning.aoutcome(ALEX, None, "failed", decision=decision.key)

    assert "Use Kafka for events → did not work: failed" == outcome.text
