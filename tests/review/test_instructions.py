"""Versions of the agent's instructions are listed, compared and rolled back, within limits."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from instruction_proposals import SAFETY, TONE, approved, complaint, improving, instruction, proposed, shown, told
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from people import ALEX, SAM, machine

from langgraph_learning import LearningContext, UserMemory
from langgraph_learning.errors import Conflict, Misconfigured, NotAllowed, NotFound
from langgraph_learning.postgres import HybridPostgresStore

LEA = LearningContext(user_id="lea", team_ids=("acme",))


def sections(learning: Any) -> list[dict[str, str]]:
    return [dict(version.sections) for version in learning.instructions.versions(SAM)]


def test_every_approval_is_a_version(store: BaseStore):
    """Versions go from the developer's text to the active one, with reviewer and reason."""
    learning = improving(store, sections={"tone": "Be kind."}, protected=())
    learning.review.approve(SAM, proposed(learning, "tone", "Be brief."), why="Three complaints")
    approved(learning, "length", "One line.")
    zero, one, two = learning.instructions.versions(SAM)

    assert (0, None, {"tone": "Be kind."}) == (zero.number, zero.by, zero.sections)
    assert (1, "sam", "Three complaints", {"tone": "Be brief."}) == (one.number, one.by, one.why, one.sections)
    assert {"length": "One line.", "tone": "Be brief."} == two.sections


def test_two_versions_are_compared_as_a_diff(store: BaseStore):
    """Any two can be compared."""
    learning = improving(store, sections={"tone": "Be kind."}, protected=())
    approved(learning, "tone", "Be brief.")
    told = learning.instructions.compare(SAM, 0, 1)

    assert ["-Be kind.", "+Be brief."] == [row for row in told.splitlines() if row[0] in "+-"][2:]
    assert "" == learning.instructions.compare(SAM, 1, 1)
    with pytest.raises(NotFound, match="no version 7"):
        learning.instructions.compare(SAM, 1, 7)


def test_rolled_back_it_is_byte_for_byte_what_it_was(store: BaseStore):
    """The rollback is a new version with its own reviewer, used from the next turn on."""
    learning = improving(store)
    approved(learning, "tone", "Be brief.")
    before = shown(learning)
    approved(learning, "tone", "Be formal.")
    approved(learning, "length", "One line.")
    now = learning.instructions.rollback(SAM, 1, why="Too stiff")

    assert before == shown(learning)
    assert (4, "sam", "Too stiff") == (now.number, now.by, now.why)
    assert now == learning.instructions.versions(SAM)[-1]


def test_the_first_version_is_what_the_developer_wrote(store: BaseStore):
    """After a rollback to version 0 no approved instruction is active; after rolling forward, all are."""
    learning = improving(store)
    approved(learning, "tone", "Be brief.")
    last = shown(learning)
    learning.instructions.rollback(SAM, 0)
    first = shown(learning)
    learning.instructions.rollback(SAM, 1)

    assert (f"{SAFETY}\n{TONE}", last) == (first, shown(learning))


async def test_versions_in_the_async_world(astore: BaseStore):
    """The same, awaited."""
    learning = improving(astore, sections={"tone": "Be kind."}, protected=())

    assert {"tone": "Be kind."} == (await learning.instructions.arollback(SAM, 0)).sections
    assert 1 == len(await learning.instructions.aversions(SAM))
    assert "" == await learning.instructions.acompare(SAM, 0, 0)


def test_an_unknown_version_is_not_found(store: BaseStore):
    """And nothing changes."""
    with pytest.raises(NotFound, match="only 0 to 0"):
        improving(store).instructions.rollback(SAM, 1)


def test_a_machine_without_instructions_says_so():
    """The error names the store to add."""
    with pytest.raises(Misconfigured, match=r"add SelfImprovement\(\)"):
        _ = machine([], [UserMemory()], store=InMemoryStore()).instructions


def test_four_eyes_hold_for_a_rollback(store: BaseStore):
    """Alex cannot reactivate instructions that rest on Alex' own words, by any method."""
    learning = improving(store, four_eyes=True)
    approved(learning, "tone", "Be brief.")
    learning.instructions.rollback(ALEX, 0)

    with pytest.raises(NotAllowed, match="your own words"):
        learning.instructions.rollback(ALEX, 1)
    assert {"tone": "Be brief."}.items() <= learning.instructions.rollback(SAM, 1).sections.items()


def test_what_is_protected_later_stays_what_the_developer_wrote(postgres_store: HybridPostgresStore):
    """No earlier approval, new approval, undo or rollback changes it."""
    free = improving(postgres_store)
    first = approved(free, "tone", "Be brief.")
    waits = proposed(free, "tone", "Be formal.")
    shut = improving(postgres_store, protected=("safety", "Tone"))

    assert f"{SAFETY}\n{TONE}" == shown(shut)
    for change in (
        lambda: shut.review.approve(SAM, waits),
        lambda: shut.review.approve(SAM, waits, fields={"text": "Be rude."}),
        lambda: shut.undo(SAM, first.key),
        lambda: shut.instructions.rollback(SAM, 0),
    ):
        with pytest.raises(NotAllowed, match="'tone' is protected"):
            change()


