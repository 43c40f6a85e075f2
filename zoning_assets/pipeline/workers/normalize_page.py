"""Normalize a page of a layer, and index its rows.

This runs in a worker process while other pages are fetched. Only the index is sent to the main process.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from zoning_assets.errors import HarvestMissing
from zoning_assets.harvest import Page
from zoning_assets.pipeline.workers.work_item import WorkItem, decode_rows, normalize_rows
from zoning_assets.storage.object_store.geoparquet_tables import index_of
from zoning_assets.transform import normalize
from zoning_assets.transform.column_names import find_column
from zoning_assets.transform.decode.rows import Rows
from zoning_assets.transform.geometry import content_hash, crs, h3_cells, row_tiles
from zoning_assets.transform.geometry.row_tiles import LayerRows

#: If a page has at least so many rows with a location and most lie outside the bounds, the CRS is wrong. Smaller pages
#: are checked together, by the whole layer.
_ENOUGH_LOCATED = 200
#: Rows of a page from which the columns of the layer are taken.
_ROWS_FOR_COLUMNS = 20


@dataclass(frozen=True)
class PageRead:
    """A normalized page.

    Attributes:
        rows: the index of its rows.
        placed: how many rows have a location.
        outside: how many of these lie outside the bounds of the jurisdiction.
    """

    rows: LayerRows
    placed: int
    outside: int


def normalize_page(item: WorkItem, page: Page) -> PageRead:
    """Normalize a page and store the result, unless it is stored already.

    Raises:
        CrsRefused: most rows lie outside the bounds of the jurisdiction.
    """
    table = item.pages.find(item.objects, page.name)
    if table is not None:
        points = np.column_stack([table.column(name).to_numpy() for name in ("lon", "lat")])
        return _page_read(item, index_of(table), points)
    rows = decode_rows(item, page)
    frame = normalize_rows(item, page, rows, fewest_points=_ENOUGH_LOCATED)
    points = frame[["lon", "lat"]].to_numpy()
    index = LayerRows(
        page=np.zeros(len(frame), dtype=np.uint64),
        row=np.arange(len(frame), dtype=np.uint64),
        cell=h3_cells.finest_cells(np.nan_to_num(points, nan=h3_cells.OFF_GLOBE)),
        key=row_tiles.key_hashes(frame["key"].tolist()),
        content=_content_hashes(item, frame),
        id=_object_ids(item, rows),
    )
    fields = frozenset(name for row in rows.attributes[:_ROWS_FOR_COLUMNS] for name in row)
    item.pages.write(item.objects, page.name, frame, index, item.jurisdiction.target_crs, fields)
    return _page_read(item, index, points)


def _page_read(item: WorkItem, index: LayerRows, points: npt.NDArray[np.float64]) -> PageRead:
    placed = points[~np.isnan(points).any(axis=1)]
    return PageRead(index, len(placed), int(np.count_nonzero(crs.outside(placed, item.jurisdiction.bounds))))


def check_bounds(item: WorkItem, page: Page) -> None:
    """Raise CrsRefused if most rows of a page lie outside the bounds of the jurisdiction, whatever the number of
    rows."""
    normalize_rows(item, page, decode_rows(item, page))


def _content_hashes(item: WorkItem, frame: pd.DataFrame) -> row_tiles.Numbers:
    """A hash of each normalized row."""
    texts = [frame[name].tolist() for name in ("key", *normalize.COLUMNS[item.feed.name], "attributes", "flaw")]
    hashes = content_hash.content_hashes(texts, frame["geometry"].to_numpy())
    return np.array([int(each[:16], 16) for each in hashes], dtype=np.uint64)


def _object_ids(item: WorkItem, rows: Rows) -> row_tiles.Numbers:
    """The object id of each row; zeros if a row has none."""
    wanted = item.harvest.layer.get("id")
    name = find_column(wanted, rows.attributes[0]) if wanted and rows.attributes else None
    found = [row.get(name) for row in rows.attributes] if name else []
    if not found or not all(type(each) is int and -(1 << 63) <= each < 1 << 63 for each in found):
        return np.zeros(len(rows), dtype=np.uint64)
    return np.array(found, dtype=np.int64).view(np.uint64)


def normalized_page(item: WorkItem, page: Page) -> pa.Table:
    """The stored result of `normalize_page`; if it is missing, the page is normalized again."""
    table = item.pages.find(item.objects, page.name)
    if table is None:
        normalize_page(item, page)
        table = item.pages.find(item.objects, page.name)
    if table is None:
        raise HarvestMissing("a normalized page is missing", where=page.name[:12], do="run again")
    return table


def keys_at(item: WorkItem, page: Page, rows: Sequence[int]) -> list[str | None]:
    """The natural keys of rows of a normalized page, by their indexes."""
    found: list[str | None] = normalized_page(item, page).column("key").take(pa.array(rows)).to_pylist()
    return found
