"""Our `BaseStore` on Postgres."""

from langgraph_learning.postgres.store import HybridPostgresStore

__all__ = ["HybridPostgresStore"]
