"""Checks of operations: what cannot be meant is refused in the caller's words, before it reaches the database."""

from collections.abc import Mapping
from numbers import Real

from langgraph.store.base import GetOp, ListNamespacesOp, Op, PutOp, SearchOp, validate_op_namespace
from pydantic import BaseModel

from langgraph_learning.core.checks import check_count
from langgraph_learning.errors import InvalidFilter, Misconfigured

MOST_ITEMS = 100_000_000
"""Items that one operation may ask for or pass over: the SQL multiplies it by up to 5, as an int of four bytes."""
_LONGEST_TTL = 1_000_000_000
"""Minutes, some 1,900 years: Postgres has no time that is much later."""


def check_op(op: Op) -> None:
    """Raise `Misconfigured`, or `InvalidFilter`, for an operation that no item could answer or be written by."""
    if isinstance(op, GetOp | PutOp):
        _check_item(op)
    elif isinstance(op, SearchOp):
        _check_search(op)
    elif isinstance(op, ListNamespacesOp):
        _check_list(op)
    else:
        raise Misconfigured(f"A batch takes GetOp, PutOp, SearchOp and ListNamespacesOp, not {op!r:.80}.")
    validate_op_namespace(op)


def check_namespace(namespace: object) -> None:
    """Raise `Misconfigured` for a text where a namespace belongs: each of its characters would be a label."""
    if isinstance(namespace, str) or not isinstance(namespace, tuple | list):
        raise Misconfigured(f'A namespace is a tuple of texts, such as ("learnings", "acme"), not {namespace!r:.80}.')


def _check_item(op: GetOp | PutOp) -> None:
    check_namespace(op.namespace)
    if isinstance(op, GetOp):
        return
    if op.value is not None and not isinstance(op.value, Mapping | BaseModel):
        raise Misconfigured(f"The value of an item is a dict, not {op.value!r:.80}.")
    if op.ttl is not None and not (isinstance(op.ttl, Real) and abs(op.ttl) <= _LONGEST_TTL):
        raise Misconfigured(
            f"ttl is a number of minutes up to {_LONGEST_TTL:,}, or None for an item that stays; not {op.ttl!r}."
        )


def _check_search(op: SearchOp) -> None:
    check_namespace(op.namespace_prefix)
    check_count("limit", op.limit, 0, MOST_ITEMS)
    check_count("offset", op.offset, 0, MOST_ITEMS)
    if op.query is not None and not isinstance(op.query, str):
        raise Misconfigured(f"The query of a search is a text, or None for all items; not {op.query!r:.80}.")
    if op.filter is not None and not isinstance(op.filter, Mapping):
        raise InvalidFilter(f'A filter is a dict, such as {{"status": "active"}}, not {op.filter!r:.80}.')


def _check_list(op: ListNamespacesOp) -> None:
    # The path of a condition may be a text: LangGraph's own tests give one.
    check_count("limit", op.limit, 0, MOST_ITEMS)
    check_count("offset", op.offset, 0, MOST_ITEMS)
    if op.max_depth is not None:
        check_count("max_depth", op.max_depth, 1, MOST_ITEMS)
