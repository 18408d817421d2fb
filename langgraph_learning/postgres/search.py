"""Searches by filter, by vector (exact or through the index) and hybrid."""

import time
from collections.abc import Mapping, Sequence, Set
from copy import deepcopy
from typing import Any, NamedTuple, TypeVar

from langgraph.store.base import SearchOp
from pgvector import HalfVector, Vector

from langgraph_learning.core.store_protocol import FurtherQuery, MultiSearchOp, Scores
from langgraph_learning.core.words import exact_terms, find_terms
from langgraph_learning.postgres.config import DISTANCES, IndexConfig
from langgraph_learning.postgres.executor import Plan, compute, embed_queries, run_statements
from langgraph_learning.postgres.filters import to_jsonpath
from langgraph_learning.postgres.indexing import read_types
from langgraph_learning.postgres.rows import VectorColumn, prefix_bounds, tenant_prefix, to_search_item
from langgraph_learning.postgres.statements import PlanContext, PlannedRead, Rows, Statement
from langgraph_learning.postgres.words import QuestionWords, WordCounts, read_question, scope_id

T = TypeVar("T")
Prefix = tuple[str, ...]
_NEIGHBOUR_WEIGHT = 0.3
"""Share of a neighbour's score that is added to an item's own score in a hybrid search."""
_SCORE_ALL_BELOW = 8000
"""A hybrid search scores every text of a namespace that has fewer texts than this."""
_ENOUGH_TEXTS = 100
"""Texts of a namespace from which on its own words are counted. Who speaks is a rare word of a tenant, and a common one
of a conversation."""
_CANDIDATES = "300"
"""`hnsw.ef_search` of a hybrid search: a little more than the texts that the index proposes for ten items, so that one
round of the index's scan is enough."""
_MAX_INDEX_DEPTH = 200
"""Beyond this many items, pages are computed exactly: an index search would have to visit most of the index."""
_CACHED_NAMESPACES = 10_000
"""Upper limit of each cache."""
_CACHE_SECONDS = 60.0
"""Time for which sizes and word counts are remembered. Outdated ones make a search slower, or order it a little
differently, but never incomplete."""


class PlannedSearches(NamedTuple):
    """The searches of a batch."""

    settings: list[Statement]
    """Settings that must precede the reads in their transaction."""
    reads: list[PlannedRead]


class HybridSearch(NamedTuple):
    """A search with its position in the batch, its query texts and what is known about its namespace."""

    position: int
    op: SearchOp
    queries: tuple[FurtherQuery, ...]
    prefix: Prefix
    tenant: Prefix
    size: int
    """Number of texts under its prefix; an estimate if it is large."""
    small: bool
    """True: all texts are scored."""

    @property
    def whole(self) -> bool:
        """True if everything of its tenant is searched."""
        return self.prefix == self.tenant

    @property
    def counted(self) -> Prefix:
        """The prefix among whose texts words are counted: its own if it has enough of them, else that of its tenant."""
        return self.prefix if self.size >= _ENOUGH_TEXTS else self.tenant

    @property
    def question(self) -> "_Question":
        """Its query texts, with all on which the weights of their words depend."""
        return self.queries, self.tenant, self.counted, self.size


def plan_searches(context: PlanContext, groups: Sequence[tuple[list[int], SearchOp]]) -> Plan[PlannedSearches]:
    """Plan the searches of a batch, given with their positions in it. All query texts are embedded in one call."""
    index = context.index
    asked = [(positions, op) for positions, op in groups if op.query and index]
    texts = list(dict.fromkeys(query.text for _, op in asked for query in _queries_of(context, op)))
    vectors: dict[str, Vector | HalfVector] = {}
    if index and index.embeddings:
        embeddings = yield from embed_queries(texts)
        vectors = {text: index.encode(numbers) for text, numbers in zip(texts, embeddings, strict=True)}
    without_query = [(positions, op) for positions, op in groups if not (op.query and index)]
    reads = [_plan_filter_searches(context, without_query)] if without_query else []
    if context.hybrid and asked:
        searches = [(position, op) for positions, op in asked for position in positions]
        reads.append((yield from _plan_hybrid(context, sorted(searches, key=lambda search: search[0]), vectors)))
    elif index:
        for positions, op in asked:
            parameters = _vector_parameters(context, index, op, vectors[op.query or ""])
            reads.append(_plan_vector_search(context, positions, op, parameters))
    return PlannedSearches([_search_settings(context, index)] if asked and index else [], reads)


