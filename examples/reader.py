"""Offline model of the examples: it answers and extracts by patterns from its messages, and knows nothing else."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import unescape
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage

from langgraph_learning.testing import Answer, ModelCall, ScriptedModel

Slots = dict[str, str]


class Reader(ScriptedModel):
    """A model that answers from its messages alone. Without learnings in them, it says that it does not know."""

    def __init__(self) -> None:
        super().__init__([])

    def answer(self, call: ModelCall, number: int) -> Answer:
        """Extract edits if a schema is given, save with a tool if there is one for it, else answer."""
        if call.schema:
            return {"edits": list(_edits(call))}
        calls = [] if isinstance(call.messages[-1], ToolMessage) else list(_calls(call))
        return AIMessage("", tool_calls=calls) if calls else _reply(call.messages)


def _make_edit(edit: str, **fields: Any) -> dict[str, Any]:
    return {"edit": edit, **fields}


def _field(field: str) -> dict[str, Any]:
    return _make_edit("profile_field", field=field, value=f"{{{field}}}")


def _fact(fact: str) -> dict[str, Any]:
    return _make_edit("fact", entity="{project}", fact=fact)


HEARD: tuple[tuple[str, list[dict[str, Any]]], ...] = (
    (
        r"I'm (?P<name>[A-Z]\w+), (?P<role>[\w ]+) at (?P<company>[A-Z]\w+)",
        [_field("name"), _field("role"), _field("company"), _make_edit("entity", entity="{company}", type="company")],
    ),
    (
        r"leading our (?P<work>\w+) from (?P<old>\w+) to (?P<new>\w+)",
        [
            _make_edit("entity", entity="{company}'s {work} to {new}", type="project", aliases=["{company} {work}"]),
            _make_edit("entity", entity="{new}", type="product"),
            _make_edit("relationship", entity="{name}", relation="leads", target="{company}'s {work} to {new}"),
            _make_edit(
                "relationship", entity="{company}'s {work} to {new}", relation="leaves {old} for", target="{new}"
            ),
        ],
    ),
    (r"in (?P<count>\w+) phases", [_fact("goes in {count} phases")]),
    (r"[Pp]hase (?P<number>\d) (?P<does>moves [^.,;]+)", [_fact("phase {number} {does}")]),
    (r"[Pp]hase (?P<number>\d) (?P<most>is the most [\w-]+)", [_fact("phase {number} {most}")]),
    (
        r"(?P<vendor>[A-Z]\w+) is changing its (?P<what>\w+) next quarter",
        [
            _make_edit("entity", entity="{vendor}", type="product"),
            _make_edit("event", entity="{vendor}", event="changes its {what}", when="{next_quarter}"),
        ],
    ),
    (
        r"Lesson for (?P<case>[\w ]+): (?P<lesson>[^.,;]+), for (?P<because>[^.]+)",
        [
            _make_edit(
                "insight",
                category="pattern",
                title="{lesson}",
                insight="{because}",
                when_to_apply="{case}",
                cues=["planning {case}", "joining a project about {case}", "moving to another cloud"],
            )
        ],
    ),
    (
        r"[Ww]e are (?P<aim>cutting (?P<cost>[\w ]+ costs)[\w ]*), so weigh them when(?:ever)? (?P<case>[^.]+)",
        [
            _make_edit(
                "insight", category="best_practice", title="{cost}", insight="We are {aim}", when_to_apply="{case}"
            )
        ],
    ),
    (r"Keep it short: (?P<habit>[^.]+)", [_make_edit("observation", observation="Wants short answers: {habit}")]),
    (
        r"code lives in (?P<place>\S+[^\s.,])",
        [_make_edit("project_note", topic="code", note="The code lives in {place}")],
    ),
    (
        r"tests run with (?P<tests>`[^`]+`)",
        [_make_edit("project_note", topic="tests", note="The tests run with {tests}")],
    ),
    (
        r"[Uu]se the (?P<where>\w+) environment",
        [_make_edit("project_note", topic="environment", note="Use the {where} environment")],
    ),
    (
        r"(?P<account>[A-Z]\w+) renews (?P<renews>in \w+)",
        [_make_edit("account_note", account="{account}", topic="renewal", note="renews {renews}")],
    ),
    (
        r"(?P<account>[A-Z]\w+) buys through (?P<buyer>[A-Z]\w+)",
        [_make_edit("account_note", account="{account}", topic="buyer", note="buys through {buyer}")],
    ),
    (
        r"No, (?P<wanted>quote the price list of \d+)",
        [
            _make_edit(
                "feedback", behaviour="Quoted another price list", worked=False, instead="{wanted}", situation="prices"
            )
        ],
    ),
    (r"Mind that (?P<gotcha>[^.]+)", [_make_edit("project_note", topic="gotcha", note="Mind that {gotcha}")]),
)
"""Patterns in users' messages with the edits they become, in order; a slot may come from an earlier pattern."""


