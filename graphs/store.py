"""Store of the server: Postgres at DATABASE_URL or, without it, the embedded one of the package."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from langgraph_learning import Episodes
from langgraph_learning.embeddings import LocalEmbeddings
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.postgres.embedded import database_url

_first_use = threading.Lock()


@asynccontextmanager
async def store() -> AsyncIterator[HybridPostgresStore]:
    """Open the store; the server does so once per thread."""
    url, index = await asyncio.to_thread(_prepare)
    async with HybridPostgresStore.from_conn_string(url, index=index, search_mode="hybrid") as postgres_store:
        await postgres_store.asetup()
        yield postgres_store


def _prepare() -> tuple[str, dict[str, Any]]:
    with _first_use:  # the threads of the server share one embedding model
        return database_url(), _index()


@cache
def _index() -> dict[str, Any]:
    embeddings = LocalEmbeddings()
    return {"dims": embeddings.dims, "embed": embeddings, "fields": ["text"], "sequence": Episodes.sequence}
