"""History and undo of changes, read from the store's change log: of one learning, or of a whole turn."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from langgraph.store.base import Item

from langgraph_learning.core.flow import Flow, batch, read_changes
from langgraph_learning.core.learning import CURATOR, Learning, ReviewDecision, Status
from langgraph_learning.core.repository import all_in, get_items
from langgraph_learning.core.scopes import Caller, ItemRef, Namespace, Scope, unescape
from langgraph_learning.core.store_protocol import Change, Expected, version_of
from langgraph_learning.errors import Conflict, NotAllowed, NotFound
from langgraph_learning.stores.base import LearningStore, find_objection, readable_namespaces
from langgraph_learning.update.proposals import rests_on_own_words

PINNED_VERDICT: Literal["kept"] = "kept"
"""The verdict on a learning that curation must leave as it is."""
MAX_CHANGES = 500
"""Number of changes of a namespace that are read at first to find those that were written together."""


def read_history(stores: Sequence[LearningStore], caller: Caller, key: str) -> Flow[list[Change]]:
    """Return the changes of a learning, newest first. Raises `NotFound` if the caller may read none.

    Changes of a thread's session count only if the caller spoke in that thread.
    """
    changes: list[Change] = []
    for namespace in readable_namespaces(stores, caller):
        logged = yield from read_changes(namespace, key, limit=MAX_CHANGES)
        if unescape(namespace[2]) != Scope.THREAD.name or (yield from _spoke_in(namespace, caller)):
            changes += logged
    if not changes:
        raise NotFound(f"Nothing that {caller.user} can see has a history under the key {key!r}.")
    return sorted(changes, key=lambda change: change.id, reverse=True)


def _spoke_in(namespace: Namespace, caller: Caller) -> Flow[bool]:
    """Return True if the caller is a source of anything in a thread's namespace."""
    session = yield from all_in([namespace])
    return any(source.user == caller.user for learning in session for source in learning.sources)


def undo(
    stores: Sequence[LearningStore], caller: Caller, key: str, change_id: int | None, four_eyes: bool
) -> Flow[tuple[Learning, ...]]:
    """Undo one change of a learning, by default the last, and the changes linked to it that were written together.

    Return the learnings as they are now. Raises `NotFound`, `Conflict` if one of them has changed since, or
    `NotAllowed`.
    """
    history = yield from read_history(stores, caller, key)
    chosen = _choose_change(history, change_id)
    if chosen is None:
        raise NotFound(f"{key!r} has no change {change_id}: machine.history(context, key) lists them.")
    step = [
        change
        for change in (yield from _read_changes_since(chosen))
        if change.key != key and _step_id(change) == _step_id(chosen) and not _changes_only_votes(change)
    ]
    return (yield from _revert(stores, _related_changes(chosen, step), caller, four_eyes))


def undo_turn(stores: Sequence[LearningStore], caller: Caller, four_eyes: bool) -> Flow[tuple[Learning, ...]]:
    """Undo everything that was last learnt from the caller's thread in one step, in all learning stores."""
    changes: list[Change] = []
    for namespace in readable_namespaces(stores, caller):
        logged = yield from read_changes(namespace, None, limit=MAX_CHANGES)
        changes += [change for change in logged if not _changes_only_votes(change)]
    newest_first = sorted(changes, key=lambda change: change.id, reverse=True)
    last = next((change for change in newest_first if _step_id(change) and _is_from_thread(change, caller)), None)
    if last is None:
        raise NotFound(f"No change on record was learnt from the thread {caller.thread!r} with {caller.user}.")
    last_step = [change for change in changes if _step_id(change) == _step_id(last)]
    return (yield from _revert(stores, last_step, caller, four_eyes))


def _revert(
    stores: Sequence[LearningStore], changes: Sequence[Change], caller: Caller, four_eyes: bool
) -> Flow[tuple[Learning, ...]]:
    """Restore the values before these changes, if nothing but votes has changed since."""
    items = yield from get_items(_ref_of(change) for change in changes)
    for change in changes:
        item = items.get(_ref_of(change))
        if item is None or _comparable_value(item.value) != _comparable_value(change.after):
            raise Conflict("This cannot be undone: it has changed since, or was deleted. Undo the later change first.")
    step = uuid4().hex
    restored: list[Learning] = []
    expected: list[Expected] = []
    for change in changes:
        item = items[_ref_of(change)]
        learning = _restore_learning(change, step, item, caller)
        if objection := find_objection(stores, learning):
            raise NotAllowed(objection)
        if four_eyes and _is_activated(learning, change) and rests_on_own_words(learning, caller):
            raise NotAllowed("Undoing this would activate what rests on your own words: somebody else has to do it.")
        restored.append(learning)
        expected.append(Expected(*learning.ref, version_of(item)))
    yield from batch(*(learning.put() for learning in restored), expected=expected, by=caller.user)
    return tuple(restored)


