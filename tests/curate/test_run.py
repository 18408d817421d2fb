"""Curation runs: what they change, what they leave alone, and how their actions are undone."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any
from uuid import uuid4

import pytest
from concurrent_store import BusyStore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import BaseMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from people import ALEX, NOTHING, SAM, edit, edits, observation, said, thread
from similar_statements import ALIKE, FREEZE, FREEZES, NEAR_MISSES

from langgraph_learning import (
    EntityMemory,
    LearningContext,
    LearningMachine,
    LearningStore,
    Mode,
    Record,
    Scope,
    Sharing,
    UserMemory,
    UserProfile,
)
from langgraph_learning.core.learning import Learning, ReviewDecision, Source, Status, Votes, count_sources
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.similarity.rules import find_difference
from langgraph_learning.core.text import normalize
from langgraph_learning.curate.report import Report
from langgraph_learning.errors import Conflict, Misconfigured
from langgraph_learning.testing import ScriptedModel
from langgraph_learning.update.votes import Vote, votes_namespace

TODAY = datetime.now(UTC)
YEAR = timedelta(days=365)
LAST_READ = 2
"""The last batch that a run over one namespace reads before it writes: namespaces, learnings, votes."""

Edit = tuple[int, str, int]
"""Before which batch it happens, what it is, and which learning it concerns."""


def tidy(store: BaseStore, *stores: LearningStore) -> LearningMachine:
    """Return a machine to curate with."""
    return LearningMachine(ScriptedModel([]), stores or [UserMemory()], store=store)


def place(kept: LearningStore, context: LearningContext) -> tuple[str, ...]:
    return Caller.of(context).namespace(kept.scope, kept.name)


def observed(machine: LearningMachine, *texts: str, context: LearningContext = ALEX, **fields: Any) -> list[Learning]:
    """Store learnings in the machine's first learning store, as if they had been learnt one after the other."""
    assert machine.store
    learnings = noted(machine, *texts, context=context, **fields)
    for one in learnings:  # InMemoryStore cannot embed equal texts together
        machine.store.batch([one.put()])
    return learnings


def noted(machine: LearningMachine, *texts: str, context: LearningContext = ALEX, **fields: Any) -> list[Learning]:
    """Return learnings that are not stored yet."""
    kept = machine.stores[0]
    return [
        Learning(
            **{
                "namespace": place(kept, context),
                "key": f"key {number:03}",
                "kind": "observation",
                "text": text,
                "data": {"observation": text},
                "learned_at": TODAY - timedelta(days=100) + timedelta(hours=number),
                "sources": (Source(channel="user", user=str(context.user_id), thread=f"t{number}"),),
                **fields,
            }
        )
        for number, text in enumerate(texts)
    ]


def texts(machine: LearningMachine, context: LearningContext = ALEX) -> list[str]:
    return sorted(one.text for one in machine.learnings(context))


def stored(machine: LearningMachine) -> list[Learning]:
    """Return all learnings of Alex in any status, sorted by key."""
    assert machine.store
    items = machine.store.search(place(machine.stores[0], ALEX), limit=1_000)
    return sorted((one for item in items if (one := Learning.read(item))), key=lambda one: one.key)


def vote(
    machine: LearningMachine, on: Learning, which: str, answers: Sequence[str], who: LearningContext = ALEX
) -> None:
    """Cast a user's votes on a learning that some answers had in their context."""
    assert machine.store
    for answer in answers:
        voice = Vote.of(Caller.of(who), answer, helped=which == "up", why=which, at=TODAY)
        machine.store.put(*voice.on(on.ref), index=False)


def show(machine: LearningMachine, one: Learning) -> None:
    """Record that an answer had this learning in its context."""
    assert machine.store
    folder = Caller.of(ALEX, "t1").namespace(Scope.THREAD, "shown")
    machine.store.put(folder, "a9", {"learnings": [[list(one.namespace), one.key]]})


