"""Curation on the command line: with a bar while it goes on, and tables at the end."""

from dataclasses import replace

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from langgraph_learning.cli.printing import SHORT, print_table, say
from langgraph_learning.core.flow import drive
from langgraph_learning.core.policy import Mode
from langgraph_learning.curate.report import Action, Report, describe_namespace
from langgraph_learning.curate.run import CurationSettings, curate
from langgraph_learning.errors import Misconfigured
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.stores import (
    BehavioralFeedback,
    DecisionLog,
    EntityMemory,
    Episodes,
    LearnedKnowledge,
    SelfImprovement,
    SessionContext,
    UserMemory,
    UserProfile,
)
from langgraph_learning.stores.base import LearningStore

SHOWN = 20
"""How many of what was done are printed one by one."""


def curated(store: HybridPostgresStore, settings: CurationSettings, *, bar: bool) -> Report:
    """Carry curation out, with a bar if wanted, and return its report."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not bar) as progress:
        task = progress.add_task("places", total=None)

        def moved(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return drive(curate(_stores(), replace(settings, progress=moved)), store)


def model_of(name: str | None) -> BaseChatModel | None:
    """Return the model of this name, if any. Raises `Misconfigured` for one that cannot be had."""
    try:
        return init_chat_model(name) if name else None
    except (ImportError, ValueError) as error:
        raise Misconfigured(f"--ask {name}: {error}") from error


def print_report(report: Report) -> None:
    """Print sums by place and kind, then what was done, each with a key by which it can be undone."""
    calls = f", {report.model_calls} model calls" if report.model_calls else ""
    say(f"{report.learnings} learnings in {report.namespaces} places, {report.seconds:.1f} s{calls}.")
    if not report.actions:
        return say("Nothing to tidy.")
    counts = report.is_active().items()
    sums = [
        (describe_namespace(*place), ", ".join(f"{number} {what}" for what, number in of.items()))
        for place, of in counts
    ]
    print_table(("where", "would be done" if report.dry_run else "done"), sums)
    print_table(("key", "what", "text", "why"), [_row(action) for action in report.actions[:SHOWN]])
    if len(report.actions) > SHOWN:
        say(f"… and {len(report.actions) - SHOWN} more; --json lists all.")


def _stores() -> list[LearningStore]:
    """Return the learning stores of the package, so that a contradiction is put to review.

    The command line knows no machine, and so not whose word it takes there to settle one.
    """
    put_to_review = (UserProfile, UserMemory, EntityMemory, LearnedKnowledge, DecisionLog, BehavioralFeedback)
    return [SessionContext(), Episodes(), SelfImprovement(), *(kind(mode=Mode.PROPOSE) for kind in put_to_review)]


def _row(action: Action) -> tuple[str, ...]:
    what = f"{action.what}, too late" if action.late else action.what
    # What no longer counts is named by its whole key.
    key = action.keys[0][:SHORT] if action.what in ("merged", "superseded") else action.keys[0]
    return key, what, action.texts[0] if action.texts else "", action.why
