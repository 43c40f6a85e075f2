"""An Opendatasoft portal on loopback, from the public documentation of its Explore API v2.1; no answer was recorded."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import shapely
from aiohttp import web

ID = "parcels@cambridge"
FIELDS = [
    {"name": "geo_point_2d", "type": "geo_point_2d", "label": "Geo Point"},
    {"name": "geo_shape", "type": "geo_shape", "label": "Geo Shape"},
    {"name": "ml", "type": "text", "label": "Map-Lot"},
    {"name": "remark", "type": "text", "label": "Remark"},
]


@dataclass
class FakeOpendatasoft:
    """Answers for one dataset of keys and shapes."""

    lots: Sequence[tuple[str | None, shapely.Geometry | None]]
    fields: Any = field(default_factory=lambda: FIELDS)
    metas: dict[str, Any] = field(default_factory=dict)  # said instead
    says: dict[str, Any] = field(default_factory=dict)  # said beside
    exported: int | None = None  # so many rows of all
    cut: float = 1.0  # the share of the export's bytes that is sent
    preparing: int = 0  # so many 202 before the export
    edit: Any = None  # called when the export was given

    def __post_init__(self) -> None:
        self.processed, self.exports = "2025-03-01T00:00:00+00:00", 0

    async def __call__(self, request: web.Request) -> web.Response:
        root = f"/api/explore/v2.1/catalog/datasets/{ID}"
        if request.path == root:
            default = {"modified": "2024-01-01T00:00:00+00:00", "data_processed": self.processed}
            metas = {"default": {**default, "records_count": len(self.lots), **self.metas}}
            document = {"dataset_id": ID, "has_records": True, "metas": metas, "fields": self.fields}
            return web.json_response({**document, **self.says})
        if request.path == f"{root}/exports/geojson" and request.query["limit"] == "-1":
            return self._export()
        error = {"error_code": "UnknownDatasetException", "message": "Dataset does not exist."}
        return web.json_response(error, status=404)

    def _export(self) -> web.Response:
        if self.preparing:
            self.preparing -= 1
            return web.Response(status=202)
        self.exports += 1
        features = [self._feature(*lot) for lot in self.lots[: self.exported]]
        body = orjson.dumps({"type": "FeatureCollection", "features": features})
        if self.edit:
            self.edit(self)
        return web.Response(body=body[: int(len(body) * self.cut)], content_type="application/geo+json")

    def _feature(self, key: str | None, shape: shapely.Geometry | None) -> dict[str, Any]:
        """A column that says nothing is left out of a row."""
        point = {"lon": shape.centroid.x, "lat": shape.centroid.y} if shape else None
        said = {name: value for name, value in {"geo_point_2d": point, "ml": key}.items() if value is not None}
        geometry = None if shape is None else shapely.geometry.mapping(shape)
        return {"type": "Feature", "geometry": geometry, "properties": said}
