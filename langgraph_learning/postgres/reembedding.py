"""How everything is indexed anew, after a change of the model, its dimensions, the fields or the language."""

import sys
from collections.abc import Callable

from langgraph_learning.errors import Misconfigured
from langgraph_learning.postgres import migrate, steps
from langgraph_learning.postgres.config import Index
from langgraph_learning.postgres.indexing import Embedded, embedded, searched, texts_of
from langgraph_learning.postgres.shape import Shape
from langgraph_learning.postgres.steps import Plan, Rows

Progress = Callable[[int, int], None]
"""Is told how many items are done, and of how many."""
_ITEMS_AT_ONCE = 256


def progress_bar(done: int, total: int) -> None:
    """Draw a bar on standard error."""
    filled = 30 * done // max(total, 1)
    print(f"\r[{'#' * filled:<30}] {done}/{total}", end="" if done < total else "\n", file=sys.stderr, flush=True)


def reembed(shape: Shape, resume: bool, progress: Progress | None) -> Plan[int]:
    """Index every item anew; return how many that were. Searches see what is done so far."""
    if shape.index is None:
        raise Misconfigured("There is nothing to embed: this store has no index settings.")
    if not resume:
        yield from _clear(shape, shape.index)
    ((left,),) = yield from steps.run(shape.statements("count to index"))
    done, after = 0, 0
    while True:
        (items,) = yield from steps.run(shape.statements("next to index", after=after, limit=_ITEMS_AT_ONCE))
        if not items:
            break
        yield from _index(shape, shape.index, items)
        done, after = done + len(items), items[-1]["id"]
        if progress:
            progress(done, left["count"])
    if shape.index.embeddings:
        yield from steps.run(*migrate.one_at_a_time(shape), *migrate.index_vectors(shape, shape.index))
    return done


def _clear(shape: Shape, index: Index) -> Plan[None]:
    emptied = [*migrate.one_at_a_time(shape), shape.statements("forget all texts")]
    if index.embeddings:
        # The index over vectors goes with its column; built once at the end it takes a fraction of the time.
        emptied += [shape.statements("vector extension"), shape.statements("replace vectors")]
    yield from steps.run(*emptied)


def _index(shape: Shape, index: Index, items: Rows) -> Plan[None]:
    found = [(item, text) for item in items for text in texts_of(shape, item["value"], item["indexed"])]
    if not found:
        return
    texts = [text for _, text in found]
    vectors = (yield from embedded(shape, texts, {})) if index.embeddings else Embedded({}, 0)
    ids, versions = [item["id"] for item, _ in found], [item["version"] for item, _ in found]
    again = shape.statements("index again", ids=ids, versions=versions, **searched(shape, texts, vectors))
    yield from steps.run(again)
