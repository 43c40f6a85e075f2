"""Normalized and validated tables: GeoParquet parts, and a summary that commits them as a table.

normalized/JURISDICTION/FEED/pages/RULES/PAGE.arrow        one page of the harvest of a layer, before the cut into tiles
STAGE/JURISDICTION/FEED/TILE/HARVEST-RULES/00000.parquet
STAGE/JURISDICTION/FEED/TILE/HARVEST-RULES/rejections.parquet
STAGE/JURISDICTION/FEED/TILE/HARVEST-RULES/table.json      the summary; without it the parts are ignored
"""

import io
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import shapely

from zoning_assets.errors import HarvestMissing
from zoning_assets.model import NORMALIZED
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.transform.geometry.row_tiles import LayerRows


@dataclass(frozen=True)
class StageTable:
    """The table of a stage (normalized or validated) of a harvest under a set of rules; immutable after `commit`."""

    stage: str
    jurisdiction: str
    feed: str
    tile: str | None
    harvest: str
    rules: str

    @property
    def folder(self) -> str:
        """The folder of its parts in the store."""
        return "/".join(
            (self.stage, self.jurisdiction, self.feed, self.tile or "whole", f"{self.harvest}-{self.rules}")
        )

    def write(self, objects: Objects, part: int, frame: pd.DataFrame, crs: str) -> None:
        """Write one part. `crs`: of its geometry, such as EPSG:4326."""
        buffer = io.BytesIO()
        # Columns are read completely and most values are distinct, so statistics and dictionaries gain nothing.
        pq.write_table(_table(frame, crs), buffer, compression="zstd", use_dictionary=False, write_statistics=False)
        objects.put(self._part(part), buffer.getvalue())

    def write_rows(self, objects: Objects, part: int, rows: pa.Table) -> None:
        """Write one part from rows of a PageTables table."""
        buffer = io.BytesIO()
        pq.write_table(rows, buffer, compression="zstd", use_dictionary=False, write_statistics=False)
        objects.put(self._part(part), buffer.getvalue())

    def read(self, objects: Objects, part: int) -> pd.DataFrame:
        """Read one part."""
        return _frame(_read(objects.get(self._part(part))))

    def parts(self, objects: Objects) -> Iterator[pa.Table]:
        """Read the parts one after another, so that only one is in memory."""
        for part in range(int(self.summary(objects)["parts"])):
            yield _read(objects.get(self._part(part)))

    def finish(
        self, objects: Objects, parts: int, summary: Mapping[str, Any], rejections: pd.DataFrame, picture: bytes
    ) -> None:
        """Commit a validated table together with its rejected rows and its preview image (PNG)."""
        buffer = io.BytesIO()
        rejections.to_parquet(buffer, compression="zstd", index=False)
        objects.put(f"{self.folder}/rejections.parquet", buffer.getvalue())
        objects.put(f"{self.folder}/picture.png", picture)
        self.commit(objects, parts, summary)

    def rejections(self, objects: Objects) -> pd.DataFrame:
        """Read the rejected rows."""
        return pd.read_parquet(io.BytesIO(objects.get_immutable(f"{self.folder}/rejections.parquet")))

    def picture(self, objects: Objects) -> bytes:
        """Read the preview image (PNG)."""
        return objects.get(f"{self.folder}/picture.png")

    def commit(self, objects: Objects, parts: int, summary: Mapping[str, Any]) -> None:
        """Commit the table: write its summary."""
        objects.put_json(f"{self.folder}/table.json", {**summary, "parts": parts})

    def find_summary(self, objects: Objects) -> dict[str, Any] | None:
        """The summary; None: the table is not committed."""
        try:
            return self.summary(objects)
        except HarvestMissing:
            return None

    def summary(self, objects: Objects) -> dict[str, Any]:
        """The summary that was given to `commit`.

        Raises:
            HarvestMissing: the table is not committed.
        """
        found: dict[str, Any] = orjson.loads(objects.get_immutable(f"{self.folder}/table.json"))
        return found

    def _part(self, part: int) -> str:
        return f"{self.folder}/{part:05d}.parquet"


#: The columns of PageTables besides the normalized ones; see row_tiles.LayerRows.
_INDEX = ("cell", "key_hash", "content", "object_id")


