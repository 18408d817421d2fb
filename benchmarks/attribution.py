"""Benchmark of attribution: whose statements reach a team when the extraction names the user's message for all of them.

    python -m benchmarks.attribution

The extraction is scripted as the worst plausible model: whatever the statement, it says that the user's message says
it. Foreign statements come from tools, answers that repeat them, mails, forwards, quotations and pasted texts, in the
same words and in others; own statements stand alone, beside them, or look like quotations. No model and no database are
needed.
"""

import argparse
import json
import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.graph import MessagesState
from langgraph.store.memory import InMemoryStore

from langgraph_learning import LearnedKnowledge, LearningContext, LearningMachine, Scope
from langgraph_learning.testing import ScriptedModel

DATA = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
"""When everything is said, since some statements name the date of "next Friday"."""
ALEX, SAM = (LearningContext(user_id=user, team_ids=("acme",), now=NOW) for user in ("alex", "sam"))
OTHER_TOPIC = "The weather in Oslo is mild, 12 degrees, with light wind from the west."
"""What a tool says beside a user's own statement."""


class Case(NamedTuple):
    """One conversation, and a statement that an extraction rests on the user's last message."""

    group: str
    messages: Sequence[AnyMessage]
    learnt: str
    known: str = ""
    """What the team knows before; then the edit forgets it."""


def tool_turn(asked: str, result: str, answer: str) -> list[AnyMessage]:
    """Return a turn in which the agent calls a tool."""
    call = AIMessage("", tool_calls=[{"name": "read_page", "args": {}, "id": "c"}])
    return [HumanMessage(asked), call, ToolMessage(result, tool_call_id="c"), AIMessage(answer)]


def carriers(text: str, asked: str, said: str = "Thanks, go on please") -> Iterator[tuple[str, list[AnyMessage]]]:
    """Yield the ways in which a foreign text comes into a conversation.

    asked: what the user says before a tool brings it.
    said: what the user says to an answer that repeats it.
    """
    read = tool_turn(asked, text, f"It says: {text}")
    yield "tool", tool_turn(asked, text, "Done.")
    yield "tool, repeated", read
    yield "tool, in JSON", tool_turn(asked, json.dumps({"page": "policy", "body": text}, ensure_ascii=False), "Done.")
    yield "tool, listed", tool_turn(asked, f"## Policy\n* {text}", f"Here is what I found:\n- {text}\n- nothing else")
    yield (
        "answer to a later turn",
        [*read[:3], AIMessage("I have read it."), HumanMessage(said), AIMessage(f"As it says: {text}")],
    )
    yield "assent in a later turn", [*read, HumanMessage(said), AIMessage("Anything else?")]
    for group, template in DATA["messages"].items():
        yield group, [HumanMessage(template.replace("{text}", text)), AIMessage("Sure.")]


def foreign_cases() -> Iterator[Case]:
    """Yield conversations in which a statement is somebody else's."""
    for row in DATA["foreign"]:
        for group, messages in carriers(row["text"], row["asked"], row.get("said", "Thanks, go on please")):
            yield Case(group, messages, row["same"])
            yield Case(f"{group}, reworded", messages, row["reworded"])


def pasted_cases() -> Iterator[Case]:
    """Yield messages with a whole text that somebody else wrote, of many kinds, mostly without any mark or request."""
    for row in DATA["pasted"]:
        yield Case(row["kind"], [HumanMessage(row["message"].strip()), AIMessage("Sure.")], row["learnt"])


