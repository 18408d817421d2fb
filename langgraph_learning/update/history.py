"""What happened to a learning, and how it is taken back: by the store's own log, whoever wrote it and however."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from langgraph.store.base import GetOp, Item

from langgraph_learning.core.flow import Flow, batch, read_changes
from langgraph_learning.core.learning import CURATOR, Learning, ReviewDecision, Status
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.store_protocol import Change, Expected, version_of
from langgraph_learning.errors import Conflict, NotAllowed, NotFound
from langgraph_learning.stores.base import LearningStore, find_objection, readable_namespaces
from langgraph_learning.update.proposals import rests_on_own_words

PINNED_VERDICT: Literal["kept"] = "kept"
"""The verdict on what curation is to leave alone."""
MAX_CHANGES = 500
"""How many changes of one namespace are looked through for what was written together."""


def read_history(stores: Sequence[LearningStore], caller: Caller, key: str) -> Flow[list[Change]]:
    """Return all that happened to a learning, newest first. Raises `NotFound` if the caller may read nothing of it."""
    found: list[Change] = []
    for place in readable_namespaces(stores, caller):
        found += yield from read_changes(place, key, limit=MAX_CHANGES)
    if not found:
        raise NotFound(f"Nothing that {caller.user} can see has a history under the key {key!r}.")
    return sorted(found, key=lambda change: change.id, reverse=True)


def undo(
    stores: Sequence[LearningStore], caller: Caller, key: str, change: int | None, four_eyes: bool
) -> Flow[tuple[Learning, ...]]:
    """Take back one change of a learning, by default the last, with what it replaced or brought back."""
    happened = yield from read_history(stores, caller, key)
    chosen = next((one for one in happened if change == one.id or (change is None and not _only_votes(one))), None)
    if chosen is None:
        raise NotFound(f"{key!r} has no change {change}: machine.history(context, key) lists them.")
    together = yield from _changes_since(chosen)
    step = [one for one in together if one.key != key and _step_id(one) == _step_id(chosen) and not _only_votes(one)]
    return (yield from _revert(stores, _related_changes(chosen, step), caller, four_eyes))


def undo_turn(stores: Sequence[LearningStore], caller: Caller, four_eyes: bool) -> Flow[tuple[Learning, ...]]:
    """Take back all that the last step that learnt from the caller's thread wrote, in whichever learning store."""
    found: list[Change] = []
    for place in readable_namespaces(stores, caller):
        found += [one for one in (yield from read_changes(place, None, limit=MAX_CHANGES)) if not _only_votes(one)]
    newest_first = sorted(found, key=lambda change: change.id, reverse=True)
    last = next((one for one in newest_first if _step_id(one) and _is_from_thread(one, caller)), None)
    if last is None:
        raise NotFound(f"Nothing that is on record was learnt from the thread {caller.thread!r} with {caller.user}.")
    last_step = [one for one in found if _step_id(one) == _step_id(last)]
    return (yield from _revert(stores, last_step, caller, four_eyes))


def _revert(
    stores: Sequence[LearningStore], taken: Sequence[Change], caller: Caller, four_eyes: bool
) -> Flow[tuple[Learning, ...]]:
    """Write what was before, if nothing of it has changed since but its votes."""
    found = yield from batch(*(GetOp(change.namespace, change.key) for change in taken))
    items = [item if isinstance(item, Item) else None for item in found]
    if any(
        item is None or _comparable_value(item.value) != _comparable_value(change.after)
        for item, change in zip(items, taken, strict=True)
    ):
        raise Conflict("What is to be undone has changed since, or is gone: undo the later change first.")
    step = uuid4().hex
    restored = tuple(_restore_learning(change, step, item, caller) for change, item in zip(taken, items, strict=True))
    if objection := next(filter(None, (find_objection(stores, one) for one in restored)), None):
        raise NotAllowed(objection)
    let_in = [
        one for one, change in zip(restored, taken, strict=True) if _was_inactive(change) and not one.scope.private
    ]
    if four_eyes and any(one.status is Status.ACTIVE and rests_on_own_words(one, caller) for one in let_in):
        raise NotAllowed("This would let your own words count again: somebody else has to undo it.")
    expected = [Expected(one.namespace, one.key, version_of(item)) for one, item in zip(taken, items, strict=True)]
    yield from batch(*(one.put() for one in restored), expected=expected, by=caller.user)
    return restored


def _restore_learning(change: Change, step: str, now: Item | None, caller: Caller) -> Learning:
    """Return a learning as it was; one that was not there before stays on record, and is not learnt again."""
    value = change.before or {**(change.after or {}), "status": Status.REJECTED.value}
    fields: dict[str, Any] = {name: part for name, part in value.items() if name != "version"}
    fields |= {"votes": now.value.get("votes", {})} if now else {}
    before = Learning.model_validate({**fields, "namespace": change.namespace, "key": change.key, "step": step})
    return _pin(before, caller) if change.by == CURATOR and change.before else before


def _pin(learning: Learning, caller: Caller) -> Learning:
    """Return a learning as curation leaves it alone from now on: somebody wants it as it is."""
    kept = ReviewDecision(by=caller.user, at=datetime.now(UTC), verdict=PINNED_VERDICT)
    return learning.model_copy(update={"decisions": (*learning.decisions, kept)})


def _only_votes(change: Change) -> bool:
    """Whether nothing but the sum of its votes has changed: that is nobody's edit, and votes are not undone."""
    return change.before is not None and _without_votes(change.before) == _without_votes(change.after)


def _without_votes(value: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else {name: part for name, part in value.items() if name != "votes"}


def _comparable_value(value: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what was written without its votes and the marks of an undo: where a later change is undone, no more."""
    said = {name: part for name, part in (_without_votes(value) or {}).items() if name not in ("step", "decisions")}
    return {
        **said,
        "decisions": [one for one in (value or {}).get("decisions", ()) if one["verdict"] != PINNED_VERDICT],
    }


def _step_id(change: Change) -> str | None:
    return (change.after or {}).get("step")


def _was_inactive(change: Change) -> bool:
    """Whether it did not count after this change."""
    return (change.after or {}).get("status") != Status.ACTIVE.value


def _changes_since(chosen: Change) -> Flow[list[Change]]:
    """Return the changes of a namespace back to all that were made at the same time as this one."""
    most = MAX_CHANGES
    while True:
        found = yield from read_changes(chosen.namespace, None, limit=most)
        if len(found) < most or found[-1].at < chosen.at:
            return found
        most *= 4


def _related_changes(chosen: Change, step: Sequence[Change]) -> list[Change]:
    """Return a change and all of its step that took the place of one another, or made one another be forgotten."""
    found, left = [chosen], list(step)
    for one in found:  # grows while it is gone through
        near = [other for other in left if other.key in _keys_named(one) or one.key in _keys_named(other)]
        left = [other for other in left if other not in near]
        found += near
    return found


def _keys_named(change: Change) -> set[str]:
    value = change.after or {}
    return {*value.get("supersedes", ()), *value.get("base", {}), *([value["retires"]] if value.get("retires") else [])}


def _is_from_thread(change: Change, caller: Caller) -> bool:
    sources = (change.after or {}).get("sources", ())
    return any((source.get("thread"), source.get("user")) == (caller.thread, caller.user) for source in sources)
