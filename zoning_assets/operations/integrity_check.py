"""Holding everything against everything, without asking a portal: the audit, the pages, and the tables.

Each newest batch names its harvest. The harvest's pages must be the bytes that their names say, and the rows in the
database must be those of the validated table that was made of them.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from zoning_assets.errors import ZoningError
from zoning_assets.harvest import Harvest
from zoning_assets.model import PARCELS, VALIDATED, Place
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.geoparquet_tables import StageTable
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.database import Connection, connect
from zoning_assets.storage.postgis.records import hold_records
from zoning_assets.storage.postgis.sql_queries import named

_SHOWN = 3


@dataclass(frozen=True)
class Verified:
    """How much was looked at, and what is wrong."""

    places: int
    pages: int
    rows: int
    faults: tuple[str, ...]


@dataclass(frozen=True)
class _Batch:
    jurisdiction: str
    feed: str
    tile: str | None
    harvest: str
    rules: str
    id: int

    @property
    def where(self) -> str:
        return f"{Place(self.jurisdiction, self.tile)} {self.feed}"


def verify(url: str, objects: Objects) -> Verified:
    """Look at everything.

    Raises:
        DatabaseUnavailable: nobody answers.
    """
    faults = [
        f"audit row {number} is not what it was, or one before it is missing"
        for number in hold_records.broken_audit_rows(url)
    ]
    pages = rows = places = 0
    with connect(url) as connection:
        for row in connection.execute(named("integrity_check")["newest"]).fetchall():
            batch, places = _Batch(*row), places + 1
            try:
                harvest = raw_harvests.of(objects, Place(batch.jurisdiction, batch.tile), batch.feed, batch.harvest)
                pages += len(harvest.pages)
                faults += _pages(objects, harvest, batch.where)
                wanted, found = _wanted(objects, batch), _found(connection, batch)
                rows += len(found)
                faults += _rows(wanted, found, batch.where)
            except ZoningError as error:
                faults.append(str(error))
    return Verified(places, pages, rows, tuple(faults))


def _pages(objects: Objects, harvest: Harvest, where: str) -> Iterator[str]:
    """Pages whose bytes are not those that came."""
    for page in harvest.pages:
        try:
            name = hashlib.sha256(raw_harvests.read_page(objects, harvest, page)).hexdigest()
        except (ZoningError, ValueError, raw_harvests.BrokenPage):
            yield f"{where}: page {page.name[:12]} is missing, or cannot be read"
            continue
        if name != page.name:
            yield f"{where}: page {page.name[:12]} has other bytes than came"


def _wanted(objects: Objects, batch: _Batch) -> dict[str, str]:
    """Key -> content hash, of the validated table."""
    table = StageTable(VALIDATED, batch.jurisdiction, batch.feed, batch.tile, batch.harvest, batch.rules)
    return {
        key: content
        for part in table.parts(objects)
        for key, content in zip(part["key"].to_pylist(), part["content_hash"].to_pylist(), strict=True)
    }


def _found(connection: Connection, batch: _Batch) -> dict[str, str]:
    """The same of the database."""
    query = named("integrity_check")["parcels" if batch.feed == PARCELS else "districts"]
    return dict(connection.execute(query, {"jurisdiction": batch.jurisdiction, "tile": batch.tile}).fetchall())


def _rows(wanted: dict[str, str], found: dict[str, str], where: str) -> Iterator[str]:
    """How the two differ, with some keys."""
    both = wanted.keys() & found.keys()
    ways = {
        "missing in the database": wanted.keys() - found.keys(),
        "in the database, and in no harvest": found.keys() - wanted.keys(),
        "other than harvested": {key for key in both if wanted[key] != found[key]},
    }
    for what, keys in ways.items():
        if keys:
            yield f"{where}: {len(keys)} rows are {what}: {', '.join(sorted(keys)[:_SHOWN])}"
