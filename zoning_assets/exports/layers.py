"""The layers that can be exported, and their columns: one schema for all jurisdictions.

JSON columns (attributes, evidence, lists of codes) are text, because a jurisdiction's own attributes must not change
the schema.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from zoning_assets.model import CHANGES, PARCELS

DISTRICTS, ZONED_PARCELS = "districts", "zoned_parcels"
#: The name of the column with the shapes.
GEOMETRY = "geometry"

_TEXT, _NUMBER, _FLAG, _DAY, _JSON = pa.string(), pa.float64(), pa.bool_(), pa.date32(), pa.large_string()
_TIME = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class ExportLayer:
    """A layer.

    Attributes:
        name: also the name of its queries in exports.sql.
        key: the column that identifies a row within the jurisdiction.
        columns: name -> type, without the shape. JSON columns have the type large_string.
        order: SQL expressions of the order of the rows, which keeps neighbours together.
        colour_by: the column that colours a map; None: one colour.
        zooms: the first and the last zoom level of its tiles.
        tile_columns: the columns of its tiles, besides the key.
    """

    name: str
    key: str
    columns: Mapping[str, pa.DataType]
    order: str
    colour_by: str | None
    zooms: tuple[int, int]
    tile_columns: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema; the last column is the shape (WKB, ISO)."""
        return pa.schema([*((name, each) for name, each in self.columns.items()), (GEOMETRY, pa.binary())])

    @property
    def long_columns(self) -> tuple[str, ...]:
        """The columns of JSON objects, whose length has no limit."""
        return tuple(name for name in ("attributes", "evidence") if name in self.columns)


#: Digits of an H3 cell without its resolution: tiles of any resolution in the order of the cells in them.
_BY_TILE = 'substr(tile, 3) COLLATE "C", parcel_id'
#: PostGIS sorts shapes along a Hilbert curve.
_BY_CURVE = "geom, {key}"

LAYERS: Mapping[str, ExportLayer] = {
    each.name: each
    for each in (
        ExportLayer(
            PARCELS,
            "parcel_id",
            {
                "jurisdiction": _TEXT, "parcel_id": _TEXT, "tile": _TEXT, "zoning_code": _TEXT,
                "zoning_code_local": _TEXT, "land_use": _TEXT, "address": _TEXT, "area_m2": _NUMBER,
                "attributes": _JSON, "content_hash": _TEXT, "first_seen": _TIME, "last_changed": _TIME,
            },
            _BY_TILE,
            None,
            (12, 15),
            ("zoning_code", "land_use", "address", "area_m2"),
        ),
        ExportLayer(
            DISTRICTS,
            "district_id",
            {
                "jurisdiction": _TEXT, "district_id": _TEXT, "code": _TEXT, "code_local": _TEXT, "zone_type": _TEXT,
                "effective": _DAY, "area_m2": _NUMBER, "attributes": _JSON, "content_hash": _TEXT,
                "first_seen": _TIME, "last_changed": _TIME,
            },
            _BY_CURVE.format(key="district_id"),
            "zone_type",
            (8, 15),
            ("code", "code_local", "zone_type", "effective", "area_m2"),
        ),
        ExportLayer(
            ZONED_PARCELS,
            "parcel_id",
            {
                "jurisdiction": _TEXT, "parcel_id": _TEXT, "tile": _TEXT, "zoning_code": _TEXT, "zoning_codes": _JSON,
                "zone_type": _TEXT, "split_zoned": _FLAG, "zoned_fraction": _NUMBER, "overlays": _JSON,
                "conditions": _JSON, "puds": _JSON, "parcel_layer_code": _TEXT, "agrees": _FLAG, "address": _TEXT,
                "land_use": _TEXT, "area_m2": _NUMBER, "last_changed": _TIME,
            },
            _BY_TILE,
            "zone_type",
            (12, 15),
            ("zoning_code", "zone_type", "split_zoned", "address", "land_use", "area_m2"),
        ),
        ExportLayer(
            CHANGES,
            "id",
            {
                "jurisdiction": _TEXT, "id": _TEXT, "kind": _TEXT, "facet": _TEXT, "parcel_ids": _JSON, "old": _TEXT,
                "new": _TEXT, "area_m2": _NUMBER, "share": _NUMBER, "confidence": _NUMBER, "effective": _DAY,
                "detected": _TIME, "ordinances": _JSON, "evidence": _JSON,
            },
            _BY_CURVE.format(key="id"),
            "kind",
            (8, 15),
            ("kind", "old", "new", "share", "confidence", "effective", "detected", "area_m2"),
        ),
    )
}  # fmt: skip
