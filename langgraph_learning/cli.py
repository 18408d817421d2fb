"""The command line: to look at what was learnt, to review what waits, to forget and to see how it came about."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from psycopg import OperationalError, connect
from pydantic import BaseModel

from langgraph_learning import ledger, undoing, verdicts, versions
from langgraph_learning.curation import Orders
from langgraph_learning.errors import LearningError, Misconfigured, MissingExtra, NotFound
from langgraph_learning.flow import Flow, T, drive, flow_of, together
from langgraph_learning.learning import Learning
from langgraph_learning.learning_store import Asked, LearningStore
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.postgres.embedded import database_url
from langgraph_learning.scopes import Caller, LearningContext, Scope
from langgraph_learning.stores import DecisionLog, Episodes, SelfImprovement
from langgraph_learning.transactions import Change
from langgraph_learning.versions import Version

try:
    import typer
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from langgraph_learning.cli_curation import print_report, told
except ImportError as missing:
    raise MissingExtra("cli", "The command line") from missing

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)

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
Why = Annotated[str | None, typer.Option("--why", help="The reason, kept with the learning.")]

SHORT = 8
"""How much of a key is printed: enough to name it."""


class Anything(BaseModel):
    """A record of whatever kind: the command line knows no learning store's own."""


@dataclass(frozen=True)
class Desk:
    """One user's view of one database."""

    store: HybridPostgresStore
    caller: Caller

    def run(self, flow: Flow[T]) -> T:
        """Carry a flow out."""
        return drive(flow, self.store)

    def stores(self) -> list[LearningStore]:
        """Return a learning store for every name under which something lies that this user may read."""
        folders = [place[:-1] for place in self.caller.readable(Scope.TEAM, "any")]
        places = [place for folder in folders for place in self.store.list_namespaces(prefix=folder, limit=1_000)]
        names = sorted({place[-1] for place in places if place[:-1] in folders})
        return [_learning_store(name) for name in names]

    def instructions(self) -> SelfImprovement:
        """Return the learning store of the instructions that lie where this user may read, an agent's own first."""
        for scope in (Scope.AGENT, Scope.TEAM, Scope.USER, Scope.GLOBAL):
            known = self.caller.owners_of(scope)
            if known and self.store.list_namespaces(prefix=self.caller.namespace(scope, SelfImprovement.name), limit=1):
                return SelfImprovement(scope=scope)
        raise NotFound(f"{self.caller.user} can see no instructions: name the agent, --agent, or the team, --team.")

    def known(self) -> list[Learning]:
        """Return all that this user could be shown."""
        return self.run(ledger.visible(self.stores(), self.caller, datetime.now(UTC)))

    def found(self, query: str) -> list[Learning]:
        """Return what is nearest to a question, nearest first."""
        asked = Asked(self.caller, query, datetime.now(UTC))
        found = self.run(together(flow_of(store.recall(asked)) for store in self.stores()))
        return sorted((one for learnings in found for one in learnings), key=lambda one: -(one.score or 0))

    def waiting(self) -> Sequence[Learning]:
        """Return what waits for approval."""
        return self.run(verdicts.pending(self.stores(), self.caller))

    def whole(self, key: str) -> str:
        """Return the key that begins so; what was forgotten or replaced is named by its whole key."""
        found = [one.key for one in (*self.known(), *self.waiting()) if one.key.startswith(key)]
        if len(found) > 1:
            raise NotFound(f"{len(found)} learnings have a key that begins with {key!r}.")
        return found[0] if found else key


