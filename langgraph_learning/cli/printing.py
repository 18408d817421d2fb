"""Output of the command line: tables for people, JSON for programs, and no control characters from stored text."""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from langgraph_learning.background.queue import Job
from langgraph_learning.background.usage import Usage, UsageReport
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.store_protocol import Change
from langgraph_learning.review.instructions import Version

KEY_LENGTH = 8
"""Number of characters of a key that are printed: enough to name it."""
UNFOLDED_COLUMNS = ("key", "learnt", "change", "when", "status", "since", "due")


def print_learnings(learnings: Sequence[Learning], as_json: bool, status: bool = False) -> None:
    """Print learnings, one per row, with their status if wanted."""
    if as_json:
        return print_json(learnings)
    columns = ("key", "belongs to", "kind", *(["status"] if status else []), "text", "learnt", "said by")
    return print_table(columns, [_learning_row(learning, status) for learning in learnings])


def print_changes(changes: Sequence[Change], as_json: bool) -> None:
    """Print the change log of a learning."""
    if as_json:
        return print_json([{**change._asdict(), "at": change.at.isoformat()} for change in changes])
    return print_table(("change", "when", "by", "status", "text"), [_change_row(change) for change in changes])


def print_versions(versions: Sequence[Version], as_json: bool) -> None:
    """Print the versions of an agent's instructions."""
    if as_json:
        return print_json(versions)
    return print_table(("version", "when", "by", "why", "sections"), [_version_row(version) for version in versions])


def print_evidence(evidence: BaseModel, as_json: bool) -> None:
    """Print the evidence of a proposal and what it would change, without empty fields."""
    if as_json:
        return print_json(evidence)
    fields = evidence.model_dump(mode="json").items()
    return print_table(("", ""), [(name, make_printable(value)) for name, value in fields if value])


def print_jobs(jobs: Sequence[Job], as_json: bool) -> None:
    """Print the jobs of a queue."""
    if as_json:
        return print_json(jobs)
    columns = ("job", "status", "user", "thread", "runs", "since", "due", "tries", "reason")
    return print_table(columns, [_job_row(job) for job in jobs])


def _job_row(job: Job) -> tuple[str, ...]:
    owner = f"{job.tenant}/{job.user}"
    due = f"{job.due:%m-%d %H:%M}" if job.due else ""
    since = f"{job.since:%m-%d %H:%M}"
    return str(job.id), job.status, owner, job.thread or "", str(job.runs), since, due, str(job.attempts), job.reason


def print_log() -> None:
    """Print the log of a worker, a line for each event, on stderr."""
    logger = logging.getLogger("langgraph_learning")
    logger.setLevel(logging.INFO)
    if logger.hasHandlers():  # the application prints its log already
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger.addHandler(handler)


def print_usage(report: UsageReport, as_json: bool) -> None:
    """Print usage by user and by day, then the outcomes by learning store, then the reasons of what went wrong."""
    if as_json:
        return print_json(report)
    columns = ("extractions", "calls", "tokens read", "written", "seconds", "outcomes")
    if len(report.users) > 1:
        print_table(("user", *columns), [_usage_row(name, usage) for name, usage in report.users.items()])
    if report.days:
        days = [_usage_row(day, usage) for day, usage in report.days.items()]
        print_table(("day", *columns), [*days, _usage_row("all", report.total)])
    stores = report.total.stores.items()
    print_table(("learning store", "outcomes"), [(name, _describe_counts(counts)) for name, counts in stores])
    if report.total.reasons:
        print_table(("reason", "times"), [(reason, str(times)) for reason, times in report.total.reasons.items()])
    if report.total.estimated_calls:
        print_note(f"The tokens of {report.total.estimated_calls} calls are estimated: the model did not say.")


def _usage_row(name: str, usage: Usage) -> tuple[str, ...]:
    numbers = (usage.extractions, usage.calls, usage.input_tokens, usage.output_tokens, round(usage.seconds))
    return (name, *(f"{number:,}" for number in numbers), _describe_counts(usage.outcomes))


def _describe_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in counts.items())


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under these headings; without headings if all of them are empty."""
    if not rows:
        return print_line("Nothing.")
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0), show_header=any(columns))
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in UNFOLDED_COLUMNS)
    for row in rows:
        table.add_row(*(Text(make_printable(cell)) for cell in row))
    return Console().print(table)


def print_json(value: Any) -> None:
    """Print a value, a pydantic model or a list of models as JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=lambda model: model.model_dump(mode="json")))


def print_line(text: str) -> None:
    """Print a sentence."""
    Console().print(Text(text))


def print_error(text: str) -> None:
    """Print a sentence in red on stderr."""
    Console(stderr=True).print(Text(text, style="red"))


def print_note(text: str) -> None:
    """Print a sentence beside the output, on stderr."""
    Console(stderr=True).print(Text(text))


def make_printable(value: Any) -> str:
    """Return a stored value as one line without characters that colour or steer a terminal."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else " " for c in text)


def _learning_row(learning: Learning, status: bool) -> tuple[str, ...]:
    owner = f"{learning.scope.name} {learning.owner}"
    states = [learning.status.value] if status else []
    learnt = f"{learning.learned_at:%Y-%m-%d}"
    return (learning.key[:KEY_LENGTH], owner, learning.kind, *states, learning.text, learnt, _describe_source(learning))


def _describe_source(learning: Learning) -> str:
    if not learning.sources:
        return ""
    source = learning.sources[0]
    return source.user if source.channel == "user" else f"{source.channel} ({source.user})"


def _change_row(change: Change) -> tuple[str, ...]:
    value = change.after or {"status": "removed", "text": (change.before or {}).get("text", "")}
    return str(change.id), f"{change.at:%Y-%m-%d %H:%M}", change.by or "", str(value["status"]), str(value["text"])


def _version_row(version: Version) -> tuple[str, ...]:
    when = f"{version.at:%Y-%m-%d %H:%M}" if version.at else ""
    sections = version.as_text() or "(as your code says)"
    return str(version.number), when, version.by or "", version.why or "", sections
