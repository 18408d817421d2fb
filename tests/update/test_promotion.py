"""Private learnings become shared by a policy, counted in code, without revealing who said them."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from people import ALEX, NOTHING, SAM, edit, edits, learner, machine, notes_what_users_say, observation, said, thread

from langgraph_learning import LearningContext, LearningMachine, Mode, Scope, Sharing, UserMemory, UserProfile
from langgraph_learning.errors import Misconfigured, NotAllowed
from langgraph_learning.postgres.store import HybridPostgresStore

FROZEN = "Deploys are frozen on Fridays"
THREADS = (str(number) for number in itertools.count())


def member(user: str, team: str = "acme") -> LearningContext:
    return LearningContext(user_id=user, team_ids=(team,))


def sharing(store: BaseStore, policy: Sharing, answers: Any = notes_what_users_say, **options: Any) -> LearningMachine:
    return machine(answers, [UserProfile(), UserMemory(scope=Scope.TEAM, sharing=policy)], store=store, **options)


def hears(learning: LearningMachine, user: str | LearningContext, *messages: Any) -> None:
    """Let a user say something in a new thread."""
    agent = learning.wrap(lambda state: {"messages": [AIMessage("Good to know")]}, checkpointer=InMemorySaver())
    context = user if isinstance(user, LearningContext) else member(user)
    agent.invoke({"messages": list(messages)}, thread(next(THREADS)), context=context)


def knows(learning: LearningMachine, user: str | LearningContext) -> set[str]:
    context = user if isinstance(user, LearningContext) else member(user)
    return {learnt.text for learnt in learning.learnings(context) if learnt.scope == Scope.TEAM}


def test_at_once_is_the_default(store: BaseStore):
    """A user's statement in a shared scope is active for the team."""
    learning = sharing(store, Sharing.AT_ONCE)
    hears(learning, "alex", FROZEN)

    assert {FROZEN} == knows(learning, "sam")


def test_what_three_different_users_said_is_the_teams(store: BaseStore):
    """Two users who repeat themselves promote nothing, a third one does; until then each has it privately."""
    learning = sharing(store, Sharing.after(3))
    for user in ("alex", "sam", "alex", "sam", "sam"):
        hears(learning, user, FROZEN)
    before = knows(learning, "alex") | knows(learning, "newcomer")
    own = {learnt.text for learnt in learning.learnings(ALEX)}
    hears(learning, "kim", "deploys are  frozen on Fridays.")

    assert (set(), {FROZEN}) == (before, own)
    assert {FROZEN} == knows(learning, "newcomer")


def test_only_the_statement_is_promoted(store: BaseStore):
    """The promoted learning does not reveal who said it, in which thread or in which words."""
    learning = sharing(store, Sharing.after(2))
    for user in ("alexander", "samantha"):
        hears(learning, user, f"{FROZEN}")
    (shared,) = (learnt for learnt in learning.learnings(member("kim")) if learnt.scope == Scope.TEAM)
    stored = store.get(*shared.ref)

    assert stored is not None
    assert not any(name in str(stored.value) for name in ("alexander", "samantha"))
    assert ("several people", "promoted", "2 different users said it") == (
        shared.sources[0].user,
        shared.decisions[0].verdict,
        shared.decisions[0].why,
    )


def test_while_it_is_counted_nobody_is_named(store: BaseStore):
    """A candidate holds hashes, and a user's hash differs from statement to statement."""
    learning = sharing(store, Sharing.after(3))
    hears(learning, "alexander", FROZEN)
    hears(learning, "alexander", "Merges need two reviews")
    first, second = (learnt for learnt in learning.review.list(ALEX))

    assert "alexander" not in first.model_dump_json() + second.model_dump_json()
    assert set(first.supporters).isdisjoint(second.supporters)


@pytest.mark.parametrize(
    "text", ["Ask alex@acme.com about deploys", "Ask Alex about deploys", "Ask Mr Smith about deploys"]
)
def test_text_with_a_supporters_name_is_not_promoted(store: BaseStore, text: str):
    """Neither an id nor a name from a profile is shared, whoever says it first."""
    learning = sharing(store, Sharing.after(2))
    learner(learning).answers = lambda shown: edits(
        edit("profile_field", field="name", value="Alex Smith"), observation(text)
    ) if "[1] user alex" in shown[1].text else edits(observation(text))  # fmt: skip
    for user in ("alex@acme.com", "sam"):
        hears(learning, user, text)

    assert set() == knows(learning, "kim")


