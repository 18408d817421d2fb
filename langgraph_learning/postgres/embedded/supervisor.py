"""Supervisor process of an embedded Postgres: starts the server, restarts it, stops it after its last user has ended.

Every user holds a shared lock on the file `users`, which the system releases however the user ends: normally, by
SIGTERM or by `kill -9`. When the supervisor gets an exclusive lock on that file, there are no users left. It holds a
lock on the file `keeper` itself, which contains its process id.
This module is run as a script and imports nothing of this package, so that it starts quickly and needs little memory.
"""

import argparse
import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

READY = "ready"
SOCKET = ".s.PGSQL.5432"
POLL_SECONDS = 0.1
"""Interval at which the supervisor checks whether there are users left."""
STOP_SECONDS = 20
"""Time limit for each attempt to stop the server."""


class PostgresServer:
    """A Postgres server: its folder, programs, sockets, account and process."""

    def __init__(self, folder: Path, programs: Path, sockets: Path, account: str | None, settings: list[str]) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.programs = programs
        self.sockets = sockets
        self.settings = settings
        self.options: dict[str, Any] = {"cwd": folder, "stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
        # PGPORT, PGOPTIONS and the like are meant for the user's other databases.
        self.options["env"] = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        if account:
            entry = pwd.getpwnam(account)
            self.options |= {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.process: psutil.Process | None = None

    def initialise(self) -> None:
        """Create the database, unless there is one. The remains of an attempt that was killed are deleted."""
        if self.data.exists():
            return
        unfinished = self.folder / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if "user" in self.options:
            os.chown(unfinished, self.options["user"], self.options["group"])
        command = [str(self.programs / "initdb"), "--pgdata", str(unfinished), "--username=postgres", "--auth=trust"]
        command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        subprocess.run(command, check=True, stdout=subprocess.PIPE, **self.options)
        unfinished.rename(self.data)

    def start(self) -> None:
        """Take over a server that is running in the folder, or start one; wait until it accepts connections."""
        self.process = self._find_running() or self._launch()
        while self._read_status() != READY:
            if not self.is_alive():
                raise RuntimeError((self.folder / "postgres.log").read_text(errors="replace")[-2000:])
            time.sleep(0.01)

    def is_alive(self) -> bool:
        """Return True if the server's process is running; a zombie is not."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return self.process is not None and self.process.status() != psutil.STATUS_ZOMBIE
        return False

    def stop(self) -> None:
        """Stop the server and all of its processes."""
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast shutdown, immediate shutdown, kill
            with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                if self.process:
                    self.process.send_signal(number)
                    self.process.wait(STOP_SECONDS)
            if not self.is_alive():
                return

    def _launch(self) -> psutil.Process:
        for stale in (self.data / "postmaster.pid", self.sockets / SOCKET, self.sockets / f"{SOCKET}.lock"):
            stale.unlink(missing_ok=True)
        command = [str(self.programs / "postgres"), "-D", str(self.data), "-k", str(self.sockets), "-p", "5432"]
        for setting in ("listen_addresses=", "unix_socket_permissions=0700", *self.settings):
            command += ["-c", setting]
        with (self.folder / "postgres.log").open("wb") as log:
            return psutil.Popen(command, stdout=log, start_new_session=True, **self.options)

    def _find_running(self) -> psutil.Process | None:
        """Return the server that an earlier supervisor left running. Process ids are reused, so more is checked."""
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int((self.data / "postmaster.pid").read_text().split("\n")[0]))
            if process.status() != psutil.STATUS_ZOMBIE and str(self.data) in process.cmdline():
                return process
        return None

    def _read_status(self) -> str | None:
        """Return the state that the server wrote to its pid file, such as `ready`."""
        with contextlib.suppress(OSError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            if self.process and len(lines) == 8 and lines[0] == str(self.process.pid):
                return lines[7].strip()
        return None


def try_lock(file: int) -> bool:
    """Try to lock an open file exclusively; return True on success."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def supervise(server: PostgresServer, users: int) -> None:
    """Restart the server whenever it dies, until its last user has ended or SIGTERM arrives; then stop it."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    try:
        while not stopping and not try_lock(users):
            if not server.is_alive():
                with contextlib.suppress(RuntimeError):  # remains of the dead server may still be in the way
                    server.start()
            time.sleep(POLL_SECONDS)
    finally:
        server.stop()


def run_supervisor() -> None:
    """Start the server, print `ready`, and supervise it in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--sockets", type=Path, required=True)
    parser.add_argument("--account")
    parser.add_argument("--setting", action="append", default=[])
    arguments = parser.parse_args()
    if os.fork():
        return  # detached, so that the supervisor outlives the user that started it
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    users, keeper = (os.open(arguments.folder / name, os.O_RDWR | os.O_CREAT, 0o600) for name in ("users", "keeper"))
    if not try_lock(keeper):
        sys.exit("Another supervisor is running.")
    os.truncate(keeper, 0)
    os.write(keeper, str(os.getpid()).encode())
    server = PostgresServer(
        arguments.folder, arguments.programs, arguments.sockets, arguments.account, arguments.setting
    )
    try:
        server.initialise()
        server.start()
    except subprocess.CalledProcessError as error:
        sys.exit(error.output.decode(errors="replace") or str(error))
    except RuntimeError as error:
        sys.exit(str(error))
    print(READY, flush=True)
    devnull = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(devnull, stream)
    supervise(server, users)


if __name__ == "__main__":
    run_supervisor()
