"""The formats of rows: f=json and f=geojson; f=pbf is in pbf_answers.

Source: ArcGIS REST API, "Feature object" and "Query (Feature Service/Layer)".
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import shapely

from zoning_assets.simulation.county.county_table import Column, Columns
from zoning_assets.simulation.portal.polygon_arrays import Ints, Shapes, offsets


class Grid(NamedTuple):
    """The grid of coordinates: its origin and the length of a step, in units of the CRS."""

    west: float
    south: float
    step: float


class Form(NamedTuple):
    """A format of rows.

    Attributes:
        name: as in the parameter `f`.
        between: the separator of rows.
        write: called with columns, shapes (None: without), the column of object ids and the grid; returns the bytes of
            each row.
    """

    name: str
    between: bytes
    write: Callable[[Columns, Shapes | None, str, Grid], list[bytes]]


def sendable(values: Column) -> list[Any]:
    """The values of a column for JSON: dates as milliseconds since 1970. NaN becomes null when it is written."""
    if values.dtype.kind == "M":
        missing, sent = np.isnat(values), values.astype("datetime64[ms]").astype(np.int64).astype(object)
        sent[missing] = None
        return list(sent)
    return list(values.tolist())


def attributes(columns: Columns) -> list[dict[str, Any]]:
    """The attributes of each row for JSON."""
    rows = zip(*map(sendable, columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _json(columns: Columns, shapes: Shapes | None, _oid: str, _grid: Grid) -> list[bytes]:
    if shapes is None:
        return [orjson.dumps({"attributes": each}) for each in attributes(columns)]
    pairs = zip(attributes(columns), _geometries(shapes), strict=True)
    return [orjson.dumps({"attributes": each, "geometry": geometry}) for each, geometry in pairs]


def _geometries(shapes: Shapes) -> list[dict[str, Any] | None]:
    features = zip(_runs(_rings(shapes), shapes.features), shapes.null.tolist(), strict=True)
    return [None if null else {"rings": rings} for rings, null in features]


def _rings(shapes: Shapes) -> list[Any]:
    """All rings as lists of points."""
    return _runs(shapes.points.tolist(), shapes.rings)


def _runs(items: list[Any], starts: Ints) -> list[list[Any]]:
    """The items from each start to the next."""
    return [items[start:stop] for start, stop in pairwise(starts.tolist())]


def _geojson(columns: Columns, shapes: Shapes | None, oid: str, _grid: Grid) -> list[bytes]:
    """GeoJSON features, with the object id as `id` if it is one of the columns."""
    rows = attributes(columns)
    geometries: Sequence[Mapping[str, Any] | None] = [None] * len(rows) if shapes is None else _declared(shapes)
    return [
        orjson.dumps({"type": "Feature", "id": row.get(oid), "geometry": geometry, "properties": row})
        for row, geometry in zip(rows, geometries, strict=True)
    ]


def _declared(shapes: Shapes) -> list[dict[str, Any] | None]:
    """Polygons and multipolygons. Shells stay clockwise, as ArcGIS leaves them, against RFC 7946
    (docs/explanation/portals.md, row 19)."""
    shell = _is_shell(shapes)
    polygons = _runs(_rings(shapes), np.append(np.flatnonzero(shell), len(shell)))
    features = zip(_runs(polygons, offsets(shell)[shapes.features]), shapes.null.tolist(), strict=True)
    return [None if null else _polygon(parts) for parts, null in features]


def _is_shell(shapes: Shapes) -> npt.NDArray[np.bool_]:
    """Which rings are shells: the clockwise ones, and the first ring of each feature."""
    shell = np.zeros(len(shapes.rings) - 1, dtype=bool)
    if len(shell):
        owner = np.repeat(np.arange(len(shell)), np.diff(shapes.rings))
        shell = ~shapely.is_ccw(shapely.linearrings(shapes.points, indices=owner))
    shell[shapes.features[:-1][np.diff(shapes.features) > 0]] = True
    return shell


def _polygon(parts: list[Any]) -> dict[str, Any]:
    if len(parts) > 1:
        return {"type": "MultiPolygon", "coordinates": parts}
    return {"type": "Polygon", "coordinates": parts[0] if parts else []}


JSON, GEOJSON = Form("json", b",", _json), Form("geojson", b",", _geojson)
