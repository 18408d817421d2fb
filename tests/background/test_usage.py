"""What learning costs is counted, and every outcome has a name of its own."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pytest
from langchain_core.messages import AIMessage
from people import ALEX, NOTHING, SAM, edit, edits, machine, notes_what_users_say, observation

from langgraph_learning import LearnedKnowledge, Mode, Scope, UserMemory
from langgraph_learning.background.usage import MAX_ITEMS_OF_A_DAY, Usage, read_spent, user_namespace
from langgraph_learning.core.flow import drive

TALK = [("user", "I like tea"), ("assistant", "Noted.")]
UNREADABLE = AIMessage("As a large language model I find this conversation delightful.")


def usage_of(answers, store, stores=None, talk=TALK):
    learning = machine(answers, stores, store=store, on_error="report")
    learning.learn(talk, ALEX)
    return learning.usage().total


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ([edits(observation("Likes tea"))], "learnt"),
        ([NOTHING], "nothing"),
        ([edits(edit("observation")), edits(edit("observation"))], "dropped"),
        (lambda shown: UNREADABLE, "unreadable"),
        ([ConnectionError("down")], "failed"),
        ([TimeoutError("slow")], "failed"),
    ],
    ids=["learnt", "nothing", "dropped", "nonsense", "down", "slow"],
)
def test_each_outcome_has_a_name(store, answers, outcome):
    """Nothing to learn, nonsense and silence never look alike."""
    assert {outcome} == set(usage_of(answers, store).outcomes)


def test_learnings_are_counted_by_learning_store(store):
    """With what was dropped, and why, but without anybody's words."""
    insight = edit("insight", category="insight", title="Tea", insight="Tea first", when_to_apply=None)
    bad = edit("insight", category="gossip", title="'Sam' is ill", insight="x", when_to_apply=None)
    stores = [UserMemory(), LearnedKnowledge(scope=Scope.TEAM, mode=Mode.PROPOSE)]
    usage = usage_of([edits(observation("Likes tea"), insight, bad), edits(bad)], store, stores)

    assert {"user_memory": {"learnt": 1}, "learned_knowledge": {"proposed": 1, "dropped": 1}} == {
        name: dict(counts) for name, counts in usage.stores.items()
    }
    assert "gossip" not in str(usage.reasons)
    assert 1 == sum(usage.reasons.values())
    assert (2, 0) == (usage.calls, usage.failed_calls)


def test_it_is_counted_by_user_tenant_and_day(store):
    """Other tenants have their own."""
    learning = machine(notes_what_users_say, store=store)
    learning.learn(TALK, ALEX)
    learning.learn(TALK, SAM)
    learning.learn(TALK, ALEX.model_copy(update={"tenant_id": "other"}))
    report, today = learning.usage(), datetime.now(UTC).date()

    assert {"alex", "sam"} == set(report.users)
    assert report.users["alex"] + report.users["sam"] == report.total == report.days[today.isoformat()]
    assert 1 == learning.usage(tenant_id="other").total.extractions
    assert 1 == learning.usage(user_id="sam").total.extractions
    assert Usage() == learning.usage(until=date(2020, 1, 1)).total


def test_a_preview_is_not_counted_as_learning(store):
    """It writes nothing, its cost is in its result."""
    learning = machine(notes_what_users_say, store=store)
    assert 1 == learning.preview(TALK, ALEX).metrics.calls
    assert Usage() == learning.usage().total


def test_what_needs_no_model_costs_nothing(store):
    """The same conversation again is not read."""
    learning = machine(notes_what_users_say, store=store)
    learning.learn(TALK, ALEX)
    learning.learn(TALK, ALEX)

    assert 1 == learning.usage().total.extractions


def test_no_count_is_lost_where_many_learn_at_once(postgres_store):
    """Also while the items of a day are added up."""
    learning = machine(notes_what_users_say, store=postgres_store)
    many = MAX_ITEMS_OF_A_DAY + 10
    namespace, now = user_namespace("default", "alex"), datetime.now(UTC)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: learning.learn([("user", f"I like {number}")], ALEX), range(many)))
        sums = list(pool.map(lambda _: drive(read_spent(namespace, now), postgres_store), range(4)))

    total = learning.usage().total
    assert [total.tokens] * 4 == sums
    assert many == total.extractions
    assert 1 == len(postgres_store.search(namespace, limit=100))
