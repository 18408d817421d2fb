"""What one conversation teaches: one structured question for all learning stores, whose answer is a list of edits."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, SystemMessage
from langgraph.store.base import Item, SearchOp
from pydantic import BaseModel, ConfigDict, ValidationError

from langgraph_learning.core.flow import Flow, as_flow, gather, get_item, search
from langgraph_learning.core.keys import CURSOR
from langgraph_learning.core.learning import Learning, Status, messages_of, read_learnings
from langgraph_learning.core.policy import Mode
from langgraph_learning.core.records import Edit, InvalidEdit, explain_error
from langgraph_learning.core.scopes import ROOT, Caller, ItemRef, Namespace, Scope
from langgraph_learning.core.store_protocol import Expected, ItemWrite, version_of
from langgraph_learning.core.text import content_words, escape_line, normalize
from langgraph_learning.core.transcript import (
    Line,
    count_tokens,
    fingerprints,
    is_readable,
    last_question,
    last_turn,
    split_chunks,
    transcript_lines,
)
from langgraph_learning.errors import Misconfigured
from langgraph_learning.extract.cursor import CURSOR_SIZE
from langgraph_learning.extract.schema import answer_schema
from langgraph_learning.extract.structured_output import ExtractionMethod, StructuredModel
from langgraph_learning.extract.tool_dedup import SavedStatement, find_saved, repeats_saved, tool_names
from langgraph_learning.extract.validation import EditValidator, edit_from_note
from langgraph_learning.stores.base import LearningStore, Request, Turn
from langgraph_learning.update.opt_out import read_opt_outs
from langgraph_learning.update.votes import votes_in_edits

PROMPT, QUESTION = map(Template, Path(__file__).with_suffix(".md").read_text(encoding="utf-8").split("\n---\n"))
"""What stands before the conversation, and what is asked after it: small models heed most what they read last."""
_CLOSED = (Status.REJECTED, Status.PROPOSED)
MAX_CHUNKS = 4
"""How many parts of a long conversation are read in one turn; the next turn reads on."""


Marks = tuple[ItemWrite, ...]


class ExtractionResult(BaseModel):
    """What an extraction found: what to write, all at once, if the cursor is still as it was read."""

    model_config = ConfigDict(frozen=True)

    learnings: tuple[Learning, ...] = ()
    errors: tuple[str, ...] = ()
    """Edits that were dropped, and why."""
    marks: Marks = ()
    """What else is written: which messages were read, and votes."""
    cursor: tuple[Namespace, str, int] | None = None
    """The version of the thread's cursor that was read."""
    voted: tuple[ItemRef, ...] = ()
    """The learnings that the conversation votes on; the votes themselves are among the marks."""

    def conditions(self) -> list[Expected]:
        """Return what must not have changed since."""
        return [Expected(*self.cursor)] if self.cursor else []


class Background(NamedTuple):
    """What there is to know before anything is learnt from a conversation."""

    known: list[Learning]
    shut: list[Learning]
    """What must not be learnt again."""
    out: set[str]
    """Names of the learning stores that are to learn nothing of this user."""


