"""Extraction: one structured model call for all learning stores, whose answer is a list of edits."""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.errors import GraphBubbleUp
from langgraph.store.base import SearchOp
from pydantic import ValidationError

from langgraph_learning.core.flow import Flow, as_flow, gather, search
from langgraph_learning.core.learning import Learning, Status, read_learnings
from langgraph_learning.core.limits import MAX_CHUNKS, MAX_EDITS, MAX_REPORT_CHARS
from langgraph_learning.core.policy import Mode
from langgraph_learning.core.quotation import find_claims, is_off_record, says_nothing, split_message
from langgraph_learning.core.records import Edit, explain_error, identity_of
from langgraph_learning.core.repository import get_many
from langgraph_learning.core.scopes import ROOT, Caller, ItemRef, Namespace, Scope
from langgraph_learning.core.similarity.rules import are_equivalent
from langgraph_learning.core.similarity.support import asks_to_forget, carries, match_words, statement_words
from langgraph_learning.core.store_protocol import Expected, ItemWrite
from langgraph_learning.core.text import cut, normalize, tokenize
from langgraph_learning.core.transcript import (
    Line,
    Speaker,
    is_readable,
    last_exchange,
    last_question,
    last_turn,
    message_text,
    message_time,
    renumber_lines,
    transcript_lines,
    truncate_to_tokens,
)
from langgraph_learning.errors import InvalidEdit, LearningError, Misconfigured
from langgraph_learning.extract.attempts import Reading, count_attempt, is_suspect, split_by_attempts
from langgraph_learning.extract.attribution import Words, foreign_text, read_words
from langgraph_learning.extract.cursor import Cursor, Progress, Unread, find_unread, read_cursor
from langgraph_learning.extract.failures import blames_input
from langgraph_learning.extract.metrics import DroppedEdit, ExtractionMetrics
from langgraph_learning.extract.prompt import render_prompt
from langgraph_learning.extract.schema import answer_schema
from langgraph_learning.extract.structured_output import TIMEOUT, ExtractionMethod, StructuredModel
from langgraph_learning.extract.tool_dedup import SavedStatement, find_saved, repeats_saved, tool_names
from langgraph_learning.extract.validation import EditValidator, edit_from_note, edit_key
from langgraph_learning.stores.base import LearningStore, Request, Turn, name_kinds
from langgraph_learning.update.opt_out import read_opt_outs
from langgraph_learning.update.promotion import read_candidates
from langgraph_learning.update.votes import votes_in_edits

MESSAGES_BEFORE = 6
"""How many messages that were read already are shown again, so that an answer to them can be understood."""
TOKENS_BEFORE = 150
"""Tokens of each of them at most."""
_QUESTION_MARKS = ("?", "\uff1f", "\u061f", "\u037e", ":")
"""Marks by which an agent's answer asks something or lists a choice."""
MAX_CLOSED = 200
"""How many statements that must not be learnt again are read from one namespace."""
MAX_CANDIDATES_SHOWN = 20
"""How many statements of others that wait for more voices are shown."""
MAX_EDITS_OF_MESSAGE = 24
"""How many edits of an answer are looked for when a message was edited."""
SMALL_TURN = 500
"""Tokens of conversation up to which the model for small turns is asked, if there is one."""


class KeptPrivate(NamedTuple):
    """A statement that stays private to the user although its learning store is shared, and why."""

    text: str
    why: str


@dataclass(frozen=True)
class ExtractionResult:
    """Everything to be written for a turn: all of it, if the cursor is still as it was read, or nothing."""

    learnings: tuple[Learning, ...] = ()
    errors: tuple[str, ...] = ()
    """What was lost: edits that were dropped, messages that were set aside or could not be read yet; and why."""
    failure: Exception | None = None
    """The error of the model, if it left messages to be read by the next turn."""
    writes: tuple[ItemWrite, ...] = ()
    """The advanced cursor, and votes."""
    expected: tuple[Expected, ...] = ()
    """Items that must not have changed since they were read."""
    voted: tuple[ItemRef, ...] = ()
    """The learnings that the conversation votes on."""
    progress: Progress = field(default_factory=Progress)
    """What the cursor notes of the messages that were read."""
    left: int = 0
    """How many messages are left to be read."""
    metrics: ExtractionMetrics = field(default_factory=ExtractionMetrics)
    """What the extraction cost."""
    kept_private: tuple[KeptPrivate, ...] = ()
    """What was meant for others and stays private to the user."""


