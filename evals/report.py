"""Report of an evaluation, as a table and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evals.answers import Answered
from evals.conversations import Conversation
from evals.scoring import Score, total

Scored = Sequence[tuple[Conversation, Score]]


def table(scored: Scored, answered: Sequence[Answered], detail: bool = True) -> str:
    """Return the figures as a text table, totals last."""
    width = max((len(conversation.name) for conversation, _ in scored), default=20)
    rows = [f"{'conversation':<{width}}  right  wrong  expected  precision  recall  junk  dropped  misplaced  in place"]
    for conversation, score in scored:
        rows.append(_row(conversation.name, score, width))
        if detail:
            rows += [f"    missed  {missed}" for missed in score.missed]
            rows += [f"    astray  {strayed}" for strayed in score.strayed]
            rows += [f"    wrong   {mistake}" for mistake in score.mistakes]
            rows += [f"    dropped {problem[:160]}" for problem in score.problems]
    rows.append("")
    rows += [_row(name, found, width) for name, found in totals(scored).items()]
    for found in answered:
        if found.telltale or found.used is False:
            said = f"announces its memory: {found.telltale!r}" if found.telltale else "does not use what is known"
            rows.append(f"    {found.question.name}: {said} in {found.text[:160]!r}")
    if answered:
        rows.append(_answers_row(answered))
    return "\n".join(rows)


def totals(scored: Scored) -> dict[str, Score]:
    """Return the sums by what the conversations are about, of those tuned on and those held out, and of all."""
    parts: dict[str, list[Score]] = {}
    for conversation, score in scored:
        parts.setdefault(f"about: {conversation.about}" if conversation.about else "", []).append(score)
    parts.pop("", None)
    parts |= {
        "tuned on": [score for conversation, score in scored if not conversation.held_out],
        "held out": [score for conversation, score in scored if conversation.held_out],
    }
    return {**{name: total(scores) for name, scores in parts.items() if scores}, "all": total(s for _, s in scored)}


def as_json(scored: Scored, answered: Sequence[Answered]) -> dict[str, Any]:
    """Return the figures as JSON."""
    return {
        "totals": {name: _score_as_json(score) for name, score in totals(scored).items()},
        "conversations": {conversation.name: _score_as_json(score) for conversation, score in scored},
        "answers": [
            {"question": a.question.name, "telltale": a.telltale, "used": a.used, "text": a.text} for a in answered
        ],
    }


def _score_as_json(score: Score) -> Mapping[str, Any]:
    return {**asdict(score), "precision": score.precision, "recall": score.recall, "in_place": score.in_place}


def _row(name: str, score: Score, width: int) -> str:
    counts = f"{score.right:>5}  {score.wrong:>5}  {score.expected:>8}"
    shares = f"{_share(score.precision):>9}  {_share(score.recall):>6}"
    places = f"{score.misplaced:>9}  {_share(score.in_place):>8}"
    return f"{name:<{width}}  {counts}  {shares}  {score.junk:>4}  {score.dropped:>7}  {places}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.2f}"


def _answers_row(answered: Sequence[Answered]) -> str:
    announced = sum(bool(found.telltale) for found in answered)
    usable = [found for found in answered if found.used is not None]
    used = sum(bool(found.used) for found in usable)
    return f"answers: {announced} of {len(answered)} announce their memory, {used} of {len(usable)} use what is known"
