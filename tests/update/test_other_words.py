"""A second voice in other words."""

import re

import pytest
from langchain_core.messages import BaseMessage
from langgraph.store.memory import InMemoryStore
from pairs import IN_OTHER_WORDS, LOST, MISTAKEN, Pair
from people import echo, edit, edits, machine, said, thread

from langgraph_learning import LearnedKnowledge, LearningContext, Scope
from langgraph_learning.core.policy import Sharing

PAIRS = IN_OTHER_WORDS[::5]
"""Every fifth: tests/core/test_agreement.py compares them all, here they go through the whole machine."""


def insight(text: str, replaces: str | None = None):
    return edit("insight", replaces=replaces, category="insight", title="Rule", insight=text, when_to_apply=None)


def is_shared(first: str, second: str, reworded: str = "") -> bool:
    """Whether a statement reaches the team after two voices, if the extraction repeats what waits for the second.

    reworded: words with which the extraction names the key of what waits instead.
    """

    def extract(shown: list[BaseMessage]):
        waiting = re.search(r"\[(k\d+)\] insight · Rule: (.*) \(said by others\)", shown[-1].text)
        if not waiting:
            return edits(insight(first))
        return edits(insight(reworded, waiting[1]) if reworded else insight(waiting[2]))

    store = LearnedKnowledge(scope=Scope.TEAM, sharing=Sharing.after(2))
    learning = machine(extract, [store], store=InMemoryStore())
    agent = learning.wrap(echo())
    for user, text in (("kim", first), ("lee", second)):
        agent.invoke(said(text), thread(user), context=LearningContext(user_id=user, team_ids=("acme",)))
    return bool(learning.learnings(LearningContext(user_id="pat", team_ids=("acme",))))


def test_a_second_voice_counts_in_other_words():
    """The extraction is shown what waits, and code compares it with what the second user says."""
    lost = {pair.voice for pair in PAIRS if not is_shared(pair.statement, pair.voice)}

    assert len(lost - LOST) * 50 <= len(PAIRS)


def test_a_second_voice_counts_if_the_extraction_rewords_it():
    """By the key of what waits, if code agrees."""
    lost = {pair.voice for pair in PAIRS if not is_shared(pair.statement, pair.voice, pair.voice)}

    assert len(lost - LOST) * 50 <= len(PAIRS)


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair.other not in MISTAKEN], ids=lambda pair: pair.other)
def test_what_sounds_alike_does_not_count(pair: Pair):
    """Another number, another name or a negation is another statement, whatever the extraction says."""
    assert not is_shared(pair.statement, pair.other)
    assert not is_shared(pair.statement, pair.other, pair.other)


def test_thanks_are_no_voice():
    """A message must have something to do with the statement."""
    assert not is_shared("Backups are kept for 30 days", "thanks, go on")
