"""The parcels in a database: reading them, comparing them with the expected ones, and restoring all tables."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql

#: The part of one tile: content hash by key, and how often each object id is rejected.
Part = tuple[dict[str, str], Counter[int]]


@dataclass(frozen=True)
class DatabaseState:
    """The parcels and rejections of a database.

    Attributes:
        parcels: tile and content hash of each parcel, by key.
        held: how often each row is rejected, by tile and object id.
    """

    parcels: Mapping[str, tuple[str, str]]
    held: Mapping[tuple[str, int], int]

    def of(self, tile: str) -> Part:
        """The part of one tile."""
        held = Counter({oid: rows for (where, oid), rows in self.held.items() if where == tile})
        return {key: content for key, (where, content) in self.parcels.items() if where == tile}, held

    @property
    def tiles(self) -> set[str]:
        """All tiles with a parcel or a rejection."""
        return {tile for tile, _ in self.parcels.values()} | {tile for tile, _ in self.held}


def state_of(url: str) -> DatabaseState:
    """Read the state of a database."""
    with psycopg.connect(url) as connection:
        parcels = connection.execute("SELECT parcel_id, tile, content_hash FROM zoning.parcel").fetchall()
        held = connection.execute(
            "SELECT tile, (raw -> 'attributes' ->> 'OBJECTID')::float::int FROM zoning.rejection WHERE state = 'open'"
        ).fetchall()
    return DatabaseState(
        {key: (tile, content) for key, tile, content in parcels}, Counter((tile, oid) for tile, oid in held)
    )


def difference(found: Part, wanted: Part) -> Counter[str]:
    """How many rows are LOST, DOUBLED (or should not exist) or CHANGED."""
    (rows, held), (true_rows, true_held) = found, wanted
    lost = len(true_rows.keys() - rows) + (true_held - held).total()
    doubled = len(rows.keys() - true_rows) + (held - true_held).total()
    changed = sum(true_rows[key] != rows[key] for key in true_rows.keys() & rows)
    return Counter({"LOST": lost, "DOUBLED": doubled, "CHANGED": changed})


_TABLES = """
    SELECT t.relname, array_remove(array_agg(r.relname), t.relname)
    FROM pg_class t
    LEFT JOIN pg_constraint c ON c.conrelid = t.oid AND c.contype = 'f'
    LEFT JOIN pg_class r ON r.oid = c.confrelid
    WHERE t.relnamespace = 'zoning'::regnamespace AND t.relkind = 'r' AND t.relname <> 'schema_version'
    GROUP BY t.relname
"""
_COLUMNS = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = ('zoning.' || %s)::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""


def _tables(connection: psycopg.Connection) -> list[str]:
    """All tables except the audit, which is append-only; a table comes after those that it refers to."""
    known = dict(connection.execute(_TABLES).fetchall())
    left = {name: {each for each in others if each} for name, others in known.items() if name != "audit"}
    found: list[str] = []
    while left:
        free = sorted(name for name, others in left.items() if others <= set(found))
        found += free
        left = {name: others for name, others in left.items() if name not in free}
    return found


def save(url: str, name: str) -> None:
    """Copy all tables to a schema of this name."""
    with psycopg.connect(url) as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        for table in _tables(connection):
            names = {"kept": sql.Identifier(name, table), "table": sql.Identifier("zoning", table)}
            connection.execute(sql.SQL("CREATE TABLE {kept} AS TABLE {table}").format(**names))


def restore(url: str, name: str) -> None:
    """Restore all tables from the schema of this name. For some hundred rows this is faster than a new database."""
    with psycopg.connect(url) as connection:
        tables = _tables(connection)
        for table in reversed(tables):
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier("zoning", table)))
        for table in tables:
            columns = sql.SQL(", ").join(sql.Identifier(each) for (each,) in connection.execute(_COLUMNS, [table]))
            names = {"kept": sql.Identifier(name, table), "table": sql.Identifier("zoning", table), "columns": columns}
            back = "INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {kept}"
            connection.execute(sql.SQL(back).format(**names))
