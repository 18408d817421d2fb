"""Erasure: what goes with a learning that is forgotten, and the operations that leave none of its words."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from langgraph.store.base import PutOp

from langgraph_learning.core.flow import Flow, gather, search_all
from langgraph_learning.core.learning import Learning, Status, messages_of
from langgraph_learning.core.permissions import without_permissions
from langgraph_learning.core.records import link_snapshot_fields
from langgraph_learning.core.repository import all_in, get_many
from langgraph_learning.core.scopes import Caller, Namespace, Scope
from langgraph_learning.core.similarity.fingerprints import fingerprint_statement, is_recognized
from langgraph_learning.core.similarity.support import MOSTLY, asks_to_end, asks_to_forget, mentions
from langgraph_learning.core.text import text_values
from langgraph_learning.stores.base import LearningStore, find_dependents, find_words, readable_namespaces
from langgraph_learning.update.marks import mark_forgotten, note_forgetting
from langgraph_learning.update.promotion import withdraw_support, write_candidate
from langgraph_learning.update.votes import votes_namespace


class Erasure(NamedTuple):
    """The learnings to delete, and the operations that do it, to be written with `erase`."""

    deleted: tuple[Learning, ...] = ()
    ops: tuple[PutOp, ...] = ()


def asks_for_erasure(retired: Learning) -> bool:
    """Return True if a learning that is retired is to leave no words, because the user asked to forget it.

    In doubt, what is private to the user is erased. What has ended stays as history, and so does what is shared and
    nobody asked to forget.

    retired: its quote is the message that retires it.
    """
    said = without_permissions(retired.quote or "")
    return asks_to_forget(said) or (retired.scope.private and not asks_to_end(said, retired.text))


def erase_statements(
    stores: Sequence[LearningStore],
    caller: Caller,
    forgotten: Sequence[Learning],
    at: datetime,
    stays: Sequence[Learning] = (),
) -> Flow[Erasure]:
    """Return how to erase learnings, with all that holds their words and is the caller's to erase.

    These are earlier versions, what repeats them, the user's messages behind them and the answers to these, sessions,
    proposals, votes, and the support for candidates. Marks are left, by which they stay forgotten.

    at: when the user asked for it.
    stays: learnings that are written at the same time.
    """
    if not forgotten:
        return Erasure()
    learnings = yield from _read_around(stores, caller, forgotten)
    statements = _with_earlier_versions(forgotten, learnings)
    written = {learning.ref for learning in stays}
    deleted = _find_all(stores, caller, statements, [each for each in learnings if each.ref not in written])
    ops = yield from plan_deletion(stores, caller, deleted)
    verbatim = {store.name for store in stores if store.verbatim}
    marked = [one for one in statements if one.store_name not in verbatim and one.scope != Scope.THREAD]
    marks = [mark_forgotten(learning, at, stays) for learning in marked]
    notes = note_forgetting((learning.namespace[:-1] for learning in marked), at)
    return Erasure(tuple(deleted), (*ops, *_drop_quotes(caller, statements, deleted, learnings), *marks, *notes))


def plan_deletion(stores: Sequence[LearningStore], caller: Caller, deleted: Sequence[Learning]) -> Flow[list[PutOp]]:
    """Return the operations that delete learnings, the votes on them, and the user's support for candidates."""
    candidates = yield from withdraw_support(stores, caller, deleted)
    votes = yield from gather(search_all(votes_namespace(learning.ref)) for learning in deleted)
    quoting = yield from _drop_cues(stores, deleted)
    return [
        *(PutOp(*learning.ref, None) for learning in deleted),
        *quoting,
        *(PutOp(item.namespace, item.key, None) for items in votes for item in items),
        *(write_candidate(candidate) for candidate in candidates),
    ]


def _read_around(
    stores: Sequence[LearningStore], caller: Caller, forgotten: Sequence[Learning]
) -> Flow[list[Learning]]:
    """Read where words of forgotten learnings may be: all that is private, their own namespaces, and proposals."""
    readable = readable_namespaces([store for store in stores if store.scope != Scope.THREAD], caller)
    copying = [store for store in stores if any(map(link_snapshot_fields, store.kinds.values()))]
    whole = {
        *(caller.namespace(Scope.USER, namespace[-1]) for namespace in readable),
        *(learning.namespace for learning in forgotten),
        *readable_namespaces(copying, caller),
        *_session_namespaces(stores, caller, forgotten),
    }
    proposed = {"status": Status.PROPOSED.value}
    found = yield from gather(
        [all_in(sorted(whole)), all_in([each for each in readable if each not in whole], proposed)]
    )
    return [learning for learnings in found for learning in learnings]


