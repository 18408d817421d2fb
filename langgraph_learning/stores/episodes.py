"""Episodes: the messages of earlier conversations word for word, found by the question."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import takewhile
from typing import Any, ClassVar

from langchain_core.messages import AIMessage, AnyMessage

from langgraph_learning.core.flow import Flow, get_item
from langgraph_learning.core.keys import FORGET_TOOL, note_key
from langgraph_learning.core.learning import Learning, MessageRef, messages_of
from langgraph_learning.core.policy import Mode
from langgraph_learning.core.records import Edit, Record, reject_replaced
from langgraph_learning.core.repository import get_many
from langgraph_learning.core.scopes import ItemRef, Scope
from langgraph_learning.core.text import escape_line, truncate
from langgraph_learning.core.transcript import Line, last_turn, utterance
from langgraph_learning.errors import Misconfigured
from langgraph_learning.stores.base import LearningStore, Note, Request, Turn
from langgraph_learning.stores.ranking import OVERFETCH, search_active

MAX_SHOWN_CHARS = 800
"""Characters of one message that are shown at most."""
CONTEXT_CHARS = 200
"""Characters at the end of a message that help to find the next one."""
QUIETER = 0.1
"""Relevance by which a message is behind a learning that is as near to the question."""
MAX_EXTRA_HITS = 200
"""Additional search hits at most, to make up for messages of the current conversation, which are not shown."""


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
        """Return speaker, date and words: all of them can be searched for."""
        return f"{self.speaker} ({self.on}): {self.said}"


class Episodes(LearningStore):
    """Every message of the user and of the agent, stored without a model call.

    Messages are found by the question and shown with speaker, date and the messages before and after. On
    `HybridPostgresStore`, a match also raises its neighbours, with `index={…, "sequence": Episodes.sequence}`.
    """

    name = "episodes"
    title = "From earlier conversations, word for word"
    observed_records = (Episode,)
    limit = 4
    modes = frozenset({Mode.BACKGROUND})
    sequence: ClassVar[dict[str, str]] = {"by": "data.thread", "order": "data.position"}
    """Index setting by which the database knows neighbouring messages."""

    def __init__(
        self,
        *,
        name: str | None = None,
        scope: Scope | None = None,
        limit: int | None = None,
        tools: bool | None = None,
        keep: timedelta | None = None,
    ) -> None:
        """Set up the store.

        limit: number of messages found at most; each is shown with its neighbours.
        keep: time for which a message is recalled; None: until it is forgotten.
        tools: True if the agent may search for more during a turn.
        """
        super().__init__(name=name, scope=scope, limit=limit, tools=tools, keep=keep)

    def recall(self, request: Request) -> Flow[list[Learning]]:
        """Find messages of other conversations, and those that were trimmed from this one.

        Each match is followed by its neighbours. An extraction gets nothing: messages are not edited.
        """
        if request.for_extraction or not request.query:
            return []
        namespace, present = request.caller.namespace(self.scope, self.name), _keys_in_branch(request)
        limit = self.limit * OVERFETCH + min(len(present), MAX_EXTRA_HITS)
        items = yield from search_active([namespace], request.query, request.exchange, limit=limit)
        found_items = [item for item in items if item.key not in present]
        matches = list(map(_quieter, self.rank(found_items, [namespace], request)[: self.limit]))
        stored, _ = yield from get_many((namespace, key) for match in matches for key in _neighbour_keys(match))
        found: dict[ItemRef, Learning] = {}
        for match in matches:
            neighbours = [stored.get((namespace, key)) for key in _neighbour_keys(match)]
            for episode in (match, *neighbours):
                if episode and episode.key not in present and episode.is_active(request.now):
                    found.setdefault(episode.ref, episode.model_copy(update={"relevance": match.relevance}))
        return list(found.values())

    @property
    def most_shown(self) -> int:
        """A match has a line, and so have its neighbours."""
        return self.limit * 3

    def without_messages(self, found: Sequence[Learning], messages: Collection[MessageRef]) -> list[Learning]:
        """Leave out these messages and the answers to them, with what was found as their neighbours only."""
        dropped = {episode.key for episode in found if messages_of(episode.sources) & set(messages)}
        if not dropped:
            return list(found)
        left = [episode for episode in found if episode.key not in dropped and not _answers(episode, dropped)]
        # Neighbours are read by key and have no score. Where the store gives none, matches look the same.
        matches = [episode for episode in left if episode.score is not None] or left
        kept = {key for match in matches for key in (match.key, *_neighbour_keys(match))}
        return [episode for episode in left if episode.key in kept]

    def build_context(self, found: Sequence[Learning], request: Request) -> str:
        """Render the messages by conversation, the best conversation first, with a mark for each gap."""
        conversations: dict[Any, list[Learning]] = {}
        for episode in found:
            conversations.setdefault(episode.data["thread"] or episode.key, []).append(episode)
        return "\n".join(_render_conversation(sorted(each, key=_position)) for each in conversations.values())

    def observe(self, turn: Turn, new: Sequence[Line]) -> Flow[list[Note]]:
        """Note each unread message that has a text, with speaker, date, position and the message before it.

        A turn in which the agent forgets something is left out, because it repeats what is to be forgotten.
        """
        off_record = {id(message) for message in _find_forgetting_turns(turn.messages)}
        lines = [line for line in new if utterance(line.message) and id(line.message) not in off_record]
        if not lines:
            return []
        follows, first_position = yield from self._find_predecessor(turn, lines[0].message)
        notes, day = [], turn.today
        for position, line in enumerate(lines, start=first_position):
            # An answer is of the day of its question.
            day = turn.day_of(line.message) or (turn.today if line.channel == "user" else day)
            notes.append(Note(_make_episode(turn, line, day, position, follows), line))
            follows = _episode_key(turn.caller.thread, line.message)
        return notes

    def process(self, edits: Sequence[Edit], known: Sequence[Learning]) -> Flow[list[Learning]]:
        """Add messages that are not stored yet, link them from the messages before, and replace edited ones."""
        rejected = [learning for edit in edits if edit.record is None for learning in reject_replaced(edit)]
        new = [edit.learning() for edit in edits if edit.record is not None]
        predecessors = [(episode.namespace, episode.data["follows"]) for episode in new if episode.data["follows"]]
        stored, _ = yield from get_many([*(episode.ref for episode in new), *predecessors])
        added = [episode for episode in new if episode.ref not in stored]
        edited = [
            _replace_words(stored[episode.ref], episode)
            for episode in new
            if episode.ref in stored and stored[episode.ref].data["said"] != episode.data["said"]
        ]
        stored |= {episode.ref: episode for episode in edited}
        linked = _link_successors(list(stored.values()), added)
        after_edited, _ = yield from get_many((e.namespace, key) for e in edited for key in e.data["followed_by"])
        changed = {**after_edited, **{episode.ref: episode for episode in (*edited, *linked)}}
        known_episodes = stored | changed
        return [*(_put_in_context(episode, known_episodes) for episode in changed.values()), *rejected]

    def quoted_in(self, learning: Learning) -> tuple[str, ...]:
        """Return the keys of the messages that are found by the end of this one, too."""
        return tuple(learning.data["followed_by"])

    def _find_predecessor(self, turn: Turn, first: AnyMessage) -> Flow[tuple[str | None, int]]:
        """Return the key of the message before the first new one, if it is stored, and the position of the new one."""
        earlier = list(takewhile(lambda message: message is not first, filter(utterance, turn.messages)))
        key = _episode_key(turn.caller.thread, earlier[-1]) if earlier else None
        item = (yield from get_item(turn.caller.namespace(self.scope, self.name), key)) if key else None
        # If a client sends its history without ids, no earlier message is found by key: then the number of earlier
        # messages is the position.
        return (key, item.value["data"]["position"] + 1) if item else (None, len(earlier))

    def _check(self) -> None:
        super()._check()
        if self.scope != Scope.USER:
            raise Misconfigured(
                f"{self.name} holds a user's messages word for word, so it stays theirs: leave `scope` out. To share "
                "what others should know, use another learning store."
            )


def turn_in_context(before: str, text: str) -> str | None:
    """Return a second text by which a message is found: the end of the message before it, and the message.

    An answer such as "yes, on Friday" says only together with the question what it is about. A long message says it
    itself, and has none.
    """
    return f"{before[-CONTEXT_CHARS:]}\n{text}" if before and len(text) <= MAX_SHOWN_CHARS else None


def _quieter(match: Learning) -> Learning:
    """Return a match with less relevance than a learning would have: a message says more than what matters of it."""
    relevance = match.relevance
    return match if relevance is None else match.model_copy(update={"relevance": max(relevance - QUIETER, 0.0)})


def _put_in_context(episode: Learning, known: Mapping[ItemRef, Learning]) -> Learning:
    """Return a message with the text by which it is found in its context; as it is, if the one before is not known."""
    before = known.get((episode.namespace, episode.data["follows"]))
    if before is None:
        return episode
    cue = turn_in_context(before.text, episode.text)
    return episode.model_copy(update={"cues": (cue,) if cue else ()})


def _make_episode(turn: Turn, line: Line, day: date, position: int, follows: str | None) -> Episode:
    speaker = turn.caller.user if line.channel == "user" else "agent"
    return Episode(
        speaker=speaker,
        on=f"{day:%Y-%m-%d}",
        said=utterance(line.message),
        thread=turn.caller.thread,
        position=position,
        follows=follows,
    )


def _episode_key(thread: str | None, message: AnyMessage) -> str | None:
    """Return the key of a stored message; None without a thread or an id, when no other message can refer to it."""
    return note_key(thread, message.id, Episode.kind) if thread and message.id else None


def _find_forgetting_turns(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """Return the messages of the turns in which the agent called its tool for forgetting."""
    found: list[AnyMessage] = []
    rest = list(messages)
    while rest:
        turn = list(last_turn(rest))
        calls = [call["name"] for message in turn if isinstance(message, AIMessage) for call in message.tool_calls]
        if FORGET_TOOL in calls:
            found += turn
        rest = rest[: -len(turn)]
    return found


def _keys_in_branch(request: Request) -> set[str]:
    """Return the keys of the messages that the conversation still contains."""
    thread = request.caller.thread
    return (
        {note_key(thread, message_id, Episode.kind) for message_id in request.branch if message_id} if thread else set()
    )


def _replace_words(stored: Learning, new: Learning) -> Learning:
    """Return a stored message with the words that an edited message has now; its links stay."""
    data = {**stored.data, "said": new.data["said"]}
    return stored.model_copy(update={"data": data, "text": new.text, "quote": new.quote})


def _link_successors(stored: Sequence[Learning], added: Sequence[Learning]) -> list[Learning]:
    """Return the added messages and the stored messages that they follow, each with the keys of its successors."""
    successors: dict[str, list[str]] = {}
    for episode in added:
        successors.setdefault(episode.data["follows"], []).append(episode.key)
    changed = [episode for episode in stored if episode.key in successors]
    return [
        episode.model_copy(
            update={
                "data": {
                    **episode.data,
                    "followed_by": [*episode.data["followed_by"], *successors.get(episode.key, ())],
                }
            }
        )
        for episode in (*changed, *added)
    ]


def _neighbour_keys(episode: Learning) -> list[str]:
    """Return the keys of the message before, if there is one, and of the messages after."""
    before = [episode.data["follows"]] if episode.data["follows"] else []
    return [*before, *episode.data["followed_by"]]


def _answers(episode: Learning, keys: Collection[str]) -> bool:
    """Return True if a message is the agent's answer to one of these."""
    return episode.data["speaker"] == "agent" and episode.data["follows"] in keys


def _position(episode: Learning) -> int:
    return int(episode.data["position"])


def _render_conversation(episodes: Iterable[Learning]) -> str:
    rows: list[str] = []
    previous: int | None = None
    for episode in episodes:
        if previous is not None and _position(episode) > previous + 1:
            rows.append("[…]")
        rows.append(_render_episode(episode))
        previous = _position(episode)
    return "- " + "\n  ".join(rows)


def _render_episode(episode: Learning) -> str:
    from_tool = any(source.channel == "tool" for source in episode.sources)
    return escape_line(truncate(episode.text, MAX_SHOWN_CHARS)) + (" (after what a tool said)" if from_tool else "")