def _restore_learning(change: Change, step: str, item: Item, caller: Caller) -> Learning:
    """Return a learning as it was before a change, with its votes of today.

    A learning that the change created is rejected instead, so that it is not learnt again.
    """
    before = change.before or {**(change.after or {}), "status": Status.REJECTED.value}
    fields: dict[str, Any] = {name: value for name, value in before.items() if name != "version"}
    fields |= {"votes": item.value.get("votes", {}), "step": step}
    learning = Learning.model_validate({**fields, "namespace": change.namespace, "key": change.key})
    return _pin(learning, caller) if change.by == CURATOR and change.before else learning


def _pin(learning: Learning, caller: Caller) -> Learning:
    """Return a learning with the decision that curation must leave it as it is."""
    decision = ReviewDecision(by=caller.user, at=datetime.now(UTC), verdict=PINNED_VERDICT)
    return learning.model_copy(update={"decisions": (*learning.decisions, decision)})


def _is_activated(restored: Learning, change: Change) -> bool:
    """Return True if undoing a change makes a shared learning active that was not active after the change."""
    was_active = (change.after or {}).get("status") == Status.ACTIVE.value
    return restored.status is Status.ACTIVE and not was_active and not restored.scope.private


def _choose_change(history: Sequence[Change], change_id: int | None) -> Change | None:
    """Return the change with this id; without an id, the last one that changed more than votes."""
    if change_id is None:
        return next((change for change in history if not _changes_only_votes(change)), None)
    return next((change for change in history if change.id == change_id), None)


def _read_changes_since(chosen: Change) -> Flow[list[Change]]:
    """Return the changes of a namespace, newest first, back to all that were made at the same time as this one."""
    limit = MAX_CHANGES
    while True:
        changes = yield from read_changes(chosen.namespace, None, limit=limit)
        if len(changes) < limit or changes[-1].at < chosen.at:
            return changes
        limit *= 4


def _related_changes(chosen: Change, step: Sequence[Change]) -> list[Change]:
    """Return a change and those of its step that are linked to it, directly or through one another."""
    related, remaining = [chosen], list(step)
    for change in related:  # the list grows while it is read
        linked = [other for other in remaining if _are_linked(change, other)]
        remaining = [other for other in remaining if other not in linked]
        related += linked
    return related


def _are_linked(change: Change, other: Change) -> bool:
    """Return True if one of two changes superseded, proposed to change, or retired the learning of the other."""
    return other.key in _keys_changed_by(change) or change.key in _keys_changed_by(other)


def _keys_changed_by(change: Change) -> set[str]:
    value = change.after or {}
    retired = {value["retires"]} if value.get("retires") else set()
    return {*value.get("supersedes", ()), *value.get("base", {}), *retired}


def _changes_only_votes(change: Change) -> bool:
    """Return True if a change only updated the total of votes, which is nobody's edit and cannot be undone."""
    return change.before is not None and _without_votes(change.before) == _without_votes(change.after)


def _comparable_value(value: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the value without votes, step id and "kept" decisions.

    It compares equal to the value before a later change, once that later change was undone.
    """
    comparable = _without_votes(value) or {}
    comparable.pop("step", None)
    decisions = comparable.get("decisions", ())
    comparable["decisions"] = [decision for decision in decisions if decision["verdict"] != PINNED_VERDICT]
    return comparable


def _without_votes(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else {name: part for name, part in value.items() if name != "votes"}


def _ref_of(change: Change) -> ItemRef:
    return change.namespace, change.key


def _step_id(change: Change) -> str | None:
    return (change.after or {}).get("step")


def _is_from_thread(change: Change, caller: Caller) -> bool:
    """Return True if a changed learning rests on a turn of the caller in the caller's thread."""
    own = (source for source in (change.after or {}).get("sources", ()) if source.get("user") == caller.user)
    return any(caller.thread in (source.get("thread"), *source.get("threads", ())) for source in own)
