"""Commands to look at learnings and their history, to review proposals, to undo, to forget and to curate."""

import sys
from contextlib import nullcontext

import typer
from psycopg import OperationalError

from langgraph_learning.background.estimate import Estimate
from langgraph_learning.background.health import serve_health
from langgraph_learning.background.jobs import Jobs
from langgraph_learning.background.usage import read_report
from langgraph_learning.cli.application import open_application
from langgraph_learning.cli.conversations import (
    estimate_conversations,
    learn_from,
    print_cost,
    print_estimate,
    print_result,
    read_file,
    read_threads,
)
from langgraph_learning.cli.curation import (
    find_cueless,
    load_model,
    load_named_model,
    print_report,
    run_cues,
    run_curation,
)
from langgraph_learning.cli.database import open_store
from langgraph_learning.cli.options import (
    AgentOption,
    ApproveOption,
    AskOption,
    ChangeOption,
    CheckpointsOption,
    CompareOption,
    ConcurrencyOption,
    CueModelOption,
    CurateOption,
    DefaultUserOption,
    DrainOption,
    DropOption,
    DryRunOption,
    EmbedOption,
    FileArgument,
    GraceOption,
    HealthHostOption,
    HealthPortOption,
    JsonOption,
    KeyArgument,
    KeysArgument,
    LimitOption,
    MachineOption,
    NowOption,
    OneTenantOption,
    OneUserOption,
    OwnersOption,
    PreviewOption,
    PriceOption,
    ProposalArgument,
    QueryArgument,
    QueueOption,
    RejectOption,
    RetryOption,
    RollbackOption,
    SinceOption,
    TeamsOption,
    TenantOption,
    ThreadsOption,
    UntilOption,
    UrlOption,
    WhyOption,
    YesOption,
    read_owners,
    spread_options,
)
from langgraph_learning.cli.printing import (
    make_printable,
    print_changes,
    print_error,
    print_evidence,
    print_jobs,
    print_json,
    print_learnings,
    print_line,
    print_log,
    print_note,
    print_usage,
    print_versions,
)
from langgraph_learning.cli.session import EmbeddingViewOptions, ViewOptions, find_by_key
from langgraph_learning.core.flow import drive
from langgraph_learning.core.scopes import LearningContext
from langgraph_learning.curate.cues import estimate_cost
from langgraph_learning.curate.run import CurationSettings
from langgraph_learning.errors import LearningError
from langgraph_learning.postgres.embedded import database_url
from langgraph_learning.review import decisions
from langgraph_learning.review.instructions import compare_versions, list_versions, roll_back
from langgraph_learning.update.history import read_history, undo

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)


@app.command("show")
@spread_options
def show_learnings(options: ViewOptions, as_json: JsonOption = False) -> None:
    """List all learnings that a user can see."""
    with options.open() as session:
        print_learnings(session.list_learnings(), as_json)


@app.command("search")
@spread_options
def search_learnings(options: EmbeddingViewOptions, query: QueryArgument, as_json: JsonOption = False) -> None:
    """Search the learnings that a user can see, by meaning and by words."""
    with options.open(options.embed) as session:
        print_learnings(session.search(query), as_json)


@app.command("history")
@spread_options
def show_history(options: ViewOptions, key: KeyArgument, as_json: JsonOption = False) -> None:
    """Show who changed a learning, when, and what it said before; the newest change first."""
    with options.open() as session:
        changes = read_history(session.make_stores(), session.caller, session.complete_key(key))
        print_changes(session.run(changes), as_json)


@app.command("undo")
@spread_options
def undo_change(
    options: EmbeddingViewOptions, key: KeyArgument, change: ChangeOption = None, as_json: JsonOption = False
) -> None:
    """Undo a change of a learning: an edit, an approval or another undo."""
    with options.open(options.embed) as session:
        stores, full_key = session.make_stores(), session.complete_key(key)
        restored = session.run(undo(stores, session.caller, full_key, change, four_eyes=False))
    print_learnings(restored, as_json, status=True)


@app.command("forget")
@spread_options
def forget_learnings(options: ViewOptions, keys: KeysArgument, as_json: JsonOption = False) -> None:
    """Delete learnings and the ones they superseded; nothing of them is kept."""
    with options.open() as session:
        learnings = session.list_learnings()
        count = session.forget([find_by_key(key, learnings).key for key in keys])
    print_json({"forgotten": count}) if as_json else print_line(f"Forgotten: {count}.")