def _queries_of(context: PlanContext, op: SearchOp) -> tuple[FurtherQuery, ...]:
    """Return the query texts of a search with their penalties; the first one alone if it is no hybrid search."""
    further = op.further if isinstance(op, MultiSearchOp) and context.hybrid else ()
    return (FurtherQuery(op.query or ""), *further)


def _plan_filter_searches(context: PlanContext, groups: Sequence[tuple[list[int], SearchOp]]) -> PlannedRead:
    """Plan all searches without a query as one statement."""

    def assign(rows: Rows, results: list[Any]) -> None:
        found: list[list[Any]] = [[] for _ in groups]
        for row in rows:
            found[row["nth"] - 1].append(row)
        for (positions, _), rows_of_search in zip(groups, found, strict=True):
            _assign_rows(rows_of_search, positions, results)

    query = context.statements(
        "search by filter", include_expired=context.include_expired, **_op_columns([op for _, op in groups])
    )
    return PlannedRead(query, assign)


def _plan_vector_search(
    context: PlanContext, positions: Sequence[int], op: SearchOp, parameters: dict[str, Any]
) -> PlannedRead:
    first, end = prefix_bounds(op.namespace_prefix)

    def assign(rows: Rows, results: list[Any]) -> None:
        _assign_rows(rows, positions, results)
        if rows and parameters["candidates"] is None:
            _remember(context.caches.candidates, tuple(op.namespace_prefix), rows[0]["candidates"])

    query = context.statements(
        "search by vector",
        first=first,
        end=end,
        filter=to_jsonpath(op.filter),
        limit=op.limit,
        offset=op.offset,
        include_expired=context.include_expired,
        **parameters,
    )
    return PlannedRead(query, assign)


def _assign_rows(rows: Rows, positions: Sequence[int], results: list[Any]) -> None:
    """Give the same items to all searches at these positions.

    Each gets values of its own, so that a caller who changes one does not change another's.
    """
    for position in positions:
        own_rows = rows if position == positions[0] else deepcopy(rows)
        results[position] = [to_search_item(row) for row in own_rows]


def _op_columns(ops: Sequence[SearchOp]) -> dict[str, Any]:
    """Return searches, one list per column."""
    bounds = [prefix_bounds(op.namespace_prefix) for op in ops]
    return {
        "firsts": [first for first, _ in bounds],
        "ends": [end for _, end in bounds],
        "filters": [to_jsonpath(op.filter) for op in ops],
        "limits": [op.limit for op in ops],
        "offsets": [op.offset for op in ops],
    }


def _vector_parameters(
    context: PlanContext, index: IndexConfig, op: SearchOp, vector: Vector | HalfVector
) -> dict[str, Any]:
    wanted = op.limit + op.offset
    exact = not index.ann or wanted > _MAX_INDEX_DEPTH
    return {
        "vector": vector,
        "best": DISTANCES[index.distance][1],
        "exact_below": index.exact_below,
        "candidates": 0 if exact else _recall(context.caches.candidates, tuple(op.namespace_prefix)),
        "wanted": wanted,
        "pool": 2 * wanted + 20,
        "considered": 5 * wanted + 100,
        "rescored": wanted + 10,
    }


