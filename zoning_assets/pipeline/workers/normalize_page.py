"""A page of a layer to its normalized table, with the index of its rows.

A worker process does it while other pages are fetched; only the index crosses the border between processes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from zoning_assets.errors import HarvestMissing
from zoning_assets.harvest import Page
from zoning_assets.pipeline.workers.work_item import Work, normalized, read
from zoning_assets.storage.object_store.geoparquet_tables import index_of
from zoning_assets.transform import normalize
from zoning_assets.transform.column_names import find_column
from zoning_assets.transform.decode.rows import Rows
from zoning_assets.transform.geometry import content_hash, crs, h3_tiles, tile_ownership
from zoning_assets.transform.geometry.tile_ownership import LayerRows

#: Rows with a place of which most lie elsewhere: the CRS is wrong. Of fewer the whole layer tells.
_ENOUGH_PLACED = 200
#: Rows of a page that are looked at for the layer's columns.
_FEW = 20


@dataclass(frozen=True)
class PageRead:
    """What came of one page of a layer: the index of its rows; how many have a place, and how many of these lie outside
    the jurisdiction's bounds."""

    rows: LayerRows
    placed: int
    outside: int


def normalize_page(work: Work, page: Page) -> PageRead:
    """One raw page to the normalized table of its layer, unless that was done before.

    Raises:
        CrsRefused: the rows do not lie where the jurisdiction is.
    """
    table = work.pages.find(work.objects, page.name)
    if table is not None:
        points = np.column_stack([table.column(name).to_numpy() for name in ("lon", "lat")])
        return _page_read(work, index_of(table), points)
    rows = read(work, page)
    frame = normalized(work, page, rows, enough=_ENOUGH_PLACED)
    points = frame[["lon", "lat"]].to_numpy()
    index = LayerRows(
        page=np.zeros(len(frame), dtype=np.uint64),
        row=np.arange(len(frame), dtype=np.uint64),
        cell=h3_tiles.finest_cells(np.nan_to_num(points, nan=h3_tiles.OFF_GLOBE)),
        key=tile_ownership.key_hashes(frame["key"].tolist()),
        content=_contents(work, frame),
        id=_object_ids(work, rows),
    )
    fields = frozenset(name for row in rows.attributes[:_FEW] for name in row)
    work.pages.write(work.objects, page.name, frame, index, work.jurisdiction.target_crs, fields)
    return _page_read(work, index, points)


def _page_read(work: Work, index: LayerRows, points: npt.NDArray[np.float64]) -> PageRead:
    placed = points[~np.isnan(points).any(axis=1)]
    return PageRead(index, len(placed), int(np.count_nonzero(crs.outside(placed, work.jurisdiction.bounds))))


def check_place(work: Work, page: Page) -> None:
    """Raise CrsRefused where most rows of a page, however few, lie outside the jurisdiction's bounds."""
    normalized(work, page, read(work, page))


def _contents(work: Work, frame: pd.DataFrame) -> tile_ownership.Numbers:
    """A hash of all that each normalized row says."""
    texts = [frame[name].tolist() for name in ("key", *normalize.COLUMNS[work.feed.name], "attributes", "flaw")]
    hashes = content_hash.content_hashes(texts, frame["geometry"].to_numpy())
    return np.array([int(each[:16], 16) for each in hashes], dtype=np.uint64)


def _object_ids(work: Work, rows: Rows) -> tile_ownership.Numbers:
    """The portal's own number of each row; zeros where not every row has one."""
    wanted = work.harvest.layer.get("id")
    name = find_column(wanted, rows.attributes[0]) if wanted and rows.attributes else None
    found = [row.get(name) for row in rows.attributes] if name else []
    if not found or not all(type(each) is int and -(1 << 63) <= each < 1 << 63 for each in found):
        return np.zeros(len(rows), dtype=np.uint64)
    return np.array(found, dtype=np.int64).view(np.uint64)


def normalized_page(work: Work, page: Page) -> pa.Table:
    """A layer's page as `normalize_page` left it; made again where it is gone."""
    table = work.pages.find(work.objects, page.name)
    if table is None:
        normalize_page(work, page)
        table = work.pages.find(work.objects, page.name)
    if table is None:
        raise HarvestMissing("a normalized page is gone", where=page.name[:12], do="run again")
    return table


def keys_at(work: Work, page: Page, rows: Sequence[int]) -> list[str | None]:
    """The natural keys of some rows of a normalized page."""
    found: list[str | None] = normalized_page(work, page).column("key").take(pa.array(rows)).to_pylist()
    return found
