"""Report of a curation run: its actions, counts and similar pairs left, as data and as printed text."""

from collections import Counter
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from langgraph_learning.core.scopes import Namespace, unescape
from langgraph_learning.core.text import count_noun
from langgraph_learning.curate.snapshot import ActionType, PlannedAction

PRINTED_LINES = 20
"""Number of actions, and of similar pairs, that the printed report lists at most."""


class Action(BaseModel):
    """One action of curation, written and undone as a whole."""

    model_config = ConfigDict(frozen=True)

    what: ActionType
    why: str
    namespace: Namespace
    kind: str
    keys: tuple[str, ...]
    """Keys of the learnings it changed, the one that stays first. `machine.undo` with any of them undoes all of it."""
    texts: tuple[str, ...]
    late: bool = False
    """True if it was not done because a learning had changed meanwhile. The next run considers it again."""

    @property
    def count(self) -> int:
        """Number of learnings that were merged, superseded and so on, without the one that stays."""
        return len(self.keys) - (self.what in ("merged", "superseded"))


class LookAlike(BaseModel):
    """Two learnings with many words in common that were left as they are."""

    model_config = ConfigDict(frozen=True)

    namespace: Namespace
    kind: str
    keys: tuple[str, str]
    texts: tuple[str, str]
    likeness: float
    """The share of their words that they have in common, from 0 to 1."""
    differ_in: str | None
    """Why they cannot say the same: "number", "name", "negation" or "direction". None if no rule tells them apart."""


class Report(BaseModel):
    """The outcome of one curation run or, for a dry run, its expected outcome."""

    model_config = ConfigDict(frozen=True)

    dry_run: bool
    learnings: int
    """Number of learnings that were read."""
    namespaces: int
    """Number of namespaces that were read."""
    actions: tuple[Action, ...] = ()
    look_alikes: tuple[LookAlike, ...] = ()
    """The most similar pairs that were left."""
    model_calls: int = 0
    unread: int = 0
    """Number of model answers that could not be read. The next run asks about their pairs again."""
    seconds: float = 0.0

    @property
    def done(self) -> tuple[Action, ...]:
        """The actions that were done or, for a dry run, would be done."""
        return tuple(action for action in self.actions if not action.late)

    @property
    def late(self) -> tuple[Action, ...]:
        """The actions that were left to the next run because a learning had changed meanwhile."""
        return tuple(action for action in self.actions if action.late)

    def counts(self) -> Mapping[tuple[Namespace, str], Mapping[str, int]]:
        """Return how many learnings were merged, archived and so on, by namespace and kind."""
        counts: dict[tuple[Namespace, str], Counter[str]] = {}
        for action in self.actions:
            counter = counts.setdefault((action.namespace, action.kind), Counter())
            counter["late" if action.late else action.what] += action.count
        return counts

    @property
    def size(self) -> str:
        """What was read, as text."""
        return f"{count_noun(self.learnings, 'learning')} in {count_noun(self.namespaces, 'namespace')}"

    def __str__(self) -> str:
        """Return the report for people: counts, then actions, then similar pairs."""
        unread = f", {self.unread} of them without a readable answer" if self.unread else ""
        cost = f"{self.seconds:.1f} s, {count_noun(self.model_calls, 'model call')}{unread}"
        lines = [f"{self.size}, {cost}"]
        if self.actions:
            would_be = "would be " if self.dry_run else ""
            for (namespace, kind), counter in self.counts().items():
                sums = ", ".join(f"{count} {would_be}{what}" for what, count in counter.items())
                lines.append(f"{describe_namespace(namespace, kind)}: {sums}")
        else:
            lines.append("Nothing to do.")
        lines += _shorten(
            [f"  {action.what}: {(action.texts or (action.why,))[0]} ({action.why})" for action in self.done]
        )
        if self.look_alikes:
            pairs = [f"  {first} | {second}" for first, second in (pair.texts for pair in self.look_alikes)]
            lines += _shorten(["Similar, but left unchanged:", *pairs])
        return "\n".join(lines)


def describe_namespace(namespace: Namespace, kind: str) -> str:
    """Return a namespace and a kind of learning for people, such as "team acme, fact"."""
    scope, owner = map(unescape, namespace[2:4])
    return f"{scope} {owner}, {kind}"


def report_action(action: PlannedAction, namespace: Namespace, late: bool = False) -> Action:
    """Return a planned action as it is reported."""
    learnings = (*action.learnings, *action.deleted)
    return Action(
        what=action.what,
        why=action.why,
        namespace=namespace,
        kind=learnings[0].kind if learnings else "votes",
        keys=tuple(learning.key for learning in learnings) or action.orphans,
        texts=tuple(learning.text for learning in learnings),
        late=late,
    )


def _shorten(lines: list[str]) -> list[str]:
    omitted = len(lines) - PRINTED_LINES
    return [*lines[:PRINTED_LINES], f"  … and {omitted} more"] if omitted > 0 else lines
