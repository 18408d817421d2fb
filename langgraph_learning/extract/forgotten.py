"""What a user forgot: edits that forget a part of what is known, and edits that would learn it again."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from langchain_core.messages import AnyMessage, HumanMessage

from langgraph_learning.core.learning import Learning, Status
from langgraph_learning.core.quotation import find_claims, split_message
from langgraph_learning.core.records import Edit
from langgraph_learning.core.scopes import Scope
from langgraph_learning.core.similarity.fingerprints import are_same, fingerprint_statement, is_recognized
from langgraph_learning.core.similarity.rules import are_equivalent
from langgraph_learning.core.similarity.support import asks_to_forget, carries
from langgraph_learning.core.text import normalize
from langgraph_learning.core.transcript import Line, message_text
from langgraph_learning.stores.base import Turn
from langgraph_learning.update.marks import Forgotten


def forget_and_replace(edit: Edit, lines: Sequence[Line]) -> list[Edit]:
    """Return an edit, or two if the user asked to forget a part of what it replaces: a forget, and what may stay."""
    said = "\n".join(message_text(line.message) for line in lines if line.id in edit.source.messages)
    if edit.record is None or edit.replaces is None or not asks_to_forget(said):
        return [edit]
    forgets = replace(edit, record=None, key=f"{edit.key}-forgets", rests_on=(), audience=None, kept_private="")
    return [forgets, replace(edit, replaces=None)]


def drop_forgotten(
    edits: Sequence[Edit], lines: Sequence[Line], closed: Sequence[Learning], forgotten: Forgotten, turn: Turn
) -> list[Edit]:
    """Leave out edits that would learn again what the user forgot, in whatever spelling.

    An edit stays if the user says it anew in their own words, unless the same answer forgets it. What they said before
    they had it forgotten is not said anew, although it is read later.
    """
    forgotten_now = [edit.replaces.text for edit in edits if edit.record is None and edit.replaces]
    ended_before = [learning.text for learning in closed if learning.status is Status.REJECTED]
    own = {line.id: line.message for line in lines if line.channel == "user"}

    def is_wanted(edit: Edit) -> bool:
        if edit.record is None:
            return True
        learning = edit.learning()
        if any(_repeats(learning, text) for text in forgotten_now):
            return False
        message = own.get(edit.source.messages[0])
        if message is not None and _says_anew(turn, message, learning, forgotten):
            return True
        has_ended = any(_says_again(learning.text, text) for text in ended_before)
        return not has_ended and not forgotten.holds_learning(learning)

    return [_without_cues(edit, forgotten, forgotten_now) for edit in edits if is_wanted(edit)]


def without_forgotten(
    thread: str | None,
    messages: Sequence[AnyMessage],
    forgotten: Forgotten,
    time_of: Callable[[AnyMessage], datetime],
) -> list[AnyMessage]:
    """Leave out the messages that held what was forgotten, those that asked to forget it, and the agent's echo.

    time_of: says when a message was said. What the user says after they had it forgotten stays.
    """
    kept: list[AnyMessage] = []
    if not forgotten.marks:
        return list(messages)
    answers_forgotten = False
    for message in messages:
        if isinstance(message, HumanMessage):
            said_before = forgotten.since(time_of(message)).holds(message_text(message))
            is_forgotten = answers_forgotten = said_before or forgotten.has_message((thread, message.id or ""))
        else:
            is_forgotten = answers_forgotten or forgotten.holds(message_text(message))
        if not is_forgotten:
            kept.append(message)
    return kept


def _says_anew(turn: Turn, message: AnyMessage, learning: Learning, forgotten: Forgotten) -> bool:
    """Return True if a message says what a learning says, after it was forgotten and not to have it forgotten."""
    said = find_claims(split_message(message_text(message)).own)
    said_before = forgotten.since(turn.time_of(message)).holds_learning(learning)
    return not said_before and carries(said, learning.text, turn.today) and not asks_to_forget(said)


def _without_cues(edit: Edit, forgotten: Forgotten, forgotten_now: Sequence[str]) -> Edit:
    """Return an edit without the cues that say what was forgotten, now or before."""
    now = {found for text in forgotten_now for found in fingerprint_statement(text, ())}
    cues = (cue for cue in edit.cues if not forgotten.holds(cue) and not is_recognized(cue, now, ()))
    return replace(edit, cues=tuple(cues))


def _repeats(learning: Learning, forgotten: str) -> bool:
    """Return True if a learning says what the same answer forgets; a session must not even mention it."""
    if learning.scope == Scope.THREAD and is_recognized(learning.text, fingerprint_statement(forgotten, ()), ()):
        return True
    return _says_again(learning.text, forgotten) or are_same(learning.text, forgotten)


def _says_again(text: str, ended: str) -> bool:
    """Return True if a text says what has ended, in the same words or in nearly the same."""
    return normalize(text) == normalize(ended) or are_equivalent(text, ended)
