"""Normalized and validated: GeoParquet parts, and a list of the parts that makes them a table.

normalized/JURISDICTION/FEED/pages/RULES/PAGE.arrow        one page of a layer's harvest; its rows go on to their tiles
STAGE/JURISDICTION/FEED/TILE/HARVEST-RULES/00000.parquet
STAGE/JURISDICTION/FEED/TILE/HARVEST-RULES/rejections.parquet
STAGE/JURISDICTION/FEED/TILE/HARVEST-RULES/table.json      without it the parts are no table
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
from zoning_assets.transform.geometry.tile_ownership import LayerRows


@dataclass(frozen=True)
class Table:
    """One stage's table of one harvest under one set of rules. Immutable once `commit` has been called."""

    stage: str
    jurisdiction: str
    feed: str
    tile: str | None
    harvest: str
    rules: str

    @property
    def folder(self) -> str:
        """Where its parts lie in the store."""
        return "/".join(
            (self.stage, self.jurisdiction, self.feed, self.tile or "whole", f"{self.harvest}-{self.rules}")
        )

    def write(self, objects: Objects, part: int, frame: pd.DataFrame, crs: str) -> None:
        """Write one part; `crs`: of its shapes, EPSG:..."""
        buffer = io.BytesIO()
        # No column is read by ranges or by its values, and most values are their own: neither pays for its making.
        pq.write_table(_table(frame, crs), buffer, compression="zstd", use_dictionary=False, write_statistics=False)
        objects.put(self._part(part), buffer.getvalue())

    def write_rows(self, objects: Objects, part: int, rows: pa.Table) -> None:
        """Write one part of rows that PageTables keeps."""
        buffer = io.BytesIO()
        pq.write_table(rows, buffer, compression="zstd", use_dictionary=False, write_statistics=False)
        objects.put(self._part(part), buffer.getvalue())

    def read(self, objects: Objects, part: int) -> pd.DataFrame:
        """Read one part."""
        return _frame(_read(objects.get(self._part(part))))

    def parts(self, objects: Objects) -> Iterator[pa.Table]:
        """The parts as they are stored, one after the other, so that memory holds one."""
        for part in range(int(self.summary(objects)["parts"])):
            yield _read(objects.get(self._part(part)))

    def finish(
        self, objects: Objects, parts: int, summary: Mapping[str, Any], rejections: pd.DataFrame, picture: bytes
    ) -> None:
        """Commit a validated table together with what was held back and its picture (PNG)."""
        buffer = io.BytesIO()
        rejections.to_parquet(buffer, compression="zstd", index=False)
        objects.put(f"{self.folder}/rejections.parquet", buffer.getvalue())
        objects.put(f"{self.folder}/picture.png", picture)
        self.commit(objects, parts, summary)

    def rejections(self, objects: Objects) -> pd.DataFrame:
        """Read the rows that were held back."""
        return pd.read_parquet(io.BytesIO(objects.get(f"{self.folder}/rejections.parquet")))

    def picture(self, objects: Objects) -> bytes:
        """Read the picture."""
        return objects.get(f"{self.folder}/picture.png")

    def commit(self, objects: Objects, parts: int, summary: Mapping[str, Any]) -> None:
        """Declare the table whole."""
        objects.put_json(f"{self.folder}/table.json", {**summary, "parts": parts})

    def find_summary(self, objects: Objects) -> dict[str, Any] | None:
        """What `commit` was told, or None where the table is not whole."""
        return objects.find_json(f"{self.folder}/table.json")

    def summary(self, objects: Objects) -> dict[str, Any]:
        """What `commit` was told.

        Raises:
            HarvestMissing: the table is not whole.
        """
        objects.get(f"{self.folder}/table.json")
        return self.find_summary(objects) or {}

    def _part(self, part: int) -> str:
        return f"{self.folder}/{part:05d}.parquet"


#: What PageTables keeps of each row beside the normalized columns; see tile_ownership.LayerRows.
_INDEX = ("cell", "key_hash", "content", "object_id")