@app.command()
def show(
    user: User,
    agent: Agent = None,
    team: Teams = None,
    tenant: Tenant = "default",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List all that a user could be shown."""
    with _desk(user, team, tenant, url, agent=agent) as desk:
        _tell(desk.known(), as_json)


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    user: User,
    team: Teams = None,
    tenant: Tenant = "default",
    url: Url = None,
    embed: Embed = "local",
    as_json: Json = False,
) -> None:
    """Find what is near to a question, by meaning and by words."""
    with _desk(user, team, tenant, url, embed) as desk:
        _tell(desk.found(query), as_json)


@app.command()
def history(
    key: Key,
    user: User,
    agent: Agent = None,
    team: Teams = None,
    tenant: Tenant = "default",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Tell who changed a learning, when, and what it said before; the newest change first."""
    with _desk(user, team, tenant, url, agent=agent) as desk:
        changes = desk.run(undoing.history(desk.stores(), desk.caller, desk.whole(key)))
    if as_json:
        return _json([{**change._asdict(), "at": change.at.isoformat()} for change in changes])
    rows = [(str(one.id), f"{one.at:%Y-%m-%d %H:%M}", one.by or "", *_after(one)) for one in changes]
    return _table(("change", "when", "by", "status", "text"), rows)


@app.command()
def undo(
    key: Key,
    user: User,
    change: Annotated[int | None, typer.Option("--change", help="Its number in the history; else the last.")] = None,
    agent: Agent = None,
    team: Teams = None,
    tenant: Tenant = "default",
    url: Url = None,
    embed: Embed = "local",
    as_json: Json = False,
) -> None:
    """Take a change of a learning back: an edit, an approval, another undo."""
    with _desk(user, team, tenant, url, embed, agent) as desk:
        stores, whole = desk.stores(), desk.whole(key)
        restored = desk.run(undoing.undo(stores, desk.caller, whole, change, four_eyes=False))
    _tell(restored, as_json, status=True)


@app.command()
def forget(
    keys: Annotated[list[str], typer.Argument(help="Keys of learnings, or how they begin.")],
    user: User,
    team: Teams = None,
    tenant: Tenant = "default",
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Remove learnings, with what they took the place of; nothing of them is kept."""
    with _desk(user, team, tenant, url) as desk:
        known = desk.known()
        gone = desk.run(ledger.forget(desk.stores(), desk.caller, [_named(key, known).key for key in keys]))
    _json({"forgotten": gone}) if as_json else _say(f"Forgotten: {gone}.")


@app.command()
def review(
    user: User,
    key: Annotated[str | None, typer.Argument(help="A proposal's key, or how it begins; else all are listed.")] = None,
    approve: Annotated[bool, typer.Option("--approve", help="Let it count from now on.")] = False,
    reject: Annotated[bool, typer.Option("--reject", help="Refuse it; it is not proposed again.")] = False,
    why: Why = None,
    agent: Agent = None,
    team: Teams = None,
    tenant: Tenant = "default",
    url: Url = None,
    embed: Embed = "local",
    as_json: Json = False,
) -> None:
    """List what waits for approval, show a proposal with its evidence, approve or reject it."""
    if (approve or reject) and (key is None or (approve and reject)):
        raise typer.BadParameter("Say which one: review KEY --approve, or review KEY --reject.")
    with _desk(user, team, tenant, url, embed if approve else "none", agent) as desk:
        waiting = desk.waiting()
        if key is None:
            return _tell(waiting, as_json)
        stores, proposal = desk.stores(), _named(key, waiting).key
        if approve:
            decided = desk.run(verdicts.approve(stores, desk.caller, proposal, why, {}, four_eyes=False))
            return _tell([decided], as_json)
        if reject:
            return _tell([desk.run(verdicts.reject(stores, desk.caller, proposal, why))], as_json)
        evidence = desk.run(verdicts.show(stores, desk.caller, proposal)).model_dump(mode="json")
        return (
            _json(evidence) if as_json else _table(("", ""), [(name, _plain(v)) for name, v in evidence.items() if v])
        )


@app.command()
def instructions(
    user: User,
    compare: Annotated[tuple[int, int] | None, typer.Option("--compare", help="Two versions: what differs.")] = None,
    rollback: Annotated[int | None, typer.Option("--rollback", help="Let this version count again.")] = None,
    why: Why = None,
    agent: Agent = None,
    team: Teams = None,
    tenant: Tenant = "default",
    url: Url = None,
    embed: Embed = "local",
    as_json: Json = False,
) -> None:
    """List the versions of an agent's instructions as far as they were approved, compare two, or roll back to one."""
    with _desk(user, team, tenant, url, embed if rollback is not None else "none", agent) as desk:
        store = desk.instructions()
        if rollback is not None:
            desk.run(versions.rollback(store, desk.caller, rollback, why, four_eyes=False))
        found = desk.run(versions.versions(store, desk.caller))
    if compare:
        told = versions.compared(found, *compare)
        return (
            _json({"diff": told}) if as_json else _say("\n".join(map(_plain, told.splitlines())) or "Nothing differs.")
        )
    if as_json:
        return _json([version.model_dump(mode="json") for version in found])
    return _table(("version", "when", "by", "why", "sections"), [_version(one) for one in found])


@app.command()
def curate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    tenant: Tenant = "default",
    url: Url = None,
    embed: Embed = "local",
    as_json: Json = False,
) -> None:
    """Tidy up what all of a tenant have learnt: merge what says the same, put away what did harm or was never used."""
    with _store(url or database_url(), embed) as store:
        report = told(store, Orders(tenant, dry_run), bar=not as_json)
    return _json(report.model_dump(mode="json")) if as_json else print_report(report)


def main() -> None:
    """Run the command line; what went wrong is one line."""
    try:
        app()
    except LearningError as error:
        Console(stderr=True).print(Text(str(error), style="red"))
        sys.exit(1)
    except OperationalError as error:
        Console(stderr=True).print(Text(f"The database cannot be reached: {_plain(str(error))}", style="red"))
        sys.exit(1)


@contextmanager
def _desk(
    user: str,
    teams: Sequence[str] | None,
    tenant: str,
    url: str | None,
    embed: str = "none",
    agent: str | None = None,
) -> Iterator[Desk]:
    who = LearningContext(user_id=user, team_ids=tuple(teams or ()), tenant_id=tenant, agent_id=agent)
    caller = Caller.of(who)
    with _store(url or database_url(), embed) as store:
        yield Desk(store, caller)


@contextmanager
def _store(url: str, embed: str) -> Iterator[HybridPostgresStore]:
    connect(url).close()  # a pool would try for half a minute before it tells what is wrong
    with HybridPostgresStore.from_conn_string(url, search_mode="hybrid") as by_words:
        dims = by_words.stored_dims() if embed != "none" else None
        if dims is None:
            yield by_words
            return
    with HybridPostgresStore.from_conn_string(url, index=_index(embed, dims), search_mode="hybrid") as store:
        yield store


def _index(embed: str, dims: int) -> dict[str, Any]:
    """Return index settings. Raises `Misconfigured` for a model that did not fill this database."""
    model = _model(embed)
    if (found := len(model.embed_query("dimensions"))) != dims:
        raise Misconfigured(
            f"The database has vectors of {dims} numbers, --embed {embed} makes {found}: name its model."
        )
    return {"dims": dims, "embed": model, "fields": ["text"], "sequence": Episodes.sequence}


def _model(embed: str) -> Any:
    if embed == "local":
        from langgraph_learning.embeddings import LocalEmbeddings

        try:
            return LocalEmbeddings()
        except MissingExtra as error:
            raise Misconfigured(f"{error} Or leave it at words alone: --embed none.") from error
    from langchain.embeddings import init_embeddings

    try:
        return init_embeddings(embed)
    except (ImportError, ValueError) as error:
        raise Misconfigured(f"--embed {embed}: {error}") from error


def _learning_store(name: str) -> LearningStore:
    """Return a learning store of this name: the package's own where more than the text of its records matters."""
    own: dict[str, type[LearningStore]] = {kind.name: kind for kind in (DecisionLog, SelfImprovement)}
    if name in own:
        return own[name](scope=Scope.TEAM)
    return LearningStore(name=name, scope=Scope.TEAM, record=Anything, limit=20)


def _named(key: str, learnings: Sequence[Learning]) -> Learning:
    """Return the learning whose key begins so. Raises `NotFound` if there is none, or more than one."""
    found = [one for one in learnings if one.key == key] or [one for one in learnings if one.key.startswith(key)]
    if len(found) != 1:
        raise NotFound(f"{len(found) or 'No'} learnings that this user can see have a key that begins with {key!r}.")
    return found[0]


def _after(change: Change) -> tuple[str, str]:
    value = change.after or {"status": "removed", "text": (change.before or {}).get("text", "")}
    return str(value["status"]), str(value["text"])


def _tell(learnings: Sequence[Learning], as_json: bool, status: bool = False) -> None:
    if as_json:
        return _json([one.model_dump(mode="json") for one in learnings])
    columns = ("key", "belongs to", "kind", *(["status"] if status else []), "text", "learnt", "said by")
    return _table(columns, [_row(one, status) for one in learnings])


def _row(one: Learning, status: bool) -> tuple[str, ...]:
    place = f"{one.scope.name} {one.owner}"
    told = [one.status.value] if status else []
    return (one.key[:SHORT], place, one.kind, *told, one.text, f"{one.learned_at:%Y-%m-%d}", _by(one))


def _version(one: Version) -> tuple[str, ...]:
    when = f"{one.at:%Y-%m-%d %H:%M}" if one.at else ""
    return str(one.number), when, one.by or "", one.why or "", one.as_text()


def _by(learning: Learning) -> str:
    first = learning.sources[0] if learning.sources else None
    return "" if first is None else first.user if first.channel == "user" else f"{first.channel} ({first.user})"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return _say("Nothing.")
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0), show_header=any(columns))
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name in ("key", "learnt", "change", "when", "status"))
    for row in rows:
        table.add_row(*(Text(_plain(cell)) for cell in row))
    return Console().print(table)


def _plain(value: Any) -> str:
    """Return what was stored as one line that can neither colour nor steer a terminal."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return "".join(c if c.isprintable() else " " for c in text)


def _json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _say(text: str) -> None:
    Console().print(Text(text))


if __name__ == "__main__":
    main()
