"""When one user's words become everybody's: at once, after enough others said the same, or when a person approves."""

import re
from collections.abc import Iterable
from unicodedata import normalize

from langgraph_learning.core.keys import candidate_key, mark_of, values_in
from langgraph_learning.core.learning import Decision, Learning, Source, Status
from langgraph_learning.core.policy import CUT
from langgraph_learning.core.scopes import Caller, Namespace
from langgraph_learning.core.text import mostly_own
from langgraph_learning.update.proposals import decided

SEVERAL = "several people"
"""Stands for the user in what was promoted: the statement travels, not who said it."""
POLICY = "sharing"
"""Stands for the reviewer where the policy decided."""


def counted(
    own: Learning, waiting: Learning | None, place: Namespace, caller: Caller, names: Iterable[str], users: int
) -> Learning | None:
    """Return a candidate as it is once this user's own learning is counted; None if that changes nothing."""
    key = candidate_key(own, place)
    mark = mark_of(caller, key)
    if own.status is not Status.ACTIVE:
        return _without(waiting, mark)
    if not said_in_own_words(own, caller) or named(own, (caller.user, *names)):
        return None
    if waiting is None or waiting.status is Status.SUPERSEDED:
        return _candidate(own, place, key, mark)
    if waiting.status is not Status.PROPOSED or waiting.decisions or mark in waiting.supporters:
        return None
    supporters = (*waiting.supporters, mark)
    if len(supporters) < users:
        return waiting.model_copy(update={"supporters": supporters})
    why = f"{len(supporters)} different users said it"
    promotion = Decision(by=POLICY, at=own.learned_at, verdict="promoted", why=why)
    return decided(waiting, Status.ACTIVE, promotion)


def said_in_own_words(learning: Learning, caller: Caller) -> bool:
    """Whether a statement rests on what this user said, not on what they quoted or what a tool or the agent said."""
    said_by = learning.sources[-1] if learning.sources else None
    if said_by is None or (said_by.channel, said_by.user) != ("user", caller.user) or learning.quote is None:
        return False
    if learning.quote.endswith(CUT):  # nobody types that much: it is a document, whoever sent it
        return False
    return mostly_own(learning.text, learning.quote)


def named(learning: Learning, names: Iterable[str]) -> bool:
    """Whether a statement holds one of these names or ids, or a part of one."""
    said = normalize("NFKC", " ".join((learning.text, *values_in(learning.data)))).casefold()
    whole = [normalize("NFKC", name).casefold().strip() for name in names]
    parts = {part for name in whole for part in re.findall(r"[^\W\d_]{3,}", name.partition("@")[0])} - {"user"}
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", said) for name in (*whole, *parts) if name)


def _candidate(own: Learning, place: Namespace, key: str, mark: str) -> Learning:
    """Return a statement as it waits for others to say it too: of who said it, only a mark goes along."""
    return Learning(
        namespace=place,
        key=key,
        kind=own.kind,
        text=own.text,
        data=own.data,
        status=Status.PROPOSED,
        sources=(Source(channel="user", user=SEVERAL),),
        learned_at=own.learned_at,
        supporters=(mark,),
    )


def _without(waiting: Learning | None, mark: str) -> Learning | None:
    """Return a candidate without somebody who no longer says so; what was promoted stays."""
    if waiting is None or waiting.status is not Status.PROPOSED or mark not in waiting.supporters:
        return None
    left = tuple(other for other in waiting.supporters if other != mark)
    return waiting.model_copy(update={"supporters": left, "status": Status.PROPOSED if left else Status.SUPERSEDED})
