"""What is known before a conversation is read: learnings that it may update, and those that it must not repeat."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from langgraph.store.base import SearchOp

from langgraph_learning.core.flow import Flow, as_flow, gather, search
from langgraph_learning.core.learning import Learning, Status, read_learnings
from langgraph_learning.core.policy import Mode
from langgraph_learning.core.scopes import ROOT, Caller, Namespace, Scope
from langgraph_learning.core.similarity.forms import match_words, statement_words
from langgraph_learning.core.text import tokenize
from langgraph_learning.core.transcript import Line, last_exchange, last_question
from langgraph_learning.stores.base import LearningStore, Request, Turn
from langgraph_learning.update.marks import Forgotten, read_forgotten
from langgraph_learning.update.opt_out import read_opt_outs
from langgraph_learning.update.promotion import read_candidates

MAX_CLOSED = 200
"""How many statements that must not be learnt again are read from one namespace."""
MAX_CANDIDATES_SHOWN = 20
"""How many statements of others that wait for more voices are shown."""


class Background(NamedTuple):
    """Context that the extraction needs beside the conversation."""

    known: list[Learning]
    """Learnings near to the conversation that an edit may update."""
    closed: list[Learning]
    """Learnings that must not be learnt again: ended, undone, rejected, or proposed already."""
    opted_out: set[str]
    """Names of the learning stores that learn nothing from this user."""
    candidates: list[Learning]
    """Statements of others that wait for more users to say the same."""
    forgotten: Forgotten
    """What was forgotten, by its marks."""


def read_background(
    stores: Sequence[LearningStore], turn: Turn, all_stores: Sequence[LearningStore]
) -> Flow[Background]:
    """Read the context that the extraction of a turn needs, in one batch.

    all_stores: those for which nothing is extracted as well: what was forgotten there stays forgotten here.
    """
    closed, opted_out, forgotten, candidates, *recalled = yield from gather(
        [
            read_closed(stores, turn.caller),
            read_opt_outs(turn.caller),
            read_forgotten(all_stores, turn.caller),
            read_candidates(_candidate_namespaces(stores, turn.caller)),
            *_recall(stores, turn),
        ]
    )
    known: list[Learning] = []
    for learnings in recalled:
        # A store may recall from elsewhere, too; only active learnings of ours can be edited.
        known += [found for found in learnings if found.namespace[0] == ROOT and found.status is Status.ACTIVE]
    return Background(known, closed, opted_out, candidates, forgotten)


def read_closed(stores: Sequence[LearningStore], caller: Caller) -> Flow[list[Learning]]:
    """Return the learnings that must not be learnt again: ended, undone, rejected, or proposed already."""
    searches = []
    for store in stores:
        if not store.model_kinds or store.scope == Scope.THREAD:
            continue
        statuses = [Status.REJECTED, *([Status.PROPOSED] if store.mode is Mode.PROPOSE else [])]
        for scope in {*store.scopes, Scope.USER}:
            if not caller.owners_of(scope):
                continue
            namespace = caller.namespace(scope, store.name)
            searches += [SearchOp(namespace, {"status": status.value}, limit=MAX_CLOSED) for status in statuses]
    items = yield from search(*searches)
    return read_learnings(items, [operation.namespace_prefix for operation in searches])


def nearest_candidates(candidates: Sequence[Learning], lines: Sequence[Line]) -> list[Learning]:
    """Return the candidates that share most words with a conversation, and the newest of the others."""
    said = tokenize("\n".join(line.text for line in lines))

    def shared(candidate: Learning) -> int:
        return len(match_words(statement_words(candidate.text), said))

    return sorted(candidates, key=shared, reverse=True)[:MAX_CANDIDATES_SHOWN]


def _recall(stores: Sequence[LearningStore], turn: Turn) -> list[Flow[Any]]:
    """Return flows that recall what each store knows near to the conversation."""
    request = Request(
        turn.caller,
        last_question(turn.messages),
        turn.said_at,
        tuple(message.id or "" for message in turn.messages),
        turn.session,
        for_extraction=True,
        exchange=last_exchange(turn.messages),
    )
    return [as_flow(store.recall(request)) for store in stores]


def _candidate_namespaces(stores: Sequence[LearningStore], caller: Caller) -> list[Namespace]:
    """Return the namespaces in which statements wait for more users to say them."""
    return [
        caller.namespace(scope, store.name)
        for store in stores
        if (store.sharing.users or 0) > 1
        for scope in store.scopes
        if not scope.private and caller.owners_of(scope)
    ]
