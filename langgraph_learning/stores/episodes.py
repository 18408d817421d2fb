"""What was said, word for word: the messages themselves, so that what no extraction noted is not lost."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import pairwise, takewhile
from typing import Any, ClassVar

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.store.base import GetOp, Item, SearchOp

from langgraph_learning.core.flow import Flow, batch, get_item, search
from langgraph_learning.core.keys import FORGET_TOOL, note_key
from langgraph_learning.core.learning import Learning, Status, read_learnings
from langgraph_learning.core.policy import Mode
from langgraph_learning.core.records import Edit, Record
from langgraph_learning.core.scopes import Namespace, Scope
from langgraph_learning.core.text import escape_line, truncate
from langgraph_learning.core.transcript import Line, last_turn, utterance
from langgraph_learning.errors import Misconfigured
from langgraph_learning.stores.base import LearningStore, Note, Request, Turn
from langgraph_learning.stores.ranking import OVERFETCH

LONGEST_SHOWN = 800
"""How many characters of one message are shown at most."""
MOST_HERE = 200
"""How many messages of the present thread are allowed for at most, when others are looked for."""


class Episode(Record):
    """One message of a user or of the agent."""

    speaker: str
    on: str
    """The day on which it was said."""
    said: str
    thread: str | None
    position: int
    """Its place in the thread: one more than that of the message before it."""
    follows: str | None
    """Key of the message before it."""
    followed_by: tuple[str, ...] = ()
    """Keys of the messages after it: of several, where the thread was forked."""

    def as_text(self) -> str:
        """Return who said when what: all of it can be searched for."""
        return f"{self.speaker} ({self.on}): {self.said}"


class Episodes(LearningStore):
    """The turns themselves: each message of the user and of the agent, kept without any model call.

    They are found by what is asked, with speaker and date, and shown with what was said before and after. On
    `HybridPostgresStore` a match also lifts its neighbours, with `index={…, "sequence": Episodes.sequence}`.
    """

    name = "episodes"
    title = "From earlier conversations, word for word"
    observed_records = (Episode,)
    limit = 4
    modes = frozenset({Mode.BACKGROUND})
    sequence: ClassVar[dict[str, str]] = {"by": "data.thread", "order": "data.position"}
    """What makes two messages neighbours, as index settings say it."""

    def __init__(
        self,
        *,
        name: str | None = None,
        scope: Scope | None = None,
        limit: int | None = None,
        tools: bool | None = None,
        keep: timedelta | None = None,
    ) -> None:
        """limit: how many messages are found at most; each is shown with its neighbours.

        keep: for how long a message is kept in reach; None: until somebody forgets it.
        tools: whether the agent can look for more in the middle of a turn.
        """
        super().__init__(name=name, scope=scope, limit=limit, tools=tools, keep=keep)

    def recall(self, asked: Request) -> Flow[list[Learning]]:
        """Find what was said in other conversations, or so long ago in this one that it is no longer in it.

        Each match is followed by the messages before and after it. Nothing for an extraction: what was said is said.
        """
        if asked.learning or not asked.query:
            return []
        place, here = asked.caller.namespace(self.scope, self.name), _here(asked)
        fetch = self.limit * OVERFETCH + min(len(here), MOST_HERE)
        items = yield from search(SearchOp(place, {"status": Status.ACTIVE.value}, limit=fetch, query=asked.query))
        best = self.rank((item for item in items if item.key not in here), [place], asked)
        beside = yield from _beside(best, place)
        shown = [one for match in best for one in (match, *beside[match.key])]
        return [one for one in _once(shown) if one.key not in here and one.is_active(asked.now)]

    def build_context(self, found: Sequence[Learning], asked: Request) -> str:
        """Render each conversation in its order, the best first, with a mark where something is left out."""
        talks: dict[Any, list[Learning]] = {}
        for one in found:
            talks.setdefault(one.data["thread"] or one.key, []).append(one)
        return "\n".join(_talk(sorted(talk, key=_position)) for talk in talks.values())

    def observe(self, turn: Turn, new: Sequence[Line]) -> Flow[list[Note]]:
        """Note each message that was not read yet and says something: who, when, what, and after what.

        A turn in which the agent forgets something is not kept, for it says once more what is to be forgotten.
        """
        off_record = {id(message) for message in _forgetting(turn.messages)}
        told = [line for line in new if utterance(line.message) and id(line.message) not in off_record]
        before, position = (yield from self._before(turn, told[0].message)) if told else (None, 0)
        notes = []
        for place, line in enumerate(told, start=position):
            notes.append(Note(_episode(turn, line, place, before), line))
            before = _key(turn.caller.thread, line.message)
        return notes

    def process(self, edits: Sequence[Edit], known: Sequence[Learning]) -> Flow[list[Learning]]:
        """Keep what is not kept yet, and let the message before it know what followed on it; no word is changed."""
        forgotten = [one for edit in edits if edit.record is None for one in self._apply(edit, known)]
        new = [edit.learning() for edit in edits if edit.record is not None]
        before = [(one.namespace, one.data["follows"]) for one in new if one.data["follows"]]
        items = yield from batch(*(GetOp(*place) for place in dict.fromkeys([*(one.ref for one in new), *before])))
        kept = read_learnings((item for item in items if isinstance(item, Item)), {one.namespace for one in new})
        added = [one for one in new if one.ref not in {old.ref for old in kept}]
        return [*_chained(kept, added), *forgotten]

    def _before(self, turn: Turn, first: AnyMessage) -> Flow[tuple[str | None, int]]:
        """Return the key of the message before the first new one, if it was kept, and the new one's position."""
        earlier = list(takewhile(lambda message: message is not first, filter(utterance, turn.messages)))
        key = _key(turn.caller.thread, earlier[-1]) if earlier else None
        item = (yield from get_item(turn.caller.namespace(self.scope, self.name), key)) if key else None
        # A client that sends its history without ids makes new messages of it: then its length says where this one is.
        return (key, item.value["data"]["position"] + 1) if item else (None, len(earlier))

    def _check(self) -> None:
        super()._check()
        if self.scope != Scope.USER:
            raise Misconfigured(
                f"{self.name} holds what a user said word for word, so it stays theirs: leave `scope` out. What others "
                "should know of it is learnt by another learning store."
            )


