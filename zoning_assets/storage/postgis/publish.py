"""Publish a validated table in one transaction. Earlier states of its rows are kept as versions.

The rows are copied to a staging table and merged: changed rows become versions and are overwritten, new rows are
inserted, missing rows are retired. The transaction holds the lock of the jurisdiction and feed. A process that is
killed has published everything or nothing. The same harvest with the same rules changes nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import shapely
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from zoning_assets.errors import CoverStale, UndoneMeanwhile
from zoning_assets.harvest import Cover
from zoning_assets.model import PARCELS, ZONING, Place
from zoning_assets.storage.postgis import staging
from zoning_assets.storage.postgis.database import Connection
from zoning_assets.storage.postgis.records import hold_records
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named
from zoning_assets.transform.geometry import content_hash
from zoning_assets.transform.geometry.h3_cells import finest_cells, to_int
from zoning_assets.transform.geometry.row_tiles import owners

#: feed -> the suffix of its queries, and the columns of `stage` between key and attributes.
_STAGED = {
    PARCELS: ("parcels", ("zoning_code", "land_use", "address")),
    ZONING: ("districts", ("code", "zone_type", "effective")),
}


@dataclass(frozen=True)
class PublishResult:
    """The numbers of rows of a publish. `batch` None: it was published before, and nothing was changed."""

    batch: int | None
    added: int
    changed: int
    unchanged: int
    retired: int


@dataclass(frozen=True)
class Rejection:
    """A rejected row. `raw`: the row as the portal sent it."""

    reason: str
    detail: str | None
    raw: Mapping[str, Any]


@dataclass(frozen=True)
class Edition:
    """The identity of what is published: a harvest of a feed at a place, validated by some rules.

    `tiles`: all tiles of the tile index. Rows of tiles that are no longer in it are moved to their new owners. `layer`:
    the state of the portal's layer that the tile index describes; in one state no key is in two tiles.
    """

    place: Place
    feed: str
    harvest: str
    rules: str
    tiles: Sequence[str]
    layer: str = ""
    hosts: Sequence[str] = ()  # the hosts of the feed
    fixes: Sequence[str] = ()  # the ids of the rows to which fixes were applied

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of the queries."""
        values = {name: getattr(self, name) for name in ("feed", "harvest", "rules", "tiles", "layer")}
        return {**values, "jurisdiction": self.place.jurisdiction, "tile": self.place.tile}


@contextmanager
def feed_lock(url: str, jurisdiction: str, feed: str) -> Iterator[Connection]:
    """While the block runs, no other process publishes a place of the feed, or has this lock. Yield its connection.

    Raises:
        DatabaseUnavailable, StoreError: see errors.py.
    """
    with session(url) as connection:
        connection.execute(named("publish")["lock"], {"jurisdiction": jurisdiction, "feed": feed})
        yield connection


def newest_batch(url: str, jurisdiction: str, feed: str) -> int:
    """The newest batch of a feed; 0: there is none.

    Raises:
        DatabaseUnavailable, StoreError: see errors.py.
    """
    with session(url) as connection:
        row = connection.execute(named("publish")["newest_batch"], {"jurisdiction": jurisdiction, "feed": feed})
        return int((row.fetchone() or (0,))[0])


def is_mixed(connection: Connection, cover: Cover, since: int, older: Collection[str]) -> bool:
    """Whether the feed was rolled back after the batch `since`, or rows of another harvest than that of the cover were
    published. `older`: tiles ("": the whole jurisdiction) that do not count."""
    values = {"jurisdiction": cover.jurisdiction, "feed": cover.feed, "layer": cover.harvest, "since": since}
    row = connection.execute(named("publish")["other_batch"], {**values, "older": list(older)}).fetchone()
    return row == (True,)


def find_published(url: str, edition: Edition) -> PublishResult | None:
    """The result for an edition that is published already; None: it has to be published.

    Raises:
        DatabaseUnavailable, StoreError: see publish.
    """
    with session(url) as connection:
        return _find_published(connection, edition.values)


def _find_published(connection: Connection, values: Mapping[str, Any]) -> PublishResult | None:
    last, intact = _last(connection, values)
    return last if intact and not _obsolete_tiles(connection, values) else None


def publish(
    url: str,
    edition: Edition,
    parts: Iterable[pa.Table],
    rejections: Iterable[Rejection],
    last_rollback: int | None = None,
) -> PublishResult:
    """Publish a validated table in one transaction. Rows of the place that are missing in the table are retired.

    Args:
        url: the database.
        edition: the identity of the table.
        parts: validated rows as GeoParquet tables, geometry in the target CRS (axis order x, y); each is read once.
        rejections: the rejected rows.
        last_rollback: the newest rollback of the feed at the time of validation, see `newest_rollback`; None: not
            checked.

    Raises:
        UndoneMeanwhile: there was a rollback since.
        CoverStale: a key is in several rows that were not known to belong together.
        Held: the jurisdiction or a host is paused; nothing was published.
        DatabaseUnavailable: the database does not answer.
        StoreError: a statement failed; nothing was published.
    """
    with session(url) as connection:
        connection.prepare_threshold = None  # the temporary table `stage` is created anew in each transaction
        found = _find_published(connection, edition.values)
        return found or _publish(connection, edition, parts, rejections, last_rollback)


def newest_rollback(connection: Connection, values: Mapping[str, Any]) -> int:
    """The batch of the newest rollback of a feed; 0: there is none. `values`: `jurisdiction`, `feed`."""
    row = connection.execute(named("publish")["newest_rollback"], values).fetchone()
    return int(row[0]) if row else 0


