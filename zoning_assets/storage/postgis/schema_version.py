"""The version of the schema in a database, and whether it fits a version of the program.

A schema says which version of the program is the oldest that may still work with it. After a migration that only adds
something, programs of two versions work at once; after any other, the older one stops with one line.
"""

from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]


def revision(connection: Connection) -> str | None:
    """The version of the schema; None: there is no schema."""
    return _row(connection)[0]


def fits(connection: Connection, program: str) -> bool:
    """Whether the schema has the version of a program, or a newer one that the program may work with."""
    found, oldest = _row(connection)
    return found == program or (found is not None and oldest is not None and oldest <= program < found)


def _row(connection: Connection) -> tuple[str | None, str | None]:
    row = connection.execute("SELECT to_regclass('zoning.schema_version')").fetchone()
    if row is None or row[0] is None:
        return None, None
    # The row as JSON, because older schemas do not have the column.
    query = "SELECT version_num, to_jsonb(v)->>'compatible_from' FROM zoning.schema_version v"
    found = connection.execute(query).fetchone()
    return (str(found[0]), found[1]) if found else (None, None)
