"""Esri JSON: rings of numbers to shapes, a page at a time.

Source: ArcGIS REST API, "Geometry objects" and "Query (Feature Service/Layer)".
"""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import shapely

from zoning_assets.transform.rings import polygon_of
from zoning_assets.transform.rows import Rows

CURVE = "curve"
NOT_NUMBERS = "coordinates are not numbers"
SHED = "a ring of fewer than three corners was shed"


def decode(body: bytes) -> Any:
    """A JSON document. Some servers write a bare NaN (FACTS 1, row 21), which orjson rightly refuses.

    Raises:
        ValueError: the bytes are not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body)


def read(body: bytes, _layer: Mapping[str, Any]) -> Rows:
    """A page of a query's answer (f=json).

    Raises:
        ValueError: the bytes are not such an answer.
    """
    document = decode(body)
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        message = f"no features in {body[:80]!r}"
        raise ValueError(message)
    geometries = [feature.get("geometry") or {} for feature in features]
    shapes, flaws = shapes_of(geometries)
    return Rows([feature.get("attributes") or {} for feature in features], shapes, flaws)


def shapes_of(geometries: Sequence[Mapping[str, Any]]) -> tuple[npt.NDArray[np.object_], dict[int, str]]:
    """Shapes of Esri polygon objects, None where there is none; and what was odd, by index."""
    flaws = {i: CURVE for i, g in enumerate(geometries) if "curveRings" in g}
    rings: list[Sequence[Any]] = []
    owner: list[int] = []
    for i, geometry in enumerate(geometries):
        for ring in geometry.get("rings") or ():
            if len(ring) > 3 or (len(ring) == 3 and ring[0] != ring[-1]):
                rings.append(ring)
                owner.append(i)
            else:
                flaws[i] = SHED
    shapes = np.full(len(geometries), None, dtype=object)
    if rings:
        _fill(shapes, flaws, rings, np.array(owner))
    return shapes, flaws


def _fill(
    shapes: npt.NDArray[np.object_], flaws: dict[int, str], rings: list[Sequence[Any]], owner: npt.NDArray[np.int64]
) -> None:
    """All rings of a page at once; only features of several rings are put together one by one."""
    lengths = np.fromiter(map(len, rings), dtype=np.int64, count=len(rings))
    points = _points(rings)
    ring_of_point = np.repeat(np.arange(len(rings)), lengths)
    broken = np.unique(owner[ring_of_point[~np.isfinite(points).all(axis=1)]])
    flaws.update(dict.fromkeys(broken.tolist(), NOT_NUMBERS))
    sound = ~np.isin(owner, broken)
    keep = sound[ring_of_point]
    compact = np.cumsum(sound) - 1
    linear = shapely.linearrings(points[keep], indices=compact[ring_of_point[keep]])
    owner = owner[sound]
    if not len(owner):
        return
    first = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    last = np.r_[first[1:], len(owner)]
    alone = last - first == 1
    shapes[owner[first[alone]]] = shapely.polygons(linear[first[alone]])
    for start, stop in zip(first[~alone], last[~alone], strict=True):
        shapes[owner[start]] = polygon_of(linear[start:stop])


def _points(rings: list[Sequence[Any]]) -> npt.NDArray[np.float64]:
    """All corners as (n, 2); z and m are left behind, what is no number becomes NaN."""
    try:
        return np.array(list(chain.from_iterable(rings)), dtype=np.float64)[:, :2]
    except (ValueError, TypeError, IndexError):
        return np.array([_xy(point) for point in chain.from_iterable(rings)], dtype=np.float64)


def _xy(point: Any) -> tuple[float, float]:
    try:
        return float(point[0]), float(point[1])
    except (TypeError, ValueError, IndexError, KeyError):
        return np.nan, np.nan
