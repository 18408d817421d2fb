"""SelfImprovement: the agent's own instructions by section, changed only on evidence and with a person's approval."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from string import Template
from typing import Any

from pydantic import field_validator

from langgraph_learning.core.flow import Flow
from langgraph_learning.core.learning import Learning, Source, messages_of, read_learnings
from langgraph_learning.core.policy import Mode, Standing
from langgraph_learning.core.records import Edit, Record
from langgraph_learning.core.scopes import Scope
from langgraph_learning.core.text import escape_line, escape_markup, normalize
from langgraph_learning.errors import InvalidEdit, Misconfigured, NotAllowed
from langgraph_learning.stores.base import LearningStore, Request
from langgraph_learning.stores.ranking import OVERFETCH, search_active

DEVELOPER_NAMESPACE = ("given", "", "global", "developer", "self_improvement")
"""Namespace of the developer's sections as learnings; nothing is stored under it, and nothing can edit them."""


class Instruction(Record):
    """What one section of the agent's instructions should say from now on, because it went wrong several times."""

    links = ("evidence",)

    section: str
    text: str
    reasoning: str
    evidence: list[str]

    @field_validator("section")
    @classmethod
    def _normalize_name(cls, section: str) -> str:
        if not (name := normalize_section_name(section)):
            raise ValueError("a section has a name")
        return name

    def identity(self) -> str:
        """Return the section: a later approved instruction for it replaces this one."""
        return self.section

    def as_text(self) -> str:
        """Return the section's name and text."""
        return f"{self.section}: {self.text.strip() or '(nothing)'}"

    def removes(self) -> bool:
        """Return True without a text: that is how a section is removed."""
        return not self.text.strip()


