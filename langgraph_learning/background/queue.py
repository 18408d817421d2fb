"""The queue: jobs of procrastinate in the store's database, one waiting job per thread and caller.

procrastinate fetches, locks and watches jobs. It cannot let a message join a job that waits, nor retry a job while
another one waits for the same thread: `queue.sql` does that, on its tables.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from weakref import WeakSet

from langchain_core.messages import AnyMessage, message_to_dict, messages_from_dict
from langgraph.store.base import BaseStore
from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, Field

from langgraph_learning.core.checks import check_count
from langgraph_learning.core.flow import Flow, run_sql
from langgraph_learning.core.keys import fingerprint
from langgraph_learning.core.scopes import Caller, LearningContext
from langgraph_learning.core.speakers import Arrivals
from langgraph_learning.core.sql import read_statements
from langgraph_learning.errors import Misconfigured, MissingExtra, NotFound
from langgraph_learning.extract.forgotten import without_forgotten
from langgraph_learning.stores.base import LearningStore
from langgraph_learning.update.marks import Forgotten, read_forgotten

TASK = "langgraph_learning.learn"
SCHEMA_LOCK = 7_203_885_117_451_902
"""Key of the advisory lock under which the tables are made: any number that nobody else uses."""
MAX_ID = 2**63 - 1
"""The largest number that a job can have in the database."""
MAX_LISTED = 1_000
REWRITE_ATTEMPTS = 5
"""How often a job is read again that others joined while messages were taken out of it."""


class JobStatus(StrEnum):
    """State of a job, as people read it."""

    WAITING = "waiting"
    RUNNING = "running"
    SET_ASIDE = "set aside"
    """It failed too often, and waits for somebody to retry or drop it."""


_STATUSES = {"todo": JobStatus.WAITING, "doing": JobStatus.RUNNING, "failed": JobStatus.SET_ASIDE}


class Entry(BaseModel):
    """What one run leaves to be learnt."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    """Time of the turn by the machine's clock."""
    said_at: datetime | None = None
    """When the user spoke, if the run said so: "tomorrow" counts from it, or else from the time of the turn."""
    run: str | None = None
    messages: list[dict[str, Any]] = Field(default_factory=list)
    """Messages as LangChain's dicts: those of the run, as far as no checkpoint has them."""
    whole: bool = False
    """True if the messages are all there are: the thread has no checkpoints."""
    speakers: dict[str, str | None] = Field(default_factory=dict)
    """By fingerprint: with whose run a message came in."""
    latest: list[str] = Field(default_factory=list)
    """Fingerprints of the messages that came in with this run."""
    present: list[str] | None = None
    """Fingerprints of all messages of users at its start, if it was seen."""
    seen: list[str] = Field(default_factory=list)
    """Fingerprints of all messages in the user's role that the thread had: later ones are left to later runs."""
    times: dict[str, datetime] = Field(default_factory=dict)
    """By fingerprint: when a message came in."""
    session: list[dict[str, Any]] = Field(default_factory=list)
    originals: tuple[str, ...] = ()
    """The threads of which that of the run is a copy."""

    @property
    def arrivals(self) -> Arrivals:
        """How the messages came into the thread."""
        present = None if self.present is None else frozenset(self.present)
        return Arrivals(self.speakers, frozenset(self.latest), present, self.times)

    def without_forgotten(self, thread: str | None, forgotten: Forgotten) -> "Entry":
        """Return the entry without the messages and sessions that hold what was forgotten."""
        messages = without_forgotten(thread, self.read_messages(), forgotten, lambda message: self.at)
        session = [each for each in self.session if not forgotten.holds(str(each.get("text", "")))]
        return self.model_copy(update={"messages": list(map(message_to_dict, messages)), "session": session})

    def read_messages(self) -> list[AnyMessage]:
        """Return the messages."""
        return messages_from_dict(self.messages)  # type: ignore[return-value]  # what was dumped are messages of a chat


