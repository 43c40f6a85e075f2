"""Normalized and validated: GeoParquet, one part a page, and a list of the parts that makes them a table.

    STAGE/JURISDICTION/FEED/TILE/HARVEST-RULES/00000.parquet
    STAGE/JURISDICTION/FEED/TILE/HARVEST-RULES/rejections.parquet
    STAGE/JURISDICTION/FEED/TILE/HARVEST-RULES/table.json      without it the parts are no table
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import pandas as pd

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
        return "/".join((self.stage, self.jurisdiction, self.feed, self.tile or "whole", f"{self.harvest}-{self.rules}"))

    def write(self, objects: Objects, part: int, frame: gpd.GeoDataFrame) -> None:
        """Write one part."""
        buffer = io.BytesIO()
        frame.to_parquet(buffer, compression="zstd", index=False)
        objects.put(self._part(part), buffer.getvalue())

    def read(self, objects: Objects, part: int) -> gpd.GeoDataFrame:
        """Read one part."""
        return gpd.read_parquet(io.BytesIO(objects.get(self._part(part))))

    def parts(self, objects: Objects) -> Iterator[gpd.GeoDataFrame]:
        """Read the parts one after the other, so that memory holds one."""
        for part in range(int(self.summary(objects)["parts"])):
            yield self.read(objects, part)

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
