"""Runs LangGraph's own store tests against our store: `python tests/upstream [pytest arguments]`.

The tests are downloaded at that moment, for exactly the versions that are installed, and are not part of this project.
Needs `DATABASE_URL` with the right to create databases, or the extra `embedded`.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from langgraph_learning.postgres.embedded import EmbeddedPostgres

HERE = Path(__file__).resolve().parent
SUITES = {
    "base": ("langgraph-checkpoint", ["tests/test_store.py"]),
    "postgres": ("langgraph-checkpoint-postgres", ["tests/test_store.py", "tests/test_async_store.py"]),
}


def main(arguments: list[str]) -> int:
    """Run both suites; return 0 if all passed."""
    with tempfile.TemporaryDirectory() as folder, _server() as url:
        return max(_run(suite, Path(folder), url, arguments) for suite in SUITES)


def _run(suite: str, folder: Path, url: str, arguments: list[str]) -> int:
    package, files = SUITES[suite]
    root = _downloaded(package, folder)
    environment = {**os.environ, "UPSTREAM_TESTS_URL": url, "UPSTREAM_SUITE": suite, "PYTHONPATH": f"{HERE}:{root}"}
    print(f"{package} {version(package)}: {', '.join(files)}", flush=True)
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(root), "-p", "plugin", "-q", "-s"]
    settings = ["-o", "asyncio_mode=auto", "-o", "timeout=900", "-p", "no:cacheprovider", "-W", "ignore"]
    return subprocess.run([*command, *settings, *arguments, *files], cwd=root, env=environment, check=False).returncode


def _downloaded(package: str, folder: Path) -> Path:
    wanted = f"{package}=={version(package)}"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        "--no-binary",
        package,
        "-d",
        str(folder),
        wanted,
    ]
    subprocess.run(pip, check=True)
    archive = next(folder.glob(f"{package.replace('-', '_')}-{version(package)}.tar.gz"))
    with tarfile.open(archive) as contents:
        root = contents.getnames()[0].split("/")[0]
        members = [member for member in contents.getmembers() if member.name.startswith(f"{root}/tests/")]
        contents.extractall(folder, members, filter="data")
    return folder / root


@contextmanager
def _server() -> Iterator[str]:
    if url := os.environ.get("DATABASE_URL"):
        yield url
        return
    folder = Path(tempfile.mkdtemp(prefix="learning-", dir="/var/tmp"))
    with EmbeddedPostgres(folder, settings={"fsync": "off"}) as server:
        yield server.url
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
