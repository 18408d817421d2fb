"""Trial, a context variable under which recall treats a proposal as approved. Only code can set it, not a run."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from langgraph_learning.core.learning import Learning, Status
from langgraph_learning.stores.base import LearningStore


@dataclass(frozen=True)
class Trial:
    """A proposal to treat as approved, or None to change nothing. Nothing is learnt during a trial."""

    proposal: Learning | None

    def apply(self, store: LearningStore, found: Sequence[Learning]) -> list[Learning]:
        """Return the learnings that a store would recall if the proposal were approved."""
        proposal = self.proposal
        if proposal is None or proposal.store_name != store.name:
            return list(found)
        replaced, subject = {*proposal.base, proposal.retires}, store.subject(proposal)
        others = [learning for learning in found if learning.key not in replaced and store.subject(learning) != subject]
        return others if proposal.retires else [proposal.model_copy(update={"status": Status.ACTIVE}), *others]


_current_trial: ContextVar[Trial | None] = ContextVar("langgraph_learning_trial", default=None)


def current_trial() -> Trial | None:
    """Return the running trial; None if there is none."""
    return _current_trial.get()


@contextmanager
def run_trial(trial: Trial) -> Iterator[None]:
    """Run the block as a trial."""
    token = _current_trial.set(trial)
    try:
        yield
    finally:
        _current_trial.reset(token)
