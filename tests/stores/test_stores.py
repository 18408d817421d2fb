"""Learning stores that a model extracts for: rendering, updates, custom stores and wrong settings."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.retrievers import BaseRetriever
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from people import (
    ALEX,
    NOTHING,
    SAM,
    all_stores,
    echo,
    edit,
    edits,
    five_stores,
    machine,
    observation,
    prompt,
    said,
    thread,
)
from pydantic import BaseModel

from langgraph_learning import (
    EntityMemory,
    LearnedKnowledge,
    LearningContext,
    LearningStore,
    Mode,
    Record,
    Scope,
    SessionContext,
    UserMemory,
    UserProfile,
)
from langgraph_learning.core.flow import Flow, batch
from langgraph_learning.core.learning import Learning, Source, Status
from langgraph_learning.core.policy import Sharing
from langgraph_learning.core.records import Edit
from langgraph_learning.core.relevance import BAR
from langgraph_learning.core.scopes import Caller
from langgraph_learning.errors import Misconfigured
from langgraph_learning.extract.schema import edit_schema, parse_record
from langgraph_learning.stores.base import Request
from langgraph_learning.stores.entity_memory import _lower_sibling
from langgraph_learning.stores.user_memory import Observation

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PLACE = ("learnings", "default", "user", "alex", "user_memory")
REQUEST = Request(Caller("alex"), "?", NOW)


def learns(
    store: BaseStore,
    learning_store: LearningStore,
    *turns: dict[str, Any],
    context: LearningContext = ALEX,
    name: str = "a",
) -> Any:
    """Let a machine with one learning store go through extractions that answer like this."""
    learning = machine(list(turns), [learning_store], store=store)
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    for number, _ in enumerate(turns):
        agent.invoke(said(f"turn {number}"), thread(name), context=context)
    return learning


def shown(store: BaseStore, learning_store: LearningStore, question: str, context: LearningContext = ALEX) -> str:
    """Return the part of a learning store in an agent's context."""
    talk = echo()
    learning = machine([NOTHING], [learning_store], store=store)
    learning.wrap(create_agent(talk, [])).invoke(said(question), thread("a"), context=context)
    return prompt(talk.shown[-1])


@pytest.mark.parametrize("learning_store", all_stores(), ids=lambda s: s.name)
def test_nothing_known_is_shown_as_nothing(learning_store: LearningStore):
    """Not even a heading."""
    assert "hello" == shown(InMemoryStore(), learning_store, "hello")


@pytest.mark.parametrize("learning_store", all_stores(), ids=lambda s: s.name)
def test_the_examples_that_a_model_reads_are_edits(learning_store: LearningStore):
    """Small models copy them to the letter."""
    examples = re.findall(r"^Example: .* → (\{.*)$", learning_store.instructions, re.MULTILINE)
    shown = [raw for example in examples for raw in json.loads(f"[{example}]")]

    for raw in shown:
        given = {name: value for name, value in raw.items() if name != "edit"}
        cued = learning_store.cued and "cues" in given
        schema = edit_schema(learning_store.model_kinds[raw["edit"]], raw["edit"], cued)
        assert schema["required"] == ["edit", *given]
        parse_record(given, learning_store.model_kinds[raw["edit"]])


def field(name: str, value: Any, replaces: str | None = None) -> dict[str, Any]:
    return edit("profile_field", field=name, value=value, replaces=replaces)


def test_a_profile_field_is_corrected_and_cleared(store: BaseStore):
    """One field at a time; the others stay."""
    learning = learns(
        store, UserProfile(),
        edits(field("name", "Augusta"), field("role", "CTO")),
        edits(field("name", "Ada")),
        edits({"edit": "forget", "replaces": "k2", "message": 1}),
    )  # fmt: skip
    (left,) = learning.learnings(ALEX)

    assert left.text in ("name: Ada", "role: CTO")


def test_a_correction_needs_no_key(store: BaseStore):
    """A field is about itself: the new value takes the old one's place even if the model did not say so."""
    learning = learns(store, UserProfile(), edits(field("name", "Augusta")), edits(field("name", "Ada")))

    assert ["name: Ada"] == [learnt.text for learnt in learning.learnings(ALEX)]


