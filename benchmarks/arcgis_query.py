"""The query operation of the benchmark's ArcGIS server. Each response is computed for its request; none is cached.

Source: ArcGIS REST API, "Query (Feature Service/Layer)".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd
import pyproj
import shapely

from benchmarks.arcgis_table import DATES, EPSG, GLOBAL_ID, ID, WKID, BenchTable, Ints
from benchmarks.arcgis_where import Mask, rows_where
from benchmarks.variants import ServerVariant

REFERENCE = {"wkid": WKID, "latestWkid": EPSG}
_DEGREES = 4326
_STATISTICS = {"count": "count", "min": "min", "max": "max", "sum": "sum", "avg": "mean"}


class QueryError(Exception):
    """The parameters are invalid, or the server does not support them."""


class Answer(NamedTuple):
    """A response.

    Attributes:
        body: its bytes.
        rows: the features in it.
        tested: the shapes that were tested for it.
    """

    body: bytes
    rows: int = 0
    tested: int = 0


@dataclass(frozen=True)
class BenchLayer:
    """A table as one server variant serves it.

    Attributes:
        table: the rows.
        variant: of the server.
        page: the most rows of a response.
        index: of the envelopes of the shapes.
    """

    table: BenchTable
    variant: ServerVariant
    page: int
    index: shapely.STRtree

    def field(self, name: str) -> dict[str, Any]:
        """The description of a column in metadata and responses."""
        return {"name": name, "type": _type(name, self.table.rows[name]), "alias": name, "domain": None}


def answer(layer: BenchLayer, params: Mapping[str, str]) -> Answer:
    """The response to a query.

    Raises:
        QueryError: see there.
    """
    if params.get("f", "json") not in ("json", "pjson"):
        raise QueryError("only f=json is supported")
    chosen, tested = _selected(layer, params)
    if _flag(params, "returnExtentOnly"):
        return Answer(_extent(layer.table, chosen, params), 0, tested)
    if _flag(params, "returnIdsOnly"):
        ids = {"objectIdFieldName": ID, "objectIds": layer.table.ids[chosen].tolist()}
        return Answer(orjson.dumps(ids), 0, tested)
    if params.get("outStatistics"):
        return _records(layer, params, _statistics(layer, chosen, params), tested)
    if _flag(params, "returnDistinctValues"):
        distinct = layer.table.rows.loc[chosen, _columns(layer, params)].drop_duplicates()
        return _records(layer, params, distinct, tested)
    if _flag(params, "returnCountOnly"):
        return Answer(orjson.dumps({"count": len(chosen)}), 0, tested)
    return _features(layer, _ordered(layer.table, chosen, params), params, tested)


def _selected(layer: BenchLayer, params: Mapping[str, str]) -> tuple[Ints, int]:
    """The selected rows, and how many shapes were tested."""
    table = layer.table
    if not any(params.get(name) for name in ("where", "objectIds", "geometry")):
        raise QueryError("'where', 'objectIds' or 'geometry' must be given")
    try:
        mask: Mask = rows_where(params.get("where") or "1=1", table.rows)
        if params.get("objectIds"):
            mask = mask & np.isin(table.ids, np.array(params["objectIds"].split(","), dtype=np.int64))
        if not params.get("geometry"):
            return np.flatnonzero(mask), 0
        area = _area(params)
    except (ValueError, TypeError, KeyError) as error:
        raise QueryError(str(error)) from error
    rows, shapes = _candidates(layer, area)
    met = rows[shapely.intersects(shapes, area)]
    return met[mask[met]], len(rows)


def _candidates(layer: BenchLayer, area: shapely.Geometry) -> tuple[Ints, npt.NDArray[np.object_]]:
    """The rows to test and their shapes: all rows as they are read from the table, or those that the index finds."""
    if layer.variant.scans:
        return np.arange(len(layer.table)), shapely.from_wkb(layer.table.wkb)
    rows = np.sort(layer.index.query(area))
    return rows, layer.table.shapes[rows]


def _area(params: Mapping[str, str]) -> shapely.Geometry:
    """The requested area, in EPSG:2249."""
    text, stated = params["geometry"], None
    if text.startswith("{"):
        shape = orjson.loads(text)
        stated = shape.get("spatialReference", {}).get("wkid")
        rings = shape.get("rings")
        area = shapely.union_all([shapely.Polygon(ring) for ring in rings]) if rings else _box(shape)
    else:
        area = shapely.box(*map(float, text.split(",")))
    wkid = int(params.get("inSR") or stated or EPSG)
    if wkid not in (EPSG, WKID, _DEGREES):
        raise QueryError(f"'inSR' {wkid} is not supported")
    return shapely.transform(area, _to_feet, interleaved=False) if wkid == _DEGREES else area


def _box(shape: Mapping[str, Any]) -> shapely.Geometry:
    return shapely.box(*(float(shape[side]) for side in ("xmin", "ymin", "xmax", "ymax")))


_transformer = pyproj.Transformer.from_crs(_DEGREES, EPSG, always_xy=True)
_to_feet = _transformer.transform


def _extent(table: BenchTable, chosen: Ints, params: Mapping[str, str]) -> bytes:
    degrees = params.get("outSR") == str(_DEGREES)
    west, south, east, north = map(float, shapely.total_bounds(table.shapes[chosen]))
    if degrees:
        west, south, east, north = _transformer.transform_bounds(west, south, east, north, direction="INVERSE")
    sides = {"xmin": west, "ymin": south, "xmax": east, "ymax": north}
    reference = {"wkid": _DEGREES} if degrees else REFERENCE
    return orjson.dumps({"extent": {**sides, "spatialReference": reference}})


def _statistics(layer: BenchLayer, chosen: Ints, params: Mapping[str, str]) -> pd.DataFrame:
    if not layer.variant.statistics or params.get("having"):
        raise QueryError("these 'outStatistics' or 'having' are not supported")
    try:
        wanted = orjson.loads(params["outStatistics"])
        named = {each["outStatisticFieldName"]: _statistic(layer, each) for each in wanted}
    except (ValueError, KeyError, TypeError) as error:
        raise QueryError(f"'outStatistics' is invalid: {error}") from error
    rows = layer.table.rows.loc[chosen]
    by = _names(layer, params.get("groupByFieldsForStatistics", ""))
    if by:
        return rows.groupby(by, sort=True).agg(**named).reset_index()
    return pd.DataFrame({name: [rows[column].agg(how)] for name, (column, how) in named.items()})


def _statistic(layer: BenchLayer, wanted: Mapping[str, str]) -> tuple[str, str]:
    [column] = _names(layer, wanted["onStatisticField"])
    return column, _STATISTICS[wanted["statisticType"]]


def _records(layer: BenchLayer, params: Mapping[str, str], found: pd.DataFrame, tested: int) -> Answer:
    """A response with rows that are not rows of the layer."""
    if _flag(params, "returnCountOnly"):
        return Answer(orjson.dumps({"count": len(found)}), 0, tested)
    first, last = _bounds(layer, params)
    features = [{"attributes": row} for row in found.iloc[first:last].to_dict("records")]
    body = {"features": features, **({"exceededTransferLimit": True} if last < len(found) else {})}
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), len(features), tested)


def _ordered(table: BenchTable, chosen: Ints, params: Mapping[str, str]) -> Ints:
    """Sort rows by one column; default: by object id."""
    name, _, way = params.get("orderByFields", "").strip().partition(" ")
    if name.upper() in ("", ID):
        return chosen[::-1] if way.strip().upper() == "DESC" else chosen
    if name not in table.rows:
        raise QueryError("'orderByFields' is invalid")
    order = table.rows[name].iloc[chosen].argsort(kind="stable").to_numpy()
    return chosen[order[::-1] if way.strip().upper() == "DESC" else order]


def _features(layer: BenchLayer, chosen: Ints, params: Mapping[str, str], tested: int) -> Answer:
    first, last = _bounds(layer, params)
    page, names = chosen[first:last].tolist(), _columns(layer, params)
    shapes = _flag(params, "returnGeometry", default=True)
    head: dict[str, Any] = {"objectIdFieldName": ID, "globalIdFieldName": GLOBAL_ID}
    head |= {"geometryType": "esriGeometryPolygon", "spatialReference": REFERENCE} if shapes else {}
    head["fields"] = [layer.field(name) for name in names]
    tail = b'],"exceededTransferLimit":true}' if last < len(chosen) else b"]}"
    features = b",".join(_written(layer.table, page, names, shapes=shapes))
    return Answer(b"".join([orjson.dumps(head)[:-1], b',"features":[', features, tail]), len(page), tested)


def _written(table: BenchTable, page: list[int], names: Sequence[str], *, shapes: bool) -> list[bytes]:
    """The features as JSON, from the prepared rows."""
    if len(names) == len(table.rows.columns):
        return [table.written[at] if shapes else table.written[at][: table.splits[at]] + b"}" for at in page]
    attributes = map(orjson.dumps, table.rows[list(names)].iloc[page].to_dict("records"))
    ends = [table.written[at][table.splits[at] :] if shapes else b"}" for at in page]
    return [b'{"attributes":' + each + end for each, end in zip(attributes, ends, strict=True)]


def _bounds(layer: BenchLayer, params: Mapping[str, str]) -> tuple[int, int]:
    """The first row of the page, and the row after its last."""
    try:
        first = int(params.get("resultOffset") or 0)
        count = int(params.get("resultRecordCount") or layer.page)
    except ValueError as error:
        raise QueryError(str(error)) from error
    if first < 0 or count < 0:
        raise QueryError("'resultOffset' and 'resultRecordCount' are not negative")
    return first, first + min(count, layer.page)


def _columns(layer: BenchLayer, params: Mapping[str, str]) -> list[str]:
    text = params.get("outFields", "").strip()
    return list(layer.table.rows.columns) if text == "*" else _names(layer, text) or [ID]


def _names(layer: BenchLayer, text: str) -> list[str]:
    """The columns of a comma-separated list, in upper or lower case."""
    known = {str(name).upper(): str(name) for name in layer.table.rows.columns}
    wanted = [each.strip().upper() for each in text.split(",") if each.strip()]
    if unknown := [each for each in wanted if each not in known]:
        raise QueryError(f"no column {unknown[0][:40]!r}")
    return [known[each] for each in wanted]


def _flag(params: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    text = params.get(name, "").strip().lower()
    return text == "true" if text else default


def _type(name: str, values: "pd.Series[Any]") -> str:
    own = {ID: "esriFieldTypeOID", GLOBAL_ID: "esriFieldTypeGlobalID", **dict.fromkeys(DATES, "esriFieldTypeDate")}
    if name in own:
        return own[name]
    return {"i": "esriFieldTypeInteger", "f": "esriFieldTypeDouble"}.get(values.dtype.kind, "esriFieldTypeString")
