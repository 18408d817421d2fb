"""Extraction: one structured model call for all learning stores, whose answer is a list of edits."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage

from langgraph_learning.core.flow import Flow, gather
from langgraph_learning.core.limits import MAX_CHUNKS
from langgraph_learning.core.policy import Mode
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.transcript import Line
from langgraph_learning.errors import Misconfigured
from langgraph_learning.extract.attempts import Reading, split_by_attempts
from langgraph_learning.extract.chunk import ChunkReader, Material
from langgraph_learning.extract.conversation import says_nothing_new, unread_lines
from langgraph_learning.extract.cursor import Unread, find_unread, read_cursor
from langgraph_learning.extract.forgotten import drop_forgotten, forget_named, lines_to_keep, without_forgotten
from langgraph_learning.extract.known import read_background
from langgraph_learning.extract.metrics import ExtractionMetrics
from langgraph_learning.extract.processing import observe_lines, process_by_store
from langgraph_learning.extract.reading import read_chunks
from langgraph_learning.extract.result import ExtractionResult, KeptPrivate
from langgraph_learning.extract.revisions import find_outdated
from langgraph_learning.extract.schema import answer_schema
from langgraph_learning.extract.structured_output import TIMEOUT, ExtractionMethod, StructuredModel
from langgraph_learning.extract.tool_dedup import find_saved, tool_names
from langgraph_learning.extract.validation import EditValidator
from langgraph_learning.stores.base import LearningStore, Turn, name_kinds
from langgraph_learning.update.votes import votes_in_edits
from langgraph_learning.update.write_policy import have_versions


class Extraction:
    """Learns from conversations, for several learning stores at once."""

    questioner: StructuredModel
    """Asks the model. Missing if no learning store needs a model."""
    reader: ChunkReader
    """Asks it about chunks of conversations. Missing if no learning store needs a model."""

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
        self._own_tools = tool_names(stores)
        self._records_of_tools = {name: found for name, found in name_kinds(stores).items() if found.store.tools}
        self.budget = budget
        validator = EditValidator(self.stores, stores)
        if model is not None:
            schema = answer_schema(validator.records, validator.cued_kinds, validator.audiences)
            ask = partial(StructuredModel, schema=schema, method=method, timeout=timeout, max_tokens=max_tokens)
            self.questioner = ask(model)
            small = self.questioner if small_model is None else ask(small_model)
            self.reader = ChunkReader(self.stores, validator, self.questioner, small, self._own_tools, budget)
        elif validator.kinds:
            name = next(iter(validator.kinds.values())).store.name
            raise Misconfigured(f"{name} learns by a model: give the machine one, model=….")

    @property
    def asks_model(self) -> bool:
        """True if a learning store needs a model."""
        return any(store.model_kinds for store in self.stores)

    def extract(self, turn: Turn, metrics: ExtractionMetrics | None = None) -> Flow[ExtractionResult]:
        """Read the messages that were not learnt from yet, and return what is to be written.

        metrics: counts what it costs.
        """
        if not self.stores:
            return ExtractionResult()
        background_of_turn = read_background(self.stores, turn, self._all_stores)
        reads: list[Flow[Any]] = [read_cursor(turn.caller, turn.originals), background_of_turn]
        cursor, background = yield from gather(reads)
        if background.forgotten.covers(turn.now):
            return replace((yield from self.skip(turn)), metrics=metrics or ExtractionMetrics())
        unread = find_unread(turn, cursor)
        if not any(isinstance(message, HumanMessage) for message in unread.messages):
            return ExtractionResult()
        remembered = without_forgotten(turn.caller.thread, turn.messages, background.forgotten, turn.time_of)
        present = {id(message) for message in remembered}
        lines = [line for line in unread_lines(turn, unread, self._own_tools) if id(line.message) in present]
        if all(line.channel != "user" for line in lines) and any(line.other for line in lines):
            return _skip_others(turn, unread, lines)
        saved = find_saved(unread.messages, self._records_of_tools)
        material = Material(turn, unread, background, saved, metrics or ExtractionMetrics())
        chunks = split_by_attempts(lines, unread, self.budget)
        reading = yield from self._read(material, chunks[:MAX_CHUNKS])
        result = yield from self._conclude(material, reading, lines)
        return result.without_thread() if background.forgotten.covers_session(turn.now) else result

    def renew_cursor(self, caller: Caller, result: ExtractionResult) -> Flow[ExtractionResult | None]:
        """Return a result that depends on the cursor as it is now: other runs of the thread read other messages.

        None if they read some of these messages too, if something was forgotten, or if the cursor has not changed: then
        the messages have to be read again.
        """
        cursor = yield from read_cursor(caller)
        unchanged = [item for item in result.expected if item[:2] != cursor.ref]
        if not (yield from have_versions(unchanged)):
            return None
        read_already = any(cursor.has_read(message) for message in result.progress.read)
        writes, expected = cursor.advance(result.progress)
        if read_already or not expected or set(expected) <= set(result.expected):
            return None
        others = [write for write in result.writes if write[:2] != cursor.ref]
        return replace(result, writes=(*writes, *others), expected=(*expected, *unchanged))

    def skip(self, turn: Turn) -> Flow[ExtractionResult]:
        """Mark the new messages as read without learning from them, now or later."""
        cursor = yield from read_cursor(turn.caller, turn.originals)
        writes, expected = find_unread(turn, cursor).mark_read()
        return ExtractionResult(writes=tuple(writes), expected=tuple(expected))

    def _read(self, material: Material, chunks: Sequence[Sequence[Line]]) -> Flow[Reading]:
        """Let the model read the chunks, if a store learns by it and there may be something new in them."""
        lines = [line for chunk in chunks for line in chunk]
        opted_out = material.background.opted_out
        wanted = any(store.model_kinds and store.name not in opted_out for store in self.stores)
        if not wanted or says_nothing_new(material.turn, lines):
            return Reading(read=lines)
        return (yield from read_chunks(self.reader, material, chunks))

    def _conclude(self, material: Material, reading: Reading, lines: Sequence[Line]) -> Flow[ExtractionResult]:
        """Return what is to be written after the model has read what it could of these lines."""
        turn, unread, background = material.turn, material.unread, material.background
        observers = [store for store in self.stores if store.name not in background.opted_out]
        own_lines = [line for line in reading.read if not line.other]
        observed, observe_errors = yield from observe_lines(observers, turn, lines_to_keep(own_lines))
        observed = drop_forgotten(observed, own_lines, (), background.forgotten, turn)
        learnings = yield from process_by_store(self.stores, [*reading.edits, *observed], background.known)
        learnings += yield from find_outdated(self.stores, turn, unread, reading.read, learnings)
        named = yield from forget_named(self._all_stores, turn, own_lines)
        gone = {learning.ref for learning in named}
        learnings = [*(learning for learning in learnings if learning.ref not in gone), *named]
        votes, voted = yield from votes_in_edits(self._all_stores, turn, reading.edits)
        said_anew = background.forgotten.lift(edit.learning() for edit in reading.edits if edit.record is not None)
        read = {id(line.message) for line in reading.read}
        left = [line.message for line in lines if id(line.message) not in read]
        progress = unread.progress(left, reading.attempts, [line.message for line in reading.set_aside])
        writes, expected = unread.cursor.advance(progress)
        kept = [edit for edit in reading.edits if edit.kept_private]
        return ExtractionResult(
            tuple(learnings),
            (*reading.errors, *observe_errors),
            reading.failure,
            (*writes, *votes, *said_anew),
            (*expected, *background.forgotten.expected),
            voted,
            progress,
            len(left),
            material.metrics,
            tuple(KeptPrivate(edit.learning().text, edit.kept_private) for edit in kept),
        )


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
