"""Options and arguments that several commands share, with their help texts."""

import functools
import inspect
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from langgraph_learning.errors import Misconfigured

UserOption = Annotated[str, typer.Option("--user", help="The user whose view of the learnings is shown.")]
TeamsOption = Annotated[list[str] | None, typer.Option("--team", help="A team of this user; may be repeated.")]
AgentOption = Annotated[str | None, typer.Option("--agent", help="The agent, for learnings that belong to an agent.")]
OwnersOption = Annotated[
    list[str] | None,
    typer.Option("--owner", help="The owner of an open scope, such as project=apollo; may be repeated."),
]
TenantOption = Annotated[str, typer.Option("--tenant", help="The tenant.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="The database URL. Default: DATABASE_URL, or else the embedded database.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
EmbedOption = Annotated[
    str,
    typer.Option("--embed", help="The embedding model: local, none, or a name such as openai:text-embedding-3-small."),
]
KeyArgument = Annotated[str, typer.Argument(help="The key of a learning, or the beginning of it.")]
KeysArgument = Annotated[list[str], typer.Argument(help="The keys of learnings, or the beginnings of them.")]
QueryArgument = Annotated[str, typer.Argument(help="What to search for.")]
ProposalArgument = Annotated[
    str | None, typer.Argument(help="The key of a proposal, or the beginning of it. Without it, all are listed.")
]
ChangeOption = Annotated[
    int | None, typer.Option("--change", help="The number of the change in the history. Default: the last one.")
]
ApproveOption = Annotated[bool, typer.Option("--approve", help="Approve the proposal: it becomes active.")]
RejectOption = Annotated[bool, typer.Option("--reject", help="Reject the proposal: it is not proposed again.")]
WhyOption = Annotated[str | None, typer.Option("--why", help="The reason, stored with the learning.")]
CompareOption = Annotated[
    tuple[int, int] | None, typer.Option("--compare", help="Two versions to print the difference of.")
]
RollbackOption = Annotated[int | None, typer.Option("--rollback", help="The version to make active again.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only report what would be done.")]
AskOption = Annotated[
    str | None,
    typer.Option(
        "--ask",
        help="A model that judges whether similar statements say the same, such as openai:gpt-5-mini. Default: none.",
    ),
]

MachineOption = Annotated[
    str,
    typer.Option("--machine", help="The machine of your application, such as app.main:machine."),
]
FileArgument = Annotated[Path | None, typer.Argument(help="A file with one conversation per line, as a JSON object.")]
ThreadsOption = Annotated[bool, typer.Option("--threads", help="Learn from the threads of the checkpointer instead.")]
CheckpointsOption = Annotated[
    str | None, typer.Option("--checkpoints", help="The database URL of the checkpointer. Default: that of the store.")
]
DefaultUserOption = Annotated[
    str | None, typer.Option("--user", help="The user of conversations that do not name theirs.")
]
PreviewOption = Annotated[bool, typer.Option("--dry-run", help="Ask the model, show what it learns, write nothing.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="The number of conversations to learn from.")]
CueModelOption = Annotated[str, typer.Option("--ask", help="The model that names the cues, such as openai:gpt-5-mini.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before the model is called.")]
PriceOption = Annotated[
    tuple[float, float] | None,
    typer.Option("--price", help="Prices of a million tokens, read and written, to print the estimate in money."),
]

OneUserOption = Annotated[str | None, typer.Option("--user", help="One user. Default: all users of the tenant.")]
SinceOption = Annotated[
    datetime | None, typer.Option("--since", formats=["%Y-%m-%d"], help="The first day, as 2026-11-28, in UTC.")
]
UntilOption = Annotated[datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="The last day, in UTC.")]

ConcurrencyOption = Annotated[int, typer.Option("--concurrency", min=1, help="The number of jobs at once.")]
HealthPortOption = Annotated[
    int | None, typer.Option("--health-port", help="A port that answers 200 while the worker works, else 503.")
]
HealthHostOption = Annotated[str, typer.Option("--health-host", help="The address that the port belongs to.")]
GraceOption = Annotated[float, typer.Option("--grace", help="Seconds that jobs have to end when the worker stops.")]
CurateOption = Annotated[
    str | None, typer.Option("--curate", help="When to curate all tenants, as a cron such as '30 3 * * *' in UTC.")
]
DrainOption = Annotated[bool, typer.Option("--drain", help="Run the jobs that wait, and end.")]
QueueOption = Annotated[str, typer.Option("--queue", help="The queue: Schedule(queue=…) of the machine.")]
OneTenantOption = Annotated[str | None, typer.Option("--tenant", help="One tenant. Default: all.")]
RetryOption = Annotated[list[int] | None, typer.Option("--retry", help="The number of a job to run again now.")]
DropOption = Annotated[list[int] | None, typer.Option("--drop", help="The number of a job to delete.")]
NowOption = Annotated[bool, typer.Option("--now", help="Make all jobs that wait due now.")]


def read_owners(owners: list[str] | None) -> dict[str, str]:
    """Return owners by their scope. Raises `Misconfigured` for what names no scope."""
    pairs = [owner.partition("=") for owner in owners or ()]
    if odd := next((scope for scope, sign, owner in pairs if not (scope and sign and owner)), None):
        raise Misconfigured(f"--owner {odd}: name the scope and the owner, such as project=apollo.")
    return {scope: owner for scope, _, owner in pairs}


def spread_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose first parameter is a dataclass as one with an option for each of its fields."""
    (record_name, record_parameter), *others = inspect.signature(command).parameters.items()
    make_record = record_parameter.annotation
    fields = inspect.signature(make_record).parameters

    @functools.wraps(command)
    def run(**options: Any) -> None:
        record = make_record(**{name: options.pop(name) for name in fields})
        command(**{record_name: record}, **options)

    parameters = [*(parameter for _, parameter in others), *fields.values()]
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what inspect looks for first
        [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    )
    return run
