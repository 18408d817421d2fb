"""The words that an extraction reads before anything is said."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore
from people import ALEX, NOTHING, learner, machine, prompt

from langgraph_learning import (
    BehavioralFeedback,
    DecisionLog,
    EntityMemory,
    Episodes,
    LearnedKnowledge,
    LearningMachine,
    LearningStore,
    Scope,
    SelfImprovement,
    SessionContext,
    UserMemory,
    UserProfile,
)
from langgraph_learning.background.estimate import count_fixed_tokens
from langgraph_learning.background.learner import make_turn
from langgraph_learning.core.policy import Sharing

MOST_TOKENS = 2_500
"""Tokens of instructions and schema, of all nine kinds of learning, with planned sessions and shared with a team."""
IN_SUPPORT = ALEX.model_copy(update={"agent_id": "support"})


def nine_stores(scope: Any = Scope.TEAM, **options: Any) -> list[LearningStore]:
    """All kinds of learning; what concerns work is shared."""
    return [
        UserProfile(),
        UserMemory(),
        SessionContext(planning=True),
        *(kind(scope=scope, **options) for kind in (EntityMemory, LearnedKnowledge, DecisionLog)),
        BehavioralFeedback(),
        SelfImprovement(),
        Episodes(),
    ]


def ask(stores: list[LearningStore]) -> LearningMachine:
    """A machine that has asked its model about one message."""
    learning = machine(lambda messages: NOTHING, stores, store=InMemoryStore())
    learning.preview([("user", "Orion ships in May")], IN_SUPPORT)
    return learning


def shown(learning: LearningMachine) -> str:
    """What the extraction was shown."""
    return prompt(learner(learning).shown[0])


@pytest.mark.parametrize("scope", [Scope.TEAM, (Scope.USER, Scope.of("project"), Scope.TEAM)])
def test_nine_stores_cost_few_tokens_before_anything_is_said(scope: object):
    """Instructions and schema are paid for at every turn."""
    learning = machine([], nine_stores(scope))
    turn = make_turn([("user", "Any news")], IN_SUPPORT, "a", datetime.now(UTC))

    assert count_fixed_tokens(learning._loop._extraction, turn) <= MOST_TOKENS


def test_the_heading_of_each_kind_names_its_readers():
    """No model has to guess who will read what it notes."""
    learning = ask(nine_stores())
    records = learner(learning).calls[0].schema["properties"]["edits"]["items"]["properties"]["note"]["anyOf"]
    kinds = {record["properties"]["edit"]["enum"][0] for record in records} - {"forget"}
    headings = re.findall(r"^## (.+) \(read by .+\)$", shown(learning), re.MULTILINE)

    assert kinds == {kind for heading in headings for kind in heading.split(", ")}
    assert kinds >= {"profile_field", "session", "fact", "insight", "decision", "feedback", "instruction"}


def test_no_placeholder_is_left():
    """Every part of the prompt is filled in."""
    assert "$" not in shown(ask(nine_stores()))


@pytest.mark.parametrize(("sharing", "is_told"), [(Sharing.AT_ONCE, False), (Sharing.after(2), True)])
def test_how_to_repeat_others_is_told_where_voices_are_counted(sharing: Sharing, is_told: bool):
    """Elsewhere nothing waits for a second voice."""
    assert is_told is ('"said by others"' in shown(ask(nine_stores(sharing=sharing))))


def test_each_field_of_an_edit_has_a_line_of_its_own():
    """With a choice of audiences and without."""
    for scope in (Scope.USER, Scope.TEAM):
        lines = shown(ask([LearnedKnowledge(scope=scope)])).splitlines()
        fields = [line for line in lines if line.startswith("- `")]

        assert "- `note`" == fields[-1][:8]
        assert "" not in lines[lines.index(fields[0]) : lines.index(fields[-1])]
