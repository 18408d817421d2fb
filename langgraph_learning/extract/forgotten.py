"""What a user forgot: edits that forget a part of what is known, and edits that would learn it again."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from langgraph_learning.core.learning import Learning, Status
from langgraph_learning.core.quotation import find_claims, split_message
from langgraph_learning.core.records import Edit
from langgraph_learning.core.similarity.rules import are_equivalent
from langgraph_learning.core.similarity.support import asks_to_forget, carries
from langgraph_learning.core.text import normalize
from langgraph_learning.core.transcript import Line, message_text


def forget_and_replace(edit: Edit, lines: Sequence[Line]) -> list[Edit]:
    """Return an edit, or two if the user asked to forget a part of what it replaces: a forget, and what may stay."""
    said = "\n".join(message_text(line.message) for line in lines if line.id in edit.source.messages)
    if edit.record is None or edit.replaces is None or not asks_to_forget(said):
        return [edit]
    forgets = replace(edit, record=None, key=f"{edit.key}-forgets", rests_on=(), audience=None, kept_private="")
    return [forgets, replace(edit, replaces=None)]


def drop_forgotten(edits: Sequence[Edit], lines: Sequence[Line], closed: Sequence[Learning], today: date) -> list[Edit]:
    """Leave out edits that would learn again what the user forgot, in whatever spelling.

    An edit stays if the user says it anew in their own words, unless the same answer forgets it.

    today: the user's day, by which relative dates are read.
    """
    forgotten_now = [edit.replaces.text for edit in edits if edit.record is None and edit.replaces]
    forgotten_before = [learning.text for learning in closed if learning.status is Status.REJECTED]
    own_words = {line.id: split_message(message_text(line.message)).own for line in lines if line.channel == "user"}

    def is_wanted(edit: Edit) -> bool:
        if edit.record is None:
            return True
        text = edit.learning().text
        if any(_says_again(text, forgotten) for forgotten in forgotten_now):
            return False
        said = find_claims(own_words.get(edit.source.messages[0], ""))
        said_anew = carries(said, text, today) and not asks_to_forget(said)
        return said_anew or not any(_says_again(text, forgotten) for forgotten in forgotten_before)

    return [edit for edit in edits if is_wanted(edit)]


def _says_again(text: str, forgotten: str) -> bool:
    """Return True if a text says what was forgotten, in the same words or in nearly the same."""
    return normalize(text) == normalize(forgotten) or are_equivalent(text, forgotten)