def profile(machine: LearningMachine, role: str, nth: int) -> Learning:
    """Store a role of a user, learnt on the nth day."""
    fields = {"key": f"role {nth}", "kind": "profile_field", "learned_at": TODAY - timedelta(days=9 - nth)}
    return observed(machine, f"role: {role}", data={"field": "role", "value": role}, **fields)[0]


def entity(machine: LearningMachine, type: str, nth: int) -> Learning:
    """Store an entity of a type, learnt on the nth day."""
    data = {"entity": "Apollo", "type": type, "aliases": []}
    fields = {"key": f"apollo {nth}", "kind": "entity", "learned_at": TODAY - timedelta(days=9 - nth)}
    (learnt,) = observed(machine, f"Apollo ({type})", data=data, **fields)
    return learnt


class Entry(Record):
    """What somebody said."""

    words: str


class Diary(LearningStore):
    """Messages stored verbatim, without a model."""

    name = "diary"
    observed_records = (Entry,)


class Meddler:
    """Changes, forgets and adds learnings during a curation run, and knows which ones should be active in the end."""

    def __init__(self, machine: LearningMachine, learnings: Sequence[Learning], edits: Sequence[Edit]) -> None:
        assert machine.store
        self.store, self.edits = machine.store, edits
        self.learnings = {one.key: one for one in learnings}
        self.wanted = {one.key: one.text for one in learnings}

    def __call__(self, batch: int) -> None:
        for when, how, nth in self.edits:
            if when == batch:
                self.add(nth) if how == "add" else self.change(nth, how)

    def add(self, nth: int) -> None:
        first = next(iter(self.learnings.values()))
        new = first.model_copy(update={"key": f"new {nth}", "text": "Drinks tea"})
        self.learnings[new.key] = new
        self.wanted[new.key] = new.text
        self.store.batch([new.put()])

    def change(self, nth: int, how: str) -> None:
        """Change or forget a learning that is active at this moment, with all that was merged into it."""
        item = self.store.get(*list(self.learnings.values())[nth % len(self.learnings)].ref)
        now = item and Learning.read(item)
        if not now or now.status != "active":
            return
        for key in (now.key, *now.merged):
            self.wanted.pop(key, None)
        changes = {"text": f"Changed {nth}"} if how == "change" else {"status": Status.REJECTED}
        self.wanted |= {now.key: f"Changed {nth}"} if how == "change" else {}
        self.store.batch([now.model_copy(update={**changes, "merged": ()}).put()])


def curate_with(meddler: Any, machine: LearningMachine, tenant: str = "default") -> Report:
    """Run curation while somebody else writes to the store; return its report."""
    busy = tidy(BusyStore(machine.store, meddler), *machine.stores)  # type: ignore[arg-type]
    return busy.curate(tenant_id=tenant)


def once(nth: int, deed: Callable[[], Any]) -> Callable[[int], None]:
    """Return a callback that does something before the nth batch."""
    return lambda batch: deed() if batch == nth else None


def together(*deeds: Callable[[], Any]) -> list[Any]:
    """Call functions at the same time; return their results."""
    with ThreadPoolExecutor(len(deeds)) as threads:
        return [done.result() for done in [threads.submit(deed) for deed in deeds]]


def hears(store: Any, answer: Any, then: Callable[[], Any]) -> ScriptedModel:
    """Let Alex send a message, and call `then` during the first extraction call for it."""
    asked: list[Any] = []

    def thinks(shown: Sequence[BaseMessage]) -> Any:
        asked.append(shown)
        then() if len(asked) == 1 else None
        return answer(shown)

    model = ScriptedModel(thinks)
    learning = LearningMachine(model, [UserMemory()], store=store, on_error="raise")
    agent = learning.wrap(lambda state: {"messages": [("ai", "I see")]}, checkpointer=InMemorySaver())
    agent.invoke(said("About tea"), thread(uuid4().hex), context=ALEX)
    return model


