"""Who carries out the steps of a plan: one driver for threads, one for event loops."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from langchain_core.embeddings import Embeddings
from psycopg import errors

from langgraph_learning.core.flow import arun_flow, run_flow
from langgraph_learning.errors import NotSetUp
from langgraph_learning.postgres.connections import Connections, asend, send
from langgraph_learning.postgres.steps import EmbedDocuments, EmbedQuery, Pause, Plan, Run, Step

T = TypeVar("T")


def drive(plan: Plan[T], connections: Connections, embeddings: Embeddings | None) -> T:
    """Carry out a plan in this thread. No connection is held while a text is embedded."""
    return run_flow(plan, lambda step: _carry_out(step, connections, embeddings))


async def adrive(plan: Plan[T], connections: Connections, embeddings: Embeddings | None) -> T:
    """Carry out a plan in this event loop. No connection is held while a text is embedded."""
    return await arun_flow(plan, lambda step: _acarry_out(step, connections, embeddings))


def _carry_out(step: Step, connections: Connections, embeddings: Embeddings | None) -> Any:
    with _translated(step):
        match step:
            case Run():
                connection = None
                try:
                    with connections.lend() as connection:
                        return send(connection, step)
                except errors.OperationalError:
                    if not (step.repeatable and connection and connection.closed):
                        raise
                with connections.lend() as connection:
                    return send(connection, step)
            case EmbedQuery(texts):
                return [_model(embeddings).embed_query(text) for text in texts]
            case EmbedDocuments(texts):
                return _model(embeddings).embed_documents(list(texts))
            case Pause(seconds):
                return time.sleep(seconds)


async def _acarry_out(step: Step, connections: Connections, embeddings: Embeddings | None) -> Any:
    with _translated(step):
        match step:
            case Run():
                connection = None
                try:
                    async with connections.alend() as connection:
                        return await asend(connection, step)
                except errors.OperationalError:
                    if not (step.repeatable and connection and connection.closed):
                        raise
                async with connections.alend() as connection:
                    return await asend(connection, step)
            case EmbedQuery(texts):
                return await asyncio.gather(*(_model(embeddings).aembed_query(text) for text in texts))
            case EmbedDocuments(texts):
                return await _model(embeddings).aembed_documents(list(texts))
            case Pause(seconds):
                return await asyncio.sleep(seconds)


def _model(embeddings: Embeddings | None) -> Embeddings:
    assert embeddings is not None, "a plan embeds only where the index has an embedding model"
    return embeddings


@contextmanager
def _translated(step: Step) -> Iterator[None]:
    """Say foreign errors in our words, here and nowhere else."""
    try:
        yield
    except (errors.UndefinedTable, errors.UndefinedColumn) as error:
        raise NotSetUp() from error
    except errors.ReadOnlySqlTransaction:
        # A replica serves reads; when what was read expires is the primary's to say.
        if not (isinstance(step, Run) and step.optional):
            raise
