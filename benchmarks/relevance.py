"""Benchmark of what an agent is shown: how much of it is of use, and how much of what is of use is shown.

    python -m benchmarks.relevance [--data questions.json.gz] [--others 0 50 300 1000]

It fills a store with what a team knows and asks an agent that learns; the agent notes what its context holds. No model
is asked. The package's own data is `data/relevance.json.gz`; with `--data`, another file of the same form is measured
beside it, with the cues, groups and standing marks of `data/relevance_marks.json` for rows without. Needs the extra
`local`, and `DATABASE_URL` or the extra `embedded`.
"""

import argparse
import gzip
import json
import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from benchmarks.database import databases
from benchmarks.figures import draw_bar
from langgraph_learning import (
    BehavioralFeedback,
    DecisionLog,
    EntityMemory,
    Episodes,
    LearnedKnowledge,
    LearningContext,
    LearningMachine,
    Scope,
    SelfImprovement,
    SessionContext,
    UserMemory,
    UserProfile,
)
from langgraph_learning.core.learning import Channel, Learning, Source
from langgraph_learning.core.policy import Standing
from langgraph_learning.core.records import record_data, record_text, standing_of
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.transcript import count_tokens
from langgraph_learning.embeddings import LocalEmbeddings
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.recall.context import DATA_PREAMBLE
from langgraph_learning.recall.injection import current_context
from langgraph_learning.testing import ScriptedModel

FOLDER = Path(__file__).parent / "data"
START = datetime(2026, 3, 1, tzinfo=UTC)
TEAM, ASKER, TEACHER = "team", "ann", "ben"
GOALS = 60
"""Goals and rules of the team in the runs with standing marks."""
USUAL = 300
"""Other learnings of the team where the number is not varied."""
ABOUT_ASKER = frozenset({"name", "role", "company", "wish"})
"""Keys of what is known of the user who asks."""
LANES = ("near", "mid", "far")
_LINE = re.compile(r"^\s*- ", re.MULTILINE)


