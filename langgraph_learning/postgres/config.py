"""Settings of the index and of expiry: LangGraph's own and ours, validated."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

from langchain_core.embeddings import Embeddings
from langgraph.store.base import TTLConfig, ensure_embeddings, get_text_at_path, tokenize_path
from pgvector import HalfVector, Vector
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from langgraph_learning.core.checks import check_above_zero, check_count
from langgraph_learning.core.words import LANGUAGES
from langgraph_learning.errors import Misconfigured, WrongDimensions

SearchMode = Literal["vector", "hybrid"]
DISTANCES = {"cosine": ("<=>", 1.0), "l2": ("<->", 0.0), "inner_product": ("<#>", 0.0)}
"""pgvector's operator for each distance, and the score of an item at distance 0."""
HNSW_DEFAULTS = {"m": 10, "ef_construction": 96}
"""Build options of the vector index. Compared with pgvector's defaults, 16 and 64, puts take a quarter less time and
recall is as high: the number of links determines the cost, their quality the recall. With an `ef_construction` of 64,
one vector in fifty is never found."""
MAX_INDEXED_DIMS = 4000
"""pgvector's limit for an index of half-precision vectors."""
EXACT_BELOW_DEFAULT = 12_000


class AnnIndexSettings(TypedDict, total=False):
    """Settings of the vector index, as in LangGraph."""

    kind: Literal["hnsw", "flat"]
    """With `flat` there is no index: every search compares all vectors under its namespace."""
    vector_type: Literal["vector", "halfvec"]
    """Single or half precision of the stored vectors. The index itself always has half precision."""
    m: int
    ef_construction: int


class SequenceSettings(TypedDict):
    """Fields that order items in sequences, such as the turns of a session. A hybrid match lifts its neighbours."""

    by: str
    """Path of the field that identifies the sequence."""
    order: str
    """Path of the number that orders its items; neighbours differ by at most 1."""


class IndexSettings(TypedDict, total=False):
    """Settings of the index of items. The first five fields are LangGraph's own."""

    dims: int
    embed: Embeddings | Callable[..., Any] | str
    fields: Sequence[str] | None
    ann_index_config: AnnIndexSettings
    distance_type: Literal["cosine", "l2", "inner_product"]
    sequence: SequenceSettings
    exact_below: int
    """Searches of a namespace with fewer vectors are exact; those of a larger one use the index."""


@dataclass(frozen=True)
class IndexConfig:
    """Validated index settings with all defaults filled in."""

    embeddings: Embeddings | None
    dims: int
    fields: tuple[str, ...]
    vector_type: Literal["vector", "halfvec"]
    distance: Literal["cosine", "l2", "inner_product"]
    ann: bool
    hnsw: Mapping[str, int]
    sequence: SequenceSettings | None
    exact_below: int

    def extract_texts(
        self, value: Mapping[str, Any], paths: Sequence[str] | Literal[False] | None
    ) -> list[tuple[str, str]]:
        """Return (field, text) for each text of an item that is indexed.

        `paths` are those of the item's own put: None for the fields of the index, False for no indexing.
        """
        if paths is False:
            return []
        texts = []
        for path in self.fields if paths is None else paths:
            texts += _texts_at(value, path)
        return texts

    def encode(self, numbers: Sequence[float]) -> Vector | HalfVector:
        """Return a vector in the precision in which it is stored."""
        vector_class = HalfVector if self.vector_type == "halfvec" else Vector
        return vector_class(list(self.check_dims(numbers)))

    def check_dims(self, numbers: Sequence[float]) -> Sequence[float]:
        """Return a vector of the configured length unchanged. Raises `WrongDimensions` for any other."""
        if len(numbers) != self.dims:
            raise WrongDimensions(
                f"The embedding model returns {len(numbers)} dimensions; the index settings say {self.dims}."
            )
        return numbers

    def sequence_position(self, value: Mapping[str, Any]) -> tuple[str | None, float | None]:
        """Return the sequence that an item belongs to and its position in it, or (None, None)."""
        if self.sequence is None:
            return None, None
        sequences = _texts_at(value, self.sequence["by"])
        positions = _texts_at(value, self.sequence["order"])
        if not (sequences and positions):
            return None, None
        return sequences[0][1], _parse_position(positions[0][1], self.sequence["order"])