def named(shown: Sequence[BaseMessage], text: str) -> str:
    """Return the name of a known learning in the extraction prompt."""
    return next(line.split(":")[0] for line in shown[-1].text.splitlines() if line.endswith(text))


def agreeable(shown: Sequence[BaseMessage]) -> dict[str, Any]:
    """Answer that all pairs say the same."""
    pairs = shown[-1].text.count("\n[")
    return {"opinions": [{"pair": number, "opinion": "same"} for number in range(1, pairs + 1)]}


def test_thirty_ways_to_say_one_thing_end_as_one(postgres_store: BaseStore):
    """Ten repetitions and twenty paraphrases: one learning stays active, with the sources of all."""
    machine = tidy(postgres_store)
    observed(machine, *[FREEZE] * 10, *FREEZES)
    report = machine.curate(ask=ScriptedModel(agreeable))

    (left,) = machine.learnings(ALEX)
    assert (29, 30) == (sum(one.count for one in report.done if one.what == "merged"), count_sources(left.sources))
    assert 29 == len(left.supersedes) == len(left.merged)


def test_the_whole_merge_is_taken_back_by_any_of_it(postgres_store: BaseStore):
    """Undoing with the key of the last of thirty restores all of them, and the next run leaves them alone."""
    machine = tidy(postgres_store)
    before = observed(machine, *[FREEZE] * 10, *FREEZES)
    machine.curate(ask=ScriptedModel(agreeable))

    assert 30 == len(machine.undo(ALEX, before[-1].key))
    assert [(one.key, one.text, one.sources) for one in before] == [
        (one.key, one.text, one.sources) for one in stored(machine)
    ]
    assert () == machine.curate(ask=ScriptedModel(agreeable)).actions


def test_a_merge_gains_what_all_of_it_had(postgres_store: BaseStore):
    """The oldest stays, with the sources, votes and links of all; one vote on one answer counts once."""
    machine = tidy(postgres_store)
    one, other = observed(machine, "Drinks tea", "Drinks tea.")
    vote(machine, one, "up", answers=["a1", "a2"])
    vote(machine, other, "up", answers=["a2", "a3"])
    machine.curate()

    (left,) = machine.learnings(ALEX)
    assert (one.key, (*one.sources, *other.sources), (other.key,)) == (left.key, left.sources, left.supersedes)
    assert Votes(helped=3) == left.votes


def test_the_words_that_a_person_approved_stay(postgres_store: BaseStore):
    """Even if others said it more often in other words."""
    machine = tidy(postgres_store)
    often = (Source(channel="user", user="alex", thread="a"), Source(channel="user", user="alex", thread="b"))
    observed(machine, FREEZES[0], key="often", sources=often)
    yes = ReviewDecision(by="sam", at=TODAY, verdict="approved")
    (approved,) = observed(machine, FREEZE, key="approved", decisions=(yes,))
    machine.curate()

    assert [approved.key] == [one.key for one in machine.learnings(ALEX)]


def test_near_misses_all_survive_a_model_that_says_yes(postgres_store: BaseStore):
    """A different number, name, negation or direction makes a different statement, whatever a model says."""
    machine = tidy(postgres_store)
    people = [LearningContext(user_id=f"user {number}") for number, _ in enumerate(NEAR_MISSES)]
    for who, pair in zip(people, NEAR_MISSES, strict=True):
        observed(machine, *pair, context=who)
    report = machine.curate(ask=ScriptedModel(agreeable), most_calls=100)

    assert [sorted(pair) for pair in NEAR_MISSES] == [texts(machine, who) for who in people]
    assert 30 <= report.model_calls


def test_what_differs_is_not_merged_by_way_of_a_third(postgres_store: BaseStore):
    """A model that calls everything the same joins no two statements that differ for certain."""
    machine = tidy(postgres_store)
    said = [text for pair in NEAR_MISSES for text in pair]
    observed(machine, *said)
    report = machine.curate(ask=ScriptedModel(agreeable), most_calls=100)

    merged = [pair for one in report.done for pair in combinations(one.texts, 2)]
    assert merged
    assert not [pair for pair in merged if find_difference(*pair)]


