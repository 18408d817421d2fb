"""Promotion of a private learning to the shared scope, once enough different users have said the same.

A statement that users made independently waits as a candidate in the shared scope. A candidate holds the statement and
a hash per supporter: neither the users' ids nor their words.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from unicodedata import normalize

from langgraph.store.base import PutOp, SearchOp
from pydantic import ValidationError

from langgraph_learning.core.flow import Flow, search
from langgraph_learning.core.keys import candidate_key, user_hash
from langgraph_learning.core.learning import SEVERAL_PEOPLE, Learning, ReviewDecision, Source, Status, read_learnings
from langgraph_learning.core.policy import CUT
from langgraph_learning.core.quotation import find_claims, split_message
from langgraph_learning.core.records import statement_text
from langgraph_learning.core.repository import get_many
from langgraph_learning.core.scopes import Caller, ItemRef, Namespace, Scope
from langgraph_learning.core.similarity.agreement import agrees
from langgraph_learning.core.similarity.rules import are_equivalent
from langgraph_learning.core.text import text_values
from langgraph_learning.stores.base import LearningStore
from langgraph_learning.update.proposals import end_learning, with_decision

MAX_CANDIDATES = 300
"""Statements that wait in one namespace and are compared with at most."""
SHARING_POLICY = "sharing"
"""Replaces the reviewer in the decision to promote a candidate."""


def count_supporters(
    by_name: Mapping[str, LearningStore], caller: Caller, learnings: Sequence[Learning]
) -> Flow[tuple[list[Learning], dict[ItemRef, int]]]:
    """Return the candidates that change with these learnings of a user, and the versions of all that were read.

    An active learning supports its candidate, and promotes it if enough users do; a rejected one withdraws its support.
    What a promoted candidate corrects ends with its promotion.
    """
    supports: list[tuple[Learning, ItemRef, int]] = []
    for learning in learnings:
        store = by_name[learning.store_name]
        users = store.sharing.users or 0
        scope = intended_scope(store, learning)
        if users > 1 and not scope.private:
            namespace = caller.namespace(scope, store.name)
            waiting = yield from read_candidates([namespace])
            key = candidate_key(namespace, learning.kind, learning.data)
            supports.append((learning, (namespace, _find_same(learning, waiting) or key), users))
    candidates, versions = yield from get_many(ref for _, ref, _ in supports)
    names = (yield from _read_user_names(by_name.values(), caller, learnings)) if supports else []
    changed: dict[ItemRef, Learning] = {}
    for learning, ref, users in supports:
        current = changed.get(ref, candidates.get(ref))
        statement = statement_of(by_name[learning.store_name], learning)
        is_own = is_in_own_words(learning, statement, caller) and not contains_name(learning, (caller.user, *names))
        candidate = update_candidate(learning, current, ref, user_hash(caller, ref[1]), is_own, users)
        if candidate is not None:
            changed[ref] = candidate
    corrected, corrected_versions = yield from _end_corrected(changed.values())
    return [*changed.values(), *corrected], {**versions, **corrected_versions}


def _end_corrected(candidates: Iterable[Learning]) -> Flow[tuple[list[Learning], dict[ItemRef, int]]]:
    """Return as ended what promoted candidates correct, with the versions of the items."""
    promotions = {
        (candidate.namespace, key): candidate.decisions[-1]
        for candidate in candidates
        if candidate.status is Status.ACTIVE
        for key in candidate.supersedes
    }
    stored, versions = yield from get_many(promotions)
    active = [learning for learning in stored.values() if learning.status is Status.ACTIVE]
    return [end_learning(learning, promotions[learning.ref]) for learning in active], versions


def read_candidates(namespaces: Sequence[Namespace]) -> Flow[list[Learning]]:
    """Return the statements that wait for more users in these namespaces, newest first."""
    proposed = {"status": Status.PROPOSED.value}
    items = yield from search(*(SearchOp(namespace, proposed, limit=MAX_CANDIDATES) for namespace in namespaces))
    found = read_learnings(items, namespaces)
    waiting = [learning for learning in found if learning.supporters and not learning.decisions]
    return sorted(waiting, key=lambda learning: learning.learned_at, reverse=True)


def _find_same(learning: Learning, candidates: Iterable[Learning]) -> str | None:
    """Return the key of the candidate that says the same as a learning, as curation compares."""
    same = (one.key for one in candidates if one.kind == learning.kind and are_equivalent(one.text, learning.text))
    return next(same, None)


def intended_scope(store: LearningStore, learning: Learning) -> Scope:
    """Return the scope that a user's own learning is meant for."""
    return Scope(learning.audience) if learning.audience else store.scope


def withdraw_support(
    stores: Sequence[LearningStore], caller: Caller, deleted: Sequence[Learning]
) -> Flow[list[Learning]]:
    """Return the candidates that a user no longer supports once these learnings are deleted."""
    by_name = {store.name: store for store in stores}
    private = [
        learning.model_copy(update={"status": Status.REJECTED}) for learning in deleted if learning.scope.private
    ]
    candidates, _ = yield from count_supporters(by_name, caller, private)
    return candidates


