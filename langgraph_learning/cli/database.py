"""Store that the command line works on, opened with the embedding model that filled it or for word search alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import ProgrammingError, connect

from langgraph_learning.errors import Misconfigured, MissingExtra
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.postgres.embedded import database_url
from langgraph_learning.stores import Episodes


@contextmanager
def open_store(url: str | None, embed: str) -> Iterator[HybridPostgresStore]:
    """Open the store in a database. Raises `Misconfigured` if its vectors come from another embedding model.

    url: the database; None: `DATABASE_URL`, or else the embedded database.
    embed: "local", "none" for word search without embeddings, or a name for `init_embeddings`.
    """
    url = url or database_url()
    try:
        connect(url).close()  # a pool would try for half a minute before it reports an error
    except ProgrammingError as error:
        raise Misconfigured(f"This is no URL of a database, such as postgresql://user@host/name: {error}") from error
    with HybridPostgresStore.from_conn_string(url, search_mode="hybrid") as word_store:
        dims = word_store.stored_dims() if embed != "none" else None
        if dims is None:
            yield word_store
            return
    index = _build_index_config(embed, dims)
    with HybridPostgresStore.from_conn_string(url, index=index, search_mode="hybrid") as store:
        yield store


def _build_index_config(embed: str, dims: int) -> dict[str, Any]:
    embeddings = _load_embeddings(embed)
    model_dims = len(embeddings.embed_query("dimensions"))
    if model_dims != dims:
        raise Misconfigured(
            f"The database has vectors of {dims} numbers, but --embed {embed} makes vectors of {model_dims}: "
            "name the model that filled the database."
        )
    return {"dims": dims, "embed": embeddings, "fields": ["text"], "sequence": Episodes.sequence}


def _load_embeddings(embed: str) -> Any:
    from langgraph_learning.embeddings import load_embeddings

    try:
        return load_embeddings(embed)
    except MissingExtra as error:
        raise Misconfigured(f"{error} Or search by words alone: --embed none.") from error
    except Misconfigured as error:
        raise Misconfigured(f"--embed {embed}: {error}") from error
