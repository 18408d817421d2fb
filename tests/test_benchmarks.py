"""The benchmarks run. Their measurements are not tested, because they depend on the machine."""

import re
from pathlib import Path

import pytest
from langgraph.store.memory import InMemoryStore

from benchmarks import attribution, background, extraction, learning_curve, product, turn, world
from benchmarks.desk import ARMS, Desk
from benchmarks.product import advice_in, fix_in
from benchmarks.support_agent import answer, edits, opinions
from benchmarks.world import World
from langgraph_learning.testing import HashEmbeddings


def rows(printed):
    """Return the cells of the table by the agent's name."""
    lines = [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| create_agent")]
    return {name: cells for name, *cells in lines}


def curves(printed):
    """Return the cells of each arm's row by its name."""
    lines = (line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| "))
    return {name: cells for name, *cells in lines}


@pytest.mark.parametrize("place", ["memory", "postgres"])
def test_a_turn_costs_one_call_more(place, postgres, monkeypatch, capsys):
    """Learning calls a model once per turn, with the middleware and with wrap, on any store."""
    monkeypatch.setenv("DATABASE_URL", postgres)
    turn.main(["--users", "1", "--turns", "3", "--store", place, "--alone"])

    calls = [cells[0] for cells in rows(capsys.readouterr().out).values()]

    assert ["1.00", "2.00", "2.00"] == calls


def test_turns_that_say_nothing_new_cost_no_extraction():
    """And each of the others costs less than 3,000 tokens."""
    cost = extraction.measure(extraction.TURNS[:4])

    assert 3 == cost.calls
    assert cost.tokens < 9_000


def test_the_prompt_only_grows_without_learning(capsys):
    """Each prompt of an agent without learning begins with the complete prompt before it."""
    turn.main(["--users", "1", "--turns", "3", "--store", "memory", "--alone"])

    alone = rows(capsys.readouterr().out)["create_agent alone (InMemoryStore's checkpointer)"]

    assert "100%" in alone


def test_a_missing_peer_is_told_and_does_no_harm(monkeypatch, capsys):
    """Without Agno, only ours is measured, and a message says how to install it."""
    monkeypatch.setattr(turn, "find_spec", lambda name: None)
    turn.main(["--users", "1", "--turns", "1", "--store", "memory"])

    assert re.search(r"Agno is not installed.*pip install", capsys.readouterr().err)


def test_the_same_seed_makes_the_same_world():
    """Tickets, right answers and reactions depend on the seed alone, so that they are the same for all arms."""
    one, other, another = World(7, 50), World(7, 50), World(8, 50)

    told = [
        [(ticket, support.right(ticket), support.reaction(ticket, None)) for ticket in support.tickets]
        for support in (one, other, another)
    ]

    assert told[0] == told[1] != told[2]


def test_what_is_right_changes_halfway():
    """Some fixes of the first half no longer solve a ticket in the second half, and some still do."""
    support = World(7, 400)
    before, after = support.tickets[:200], support.tickets[200:]
    same = [
        (support.right(a), support.right(b))
        for a in before
        for b in after
        if (a.team, a.problem) == (b.team, b.problem)
    ]

    assert {True, False} == {first == then for first, then in same}


def test_the_agent_knows_what_it_reads_and_the_manual():
    """A ticket that neither covers is passed on."""
    ticket = "A customer reports slow searches on MySQL 8. What do I tell them?"

    assert fix_in(answer(ticket, "")) is None
    assert fix_in(answer(ticket, "- For slow searches on Oracle 19, reset the queue.")) is None
    assert fix_in(answer(ticket, "- For a search box that crawls on MySQL 8, reset the queue.")) == "reset the queue"
    assert fix_in(answer(ticket.replace("MySQL 8", "the hosted edition"), "")) == "rebuild the index"


def test_of_hints_that_disagree_the_latest_counts():
    """The agent prefers the later date and, of one date, the hint that comes first."""
    hints = [
        "- For login loops on MySQL 8, reset the queue. (2026-11-20)",
        "- For login loops on MySQL 8, turn on retries. (2026-11-21)",
        "- For login loops on MySQL 8, run the schema repair. (2026-11-21)",
    ]

    assert answer("We see login loops on MySQL 8.", "\n".join(hints)) == "Please turn on retries."


def test_the_extraction_replaces_what_is_contradicted():
    """A known fix for the same problem is replaced; for another environment it is left alone."""
    prompt = (
        "<known>\nk1: insight · For login loops on MySQL 8, reset the queue.\n"
        "k2: insight · For login loops on Oracle 19, reset the queue.\n</known>\n"
        "<conversation>\n[1] user ana: For users sent back to the login page on MySQL 8, turn on retries.\n"
    )
    (edit,) = edits(prompt)
    (advice,) = advice_in(edit["insight"])

    assert ("k1", "turn on retries") == (edit["replaces"], advice.fix)


def test_the_model_that_compares_tells_another_fix_from_other_words():
    """The same fix in other words is the same, another fix is a contradiction, another environment is different."""
    pairs = (
        "<pairs>\n[1] For login loops on MySQL 8, reset the queue.\n    For login loops on MySQL 8, turn on retries.\n"
        "[2] For slow searches on MySQL 8, reset the queue.\n    For a search box that crawls on MySQL 8, reset the queue."
        "\n[3] For login loops on MySQL 8, reset the queue.\n    For login loops on Oracle 19, turn on retries.\n</pairs>"
    )

    assert ["contradiction", "same", "different"] == [one["opinion"] for one in opinions(pairs)]


def test_the_world_knows_nothing_of_what_is_measured_in_it():
    """Neither the world nor its product mentions the package, so they cannot favour it."""
    told = [Path(module.__file__).read_text(encoding="utf-8") for module in (world, product)]

    assert not any("langgraph" in source for source in told)


def test_people_are_wrong_as_often_as_is_said():
    """One thumb in ten is wrong, and so is one fix in twenty that users name."""
    support = World(7, 2_000)
    reactions = [
        (ticket, support.reaction(ticket, None), support.reaction(ticket, support.right(ticket)))
        for ticket in support.tickets
    ]
    thumbs = [after.verdict for _, _, after in reactions if after.verdict is not None]
    told = [support.right(ticket) in unsolved.remark for ticket, unsolved, _ in reactions if unsolved.remark]

    assert 0.9 == pytest.approx(sum(thumbs) / len(thumbs), abs=0.03)
    assert 0.95 == pytest.approx(sum(told) / len(told), abs=0.02)


def test_the_curve_rises_with_learning_and_is_flat_without():
    """Many more of the second seventy tickets are solved than of the first; without learning, about as many."""
    support, rise = World(7), {}
    for name in ("learning", "off"):
        store = InMemoryStore(index={"dims": 256, "embed": HashEmbeddings(256), "fields": ["text"]})
        solved = [served.success for served in map(Desk(ARMS[name], support, store).serve, support.tickets[:140])]
        rise[name] = sum(solved[70:]) - sum(solved[:70])

    assert rise["learning"] > 8 > 4 > abs(rise["off"])


def test_learning_on_postgres_solves_more_tickets_than_not(postgres, monkeypatch, capsys):
    """In a small world too. With learning, people decide on proposals; without it, nothing is harmed or decided."""
    monkeypatch.setenv("DATABASE_URL", postgres)
    learning_curve.main(["--tickets", "40", "--seeds", "1", "--embeddings", "words", "--arms", "learning", "off"])
    cells = curves(capsys.readouterr().out)
    solved = {name: sum(map(int, cells[name][:10])) for name in ("learning", "off")}

    assert solved["learning"] > solved["off"]
    assert float(cells["learning"][13].split()[0]) > 0
    assert ["0.0 ± 0.0"] * 4 == cells["off"][10:]


def test_statements_of_others_stay_private():
    """Some of the benchmark's cases: whatever message the extraction names, others' statements do not get through."""
    others = [*attribution.foreign_cases(), *attribution.ending_cases(own=False)][::29]

    assert sum(map(attribution.reaches_team, others)) * 50 <= len(others)


def test_whole_texts_of_others_stay_private():
    """Tickets, minutes, chats, letters, logs and the like; sentences without any form tell nothing of their origin."""
    pasted = [*attribution.pasted_cases()]

    reached = {case.group for case in pasted if attribution.reaches_team(case)}
    assert {"one long line", "legal clause alone", "poem of a colleague"} >= reached
    assert len(reached) * 50 <= len(pasted)


def test_whole_messages_of_ones_own_reach_the_team():
    """Lists, memos, corrections, definitions, code and several paragraphs."""
    typed = [*attribution.typed_cases()]

    assert sum(not attribution.reaches_team(case) for case in typed) * 50 <= len(typed)


def test_own_statements_reach_the_team():
    """Some of the benchmark's cases: beside tools and mails, and in quotation marks, own words count."""
    own = [*attribution.own_cases(), *attribution.ending_cases(own=True)][::7]

    assert sum(not attribution.reaches_team(case) for case in own) * 20 <= len(own)


@pytest.mark.long
def test_attribution_is_right_nearly_always(capsys):
    """At most two per cent of what others said reach the team, at least 95 % of what the user said."""
    attribution.main([])

    shares = {name: float(cells[1].split("(")[1].rstrip("%) ")) for name, cells in _cells(capsys.readouterr().out)}
    assert shares["foreign"] <= 2
    assert shares["pasted"] <= 2
    assert shares["typed"] >= 95
    assert shares["own"] >= 95


def _cells(printed):
    lines = [
        line.strip("| ").split(" | ")
        for line in printed.splitlines()
        if line.startswith(("| foreign", "| pasted", "| typed", "| own"))
    ]
    return [(name, cells) for name, *cells in lines]


@pytest.mark.long
def test_learning_in_a_queue_is_measured(postgres, monkeypatch, capsys):
    """What a caller waits for, how much workers do, and where a quiet user stands."""
    monkeypatch.setenv("DATABASE_URL", postgres)
    background.main(["--turns", "1", "--jobs", "8"])
    printed = capsys.readouterr().out

    assert re.search(r"^queue +\d", printed, re.MULTILINE)
    assert re.search(r"^ +4 +[\d.]+ +[\d.]+$", printed, re.MULTILINE)
    assert "The quiet user's job is number" in printed
