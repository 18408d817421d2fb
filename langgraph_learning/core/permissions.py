"""Permissions: the words of a message by which its writer lifts what they asked before, such as to keep a secret."""

import re
import tomllib
from functools import lru_cache
from pathlib import Path

_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _compile(name: str) -> re.Pattern[str]:
    """Return the pattern of a group of words, at word boundaries where the script has any, and in no question."""
    patterns = {language: "".join(words.strip().splitlines()) for language, words in _WORDS[name].items()}
    unspaced = patterns.pop("unspaced", None)
    spaced = rf"(?<!\w)(?:{'|'.join(patterns.values())})(?!\w)"
    # With the spaces around them, and a comma: what is left would look like a letter or a table.
    return re.compile(rf"[ ,]*(?:{spaced}{f'|{unspaced}' if unspaced else ''})(?![^.!\n]*[?\uff1f]) ?", re.IGNORECASE)


_LIFTED, _REPORTED, _PERMISSIONS = (_compile(name) for name in ("lifted", "reported", "permissions"))


@lru_cache(maxsize=200)  # each message of a turn is looked at several times
def without_permissions(text: str) -> str:
    """Return a text without the words that lift what its writer asked before.

    "It is no longer off the record" says that it is on it; so does "you may keep it, though I said not to save this".
    """
    lifted = _LIFTED.sub(" ", text)
    return _REPORTED.sub(" ", lifted) if _PERMISSIONS.search(lifted) else lifted
