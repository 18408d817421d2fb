"""Scoring of learnings against expectations, deterministic and without a model.

An *edit* is a new learning, or a known learning that is gone although no expected edit replaced it.

- An edit is *right* if it is of the expected kind (and profile field) and its text contains every expected word. Case
  and spaces make no difference, `|` separates alternatives, and a number is not found inside another number. One edit
  meets one expectation; if it could meet several, the assignment that meets most expectations counts. If the
  expectation names a learning that it `replaces`, that must be gone. An expected `forgets` is right if that learning is
  gone.
- An edit is *fine*, and counts neither way, if the conversation allows it. If anything is expected, the session's
  summary and the entities that the conversation names are allowed too.
- Any other edit is *wrong*, and so is one that contains a forbidden word.

A right edit is *misplaced* if the expectation names its audience and it is in another scope: a person's matter in the
team's, or the team's in one person's. It counts as right all the same, and is reported beside. *In place* is the share
of expected edits with both the right content and the right place.

Then precision = right ÷ (right + wrong), recall = right ÷ expected, and junk is the number of wrong edits in
conversations from which nothing should be learnt. Totals are of sums, so a conversation weighs as much as it has edits.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from evals.conversations import Conversation, Wanted
from evals.lesson import Outcome
from langgraph_learning.core.learning import Learning


@dataclass(frozen=True)
class Score:
    """The score of one conversation, or of several."""

    right: int = 0
    wrong: int = 0
    expected: int = 0
    junk: int = 0
    """Wrong edits from conversations that should teach nothing."""
    dropped: int = 0
    """Invalid edits and failed extractions."""
    misplaced: int = 0
    """Right edits that are in another scope than they belong to."""
    missed: tuple[str, ...] = field(default=())
    strayed: tuple[str, ...] = field(default=())
    """Of each misplaced edit its text, where it is, and where it belongs."""
    mistakes: tuple[str, ...] = field(default=())
    problems: tuple[str, ...] = field(default=())

    @property
    def precision(self) -> float | None:
        """The share of edits that are right; None without edits."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else None

    @property
    def recall(self) -> float | None:
        """The share of expected edits that were made; None if none are expected."""
        return self.right / self.expected if self.expected else None

    @property
    def in_place(self) -> float | None:
        """The share of expected edits that were made where they belong; None if none are expected."""
        return (self.right - self.misplaced) / self.expected if self.expected else None


def score(conversation: Conversation, outcome: Outcome) -> Score:
    """Score an outcome against a conversation's expectations."""
    new, gone = outcome.new, set(outcome.gone)
    clean = [learning for learning in new if not _has_forbidden_word(conversation, learning)]
    possible = [
        [index for index, learning in enumerate(clean) if _meets(wanted, learning, gone)]
        for wanted in conversation.expect
    ]
    met = _match(possible)
    forgot = {number for number, wanted in enumerate(conversation.expect) if wanted.forgets in gone}
    used = {id(clean[index]) for index in met.values()}
    placed = [(conversation.expect[wanted].audience, clean[index]) for wanted, index in met.items()]
    strayed = [(wanted, learning) for wanted, learning in placed if wanted and wanted != learning.scope.name]
    wrong = [
        learning.text
        for learning in new
        if id(learning) not in used and not (learning in clean and _is_allowed(conversation, learning))
    ]
    excused = {wanted.replaces for wanted in conversation.expect} | {wanted.forgets for wanted in conversation.expect}
    wrong += [f"lost: {outcome.before[label].text}" for label in outcome.gone if label not in excused]
    right = met.keys() | forgot
    return Score(
        right=len(right),
        wrong=len(wrong),
        expected=len(conversation.expect),
        junk=0 if conversation.expect else len(wrong),
        dropped=len(outcome.dropped),
        misplaced=len(strayed),
        strayed=tuple(
            f"{learning.text} (in {learning.scope.name}, belongs in {wanted})" for wanted, learning in strayed
        ),
        missed=tuple(str(_describe(w)) for number, w in enumerate(conversation.expect) if number not in right),
        mistakes=tuple(wrong),
        problems=outcome.dropped,
    )


def total(scores: Iterable[Score]) -> Score:
    """Return the sums of the scores."""
    rows = list(scores)
    return Score(
        *(
            sum(getattr(row, name) for row in rows)
            for name in ("right", "wrong", "expected", "junk", "dropped", "misplaced")
        )
    )


def contains(text: str, words: str) -> bool:
    """Return True if a text contains one of the alternatives in `words`; a number must match as a whole."""
    plain = " ".join(text.casefold().split())
    return any(re.search(_pattern(word), plain) for word in words.split("|"))


def _pattern(word: str) -> str:
    escaped = re.escape(" ".join(word.casefold().split()))
    before = r"(?<![0-9a-z])" if word[0].isascii() and word[0].isalnum() else ""
    return before + escaped + (r"(?!\d)" if word[-1].isdigit() else "")


def _meets(wanted: Wanted, learning: Learning, gone: set[str]) -> bool:
    if wanted.forgets or (wanted.replaces and wanted.replaces not in gone):
        return False
    return _fits(wanted, learning)


def _fits(wanted: Wanted, learning: Learning) -> bool:
    right_field = not wanted.field or learning.data.get("field") in (None, *wanted.field.split("|"))
    right_kind = not wanted.kind or learning.kind in wanted.kind.split("|")
    return right_kind and right_field and all(contains(learning.text, word) for word in wanted.words)


def _is_allowed(conversation: Conversation, learning: Learning) -> bool:
    if any(_fits(wanted, learning) for wanted in conversation.fine):
        return True
    if not conversation.expect:
        return False
    if learning.kind == "entity":
        return all(contains(conversation.text, word) for word in re.findall(r"\w+", str(learning.data["entity"])))
    return learning.kind == "session"


def _has_forbidden_word(conversation: Conversation, learning: Learning) -> bool:
    return any(contains(learning.text, word) for word in conversation.forbidden)


def _describe(wanted: Wanted) -> str:
    return f"forget {wanted.forgets}" if wanted.forgets else f"{wanted.kind}: {', '.join(wanted.words)}"


def _match(possible: Sequence[Sequence[int]]) -> dict[int, int]:
    """Assign edits to expectations so that as many as possible are met."""
    taken: dict[int, int] = {}

    def give(wanted: int, tried: set[int]) -> bool:
        for edit in possible[wanted]:
            if edit in tried:
                continue
            tried.add(edit)
            if edit not in taken or give(taken[edit], tried):
                taken[edit] = wanted
                return True
        return False

    for wanted in range(len(possible)):
        give(wanted, set())
    return {wanted: edit for edit, wanted in taken.items()}
