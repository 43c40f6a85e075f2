"""GeoJSON to rows: the least that reads it. The branch `pbf` has a reader of this signature that replaces it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import shapely

from zoning_assets.transform.rows import Rows

_UNREADABLE = "no shape that can be read"


def read(body: bytes, _layer: Mapping[str, Any]) -> Rows:
    """A FeatureCollection.

    Raises:
        ValueError: the bytes are none.
    """
    document = orjson.loads(body)
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or not set(map(type, features)) <= {dict}:
        message = f"no features in {body[:80]!r}"
        raise ValueError(message)
    attributes = [feature.get("properties") for feature in features]
    shapes, flaws = shapes_of([feature.get("geometry") for feature in features])
    return Rows([each if isinstance(each, dict) else {} for each in attributes], shapes, flaws)


def shapes_of(geometries: Sequence[Any]) -> tuple[npt.NDArray[np.object_], dict[int, str]]:
    """Shapes of GeoJSON geometries, None where there is none; and what was odd, by index."""
    shapes = np.full(len(geometries), None, dtype=object)
    shapes[:] = shapely.from_geojson([_text(each) for each in geometries], on_invalid="ignore")
    return shapes, {i: _UNREADABLE for i, each in enumerate(geometries) if each and shapes[i] is None}


def _text(geometry: Any) -> str | None:
    try:
        return orjson.dumps(geometry).decode() if isinstance(geometry, dict) else None
    except TypeError:  # nested too deep for GEOS to read by recursion
        return None
