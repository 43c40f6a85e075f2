"""The publish transaction: a validated table becomes what the database says now, and what it said before is kept.

COPY to a staging table, then one merge: rows that differ become versions and are overwritten, new rows are inserted,
rows that are gone are retired. All in one transaction under one lock a jurisdiction and feed, so that a process killed
at any moment has published everything or nothing. The same harvest under the same rules changes nothing.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
import pyarrow as pa
import pyproj
import shapely
from psycopg.types.json import Jsonb

from zoning_assets.errors import CoverStale, UndoneMeanwhile
from zoning_assets.model import PARCELS, ZONING, Place
from zoning_assets.storage.postgis import binary_copy
from zoning_assets.storage.postgis.database import Connection
from zoning_assets.storage.postgis.records import hold_records
from zoning_assets.storage.postgis.sessions import said, session
from zoning_assets.storage.postgis.sql_queries import named
from zoning_assets.transform.geometry import content_hash
from zoning_assets.transform.geometry.h3_tiles import finest_cells, owners, to_int

#: feed -> the suffix of its queries, and the columns that go to `stage` between key and attributes.
_STAGED = {
    PARCELS: ("parcels", ("zoning_code", "land_use", "address")),
    ZONING: ("districts", ("code", "zone_type", "effective")),
}


@dataclass(frozen=True)
class Published:
    """What a publish did. `batch` None: it was published already, nothing was touched."""

    batch: int | None
    added: int
    changed: int
    unchanged: int
    retired: int


@dataclass(frozen=True)
class Rejection:
    """A row held back, with the raw row as the portal gave it."""

    reason: str
    detail: str | None
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Edition:
    """What is published, as what: a harvest of a feed at a place, judged by some rules.

    `tiles` is the whole cover; rows of tiles that are no longer in it pass to their new owners. `layer`: which state of
    the portal's layer the cover is of; no key stands in two tiles of one state.
    """

    place: Place
    feed: str
    harvest: str
    rules: str
    tiles: Sequence[str]
    layer: str = ""
    hosts: Sequence[str] = ()  # which the feed is asked from
    fixes: Sequence[str] = ()  # the ids of the rows that a person fixed

    @property
    def values(self) -> dict[str, Any]:
        """As the queries name them."""
        values = {name: getattr(self, name) for name in ("feed", "harvest", "rules", "tiles", "layer")}
        return {**values, "jurisdiction": self.place.jurisdiction, "tile": self.place.tile}


def find_published(url: str, edition: Edition) -> Published | None:
    """What publishing this edition would do where it does nothing; None where there is something to do.

    Raises:
        DatabaseUnavailable, StoreError: as publish.
    """
    with said(url), session(url) as connection:
        return _find_published(connection, edition.values)


def _find_published(connection: Connection, values: Mapping[str, Any]) -> Published | None:
    last, intact = _last(connection, values)
    return last if intact and not _obsolete_tiles(connection, values) else None


def publish(
    url: str,
    edition: Edition,
    parts: Iterable[pa.Table],
    rejections: Iterable[Rejection],
    undone: int | None = None,
) -> Published:
    """Publish a validated table in one transaction; rows published for the place before and absent now are retired.

    Args:
        url: the database.
        edition: what it is.
        parts: GeoParquet tables of validate.validate_rows; read once, one after the other.
        rejections: the rows held back.
        undone: the newest rollback of the feed when it was judged, as `newest_undo` says; None: whichever.

    Raises:
        UndoneMeanwhile: there was another since.
        CoverStale: a key stands in several rows that were not known to belong together.
        Held: a person paused it; nothing was published.
        DatabaseUnavailable: nobody answers.
        StoreError: the database refused.
    """
    with said(url), session(url) as connection:
        found = _find_published(connection, edition.values)
        return found or _publish(connection, edition, parts, rejections, undone)


def newest_undo(connection: Connection, values: Mapping[str, Any]) -> int:
    """The newest rollback of a feed; 0: there was none."""
    row = connection.execute(named("publish")["undone"], values).fetchone()
    return int(row[0]) if row else 0


def _publish(
    connection: Connection,
    edition: Edition,
    parts: Iterable[pa.Table],
    rejections: Iterable[Rejection],
    undone: int | None,
) -> Published:
    query, values = named("publish"), edition.values
    kind, columns = _STAGED[values["feed"]]
    connection.execute(query[f"stage_{kind}"])
    staged = _copy(connection, columns, parts)
    connection.execute(query["lock"], values)
    if undone is not None and newest_undo(connection, values) != undone:
        where = f"{edition.place} {edition.feed}"
        raise UndoneMeanwhile("it was rolled back meanwhile; nothing was published", where=where, do="run it again")
    adopted = _adopt(connection, values)
    last, intact = _last(connection, values)
    if last and intact and not adopted:
        return last
    row = connection.execute(query["open_batch"], values).fetchone()
    values = {**values, "batch": row[0], "now": row[1]} if row else values
    if not adopted and _inserted(connection, values, staged):
        merged, changed, retired = staged, 0, 0
    else:
        merged, changed, retired = _merge(connection, values, kind, is_known=last is not None)
    held = _reject(connection, values, rejections)
    if edition.fixes:
        connection.execute(query["used"], {**values, "fixes": list(edition.fixes)})
    published = Published(values["batch"], merged - changed, changed, staged - merged, retired)
    counts = {
        "added": published.added,
        "changed": changed,
        "unchanged": published.unchanged,
        "retired": retired,
        "rejected": held,
        "layer": values["layer"],
    }
    connection.execute(query["close_batch"], {"counts": Jsonb(counts), "batch": values["batch"]})
    hold_records.check(connection, edition.place.jurisdiction, edition.hosts)
    return published


def _inserted(connection: Connection, values: Mapping[str, Any], staged: int) -> bool:
    """Insert all staged parcels where nothing was ever published for the tile, and no key stands elsewhere or twice."""
    query = named("publish")
    if values["feed"] != PARCELS or connection.execute(query["published"], values).fetchone() != (False,):
        return False
    connection.execute("SAVEPOINT inserting")
    if connection.execute(query["insert_parcels"], values).rowcount == staged:
        return True
    connection.execute("ROLLBACK TO inserting")
    return False


def _merge(connection: Connection, values: Mapping[str, Any], kind: str, *, is_known: bool) -> tuple[int, int, int]:
    """Compare what is staged with what stands; the rows merged, of those the rows changed, and the rows retired.

    `is_known`: the place was published in this very edition.
    """
    query = named("publish")
    connection.execute("ANALYZE stage (key)")  # the planner must know how many; geometry's statistics would take longer
    _once(connection.execute(query["repeated"]).fetchone(), values, "stands in several rows, and was not known to")
    if is_known:  # rows that did not change here were taken by another tile: it, too, has their keys, or had them
        _once(connection.execute(query["taken"], values).fetchone(), values, "stands in another tile as well")
    merged, changed, *shared = connection.execute(query[f"merge_{kind}"], values).fetchone() or (0, 0, None)
    _once(shared, values, "stands in another tile as well")
    return merged, changed, connection.execute(query[f"retire_{kind}"], values).rowcount


def _obsolete_tiles(connection: Connection, values: Mapping[str, Any]) -> list[str]:
    if values["tile"] is None:
        return []
    return [tile for (tile,) in connection.execute(named("publish")["obsolete_tiles"], values)]


def _adopt(connection: Connection, values: Mapping[str, Any]) -> int:
    """Take over the rows that this tile owns since another was split, joined or emptied; how many."""
    obsolete = _obsolete_tiles(connection, values)
    if not obsolete:
        return 0
    orphans = connection.execute(named("publish")["orphans"], {**values, "obsolete": obsolete}).fetchall()
    points = shapely.get_coordinates(shapely.from_wkb([wkb for _, wkb in orphans]))
    mine = owners(finest_cells(points), values["tiles"]) == to_int(values["tile"])
    keys = [key for (key, _), is_mine in zip(orphans, mine, strict=True) if is_mine]
    return connection.execute(named("publish")["adopt"], {**values, "keys": keys}).rowcount


def _last(connection: Connection, values: Mapping[str, Any]) -> tuple[Published | None, bool]:
    """What publishing this edition did, where it is what was published last; and whether the place holds it still."""
    row = connection.execute(named("publish")["last_batch"], values).fetchone()
    if row is None or row[:2] != (values["harvest"], values["rules"]):
        return None, False
    counts = row[2]
    return Published(None, 0, 0, counts["added"] + counts["changed"] + counts["unchanged"], 0), row[3]


def _once(found: Sequence[Any] | None, values: Mapping[str, Any], what: str) -> None:
    """Refuse a key that was found where it should not be."""
    if found and found[0] is not None:
        raise CoverStale(
            f"the key {found[0]!r} {what}",
            where=f"{values['jurisdiction']} tile {values['tile']} {values['feed']}",
            do="materialize `tiles` again",
            key=found[0],
        )


def _copy(connection: Connection, columns: tuple[str, ...], parts: Iterable[pa.Table]) -> int:
    """COPY the parts to `stage` in PostgreSQL's binary format; the number of rows."""
    rows = 0
    with connection.cursor() as cursor, cursor.copy("COPY stage FROM STDIN WITH (FORMAT BINARY)") as copy:
        copy.write(binary_copy.HEAD)
        for part in parts:
            rows += len(part)
            copy.write(_rows(part, ("key", *columns, "attributes")))
        copy.write(binary_copy.TAIL)
    return rows


