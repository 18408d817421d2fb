"""Application of edits to the known learnings of a store: what is added, confirmed, superseded or rejected."""

from collections.abc import Callable, Iterable, Sequence

from langgraph_learning.core.learning import Learning, Status
from langgraph_learning.core.records import Edit
from langgraph_learning.core.text import normalize

SubjectOf = Callable[[Learning], str]


def apply_edits(edits: Iterable[Edit], known: Iterable[Learning], subject_of: SubjectOf) -> list[Learning]:
    """Return the learnings to write for some edits; each edit sees the results of the edits before it."""
    current = {learning.ref: learning for learning in known}
    changed = {}
    for edit in edits:
        results = reject_replaced(edit) if edit.record is None else _learn(edit, list(current.values()), subject_of)
        for learning in results:
            current[learning.ref] = changed[learning.ref] = learning
    return list(changed.values())


def reject_replaced(edit: Edit) -> list[Learning]:
    """Return the learning that an edit forgets, as rejected; nothing if the edit names none."""
    if edit.replaces is None:
        return []
    sources = (*edit.replaces.sources, edit.source)
    update = {"status": Status.REJECTED, "valid_to": edit.at, "sources": sources, "quote": edit.quote}
    return [edit.replaces.model_copy(update=update)]


def _learn(edit: Edit, known: Sequence[Learning], subject_of: SubjectOf) -> list[Learning]:
    """Return a known learning that says the same with a new source; else the new learning and those it supersedes."""
    new = edit.learning()
    subject = subject_of(new)
    same_subject = [
        learning
        for learning in known
        if learning.status is Status.ACTIVE
        and learning.namespace == new.namespace
        and learning.key != new.key
        and subject_of(learning) == subject
    ]
    for learning in same_subject:
        if normalize(learning.text) == normalize(new.text):
            return _confirm(learning, edit)
    replaced = {learning.key: learning for learning in same_subject}
    if edit.replaces and edit.replaces.namespace == new.namespace:
        replaced[edit.replaces.key] = edit.replaces
    retired = {"status": Status.SUPERSEDED, "valid_to": edit.at}
    superseded = [learning.model_copy(update=retired) for learning in replaced.values()]
    return [*superseded, new.model_copy(update={"supersedes": tuple(replaced)})]


def _confirm(learning: Learning, edit: Edit) -> list[Learning]:
    """Add the edit's source to a learning that says the same; nothing changes if it has that source already."""
    if edit.source in learning.sources:
        return []
    sources = (*learning.sources, edit.source)
    update = {"sources": sources, "quote": edit.quote, "valid_to": edit.until or learning.valid_to}
    return [learning.model_copy(update=update)]
