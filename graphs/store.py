"""Where the server keeps what is learnt: Postgres at DATABASE_URL or, without it, one that comes with the package."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from langgraph.store.postgres import AsyncPostgresStore, PostgresStore
from langgraph.store.postgres.base import PostgresIndexConfig

from langgraph_learning.embeddings import LocalEmbeddings
from langgraph_learning.postgres.embedded import database_url

_first = threading.Lock()


@asynccontextmanager
async def store() -> AsyncIterator[AsyncPostgresStore]:
    """Open the store; the server does so once for each of its threads."""
    url, index = await asyncio.to_thread(_ready)
    async with AsyncPostgresStore.from_conn_string(
        url, index=index, pool_config={"min_size": 1, "max_size": 10}
    ) as opened:
        yield opened


def _ready() -> tuple[str, PostgresIndexConfig]:
    with _first:
        return _set_up()


@cache
def _set_up() -> tuple[str, PostgresIndexConfig]:
    """Start the database if need be, make its tables, and load the embedding model."""
    embeddings = LocalEmbeddings()
    index: PostgresIndexConfig = {"dims": embeddings.dims, "embed": embeddings, "fields": ["text"]}
    url = database_url()
    with PostgresStore.from_conn_string(url, index=index) as opened:
        opened.setup()
    return url, index