def _rows(part: pa.Table, names: tuple[str, ...]) -> memoryview:
    """The part as `stage` has it: texts or null, area, EWKB, hash."""
    texts = [binary_copy.texts(part.column(name)) for name in names]
    area, shape = binary_copy.doubles(part.column("area_m2")), part.column("geometry")
    ewkb = binary_copy.blobs(shape, head=_EWKB + _srid_of(part), skip=len(_EWKB))
    return binary_copy.rows([*texts, area, ewkb, binary_copy.texts(part.column("content_hash"))])


#: Little-endian, MultiPolygon with SRID: what PostGIS puts before the rest of the WKB that the part holds.
_EWKB = struct.pack("<BI", 1, 6 | 0x20000000)


def _srid_of(part: pa.Table) -> bytes:
    """The SRID of a GeoParquet table's CRS, as EWKB spells it."""
    about = (part.schema.metadata or {})[b"geo"]
    return _srid(orjson.dumps(orjson.loads(about)["columns"]["geometry"]["crs"]))


@lru_cache(maxsize=16)
def _srid(projjson: bytes) -> bytes:
    return struct.pack("<I", pyproj.CRS.from_json(projjson.decode()).to_epsg())


def _reject(connection: Connection, values: dict[str, Any], rejections: Iterable[Rejection]) -> int:
    query = named("publish")
    connection.execute(query["supersede_rejections"], values)
    rows = [
        {**values, "reason": r.reason, "detail": r.detail, "raw": Jsonb(r.raw, dumps=content_hash.dumps)}
        for r in rejections
    ]
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(query["reject"], rows)
    return len(rows)
