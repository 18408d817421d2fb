"""One chunk of a conversation: the question about it, and the edits of the answer, corrected once if need be."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langgraph.errors import GraphBubbleUp
from pydantic import ValidationError

from langgraph_learning.core.flow import Flow
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.limits import MAX_EDITS, MAX_REPORT_CHARS
from langgraph_learning.core.records import Edit, explain_error, identity_of
from langgraph_learning.core.text import cut
from langgraph_learning.core.transcript import Line, renumber_lines, transcript_lines, utterance
from langgraph_learning.errors import InvalidEdit, LearningError
from langgraph_learning.extract.answers import Answer
from langgraph_learning.extract.attribution import Words, foreign_text, read_words
from langgraph_learning.extract.conversation import lines_before, other_messages
from langgraph_learning.extract.cursor import Unread
from langgraph_learning.extract.failures import blames_input
from langgraph_learning.extract.forgotten import drop_asked, drop_forgotten, forget_and_replace, without_forgotten
from langgraph_learning.extract.known import Background, nearest_candidates
from langgraph_learning.extract.metrics import DroppedEdit, ExtractionMetrics
from langgraph_learning.extract.prompt import render_prompt
from langgraph_learning.extract.structured_output import StructuredModel
from langgraph_learning.extract.tool_dedup import SavedStatement
from langgraph_learning.extract.validation import EditValidator
from langgraph_learning.stores.base import LearningStore, Turn

SMALL_TURN = 500
"""Tokens of conversation up to which the model for small turns is asked, if there is one."""
HARMLESS = HumanMessage("Good morning.")
"""Message at which no model hangs that can be reached."""


@dataclass(frozen=True)
class Material:
    """All that the questions about the chunks of one turn have in common."""

    turn: Turn
    unread: Unread
    background: Background
    saved: Sequence[SavedStatement]
    """What the agent's tools saved in these messages."""
    metrics: ExtractionMetrics


class Question(NamedTuple):
    """A question about one chunk, and what its answer is checked against."""

    prompt: list[BaseMessage]
    lines: list[Line]
    words: Words
    keys: Mapping[str, Learning]
    """The learnings that the prompt shows, by the keys that it gives them."""


class InvalidAnswer(NamedTuple):
    """One edit as the model sent it, and why it is not valid."""

    raw: dict[str, Any]
    reason: str

    def __str__(self) -> str:
        return f"{cut(str(self.raw), MAX_REPORT_CHARS)}: {cut(self.reason, MAX_REPORT_CHARS)}"


@dataclass
class CheckedAnswer:
    """The edits of an answer that are valid, and those that are not."""

    edits: list[Edit] = field(default_factory=list)
    invalid: list[InvalidAnswer] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """What was lost, and why."""


