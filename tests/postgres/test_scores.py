"""Absolute scores, searches with several query texts, and items with several texts."""

import psycopg
import pytest
from langchain_core.embeddings import Embeddings
from langgraph.store.base import PutOp, SearchOp
from langgraph.store.memory import InMemoryStore
from letter_embeddings import INDEX, Counting

from langgraph_learning.core.store_protocol import FurtherQuery, MultiSearchOp, scores_of
from langgraph_learning.postgres import HybridPostgresStore
from langgraph_learning.testing import HashEmbeddings

EMBED = HashEmbeddings(64)
HASHED = {"dims": 64, "embed": EMBED, "fields": ["text"]}
EGRESS = "Egress is most of the cloud bill"


@pytest.fixture
def hybrid(empty_database):
    with HybridPostgresStore.from_conn_string(empty_database, index=HASHED, search_mode="hybrid") as store:
        store.setup()
        yield store


def _scores(store, namespace, query):
    return {item.key: scores_of(item) for item in store.search(namespace, query=query)}


@pytest.mark.parametrize("others", [0, 10, 10_000])
def test_scores_depend_on_the_item_and_the_question_alone(hybrid, others):
    """They are the same alone, among others, and in a batch."""
    hybrid.put(("alone",), "k", {"text": EGRESS})
    hybrid.put(("a",), "k", {"text": EGRESS})
    hybrid.batch(
        [PutOp(("a",), str(n), {"text": f"The bill of cloud {n} is paid in month {n}"}) for n in range(others)]
    )
    query = "how high is our egress bill in the cloud?"

    (alone,) = _scores(hybrid, ("alone",), query)["k"]
    assert alone.similarity == pytest.approx(
        sum(map(float.__mul__, *map(EMBED.embed_query, (query, EGRESS)))), abs=1e-6
    )
    assert 0.5 < alone.words <= 1
    assert not alone.exact
    among = hybrid.batch([SearchOp(("a",), query=query), SearchOp(("a",), query="lunch"), SearchOp((), query=query)])
    found = [scores_of(item)[0] for item in (*among[0], *among[2]) if item.key == "k"]
    assert len(found) == 3
    assert all(scores[:3] == pytest.approx(alone[:3]) for scores in found)


def test_words_are_a_share_of_what_the_question_could_get(hybrid):
    """None of the words of a question is 0, and words of small talk count for little."""
    hybrid.put(("a",), "k", {"text": "kangaroo"})
    hybrid.put(("a",), "l", {"text": "please can you try again"})

    found = _scores(hybrid, ("a",), "Can you try again with the kangaroo please?")
    assert found["k"][0].words > 0.5
    assert found["l"][0].words < 0.25
    assert _scores(hybrid, ("a",), "wombat")["k"][0].words == 0


@pytest.mark.parametrize(
    ("text", "query", "exact"),
    [
        ("Order ORD-2024-117 is late", "Where is ORD-2024-117?", True),
        ("Order ORD-2024-118 is late", "Where is ORD-2024-117?", False),
        ("Ask Maren Voss about customs", "Is Maren in tomorrow?", True),
        ("Ask Marenka about customs", "Is Maren in tomorrow?", False),
        ("Limit is 500 euros", "May I spend 500?", True),
        ("Limit is 1500 euros", "May I spend 500?", False),
        ("getUserById fails", "why does getUserById fail", True),
        ("The bill is high", "How high is the bill?", False),
    ],
)
def test_a_name_a_number_or_a_code_is_hit_exactly_or_not(hybrid, text, query, exact):
    """It must stand in the item as a whole."""
    hybrid.put(("a",), "k", {"text": text})

    assert _scores(hybrid, ("a",), query)["k"][0].exact == exact


def test_a_search_may_bring_several_query_texts(hybrid):
    """The best text counts, after its penalty; there are scores for each of them."""
    hybrid.put(("a",), "plus", {"text": "Plus costs 39 euros"})
    hybrid.put(("a",), "lunch", {"text": "lunch is at noon"})
    op = MultiSearchOp(("a",), query="when is lunch", further=(FurtherQuery("Plus costs", 0.2),))

    (found,) = hybrid.batch([op])
    assert [item.key for item in found] == ["lunch", "plus"]
    first, second = scores_of(found[1])
    assert second.words > first.words == 0
    assert second.similarity > first.similarity
    ((alone,),) = hybrid.batch([MultiSearchOp(("a",), query="Plus costs", limit=1)])
    assert found[1].score == pytest.approx(alone.score - 0.2, abs=0.05)