class Customer(BaseModel):
    plan: Literal["free", "pro"] | None = None
    seats: int | None = None
    products: list[str] = []


def test_a_profile_has_fields_of_ones_own(store: BaseStore):
    """Each value is held to its own field's type; a wrong one is sent back."""
    answers = edits(field("plan", "pro"), field("seats", 12), field("products", ["a", "b"]))
    learning = learns(store, UserProfile(Customer), answers)

    assert {"plan: pro", "seats: 12", "products: a, b"} == {learnt.text for learnt in learning.learnings(ALEX)}


@pytest.mark.parametrize(("name", "value"), [("plan", "gold"), ("seats", "many"), ("color", "red")])
def test_a_profile_refuses_what_its_schema_refuses(name: str, value: Any):
    """Such an edit is dropped and reported."""
    learning = machine([edits(field(name, value))] * 2, [UserProfile(Customer)], store=InMemoryStore())
    result = learning.wrap(create_agent(echo(), [])).invoke(said("x"), thread("a"), context=ALEX)

    assert [] == learning.learnings(ALEX)
    assert "dropped" in result["learning_errors"][0]


def test_a_profile_outlives_a_change_of_its_schema(store: BaseStore):
    """A field that the schema no longer has is still known, and breaks no turn."""
    learns(store, UserProfile(), edits(field("company", "Acme")))
    learns(store, UserProfile(Customer), edits(field("plan", "pro")), name="b")

    assert "- company: Acme (" in shown(store, UserProfile(Customer), "hello")
    assert "- plan: pro (" in shown(store, UserProfile(Customer), "hello")


def test_what_is_always_shown_grows_at_its_end(store: BaseStore):
    """So the prompt before it stays as it was, and caches hold."""
    learns(store, UserProfile(), edits(field("name", "Ada")), edits(field("role", "CTO")))
    view = shown(store, UserProfile(), "hello")

    assert view.index("name: Ada") < view.index("role: CTO")


PLAN = [{"text": "Inventory", "status": "done"}, {"text": "Move the data", "status": "doing"}]


def test_a_planned_session_shows_goal_plan_and_progress(store: BaseStore):
    """As the next turn's agent needs it."""
    session = edit("session", summary="Moving to GCP", goal="A timeline", plan=PLAN, progress="Half way")
    learns(store, SessionContext(planning=True), edits(session))
    store_view = shown_in_thread(store)

    assert "- Goal: A timeline" in store_view
    assert "- Step 2 (doing): Move the data" in store_view
    assert "- Progress: Half way" in store_view


def shown_in_thread(store: BaseStore) -> str:
    talk = echo()
    learning = machine([NOTHING], [SessionContext(planning=True)], store=store)
    history = [("user", "turn 0"), ("ai", "You said: turn 0"), ("user", "Where were we?")]
    # The same messages with the ids they had: a thread whose state came back from elsewhere.
    ids = [item.key for item in store.search(("learnings", "default", "thread", "a", "session_context"))]
    messages = [
        {"role": role, "content": text, "id": ids[0] if role == "ai" else f"m{n}"}
        for n, (role, text) in enumerate(history)
    ]
    learning.wrap(create_agent(talk, []), checkpointer=InMemorySaver()).invoke(
        {"messages": messages}, thread("a"), context=ALEX
    )
    return prompt(talk.shown[-1])


def test_entities_are_shown_with_what_is_known_of_them_in_both_directions(store: BaseStore):
    """A relationship is found by both of its ends and stands there once; an alias is the same thing."""
    answer = edits(
        edit("entity", entity="Acme", type="company", aliases=["Acme Inc"]),
        edit("entity", entity="Atlas", type="project", aliases=[]),
        edit("fact", entity="Acme Inc", fact="has 40 services", as_of="May 2026"),
        edit("relationship", entity="Alex", relation="leads", target="Atlas"),
        edit("event", entity="Atlas", event="phase 2 starts", when="June"),
    )
    learns(store, EntityMemory(scope=Scope.TEAM), answer)
    view = shown(store, EntityMemory(scope=Scope.TEAM), "Who leads Atlas at Acme, and when does phase 2 start?", SAM)

    assert "- Acme (company, also Acme Inc): has 40 services (as of May 2026)" in view
    assert 1 == view.count("Alex leads Atlas (")
    assert "phase 2 starts [June]" in view