def parse_index_settings(settings: IndexSettings | Mapping[str, Any] | None, mode: SearchMode) -> IndexConfig | None:
    """Validate index settings. Returns None if items are not indexed. Raises `Misconfigured`."""
    _check_choice(get_args(SearchMode), mode, "search_mode")
    if settings is None and mode == "vector":
        return None
    given: Mapping[str, Any] = settings or {}
    if not isinstance(given, Mapping):
        raise Misconfigured(f'index is a dict, such as {{"dims": 384, "embed": embed}}, not {given!r:.80}.')
    # LangGraph keeps notes of its own under names with two underscores.
    _refuse_unknown("index", {name for name in given if not name.startswith("__")}, IndexSettings.__annotations__)
    embed, dims = given.get("embed"), given.get("dims") or 0
    check_count("index: dims", dims, 0)
    if embed is not None and not (isinstance(embed, Embeddings | str) or callable(embed)):
        raise Misconfigured(f"index: embed is an embedding model, its name or a function, not {embed!r:.80}.")
    if (embed is None) != (not dims) or (embed is None and mode == "vector"):
        raise Misconfigured(
            "index needs both 'embed' and 'dims'. With search_mode='hybrid' leave out both to search by words only."
        )
    ann = dict(given.get("ann_index_config") or {})
    return IndexConfig(
        embeddings=ensure_embeddings(embed) if embed is not None else None,
        dims=dims,
        fields=_parse_fields(given.get("fields")),
        vector_type=_check_choice(("vector", "halfvec"), ann.get("vector_type", "vector"), "index: vector_type"),
        distance=_check_choice(tuple(DISTANCES), given.get("distance_type", "cosine"), "index: distance_type"),
        ann=_check_choice(("hnsw", "flat"), ann.get("kind", "hnsw"), "index: kind") == "hnsw"
        and dims <= MAX_INDEXED_DIMS,
        hnsw={name: int(ann.get(name) or default) for name, default in HNSW_DEFAULTS.items()},
        sequence=given.get("sequence"),
        exact_below=int(given.get("exact_below") or EXACT_BELOW_DEFAULT),
    )


def _parse_fields(fields: Sequence[str] | None) -> tuple[str, ...]:
    if isinstance(fields, str):  # each of its characters would be a field
        raise Misconfigured(f"index: fields is a list of paths, such as [{fields!r}], not {fields!r}.")
    return tuple(fields or ["$"])


def check_source(source: object) -> None:
    """Raise `Misconfigured` for what is neither a pool nor a connection string.

    The error leaves the text out, for its password.
    """
    if isinstance(source, ConnectionPool | AsyncConnectionPool):
        return
    if not isinstance(source, str):
        raise Misconfigured(
            f"A store is made from the URL of a database or from a connection pool, not from a {type(source).__name__}."
        )
    _check_url(source)


def check_pool_settings(settings: Mapping[str, Any]) -> None:
    """Raise `Misconfigured` for settings that a pool does not have, or that the store makes itself."""
    own = {"self", "conninfo", "open", "check", "configure"}
    _refuse_unknown("pool", set(settings), inspect.signature(ConnectionPool.__init__).parameters.keys() - own)


def _check_url(url: str) -> None:
    try:
        conninfo_to_dict(url)
    except ProgrammingError:
        raise Misconfigured(
            "The database URL cannot be read. Write it as postgresql://user:password@host:port/database, with special "
            "characters in the password as %XX."
        ) from None


def parse_language(language: str) -> str | None:
    """Return Snowball's name of a language; None for "simple", which says nothing. Raises `Misconfigured`."""
    if language in ("simple", ""):
        return None
    if language not in LANGUAGES:
        raise Misconfigured(f"language is one of simple, {', '.join(sorted(LANGUAGES))}, not {language!r}.")
    return language


def parse_ttl_settings(settings: TTLConfig | Mapping[str, Any] | None) -> TTLConfig | None:
    """Validate the settings of expiry. Raises `Misconfigured`."""
    given: Mapping[str, Any] = settings or {}
    _refuse_unknown("ttl", set(given), TTLConfig.__annotations__)
    for name in ("default_ttl", "sweep_interval_minutes"):
        if given.get(name) is not None:
            check_above_zero(f"ttl: {name}", given[name], "minutes")
    return None if settings is None else TTLConfig(**settings)  # type: ignore[typeddict-item]  # checked above


def _texts_at(value: Mapping[str, Any], path: str) -> list[tuple[str, str]]:
    """Return (field, text) for each text at a path; if there are several, their fields are numbered."""
    texts = get_text_at_path(value, path if path == "$" else tokenize_path(path))
    if len(texts) == 1:
        return [(path, texts[0])]
    return [(f"{path}.{number}", text) for number, text in enumerate(texts)]


def _parse_position(text: str, path: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise Misconfigured(f"sequence orders items by {path!r}, but {text!r} there is not a number.") from error


def _refuse_unknown(setting: str, given: set[str], known: Iterable[str]) -> None:
    if unknown := given - set(known):
        raise Misconfigured(f"{setting} has no setting {sorted(unknown)}; use {sorted(known)}.")


def _check_choice(choices: tuple[str, ...], value: Any, name: str) -> Any:
    if value not in choices:
        raise Misconfigured(f"{name} is one of {', '.join(choices)}, not {value!r}.")
    return value
