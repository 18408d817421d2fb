"""Feedback on an answer becomes votes on the learnings in its context, and learnings of its own."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph.types import Command, interrupt
from people import ALEX, EVE, NOTHING, SAM, echo, edit, edits, machine, observation, prompt, said, thread

from langgraph_learning import (
    BehavioralFeedback,
    LearningContext,
    LearningMachine,
    LearningStore,
    Mode,
    Scope,
    SelfImprovement,
    SessionContext,
    Sharing,
    UserMemory,
)
from langgraph_learning.core.learning import Learning, Votes
from langgraph_learning.errors import InvalidFields, LearningError, MissingOwner, NotFound
from langgraph_learning.stores.base import Request
from langgraph_learning.testing import ScriptedModel

TEA = "Drinks green tea"
LEA = LearningContext(user_id="lea", team_ids=("acme",))


def told(behaviour: str, worked: bool, replaces: str | None = None, **fields: Any) -> dict[str, Any]:
    """An edit that learns feedback."""
    given = {"instead": None, "situation": None, **fields}
    return edit("feedback", replaces=replaces, behaviour=behaviour, worked=worked, **given)


def learnt(store: BaseStore, *texts: str, answers: Any = (), **options: Any) -> LearningMachine:
    """A machine that learnt these observations in one turn of another thread."""
    first = edits(*map(observation, texts or [TEA]))
    stores = [UserMemory(**options), BehavioralFeedback(**options)]
    learning = machine(lambda shown: next(script), stores, store=store)
    script = iter([first, *answers, *[NOTHING] * 100])
    talk(learning).invoke(said("; ".join(texts or [TEA])), thread("first"), context=ALEX)
    return learning


def talk(learning: LearningMachine) -> CompiledStateGraph[Any, Any, Any, Any]:
    return learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())


def asks(learning: LearningMachine, question: str = "Which tea?", name: str = "t", who: LearningContext = ALEX) -> str:
    """Ask a question; return the id of the answer."""
    messages = talk(learning).invoke(said(question), thread(name), context=who)["messages"]
    return str(messages[-1].id)


def recalled(learning: LearningMachine, question: str, who: LearningContext = ALEX) -> str:
    """Return everything that the model is shown for this question."""
    model = echo()
    learning.wrap(create_agent(model, []), checkpointer=InMemorySaver()).invoke(
        said(question), thread("r"), context=who
    )
    return prompt(model.shown[-1])


def votes(learning: LearningMachine, text: str = TEA, who: LearningContext = ALEX) -> Votes:
    """The votes on a learning."""
    return next(one.votes for one in learning.learnings(who) if one.text == text)


def feedbacks(learning: LearningMachine, who: LearningContext = ALEX) -> list[Learning]:
    return [one for one in learning.learnings(who) if one.kind == "feedback"]


@pytest.mark.parametrize(
    ("verdict", "counted"), [("up", (1, 0)), ("down", (0, 1)), ("No, black tea", (0, 1))], ids=["up", "down", "text"]
)
def test_a_verdict_counts_for_what_the_answer_knew(store: BaseStore, verdict: str, counted: tuple[int, int]):
    """Up is a helpful vote; down and corrections are harmful ones."""
    learning = learnt(store)
    changed = learning.feedback(ALEX, "t", asks(learning), verdict)

    assert counted == (votes(learning).helped, votes(learning).harmed)
    assert TEA in [one.text for one in changed]


def test_the_same_again_changes_nothing(postgres_store: BaseStore):
    """Pressing a button twice makes one vote and one learning."""
    learning = learnt(postgres_store)
    answer = asks(learning)
    learning.feedback(ALEX, "t", answer, "down", "Too long")
    before = learning.learnings(ALEX)

    assert () == learning.feedback(ALEX, "t", answer, "down", "Too long")
    assert before == learning.learnings(ALEX)


def test_another_verdict_takes_the_place_of_the_first(store: BaseStore):
    """A user who changes their mind still has one vote."""
    learning = learnt(store)
    answer = asks(learning)
    learning.feedback(ALEX, "t", answer, "up")
    learning.feedback(ALEX, "t", answer, "down")

    assert Votes(helped=0, harmed=1) == votes(learning)


@pytest.mark.parametrize(("verdict", "counted"), [(" Up ", Votes(helped=1)), ("DOWN", Votes(harmed=1))])
def test_a_verdict_is_known_however_it_is_spelt(store: BaseStore, verdict: str, counted: Votes):
    """A capital letter does not turn it into a correction."""
    learning = learnt(store)
    learning.feedback(ALEX, "t", asks(learning), verdict)

    assert (counted, []) == (votes(learning), feedbacks(learning))


def test_a_comment_is_learnt(store: BaseStore):
    """It is learnt as a behaviour to avoid, in the user's own words, with the answer as its source."""
    learning = learnt(store)
    answer = asks(learning)
    learning.feedback(ALEX, "t", answer, "down", "Recommended without asking")
    (feedback,) = feedbacks(learning)

    assert "Avoid: Recommended without asking" == feedback.text
    assert ("user", "alex", "t", (answer,)) == tuple(feedback.sources[0].model_dump(exclude={"run"}).values())


