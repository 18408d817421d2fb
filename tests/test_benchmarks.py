"""The benchmarks run. What they measure is no test's business: clocks differ."""

import re

import pytest

from benchmarks import turn


def rows(printed):
    """Return the cells of the table by the agent's name."""
    lines = [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| create_agent")]
    return {name: cells for name, *cells in lines}


@pytest.mark.parametrize("place", ["memory", "postgres"])
def test_a_turn_costs_one_call_more(place, postgres, monkeypatch, capsys):
    """Learning asks a model once a turn, through the middleware and through wrap alike, whatever the store."""
    monkeypatch.setenv("DATABASE_URL", postgres)
    turn.main(["--users", "1", "--turns", "3", "--store", place, "--alone"])

    calls = [cells[0] for cells in rows(capsys.readouterr().out).values()]

    assert ["1.00", "2.00", "2.00"] == calls


def test_the_prompt_only_grows_without_learning(capsys):
    """An agent that learns nothing begins each prompt with the whole of the one before."""
    turn.main(["--users", "1", "--turns", "3", "--store", "memory", "--alone"])

    alone = rows(capsys.readouterr().out)["create_agent alone (InMemoryStore's checkpointer)"]

    assert "100%" in alone


def test_a_missing_peer_is_told_and_does_no_harm(monkeypatch, capsys):
    """Without Agno ours is measured alone, and the reader learns how to install it."""
    monkeypatch.setattr(turn, "find_spec", lambda name: None)
    turn.main(["--users", "1", "--turns", "1", "--store", "memory"])

    assert re.search(r"Agno is not installed.*pip install", capsys.readouterr().err)
