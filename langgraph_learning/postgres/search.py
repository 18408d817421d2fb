"""How searches are answered: by filter, by meaning, or by meaning and words together."""

from collections.abc import Sequence
from copy import deepcopy
from operator import itemgetter
from typing import Any, NamedTuple

from langgraph.store.base import SearchOp
from pgvector import HalfVector, Vector

from langgraph_learning.postgres import namespaces as ns
from langgraph_learning.postgres import steps
from langgraph_learning.postgres.config import DISTANCES, Index
from langgraph_learning.postgres.filters import to_jsonpath
from langgraph_learning.postgres.rows import search_item_of
from langgraph_learning.postgres.shape import Read, Shape
from langgraph_learning.postgres.statements import Statement
from langgraph_learning.postgres.steps import Plan, Rows
from langgraph_learning.postgres.writes import set_for_transaction

_LIFT = 0.3
"""So much of a neighbour's score is added to an item's own."""
_WHOLE_BELOW = 5000
"""Under a namespace with fewer texts every one is scored, by its words and by its meaning."""
_CANDIDATES = "400"
"""So many the index looks at: with fewer, groups of texts that are much alike are not always reached."""
_DEEPEST = 200
"""Pages beyond this many items are not worth asking the index for: it would have to be nearly complete."""


class Searches(NamedTuple):
    """The searches of one batch."""

    settings: list[Statement]
    """What must be set before them, for the time of the transaction."""
    reads: list[Read]


def plan_searches(shape: Shape, groups: Sequence[tuple[list[int], SearchOp]]) -> Plan[Searches]:
    """Plan the searches of a batch, given with their positions in it.

    Each query is embedded once, however many namespaces it is asked of.
    """
    queries = list(dict.fromkeys(op.query for _, op in groups if op.query and shape.index))
    by_meaning = bool(shape.index and shape.index.embeddings)
    found = (yield from steps.embed_queries(queries)) if by_meaning else []
    encoded = {text: shape.index.encode(numbers) for text, numbers in zip(queries, found, strict=False) if shape.index}
    reads = []
    for positions, op in groups:
        if not (op.query and shape.index):
            reads.append(_one(shape, positions, op, "search", {}))
        elif not shape.hybrid:
            meaning = _meaning(shape, shape.index, op, encoded[op.query])
            reads.append(_one(shape, positions, op, "search by meaning", meaning))
    if shape.hybrid and shape.index:
        for query in queries:
            same_query = [(position, op) for positions, op in groups if op.query == query for position in positions]
            reads.append(_both(shape, sorted(same_query, key=itemgetter(0)), encoded.get(query)))
    return Searches([_settings(shape, shape.index)] if queries and shape.index else [], reads)


def _one(shape: Shape, positions: Sequence[int], op: SearchOp, statement: str, more: dict[str, Any]) -> Read:
    first, end = ns.bounds(op.namespace_prefix)
    common = {"first": first, "end": end, "limit": op.limit, "offset": op.offset, "expired_too": shape.expired_too}
    finds_out = "candidates" in more and more["candidates"] is None

    def place(rows: Rows, results: list[Any]) -> None:
        for position in positions:
            # Whoever changes a value that was found changes no other search's.
            own = rows if position == positions[0] else deepcopy(rows)
            results[position] = [search_item_of(row) for row in own]
        if rows and finds_out:
            shape.sizes.remember(tuple(op.namespace_prefix), rows[0]["candidates"])

    return Read(shape.statements(statement, **common, **more, filter=to_jsonpath(op.filter)), place)


def _meaning(shape: Shape, index: Index, op: SearchOp, vector: Vector | HalfVector) -> dict[str, Any]:
    wanted = op.limit + op.offset
    whole = not index.ann or wanted > _DEEPEST
    return {
        "vector": vector,
        "best": DISTANCES[index.distance][1],
        "exact_below": index.exact_below,
        "candidates": 0 if whole else shape.sizes.candidates(tuple(op.namespace_prefix)),
        "wanted": wanted,
        "pool": 2 * wanted + 20,
    }


def _both(shape: Shape, ops: Sequence[tuple[int, SearchOp]], vector: Vector | HalfVector | None) -> Read:
    bounds = [ns.bounds(op.namespace_prefix) for _, op in ops]

    def place(rows: Rows, results: list[Any]) -> None:
        for nth, _ in ops:
            results[nth] = []
        for row in rows:
            results[ops[row["nth"] - 1][0]].append(search_item_of(row))

    parameters = {
        "firsts": [first for first, _ in bounds],
        "ends": [end for _, end in bounds],
        "filters": [to_jsonpath(op.filter) for _, op in ops],
        "limits": [op.limit for _, op in ops],
        "offsets": [op.offset for _, op in ops],
        "query": (ops[0][1].query or "").replace("\x00", " "),
        "language": shape.language,
        "expired_too": shape.expired_too,
        "vector": vector,
        "lift": _LIFT if shape.index and shape.index.sequence else 0.0,
        "exact_below": _WHOLE_BELOW,
    }
    return Read(shape.statements("search by words and meaning", **parameters), place)


def _settings(shape: Shape, index: Index) -> Statement:
    # Compiling these statements takes longer than carrying them out; and one namespace is read through the index
    # over namespaces, which the planner avoids where it believes in slow disks.
    settings = {"jit": "off", "random_page_cost": "1.1"}
    if index.embeddings and index.ann:
        # Without iterative scans the index proposes its nearest of all namespaces, and the filter leaves few of them.
        settings |= {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": _CANDIDATES}
    return set_for_transaction(shape, settings)