def test_a_correction_is_learnt(store: BaseStore):
    """It is learnt as the behaviour to show instead; a later one on the same answer replaces it."""
    learning = learnt(store)
    answer = asks(learning)
    learning.feedback(ALEX, "t", answer, "Ask for the time of day")
    learning.feedback(ALEX, "t", answer, "Ask for the time of day first", "Recommended at once")

    assert ["Avoid: Recommended at once. Do instead: Ask for the time of day first"] == [
        one.text for one in feedbacks(learning)
    ]


def test_another_verdict_takes_back_what_was_said_to_the_contrary(store: BaseStore):
    """Alex' opposite verdict ends the comment; the same verdict without a comment, or another user's, does not."""
    learning = learnt(store)
    answer = asks(learning)
    learning.feedback(ALEX, "t", answer, "down", "Too long")
    for who, verdict in ((ALEX, "down"), (SAM, "up")):
        learning.feedback(who, "t", answer, verdict)
    before = [one.text for one in feedbacks(learning)]
    learning.feedback(ALEX, "t", answer, "up")

    assert (["Avoid: Too long"], []) == (before, feedbacks(learning))


def test_what_was_forgotten_can_be_said_again(store: BaseStore):
    """A user who presses the button again wants it learnt."""
    learning = learnt(store)
    answer = asks(learning)
    forgets = machine([edits({"edit": "forget", "replaces": "k1", "message": 1})], [BehavioralFeedback()], store=store)
    learning.feedback(ALEX, "t", answer, "down", "Too long")
    asks(forgets, "Forget that it was too long", "u")
    before = feedbacks(learning)
    learning.feedback(ALEX, "t", answer, "down", "Too long")

    assert ([], ["Avoid: Too long"]) == (before, [one.text for one in feedbacks(learning)])


def test_what_several_users_say_of_answers_is_shared(postgres_store: BaseStore):
    """Supporters are counted as in conversations; until then each user has it privately."""
    policy = BehavioralFeedback(scope=Scope.TEAM, sharing=Sharing.after(2))
    learning = machine(lambda _: NOTHING, [UserMemory(), policy], store=postgres_store)
    known = []
    for who in (ALEX, SAM):
        answer = asks(learning, name=str(who.user_id), who=who)
        learning.feedback(who, str(who.user_id), answer, "down", "Far too long an answer")
        known.append([one.scope for one in feedbacks(learning, LEA)])

    assert [[], [Scope.TEAM]] == known


def test_a_reviewer_is_shown_what_was_said(store: BaseStore):
    """In the user's own words."""
    learning = machine(lambda _: NOTHING, [BehavioralFeedback(mode=Mode.PROPOSE)], store=store)
    learning.feedback(ALEX, "t", asks(learning), "Name the price first", "Too long")
    (proposal,) = learning.review.list(ALEX)

    assert "Too long. Name the price first" == learning.review.show(ALEX, proposal.key).quote


def test_without_a_store_for_it_only_votes_are_cast(store: BaseStore):
    """A machine without a store for feedback only casts votes."""
    learning = machine([edits(observation(TEA)), NOTHING], [UserMemory()], store=store)
    talk(learning).invoke(said(TEA), thread("first"), context=ALEX)
    changed = learning.feedback(ALEX, "t", asks(learning), "No, black tea")

    assert [(TEA, Votes(harmed=1))] == [(one.text, one.votes) for one in changed]


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (("t", "nowhere", "up"), NotFound),
        (("nowhere", "answer", "up"), NotFound),
        (("", "answer", "up"), MissingOwner),
        (("t", "", "up"), InvalidFields),
        (("t", "answer", " "), InvalidFields),
        (("t", "answer", True), InvalidFields),
    ],
)
def test_what_cannot_be_meant_is_an_error(store: BaseStore, given: tuple[str, str, Any], error: type[LearningError]):
    """The error says what is wrong, and nothing is written."""
    learning = learnt(store)
    asks(learning)

    with pytest.raises(error):
        learning.feedback(ALEX, *given, "A comment")
    assert [] == feedbacks(learning)


