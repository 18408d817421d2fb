"""Old conversations to learn from: lines of a file, or threads of a checkpointer."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from langgraph.checkpoint.postgres import PostgresSaver
from psycopg import Connection, sql
from psycopg.rows import dict_row
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from langgraph_learning.background.estimate import Estimate, estimate_cost
from langgraph_learning.background.learner import LearningResult, make_turn
from langgraph_learning.cli.application import Application
from langgraph_learning.cli.printing import print_error, print_learnings, print_note
from langgraph_learning.core.flow import drive
from langgraph_learning.core.scopes import LearningContext
from langgraph_learning.core.speakers import Arrivals, read_times
from langgraph_learning.core.transcript import parse_time
from langgraph_learning.errors import LearningError, Misconfigured
from langgraph_learning.stores.base import Turn

OWNER_KEYS = ("langgraph_auth_user_id", "user_id")
"""Names under which the metadata of a checkpoint may hold the user; one that a server authenticated counts first."""


class Conversations(NamedTuple):
    """Conversations to learn from, and those that cannot be."""

    turns: list[Turn]
    problems: list[str]
    """Each with the place of a conversation and the reason why it cannot be learnt from."""


def read_file(path: Path, defaults: LearningContext) -> Conversations:
    """Read a file with one conversation per line, as a JSON object with its `messages`.

    An object may have a `thread_id`, and the fields of a `LearningContext`, which count instead of the defaults.
    """
    turns, problems = [], []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                turns.append(_read_line(line, defaults))
            except (ValueError, KeyError, TypeError, NotImplementedError, LearningError) as error:
                problems.append(f"line {number}: {type(error).__name__}: {error}")
    return Conversations(turns, problems)


def _read_line(line: str, defaults: LearningContext) -> Turn:
    entry = json.loads(line)
    if not isinstance(entry, dict) or not isinstance(entry.get("messages"), list):
        raise ValueError('it has to be an object such as {"user_id": "alex", "messages": [{"role": "user", …}]}')
    context = LearningContext.read({**defaults.model_dump(exclude_defaults=True), **entry})
    return make_turn(entry["messages"], context, entry.get("thread_id"), datetime.now(UTC))


def read_threads(url: str, defaults: LearningContext) -> Conversations:
    """Read the threads of the checkpointer in a database, as they are now.

    The user of a thread is the one that the metadata of its checkpoint names, or else the default. It was held when its
    last checkpoint was saved.
    """
    turns, problems = [], []
    with _open_saver(url) as saver:
        for thread in _thread_ids(saver):
            checkpoint = saver.get_tuple({"configurable": {"thread_id": thread, "checkpoint_ns": ""}})
            messages = checkpoint.checkpoint["channel_values"].get("messages") if checkpoint else None
            if not checkpoint or not messages:
                continue
            metadata: dict[str, Any] = dict(checkpoint.metadata)
            owner = next((str(metadata[key]) for key in OWNER_KEYS if metadata.get(key)), defaults.user_id)
            if owner is None:
                problems.append(f"thread {thread}: it does not say whose it is; name the user with --user")
                continue
            said_at = parse_time(checkpoint.checkpoint["ts"])
            context = defaults.model_copy(update={"user_id": owner, "now": defaults.now or said_at})
            times = read_times(checkpoint.checkpoint["channel_values"].get("learning_times"))
            turn = make_turn(messages, context, thread, datetime.now(UTC))
            turns.append(replace(turn, arrivals=Arrivals(times=times)))
    return Conversations(turns, problems)


@contextmanager
def _open_saver(url: str) -> Iterator[PostgresSaver]:
    with PostgresSaver.from_conn_string(url) as saver:
        yield saver


def _thread_ids(saver: PostgresSaver) -> list[str]:
    """Return all threads, the oldest first. The checkpointer itself lists checkpoints only, with all their contents."""
    connection: Any = saver.conn
    assert isinstance(connection, Connection)
    cursor = connection.cursor(row_factory=dict_row)
    if cursor.execute(sql.SQL("SELECT to_regclass('checkpoints') AS found")).fetchone() == {"found": None}:
        raise Misconfigured("This database has no checkpoints: name that of the checkpointer with --checkpoints.")
    statement = sql.SQL(
        "SELECT thread_id FROM checkpoints WHERE checkpoint_ns = '' GROUP BY thread_id ORDER BY min(checkpoint_id)"
    )
    return [row["thread_id"] for row in cursor.execute(statement).fetchall()]


def estimate_conversations(
    application: Application, turns: Sequence[Turn], limit: int | None
) -> tuple[list[Turn], Estimate]:
    """Return the conversations with something unread, as many as wanted, and what learning from them will cost."""
    extraction, total = application.machine.learner.extraction, Estimate()
    unread: list[Turn] = []
    for turn in turns:
        if limit is not None and len(unread) == limit:
            break
        estimate = drive(estimate_cost(extraction, turn), application.store)
        if estimate.messages:
            unread.append(turn)
            total += estimate
    return unread, total


def learn_from(application: Application, turns: Sequence[Turn], *, dry_run: bool, bar: bool) -> LearningResult:
    """Learn from conversations one after the other, with a progress bar if wanted.

    What is learnt is written after each extraction, so that a run that was stopped goes on where it was.
    """
    learner = application.machine.learner
    learn = learner.preview if dry_run else learner.learn
    result = LearningResult()
    for turn in _show_progress(turns, bar):
        result += drive(learn(turn), application.store)
    return result


def print_estimate(
    found: Conversations, unread: Sequence[Turn], estimate: Estimate, price: tuple[float, float] | None
) -> None:
    """Print what there is to learn from and what it will cost, beside the output."""
    for problem in found.problems:
        print_error(problem)
    what = f"{len(unread)} of {len(found.turns)} conversations with {estimate.messages} new messages"
    print_cost(what, estimate, price)


def print_cost(what: str, estimate: Estimate, price: tuple[float, float] | None) -> None:
    """Print what something will cost, beside the output."""
    print_note(
        f"{what}: about {estimate.calls} model calls, {estimate.input_tokens:,} tokens read and "
        f"{estimate.output_tokens:,} written."
    )
    if price:
        cost = estimate.input_tokens * price[0] / 1e6 + estimate.output_tokens * price[1] / 1e6
        print_note(f"At these prices: {cost:.2f}.")


def print_result(result: LearningResult, as_json: bool, *, dry_run: bool) -> None:
    """Print the learnings, what was lost, and what it cost."""
    print_learnings(result.learnings, as_json, status=True)
    for problem in result.errors:
        print_error(problem)
    for kept in result.kept_private:
        print_note(f"Private to the user: {kept.text} ({kept.why})")
    metrics = result.metrics
    verb = "would be learnt" if dry_run else "learnt"
    print_note(
        f"{len(result.learnings)} {verb}; {metrics.calls} model calls, {metrics.input_tokens:,} tokens read and "
        f"{metrics.output_tokens:,} written."
    )


def _show_progress(turns: Sequence[Turn], bar: bool) -> Iterable[Turn]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not bar) as progress:
        yield from progress.track(turns, description="conversations")
