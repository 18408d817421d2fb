"""The people, companies, projects and things that exist, what is true of them, and how they relate."""

from collections.abc import Sequence
from typing import Literal

from langgraph.store.base import SearchOp

from langgraph_learning.core.flow import Flow, gather, search
from langgraph_learning.core.learning import Learning, Status, read_learnings
from langgraph_learning.core.records import Record, kind_of
from langgraph_learning.core.scopes import Namespace
from langgraph_learning.core.text import content_words, escape_line, normalize
from langgraph_learning.stores.base import LearningStore, Request
from langgraph_learning.stores.rendering import render_provenance

DIRECTORY = 60
"""How many names the directory of what is known lists at most."""


class Entity(Record):
    """A person, company, project, system, place or thing that will be spoken of again."""

    entity: str
    """Its full name, always the same."""
    type: Literal["person", "company", "project", "system", "product", "place", "event", "other"]
    aliases: list[str]
    """Other names for it that were used; else empty."""

    def identity(self) -> str:
        """Return the name: a thing is known by it."""
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

    def recall(self, asked: Request) -> Flow[list[Learning]]:
        """Find what is near to the question, and the names of all that is known: so "unknown" is known too."""
        places = list(asked.caller.readable_namespaces(self.scope, self.name))
        entities = {"status": Status.ACTIVE.value, "kind": kind_of(Entity)}
        active = {"status": Status.ACTIVE.value}
        near = [SearchOp(place, active, limit=self.limit * 2, query=asked.query or None) for place in places]
        names = [SearchOp(place, entities, limit=DIRECTORY) for place in places]
        found, directory = yield from gather((search(*near), search(*names)))
        best = self.rank(found, places, asked)
        best += yield from self._led_to(best, places, asked)
        shown = {learning.key for learning in best}
        return [*best, *(learning for learning in read_learnings(directory, places) if learning.key not in shown)][
            : self.limit + DIRECTORY
        ]

    def _led_to(self, best: Sequence[Learning], places: Sequence[Namespace], asked: Request) -> Flow[list[Learning]]:
        """Find what is known of the things that the question names, and of those to which relationships lead from them.

        The question alone does not find it: "what about the Acme project?" has no word of what its supplier announced.
        """
        names = [] if asked.learning else self._names(best, content_words([asked.query]))
        if not names:
            return []
        active, query = {"status": Status.ACTIVE.value}, ", ".join(names)
        items = yield from search(*(SearchOp(place, active, limit=self.limit * 2, query=query) for place in places))
        known, wanted = {learning.key for learning in best}, {normalize(name) for name in names}
        found = [one for one in self.rank(items, places, asked) if one.key not in known]
        return [one for one in found if normalize(str(one.data.get("entity"))) in wanted]

    def _names(self, best: Sequence[Learning], asked: set[str]) -> list[str]:
        """Return what the question names, and what is related to that in either direction."""
        ends = [(str(one.data["entity"]), str(one.data.get("target", one.data["entity"]))) for one in best]
        return list(dict.fromkeys(end for pair in ends if content_words(pair) & asked for end in pair))

    def build_context(self, found: Sequence[Learning], asked: Request) -> str:
        """Render what is known under the name of what it is about, a relationship under both; then the directory."""
        entities = {self.subject(one): one for one in found if one.kind == kind_of(Entity)}
        statements = [one for one in found if one.kind != kind_of(Entity)]
        under: dict[str, list[Learning]] = {}
        for statement in statements:
            for name in dict.fromkeys(
                self._known_as(statement.data.get(part), entities) for part in ("entity", "target")
            ):
                if name:
                    under.setdefault(name, []).append(statement)
        blocks = []
        for name, about in under.items():
            rows = [
                f"  - {escape_line(self._without(name, one))}{render_provenance(one, asked.caller)}" for one in about
            ]
            blocks.append("\n".join([f"- {escape_line(self._title(name, entities))}", *rows]))
        rest = [one.text for about, one in entities.items() if one.data["entity"] not in under]
        return "\n".join([*blocks, *([f"- Also known: {escape_line('; '.join(rest))}"] if rest else [])])

    def _known_as(self, name: object, entities: dict[str, Learning]) -> str:
        """Return the name under which something called `name` is known."""
        for learning in entities.values():
            if normalize(str(name)) in (
                normalize(called) for called in (learning.data["entity"], *learning.data["aliases"])
            ):
                return str(learning.data["entity"])
        return str(name) if name else ""

    def _title(self, name: str, entities: dict[str, Learning]) -> str:
        known = next((one for one in entities.values() if one.data["entity"] == name), None)
        return known.text if known else name

    def _without(self, name: str, learning: Learning) -> str:
        return learning.text.removeprefix(f"{name}: ")