def update_candidate(
    own: Learning, candidate: Learning | None, ref: ItemRef, supporter: str, is_own: bool, users: int
) -> Learning | None:
    """Return a candidate after a user's own learning was counted; None if it stays unchanged.

    candidate: as it is stored under `ref`; None if nobody has made the statement yet.
    supporter: hash of the user.
    is_own: True if the statement is in the user's own words, and names nobody.
    users: number of supporters needed for promotion.
    """
    if own.status is not Status.ACTIVE:
        return _remove_supporter(candidate, supporter)
    if not is_own:
        return None
    if candidate is None or candidate.status is Status.SUPERSEDED:
        return _new_candidate(own, ref, supporter)
    if candidate.status is not Status.PROPOSED or candidate.decisions or supporter in candidate.supporters:
        return None
    supporters = (*candidate.supporters, supporter)
    candidate = candidate.model_copy(update={"supersedes": candidate.supersedes or _corrected_by(own)})
    if len(supporters) < users:
        return candidate.model_copy(update={"supporters": supporters})
    why = f"{len(supporters)} different users said it"
    promotion = ReviewDecision(by=SHARING_POLICY, at=own.learned_at, verdict="promoted", why=why)
    return with_decision(candidate, Status.ACTIVE, promotion)


def is_unsupported(candidate: Learning) -> bool:
    """Return True if nobody supports a candidate any more. It is deleted: a statement of one person is not kept."""
    from_several = any(source.user == SEVERAL_PEOPLE for source in candidate.sources)
    return from_several and candidate.status is Status.SUPERSEDED and not (candidate.supporters or candidate.decisions)


def write_candidate(candidate: Learning) -> PutOp:
    """Return the operation that writes a candidate, or deletes it if nobody supports it any more."""
    return PutOp(*candidate.ref, None) if is_unsupported(candidate) else candidate.put()


def statement_of(store: LearningStore, learning: Learning) -> str:
    """Return what a learning states, without the words that explain it; its text if its record has changed since."""
    try:
        return statement_text(store.record_of(learning)) or learning.text
    except (KeyError, ValidationError):
        return learning.text


def is_in_own_words(learning: Learning, statement: str, caller: Caller) -> bool:
    """Return True if a statement rests on the user's own words, not on a quotation, a tool or the agent."""
    source = learning.sources[-1] if learning.sources else None
    if source is None or (source.channel, source.user) != ("user", caller.user) or learning.quote is None:
        return False
    if learning.quote.endswith(CUT):  # nobody types a message this long: the user pasted a document
        return False
    own_words = find_claims(split_message(learning.quote).own)
    return agrees(own_words, statement, learning.learned_at.date())


def contains_name(learning: Learning, names: Iterable[str]) -> bool:
    """Return True if a statement contains one of these names or ids, or a part of one."""
    statement = _fold_case(" ".join((learning.text, *text_values(learning.data))))
    terms: set[str] = set()
    for name in names:
        folded = _fold_case(name).strip()
        before_at_sign = folded.partition("@")[0]
        # "user" is a part of many ids, such as "user-42", and names nobody.
        terms |= set(re.findall(r"[^\W\d_]{3,}", before_at_sign)) - {"user"}
        terms.add(folded)
    return any(re.search(rf"(?<!\w){re.escape(term)}(?!\w)", statement) for term in terms if term)


def _fold_case(text: str) -> str:
    return normalize("NFKC", text).casefold()


def _new_candidate(own: Learning, ref: ItemRef, supporter: str) -> Learning:
    """Return a candidate with its first supporter."""
    namespace, key = ref
    return Learning(
        namespace=namespace,
        key=key,
        kind=own.kind,
        text=own.text,
        data=own.data,
        status=Status.PROPOSED,
        sources=(Source(channel="user", user=SEVERAL_PEOPLE),),
        learned_at=own.learned_at,
        supporters=(supporter,),
        supersedes=_corrected_by(own),
    )


def _corrected_by(own: Learning) -> tuple[str, ...]:
    return (own.corrects,) if own.corrects else ()


def _remove_supporter(candidate: Learning | None, supporter: str) -> Learning | None:
    """Return a candidate without a supporter; None if the user did not support it, or it was decided already."""
    if candidate is None or candidate.status is not Status.PROPOSED or supporter not in candidate.supporters:
        return None
    remaining = tuple(other for other in candidate.supporters if other != supporter)
    status = Status.PROPOSED if remaining else Status.SUPERSEDED
    return candidate.model_copy(update={"supporters": remaining, "status": status})


def _read_user_names(stores: Iterable[LearningStore], caller: Caller, learnings: Sequence[Learning]) -> Flow[list[str]]:
    """Return the names of the user that the learning stores know."""
    namespaces = [caller.namespace(Scope.USER, store.name) for store in stores]
    active = {"status": Status.ACTIVE.value}
    items = yield from search(*(SearchOp(namespace, active, limit=100) for namespace in namespaces))
    known = [*read_learnings(items, namespaces), *learnings]
    return [name for store in stores for name in store.user_names(known)]
