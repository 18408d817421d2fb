"""How the command line prints: tables for people, JSON for programs, and nothing stored that steers a terminal."""

import json
from collections.abc import Sequence
from typing import Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from langgraph_learning.core.learning import Learning
from langgraph_learning.core.store_protocol import Change
from langgraph_learning.review.instructions import Version

SHORT = 8
"""How much of a key is printed: enough to name it."""
UNBROKEN = ("key", "learnt", "change", "when", "status")
"""Columns that are never folded."""


def print_learnings(learnings: Sequence[Learning], as_json: bool, status: bool = False) -> None:
    """Print learnings, one a row."""
    if as_json:
        return print_json(learnings)
    columns = ("key", "belongs to", "kind", *(["status"] if status else []), "text", "learnt", "said by")
    return print_table(columns, [_row(one, status) for one in learnings])


def print_changes(changes: Sequence[Change], as_json: bool) -> None:
    """Print what happened to a learning."""
    if as_json:
        return print_json([{**change._asdict(), "at": change.at.isoformat()} for change in changes])
    rows = [(str(one.id), f"{one.at:%Y-%m-%d %H:%M}", one.by or "", *_after(one)) for one in changes]
    return print_table(("change", "when", "by", "status", "text"), rows)


def print_versions(versions: Sequence[Version], as_json: bool) -> None:
    """Print the versions of an agent's instructions."""
    if as_json:
        return print_json(versions)
    return print_table(("version", "when", "by", "why", "sections"), [_version(one) for one in versions])


def print_evidence(evidence: BaseModel, as_json: bool) -> None:
    """Print what a proposal rests on and would change, as far as there is something to tell."""
    if as_json:
        return print_json(evidence)
    told = evidence.model_dump(mode="json").items()
    return print_table(("", ""), [(name, plain(value)) for name, value in told if value])


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under these headings; without headings if they are empty."""
    if not rows:
        return say("Nothing.")
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0), show_header=any(columns))
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in UNBROKEN)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    return Console().print(table)


def print_json(value: Any) -> None:
    """Print a value, a model or a list of models."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=lambda one: one.model_dump(mode="json")))


def say(text: str, *, wrong: bool = False) -> None:
    """Print a sentence; in red, and where errors go, what went wrong."""
    Console(stderr=wrong).print(Text(text, style="red" if wrong else ""))


def plain(value: Any) -> str:
    """Return what was stored as one line that can neither colour nor steer a terminal."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else " " for c in text)


def _row(one: Learning, status: bool) -> tuple[str, ...]:
    place = f"{one.scope.name} {one.owner}"
    told = [one.status.value] if status else []
    return (one.key[:SHORT], place, one.kind, *told, one.text, f"{one.learned_at:%Y-%m-%d}", _by(one))


def _by(learning: Learning) -> str:
    first = learning.sources[0] if learning.sources else None
    return "" if first is None else first.user if first.channel == "user" else f"{first.channel} ({first.user})"


def _after(change: Change) -> tuple[str, str]:
    value = change.after or {"status": "removed", "text": (change.before or {}).get("text", "")}
    return str(value["status"]), str(value["text"])


def _version(one: Version) -> tuple[str, ...]:
    when = f"{one.at:%Y-%m-%d %H:%M}" if one.at else ""
    return str(one.number), when, one.by or "", one.why or "", one.as_text()
