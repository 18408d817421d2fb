"""A learning that is said very often stays small, and whoever said it can still have it forgotten, thread by thread."""

import json

import pytest
from langgraph.store.base import BaseStore
from people import ALEX, SAM, edit, edits, machine, observation

from langgraph_learning import Scope, SessionContext, UserMemory
from langgraph_learning.core.learning import (
    FIRST_SOURCES,
    JOINED_SOURCES,
    JOINED_THREADS,
    LATEST_SOURCES,
    SEVERAL_PEOPLE,
    Source,
    bound_sources,
    count_sources,
)

MANY = 60
TEA = "Likes tea"


def source(number, user="alex", thread="a", channel="user"):
    return Source(channel=channel, user=user, thread=thread, run=f"r{number}", messages=(f"m{number}",))


def add_all(sources):
    """Return what is kept of sources that come one after the other, and how large it was after each, as JSON."""
    kept, sizes = (), []
    for each in sources:
        kept = bound_sources((*kept, each))
        sizes.append(len(json.dumps([one.model_dump(mode="json") for one in kept])))
    return kept, sizes


def test_the_first_and_the_latest_are_kept_as_they_are():
    """The others are counted."""
    kept, _ = add_all(map(source, range(500)))

    assert [*map(source, range(FIRST_SOURCES))] == [*kept[:FIRST_SOURCES]]
    assert [*map(source, range(500 - LATEST_SOURCES, 500))] == [*kept[-LATEST_SOURCES:]]
    assert 500 == count_sources(kept)
    assert kept == bound_sources(kept)


def test_in_one_thread_it_does_not_grow():
    """It is as large after 500 times as after 100, but for the digits."""
    _, sizes = add_all(map(source, range(100, 600)))

    assert sizes[100] == pytest.approx(sizes[-1], abs=10)
    assert sizes[-1] < 3_000


def test_in_many_threads_it_has_a_limit():
    """The threads of the latest are known."""
    threads = FIRST_SOURCES + JOINED_THREADS + LATEST_SOURCES
    kept, sizes = add_all(source(number, thread=f"t{number}") for number in range(1_000, 3_000))
    known = {thread for each in kept for thread in each.all_threads}

    assert sizes[threads] == pytest.approx(sizes[-1], abs=10)
    assert {f"t{number}" for number in range(3_000 - JOINED_THREADS - LATEST_SOURCES, 3_000)} <= known
    assert threads == len(known)


def test_everybody_who_said_it_is_known():
    """With the kind of speaker; of very many, that there were others."""
    kept, _ = add_all(source(number, user=f"u{number}", channel="tool") for number in range(JOINED_SOURCES))
    _, sizes = add_all(source(number, user=f"u{number}") for number in range(1_000, 2_000))
    of_many, _ = add_all(source(number, user=f"u{number}") for number in range(1_000))

    assert {f"u{number}" for number in range(JOINED_SOURCES)} == {each.user for each in kept}
    assert {"tool"} == {each.channel for each in kept}
    assert SEVERAL_PEOPLE in {each.user for each in of_many}
    assert 1_000 == count_sources(of_many)
    assert sizes[500] == pytest.approx(sizes[-1], abs=10)


def say_in_threads(store: BaseStore):
    """Let Alex say the same in many threads."""
    answer = edits(observation(TEA), edit("session", summary="Alex likes tea"))
    learning = machine(lambda shown: answer, [UserMemory(), SessionContext()], store=store)
    for number in range(MANY):
        learning.learn([("user", "I like tea")], ALEX, thread_id=f"t{number}")
    (known,) = learning.learnings(ALEX)
    return learning, known


def texts_in(store: BaseStore):
    return [item.value["text"] for item in store.search(("learnings",), limit=1_000) if "text" in item.value]


def test_forgetting_finds_every_thread(store: BaseStore):
    """No session says it any more."""
    learning, known = say_in_threads(store)
    said = len(texts_in(store))
    learning.forget(ALEX, known.key)

    assert MANY == count_sources(known.sources)
    assert 1 + MANY == said
    assert [] == texts_in(store)


def test_a_forgotten_thread_leaves_no_trace(store: BaseStore):
    """Whether its source was kept as it was or joined. The learning goes with the last one."""
    learning, _ = say_in_threads(store)
    learning.forget_thread(ALEX, "t1")
    learning.forget_thread(ALEX, "t30")
    (left,) = learning.learnings(ALEX)
    for number in range(MANY):
        learning.forget_thread(ALEX, f"t{number}")

    assert MANY - 2 == count_sources(left.sources)
    assert not {"t1", "t30"} & {thread for each in left.sources for thread in each.all_threads}
    assert [] == texts_in(store)


def test_what_others_said_as_well_stays(store: BaseStore):
    """A user who has all their threads forgotten leaves it to the others."""
    learning = machine(lambda shown: edits(observation(TEA)), [UserMemory(scope=Scope.TEAM)], store=store)
    for number in range(MANY):
        user = SAM if number == 30 else ALEX
        learning.learn([("user", "I like tea")], user, thread_id=f"t{number}")
    for number in range(MANY):
        learning.forget_thread(ALEX, f"t{number}")
    (left,) = learning.learnings(SAM)

    assert [("sam", 1)] == [(each.user, each.times) for each in left.sources]
