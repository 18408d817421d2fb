"""Learning stores that learn without a model, that expire, and whose records link to known learnings."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from people import (
    ALEX,
    NOTHING,
    Shouts,
    echo,
    edit,
    edits,
    learner,
    machine,
    notes_what_users_say,
    observation,
    said,
    thread,
)

from langgraph_learning import EntityMemory, LearningMachine, LearningStore, Mode, Record, UserMemory
from langgraph_learning.core.flow import Flow, batch
from langgraph_learning.core.keys import RESERVED_NAMES
from langgraph_learning.core.transcript import Line
from langgraph_learning.errors import Misconfigured
from langgraph_learning.stores.base import Turn
from langgraph_learning.testing import ScriptedModel


class Async(Shouts):
    async def observe(self, turn: Turn, new: Sequence[Line]) -> Any:
        return super().observe(turn, new)


class Flowing(Shouts):
    def observe(self, turn: Turn, new: Sequence[Line]) -> Flow[Any]:
        yield from batch()
        return super().observe(turn, new)


def without_model(store: BaseStore, *stores: LearningStore) -> LearningMachine:
    return LearningMachine(None, stores, store=store, on_error="raise")


def texts(learning: LearningMachine) -> list[str]:
    return sorted(one.text for one in learning.learnings(ALEX))


@pytest.mark.parametrize("kind", [Shouts, Async, Flowing])
async def test_a_store_notes_without_any_model(astore: BaseStore, kind: type[LearningStore]):
    """Its hook may be plain, async or a flow; two notes of one message are two learnings."""
    learning = without_model(astore, kind())
    agent = learning.wrap(create_agent(echo(), []), checkpointer=InMemorySaver())
    for _ in range(2):
        await agent.ainvoke(said("I do NOT like LOUD music"), thread("a"), context=ALEX)

    found = await learning.alearnings(ALEX)
    assert ["LOUD", "NOT"] == sorted(one.text for one in found)
    assert {("user", "a")} == {(source.channel, source.thread) for one in found for source in one.sources}


def test_notes_and_edits_are_learnt_in_one_step(postgres_store: BaseStore):
    """Beside a store that asks, the model is asked only for what may be asked."""
    learning = machine(notes_what_users_say, [UserMemory(), Shouts()], store=postgres_store)
    learning.wrap(create_agent(echo(), [])).invoke(said("I like TEA"), thread("a"), context=ALEX)

    assert ["I like TEA", "TEA"] == texts(learning)
    assert 1 == len({one.step for one in learning.learnings(ALEX)})
    assert "shout" not in str(learner(learning).calls[0].schema)


def test_what_is_noted_can_be_forgotten_in_a_conversation(store: BaseStore):
    """Though no model can be asked to learn it."""
    answers = iter([NOTHING, edits({"edit": "forget", "replaces": "k1", "message": 1})])
    learning = machine(lambda shown: next(answers), [Shouts(), UserMemory()], store=store)
    agent = learning.wrap(create_agent(echo(), []))
    agent.invoke(said("My PIN is here"), thread("a"), context=ALEX)
    before = texts(learning)
    agent.invoke(said("Forget the word in capitals"), thread("b"), context=ALEX)

    assert (["PIN"], []) == (before, texts(learning))


def test_a_store_that_asks_needs_a_model():
    """It is told when the machine is built, and by name."""
    with pytest.raises(Misconfigured, match="user_memory learns by a model"):
        LearningMachine(None, [Shouts(), UserMemory()])


def test_a_store_that_only_tools_fill_needs_none(store: BaseStore):
    """The agent is its model."""
    learning = without_model(store, UserMemory(mode=Mode.AGENTIC), Shouts())
    learning.wrap(lambda tools: create_agent(echo(), tools)).invoke(said("TEA please"), thread("a"), context=ALEX)

    assert ["TEA"] == texts(learning)


def test_nothing_is_noted_where_that_is_switched_off(store: BaseStore):
    """A run with `learn=False` leaves a mark of what was passed over, which tells nothing."""
    learning = without_model(store, Shouts())
    quiet = ALEX.model_copy(update={"learn": False})
    learning.wrap(create_agent(echo(), [])).invoke(said("A SECRET"), thread("a"), context=quiet)
    (mark,) = store.search(("learnings",))

    assert (["cursor", "read"], False) == ([mark.namespace[-1], mark.key], "SECRET" in str(mark.value))


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_names_that_the_machine_needs_itself_are_refused(name: str):
    """Items under them are no learnings."""
    with pytest.raises(Misconfigured, match="is reserved"):
        UserMemory(name=name)


@pytest.mark.parametrize("keep", [timedelta(), timedelta(days=-1), 90])
def test_a_time_to_keep_lies_ahead(keep: Any):
    """Zero, less, or a bare number is an error at once."""
    with pytest.raises(Misconfigured, match="keep"):
        UserMemory(keep=keep)


def ended(store: BaseStore) -> None:
    """Let the time of everything that has one be over."""
    for item in store.search(("learnings",), limit=100):
        if item.value.get("valid_to"):
            over = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
            store.put(item.namespace, item.key, {**item.value, "valid_to": over})


@pytest.mark.parametrize(
    ("kept", "learnt"),
    [
        (UserMemory(keep=timedelta(days=90)), observation("Likes tea")),
        (
            EntityMemory(keep=timedelta(days=90)),
            edit("entity", entity="Tea", type="product", aliases=[]),
        ),
    ],
    ids=["observation", "entity"],
)
def test_what_is_kept_for_a_time_is_not_recalled_after_it(
    store: BaseStore, kept: LearningStore, learnt: dict[str, Any]
):
    """Until then it is; afterwards no context and no list has it."""
    talk = echo()
    learning = machine([edits(learnt), NOTHING, NOTHING], [kept], store=store)
    agent = learning.wrap(create_agent(talk, []))
    for name in "abc":
        agent.invoke(said("tea?"), thread(name), context=ALEX)
        if name == "b":
            ended(store)

    assert [False, True, False] == ["learned" in str(shown) for shown in talk.shown]
    assert [] == learning.learnings(ALEX)


def test_what_is_said_again_is_kept_for_longer(store: BaseStore):
    """Its time begins anew; one learning stays one."""
    learning = machine(notes_what_users_say, [UserMemory(keep=timedelta(days=90))], store=store)
    agent = learning.wrap(create_agent(echo(), []))
    ends = []
    for name in "ab":
        agent.invoke(said("I like tea"), thread(name), context=ALEX)
        (tea,) = learning.learnings(ALEX)
        ends.append(tea.valid_to)

    assert ends[0] < ends[1]
    assert 2 == len(tea.sources)


class Follow(Record):
    """What follows from something known."""

    words: str
    rests_on: list[str]
    also: str | None

    links = ("rests_on", "also")


def follow(*keys: str, also: str | None = None) -> dict[str, Any]:
    return edit("follow", words="So a mug is a good gift", rests_on=list(keys), also=also)


def test_a_link_becomes_the_key_of_what_is_known(store: BaseStore):
    """The model names a line it was shown; what is kept is the real key, and no text repeats it."""
    learning = machine(
        [edits(observation("Drinks tea"), observation("Has no mug")), edits(follow("k1", also="k2"))],
        [UserMemory(), LearningStore(name="follows", record=Follow)],
        store=store,
    )
    agent = learning.wrap(create_agent(echo(), []))
    for name in "ab":
        agent.invoke(said("tea, and no mug"), thread(name), context=ALEX)
    found = {one.kind: one for one in learning.learnings(ALEX)}
    keys = {one.key for one in learning.learnings(ALEX) if one.kind == "observation"}

    assert keys == {*found["follow"].derived_from} == {*found["follow"].data["rests_on"], found["follow"].data["also"]}
    assert "So a mug is a good gift" == found["follow"].text


def test_a_link_to_nothing_is_sent_back(store: BaseStore):
    """The model is told which key is wrong, and what it then says counts."""
    learning = machine(
        [edits(follow("k7")), edits(follow())], [LearningStore(name="follows", record=Follow)], store=store
    )
    learning.wrap(create_agent(echo(), [])).invoke(said("tea"), thread("a"), context=ALEX)

    assert "nothing known has the key 'k7'" in learner(learning).shown[1][-1].text
    assert [()] == [one.derived_from for one in learning.learnings(ALEX)]


def calling(**args: Any) -> ScriptedModel:
    """An agent that saves with a tool, and then says what it was told."""
    call = {"name": "save_follow", "id": "1", "args": {"words": "A mug", "also": None, "replaces": None, **args}}
    return ScriptedModel([AIMessage("", tool_calls=[call]), lambda shown: shown[-1].content])


@pytest.mark.parametrize(("exists", "answer"), [(True, "Saved with the key"), (False, "Nothing known has the key")])
def test_a_tool_links_too(store: BaseStore, exists: bool, answer: str):
    """By the keys that a search tells; a key that is none is told to the agent, and nothing is saved."""
    both = [UserMemory(tools=True), LearningStore(name="follows", record=Follow, mode=Mode.AGENTIC)]
    learning = machine([edits(observation("Drinks tea")), NOTHING], both, store=store)
    learning.wrap(lambda tools: create_agent(echo(), tools)).invoke(said("I drink tea"), thread("a"), context=ALEX)
    (tea,) = learning.learnings(ALEX)
    model = calling(rests_on=[tea.key if exists else "nonsense"])
    agent = create_agent(model, [], middleware=[learning.middleware()], store=store)
    result = agent.invoke(said("And?"), thread("b"), context=ALEX)

    assert result["messages"][-1].text.startswith(answer)
    assert ([(tea.key,)] if exists else []) == [o.derived_from for o in learning.learnings(ALEX) if o.kind == "follow"]
