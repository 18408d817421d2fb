"""Learning from a conversation outside of a run."""

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from people import ALEX, NOTHING, SAM, echo, edits, learner, machine, notes_what_users_say, observation, said, thread

from langgraph_learning import (
    Episodes,
    LearnedKnowledge,
    LearningContext,
    LearningMachine,
    Mode,
    Scope,
    SessionContext,
    UserMemory,
)
from langgraph_learning.errors import Misconfigured, MissingOwner, UnreadableAnswer
from langgraph_learning.testing import ScriptedModel

TALK = [("user", "I like tea"), ("assistant", "Noted."), ("user", "I live in Lisbon"), ("assistant", "Nice.")]


def texts(found):
    return sorted(learning.text for learning in found)


def test_an_old_conversation_is_learnt(store):
    """As if it had been a turn: each statement with its message."""
    learning = machine(notes_what_users_say, store=store)
    result = learning.learn(TALK, ALEX)

    assert ["I like tea", "I live in Lisbon"] == texts(learning.learnings(ALEX)) == texts(result.learnings)
    assert [] == learning.learnings(SAM)


def test_it_is_learnt_once(store):
    """The same conversation again costs no model call."""
    learning = machine(notes_what_users_say, store=store)
    learning.learn(TALK, ALEX)
    again = learning.learn(TALK, ALEX)

    assert ((), 0) == (again.learnings, again.metrics.calls)
    assert 1 == len(learner(learning).calls)


def test_a_conversation_that_grew_is_learnt_from_where_it_ended(store):
    """With a thread, the messages that were read before are not read again, though they have no ids."""
    learning = machine(notes_what_users_say, store=store)
    learning.learn(TALK, ALEX, thread_id="t")
    grown = learning.learn([*TALK, ("user", "I moved to Porto"), ("assistant", "Oh.")], ALEX, thread_id="t")

    assert ["I moved to Porto"] == texts(grown.learnings)


def test_what_a_run_learnt_is_not_learnt_again_from_its_thread(store):
    """The messages of a thread are the same, whether a run or `learn` reads them."""
    learning = machine(notes_what_users_say, store=store)
    agent = learning.wrap(echo(), checkpointer=InMemorySaver())
    agent.invoke(said("I like tea"), thread("a"), context=ALEX)
    messages = agent.get_state(thread("a")).values["messages"]

    assert 0 == learning.learn(messages, ALEX, thread_id="a").metrics.calls


def test_a_long_conversation_takes_as_many_extractions_as_it_needs(store):
    """More than one turn of a run would read."""
    learning = machine(notes_what_users_say, store=store, extraction_budget=1_000)
    long = [(role, f"{number} {'word ' * 300}") for number in range(8) for role in ("user", "assistant")]
    result = learning.learn(long, ALEX)

    assert 8 == len(result.learnings)
    assert 0 == result.left


def test_a_refused_message_is_set_aside_and_the_rest_is_learnt(store):
    """Nobody comes back with another turn, so the attempts follow each other."""

    def picky(shown):
        if "bomb" in shown[1].text:
            raise UnreadableAnswer("The model refused to answer: no")
        return notes_what_users_say(shown)

    learning = machine(picky, store=store, on_error="report")
    result = learning.learn([("user", "I like tea"), ("user", "a bomb"), ("user", "I live in Lisbon")], ALEX)

    assert ["I like tea", "I live in Lisbon"] == texts(learning.learnings(ALEX))
    assert any("set aside" in error for error in result.errors)


def test_a_model_that_is_down_leaves_everything_to_the_next_attempt(store):
    """Nothing counts against the messages."""
    answers = [ConnectionError("down"), notes_what_users_say]
    learning = machine(answers, store=store, on_error="report")
    first = learning.learn(TALK, ALEX)

    assert (4, "down") == (first.left, str(first.failure))
    assert 2 == len(learning.learn(TALK, ALEX).learnings)


async def test_it_works_in_async_code(astore):
    """The same flow."""
    learning = machine(notes_what_users_say, store=astore)
    assert 2 == len((await learning.apreview(TALK, ALEX)).learnings)
    assert 2 == len((await learning.alearn(TALK, ALEX)).learnings)


