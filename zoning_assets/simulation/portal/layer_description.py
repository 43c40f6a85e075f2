"""The metadata of a service and a layer, in the format of ArcGIS Server 10.9.1.

Source: ArcGIS REST API, "Feature Service", "Layer (Feature Service)", "Layer / Table (Map Service)".
"""

from collections.abc import Sequence
from typing import Any

from zoning_assets.simulation.portal.polygon_arrays import Shapes
from zoning_assets.simulation.portal.served_layer import ServedLayer

VERSION = 10.91
FEATURE, MAP = "FeatureServer", "MapServer"


def service(layers: Sequence[ServedLayer], kind: str) -> dict[str, Any]:
    """The metadata of a service."""
    names = [
        {"id": number, "name": each.name, "type": "Feature Layer", "geometryType": "esriGeometryPolygon"}
        for number, each in enumerate(layers)
    ]
    return {
        "currentVersion": VERSION,
        "serviceDescription": "Simulated county; not a real place",
        "capabilities": "Query" if kind == FEATURE else "Map,Query,Data",
        "maxRecordCount": layers[0].about.page_rows,
        "supportedQueryFormats": "JSON, geoJSON, PBF",
        "spatialReference": layers[0].reference(),
        "units": "esriFeet",
        "layers": names,
        "tables": [],
    }


def layer(number: int, layer_: ServedLayer, kind: str) -> dict[str, Any]:
    """The metadata of a layer. A map service states neither the id columns nor the last edit."""
    common = {
        "currentVersion": VERSION,
        "id": number,
        "name": layer_.name,
        "type": "Feature Layer",
        "description": "",
        "geometryType": "esriGeometryPolygon",
        "hasZ": False,
        "hasM": False,
        "extent": extent(layer_.shapes, layer_.reference()),
        "fields": [layer_.field(name) for name in layer_.columns],
        "displayField": next((name for name in layer_.columns if name != layer_.oid), layer_.oid),
        "capabilities": "Query" if kind == FEATURE else "Map,Query,Data",
        "supportedQueryFormats": "JSON, geoJSON, PBF",
        **_limits(layer_.about.page_rows),
        **_abilities(),
    }
    return {**common, **_feature_service_only(layer_)} if kind == FEATURE else common


def _feature_service_only(layer_: ServedLayer) -> dict[str, Any]:
    area, length = layer_.column_named("Shape_Area"), layer_.column_named("Shape_Length")
    measured = {"shapeAreaFieldName": area, "shapeLengthFieldName": length, "units": "esriFeet"}
    return {
        "objectIdField": layer_.oid,
        "globalIdField": layer_.about.global_id or "",
        "geometryField": {"name": "Shape", "type": "esriFieldTypeGeometry", "alias": "Shape"},
        "geometryProperties": measured if area and length else None,
        "editingInfo": {"lastEditDate": layer_.about.edited_ms},
        **({"editFieldsInfo": {"editDateField": layer_.about.edits}} if layer_.about.edits else {}),
        "hasAttachments": False,
        "isDataVersioned": False,
    }


def _limits(rows: int) -> dict[str, int]:
    return {
        "maxRecordCount": rows,
        "standardMaxRecordCount": rows,
        "tileMaxRecordCount": rows,
        "maxRecordCountFactor": 1,
    }


def _abilities() -> dict[str, Any]:
    can = {
        "supportsPagination": True,
        "supportsStatistics": True,
        "supportsHavingClause": True,
        "supportsOrderBy": True,
        "supportsDistinct": True,
        "supportsReturningQueryExtent": True,
        "supportsTrueCurve": False,
        "supportsCountDistinct": False,
        "supportsPaginationOnAggregatedQueries": True,
        "supportsSqlExpression": False,
    }
    return {
        "supportsStatistics": True,
        "supportsAdvancedQueries": True,
        "useStandardizedQueries": True,
        "advancedQueryCapabilities": can,
    }


def extent(shapes: Shapes, reference: dict[str, int]) -> dict[str, Any]:
    """The bounding box of shapes; "NaN" if there are none, as ArcGIS writes it."""
    sides = ("xmin", "ymin", "xmax", "ymax")
    box: list[Any] = list(shapes.extent) if len(shapes.points) else ["NaN"] * 4
    return {**dict(zip(sides, box, strict=True)), "spatialReference": reference}
