"""The agent's own tools: search, save and forget learnings in the middle of a turn. Their descriptions: tools.md."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from string import Template
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.errors import GraphBubbleUp
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import ToolNode, ToolRuntime
from langgraph.store.base import PutOp
from pydantic import BaseModel, ValidationError

from langgraph_learning.agent.run_context import RunContext
from langgraph_learning.agent.steps import Loop
from langgraph_learning.background.learner import UPDATE_ATTEMPTS
from langgraph_learning.core.events import describe_written
from langgraph_learning.core.flow import Flow, adrive, as_flow, drive, gather, limit_store_waiting
from langgraph_learning.core.keys import FORGET_TOOL, SEARCH_TOOL, SHORT_KEY, save_tool_name
from langgraph_learning.core.learning import Learning, Status
from langgraph_learning.core.policy import Mode
from langgraph_learning.core.records import FORGET, Edit, explain_error, raw_links
from langgraph_learning.core.repository import find
from langgraph_learning.core.scopes import ROOT
from langgraph_learning.core.text import escape_line, truncate
from langgraph_learning.core.transcript import Line, Speaker, transcript_lines
from langgraph_learning.errors import Conflict, InvalidEdit, Misconfigured, MissingOwner, NotAllowed
from langgraph_learning.extract.cursor import find_speakers, read_cursor
from langgraph_learning.extract.forgotten import drop_forgotten
from langgraph_learning.extract.known import read_closed
from langgraph_learning.extract.processing import process_edits
from langgraph_learning.extract.prompt import describe_audiences
from langgraph_learning.extract.schema import CUES, field_schemas, object_schema
from langgraph_learning.extract.tool_dedup import tool_names
from langgraph_learning.extract.validation import EditValidator, ToolCallIds
from langgraph_learning.recall.injection import read_context
from langgraph_learning.stores.base import EditKind, LearningStore, Request, Turn, name_kinds, readable_namespaces
from langgraph_learning.stores.rendering import render_provenance
from langgraph_learning.update.marks import Forgotten, read_forgotten
from langgraph_learning.update.opt_out import read_opt_outs
from langgraph_learning.update.votes import update_totals, votes_in_edits
from langgraph_learning.update.write_policy import write_learnings

TOOL_FIELDS = (
    "edit",
    "message",
    "replaces",
    "cues",
    "audience",
    "whose",
    "runtime",
    "config",
    "run_manager",
    "callbacks",
)
"""Names that a record's fields cannot have, because tools use them."""
MAX_RESULT_CHARS = 2_000
"""How many characters of one learning a search returns at most."""


