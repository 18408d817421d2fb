"""The one list of what an agent is shown for a question: a bar, a budget, and what stands."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from langgraph_learning import DecisionLog, LearnedKnowledge, LearningStore, SessionContext, UserMemory, UserProfile
from langgraph_learning.core.learning import Channel, Learning, ReviewDecision, Source
from langgraph_learning.core.policy import Standing
from langgraph_learning.core.scopes import Caller, Scope
from langgraph_learning.core.transcript import count_tokens
from langgraph_learning.recall.recall import recall_event
from langgraph_learning.recall.selection import LIST_TOKENS, Selection, select_learnings, share_tokens

NOW = datetime(2026, 5, 1, tzinfo=UTC)
CALLER = Caller(user="alex", teams=("acme",))
MEMORY, KNOWLEDGE, DECISIONS = UserMemory(), LearnedKnowledge(scope=Scope.TEAM), DecisionLog(scope=Scope.TEAM)
MANY = 60


def learning(
    store: LearningStore, key: str, relevance: float | None, text: str = "", channel: Channel = "user", **fields: Any
) -> Learning:
    """A learning that was found with this relevance; of two keys that are alike, the later was learnt later."""
    kind = next(iter(store.kinds))
    return Learning(
        namespace=CALLER.namespace(store.scope, store.name),
        key=key,
        kind=kind,
        text=text or f"{key} is known",
        data={},
        sources=(Source(channel=channel, user="alex"),),
        learned_at=NOW + timedelta(minutes=int.from_bytes(key[-3:].encode())),
        relevance=relevance,
        **fields,
    )


def select(*found: Learning) -> Selection:
    """What is shown of these learnings, beside many others that have nothing to do with the question."""
    others = [learning(KNOWLEDGE, f"other{n:02}", 0.0) for n in range(MANY)]
    by_store: dict[str, list[Learning]] = {}
    for each in (*found, *others):
        by_store.setdefault(each.store_name, []).append(each)
    return select_learnings([MEMORY, KNOWLEDGE, DECISIONS, UserProfile(), SessionContext()], by_store)


def keys(selection: Selection) -> set[str]:
    """The keys of what is shown."""
    return {each.key for learnings in selection.shown.values() for each in learnings}


def test_what_has_little_to_do_with_the_question_is_not_shown():
    """All stores have one bar."""
    found = [learning(MEMORY, "a", 0.6), learning(KNOWLEDGE, "b", 0.5), learning(MEMORY, "c", 0.4)]
    selection = select(*found)

    assert {"a", "b"} == keys(selection)
    assert "below the bar" == {each.learning.key: each.reason for each in selection.left_out}["c"]


def test_the_best_of_all_stores_share_one_list():
    """Six lines at most are near to the question, whichever store they are of."""
    found = [learning(store, f"{store.name}{n}", 0.95 - n / 50) for store in (MEMORY, KNOWLEDGE) for n in range(10)]
    selection = select(*found)

    assert {f"{name}{n}" for name in ("user_memory", "learned_knowledge") for n in range(3)} == keys(selection)
    assert 14 == sum(reason == "beyond the list" for _, reason in selection.left_out)


def test_what_is_far_behind_the_best_is_left_out():
    """Where something fits well, what fits loosely only distracts."""
    assert {"a"} == keys(select(learning(MEMORY, "a", 1.0), learning(MEMORY, "b", 0.6)))
    assert {"b"} == keys(select(learning(MEMORY, "b", 0.6)))


def test_equally_relevant_ones_are_ordered_by_votes_and_then_by_date():
    """A vote decides only between equals."""
    helped = learning(MEMORY, "a", 0.601, votes={"helped": 5})
    older, newer = learning(MEMORY, "b", 0.604), learning(MEMORY, "c", 0.599)
    nearer = learning(MEMORY, "d", 0.7, votes={"harmed": 5})
    shown = select(older, helped, newer, nearer).shown["user_memory"]

    assert ["d", "a", "c", "b"] == [each.key for each in shown]


@pytest.mark.parametrize(
    ("channel", "decisions", "shown"),
    [
        ("user", (), True),
        ("person", (), True),
        ("tool", (), False),
        ("import", (), False),
        ("agent", (), False),
        ("tool", (ReviewDecision(by="eve", at=NOW, verdict="approved"),), True),
        ("user", (ReviewDecision(by="eve", at=NOW, verdict="approved"),), True),
    ],
)
def test_standing_is_a_lower_bar_for_a_users_own_words(channel, decisions, shown):
    """What a tool or a document says stands only if a person approved it."""
    rule = learning(KNOWLEDGE, "rule", 0.35, channel=channel, decisions=decisions, standing=Standing.LOWER)

    assert shown == ("rule" in keys(select(rule, learning(MEMORY, "near", 0.5))))


def test_without_anything_near_the_first_two_that_stand_are_shown():
    """A question to which nothing is near by itself may be about something else."""
    rules = [learning(KNOWLEDGE, f"r{n}", 0.42 - n / 25, standing=Standing.LOWER) for n in range(3)]

    assert {"r0", "r1"} == keys(select(*rules, learning(MEMORY, "far", 0.44)))
    assert {"r0", "r1", "r2", "near"} == keys(select(*rules, learning(MEMORY, "near", 0.46)))
    assert {"r0", "r1", "r2", "r3"} == keys(select(*rules, learning(KNOWLEDGE, "r3", 0.46, standing=Standing.LOWER)))


def test_what_stands_has_a_place_beside_what_is_near():
    """Two lines more, and no more."""
    near = [learning(MEMORY, f"n{n}", 0.9) for n in range(9)]
    rules = [learning(KNOWLEDGE, f"r{n}", 0.5, standing=Standing.LOWER) for n in range(9)]
    shown = keys(select(*near, *rules))

    assert (6, 2) == (sum(key[0] == "n" for key in shown), sum(key[0] == "r" for key in shown))


def test_a_users_own_wishes_are_shown_whatever_the_question():
    """Without any relevance, beside the list, up to a budget of their own; of too many the newest."""
    wish = {"standing": Standing.ALWAYS}
    few = [learning(MEMORY, f"w{n}", None, "Wants short answers", **wish) for n in range(6)]
    many = [learning(MEMORY, f"w{n:02}", None, "Wants answers that have a summary first", **wish) for n in range(40)]

    assert {each.key for each in few} == keys(select(*few))
    assert {each.key for each in many[-10:]} == keys(select(*many))


def test_the_stream_tells_the_order_of_the_list_and_what_has_no_room():
    """What stands comes before what is nearer by itself, and what is shown always comes last."""
    wish = {"standing": Standing.ALWAYS}
    wishes = [learning(MEMORY, f"w{n:02}", None, "Wants answers that have a summary first", **wish) for n in range(40)]
    rule = learning(KNOWLEDGE, "rule", 0.6, standing=Standing.LOWER)
    event = recall_event(select(*wishes, learning(MEMORY, "a", 0.7), rule), texts=False)

    assert ["rule", "a"] == [each["key"] for each in event["recalled"][:2]]
    assert [*range(1, 13)] == [each["rank"] for each in event["recalled"]]
    assert {f"w{n:02}" for n in range(30)} == {
        each["key"] for each in event["left_out"] if each["reason"] == "beyond the list"
    }


def test_nobody_elses_wishes_are_shown_always():
    """One person's taste, noted for a team, has no lower bar."""
    assert set() == keys(select(learning(KNOWLEDGE, "w", 0.0, standing=Standing.ALWAYS)))