class JobArgs(BaseModel):
    """Arguments of a job."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    context: LearningContext
    thread: str | None = None
    entries: dict[str, Entry] = Field(default_factory=dict)
    since: datetime
    """When the job began to wait."""
    attempts: int = 0
    """Attempts that failed for another reason than a model or a database that was down."""
    down_since: datetime | None = None
    """Since when every attempt found the model or the database down."""
    reason: str = ""
    """Why the last attempt failed."""
    given_up: str = ""
    """Messages that attempts of this job gave up, and why: when the rest is learnt, the job is set aside."""
    replay: bool = False
    """True if a person asked for another attempt: messages that were set aside are read again."""

    def without_forgotten(self, forgotten: Forgotten) -> "JobArgs":
        """Return the job without the messages and sessions that hold what was forgotten."""
        entries = {name: entry.without_forgotten(self.thread, forgotten) for name, entry in self.entries.items()}
        return self.model_copy(update={"entries": entries})

    @property
    def caller(self) -> Caller:
        """The caller to learn for."""
        return Caller.of(self.context, self.thread)


class Job(BaseModel):
    """A job as the queue holds it."""

    model_config = ConfigDict(frozen=True)

    id: int
    status: JobStatus
    tenant: str
    user: str
    thread: str | None
    runs: int
    """Number of runs that wait to be learnt from."""
    since: datetime
    due: datetime | None
    """When it runs at the earliest."""
    attempts: int
    reason: str

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> "Job":
        """Return the job of a row."""
        args = JobArgs.model_validate(row["args"])
        return cls(
            id=row["id"],
            status=_STATUSES[row["status"]],
            tenant=args.context.tenant_id,
            user=args.context.user_id or "",
            thread=args.thread,
            runs=len(args.entries),
            since=args.since,
            due=row["scheduled_at"],
            attempts=args.attempts,
            reason=args.reason,
        )


class Queue:
    """The jobs of one machine in the database of a store."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._ready: WeakSet[BaseStore] = WeakSet()

    def set_up(self, store: BaseStore) -> Flow[None]:
        """Make the tables of procrastinate, unless they are there. Looks once per store and process."""
        if store in self._ready:
            return
        ((found),) = yield from run_sql(_statement("tables"))
        if not (found["has_tables"] and found["has_index"]):
            yield from run_sql(_schema())
        with suppress(TypeError):  # a store that cannot be referenced weakly is asked every time
            self._ready.add(store)

    def add(self, args: JobArgs, entry_key: str, *, delay: float, ceiling: float) -> Flow[int]:
        """Add a job or join the one that waits; return how many runs it learns from.

        delay: seconds until it runs, if nothing joins it.
        ceiling: seconds after which it runs, whatever joins it.
        """
        caller = args.caller
        lock = thread_lock(caller, entry_key)
        ((row),) = yield from self._run(
            "add",
            tenant=caller.tenant,
            user=caller.user,
            lock=lock,
            queueing_lock=caller_lock(args, entry_key),
            args=Jsonb(args.model_dump(mode="json")),
            delay=max(delay, 0.0),
            ceiling=ceiling,
        )
        return int(row["runs"])

    def put_back(self, job: int, *, delay: float, running: bool, **changes: Any) -> Flow[None]:
        """Let a job wait again, with changed arguments. One that runs is left to its worker, which then deletes it."""
        rows = yield from self._run(
            "put back",
            id=job,
            delay=max(delay, 0.0),
            changes=_make_json(changes),
            deleted=[] if running else ["doing", "failed", "todo"],
        )
        if not rows:
            raise NotFound(f"There is no job {job}.")

    def explain(self, job: int, **changes: Any) -> Flow[None]:
        """Note in a job's arguments what happened to it."""
        yield from run_sql(_statement("explain"), {"id": job, "changes": _make_json(changes)})

    def list_jobs(
        self,
        *,
        status: JobStatus | None = None,
        tenant: str | None = None,
        user: str | None = None,
        id: int | None = None,
    ) -> Flow[list[Job]]:
        """Return jobs that wait, run or were set aside."""
        if id is not None:
            check_count("The number of a job", id, 0, MAX_ID)
        name = next((name for name, known in _STATUSES.items() if known is status), None)
        rows = yield from self._run("list", status=name, tenant=tenant, user=user, id=id, limit=MAX_LISTED)
        return [Job.read(row) for row in rows]

    def count(self, *, tenant: str | None = None, user: str | None = None) -> Flow[dict[JobStatus, int]]:
        """Return how many jobs there are by status."""
        rows = yield from self._run("count", tenant=tenant, user=user)
        counts = {_STATUSES[row["status"]]: int(row["count"]) for row in rows}
        return {status: counts.get(status, 0) for status in JobStatus}

    def retry(self, job: int) -> Flow[None]:
        """Run a job now: one that was set aside, with the messages that were set aside, or one that waits."""
        jobs = yield from self.list_jobs(id=job)
        if not jobs:
            raise NotFound(f"There is no job {job}.")
        (found,) = jobs
        if found.status is JobStatus.RUNNING:
            raise NotFound(f"Job {job} is running.")
        now = datetime.now(UTC)
        yield from self.put_back(
            job,
            delay=0,
            running=False,
            attempts=0,
            down_since=None,
            replay=True,
            given_up="",
            since=now,
            reason=found.reason,
        )

    def drop(self, job: int) -> Flow[None]:
        """Delete a job that waits or was set aside. Its messages are learnt from by the next turn of the thread."""
        check_count("The number of a job", job, 0, MAX_ID)
        if not (yield from self._run("drop", id=job)):
            raise NotFound(f"No job {job} waits or was set aside.")

    def forget(self, caller: Caller) -> Flow[int]:
        """Delete the jobs of a user with the messages they carry: of the caller's thread, or all. Return how many.

        Those that run lose their messages, and find nothing to learn from if they run again.
        """
        lock = thread_lock(caller, "") if caller.thread else None
        return len((yield from self._run("forget", tenant=caller.tenant, user=caller.user, lock=lock)))

    def hurry(self, lock: str | None = None) -> Flow[int]:
        """Make jobs that wait due now, those of one thread or all; return how many."""
        return len((yield from self._run("hurry", lock=lock)))

    def recover(self, seconds: float) -> Flow[int]:
        """Let the jobs of workers that are gone wait again; return how many."""
        rows = yield from self._run("stalled", seconds=seconds)
        for row in rows:
            yield from self.put_back(row["id"], delay=0, running=False)
        return len(rows)

    def _run(self, name: str, **parameters: Any) -> Flow[list[Mapping[str, Any]]]:
        return run_sql(_statement(name), {"queue": self.name, "task": TASK, **parameters})


