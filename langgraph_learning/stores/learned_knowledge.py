"""LearnedKnowledge: insights, patterns and best practices, and documents from LangChain retrievers."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from langgraph_learning.core.flow import Flow, invoke
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.policy import Standing
from langgraph_learning.core.records import Edit, Record, end_of, standing_of, until_text
from langgraph_learning.core.scopes import Scope
from langgraph_learning.core.text import escape_line
from langgraph_learning.errors import InvalidEdit
from langgraph_learning.stores.base import LearningStore, Request

RETRIEVER_ROOT = "retriever"
"""First label of the namespace of retrieved documents, which are in no store."""


class Insight(Record):
    """Something that was found out and helps with the same kind of problem elsewhere."""

    explains = ("title", "when_to_apply")

    category: Literal["insight", "pattern", "best_practice", "priority", "convention"]
    title: str
    insight: str
    when_to_apply: str | None
    until: str | None = None

    def standing(self) -> Standing:
        """Return that priorities and conventions have a lower bar."""
        return Standing.LOWER if self.category in ("priority", "convention") else Standing.NO

    def as_text(self) -> str:
        """Return title, insight and when it applies."""
        situation = (self.when_to_apply or "").strip()
        applies = f". Applies when: {situation}" if situation else ""
        insight = self.insight.rstrip(". ") if applies else self.insight
        return f"{self.title}: {insight}{until_text(self.until)}{applies}"


class LearnedKnowledge(LearningStore):
    """Insights, patterns and best practices, found by the question.

    retrievers: LangChain retrievers to query as well, for example for a company's documents. Documents are shown with
        their source, are never edited, and count as nobody's words.
    """

    name = "learned_knowledge"
    title = "What worked before, priorities and house rules"
    records = (Insight,)

    def __init__(self, *, retrievers: Sequence[BaseRetriever] = (), **options: Any) -> None:
        super().__init__(**options)
        self.retrievers = tuple(retrievers)

    def vet(self, edit: Edit, links: Sequence[Learning]) -> Edit:
        """Refuse a priority or rule that is over, or that names no situation in which to think of it."""
        record = edit.record
        if not isinstance(record, Insight) or standing_of(record) is Standing.NO:
            return edit
        yesterday = edit.at.date() - timedelta(days=1)  # in some time zone it may be today
        if (end := end_of(record, yesterday)) and end < yesterday:
            raise InvalidEdit(f"until: {end} is over, today is {edit.at:%Y-%m-%d}: correct the year, or leave it out")
        if self.cued and not edit.cues and not (record.when_to_apply or "").strip():
            raise InvalidEdit(f"when_to_apply: say when to think of this {record.category}")
        return edit

    def recall(self, request: Request) -> Flow[list[Learning]]:
        """Find the relevant insights, and documents by the retrievers."""
        found = yield from self._search(request)
        if request.for_extraction or not request.query:
            return found
        for retriever in self.retrievers:
            documents = yield from invoke(retriever, request.query)
            found += [_document_to_learning(document, retriever, request.now) for document in documents[: self.limit]]
        return found

    def build_context(self, found: Sequence[Learning], request: Request) -> str:
        """Render the insights, then the documents with their sources."""
        insights = [learning for learning in found if learning.namespace[0] != RETRIEVER_ROOT]
        documents = [learning for learning in found if learning.namespace[0] == RETRIEVER_ROOT]
        rows = [f"- {escape_line(document.text)} (from {escape_line(document.key)})" for document in documents]
        return "\n".join(part for part in (str(super().build_context(insights, request)), *rows) if part)


def _document_to_learning(document: Document, retriever: BaseRetriever, now: datetime) -> Learning:
    source = str(document.metadata.get("source") or document.id or retriever.get_name())
    namespace = (RETRIEVER_ROOT, "", Scope.GLOBAL.name, "", "document")
    return Learning(
        namespace=namespace, key=source, kind="document", text=document.page_content, data={}, learned_at=now
    )
