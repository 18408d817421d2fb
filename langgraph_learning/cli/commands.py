"""The command line: to look at what was learnt, to review what waits, to forget and to see how it came about."""

import sys

import typer
from psycopg import OperationalError

from langgraph_learning.cli.curation import curated, model_of, print_report
from langgraph_learning.cli.database import opened
from langgraph_learning.cli.options import (
    Approve,
    Ask,
    Change,
    Compare,
    DryRun,
    Embed,
    Json,
    Key,
    Keys,
    Proposal,
    Query,
    Reject,
    Rollback,
    Tenant,
    Url,
    Why,
    spread,
)
from langgraph_learning.cli.printing import (
    plain,
    print_changes,
    print_evidence,
    print_json,
    print_learnings,
    print_versions,
    say,
)
from langgraph_learning.cli.session import Searcher, Visitor, named
from langgraph_learning.curate.run import CurationSettings
from langgraph_learning.errors import LearningError
from langgraph_learning.review import decisions
from langgraph_learning.review.instructions import compare_versions, list_versions, roll_back
from langgraph_learning.update import forgetting
from langgraph_learning.update.history import read_history as changes_of
from langgraph_learning.update.history import undo as undo_change

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command()
@spread
def show(visitor: Visitor, as_json: Json = False) -> None:
    """List all that a user could be shown."""
    with visitor.desk() as desk:
        print_learnings(desk.known(), as_json)


@app.command()
@spread
def search(visitor: Searcher, query: Query, as_json: Json = False) -> None:
    """Find what is near to a question, by meaning and by words."""
    with visitor.desk(visitor.embed) as desk:
        print_learnings(desk.found(query), as_json)


@app.command()
@spread
def history(visitor: Visitor, key: Key, as_json: Json = False) -> None:
    """Tell who changed a learning, when, and what it said before; the newest change first."""
    with visitor.desk() as desk:
        print_changes(desk.run(changes_of(desk.stores(), desk.caller, desk.whole(key))), as_json)


@app.command()
@spread
def undo(visitor: Searcher, key: Key, change: Change = None, as_json: Json = False) -> None:
    """Take a change of a learning back: an edit, an approval, another undo."""
    with visitor.desk(visitor.embed) as desk:
        stores, whole = desk.stores(), desk.whole(key)
        restored = desk.run(undo_change(stores, desk.caller, whole, change, four_eyes=False))
    print_learnings(restored, as_json, status=True)


@app.command()
@spread
def forget(visitor: Visitor, keys: Keys, as_json: Json = False) -> None:
    """Remove learnings, with what they took the place of; nothing of them is kept."""
    with visitor.desk() as desk:
        known = desk.known()
        gone = desk.run(forgetting.forget(desk.stores(), desk.caller, [named(key, known).key for key in keys]))
    print_json({"forgotten": gone}) if as_json else say(f"Forgotten: {gone}.")


@app.command()
@spread
def review(
    visitor: Searcher,
    key: Proposal = None,
    approve: Approve = False,
    reject: Reject = False,
    why: Why = None,
    as_json: Json = False,
) -> None:
    """List what waits for approval, show a proposal with its evidence, approve or reject it."""
    if (approve or reject) and (key is None or (approve and reject)):
        raise typer.BadParameter("Say which one: review KEY --approve, or review KEY --reject.")
    with visitor.desk(visitor.embed if approve else "none") as desk:
        stores, waiting = desk.stores(), desk.waiting()
        if key is None:
            return print_learnings(waiting, as_json)
        proposal = named(key, waiting).key
        if approve:
            decided = desk.run(decisions.approve(stores, desk.caller, proposal, why, {}, four_eyes=False))
            return print_learnings([decided], as_json)
        if reject:
            return print_learnings([desk.run(decisions.reject(stores, desk.caller, proposal, why))], as_json)
        return print_evidence(desk.run(decisions.show_evidence(stores, desk.caller, proposal)), as_json)


@app.command()
@spread
def instructions(
    visitor: Searcher, compare: Compare = None, rollback: Rollback = None, why: Why = None, as_json: Json = False
) -> None:
    """List the versions of an agent's instructions as far as they were approved, compare two, or roll back to one."""
    with visitor.desk(visitor.embed if rollback is not None else "none") as desk:
        store = desk.instructions()
        if rollback is not None:
            desk.run(roll_back(store, desk.caller, rollback, why, four_eyes=False))
        found = desk.run(list_versions(store, desk.caller))
    if compare is None:
        return print_versions(found, as_json)
    told = compare_versions(found, *compare)
    return (
        print_json({"diff": told}) if as_json else say("\n".join(map(plain, told.splitlines())) or "Nothing differs.")
    )


@app.command()
def curate(
    dry_run: DryRun = False,
    ask: Ask = None,
    tenant: Tenant = "default",
    url: Url = None,
    embed: Embed = "local",
    as_json: Json = False,
) -> None:
    """Tidy up what all of a tenant have learnt: merge what says the same, put away what did harm or was never used."""
    settings = CurationSettings(tenant, dry_run, model_of(ask))
    with opened(url, embed) as store:
        report = curated(store, settings, bar=not as_json)
    print_json(report) if as_json else print_report(report)


def main() -> None:
    """Run the command line; what went wrong is one line."""
    try:
        app()
    except LearningError as error:
        say(str(error), wrong=True)
        sys.exit(1)
    except OperationalError as error:
        say(f"The database cannot be reached: {plain(str(error))}", wrong=True)
        sys.exit(1)
