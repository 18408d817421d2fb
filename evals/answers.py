"""Evaluation of answers: whether an agent uses what it knows, and whether it announces that it remembers."""

from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableConfig
from langgraph.store.memory import InMemoryStore

from evals.conversations import Question
from evals.lesson import WHO, know, machine
from evals.scoring import contains

TELLTALES = (
    "as I remember|I remember|I recall|as I recall|from memory|in my memory|my memory",
    "according to my records|my records|my notes|according to what I know|on record",
    "as you told me|you told me|you've told me|as you mentioned|you mentioned|you previously|you once said|as you said",
    "earlier conversation|previous conversation|past conversation|last conversation|our last chat|last time we",
    "I know that you|I know you|I have learned|I've learned|I learned that|what I learned|was learnt|I was told",
    "based on what I know|based on the information|based on the context|background data|the provided context",
    "learned_for_this_question|user_profile|user_memory|entity_memory|learned_knowledge",
)
"""Phrases that announce a memory; `|` separates alternatives."""


@dataclass(frozen=True)
class Answered:
    """The agent's answer to a question."""

    question: Question
    text: str

    @property
    def telltale(self) -> str:
        """The first phrase that announces a memory, or an empty text: also if the question asks for what is known."""
        if self.question.openly:
            return ""
        return next((p for row in TELLTALES for p in row.split("|") if contains(self.text, p)), "")

    @property
    def used(self) -> bool | None:
        """True if the answer uses what is known; None if the question does not need it."""
        return all(contains(self.text, word) for word in self.question.uses) if self.question.uses else None


def answer(question: Question, model: BaseChatModel) -> Answered:
    """Ask the model as an agent that recalls what is known, and learns nothing from the question."""
    store = InMemoryStore()
    know(question.known, store)
    graph = machine(model, store).wrap(model)
    run: RunnableConfig = {"configurable": {"thread_id": "question"}}
    messages = [("system", "You are a helpful assistant. Answer in at most three sentences."), ("user", question.asked)]
    result = graph.invoke({"messages": messages}, run, context=WHO.model_copy(update={"learn": False}))
    return Answered(question, result["messages"][-1].text)
