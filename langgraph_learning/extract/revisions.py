"""Edited messages: the learnings that rest on their earlier text alone."""

from collections.abc import Iterable, Sequence

from langgraph_learning.core.flow import Flow
from langgraph_learning.core.learning import Learning, Status
from langgraph_learning.core.repository import get_many
from langgraph_learning.core.scopes import ItemRef, Scope
from langgraph_learning.core.transcript import Line
from langgraph_learning.extract.cursor import Unread
from langgraph_learning.extract.validation import edit_key
from langgraph_learning.stores.base import LearningStore, Turn

MAX_EDITS_OF_MESSAGE = 24
"""How many edits of an answer are looked for when a message was edited."""


def find_outdated(
    stores: Sequence[LearningStore],
    turn: Turn,
    unread: Unread,
    lines: Sequence[Line],
    learnings: Sequence[Learning],
) -> Flow[list[Learning]]:
    """Return what rests on the earlier text of edited messages alone, as superseded.

    learnings: what the turn writes anyway.
    """
    edited = [line for line in lines if line.revision]
    refs = [ref for line in edited for ref in _possible_refs(stores, turn, line, unread)]
    if not refs:
        return []
    found, _ = yield from get_many(refs)
    changed = {learning.ref for learning in learnings}
    ids = {line.id for line in edited}
    return [
        learning.model_copy(update={"status": Status.SUPERSEDED, "valid_to": turn.now})
        for ref, learning in found.items()
        if ref not in changed and learning.status in (Status.ACTIVE, Status.PROPOSED)
        if all(source.thread == turn.caller.thread and ids.issuperset(source.messages) for source in learning.sources)
    ]


def _possible_refs(stores: Sequence[LearningStore], turn: Turn, line: Line, unread: Unread) -> Iterable[ItemRef]:
    """Yield where the edits may be that rested on the earlier texts of a message."""
    for revision in ["", *unread.earlier_revisions(line.message)]:
        for store in stores:
            for scope in dict.fromkeys((*store.scopes, Scope.USER)):
                if not turn.caller.owners_of(scope):
                    continue
                for kind in store.model_kinds:
                    for number in range(MAX_EDITS_OF_MESSAGE):
                        key = edit_key(turn.caller, line.id, kind, number, revision)
                        yield turn.caller.namespace(scope, store.name), key
