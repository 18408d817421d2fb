"""For whom something is noted."""

from typing import Any

import pytest
from langgraph.store.memory import InMemoryStore
from people import ALEX, SAM, echo, edit, edits, learner, machine, prompt, said, thread

from langgraph_learning import EntityMemory, LearnedKnowledge, LearningContext, LearningStore, Scope, UserMemory
from langgraph_learning.core.learning import Status
from langgraph_learning.core.policy import Sharing
from langgraph_learning.errors import Misconfigured, MissingOwner

PROJECT = Scope.of("project")
SCOPES = (Scope.TEAM, Scope.USER, PROJECT)
IN_PROJECT = LearningContext(user_id="alex", team_ids=("acme",), owners={"project": "apollo"})
PRIVATE = [
    "My son Timo is diabetic",
    "Karin has chemotherapy on Mondays",
    "I am pregnant",
    "I take my coffee black",
    "Dirk told me in confidence that he is leaving",
    "Ich bin gegen Penicillin allergisch",
    "我对花生过敏",
    "Ma femme attend un enfant",
]


def insight(text, **more):
    return {**edit("insight", category="insight", title="Note", insight=text, when_to_apply=None), **more}


def learn(stores, answer, text="Cutting egress costs is our priority", context=ALEX):
    """What a machine with these stores learns from one message."""
    learning = machine(lambda messages: edits(answer), stores, store=InMemoryStore())
    learning.wrap(echo()).invoke(said(text), thread("a"), context=context)
    return learning


@pytest.mark.parametrize("audience", ["user", "project", "team"])
def test_an_edit_goes_to_the_audience_that_it_names(audience: str):
    """Of several scopes, the one that was chosen."""
    learning = learn([LearnedKnowledge(scope=SCOPES)], insight("Egress first", audience=audience), context=IN_PROJECT)

    assert [audience] == [learnt.scope.name for learnt in learning.learnings(IN_PROJECT)]


@pytest.mark.parametrize("audience", [None, "everybody", "global", 7])
def test_without_a_known_audience_the_narrowest_counts(audience: object):
    """A name that is no scope of the store widens nothing."""
    learning = learn([LearnedKnowledge(scope=SCOPES)], insight("Egress first", audience=audience), context=IN_PROJECT)

    assert ["user"] == [learnt.scope.name for learnt in learning.learnings(IN_PROJECT)]


@pytest.mark.parametrize(
    ("named", "reached"),
    [
        ("Team", "team"),
        (" the team ", "team"),
        ("team (everybody in the team)", "team"),
        ("team:acme", "team"),
        ("'team'", "team"),
        (["team"], "team"),
        ({"name": "team"}, "team"),
        (["team", "user"], "user"),
        ("Sales Region", "Sales region"),
        ("for the sales region", "Sales region"),
        ("team:other", "user"),
        ("teams", "user"),
        ("team leads", "user"),
        (["team", "everyone"], "user"),
        ("everyone", "user"),
    ],
)
def test_an_audience_may_be_named_in_any_form(named: object, reached: str):
    """What is another group, or several, reaches nobody who was not named."""
    region = Scope.of("Sales region")
    context = ALEX.model_copy(update={"owners": {"Sales region": "emea"}})
    answer = insight("Egress first", audience=named)
    learning = learn([LearnedKnowledge(scope=(Scope.USER, region, Scope.TEAM))], answer, context=context)

    assert [reached] == [learnt.scope.name for learnt in learning.learnings(context)]


@pytest.mark.parametrize(("scope", "reached"), [(Scope.TEAM, "team"), ((Scope.USER, Scope.TEAM), "user")])
@pytest.mark.parametrize("named", [None, ""])
def test_an_edit_for_nobody_reaches_the_only_scope_or_the_narrowest(scope: Any, reached: str, named: str | None):
    """Of one scope there is no choice."""
    learning = learn([LearnedKnowledge(scope=scope)], insight("Egress first", audience=named))

    assert [reached] == [learnt.scope.name for learnt in learning.learnings(ALEX)]


@pytest.mark.parametrize(
    ("named", "text", "why"),
    [
        ("everyone", "Egress first", "there is no audience 'everyone' here"),
        ("project", "Egress first", "there is no audience 'project' here"),
        (None, "Egress first", "the edit names no audience"),
        ("team", "Between you and me, egress first", "it was said in confidence"),
        ("user", "Egress first", None),
    ],
)
def test_the_stream_says_why_code_kept_something_to_the_user(named: str | None, text: str, why: str | None):
    """Unless the model wanted it so."""
    learning = machine(
        lambda messages: edits(insight("Egress first", audience=named)),
        [LearnedKnowledge(scope=SCOPES)],
        store=InMemoryStore(),
    )
    events = list(learning.wrap(echo()).stream(said(text), thread("a"), context=ALEX, stream_mode="custom"))
    reasons = [kept["why"] for event in events for kept in event["learning"].get("kept_private", ())]

    assert ([why] if why else []) == reasons


