"""Scopes, callers and the namespaces that they may read and write."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.store.memory import InMemoryStore

from langgraph_learning import LearningContext, Scope
from langgraph_learning.core.scopes import Caller, apply_authentication, escape, unescape
from langgraph_learning.errors import Misconfigured, MissingOwner, NotAllowed

IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=80).filter(
    str.strip
)


@given(IDS)
def test_any_id_can_be_a_namespace_label(id_: str):
    """Characters that LangGraph refuses in a label are escaped, and nothing is lost."""
    InMemoryStore().put(("root", escape(id_)), "k", {})

    assert unescape(escape(id_)) == id_


@given(IDS, IDS)
def test_different_ids_are_different_labels(one: str, other: str):
    """No two people share a namespace."""
    assert (escape(one) == escape(other)) is (one == other)


@given(st.sets(IDS, min_size=2, max_size=2), st.sets(IDS, max_size=3))
def test_nobody_reads_what_is_private_to_another(people: set[str], teams: set[str]):
    """Two people may share teams; neither reads the other's own namespace, and each reads their own."""
    one, other = (Caller.of(LearningContext(user_id=user, team_ids=tuple(teams))) for user in people)
    private = one.namespace(Scope.USER, "user_memory")

    assert private in set(one.readable_namespaces(Scope.TEAM, "user_memory"))
    assert private not in set(other.readable_namespaces(Scope.TEAM, "user_memory"))


def test_a_caller_reads_the_union_of_all_scopes():
    """User, open scopes, teams, agent and everybody; never another's thread."""
    context = LearningContext(user_id="u", team_ids=("a", "b"), agent_id="bot", owners={"project": "apollo"})

    found = [place[2:4] for place in Caller.of(context, "t").readable_namespaces(Scope.TEAM, "facts")]

    assert [
        ("user", "u"), ("project", "apollo"), ("team", "a"), ("team", "b"), ("agent", "bot"), ("global", "everybody"),
    ] == found  # fmt: skip


def test_tenants_share_nothing():
    """The same user id in two tenants is two people."""
    places = [
        set(Caller.of(LearningContext(user_id="u", tenant_id=tenant)).readable_namespaces(Scope.GLOBAL, "facts"))
        for tenant in "ab"
    ]

    assert not places[0] & places[1]


@pytest.mark.parametrize(
    "context",
    [
        LearningContext(),
        LearningContext(user_id=""),
        LearningContext(user_id="  "),
        LearningContext(user_id="u", team_ids=("",)),
        LearningContext(user_id="u", owners={"project": ""}),
    ],
)
def test_an_id_that_names_nobody_is_refused(context: LearningContext):
    """A missing id is an error, never a shared default."""
    with pytest.raises(MissingOwner):
        Caller.of(context)


def test_a_scope_without_an_owner_says_what_to_pass():
    """The error tells how to name the team."""
    with pytest.raises(MissingOwner, match="team_ids"):
        Caller.of(LearningContext(user_id="u")).namespace(Scope.TEAM, "facts")


@pytest.mark.parametrize(
    ("scope", "line"), [(Scope.AGENT, r"an agent, .*agent_id="), (Scope.of("project"), r'owners=\{"project": …\}')]
)
def test_a_missing_owner_of_any_scope_says_what_to_pass(scope: Scope, line: str):
    """Open scopes too."""
    with pytest.raises(MissingOwner, match=line):
        Caller.of(LearningContext(user_id="u")).namespace(scope, "facts")


def test_an_empty_id_is_named():
    """So that the caller sees which one to leave out."""
    with pytest.raises(MissingOwner, match=r"^team_ids: .*Leave out"):
        Caller.of(LearningContext(user_id="u", team_ids=("",)))


def test_a_name_alone_is_no_context():
    """The error says what to pass; a dict with a user_id does."""
    assert "alex" == Caller.of({"user_id": "alex"}).user  # type: ignore[arg-type]  # a caller without types
    with pytest.raises(Misconfigured, match=r"LearningContext\(user_id=…\)"):
        Caller.of("alex")  # type: ignore[arg-type]  # the mistake


def test_an_open_scope_needs_a_name():
    """An empty scope would be everybody's."""
    with pytest.raises(Misconfigured):
        Scope.of(" ")


SERVER_USER = {"identity": "alex", "team_ids": ["acme", "ops"], "tenant_id": "t1"}