def test_who_does_not_want_to_teach_teaches_nothing(store: BaseStore):
    """Feedback teaches nothing either."""
    learning = learnt(store)
    silent = ALEX.model_copy(update={"learn": False})

    assert () == learning.feedback(silent, "t", asks(learning), "down", "Too long")
    assert Votes() == votes(learning)


@pytest.mark.parametrize(
    ("outcome", "counted"),
    [("resolved", (1, 0)), ("succeeded", (1, 0)), ("reopened", (0, 1)), ("failed", (0, 1)), ("escalated", (0, 1))],
)
def test_an_outcome_counts_for_the_last_answer_that_knew_something(
    store: BaseStore, outcome: Any, counted: tuple[int, int]
):
    """Later answers of the thread do not change that."""
    learning = learnt(store)
    asks(learning)
    learning.outcome(ALEX, "t", outcome)

    assert counted == (votes(learning).helped, votes(learning).harmed)


def test_an_outcome_where_nothing_was_known_is_no_error(store: BaseStore):
    """A caller need not know which answers had learnings in their context; an unknown thread is an error."""
    learning = machine([NOTHING], [UserMemory()], store=store)
    asks(learning)

    assert () == learning.outcome(ALEX, "t", "resolved")
    with pytest.raises(NotFound, match="'nowhere'"):
        learning.outcome(ALEX, "nowhere", "resolved")


def test_an_outcome_of_no_message_is_an_error(store: BaseStore):
    """An empty id does not stand for the last answer."""
    learning = learnt(store)
    asks(learning)

    with pytest.raises(InvalidFields, match="message_id"):
        learning.outcome(ALEX, "t", "failed", message_id="")
    assert Votes() == votes(learning)


class WhenAsked(UserMemory):
    """Recalls only learnings that match the query."""

    def recall(self, request: Request) -> Any:
        return super().recall(request) if "tea" in request.query else []


ALWAYS = {"session": SessionContext(), "instructions": SelfImprovement({"tone": "Be kind."}, scope=Scope.TEAM)}


@pytest.mark.parametrize("always", ALWAYS.values(), ids=ALWAYS)
def test_what_every_answer_has_in_its_context_tells_none_from_another(store: BaseStore, always: LearningStore):
    """The outcome is credited to the answer with query-dependent learnings, although a later one followed."""
    session = [edit("session", summary="On tea")] if "session" in always.kinds else []
    script = iter([[observation(TEA)]])
    learning = machine(lambda shown: edits(*next(script, []), *session), [WhenAsked(), always], store=store)
    agent = talk(learning)
    for text, name in (("I drink tea", "first"), ("Which tea?", "t"), ("Thanks", "t")):
        agent.invoke(said(text), thread(name), context=ALEX)
    learning.outcome(ALEX, "t", "resolved")

    assert Votes(helped=1) == votes(learning)


def test_nobody_votes_on_a_session(store: BaseStore):
    """A session is used in its thread alone; a stranger who knows the thread's id learns nothing about it."""
    answers = [edits(edit("session", summary="A secret")), NOTHING]
    learning = machine(answers, [UserMemory(), SessionContext()], store=store)
    agent = talk(learning)
    for text in ("Keep it secret", "What was it?"):
        answer = agent.invoke(said(text), thread("t"), context=ALEX)["messages"][-1].id

    assert () == learning.feedback(EVE, "t", str(answer), "down") == learning.feedback(ALEX, "t", str(answer), "down")


def test_an_answer_is_credited_even_if_nothing_could_be_learnt_from_it(store: BaseStore):
    """The extraction model is unavailable; feedback on answers is counted all the same."""
    learning = learnt(store)
    failing = machine([ConnectionError("gone")], [UserMemory()], store=store, on_error="report")
    learning.feedback(ALEX, "t", asks(failing), "down")

    assert Votes(harmed=1) == votes(learning)


