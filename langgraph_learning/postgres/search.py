"""Searches by filter, by vector (exact or through the index) and hybrid; filters are translated to jsonpath."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from operator import itemgetter
from typing import Any, NamedTuple

from langgraph.store.base import SearchOp
from pgvector import HalfVector, Vector

from langgraph_learning.core.store_protocol import FurtherQuery, MultiSearchOp, Scores
from langgraph_learning.core.text import mentions_exactly, share_of_words
from langgraph_learning.errors import InvalidFilter
from langgraph_learning.postgres.config import DISTANCES, IndexConfig
from langgraph_learning.postgres.executor import Plan, embed_queries
from langgraph_learning.postgres.rows import VersionedSearchItem, prefix_bounds, to_search_item
from langgraph_learning.postgres.statements import PlanContext, PlannedRead, Rows, Statement

_NEIGHBOUR_WEIGHT = 0.3
"""Share of a neighbour's score that is added to an item's own score in a hybrid search."""
_SCORE_ALL_BELOW = 5000
"""A hybrid search scores every text of a namespace that has fewer texts than this."""
_HYBRID_CANDIDATES = "400"
"""`hnsw.ef_search` of a hybrid search. With fewer candidates, clusters of similar texts are not always reached."""
_MAX_INDEX_DEPTH = 200
"""Beyond this many items, pages are computed exactly: an index search would have to visit most of the index."""
_CACHED_NAMESPACES = 10_000
"""Upper limit of the cache of candidate counts."""
_CACHE_SECONDS = 60.0
"""Lifetime of a cached candidate count. An outdated count makes a search slower, not its result wrong."""


class PlannedSearches(NamedTuple):
    """The searches of a batch."""

    settings: list[Statement]
    """Settings that must precede the reads in their transaction."""
    reads: list[PlannedRead]


def plan_searches(context: PlanContext, groups: Sequence[tuple[list[int], SearchOp]]) -> Plan[PlannedSearches]:
    """Plan the searches of a batch, given with their positions in it. All query texts are embedded in one call."""
    index = context.index
    texts = [text for _, op in groups for text in _query_texts(context, op)]
    vectors: dict[str, Vector | HalfVector] = {}
    if index and index.embeddings:
        embeddings = yield from embed_queries(list(dict.fromkeys(texts)))
        vectors = {text: index.encode(numbers) for text, numbers in zip(dict.fromkeys(texts), embeddings, strict=True)}
    reads = []
    hybrid: dict[tuple[FurtherQuery, ...], list[tuple[int, SearchOp]]] = {}
    for positions, op in groups:
        if not (op.query and index):
            reads.append(_plan_search(context, positions, op, "search by filter", {}))
        elif not context.hybrid:
            parameters = _vector_parameters(context, index, op, vectors[op.query])
            reads.append(_plan_search(context, positions, op, "search by vector", parameters))
        else:
            hybrid.setdefault(_queries_of(op), []).extend((position, op) for position in positions)
    for queries, searches in hybrid.items():
        reads += _plan_hybrid_searches(context, queries, sorted(searches, key=itemgetter(0)), vectors)
    return PlannedSearches([_search_settings(context, index)] if texts and index else [], reads)


def _queries_of(op: SearchOp) -> tuple[FurtherQuery, ...]:
    """Return the query texts of a search with their penalties."""
    further = op.further if isinstance(op, MultiSearchOp) else ()
    return (FurtherQuery(op.query or ""), *further)


def _query_texts(context: PlanContext, op: SearchOp) -> list[str]:
    if not (op.query and context.index):
        return []
    return [query.text for query in _queries_of(op)] if context.hybrid else [op.query]


def _plan_search(
    context: PlanContext, positions: Sequence[int], op: SearchOp, statement: str, parameters: dict[str, Any]
) -> PlannedRead:
    first, end = prefix_bounds(op.namespace_prefix)
    returns_count = "candidates" in parameters and parameters["candidates"] is None

    def assign(rows: Rows, results: list[Any]) -> None:
        for position in positions:
            # Each search gets values of its own, so that a caller who changes one does not change another's.
            own_rows = rows if position == positions[0] else deepcopy(rows)
            results[position] = [to_search_item(row) for row in own_rows]
        if rows and returns_count:
            _cache_candidate_count(context, tuple(op.namespace_prefix), rows[0]["candidates"])

    query = context.statements(
        statement,
        first=first,
        end=end,
        filter=to_jsonpath(op.filter),
        limit=op.limit,
        offset=op.offset,
        include_expired=context.include_expired,
        **parameters,
    )
    return PlannedRead(query, assign)


def _vector_parameters(
    context: PlanContext, index: IndexConfig, op: SearchOp, vector: Vector | HalfVector
) -> dict[str, Any]:
    wanted = op.limit + op.offset
    exact = not index.ann or wanted > _MAX_INDEX_DEPTH
    return {
        "vector": vector,
        "best": DISTANCES[index.distance][1],
        "exact_below": index.exact_below,
        "candidates": 0 if exact else _get_candidate_count(context, tuple(op.namespace_prefix)),
        "wanted": wanted,
        "pool": 2 * wanted + 20,
    }


def _plan_hybrid_searches(
    context: PlanContext,
    queries: Sequence[FurtherQuery],
    searches: Sequence[tuple[int, SearchOp]],
    vectors: Mapping[str, Vector | HalfVector],
) -> list[PlannedRead]:
    """Plan all searches of a batch with the same query texts, one statement for each text."""
    found: list[dict[tuple[tuple[str, ...], str], VersionedSearchItem]] = [{} for _ in searches]

    def plan(query: FurtherQuery) -> PlannedRead:
        def assign(rows: Rows, results: list[Any]) -> None:
            for row in rows:
                item = to_search_item(row)
                item.score = (item.score or 0.0) - query.penalty
                item.scores = _score_words(context, row, queries)
                best = found[row["nth"] - 1]
                address = (item.namespace, item.key)
                if address not in best or (best[address].score or 0.0) < item.score:
                    best[address] = item
            if query is queries[-1]:
                for (position, op), best in zip(searches, found, strict=True):
                    ranked = sorted(best.values(), key=lambda item: -(item.score or 0.0))
                    results[position] = deepcopy(ranked[op.offset : op.offset + op.limit])

        return PlannedRead(_hybrid_statement(context, query, queries, searches, vectors), assign)

    return [plan(query) for query in queries]


def _score_words(context: PlanContext, row: Mapping[str, Any], queries: Sequence[FurtherQuery]) -> tuple[Scores, ...]:
    texts = [text for _, text in context.index.extract_texts(row["value"], row["indexed"])] if context.index else []
    return tuple(
        Scores(
            None if similarity is None or similarity != similarity else similarity,
            max((share_of_words(query.text, text) for text in texts), default=0.0),
            any(mentions_exactly(text, query.text) for text in texts),
        )
        for query, similarity in zip(queries, row["similarities"], strict=True)
    )


def _hybrid_statement(
    context: PlanContext,
    query: FurtherQuery,
    queries: Sequence[FurtherQuery],
    searches: Sequence[tuple[int, SearchOp]],
    vectors: Mapping[str, Vector | HalfVector],
) -> Statement:
    bounds = [prefix_bounds(op.namespace_prefix) for _, op in searches]
    return context.statements(
        "hybrid search",
        firsts=[first for first, _ in bounds],
        ends=[end for _, end in bounds],
        filters=[to_jsonpath(op.filter) for _, op in searches],
        limits=[op.limit + op.offset for _, op in searches],
        offsets=[0 for _ in searches],
        query=query.text.replace("\x00", " "),
        language=context.language,
        include_expired=context.include_expired,
        vector=vectors.get(query.text),
        vectors=[vectors[each.text].to_text() if vectors else None for each in queries],
        lift=_NEIGHBOUR_WEIGHT if context.index and context.index.sequence else 0.0,
        exact_below=_SCORE_ALL_BELOW,
    )


def _search_settings(context: PlanContext, index: IndexConfig) -> Statement:
    # JIT compilation of these statements takes longer than running them. A namespace is read through the namespace
    # index, which the planner avoids if it assumes slow disks.
    settings = {"jit": "off", "random_page_cost": "1.1"}
    if index.embeddings and index.ann:
        # Without iterative scans the index returns the nearest of all namespaces, of which the filter leaves few.
        settings |= {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": _HYBRID_CANDIDATES}
    return context.statements.set_local(settings)


def _get_candidate_count(context: PlanContext, prefix: tuple[str, ...]) -> int | None:
    """Return how many candidates to request from the index, 0 for an exact search, None if the search must find out."""
    candidates, expires_at = context.candidate_counts.get(prefix, (None, 0.0))
    return candidates if time.monotonic() < expires_at else None


def _cache_candidate_count(context: PlanContext, prefix: tuple[str, ...], candidates: int) -> None:
    if len(context.candidate_counts) >= _CACHED_NAMESPACES:
        context.candidate_counts.clear()
    context.candidate_counts[prefix] = (candidates, time.monotonic() + _CACHE_SECONDS)


def to_jsonpath(filter: Mapping[str, Any] | None) -> str | None:
    """Translate a filter to one predicate for `value @@ …::jsonpath`, so that the SQL stays constant; None: no filter.

    Values are compared by JSON type: 10 is greater than 9, and "10" is not a number. A missing field equals None and
    nothing else. Raises `InvalidFilter`.
    """
    if not filter:
        return None
    # Strict mode: a list equals a list. In lax mode jsonpath would compare its elements instead.
    return f"strict {_fields_predicate(filter, '$')}"


def _fields_predicate(filter: Mapping[str, Any], path: str) -> str:
    return _conjunction(_field_predicate(name, condition, path) for name, condition in filter.items())


def _field_predicate(name: str, condition: Any, path: str) -> str:
    if name in _LOGIC:
        return _LOGIC[name](condition, path, _fields_predicate)
    if name.startswith("$"):
        raise InvalidFilter(f"{name} is not an operator between fields; use one of {', '.join(_LOGIC)}.")
    return _condition_predicate(condition, f"{path}.{_json_literal(name)}")


def _condition_predicate(condition: Any, path: str) -> str:
    if not isinstance(condition, Mapping):
        return _equality(condition, path)
    if not any(str(name).startswith("$") for name in condition):
        return _fields_predicate(condition, path) if condition else f'({path}.type() == "object")'
    return _conjunction(_operator_predicate(name, operand, path) for name, operand in condition.items())


def _operator_predicate(name: str, operand: Any, path: str) -> str:
    if name in _COMPARISONS:
        return f"({path} {_COMPARISONS[name]} {_scalar_literal(operand, name)})"
    if name in _OPERATORS:
        return _OPERATORS[name](operand, path)
    if name in _LOGIC:
        return _LOGIC[name](operand, path, _condition_predicate)
    supported = ", ".join([*_OPERATORS, *_COMPARISONS, *_LOGIC])
    raise InvalidFilter(f"A filter has no operator {name!r}; the operators are {supported}.")


def _equality(value: Any, path: str) -> str:
    if value is None:
        return f"({path} == null || {_absence(path)})"
    if isinstance(value, Mapping):
        fields = [_equality(part, f"{path}.{_json_literal(name)}") for name, part in value.items()]
        return _conjunction([f'({path}.type() == "object")', *fields])
    if isinstance(value, Sequence) and not isinstance(value, str):
        size = f'({path}.type() == "array" && {path}.size() == {len(value)})'
        elements = [_equality(element, f"{path}[{position}]") for position, element in enumerate(value)]
        return _conjunction([size, *elements])
    return f"({path} == {_json_literal(value)})"


def _absence(path: str) -> str:
    return f"((exists({path})) is unknown)"


def _existence(wanted: Any, path: str) -> str:
    return _negation(_absence(path)) if wanted else _absence(path)


def _negation(predicate: str) -> str:
    # In jsonpath, a comparison with a missing value or with another type is neither true nor false.
    return f"(!({predicate}) || (({predicate}) is unknown))"


def _conjunction(predicates: Iterable[str]) -> str:
    return "(" + (" && ".join(predicates) or "1 == 1") + ")"


def _disjunction(predicates: Iterable[str]) -> str:
    return "(" + (" || ".join(predicates) or "1 == 0") + ")"


def _require_list(operand: Any, name: str) -> Sequence[Any]:
    if not isinstance(operand, Sequence) or isinstance(operand, str):
        raise InvalidFilter(f"{name} takes a list, not {type(operand).__name__}.")
    return operand


def _scalar_literal(operand: Any, name: str) -> str:
    if operand is None or isinstance(operand, str | int | float):
        return _json_literal(operand)
    raise InvalidFilter(f"{name} compares with a number or a text, not with {type(operand).__name__}.")


def _json_literal(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidFilter(f"A filter compares JSON values; {value!r} is not one.") from error


_InnerPredicate = Callable[[Any, str], str]
_COMPARISONS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}

_OPERATORS: dict[str, Callable[[Any, str], str]] = {
    "$eq": _equality,
    "$ne": lambda operand, path: _negation(_equality(operand, path)),
    "$in": lambda operand, path: _disjunction(_equality(value, path) for value in _require_list(operand, "$in")),
    "$nin": lambda operand, path: _negation(
        _disjunction(_equality(value, path) for value in _require_list(operand, "$nin"))
    ),
    "$exists": _existence,
}

_LOGIC: dict[str, Callable[[Any, str, _InnerPredicate], str]] = {
    "$and": lambda operand, path, inner: _conjunction(inner(part, path) for part in _require_list(operand, "$and")),
    "$or": lambda operand, path, inner: _disjunction(inner(part, path) for part in _require_list(operand, "$or")),
    "$not": lambda operand, path, inner: _negation(inner(operand, path)),
}