@app.command("review")
@spread_options
def review_proposals(
    options: EmbeddingViewOptions,
    key: ProposalArgument = None,
    approve: ApproveOption = False,
    reject: RejectOption = False,
    why: WhyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List proposals that wait for approval, show one with its evidence, approve it or reject it."""
    if (approve or reject) and (key is None or (approve and reject)):
        raise typer.BadParameter("Name one proposal and one decision: review KEY --approve, or review KEY --reject.")
    with options.open(options.embed if approve else "none") as session:
        stores, pending = session.make_stores(), session.list_pending()
        if key is None:
            return print_learnings(pending, as_json)
        proposal = find_by_key(key, pending).key
        if approve:
            approved = session.run(
                decisions.approve_proposal(stores, session.caller, proposal, why, {}, four_eyes=False)
            )
            return print_learnings([approved], as_json)
        if reject:
            rejected = session.run(decisions.reject_proposal(stores, session.caller, proposal, why))
            return print_learnings([rejected], as_json)
        return print_evidence(session.run(decisions.show_evidence(stores, session.caller, proposal)), as_json)


@app.command("instructions")
@spread_options
def manage_instructions(
    options: EmbeddingViewOptions,
    compare: CompareOption = None,
    rollback: RollbackOption = None,
    why: WhyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the approved versions of an agent's instructions, compare two of them, or roll back to one."""
    with options.open(options.embed if rollback is not None else "none") as session:
        store = session.find_instructions()
        if rollback is not None:
            session.run(roll_back(store, session.caller, rollback, why, four_eyes=False))
        versions = session.run(list_versions(store, session.caller))
    if compare is None:
        return print_versions(versions, as_json)
    diff = compare_versions(versions, *compare)
    if as_json:
        return print_json({"diff": diff})
    return print_line("\n".join(map(make_printable, diff.splitlines())) or "No differences.")


@app.command("learn")
def learn_conversations(
    machine: MachineOption,
    file: FileArgument = None,
    threads: ThreadsOption = False,
    user: DefaultUserOption = None,
    team: TeamsOption = None,
    owner: OwnersOption = None,
    agent: AgentOption = None,
    tenant: TenantOption = "default",
    dry_run: PreviewOption = False,
    limit: LimitOption = None,
    yes: YesOption = False,
    price: PriceOption = None,
    url: UrlOption = None,
    checkpoints: CheckpointsOption = None,
    embed: EmbedOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Learn from old conversations, of a file or of a checkpointer. What was learnt from is not read again."""
    if (file is None) is not threads:
        raise typer.BadParameter("Name a file or give --threads.")
    if file and not file.is_file():
        raise typer.BadParameter(f"There is no file {file}.")
    defaults = LearningContext(
        user_id=user,
        team_ids=tuple(team or ()),
        agent_id=agent,
        tenant_id=tenant,
        owners=read_owners(owner),
    )
    found = read_file(file, defaults) if file else read_threads(checkpoints or url or database_url(), defaults)
    with open_application(machine, url, embed) as application:
        unread, estimate = estimate_conversations(application, found.turns, limit)
        print_estimate(found, unread, estimate, price)
        if not unread or not (yes or typer.confirm("Go on?", err=True)):
            return
        result = learn_from(application, unread, dry_run=dry_run, bar=not as_json)
    print_result(result, as_json, dry_run=dry_run)


@app.command("cues")
def give_learnings_cues(
    ask: CueModelOption,
    yes: YesOption = False,
    price: PriceOption = None,
    tenant: TenantOption = "default",
    url: UrlOption = None,
    embed: EmbedOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Let a model name situations in which to be reminded of learnings that have none; what it costs is said first."""
    model = load_named_model(ask)
    with open_store(url, embed) as store:
        found = find_cueless(store, tenant)
        print_cost(f"{len(found)} learnings without cues", Estimate(len(found), *estimate_cost(found)), price)
        if not found or not (yes or typer.confirm("Go on?", err=True)):
            return
        given = run_cues(store, model, found, bar=not as_json)
    print_json({"learnings": len(found), "given": given}) if as_json else print_line(f"{given} have cues now.")


@app.command("worker")
def run_worker(
    machine: MachineOption,
    concurrency: ConcurrencyOption = 4,
    curate: CurateOption = None,
    health_port: HealthPortOption = None,
    health_host: HealthHostOption = "127.0.0.1",
    grace: GraceOption = 60.0,
    drain: DrainOption = False,
    url: UrlOption = None,
    checkpoints: CheckpointsOption = None,
    embed: EmbedOption = "local",
) -> None:
    """Learn from the queue of a machine until Ctrl+C or SIGTERM; then the jobs that run are finished."""
    with open_application(machine, url, embed) as application:
        print_log()  # now it can tell whether the application prints it
        worker = application.machine.worker(
            concurrency=concurrency, checkpointer=checkpoints, grace=grace, curate=curate
        )
        if drain:
            return worker.drain()
        with serve_health(worker.state, health_host, health_port) if health_port is not None else nullcontext():
            return worker.run()


@app.command("jobs")
def manage_jobs(
    tenant: OneTenantOption = None,
    retry: RetryOption = None,
    drop: DropOption = None,
    now: NowOption = False,
    queue: QueueOption = "learning",
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the jobs of the queue with the reasons of failures; retry or drop some."""
    with open_store(url, "none") as store:
        jobs = Jobs(queue, lambda: store)
        jobs.retry(*(retry or ()))
        jobs.drop(*(drop or ()))
        if now:
            print_note(f"Made due: {jobs.hurry()}.")
        print_jobs(jobs.show(tenant_id=tenant), as_json)


@app.command("usage")
def show_usage(
    tenant: TenantOption = "default",
    user: OneUserOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what extractions cost and what came of them: by user, by day and by learning store."""
    with open_store(url, "none") as store:
        report = drive(read_report(tenant, user, since and since.date(), until and until.date()), store)
    print_usage(report, as_json)


@app.command("curate")
def curate_tenant(
    dry_run: DryRunOption = False,
    ask: AskOption = None,
    tenant: TenantOption = "default",
    url: UrlOption = None,
    embed: EmbedOption = "local",
    as_json: JsonOption = False,
) -> None:
    """Curate the learnings of all users of a tenant: merge duplicates, archive what is harmful or was never used."""
    settings = CurationSettings(tenant, dry_run, load_model(ask))
    with open_store(url, embed) as store:
        report = run_curation(store, settings, bar=not as_json)
    print_json(report) if as_json else print_report(report)


def main() -> None:
    """Run the command line; errors are printed as one line."""
    try:
        app()
    except LearningError as error:
        print_error(str(error))
        sys.exit(1)
    except OperationalError as error:
        print_error(f"The database cannot be reached: {make_printable(str(error))}")
        sys.exit(1)
