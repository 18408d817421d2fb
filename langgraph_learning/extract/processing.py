"""The learning stores at work: what they note of messages without a model, and the learnings they make of edits."""

from collections.abc import Sequence

from langgraph_learning.core.flow import Flow, as_flow, gather
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.records import Edit
from langgraph_learning.core.transcript import Line
from langgraph_learning.errors import InvalidEdit, Misconfigured
from langgraph_learning.extract.validation import edit_from_note
from langgraph_learning.stores.base import LearningStore, Turn


def observe_lines(
    stores: Sequence[LearningStore], turn: Turn, lines: Sequence[Line]
) -> Flow[tuple[list[Edit], list[str]]]:
    """Return the edits that learning stores make of the messages without a model, and why others were dropped."""
    notes_of_stores = yield from gather(as_flow(store.observe(turn, lines)) for store in stores)
    edits, errors = [], []
    for store, notes in zip(stores, notes_of_stores, strict=True):
        notes_on_message: dict[str, int] = {}
        for note in notes:
            number = notes_on_message.get(note.line.id, 0)
            notes_on_message[note.line.id] = number + 1
            try:
                edits.append(edit_from_note(store, turn, note, number))
            except InvalidEdit as error:
                errors.append(f"dropped what {store.name} noted: {error}")
    return edits, errors


def process_by_store(
    stores: Sequence[LearningStore], edits: Sequence[Edit], known: Sequence[Learning]
) -> Flow[list[Learning]]:
    """Let each store turn its own edits into learnings."""
    flows = []
    for store in stores:
        own_edits = [edit for edit in edits if edit.namespace[-1] == store.name]
        if own_edits:
            flows.append(process_edits(store, own_edits, known))
    learnings_of_stores = yield from gather(flows)
    return [learning for learnings in learnings_of_stores for learning in learnings]


def process_edits(store: LearningStore, edits: Sequence[Edit], known: Sequence[Learning]) -> Flow[list[Learning]]:
    """Return the learnings that a store wants written for its own edits.

    Raises `Misconfigured` if it returns a learning of another store.
    """
    own_known = [learning for learning in known if learning.store_name == store.name]
    learnings = yield from as_flow(store.process(edits, own_known))
    for learning in learnings:
        if learning.store_name != store.name:
            raise Misconfigured(
                f"{store.name}.process returned a learning of {learning.store_name}: each keeps its own."
            )
    return learnings
