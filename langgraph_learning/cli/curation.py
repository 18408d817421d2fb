"""Curation on the command line: a progress bar during the run, tables of the report at the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from langgraph_learning.cli.printing import KEY_LENGTH, print_line, print_table
from langgraph_learning.core.flow import drive
from langgraph_learning.core.policy import Mode
from langgraph_learning.core.repository import StoredLearning
from langgraph_learning.core.text import count_noun
from langgraph_learning.curate.cues import find_without_cues, give_cues
from langgraph_learning.curate.report import Action, Report, describe_namespace
from langgraph_learning.curate.run import CurationSettings, curate
from langgraph_learning.errors import Misconfigured
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.stores import CATALOGUE
from langgraph_learning.stores.base import LearningStore

PRINTED_ACTIONS = 20


def run_curation(store: HybridPostgresStore, settings: CurationSettings, *, bar: bool) -> Report:
    """Run curation, with a progress bar if wanted, and return its report."""
    with _open_bar("namespaces", bar=bar) as update_bar:
        return drive(curate(_make_stores(), replace(settings, progress=update_bar)), store)


def find_cueless(store: HybridPostgresStore, tenant: str) -> list[StoredLearning]:
    """Return the learnings of a tenant that have no cues."""
    return drive(find_without_cues([kind() for kind in CATALOGUE], tenant), store)


def run_cues(store: HybridPostgresStore, model: BaseChatModel, found: Sequence[StoredLearning], *, bar: bool) -> int:
    """Let a model name cues, with a progress bar if wanted; return how many learnings have some now."""
    with _open_bar("learnings", bar=bar) as update_bar:
        return drive(give_cues(model, found, update_bar), store)


@contextmanager
def _open_bar(what: str, *, bar: bool) -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not bar) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def load_model(name: str | None) -> BaseChatModel | None:
    """Return the model of this name, if one is given. Raises `Misconfigured` if it cannot be loaded."""
    return load_named_model(name) if name else None


def load_named_model(name: str) -> BaseChatModel:
    """Return the model of this name. Raises `Misconfigured` if it cannot be loaded."""
    try:
        return init_chat_model(name)
    except Exception as error:  # each provider has errors of its own, such as that of a missing key
        raise Misconfigured(f"--ask {name}: {error}") from error


def print_report(report: Report) -> None:
    """Print counts by namespace and kind, then the actions, each with a key to undo it by."""
    calls = f", {count_noun(report.model_calls, 'model call')}" if report.model_calls else ""
    print_line(f"{report.size}, {report.seconds:.1f} s{calls}.")
    if not report.actions:
        return print_line("Nothing to do.")
    sums = []
    for (namespace, kind), counts in report.counts().items():
        described = ", ".join(f"{count} {what}" for what, count in counts.items())
        sums.append((describe_namespace(namespace, kind), described))
    print_table(("where", "would be done" if report.dry_run else "done"), sums)
    print_table(("key", "what", "text", "why"), [_action_row(action) for action in report.actions[:PRINTED_ACTIONS]])
    if len(report.actions) > PRINTED_ACTIONS:
        print_line(f"… and {len(report.actions) - PRINTED_ACTIONS} more; --json lists all.")


def _make_stores() -> list[LearningStore]:
    """Return the package's learning stores, in a mode in which every contradiction becomes a proposal.

    The command line does not know the application's machine, and therefore not who decides in its learning stores.
    """
    return [kind(mode=Mode.PROPOSE) if len(kind.modes) > 1 else kind() for kind in CATALOGUE]


def _action_row(action: Action) -> tuple[str, ...]:
    what = f"{action.what}, too late" if action.late else action.what
    # The key of a learning that is no longer active cannot be shortened.
    key = action.keys[0][:KEY_LENGTH] if action.what in ("merged", "superseded") else action.keys[0]
    return key, what, action.texts[0] if action.texts else "", action.why
