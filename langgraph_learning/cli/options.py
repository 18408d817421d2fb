"""What several commands are told on the command line."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

User = Annotated[str, typer.Option("--user", help="Whose learnings: who is looking.")]
Teams = Annotated[list[str] | None, typer.Option("--team", help="A team of this user; may be given again.")]
Agent = Annotated[str | None, typer.Option("--agent", help="The agent, where something belongs to an agent.")]
Tenant = Annotated[str, typer.Option("--tenant", help="The customer that they belong to.")]
Url = Annotated[str | None, typer.Option("--url", help="The database; else DATABASE_URL, else the embedded one.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Embed = Annotated[
    str, typer.Option("--embed", help="Embedding model: local, none, or a name such as openai:text-embedding-3-small.")
]
Key = Annotated[str, typer.Argument(help="The key of a learning, or how it begins.")]
Keys = Annotated[list[str], typer.Argument(help="Keys of learnings, or how they begin.")]
Query = Annotated[str, typer.Argument(help="What to look for.")]
Proposal = Annotated[str | None, typer.Argument(help="A proposal's key, or how it begins; else all are listed.")]
Change = Annotated[int | None, typer.Option("--change", help="Its number in the history; else the last.")]
Approve = Annotated[bool, typer.Option("--approve", help="Let it count from now on.")]
Reject = Annotated[bool, typer.Option("--reject", help="Refuse it; it is not proposed again.")]
Why = Annotated[str | None, typer.Option("--why", help="The reason, kept with the learning.")]
Compare = Annotated[tuple[int, int] | None, typer.Option("--compare", help="Two versions: what differs.")]
Rollback = Annotated[int | None, typer.Option("--rollback", help="Let this version count again.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]
Ask = Annotated[
    str | None,
    typer.Option(
        "--ask", help="A model to ask whether look-alikes say the same, such as openai:gpt-5-mini; else none."
    ),
]


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command whose first parameter is a dataclass as one that takes the fields of it as options."""
    (first, record), *others = ((one.name, one) for one in inspect.signature(command).parameters.values())
    fields = inspect.signature(record.annotation).parameters

    @functools.wraps(command)
    def run(**given: Any) -> None:
        made = record.annotation(**{name: given.pop(name) for name in fields})
        command(**{first: made}, **given)

    told = [*(one for _, one in others), *fields.values()]
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what inspect looks for first
        [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in told]
    )
    return run
