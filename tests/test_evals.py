"""The evaluation measures what it claims: a perfect model has perfect figures, and junk is counted."""

import json
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import BaseMessage

from evals import __main__ as command
from evals.answers import Answered, answer
from evals.conversations import Conversation, Known, Question, Wanted, conversations, questions
from evals.lesson import Outcome, learn
from evals.report import as_json, table, totals
from evals.scoring import Score, contains, score
from langgraph_learning.core.quotation import is_off_record
from langgraph_learning.core.text import escape_markup
from langgraph_learning.core.words import detect_languages
from langgraph_learning.testing import ScriptedModel

Script = Callable[[list[BaseMessage]], dict[str, Any]]

FILLED: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "profile_field": lambda words, field: {"field": field, "value": words},
    "observation": lambda words, _: {"observation": words},
    "session": lambda words, _: {"summary": words},
    "entity": lambda words, _: {"entity": words, "type": "other", "aliases": []},
    "fact": lambda words, _: {"entity": words, "fact": words, "as_of": None},
    "event": lambda words, _: {"entity": words, "event": words, "when": None},
    "relationship": lambda words, _: {"entity": words, "relation": "is", "target": words},
    "insight": lambda words, _: {"category": "insight", "title": words, "insight": words, "when_to_apply": None},
}


def perfect(conversation: Conversation) -> Script:
    """Answer with exactly what is expected."""

    last = next(line for line in reversed(conversation.said) if line.startswith("user: "))

    def answer(shown: list[BaseMessage]) -> dict[str, Any]:
        if escape_markup(last.removeprefix("user: ").splitlines()[0]) not in shown[-1].text:
            return {"edits": []}  # a turn before the last one
        said = [int(number) for number in re.findall(r"^\[(\d+)\] user ", shown[-1].text, re.MULTILINE)]
        edits = [_edit(conversation, wanted, shown[-1].text) for wanted in conversation.expect]
        return {"edits": [{**edit, "message": said[-1]} for edit in edits]}

    return answer


def _edit(conversation: Conversation, wanted: Wanted, shown: str) -> dict[str, Any]:
    label = wanted.replaces or wanted.forgets
    known = next((row for row in conversation.known if label and row.label == label), None)
    place = {"replaces": _key(known, shown) if known else None, "message": 1}
    if wanted.forgets:
        return {"edit": "forget", **place}
    words = " ".join(word.split("|")[0] for word in wanted.words)
    kind = wanted.kind.split("|")[0]
    place |= {"audience": wanted.audience} if wanted.audience else {}
    return {"edit": kind, **FILLED[kind](words, wanted.field.split("|")[0] or "expertise"), **place}


def _key(known: Known, shown: str) -> str:
    telling = [str(value) for name, value in known.fields.items() if name != "type"]
    rows = [row for row in shown.splitlines() if row.startswith("k") and all(value in row for value in telling)]
    return rows[0].partition(":")[0]


def silent(conversation: Conversation) -> Script:
    """Learn nothing."""
    return lambda shown: {"edits": []}


def chatty(conversation: Conversation) -> Script:
    """Learn what is expected, and one thing that nobody said."""
    junk = {"edit": "observation", "observation": "Likes talking to agents", "replaces": None, "message": 1}
    return lambda shown: {"edits": [*perfect(conversation)(shown)["edits"], junk]}


def evaluated(student: Callable[[Conversation], Script]) -> dict[str, Score]:
    rows = [(c, score(c, learn(c, ScriptedModel(student(c))))) for c in conversations()]
    return {"sum": totals(rows)["all"], **{conversation.name: found for conversation, found in rows}}


def test_a_perfect_model_has_perfect_figures():
    """Precision and recall are 1 in every conversation, all is in its place, with no junk and nothing dropped."""
    scores = evaluated(perfect)
    figures = scores["sum"]

    assert [] == [name for name, found in scores.items() if found.missed or found.mistakes or found.dropped]
    assert (1, 1, 1, 0) == (figures.precision, figures.recall, figures.in_place, figures.junk)


def test_a_right_edit_in_the_wrong_place_is_misplaced():
    """It is right, and reported beside."""
    conversation = next(one for one in conversations() if one.name.startswith("a son's illness"))
    wanted = conversation.expect[0].model_copy(update={"audience": "team"})
    told = conversation.model_copy(update={"expect": (wanted,)})
    found = score(conversation, learn(conversation, ScriptedModel(perfect(told))))

    assert (1, 1) == (found.right, found.misplaced)
    assert "(in team, belongs in user)" in table([(conversation, found)], [])
    assert (1, 0) == (found.recall, found.in_place)