def _edits(call: ModelCall) -> Iterator[dict[str, Any]]:
    """Yield the edits that the conversation in the last message contains, of the kinds in the schema."""
    text = unescape(call.messages[-1].text)
    kinds = {branch["properties"]["edit"]["enum"][0]: branch["properties"] for branch in _branches(call.schema or {})}
    known = {key: (kind, said) for key, kind, said in re.findall(r"^(k\d+): (\w+) · (.*)$", text, re.M)}
    projects = [name for kind, said in known.values() for name in _projects(kind, said)]
    slots = {"project": projects[0]} if projects else {}
    slots["next_quarter"] = _next_quarter(call.messages[0].text)
    for number, said in re.findall(r"^\[(\d+)\] user [^:]+: (.*)$", text, re.M):
        heard = list(_find_edits(said, slots))
        for edit in [*heard, *_session(said, heard, known), *_instructions(heard, known)]:
            if edit["edit"] in kinds and not _is_known(edit, known):
                empty: dict[str, Any] = {
                    name: [] if name in ("aliases", "plan") else None for name in kinds[edit["edit"]]
                }
                yield {**empty, **edit, "message": int(number)}


def _next_quarter(prompt: str) -> str:
    """Return the quarter after the day that the prompt says it is, as 2027-Q1."""
    year, month = map(int, re.findall(r"Today is \w+, (\d{4})-(\d\d)", prompt)[0])
    quarter = (month - 1) // 3 + 1
    return f"{year}-Q{quarter + 1}" if quarter < 4 else f"{year + 1}-Q1"


def _calls(call: ModelCall) -> Iterator[ToolCall]:
    """Yield tool calls that save what the question says, if there is a tool for it."""
    asked = call.messages[-1].text.split("\n\n<learned")[0]
    for number, edit in enumerate(_find_edits(asked, {})):
        name = f"save_{edit['edit']}"
        if name in call.tool_names:
            given = {field: value for field, value in edit.items() if field != "edit"}
            yield ToolCall(name=name, args={**given, "replaces": None}, id=f"call_{number}")


