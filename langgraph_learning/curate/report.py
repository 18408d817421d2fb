"""What curation did, or would do: for people to read and for programs to count."""

from collections import Counter
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

from langgraph_learning.core.scopes import Namespace, unescape
from langgraph_learning.curate.snapshot import Group, What

SHOWN = 20
"""How many actions and look-alikes a printed report names."""


class Action(BaseModel):
    """One thing that was done, in one step."""

    model_config = ConfigDict(frozen=True)

    what: What
    why: str
    namespace: Namespace
    kind: str
    keys: tuple[str, ...]
    """Of the learnings that it changed, the one that stays first; any of them takes it back by `machine.undo`."""
    texts: tuple[str, ...]
    late: bool = False
    """True: not done, for something of it had changed meanwhile. The next run sees to it."""

    @property
    def count(self) -> int:
        """How many learnings it did this to."""
        return len(self.keys) - (self.what in ("merged", "superseded"))


class LookAlike(BaseModel):
    """Two learnings that are much alike in their words, and were left as they are."""

    model_config = ConfigDict(frozen=True)

    namespace: Namespace
    kind: str
    keys: tuple[str, str]
    texts: tuple[str, str]
    likeness: float
    """The share of their words that they have in common."""
    differ_in: str | None
    """In what they surely differ: number, name, negation or direction. None: not told by words alone."""


class Report(BaseModel):
    """What one run of curation did or, where it was a dry run, would do."""

    model_config = ConfigDict(frozen=True)

    dry_run: bool
    learnings: int
    """How many were read."""
    namespaces: int
    actions: tuple[Action, ...] = ()
    look_alikes: tuple[LookAlike, ...] = ()
    """The most alike pairs that were left."""
    model_calls: int = 0
    unread: int = 0
    """How many of the model's answers could not be read; what they were about is left to the next run."""
    seconds: float = 0.0

    @property
    def done(self) -> tuple[Action, ...]:
        """All that was done; of a dry run, all that would be."""
        return tuple(action for action in self.actions if not action.late)

    @property
    def late(self) -> tuple[Action, ...]:
        """What was left to the next run, for something of it had changed meanwhile."""
        return tuple(action for action in self.actions if action.late)

    def counts(self) -> Mapping[tuple[Namespace, str], Mapping[str, int]]:
        """Return how many learnings were merged, archived and so on, by namespace and kind."""
        found: dict[tuple[Namespace, str], Counter[str]] = {}
        for action in self.actions:
            counter = found.setdefault((action.namespace, action.kind), Counter())
            counter["late" if action.late else action.what] += action.count
        return found

    def __str__(self) -> str:
        """Return it for people: sums, then what was done, then what looks alike."""
        would = "would be " if self.dry_run else ""
        lost = f", {self.unread} of them without a readable answer" if self.unread else ""
        cost = f"{self.seconds:.1f} s, {self.model_calls} model calls{lost}"
        head = f"{self.learnings} learnings in {self.namespaces} places, {cost}"
        sums = [f"{place_of(*place)}: {_told(counter, would)}" for place, counter in self.counts().items()]
        done = [f"  {one.what}: {one.texts[0] if one.texts else one.why} ({one.why})" for one in self.done]
        alike = [f"  {a} | {b}" for a, b in (one.texts for one in self.look_alikes)]
        parts = [
            [head],
            sums or ["Nothing to tidy."],
            _some(done),
            _some(["Left, though alike:", *alike] if alike else []),
        ]
        return "\n".join(line for part in parts for line in part)


def place_of(namespace: Namespace, kind: str) -> str:
    """Return a place for people, such as "team acme: fact"."""
    scope, owner = map(unescape, namespace[2:4])
    return f"{scope} {owner}, {kind}"


def action_of(group: Group, namespace: Namespace, late: bool = False) -> Action:
    """Return a group as it is reported."""
    told = (*group.learnings, *group.erased)
    return Action(
        what=group.what,
        why=group.why,
        namespace=namespace,
        kind=told[0].kind if told else "votes",
        keys=tuple(one.key for one in told) or group.orphans,
        texts=tuple(one.text for one in told),
        late=late,
    )


def _told(counter: Mapping[str, int], would: str) -> str:
    return ", ".join(f"{number} {would}{what}" for what, number in counter.items())


def _some(lines: list[str]) -> list[str]:
    left = len(lines) - SHOWN
    return [*lines[:SHOWN], *([f"  … and {left} more"] if left > 0 else [])]