@pytest.mark.parametrize("text", PRIVATE)
@pytest.mark.parametrize("store", [EntityMemory, LearnedKnowledge])
def test_what_is_meant_for_the_user_alone_stays_there(text: str, store: type[LearningStore]):
    """Every shared store can keep something to the user."""
    fact = edit("fact", entity="Somebody", fact=text, as_of=None)
    answer = {**(fact if store is EntityMemory else insight(text)), "audience": "user"}
    learning = learn([store(scope=Scope.TEAM)], answer, text)

    assert ["user"] == [learnt.scope.name for learnt in learning.learnings(ALEX)]
    assert [] == learning.learnings(SAM)


def test_a_store_for_one_user_has_no_other_audience():
    """Whatever the model names."""
    answer = {**edit("observation", observation="Likes tea"), "audience": "team"}

    assert ["user"] == [found.scope.name for found in learn([UserMemory()], answer).learnings(ALEX)]


def test_the_prompt_says_who_reads_each_kind():
    """And the schema offers exactly these audiences."""
    learning = learn([UserMemory(), LearnedKnowledge(scope=SCOPES)], insight("x"), context=IN_PROJECT)
    shown, schema = prompt(learner(learning).shown[0]), learner(learning).calls[0].schema

    assert "## observation (read by this user alone)" in shown
    assert "## insight (read by user or project or team)" in shown
    assert '"project" (everybody in this project)' in shown
    assert ["user", "project", "team"] == schema["properties"]["edits"]["items"]["properties"]["audience"]["enum"]


def test_a_scope_without_an_owner_is_no_audience():
    """Outside a project nothing is noted for one; a run must name an owner for one of the scopes only."""
    learning = learn([LearnedKnowledge(scope=SCOPES)], insight("Egress first", audience="project"))

    assert ["user"] == [learnt.scope.name for learnt in learning.learnings(ALEX)]
    with pytest.raises(MissingOwner):
        learn([LearnedKnowledge(scope=PROJECT)], insight("x"))


def test_a_correction_stays_where_the_corrected_is():
    """An edit that names no audience is meant for those who know what it replaces."""
    answers = iter([insight("Ships in May", audience="team"), insight("Ships in June", replaces="k1")])
    learning = machine(lambda messages: edits(next(answers)), [LearnedKnowledge(scope=SCOPES)], store=InMemoryStore())
    for number, text in enumerate(("Orion ships in May", "Orion ships in June")):
        learning.wrap(echo()).invoke(said(text), thread(str(number)), context=IN_PROJECT)

    assert ["Note: Ships in June"] == [learnt.text for learnt in learning.learnings(SAM)]


@pytest.mark.parametrize("sharing", [Sharing.after(2), Sharing.APPROVED])
def test_what_is_private_waits_for_nobody(sharing: Sharing):
    """It is neither a candidate nor a proposal."""
    store = InMemoryStore()
    answer = insight("I am pregnant", audience="user")
    learning = machine(
        lambda messages: edits(answer), [LearnedKnowledge(scope=Scope.TEAM, sharing=sharing)], store=store
    )
    learning.wrap(echo()).invoke(said("I am pregnant"), thread("a"), context=ALEX)

    stored = store.search(("learnings",), filter={"status": Status.PROPOSED.value})
    assert [] == stored


def test_two_stores_of_one_kind_are_told_apart_by_name():
    """The team's rules beside the project's."""
    stores = [
        LearnedKnowledge(name="team_rules", scope=Scope.TEAM),
        LearnedKnowledge(name="project_rules", scope=PROJECT),
    ]
    answer = {**insight("Egress first"), "edit": "project_rules_insight"}
    learning = learn(stores, answer, context=IN_PROJECT)

    assert ["project_rules"] == [learnt.store_name for learnt in learning.learnings(IN_PROJECT)]
    assert "## team_rules_insight (read by user or team)" in prompt(learner(learning).shown[0])


@pytest.mark.parametrize("scope", [(Scope.THREAD, Scope.TEAM), ("team",)])
def test_scopes_that_cannot_go_together_are_refused(scope: object):
    """At construction."""
    with pytest.raises(Misconfigured, match=r"scope"):
        LearnedKnowledge(scope=scope)


def test_a_priority_ends_when_it_was_said_to_end():
    """After the last day that it names, it is no longer valid."""
    learning = learn([LearnedKnowledge(scope=Scope.TEAM)], insight("Egress first", until="2099-03"))
    (learnt,) = learning.learnings(SAM)

    assert "2099-04-01" == f"{learnt.valid_to:%Y-%m-%d}"
    assert "(until 2099-03)" in learnt.text


