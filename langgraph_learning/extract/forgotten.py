"""What a user forgot: edits that forget a part of what is known, and edits that would learn it again."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime
from itertools import takewhile
from typing import NamedTuple

from langchain_core.messages import AnyMessage, HumanMessage

from langgraph_learning.core.flow import Flow, gather
from langgraph_learning.core.learning import Learning, Source, Status, messages_of
from langgraph_learning.core.permissions import without_permissions
from langgraph_learning.core.quotation import find_claims, split_message
from langgraph_learning.core.records import Edit, Record
from langgraph_learning.core.repository import all_in
from langgraph_learning.core.scopes import Caller, ItemRef, Scope
from langgraph_learning.core.similarity.fingerprints import are_same, fingerprint_statement, is_recognized
from langgraph_learning.core.similarity.forms import statement_words
from langgraph_learning.core.similarity.rules import are_equivalent
from langgraph_learning.core.similarity.support import (
    MOSTLY,
    asks_to_forget,
    carries,
    denies,
    find_forgettings,
    has_numbers_of,
    mentions,
    names_statement,
)
from langgraph_learning.core.text import normalize
from langgraph_learning.core.transcript import Line, message_text
from langgraph_learning.stores.base import ECHO, LearningStore, Turn, readable_namespaces
from langgraph_learning.update.erasure import belongs_to_user
from langgraph_learning.update.marks import Forgotten


def forget_and_replace(edit: Edit, lines: Sequence[Line]) -> list[Edit]:
    """Return an edit, or two if the user asked to forget a part of what it replaces: a forget, and what may stay."""
    cited = (line for line in lines if line.id in edit.source.messages)
    said = "\n".join(without_permissions(message_text(line.message)) for line in cited)
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
        has_ended = any(_says_again(learning.text, text) for text in ended_before)
        if not has_ended and not forgotten.holds_learning(learning):
            return True
        message = own.get(edit.source.messages[0])
        return message is not None and _says_anew(turn, message, learning, forgotten)

    return [_without_cues(edit, forgotten, forgotten_now) for edit in edits if is_wanted(edit)]


def drop_asked(edits: Sequence[Edit], lines: Sequence[Line]) -> list[Edit]:
    """Leave out edits of what the user asks to forget in the same lines or later ones, before it was ever learnt."""
    requests = _find_requests(lines)
    positions = {line.id: number for number, line in enumerate(lines)}

    def is_asked(edit: Edit) -> bool:
        if edit.record is None or (isinstance(edit.record, Record) and edit.record.removes()):
            return False
        position = positions.get(edit.source.messages[0], len(lines))
        return any(
            position <= request.position
            and (names_statement(request.asked, edit.learning().text) or position == request.means)
            for request in requests
        )

    return [edit for edit in edits if not is_asked(edit)]


def lines_to_keep(lines: Sequence[Line]) -> list[Line]:
    """Leave out the lines in which the user asks to forget something, those that say it, and the answers to both."""
    requests = _find_requests(lines)
    kept = []
    is_left_out = False
    for position, line in enumerate(lines):
        says_it = any(
            position < request.position and names_statement(request.asked, message_text(line.message))
            for request in requests
        )
        if line.channel == "user":
            is_left_out = says_it or any(position in (request.position, request.means) for request in requests)
        if not (is_left_out or says_it):
            kept.append(line)
    return kept


def forget_named(stores: Sequence[LearningStore], turn: Turn, lines: Sequence[Line]) -> Flow[list[Learning]]:
    """Return as rejected what a request of the user names, whether or not the model was shown it.

    Code forgets stored messages, what is no longer shown, and the user's own proposals. Of what is shown, it forgets
    only what says just what the request says: the model judges the rest.
    """
    requests = _find_requests(lines)
    if not requests:
        return []
    stored = yield from _read_own(stores, turn.caller)
    verbatim = {store.name for store in stores if store.verbatim}
    forgotten: dict[ItemRef, Learning] = {}
    for request in requests:
        line = lines[request.position]
        named = [one for one in stored if one.store_name not in verbatim and _names(request.asked, one, turn.today)]
        messages = _meant_messages(turn, line, request, [one for one in stored if one.store_name in verbatim])
        forgotten |= {one.ref: _reject(one, turn, line) for one in (*named, *messages)}
    return list(forgotten.values())


def _read_own(stores: Sequence[LearningStore], caller: Caller) -> Flow[list[Learning]]:
    """Read all that is private to the user, without sessions, and their own undecided proposals."""
    kept = [store for store in stores if store.scope != Scope.THREAD]
    private = [caller.namespace(Scope.USER, store.name) for store in kept]
    shared = [namespace for namespace in readable_namespaces(kept, caller) if namespace not in private]
    found = yield from gather([all_in(private), all_in(shared, {"status": Status.PROPOSED.value})])
    return [learning for learnings in found for learning in learnings if belongs_to_user(learning, caller)]


def _names(asked: str, learning: Learning, today: date) -> bool:
    """Return True if a request names a learning; one that is shown must say just what the request says."""
    text = learning.text
    if not statement_words(asked) or denies(asked, text):
        return False
    if learning.status is not Status.ACTIVE:
        return names_statement(asked, text)
    return mentions(text, asked, MOSTLY) and mentions(asked, text, MOSTLY) and has_numbers_of(asked, text, today)


def _meant_messages(turn: Turn, line: Line, request: "_Request", stored: Sequence[Learning]) -> list[Learning]:
    """Return the stored messages that a request names, with the answers that echo it.

    "Forget that" means the user's message before it in the thread.
    """
    if statement_words(request.asked):
        meant = [message for message in stored if names_statement(request.asked, message.text)]
    else:
        earlier = takewhile(lambda message: message is not line.message, turn.messages)
        said = [message.id for message in earlier if isinstance(message, HumanMessage)]
        last = (turn.caller.thread, said[-1] or "") if said else None
        meant = [message for message in stored if last in messages_of(message.sources)]
    answers = {key for message in meant for key in message.data.get("followed_by") or ()}
    return [*meant, *(one for one in stored if one.key in answers and _answers_request(one, request))]


def _answers_request(answer: Learning, request: "_Request") -> bool:
    return not statement_words(request.asked) or mentions(answer.text, request.asked, ECHO)


def _reject(learning: Learning, turn: Turn, line: Line) -> Learning:
    """Return a learning as it is forgotten with the message of a line."""
    source = Source(channel="user", user=turn.caller.user, thread=turn.caller.thread, run=turn.run, messages=(line.id,))
    update = {"status": Status.REJECTED, "valid_to": turn.said_at, "quote": message_text(line.message)}
    return learning.model_copy(update={**update, "sources": (*learning.sources, source)})


class _Request(NamedTuple):
    """A request to forget something."""

    position: int
    """Position of its line."""
    asked: str
    """What is to be forgotten; an empty text for "forget that"."""
    means: int | None
    """Position of the line that "forget that" means: of what the user said just before."""


def _find_requests(lines: Sequence[Line]) -> list[_Request]:
    found: list[_Request] = []
    before: int | None = None
    for position, line in enumerate(lines):
        if line.channel != "user" or line.other:
            continue
        for asked in find_forgettings(without_permissions(split_message(message_text(line.message)).own)):
            is_named = bool(statement_words(asked))
            found.append(_Request(position, asked, None if is_named else before))
        before = position
    return found


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
    said = find_claims(without_permissions(split_message(message_text(message)).own))
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