class Remembering(Embeddings):
    """Embeds each text once, because many runs store and ask the same."""

    def __init__(self, model: Embeddings) -> None:
        self._model, self._known = model, dict[str, list[float]]()
        self.scale = getattr(model, "scale", None)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known |= zip(new, self._model.embed_documents(new) if new else [], strict=True)
        return [self._known[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question."""
        [vector] = self.embed_documents([text])
        return vector


class Shown(NamedTuple):
    """The context of one answer."""

    keys: frozenset[str]
    lines: int
    """Lines of learnings, without those about the user."""
    tokens: int
    """Tokens of all that was learnt, without the fixed preamble and the agent's instructions."""


@dataclass
class Result:
    """Measurements of one set, by the name of the measurement."""

    rows: dict[str, str] = field(default_factory=dict)


class Team:
    """An agent that learns for one team, on a store that holds what the team knows."""

    def __init__(self, store: HybridPostgresStore, tenant: str) -> None:
        self.store, self.tenant = store, tenant
        self.model = ScriptedModel(lambda call: {"edits": []})
        self._noted = self._asked = 0
        self._seen: list[Shown] = []
        shared = {"scope": Scope.TEAM}
        self.stores = {
            learning_store.name: learning_store
            for learning_store in (
                UserProfile(),
                UserMemory(),
                SessionContext(),
                EntityMemory(**shared),
                LearnedKnowledge(**shared),
                DecisionLog(**shared),
                BehavioralFeedback(**shared),
                SelfImprovement(),
                Episodes(),
            )
        }
        machine = LearningMachine(self.model, list(self.stores.values()), store=store)
        self._graph = machine.wrap(self._answer)

    def note(self, name: str, kind: str, values: Mapping[str, Any], **options: Any) -> Learning:
        """Return a learning as a teacher's own words would leave it; `options` as in `_owner` and `_source`."""
        self._noted += 1
        learning_store = self.stores[name]
        record = learning_store.kinds[kind].model_validate(values)
        return Learning(
            namespace=self._owner(options.get("owner", "team")).namespace(
                _scope_of(options.get("owner", "team")), name
            ),
            key=options.get("key") or f"k{self._noted:05}",
            kind=kind,
            text=record_text(record),
            data=record_data(record),
            sources=(_source(options.get("channel", "user"), options.get("user", TEACHER), self._noted),),
            learned_at=START + timedelta(minutes=self._noted),
            cues=tuple(options.get("cues", ())),
            standing=standing_of(record),
        )

    def learn(self, learnings: Iterable[Learning]) -> None:
        """Store learnings."""
        self.store.batch([learning.put() for learning in learnings])

    def ask(self, *messages: str, user: str = ASKER) -> Shown:
        """Return what an agent is shown for the last of these messages, said in turn by the user and the agent."""
        self._run(messages, user=user, learn=False)
        return self._seen.pop()

    def known_to_extraction(self, *messages: str) -> str:
        """Return what the extraction is told to be known after these messages."""
        self._run(messages, user=ASKER, learn=True)
        prompt = str(self.model.shown[-1][-1].content)
        return prompt.partition("<known>")[2].partition("</known>")[0]

    def _run(self, messages: Sequence[str], *, user: str, learn: bool) -> None:
        self._asked += 1
        context = LearningContext(user_id=user, team_ids=(TEAM,), tenant_id=self.tenant, agent_id="desk", learn=learn)
        config: Any = {"configurable": {"thread_id": f"thread{self._asked}"}}
        self._graph.invoke({"messages": _conversation(messages)}, config, context=context)

    def _answer(self, state: Mapping[str, Any]) -> dict[str, list[AnyMessage]]:
        context = current_context()
        text = str(context or "").replace(DATA_PREAMBLE, "")
        text = re.sub(r"<approved_instructions>.*?</approved_instructions>", "", text, flags=re.DOTALL)
        others = re.sub(r"<(user_profile|user_memory)>.*?</\1>", "", text, flags=re.DOTALL)
        keys = frozenset(key for _, key in context.learnings) if context else frozenset()
        self._seen.append(Shown(keys, len(_LINE.findall(others)), count_tokens(text) if text else 0))
        return {"messages": [AIMessage("Noted.")]}

    def _owner(self, owner: str) -> Caller:
        name = owner.partition(":")[2]
        user = name if owner.startswith("user:") else ASKER
        project = {"project": name} if owner.startswith("project:") else {}
        return Caller.of(
            LearningContext(user_id=user, team_ids=(TEAM,), tenant_id=self.tenant, agent_id="desk", owners=project)
        )


class Set:
    """One data set, with the marks for the rows that have none."""

    def __init__(self, data: Mapping[str, Any], marks: Mapping[str, Any], goals: Sequence[Mapping[str, Any]]) -> None:
        self.data = data
        own = {goal["id"]: goal for goal in data.get("goals", ())}
        self._marks = {"cues": {}, "groups": [], "standing": {}, "templates": []} if own else marks
        self.pairs = [{**pair, **own.get(pair["id"], {}), "question": pair["question"]} for pair in data["pairs"]]
        self.taught = list(own.values()) or self.pairs
        self.goals = goals

    def cues(self, row: Mapping[str, Any]) -> list[str]:
        """Return the cues of a row."""
        if "cues" in row or "id" in row:
            return list(row.get("cues") or self._marks["cues"].get(row["id"], ()))
        for beginning, cues in self._marks["templates"]:
            if row["text"].startswith(beginning):
                return [cue.format(e=row["entity"]) for cue in cues]
        return []

    def category(self, row: Mapping[str, Any]) -> str | None:
        """Return the category that makes a row standing, if it has one."""
        return row.get("category") or self._marks["standing"].get(row.get("id"))

    def group(self, pair: Mapping[str, Any]) -> set[str]:
        """Return the ids of the pairs that say the same."""
        grouped = next((set(group) for group in self._marks["groups"] if pair["id"] in group), set())
        return grouped or {pair["id"]}

    def extra_goals(self) -> Sequence[Mapping[str, Any]]:
        """Return the goals and rules that fill a team up to `GOALS`."""
        standing = {row["text"] for row in self.taught if self.category(row)}
        return [] if "goals" in self.data else self.goals[: GOALS - len(standing)]


def note_row(team: Team, data: Set, row: Mapping[str, Any], standing: bool = False, **options: Any) -> Learning:
    """Return a row as a fact, or as an insight if it stands."""
    options = {"cues": data.cues(row), "key": row.get("id"), **options}
    category, title = data.category(row), row.get("entity") or row["title"]
    if standing and category:
        values = {"category": category, "title": title, "insight": row["text"], "when_to_apply": None}
        return team.note("learned_knowledge", "insight", values, **options)
    return team.note("entity_memory", "fact", {"entity": title, "fact": row["text"], "as_of": None}, **options)


def note_others(team: Team, data: Set, count: int) -> list[Learning]:
    """Return other learnings of the team: three facts to one insight."""
    noted = []
    for nth, row in enumerate(data.data["others"][:count]):
        title, options = row["entity"], {"cues": data.cues(row), "key": f"other{nth}"}
        if nth % 4 == 3:
            values = {"category": "insight", "title": title, "insight": row["text"], "when_to_apply": None}
            noted.append(team.note("learned_knowledge", "insight", values, **options))
        else:
            fact = {"entity": title, "fact": row["text"], "as_of": None}
            noted.append(team.note("entity_memory", "fact", fact, **options))
    return noted


def measure_pairs(team: Team, data: Set, count: int, standing: bool) -> dict[str, str]:
    """Measure the pairs, the unrelated questions and unrelated second turns."""
    taught = [note_row(team, data, row, standing) for row in data.taught]
    if standing:
        taught += [note_row(team, data, row, standing, key=f"goal{n}") for n, row in enumerate(data.extra_goals())]
    team.learn([*taught, *note_others(team, data, count), *_about_asker(team)])
    found, lines, tokens, of_use = defaultdict(int), [], [], 0
    for pair in data.pairs:
        shown = team.ask(pair["question"])
        useful = shown.keys & data.group(pair)
        found[pair["level"]] += bool(useful)
        of_use += len(useful)
        lines.append(shown.lines)
        tokens.append(shown.tokens)
    small = data.data.get("small_talk") or _SMALL_TALK
    standing_keys = {learning.key for learning in taught if learning.standing is not Standing.NO}
    unrelated = {question: team.ask(question) for question in data.data["unrelated"]}
    seconds = [question for question in unrelated if question not in small]
    near = [not unrelated[question].keys - standing_keys - ABOUT_ASKER for question in seconds]
    later = [
        team.ask(pair["question"], "It depends on the details.", seconds[nth % len(seconds)]).lines
        for nth, pair in enumerate(data.pairs)
    ]
    return {
        " · ".join(LANES): " · ".join(str(found[level]) for level in (1, 2, 3)),
        "lines: median, mean, most": f"{statistics.median(lines):g}, {statistics.mean(lines):.1f}, {max(lines)}",
        "of use": f"{100 * of_use / max(sum(lines), 1):.1f} %",
        "tokens": f"{statistics.mean(tokens):.0f}",
        "small talk: lines": f"{sum(unrelated[question].lines for question in unrelated if question in small)}",
        "unrelated: nothing that does not stand": f"{sum(near)}/{len(near)}",
        "unrelated second turn: lines": f"{statistics.mean(later):.1f}",
    }


def count_shown(team: Team, data: Set, rows: Sequence[Mapping[str, Any]], most: int = 1_000, **options: Any) -> str:
    """Store rows among others, and count those that their question shows among the first `most` learnings."""
    learnings = [
        note_row(team, data, row, key=f"row{nth}", **{**_options_of(row), **options}) for nth, row in enumerate(rows)
    ]
    team.learn([*learnings, *note_others(team, data, USUAL)])
    hits = [nth for nth, row in enumerate(rows) if f"row{nth}" in team.ask(row["question"]).keys]
    return f"{len(hits)}/{len(rows)}"


def count_aliases(team: Team, data: Set, rows: Sequence[Mapping[str, Any]], count: int) -> str:
    """Count the facts that are found by another name of their entity."""
    for nth, row in enumerate(rows):
        entity = {name: row[name] for name in ("entity", "type", "aliases")}
        fact = {"entity": row["fact_entity"], "fact": row["fact"], "as_of": None}
        team.learn(
            [
                team.note("entity_memory", "entity", entity),
                team.note("entity_memory", "fact", fact, key=f"row{nth}"),
            ]
        )
    team.learn(note_others(team, data, count))
    return f"{sum(f'row{nth}' in team.ask(row['question']).keys for nth, row in enumerate(rows))}/{len(rows)}"


def count_preferences(team: Team, rows: Mapping[str, Any], others: int, wishes: Sequence[str] = ()) -> str:
    """Count how often the user's wishes for the form of answers are shown, over questions about other things."""
    mine = {"owner": f"user:{ASKER}", "user": ASKER}
    form = [
        team.note("user_memory", "observation", _observation(text, form=True), key=f"row{nth}", **mine)
        for nth, text in enumerate(rows["preferences"])
    ]
    other = [
        team.note("user_memory", "observation", _observation(text, form=False), **mine)
        for text in (*wishes, *rows["others"][:others])
    ]
    team.learn([*form, *other])
    keys = [learning.key for learning in form]
    shown = [team.ask(question).keys for question in rows["questions"]]
    return f"{sum(key in each for each in shown for key in keys)}/{len(shown) * len(keys)}"


def count_follow_ups(team: Team, data: Set, rows: Sequence[tuple[str, str, str, str]], count: int) -> str:
    """Count the follow-ups for which the learning that the question before needed is shown again."""
    team.learn(note_others(team, data, count))
    found = 0
    for nth, (key, question, answer, follow_up) in enumerate(rows):
        shown = team.ask(question, answer, follow_up)
        found += key in shown.keys
        draw_bar(nth + 1, len(rows), f"follow-ups among {count}")
    return f"{found}/{len(rows)}"


def measure(store: HybridPostgresStore, name: str, data: Set, counts: Sequence[int]) -> dict[str, dict[str, str]]:
    """Measure one data set; return the figures by table and row."""
    tables: dict[str, dict[str, str]] = {}
    raw = data.data

    def team(label: str) -> Team:
        return Team(store, f"{name} {label}".replace(" ", "-").replace(".", "-"))

    for standing in (False, True):
        for count in counts:
            label = f"{'standing' if standing else 'nothing standing'}, {count} others"
            tables[label] = measure_pairs(team(label), data, count, standing)
            draw_bar(1, 1, label)
    small: dict[str, str] = {}
    facts = raw.get("follow_ups") or []
    own = [row for row in facts if "entity" in row]
    corrections = raw.get("corrections") or []
    for count in counts:
        fresh = team(f"follow-ups {count}")
        if own:
            fresh.learn(
                note_row(fresh, data, {"entity": row["entity"], "text": row["fact"]}, key=f"row{nth}", cues=())
                for nth, row in enumerate(own)
            )
            turns = [(f"row{n}", row["question"], row["answer"], row["follow_up"]) for n, row in enumerate(own)]
        else:
            learnings = _corrected(fresh, corrections)
            fresh.learn(learnings)
            turns = [
                (known.key, row["question"], f"{known.text}.", row["follow_up"])
                for row in facts
                for known in learnings
                if row["needs"] in known.text
            ]
        small[f"follow-ups among {count}"] = count_follow_ups(fresh, data, turns, count)
        small[f"aliases among {count}"] = count_aliases(team(f"aliases {count}"), data, raw["aliases"], count)
    fresh = team("corrections")
    known = _corrected(fresh, corrections)
    fresh.learn([*known, *note_others(fresh, data, USUAL)])
    before = [
        row.get("exchange") or [facts[nth]["question"], f"{known[nth].text}."] for nth, row in enumerate(corrections)
    ]
    told = [
        known[nth].text in fresh.known_to_extraction(*before[nth], row["said"]) for nth, row in enumerate(corrections)
    ]
    small["corrections: old line is known"] = f"{sum(told)}/{len(told)}"
    small["preferences among 80"] = count_preferences(team("preferences"), raw["preferences"], 80)
    if wishes := raw["preferences"].get("wishes"):
        small[f"… and {len(wishes)} other wishes"] = count_preferences(team("wishes"), raw["preferences"], 80, wishes)
    if "lexical" in raw:
        small["told by a code, name or number"] = count_shown(team("lexical"), data, raw["lexical"], 4)
        small["in other languages"] = count_shown(team("languages"), data, raw["languages"])
        fresh = team("unknown")
        fresh.learn([*(note_row(fresh, data, row, True) for row in data.taught), *note_others(fresh, data, USUAL)])
        stands = {row["id"] for row in data.taught}
        for label in ("unknown", "other_attributes"):
            nothing = [not fresh.ask(question).keys - stands for question in raw[label]]
            small[f"{label.replace('_', ' ')}: nothing that does not stand"] = f"{sum(nothing)}/{len(nothing)}"
        small["harmful"] = count_shown(team("harmful"), data, raw["harmful"])
        worst = [{**row, "owner": "team"} for row in raw["harmful"]]
        small["harmful, if all were noted for the team"] = count_shown(team("worst"), data, worst)
    return {**tables, "other": small}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the tables."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", action="append", default=[], help="another data set, as .json or .json.gz")
    options.add_argument("--others", nargs="*", type=int, default=[0, 50, 300, 1_000])
    given = options.parse_args(arguments)
    own, marks = _load(FOLDER / "relevance.json.gz"), _load(FOLDER / "relevance_marks.json")
    sets = {"own": own} | {Path(path).name.partition(".")[0]: _load(Path(path)) for path in given.data}
    model = LocalEmbeddings()
    index: Any = {"dims": model.dims, "embed": Remembering(model), "fields": ["text"]}
    with (
        databases() as database,
        HybridPostgresStore.from_conn_string(database(), index=index, search_mode="hybrid") as store,
    ):
        store.setup()
        for name, data in sets.items():
            _print(name, measure(store, name, Set(data, marks, own["goals"]), given.others))


def _print(name: str, tables: Mapping[str, Mapping[str, str]]) -> None:
    other = tables["other"]
    columns = [label for label in tables if label != "other"]
    print(f"\n| {name} | {' | '.join(columns)} |\n|---|{'--:|' * len(columns)}")
    for row in tables[columns[0]]:
        print(f"| {row} | {' | '.join(tables[column][row] for column in columns)} |")
    print(f"\n| {name} | |\n|---|--:|")
    for row, figure in other.items():
        print(f"| {row} | {figure} |")


def _load(path: Path) -> Any:
    content = path.read_bytes()
    return json.loads(gzip.decompress(content) if path.suffix == ".gz" else content)


def _conversation(messages: Sequence[str]) -> list[AnyMessage]:
    """Return messages that the user and the agent say in turn; the user says the last one."""
    first = (len(messages) - 1) % 2
    return [
        HumanMessage(text, id=f"m{nth}") if nth % 2 == first else AIMessage(text, id=f"m{nth}")
        for nth, text in enumerate(messages)
    ]


def _scope_of(owner: str) -> Scope:
    scopes = {"team": Scope.TEAM, "user": Scope.USER, "project": Scope.of("project")}
    return scopes[owner.partition(":")[0]]


def _source(channel: Channel, user: str, number: int) -> Source:
    return Source(channel=channel, user=user, thread="earlier", messages=(f"taught{number}",))


def _options_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return who owns a harmful row and where it comes from, as an extraction would have it."""
    if "owner" not in row:
        return {}
    channel = row["said_by"] if row["said_by"] in ("tool", "import") else "user"
    return {"owner": row["owner"], "channel": channel}


def _observation(text: str, *, form: bool) -> dict[str, Any]:
    """Return the values of an observation about the user; `form`: about how answers should look."""
    return {"observation": text, "about_answers": form}


def _about_asker(team: Team) -> list[Learning]:
    """Return what is known of the user who asks: some fields of a profile, and a wish."""
    mine = {"owner": f"user:{ASKER}", "user": ASKER}
    fields = {"name": "Ann Keller", "role": "shift lead", "company": "Lantern Books"}
    return [
        *(
            team.note("user_profile", "profile_field", {"field": k, "value": v}, key=k, **mine)
            for k, v in fields.items()
        ),
        team.note("user_memory", "observation", _observation("Wants short answers", form=True), key="wish", **mine),
    ]


def _corrected(team: Team, rows: Sequence[Mapping[str, Any]]) -> list[Learning]:
    """Return what is known before it is corrected."""
    unsaid = {"fact": {"as_of": None}, "event": {}, "relationship": {}}
    return [
        team.note("entity_memory", row["kind"], {**unsaid[row["kind"]], **row["record"]}, key=f"known{nth}")
        for nth, row in enumerate(rows)
    ]


_SMALL_TALK = ("thanks!", "hi", "ok", "Good morning, how are you?", "lol")


if __name__ == "__main__":
    main()