def _episode(turn: Turn, line: Line, position: int, follows: str | None) -> Episode:
    speaker = turn.caller.user if line.channel == "user" else "agent"
    said, day = utterance(line.message), f"{turn.now:%Y-%m-%d}"
    return Episode(speaker=speaker, on=day, said=said, thread=turn.caller.thread, position=position, follows=follows)


def _key(thread: str | None, message: AnyMessage) -> str | None:
    """Return the key under which a message is kept, where the next one can name it."""
    return note_key(thread, message.id, Episode.kind) if thread and message.id else None


def _forgetting(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Return the messages of the turns in which the agent forgets something by its tool."""
    found: list[AnyMessage] = []
    rest = list(messages)
    while rest:
        turn = list(last_turn(rest))
        calls = [call["name"] for message in turn if isinstance(message, AIMessage) for call in message.tool_calls]
        found += turn if FORGET_TOOL in calls else []
        rest = rest[: -len(turn)]
    return found


def _here(asked: Request) -> set[str]:
    """Return the keys of what is still in this conversation."""
    thread = asked.caller.thread
    return {note_key(thread, id_, Episode.kind) for id_ in asked.branch if id_} if thread else set()


def _chained(kept: Sequence[Learning], added: Sequence[Learning]) -> list[Learning]:
    """Return what is added, and what it follows on, each with the keys of what follows on it."""
    written = []
    for one in (*kept, *added):
        after = [other.key for other in added if other.data["follows"] == one.key]
        data = {**one.data, "followed_by": [*one.data["followed_by"], *after]}
        written += [one.model_copy(update={"data": data})] if after or one in added else []
    return written


def _beside(found: Sequence[Learning], place: Namespace) -> Flow[dict[str, list[Learning]]]:
    """Return, for each message that was found, the one before it and those that followed on it."""
    wanted = {key for one in found for key in _links(one)}
    items = yield from batch(*(GetOp(place, key) for key in sorted(wanted)))
    near = read_learnings((item for item in items if isinstance(item, Item)), [place])
    return {one.key: [other for other in near if other.key in _links(one)] for one in found}


def _links(one: Learning) -> list[str]:
    return [*([one.data["follows"]] if one.data["follows"] else []), *one.data["followed_by"]]


def _once(found: Iterable[Learning]) -> list[Learning]:
    return list({one.key: one for one in found}.values())


def _position(one: Learning) -> int:
    return int(one.data["position"])


def _talk(talk: Sequence[Learning]) -> str:
    rows = [_row(talk[0])]
    for one, then in pairwise(talk):
        rows += [*(["[…]"] if _position(then) > _position(one) + 1 else []), _row(then)]
    return "- " + "\n  ".join(rows)


def _row(one: Learning) -> str:
    from_tool = " (after what a tool said)" if any(source.channel == "tool" for source in one.sources) else ""
    return escape_line(truncate(one.text, LONGEST_SHOWN)) + from_tool
