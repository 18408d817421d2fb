"""Named SQL statements in files beside the modules that use them."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_STATEMENT_NAME = re.compile(r"^-- (?P<name>[a-z ]+) --$", re.MULTILINE)


@cache
def read_statements(package: str, file: str) -> Mapping[str, str]:
    """Return the statements of an SQL file in a package by name."""
    parts = _STATEMENT_NAME.split(files(package).joinpath(file).read_text("utf-8"))
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}
