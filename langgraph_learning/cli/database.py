"""How the command line opens a database: by words alone, or with the embedding model that filled it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import connect

from langgraph_learning.errors import Misconfigured, MissingExtra
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.postgres.embedded import database_url
from langgraph_learning.stores import Episodes


@contextmanager
def opened(url: str | None, embed: str) -> Iterator[HybridPostgresStore]:
    """Give the store at this address. Raises `Misconfigured` for a model that did not fill it."""
    url = url or database_url()
    connect(url).close()  # a pool would try for half a minute before it tells what is wrong
    with HybridPostgresStore.from_conn_string(url, search_mode="hybrid") as by_words:
        dims = by_words.stored_dims() if embed != "none" else None
        if dims is None:
            yield by_words
            return
    with HybridPostgresStore.from_conn_string(url, index=_index(embed, dims), search_mode="hybrid") as store:
        yield store


def _index(embed: str, dims: int) -> dict[str, Any]:
    model = _model(embed)
    if (found := len(model.embed_query("dimensions"))) != dims:
        raise Misconfigured(
            f"The database has vectors of {dims} numbers, --embed {embed} makes {found}: name its model."
        )
    return {"dims": dims, "embed": model, "fields": ["text"], "sequence": Episodes.sequence}


def _model(embed: str) -> Any:
    if embed == "local":
        from langgraph_learning.embeddings import LocalEmbeddings

        try:
            return LocalEmbeddings()
        except MissingExtra as error:
            raise Misconfigured(f"{error} Or leave it at words alone: --embed none.") from error
    from langchain.embeddings import init_embeddings

    try:
        return init_embeddings(embed)
    except (ImportError, ValueError) as error:
        raise Misconfigured(f"--embed {embed}: {error}") from error