def test_a_model_joins_no_two_that_it_calls_different_by_way_of_a_third(postgres_store: BaseStore):
    """A statement that is the same as either of two is merged with only one of them."""
    machine = tidy(postgres_store)
    observed(machine, "Likes strong tea daily", "Likes strong drinks daily", "Likes strong coffee daily")

    def says(shown: Sequence[BaseMessage]) -> dict[str, Any]:
        pairs = shown[-1].text.split("\n[")[1:]
        unlike = [{"tea", "coffee"} <= set(pair.split()) for pair in pairs]
        opinions = ["different" if one else "same" for one in unlike]
        return {"opinions": [{"pair": nth, "opinion": opinion} for nth, opinion in enumerate(opinions, start=1)]}

    machine.curate(ask=ScriptedModel(says))
    assert ["Likes strong coffee daily", "Likes strong tea daily"] == texts(machine)


def test_without_a_model_only_what_is_beyond_doubt_is_merged(postgres_store: BaseStore):
    """Tea is not coffee. The report lists the similar pairs that are left, with keys and texts."""
    machine = tidy(postgres_store)
    said = [text for pair in ALIKE for text in pair]
    observed(machine, *said)
    report = machine.curate()

    assert sorted(said) == texts(machine)
    assert ("Admins can delete projects", "Only admins can delete projects") in [
        one.texts for one in report.look_alikes
    ]
    assert () == report.actions


def test_nothing_is_merged_across_people(store: BaseStore):
    """Equal statements of two users stay separate."""
    machine = tidy(store)
    observed(machine, "Drinks tea")
    observed(machine, "Drinks tea", context=SAM)

    assert () == machine.curate().actions
    assert ["Drinks tea"] == texts(machine, ALEX) == texts(machine, SAM)


def test_tenants_are_curated_apart(store: BaseStore):
    """A run curates one tenant and reads no other."""
    machine = tidy(store)
    other = LearningContext(user_id="alex", tenant_id="other")
    observed(machine, "Drinks tea", "Drinks tea", context=other)

    assert 0 == machine.curate().learnings
    assert 1 == len(machine.curate(tenant_id="other").done)


def test_a_dry_run_tells_exactly_what_a_run_does(postgres_store: BaseStore):
    """And a dry run writes nothing."""
    machine = tidy(postgres_store)
    observed(machine, *[FREEZE] * 3, *FREEZES[5:], "Drinks tea", "drinks tea!", valid_to=None)
    dry = machine.curate(dry_run=True, ask=ScriptedModel(agreeable))
    assert len(texts(machine)) == dry.learnings

    assert machine.curate(ask=ScriptedModel(agreeable)).actions == dry.actions
    assert () == machine.curate().actions


def test_what_waits_or_was_refused_is_left_alone(store: BaseStore):
    """Proposed and rejected learnings are not duplicates of active ones."""
    machine = tidy(store)
    observed(machine, "Drinks tea")
    waits, refused = (
        observed(machine, "Drinks tea", key=status, status=status)[0] for status in ("proposed", "rejected")
    )

    assert () == machine.curate().actions
    assert {"proposed", "rejected"} <= {one.status for one in stored(machine)}
    assert {waits.key, refused.key} <= {one.key for one in stored(machine)}


def test_the_later_of_two_about_the_same_counts(postgres_store: BaseStore):
    """Two concurrent turns each learnt a role: the later one supersedes the other, and that can be undone."""
    machine = tidy(postgres_store, UserProfile())
    old, new = (profile(machine, role, key) for key, role in enumerate(("engineer", "manager")))
    machine.curate()
    assert ["manager"] == [one.data["value"] for one in machine.learnings(ALEX)]

    machine.undo(ALEX, old.key)
    assert {old.key, new.key} == {one.key for one in machine.learnings(ALEX)}