class Extraction:
    """Learns from conversations, for several learning stores at once."""

    questioner: StructuredModel
    """Asks the model; missing where there is none, for no learning store wants one asked."""

    def __init__(
        self, stores: Sequence[LearningStore], model: BaseChatModel | None, method: ExtractionMethod, budget: int
    ) -> None:
        """Raise `Misconfigured` for records or models that cannot be asked."""
        self.stores = tuple(store for store in stores if store.mode is not Mode.AGENTIC)
        self._all = tuple(stores)
        self.checks = EditValidator(self.stores)
        self._own_tools = tool_names(stores)
        self._saved_by_tools = {kind: record for store in stores if store.tools for kind, record in store.asked.items()}
        self.budget = budget
        if model is not None:
            self.questioner = StructuredModel(model, answer_schema(self.checks.records), method)
        elif self.checks.kinds:
            name = next(iter(self.checks.kinds.values())).name
            raise Misconfigured(f"{name} learns by a model: give the machine one, model=….")

    def flow(self, turn: Turn) -> Flow[ExtractionResult]:
        """Read what was said since the last time, and return what is to be written."""
        new, marks, version = yield from self._unread(turn)
        if not self.stores or not any(isinstance(message, HumanMessage) for message in new):
            return ExtractionResult()
        near = yield from self._near(turn, new)
        parts = split_chunks(transcript_lines(new, turn.caller.user, self._own_tools), self.budget)
        unread = {id(line.message) for part in parts[MAX_CHUNKS:] for line in part}
        edits, errors = yield from self._asked(turn, new, parts[:MAX_CHUNKS], near)
        observed = yield from self._observed(turn, [line for part in parts[:MAX_CHUNKS] for line in part], near.out)
        learnings = yield from self._process([*edits, *observed], near.known)
        verdicts, voted = yield from votes_in_edits(self._all, turn, edits)
        read = {id(message) for message in new} - unread
        marks_read = [mark for mark, message in zip(*marks, strict=True) if id(message) in read]
        lesson = _mark_read(turn.caller, marks_read, version)
        return lesson.model_copy(
            update={
                "learnings": tuple(learnings),
                "errors": tuple(errors),
                "marks": (*lesson.marks, *verdicts),
                "voted": voted,
            }
        )

    def skip(self, turn: Turn) -> Flow[ExtractionResult]:
        """Only mark as read what was said since the last time: nothing is to be learnt of it, later neither."""
        new, marks, version = yield from self._unread(turn)
        unread = {id(message) for message in new}
        return _mark_read(turn.caller, [mark for mark, one in zip(*marks, strict=True) if id(one) in unread], version)

    def _unread(self, turn: Turn) -> Flow[tuple[list[AnyMessage], tuple[Any, Any], Item | None]]:
        """Return the messages not yet learnt from, every message with its marks, and the cursor as it was read."""
        messages = turn.messages if turn.caller.thread else tuple(last_turn(turn.messages))
        marks = fingerprints(messages)
        item: Item | None = None
        if turn.caller.thread:
            item = yield from get_item(*_cursor(turn.caller))
        read = set(item.value["marks"]) if item else set()
        new = [m for m, mark in zip(messages, marks, strict=True) if is_readable(m) and not read & set(mark)]
        return new, (marks, messages), item

    def _near(self, turn: Turn, new: Sequence[AnyMessage]) -> Flow[Background]:
        """Return what there is to know before anything is learnt from the new messages."""
        branch = tuple(message.id or "" for message in turn.messages)
        asked = Request(turn.caller, last_question(new), turn.now, branch, turn.session, learning=True)
        recalls = (_recall_known(store, asked) for store in self.stores)
        flows: list[Flow[Any]] = [*recalls, read_closed(self.stores, turn.caller), read_opt_outs(turn.caller)]
        *known, shut, out = yield from gather(flows)
        editable = (one for learnings in known for one in learnings if one.namespace[0] == ROOT)
        return Background([one for one in editable if one.status is Status.ACTIVE], shut, out)

    def _asked(
        self, turn: Turn, new: Sequence[AnyMessage], parts: Sequence[Sequence[Line]], near: Background
    ) -> Flow[tuple[list[Edit], list[str]]]:
        """Ask the model, part by part, if any learning store wants it asked and the user does not mind."""
        noted = find_saved(new, self._saved_by_tools)
        edits: list[Edit] = []
        errors: list[str] = []
        asking = any(store.asked and store.name not in near.out for store in self.stores)
        for part in parts if asking else ():
            checked, dropped = yield from self._read(
                turn, part, [*near.known, *(_learnings_of(edits))], near.shut, noted
            )
            edits += [edit for edit in checked if self._wanted(edit, near.out) and not repeats_saved(edit, noted, new)]
            errors += dropped
        return edits, errors

    def _wanted(self, edit: Edit, out: Collection[str]) -> bool:
        """Whether the user wants it learnt; to forget is never too much."""
        return edit.record is None or self.checks.store_of_kind[edit.kind].name not in out

    def _observed(self, turn: Turn, read: Sequence[Line], out: Collection[str]) -> Flow[list[Edit]]:
        """Return what the learning stores note by themselves, of a user who does not mind."""
        stores = [store for store in self.stores if store.name not in out]
        notes = yield from gather(as_flow(store.observe(turn, read)) for store in stores)
        edits = []
        for store, made in zip(stores, notes, strict=True):
            before = [note.line.id for note in made]
            edits += [
                edit_from_note(store, turn, note, before[:nth].count(note.line.id)) for nth, note in enumerate(made)
            ]
        return edits

    def _read(
        self,
        turn: Turn,
        part: Sequence[Line],
        known: Sequence[Learning],
        shut: Sequence[Learning],
        noted: Sequence[SavedStatement],
    ) -> Flow[tuple[list[Edit], list[str]]]:
        """Ask about one part of the conversation; an invalid edit is sent back once, then dropped."""
        keys = {f"k{number}": learning for number, learning in enumerate(known, start=1)}
        prompt = self._prompt(turn, part, keys, shut, noted)
        raws, answer = yield from self.questioner.ask(prompt)
        edits, wrong = self._check(turn, part, keys, raws)
        if not wrong:
            return drop_forgotten(edits, part, shut), []
        sent_back = HumanMessage(
            "These edits are not valid:\n"
            + "\n".join(f"- {raw}: {why}" for raw, why in wrong)
            + "\nAnswer with corrected versions of these only; leave out what cannot be corrected."
        )
        said = AIMessage(answer.text or str(raws))
        raws, _ = yield from self.questioner.ask([*prompt, said, sent_back])
        corrected, dropped = self._check(turn, part, keys, raws, first=len(edits))
        return drop_forgotten([*edits, *corrected], part, shut), [f"dropped {raw}: {why}" for raw, why in dropped]

    def _prompt(
        self,
        turn: Turn,
        part: Sequence[Line],
        keys: Mapping[str, Learning],
        shut: Sequence[Learning],
        noted: Sequence[SavedStatement],
    ) -> list[BaseMessage]:
        # A profile's list of fields tempts small models to fill in a form: it comes last.
        stores = sorted(self.stores, key=lambda store: store.stable)
        kinds = "\n\n".join(f"## {', '.join(store.asked)}\n{store.instructions}" for store in stores if store.asked)
        system = PROMPT.substitute(today=f"{turn.now:%Y-%m-%d}", stores=kinds)
        blocks = {
            "known": _rows_within(self.budget // 4, (f"{key}: {_render_known(one)}" for key, one in keys.items())),
            "forgotten": _rows_within(
                self.budget // 16, (f"- {escape_line(one.text)}" for one in shut if not _is_proposed(one))
            ),
            "proposed": _rows_within(
                self.budget // 16, (f"- {escape_line(one.text)}" for one in shut if _is_proposed(one))
            ),
            "saved": _rows_within(self.budget // 16, (f"- {one.kind} · {escape_line(one.text)}" for one in noted)),
            "conversation": [line.text for line in part],
        }
        shown = "\n".join(f"<{name}>\n{chr(10).join(rows)}\n</{name}>" for name, rows in blocks.items() if rows)
        return [SystemMessage(system), HumanMessage(f"{shown}\n\n{QUESTION.substitute().strip()}")]

    def _check(
        self,
        turn: Turn,
        part: Sequence[Line],
        keys: Mapping[str, Learning],
        raws: Sequence[dict[str, Any]],
        first: int = 0,
    ) -> tuple[list[Edit], list[tuple[dict[str, Any], str]]]:
        edits, wrong = [], []
        for number, raw in enumerate(raws, start=first):
            try:
                edits.append(self.checks.edit(turn, part, keys, raw, number))
            except ValidationError as error:
                wrong.append((raw, explain_error(error)))
            except InvalidEdit as error:
                wrong.append((raw, str(error)))
        return edits, wrong

    def _process(self, edits: Sequence[Edit], known: Sequence[Learning]) -> Flow[list[Learning]]:
        flows = []
        for store in self.stores:
            own = [edit for edit in edits if edit.kind in store.kinds]
            if own:
                flows.append(process_edits(store, own, known))
        written = yield from gather(flows)
        return [learning for learnings in written for learning in learnings]


def read_closed(stores: Sequence[LearningStore], caller: Caller) -> Flow[list[Learning]]:
    """Return what must not be asked for again: what was forgotten or refused, and what is proposed already."""
    places = [
        (caller.namespace(scope, store.name), status)
        for store in stores
        for scope in {store.scope, Scope.USER}
        for status in _CLOSED
        if store.asked and not _is_thread_store(store) and (status is Status.REJECTED or store.mode is Mode.PROPOSE)
    ]
    found = yield from search(*(SearchOp(place, {"status": status.value}, limit=20) for place, status in places))
    return read_learnings(found, [place for place, _ in places])


def _render_known(one: Learning) -> str:
    """Return something known as the model is told it, with how often it was said: that may be evidence."""
    times = len(messages_of(one.sources))
    return f"{one.kind} · {escape_line(one.text)}{f' (said {times} times)' if times > 1 else ''}"


def process_edits(store: LearningStore, edits: Sequence[Edit], known: Sequence[Learning]) -> Flow[list[Learning]]:
    """Return what a learning store wants written for edits of its own."""
    written = yield from as_flow(store.process(edits, [one for one in known if one.kind in store.kinds]))
    if foreign := next((one for one in written if one.store_name != store.name), None):
        raise Misconfigured(f"{store.name}.process returned a learning of {foreign.store_name}: each keeps its own.")
    return written


def _recall_known(store: LearningStore, asked: Request) -> Flow[list[Learning]]:
    return (yield from as_flow(store.recall(asked)))


def _learnings_of(edits: Sequence[Edit]) -> list[Learning]:
    return [edit.learning() for edit in edits if edit.record is not None]


def drop_forgotten(edits: Sequence[Edit], part: Sequence[Line], forgotten: Sequence[Learning]) -> list[Edit]:
    """Leave out what the user asked to forget, unless they say it anew; what they forget right now, in any case."""
    now = {normalize(edit.replaces.text) for edit in edits if edit.record is None and edit.replaces}
    before = {normalize(learning.text) for learning in forgotten if learning.status is Status.REJECTED}
    said = {line.id: content_words([line.text]) for line in part if line.channel == "user"}

    def wanted(edit: Edit) -> bool:
        if edit.record is None:
            return True
        text = edit.learning().text
        anew = content_words([text]) <= said.get(edit.source.messages[0], set())
        return normalize(text) not in now and (normalize(text) not in before or anew)

    return [edit for edit in edits if wanted(edit)]


def _mark_read(caller: Caller, read: Sequence[tuple[str, ...]], cursor: Item | None) -> ExtractionResult:
    """Return the lesson that marks messages as read, and says nothing else."""
    if not caller.thread or not read:
        return ExtractionResult()
    before = list(cursor.value["marks"]) if cursor else []
    marks = [*before, *(mark for message in read for mark in message)][-CURSOR_SIZE:]
    return ExtractionResult(
        marks=((*_cursor(caller), {"marks": marks}),), cursor=(*_cursor(caller), version_of(cursor))
    )


def _cursor(caller: Caller) -> ItemRef:
    return caller.namespace(Scope.THREAD, CURSOR), "read"


def _is_proposed(learning: Learning) -> bool:
    return learning.status is Status.PROPOSED and not learning.retires


def _is_thread_store(store: LearningStore) -> bool:
    return store.scope == Scope.THREAD


def _rows_within(budget: int, rows: Any) -> list[str]:
    kept: list[str] = []
    for row in rows:
        budget -= count_tokens(row)
        if budget < 0:
            break
        kept.append(row)
    return kept