class Background(NamedTuple):
    """Context that the extraction needs beside the conversation."""

    known: list[Learning]
    """Learnings near to the conversation that an edit may update."""
    closed: list[Learning]
    """Learnings that must not be learnt again: forgotten, rejected, or proposed already."""
    opted_out: set[str]
    """Names of the learning stores that learn nothing from this user."""
    candidates: list[Learning]
    """Statements of others that wait for more users to say the same."""


class InvalidAnswer(NamedTuple):
    """One edit as the model sent it, and why it is not valid."""

    raw: dict[str, Any]
    reason: str

    def __str__(self) -> str:
        return f"{cut(str(self.raw), MAX_REPORT_CHARS)}: {cut(self.reason, MAX_REPORT_CHARS)}"


class Extraction:
    """Learns from conversations, for several learning stores at once."""

    questioner: StructuredModel
    """Asks the model. Missing if no learning store needs a model."""
    small_questioner: StructuredModel
    """Asks the model for small turns."""

    def __init__(
        self,
        stores: Sequence[LearningStore],
        model: BaseChatModel | None,
        method: ExtractionMethod,
        budget: int,
        timeout: float | None = TIMEOUT,
        max_tokens: int | None = None,
        small_model: BaseChatModel | None = None,
    ) -> None:
        """Raise `Misconfigured` for records or models that cannot be used.

        small_model: the model for conversations of up to `SMALL_TURN` tokens.
        """
        self.stores = tuple(store for store in stores if store.mode is not Mode.AGENTIC)
        self._all_stores = tuple(stores)
        self._validator = EditValidator(self.stores, stores)
        self._own_tools = tool_names(stores)
        self._records_of_tools = {name: found for name, found in name_kinds(stores).items() if found.store.tools}
        self.budget = budget
        if model is not None:
            schema = answer_schema(self._validator.records, self._validator.cued_kinds, self._validator.audiences)
            self.questioner = StructuredModel(model, schema, method, timeout=timeout, max_tokens=max_tokens)
            self.small_questioner = (
                StructuredModel(small_model, schema, method, timeout=timeout, max_tokens=max_tokens)
                if small_model is not None
                else self.questioner
            )
        elif self._validator.kinds:
            name = next(iter(self._validator.kinds.values())).store.name
            raise Misconfigured(f"{name} learns by a model: give the machine one, model=….")

    @property
    def asks_model(self) -> bool:
        """True if a learning store needs a model."""
        return any(store.model_kinds for store in self.stores)

    def extract(self, turn: Turn, metrics: ExtractionMetrics | None = None) -> Flow[ExtractionResult]:
        """Read the messages that were not learnt from yet, and return what is to be written.

        metrics: counts what it costs.
        """
        metrics = metrics or ExtractionMetrics()
        if not self.stores:
            return ExtractionResult()
        unread, background = yield from self._read(turn)
        if not any(isinstance(message, HumanMessage) for message in unread.messages):
            return ExtractionResult()
        lines = transcript_lines(
            unread.messages, turn.caller.user, self._own_tools, partial(_earlier_day, turn), unread.speaker_of
        )
        private = _find_off_record(turn.messages)
        lines = [
            replace(line, revision=unread.revision_of(line.message))
            for line in lines
            if id(line.message) not in private
        ]
        if all(line.channel != "user" for line in lines) and any(line.other for line in lines):
            return _skip_others(turn, unread, lines)
        chunks = split_by_attempts(lines, unread, self.budget)
        now, later = chunks[:MAX_CHUNKS], chunks[MAX_CHUNKS:]
        reading = yield from self._read_chunks(turn, unread, now, background, metrics)
        read = {id(line.message) for line in reading.read}
        own_lines = [line for line in reading.read if not line.other]
        observed, too_long = yield from self._observe(turn, own_lines, background.opted_out)
        reading.errors += too_long
        learnings = yield from self._process([*reading.edits, *observed], background.known)
        learnings += yield from self._find_outdated(turn, unread, reading.read, learnings)
        votes, voted = yield from votes_in_edits(self._all_stores, turn, reading.edits)
        left = [line.message for chunk in (*now, *later) for line in chunk if id(line.message) not in read]
        progress = unread.progress(left, reading.attempts, [line.message for line in reading.set_aside])
        writes, expected = unread.cursor.advance(progress)
        return ExtractionResult(
            tuple(learnings),
            tuple(reading.errors),
            reading.failure,
            (*writes, *votes),
            tuple(expected),
            voted,
            progress,
            len(left),
            metrics,
            tuple(KeptPrivate(edit.learning().text, edit.kept_private) for edit in reading.edits if edit.kept_private),
        )

    def renew_cursor(self, caller: Caller, result: ExtractionResult) -> Flow[ExtractionResult | None]:
        """Return a result that depends on the cursor as it is now: other runs of the thread read other messages.

        None if they read some of these messages too, or if the cursor has not changed: then the messages have to be
        read again.
        """
        cursor = yield from read_cursor(caller)
        read_already = any(cursor.has_read(message) for message in result.progress.read)
        writes, expected = cursor.advance(result.progress)
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
            turn.caller,
            last_question(turn.messages),
            turn.now,
            branch,
            turn.session,
            for_extraction=True,
            exchange=last_exchange(turn.messages),
        )
        reads: list[Flow[Any]] = [
            read_cursor(turn.caller),
            read_closed(self.stores, turn.caller),
            read_opt_outs(turn.caller),
            read_candidates(_candidate_namespaces(self.stores, turn.caller)),
            *(as_flow(store.recall(request)) for store in self.stores),
        ]
        cursor: Cursor
        cursor, closed, opted_out, candidates, *recalled = yield from gather(reads)
        known: list[Learning] = []
        for learnings in recalled:
            # A store may recall from elsewhere, too; only active learnings of ours can be edited.
            known += [found for found in learnings if found.namespace[0] == ROOT and found.status is Status.ACTIVE]
        return find_unread(turn, cursor), Background(known, closed, opted_out, candidates)

    def _read_chunks(
        self,
        turn: Turn,
        unread: Unread,
        chunks: Sequence[Sequence[Line]],
        background: Background,
        metrics: ExtractionMetrics,
    ) -> Flow[Reading]:
        """Ask the model chunk by chunk, oldest first; what it cannot be asked about is left for the next turn.

        While the model cannot be reached, no message is set aside. It can be reached if it answers for another chunk.
        """
        reading = Reading()
        lines = [line for chunk in chunks for line in chunk]
        wanted = any(store.model_kinds and store.name not in background.opted_out for store in self.stores)
        if not wanted or _says_nothing_new(turn, lines):
            reading.read = lines
            return reading
        saved = find_saved(unread.messages, self._records_of_tools)
        failed: list[tuple[Sequence[Line], Exception]] = []
        reached = False
        started = time.monotonic()
        for chunk in chunks:
            try:
                timeout = self._time_for(started, chunk, unread)
                answer = yield from self._ask(turn, unread, chunk, reading.edits, background, saved, timeout, metrics)
            except GraphBubbleUp:
                raise
            except Exception as error:  # noqa: BLE001 - counted, reported, and raised if the machine shall
                failed.append((chunk, error))
                reading.failure = error
                if blames_input(error):
                    reached = True
                elif not is_suspect(chunk, unread):
                    break  # it is down: neither this chunk nor those after it
                continue
            reached = True
            valid, dropped = answer
            for edit in valid:
                wanted = edit.record is None or self._store_name(edit) not in background.opted_out
                if wanted and not repeats_saved(edit, saved, unread.messages):
                    reading.edits.append(edit)
            reading.errors += dropped
            reading.read += chunk
        for chunk, failure in failed:
            count_attempt(reading, chunk, unread, failure, reached)
        return reading

    def _time_for(self, started: float, chunk: Sequence[Line], unread: Unread) -> float | None:
        """Return the seconds that the model may take for a chunk, so that all of a turn together stay in the limit.

        A chunk that failed before leaves half of the time to those after it.
        """
        if self.questioner.timeout is None:
            return None
        left = max(0.001, self.questioner.timeout - (time.monotonic() - started))
        return left / 2 if is_suspect(chunk, unread) else left

    def _store_name(self, edit: Edit) -> str:
        return self._validator.store_of(edit).name

    def _describe_dropped(self, invalid: InvalidAnswer) -> DroppedEdit:
        found = self._validator.kinds.get(str(invalid.raw.get("edit")))
        return DroppedEdit(found.store.name if found else "", invalid.reason)

    def _observe(
        self, turn: Turn, lines: Sequence[Line], opted_out: Collection[str]
    ) -> Flow[tuple[list[Edit], list[str]]]:
        """Return the edits that learning stores make of the messages without a model, and why others were dropped."""
        stores = [store for store in self.stores if store.name not in opted_out]
        notes_of_stores = yield from gather(as_flow(store.observe(turn, lines)) for store in stores)
        edits, errors = [], []
        for store, notes in zip(stores, notes_of_stores, strict=True):
            notes_on_message: dict[str, int] = {}
            for note in notes:
                number = notes_on_message.get(note.line.id, 0)
                notes_on_message[note.line.id] = number + 1
                try:
                    edits.append(edit_from_note(store, turn, note, number))
                except InvalidEdit as error:
                    errors.append(f"dropped what {store.name} noted: {error}")
        return edits, errors

    def _ask(
        self,
        turn: Turn,
        unread: Unread,
        chunk: Sequence[Line],
        edits: Sequence[Edit],
        background: Background,
        saved: Sequence[SavedStatement],
        timeout: float | None,
        metrics: ExtractionMetrics,
    ) -> Flow[tuple[list[Edit], list[str]]]:
        """Ask about one chunk. Invalid edits are sent back once, then dropped and reported.

        edits: those of the chunks before.
        timeout: seconds for both calls together.
        """
        earlier = list(takewhile(lambda message: message is not chunk[0].message, turn.messages))
        before = self._lines_before(turn, unread, earlier)
        chunk = renumber_lines(chunk)
        learnt = [edit.learning() for edit in edits if edit.record is not None]
        waiting = _nearest(background.candidates, chunk)
        keys = {f"k{number}": known for number, known in enumerate((*background.known, *learnt, *waiting), start=1)}
        prompt = render_prompt(self.stores, self.budget, turn, before, chunk, keys, background.closed, saved)
        words = read_words(chunk, turn.caller.local(turn.now).date(), before, earlier, foreign_text(keys.values()))
        started = time.monotonic()
        is_small = sum(line.tokens for line in chunk) <= SMALL_TURN
        questioner = self.small_questioner if is_small else self.questioner
        answer = yield from questioner.ask(prompt, timeout, metrics)
        errors = list(answer.problems)
        if len(answer.entries) > MAX_EDITS:
            errors.append(f"the answer has {len(answer.entries):,} edits: only the first {MAX_EDITS} count")
        entries = answer.entries[:MAX_EDITS]
        valid, invalid = self._validate(turn, chunk, words, keys, entries)
        if invalid:
            complaint = HumanMessage(
                "These edits are not valid:\n"
                + "\n".join(f"- {edit}" for edit in invalid)
                + "\nAnswer with corrected versions of these only; leave out what cannot be corrected."
            )
            try:
                left = None if timeout is None else max(0.001, timeout - (time.monotonic() - started))
                again = [*prompt, AIMessage(answer.text), complaint]
                corrected = yield from questioner.ask(again, left, metrics)
            except GraphBubbleUp:
                raise
            except Exception as error:  # noqa: BLE001 - reported; the valid edits count all the same
                metrics.dropped += map(self._describe_dropped, invalid)
                errors += [f"dropped {edit}" for edit in invalid]
                errors.append(f"invalid edits could not be corrected: {type(error).__name__}: {error}")
            else:
                # Numbers, and so keys, that no edit of the first answer has.
                second = corrected.entries[:MAX_EDITS]
                more, dropped = self._validate(turn, chunk, words, keys, second, first=len(entries))
                valid += more
                metrics.dropped += map(self._describe_dropped, dropped)
                errors += [*corrected.problems, *(f"dropped {edit}" for edit in dropped)]
        return drop_forgotten(valid, chunk, background.closed), errors

    def _lines_before(self, turn: Turn, unread: Unread, earlier: Sequence[AnyMessage]) -> list[Line]:
        """Return the last messages before a chunk, cut short; none of a turn of another user.

        Nor one that the model refused: it would be why the model refuses what follows, too.
        """
        shown = [
            message
            for message in earlier
            if is_readable(message)
            and unread.speakers.get(id(message)) is not Speaker.ABSENT
            and message_text(message)
            and not unread.failed_on(message)
        ]
        lines = transcript_lines(
            shown,
            turn.caller.user,
            self._own_tools,
            speaker_of=lambda message: unread.speakers.get(id(message), Speaker.USER),
        )
        return [replace(line, text=truncate_to_tokens(line.text, TOKENS_BEFORE)) for line in lines[-MESSAGES_BEFORE:]]

    def _validate(
        self,
        turn: Turn,
        chunk: Sequence[Line],
        words: Words,
        keys: Mapping[str, Learning],
        raw_edits: Sequence[dict[str, Any]],
        first: int = 0,
    ) -> tuple[list[Edit], list[InvalidAnswer]]:
        edits, invalid = [], []
        for number, raw in enumerate(raw_edits, start=first):
            try:
                edit = self._validator.extracted_edit(turn, chunk, words, keys, raw, number)
                if edit.record is not None:
                    edit.learning(), identity_of(edit.record)
            except ValidationError as error:
                invalid.append(InvalidAnswer(raw, explain_error(error)))
            except InvalidEdit as error:
                invalid.append(InvalidAnswer(raw, str(error)))
            except LearningError:
                raise
            except Exception as error:  # noqa: BLE001 - of a record's own code, such as a validator that assumes
                invalid.append(InvalidAnswer(raw, f"{type(error).__name__}: {error}"))
            else:
                edits += _forget_and_replace(edit, chunk)
        return edits, invalid

    def _find_outdated(
        self, turn: Turn, unread: Unread, lines: Sequence[Line], learnings: Sequence[Learning]
    ) -> Flow[list[Learning]]:
        """Return what rests on the earlier text of edited messages alone, as superseded."""
        refs = []
        for line in lines:
            earlier = ["", *unread.earlier_revisions(line.message)] if line.revision else []
            refs += [
                (
                    turn.caller.namespace(scope, store.name),
                    edit_key(turn.caller, line.id, kind, number, revision),
                )
                for revision in earlier
                for store in self.stores
                for scope in dict.fromkeys((*store.scopes, Scope.USER))
                if turn.caller.owners_of(scope)
                for kind in store.model_kinds
                for number in range(MAX_EDITS_OF_MESSAGE)
            ]
        if not refs:
            return []
        found, _ = yield from get_many(refs)
        changed = {learning.ref for learning in learnings}
        edited = {line.id for line in lines if line.revision}
        outdated = [
            learning
            for ref, learning in found.items()
            if ref not in changed and learning.status in (Status.ACTIVE, Status.PROPOSED)
            if all(
                source.thread == turn.caller.thread and edited.issuperset(source.messages)
                for source in learning.sources
            )
        ]
        return [
            learning.model_copy(update={"status": Status.SUPERSEDED, "valid_to": turn.now}) for learning in outdated
        ]

    def _process(self, edits: Sequence[Edit], known: Sequence[Learning]) -> Flow[list[Learning]]:
        """Let each store turn its own edits into learnings."""
        flows = []
        for store in self.stores:
            own_edits = [edit for edit in edits if edit.namespace[-1] == store.name]
            if own_edits:
                flows.append(process_edits(store, own_edits, known))
        learnings_of_stores = yield from gather(flows)
        return [learning for learnings in learnings_of_stores for learning in learnings]


