"""Answers that are understood only by what was said before them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from langgraph.types import Command, interrupt
from people import ALEX, NOTHING, all_stores, learner, machine, prompt, said, thread

from langgraph_learning import LearningMachine, Scope
from langgraph_learning.background.schedule import Schedule
from langgraph_learning.background.ways import LearnWhere
from langgraph_learning.postgres import HybridPostgresStore

# What the user wants, what the agent asks, what the user answers, and what the answer cannot be understood without.
DIALOGUES = [
    ("help me pick monitors for the office", "What is the budget per monitor?", "400", "budget"),
    (
        "set up the deploy pipeline",
        "Should deploys need an approval by a second person?",
        "yes always",
        "second person",
    ),
    ("plan the offsite", "Who decides on the venue at your company?", "Clara", "venue"),
    ("write the query", "Are amounts stored as cents or as decimals?", "cents", "amounts"),
    ("book the train", "Do you prefer window or aisle?", "aisle, long legs", "window"),
    ("draft the contract", "What notice period do you use with freelancers?", "four weeks", "freelancers"),
    ("Soll ich den Anhänger noch beladen?", "Darf man dort drei Kisten stapeln?", "nein, höchstens zwei", "Kisten"),
    ("check my code", "Should I use tabs or spaces?", "tabs, whole team", "spaces"),
    ("migrate the database", "Shall I drop the old Kafka topics?", "do that", "Kafka"),
    ("our fire drill is coming", "Is it still planned for 9 June?", "no, a week later", "9 June"),
    ("I need a doctor's appointment", "Are you allergic to anything?", "penicillin", "allergic"),
    ("who should sign?", "Is Karin still head of payroll?", "no, Dirk since May", "payroll"),
    ("choose a host", "Which region?\n1. Frankfurt\n2. Dublin\n3. Ohio", "the second one", "Dublin"),
    ("résume le contrat", "Le délai de paiement est-il de trente jours ?", "non, quarante-cinq", "délai de paiement"),
    ("prepara la reunión", "¿Invito también a Lucía de compras?", "mejor no", "Lucía"),
    ("帮我订餐", "你对什么食物过敏？", "花生", "过敏"),
    ("会議室を予約して", "何人で使いますか？", "十二人", "何人"),
    ("احجز لي فندقا", "هل تفضل غرفة للمدخنين؟", "لا", "للمدخنين"),
    ("подготовь отчёт", "Считать выручку с налогом или без?", "без", "выручку"),
    ("회의록을 써 줘", "결정권자는 누구인가요?", "민수", "결정권자"),
    ("toplantıyı ayarla", "Sunumu Ayşe mi yapacak?", "hayır, Mehmet", "Sunumu"),
    ("update the runbook", "Is Orion restarted before the cache is emptied?", "wrong way round", "Orion"),
    ("set up alerts", "Do we page the on-call engineer for disk usage above 90 percent?", "👍", "disk usage"),
    ("order lunch for the team", "Same caterer as for the kickoff, Bellini?", "agreed", "Bellini"),
]
FILLER = "Here is what I found on that. It is long, and nothing in it matters. " * 40


class Form(NamedTuple):
    """The messages with which an agent answers, in one or two steps."""

    first: list[AnyMessage]
    last: list[AnyMessage]


def lookups(count: int) -> Iterator[AnyMessage]:
    """Messages in which an agent asks a tool and gets its answer."""
    for number in range(count):
        yield AIMessage("", tool_calls=[{"name": "look_up", "args": {"n": number}, "id": f"c{number}"}])
        yield ToolMessage("nothing of note", tool_call_id=f"c{number}", name="look_up")


FORMS = {
    "short": lambda question: Form([], [AIMessage(question)]),
    "long": lambda question: Form([], [AIMessage(f"{FILLER}\n{question}\n{FILLER}")]),
    "after tools": lambda question: Form([*lookups(5)], [AIMessage(question)]),
    "before tools": lambda question: Form([AIMessage(question), *lookups(5)], [AIMessage("I looked it up meanwhile.")]),
}


class Talk:
    """Dialogues with an agent that asks back."""

    def __init__(self, form: str, *, pauses: bool = False, fails: bool = False) -> None:
        self.form, self.pauses, self.fails = FORMS[form], pauses, fails

    def agent(self, dialogue: tuple[str, ...]) -> Any:
        """An agent that asks its question at first, and says nothing of note afterwards."""
        question = self.form(dialogue[1])

        def is_first(state: MessagesState) -> bool:
            return sum(message.type == "human" for message in state["messages"]) == 1

        def begin(state: MessagesState) -> dict[str, Any]:
            return {"messages": question.first if is_first(state) else []}

        def end(state: MessagesState) -> dict[str, Any]:
            if is_first(state) and self.pauses:
                interrupt("May I go on?")
            return {"messages": question.last if is_first(state) else [AIMessage("Noted.")]}

        def close(state: MessagesState) -> dict[str, Any]:
            if is_first(state) and self.fails:
                raise ConnectionError("the agent broke off")
            return {}

        graph = StateGraph(MessagesState).add_sequence([("begin", begin), ("end", end), ("close", close)])
        return graph.add_edge(START, "begin").compile()

    def hold(self, learning: LearningMachine, turn: int, number: int, checkpointer: BaseCheckpointSaver[Any]) -> None:
        """Let the user say their part of a dialogue."""
        dialogue = DIALOGUES[number]
        agent = learning.wrap(self.agent(dialogue), checkpointer=checkpointer)
        config = thread(f"t{number}")
        if turn == 0 and self.fails:
            with pytest.raises(ConnectionError):
                agent.invoke(said(dialogue[0]), config, context=ALEX)
            return
        agent.invoke(said(dialogue[2 * turn]), config, context=ALEX)
        if turn == 0 and self.pauses:
            agent.invoke(Command(resume=True), config, context=ALEX)


def learning_in(where: LearnWhere, store: BaseStore) -> LearningMachine:
    """A machine of all kinds of learning, whose extraction notes nothing."""
    stores = all_stores(scope=Scope.TEAM)
    return machine(lambda shown: NOTHING, stores, store=store, learn=where, schedule=Schedule(quiet=0))


def not_understood(talk: Talk, where: LearnWhere, store: BaseStore, saver: Any, *, restart: bool) -> list[str]:
    """The answers whose extraction is not shown what they answer."""
    learning = learning_in(where, store)
    lost = []
    for number, (_, _, answer, needed) in enumerate(DIALOGUES):
        for turn in range(2):
            if restart:
                learning = learning_in(where, store)
            talk.hold(learning, turn, number, saver)
            if where == "queue":
                learning.worker().drain()
        shown = learner(learning).shown[-1][-1].text
        if answer not in shown or needed not in shown:
            lost.append(answer)
    return lost


TALKS = {
    **{form: Talk(form) for form in FORMS},
    "interrupted": Talk("before tools", pauses=True),
    "broken off": Talk("long", fails=True),
}


@pytest.mark.parametrize("talk", TALKS.values(), ids=TALKS)
def test_what_an_answer_answers_is_in_its_prompt(talk: Talk):
    """Whatever the question looked like, and whatever came between."""
    assert [] == not_understood(talk, "deferred", InMemoryStore(), InMemorySaver(), restart=False)


@pytest.mark.parametrize("name", ["long", "interrupted"])
def test_it_is_there_after_a_restart(name: str, postgres_store: HybridPostgresStore, checkpointer: PostgresSaver):
    """Nothing of it is held by a process."""
    assert [] == not_understood(TALKS[name], "deferred", postgres_store, checkpointer, restart=True)


@pytest.mark.parametrize("name", ["long", "before tools"])
def test_it_is_there_in_a_worker(name: str, postgres_store: HybridPostgresStore, checkpointer: PostgresSaver):
    """The worker reads the thread."""
    assert [] == not_understood(TALKS[name], "queue", postgres_store, checkpointer, restart=False)


def test_it_is_there_in_a_worker_that_reads_no_checkpoint(postgres_store: HybridPostgresStore):
    """The job carries what was said before."""
    assert [] == not_understood(TALKS["before tools"], "queue", postgres_store, InMemorySaver(), restart=False)


def test_what_is_off_the_record_is_not_shown_again():
    """Not even to understand what follows."""
    learning, saver = learning_in("deferred", InMemoryStore()), InMemorySaver()
    agent = learning.wrap(lambda state: {"messages": [AIMessage("Noted. What else?")]}, checkpointer=saver)
    for text in ("Orion is late", "Off the record: Karin resigns", "Lunch is at noon"):
        agent.invoke(said(text), thread("a"), context=ALEX)
    shown = learner(learning).shown[-1][-1].text

    assert ("Orion is late" in shown, "Karin" in shown) == (True, False)


@pytest.mark.parametrize("dialogue", DIALOGUES)
def test_it_is_there_if_the_message_before_it_was_edited(dialogue: tuple[str, ...]):
    """The edited message and the answer are read again; what the agent asked stands between them."""
    learning = machine(lambda shown: NOTHING, all_stores(), store=InMemoryStore())
    agent = learning.wrap(Talk("short").agent(dialogue), checkpointer=InMemorySaver())
    agent.invoke({"messages": [HumanMessage(dialogue[0], id="first")]}, thread("a"), context=ALEX)
    edited = [HumanMessage(f"{dialogue[0]} for us", id="first"), HumanMessage(dialogue[2])]
    agent.invoke({"messages": edited}, thread("a"), context=ALEX)

    before, rest = prompt(learner(learning).shown[-1]).split("</before>")
    assert dialogue[3] in before
    assert f"{dialogue[0]} for us" in rest
    assert dialogue[2] in rest