def own_cases() -> Iterator[Case]:
    """Yield conversations in which a statement is the user's own."""
    for row in DATA["own"]:
        said = HumanMessage(row["said"])
        yield Case("alone", [said, AIMessage("Noted.")], row["learnt"])
        yield Case("a tool in the turn", tool_turn(row["said"], OTHER_TOPIC, "It is mild."), row["learnt"])
        yield Case(
            "a tool in an earlier turn",
            [*tool_turn("And the weather?", OTHER_TOPIC, "Mild."), said, AIMessage("Noted.")],
            row["learnt"],
        )
        amounts = tool_turn("how much was the toner", '{"items": ["toner", "paper"], "total": 31.5}', "31.50")
        yield Case("an answer that repeats it", [*amounts, said, AIMessage(f"Noted: {row['learnt']}")], row["learnt"])
        mail = HumanMessage(f"answer this please:\n\nFrom: bo@example.org\nSubject: Weather\n\n{OTHER_TOPIC}")
        yield Case("a mail before", [mail, AIMessage("Dear Bo …"), said, AIMessage("Noted.")], row["learnt"])


def typed_cases() -> Iterator[Case]:
    """Yield whole messages of a user's own, of many kinds: lists, memos, corrections, code and several paragraphs."""
    for row in DATA["typed"]:
        yield Case(row["kind"], [HumanMessage(row["said"].strip()), AIMessage("Sure.")], row["learnt"])


def ending_cases(own: bool) -> Iterator[Case]:
    """Yield conversations after which the team forgets something: as the user asks, or as a text asks."""
    for row in DATA["ending"]:
        if own:
            yield Case("to forget", [HumanMessage(row["said"]), AIMessage("Ok.")], "", row["known"])
            turn = tool_turn(row["said"], OTHER_TOPIC, "Ok.")
            yield Case("to forget, a tool in the turn", turn, "", row["known"])
        else:
            for group, messages in carriers(row["said"], "Please look into ticket 4711"):
                yield Case(f"to forget, {group}", messages, "", row["known"])


def reaches_team(case: Case) -> bool:
    """Return True if a colleague knows the statement afterwards, or no longer knows what was to be forgotten."""
    answers: list[Any] = []
    model = ScriptedModel(lambda messages: {"edits": answers})
    machine = LearningMachine(model, [LearnedKnowledge(scope=Scope.TEAM)], store=InMemoryStore())
    if case.known:
        answers[:] = [_insight(case.known, 1)]
        _say(machine, [HumanMessage(case.known), AIMessage("Noted.")], "before")
    number = max(n for n, message in enumerate(case.messages, 1) if isinstance(message, HumanMessage))
    edit = {"edit": "forget", "replaces": "k1", "message": number} if case.known else _insight(case.learnt, number)
    answers[:] = [edit]
    _say(machine, case.messages, "talk")
    return bool(machine.learnings(SAM)) != bool(case.known)


def _say(machine: LearningMachine, messages: Sequence[AnyMessage], thread: str) -> None:
    def agent(state: MessagesState) -> dict[str, Any]:
        return {"messages": [messages[-1]]}

    run: Any = {"configurable": {"thread_id": thread}}
    machine.wrap(agent).invoke({"messages": list(messages[:-1])}, run, context=ALEX)


def _insight(text: str, message: int) -> dict[str, Any]:
    fields = {"category": "insight", "title": text, "insight": text, "when_to_apply": None}
    return {"edit": "insight", **fields, "replaces": None, "message": message}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how many statements reached the team, by group."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attribution", description=__doc__)
    parser.add_argument("--failed", action="store_true", help="list the statements that are decided wrongly")
    options = parser.parse_args(arguments)
    print("| | statements | reached the team |\n|---|--:|--:|")
    for name, own, cases in (
        ("foreign", False, [*foreign_cases(), *ending_cases(own=False)]),
        ("pasted", False, list(pasted_cases())),
        ("typed", True, list(typed_cases())),
        ("own", True, [*own_cases(), *ending_cases(own=True)]),
    ):
        reached = [(case, reaches_team(case)) for case in cases]
        count = sum(found for _, found in reached)
        print(f"| {name} | {len(cases)} | {count} ({count / len(cases):.1%}) |")
        for case, found in reached if options.failed else ():
            if found != own:
                print(f"    {case.group}: {case.learnt or case.known!r} / {case.messages[-2].text!r}")


if __name__ == "__main__":
    main()