@pytest.mark.parametrize(
    "messages",
    [
        [HumanMessage("Look it up"), ToolMessage(FROZEN, tool_call_id="1")],
        [HumanMessage("Look it up"), AIMessage(FROZEN)],
        [HumanMessage(f'The handbook says: "{FROZEN}"')],
        [HumanMessage(f"From the handbook:\n> {FROZEN}\nIs it so?")],
        [HumanMessage(f"```\n{FROZEN}\n```")],
        [HumanMessage("Here is our handbook. " + "Be kind to one another. " * 50 + FROZEN)],
        [HumanMessage("Deploys are frozen on Fridays for 12 hours")],
        [HumanMessage("ok")],
    ],
    ids=["tool", "agent", "quotation marks", "quoted lines", "code", "a long document", "another number", "assent"],
)
@pytest.mark.parametrize("claimed", [1, 2])
def test_what_nobody_said_themself_is_never_promoted(store: BaseStore, messages: Sequence[Any], claimed: int):
    """It does not matter how many users have it in their conversation, or which message the model names."""
    number = " for 24 hours" if "12 hours" in messages[0].text else ""
    answer = edits(observation(FROZEN + number, min(claimed, len(messages) + 1)))
    learning = sharing(store, Sharing.after(2), lambda shown: answer)
    for user in ("alex", "sam", "kim", "lee"):
        hears(learning, user, *[message.model_copy(update={"id": None}) for message in messages])

    assert set() == knows(learning, "newcomer")


def test_who_takes_it_back_is_not_counted(store: BaseStore):
    """A user who corrected themself no longer supports the statement."""
    learning = sharing(store, Sharing.after(3))
    for user in ("alex", "sam"):
        hears(learning, user, FROZEN)
    learner(learning).answers = lambda shown: edits({"edit": "forget", "replaces": "k1", "message": 1})
    hears(learning, "sam", "Forget about the deploys frozen on Fridays")
    learner(learning).answers = notes_what_users_say
    hears(learning, "kim", FROZEN)
    before = knows(learning, "newcomer")
    hears(learning, "lee", FROZEN)

    assert (set(), {FROZEN}) == (before, knows(learning, "newcomer"))


def test_who_is_erased_is_not_counted(store: BaseStore):
    """Their hash is removed as well."""
    learning = sharing(store, Sharing.after(2))
    hears(learning, "alex", FROZEN)
    learning.forget(ALEX)
    hears(learning, "sam", FROZEN)

    assert set() == knows(learning, "newcomer")
    assert 1 == len(learning.review.list(SAM)[0].supporters)


@pytest.mark.parametrize("way", ["by key", "all", "thread"])
def test_the_statement_of_a_lone_supporter_stays_nowhere(postgres_store: HybridPostgresStore, way: str):
    """Once they forget it, it is neither among the candidates of the team nor in the log of changes."""
    learning = sharing(postgres_store, Sharing.after(2))
    where = thread("alone")
    agent = learning.wrap(lambda state: {"messages": [AIMessage("Good to know")]}, checkpointer=InMemorySaver())
    agent.invoke(said(FROZEN), where, context=ALEX)
    (own,) = learning.learnings(ALEX)
    (candidate,) = learning.review.list(SAM)
    if way == "thread":
        learning.forget_thread(ALEX, "alone")
    else:
        learning.forget(ALEX, *([own.key] if way == "by key" else []))
    values = [item.value for item in postgres_store.search(("learnings",), limit=100)]
    logged = [postgres_store.history(learnt.namespace) for learnt in (own, candidate)]
    told = str([values, [[change.before, change.after] for changes in logged for change in changes]])

    assert FROZEN not in told
    assert () == learning.review.list(SAM)


def test_said_again_after_it_was_withdrawn_it_is_counted_anew(store: BaseStore):
    """The candidate is gone, and comes back with its first supporter."""
    learning = sharing(store, Sharing.after(2))
    hears(learning, "alex", FROZEN)
    learning.forget(ALEX)
    hears(learning, "sam", FROZEN)
    hears(learning, "kim", FROZEN)

    assert {FROZEN} == knows(learning, "newcomer")


