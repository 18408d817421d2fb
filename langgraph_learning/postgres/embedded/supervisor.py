"""Keeps one embedded Postgres up for as long as anybody uses it, as a process of its own.

Every user holds a shared lock on the file `users`, which the system releases however the user ends: by itself, by
SIGTERM or by `kill -9`. Once the keeper gets that lock for itself nobody is left, and it stops the server.
It is run as a script and imports nothing of this package, so that it starts quickly and stays small.
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
POLL = 0.1
"""Seconds between two looks at whether the users have gone."""


class Server:
    """One Postgres: the folder it lives in, the programs it is made of, the account it runs as."""

    def __init__(self, folder: Path, programs: Path, sockets: Path, account: str | None, settings: list[str]) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.programs = programs
        self.sockets = sockets
        self.settings = settings
        self.options: dict[str, Any] = {"cwd": folder, "stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
        # PGPORT, PGOPTIONS and the like are about the user's other databases.
        self.options["env"] = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        if account:
            entry = pwd.getpwnam(account)
            self.options |= {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.process: psutil.Process | None = None

    def initialise(self) -> None:
        """Make the database, unless there is one. What a killed attempt left behind is never taken for one."""
        if self.data.exists():
            return
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if "user" in self.options:
            os.chown(fresh, self.options["user"], self.options["group"])
        command = [str(self.programs / "initdb"), "--pgdata", str(fresh), "--username=postgres", "--auth=trust"]
        command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        subprocess.run(command, check=True, stdout=subprocess.PIPE, **self.options)
        fresh.rename(self.data)

    def start(self) -> None:
        """Take over the server that runs here, or start one, and wait until it takes connections."""
        self.process = self._running() or self._launch()
        while self._status() != READY:
            if not self.alive():
                raise RuntimeError((self.folder / "postgres.log").read_text(errors="replace")[-2000:])
            time.sleep(0.01)

    def alive(self) -> bool:
        """Tell whether the server is there; one that has ended but was not yet buried is not."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return self.process is not None and self.process.status() != psutil.STATUS_ZOMBIE
        return False

    def stop(self) -> None:
        """End the server and everything it has started."""
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, at any price
            with contextlib.suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                if self.process:
                    self.process.send_signal(number)
                    self.process.wait(20)
            if not self.alive():
                return

    def _launch(self) -> psutil.Process:
        for left in (self.data / "postmaster.pid", self.sockets / SOCKET, self.sockets / f"{SOCKET}.lock"):
            left.unlink(missing_ok=True)
        command = [str(self.programs / "postgres"), "-D", str(self.data), "-k", str(self.sockets), "-p", "5432"]
        for setting in ("listen_addresses=", "unix_socket_permissions=0700", *self.settings):
            command += ["-c", setting]
        with (self.folder / "postgres.log").open("wb") as log:
            return psutil.Popen(command, stdout=log, start_new_session=True, **self.options)

    def _running(self) -> psutil.Process | None:
        """Return the server that an earlier keeper left running. Its number alone proves nothing: numbers return."""
        with contextlib.suppress(OSError, ValueError, psutil.Error):
            process = psutil.Process(int((self.data / "postmaster.pid").read_text().split("\n")[0]))
            if process.status() != psutil.STATUS_ZOMBIE and str(self.data) in process.cmdline():
                return process
        return None

    def _status(self) -> str | None:
        with contextlib.suppress(OSError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            if self.process and len(lines) == 8 and lines[0] == str(self.process.pid):
                return lines[7].strip()
        return None


def lock(file: int) -> bool:
    """Try to take a file for oneself; tell whether it worked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def keep(server: Server, users: int) -> None:
    """Keep the server up until its last user has gone, or until SIGTERM."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    try:
        while not stopping and not lock(users):
            if not server.alive():
                with contextlib.suppress(RuntimeError):  # what is left of the dead one may still be in the way
                    server.start()
            time.sleep(POLL)
    finally:
        server.stop()


def main() -> None:
    """Start the server, say so, and keep it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--programs", type=Path, required=True)
    parser.add_argument("--sockets", type=Path, required=True)
    parser.add_argument("--account")
    parser.add_argument("--setting", action="append", default=[])
    wanted = parser.parse_args()
    if os.fork():
        return  # the keeper is nobody's child: it outlives the user that happened to come first
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    users, keeper = (os.open(wanted.folder / name, os.O_RDWR | os.O_CREAT, 0o600) for name in ("users", "keeper"))
    if not lock(keeper):
        sys.exit("Another keeper is at work.")
    os.truncate(keeper, 0)
    os.write(keeper, str(os.getpid()).encode())
    server = Server(wanted.folder, wanted.programs, wanted.sockets, wanted.account, wanted.setting)
    try:
        server.initialise()
        server.start()
    except subprocess.CalledProcessError as error:
        sys.exit(error.output.decode(errors="replace") or str(error))
    except RuntimeError as error:
        sys.exit(str(error))
    print(READY, flush=True)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    keep(server, users)


if __name__ == "__main__":
    main()