def test_where_persons_decide_a_contradiction_is_put_to_them(postgres_store: BaseStore):
    """Retiring the older statement is proposed; nothing changes before somebody approves."""
    machine = tidy(postgres_store, EntityMemory(scope=Scope.TEAM, mode=Mode.PROPOSE))
    old, new = (entity(machine, kind, key) for key, kind in enumerate(("company", "project")))
    machine.curate()
    assert {old.key, new.key} == {one.key for one in machine.learnings(ALEX)}

    (asks,) = machine.review.list(ALEX)
    assert (old.key, new.text) == (asks.retires, asks.quote)
    machine.review.approve(ALEX, asks.key)
    assert [new.key] == [one.key for one in machine.learnings(ALEX)]


def test_a_contradiction_that_a_model_names_goes_to_review(postgres_store: BaseStore):
    """The model changes nothing by itself, and the next run does not propose the same again."""
    machine = tidy(postgres_store)
    observed(machine, "The refund takes 10 days at Acme", "The refund takes 14 days at Acme")
    judge = ScriptedModel([{"opinions": [{"pair": 1, "opinion": "contradiction"}]}] * 2)
    machine.curate(ask=judge)

    (asks,) = machine.review.list(ALEX)
    assert ("The refund takes 10 days at Acme", 2) == (asks.text, len(machine.learnings(ALEX)))
    assert () == machine.curate(ask=judge).actions


def test_a_harmful_learning_is_archived_and_can_be_brought_back(postgres_store: BaseStore):
    """Four of four answers with it went wrong. A single bad vote has no effect."""
    machine = tidy(postgres_store)
    bad, good, unlucky = observed(machine, "Restart the cluster", "Read the logs", "Ask the team")
    vote(machine, bad, "down", answers=["a1", "a2", "a3", "a4"])
    vote(machine, good, "up", answers=["a5", "a6"])
    vote(machine, unlucky, "down", answers=["a1"])
    report = machine.curate()
    assert ["Ask the team", "Read the logs"] == texts(machine)
    assert "harmed 4 of 4 answers" in str(report)

    machine.undo(ALEX, bad.key)
    machine.curate()
    assert bad.text in texts(machine)


def test_one_voice_alone_archives_nothing_that_is_shared(postgres_store: BaseStore):
    """In a team it takes the votes of two users."""
    machine = tidy(postgres_store, UserMemory(scope=Scope.TEAM))
    (shared,) = observed(machine, "Restart the cluster")
    vote(machine, shared, "down", answers=["a1", "a2", "a3", "a4", "a5"])
    machine.curate()
    assert ["Restart the cluster"] == texts(machine)

    vote(machine, shared, "down", answers=["a6"], who=SAM)
    machine.curate()
    assert [] == texts(machine)


def test_what_was_never_used_is_archived(store: BaseStore):
    """A learning said once, long ago and never used goes; one that was in context, helped or was repeated stays."""
    machine = tidy(store)
    twice = (Source(channel="user", user="alex", thread="a"), Source(channel="user", user="alex", thread="b"))
    never, shown, helped, young, again = (
        observed(machine, text, key=text, **{"learned_at": TODAY - YEAR, **fields})[0]
        for text, fields in (
            ("Owns a boat", {}),
            ("Drinks tea", {}),
            ("Likes maps", {}),
            ("Has a bike", {"learned_at": TODAY}),
            ("Sings bass", {"sources": twice}),
        )
    )
    vote(machine, helped, "up", answers=["a1"])
    show(machine, shown)
    machine.curate()

    assert sorted(one.text for one in (shown, helped, young, again)) == texts(machine)
    assert {never.key: "archived"} == {one.key: one.status for one in stored(machine) if one.status != "active"}


def test_what_has_expired_is_retired(store: BaseStore):
    """Its validity has ended, so its status becomes superseded."""
    machine = tidy(store)
    observed(machine, "Is on holiday", valid_to=TODAY - timedelta(days=1))
    report = machine.curate()

    assert ["retired"] == [one.what for one in report.done]
    assert ["superseded"] == [one.status for one in stored(machine)]