def test_one_user_cannot_undo_what_is_shared(store: BaseStore):
    """Forgetting or changing a promoted learning needs a person's approval."""
    learning = sharing(store, Sharing.after(2))
    for user in ("alex", "sam"):
        hears(learning, user, FROZEN)
    shared = next(one for one in learning.learnings(member("kim")))
    learner(learning).answers = lambda shown: edits({"edit": "forget", "replaces": "k1", "message": 1})
    hears(learning, "kim", "Forget about the deploys frozen on Fridays")

    assert {FROZEN} == knows(learning, "kim")
    (waits,) = learning.review.list(member("kim"))
    learning.review.approve(SAM, waits.key)
    assert set() == knows(learning, "kim")
    assert shared.key == waits.retires


def test_after_approval_a_users_words_are_the_teams(store: BaseStore):
    """Until then the learning is private; the reviewer sees the message."""
    learning = sharing(store, Sharing.APPROVED, four_eyes=True)
    hears(learning, "alex", FROZEN)
    (waits,) = learning.review.list(SAM)
    own = {learnt.text for learnt in learning.learnings(ALEX)}

    assert ({FROZEN}, set(), FROZEN) == (own, knows(learning, "sam"), learning.review.show(SAM, waits.key).quote)
    learning.review.approve(SAM, waits.key)
    assert {FROZEN} == knows(learning, "sam")


def test_what_waits_for_others_can_be_approved_before(store: BaseStore):
    """With four eyes, the reviewer must not be the user who said it."""
    learning = sharing(store, Sharing.after(3), four_eyes=True)
    hears(learning, "alex", FROZEN)
    (waits,) = learning.review.list(SAM)

    with pytest.raises(NotAllowed):
        learning.review.approve(ALEX, waits.key)
    learning.review.approve(SAM, waits.key)
    assert {FROZEN} == knows(learning, "newcomer")


def test_what_was_demoted_is_not_promoted_by_numbers(store: BaseStore):
    """A person demoted it, so a person has to approve it again; users' own learnings stay."""
    learning = sharing(store, Sharing.after(2))
    for user in ("alex", "sam"):
        hears(learning, user, FROZEN)
    shared = next(one for one in learning.learnings(member("kim")))
    learning.review.demote(SAM, shared.key, why="Only in December")
    for user in ("kim", "lee", "pat"):
        hears(learning, user, FROZEN)

    assert set() == knows(learning, "newcomer")
    assert {FROZEN} == {learnt.text for learnt in learning.learnings(ALEX)}


@pytest.mark.parametrize(
    ("build", "hint"),
    [
        (lambda: Sharing.after(1), "at least two"),
        (lambda: UserMemory(sharing=Sharing.APPROVED), "nothing to share"),
        (lambda: UserMemory(scope=Scope.TEAM, mode=Mode.PROPOSE, sharing=Sharing.after(2)), "leave `sharing` out"),
    ],
)
def test_a_policy_that_cannot_work_is_refused(build: Any, hint: str):
    """The error comes at construction."""
    with pytest.raises(Misconfigured, match=hint):
        build()


USERS = ("ann", "bob", "cid", "dot")
TEAMS = ("red", "blue")
STATEMENTS = (
    "Deploys are frozen",
    "deploys are frozen.",
    "Deploys are not frozen",
    "Deploys cost 10",
    "Deploys cost 100",
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(USERS), st.sampled_from(TEAMS), st.sampled_from(STATEMENTS)), max_size=14))
@example([(user, "red", "Deploys are frozen") for user in USERS] + [("ann", "blue", "Deploys cost 10")])
def test_promoted_is_what_enough_different_users_of_one_team_said(heard: list[tuple[str, str, str]]):
    """In any order and any teams: no number or "not" is confused, and no team counts for another."""
    learning = sharing(InMemoryStore(), Sharing.after(3))
    for user, team, text in heard:
        hears(learning, member(user, team), text)

    def said_by(team: str, text: str) -> set[str]:
        return {u for u, t, s in heard if t == team and s.casefold().rstrip(".") == text.casefold().rstrip(".")}

    for team in TEAMS:
        expected = {s.casefold().rstrip(".") for s in STATEMENTS if len(said_by(team, s)) >= 3}
        assert expected == {text.casefold().rstrip(".") for text in knows(learning, member("newcomer", team))}


def test_nothing_is_said_is_nothing(store: BaseStore):
    """A turn without edits writes no candidate."""
    learning = sharing(store, Sharing.after(2), lambda shown: NOTHING)
    hears(learning, "alex", said("Any news")["messages"][0])

    assert () == learning.review.list(ALEX)