def _publish(
    connection: Connection,
    edition: Edition,
    parts: Iterable[pa.Table],
    rejections: Iterable[Rejection],
    last_rollback: int | None,
) -> PublishResult:
    query, values = named("publish"), edition.values
    kind, columns = _STAGED[values["feed"]]
    connection.execute(query[f"stage_{kind}"])
    staged = staging.copy_rows(connection, columns, parts)
    connection.execute(query["lock"], values)
    if last_rollback is not None and newest_rollback(connection, values) != last_rollback:
        where = f"{edition.place} {edition.feed}"
        raise UndoneMeanwhile("it was rolled back meanwhile; nothing was published", where=where, do="run it again")
    moved = _take_obsolete_rows(connection, values)
    last, intact = _last(connection, values)
    if last and intact and not moved:
        return last
    row = connection.execute(query["open_batch"], values).fetchone()
    values = {**values, "batch": row[0], "now": row[1]} if row else values
    if not moved and _inserted(connection, values):
        merged, changed, retired = staged, 0, 0
    else:
        merged, changed, retired = _merge(connection, values, kind, is_known=last is not None)
    rejected = _reject(connection, values, rejections)
    if edition.fixes:
        connection.execute(query["mark_fixes_used"], {**values, "fixes": list(edition.fixes)})
    published = PublishResult(values["batch"], merged - changed, changed, staged - merged, retired)
    counts = {
        "added": published.added,
        "changed": changed,
        "unchanged": published.unchanged,
        "retired": retired,
        "rejected": rejected,
        "layer": values["layer"],
    }
    connection.execute(query["close_batch"], {"counts": Jsonb(counts), "batch": values["batch"]})
    hold_records.check(connection, edition.place.jurisdiction, edition.hosts)
    return published


def _inserted(connection: Connection, values: Mapping[str, Any]) -> bool:
    """Insert all staged parcels into a tile that was never published. False: not done, also if a key exists already."""
    query = named("publish")
    if values["feed"] != PARCELS or connection.execute(query["was_published"], values).fetchone() != (False,):
        return False
    with suppress(UniqueViolation), connection.transaction():
        connection.execute(query["insert_parcels"], values)
        return True
    return False


def _merge(connection: Connection, values: Mapping[str, Any], kind: str, *, is_known: bool) -> tuple[int, int, int]:
    """Merge the staged rows; return the numbers of merged rows, of changed ones among them, and of retired rows.

    `is_known`: the last batch of the place published the same edition.
    """
    query = named("publish")
    # The planner needs the number of rows; statistics of geometry would take longer.
    connection.execute("ANALYZE stage (key)")
    _refuse_key(
        connection.execute(query["repeated_key"]).fetchone(),
        values,
        "is in several rows, but the harvest lists it as unique",
    )
    if is_known:  # the rows did not change, so another tile has taken some of them: it has, or had, the same keys
        other = connection.execute(query["key_in_other_tile"], values).fetchone()
        _refuse_key(other, values, "is also in another tile")
    merged, changed, *shared = connection.execute(query[f"merge_{kind}"], values).fetchone() or (0, 0, None)
    _refuse_key(shared, values, "is also in another tile")
    return merged, changed, connection.execute(query[f"retire_{kind}"], values).rowcount


def _obsolete_tiles(connection: Connection, values: Mapping[str, Any]) -> list[str]:
    if values["tile"] is None:
        return []
    return [tile for (tile,) in connection.execute(named("publish")["obsolete_tiles"], values)]


def _take_obsolete_rows(connection: Connection, values: Mapping[str, Any]) -> int:
    """Move rows of obsolete tiles that this tile owns now to this tile; return their number."""
    obsolete = _obsolete_tiles(connection, values)
    if not obsolete:
        return 0
    rows = connection.execute(named("publish")["rows_of_obsolete_tiles"], {**values, "obsolete": obsolete}).fetchall()
    points = shapely.get_coordinates(shapely.from_wkb([wkb for _, wkb in rows]))
    mine = owners(finest_cells(points), values["tiles"]) == to_int(values["tile"])
    keys = [key for (key, _), is_mine in zip(rows, mine, strict=True) if is_mine]
    return connection.execute(named("publish")["move_to_tile"], {**values, "keys": keys}).rowcount


def last_edition(connection: Connection, values: Mapping[str, Any]) -> tuple[str, str] | None:
    """The harvest and the rules of the newest batch of a place; None: it has none. `values`: `jurisdiction`, `feed`,
    `tile`."""
    row = connection.execute(named("publish")["last_batch"], values).fetchone()
    return (row[0], row[1]) if row else None


def _last(connection: Connection, values: Mapping[str, Any]) -> tuple[PublishResult | None, bool]:
    """The result of this edition if it was published last, else None; and whether the place still has all its rows."""
    row = connection.execute(named("publish")["last_batch"], values).fetchone()
    if row is None or row[:2] != (values["harvest"], values["rules"]):
        return None, False
    counts = row[2]
    return PublishResult(None, 0, 0, counts["added"] + counts["changed"] + counts["unchanged"], 0), row[3]


def _refuse_key(found: Sequence[Any] | None, values: Mapping[str, Any], what: str) -> None:
    """Raise CoverStale if a key was found."""
    if found and found[0] is not None:
        raise CoverStale(
            f"the key {found[0]!r} {what}",
            where=f"{values['jurisdiction']} tile {values['tile']} {values['feed']}",
            do="materialize `tiles` again",
            key=found[0],
        )


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