def _skip_others(turn: Turn, unread: Unread, lines: Sequence[Line]) -> ExtractionResult:
    """Mark messages as read in which other people alone speak, and report it: it may be a mistake."""
    names = ", ".join(sorted({line.other for line in lines if line.other}))
    user = turn.caller.user
    error = (
        f"nothing is learnt from what {names} said in a run of {user}: run the agent as its speaker or, if {names} is "
        f"{user}, leave the message's `name` out or set it to the user_id"
    )
    writes, expected = unread.mark_read()
    return ExtractionResult(errors=(error,), writes=tuple(writes), expected=tuple(expected), progress=unread.progress())


def _candidate_namespaces(stores: Sequence[LearningStore], caller: Caller) -> list[Namespace]:
    """Return the namespaces in which statements wait for more users to say them."""
    return [
        caller.namespace(scope, store.name)
        for store in stores
        if (store.sharing.users or 0) > 1
        for scope in store.scopes
        if not scope.private and caller.owners_of(scope)
    ]


def _nearest(candidates: Sequence[Learning], chunk: Sequence[Line]) -> list[Learning]:
    """Return the candidates that share most words with a conversation, and the newest of the others."""
    said = tokenize("\n".join(line.text for line in chunk))

    def shared(candidate: Learning) -> int:
        return len(match_words(statement_words(candidate.text), said))

    return sorted(candidates, key=shared, reverse=True)[:MAX_CANDIDATES_SHOWN]


