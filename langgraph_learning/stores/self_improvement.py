"""How the agent works: its own instructions, changed on evidence and with a person's approval, never else."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from html import escape
from string import Template
from typing import Any

from langgraph.store.base import SearchOp
from pydantic import field_validator

from langgraph_learning.core.flow import Flow, search
from langgraph_learning.core.learning import Learning, Source, Status, messages_of, read_learnings
from langgraph_learning.core.policy import Mode
from langgraph_learning.core.records import Edit, InvalidEdit, Record
from langgraph_learning.core.scopes import Scope
from langgraph_learning.core.text import escape_line, normalize
from langgraph_learning.errors import Misconfigured, NotAllowed
from langgraph_learning.stores.base import LearningStore, Request
from langgraph_learning.stores.ranking import OVERFETCH

GIVEN = ("given", "", "global", "developer", "self_improvement")
"""Where a section seems to lie that the developer wrote: it is in no store, and nothing can edit it."""


class Instruction(Record):
    """What one section of the agent's instructions should say from now on, because it went wrong several times."""

    links = ("evidence",)

    section: str
    """The section's name, in one or two words; that of a present section if it changes one."""
    text: str
    """All that the section says from now on, to the agent; empty if the section should go."""
    reasoning: str
    """Why: "I should stop doing X because …"."""
    evidence: list[str]
    """Keys of what is known that shows it, such as ["k1", "k4"]: feedback, outcomes, failures."""

    @field_validator("section")
    @classmethod
    def _named(cls, section: str) -> str:
        if not (name := name_of(section)):
            raise ValueError("a section has a name")
        return name

    def identity(self) -> str:
        """Return the section: what is approved for it later takes its place."""
        return self.section

    def as_text(self) -> str:
        """Return the section with its name."""
        return f"{self.section}: {self.text.strip() or '(nothing)'}"


