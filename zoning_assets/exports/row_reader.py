"""Read the rows of a layer from PostGIS as Arrow batches, in constant memory, and what they must add up to.

Counts and rows come from one read-only transaction, as the reader role if this login may use it.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import orjson
import pyarrow as pa
from psycopg import IsolationLevel, sql

from zoning_assets.exports.layers import ExportLayer
from zoning_assets.exports.row_filter import RowFilter
from zoning_assets.storage.postgis.database import READER, Connection, connect
from zoning_assets.storage.postgis.sessions import translated_errors
from zoning_assets.storage.postgis.sql_queries import named

#: The number of rows of a batch.
CHUNK_SIZE = 5000
_MAY_READ = "SELECT pg_has_role(session_user, %s, 'MEMBER') FROM pg_roles WHERE rolname = %s"


@dataclass(frozen=True)
class ExportRequest:
    """Which rows are exported.

    Attributes:
        jurisdiction: its id.
        layer: the layer.
        filter: of the rows.
        legal: as they were by law on this day.
        system: as they were published at this time.
    """

    jurisdiction: str
    layer: ExportLayer
    filter: RowFilter = field(default_factory=RowFilter)
    legal: date | None = None
    system: datetime | None = None

    @property
    def as_of(self) -> str | None:
        """The day or the time in ISO 8601; None: now."""
        moment = self.legal or self.system
        return moment.isoformat() if moment else None

    def as_dict(self) -> dict[str, Any]:
        """The request, for the file that describes an export."""
        return {
            "jurisdiction": self.jurisdiction,
            "layer": self.layer.name,
            "as_of": self.as_of,
            "where": self.filter.text or None,
        }


@dataclass(frozen=True)
class RowSummary:
    """What the rows add up to.

    Attributes:
        rows: their number.
        area_m2: the sum of the column.
        shapes: the number of rows that have a shape.
        shapes_area_m2: the sum of the column over these.
        crs: of the shapes, such as EPSG:4326.
        content_hash: equal hashes: the same rows were requested, and none has changed.
    """

    rows: int
    area_m2: float
    shapes: int
    shapes_area_m2: float
    crs: str
    content_hash: str


@dataclass(frozen=True)
class RowStream:
    """The rows of one export: what they add up to, and the rows themselves, which can be read once."""

    request: ExportRequest
    summary: RowSummary
    batches: Iterator[pa.RecordBatch]

    @property
    def schema(self) -> pa.Schema:
        """The schema of the batches."""
        return self.request.layer.schema


@contextmanager
def opened(url: str, request: ExportRequest) -> Iterator[RowStream]:
    """Open the rows as of now. What is published meanwhile is not visible.

    Raises:
        DatabaseUnavailable, StoreError: the database does not answer, or a statement failed.
    """
    with connect(url) as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        _become_reader(connection)
        summary = _summary(connection, request)
        yield RowStream(request, summary, _batches(url, connection, request, summary.crs))


def _become_reader(connection: Connection) -> None:
    if connection.execute(_MAY_READ, [READER, READER]).fetchone() == (True,):
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(READER)))


def _source(request: ExportRequest) -> sql.Composable:
    name = request.layer.name + ("_as_of" if request.as_of else "")
    query = sql.SQL(named("exports")[name].decode())
    return sql.SQL("FROM ({}) AS layer WHERE {}").format(query, request.filter.condition)


def _values(request: ExportRequest, srid: int) -> dict[str, Any]:
    of_request = {"jurisdiction": request.jurisdiction, "legal": request.legal, "system": request.system}
    return {**of_request, "srid": srid, **request.filter.values}


_SRID = """
SELECT ST_SRID(geom) FROM (
    (SELECT geom FROM zoning.parcel WHERE jurisdiction = %(jurisdiction)s LIMIT 1)
    UNION ALL (SELECT geom FROM zoning.district WHERE jurisdiction = %(jurisdiction)s LIMIT 1)
    UNION ALL (SELECT geom FROM zoning.parcel_version WHERE jurisdiction = %(jurisdiction)s LIMIT 1)
) shapes LIMIT 1
"""
_SUMMARY = """
SELECT count(*), coalesce(sum(area_m2), 0)::float8, count(geom),
    coalesce(sum(area_m2) FILTER (WHERE geom IS NOT NULL), 0)::float8,
    sum(hashtextextended(ROW({columns}, row_hash)::text, 0)::numeric),
    sum(hashtextextended(ROW({columns}, row_hash)::text, 1)::numeric)
{source}
"""


def _summary(connection: Connection, request: ExportRequest) -> RowSummary:
    found = connection.execute(_SRID, {"jurisdiction": request.jurisdiction}).fetchone()
    srid = int(found[0]) if found else 4326
    layer = request.layer
    short = [sql.Identifier(name) for name in layer.columns if name not in layer.long_columns]
    query = sql.SQL(_SUMMARY).format(columns=sql.SQL(", ").join(short), source=_source(request))
    row = connection.execute(query, _values(request, srid)).fetchone() or (0, 0.0, 0, 0.0, None, None)
    rows, area, shapes, shapes_area, *hashes = row
    contents = [request.as_dict(), srid, rows, *map(str, hashes)]
    content_hash = hashlib.sha256(orjson.dumps(contents, option=orjson.OPT_SORT_KEYS)).hexdigest()
    return RowSummary(rows, area, shapes, shapes_area, f"EPSG:{srid}", content_hash)


def _batches(url: str, connection: Connection, request: ExportRequest, crs: str) -> Iterator[pa.RecordBatch]:
    layer = request.layer
    columns = [_encoded(name, kind) for name, kind in layer.columns.items()]
    query = sql.SQL("SELECT {columns}, ST_AsBinary(geom) {source} ORDER BY {order}").format(
        columns=sql.SQL(", ").join(columns),
        source=_source(request),
        order=sql.SQL(layer.order),
    )
    with translated_errors(url), connection.cursor("export", binary=True) as cursor:
        cursor.execute(query, _values(request, int(crs.removeprefix("EPSG:"))))
        while rows := cursor.fetchmany(CHUNK_SIZE):
            yield _batch(rows, layer.schema)


def _encoded(name: str, kind: pa.DataType) -> sql.Composable:
    """A column as the driver converts it fastest: times as microseconds since 1970, JSON as text."""
    templates: Mapping[pa.DataType, str] = {
        pa.timestamp("us", "UTC"): "(extract(epoch FROM {}) * 1000000)::bigint",
        pa.large_string(): "{}::text",
    }
    return sql.SQL(templates.get(kind, "{}")).format(sql.Identifier(name))


def _batch(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [_array(values, each.type) for values, each in zip(columns, schema, strict=True)]
    return pa.record_batch(arrays, schema=schema)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.timestamp("us", "UTC"):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind)