def _branches(schema: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = schema["properties"]["edits"]["items"]["properties"]["note"]["anyOf"]
    return found


def _projects(kind: str, said: str) -> list[str]:
    return [match[1]] if kind == "entity" and (match := re.match(r"(.+) \(project", said)) else []


def _find_edits(said: str, slots: Slots) -> Iterator[dict[str, Any]]:
    for pattern, edits in HEARD:
        for match in re.finditer(pattern, said):
            slots |= match.groupdict()
            for edit in edits:
                filled = _fill_slots(edit, slots)
                if filled and filled.get("type") == "project":
                    slots["project"] = filled["entity"]
                if filled:
                    yield filled


def _fill_slots(edit: Mapping[str, Any], slots: Slots) -> dict[str, Any] | None:
    """Return an edit with its slots filled, or None if the value of a slot is unknown."""
    filled = {name: _fill_value(value, slots) for name, value in edit.items()}
    if "title" in filled:
        filled["title"] = _capital(str(filled["title"]))
    return None if None in filled.values() else filled


def _fill_value(value: Any, slots: Slots) -> Any:
    if isinstance(value, bool):
        return value
    try:
        return [part.format(**slots) for part in value] if isinstance(value, list) else value.format(**slots)
    except KeyError:
        return None


def _session(
    said: str, heard: Sequence[Mapping[str, Any]], known: Mapping[str, tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """Yield the session's state once its goal is known: the goal, the phases as steps, and a summary."""
    key, before = next(((key, text) for key, (kind, text) in known.items() if kind == "session"), (None, ""))
    goal = re.search(r"I need ([^.,]+)", said) or re.search(r"Goal: ([^|]+?) \|", before)
    if not goal:
        return
    steps = re.findall(r"phase \d moves [^.,;]+", said) or re.findall(r"Step \d+ \(\w+\): ([^|]+?)(?: \||$)", before)
    settled = re.findall(r"So far: ([^|]+?)(?: \||$)", before)
    settled += [edit["fact"] for edit in heard if edit["edit"] == "fact" and edit["fact"] not in steps]
    settled += [f"{e['entity']} {e['relation']} {e['target']}" for e in heard if e["edit"] == "relationship"]
    plan = [{"text": step, "status": "open"} for step in steps]
    yield _make_edit("session", summary="; ".join(settled), goal=goal[1], plan=plan, replaces=key)


def _instructions(heard: Sequence[Mapping[str, Any]], known: Mapping[str, tuple[str, str]]) -> Iterator[dict[str, Any]]:
    """Propose an instruction if two users have asked for the same before."""
    for wanted in [edit["instead"] for edit in heard if edit["edit"] == "feedback"]:
        before = [(key, said) for key, (kind, said) in known.items() if kind == "feedback" and wanted in said]
        times = 1 + sum(int((re.findall(r"\(said (\d+) times\)$", said) or [1])[0]) for _, said in before)
        if times > 2:
            why = f"I should stop doing otherwise: {times} times I was told to {wanted}."
            text = f"{_capital(wanted)}."
            yield _make_edit(
                "instruction", section="prices", text=text, reasoning=why, evidence=[key for key, _ in before]
            )


def _is_known(edit: Mapping[str, Any], known: Mapping[str, tuple[str, str]]) -> bool:
    if edit["edit"] in ("session", "feedback"):
        return False
    if edit["edit"] == "entity":
        return any(kind == "entity" and said.startswith(f"{edit['entity']} (") for kind, said in known.values())
    parts = [
        edit[name] for name in ("value", "fact", "event", "target", "insight", "observation", "note") if name in edit
    ]
    return any(kind == edit["edit"] and all(part in said for part in parts) for kind, said in known.values())


class Line(NamedTuple):
    """One learning in the model's context."""

    block: str
    about: str
    text: str


def _reply(messages: list[BaseMessage]) -> str:
    question = messages[-1].text.split("\n\n<learned")[0]
    lines = list(_read_learnings("\n".join(message.text for message in messages)))
    for pattern, answer in REPLIES:
        if re.search(pattern, question):
            return answer(question, lines)
    return "Good to know."


def _read_learnings(text: str) -> Iterator[Line]:
    """Yield the learnings in the blocks of the prompt."""
    block = about = ""
    for row in unescape(text).splitlines():
        if tag := re.fullmatch(r"<(/?)(\w+)[^>]*>", row):
            block, about = ("" if tag[1] else tag[2]), ""
        elif block == "section":
            yield Line(block, about, row)
        elif block and (found := re.match(r"( *)- (.*?)(?: \(\d{4}-\d\d-\d\d[^()]*\))?$", row)):
            if block == "entity_memory":
                about, _, said = re.sub(r" \(\w+(?:, also [^()]*)?\):", ":", found[2]).rpartition(": ")
                for part in re.split(r"(?: \(\d{4}-\d\d-\d\d[^()]*\))?; ", said):
                    yield Line(block, about, re.sub(r" \[(.*)\]$", r" in \1", part))
            else:
                yield Line(block, about, re.sub(r" \[(.*)\]$", r" in \1", found[2]))


def _needs_a_plan(question: str, lines: list[Line]) -> str:
    return " ".join([*_lessons(_near(question, lines)), "Which phases do you have in mind?"])


def _has_a_plan(question: str, lines: list[Line]) -> str:
    weeks = sum(NUMBERS.index(word) for word in re.findall(r"in (\w+) weeks", question))
    heavy = re.search(r"(phase \d) is (the most [\w-]+)", question, re.I)
    return f"That makes {weeks} weeks.{f' Watch {heavy[1].lower()}: it is {heavy[2]}.' if heavy else ''}"


def _prices_change(question: str, lines: list[Line]) -> str:
    heavy = next(
        (found for line in lines if (found := re.search(r"(phase \d) is the most compute-heavy", line.text))), None
    )
    if heavy is None:
        return "I do not know your plans, so I cannot tell what it means for them."
    moves = next((line.text for line in lines if line.text.startswith(f"{heavy[1]} moves")), heavy[1])
    return f"{_sentence(heavy[0])} So new prices hit hardest there: {moves}. Work out again what that will cost."


def _costs(question: str, lines: list[Line]) -> str:
    said = " ".join(line.text for line in lines if line.block == "section")
    listed = re.search(r"price list of \d+", said)
    what = re.search(r"the (\w+ plan)", question)
    return f"The {what[1]} is on the first page of the {listed[0]}." if what and listed else "I have no price list."


def _has_to_choose(question: str, lines: list[Line]) -> str:
    one, other = re.findall(r"(\w+) or (\w+)", question)[0]
    known = "\n".join(line.text for line in _near(question, lines) if line.block == "learned_knowledge")
    lessons = re.findall(r"^([\w ]+): (.+?)(?:\. Applies when: .*)?$", known, re.M)
    if not lessons:
        return f"I do not know what matters to you, so {one} or {other} is all the same to me."
    return " ".join(
        f"{what}: compare what {one} and {other} would each do to your {cost.lower()}." for cost, what in lessons
    )


def _wants_to_know(question: str, lines: list[Line]) -> str:
    near = _near(question, lines)
    missing = [name for name in _names(question) if not any(name in f"{line.about} {line.text}" for line in lines)]
    parts = [f"I do not know anything about {' or '.join(missing)}."] if missing else []
    for about in dict.fromkeys(line.about for line in near if line.about):
        said = sorted(
            line.text.removeprefix(about).replace(about, "it").strip() for line in near if line.about == about
        )
        parts.append(_sentence(f"{about}: {'; '.join(said)}"))
    parts += _lessons(near)
    parts += [
        _sentence(line.text.split(" · ")[-1])
        for line in near
        if line.block not in ("entity_memory", "learned_knowledge")
    ]
    return " ".join(parts) or "I do not know that yet."


def _lessons(lines: list[Line]) -> list[str]:
    return [_sentence(line.text.split(". Applies when: ")[0]) for line in lines if line.block == "learned_knowledge"]


def _sentence(text: str) -> str:
    return f"{_capital(text).rstrip('.')}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _near(question: str, lines: list[Line]) -> list[Line]:
    """Return the lines that share a content word with the question, and the lines about what those name."""
    near = [line for line in lines if _words(question) & _words(f"{line.about} {line.text}")]
    named = {line.about for line in near if line.about} | {name for line in near for name in _names(line.text)}
    once = {line.text: line for line in reversed(lines) if line in near or line.about in named}
    return [line for line in lines if once.get(line.text) == line]


def _words(text: str) -> set[str]:
    return {word.casefold().rstrip("s") for word in re.findall(r"\w{3,}", text)} - COMMON


def _names(text: str) -> list[str]:
    return re.findall(r"(?<=\w )[A-Z]\w{2,}", text)


NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
COMMON = {"the", "and", "for", "with", "that", "what", "how", "our", "you", "are", "not", "thi", "should", "just"}
REPLIES = (
    (r"I need a", _needs_a_plan),
    (r"phase \d moves", _has_a_plan),
    (r"changing its pricing", _prices_change),
    (r"\w+ or \w+.*\?", _has_to_choose),
    (r"What does .* cost\?", _costs),
    (r"\?", _wants_to_know),
)
"""Patterns of questions with the functions that answer them."""
