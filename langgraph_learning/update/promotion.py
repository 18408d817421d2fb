"""When one user's words become everybody's: at once, after enough others said the same, or when a person approves."""

import re
from collections.abc import Iterable, Mapping, Sequence
from unicodedata import normalize

from langgraph.store.base import SearchOp

from langgraph_learning.core.flow import Flow, search
from langgraph_learning.core.keys import candidate_key, user_hash
from langgraph_learning.core.learning import Learning, ReviewDecision, Source, Status, read_learnings
from langgraph_learning.core.policy import CUT
from langgraph_learning.core.repository import get_many
from langgraph_learning.core.scopes import Caller, ItemRef, Namespace, Scope
from langgraph_learning.core.text import is_mostly_own, text_values
from langgraph_learning.stores.base import LearningStore
from langgraph_learning.update.proposals import with_decision

SEVERAL_PEOPLE = "several people"
"""Stands for the user in what was promoted: the statement travels, not who said it."""
SHARING_POLICY = "sharing"
"""Stands for the reviewer where the policy decided."""


def add_supporter(
    own: Learning, waiting: Learning | None, place: Namespace, caller: Caller, names: Iterable[str], users: int
) -> Learning | None:
    """Return a candidate as it is once this user's own learning is counted; None if that changes nothing."""
    key = candidate_key(place, own.kind, own.data)
    mark = user_hash(caller, key)
    if own.status is not Status.ACTIVE:
        return _remove_supporter(waiting, mark)
    if not is_in_own_words(own, caller) or contains_name(own, (caller.user, *names)):
        return None
    if waiting is None or waiting.status is Status.SUPERSEDED:
        return _new_candidate(own, place, key, mark)
    if waiting.status is not Status.PROPOSED or waiting.decisions or mark in waiting.supporters:
        return None
    supporters = (*waiting.supporters, mark)
    if len(supporters) < users:
        return waiting.model_copy(update={"supporters": supporters})
    why = f"{len(supporters)} different users said it"
    promotion = ReviewDecision(by=SHARING_POLICY, at=own.learned_at, verdict="promoted", why=why)
    return with_decision(waiting, Status.ACTIVE, promotion)


def is_in_own_words(learning: Learning, caller: Caller) -> bool:
    """Whether a statement rests on what this user said, not on what they quoted or what a tool or the agent said."""
    said_by = learning.sources[-1] if learning.sources else None
    if said_by is None or (said_by.channel, said_by.user) != ("user", caller.user) or learning.quote is None:
        return False
    if learning.quote.endswith(CUT):  # nobody types that much: it is a document, whoever sent it
        return False
    return is_mostly_own(learning.text, learning.quote)


def contains_name(learning: Learning, names: Iterable[str]) -> bool:
    """Whether a statement holds one of these names or ids, or a part of one."""
    said = normalize("NFKC", " ".join((learning.text, *text_values(learning.data)))).casefold()
    whole = [normalize("NFKC", name).casefold().strip() for name in names]
    parts = {part for name in whole for part in re.findall(r"[^\W\d_]{3,}", name.partition("@")[0])} - {"user"}
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", said) for name in (*whole, *parts) if name)


def _new_candidate(own: Learning, place: Namespace, key: str, mark: str) -> Learning:
    """Return a statement as it waits for others to say it too: of who said it, only a mark goes along."""
    return Learning(
        namespace=place,
        key=key,
        kind=own.kind,
        text=own.text,
        data=own.data,
        status=Status.PROPOSED,
        sources=(Source(channel="user", user=SEVERAL_PEOPLE),),
        learned_at=own.learned_at,
        supporters=(mark,),
    )


def _remove_supporter(waiting: Learning | None, mark: str) -> Learning | None:
    """Return a candidate without somebody who no longer says so; what was promoted stays."""
    if waiting is None or waiting.status is not Status.PROPOSED or mark not in waiting.supporters:
        return None
    left = tuple(other for other in waiting.supporters if other != mark)
    return waiting.model_copy(update={"supporters": left, "status": Status.PROPOSED if left else Status.SUPERSEDED})


def withdraw_support(stores: Sequence[LearningStore], caller: Caller, gone: Sequence[Learning]) -> Flow[list[Learning]]:
    """Return the candidates that a user no longer supports once these learnings of theirs are gone."""
    taken = [one.model_copy(update={"status": Status.REJECTED}) for one in gone if one.scope.private]
    candidates, _ = yield from count_supporters({store.name: store for store in stores}, caller, taken)
    return candidates


def count_supporters(
    by_name: Mapping[str, LearningStore], caller: Caller, let: Sequence[Learning]
) -> Flow[tuple[list[Learning], dict[ItemRef, int]]]:
    """Return the candidates that change by what this user said, and the versions that were read."""
    count = [(one, by_name[one.store_name]) for one in let if (by_name[one.store_name].sharing.users or 0) > 1]
    shared = [(one, store.sharing.users or 0, caller.namespace(store.scope, store.name)) for one, store in count]
    waiting, versions = yield from get_many(
        (place, candidate_key(place, one.kind, one.data)) for one, _, place in shared
    )
    names = (yield from _user_names(by_name.values(), caller, let)) if shared else []
    changed: dict[ItemRef, Learning] = {}
    for one, users, place in shared:
        at = place, candidate_key(place, one.kind, one.data)
        candidate = add_supporter(one, changed.get(at, waiting.get(at)), place, caller, names, users)
        changed |= {at: candidate} if candidate else {}
    return list(changed.values()), versions


def _user_names(stores: Iterable[LearningStore], caller: Caller, let: Sequence[Learning]) -> Flow[list[str]]:
    """Return the names that the user goes by, as far as the learning stores know them."""
    own = [caller.namespace(Scope.USER, store.name) for store in stores]
    found = yield from search(*(SearchOp(place, {"status": Status.ACTIVE.value}, limit=100) for place in own))
    return [name for store in stores for name in store.user_names([*read_learnings(found, own), *let])]