def read_closed(stores: Sequence[LearningStore], caller: Caller) -> Flow[list[Learning]]:
    """Return the learnings that must not be learnt again: forgotten, rejected, or proposed already."""
    searches = []
    for store in stores:
        if not store.model_kinds or store.scope == Scope.THREAD:
            continue
        statuses = [Status.REJECTED, *([Status.PROPOSED] if store.mode is Mode.PROPOSE else [])]
        for scope in {*store.scopes, Scope.USER}:
            if not caller.owners_of(scope):
                continue
            namespace = caller.namespace(scope, store.name)
            searches += [SearchOp(namespace, {"status": status.value}, limit=MAX_CLOSED) for status in statuses]
    items = yield from search(*searches)
    return read_learnings(items, [operation.namespace_prefix for operation in searches])


def process_edits(store: LearningStore, edits: Sequence[Edit], known: Sequence[Learning]) -> Flow[list[Learning]]:
    """Return the learnings that a store wants written for its own edits.

    Raises `Misconfigured` if it returns a learning of another store.
    """
    own_known = [learning for learning in known if learning.store_name == store.name]
    learnings = yield from as_flow(store.process(edits, own_known))
    for learning in learnings:
        if learning.store_name != store.name:
            raise Misconfigured(
                f"{store.name}.process returned a learning of {learning.store_name}: each keeps its own."
            )
    return learnings


