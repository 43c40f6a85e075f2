"""SQL lives in .sql files; this finds a query by its name."""

import re
from functools import cache
from importlib.resources import files

_NAMED = re.compile(r"^-- name: (\w+)\n((?:.*\n)*?)(?=^-- name: |\Z)", re.MULTILINE)


@cache
def named(file: str) -> dict[str, bytes]:
    """The queries of sql/FILE.sql by name; each with one sentence that says what it is for."""
    text = files("zoning_assets.storage.postgis").joinpath("sql", f"{file}.sql").read_text()
    return {name: query.strip().encode() for name, query in _NAMED.findall(text)}