def test_raw_episodes_are_never_rewritten_and_end_when_their_time_is_over(postgres_store: BaseStore):
    """Repeated messages stay; expired ones are deleted, in the change log too."""
    machine = tidy(postgres_store, Diary())
    observed(machine, "Good morning", "Good morning", kind="entry")
    (old,) = observed(machine, "Secret", kind="entry", key="old", valid_to=TODAY - timedelta(days=1))
    vote(machine, old, "up", answers=["a1"])
    report = machine.curate()

    assert ["removed"] == [one.what for one in report.done]
    assert ["Good morning"] * 2 == [one.text for one in stored(machine)]
    assert not any("Secret" in str(change) for change in machine.history(ALEX, old.key))


def test_votes_are_summed_anew_and_those_on_nothing_removed(postgres_store: BaseStore):
    """Sums are taken from the votes, whatever a learning carries."""
    machine = tidy(postgres_store)
    one, gone = observed(machine, "Drinks tea", "Owns a boat", votes=Votes(helped=9))
    vote(machine, one, "up", answers=["a1"])
    vote(machine, gone, "up", answers=["a1"])
    machine.store.delete(*gone.ref)
    machine.curate()

    assert [Votes(helped=1)] == [left.votes for left in machine.learnings(ALEX)]
    assert [] == machine.store.search(votes_namespace(gone.ref))


def test_what_others_rest_on_stays_where_it_is(store: BaseStore):
    """An outcome refers to its decision by key, so that decision is the one that stays."""
    machine = tidy(store)
    _, newer = observed(machine, "Use Postgres", "Use Postgres")
    observed(machine, "It went well", key="outcome", derived_from=(newer.key,))
    machine.curate()

    assert {newer.key, "outcome"} == {one.key for one in machine.learnings(ALEX)}


def test_an_edit_in_between_is_never_overwritten(postgres_store: BaseStore):
    """An action on a learning that has changed since it was read is left to the next run; the others are done."""
    machine = tidy(postgres_store)
    tea, *_ = observed(machine, "Drinks tea", "Drinks tea", "Owns a boat", "Owns a boat")
    edit = tea.model_copy(update={"text": "Drinks mate"}).put()
    report = curate_with(lambda batch: postgres_store.batch([edit] if batch == LAST_READ + 1 else []), machine)

    assert ["Owns a boat"] == [one.texts[0] for one in report.done]
    assert ["Drinks tea"] == [one.texts[0] for one in report.late]
    assert ["Drinks mate", "Drinks tea", "Owns a boat"] == texts(machine)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    said=st.lists(
        st.sampled_from(["Drinks tea", "drinks tea.", "Owns a boat", "Owns a boat!"]), min_size=1, max_size=8
    ),
    edits=st.lists(
        st.tuples(st.integers(1, 6), st.sampled_from(["change", "forget", "add"]), st.integers(0, 9)), max_size=6
    ),
)
def test_no_order_of_edits_loses_a_learning(postgres_store: Any, said: Any, edits: Any):
    """Whatever is changed, forgotten or added meanwhile, statements that were not taken back stay active."""
    name = uuid4().hex
    context = LearningContext(user_id="alex", tenant_id=name)
    machine = tidy(postgres_store)
    meddler = Meddler(machine, observed(machine, *said, context=context), edits)
    curate_with(meddler, machine, tenant=name)

    assert {normalize(text) for text in meddler.wanted.values()} == {
        normalize(text) for text in texts(machine, context)
    }


@pytest.mark.parametrize("nth", range(8))
def test_of_two_runs_at_once_each_merge_is_made_once(postgres_store: BaseStore, nth: int):
    """Wherever a second run interrupts the first, the result is that of one run, and can be undone."""
    machine = tidy(postgres_store)
    before = observed(machine, "Drinks tea", "Drinks tea", "drinks tea.", "Owns a boat", "Owns a boat", "Sings")
    curate_with(once(nth, machine.curate), machine)
    assert ["Drinks tea", "Owns a boat", "Sings"] == texts(machine)

    machine.undo(ALEX, before[1].key)
    machine.undo(ALEX, before[4].key)
    assert sorted(one.text for one in before) == texts(machine)
    assert all(not one.merged and not one.supersedes and len(one.sources) == 1 for one in machine.learnings(ALEX))


