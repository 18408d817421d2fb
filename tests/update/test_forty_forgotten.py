"""Forty statements of nine kinds in four scripts, forgotten in three ways, are in nothing that is kept or shown later."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, BaseMessage
from langgraph.checkpoint.memory import InMemorySaver
from people import NOTHING, edit, edits, machine, observation, prompt, said, thread
from psycopg import sql

from langgraph_learning import (
    BehavioralFeedback,
    DecisionLog,
    EntityMemory,
    Episodes,
    LearnedKnowledge,
    LearningContext,
    Scope,
    SelfImprovement,
    SessionContext,
    UserMemory,
    UserProfile,
)
from langgraph_learning.core.learning import Learning
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.testing import ScriptedModel

TURNS = 20
Edits = list[dict[str, Any]]

KINDS: dict[str, Callable[[str], Edits]] = {
    "memory": lambda text: [observation(text)],
    "profile": lambda text: [edit("profile_field", field="expertise", value=text)],
    "fact": lambda text: [edit("fact", entity="Kim", fact=text, as_of=None)],
    "insight": lambda text: [
        edit("insight", category="insight", title="Note", insight=text, when_to_apply=None, until=None)
    ],
    "decision": lambda text: [
        edit("decision", decision=text, reasoning="", alternatives=[], context=None, confidence="high")
    ],
    "feedback": lambda text: [edit("feedback", behaviour=text, worked=True, instead=None, situation=None)],
    # A session, a proposed instruction and a stored message go with the statement that is forgotten.
    "session": lambda text: [observation(text), edit("session", summary=text)],
    "instruction": lambda text: [
        observation(text),
        edit("instruction", section="style", text=text, reasoning="", evidence=[]),
    ],
    "message": lambda text: [observation(text)],
}

LATIN = """
Is allergic to penicillin | penicillin
Lebt von seiner Frau getrennt | getrennt
Cherche un poste à Genève | geneve
Toma insulina cada mañana | insulina
Has two sons, Ezekiel and Bartholomew | ezekiel bartholomew
Wohnt seit Mai in Zürich-Oerlikon | zurich oerlikon
Choruje na padaczkę od dzieciństwa | padaczke dziecinstwa
Çocukları Eskişehir'de okuyor | eskisehir
Earns 84,500 euros a year | 84,500
Was convicted of shoplifting in 2019 | convicted shoplifting
"""
CYRILLIC = """
Болеет диабетом второго типа | диабет
Ждёт ребёнка в сентябре | ребенк
Живёт в Новосибирске | новосибирск
Боится высоты | высот
Развелась прошлой весной | развел
Принимает антидепрессанты | антидепрессант
Увлекается нумизматикой | нумизматик
Брат служит в полиции | полиц
Мріє переїхати до Чернівців | чернівц
Собака по кличке Жулька | жульк
"""
CHINESE = """
对青霉素过敏 | 青霉素
怀孕三个月了 | 怀孕
住在成都锦江区 | 锦江区
正在办理离婚 | 离婚
爱喝茉莉花茶 | 茉莉
女儿叫雨桐 | 雨桐
ペニシリンのアレルギーがある | ペニシリン
来月から大阪に転勤する | 転勤
猫を三匹飼っている | 三匹飼
母は看護師です | 看護師
"""
ARABIC = """
لديه حساسية من الفول السوداني | السوداني
مصابة بداء السكري | السكري
يسكن في مدينة طنجة | طنجه
تستعد للطلاق هذا العام | للطلاق
أخته طبيبة أسنان | اسنان
يتناول دواء للاكتئاب | للاكتئاب
חולה באסתמה מאז ילדותו | אסתמה
גר בשכונת פלורנטין | פלורנטין
בהיריון בחודש החמישי | היריון
आयुर्वेदिक दवा लेते हैं | आयुर्वेदिक
"""


@dataclass(frozen=True)
class Case:
    """A statement, the words that must be found nowhere, its kind, and the way in which it is forgotten."""

    number: int
    statement: str
    words: tuple[str, ...]
    script: str
    kind: str
    way: str

    @property
    def user(self) -> LearningContext:
        """A user of their own, in a team of their own."""
        name = f"user-{self.number}"
        return LearningContext(user_id=name, team_ids=(f"team of {name}",), agent_id=f"agent of {name}")


def spell_differently(text: str, number: int) -> str:
    """One of several spellings of a statement."""
    words = text.split()
    spellings: list[Callable[[], str]] = [
        lambda: f"{text}.",
        text.upper,
        lambda: f"« {text} »!",
        lambda: " ".join([*words[1:], words[0]]),
        lambda: "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text),
        lambda: unicodedata.normalize("NFD", text),
        lambda: fold(text),
        lambda: f"User: {text.replace(',', ';')}",
        lambda: "\u200b".join((text[:3], text[3:])),
        lambda: f"{text} (!)",
    ]
    return spellings[number % len(spellings)]()


def fold(text: str) -> str:
    """A text without case, width and accents."""
    letters = unicodedata.normalize("NFKD", text).casefold().replace("ة", "ه")
    return "".join(char for char in letters if unicodedata.category(char) not in ("Mn", "Cf"))


class Talk:
    """What one user says to an agent, what an extraction makes of it, and what both are shown."""

    def __init__(self, store: HybridPostgresStore, case: Case) -> None:
        self.case = case
        self.prompts: list[str] = []
        self.shown: list[str] = []
        self.events: list[str] = []
        self._answer: dict[str, Any] = NOTHING
        self._replies: list[Any] = []
        stores = [
            UserMemory(tools=True),
            UserProfile(tools=True),
            SessionContext(),
            EntityMemory(scope=Scope.TEAM, tools=True),
            LearnedKnowledge(scope=Scope.TEAM, tools=True),
            DecisionLog(scope=Scope.TEAM, tools=True),
            BehavioralFeedback(scope=Scope.AGENT, tools=True),
            SelfImprovement(evidence=1),
            Episodes(),
        ]
        self.machine = machine(self._extract, stores, store=store, stream_texts=True)
        self.graph = self.machine.wrap(
            lambda tools: create_agent(ScriptedModel(self._reply), tools), checkpointer=InMemorySaver()
        )

    def say(self, text: str, where: str, answer: Edits = [], replies: Sequence[Any] = ("All right.",)) -> None:  # noqa: B006
        """Say something in a thread, of which the extraction makes `answer`."""
        self._answer, self._replies = edits(*answer), list(replies)
        config = thread(f"{where} of {self.case.user.user_id}")
        self.events += map(str, self.graph.stream(said(text), config, context=self.case.user, stream_mode="custom"))

    def _extract(self, shown: Sequence[BaseMessage]) -> dict[str, Any]:
        self.prompts.append(prompt(shown))
        return self._answer

    def _reply(self, shown: Sequence[BaseMessage]) -> Any:
        self.shown.append(prompt(shown))
        return self._replies.pop(0)

    def find_known(self) -> list[Learning]:
        """Return the learnings that hold the statement, without stored messages and what is proposed."""
        learnings = self.machine.learnings(self.case.user)
        return [one for one in learnings if one.kind != "episode" and has_words(one.text, self.case.words)]

    def find_key(self) -> str:
        """Return the key of the statement that is to be forgotten."""
        return self.find_known()[0].key

    def forget_in_words(self) -> None:
        """Let the extraction forget it: the line of its prompt that holds it has a key."""
        self._answer = NOTHING
        self.say("Tell me more about it", "first")
        lines = re.findall(r"^(k\d+): (.*)$", self.prompts[-1], re.MULTILINE)
        keys = [key for key, line in lines if has_words(line, self.case.words) and "session ·" not in line]
        echo = f"I have forgotten: {self.case.statement}"
        self.say(
            f"{FORGET[self.case.script]}: {self.case.statement}", "first", [edit("forget", replaces=keys[0])], [echo]
        )

    def forget_by_key(self) -> None:
        self.machine.forget(self.case.user, self.find_key())

    def forget_by_tool(self) -> None:
        call = {"name": "forget_learning", "args": {"key": self.find_key()}, "id": "1"}
        self.say(FORGET[self.case.script], "first", [], [AIMessage("", tool_calls=[call]), "All right."])


FORGET = {
    "latin": "Please forget this",
    "cyrillic": "Забудь это, пожалуйста",
    "chinese": "请忘记这件事",
    "arabic": "من فضلك انس هذا",
}
WAYS = {"in words": Talk.forget_in_words, "by key": Talk.forget_by_key, "by tool": Talk.forget_by_tool}
SCRIPTS = {"latin": LATIN, "cyrillic": CYRILLIC, "chinese": CHINESE, "arabic": ARABIC}


def read_cases() -> Iterator[Case]:
    """Yield ten statements for each script; kinds and ways change from one to the next."""
    rows = [(script, row) for script, table in SCRIPTS.items() for row in table.strip().splitlines()]
    for number, (script, row) in enumerate(rows):
        statement, words = row.split(" | ")
        kind, way = list(KINDS)[number % len(KINDS)], list(WAYS)[number % len(WAYS)]
        yield Case(number, statement, tuple(fold(words).split()), script, kind, way)


def has_words(text: str, words: Sequence[str]) -> bool:
    """Return True if a text has one of these words, however it is spelled."""
    return any(word in fold(text) for word in words)


def dump(database_url: str) -> str:
    """Return all texts and JSON in all tables of a database."""
    with psycopg.connect(database_url) as connection:
        columns = connection.execute(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        selects = [
            sql.SQL("SELECT {}::text FROM {}").format(sql.Identifier(column), sql.Identifier(schema, table))
            for schema, table, column in columns
        ]
        return fold("\n".join(str(connection.execute(select).fetchall()) for select in selects))


def live_through(talk: Talk, turns: int) -> list[str]:
    """Let a user state something, have it forgotten, and go on while the extraction notes it again and again.

    Return everything that is shown to anybody after the forgetting.
    """
    case, note = talk.case, KINDS[talk.case.kind]
    talk.say(case.statement, "first", note(case.statement), [f"I will remember that: {case.statement}"])
    assert talk.find_known(), f"nothing was learnt of {case.statement}"
    WAYS[case.way](talk)
    before = len(talk.prompts), len(talk.events)
    talk.shown.clear()
    for number in range(turns):
        where = "first" if number % 2 else "second"
        talk.say(f"How is the weather in city {number}?", where, note(spell_differently(case.statement, number)))
        if where == "first":
            talk.shown.pop()  # the agent is shown its thread, which is not ours
    return [*talk.prompts[before[0] :], *talk.events[before[1] :], *talk.shown]


def check(store: HybridPostgresStore, database_url: str, cases: Sequence[Case], turns: int) -> None:
    """Check that nothing is left of any of these statements."""
    for case in cases:
        later = fold("\n".join(live_through(Talk(store, case), turns)))
        assert not has_words(later, case.words), f"{case} was shown again: {later}"
    kept = dump(database_url)
    assert "city 1" in kept, "the turns after the forgetting are stored"
    assert [] == [case for case in cases if has_words(kept, case.words)]


def test_what_is_forgotten_is_nowhere_for_good(postgres_store: HybridPostgresStore, database_url: str):
    """No table, prompt or event has it: not in another spelling, and not as what the agent or the user said of it."""
    check(postgres_store, database_url, list(read_cases())[::5], turns=5)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("script", SCRIPTS)
def test_forty_statements_are_nowhere_for_good(postgres_store: HybridPostgresStore, database_url: str, script: str):
    """Nine kinds, four scripts, and twenty turns after each."""
    check(postgres_store, database_url, [case for case in read_cases() if case.script == script], TURNS)
