"""How texts are compared, shortened, escaped and made fit for a database."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


def strip_unstorable(value: T) -> T:
    """Return a value, such as an operation on a store, with texts that any database takes."""
    cleaned: Any = value
    if isinstance(value, str):
        cleaned = value.replace("\0", "").encode(errors="replace").decode()
    elif isinstance(value, Mapping):
        cleaned = {strip_unstorable(key): strip_unstorable(part) for key, part in value.items()}
    elif isinstance(value, list):
        cleaned = [strip_unstorable(part) for part in value]
    elif isinstance(value, tuple):
        parts = (strip_unstorable(part) for part in value)
        cleaned = type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return cleaned  # type: ignore[no-any-return]  # of the same type, part by part


def normalize(text: str) -> str:
    """Return a text as it is compared: case, spaces and a final full stop make no difference."""
    return " ".join(text.casefold().split()).rstrip(".!")


def content_words(texts: Iterable[str]) -> set[str]:
    """Return the telling words in some texts: long enough to mean something, or numbers."""
    cleaned = "".join(c if c.isalnum() else " " for text in texts for c in f"{text.casefold()} ")
    return {word for word in cleaned.split() if len(word) > 3 or word.isdigit()}


def stem_words(found: set[str]) -> set[str]:
    """Return words so that "drinks" is "drink": statements are in the third person, users speak in the first."""
    return {word if word.isdigit() else word.rstrip("s")[:5] for word in found}


def plain_words(text: str) -> str:
    """Return a text's words alone, in lower case."""
    return " ".join("".join(c if c.isalnum() else " " for c in text.casefold()).split())


def truncate(text: str, most: int) -> str:
    """Return a text of at most about so many characters, with a mark where something was cut."""
    if len(text) <= most:
        return text
    # The end of a long text holds its outcome as often as the start, so both are kept.
    head, tail = most * 3 // 4, most // 4
    return f"{text[:head]} [… {len(text) - most:,} characters cut …] {text[-tail:]}"


def escape_markup(text: str) -> str:
    """Return a text in which no character opens or closes a tag."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def strip_quotations(message: str) -> str:
    """Return a message without what it quotes: code, quoted lines, and whatever stands between quotation marks."""
    return re.sub(r"(?s:```.*?(?:```|\Z))|^\s*>.*$|(?s:[\"“„«].*?(?:[\"”“»]|\Z))", " ", message, flags=re.MULTILINE)


def is_mostly_own(text: str, quote: str) -> bool:
    """Whether at least half of a statement's telling words, and all its numbers, are a message's own."""
    telling, own = stem_words(content_words([text])), stem_words(content_words([strip_quotations(quote)]))
    numbers = {word for word in telling if word.isdigit()}
    return numbers <= own and len(telling & own) * 2 >= len(telling)


def escape_line(text: str) -> str:
    """Return stored text so that it stays data: on one line, and unable to open or close a block."""
    return escape_markup(" ".join(text.split()))
