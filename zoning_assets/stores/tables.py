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

import geopandas as gpd
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyproj
import shapely

from zoning_assets.stores.objects import Objects

NORMALIZED, VALIDATED = "normalized", "validated"


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

    def write(self, objects: Objects, part: int, frame: gpd.GeoDataFrame) -> None:
        """Write one part."""
        buffer = io.BytesIO()
        # No column is read by ranges or by its values, and most values are their own: neither pays for its making.
        pq.write_table(_table(frame), buffer, compression="zstd", use_dictionary=False, write_statistics=False)
        objects.put(self._part(part), buffer.getvalue())

    def read(self, objects: Objects, part: int) -> gpd.GeoDataFrame:
        """Read one part."""
        return _frame(pq.read_table(io.BytesIO(objects.get(self._part(part)))))

    def parts(self, objects: Objects) -> Iterator[pa.Table]:
        """The parts as they are stored, one after the other, so that memory holds one."""
        for part in range(int(self.summary(objects)["parts"])):
            yield pq.read_table(io.BytesIO(objects.get(self._part(part))))

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


def _table(frame: gpd.GeoDataFrame) -> pa.Table:
    """A GeoParquet table (geoparquet.org, 1.0.0) of a frame in a CRS that is known by an EPSG code.

    As GeoDataFrame.to_parquet, but the CRS is not spelled anew for each part, and text is taken as it is.
    """
    names = [str(name) for name in frame.columns if name != "geometry"]
    arrays = {name: pa.array(frame[name].to_numpy(), from_pandas=True) for name in names}
    wkbs = shapely.to_wkb(frame.geometry.to_numpy(), byte_order=1, flavor="iso")
    arrays["geometry"] = pa.array(wkbs, pa.binary())
    about = {"encoding": "WKB", "crs": _projjson(frame.crs.to_epsg()), "geometry_types": []}
    geo = {"version": "1.0.0", "primary_column": "geometry", "columns": {"geometry": about}}
    return pa.table(arrays).replace_schema_metadata({b"geo": orjson.dumps(geo)})


@lru_cache(maxsize=16)
def _projjson(epsg: int) -> Any:
    return pyproj.CRS.from_epsg(epsg).to_json_dict()


def _frame(table: pa.Table) -> gpd.GeoDataFrame:
    """A GeoParquet table that `write` wrote.

    As gpd.read_parquet, but the CRS is not looked up anew for each part (13 ms), and text is Python's own.
    """
    about = orjson.loads((table.schema.metadata or {})[b"geo"])["columns"]["geometry"]
    columns = {
        name: pd.Series(table.column(name).to_numpy(zero_copy_only=False), dtype=_dtype(table.schema.field(name)))
        for name in table.column_names
        if name != "geometry"
    }
    shapes = shapely.from_wkb(table.column("geometry").to_numpy(zero_copy_only=False))
    crs = _crs(orjson.dumps(about["crs"]))
    return gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(shapes, crs=crs))


def _dtype(field: pa.Field) -> type | None:
    return object if pa.types.is_string(field.type) or pa.types.is_null(field.type) else None


@lru_cache(maxsize=16)
def _crs(projjson: bytes) -> pyproj.CRS:
    return pyproj.CRS.from_json(projjson.decode())
