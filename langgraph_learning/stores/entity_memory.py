"""EntityMemory: people, companies, projects and things, with facts, events and relationships."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from langgraph_learning.core.flow import Flow, gather
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.records import Record, kind_of, until_text
from langgraph_learning.core.scopes import Caller, ItemRef, Namespace
from langgraph_learning.core.text import escape_line, normalize, plain_words
from langgraph_learning.core.words import informative_words
from langgraph_learning.stores.base import LearningStore, Request
from langgraph_learning.stores.ranking import (
    CANDIDATES,
    SECOND_TEXT,
    rank_learnings,
    ranking_key,
    read_found,
    search_active,
)
from langgraph_learning.stores.rendering import render_provenance

DIRECTORY_SIZE = 60
"""Entities at most in the directory of known names that an extraction is given."""
NAMED_STATEMENTS = 8
"""Statements about an entity that a question names which are shown although they have little to do with it."""
NAMED_RELEVANCE = 0.7
"""Relevance of what is known of an entity that the question names."""
RELATED_RELEVANCE = 0.65
"""Relevance of what is known of the entities related to it."""
SIBLING_SHARE = 0.4
"""Share of its relevance that a statement keeps if the question names another entity of the same kind."""


class Entity(Record):
    """A person, company, project, system, place or thing that will be spoken of again."""

    entity: str
    type: Literal["person", "company", "project", "system", "product", "place", "event", "other"]
    aliases: list[str]

    def identity(self) -> str:
        """Return the name."""
        return normalize(self.entity)

    def as_text(self) -> str:
        """Return the name with type and aliases."""
        return f"{self.entity} ({self.type}{', also ' + ', '.join(self.aliases) if self.aliases else ''})"


class Fact(Record):
    """Something that is true of an entity, from the day `as_of` to the day `until`, as far as they are known."""

    entity: str
    fact: str
    as_of: str | None
    until: str | None = None

    def as_text(self) -> str:
        """Return the statement after the entity's name."""
        return f"{self.entity}: {self.fact}{f' (as of {self.as_of})' if self.as_of else ''}{until_text(self.until)}"


class Event(Record):
    """Something that happened or will happen to an entity, and `when`: a date, if it is known."""

    entity: str
    event: str
    when: str | None

    def as_text(self) -> str:
        """Return the event after the entity's name."""
        return f"{self.entity}: {self.event}{f' [{self.when}]' if self.when else ''}"


class Relationship(Record):
    """How two entities relate."""

    entity: str
    relation: str
    target: str

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
        """Find what is near to the request, and what is known of the entities that the question names.

        An extraction is also given a directory of the known entities.
        """
        namespaces = list(request.caller.readable_namespaces(self.scope, self.name))
        if request.about_user:
            return (yield from self._search(request))
        if request.for_extraction or not request.query:
            return (yield from self._find_known(namespaces, request))
        directory = search_active(namespaces, request.query, request.exchange, limit=CANDIDATES, kind=kind_of(Entity))
        reads: list[Flow[Any]] = [self._search(request), directory]
        found: list[Learning]
        found, items = yield from gather(reads)
        found = [_lower_sibling(learning, request.query) for learning in found]
        known = read_found(items, namespaces, request.scale, exchange_penalty=request.exchange_penalty)
        named = _find_named([*known, *found], request.query)
        if not named:
            return found
        about = yield from self._search_about(named, namespaces, request)
        related = _find_related([*found, *about], named)
        lifted = _lift(about + known, named, NAMED_RELEVANCE) + _lift(about + known, related, RELATED_RELEVANCE)
        return _merge(lifted, [*found, *about])

    def lines_of(self, learning: Learning) -> Sequence[str]:
        """Return the entities: all that is shown of one has a line together."""
        return [normalize(end) for end in _ends(learning)]

    def build_context(self, found: Sequence[Learning], request: Request) -> str:
        """Render a line for each entity with what is known of it, each statement once; then the names of others."""
        entities = {self.subject(learning): learning for learning in found if learning.kind == kind_of(Entity)}
        names = _canonical_names(entities.values())
        introductions = {str(entity.data["entity"]): entity.text for entity in entities.values()}
        groups: dict[str, list[Learning]] = {}
        # A relationship stands with that of its entities about which more is said.
        for statement in sorted(found, key=lambda learning: "target" in learning.data):
            if statement.kind != kind_of(Entity):
                ends = [names.get(name, name) for name in _ends(statement)]
                group = next((end for end in ends if end in groups), ends[0])
                groups.setdefault(group, []).append(statement)
        rows = [
            _render_entity(introductions.pop(name, name), statements, request.caller)
            for name, statements in groups.items()
        ]
        if introductions:
            rows.append(f"- Also known: {escape_line('; '.join(introductions.values()))}")
        return "\n".join(rows)

    def _find_known(self, namespaces: Sequence[Namespace], request: Request) -> Flow[list[Learning]]:
        """Return what an extraction may update: what is near, and the entities that are known."""
        if not request.for_extraction:
            return []
        directory = search_active(namespaces, limit=DIRECTORY_SIZE, kind=kind_of(Entity))
        reads: list[Flow[Any]] = [self._search(request), directory]
        near, items = yield from gather(reads)
        return _merge(near, read_found(items, namespaces, request.scale))[: self.limit + DIRECTORY_SIZE]

    def _search_about(
        self, names: Mapping[str, str], namespaces: Sequence[Namespace], request: Request
    ) -> Flow[list[Learning]]:
        """Find statements about entities by their names. Their relevance is that for the question.

        The question alone does not find them: it may call the entity by another name than the statement does.
        """
        items = yield from search_active(namespaces, ", ".join(names.values()), request.query, limit=CANDIDATES)
        about = read_found(items, namespaces, request.scale, lambda learning: SECOND_TEXT)
        valid = [learning for learning in about if learning.is_valid(request.now)]
        return rank_learnings(valid, self.subject)


