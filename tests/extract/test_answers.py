"""Reading a model's answer: every form that real models give."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from langgraph_learning.errors import UnreadableAnswer
from langgraph_learning.extract.answers import parse_number, read_answer

TEA = {"edit": "observation", "observation": "Likes tea [green] {hot}.", "replaces": None, "message": 1}
MUG = {"edit": "observation", "observation": "Owns a mug.", "replaces": None, "message": 1}
BOTH = {"edits": [TEA, MUG]}
FENCE = "```"


def read(text: Any, **message: Any) -> list[dict[str, Any]]:
    """The edits in an answer."""
    return list(read_answer(AIMessage(text, **message), "edits", "edit").entries)


def call(args: Any) -> dict[str, Any]:
    """A tool call with these arguments."""
    return {"name": "learn", "args": args, "id": "1"}


whole = json.dumps(BOTH)
FORMS = {
    "plain": whole,
    "with line breaks": json.dumps(BOTH, indent=2),
    "fenced": f"{FENCE}json\n{whole}\n{FENCE}",
    "fenced between prose": f"Here [as you asked]:\n\n{FENCE}\n{whole}\n{FENCE}\nAnything else {{today}}?",
    "before prose": f"{whole}\nI noted both.",
    "after prose": f"Sure! Here they are: {whole}",
    "after reasoning": f'<think>Is it {{"edits": []}}?</think>\n{whole}',
    "after reasoning without an opening tag": f"Let me see [1].\n</think>\n\n{whole}",
    "a bare list": json.dumps([TEA, MUG]),
    "a list as a string": json.dumps({"edits": json.dumps([TEA, MUG])}),
    "all of it as a string": json.dumps(whole),
    "edits as strings": json.dumps({"edits": [json.dumps(TEA), json.dumps(MUG)]}),
    "under the schema's name": json.dumps({"learn": BOTH}),
    "as a call in words": json.dumps({"name": "learn", "arguments": BOTH}),
    "numbered": json.dumps({"edits": {"0": TEA, "1": MUG}}),
    "an object a line": f"{json.dumps(TEA)}\n{json.dumps(MUG)}",
    "in two parts": f"{json.dumps({'edits': [TEA]})}\n\n{json.dumps({'edits': [MUG]})}",
    "a comma too many": f'{{"edits": [{json.dumps(TEA)}, {json.dumps(MUG)},]}}',
    "as Python": str(BOTH),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
def test_the_list_is_read_in_every_form(text: str):
    """Both edits, as they were meant."""
    assert [TEA, MUG] == read(text)


def test_one_edit_is_a_list_of_one():
    """Bare, or in the place of the list."""
    assert [TEA] == read(json.dumps(TEA)) == read(json.dumps({"edits": TEA}))


@pytest.mark.parametrize(
    "calls",
    [[call(BOTH)], [call({"edits": [TEA]}), call({"edits": [MUG]})], [call({"edits": whole})], [call(TEA), call(MUG)]],
    ids=["one call", "two calls", "a string", "an edit each"],
)
def test_tool_calls_are_read_in_every_form(calls: list[dict[str, Any]]):
    """What stands in the calls is the answer."""
    assert [TEA, MUG] == read("I will note that.", tool_calls=calls)


@pytest.mark.parametrize("text", ["", " \n", "{}", "[]", "null", '{"edits": null}', '{"edits": []}', '{"edits": "[]"}',
                                  '{"edits": {}}', '{"edits": false}', '{"edits": 0}', "None.", "There is nothing to learn here.",
                                  "No new information in this conversation.", "Nothing worth noting", "<think>Nothing here.</think>", f"{FENCE}\n[]\n{FENCE}"])  # fmt: skip
def test_nothing_to_learn_is_an_empty_list(text: str):
    """An answer without anything is no error."""
    assert [] == read(text)


@pytest.mark.parametrize("text", ["The user likes tea.", "I'm sorry, I can't.", "[1, 2]", '"tea"', '{"answer": "tea"}', "42",
                                  '{"type": "object", "properties": {"edits": {"type": "array"}}}', '{"edits": 7}'])  # fmt: skip
def test_nonsense_is_not_nothing(text: str):
    """What is no list of edits cannot be told apart from learnings that were lost, so it is an error."""
    with pytest.raises(UnreadableAnswer, match="not a list of edits"):
        read(text)


def test_reasoning_without_an_answer_is_not_nothing():
    """It ended too early, so the message is read again."""
    with pytest.raises(UnreadableAnswer, match="ends in its reasoning"):
        read(f"<think>Maybe {whole}")


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("", additional_kwargs={"refusal": "I will not"}),
        AIMessage([{"type": "refusal", "refusal": "I will not"}]),
        AIMessage("", response_metadata={"finish_reason": "content_filter"}),
        AIMessage("", response_metadata={"stop_reason": "refusal"}),
        AIMessage("", response_metadata={"finish_reason": "FinishReason.SAFETY"}),
    ],
)
def test_a_refusal_is_not_nothing(message: AIMessage):
    """Providers say it in different ways, mostly beside an empty text."""
    with pytest.raises(UnreadableAnswer, match="refused"):
        read_answer(message, "edits", "edit")


@pytest.mark.parametrize("metadata", [{}, {"finish_reason": "length"}, {"stop_reason": "max_tokens"}])
@given(cut=st.integers(0, len(whole) - 3))
def test_of_an_answer_that_was_cut_off_what_is_whole_counts(metadata: dict[str, str], cut: int):
    """At every place of the cut: no half edit counts, none before it is lost, and the loss is reported."""
    ends = [whole.index(json.dumps(edit)) + len(json.dumps(edit)) for edit in (TEA, MUG)]
    expected = [edit for edit, end in zip((TEA, MUG), ends, strict=True) if end <= cut]
    message = AIMessage(whole[:cut], response_metadata=metadata)
    if cut == 0 and not metadata:
        assert () == read_answer(message, "edits", "edit").entries
    elif not expected:
        with pytest.raises(UnreadableAnswer):
            read_answer(message, "edits", "edit")
    else:
        answer = read_answer(message, "edits", "edit")
        assert expected == list(answer.entries)
        assert "cut off" in answer.problems[-1]


def test_a_call_that_was_cut_off_counts_as_far_as_it_is_whole():
    """Its arguments are no JSON then."""
    invalid = {"name": "learn", "args": whole[:-40], "id": "1", "error": "not JSON", "type": "invalid_tool_call"}

    assert [TEA] == read("", invalid_tool_calls=[invalid])


def test_what_is_no_edit_is_reported_beside_those_that_are():
    """Nothing is dropped in silence."""
    answer = read_answer(AIMessage(json.dumps({"edits": [TEA, "tea", 7]})), "edits", "edit")

    assert (TEA,) == answer.entries
    assert ["'tea'", "'7'"] == [problem.split()[1].rstrip(":") for problem in answer.problems]


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda part: st.lists(part) | st.dictionaries(st.text(), part),
    )
)
def test_any_json_is_read_or_refused(value: Any):
    """No other error comes out of an answer."""
    for text in (json.dumps(value), json.dumps({"edits": value}), json.dumps(value)[:-1]):
        try:
            entries = read(text)
        except UnreadableAnswer:
            continue
        assert all(isinstance(entry, dict) for entry in entries)


@pytest.mark.parametrize("value", [3, 3.0, "3", " 3 ", "[3]", "#3", "message 3", [3], ["3"]])
def test_a_number_is_read_as_it_is_meant(value: object):
    """Models write the number of a message in several ways."""
    assert 3 == parse_number(value)


@pytest.mark.parametrize("value", [None, True, "first", "1 and 2", [1, 2], [], {}, 1.5, float("nan"), float("inf")])
def test_what_is_no_number_is_none(value: object):
    """Nothing is guessed."""
    assert parse_number(value) is None