def _load_texts() -> dict[str, Template]:
    sections = re.split(r"^## ", Path(__file__).with_suffix(".md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    texts = dict(section.split("\n", 1) for section in sections)
    return {name: Template(text.strip()) for name, text in texts.items()}


_TEXTS = _load_texts()


@dataclass(frozen=True)
class ToolCallContext:
    """One tool call: the run, the conversation, and the ids of the call."""

    run: RunContext
    turn: Turn
    ids: ToolCallIds
    began: datetime
    """When the run's turn began."""

    @classmethod
    def of(cls, run: RunContext, runtime: ToolRuntime[Any, Any]) -> "ToolCallContext":
        """Return the context of the call in progress."""
        # A call is a moment of its own: what it saves is older than what the turn's extraction learns.
        now = run.at_present()
        turn = now.turn(_state_mapping(runtime.state))
        call_id = runtime.tool_call_id or ""
        calling_messages = [
            message.id
            for message in turn.messages
            if isinstance(message, AIMessage) and call_id in [call["id"] for call in message.tool_calls]
        ]
        message_id = (calling_messages[-1] if calling_messages else None) or ""
        return cls(now, turn, ToolCallIds(message_id, call_id), run.now)

    def request(self, query: str, *, learning: bool) -> Request:
        """Return the request to recall for."""
        branch = tuple(message.id or "" for message in self.turn.messages)
        return Request(self.turn.caller, query, self.turn.said_at, branch, self.turn.session, for_extraction=learning)


ToolStep = Callable[[Mapping[str, Any], ToolCallContext], Flow[str]]


class Toolbox:
    """The tools of all learning stores of a machine that have some."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._stores = [store for store in loop.stores if store.tools]
        self._validator = EditValidator(self._stores, loop.stores)
        # The tools' own texts support no statement. Search results stay: what the agent read there is a tool's.
        self._hidden_tools = tool_names(loop.stores) - {SEARCH_TOOL}

    def tools(self) -> list[BaseTool]:
        """Return the tools, if any store has some. Raises `Misconfigured` for a record with a reserved field name."""
        if not self._stores:
            return []
        titles = "; ".join(store.title for store in self._stores)
        query = {"query": {"type": "string", "description": _TEXTS["query"].substitute()}}
        key = {"key": {"type": "string", "description": _TEXTS["key"].substitute()}}
        forget = "forget_or_replace" if self._validator.kinds else "forget"
        tools = [self._make_tool(SEARCH_TOOL, _TEXTS["search"].substitute(titles=titles), query, self.search)]
        tools += [self._make_save_tool(name, found) for name, found in self._validator.kinds.items()]
        return [*tools, self._make_tool(FORGET_TOOL, _TEXTS[forget].substitute(), key, self.forget)]

    def search(self, arguments: Mapping[str, Any], call: ToolCallContext) -> Flow[str]:
        """Find learnings near to a query."""
        if not call.turn.caller.recall:
            raise ToolException("Nothing can be looked up in this conversation. Answer without it.")
        query = arguments.get("query")
        if not isinstance(query, str) or not query.strip():
            raise ToolException("query: say in a few words what to look for.")
        request = call.request(query, learning=False)
        found = yield from gather(as_flow(store.recall(request)) for store in self._stores)
        rows = []
        for learnings in found:
            rows += [_render_result(learning, request) for learning in learnings if learning.is_active(request.now)]
        return "\n".join([_TEXTS["results"].substitute(), *rows]) if rows else "Nothing is known about that."

    def save(self, kind: str, arguments: Mapping[str, Any], call: ToolCallContext) -> Flow[str]:
        """Learn one record, which may replace a known one."""
        return (yield from self._carry_out({**arguments, "edit": kind}, arguments.get("replaces"), call))

    def forget(self, arguments: Mapping[str, Any], call: ToolCallContext) -> Flow[str]:
        """Forget a learning. It is not learnt again, unless the user says it anew."""
        if not arguments.get("key"):
            raise ToolException("key: give the key of what to forget; search_learnings tells it.")
        return (yield from self._carry_out({"edit": FORGET}, arguments["key"], call))

    def _carry_out(self, raw: Mapping[str, Any], key: object, call: ToolCallContext) -> Flow[str]:
        """Carry out an edit, again where what it depends on has changed meanwhile."""
        for _ in range(UPDATE_ATTEMPTS - 1):
            with suppress(Conflict):
                return (yield from self._try_edit(raw, key, call))
        return (yield from self._try_edit(raw, key, call))

    def _try_edit(self, raw: Mapping[str, Any], key: object, call: ToolCallContext) -> Flow[str]:
        """Carry out an edit and describe the outcome, after it is written. Raises `Conflict`."""
        caller = call.turn.caller
        if not (caller.learn if raw["edit"] == FORGET else call.turn.learns):
            raise ToolException("Nothing is saved or forgotten in this conversation. Answer without it.")
        replaces = (yield from self._find_active(str(key), call)) if key else None
        linked = yield from self._read_links(raw, call)
        lines = yield from self._read_lines(call)
        edit = self._validate(call, lines, raw, replaces, linked)
        store = self._validator.store_of(edit)
        if edit.record is not None and store.name in (yield from read_opt_outs(caller)):
            raise ToolException("Nothing is saved here of this user, by their own wish. Go on without it.")
        known, closed, forgotten = yield from self._read_background(edit, call)
        if edit.record is not None and forgotten.covers(call.began):
            raise ToolException("Not saved: the user had everything forgotten in this turn. Go on without it.")
        if not drop_forgotten([edit], lines, closed, forgotten, call.turn):
            raise ToolException("Not saved: it was forgotten or refused before. Save it only if the user says it anew.")
        learnings = yield from process_edits(store, [edit], known)
        votes, voted = yield from votes_in_edits(self._loop.stores, call.turn, [edit])
        said_anew = forgotten.lift([edit.learning()] if edit.record is not None else [])
        puts = [PutOp(*write, index=False) for write in (*votes, *said_anew)]
        expected = forgotten.expected if edit.record is not None else ()
        written = yield from write_learnings(
            self._loop.stores, caller, learnings, *puts, expected=expected, at=call.turn.now
        )
        yield from update_totals(voted, caller.user)
        if any(learning.status is Status.REJECTED for learning in written):
            yield from self._loop.dispatch.forget_marked(caller, call.run.store)
        call.run.emit(describe_written(written, texts=self._loop.stream_texts))
        return _describe_outcome(edit, written, known, store)

    def _read_lines(self, call: ToolCallContext) -> Flow[list[Line]]:
        """Return the conversation, without the turns of other users of the thread."""
        turn = call.turn
        speakers = find_speakers(turn, (yield from read_cursor(turn.caller, turn.originals)))
        own = [message for message in turn.messages if speakers[id(message)] is not Speaker.ABSENT]
        return transcript_lines(
            own, turn.caller.user, self._hidden_tools, speaker_of=lambda message: speakers[id(message)]
        )

    def _find_active(self, key: str, call: ToolCallContext) -> Flow[Learning]:
        namespaces = readable_namespaces(self._stores, call.turn.caller)
        found = yield from find(namespaces, _complete_key(key, call.run), Status.ACTIVE)
        if found is None:
            raise ToolException(f"Nothing known has the key {key!r}. search_learnings tells the keys.")
        return found.learning

    def _read_links(self, raw: Mapping[str, Any], call: ToolCallContext) -> Flow[dict[str, Learning]]:
        """Return the learnings that a record links to, by the keys that the call names."""
        found = self._validator.kinds.get(str(raw["edit"]))
        linked = {}
        for key in raw_links(raw, found.record) if found else ():
            linked[key] = yield from self._find_active(key, call)
        return linked

    def _validate(
        self,
        call: ToolCallContext,
        lines: Sequence[Line],
        raw: Mapping[str, Any],
        replaces: Learning | None,
        linked: Mapping[str, Learning],
    ) -> Edit:
        if replaces and raw["edit"] in self._validator.kinds:
            name = next((name for name, kind in self._validator.kinds.items() if kind.has(replaces)), replaces.kind)
            if name != raw["edit"]:
                raise ToolException(f"replaces: {replaces.key} is corrected with {save_tool_name(name)}.")
        try:
            return self._validator.tool_edit(call.turn, lines, raw, replaces, linked, call.ids)
        except ValidationError as error:
            raise ToolException(f"Not saved. {explain_error(error)}") from error
        except InvalidEdit as error:
            raise ToolException(f"Not done: {error}.") from error

    def _read_background(
        self, edit: Edit, call: ToolCallContext
    ) -> Flow[tuple[list[Learning], list[Learning], Forgotten]]:
        """Return the known learnings near to an edit, those that must not be learnt again, and what was forgotten."""
        if edit.record is None:
            return [edit.replaces] if edit.replaces else [], [], Forgotten()
        store = self._validator.store_of(edit)
        request = call.request(edit.learning().text, learning=True)
        caller = call.turn.caller
        reads: list[Flow[Any]] = [
            as_flow(store.recall(request)),
            read_closed([store], caller),
            read_forgotten(self._loop.stores, caller),
        ]
        found, closed, forgotten = yield from gather(reads)
        known = [learning for learning in found if learning.namespace[0] == ROOT and learning.status is Status.ACTIVE]
        if edit.replaces and edit.replaces not in known:
            known.append(edit.replaces)
        return known, closed, forgotten

    def _make_save_tool(self, name: str, kind: EditKind) -> BaseTool:
        store, _, record = kind
        replaces = {"anyOf": [{"type": "string", "description": _TEXTS["replaces"].substitute()}, {"type": "null"}]}
        fields = {**field_schemas(record, TOOL_FIELDS), "replaces": replaces}
        if store.cued:
            fields["cues"] = {**CUES, "description": _TEXTS["cues"].substitute()}
        if audiences := store.audiences():
            described = _TEXTS["audience"].substitute(audiences=describe_audiences(audiences.values()))
            fields["audience"] = {"type": "string", "enum": list(audiences), "description": described}
        text = _TEXTS["propose" if store.mode is Mode.PROPOSE else "save"]
        description = text.substitute(purpose=_describe_purpose(store, record))
        return self._make_tool(save_tool_name(name), description, fields, partial(self.save, name))

    def _tolerate_errors(self, name: str, step: ToolStep) -> ToolStep:
        """Return a step whose failure the agent is told, so that it answers without memory. It is reported as well."""

        def tolerant_step(arguments: Mapping[str, Any], call: ToolCallContext) -> Flow[str]:
            try:
                return (yield from limit_store_waiting(step(arguments, call), call.run.start.waiting))
            except (GraphBubbleUp, ToolException, Misconfigured, MissingOwner, NotAllowed):
                raise
            except Exception as error:
                if self._loop.on_error == "raise":
                    raise
                call.run.report(f"{name} failed: {type(error).__name__}: {error}")
                raise ToolException(_TEXTS["failed"].substitute()) from error

        return tolerant_step

    def _make_tool(self, name: str, description: str, fields: Mapping[str, Any], step: ToolStep) -> BaseTool:
        loop = self._loop
        tolerant_step = self._tolerate_errors(name, step)

        def call(runtime: ToolRuntime[Any, Any], **arguments: Any) -> str:
            run = loop.run()
            return drive(tolerant_step(arguments, ToolCallContext.of(run, runtime)), run.store, runtime.config)

        async def acall(runtime: ToolRuntime[Any, Any], **arguments: Any) -> str:
            run = loop.run()
            return await adrive(tolerant_step(arguments, ToolCallContext.of(run, runtime)), run.store, runtime.config)

        return StructuredTool(
            name=name,
            description=description,
            args_schema={"title": name, **object_schema(fields)},
            func=call,
            coroutine=acall,
            handle_tool_error=True,
        )


def equip_agent(agent: Any, tools: Sequence[BaseTool], stores: Sequence[LearningStore]) -> Any:
    """Return the agent to wrap. If it is a function of `tools`, it is called with the machine's tools.

    Raises `Misconfigured` for an agent without the tools that an AGENTIC store needs.
    """
    is_factory = callable(agent) and not isinstance(agent, Runnable) and _first_parameter(agent) == "tools"
    agent = agent(list(tools)) if is_factory else agent
    present = _tools_in(agent)
    named = name_kinds(stores)
    needed = [save_tool_name(name) for name, kind in named.items() if kind.store.mode is Mode.AGENTIC]
    missing = [name for name in needed if name not in present]
    if missing and (present or not is_factory):
        raise Misconfigured(
            f"An AGENTIC store learns by tools, and the agent has no {missing[0]}: wrap it as "
            "machine.wrap(lambda tools: create_agent(…, tools=[*mine, *tools]))."
        )
    return agent


def _state_mapping(state: Any) -> Mapping[str, Any]:
    """Return a state as a mapping. Agents may have any kind of state, and a tool node takes a list of messages, too."""
    if isinstance(state, Mapping):
        return state
    return {"messages": state} if isinstance(state, list) else vars(state)


def _complete_key(key: str, run: RunContext) -> str:
    """Return the key of the one learning in the agent's context whose key begins so; else the key as it was given."""
    context = read_context(run.config)
    shown = {ref_key for _, ref_key in context.learnings} if context else set()
    beginning = [shown_key for shown_key in shown if shown_key.startswith(key)]
    return beginning[0] if len(key) >= SHORT_KEY and len(beginning) == 1 else key


def _first_parameter(function: Callable[..., Any]) -> str:
    return next(iter(inspect.signature(function).parameters), "")


def _tools_in(agent: Any) -> set[str]:
    """Return the names of the tools that the nodes of a graph can call."""
    if not isinstance(agent, CompiledStateGraph):
        return set()
    subgraphs = [graph for _, graph in agent.get_subgraphs(recurse=True)]
    graphs = [agent, *(graph for graph in subgraphs if isinstance(graph, CompiledStateGraph))]
    runnables = [node.bound for graph in graphs for node in graph.nodes.values()]
    return {name for runnable in runnables if isinstance(runnable, ToolNode) for name in runnable.tools_by_name}


def _render_result(learning: Learning, request: Request) -> str:
    if learning.namespace[0] != ROOT:
        return f"- (from {escape_line(learning.key)}) {escape_line(learning.text)}"
    text = escape_line(truncate(learning.text, MAX_RESULT_CHARS))
    return f"- {learning.key} · {learning.kind}: {text}{render_provenance(learning, request.caller)}"


def _describe_purpose(store: LearningStore, record: type[BaseModel]) -> str:
    """Return a record's docstring; for the first record of a store, with the store's prompt."""
    parts = [" ".join((record.__doc__ or "").split())]
    if record is store.records[0]:
        parts += _adapt_prompt(store)
    return "\n".join(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _adapt_prompt(store: LearningStore) -> list[str]:
    """Return the lines of a store's prompt, reworded for tools: an extraction makes edits, an agent makes calls."""
    prompt = store.instructions
    for kind in store.model_kinds:
        prompt = prompt.replace(f"`{kind}`", f"`{save_tool_name(kind)}`")
    lines = [line for line in prompt.splitlines() if not line.startswith("Example")]
    return [re.sub(r"\bedit(s?)\b", r"call\1", line) for line in lines]


def _describe_outcome(edit: Edit, written: Sequence[Learning], known: Sequence[Learning], store: LearningStore) -> str:
    """Describe what happened to an edit, judged only by what was written."""
    active = {learning.key: learning for learning in written if learning.status is Status.ACTIVE}
    proposed = next((learning.key for learning in written if learning.status is Status.PROPOSED), None)
    if edit.record is None:
        return _describe_forgetting(edit, written, proposed)
    if saved := active.get(edit.key):
        superseded = ", ".join(learning.key for learning in written if learning.status is Status.SUPERSEDED)
        replaced = f", in the place of {superseded}" if superseded else ""
        reach = _describe_reach(saved, store, edit.kept_private)
        return f"Saved with the key {saved.key}{replaced}.{reach} Go on without mentioning it."
    subject = store.subject(edit.learning())
    same = next((learning.key for learning in (*active.values(), *known) if store.subject(learning) == subject), None)
    if same:
        return f"Known already, with the key {same}."
    if proposed:
        return f"Proposed with the key {proposed}: it counts once a person has approved it."
    return "It was proposed already: a person decides."


def _describe_forgetting(edit: Edit, written: Sequence[Learning], proposed: str | None) -> str:
    """Describe a forgetting. Its words are not repeated: the answer stays in the thread."""
    key = edit.replaces.key if edit.replaces else ""
    if any(learning.status is Status.REJECTED for learning in written):
        return f"Forgotten: {key}"
    return f"Proposed{f' with the key {proposed}' if proposed else ' already'}: to forget {key}. A person decides."


def _describe_reach(saved: Learning, store: LearningStore, reason: str) -> str:
    """Say whom a saved learning reaches, if that is less than the store's scope, and why."""
    if reason:
        return f" For this user only: {reason}."
    if saved.scope.name == (saved.audience or store.scope.name):
        return ""
    if saved.sources[-1].channel != "user":
        return " For this user only: what others are shown, a user has to have said in their own words."
    return " For this user only, until it is approved for all or others say the same."