def test_runs_in_parallel_lose_nothing(postgres_store: BaseStore):
    """After four concurrent runs, every statement is active exactly once."""
    machine = tidy(postgres_store)
    things = [f"Owns boat number {number}" for number in range(40)]
    observed(machine, *things, *(f"{thing}." for thing in things))
    together(*[machine.curate] * 4)
    machine.curate()

    assert sorted(things) == texts(machine)
    assert {2} == {len(one.sources) for one in machine.learnings(ALEX)}


@pytest.mark.parametrize("voices", [1, 2], ids=["of what goes", "of what stays"])
def test_what_is_said_again_while_it_is_merged_is_not_lost(postgres_store: BaseStore, voices: int):
    """The remaining learning has all sources, and the keys of what was merged into it."""
    machine = tidy(postgres_store)
    observed(machine, "Drinks tea", key="old")
    sources = tuple(Source(channel="user", user="alex", thread=name) for name in "ab"[:voices])
    observed(machine, "Drinks tea", key="new", learned_at=TODAY, sources=sources)
    hears(postgres_store, lambda shown: edits(observation("Drinks tea")), then=machine.curate)

    (left,) = machine.learnings(ALEX)
    assert voices + 2 == len(left.sources)
    assert {"old", "new"} == {left.key, *left.merged} == {left.key, *left.supersedes}


@pytest.mark.parametrize("which", ["Drinks tea", "drinks tea"])
def test_what_is_taken_back_while_it_is_merged_is_gone(postgres_store: BaseStore, which: str):
    """Whichever of the two the user forgets, the other one does not stay active."""
    machine = tidy(postgres_store)
    observed(machine, "Drinks tea", "drinks tea")

    def forgets(shown: Sequence[BaseMessage]) -> dict[str, Any]:
        known = [line.split(":")[0] for line in shown[-1].text.splitlines() if line.casefold().endswith("drinks tea")]
        chosen = named(shown, which) if len(known) > 1 else known[0]
        return edits(edit("forget", replaces=chosen)) if known else NOTHING

    hears(postgres_store, forgets, then=machine.curate)

    assert [] == texts(machine)


def test_merges_on_merges_are_undone_one_after_the_other(postgres_store: BaseStore):
    """The last merge is undone first; after both undos, everything is as before."""
    machine = tidy(postgres_store)
    before = observed(machine, "Deploys are frozen on Fridays", "Deploys are frozen on Fridays.")
    machine.curate()
    better = Source(channel="user", user="alex", thread="b")
    (third,) = observed(machine, "On Fridays, deploys are frozen", key="third", sources=(better,) * 3)
    machine.curate()
    assert [third.key] == [one.key for one in machine.learnings(ALEX)]
    with pytest.raises(Conflict):
        machine.undo(ALEX, before[1].key)

    machine.undo(ALEX, before[0].key)
    machine.undo(ALEX, before[1].key)
    assert {*(one.key for one in before), third.key} == {one.key for one in machine.learnings(ALEX)}
    assert all(not one.merged and not one.supersedes for one in machine.learnings(ALEX))


def test_nothing_private_is_merged_into_what_is_shared(store: BaseStore):
    """Equal learnings of users and teams in one learning store stay separate, whatever a model says."""
    machine = tidy(store, UserMemory(scope=Scope.TEAM, sharing=Sharing.after(3)))
    (ours,) = observed(machine, "Drinks tea")
    for owner in (("team", "rival"), ("user", "alex"), ("user", "sam")):
        store.batch([ours.model_copy(update={"namespace": (*ours.namespace[:2], *owner, "user_memory")}).put()])
    before = {item.namespace: item.value for item in store.search(("learnings",))}
    report = machine.curate(ask=ScriptedModel(agreeable))

    assert (4, ()) == (report.namespaces, report.actions)
    assert before == {item.namespace: item.value for item in store.search(("learnings",))}


