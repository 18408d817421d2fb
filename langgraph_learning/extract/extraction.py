"""Extraction: one structured model call for all learning stores, whose answer is a list of edits."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.store.base import SearchOp
from pydantic import ValidationError

from langgraph_learning.core.flow import Flow, as_flow, gather, search
from langgraph_learning.core.learning import Learning, Status, messages_of, read_learnings
from langgraph_learning.core.policy import Mode
from langgraph_learning.core.records import Edit, explain_error
from langgraph_learning.core.scopes import ROOT, Caller, ItemRef, Scope
from langgraph_learning.core.store_protocol import Expected, ItemWrite
from langgraph_learning.core.text import content_words, escape_line, normalize
from langgraph_learning.core.transcript import (
    Line,
    count_tokens,
    last_question,
    message_time,
    split_chunks,
    transcript_lines,
)
from langgraph_learning.errors import InvalidEdit, Misconfigured
from langgraph_learning.extract.cursor import Cursor, Unread, find_unread, read_cursor
from langgraph_learning.extract.schema import answer_schema
from langgraph_learning.extract.structured_output import ExtractionMethod, StructuredModel
from langgraph_learning.extract.tool_dedup import SavedStatement, find_saved, repeats_saved, tool_names
from langgraph_learning.extract.validation import EditValidator, edit_from_note
from langgraph_learning.stores.base import LearningStore, Request, Turn
from langgraph_learning.update.opt_out import read_opt_outs
from langgraph_learning.update.votes import votes_in_edits

PROMPT, QUESTION = map(Template, Path(__file__).with_suffix(".md").read_text(encoding="utf-8").split("\n---\n"))
"""The system prompt, and the question after the conversation: small models heed most what they read last."""
MAX_CHUNKS = 4
"""How many parts of a long conversation are read in one turn. The next turn continues where this one stopped."""


@dataclass(frozen=True)
class ExtractionResult:
    """Everything to be written for a turn: all of it, if the cursor is still as it was read, or nothing."""

    learnings: tuple[Learning, ...] = ()
    errors: tuple[str, ...] = ()
    """Edits that were dropped, and why."""
    writes: tuple[ItemWrite, ...] = ()
    """The advanced cursor, and votes."""
    expected: tuple[Expected, ...] = ()
    """Items that must not have changed since they were read."""
    voted: tuple[ItemRef, ...] = ()
    """The learnings that the conversation votes on."""
    read: tuple[tuple[str, ...], ...] = ()
    """Fingerprints of the messages that it marks as read."""


class Background(NamedTuple):
    """Context that the extraction needs beside the conversation."""

    known: list[Learning]
    """Learnings near to the conversation that an edit may update."""
    closed: list[Learning]
    """Learnings that must not be learnt again: forgotten, rejected, or proposed already."""
    opted_out: set[str]
    """Names of the learning stores that learn nothing from this user."""


class InvalidAnswer(NamedTuple):
    """One edit as the model sent it, and why it is not valid."""

    raw: dict[str, Any]
    reason: str


class Extraction:
    """Learns from conversations, for several learning stores at once."""

    questioner: StructuredModel
    """Asks the model. Missing if no learning store needs a model."""

    def __init__(
        self, stores: Sequence[LearningStore], model: BaseChatModel | None, method: ExtractionMethod, budget: int
    ) -> None:
        """Raise `Misconfigured` for records or models that cannot be used."""
        self.stores = tuple(store for store in stores if store.mode is not Mode.AGENTIC)
        self._all_stores = tuple(stores)
        self._validator = EditValidator(self.stores)
        self._own_tools = tool_names(stores)
        self._records_of_tools = {
            kind: record for store in stores if store.tools for kind, record in store.model_kinds.items()
        }
        self._budget = budget
        if model is not None:
            self.questioner = StructuredModel(model, answer_schema(self._validator.records), method)
        elif self._validator.kinds:
            name = next(iter(self._validator.kinds.values())).name
            raise Misconfigured(f"{name} learns by a model: give the machine one, model=….")

    def extract(self, turn: Turn) -> Flow[ExtractionResult]:
        """Read the messages that were not learnt from yet, and return what is to be written."""
        if not self.stores:
            return ExtractionResult()
        unread, background = yield from self._read(turn)
        if not any(isinstance(message, HumanMessage) for message in unread.messages):
            return ExtractionResult()
        lines = transcript_lines(unread.messages, turn.caller.user, self._own_tools, partial(_earlier_day, turn))
        chunks = split_chunks(lines, self._budget)
        now, later = chunks[:MAX_CHUNKS], chunks[MAX_CHUNKS:]
        edits, errors = yield from self._extract_edits(turn, unread, now, background)
        observed = yield from self._observe(turn, [line for chunk in now for line in chunk], background.opted_out)
        learnings = yield from self._process([*edits, *observed], background.known)
        votes, voted = yield from votes_in_edits(self._all_stores, turn, edits)
        left = [line.message for chunk in later for line in chunk]
        writes, expected = unread.mark_read(left)
        read = unread.fingerprints_without(left)
        return ExtractionResult(tuple(learnings), tuple(errors), (*writes, *votes), tuple(expected), voted, read)

    def renew_cursor(self, caller: Caller, result: ExtractionResult) -> Flow[ExtractionResult | None]:
        """Return a result that depends on the cursor as it is now: other runs of the thread read other messages.

        None if they read some of these messages too, or if the cursor has not changed: then the messages have to be
        read again.
        """
        cursor = yield from read_cursor(caller)
        read_already = any(cursor.has_read(fingerprints) for fingerprints in result.read)
        writes, expected = cursor.advance(result.read)
        if read_already or not expected or list(result.expected) == expected:
            return None
        others = [write for write in result.writes if write[:2] != cursor.ref]
        return replace(result, writes=(*writes, *others), expected=tuple(expected))

    def skip(self, turn: Turn) -> Flow[ExtractionResult]:
        """Mark the new messages as read without learning from them, now or later."""
        cursor = yield from read_cursor(turn.caller)
        writes, expected = find_unread(turn, cursor).mark_read()
        return ExtractionResult(writes=tuple(writes), expected=tuple(expected))

    def _read(self, turn: Turn) -> Flow[tuple[Unread, Background]]:
        """Read the cursor and the background in one batch."""
        branch = tuple(message.id or "" for message in turn.messages)
        request = Request(
            turn.caller, last_question(turn.messages), turn.now, branch, turn.session, for_extraction=True
        )
        reads: list[Flow[Any]] = [
            read_cursor(turn.caller),
            read_closed(self.stores, turn.caller),
            read_opt_outs(turn.caller),
            *(as_flow(store.recall(request)) for store in self.stores),
        ]
        cursor: Cursor
        cursor, closed, opted_out, *recalled = yield from gather(reads)
        known: list[Learning] = []
        for learnings in recalled:
            # A store may recall from elsewhere, too; only active learnings of ours can be edited.
            known += [found for found in learnings if found.namespace[0] == ROOT and found.status is Status.ACTIVE]
        return find_unread(turn, cursor), Background(known, closed, opted_out)

    def _extract_edits(
        self, turn: Turn, unread: Unread, chunks: Sequence[Sequence[Line]], background: Background
    ) -> Flow[tuple[list[Edit], list[str]]]:
        """Ask the model chunk by chunk, unless the user opted out of every store that needs it."""
        if not any(store.model_kinds and store.name not in background.opted_out for store in self.stores):
            return [], []
        saved = find_saved(unread.messages, self._records_of_tools)
        edits: list[Edit] = []
        errors: list[str] = []
        for chunk in chunks:
            learnt = [edit.learning() for edit in edits if edit.record is not None]
            known = [*background.known, *learnt]
            valid, dropped = yield from self._ask(turn, chunk, known, background.closed, saved)
            for edit in valid:
                wanted = edit.record is None or self._store_name(edit) not in background.opted_out
                if wanted and not repeats_saved(edit, saved, unread.messages):
                    edits.append(edit)
            errors += dropped
        return edits, errors

    def _store_name(self, edit: Edit) -> str:
        return self._validator.store_of_kind[edit.kind].name

    def _observe(self, turn: Turn, lines: Sequence[Line], opted_out: Collection[str]) -> Flow[list[Edit]]:
        """Return the edits that learning stores make of the messages without a model."""
        stores = [store for store in self.stores if store.name not in opted_out]
        notes_of_stores = yield from gather(as_flow(store.observe(turn, lines)) for store in stores)
        edits = []
        for store, notes in zip(stores, notes_of_stores, strict=True):
            notes_on_message: dict[str, int] = {}
            for note in notes:
                number = notes_on_message.get(note.line.id, 0)
                notes_on_message[note.line.id] = number + 1
                edits.append(edit_from_note(store, turn, note, number))
        return edits

    def _ask(
        self,
        turn: Turn,
        chunk: Sequence[Line],
        known: Sequence[Learning],
        closed: Sequence[Learning],
        saved: Sequence[SavedStatement],
    ) -> Flow[tuple[list[Edit], list[str]]]:
        """Ask about one chunk. Invalid edits are sent back once, then dropped and reported."""
        keys = {f"k{number}": learning for number, learning in enumerate(known, start=1)}
        prompt = self._render_prompt(turn, chunk, keys, closed, saved)
        raw_edits, answer = yield from self.questioner.ask(prompt)
        edits, invalid = self._validate(turn, chunk, keys, raw_edits)
        if not invalid:
            return drop_forgotten(edits, chunk, closed), []
        complaint = HumanMessage(
            "These edits are not valid:\n"
            + "\n".join(f"- {raw}: {reason}" for raw, reason in invalid)
            + "\nAnswer with corrected versions of these only; leave out what cannot be corrected."
        )
        first_answer = AIMessage(answer.text or str(raw_edits))
        raw_edits, _ = yield from self.questioner.ask([*prompt, first_answer, complaint])
        corrected, dropped = self._validate(turn, chunk, keys, raw_edits, first=len(edits))
        errors = [f"dropped {raw}: {reason}" for raw, reason in dropped]
        return drop_forgotten([*edits, *corrected], chunk, closed), errors

    def _render_prompt(
        self,
        turn: Turn,
        chunk: Sequence[Line],
        keys: Mapping[str, Learning],
        closed: Sequence[Learning],
        saved: Sequence[SavedStatement],
    ) -> list[BaseMessage]:
        # A profile's list of fields tempts small models to fill in a form: it comes last.
        stores = sorted(self.stores, key=lambda store: store.stable)
        kinds = "\n\n".join(
            f"## {', '.join(store.model_kinds)}\n{store.instructions}" for store in stores if store.model_kinds
        )
        system = PROMPT.substitute(today=f"{turn.caller.local(turn.now):%Y-%m-%d}", stores=kinds)
        proposed = [learning for learning in closed if _is_proposed(learning)]
        forgotten = [learning for learning in closed if not _is_proposed(learning)]
        small = self._budget // 16
        blocks = {
            "known": _take_rows(self._budget // 4, [f"{key}: {_render_known(known)}" for key, known in keys.items()]),
            "forgotten": _take_rows(small, [f"- {escape_line(learning.text)}" for learning in forgotten]),
            "proposed": _take_rows(small, [f"- {escape_line(learning.text)}" for learning in proposed]),
            "saved": _take_rows(small, [f"- {statement.kind} · {escape_line(statement.text)}" for statement in saved]),
            "conversation": [line.text for line in chunk],
        }
        rendered = "\n".join(f"<{name}>\n{chr(10).join(rows)}\n</{name}>" for name, rows in blocks.items() if rows)
        return [SystemMessage(system), HumanMessage(f"{rendered}\n\n{QUESTION.substitute().strip()}")]

    def _validate(
        self,
        turn: Turn,
        chunk: Sequence[Line],
        keys: Mapping[str, Learning],
        raw_edits: Sequence[dict[str, Any]],
        first: int = 0,
    ) -> tuple[list[Edit], list[InvalidAnswer]]:
        edits, invalid = [], []
        for number, raw in enumerate(raw_edits, start=first):
            try:
                edits.append(self._validator.extracted_edit(turn, chunk, keys, raw, number))
            except ValidationError as error:
                invalid.append(InvalidAnswer(raw, explain_error(error)))
            except InvalidEdit as error:
                invalid.append(InvalidAnswer(raw, str(error)))
        return edits, invalid

    def _process(self, edits: Sequence[Edit], known: Sequence[Learning]) -> Flow[list[Learning]]:
        """Let each store turn its own edits into learnings."""
        flows = []
        for store in self.stores:
            own_edits = [edit for edit in edits if edit.kind in store.kinds]
            if own_edits:
                flows.append(process_edits(store, own_edits, known))
        learnings_of_stores = yield from gather(flows)
        return [learning for learnings in learnings_of_stores for learning in learnings]


def read_closed(stores: Sequence[LearningStore], caller: Caller) -> Flow[list[Learning]]:
    """Return the learnings that must not be learnt again: forgotten, rejected, or proposed already."""
    searches = []
    for store in stores:
        if not store.model_kinds or store.scope == Scope.THREAD:
            continue
        statuses = [Status.REJECTED, *([Status.PROPOSED] if store.mode is Mode.PROPOSE else [])]
        for scope in {store.scope, Scope.USER}:
            namespace = caller.namespace(scope, store.name)
            searches += [SearchOp(namespace, {"status": status.value}, limit=20) for status in statuses]
    items = yield from search(*searches)
    return read_learnings(items, [operation.namespace_prefix for operation in searches])


def process_edits(store: LearningStore, edits: Sequence[Edit], known: Sequence[Learning]) -> Flow[list[Learning]]:
    """Return the learnings that a store wants written for its own edits.

    Raises `Misconfigured` if it returns a learning of another store.
    """
    own_known = [learning for learning in known if learning.kind in store.kinds]
    learnings = yield from as_flow(store.process(edits, own_known))
    for learning in learnings:
        if learning.store_name != store.name:
            raise Misconfigured(
                f"{store.name}.process returned a learning of {learning.store_name}: each keeps its own."
            )
    return learnings


def drop_forgotten(edits: Sequence[Edit], lines: Sequence[Line], closed: Sequence[Learning]) -> list[Edit]:
    """Leave out edits that would learn again what the user forgot.

    An edit stays if the user says it anew, unless the same answer forgets it.
    """
    forgotten_now = {normalize(edit.replaces.text) for edit in edits if edit.record is None and edit.replaces}
    forgotten_before = {normalize(learning.text) for learning in closed if learning.status is Status.REJECTED}
    words_of_message = {line.id: content_words([line.text]) for line in lines if line.channel == "user"}

    def is_wanted(edit: Edit) -> bool:
        if edit.record is None:
            return True
        text = edit.learning().text
        if normalize(text) in forgotten_now:
            return False
        said_anew = content_words([text]) <= words_of_message.get(edit.source.messages[0], set())
        return said_anew or normalize(text) not in forgotten_before

    return [edit for edit in edits if is_wanted(edit)]


def _earlier_day(turn: Turn, message: AnyMessage) -> str:
    """Return the day of a message in the user's time zone, if it knows its time and the day is not today."""
    time = message_time(message)
    day = f"{turn.caller.local(time):%Y-%m-%d}" if time else ""
    return "" if day == f"{turn.caller.local(turn.now):%Y-%m-%d}" else day


def _render_known(learning: Learning) -> str:
    """Render a known learning for the prompt, with the number of messages that support it."""
    count = len(messages_of(learning.sources))
    return f"{learning.kind} · {escape_line(learning.text)}{f' (said {count} times)' if count > 1 else ''}"


def _is_proposed(learning: Learning) -> bool:
    return learning.status is Status.PROPOSED and not learning.retires


def _take_rows(budget: int, rows: Sequence[str]) -> list[str]:
    """Return the first rows that fit a budget of tokens."""
    taken: list[str] = []
    for row in rows:
        budget -= count_tokens(row)
        if budget < 0:
            break
        taken.append(row)
    return taken
