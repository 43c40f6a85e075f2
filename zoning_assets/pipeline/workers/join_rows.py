"""Worker tasks of a joined table: read its pages, and add its columns to rows of the layer."""

from functools import lru_cache

import pandas as pd
import pyarrow as pa

from zoning_assets.errors import JurisdictionInvalid
from zoning_assets.harvest import Harvest, Page
from zoning_assets.model import Feed
from zoning_assets.pipeline.workers.work_item import WorkItem
from zoning_assets.storage.object_store import joined_tables, raw_harvests
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform import joined_columns
from zoning_assets.transform.column_names import with_column_names
from zoning_assets.transform.decode import page_readers


def read_page(objects: Objects, harvest: Harvest, feed: Feed, page: Page) -> pa.Table:
    """The keys and values of a page of the table, see joined_columns.SCHEMA."""
    rows = page_readers.READERS[harvest.form](raw_harvests.read_page(objects, harvest, page), harvest.layer)
    rows = with_column_names(rows, [name for name in (feed.key, *feed.fields.values()) if name])
    return joined_columns.page_rows(rows, feed, harvest.layer)


def with_joined(item: WorkItem, rows: pa.Table) -> pa.Table:
    """Rows of a normalized table with the columns of the item's table.

    Raises:
        HarvestMissing: the table is not stored.
        JurisdictionInvalid: the layer has a column with the name of a joined one.
    """
    join = item.feed.join
    if not item.join or join is None:
        return rows
    table = _keyed(item.objects.url, item.place.jurisdiction, join.name, item.join)
    try:
        return joined_columns.add_columns(rows, table, sorted(join.fields))
    except joined_columns.ColumnTakenError as error:
        raise JurisdictionInvalid(
            f"feeds.{item.feed.name}.join.columns.{error}: the layer has a column of this name",
            where=item.jurisdiction.file,
            do="give the joined column another name",
        ) from error


def with_joined_frame(item: WorkItem, frame: pd.DataFrame) -> pd.DataFrame:
    """The same for a normalized frame."""
    if not item.join or frame.empty:
        return frame
    names = ["key", "attributes", *joined_columns.COLUMNS]
    rows = with_joined(item, pa.table({name: pa.array(frame[name].tolist(), pa.string()) for name in names}))
    joined = {name: pd.Series(rows.column(name).to_pylist(), index=frame.index, dtype=object) for name in names}
    return frame.assign(**joined)


@lru_cache(maxsize=2)
def _keyed(store: str, jurisdiction: str, feed: str, id_: str) -> pa.Table:
    """A keyed table; a worker joins many parts of a layer to it."""
    return joined_tables.get_keyed(Objects(store), jurisdiction, feed, id_)
