"""What works in practice: insights that help the next person with the same kind of problem."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from langgraph_learning.core.flow import Flow, invoke
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.records import Record
from langgraph_learning.core.scopes import Scope
from langgraph_learning.core.text import escape_line
from langgraph_learning.stores.base import LearningStore, Request

RETRIEVED = "retriever"


class Insight(Record):
    """Something that was found out and helps with the same kind of problem elsewhere."""

    category: Literal["insight", "pattern", "best_practice"]
    title: str
    """A few words."""
    insight: str
    """What was found out, so that it can be acted upon, with the numbers that matter."""
    when_to_apply: str | None
    """In which situation it helps."""

    def as_text(self) -> str:
        """Return title, insight and when it applies."""
        applies = f". Applies when: {self.when_to_apply}" if self.when_to_apply else ""
        return f"{self.title}: {self.insight.rstrip('. ') if applies else self.insight}{applies}"


class LearnedKnowledge(LearningStore):
    """Insights, patterns and best practices, found by what is asked.

    retrievers: LangChain retrievers that are read too, such as a company's documents; what they find is shown with its
    source, is never edited, and counts for nobody's words.
    """

    name = "learned_knowledge"
    title = "What worked before"
    records = (Insight,)

    def __init__(self, *, retrievers: Sequence[BaseRetriever] = (), **options: Any) -> None:
        super().__init__(**options)
        self.retrievers = tuple(retrievers)

    def recall(self, asked: Request) -> Flow[list[Learning]]:
        """Find what is near to the question, here and by the retrievers."""
        found = yield from self._search(asked)
        if asked.learning or not asked.query:
            return found
        for retriever in self.retrievers:
            documents = yield from invoke(retriever, asked.query)
            found += [_read(document, retriever, asked.now) for document in documents[: self.limit]]
        return found

    def build_context(self, found: Sequence[Learning], asked: Request) -> str:
        """Render the insights, and what was retrieved with its source."""
        own = [learning for learning in found if learning.namespace[0] != RETRIEVED]
        rows = [
            f"- {escape_line(one.text)} (from {escape_line(one.key)})" for one in found if one.namespace[0] == RETRIEVED
        ]
        return "\n".join(part for part in (str(super().build_context(own, asked)), *rows) if part)


def _read(document: Document, retriever: BaseRetriever, now: datetime) -> Learning:
    source = str(document.metadata.get("source") or document.id or retriever.get_name())
    namespace = (RETRIEVED, "", Scope.GLOBAL.name, "", "document")
    return Learning(
        namespace=namespace, key=source, kind="document", text=document.page_content, data={}, learned_at=now
    )