class SelfImprovement(LearningStore):
    """The agent's instructions by section. A change waits for approval; an approved one counts from the next turn on.

    sections: what the developer wrote, by the section's name; each is shown until something approved takes its place.
    protected: names of sections that nobody and nothing may change.
    evidence: on how many different messages a proposal must rest.
    """

    name = "self_improvement"
    title = "How the agent works"
    scope = Scope.AGENT
    mode = Mode.PROPOSE
    modes = frozenset({Mode.PROPOSE})
    records = (Instruction,)
    stable = True
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
        """Take the options of `LearningStore` too. Raise `Misconfigured` for what cannot work."""
        self.sections = {name_of(name): text.strip() for name, text in (sections or {}).items()}
        self.protected = frozenset(map(name_of, protected))
        self.evidence = evidence
        super().__init__(**options)
        words = Template(self.instructions).safe_substitute(evidence=self.evidence)
        self.instructions = "\n".join([words, *self._told()])

    def recall(self, asked: Request) -> Flow[list[Learning]]:
        """Find what the sections say, from one place alone: that of this store's scope."""
        place = asked.caller.namespace(self.scope, self.name)
        active = {"status": Status.ACTIVE.value}
        found = yield from search(SearchOp(place, active, limit=self.limit * OVERFETCH))
        return self.standing([one for one in read_learnings(found, [place]) if one.is_approved], asked.now)

    def developer_learnings(self, now: datetime) -> list[Learning]:
        """Return the developer's own sections, as learnings that lie nowhere."""
        return self.standing([], now)

    def build_context(self, found: Sequence[Learning], asked: Request) -> str:
        """Render the sections by name, without dates: equal sections are equal bytes."""
        return _rendered(found)

    def written(self) -> str:
        """Return the developer's own sections as an agent is shown them."""
        return _rendered(self.developer_learnings(datetime.min))

    def standing(self, learnings: Iterable[Learning], now: datetime) -> list[Learning]:
        """Return what each section says if these count: what was decided last, else what the developer wrote.

        The protected ones come first, then the developer's: they are cut last where there is too little room.
        """
        counting = [one for one in learnings if not self.objection(one)]
        counting.sort(key=lambda one: (one.decisions[-1].at, one.key))
        given = {name: _written(name, text, now) for name, text in self.sections.items()}
        each = given | {section_of(one): one for one in counting}
        return sorted(each.values(), key=self._rank)

    def vet(self, edit: Edit, links: Sequence[Learning]) -> Edit:
        """Return an edit with all that it rests on. Raise `InvalidEdit` without enough of it."""
        if edit.record is None:
            raise InvalidEdit("an instruction is not forgotten: propose its section with an empty text, and evidence")
        if any(one.kind in self.kinds for one in links):
            raise InvalidEdit("evidence: an instruction is no evidence for another; name what was said or happened")
        whole = replace(edit, support=_sources(links))
        heard = messages_of((edit.source, *whole.support))
        if len(heard) < self.evidence:
            raise InvalidEdit(
                f"evidence: it rests on {len(heard)} different messages, and {self.evidence} are needed: leave it out"
            )
        if wrong := self.objection(wanted := whole.learning()):
            raise InvalidEdit(wrong)
        if normalize(text_in(wanted)) == normalize(self.sections.get(section_of(wanted), "\0")):
            raise InvalidEdit("text: that is what the section says already: leave it out")
        return whole

    def objection(self, learning: Learning) -> str | None:
        """Return why nobody may change a section; None for one that is not protected."""
        section = section_of(learning)
        return f"The section {section!r} is protected: nothing changes it." if section in self.protected else None

    def with_fields(self, learning: Learning, fields: Mapping[str, Any]) -> Learning:
        """Return a proposal with other values. Raise `NotAllowed` where that would change what is on record."""
        if learning.decisions:
            raise NotAllowed("This was approved before and stays as it was then: let it be proposed anew.")
        changed = super().with_fields(learning, fields)
        if section_of(changed) != section_of(learning):
            raise NotAllowed("A proposal is for one section: its text may be changed, not the section.")
        return changed

    def texts_to_replace(self, proposal: Learning, bases: Sequence[Learning]) -> tuple[str, ...]:
        """Return what the section says until then, also where the developer wrote it."""
        section = section_of(proposal)
        given = (f"{section}: {self.sections[section]}",) if section in self.sections else ()
        return super().texts_to_replace(proposal, bases) or given

    def texts(self, learnings: Iterable[Learning], now: datetime) -> dict[str, str]:
        """Return what stands in each section that says something, by name."""
        texts = sorted((section_of(one), text_in(one)) for one in self.standing(learnings, now))
        return {section: text for section, text in texts if text}

    def _rank(self, one: Learning) -> tuple[bool, bool, str]:
        section = section_of(one)
        return section not in self.protected, section not in self.sections, section

    def _told(self) -> list[str]:
        """Return what an extraction must know of this agent's sections."""
        rows = [f"- {name}: {escape_line(text)}" for name, text in self.sections.items() if name not in self.protected]
        told = ["The sections as they were written, where nothing under <known> says otherwise:", *rows] if rows else []
        shut = ", ".join(sorted(self.protected))
        return [*told, *([f"Never propose anything for these sections: {shut}."] if shut else [])]

    def _check(self) -> None:
        super()._check()
        if self.keep is not None:
            raise Misconfigured(f"{self.name}: instructions hold until others take their place; leave `keep` out.")
        if self.evidence < 1 or not all(self.sections) or not all(self.protected):
            raise Misconfigured(f"{self.name}: sections have names, and a change rests on one message or more.")


def name_of(section: str) -> str:
    """Return a section's name as it is compared: case and spaces make no difference."""
    return " ".join(section.casefold().split())


def section_of(learning: Learning) -> str:
    """Return the section that a learning is about."""
    return name_of(str(learning.data.get("section", "")))


def text_in(learning: Learning) -> str:
    """Return what a learning wants its section to say."""
    return str(learning.data.get("text", "")).strip()


def _written(section: str, text: str, now: datetime) -> Learning:
    data = {"section": section, "text": text, "reasoning": "", "evidence": []}
    return Learning(namespace=GIVEN, key=section, kind=Instruction.kind, text=text, data=data, learned_at=now)


def _shown(one: Learning) -> str:
    """Return a section's text: the developer's own as it is, any other so that it cannot close its block."""
    return text_in(one) if one.namespace == GIVEN else escape(text_in(one), quote=False)


def _rendered(found: Iterable[Learning]) -> str:
    texts = sorted((section_of(one), _shown(one)) for one in found)
    return "\n".join(f'<section name="{escape(name)}">\n{text}\n</section>' for name, text in texts if text)


def _sources(links: Sequence[Learning]) -> tuple[Source, ...]:
    return tuple(dict.fromkeys(source for one in links for source in one.sources))
