"""Keys and fingerprints that databases already hold: every version of the package computes the same ones."""

from datetime import UTC, datetime

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from langgraph_learning.core.keys import candidate_key, message_key, note_key, user_hash
from langgraph_learning.core.learning import Learning
from langgraph_learning.core.scopes import Caller
from langgraph_learning.core.transcript import fingerprints
from langgraph_learning.update.proposals import make_proposals
from langgraph_learning.update.votes import Vote

AT = datetime(2026, 3, 1, tzinfo=UTC)
NAMESPACE = ("learnings", "acme", "team", "support", "knowledge")
CALLER = Caller("alex@example.com", tenant="acme", thread="t1")
REFUNDS = Learning(
    namespace=NAMESPACE,
    key="k",
    kind="insight",
    text="Refunds take 5 days.",
    data={"title": "Refunds", "tags": ["The money", "a refund"], "n": 5, "x": None},
    learned_at=AT,
)


def test_a_learning_from_a_message_keeps_its_key():
    assert "f3ac7c870ff1588ba287b0eec9a28465" == note_key("t", "m", "episode")
    assert "e6ba8d7b36d5539b8e3c37a52ce102ac" == message_key("t", "m", "insight", "1")


def test_without_a_thread_a_learning_gets_a_random_key():
    assert message_key(None, "m", "insight") != message_key(None, "m", "insight")


def test_a_candidate_keeps_its_key():
    assert "9e808ef7e55f5af1bdee45f84dd34a32" == candidate_key(NAMESPACE, REFUNDS.kind, REFUNDS.data)


def test_a_proposal_keeps_its_key():
    new, change = REFUNDS, REFUNDS.model_copy(update={"supersedes": ("k0",)})
    replaced = {(NAMESPACE, "k0"): REFUNDS.model_copy(update={"key": "k0"})}

    assert "a1219fca79c55b53bb4c6fe5424edf61" == make_proposals([new], {}, AT)[0].key
    assert "bb1c03f9958c5c27921fdd77c34ea4b0" == make_proposals([change], replaced, AT)[0].key


def test_a_vote_keeps_its_namespace_and_key():
    vote = Vote.of(CALLER, "m1", helped=True, why="up", at=AT)

    namespace, key, _ = vote.on(REFUNDS.ref)

    assert ("learnings", "acme", "team", "support", "votes", "knowledge", "k") == namespace
    assert "a9cbfba95b87dd48a98b2f593d301e14" == key
    assert "abc4d354d035d2b8" == vote.voter == user_hash(CALLER, "votes")


def test_a_learning_keeps_its_digest():
    assert "c06c98d57275b8ac" == REFUNDS.digest()


def test_messages_keep_their_fingerprints():
    found = fingerprints([SystemMessage("s"), HumanMessage("Hi \ud83d", id="1"), AIMessage("Hello")])

    assert [(), ("a55e532eab028b42", "83914e183745c93c"), ("5c3198cbcf26b00c",)] == found