def test_what_is_sent_to_a_server_need_not_be_text(store: BaseStore):
    """A number in its place is the caller's error, not the server's."""
    learning = learnt(store)
    answer = asks(learning, name="7")
    sent = {"thread_id": 7, "message_id": answer, "verdict": "down", "comment": 50}
    done = learning.nodes.feedback.invoke(sent, context=ALEX)

    assert (2, None) == (len(done["changed"]), done["refused"])


def test_an_unknown_outcome_names_the_known_ones(store: BaseStore):
    """The error says what to do."""
    with pytest.raises(InvalidFields, match="resolved, succeeded, reopened, failed, escalated"):
        learnt(store).outcome(ALEX, "t", "closed")  # type: ignore[arg-type]  # what a caller without types may do


def test_a_vote_reaches_only_what_the_voter_may_read(postgres_store: BaseStore):
    """Sam can vote on the team's learnings; nobody else on Alex' private ones, and no other team on any."""
    learning = learnt(postgres_store, scope=Scope.TEAM)
    answer = asks(learning)
    assert () == learning.feedback(EVE, "t", answer, "down")
    assert Votes() == votes(learning)

    learning.feedback(SAM, "t", answer, "down")
    assert Votes(harmed=1) == votes(learning)


def test_nobody_votes_on_what_is_anothers_own(postgres_store: BaseStore):
    """A colleague cannot read it, so their feedback does not reach it."""
    learning = learnt(postgres_store)

    assert () == learning.feedback(SAM, "t", asks(learning), "down")
    assert Votes() == votes(learning)


HELPS, HARMS, RESET = "Reset the router for error 50", "Reset the phone for error 50", "Reset the phone or the router?"


def judged(store: BaseStore, *users: str) -> LearningMachine:
    """A machine with two learnings: every user voted that one helped and the other harmed."""
    learning = learnt(store, HELPS, HARMS, scope=Scope.TEAM)
    narrow = machine(lambda _: NOTHING, [UserMemory(scope=Scope.TEAM, limit=1)], store=store)
    for name in users:
        user = LearningContext(user_id=name, team_ids=("acme",))
        narrow.feedback(user, name, asks(narrow, "Reset the router?", name, user), "up")
        narrow.feedback(user, name, asks(narrow, "Reset the phone?", name, user), "down")
    return learning


def test_what_harms_sinks_below_what_helps(postgres_store: BaseStore):
    """A few users' votes decide which of the two the next user's agent sees first."""
    learning = judged(postgres_store, "ann", "bob", "cy")
    shown = recalled(learning, RESET)

    assert (Votes(helped=3), Votes(harmed=3)) == (votes(learning, HELPS), votes(learning, HARMS))
    assert shown.index(HELPS) < shown.index(HARMS)


def test_what_harms_is_put_away_by_the_curator(postgres_store: BaseStore):
    """Votes lower its rank; curation archives it, until somebody restores it."""
    learning = judged(postgres_store, "ann", "bob", "cy", "dee")
    sunk = recalled(learning, RESET)
    (archived,) = learning.curate().actions
    gone = recalled(learning, RESET)
    learning.undo(ALEX, archived.keys[0])

    assert ("archived", (HARMS,)) == (archived.what, archived.texts)
    assert sunk.index(HELPS) < sunk.index(HARMS)
    assert (True, False, True) == (HELPS in gone, HARMS in gone, HARMS in recalled(learning, RESET))


def test_one_voice_does_not_bury_what_is_good(postgres_store: BaseStore):
    """It was relevant to the question, and still is."""
    near, far = "Green tea goes with sushi", "Sushi is sold at the station"
    learning = learnt(postgres_store, near, far)
    answer = asks(learning, "Which tea goes with sushi?")
    learning.feedback(ALEX, "t", answer, "down")
    shown = recalled(learning, "Which green tea goes with sushi?")

    assert shown.index(near) < shown.index(far)


def asks_first(state: MessagesState) -> dict[str, Any]:
    """An agent that asks a person before it answers."""
    return {"messages": [AIMessage(f"Tea, {interrupt('hot or cold?')}")]}


def graph_that_asks() -> Any:
    return StateGraph(MessagesState).add_node("asks", asks_first).add_edge(START, "asks").compile()


def by_middleware(learning: LearningMachine) -> Any:
    """An agent of `create_agent` whose tool asks a person before it acts."""
    call = AIMessage("", tool_calls=[{"name": "brew", "args": {}, "id": "c1"}])
    model = ScriptedModel([call, "Brewed."])
    return create_agent(
        model, [brew], middleware=[learning.middleware()], store=learning.store, checkpointer=InMemorySaver()
    )


