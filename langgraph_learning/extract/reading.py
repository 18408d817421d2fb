"""Reading of a turn: the model is asked chunk by chunk, oldest first, within one limit of time."""

import time
from collections.abc import Sequence

from langgraph.errors import GraphBubbleUp

from langgraph_learning.core.flow import Flow
from langgraph_learning.core.records import Edit
from langgraph_learning.core.transcript import Line
from langgraph_learning.extract.attempts import Reading, count_attempt, is_suspect
from langgraph_learning.extract.chunk import ChunkReader, Material
from langgraph_learning.extract.failures import blames_input
from langgraph_learning.extract.tool_dedup import repeats_saved


def read_chunks(reader: ChunkReader, material: Material, chunks: Sequence[Sequence[Line]]) -> Flow[Reading]:
    """Ask the model about each chunk; what it cannot be asked about is left for the next turn.

    While the model cannot be reached, no message is set aside. It can be reached if it answers for another chunk or,
    where only chunks failed that had failed before, for a harmless message.
    """
    reading = Reading()
    failed: list[tuple[Sequence[Line], Exception]] = []
    reached = False
    started = time.monotonic()
    for chunk in chunks:
        suspect = is_suspect(chunk, material.unread)
        timeout = _remaining_time(reader.model.timeout, started, suspect)
        try:
            answer = yield from reader.read_chunk(material, chunk, reading.edits, timeout)
        except GraphBubbleUp:
            raise
        except Exception as error:  # noqa: BLE001 - counted, reported, and raised if the machine shall
            failed.append((chunk, error))
            reading.failure = error
            if blames_input(error):
                reached = True
            elif not suspect:
                break  # it is down: neither this chunk nor those after it
            continue
        reached = True
        reading.edits += [edit for edit in answer.edits if _is_wanted(edit, reader, material)]
        reading.errors += answer.errors
        reading.read += chunk
    if failed and not reached and all(is_suspect(chunk, material.unread) for chunk, _ in failed):
        timeout = _remaining_time(reader.model.timeout, started, suspect=False)
        reached = yield from reader.answers_otherwise(material, failed[0][0], timeout)
    for chunk, failure in failed:
        count_attempt(reading, chunk, material.unread, failure, reached)
    return reading


def _remaining_time(limit: float | None, started: float, suspect: bool) -> float | None:
    """Return the seconds that the model may take for a chunk, so that all of a turn together stay in the limit.

    A chunk that failed before leaves half of the time to those after it.
    """
    if limit is None:
        return None
    left = max(0.001, limit - (time.monotonic() - started))
    return left / 2 if suspect else left


def _is_wanted(edit: Edit, reader: ChunkReader, material: Material) -> bool:
    """Return True unless the user opted out of the edit's store, or a tool saved the same already."""
    opted_out = edit.record is not None and reader.validator.store_of(edit).name in material.background.opted_out
    return not opted_out and not repeats_saved(edit, material.saved, material.unread.messages)