def test_a_silent_model_recalls_nothing():
    """A model that learns nothing makes no mistakes, and misses everything."""
    found = evaluated(silent)["sum"]

    assert (None, 0, 0) == (found.precision, found.recall, found.junk)


def test_junk_costs_precision_and_not_recall():
    """One invented edit per conversation is counted in each, and as junk where nothing should be learnt.

    What is off the record is read by no model.
    """
    found = evaluated(chatty)["sum"]
    read = [conversation for conversation in conversations() if not is_off_record(conversation.said[-2])]

    assert 1 == found.recall
    assert len(read) == found.wrong == len(conversations()) - 1
    assert sum(not conversation.expect for conversation in read) == found.junk
    assert found.right / (found.right + found.wrong) == found.precision


def test_a_third_of_the_conversations_teach_nothing_and_a_third_is_held_out():
    """Restraint is measured as much as learning, and the prompts are not tuned on all conversations."""
    found = conversations()

    assert len(found) >= 36
    assert len(found) / 3 == pytest.approx(sum(not c.expect for c in found), abs=1)
    assert len(found) / 3 == pytest.approx(sum(c.held_out for c in found), abs=1)


def test_every_conversation_has_a_name_of_its_own():
    """Figures are compared by name."""
    names = Counter([row.name for row in conversations()] + [row.name for row in questions()])

    assert [] == [name for name, count in names.items() if count > 1]


@pytest.mark.parametrize("about", ["audience", "before", "dates", "quotes", "forgetting"])
def test_each_thing_that_is_hard_is_measured_in_several_languages(about: str):
    """The report has a row of totals for it."""
    rows = [(c, score(c, learn(c, ScriptedModel(perfect(c))))) for c in conversations() if c.about == about]
    texts = [conversation.said[0].removeprefix("user: ") for conversation, _ in rows]
    languages = {language for text in texts for language in detect_languages(text)}
    scripts = {"unspaced" for text in texts if any(char > "\u2e80" for char in text)}

    assert len(languages | scripts) >= 4
    assert f"about: {about}" in table(rows, [])
    assert 1 == totals(rows)[f"about: {about}"].in_place


def test_an_open_answer_to_who_asks_for_it_announces_nothing():
    """Else an agent would have to deny what it knows."""
    question = next(question for question in questions() if question.openly)

    assert "" == Answered(question, "I know that you are Priya, and that peanuts are dangerous for you.").telltale


@pytest.mark.parametrize("conversation", conversations(), ids=lambda c: c.name)
def test_what_is_expected_was_said(conversation: Conversation):
    """At least one alternative of each expected word is there, or in the known learnings, but for resolved dates."""
    known = " ".join(str(value) for row in conversation.known for value in row.fields.values())
    words = [word for wanted in conversation.expect for word in wanted.words]

    assert [] == [word for word in words if not contains(f"{conversation.text} {known}", word) and not is_date(word)]


def is_date(word: str) -> bool:
    """Return whether an expected word is a date, which nobody said in that form."""
    return re.match(r"\d{4}-\d{2}-\d{2}\|", word) is not None


def test_a_conversation_is_read_on_its_day():
    """Its relative dates are resolved from there."""
    conversation = next(one for one in conversations() if one.now)
    model = ScriptedModel(silent(conversation))
    learn(conversation, model)

    assert "Today is Friday, 2027-03-05" in model.shown[0][0].text


def test_turns_that_are_read_by_themselves_are_shown_what_was_said_before():
    """And are read once each."""
    conversation = next(one for one in conversations() if one.by_turns)
    model = ScriptedModel(silent(conversation))
    learn(conversation, model)
    blocks = [shown[-1].text.partition("<conversation>") for shown in model.shown]

    assert [False, True] == ["2. Dublin" in before for before, _, _ in blocks]
    assert [True, False] == ["2. Dublin" in conversation for _, _, conversation in blocks]


def test_what_is_forbidden_is_wrong_even_if_it_is_expected():
    """An edit with a forbidden word is wrong, even if it meets an expectation."""
    known = learn(_conversation(), ScriptedModel(perfect(_conversation())))

    assert (1, 0) == (score(_conversation(), known).right, score(_conversation(), known).wrong)
    assert (0, 1) == (score(_conversation("Ada"), known).right, score(_conversation("Ada"), known).wrong)