@tool
def brew() -> str:
    """Make tea."""
    return f"made it {interrupt('hot or cold?')}"


AGENTS = {
    "function": lambda learning: learning.wrap(asks_first, checkpointer=InMemorySaver()),
    "graph": lambda learning: learning.wrap(graph_that_asks(), checkpointer=InMemorySaver()),
    "middleware": by_middleware,
}


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
def test_an_answer_after_an_interrupt_is_credited_too(store: BaseStore, agent: Any):
    """The votes are cast on the learnings that were recalled after the interrupt."""
    learning = learnt(store)
    asking = agent(learning)
    asking.invoke(said("Which tea?"), thread("t"), context=ALEX)
    state = asking.invoke(Command(resume="hot"), thread("t"), context=ALEX)
    learning.feedback(ALEX, "t", state["messages"][-1].id, "up")

    assert Votes(helped=1) == votes(learning)


@pytest.mark.parametrize("agent", AGENTS.values(), ids=AGENTS)
async def test_it_is_in_the_async_world_too(astore: BaseStore, agent: Any):
    """The same with `ainvoke` and `afeedback`."""
    learning = learnt(astore)
    asking = agent(learning)
    await asking.ainvoke(said("Which tea?"), thread("t"), context=ALEX)
    state = await asking.ainvoke(Command(resume="hot"), thread("t"), context=ALEX)
    (changed,) = await learning.afeedback(ALEX, "t", state["messages"][-1].id, "up")

    assert (TEA, Votes(helped=1)) == (changed.text, changed.votes)


async def test_outcomes_are_told_in_the_async_world_too(astore: BaseStore):
    """The same with `aoutcome`, and a comment that is learnt."""
    learning = learnt(astore)
    await talk(learning).ainvoke(said("Which tea?"), thread("t"), context=ALEX)
    feedback, voted = await learning.aoutcome(ALEX, "t", "reopened", comment="Forgot the milk")

    assert ("Avoid: Forgot the milk", Votes(harmed=1)) == (feedback.text, voted.votes)


def test_an_answer_that_was_given_anew_is_credited_too(store: BaseStore):
    """Its question was already learnt from; the user judges the new answer."""
    learning = learnt(store)
    agent = talk(learning)
    agent.invoke(said("Which tea?"), thread("t"), context=ALEX)
    before = next(state for state in agent.get_state_history(thread("t")) if state.next == ("recall",))
    again = agent.invoke(None, before.config, context=ALEX)["messages"][-1].id
    learning.feedback(ALEX, "t", str(again), "up")

    assert Votes(helped=1) == votes(learning)


def test_votes_that_are_cast_at_the_same_time_all_count(postgres_store: BaseStore):
    """Eight users press the button at the same time."""
    learning = learnt(postgres_store, scope=Scope.TEAM)
    answer = asks(learning)
    users = [LearningContext(user_id=f"user{number}", team_ids=("acme",)) for number in range(8)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda user: learning.feedback(user, "t", answer, "up"), users))

    assert Votes(helped=8) == votes(learning)


BALLOTS = st.dictionaries(st.sampled_from(["ann", "bob", "cy", "dee"]), st.lists(st.booleans(), min_size=1, max_size=3))
"""Verdicts of some users, each user's in order; the users act at the same time."""


@given(BALLOTS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_order_of_voices_loses_one(postgres_store: BaseStore, ballots: dict[str, list[bool]]):
    """Each user's last verdict and comment count once, in any interleaving with other users."""
    text = f"Tea number {uuid4().hex}"
    learning = learnt(postgres_store, text, scope=Scope.TEAM)
    answer = asks(learning, f"{text}?", text)

    def speaks(name: str) -> None:
        for up in ballots[name]:
            user = LearningContext(user_id=name, team_ids=("acme",))
            learning.feedback(user, text, answer, "up" if up else "down", f"{name} of {text}: {up}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(speaks, ballots))
    helped = sum(ups[-1] for ups in ballots.values())

    assert Votes(helped=helped, harmed=len(ballots) - helped) == votes(learning, text)
    assert {f"{name} of {text}: {ups[-1]}" for name, ups in ballots.items()} == {
        one.data["behaviour"] for one in feedbacks(learning) if text in one.text
    }