def _plan_hybrid(
    context: PlanContext, asked: Sequence[tuple[int, SearchOp]], vectors: Mapping[str, Vector | HalfVector]
) -> Plan[PlannedRead]:
    """Plan all hybrid searches of a batch as one statement."""
    types = yield from read_types(context)
    prefixes = list(dict.fromkeys(tuple(op.namespace_prefix) for _, op in asked))
    sizes = dict(zip(prefixes, (yield from _read_sizes(context, prefixes)), strict=True))
    searches = [_describe_search(context, position, op, sizes) for position, op in asked]
    counts = yield from _read_word_counts(context, list(dict.fromkeys(search.counted for search in searches)))
    questions = list(dict.fromkeys(search.question for search in searches))
    words = yield from _read_questions(context, questions, counts)
    terms = {query.text: exact_terms(query.text) for queries, *_ in questions for query in queries}

    def assign(rows: Rows, results: list[Any]) -> None:
        for search in searches:
            results[search.position] = []
        for row in rows:
            search = searches[row["nth"] - 1]
            item = to_search_item(row)
            item.scores = _score(context, row, [terms[query.text] for query in search.queries])
            results[search.position].append(item)

    query = context.statements(
        "hybrid search",
        include_expired=context.include_expired,
        lift=_NEIGHBOUR_WEIGHT if context.index and context.index.sequence else 0.0,
        ops=[questions.index(search.question) for search in searches],
        smalls=[search.small for search in searches],
        wholes=[search.whole for search in searches],
        **_op_columns([search.op for search in searches]),
        **_question_parameters(questions, words, vectors, types),
    )
    return PlannedRead(query, assign)


_Question = tuple[tuple[FurtherQuery, ...], Prefix, Prefix, int]
"""Query texts, the tenant, the prefix among whose texts words are counted, and the size of the namespace."""


def _describe_search(context: PlanContext, position: int, op: SearchOp, sizes: Mapping[Prefix, int]) -> HybridSearch:
    prefix = tuple(op.namespace_prefix)
    size = sizes[prefix]
    # The index over words has the words of each tenant apart, so it cannot propose texts of several tenants.
    of_one_tenant = len(prefix) >= (2 if prefix[:1] == ("learnings",) else 1)
    indexed = context.index is not None and (context.index.ann or context.index.embeddings is None) and of_one_tenant
    small = size < _SCORE_ALL_BELOW or not indexed or op.limit + op.offset > _MAX_INDEX_DEPTH
    return HybridSearch(position, op, _queries_of(context, op), prefix, tenant_prefix(prefix), size, small)


def _question_parameters(
    questions: Sequence[_Question],
    words: Sequence[QuestionWords],
    vectors: Mapping[str, Vector | HalfVector],
    types: Mapping[str, int],
) -> dict[str, Any]:
    """Return the query texts of all questions, one list per column."""
    queries = [(asked, nth, query) for asked, (texts, *_) in enumerate(questions) for nth, query in enumerate(texts)]
    columns: dict[str, Any] = {
        "asked": [asked for asked, _, _ in queries],
        "nths": [nth for _, nth, _ in queries],
        "penalties": [float(query.penalty) for _, _, query in queries],
        "words": VectorColumn([each.ranking for each in words], types["words"]),
        "shares": VectorColumn([each.shares for each in words], types["words"]),
        "rares": [each.rare for each in words],
        "sets": [each.sets for each in words],
        "completes": [each.complete for each in words],
    }
    if vectors:
        columns["vectors"] = VectorColumn(
            [vectors[query.text].to_binary() for _, _, query in queries], types["embedding"]
        )
    return columns


def _score(context: PlanContext, row: Mapping[str, Any], terms: Sequence[Set[str]]) -> tuple[Scores, ...]:
    """Return the scores of an item for each query text, of which the exact terms are given."""
    texts: list[str] = []
    if any(terms) and context.index:
        texts = [text for _, text in context.index.extract_texts(row["value"], row["indexed"])]
    return tuple(
        Scores(
            None if similarity is None or similarity != similarity else similarity,
            min(share or 0.0, 1.0),
            any(find_terms(text, names) for text in texts),
            None if similarity is None or similarity != similarity else nearest,
        )
        for names, similarity, share, nearest in zip(
            terms, row["similarities"], row["shares"], row["nearest"], strict=True
        )
    )