def _session_namespaces(
    stores: Sequence[LearningStore], caller: Caller, forgotten: Sequence[Learning]
) -> list[Namespace]:
    """Return the namespaces of the sessions of this thread, and of those in which the user said what is forgotten."""
    own = [source for learning in forgotten for source in learning.sources if source.user == caller.user]
    said_in = {thread for source in own for thread in source.all_threads}
    threads = [thread for thread in {caller.thread, *said_in} if thread]
    return [
        replace(caller, thread=thread).namespace(Scope.THREAD, store.name)
        for store in stores
        if store.scope == Scope.THREAD
        for thread in threads
    ]


def _with_earlier_versions(forgotten: Sequence[Learning], learnings: Iterable[Learning]) -> list[Learning]:
    by_ref = {learning.ref: learning for learning in learnings}
    found = list({learning.ref: learning for learning in forgotten}.values())
    for learning in found:  # the list grows while it is read, so that all earlier versions are found
        earlier = [by_ref.get((learning.namespace, key)) for key in learning.supersedes]
        found += [version for version in earlier if version is not None and version not in found]
    return found


def _find_all(
    stores: Sequence[LearningStore], caller: Caller, statements: Sequence[Learning], learnings: Sequence[Learning]
) -> list[Learning]:
    """Return statements with everything among these learnings that is to go with them."""
    kept_verbatim = {store.name for store in stores if store.verbatim}
    messages = [learning for learning in learnings if learning.store_name in kept_verbatim]
    others = [learning for learning in learnings if learning.store_name not in kept_verbatim]
    said = [learning for learning in statements if learning.store_name not in kept_verbatim]
    found = [
        *statements,
        *find_dependents(stores, statements, learnings),
        *find_words(said, messages, caller.user),
        *_find_repeats([learning for learning in others if belongs_to_user(learning, caller)], said),
    ]
    return list({learning.ref: learning for learning in found}.values())


def _find_repeats(learnings: Iterable[Learning], statements: Sequence[Learning]) -> Iterator[Learning]:
    """Yield the learnings that say what is forgotten.

    What is shown must say just that, or rest on the same message and say it beside other things.
    """
    texts = [statement.text for statement in statements]
    fingerprints = {found for text in texts for found in fingerprint_statement(text, ())}
    behind = messages_of(source for statement in statements for source in statement.sources)
    for learning in learnings:
        is_session = learning.scope == Scope.THREAD
        alone = learning.status is Status.ACTIVE and not is_session and not messages_of(learning.sources) & behind
        said = (learning.text, *text_values(learning.data))
        repeats = any(is_recognized(text, fingerprints, (), whole=alone) for text in said)
        if repeats or (is_session and any(mentions(learning.text, text, MOSTLY) for text in texts)):
            yield learning


def _drop_quotes(
    caller: Caller, statements: Sequence[Learning], deleted: Sequence[Learning], learnings: Iterable[Learning]
) -> list[PutOp]:
    """Return the operations that take from proposals the user's messages that say what is forgotten."""
    gone = {learning.ref for learning in deleted}
    behind = messages_of(source for statement in statements for source in statement.sources)
    quoting = [
        learning.model_copy(update={"quote": None})
        for learning in learnings
        if learning.quote and learning.ref not in gone and messages_of(learning.sources) & behind
    ]
    return [op for learning in quoting for op in (PutOp(*learning.ref, None), learning.put())]


def _drop_cues(stores: Sequence[LearningStore], deleted: Sequence[Learning]) -> Flow[list[PutOp]]:
    """Return the operations that take from learnings the cues that quote deleted ones, and their earlier values."""
    by_name = {store.name: store for store in stores}
    refs = {
        (learning.namespace, key)
        for learning in deleted
        if learning.store_name in by_name
        for key in by_name[learning.store_name].quoted_in(learning)
    }
    quoting, _ = yield from get_many(sorted(refs - {learning.ref for learning in deleted}))
    rewritten = [learning.model_copy(update={"cues": ()}) for learning in quoting.values()]
    return [op for learning in rewritten for op in (PutOp(*learning.ref, None), learning.put())]


def belongs_to_user(learning: Learning, caller: Caller) -> bool:
    """Return True if a learning is private to the user, or an undecided proposal that rests on their words alone."""
    undecided = learning.status is Status.PROPOSED and not learning.decisions
    from_user_alone = bool(learning.sources) and all(source.user == caller.user for source in learning.sources)
    return learning.scope.private or (undecided and from_user_alone)