def test_what_is_lost_without_need_is_wrong():
    """A known learning that is gone although nobody asked to forget it is a mistake."""
    known = (Known(kind="observation", label="cats", observation="Likes cats"),)
    conversation = Conversation(name="n", said=("user: Any news?", "agent: None."), known=known)
    outcome = learn(conversation, ScriptedModel([{"edits": [{"edit": "forget", "replaces": "k1", "message": 1}]}]))

    assert ("lost: Likes cats",) == score(conversation, outcome).mistakes


def test_an_answer_that_cannot_be_read_counts_as_dropped():
    """Nonsense answers do not stop the evaluation; they score nothing."""
    outcome = learn(_conversation(), ScriptedModel(lambda shown: "no JSON at all"))

    assert (0, 1) == (score(_conversation(), outcome).right, score(_conversation(), outcome).dropped)


@pytest.mark.parametrize(
    ("text", "words", "found"),
    [
        ("Meets on 14 March", "14 march", True),
        ("Costs 140", "14", False),
        ("Costs 3140", "14", False),
        ("Has 14% off", "14", True),
        ("Unread", "read", False),
        ("Migrating now", "migrat", True),
        ("In 福岡", "福岡", True),
        ("On May 17", "17 May|May 17", True),
    ],
)
def test_words_are_found_as_people_would(text: str, words: str, found: bool):
    """Case makes no difference, words may be inflected, and a number is never found in another one."""
    assert found is contains(text, words)


def test_each_edit_meets_one_expectation():
    """An edit meets one expectation only, and the assignment meets as many expectations as possible."""
    conversation = Conversation(
        name="n",
        said=("user: Ada and Bob", "agent: Hi"),
        expect=(Wanted(kind="observation", words=("A",)), Wanted(kind="observation", words=("Ada",))),
    )
    both = _edits({"observation": "Ada"}, {"observation": "A"})

    assert 2 == score(conversation, learn(conversation, both)).right
    assert 1 == score(conversation, learn(conversation, _edits({"observation": "Ada"}))).right


@pytest.mark.parametrize(
    ("said", "announced", "used"),
    [
        ("Grafana, because it keeps egress low.", "", True),
        ("As you told me, egress matters: Grafana.", "as you told me", True),
        ("Datadog.", "", False),
    ],
)
def test_an_answer_that_announces_its_memory_is_noticed(said: str, announced: str, used: bool):
    """The agent recalls what is known, and its answer is checked for telltale phrases."""
    model = ScriptedModel([said])
    known = (Known(kind="fact", entity="the team", fact="is cutting egress costs"),)
    found = answer(Question(name="n", known=known, asked="Datadog or Grafana?", uses=("egress",)), model)

    assert (announced, used) == (found.telltale.casefold(), found.used)
    assert "cutting egress costs" in "".join(message.text for message in model.shown[0])


def test_the_report_names_what_was_missed():
    """The table shows the figures, and why they are not better."""
    conversation = _conversation()
    rows = [(conversation, score(conversation, learn(conversation, ScriptedModel(silent(conversation)))))]
    answered = [Answered(questions()[0], "I remember that you cut egress.")]

    assert "missed  profile_field: Ada" in table(rows, answered)
    assert "1 of 1 announce their memory" in table(rows, answered)
    assert 0 == as_json(rows, answered)["totals"]["all"]["recall"]


def test_the_command_prints_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """`--json` prints only JSON on standard output; progress goes to standard error."""
    monkeypatch.setattr(command, "_model", lambda options: ScriptedModel(lambda shown: {"edits": []}))
    command.main(["--model", "any", "--only", "penguins", "--json"])
    out, err = capsys.readouterr()

    assert ["a joke about penguins"] == list(json.loads(out)["conversations"])
    assert "learning 1/1: a joke about penguins" in err


def _conversation(*forbidden: str) -> Conversation:
    expect = (Wanted(kind="profile_field", field="name", words=("Ada",)),)
    return Conversation(name="n", said=("user: I am Ada", "agent: Hi"), expect=expect, forbidden=forbidden)


def _edits(*edits: dict[str, Any]) -> ScriptedModel:
    common = {"edit": "observation", "replaces": None, "message": 1}
    return ScriptedModel([{"edits": [{**common, **edit} for edit in edits]}])


def test_an_outcome_tells_what_is_new_and_what_is_gone():
    """Both are determined by key: a learning that gained a source is neither new nor gone."""
    outcome = learn(_conversation(), ScriptedModel(perfect(_conversation())))

    assert ["name: Ada"] == [learning.text for learning in outcome.new]
    assert [] == outcome.gone
    assert isinstance(outcome, Outcome)