def forget_in_jobs(stores: Sequence[LearningStore], caller: Caller) -> Flow[None]:
    """Take the messages that hold what was forgotten out of all jobs of a user, whatever queue they are in.

    Jobs that run are among them: one that fails would wait again with its messages.
    """
    if not (yield from _has_tables()):
        return
    forgotten = yield from read_forgotten(stores, caller)
    for _ in range(REWRITE_ATTEMPTS):
        rows = yield from run_sql(_statement("of user"), {"task": TASK, "tenant": caller.tenant, "user": caller.user})
        is_missed = False
        for row in rows:
            args = JobArgs.model_validate(row["args"])
            shorter = args.without_forgotten(forgotten)
            if shorter != args:
                is_missed |= not (yield from _rewrite(row["id"], shorter))
        if not is_missed:
            return


def _has_tables() -> Flow[bool]:
    """Return True if the store's database has the tables of procrastinate."""
    try:
        rows = yield from run_sql(_statement("tables"))
    except Misconfigured:  # a store without a database has no jobs
        return False
    return any(row["has_tables"] for row in rows)


def _rewrite(job: int, args: JobArgs) -> Flow[bool]:
    """Replace what a job carries; return False if others have joined it, or it has ended."""
    entries = args.model_dump(mode="json")["entries"]
    rows = yield from run_sql(_statement("rewrite"), {"id": job, "entries": Jsonb(entries), "names": sorted(entries)})
    return bool(rows)


def thread_lock(caller: Caller, otherwise: str) -> str:
    """Return the lock under which one job at a time learns from a thread; without a thread, from something else."""
    return f"learn:{fingerprint(caller.tenant, caller.thread or f'run {otherwise}', size=16)}"


def caller_lock(args: JobArgs, otherwise: str = "") -> str:
    """Return the lock under which one job waits for a thread and a caller."""
    identity = args.context.model_dump_json(exclude={"learn", "recall", "timezone", "now"})
    return f"{thread_lock(args.caller, otherwise or ''.join(args.entries))}:{fingerprint(identity)}"


def _make_json(changes: Mapping[str, Any]) -> Jsonb:
    return Jsonb({key: value.isoformat() if isinstance(value, datetime) else value for key, value in changes.items()})


def _statement(name: str) -> bytes:
    return read_statements(__package__, "queue.sql")[name].encode()


def _schema() -> bytes:
    """Return a statement that makes the tables of procrastinate, one process at a time."""
    require_procrastinate()
    from procrastinate.schema import SchemaManager

    template = """
        DO $setup$ BEGIN
            PERFORM pg_advisory_xact_lock({lock});
            -- Not to_regclass, which may not know yet what another process made while this one waited.
            IF NOT EXISTS (SELECT FROM pg_class WHERE relname = 'procrastinate_jobs' AND pg_table_is_visible(oid)) THEN
                EXECUTE {schema};
            END IF;
            {index};
        END $setup$
    """
    index = sql.SQL(_statement("index").decode())
    literals = {"lock": sql.Literal(SCHEMA_LOCK), "schema": sql.Literal(SchemaManager.get_schema()), "index": index}
    return sql.SQL(template).format(**literals).as_bytes(None)


def require_procrastinate() -> None:
    """Raise `MissingExtra` if the queue's package is not installed."""
    try:
        import procrastinate  # noqa: F401
    except ImportError as error:
        raise MissingExtra("worker", "A queue") from error
