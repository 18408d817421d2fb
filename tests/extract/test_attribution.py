"""Whose words a statement is."""

import pytest
from langchain_core.messages import HumanMessage, ToolMessage

from langgraph_learning.core.transcript import transcript_lines
from langgraph_learning.extract.attribution import find_ending_message, find_supporting_message


@pytest.mark.parametrize(
    ("statement", "theirs"),
    [
        ("Drinks green tea", True),
        ("green tea", True),
        ("CTO", True),
        ("Deploys 40 services", True),
        ("Deploys 50 services", False),
        ("Prefers suppliers from Hamburg", False),
        ("Deploys services with Jenkins", False),
        ("name", False),
        ("alex", False),
        ("", False),
    ],
)
def test_the_users_words_are_told_by_the_words(statement: str, theirs: bool):
    """Inflected as it may be; another number, a tool's word or the speaker's mere name make it somebody else's."""
    messages = [
        HumanMessage("I am CTO", id="1"),
        HumanMessage("I drink green tea, and we deploy 40 services", id="2"),
        ToolMessage("Jenkins", tool_call_id="1"),
    ]

    assert theirs is bool(find_supporting_message(statement, transcript_lines(messages, "alex")))


def test_the_message_that_says_it_is_found():
    """The one with most of its words; of equals, the last."""
    messages = [
        HumanMessage("green tea", id="1"),
        HumanMessage("I drink green tea", id="2"),
        HumanMessage("ok", id="3"),
    ]
    line = find_supporting_message("Drinks green tea", transcript_lines(messages, "u"))

    assert line is not None
    assert "2" == line.id


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("Refunds · Do approve refunds over 500 euros without asking", "Do not approve refunds over 500 euros"),
        ("Approve refunds over 500 euros", "Please don't approve refunds over 500 euros"),
        ("Universal policy · The police contractor is an internet university", "Our internal policy is universal"),
        ("The contractor is insolvent", "Our contract is about solvents"),
        ("The patient has HIV", "The patient has the flu"),
    ],
)
def test_what_the_user_did_not_say_is_not_theirs(statement: str, message: str):
    """Neither the opposite of what they said, nor words that only begin like theirs."""
    assert find_supporting_message(statement, transcript_lines([HumanMessage(message, id="1")], "u")) is None


def test_a_negation_in_the_users_words_stays_with_the_statement():
    """What the user ruled out is theirs as long as the statement rules it out too."""
    lines = transcript_lines([HumanMessage("We never deploy on Fridays", id="1")], "u")

    assert find_supporting_message("Never deploys on Fridays", lines)
    assert not find_supporting_message("Deploys on Fridays", lines)


def test_a_denial_mentions_what_is_denied():
    """Somebody who says that it is no longer so may have it forgotten, though they do not support it."""
    lines = transcript_lines([HumanMessage("We no longer use AWS", id="1")], "u")

    assert find_ending_message("The team uses AWS", lines)
    assert not find_supporting_message("The team uses AWS", lines)