@dataclass(frozen=True)
class PageTables:
    """The normalized pages of a layer by page name. They are kept until the next harvest of the layer."""

    jurisdiction: str
    feed: str
    rules: str

    @property
    def folder(self) -> str:
        """Their folder in the store."""
        return f"{NORMALIZED}/{self.jurisdiction}/{self.feed}/pages/{self.rules}"

    def write(  # noqa: PLR0913 - rows, their index, and metadata
        self, objects: Objects, page: str, frame: pd.DataFrame, rows: LayerRows, crs: str, fields: Collection[str]
    ) -> None:
        """Write a page.

        Args:
            objects: the store.
            page: its name.
            frame: the normalized rows (normalize.py), with the column `page`.
            rows: the index of the same rows.
            crs: of the geometry, such as EPSG:4326.
            fields: the names of the columns of the layer.
        """
        table = _without_null_types(_table(frame, crs))
        table = table.replace_schema_metadata({**table.schema.metadata, b"fields": orjson.dumps(sorted(fields))})
        for name, values in zip(_INDEX, (rows.cell, rows.key, rows.content, rows.id), strict=True):
            table = table.append_column(name, pa.array(values, pa.uint64()))
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(sink, table.schema, options=options) as writer:
            writer.write_table(table)
        objects.put(self._name(page), bytes(sink.getvalue()))

    def find(self, objects: Objects, page: str) -> pa.Table | None:
        """The table of a page with its index; None: it is not stored."""
        try:
            body = objects.get(self._name(page))
        except HarvestMissing:
            return None
        return pa.ipc.open_file(body).read_all()

    def find_column(self, objects: Objects, page: str, column: str) -> pa.ChunkedArray | None:
        """One column of the table of a page; the others are not decompressed. None: the page is not stored."""
        try:
            body = objects.get(self._name(page))
        except HarvestMissing:
            return None
        number = pa.ipc.open_file(body).schema.get_field_index(column)
        options = pa.ipc.IpcReadOptions(included_fields=[number])
        return pa.ipc.open_file(body, options=options).read_all().column(column)

    def stored(self, objects: Objects) -> set[str]:
        """The names of the pages whose tables are stored."""
        return {PurePosixPath(name).stem for name in objects.names(self.folder)}

    def _name(self, page: str) -> str:
        return f"{self.folder}/{page}.arrow"


def _without_null_types(table: pa.Table) -> pa.Table:
    """The table with text columns in place of columns that are null in all rows, so that pages can be concatenated."""
    texts = [field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in table.schema]
    return table.cast(pa.schema(texts, table.schema.metadata))


def keep_pages(objects: Objects, jurisdiction: str, feed: str, pages: Collection[str]) -> None:
    """Delete the normalized tables of all pages of a feed that are not in `pages`."""
    names = objects.names(f"{NORMALIZED}/{jurisdiction}/{feed}/pages")
    objects.delete([name for name in names if PurePosixPath(name).stem not in pages])


def index_of(table: pa.Table) -> LayerRows:
    """The index columns of the table of a page."""
    nothing = np.zeros(len(table), dtype=np.uint64)
    row = table.column("row").to_numpy().astype(np.uint64)
    return LayerRows(nothing, row, *(table.column(name).to_numpy() for name in _INDEX))


def without_index(table: pa.Table) -> pa.Table:
    """The table of a page without its index columns."""
    return table.drop_columns(list(_INDEX))


def _table(frame: pd.DataFrame, crs: str) -> pa.Table:
    """A GeoParquet table (geoparquet.org, 1.0.0) of a frame with a column `geometry`.

    Unlike GeoDataFrame.to_parquet it does not encode the CRS again for each part, and does not convert text.
    """
    columns = frame.drop(columns="geometry").items()
    arrays = {str(name): pa.array(column.to_numpy(), from_pandas=True) for name, column in columns}
    wkbs = shapely.to_wkb(frame["geometry"].to_numpy(), byte_order=1, flavor="iso")
    arrays["geometry"] = pa.array(wkbs, pa.binary())
    return pa.table(arrays).replace_schema_metadata({b"geo": _geo_metadata(crs)})


@lru_cache(maxsize=16)
def _geo_metadata(crs: str) -> bytes:
    """The value of the GeoParquet metadata key `geo`."""
    about = {"encoding": "WKB", "crs": pyproj.CRS.from_user_input(crs).to_json_dict(), "geometry_types": []}
    return orjson.dumps({"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": about}})


def _read(body: bytes) -> pa.Table:
    """Read a Parquet file. pq.read_table takes twice as long, because it first looks for a folder."""
    with pq.ParquetFile(pa.BufferReader(body)) as file:
        return file.read(use_threads=False)


def _frame(table: pa.Table) -> pd.DataFrame:
    """The frame that was given to `write`; text columns have the type object."""
    columns = {
        name: pd.Series(table.column(name).to_numpy(zero_copy_only=False), dtype=_dtype(table.schema.field(name)))
        for name in table.column_names
        if name != "geometry"
    }
    shapes = shapely.from_wkb(table.column("geometry").to_numpy(zero_copy_only=False))
    return pd.DataFrame({**columns, "geometry": pd.Series(shapes, dtype=object)})


def _dtype(field: pa.Field) -> type | None:
    return object if pa.types.is_string(field.type) or pa.types.is_null(field.type) else None
