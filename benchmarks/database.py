"""A database of one's own on the server that is there."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
from psycopg.sql import SQL, Identifier

from langgraph_learning.postgres.embedded import database_url


@contextmanager
def database() -> Iterator[str]:
    """Give the URL of a database of its own: nobody reads what another contender wrote."""
    url, name = database_url(), f"benchmark_{uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        info = connection.info
        try:
            yield f"postgresql://{info.user}:{info.password}@/{name}?host={info.host}&port={info.port}"
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