@pytest.mark.parametrize(
    ("again", "fields", "why"),
    [(False, {"section": "safety"}, "not the section"), (True, {"text": "Be rude."}, "cannot be changed")],
)
def test_what_is_on_record_is_not_reworded(store: BaseStore, again: bool, fields: dict[str, str], why: str):
    """An approval may correct the text once; another section or an earlier version needs a new proposal."""
    learning = improving(store)
    key = proposed(learning, "tone", "Be brief.")
    if again:
        learning.review.approve(SAM, key, fields={"text": "Be short."})
        learning.review.demote(SAM, key)

    with pytest.raises(NotAllowed, match=why):
        learning.review.approve(SAM, key, fields=fields)


def test_an_approval_undone_is_no_version(postgres_store: HybridPostgresStore):
    """The earlier instruction is active again."""
    learning = improving(postgres_store)
    approved(learning, "tone", "Be brief.")
    second = approved(learning, "tone", "Be formal.")
    learning.undo(SAM, second.key)

    assert ["Be kind.", "Be brief."] == [each["tone"] for each in sections(learning)]
    assert "Be brief." in shown(learning)


def test_a_rollback_can_be_undone(postgres_store: HybridPostgresStore):
    """Either of the two learnings that changed can be given."""
    learning = improving(postgres_store)
    first = approved(learning, "tone", "Be brief.")
    for text in ("Be formal.", "Be witty."):
        approved(learning, "tone", text)
    learning.instructions.rollback(SAM, 1)
    learning.undo(SAM, first.key)

    assert "Be witty." == sections(learning)[-1]["tone"]
    assert 4 == len(sections(learning))


def test_approved_and_rolled_back_at_once_one_of_them_wins(postgres_store: HybridPostgresStore):
    """The slower one gets `Conflict`; the result is what one of the two wanted."""
    learning = improving(postgres_store)
    approved(learning, "tone", "Be brief.")
    key = proposed(learning, "length", "One line.")

    def attempt(change: Any) -> bool:
        try:
            change()
        except Conflict:
            return False
        return True

    changes = [lambda: learning.review.approve(SAM, key), lambda: learning.instructions.rollback(LEA, 0)]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(attempt, changes))
    last = sections(learning)[-1]
    came_of_it = "length" in last, last["tone"] == "Be kind."

    # One after the other both are done, and the later one says what counts.
    possible = {(True, False): [(True, False)], (True, True): [(True, True), (False, True)]}
    assert came_of_it in possible[done[0], done[1]]


ACTS = st.one_of(
    st.tuples(st.just("propose"), st.sampled_from(["tone", "length"]), st.integers(0, 3)),
    st.tuples(st.sampled_from(["approve", "reject", "demote", "roll back"]), st.integers(0, 5), st.just(0)),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(ACTS, max_size=10))
@example([("propose", "tone", 0), ("approve", 0, 0), ("roll back", 0, 0), ("propose", "tone", 0)])
def test_whatever_is_decided_the_versions_tell_it(acts: list[Any]):
    """The last version is what the agent sees; versions never change; a rollback restores exactly."""
    learning = improving(InMemoryStore(), sections={}, protected=())
    told(learning, complaint("Long"), complaint("Longer"))
    for name, what, number in acts:
        before = learning.instructions.versions(SAM)
        with suppress(Conflict):  # another text for the section counts by now
            decide(learning, len(before), name, what, number)
        after = learning.instructions.versions(SAM)

        assert before == after[: len(before)]
        assert rendered(after[-1].sections) == shown(learning)
        assert name != "roll back" or after[-1].sections == before[what % len(before)].sections


def rendered(sections: Mapping[str, str]) -> str:
    return "\n".join(f'<section name="{name}">\n{text}\n</section>' for name, text in sections.items())


def decide(learning: Any, versions: int, name: str, what: Any, number: int) -> None:
    """Do one operation, if there is anything to apply it to."""
    waiting = learning.review.list(SAM)
    counting = [one for one in learning.learnings(SAM) if one.kind == "instruction"]
    if name == "propose":
        told(learning, instruction(what, f"Text {number}.", "k1", "k2"))
    elif name == "roll back":
        learning.instructions.rollback(SAM, what % versions)
    elif name == "demote" and counting:
        learning.review.demote(SAM, counting[what % len(counting)].key)
    elif name in ("approve", "reject") and waiting:
        getattr(learning.review, name)(SAM, waiting[what % len(waiting)].key)
