"""Load named queries from the .sql files."""

import re
from functools import cache
from importlib.resources import files

_NAMED = re.compile(r"^-- name: (\w+)\n((?:.*\n)*?)(?=^-- name: |\Z)", re.MULTILINE)


@cache
def named(file: str) -> dict[str, bytes]:
    """The queries of sql/FILE.sql by name. A query begins with `-- name: NAME` and one sentence about its purpose."""
    text = files("zoning_assets.storage.postgis").joinpath("sql", f"{file}.sql").read_text()
    return {name: query.strip().encode() for name, query in _NAMED.findall(text)}
