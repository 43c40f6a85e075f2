"""The query operation of a layer. Source: ArcGIS REST API, "Query (Feature Service/Layer)"."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import shapely
from shapely.errors import ShapelyError

from zoning_assets.simulation.portal import grouped_statistics, layer_description, pbf_answers
from zoning_assets.simulation.portal.answer_forms import GEOJSON, JSON, Form
from zoning_assets.simulation.portal.polygon_arrays import Ints
from zoning_assets.simulation.portal.refusal import RefusalError
from zoning_assets.simulation.portal.served_layer import DEGREES, ServedLayer, transformed
from zoning_assets.simulation.portal.where_clause import WhereError, rows_where

INVALID = "Invalid or missing input parameters."
UNABLE = "Unable to complete operation."
_SELECT = ("where", "objectIds", "geometry", "geometryType", "inSR", "spatialRel")
#: What `f` may be.
FORMS: Mapping[str, Form] = {"json": JSON, "pjson": JSON, "geojson": GEOJSON, "pbf": pbf_answers.FORM}
#: Parameters whose response has no rows of the layer.
_NOT_ROWS = ("returnCountOnly", "returnIdsOnly", "returnExtentOnly", "outStatistics", "returnDistinctValues")
_MAX_SELECTIONS = 128  # cached for each layer: all pages of a query select the same rows


def answer(layer: ServedLayer, params: Mapping[str, str]) -> bytes:
    """The response body of a query.

    Raises:
        RefusalError: the parameters are invalid.
    """
    form = FORMS.get(params.get("f", "json"))
    if form is None or (form is not JSON and any(_is_set(params, name) for name in _NOT_ROWS)):
        raise RefusalError(INVALID, "'f' is json, and for rows also geojson or pbf")
    rows = selected(layer, params)
    if _flag(params, "returnExtentOnly"):
        return orjson.dumps(_extent(layer, rows, params))
    if _flag(params, "returnCountOnly"):
        return orjson.dumps({"count": _counted(layer, rows, params)})
    if _flag(params, "returnIdsOnly"):
        ids = layer.ids[rows].tolist()
        return orjson.dumps({"objectIdFieldName": layer.oid, "objectIds": ids or None})
    if params.get("outStatistics", "").strip():
        return _table(layer, params, grouped_statistics.answer(layer, rows, params))
    if _flag(params, "returnDistinctValues"):
        return _distinct(layer, rows, params)
    return _features(layer, _ordered(layer, rows, params), params, form)


def selected(layer: ServedLayer, params: Mapping[str, str]) -> Ints:
    """The requested rows, sorted by object id; cached for the next page."""
    asked = tuple(params.get(name, "").strip() for name in _SELECT)
    if not any(asked[:3]):
        raise RefusalError(INVALID, "'where', 'objectIds' or 'geometry' must be given")
    if asked not in layer.selections:
        while len(layer.selections) >= _MAX_SELECTIONS:
            layer.selections.pop(next(iter(layer.selections)))
        layer.selections[asked] = _select(layer, params)
    return layer.selections[asked]


def _select(layer: ServedLayer, params: Mapping[str, str]) -> Ints:
    mask = np.ones(len(layer), dtype=bool)
    if params.get("where", "").strip():
        try:
            mask &= rows_where(params["where"], len(layer), layer.values)
        except WhereError as error:
            raise RefusalError(UNABLE, "'where' parameter is invalid", str(error)) from error
    if params.get("objectIds", "").strip():
        mask &= np.isin(layer.ids, _ids(params["objectIds"]))
    if params.get("geometry", "").strip():
        inside = np.zeros(len(layer), dtype=bool)
        inside[layer.tree.query(_area(layer, params), predicate="intersects")] = True
        mask &= inside
    return np.flatnonzero(mask)


def _ids(text: str) -> Ints:
    try:
        return np.array([int(each) for each in text.split(",")], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise RefusalError(INVALID, "'objectIds' parameter is invalid") from error


def _area(layer: ServedLayer, params: Mapping[str, str]) -> shapely.Geometry:
    """The requested area, in the CRS of the layer."""
    if params.get("spatialRel", "esriSpatialRelIntersects") != "esriSpatialRelIntersects":
        raise RefusalError(INVALID, "'spatialRel' is esriSpatialRelIntersects")
    try:
        shape, stated = _sent_geometry(params)
        epsg = layer.supported_epsg(_wkid(params.get("inSR") or stated or layer.epsg))
        if epsg is None:
            raise RefusalError(INVALID, "'inSR' parameter is invalid")
        if epsg != layer.epsg:
            shape = shapely.transform(shape, lambda points: transformed(points, epsg, layer.epsg))
        if not np.isfinite(shapely.get_coordinates(shape)).all():
            raise RefusalError(INVALID, "'geometry' lies outside the coordinate system")
        return shape if shape.is_valid else shapely.make_valid(shape)
    except (ValueError, TypeError, KeyError, AttributeError, ShapelyError) as error:
        raise RefusalError(INVALID, "'geometry' parameter is invalid", str(error)) from error


def _sent_geometry(params: Mapping[str, str]) -> tuple[shapely.Geometry, Any]:
    """The geometry as it was sent, and the CRS that it states."""
    kind, text = params.get("geometryType") or "esriGeometryEnvelope", params["geometry"].strip()
    if kind == "esriGeometryEnvelope" and not text.startswith("{"):
        west, south, east, north = map(float, text.split(","))
        return shapely.box(west, south, east, north), None
    sent = orjson.loads(text)
    if kind == "esriGeometryEnvelope":
        return shapely.box(*(float(sent[side]) for side in ("xmin", "ymin", "xmax", "ymax"))), sent.get(
            "spatialReference"
        )
    if kind == "esriGeometryPolygon":
        rings = [shapely.Polygon(ring) for ring in sent["rings"]]
        whole = shapely.Polygon()
        for ring in rings:  # even-odd rule, as rings may have either direction
            whole = shapely.symmetric_difference(whole, ring if ring.is_valid else shapely.make_valid(ring))
        return whole, sent.get("spatialReference")
    raise RefusalError(INVALID, "'geometryType' is esriGeometryEnvelope or esriGeometryPolygon")


def _wkid(reference: Any) -> int:
    """The number in `4326`, `"4326"` or `{"wkid": 4326}`."""
    if isinstance(reference, str) and reference.strip().startswith("{"):
        reference = orjson.loads(reference)
    if isinstance(reference, dict):
        reference = reference.get("latestWkid") or reference["wkid"]
    return int(reference)


def _ordered(layer: ServedLayer, rows: Ints, params: Mapping[str, str]) -> Ints:
    """Sort rows by `orderByFields`, then by object id."""
    keys: list[Ints] = []
    for part in filter(None, map(str.strip, params.get("orderByFields", "").split(","))):
        name, _, way = part.partition(" ")
        if way.strip().upper() not in ("", "ASC", "DESC"):
            raise RefusalError(INVALID, "'orderByFields' parameter is invalid")
        names = grouped_statistics.names_of(layer, name)
        down = way.strip().upper() == "DESC"
        if keys or down or names != [layer.oid]:
            ranks = grouped_statistics.ranks(layer, names[0])[rows]
            keys.append(-ranks if down else ranks)
        else:
            return rows  # rows are sorted by object id already, and ids are unique
    return rows[np.lexsort(keys[::-1])] if keys else rows


def _features(layer: ServedLayer, rows: Ints, params: Mapping[str, str], form: Form) -> bytes:
    page, more = _page(layer, params, len(rows))
    names = _out_fields(layer, params)
    shapes = _flag(params, "returnGeometry", default=True)
    own = DEGREES if form is GEOJSON else layer.epsg
    epsg = (layer.supported_epsg(_number(params, "outSR", own)) if _plain(params, "outSR") else None) or own
    written = layer.features(rows[page], epsg, names, shapes=shapes, form=form)
    if form is pbf_answers.FORM:
        return pbf_answers.page(layer, names, written, epsg=epsg if shapes else None, more=more)
    if form is GEOJSON:
        return _collection(written, epsg, more=more)
    head: dict[str, Any] = {"objectIdFieldName": layer.oid, "globalIdFieldName": layer.about.global_id or ""}
    if shapes:
        head |= {"geometryType": "esriGeometryPolygon", "spatialReference": layer.reference(epsg)}
    return _body(head, layer, names, written, more=more)


def _collection(features: bytes, epsg: int, *, more: bool) -> bytes:
    """A GeoJSON body. `crs` and the transfer limit are beside the features, as ArcGIS Server writes them."""
    head: dict[str, Any] = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": f"EPSG:{epsg}"}},
    }
    head |= {"exceededTransferLimit": True} if more else {}
    return b"".join([orjson.dumps(head)[:-1], b',"features":[', features, b"]}"])


def _counted(layer: ServedLayer, rows: Ints, params: Mapping[str, str]) -> int:
    if not _flag(params, "returnDistinctValues"):
        return len(rows)
    return len(grouped_statistics.grouped(layer, rows, _out_fields(layer, params))[1])


def _distinct(layer: ServedLayer, rows: Ints, params: Mapping[str, str]) -> bytes:
    if _flag(params, "returnGeometry", default=False):
        raise RefusalError(INVALID, "'returnDistinctValues' goes with returnGeometry=false")
    names = _out_fields(layer, params)
    _, firsts = grouped_statistics.grouped(layer, rows, names)
    return _table(layer, params, layer.attributes(rows[firsts], names))


def _table(layer: ServedLayer, params: Mapping[str, str], found: list[dict[str, Any]]) -> bytes:
    """A body of rows without geometries that are not rows of the layer."""
    page, more = _page(layer, params, len(found))
    features = [{"attributes": each} for each in found[page]]
    known = [name for name in (found[0] if found else {}) if name in layer.columns]
    return _body({}, layer, known, orjson.dumps(features)[1:-1], more=more)


def _body(head: dict[str, Any], layer: ServedLayer, names: Sequence[str], features: bytes, *, more: bool) -> bytes:
    head = {**head, "fields": [layer.field(name) for name in names]}
    tail = b',"exceededTransferLimit":true}' if more else b"}"
    return b"".join([orjson.dumps(head)[:-1], b',"features":[', features, b"]", tail])


def _page(layer: ServedLayer, params: Mapping[str, str], count: int) -> tuple[slice, bool]:
    """The rows of this page, and whether more rows follow."""
    first, most = _number(params, "resultOffset", 0), _number(params, "resultRecordCount", layer.about.page_rows)
    if first < 0 or most < 0:
        raise RefusalError(INVALID, "'resultOffset' and 'resultRecordCount' are not negative")
    last = first + min(most, layer.about.page_rows)
    return slice(first, last), last < count


def _out_fields(layer: ServedLayer, params: Mapping[str, str]) -> list[str]:
    text = params.get("outFields", "").strip()
    if text == "*":
        return list(layer.columns)
    return grouped_statistics.names_of(layer, text) or [layer.oid]


def _extent(layer: ServedLayer, rows: Ints, params: Mapping[str, str]) -> dict[str, Any]:
    found = {"extent": layer_description.extent(layer.shapes.taken(rows), layer.reference())}
    return {"count": len(rows), **found} if _flag(params, "returnCountOnly") else found


def _is_set(params: Mapping[str, str], name: str) -> bool:
    return params.get(name, "").strip().lower() not in ("", "false")


def _flag(params: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    text = params.get(name, "").strip().lower()
    if text not in ("", "true", "false"):
        raise RefusalError(INVALID, f"'{name}' parameter is invalid")
    return text == "true" if text else default


def _plain(params: Mapping[str, str], name: str) -> bool:
    return params.get(name, "").strip().isdigit()


def _number(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name, "").strip()
    try:
        return int(text) if text else default
    except ValueError as error:
        raise RefusalError(INVALID, f"'{name}' parameter is invalid") from error