@dataclass(frozen=True)
class PageTables:
    """Normalized pages of a layer, by the name of the page; kept until the layer's next harvest."""

    jurisdiction: str
    feed: str
    rules: str

    @property
    def folder(self) -> str:
        """Where they lie in the store."""
        return f"{NORMALIZED}/{self.jurisdiction}/{self.feed}/pages/{self.rules}"

    def write(  # noqa: PLR0913 - a page is its rows, their index and what is known of them
        self, objects: Objects, page: str, frame: pd.DataFrame, rows: LayerRows, crs: str, fields: Collection[str]
    ) -> None:
        """Write a page.

        Args:
            objects: the store.
            page: its name.
            frame: what columns.normalize gives, with the column `page`.
            rows: the same rows, for their index.
            crs: of the shapes, EPSG:...
            fields: names of the layer's columns.
        """
        table = _one_schema(_table(frame, crs))
        table = table.replace_schema_metadata({**table.schema.metadata, b"fields": orjson.dumps(sorted(fields))})
        for name, values in zip(_INDEX, (rows.cell, rows.key, rows.content, rows.id), strict=True):
            table = table.append_column(name, pa.array(values, pa.uint64()))
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(sink, table.schema, options=options) as writer:
            writer.write_table(table)
        objects.put(self._name(page), bytes(sink.getvalue()))

    def find(self, objects: Objects, page: str) -> pa.Table | None:
        """A page's table with its index, None where it is not there."""
        try:
            body = objects.get(self._name(page))
        except HarvestMissing:
            return None
        return pa.ipc.open_file(body).read_all()

    def has(self, objects: Objects, page: str) -> bool:
        """Whether a page's table is there."""
        return objects.has(self._name(page))

    def _name(self, page: str) -> str:
        return f"{self.folder}/{page}.arrow"


def _one_schema(table: pa.Table) -> pa.Table:
    """The table with text where a column says nothing in all rows, so that pages can be put together."""
    texts = [field.with_type(pa.string()) if pa.types.is_null(field.type) else field for field in table.schema]
    return table.cast(pa.schema(texts, table.schema.metadata))


def keep_pages(objects: Objects, jurisdiction: str, feed: str, pages: Collection[str]) -> None:
    """Delete the normalized tables of all other pages of a feed's layer."""
    names = objects.names(f"{NORMALIZED}/{jurisdiction}/{feed}/pages")
    objects.delete([name for name in names if PurePosixPath(name).stem not in pages])


def index_of(table: pa.Table) -> LayerRows:
    """The index of a page's table."""
    nothing = np.zeros(len(table), dtype=np.uint64)
    row = table.column("row").to_numpy().astype(np.uint64)
    return LayerRows(nothing, row, *(table.column(name).to_numpy() for name in _INDEX))


def without_index(table: pa.Table) -> pa.Table:
    """The normalized columns of a page's table."""
    return table.drop_columns(list(_INDEX))


def _table(frame: pd.DataFrame, crs: str) -> pa.Table:
    """A GeoParquet table (geoparquet.org, 1.0.0) of a frame whose shapes stand in `geometry`.

    As GeoDataFrame.to_parquet, but the CRS is not spelled anew for each part, and text is taken as it is.
    """
    columns = frame.drop(columns="geometry").items()
    arrays = {str(name): pa.array(column.to_numpy(), from_pandas=True) for name, column in columns}
    wkbs = shapely.to_wkb(frame["geometry"].to_numpy(), byte_order=1, flavor="iso")
    arrays["geometry"] = pa.array(wkbs, pa.binary())
    return pa.table(arrays).replace_schema_metadata({b"geo": _about(crs)})


@lru_cache(maxsize=16)
def _about(crs: str) -> bytes:
    """What GeoParquet says of a table's shapes."""
    about = {"encoding": "WKB", "crs": pyproj.CRS.from_user_input(crs).to_json_dict(), "geometry_types": []}
    return orjson.dumps({"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": about}})


def _read(body: bytes) -> pa.Table:
    """As pq.read_table, which looks for a folder of files first and takes twice as long."""
    with pq.ParquetFile(pa.BufferReader(body)) as file:
        return file.read(use_threads=False)


def _frame(table: pa.Table) -> pd.DataFrame:
    """A table that `write` wrote, as it was: text is Python's own."""
    columns = {
        name: pd.Series(table.column(name).to_numpy(zero_copy_only=False), dtype=_dtype(table.schema.field(name)))
        for name in table.column_names
        if name != "geometry"
    }
    shapes = shapely.from_wkb(table.column("geometry").to_numpy(zero_copy_only=False))
    return pd.DataFrame({**columns, "geometry": pd.Series(shapes, dtype=object)})


def _dtype(field: pa.Field) -> type | None:
    return object if pa.types.is_string(field.type) or pa.types.is_null(field.type) else None