def test_the_directory_names_what_the_question_names(store: BaseStore):
    """Small talk names nothing, and what has nothing to do with the question takes no room."""
    names = [edit("entity", entity=f"Thing {n}", type="system", aliases=[]) for n in range(30)]
    learns(store, EntityMemory(), edits(*names))
    view = shown(store, EntityMemory(), "What is Thing 15?")

    assert "Thing 15 (system)" in view
    assert 6 >= view.count("(system)")
    assert "Thing" not in shown(store, EntityMemory(), "hello")


class Wiki(BaseRetriever):
    """A retriever of a company's own."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(f"About {query}: see the <runbook>", metadata={"source": "wiki/runbook"})]


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
async def test_a_retriever_is_read_beside_what_was_learnt(way: str):
    """Marked with its source, escaped, and never a thing to edit."""
    talk = echo()
    learning = machine([NOTHING], [LearnedKnowledge(retrievers=[Wiki()])], store=InMemoryStore())
    agent = learning.wrap(create_agent(talk, []))
    if way == "invoke":
        agent.invoke(said("migrations"), thread("a"), context=ALEX)
    else:
        await agent.ainvoke(said("migrations"), thread("a"), context=ALEX)

    assert "About migrations: see the &lt;runbook&gt; (from wiki/runbook)" in prompt(talk.shown[-1])


def test_what_was_cut_is_marked():
    """A budget that does not fit the list says how much is missing."""
    store = InMemoryStore()
    learns(store, UserMemory(), edits(*(observation(f"Fact {n} " + "long " * 100) for n in range(40))))
    talk = echo()
    learning = machine([NOTHING], [UserMemory()], store=store, context_budget=150)
    learning.wrap(create_agent(talk, [])).invoke(said("facts?"), context=ALEX)
    text = prompt(talk.shown[-1])

    assert f"[… {6 - text.count('- Fact')} more not shown]" in text
    assert "characters cut" in text
    assert len(text) // 4 < 150 + 200


# One of your own


class Runbook(BaseModel):
    """How a service is brought back."""

    service: str
    steps: str


RUNBOOKS = LearningStore(name="runbooks", record=Runbook, scope=Scope.of("project"))
ON_APOLLO = {"owners": {"project": "apollo"}}


def test_a_store_of_ones_own_is_a_record_a_name_and_a_scope(store: BaseStore):
    """A second engineer on the same project profits; one on another does not."""
    learns(
        store,
        RUNBOOKS,
        edits(edit("runbook", service="billing", steps="restart twice")),
        context=ALEX.model_copy(update=ON_APOLLO),
    )

    assert "billing · restart twice" in shown(store, RUNBOOKS, "billing is down", SAM.model_copy(update=ON_APOLLO))
    assert "restart" not in shown(
        store, RUNBOOKS, "billing is down", SAM.model_copy(update={"owners": {"project": "gemini"}})
    )


class Plain(LearningStore):
    """Notes."""

    name = "notes"
    records = (Observation,)

    def recall(self, request: Request) -> list[Learning]:
        return [known("plain")]

    def build_context(self, found: Sequence[Learning], request: Request) -> str:
        return f"plainly {found[0].text}"

    def process(self, edits: Sequence[Edit], known: Sequence[Learning]) -> list[Learning]:
        return [edit.learning(text="by process") for edit in edits]


class Async(Plain):
    """Notes."""

    async def recall(self, request: Request) -> list[Learning]:  # type: ignore[override]
        return [known("async")]

    async def build_context(self, found: Sequence[Learning], request: Request) -> str:  # type: ignore[override]
        return f"asynchronously {found[0].text}"

    async def process(self, edits: Sequence[Edit], known: Sequence[Learning]) -> list[Learning]:  # type: ignore[override]
        return [edit.learning(text="by process") for edit in edits]


class Flowing(Plain):
    """Notes."""

    def recall(self, request: Request) -> Flow[list[Learning]]:  # type: ignore[override]
        yield from batch()
        return [known("flow")]


def known(text: str, **fields: Any) -> Learning:
    values = {"namespace": PLACE, "key": text, "kind": "observation", "data": {"observation": text}, "learned_at": NOW}
    return Learning(text=text, **{**values, **fields})


@pytest.mark.parametrize(
    ("kind", "expected"), [(Plain, "plainly plain"), (Async, "asynchronously async"), (Flowing, "plainly flow")]
)
async def test_methods_may_be_plain_async_or_flows(kind: type[LearningStore], expected: str):
    """The author of a store chooses; all three methods are used."""
    talk, store = echo(), InMemoryStore()
    learning = machine([edits(observation("x"))], [kind()], store=store)
    await learning.wrap(create_agent(talk, [])).ainvoke(said("Any news"), context=ALEX)

    assert expected in prompt(talk.shown[-1])
    assert ["by process"] == [learnt.text for learnt in await learning.alearnings(ALEX)]


# What cannot work says so


@pytest.mark.parametrize(
    ("build", "hint"),
    [
        (lambda: LearningStore(name="a b", record=Runbook), "letters, digits"),
        (lambda: LearningStore(name="x"), "needs a record"),
        (lambda: SessionContext(mode=Mode.PROPOSE), "cannot have the mode"),
        (lambda: machine([], [UserMemory(), UserMemory()]), "share the name"),
        (lambda: machine([], five_stores(), context_budget=1), "Budgets"),
        (lambda: machine([], five_stores(), context_budget=None), "Budgets"),
        (lambda: UserMemory(limit=0), "from 1 to 1000"),
        (lambda: UserMemory(limit=-1), "from 1 to 1000"),
        (lambda: UserMemory(limit=10**9), "from 1 to 1000"),
        (lambda: UserMemory(limit="x"), "from 1 to 1000"),
        (lambda: Sharing.after("2"), "at least two users"),
        (lambda: UserProfile(type("Empty", (BaseModel,), {})), "at least one field"),
        (lambda: UserProfile(dict), "a pydantic model"),
        (lambda: UserMemory(mode="approve"), r"Mode\.PROPOSE"),
        (lambda: UserMemory(standing="top"), r"Standing\.LOWER"),
        (lambda: UserMemory(scope=Scope.TEAM, sharing=3), r"Sharing\.after\(3\)"),
        (lambda: LearningStore(name="x", record=dict), "pydantic models"),
        (lambda: machine([], UserMemory()), "list of learning stores"),
        (lambda: machine([], [UserMemory()], store="postgresql://x"), "HybridPostgresStore"),
        (lambda: machine([], [UserMemory()]).wrap(echo(), store={}), "HybridPostgresStore"),
        (lambda: machine([], [UserMemory()], on_error="ignore"), "report, raise"),
        (lambda: machine([], [UserMemory()], schedule={"quiet": 3}), r"Schedule\(every=3\)"),
        (lambda: machine([], [UserMemory()], extraction="yaml"), "json_schema"),
    ],
)
def test_a_machine_that_cannot_work_is_not_built(build: Any, hint: str):
    """The error comes at construction and says what to change."""
    with pytest.raises(Misconfigured, match=hint):
        build()


def test_a_way_to_learn_that_needs_a_server_says_so_before_the_answer():
    """Without a server nothing would ever be learnt."""
    agent = machine([NOTHING], [UserMemory()], learn="server").wrap(echo(), store=InMemoryStore())
    with pytest.raises(Misconfigured, match='"queue" or "deferred"'):
        agent.invoke(said("Any news"), thread("a"), context=ALEX)


def test_a_learning_store_is_printed_with_its_settings():
    """Not as an address."""
    assert "UserMemory(name='user_memory', scope=user, team, mode=propose)" == repr(
        UserMemory(scope=(Scope.USER, Scope.TEAM), mode=Mode.PROPOSE)
    )


def test_a_mode_may_be_given_by_its_name(store: BaseStore):
    """What then waits for approval does wait."""
    learning = learns(store, UserMemory(mode="propose"), edits(observation("Likes tea")))

    assert [] == learning.learnings(ALEX)
    assert ["Likes tea"] == [proposal.text for proposal in learning.review.list(ALEX)]


# What edits do, without a store or a model


def wish(text: str | None, replaces: Learning | None = None, user: str = "alex", key: str = "new") -> Edit:
    record = Observation(observation=text) if text else None
    return Edit("observation", record, replaces, Source(channel="user", user=user, messages=(key,)), PLACE, key, NOW)


def test_what_is_new_is_added():
    """With who said it, and when."""
    (added,) = UserMemory().process([wish("Likes tea")], [])

    assert ("Likes tea", Status.ACTIVE, NOW, "alex") == (
        added.text,
        added.status,
        added.learned_at,
        added.sources[0].user,
    )


def test_what_is_corrected_is_superseded():
    """Both are written: the old as history, the new pointing to it."""
    old = known("Likes tea")
    retired, new = UserMemory().process([wish("Likes coffee", old)], [old])

    assert (Status.SUPERSEDED, NOW, (old.key,)) == (retired.status, retired.valid_to, new.supersedes)


def test_what_is_known_gains_a_source_once():
    """The same message read twice is no more evidence than once."""
    (once,) = UserMemory().process([wish("likes tea", user="sam")], [known("Likes tea")])

    assert 1 == len(once.sources)
    assert [] == UserMemory().process([wish("likes tea", user="sam")], [once])


WISHES = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 5) | st.none()), min_size=1, max_size=8)


@given(WISHES, st.randoms())
def test_no_order_of_concurrent_edits_loses_one(wishes: list[tuple[str, int | None]], random: Any):
    """Several people edit what they saw at the same time: every statement ends up active unless it was replaced."""
    seen = [known(f"known {n}") for n in range(6)]
    edits = [
        wish(f"{text} {n}", seen[old] if old is not None else None, key=str(n)) for n, (text, old) in enumerate(wishes)
    ]
    table = {learning.key: learning for learning in seen}
    random.shuffle(edits)
    for one in edits:
        table |= {learning.key: learning for learning in UserMemory().process([one], seen)}

    active = {learning.text for learning in table.values() if learning.status is Status.ACTIVE}
    replaced = {one.replaces.text for one in edits if one.replaces}
    assert {one.learning().text for one in edits} | ({learning.text for learning in seen} - replaced) == active


def test_the_newest_counts_where_two_are_about_the_same():
    """Two sessions may have changed one field at the same moment."""
    store = UserProfile()
    texts = []
    for n in (1, 2):
        data = {"field": "name", "value": f"Name {n}"}
        texts.append(
            known(
                f"name: Name {n}",
                kind="profile_field",
                data=data,
                learned_at=NOW.replace(hour=n),
                namespace=(*PLACE[:-1], "user_profile"),
            )
        )
    items = [
        type("I", (), {"namespace": t.namespace, "key": t.key, "value": t.put().value, "score": None})() for t in texts
    ]

    assert ["name: Name 2"] == [found.text for found in store.rank(items, [texts[0].namespace], REQUEST)]


def test_what_is_over_is_not_recalled():
    """A learning with an end is known until then."""
    past, future = known("old", valid_to=NOW.replace(year=2025)), known("new", valid_to=NOW.replace(year=2027))

    assert [False, True] == [learning.is_valid(NOW) for learning in (past, future)]


class Thing(Record):
    name: str
    size: int | None = None

    def identity(self) -> str:
        return self.name.casefold()


@given(st.lists(st.sampled_from(["a", "A", "b"]), min_size=1, max_size=6))
def test_a_record_with_an_identity_is_there_once(names: list[str]):
    """However many edits there are about one subject, one learning about it is active."""
    store = LearningStore(name="things", record=Thing)
    table: dict[str, Learning] = {}
    for n, name in enumerate(names):
        one = Edit(
            "thing",
            Thing(name=name, size=n),
            None,
            Source(channel="user", user="u", messages=(str(n),)),
            PLACE,
            str(n),
            NOW,
        )
        table |= {learning.key: learning for learning in store.process([one], list(table.values()))}
    active = [learning.data["name"].casefold() for learning in table.values() if learning.status is Status.ACTIVE]

    assert sorted({name.casefold() for name in names}) == sorted(active)


def test_a_private_copy_does_not_hide_the_teams_from_an_extraction(store: BaseStore):
    """Once the agent read it in a tool, which made it private; said by the user again and again it is one for the team."""
    rule = "Deploys are frozen on Fridays"
    from_tool = [
        HumanMessage("Look it up", id="1"),
        AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "c"}], id="2"),
        ToolMessage(rule, tool_call_id="c", id="3"),
    ]
    learning = machine(lambda shown: edits(observation(rule)), [UserMemory(scope=Scope.TEAM)], store=store)
    agent = learning.wrap(lambda state: {"messages": [AIMessage("Good to know")]}, checkpointer=InMemorySaver())
    agent.invoke({"messages": from_tool}, thread("tool"), context=ALEX)
    for number in range(4):
        agent.invoke(said(rule), thread(str(number)), context=ALEX)

    copies = [known for known in learning.learnings(ALEX) if known.text == rule]
    assert ["team", "user"] == sorted(known.scope.name for known in copies)
    assert 4 == next(len(known.sources) for known in copies if known.scope == Scope.TEAM)


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("When will OWL pay for the invoice?", True),
        ("When will Ostwind Logistics pay?", True),
        ("Can I drop the samples at the attic?", True),
        ("Is it an owlish thing to do?", False),
    ],
)
def test_an_alias_leads_to_what_is_known_under_the_main_name(postgres_store: BaseStore, question: str, found: bool):
    """Also a short name in capitals, and one without a capital; among many others."""
    answer = edits(
        edit("entity", entity="Ostwind Logistics", type="company", aliases=["OWL"]),
        edit("entity", entity="lab in Lodz", type="place", aliases=["the attic"]),
        edit("fact", entity="Ostwind Logistics", fact="settles after 60 days", as_of=None),
        edit("fact", entity="lab in Lodz", fact="locks its door at 17:00", as_of=None),
        *(edit("fact", entity=f"machine {n}", fact=f"was moved on day {n}", as_of=None) for n in range(60)),
    )
    learns(postgres_store, EntityMemory(scope=Scope.TEAM), answer)
    view = shown(postgres_store, EntityMemory(scope=Scope.TEAM), question, SAM)

    assert found == ("settles after 60 days" in view or "locks its door" in view)


@pytest.mark.parametrize(
    ("name", "question", "sibling"),
    [
        ("Lyon branch", "When does the Basel branch close?", True),
        ("Hall A", "Is there a lift in hall B?", True),
        ("printer 12", "Why is printer 14 offline?", True),
        ("Lyon branch", "When does the Lyon branch close?", False),
        ("Lyon branch", "When does the branch close?", False),
        ("Plus plan", "What does the plan cost?", False),
        ("the label printer", "Why is the label printer in Basel offline?", False),
        ("Alex", "What did Sam say?", False),
    ],
)
def test_another_one_of_the_kind_that_is_asked_about_is_told_apart(name: str, question: str, sibling: bool):
    """What closes at noon in Lyon says nothing about Basel."""
    fact = Learning(
        namespace=Caller.of(SAM).namespace(Scope.TEAM, "entity_memory"),
        key="k",
        kind="fact",
        text=f"{name}: closes at noon",
        data={"entity": name, "fact": "closes at noon", "as_of": None},
        learned_at=datetime.now(UTC),
        relevance=0.9,
    )

    assert sibling == (_lower_sibling(fact, question).relevance < BAR)
