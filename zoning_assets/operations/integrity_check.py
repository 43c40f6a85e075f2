"""Check the integrity of the stored data without requests to a portal: the audit chain, the pages and the tables.

`verify` is the command `zoning verify`. Rows of the audit are checked by storage/postgis/records/audit_records.py.
The newest batch of each partition names its harvest. The SHA-256 of each page of the harvest must equal the page's
name, and the rows in the database must equal the rows of the validated table.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from zoning_assets.errors import ZoningError
from zoning_assets.harvest import Harvest, Page
from zoning_assets.model import PARCELS, PARCELS_JOIN, VALIDATED, Place
from zoning_assets.pipeline import map_layers
from zoning_assets.storage.object_store import joined_tables, raw_harvests
from zoning_assets.storage.object_store.geoparquet_tables import StageTable
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.database import Connection
from zoning_assets.storage.postgis.records import audit_records
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named
from zoning_assets.transform import joined_columns

#: Number of keys in a message.
_MOST_KEYS = 3


@dataclass(frozen=True)
class IntegrityReport:
    """Number of partitions (`places`), pages and rows that were checked, and the faults, one line each."""

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


def verify(url: str, objects: Objects) -> IntegrityReport:
    """Check the audit chain, and the newest batch of each partition.

    Args:
        url: address of the database.
        objects: the object store.

    Raises:
        DatabaseUnavailable: no database answers.
    """
    faults = [
        f"audit row {number} was changed, or a row before it is missing"
        for number in audit_records.broken_audit_rows(url)
    ]
    pages = rows = places = 0
    jurisdictions, checked = set[str](), _Pages(objects)
    with session(url) as connection:
        for row in connection.execute(named("integrity_check")["newest"]).fetchall():
            batch, places = _Batch(*row), places + 1
            try:
                harvest = raw_harvests.of(objects, Place(batch.jurisdiction, batch.tile), batch.feed, batch.harvest)
                pages += len(harvest.pages)
                faults += checked.faults(harvest, batch.where)
                faults += _layer_faults(objects, checked, harvest)
                expected, found = _expected_rows(objects, batch), _found_rows(connection, batch)
                rows += len(found)
                faults += _row_faults(expected, found, batch.where)
            except ZoningError as error:
                faults.append(str(error))
            jurisdictions.add(batch.jurisdiction)
    for jurisdiction in sorted(jurisdictions):
        try:
            faults += _table_faults(objects, checked, jurisdiction)
        except ZoningError as error:
            faults.append(str(error))
    return IntegrityReport(places, pages, rows, tuple(faults))


@dataclass(frozen=True)
class _Pages:
    """Checks pages. The tiles of a layer share its pages, and each page is read once."""

    objects: Objects
    _fault: dict[str, str | None] = field(default_factory=dict)  # by the name of the object

    def faults(self, harvest: Harvest, where: str) -> Iterator[str]:
        """Yield the pages that are missing, or whose content changed."""
        for page in harvest.pages:
            name = raw_harvests.name_of_page(harvest, page)
            if name not in self._fault:
                self._fault[name] = self._check(name, page)
            if self._fault[name]:
                yield f"{where}: page {page.name[:12]} {self._fault[name]}"

    def _check(self, name: str, page: Page) -> str | None:
        try:
            found = hashlib.sha256(raw_harvests.read_packed(self.objects, name)).hexdigest()
        except (ZoningError, ValueError, raw_harvests.BrokenPage):
            return "is missing, or cannot be read"
        return None if found == page.name else "has changed"


def _layer_faults(objects: Objects, checked: _Pages, harvest: Harvest) -> Iterator[str]:
    """Yield the faults of the raw pages of a map with overlays, whose own pages are made from them."""
    for feed, id_ in map_layers.layer_harvests(harvest.proof):
        layer = raw_harvests.of(objects, Place(harvest.jurisdiction), feed, id_)
        yield from checked.faults(layer, f"{harvest.jurisdiction} {feed}")


def _table_faults(objects: Objects, checked: _Pages, jurisdiction: str) -> Iterator[str]:
    """Yield the faults of the newest harvest of the table that is joined to the parcels, if there is one."""
    table = joined_tables.find(objects, jurisdiction, PARCELS_JOIN)
    if table is None:
        return
    where = f"{jurisdiction} {PARCELS_JOIN}"
    yield from checked.faults(raw_harvests.of(objects, Place(jurisdiction), PARCELS_JOIN, table.harvest), where)
    if (
        joined_columns.content_id(joined_tables.get_keyed(objects, jurisdiction, PARCELS_JOIN, table.table))
        != table.table
    ):
        yield f"{where}: the keyed table has changed"


def _expected_rows(objects: Objects, batch: _Batch) -> dict[str, str]:
    """Return key -> content hash of the validated table."""
    table = StageTable(VALIDATED, batch.jurisdiction, batch.feed, batch.tile, batch.harvest, batch.rules)
    return {
        key: content
        for part in table.parts(objects)
        for key, content in zip(part["key"].to_pylist(), part["content_hash"].to_pylist(), strict=True)
    }


def _found_rows(connection: Connection, batch: _Batch) -> dict[str, str]:
    """Return key -> content hash of the rows in the database."""
    query = named("integrity_check")["parcels" if batch.feed == PARCELS else "districts"]
    return dict(connection.execute(query, {"jurisdiction": batch.jurisdiction, "tile": batch.tile}).fetchall())


def _row_faults(expected: dict[str, str], found: dict[str, str], where: str) -> Iterator[str]:
    """Yield how the two differ, with some keys."""
    both = expected.keys() & found.keys()
    differences = {
        "missing in the database": expected.keys() - found.keys(),
        "in the database but not in the harvest": found.keys() - expected.keys(),
        "different from the harvest": {key for key in both if expected[key] != found[key]},
    }
    for what, keys in differences.items():
        if keys:
            yield f"{where}: {len(keys)} rows are {what}: {', '.join(sorted(keys)[:_MOST_KEYS])}"