def test_all_query_texts_of_a_batch_are_embedded_in_one_call(empty_database):
    """So further texts cost no waiting."""
    embed = Counting()
    index = {**INDEX, "embed": embed}
    with HybridPostgresStore.from_conn_string(empty_database, index=index, search_mode="hybrid") as store:
        store.setup()
        store.batch([MultiSearchOp(("a",), query="abc", further=(FurtherQuery("def"),)), SearchOp(("b",), query="ghi")])

    assert [sorted(texts) for texts in embed.asked] == [["abc", "def", "ghi"]]


class _Asymmetric(Embeddings):
    """A model that embeds questions differently from documents."""

    def embed_documents(self, texts):
        return [[0.0, 1.0] for _ in texts]

    def embed_query(self, text):
        return [1.0, 0.0] if text == "x" else [0.0, 1.0]


async def test_questions_are_embedded_as_questions(empty_database):
    """A model may embed them differently from documents, so several of them are not embedded as documents."""
    index = {"dims": 2, "embed": _Asymmetric(), "fields": ["text"]}
    async with HybridPostgresStore.from_conn_string(empty_database, index=index, search_mode="hybrid") as store:
        store.setup()
        store.put(("a",), "k", {"text": "text"})
        ops = [MultiSearchOp(("a",), query="x", further=(FurtherQuery("y"),))]
        for ((item,),) in (store.batch(ops), await store.abatch(ops)):
            assert [scores.similarity for scores in scores_of(item)] == pytest.approx([0, 1])


def test_another_store_takes_the_first_query_text():
    """It knows only `SearchOp`, and its items have no such scores."""
    store = InMemoryStore(index={"dims": 64, "embed": EMBED, "fields": ["text"]})
    store.put(("a",), "k", {"text": "lunch is at noon"})
    op = MultiSearchOp(("a",), query="lunch", further=(FurtherQuery("Plus costs", 0.1),))

    ((multi,),), ((plain,),) = store.batch([op]), store.batch([SearchOp(("a",), query="lunch")])
    assert multi.score == plain.score
    assert scores_of(multi) == ()


def test_vector_mode_keeps_its_scores(empty_database):
    """A search has the cosine as its score, and nothing else."""
    with HybridPostgresStore.from_conn_string(empty_database, index=HASHED) as store:
        store.setup()
        store.put(("a",), "k", {"text": EGRESS})

        (item,) = store.search(("a",), query="egress costs")
        assert scores_of(item) == ()
        assert item.score == pytest.approx(sum(map(float.__mul__, *map(EMBED.embed_query, ("egress costs", EGRESS)))))


def test_the_best_of_several_texts_counts(hybrid):
    """Each cue is a text of its own in the index: it is found as if it stood alone, however many others there are."""
    value = {"text": "Bill is to go down", "cues": ["choosing a tool", "Grafana dashboards", "data leaving the cloud"]}
    hybrid.put(("a",), "k", value, index=["text", "cues[*]"])
    hybrid.put(("b",), "cue", {"text": "Grafana dashboards"})

    (item,), (cue,) = hybrid.search(("a",), query="which Grafana?"), hybrid.search(("b",), query="which Grafana?")
    assert scores_of(item)[0][:3] == pytest.approx(scores_of(cue)[0][:3])
    assert ("cues[*].1", "text") == (scores_of(item)[0].nearest, scores_of(cue)[0].nearest)
    assert hybrid.search(("a",), query="Bill down")[0].key == "k"
    hybrid.put(("a",), "k", {**value, "cues": ["choosing a tool"]}, index=["text", "cues[*]"])
    assert scores_of(hybrid.search(("a",), query="which Grafana?")[0])[0].words == 0


def test_each_text_of_a_batch_keeps_its_own_tokens(hybrid, empty_database):
    """Also beside texts of other lengths, and without any."""
    texts = {
        "long": " ".join("abcdefghij"[n % 10] * (n + 2) for n in range(300)),
        "none": "",
        "short": "Egress",
        "last": EGRESS,
    }
    hybrid.batch([PutOp(("a",), key, {"text": text}) for key, text in texts.items()])

    with psycopg.connect(empty_database) as connection:
        rows = connection.execute(
            "SELECT key, tokens, words <#> words < 0 FROM learning_texts text JOIN learning_items ON id = item"
        ).fetchall()
    stored = {key: tokens for key, tokens, _ in rows}
    assert {key: len(tokens) for key, tokens in stored.items()} == {"long": 300, "none": 0, "short": 1, "last": 4}
    assert stored["short"] == stored["last"][:1]
    assert {key for key, _, has_words in rows if has_words} == {"long", "short", "last"}