def test_the_authenticated_user_is_the_user():
    """On a server the context need not say who asks, and all the user's teams count."""
    assert LearningContext(user_id="alex", team_ids=("acme", "ops"), tenant_id="t1") == apply_authentication(
        LearningContext(), SERVER_USER
    )


def test_an_authenticated_user_may_choose_among_their_teams():
    """A run may be for one team only."""
    assert ("ops",) == apply_authentication(LearningContext(team_ids=("ops",)), SERVER_USER).team_ids


@pytest.mark.parametrize(
    "claim", [{"user_id": "eve"}, {"team_ids": ("rival",)}, {"tenant_id": "t2"}, {"owners": {"project": "apollo"}}]
)
def test_what_the_server_does_not_vouch_for_is_refused(claim: dict[str, object]):
    """Nobody gets into another's learnings by naming them."""
    with pytest.raises(NotAllowed):
        apply_authentication(LearningContext.model_validate(claim), SERVER_USER)


def test_everything_private_to_a_user_is_under_one_namespace():
    """The namespaces of items that a server may show to a user begin with it; those of other users do not."""
    alex = Caller.of(LearningContext(user_id="alex@acme.com", team_ids=("acme",)))

    assert ("learnings", "default", "user", "alex@acme%2Ecom") == alex.owner_namespace(Scope.USER)
    assert alex.owner_namespace(Scope.TEAM) == alex.namespace(Scope.TEAM, "facts")[:-1]
    with pytest.raises(MissingOwner, match="names none"):
        alex.owner_namespace(Scope.AGENT)


@pytest.mark.parametrize("number", [7, UUID(int=7)])
def test_ids_may_be_numbers(number: Any):
    """They are read as text, in every place."""
    context = LearningContext(
        user_id=number, team_ids=[number], agent_id=number, tenant_id=number, owners={"project": number}
    )
    text = str(number)

    assert (
        LearningContext(user_id=text, team_ids=(text,), agent_id=text, tenant_id=text, owners={"project": text})
        == context
    )


@pytest.mark.parametrize(
    ("given", "teams"),
    [("acme", ("acme",)), (7, ("7",)), (["b", "a"], ("b", "a")), ({"b", "a"}, ("a", "b")), (None, ()), ((), ())],
)
def test_one_team_is_one_team(given: Any, teams: tuple[str, ...]):
    """A text is never read as a team for each of its letters, and a set has the same order everywhere."""
    assert teams == LearningContext(user_id="u", team_ids=given).team_ids


@pytest.mark.parametrize("value", [True, 3.5, ["alex"], {}])
def test_what_is_no_id_is_refused(value: Any):
    """Nothing is guessed."""
    with pytest.raises(Misconfigured, match="user_id: "):
        LearningContext.read({"user_id": value})


@pytest.mark.parametrize("key", ["tenantId", "tenant-id", "TENANT_ID", "tenantid"])
def test_a_misspelt_tenant_is_refused(key: str):
    """Every other misspelt id is missed later, but a missing tenant would be the default one."""
    with pytest.raises(Misconfigured, match=f"tenant_id, not {key}"):
        LearningContext.read({"user_id": "alex", key: "t1"})


NOT_STORABLE = ["a\0b", "\ud800", "a" * 1_001, "長" * 112, "." * 334]


@pytest.mark.parametrize("id_", NOT_STORABLE)
@pytest.mark.parametrize("place", ["user_id", "team_ids", "agent_id", "tenant_id", "owner", "scope", "thread"])
def test_an_id_that_no_database_stores_is_refused_at_once(id_: str, place: str):
    """Before anything is recalled or a model is paid."""
    fields: dict[str, Any] = {"user_id": "u"}
    if place in ("owner", "scope"):
        fields["owners"] = {"project": id_} if place == "owner" else {id_: "apollo"}
    elif place != "thread":
        fields[place] = [id_] if place == "team_ids" else id_
    context = LearningContext.model_construct(**{**LearningContext().__dict__, **fields})

    with pytest.raises(MissingOwner, match=r"NUL|Unicode|too long"):
        Caller.of(context, id_ if place == "thread" else None)


def test_the_longest_ids_are_stored(store):
    """A tenant and a user of the greatest length fit into an index together."""
    caller = Caller.of(LearningContext(user_id="é." * 111, tenant_id="長" * 111))
    store.put(caller.namespace(Scope.USER, "behavioral_feedback"), "k" * 64, {"text": "Likes tea"})

    assert "Likes tea" == store.get(caller.namespace(Scope.USER, "behavioral_feedback"), "k" * 64).value["text"]
