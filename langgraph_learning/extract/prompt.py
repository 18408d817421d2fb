"""Prompt of the extraction: the stores' instructions, what is known, and the conversation. Its words: prompt.md."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from langgraph_learning.core.learning import Learning, Status, count_sources, messages_of
from langgraph_learning.core.policy import Standing
from langgraph_learning.core.scopes import Scope
from langgraph_learning.core.text import escape_line
from langgraph_learning.core.transcript import Line, count_tokens
from langgraph_learning.extract.tool_dedup import SavedStatement
from langgraph_learning.stores.base import LearningStore, Turn, name_kinds

PROMPT, QUESTION, CHOICE, VOICES = (
    Template(part) for part in Path(__file__).with_suffix(".md").read_text(encoding="utf-8").split("\n---\n")
)
"""The system prompt; the question after the conversation, which small models heed most; the fields by which an edit
chooses its audience; and how a statement of others is said again, if a learning store counts who says it."""

_READERS = {
    Scope.THREAD: "this session alone",
    Scope.USER: "this user alone",
    Scope.TEAM: "everybody in the team",
    Scope.AGENT: "all users of this agent",
    Scope.GLOBAL: "everybody",
}


def render_prompt(
    stores: Sequence[LearningStore],
    budget: int,
    turn: Turn,
    before: Sequence[Line],
    chunk: Sequence[Line],
    keys: Mapping[str, Learning],
    closed: Sequence[Learning],
    saved: Sequence[SavedStatement],
) -> list[BaseMessage]:
    """Render the messages for one chunk of a conversation.

    before: the lines before the chunk, which were read already.
    budget: tokens of conversation per extraction; what is known gets a share of that beside it.
    keys: the known learnings, by the keys that an edit names them with.
    closed: learnings that must not be learnt again.
    saved: what the agent's tools have saved in these messages.
    """
    proposed = [learning for learning in closed if _is_proposed(learning)]
    forgotten = [learning for learning in closed if not _is_proposed(learning)]
    small = budget // 16
    blocks = {
        "known": _take_rows(budget // 4, [f"{key}: {_render_known(known)}" for key, known in keys.items()]),
        "forgotten": _take_rows(small, [f"- {escape_line(learning.text)}" for learning in forgotten]),
        "proposed": _take_rows(small, [f"- {escape_line(learning.text)}" for learning in proposed]),
        "saved": _take_rows(small, [f"- {statement.kind} · {escape_line(statement.text)}" for statement in saved]),
        "before": [line.text.removeprefix(f"[{line.number}] ") for line in before],
        "conversation": [line.text for line in chunk],
    }
    rendered = "\n".join(f"<{name}>\n{chr(10).join(rows)}\n</{name}>" for name, rows in blocks.items() if rows)
    question = HumanMessage(f"{rendered}\n\n{QUESTION.substitute().strip()}")
    return [SystemMessage(_render_instructions(stores, turn)), question]


def _render_instructions(stores: Sequence[LearningStore], turn: Turn) -> str:
    # A profile's list of fields tempts small models to fill in a form: it comes last.
    ordered = sorted(stores, key=lambda store: store.standing is Standing.ALWAYS)
    names = name_kinds(stores)
    kinds = "\n\n".join(
        f"{_heading(store, [name for name, kind in names.items() if kind.store is store])}\n{store.instructions}"
        for store in ordered
        if store.model_kinds
    )
    return PROMPT.substitute(
        today=f"{turn.today:%A, %Y-%m-%d} (time zone {turn.caller.timezone})",
        choice=_render_choice(stores),
        voices=_render_voices(stores),
        stores=kinds,
    )


def _heading(store: LearningStore, names: Sequence[str]) -> str:
    """Render the heading of a store's part: the kinds of its edits, and who will read them."""
    readers = " or ".join(store.audiences()) or _readers(store.scope)
    return f"## {', '.join(names)} (read by {readers})"


def _render_choice(stores: Sequence[LearningStore]) -> str:
    """Render the fields by which an edit chooses its audience; an empty text if none has a choice."""
    scopes = dict.fromkeys(scope for store in stores for scope in store.audiences().values())
    if not scopes:
        return ""
    return f"{CHOICE.substitute(audiences=describe_audiences(scopes)).strip()}\n"


def describe_audiences(scopes: Iterable[Scope]) -> str:
    """Return the names of scopes with their readers, the narrowest first."""
    ordered = sorted(scopes, key=lambda scope: (scope.reach, scope.name))
    return ", ".join(f'"{scope.name}" ({_readers(scope)})' for scope in ordered)


def _render_voices(stores: Sequence[LearningStore]) -> str:
    """Render how to note what others said already; an empty text if no store waits for more users to say the same."""
    return VOICES.substitute().rstrip() if any((store.sharing.users or 0) > 1 for store in stores) else ""


def _readers(scope: Scope) -> str:
    return _READERS.get(scope, f"everybody in this {scope.name}")


def _render_known(learning: Learning) -> str:
    """Render a known learning for the prompt, with the number of messages that support it."""
    if learning.supporters:
        return f"{learning.kind} · {escape_line(learning.text)} (said by others)"
    joined = (source for source in learning.sources if source.is_joined)
    count = len(messages_of(learning.sources)) + count_sources(joined)
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
