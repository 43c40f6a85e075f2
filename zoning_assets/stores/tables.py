"""Normalized and validated: GeoParquet, one part a page, and a list of the parts that makes them a table.

STAGE/JURISDICTION/FEED/TILE/HARVEST-RULES/00000.parquet
STAGE/JURISDICTION/FEED/TILE/HARVEST-RULES/rejections.parquet
STAGE/JURISDICTION/FEED/TILE/HARVEST-RULES/table.json      without it the parts are no table
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import shapely

from zoning_assets.stores.objects import Objects


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