class SelfImprovement(LearningStore):
    """The agent's instructions by section. Changes are proposals; approved ones take effect in the next turn.

    sections: texts by the developer, by section name; each is shown until an approved instruction replaces it.
    protected: names of sections that cannot be changed.
    evidence: number of different messages that a proposal must rest on.
    """

    name = "self_improvement"
    title = "How the agent works"
    scope = Scope.AGENT
    mode = Mode.PROPOSE
    modes = frozenset({Mode.PROPOSE})
    records = (Instruction,)
    standing = Standing.ALWAYS
    instructs = True
    limit = 50

    def __init__(
        self,
        sections: Mapping[str, str] | None = None,
        *,
        protected: Sequence[str] = (),
        evidence: int = 3,
        **options: Any,
    ) -> None:
        """Accept the options of `LearningStore` too. Raises `Misconfigured` for settings that cannot work together."""
        self.sections = {normalize_section_name(name): text.strip() for name, text in (sections or {}).items()}
        self.protected = frozenset(map(normalize_section_name, protected))
        self.evidence = evidence
        super().__init__(**options)
        prompt = Template(self.instructions).safe_substitute(evidence=self.evidence)
        self.instructions = "\n".join([prompt, *self._describe_sections()])

    def recall(self, request: Request) -> Flow[list[Learning]]:
        """Find the current section texts, in the namespace of this store's scope alone."""
        namespace = request.caller.namespace(self.scope, self.name)
        items = yield from search_active([namespace], limit=self.limit * OVERFETCH)
        approved = [learning for learning in read_learnings(items, [namespace]) if learning.is_approved]
        return self.resolve_sections(approved, request.now)

    def developer_learnings(self, now: datetime) -> list[Learning]:
        """Return the developer's sections as learnings, which are in no store."""
        return self.resolve_sections([], now)

    def build_context(self, found: Sequence[Learning], request: Request) -> str:
        """Render the sections by name and without dates, so that equal sections are equal bytes."""
        return _render_sections(found)

    def render_developer_sections(self) -> str:
        """Render the developer's sections as an agent sees them."""
        return _render_sections(self.developer_learnings(datetime.min))

    def resolve_sections(self, approved: Iterable[Learning], now: datetime) -> list[Learning]:
        """Return the current learning of each section: the last approved one, else the developer's.

        Protected sections come first, then the developer's: they are cut last if the context budget is too small.
        """
        by_section = {name: _make_developer_learning(name, text, now) for name, text in self.sections.items()}
        for learning in sorted(approved, key=lambda learning: (learning.decisions[-1].at, learning.key)):
            if not self.objection(learning):
                by_section[section_of(learning)] = learning
        return sorted(by_section.values(), key=self._section_order)

    def vet(self, edit: Edit, links: Sequence[Learning]) -> Edit:
        """Return an edit with the sources of its evidence. Raises `InvalidEdit` if it rests on too few messages."""
        if edit.record is None:
            raise InvalidEdit("an instruction is not forgotten: propose its section with an empty text, and evidence")
        if any(learning.kind in self.kinds for learning in links):
            raise InvalidEdit("evidence: an instruction is no evidence for another; name what was said or happened")
        supported = replace(edit, support=_collect_sources(links))
        count = len(messages_of((edit.source, *supported.support)))
        if count < self.evidence:
            raise InvalidEdit(
                f"evidence: it rests on {count} different messages, and {self.evidence} are needed: leave it out"
            )
        proposal = supported.learning()
        if objection := self.objection(proposal):
            raise InvalidEdit(objection)
        if normalize(section_text(proposal)) == normalize(self.sections.get(section_of(proposal), "\0")):
            raise InvalidEdit("text: that is what the section says already: leave it out")
        return supported

    def objection(self, learning: Learning) -> str | None:
        """Return that the section is protected; None if it is not."""
        section = section_of(learning)
        return f"The section {section!r} is protected: nothing changes it." if section in self.protected else None

    def with_fields(self, learning: Learning, fields: Mapping[str, Any]) -> Learning:
        """Return a proposal with other values.

        Raises `NotAllowed` for a learning that was approved before, and for a change of the section's name.
        """
        if learning.decisions:
            raise NotAllowed("An instruction that was approved before cannot be changed: let it be proposed again.")
        changed = super().with_fields(learning, fields)
        if section_of(changed) != section_of(learning):
            raise NotAllowed("A proposal is for one section: its text may be changed, not the section.")
        return changed

    def texts_to_replace(self, proposal: Learning, bases: Sequence[Learning]) -> tuple[str, ...]:
        """Return the section's current text, which may be the developer's."""
        section = section_of(proposal)
        developer_text = (f"{section}: {self.sections[section]}",) if section in self.sections else ()
        return super().texts_to_replace(proposal, bases) or developer_text

    def section_texts(self, approved: Iterable[Learning], now: datetime) -> dict[str, str]:
        """Return the current text of each section that has one, by name."""
        texts = sorted(
            (section_of(learning), section_text(learning)) for learning in self.resolve_sections(approved, now)
        )
        return {section: text for section, text in texts if text}

    def _section_order(self, learning: Learning) -> tuple[bool, bool, str]:
        section = section_of(learning)
        return section not in self.protected, section not in self.sections, section

    def _describe_sections(self) -> list[str]:
        """Return the lines of the extraction prompt about this agent's sections."""
        lines = []
        if rows := [
            f"- {name}: {escape_line(text)}" for name, text in self.sections.items() if name not in self.protected
        ]:
            lines += ["The sections as they were written, where nothing under <known> says otherwise:", *rows]
        if self.protected:
            lines.append(f"Never propose anything for these sections: {', '.join(sorted(self.protected))}.")
        return lines

    def _check(self) -> None:
        super()._check()
        if self.keep is not None:
            raise Misconfigured(f"{self.name}: instructions are valid until they are replaced; leave `keep` out.")
        if self.evidence < 1 or not all(self.sections) or not all(self.protected):
            raise Misconfigured(f"{self.name}: every section needs a name, and `evidence` must be at least 1.")


def normalize_section_name(name: str) -> str:
    """Return a section's name without differences in case and spaces."""
    return " ".join(name.casefold().split())


def section_of(learning: Learning) -> str:
    """Return the name of an instruction's section."""
    return normalize_section_name(str(learning.data.get("section", "")))


def section_text(learning: Learning) -> str:
    """Return the text that an instruction gives its section."""
    return str(learning.data.get("text", "")).strip()


def _make_developer_learning(section: str, text: str, now: datetime) -> Learning:
    data = {"section": section, "text": text, "reasoning": "", "evidence": []}
    return Learning(
        namespace=DEVELOPER_NAMESPACE, key=section, kind=Instruction.kind, text=text, data=data, learned_at=now
    )


def _render_sections(learnings: Iterable[Learning]) -> str:
    sections = sorted((section_of(learning), _escape_section(learning)) for learning in learnings)
    return "\n".join(f'<section name="{_escape_name(name)}">\n{text}\n</section>' for name, text in sections if text)


def _escape_section(learning: Learning) -> str:
    """Return a section's text: the developer's as it is, any other so that it cannot close its block."""
    text = section_text(learning)
    return text if learning.namespace == DEVELOPER_NAMESPACE else escape_markup(text)


def _escape_name(name: str) -> str:
    return escape_markup(name).replace('"', "&quot;")


def _collect_sources(links: Iterable[Learning]) -> tuple[Source, ...]:
    return tuple(dict.fromkeys(source for learning in links for source in learning.sources))
