"""A LangGraph `BaseStore` on Postgres and pgvector, and what its callers need with it."""

from langgraph_learning.core.store_protocol import Change, Expected, version_of
from langgraph_learning.postgres.migrate import progress_bar
from langgraph_learning.postgres.store import HybridPostgresStore

__all__ = ["Change", "Expected", "HybridPostgresStore", "progress_bar", "version_of"]