def _says_nothing_new(turn: Turn, lines: Sequence[Line]) -> bool:
    """Return True if no model need be asked: the user only thanks or agrees, and to no question or offer.

    In doubt a model is asked.
    """
    said = [line for line in lines if line.channel == "user"]
    closes = bool(said) and all(says_nothing(message_text(line.message)) and not line.revision for line in said)
    if not closes or any(isinstance(line.message, ToolMessage) or line.other for line in lines):
        return False
    before = [*takewhile(lambda message: message is not said[0].message, turn.messages)]
    answers = [message_text(message) for message in before if isinstance(message, AIMessage)]
    return not answers or not any(mark in answers[-1] for mark in _QUESTION_MARKS)


def _forget_and_replace(edit: Edit, lines: Sequence[Line]) -> list[Edit]:
    """Return an edit, or two if the user asked to forget a part of what it replaces: a forget, and what may stay."""
    said = "\n".join(message_text(line.message) for line in lines if line.id in edit.source.messages)
    if edit.record is None or edit.replaces is None or not asks_to_forget(said):
        return [edit]
    forgets = replace(edit, record=None, key=f"{edit.key}-forgets", rests_on=(), audience=None, kept_private="")
    return [forgets, replace(edit, replaces=None)]


def _find_off_record(messages: Sequence[AnyMessage]) -> set[int]:
    """Return the identities of the messages of turns in which the user says that something is off the record."""
    found: set[int] = set()
    rest = list(messages)
    while rest:
        turn = last_turn(rest)
        if any(isinstance(message, HumanMessage) and is_off_record(message_text(message)) for message in turn):
            found |= {id(message) for message in turn}
        rest = rest[: -len(turn)]
    return found


def drop_forgotten(edits: Sequence[Edit], lines: Sequence[Line], closed: Sequence[Learning]) -> list[Edit]:
    """Leave out edits that would learn again what the user forgot, in whatever spelling.

    An edit stays if the user says it anew in their own words, unless the same answer forgets it.
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
        said_anew = carries(said, text, edit.at.date()) and not asks_to_forget(said)
        return said_anew or not any(_says_again(text, forgotten) for forgotten in forgotten_before)

    return [edit for edit in edits if is_wanted(edit)]


def _says_again(text: str, forgotten: str) -> bool:
    """Return True if a text says what was forgotten, in the same words or in nearly the same."""
    return normalize(text) == normalize(forgotten) or are_equivalent(text, forgotten)


def _earlier_day(turn: Turn, message: AnyMessage) -> str:
    """Return the day of a message in the user's time zone, if it knows its time and the day is not today."""
    time = message_time(message)
    day = f"{turn.caller.local(time):%Y-%m-%d}" if time else ""
    return "" if day == f"{turn.caller.local(turn.now):%Y-%m-%d}" else day