def _find_named(learnings: Iterable[Learning], question: str) -> dict[str, str]:
    """Return all names of the entities that the question names, by any of their names or a proper name in one."""
    named: dict[str, str] = {}
    for learning in learnings:
        names = (*_ends(learning), *map(str, learning.data.get("aliases", ())))
        if any(_is_named(name, question) for name in names):
            # Of a relationship, only the end that is named; the other one is related to it.
            of_one = [name for name in names if "target" not in learning.data or _is_named(name, question)]
            named |= {normalize(name): name for name in of_one}
    return named


def _find_related(learnings: Iterable[Learning], named: Mapping[str, str]) -> dict[str, str]:
    """Return the names of the entities that stand in a relationship to named ones."""
    related: dict[str, str] = {}
    for learning in learnings:
        if _keys(learning) & named.keys():
            related |= {normalize(end): end for end in _ends(learning) if normalize(end) not in named}
    return related


def _is_named(name: str, question: str) -> bool:
    """Return True if a question has this name, with or without its article, or a proper name in it as it is spelt."""
    proper = _find_proper_words(name)
    if name.isupper() or proper:
        words = {name} if name.isupper() else {word for word in proper if len(word) > 1}
        return any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", question) for word in words)
    bare = plain_words(name).removeprefix("the ")
    return bool(informative_words(name)) and f" {bare} " in f" {plain_words(question)} "


@lru_cache(maxsize=10_000)  # the same names are asked about in every turn
def _find_proper_words(name: str) -> tuple[str, ...]:
    """Return the words of a name that begin with a capital and are more than small talk."""
    return tuple(word for word in re.findall(r"\w+", name) if word[0].isupper() and informative_words(word))


def _lower_sibling(learning: Learning, question: str) -> Learning:
    """Return a learning with less relevance if it is about another one of the kind that the question names."""
    if learning.relevance is None or not any(_is_sibling(end, question) for end in _ends(learning)):
        return learning
    return learning.model_copy(update={"relevance": learning.relevance * SIBLING_SHARE})


def _is_sibling(name: str, question: str) -> bool:
    """Return True if a question names another one of the same kind: the Basel branch, not the Lyon branch."""
    words, own = re.findall(r"[\w-]+", question), re.findall(r"[\w-]+", name)
    plain = [word.casefold() for word in words]
    found = [word for word in own if (word in words if word.isupper() else word.casefold() in plain)]
    shared = {word.casefold() for word in found}
    missing = [word for word in own if word not in found and _tells_apart(word)]
    if not missing or not any(informative_words(word) for word in shared):
        return False
    beside = {at + step for at, word in enumerate(plain) if word in shared for step in (-1, 1)}
    # The first word of a sentence has a capital, whatever it is.
    return any(0 < at < len(words) and plain[at] not in shared and _tells_apart(words[at]) for at in beside)


def _tells_apart(word: str) -> bool:
    """Return True for a proper name, a number or a code."""
    return word[0].isupper() or any(char.isdigit() for char in word)


def _lift(learnings: Sequence[Learning], names: Mapping[str, str], least: float) -> list[Learning]:
    """Return what is known of entities that the question leads to, the best of each, with a relevance of their own."""
    lifted: list[Learning] = []
    of_entity = Counter[str]()
    for learning in learnings:
        name = normalize(str(learning.data["entity"]))
        if _keys(learning) & names.keys() and of_entity[name] < NAMED_STATEMENTS:
            of_entity[name] += 1
            relevance = None if learning.relevance is None else max(learning.relevance, least)
            lifted.append(learning.model_copy(update={"relevance": relevance}))
    return lifted


def _merge(first: Sequence[Learning], second: Sequence[Learning]) -> list[Learning]:
    """Return all learnings, each once, the most relevant first; of two copies, the first."""
    merged: dict[ItemRef, Learning] = {}
    for learning in (*first, *second):
        merged.setdefault(learning.ref, learning)
    has_scores = any(learning.relevance is not None for learning in merged.values())
    return sorted(merged.values(), key=ranking_key, reverse=True) if has_scores else list(merged.values())


def _ends(statement: Learning) -> tuple[str, ...]:
    """Return the entities that a statement is about, as it names them."""
    ends = (statement.data.get("entity"), statement.data.get("target"))
    return tuple(dict.fromkeys(str(end) for end in ends if end))


def _keys(statement: Learning) -> set[str]:
    return {normalize(end) for end in _ends(statement)}


def _render_entity(introduction: str, statements: Sequence[Learning], caller: Caller) -> str:
    """Render what is known of one entity as one line; statements with the same provenance share it."""
    said = [statement.text.removeprefix(f"{statement.data['entity']}: ") for statement in statements]
    provenances = [render_provenance(statement, caller) for statement in statements]
    parts = [
        escape_line(text) + ("" if provenance == following else provenance)
        for text, provenance, following in zip(said, provenances, [*provenances[1:], None], strict=True)
    ]
    stands_alone = len(statements) == 1 and "target" in statements[0].data and introduction in _ends(statements[0])
    return f"- {'' if stands_alone else escape_line(introduction) + ': '}{'; '.join(parts)}"


def _canonical_names(entities: Iterable[Learning]) -> dict[str, str]:
    """Return the name of each entity by all of its names; the first entity wins."""
    names: dict[str, str] = {}
    for entity in entities:
        for name in (entity.data["entity"], *entity.data["aliases"]):
            names.setdefault(str(name), str(entity.data["entity"]))
    return names
