"""What a store was told about searching and expiring: LangGraph's settings, checked, and ours beside them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from langchain_core.embeddings import Embeddings
from langgraph.store.base import TTLConfig, ensure_embeddings, get_text_at_path, tokenize_path
from pgvector import HalfVector, Vector

from langgraph_learning.errors import Misconfigured

SearchMode = Literal["vector", "hybrid"]
DISTANCES = {"cosine": ("<=>", 1.0), "l2": ("<->", 0.0), "inner_product": ("<#>", 0.0)}
"""The operator of each distance, and the score of an item at no distance."""
BUILD = {"m": 10, "ef_construction": 96}
"""How the index over vectors is built. Beside pgvector's own 16 and 64 puts take a quarter less, as much is found:
links are what costs, well chosen ones are what finds. With 64 instead of 96 one vector of fifty is never found."""
LARGEST_INDEXED = 4000
"""pgvector indexes no longer vectors, not even in half precision."""


class AnnIndexSettings(TypedDict, total=False):
    """The index over vectors, as in LangGraph's settings."""

    kind: Literal["hnsw", "flat"]
    """`flat` has no index: every search compares all vectors under its namespace."""
    vector_type: Literal["vector", "halfvec"]
    """Single or half precision of what is stored and compared. The index itself always has half precision."""
    m: int
    ef_construction: int


class SequenceSettings(TypedDict):
    """Which items belong together in an order, such as the turns of a session: a hybrid match lifts its neighbours."""

    by: str
    """Path of the field that all items of one sequence share."""
    order: str
    """Path of the number that orders them; neighbours are one apart."""


class IndexSettings(TypedDict, total=False):
    """What of an item can be searched. The first five fields are LangGraph's own."""

    dims: int
    embed: Embeddings | Callable[..., Any] | str
    fields: Sequence[str] | None
    ann_index_config: AnnIndexSettings
    distance_type: Literal["cosine", "l2", "inner_product"]
    sequence: SequenceSettings
    exact_below: int
    """Under a namespace with fewer vectors all are compared; from there on the index is asked."""


@dataclass(frozen=True)
class Index:
    """The settings of an index, complete and checked."""

    embeddings: Embeddings | None
    dims: int
    fields: tuple[str, ...]
    vector_type: Literal["vector", "halfvec"]
    distance: Literal["cosine", "l2", "inner_product"]
    ann: bool
    build: Mapping[str, int]
    sequence: SequenceSettings | None
    exact_below: int

    def texts(self, value: Mapping[str, Any], index: Sequence[str] | Literal[False] | None) -> list[tuple[str, str]]:
        """Return (field, text) of what is to be searched of an item."""
        if index is False:
            return []
        return [text for path in (self.fields if index is None else index) for text in _texts(value, path)]

    def encode(self, numbers: Sequence[float]) -> Vector | HalfVector:
        """Return a vector in the precision in which it is stored."""
        kind = HalfVector if self.vector_type == "halfvec" else Vector
        return kind(list(self.checked(numbers)))

    def checked(self, numbers: Sequence[float]) -> Sequence[float]:
        """Return a vector, if it has the length that the settings say."""
        if len(numbers) != self.dims:
            raise Misconfigured(
                f"The embedding model returns {len(numbers)} dimensions; the index settings say {self.dims}."
            )
        return numbers

    def place(self, value: Mapping[str, Any]) -> tuple[str | None, float | None]:
        """Return the sequence that an item belongs to, and its place in it."""
        if self.sequence is None:
            return None, None
        name, order = (_texts(value, self.sequence[part])[:1] for part in ("by", "order"))
        return (name[0][1], _number(order[0][1], self.sequence["order"])) if name and order else (None, None)


def index_of(settings: IndexSettings | Mapping[str, Any] | None, mode: SearchMode) -> Index | None:
    """Check the settings. None: nothing is searched by its text."""
    if settings is None and mode == "vector":
        return None
    given: Mapping[str, Any] = settings or {}
    embed, dims = given.get("embed"), int(given.get("dims") or 0)
    if (embed is None) != (not dims) or (embed is None and mode == "vector"):
        raise Misconfigured("index needs both 'embed' and 'dims'; with search_mode='hybrid' neither, for words alone.")
    ann = dict(given.get("ann_index_config") or {})
    return Index(
        embeddings=ensure_embeddings(embed) if embed is not None else None,
        dims=dims,
        fields=tuple(given.get("fields") or ["$"]),
        vector_type=_one_of(("vector", "halfvec"), ann.get("vector_type", "vector"), "vector_type"),
        distance=_one_of(tuple(DISTANCES), given.get("distance_type", "cosine"), "distance_type"),
        ann=_one_of(("hnsw", "flat"), ann.get("kind", "hnsw"), "kind") == "hnsw" and dims <= LARGEST_INDEXED,
        build={name: int(ann.get(name) or usual) for name, usual in BUILD.items()},
        sequence=given.get("sequence"),
        exact_below=int(given.get("exact_below") or 25_000),
    )


def ttl_of(settings: TTLConfig | Mapping[str, Any] | None) -> TTLConfig | None:
    """Check the settings of expiry."""
    unknown = set(settings or ()) - set(TTLConfig.__annotations__)
    if unknown:
        raise Misconfigured(f"ttl has no setting {sorted(unknown)}; there are {sorted(TTLConfig.__annotations__)}.")
    return None if settings is None else TTLConfig(**settings)  # type: ignore[typeddict-item]  # checked above


def _texts(value: Mapping[str, Any], path: str) -> list[tuple[str, str]]:
    texts = get_text_at_path(value, path if path == "$" else tokenize_path(path))
    return [(path if len(texts) == 1 else f"{path}.{nth}", text) for nth, text in enumerate(texts)]


def _number(text: str, path: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise Misconfigured(f"sequence orders by {path!r}, but {text!r} there is no number.") from error


def _one_of(known: tuple[str, ...], given: Any, name: str) -> Any:
    if given not in known:
        raise Misconfigured(f"index: {name} is one of {', '.join(known)}, not {given!r}.")
    return given