def _read_sizes(context: PlanContext, prefixes: Sequence[Prefix]) -> Plan[list[int]]:
    """Return the numbers of texts under prefixes, as they were within the last minute."""
    unknown = [prefix for prefix in prefixes if _recall(context.caches.sizes, prefix) is None]
    if unknown:
        bounds = [prefix_bounds(prefix) for prefix in unknown]
        statement = context.statements(
            "count texts",
            firsts=[first for first, _ in bounds],
            ends=[end for _, end in bounds],
            exact_below=_SCORE_ALL_BELOW,
        )
        _, rows = yield from run_statements(_planner_settings(context), statement, repeatable=True)
        for prefix, row in zip(unknown, rows, strict=True):
            _remember(context.caches.sizes, prefix, row["texts"])
    return [_recall(context.caches.sizes, prefix) or 0 for prefix in prefixes]


def _read_word_counts(context: PlanContext, prefixes: Sequence[Prefix]) -> Plan[dict[Prefix, WordCounts]]:
    """Return in how many texts of a sample under each prefix each word occurs, as of a time within the last minute."""
    known = {prefix: _recall(context.caches.words, prefix) for prefix in prefixes}
    unknown = [prefix for prefix, counts in known.items() if counts is None]
    if unknown:
        bounds = [prefix_bounds(prefix) for prefix in unknown]
        statements = [context.statements("count tokens", first=first, end=end) for first, end in bounds]
        _, *results = yield from run_statements(_planner_settings(context), *statements, repeatable=True)
        for prefix, (row,) in zip(unknown, results, strict=True):
            counts = WordCounts(row["texts"], dict(zip(row["tokens"] or (), row["counts"] or (), strict=True)))
            _remember(context.caches.words, prefix, counts)
            known[prefix] = counts
    return {prefix: counts for prefix, counts in known.items() if counts is not None}


def _read_questions(
    context: PlanContext, questions: Sequence[_Question], counts: Mapping[Prefix, WordCounts]
) -> Plan[list[QuestionWords]]:
    texts = [(query.text, tenant, counted, size) for queries, tenant, counted, size in questions for query in queries]

    def read() -> list[QuestionWords]:
        return [
            read_question(text, context.language, scope_id(tenant), counts[counted], size)
            for text, tenant, counted, size in texts
        ]

    return (yield from compute(read, sum(len(text) for text, *_ in texts)))


def _search_settings(context: PlanContext, index: IndexConfig) -> Statement:
    # Planning takes as long as a search of a small namespace, and no plan depends on the values.
    uses_index = index.embeddings is not None and index.ann
    return _planner_settings(context, uses_index, plan_cache_mode="force_generic_plan")


def _planner_settings(context: PlanContext, uses_index: bool = False, **more: str) -> Statement:
    # JIT compilation of these statements takes longer than running them. A namespace is read through an index, which
    # the planner avoids if it assumes slow disks, or a table that was small when the statement was prepared.
    settings = {"jit": "off", "random_page_cost": "1.1", "enable_seqscan": "off", **more}
    if uses_index:
        # Without iterative scans the index returns the nearest of all namespaces, of which the filter leaves few.
        settings |= {"hnsw.iterative_scan": "relaxed_order", "hnsw.ef_search": _CANDIDATES}
    return context.statements.set_local(settings)


def _recall(cache: Mapping[Prefix, tuple[T, float]], prefix: Prefix) -> T | None:
    """Return what is remembered about a prefix, None if that was too long ago."""
    if prefix not in cache:
        return None
    value, expires_at = cache[prefix]
    return value if time.monotonic() < expires_at else None


def _remember(cache: dict[Prefix, tuple[T, float]], prefix: Prefix, value: T) -> None:
    if len(cache) >= _CACHED_NAMESPACES:
        cache.clear()
    cache[prefix] = (value, time.monotonic() + _CACHE_SECONDS)
