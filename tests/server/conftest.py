"""A real `langgraph dev` in a process of its own, on loopback, without any way out."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import mkdtemp

import httpx
import pytest
from langgraph.store.base import Item
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from langgraph_learning.postgres import HybridPostgresStore

PROJECT = Path(__file__).parents[2]
PEOPLE = "alex:acme, sam:acme, kim:rivals"


class Server:
    """`langgraph dev` on a copy of what `langgraph.json` serves."""

    def __init__(
        self,
        folder: Path,
        settings: dict[str, str],
        *,
        authenticated: bool = True,
        python: Path | str = sys.executable,
    ) -> None:
        self.folder = folder
        self._python = python
        shutil.copytree(PROJECT / "graphs", folder / "graphs", ignore=shutil.ignore_patterns("__pycache__"))
        config = json.loads((PROJECT / "langgraph.json").read_text())
        if not authenticated:
            del config["auth"]
        (folder / "langgraph.json").write_text(json.dumps(config))
        self.database_url = settings["DATABASE_URL"]
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: dict[str, SyncLangGraphClient] = {}
        self.port = _free_port()

    @property
    def has_loop_for_each_run(self) -> bool:
        """True if its runs do not share an event loop."""
        return "BG_JOB_ISOLATED_LOOPS" in self._settings

    @property
    def log(self) -> str:
        """What it said, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", (self.folder / "log").read_text())

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [str(self._python), "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload"]
        command += ["--port", str(self.port), "--n-jobs-per-worker", "4"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while not self._answers():
            assert self._process.poll() is None, self.log
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop it as Ctrl+C does; nothing of it is left."""
        while self._clients:
            self._clients.popitem()[1].close()
        if self._process is None:
            return
        group, process, self._process = self._process.pid, self._process, None
        try:
            process.send_signal(signal.SIGINT)
            process.wait(30)
            with pytest.raises(ProcessLookupError):
                os.killpg(group, 0)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            process.wait()

    def kill(self) -> None:
        """End it at once, as a machine does that loses its power."""
        while self._clients:
            self._clients.popitem()[1].close()
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def items(self, *namespace: str) -> list[Item]:
        """Return all items below a namespace of its database."""
        with HybridPostgresStore.from_conn_string(self.database_url) as store:
            return list(store.search(namespace, limit=1_000))

    def person(self, name: str) -> SyncLangGraphClient:
        """Return the client of somebody."""
        return self._client(Authorization=f"Bearer {name}")

    def studio(self) -> SyncLangGraphClient:
        """Return a client that says what Studio says instead of a token."""
        return self._client(**{"x-auth-scheme": "langsmith"})

    def anybody(self) -> SyncLangGraphClient:
        """Return a client that says nothing about who it is."""
        return self._client()

    def _client(self, **headers: str) -> SyncLangGraphClient:
        if str(headers) not in self._clients:
            made = get_sync_client(url=f"http://127.0.0.1:{self.port}", api_key=None, headers=headers)
            self._clients[str(headers)] = made
        return self._clients[str(headers)]

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/ok", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def _environment(self) -> dict[str, str]:
        nowhere = "http://127.0.0.1:9"
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "HOME": str(self.folder),
            "LANGSMITH_TRACING": "false",
            "LANGGRAPH_CLI_NO_ANALYTICS": "1",
            "HTTP_PROXY": nowhere,
            "HTTPS_PROXY": nowhere,
            "NO_PROXY": "127.0.0.1,localhost",
            **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
            **self._settings,
        }


MakeServer = Callable[..., Server]


@pytest.fixture(scope="module", params=["one loop", pytest.param("a loop for each run", marks=pytest.mark.long)])
def loops(request: pytest.FixtureRequest) -> dict[str, str]:
    """Give the settings by which all runs of a server share an event loop, or each has one of its own."""
    return {} if request.param == "one loop" else {"BG_JOB_ISOLATED_LOOPS": "true"}


@pytest.fixture(scope="module")
def make_server(databases) -> Iterator[MakeServer]:
    """Give a function that starts a server with a database of its own; afterwards its log must hold no error."""
    made: list[Server] = []
    with ExitStack() as stack:

        def make(*, authenticated: bool = True, python: Path | str = sys.executable, **settings: str) -> Server:
            folder = Path(mkdtemp(prefix="learning-", dir="/var/tmp"))
            stack.callback(shutil.rmtree, folder)
            url = stack.enter_context(databases.copy("empty", lambda url: None))
            settings = {"DATABASE_URL": url, "LEARNING_DEMO_USERS": PEOPLE, **settings}
            server = Server(folder, settings, authenticated=authenticated, python=python)
            made.append(server)
            stack.callback(server.stop)
            return server

        yield make
        for server in made:
            server.stop()
            # A refused run is the one error that tests ask for.
            expected = "NotAllowed"
            if server.has_loop_for_each_run:  # when it stops, it ends these loops with the connections in them
                expected += "|Task was destroyed but it is pending"
            assert [] == re.findall(rf".*\[error (?!.*(?:{expected})).*|.*[Bb]locking.*", server.log)


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Server:
    """Give a running server with three people in two teams."""
    made = make_server()
    made.start()
    return made


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
