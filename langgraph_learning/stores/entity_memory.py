"""EntityMemory: people, companies, projects and things, with facts, events and relationships."""

from collections.abc import Iterable, Sequence
from typing import Literal

from langgraph_learning.core.flow import Flow, gather
from langgraph_learning.core.learning import Learning, read_learnings
from langgraph_learning.core.records import Record, kind_of
from langgraph_learning.core.scopes import Namespace
from langgraph_learning.core.text import content_words, escape_line, normalize
from langgraph_learning.stores.base import LearningStore, Request
from langgraph_learning.stores.ranking import search_active
from langgraph_learning.stores.rendering import render_provenance

DIRECTORY_SIZE = 60
"""Entities in the directory at most: the list of names that are known, whatever the question."""


class Entity(Record):
    """A person, company, project, system, place or thing that will be spoken of again."""

    entity: str
    """Its full name, always the same."""
    type: Literal["person", "company", "project", "system", "product", "place", "event", "other"]
    aliases: list[str]
    """Other names for it that were used; else empty."""

    def identity(self) -> str:
        """Return the name."""
        return normalize(self.entity)

    def as_text(self) -> str:
        """Return the name with type and aliases."""
        return f"{self.entity} ({self.type}{', also ' + ', '.join(self.aliases) if self.aliases else ''})"


class Fact(Record):
    """Something that is true of an entity."""

    entity: str
    """The name of the entity."""
    fact: str
    """One statement, with names and numbers as they were said."""
    as_of: str | None
    """Since when or for when it is true, if that was said."""

    def as_text(self) -> str:
        """Return the statement after the entity's name."""
        return f"{self.entity}: {self.fact}{f' (as of {self.as_of})' if self.as_of else ''}"


class Event(Record):
    """Something that happened or will happen to an entity."""

    entity: str
    """The name of the entity."""
    event: str
    """What happens."""
    when: str | None
    """When, as it was said; with the date if it can be worked out."""

    def as_text(self) -> str:
        """Return the event after the entity's name."""
        return f"{self.entity}: {self.event}{f' [{self.when}]' if self.when else ''}"


class Relationship(Record):
    """How two entities relate."""

    entity: str
    """Who or what relates."""
    relation: str
    """How, as a verb: "leads", "works for", "is part of"."""
    target: str
    """To whom or what."""

    def as_text(self) -> str:
        """Return the relation as a sentence."""
        return f"{self.entity} {self.relation} {self.target}"


class EntityMemory(LearningStore):
    """Entities with aliases and types, facts with as-of dates, events, and relationships in both directions."""

    name = "entity_memory"
    title = "People, projects and things"
    records = (Entity, Fact, Event, Relationship)
    limit = 20

    def recall(self, request: Request) -> Flow[list[Learning]]:
        """Find what is relevant to the question, and the names of all entities, so that the agent knows the unknown."""
        namespaces = list(request.caller.readable_namespaces(self.scope, self.name))
        relevant = search_active(namespaces, request.query, limit=self.limit * 2)
        entities = search_active(namespaces, limit=DIRECTORY_SIZE, kind=kind_of(Entity))
        items, directory = yield from gather((relevant, entities))
        best = self.rank(items, namespaces, request)
        best += yield from self._find_related(best, namespaces, request)
        keys = {learning.key for learning in best}
        others = [entity for entity in read_learnings(directory, namespaces) if entity.key not in keys]
        return [*best, *others][: self.limit + DIRECTORY_SIZE]

    def _find_related(
        self, best: Sequence[Learning], namespaces: Sequence[Namespace], request: Request
    ) -> Flow[list[Learning]]:
        """Find statements about the entities that the question names, and about entities related to them.

        The question alone does not find them: "what about the Acme project?" shares no word with news of its supplier.
        """
        names = [] if request.for_extraction else _related_names(best, content_words([request.query]))
        if not names:
            return []
        items = yield from search_active(namespaces, ", ".join(names), limit=self.limit * 2)
        known, wanted = {learning.key for learning in best}, {normalize(name) for name in names}
        return [
            learning
            for learning in self.rank(items, namespaces, request)
            if learning.key not in known and normalize(str(learning.data.get("entity"))) in wanted
        ]

    def build_context(self, found: Sequence[Learning], request: Request) -> str:
        """Render statements grouped by entity, relationships under both entities; then the names of other entities."""
        entities = {self.subject(learning): learning for learning in found if learning.kind == kind_of(Entity)}
        names = _canonical_names(entities.values())
        texts = {str(entity.data["entity"]): entity.text for entity in entities.values()}
        groups: dict[str, list[Learning]] = {}
        for statement in found:
            if statement.kind == kind_of(Entity):
                continue
            ends = (statement.data.get("entity"), statement.data.get("target"))
            for name in dict.fromkeys(names.get(normalize(str(end)), str(end)) for end in ends if end):
                groups.setdefault(name, []).append(statement)
        rows = []
        for name, statements in groups.items():
            rows.append(f"- {escape_line(texts.get(name, name))}")
            for statement in statements:
                text = escape_line(statement.text.removeprefix(f"{name}: "))
                rows.append(f"  - {text}{render_provenance(statement, request.caller)}")
        if rest := [text for name, text in texts.items() if name not in groups]:
            rows.append(f"- Also known: {escape_line('; '.join(rest))}")
        return "\n".join(rows)


def _related_names(learnings: Iterable[Learning], question_words: set[str]) -> list[str]:
    """Return the entities that the question names, and those related to them in either direction."""
    names: dict[str, None] = {}
    for learning in learnings:
        entity = str(learning.data["entity"])
        pair = (entity, str(learning.data.get("target", entity)))
        if content_words(pair) & question_words:
            names |= dict.fromkeys(pair)
    return list(names)


def _canonical_names(entities: Iterable[Learning]) -> dict[str, str]:
    """Return the name of each entity by its normalized name and aliases; the first entity wins."""
    names: dict[str, str] = {}
    for entity in entities:
        for name in (entity.data["entity"], *entity.data["aliases"]):
            names.setdefault(normalize(name), str(entity.data["entity"]))
    return names
