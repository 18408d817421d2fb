"""Indexing of the texts of items: texts are embedded once, and unchanged ones keep the vectors that are stored."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

from langgraph.store.base import PutOp

from langgraph_learning.errors import NotSetUp
from langgraph_learning.postgres.executor import Plan, embed_documents, run_statements
from langgraph_learning.postgres.rows import IntegerColumn, VectorColumn, join_namespace, tenant_prefix
from langgraph_learning.postgres.statements import PlanContext, Statement
from langgraph_learning.postgres.words import TextWords, read_text, scope_id

ItemKey = tuple[tuple[str, ...], str]
"""A namespace and a key."""
_ROWS_PER_STATEMENT = 1000
_TEXTS_PER_STATEMENT = 250
"""The server indexes so many texts while the words of as many others are read."""


class IndexedText(NamedTuple):
    """A text of an item that searches can find."""

    field: str
    text: str
    digest: bytes
    """Hash of the text, to tell whether a stored text is the same."""


Vectors = Mapping[bytes, Sequence[float] | bytes]
"""The vectors of texts by their digests. Those read from the tables are bytes in Postgres' binary form."""


class BatchIndexing:
    """Indexing of the puts of one batch: embeds their texts, and makes the statements that update the index."""

    def __init__(self, context: PlanContext, puts: Mapping[ItemKey, PutOp]) -> None:
        self._context = context
        self._texts = {key: extract_texts(context, op.value or {}, op.index) for key, op in puts.items()}
        self._rows = [(key, text) for key, texts in self._texts.items() for text in texts]
        self._vectors: Vectors = {}
        self._types: Mapping[str, int] = {}

    def embed(self) -> Plan[None]:
        """Fetch the vectors of all texts, known ones from the tables and new ones from the embedding model.

        This happens before the batch takes a connection.
        """
        index = self._context.index
        if not (index and self._rows):
            return
        self._types = yield from read_types(self._context)
        if index.embeddings:
            known = yield from self._read_known_vectors()
            self._vectors = yield from embed_texts(self._context, [text for _, text in self._rows], known)

    def statements(self) -> Iterator[Statement]:
        """Yield the statements after which exactly these texts of the items can be found."""
        if self._context.index:
            yield from (self._delete_stale_texts(keys) for keys in split_rows(list(self._texts)))
            yield from (self._insert_texts(rows) for rows in split_rows(self._rows, _TEXTS_PER_STATEMENT))

    def _read_known_vectors(self) -> Plan[Vectors]:
        statements = [
            self._context.statements(
                "read known vectors",
                **key_columns([key for key, _ in rows]),
                digests=[text.digest for _, text in rows],
            )
            for rows in split_rows(self._rows)
        ]
        results = yield from run_statements(*statements, repeatable=True)
        return {row["digest"]: row["vector"] for rows in results for row in rows}

    def _delete_stale_texts(self, keys: Sequence[ItemKey]) -> Statement:
        current = [(number, text) for number, key in enumerate(keys, start=1) for text in self._texts[key]]
        return self._context.statements(
            "delete stale texts",
            **key_columns(keys),
            nths=[number for number, _ in current],
            fields=[text.field for _, text in current],
            digests=[text.digest for _, text in current],
        )

    def _insert_texts(self, rows: Sequence[tuple[ItemKey, IndexedText]]) -> Statement:
        keys, texts = zip(*rows, strict=True)
        namespaces = [namespace for namespace, _ in keys]
        columns = key_columns(keys)
        return insert_texts(self._context, "insert texts", columns, namespaces, texts, self._vectors, self._types)


def extract_texts(context: PlanContext, value: Mapping[str, Any], paths: Any) -> list[IndexedText]:
    """Return the texts of an item that are indexed, at the paths of its put or, if None, at the store's fields."""
    if context.index is None:
        return []
    return [IndexedText(field, text, _digest_text(text)) for field, text in context.index.extract_texts(value, paths)]


def embed_texts(context: PlanContext, texts: Sequence[IndexedText], known: Vectors) -> Plan[Vectors]:
    """Return the vectors of texts. The embedding model is called for those that are not known."""
    assert context.index is not None, "only a store with an index embeds"
    new_texts = {text.digest: text.text for text in texts if text.digest not in known}
    embeddings = yield from embed_documents(list(new_texts.values()))
    vectors = dict(known)
    for digest, numbers in zip(new_texts, embeddings, strict=True):
        vectors[digest] = context.index.check_dims(numbers)
    return vectors


def insert_texts(
    context: PlanContext,
    name: str,
    keys: Mapping[str, Any],
    namespaces: Sequence[Sequence[str]],
    texts: Sequence[IndexedText],
    vectors: Vectors,
    types: Mapping[str, int],
) -> Statement:
    """Return the statement of this name, which inserts texts under namespaces; `keys` are its other parameters.

    The words of the texts are read while the server runs the statements before.
    """
    columns = {**keys, "fields": [text.field for text in texts], "digests": [text.digest for text in texts]}
    if context.index and context.index.embeddings:
        rows = [vectors[text.digest] for text in texts]
        columns["vectors"] = VectorColumn(rows, types["embedding"], context.index.encode)
    if not context.hybrid:
        return context.statements(name, **columns)

    def add_words() -> dict[str, Any]:
        pairs = [(namespace, text.text) for namespace, text in zip(namespaces, texts, strict=True)]
        return columns | word_columns(read_words(context, pairs), types)

    return context.statements.defer(name, add_words, sum(len(text.text) for text in texts))


def word_columns(words: Sequence[TextWords], types: Mapping[str, int]) -> dict[str, Any]:
    """Return the words of texts as the parameters of a statement that stores them."""
    tokens = IntegerColumn([each.ids for each in words])
    return {
        "words": VectorColumn([each.vector for each in words], types["words"]),
        "tokens": tokens,
        "first_tokens": tokens.firsts(),
        "last_tokens": tokens.lasts(),
    }


def read_words(context: PlanContext, texts: Sequence[tuple[Sequence[str], str]]) -> list[TextWords]:
    """Return the words of texts, each given with its namespace."""
    scopes = {tenant: scope_id(tenant) for tenant in {tenant_prefix(namespace) for namespace, _ in texts}}
    return [read_text(text, context.language, scopes[tenant_prefix(namespace)]) for namespace, text in texts]


def read_types(context: PlanContext) -> Plan[Mapping[str, int]]:
    """Return the object ids of the types of the columns for vectors and words, by the name of the column.

    Raises `NotSetUp` if there is no such column.
    """
    embeds = context.index is not None and context.index.embeddings is not None
    needed = {"embedding"} if embeds else set()
    needed |= {"words"} if context.hybrid else set()
    if not needed <= context.caches.types.keys():
        (rows,) = yield from run_statements(context.statements("read types"))
        context.caches.types.update({row["name"]: row["oid"] for row in rows})
        if not needed <= context.caches.types.keys():
            raise NotSetUp
    return context.caches.types


def key_columns(keys: Sequence[ItemKey]) -> dict[str, list[str]]:
    """Return the parameters of a statement about several items, one list per column."""
    return {"namespaces": [join_namespace(namespace) for namespace, _ in keys], "keys": [key for _, key in keys]}


def split_rows(rows: Sequence[Any], size: int = _ROWS_PER_STATEMENT) -> Iterator[Sequence[Any]]:
    """Split many rows into parts for one statement each."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _digest_text(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