def test_what_holds_now_is_not_replaced_by_what_will(postgres_store: BaseStore):
    """A role that begins next year does not contradict today's; a merge keeps the earlier start."""
    machine = tidy(postgres_store, UserProfile())
    now = profile(machine, "engineer", 1)
    observed(
        machine,
        "role: manager",
        data={"field": "role", "value": "manager"},
        kind="profile_field",
        key="next",
        learned_at=TODAY,
        valid_from=TODAY + YEAR,
    )
    observed(machine, "role: engineer", data=now.data, kind="profile_field", key="again", valid_from=TODAY + YEAR)
    machine.curate()

    assert {"engineer", "manager"} == {one.data["value"] for one in stored(machine) if one.status == "active"}
    assert ["engineer"] == [one.data["value"] for one in machine.learnings(ALEX)]


def test_where_no_answer_is_on_record_nothing_counts_as_unused(store: BaseStore):
    """Without threads no answers are recorded, so nothing is known about use."""
    machine = tidy(store)
    observed(machine, "Owns a boat", learned_at=TODAY - YEAR)

    assert () == machine.curate().actions


def test_an_answer_that_cannot_be_read_is_told_and_costs_nothing_else(postgres_store: BaseStore):
    """The rules still apply without the model."""
    machine = tidy(postgres_store)
    observed(machine, "Drinks tea", "Drinks tea", "Drinks green tea")
    report = machine.curate(ask=ScriptedModel([{"thoughts": "none"}]))

    assert (1, 1) == (report.model_calls, report.unread)
    assert ["Drinks green tea", "Drinks tea"] == texts(machine)


def test_progress_and_sums_are_told(store: BaseStore):
    """Progress is reported per namespace, counts per namespace and kind."""
    machine = tidy(store)
    for who in (ALEX, SAM):
        observed(machine, "Drinks tea", "drinks tea", context=who)
    told: list[tuple[int, int]] = []
    report = machine.curate(progress=lambda done, total: told.append((done, total)))

    assert [(1, 2), (2, 2)] == told
    assert [{"merged": 1}, {"merged": 1}] == [dict(counted) for counted in report.counts().values()]
    assert "user alex, observation: 1 merged" in str(report)


async def test_curation_works_in_the_async_world(astore: BaseStore):
    """It runs the same flow and returns the same report."""
    machine = tidy(astore)
    await astore.abatch([one.put() for one in noted(machine, "Drinks tea", "drinks tea")])
    report = await machine.acurate()

    assert 1 == sum(one.count for one in report.done)
    assert 1 == len(await machine.alearnings(ALEX))


@pytest.mark.parametrize("wrong", [{"unused_after": timedelta()}, {"tenant_id": " "}, {"most_calls": 0}])
def test_what_cannot_be_meant_is_told_at_once(store: BaseStore, wrong: Any):
    """The settings are checked before anything is read."""
    with pytest.raises(Misconfigured):
        tidy(store).curate(**wrong)


@pytest.mark.long
def test_ten_thousand_learnings_are_curated(postgres_store: BaseStore):
    """In one namespace, a tenth of them twice; the report says how long it took."""
    machine = tidy(postgres_store)
    things = [f"Customer {n} of group {n % 97} pays plan {n * 31 % 9000} on day {n % 28 + 1}" for n in range(9_000)]
    postgres_store.batch([one.put() for one in noted(machine, *things, *(f"{text}." for text in things[:1_000]))])
    report = machine.curate()

    assert (10_000, 1_000, 0) == (report.learnings, sum(one.count for one in report.done), report.model_calls)
    assert f"{report.seconds:.1f} s, 0 model calls" in str(report)
    assert 9_000 == len(machine.learnings(ALEX))
