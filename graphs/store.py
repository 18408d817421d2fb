"""Where the server keeps what is learnt: Postgres at DATABASE_URL or, without it, one that comes with the package."""

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

_first = threading.Lock()


@asynccontextmanager
async def store() -> AsyncIterator[HybridPostgresStore]:
    """Open the store; the server does so once for each of its threads."""
    url, index = await asyncio.to_thread(_ready)
    async with HybridPostgresStore.from_conn_string(url, index=index, search_mode="hybrid") as opened:
        await opened.asetup()
        yield opened


def _ready() -> tuple[str, dict[str, Any]]:
    with _first:  # two threads of the server share one embedding model
        return database_url(), _index()


@cache
def _index() -> dict[str, Any]:
    embeddings = LocalEmbeddings()
    return {"dims": embeddings.dims, "embed": embeddings, "fields": ["text"], "sequence": Episodes.sequence}
