"""Store of the server: learnings in Postgres, searched with the embedding model that EMBED names.

The database is DATABASE_URL or, without it, the server's own. On your own machine, where there is neither, it is the
embedded one of the package. EMBED is a name such as "openai:text-embedding-3-small", "none" to search by words alone,
or "local", the default, for the model of the extra `local`.

After a change of EMBED, stop the server and embed everything again: `python -m graphs.store`.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from langgraph_learning import Episodes
from langgraph_learning.embeddings import count_dims, load_embeddings
from langgraph_learning.errors import Misconfigured, MissingExtra
from langgraph_learning.postgres import HybridPostgresStore, progress_bar
from langgraph_learning.postgres.embedded import database_url

_first_use = threading.Lock()


@asynccontextmanager
async def store() -> AsyncIterator[HybridPostgresStore]:
    """Open the store; the server does so once per thread.

    Raises `Misconfigured` if the vectors in the database come from a model of another size.
    """
    url, index = await asyncio.to_thread(_prepare)
    async with HybridPostgresStore.from_conn_string(url, index=index, search_mode="hybrid") as postgres_store:
        stored_dims = await postgres_store.astored_dims()
        if stored_dims and stored_dims != index.get("dims", stored_dims):
            raise Misconfigured(
                f"The database has vectors of {stored_dims} numbers, but EMBED={_model_name()} makes vectors of "
                f"{index['dims']}. Set EMBED to the model that filled the database or, to change the model, stop the "
                "server and embed everything again: python -m graphs.store"
            )
        await postgres_store.asetup()
        yield postgres_store


def reembed() -> None:
    """Embed everything in the database again, after a change of the model."""
    url, index = _prepare()
    with HybridPostgresStore.from_conn_string(url, index=index, search_mode="hybrid") as postgres_store:
        count = postgres_store.reembed(progress=progress_bar)
    print(f"Embedded again with EMBED={_model_name()}: {count} items")


def _prepare() -> tuple[str, dict[str, Any]]:
    with _first_use:  # the threads of the server share one embedding model
        return database_url(), _index()


@cache
def _index() -> dict[str, Any]:
    try:
        embeddings = load_embeddings(_model_name())
    except MissingExtra as error:
        raise Misconfigured(
            f"{error} Or set EMBED, such as to openai:text-embedding-3-small, or to none to search by words alone."
        ) from error
    settings: dict[str, Any] = {"fields": ["text"], "sequence": Episodes.sequence}
    return settings if embeddings is None else {"dims": count_dims(embeddings), "embed": embeddings, **settings}


def _model_name() -> str:
    return os.environ.get("EMBED") or "local"


if __name__ == "__main__":
    reembed()