def test_a_whole_store_can_stand():
    """The same word is an option of any learning store."""
    rules = LearnedKnowledge(name="rules", scope=Scope.TEAM, standing=Standing.LOWER)
    always = LearnedKnowledge(name="always", scope=Scope.TEAM, standing=Standing.ALWAYS)
    found = {store.name: [learning(store, f"{store.name}{n}", 0.35) for n in range(30)] for store in (rules, always)}
    found["rules"].append(learning(rules, "near", 0.5))
    shown = select_learnings([rules, always], found).shown

    assert {"rules": 8, "always": 30} == {name: len(learnings) for name, learnings in shown.items()}


def test_while_all_fits_nothing_is_left_out_for_its_relevance():
    """The first day must not be worse than without a bar."""
    found = {"user_memory": [learning(MEMORY, f"k{n}", 0.0) for n in range(5)]}

    assert 5 == len(select_learnings([MEMORY], found).shown["user_memory"])


def test_without_scores_the_rank_counts():
    """A store without scores has an order, of which each learning store has its best in the list."""
    found = {
        store.name: [learning(store, f"{store.name}{n:02}", None) for n in range(40)] for store in (MEMORY, KNOWLEDGE)
    }
    shown = select_learnings([MEMORY, KNOWLEDGE], found).shown

    assert (3, 3) == tuple(len(learnings) for learnings in shown.values())
    assert all(each.key[-1] in "012" for learnings in shown.values() for each in learnings)


def test_an_overlong_learning_is_cut_and_pushes_out_nothing():
    """Short ones are whole, and the rest of the budget is for the long ones."""
    long = learning(MEMORY, "long", 0.9, "x" * 9_000)
    short = [learning(MEMORY, f"s{n}", 0.8) for n in range(5)]
    shown = select(long, *short).shown["user_memory"]

    assert 6 == len(shown)
    assert "characters cut" in shown[0].text
    assert LIST_TOKENS >= sum(count_tokens(each.text) for each in shown) > LIST_TOKENS / 2


def test_a_limit_caps_the_part_of_one_store():
    """The others may have what it leaves."""
    one = UserMemory(limit=1)
    found = {
        "user_memory": [learning(one, f"m{n}", 0.9) for n in range(9)],
        "learned_knowledge": [learning(KNOWLEDGE, f"k{n}", 0.8) for n in range(30)],
    }
    shown = select_learnings([one, KNOWLEDGE], found).shown

    assert (1, 5) == (len(shown["user_memory"]), len(shown["learned_knowledge"]))


@pytest.mark.parametrize(
    ("wanted", "budget", "shares"),
    [
        ([10, 20, 30], 100, [10, 20, 30]),
        ([10, 500, 20], 100, [10, 70, 20]),
        ([500, 10, 500], 100, [45, 10, 45]),
        ([], 100, []),
    ],
)
def test_a_budget_is_shared_by_need(wanted, budget, shares):
    """Nobody gets more than wanted."""
    assert shares == share_tokens(wanted, budget)
