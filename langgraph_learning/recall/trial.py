"""A trial: what the agent would answer if a proposal counted. Code alone can begin one; no run can ask for it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from langgraph_learning.core.learning import Learning, Status
from langgraph_learning.stores.base import LearningStore


@dataclass(frozen=True)
class Trial:
    """What is tried: a proposal, or None for things as they are. Nothing is learnt in a trial."""

    proposal: Learning | None

    def apply(self, store: LearningStore, found: Sequence[Learning]) -> list[Learning]:
        """Return what a store would recall if the proposal counted."""
        wanted = self.proposal
        if wanted is None or wanted.store_name != store.name:
            return list(found)
        gone, about = {*wanted.base, wanted.retires}, store.subject(wanted)
        left = [one for one in found if one.key not in gone and store.subject(one) != about]
        return left if wanted.retires else [wanted.model_copy(update={"status": Status.ACTIVE}), *left]


_current_trial: ContextVar[Trial | None] = ContextVar("langgraph_learning_trial", default=None)


def current_trial() -> Trial | None:
    """Return the trial that is going on here, if one is."""
    return _current_trial.get()


@contextmanager
def run_trial(trial: Trial) -> Iterator[None]:
    """Let this trial go on inside the block."""
    token = _current_trial.set(trial)
    try:
        yield
    finally:
        _current_trial.reset(token)