@dataclass(frozen=True)
class ChunkReader:
    """Asks a model about one chunk after the other."""

    stores: Sequence[LearningStore]
    validator: EditValidator
    model: StructuredModel
    small_model: StructuredModel
    """Asked about small turns."""
    own_tools: frozenset[str]
    """Names of the tools whose calls and results are not learnt from."""
    budget: int
    """Tokens of conversation per extraction."""

    def read_chunk(
        self, material: Material, chunk: Sequence[Line], earlier_edits: Sequence[Edit], timeout: float | None
    ) -> Flow[CheckedAnswer]:
        """Ask about one chunk. Invalid edits are sent back once, then dropped and reported.

        earlier_edits: those of the chunks before.
        timeout: seconds for both calls together.
        """
        question = self._question(material, chunk, earlier_edits)
        model = self._choose_model(chunk)
        started = time.monotonic()
        answer = yield from model.ask(question.prompt, timeout, material.metrics)
        checked = self._check(material.turn, question, answer)
        if len(answer.entries) > MAX_EDITS:
            checked.errors.append(f"the answer has {len(answer.entries):,} edits: only the first {MAX_EDITS} count")
        if checked.invalid:
            left = None if timeout is None else max(0.001, timeout - (time.monotonic() - started))
            yield from self._correct(material, question, answer, checked, model, left)
        background = material.background
        checked.edits = drop_forgotten(
            drop_asked(checked.edits, question.lines),
            question.lines,
            background.closed,
            background.forgotten,
            material.turn,
        )
        return checked

    def answers_otherwise(self, material: Material, chunk: Sequence[Line], timeout: float | None) -> Flow[bool]:
        """Return True if the model answers the same question about a harmless message: then the chunk is to blame.

        What is known is left out as well, because it is chosen by the messages.
        """
        lines = transcript_lines([HARMLESS], material.turn.caller.user)
        prompt = render_prompt(self.stores, self.budget, material.turn, (), lines, {}, (), ())
        try:
            yield from self._choose_model(chunk).ask(prompt, timeout, material.metrics)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001 - the failure of the chunk itself is reported
            return blames_input(error)
        return True

    def _choose_model(self, chunk: Sequence[Line]) -> StructuredModel:
        return self.small_model if sum(line.tokens for line in chunk) <= SMALL_TURN else self.model

    def _question(self, material: Material, chunk: Sequence[Line], earlier_edits: Sequence[Edit]) -> Question:
        turn, background = material.turn, material.background
        earlier = other_messages(turn, chunk)
        remembered = without_forgotten(turn.caller.thread, earlier, background.forgotten, turn.time_of)
        before = lines_before(turn, material.unread, remembered, self.own_tools)
        lines = renumber_lines(chunk)
        learnt = [edit.learning() for edit in earlier_edits if edit.record is not None]
        waiting = nearest_candidates(background.candidates, lines)
        keys = {f"k{number}": known for number, known in enumerate((*background.known, *learnt, *waiting), start=1)}
        spoken = [line for line in before if utterance(line.message)]
        prompt = render_prompt(self.stores, self.budget, turn, spoken, lines, keys, background.closed, material.saved)
        words = read_words(lines, turn.today, before, earlier, foreign_text(keys.values()))
        return Question(prompt, lines, words, keys)

    def _correct(
        self,
        material: Material,
        question: Question,
        answer: Answer,
        checked: CheckedAnswer,
        model: StructuredModel,
        timeout: float | None,
    ) -> Flow[None]:
        """Ask once more about the edits that are not valid, and add those that are valid then."""
        complaint = HumanMessage(
            "These edits are not valid:\n"
            + "\n".join(f"- {edit}" for edit in checked.invalid)
            + "\nAnswer with corrected versions of these only; leave out what cannot be corrected."
        )
        again = [*question.prompt, AIMessage(answer.text), complaint]
        try:
            corrected = yield from model.ask(again, timeout, material.metrics)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001 - reported; the valid edits count all the same
            dropped = checked.invalid
            reason = [f"invalid edits could not be corrected: {type(error).__name__}: {error}"]
        else:
            # Numbers, and so keys, that no edit of the first answer has.
            first = len(answer.entries[:MAX_EDITS])
            second = self._check(material.turn, question, corrected, first)
            checked.edits += second.edits
            checked.errors += second.errors
            dropped, reason = second.invalid, []
        material.metrics.dropped += map(self._describe_dropped, dropped)
        checked.errors += [*(f"dropped {edit}" for edit in dropped), *reason]

    def _check(self, turn: Turn, question: Question, answer: Answer, first: int = 0) -> CheckedAnswer:
        """Validate the edits of an answer.

        first: number of its first edit.
        """
        checked = CheckedAnswer(errors=list(answer.problems))
        for number, raw in enumerate(answer.entries[:MAX_EDITS], start=first):
            try:
                checked.edits += self._validate(turn, question, raw, number)
            except ValidationError as error:
                checked.invalid.append(InvalidAnswer(raw, explain_error(error)))
            except InvalidEdit as error:
                checked.invalid.append(InvalidAnswer(raw, str(error)))
            except LearningError:
                raise
            except Exception as error:  # noqa: BLE001 - of a record's own code, such as a validator that assumes
                checked.invalid.append(InvalidAnswer(raw, f"{type(error).__name__}: {error}"))
        return checked

    def _validate(self, turn: Turn, question: Question, raw: dict[str, Any], number: int) -> Iterable[Edit]:
        edit = self.validator.extracted_edit(turn, question.lines, question.words, question.keys, raw, number)
        if edit.record is not None:
            edit.learning(), identity_of(edit.record)  # raise for a record that cannot be stored
        return forget_and_replace(edit, question.lines)

    def _describe_dropped(self, invalid: InvalidAnswer) -> DroppedEdit:
        found = self.validator.kinds.get(str(invalid.raw.get("edit")))
        return DroppedEdit(found.store.name if found else "", invalid.reason)
