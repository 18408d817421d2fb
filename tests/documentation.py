"""The README and the pages under docs/, as the tests that run their code read them."""

import re
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parent.parent
README = PROJECT / "README.md"
DOCS = sorted((PROJECT / "docs").glob("*.md"))
PAGES = [README, *DOCS]

FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """One fenced block of a page."""

    language: str
    code: str
    line: int
    """The line of the page on which the code begins, counted from 1."""


def text_of(page: Path) -> str:
    """Return the text of a page."""
    return page.read_text(encoding="utf-8")


def blocks_of(page: Path, *languages: str) -> list[Block]:
    """Return the fenced blocks of a page in these languages, by default in all of them."""
    text = text_of(page)
    blocks = [Block(found[1], found[2], text[: found.start(2)].count("\n") + 1) for found in FENCE.finditer(text)]
    return [block for block in blocks if not languages or block.language in languages]
