"""What is forgotten in other words than it was told in is in no table afterwards, whoever learns from the request."""

import re
from typing import Any

import psycopg
import pytest
from langchain_core.messages import AIMessage, BaseMessage
from people import ALEX, NOTHING, conversation, edit, edits, machine, observation, prompt, said, thread
from psycopg import sql

from langgraph_learning import (
    BehavioralFeedback,
    DecisionLog,
    EntityMemory,
    Episodes,
    LearnedKnowledge,
    Mode,
    Scope,
    SessionContext,
    Sharing,
    UserMemory,
)
from langgraph_learning.background.schedule import Schedule
from langgraph_learning.postgres import HybridPostgresStore

CASES = """
I have epilepsy | Has epilepsy | Forget about my EPILEPSY 🙏 | epilep
I have two cats, Mitzi and Rollo | Has two cats, Mitzi and Rollo | forget that I have 2 cats | mitzi; rollo
My son is called Timothy | Has a son, Timothy | Please forget Timmy, my son | timothy; timmy
Ich habe Schulden bei der Sparkasse | Hat Schulden bei der Sparkasse | Vergiss meine Schuld bei der Bank | schuld; sparkasse
我有 HIV | 有 HIV | 忘记我的hiv | hiv
I owe Olaf twelve thousand euros | Owes Olaf 12,000 euros | forget that I owe Olaf 12.000 € | olaf; twelve; 12,000; 12.000
I got divorced 💔 from Ines | Got divorced from Ines | please forget 💔 and the divorce from Ines | divorc; ines; 💔
I work at ACME GmbH in Wuppertal | Works at ACME GmbH, Wuppertal | forget acme and Wuppertal | wuppertal; gmbh
У меня долги перед Олегом | Имеет долги перед Олегом | Забудь про мой долг Олегу | долг; олег
J'ai deux chevaux à Dijon | A deux chevaux à Dijon | Oublie mon cheval à Dijon | cheva; dijon
OKです、糖尿病です | 糖尿病がある | 糖尿病のことは忘れて | 糖尿病
My wives are Ann and Beatrix | Has wives Ann and Beatrix | Forget my wife Beatrix and Ann | beatrix; wives
""".strip().splitlines()


def learn_everywhere(text: str) -> AIMessage:
    """An answer that notes a statement under all kinds, with cues."""
    return edits(
        observation(text),
        {
            **edit("insight", category="insight", title="N", insight=text, when_to_apply=text),
            "cues": [f"talking about {text}"],
        },
        edit("session", summary=text, goal=None, plan=[], progress=None),
        {**edit("fact", entity="Kim", fact=text, as_of=None), "audience": "user"},
        edit("decision", decision=text, reasoning=text, alternatives=[], context=None, confidence="high"),
        edit("feedback", behaviour=text, worked=False, instead=text, situation=text),
    )


def tables_with(words: list[str], url: str) -> set[tuple[str, str]]:
    """Each table that holds one of these words, with the word."""
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    with psycopg.connect(url) as connection:
        names = [name for (name,) in connection.execute(tables)]
        select = sql.SQL("SELECT each::text FROM {} AS each")
        held = {name: str(connection.execute(select.format(sql.Identifier(name))).fetchall()) for name in names}
    return {(name, word) for name, text in held.items() for word in words if word in text.lower()}


@pytest.mark.parametrize("learn", ["deferred", "queue"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rpartition("| ")[2])
def test_no_table_holds_it(postgres_store: HybridPostgresStore, database_url: str, case: str, learn: Any):
    """Nor what was proposed, waits for others, quotes it as a cue, asked to forget it, or echoes that."""
    told, noted, request, gone = case.split(" | ")
    words = gone.split("; ")

    def extract(shown: list[BaseMessage]) -> AIMessage:
        read = conversation(shown)
        if any(request in text for _, _, text in read):
            known = re.findall(r"^(k\d+): (.*)$", prompt(shown), re.MULTILINE)
            keys = [key for key, line in known if any(word in line.lower() for word in words)]
            return edits(*(edit("forget", replaces=key, message=read[-2][0]) for key in keys))
        return learn_everywhere(noted) if any(told in text for _, _, text in read) else NOTHING

    stores = [
        UserMemory(),
        SessionContext(),
        Episodes(),
        EntityMemory(scope=Scope.TEAM),
        LearnedKnowledge(scope=Scope.TEAM, sharing=Sharing.after(3)),
        DecisionLog(mode=Mode.PROPOSE),
        BehavioralFeedback(),
    ]
    learning = machine(extract, stores, store=postgres_store, learn=learn, schedule=Schedule())
    agent = learning.wrap(lambda state: {"messages": [AIMessage(f"{noted}: {state['messages'][-1].text}")]})
    held = []
    for name, text in (("a", told), ("b", request)):
        agent.invoke(said(text), thread(name), context=ALEX)
        if learn == "queue":
            learning.jobs.hurry()
            learning.worker().drain()
        held.append(tables_with(words, database_url))

    assert {"learning_items", "learning_changes"} <= {table for table, _ in held[0]}
    assert set() == held[1]