class TestPreview:
    def test_shows_what_would_be_learnt_and_writes_nothing(self, store):
        """Also of stores that learn without a model, and of those that wait for approval."""
        stores = [UserMemory(), Episodes(), LearnedKnowledge(scope=Scope.TEAM, mode=Mode.PROPOSE), SessionContext()]
        insight = {
            "edit": "insight",
            "category": "insight",
            "title": "Tea",
            "insight": "Tea first",
            "when_to_apply": None,
            "replaces": None,
            "message": 1,
        }
        learning = machine(lambda shown: edits(observation("Likes tea"), insight), stores, store=store)
        shown = learning.preview(TALK, ALEX)

        assert {("observation", "active"), ("insight", "proposed"), ("episode", "active")} <= {
            (learning.kind, learning.status.value) for learning in shown.learnings
        }
        assert [] == store.search(("learnings",), limit=100)

    def test_learns_afterwards_as_if_nothing_had_happened(self, store):
        """A dry run leaves no mark of what was read."""
        learning = machine(notes_what_users_say, store=store)
        learning.preview(TALK, ALEX)

        assert 2 == len(learning.learn(TALK, ALEX).learnings)

    def test_reads_a_long_conversation_to_its_end(self, store):
        """It sees the cursor that it would have written."""
        learning = machine(notes_what_users_say, store=store, extraction_budget=1_000)
        long = [(role, f"{number} {'word ' * 300}") for number in range(8) for role in ("user", "assistant")]

        assert 8 == len(learning.preview(long, ALEX).learnings)

    def test_shows_nothing_of_what_was_learnt_before(self, store):
        """Nothing is unread."""
        learning = machine(notes_what_users_say, store=store)
        learning.learn(TALK, ALEX)

        assert () == learning.preview(TALK, ALEX).learnings


def test_metrics_take_the_tokens_that_the_model_tells(store):
    """Otherwise they are estimated."""
    usage = {"input_tokens": 1_000, "output_tokens": 20, "total_tokens": 1_020}
    told = machine([AIMessage('{"edits": []}', usage_metadata=usage)], store=store).learn(TALK, ALEX).metrics
    estimated = machine([NOTHING], store=store).learn(TALK, SAM).metrics

    assert (1, 0, 1_000, 20) == (told.calls, told.estimated_calls, told.input_tokens, told.output_tokens)
    assert (1, 1) == (estimated.calls, estimated.estimated_calls)
    assert estimated.input_tokens > 100


def test_a_conversation_of_a_user_who_does_not_learn_is_only_marked(store):
    """A later call does not learn from it either."""
    learning = machine(notes_what_users_say, store=store)
    learning.learn(TALK, ALEX.model_copy(update={"learn": False}), thread_id="t")

    assert () == learning.learn(TALK, ALEX, thread_id="t").learnings


def test_a_conversation_needs_a_user(store):
    """Before any model is asked."""
    learning = machine([], store=store)
    with pytest.raises(MissingOwner):
        learning.learn([HumanMessage("hi")], LearningContext())


def test_a_text_alone_is_no_conversation(store):
    """Its characters are no messages; the error says how to write one."""
    with pytest.raises(Misconfigured, match=r'\[\("user", '):
        machine([], [UserMemory()], store=store).learn("I drink tea", ALEX)


def test_small_turns_are_read_by_the_cheaper_model(store):
    """Long ones by the other."""
    small, large = ScriptedModel(notes_what_users_say), ScriptedModel(notes_what_users_say)
    learning = LearningMachine(large, [UserMemory()], store=store, small_model=small)
    learning.learn(TALK, ALEX)
    assert (1, 0) == (len(small.calls), len(large.calls))
    learning.learn([("user", "I like tea. " + "word " * 600)], ALEX)

    assert (1, 1) == (len(small.calls), len(large.calls))


def test_calls_can_be_told_apart_in_a_trace(store):
    """By a tag, also where a run learns."""
    seen = []

    class Tracer(BaseCallbackHandler):
        def on_chat_model_start(self, serialized, messages, *, tags=None, **kwargs):
            seen.append(tags)

    agent = machine([NOTHING], store=store).wrap(lambda state: {"messages": ["Fine."]}, checkpointer=InMemorySaver())
    agent.invoke(said("Any news"), {**thread("a"), "callbacks": [Tracer()]}, context=ALEX)

    assert [True] == ["langgraph_learning" in tags for tags in seen]
