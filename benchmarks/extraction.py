"""Benchmark of what extractions cost: a dialogue of 40 small turns, learnt from turn by turn.

    python -m benchmarks.extraction

Nine learning stores, shared with a team; the model is scripted and notes nothing, so that only what is said counts. It
counts the model's calls and the approximate tokens that are sent: the messages and the schema of the answer, four
characters a token.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.store.memory import InMemoryStore

from langgraph_learning import (
    BehavioralFeedback,
    DecisionLog,
    EntityMemory,
    Episodes,
    LearnedKnowledge,
    LearningContext,
    LearningMachine,
    LearningStore,
    Scope,
    SelfImprovement,
    SessionContext,
    UserMemory,
    UserProfile,
)
from langgraph_learning.core.transcript import count_tokens
from langgraph_learning.testing import ScriptedModel

WHO = LearningContext(user_id="alex", team_ids=("acme",), agent_id="desk")

# What is said, and the answer. Eleven of the forty turns only thank, agree or say goodbye.
TURNS = (
    ("Hi, I am new in Karin's team and look after the invoices.", "Welcome! Invoices are in the finance folder."),
    ("Where do I find the template for a credit note?", "In the finance folder, under templates."),
    ("Thanks!", "You are welcome."),
    ("We number credit notes from 7000 on, by the way.", "Then I use 7000 and up."),
    ("Write one for Torvald over 340 euros, please.", "Credit note 7012 for Torvald over 340 euros."),
    ("Torvald was promised payment within ten days.", "I put that on it."),
    ("Perfect.", "It is in the folder."),
    ("How do I change the VAT rate of a line?", "Click the rate and choose another one."),
    ("ok", "Anything else is in the manual."),
    ("In our team two people sign above 5,000 euros.", "Then I ask for the second signature."),
    ("This one is over 6,200, so send it to Dirk.", "Sent to Dirk."),
    ("Great, thank you", "Gladly."),
    ("Which of the open invoices are older than a month?", "Three: 4410, 4417 and 4432."),
    ("Remind all three, but 4417 only by phone.", "Two reminders are out, and a note for the call."),
    ("4417 is Andina, they never read mail.", "I noted that next to the phone number."),
    ("What is 19 percent of 340?", "64.60."),
    ("Thanks, bye for now", "Until later."),
    ("Back again. Did Dirk sign?", "Yes, half an hour ago."),
    ("Good.", "It went out at once."),
    ("Please answer in one sentence, I read this on the phone.", "One sentence it is."),
    ("Can I delete a draft?", "Yes, as long as it has no number."),
    ("Delete the two drafts from Monday.", "Both are gone."),
    ("👍", "Anytime."),
    ("Our auditor comes on 14 March.", "I keep the documents together until then."),
    ("She wants every credit note with its reason.", "Then each gets a line for the reason."),
    ("Which ones have none?", "7003 and 7009."),
    ("7003 was damaged goods, 7009 a typing error.", "Both have their reason now."),
    ("Super, danke", "Gern."),
    ("How long do we keep paper receipts?", "Ten years, by law."),
    ("The scanner on the second floor eats the last page.", "Then better use the one on the first."),
    ("Scan the pile from today there.", "Twelve pages are scanned."),
    ("thx", "Welcome."),
    ("Make a list of all customers with a discount.", "Nine customers, sorted by name."),
    ("Remove Saar, they lost theirs in January.", "Eight are left."),
    ("Send the list to Karin on Fridays.", "Every Friday at nine."),
    ("Is there a shortcut for a new line?", "Control and enter."),
    ("That is handy, thanks", "I thought so."),
    ("From April on we round to whole euros.", "From April on, whole euros."),
    ("Close the day, please.", "All booked, nothing open."),
    ("See you tomorrow!", "Until tomorrow."),
)


class Cost(NamedTuple):
    """What a dialogue cost."""

    calls: int
    tokens: int
    first_call: int
    """Tokens of the first call, in which nothing but a greeting was said."""


def stores() -> list[LearningStore]:
    """Return all nine kinds of learning, configured as for a team."""
    team = Scope.TEAM
    return [
        UserProfile(),
        UserMemory(),
        SessionContext(planning=True),
        EntityMemory(scope=team),
        LearnedKnowledge(scope=team),
        DecisionLog(scope=team),
        BehavioralFeedback(),
        SelfImprovement(),
        Episodes(),
    ]


def note_nothing(shown: Sequence[BaseMessage]) -> dict[str, Any]:
    """Answer as an extraction that finds nothing worth noting."""
    return {"edits": []}


def measure(turns: Sequence[tuple[str, str]] = TURNS) -> Cost:
    """Hold a dialogue that is learnt from turn by turn, and return what its extractions cost."""
    store, model, saver = InMemoryStore(), ScriptedModel(note_nothing), InMemorySaver()
    machine = LearningMachine(model, stores(), store=store, on_error="raise")
    answers = iter(turns)

    def agent(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(next(answers)[1])]}

    graph = machine.wrap(agent, checkpointer=saver)
    run: RunnableConfig = {"configurable": {"thread_id": "dialogue"}}
    for said, _ in turns:
        graph.invoke({"messages": [("user", said)]}, run, context=WHO)
    tokens = [
        sum(count_tokens(message.text) for message in call.messages)
        + count_tokens(json.dumps(call.schema, separators=(",", ":"), ensure_ascii=False))
        for call in model.calls
    ]
    return Cost(len(tokens), sum(tokens), tokens[0])


def main() -> None:
    """Print what the dialogue cost."""
    cost, said = measure(), sum(len(said) for said, _ in TURNS)
    print(f"{len(TURNS)} turns, {said:,} characters said by the user")
    print(f"calls: {cost.calls}, tokens sent: {cost.tokens:,}, of the first call: {cost.first_call:,}")


if __name__ == "__main__":
    main()
