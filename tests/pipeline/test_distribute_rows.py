"""The worker that distributes the rows of pages to tiles."""

from pathlib import Path

import pyarrow as pa

from tests.support import town
from zoning_assets.harvest import Harvest, Page
from zoning_assets.model import NORMALIZED, PARCELS
from zoning_assets.pipeline.workers import distribute_rows
from zoning_assets.pipeline.workers.work_item import WorkItem
from zoning_assets.storage.object_store.object_store import Objects

TILES, ROWS, BYTES_A_ROW = 30, 1000, 2100


def test_rows_in_memory_are_limited_by_their_size_and_all_are_written(tmp_path: Path) -> None:
    """Rows with 128 columns are six times as large as others: two workers needed 430 MB more for them."""
    items = [item_of(tmp_path, f"tile{number:02d}") for number in range(TILES)]
    parts, before, most = distribute_rows._Parts(items), pa.total_allocated_bytes(), 0
    rows = pa.table({"attributes": ["x" * BYTES_A_ROW] * ROWS, "geometry": pa.nulls(ROWS, pa.binary())})
    for item in items:
        parts.add((item.harvest.tile, False), rows.take(pa.array(range(ROWS))))
        most = max(most, pa.total_allocated_bytes() - before)
    parts.finish([])
    assert most < 40 << 20, "all rows have 63 MB"
    assert [stored_rows(item) for item in items] == [ROWS] * TILES


def item_of(folder: Path, tile: str) -> WorkItem:
    place = town.town(folder)
    harvest = Harvest(place.id, PARCELS, tile, "geojson", {}, (Page("page", ROWS, 0),), {})
    return WorkItem(Objects(str(folder / "store")), place, place.feeds[PARCELS], harvest)


def stored_rows(item: WorkItem) -> int:
    table = item.table(NORMALIZED)
    return sum(len(table.read(item.objects, number)) for number in table.summary(item.objects)["numbers"])