@pytest.mark.parametrize(
    ("until", "end"),
    [
        ("2099", "2100-01-01"),
        ("2099-02", "2099-03-01"),
        ("2099-3-1", "2099-03-02"),
        ("2099/12/31", "2100-01-01"),
        ("2099-03-31T18:00:00Z", "2099-04-01"),
        ("2099-03-31 18:00", "2099-04-01"),
        ("31.3.2099", "2099-04-01"),
        ("31. 3. 2099", "2099-04-01"),
        ("03/04/2099", None),
        ("2099-02-30", None),
        ("2099-13", None),
        ("the end of March 2099", "2099-04-01"),
        ("mid-March", None),
        ("the launch", None),
    ],
)
def test_an_end_in_any_form_that_has_one_meaning_counts(until: str, end: str | None):
    """A year ends with its last day; what could be two days or none is no end."""
    learning = learn([LearnedKnowledge(scope=Scope.TEAM)], insight("Egress first", until=until))
    (learnt,) = learning.learnings(SAM)

    assert end == (f"{learnt.valid_to:%Y-%m-%d}" if learnt.valid_to else None)


@pytest.mark.parametrize("situation", [None, "", "  "])
def test_a_situation_without_words_is_none(situation: str | None):
    """Nothing is shown of it."""
    learning = learn([LearnedKnowledge(scope=Scope.TEAM)], insight("Egress first", when_to_apply=situation))

    assert ["Note: Egress first"] == [learnt.text for learnt in learning.learnings(SAM)]


@pytest.mark.parametrize(
    "text",
    [
        "Between you and me, Karin is leaving in June",
        "Just between us: Karin is leaving",
        "Karin is leaving. This stays between us.",
        "Karin is leaving, but you didn't hear it from me",
        "Please keep this to yourself: Karin is leaving",
        "Karin told me in confidence that she is leaving",
        "Karin is leaving, don't tell anyone",
        "Unter uns gesagt, Karin geht im Juni",
        "Das bleibt unter uns: Karin geht",
        "Entre nous, Karin part en juin",
        "Que quede entre nosotros: Karin se va",
        "Resti tra noi: Karin se ne va",
        "Dit blijft onder ons: Karin vertrekt",
        "Fica entre nós: Karin vai sair",
        "To zostaje między nami: Karin odchodzi",
        "Между нами: Карин уходит",
        "Mellan oss: Karin slutar",
        "Aramızda kalsın: Karin gidiyor",
        "私下说，卡琳要走了",
        "ここだけの話、カリンさんが辞めます",
        "우리끼리 얘기인데 카린이 떠나요",
        "بيني وبينك، كارين ستغادر",
        "בינינו, קארין עוזבת",
    ],
)
def test_what_is_said_in_confidence_stays_with_the_user(text: str):
    """Even if the model names the team."""
    fact = {**edit("fact", entity="Karin", fact=text, as_of=None), "audience": "team"}

    assert ["user"] == [
        learnt.scope.name for learnt in learn([EntityMemory(scope=Scope.TEAM)], fact, text).learnings(ALEX)
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Between us and Bosch there is a contract until May",
        "The team has confidence in Karin",
        "The contract between us is confidential data for Legal",
        "Zwischen uns und Bosch gilt ein Vertrag",
        "Entre nosotros y Ana hay dos oficinas",
        "We tell everybody in the team about prices",
        "Karin leads the move between us offices",
    ],
)
def test_other_words_of_confidence_keep_nothing_back(text: str):
    """What is between two companies is no secret."""
    fact = {**edit("fact", entity="Bosch", fact=text, as_of=None), "audience": "team"}

    assert ["team"] == [
        learnt.scope.name for learnt in learn([EntityMemory(scope=Scope.TEAM)], fact, text).learnings(ALEX)
    ]


@pytest.mark.parametrize("category", ["priority", "convention"])
@pytest.mark.parametrize(
    ("situation", "cues", "kept"), [("Costs", [], True), (None, ["choosing a cloud service"], True), (" ", [], False)]
)
def test_a_priority_or_rule_names_when_to_think_of_it(
    category: str, situation: str | None, cues: list[str], kept: bool
):
    """By its field or by a cue; else it goes back to the model."""
    answer = {**insight("Egress first", when_to_apply=situation, category=category), "cues": cues}
    learning = learn([LearnedKnowledge(scope=Scope.TEAM)], answer)

    assert [kept] == [bool(learning.learnings(SAM))]
    assert (1 if kept else 2) == len(learner(learning).shown)
