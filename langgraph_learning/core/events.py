"""Events that a run writes to its custom stream, under the key `learning`."""

from collections.abc import Iterable
from typing import Any

from langgraph_learning.core.learning import Learning, Status


def describe_learning(learning: Learning, *, texts: bool) -> dict[str, Any]:
    """Return a learning as an event names it: by its key, and with its text only if wanted."""
    event: dict[str, Any] = {
        "key": learning.key,
        "kind": learning.kind,
        "status": learning.status.value,
        "namespace": list(learning.namespace),
    }
    if learning.relevance is not None:
        event["relevance"] = round(learning.relevance, 2)
    return {**event, "text": learning.text} if texts else event


def describe_written(learnings: Iterable[Learning], *, texts: bool) -> dict[str, list[dict[str, Any]]]:
    """Return what was written: learned, proposed, or superseded, which includes forgotten and retired learnings."""
    events: dict[str, list[dict[str, Any]]] = {"learned": []}
    for learning in learnings:
        if learning.status is Status.ACTIVE:
            name = "learned"
        else:
            name = "proposed" if learning.status is Status.PROPOSED else "superseded"
        events.setdefault(name, []).append(describe_learning(learning, texts=texts))
    return events
