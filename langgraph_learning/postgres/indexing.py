"""What of a batch can be searched: each text is embedded once, and not at all where its vector is there already."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from langgraph.store.base import PutOp

from langgraph_learning.postgres import namespaces as ns
from langgraph_learning.postgres import steps
from langgraph_learning.postgres.rows import VectorColumn
from langgraph_learning.postgres.shape import Shape
from langgraph_learning.postgres.statements import Statement
from langgraph_learning.postgres.steps import Plan

Key = tuple[tuple[str, ...], str]
"""A namespace, and a key in it."""
_ROWS = 1000
"""So many rows in one statement: large enough to be quick, small enough for any memory."""


class Text(NamedTuple):
    """One text that can be searched."""

    field: str
    text: str
    digest: bytes
    """Tells whether a stored text is the same."""


class Embedded(NamedTuple):
    """The vectors of texts by their digests; those from the tables are in binary form already."""

    vectors: Mapping[bytes, Sequence[float]]
    oid: int
    """How this database numbers the type of its vectors; 0 where there are none."""


class Indexing:
    """The texts of one batch, and what is sent to have them found."""

    def __init__(self, shape: Shape, puts: Mapping[Key, PutOp]) -> None:
        self._shape = shape
        self._texts = {key: texts_of(shape, op.value or {}, op.index) for key, op in puts.items()}
        self._rows = [(key, text) for key, texts in self._texts.items() for text in texts]
        self._embedded = Embedded({}, 0)

    def embed(self) -> Plan[None]:
        """Fetch the vectors of all texts: known ones from the tables, others from the model. No connection is held."""
        index = self._shape.index
        if index and index.embeddings and self._rows:
            known = yield from self._known()
            self._embedded = yield from embedded(self._shape, [text for _, text in self._rows], known)

    def statements(self) -> Iterator[Statement]:
        """Return what makes exactly these texts of their items be found."""
        if self._shape.index:
            yield from (self._forget(part) for part in parts(list(self._texts)))
            yield from (self._index(part) for part in parts(self._rows))

    def _known(self) -> Plan[dict[bytes, Sequence[float]]]:
        asked = [
            self._shape.statements(
                "known vectors", **columns([key for key, _ in part]), digests=[text.digest for _, text in part]
            )
            for part in parts(self._rows)
        ]
        found = yield from steps.run(*asked, repeatable=True)
        return {row["digest"]: row["vector"] for rows in found for row in rows}

    def _forget(self, keys: Sequence[Key]) -> Statement:
        kept = [(nth, text) for nth, key in enumerate(keys, start=1) for text in self._texts[key]]
        return self._shape.statements(
            "forget texts",
            **columns(keys),
            nths=[nth for nth, _ in kept],
            fields=[text.field for _, text in kept],
            digests=[text.digest for _, text in kept],
        )

    def _index(self, rows: Sequence[tuple[Key, Text]]) -> Statement:
        keys, texts = zip(*rows, strict=True)
        return self._shape.statements("index", **columns(keys), **searched(self._shape, texts, self._embedded))


def texts_of(shape: Shape, value: Mapping[str, Any], index: Any) -> list[Text]:
    """Return what is to be searched of an item, as the store's fields or those of its own put say."""
    if shape.index is None:
        return []
    return [Text(field, text, _digest(text)) for field, text in shape.index.texts(value, index)]


def embedded(shape: Shape, texts: Sequence[Text], known: Mapping[bytes, Sequence[float]]) -> Plan[Embedded]:
    """Return the vectors of texts; the model is asked for those that are not known."""
    assert shape.index is not None, "only a store with an index embeds"
    new = {text.digest: text.text for text in texts if text.digest not in known}
    found = yield from steps.embed_documents(list(new.values()))
    made = zip(new, map(shape.index.checked, found), strict=True)
    return Embedded({**known, **dict(made)}, (yield from shape.vector_oid()))


def searched(shape: Shape, texts: Sequence[Text], embedded: Embedded) -> dict[str, Any]:
    """Return what is sent of texts, column by column."""
    return {
        "fields": [text.field for text in texts],
        "texts": [text.text.replace("\x00", " ") for text in texts],
        "digests": [text.digest for text in texts],
        "vectors": _column(shape, texts, embedded),
        "language": shape.language,
    }


def columns(keys: Sequence[Key]) -> dict[str, list[str]]:
    """Return keys as they are sent."""
    return {"namespaces": [ns.text(namespace) for namespace, _ in keys], "keys": [key for _, key in keys]}


def parts(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Cut many rows into what one statement takes."""
    return (rows[at : at + _ROWS] for at in range(0, len(rows), _ROWS))


def _column(shape: Shape, texts: Sequence[Text], embedded: Embedded) -> VectorColumn | list[None]:
    if not (shape.index and embedded.oid):
        return [None] * len(texts)
    return VectorColumn([embedded.vectors[text.digest] for text in texts], shape.index.encode, embedded.oid)


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
